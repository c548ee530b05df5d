//! `metav1.LabelSelector`.

use super::read::{At, Faults, shorten};
use super::target::Labels;

/// A compiled selector. An empty one selects everything.
#[derive(Clone, Debug, Default)]
pub(super) struct Selector(Vec<(Box<str>, Test)>);

#[derive(Clone, Debug)]
enum Test {
    In(Vec<Box<str>>),
    NotIn(Vec<Box<str>>),
    Exists,
    Absent,
}

impl Selector {
    pub(super) fn read(at: &At<'_>, faults: &mut Faults) -> Self {
        let mut requirements = Vec::new();
        if !at.check_fields(&["matchLabels", "matchExpressions"], faults) {
            return Self::default();
        }
        if let Some(labels) = at.field("matchLabels").filter(|labels| labels.need_map(faults)) {
            for (key, value) in labels.entries() {
                check_key(key, &value, faults);
                if let Some(text) = value.need_text(faults) {
                    check_value(text, &value, faults);
                    requirements.push((key.into(), Test::In(vec![text.into()])));
                }
            }
        }
        let expressions = at.field("matchExpressions").map(|list| list.need_items(faults)).unwrap_or_default();
        requirements.extend(expressions.iter().filter_map(|at| read_requirement(at, faults)));
        Self(requirements)
    }

    pub(super) fn matches(&self, labels: Labels<'_>) -> bool {
        self.0.iter().all(|(key, test)| match test {
            Test::In(values) => labels.test(key, |is| values.iter().any(|value| is(value))) == Some(true),
            Test::NotIn(values) => labels.test(key, |is| values.iter().any(|value| is(value))) != Some(true),
            Test::Exists => labels.test(key, |_| true).is_some(),
            Test::Absent => labels.test(key, |_| true).is_none(),
        })
    }
}

fn read_requirement(at: &At<'_>, faults: &mut Faults) -> Option<(Box<str>, Test)> {
    if !at.check_fields(&["key", "operator", "values"], faults) {
        return None;
    }
    let key = at.text_field("key", faults);
    check_key(key, &at.field("key").unwrap_or_else(|| at.clone()), faults);
    let values = at.field("values").map(|list| list.need_texts(faults)).unwrap_or_default();
    for (value, at) in &values {
        check_value(value, at, faults);
    }
    let none = values.is_empty();
    let values = || values.iter().map(|(value, _)| Box::from(*value)).collect();
    let test = match at.text_field("operator", faults) {
        "In" | "NotIn" if none => {
            faults.refuse(at, "`In` and `NotIn` need `values`; write some");
            return None;
        }
        "In" => Test::In(values()),
        "NotIn" => Test::NotIn(values()),
        "Exists" | "DoesNotExist" if !none => {
            faults.refuse(at, "`Exists` and `DoesNotExist` take no `values`; leave them out");
            return None;
        }
        "Exists" => Test::Exists,
        "DoesNotExist" => Test::Absent,
        other => {
            let message =
                format!("`{}` is not an operator; allowed are `In`, `NotIn`, `Exists`, `DoesNotExist`", shorten(other));
            faults.refuse(&at.field("operator").unwrap_or_else(|| at.clone()), message);
            return None;
        }
    };
    Some((key.into(), test))
}

/// Bytes of the name in a key, and of a value of a label (Kubernetes, "Labels and Selectors").
const MAX_NAME: usize = 63;

fn is_name(name: &str) -> bool {
    let outer = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    name.len() <= MAX_NAME
        && outer(name.as_bytes().first())
        && outer(name.as_bytes().last())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

fn check_key(key: &str, at: &At<'_>, faults: &mut Faults) {
    let valid = match key.split_once('/') {
        Some((prefix, name)) => super::read::is_subdomain(prefix) && is_name(name),
        None => is_name(key),
    };
    if !valid {
        faults.refuse(at, format!("`{}` is not the key of a label", shorten(key)));
    }
}

fn check_value(value: &str, at: &At<'_>, faults: &mut Faults) {
    if !value.is_empty() && !is_name(value) {
        faults.refuse(at, format!("`{}` is not a value that a label can have", shorten(value)));
    }
}
