//! `metav1.LabelSelector`, for labels and annotations.

use super::at::{At, Reader, shorten};
use super::context::{Entry, Keyed};
use super::spec::{LabelSelector, SelectorOperator};
use super::strings::Names;
use super::truth::Truth;

/// A compiled selector. An empty one selects everything.
#[derive(Debug, Default)]
pub(in crate::admission) struct Selector(Vec<Requirement>);

#[derive(Debug)]
struct Requirement {
    key: Box<str>,
    test: Test,
}

#[derive(Debug)]
enum Test {
    In(Names),
    NotIn(Names),
    Exists,
    Absent,
}

impl Selector {
    /// Reads a selector as it is written, and compiles it.
    pub(in crate::admission) fn read(at: &At<'_>, reader: &mut Reader) -> Option<(LabelSelector, Self)> {
        let written: LabelSelector = at.read(reader)?;
        let mut requirements: Vec<_> =
            written.match_labels.iter().map(|(key, value)| (key, Test::In(Names::new([value.clone()])))).collect();
        for requirement in &written.match_expressions {
            let values = || Names::new(requirement.values.iter().cloned());
            let (key, none) = (shorten(&requirement.key), requirement.values.is_empty());
            let test = match requirement.operator {
                SelectorOperator::In | SelectorOperator::NotIn if none => {
                    reader.refuse(at, format!("the requirement on `{key}` has no `values`; write some"));
                    continue;
                }
                SelectorOperator::In => Test::In(values()),
                SelectorOperator::NotIn => Test::NotIn(values()),
                _ if !none => {
                    let message = format!(
                        "the requirement on `{key}` asks whether it is there, and has `values`; leave them out"
                    );
                    reader.refuse(at, message);
                    continue;
                }
                SelectorOperator::Exists => Test::Exists,
                SelectorOperator::DoesNotExist => Test::Absent,
            };
            requirements.push((&requirement.key, test));
        }
        for (key, _) in &requirements {
            if let Err(why) = check_key(key) {
                reader.refuse(at, why);
            }
        }
        let requirements = requirements.into_iter().map(|(key, test)| Requirement { key: key.as_str().into(), test });
        let requirements = requirements.collect();
        Some((written, Self(requirements)))
    }

    pub(in crate::admission) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn test(&self, keyed: &Keyed<'_>) -> Truth {
        self.test_with(|key| keyed.get(key))
    }

    /// Whether values that are looked up one by one are selected.
    pub(in crate::admission) fn test_with<'d>(&self, get: impl Fn(&str) -> Entry<'d>) -> Truth {
        Truth::all(self.0.iter().map(|requirement| match (&requirement.test, get(&requirement.key)) {
            (_, Entry::Unreadable) => Truth::Unreadable,
            (Test::In(names), Entry::Text(text)) => names.has(&text).into(),
            (Test::NotIn(names), Entry::Text(text)) => (!names.has(&text)).into(),
            (Test::Exists, Entry::Text(_)) | (Test::NotIn(_) | Test::Absent, Entry::Absent) => Truth::Yes,
            (Test::Absent, Entry::Text(_)) | (Test::In(_) | Test::Exists, Entry::Absent) => Truth::No,
        }))
    }

    /// Whether what has this value for a key is surely not selected.
    pub(super) fn excludes(&self, key: &str, value: &str) -> bool {
        self.0.iter().filter(|requirement| *requirement.key == *key).any(|requirement| match &requirement.test {
            Test::In(names) => !names.has(value),
            Test::NotIn(names) => names.has(value),
            Test::Absent => true,
            Test::Exists => false,
        })
    }
}

/// Bytes of the name in a key, and of a value of a label (Kubernetes, "Labels and Selectors").
const MAX_NAME: usize = 63;
/// Bytes of the prefix of a key: a DNS subdomain.
const MAX_PREFIX: usize = 253;

/// Checks that Kubernetes takes this as the key of a label or an annotation.
///
/// # Errors
/// Why it does not.
pub(in crate::admission) fn check_key(key: &str) -> Result<(), String> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let valid = is_name(name) && prefix.is_none_or(|prefix| prefix.len() <= MAX_PREFIX && is_subdomain(prefix));
    if valid {
        return Ok(());
    }
    Err(format!(
        "`{}` is not a key of Kubernetes; one has up to {MAX_NAME} letters, digits, `-`, `_` and `.`, and perhaps a domain with a slash before it",
        shorten(key)
    ))
}

/// Checks that Kubernetes takes this as the value of a label.
///
/// # Errors
/// Why it does not.
pub(in crate::admission) fn check_label_value(value: &str) -> Result<(), String> {
    if value.is_empty() || is_name(value) {
        return Ok(());
    }
    Err(format!(
        "`{}` is not a value for a label; one has up to {MAX_NAME} letters, digits, `-`, `_` and `.`",
        shorten(value)
    ))
}

fn is_name(name: &str) -> bool {
    let outer = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    name.len() <= MAX_NAME
        && outer(name.as_bytes().first())
        && outer(name.as_bytes().last())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// Whether a text is a DNS subdomain in lower case, as Kubernetes has it (`IsDNS1123Subdomain`): only the whole has a length.
pub(in crate::admission) fn is_subdomain(text: &str) -> bool {
    text.len() <= MAX_PREFIX && text.split('.').all(is_part)
}

/// Whether a text is a DNS label (RFC 1123), in lower case.
pub(in crate::admission) fn is_label(text: &str) -> bool {
    text.len() <= MAX_NAME && is_part(text)
}

fn is_part(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    !text.is_empty()
        && text.bytes().all(|byte| letter(byte) || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}
