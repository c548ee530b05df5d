//! Label selectors, with Cilium's prefixes and Kubernetes' operators.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use crate::identity::{DEFAULT_NAMESPACE, Label, Labels, NAMESPACE_KEY, NAMESPACE_LABELS_PREFIX, RESERVED, split_key};
use crate::order;

/// Whom a selector can select at all.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// Everybody: the selector names reserved labels, or says itself which namespaces it means.
    Everything,
    /// The endpoints of the cluster, in any namespace.
    Endpoints,
    /// The endpoints of one namespace.
    Namespace(String),
}

/// Conditions that must all hold. Two selectors that were written differently and mean the same are mostly equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Selector {
    scope: Scope,
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Condition {
    /// Empty: any source.
    source: String,
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
}

/// The conditions as they are written, before it is known where the policy lives.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Written")]
pub(crate) struct Conditions(Vec<Condition>);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    match_labels: Option<BTreeMap<String, String>>,
    match_expressions: Option<Vec<Expression>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expression {
    key: String,
    operator: Operator,
    values: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

impl TryFrom<Written> for Conditions {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let labels = written.match_labels.unwrap_or_default().into_iter();
        let labels = labels.map(|(key, value)| Condition::new(&key, Test::In(vec![value])));
        let expressions = written.match_expressions.unwrap_or_default().into_iter().map(Condition::try_from);
        let mut conditions = labels.chain(expressions).collect::<Result<Vec<_>, _>>()?;
        order::sort(&mut conditions);
        conditions.dedup();
        Ok(Self(conditions))
    }
}

impl TryFrom<Expression> for Condition {
    type Error = String;

    fn try_from(Expression { key, operator, values }: Expression) -> Result<Self, String> {
        let mut values = values.unwrap_or_default();
        order::sort(&mut values);
        values.dedup();
        let test = match (operator, values.is_empty()) {
            (Operator::In, false) => Test::In(values),
            (Operator::NotIn, false) => Test::NotIn(values),
            (Operator::Exists, true) => Test::Exists,
            (Operator::DoesNotExist, true) => Test::Absent,
            (Operator::In | Operator::NotIn, true) => {
                return Err(format!("the operator `{operator:?}` needs `values`"));
            }
            (Operator::Exists | Operator::DoesNotExist, false) => {
                return Err(format!("the operator `{operator:?}` takes no `values`; use `In` or `NotIn`"));
            }
        };
        Self::new(&key, test)
    }
}

impl Condition {
    fn new(name: &str, test: Test) -> Result<Self, String> {
        let (source, key) = split_key(name);
        if key.is_empty() {
            let name = crate::node::shorten(name);
            return Err(format!(
                "the label key `{name}` is empty; write `key`, `k8s:key`, `any:key` or `reserved:key`"
            ));
        }
        let source = if source == "any" { "" } else { source };
        Ok(Self { source: source.to_owned(), key: key.to_owned(), test })
    }

    fn matches(&self, labels: &Labels, namespace: Option<&str>) -> bool {
        match &self.test {
            Test::In(values) => self.values(labels, namespace).any(|found| holds(values, found)),
            Test::NotIn(values) => !self.values(labels, namespace).any(|found| holds(values, found)),
            Test::Exists => self.values(labels, namespace).next().is_some(),
            Test::Absent => self.values(labels, namespace).next().is_none(),
        }
    }

    /// The values that the labels have for the key: several only if several sources gave one.
    fn values<'l>(&self, labels: &'l Labels, namespace: Option<&'l str>) -> impl Iterator<Item = &'l str> {
        let implied = namespace.filter(|_| self.is_namespace() && labels.named_namespace().is_none());
        labels.iter().filter(|label| self.speaks_of(label)).map(|label| label.value.as_str()).chain(implied)
    }

    /// Whether what fulfils the other fulfils this.
    fn follows_from(&self, other: &Self) -> bool {
        if self == other {
            return true;
        }
        // Of a label with a source, what is demanded of any source is fulfilled, too; not the other way round.
        let same = self.key == other.key && (self.source.is_empty() || self.source == other.source);
        same && match (&self.test, &other.test) {
            (Test::In(wide), Test::In(narrow)) => narrow.iter().all(|value| holds(wide, value)),
            (Test::Exists, Test::In(_) | Test::Exists) => true,
            _ => false,
        }
    }

    /// Whether nothing fulfils both. Labels of several sources may have several values: only one source can contradict.
    fn contradicts(&self, other: &Self) -> bool {
        if self.key != other.key || self.source != other.source {
            return false;
        }
        match (&self.test, &other.test) {
            (Test::Absent, Test::In(_) | Test::Exists) | (Test::In(_) | Test::Exists, Test::Absent) => true,
            (Test::In(these), Test::NotIn(those)) | (Test::NotIn(those), Test::In(these)) => {
                these.iter().all(|value| holds(those, value))
            }
            (Test::In(these), Test::In(those)) if !self.source.is_empty() => {
                !these.iter().any(|value| holds(those, value))
            }
            _ => false,
        }
    }

    /// A label whose source nobody gave counts as one from Kubernetes.
    fn speaks_of(&self, label: &Label) -> bool {
        let source = if label.source.is_empty() { "k8s" } else { &label.source };
        self.key == label.key && (self.source.is_empty() || self.source == source)
    }

    fn is_namespace(&self) -> bool {
        self.key == NAMESPACE_KEY && matches!(self.source.as_str(), "" | "k8s")
    }

    fn chooses_namespaces(&self) -> bool {
        self.is_namespace()
            || (self.key.starts_with(NAMESPACE_LABELS_PREFIX) && matches!(self.source.as_str(), "" | "k8s"))
    }
}

fn holds(sorted: &[String], value: &str) -> bool {
    sorted.binary_search_by(|have| have.as_str().cmp(value)).is_ok()
}

impl Conditions {
    /// A selector of peers: what names no namespace means the policy's own.
    pub(crate) fn for_peers(self, namespace: Option<&str>) -> Selector {
        let says_itself = |condition: &Condition| condition.source == RESERVED || condition.chooses_namespaces();
        let scope = match namespace {
            _ if self.0.iter().any(says_itself) => Scope::Everything,
            Some(namespace) => Scope::Namespace(namespace.to_owned()),
            None => Scope::Endpoints,
        };
        Selector { scope, conditions: self.0 }
    }

    /// A selector of the endpoints that a policy protects, which are those of its namespace.
    ///
    /// # Errors
    /// It asks for another namespace.
    pub(crate) fn for_subject(self, namespace: Option<&str>) -> Result<Selector, String> {
        let Some(namespace) = namespace else {
            return Ok(Selector { scope: Scope::Everything, conditions: self.0 });
        };
        let elsewhere = |condition: &&Condition| {
            let own = matches!(&condition.test, Test::In(values) if holds(values, namespace));
            condition.is_namespace() && !own
        };
        if self.0.iter().any(|condition| elsewhere(&condition)) {
            return Err(format!(
                "selects endpoints outside of the policy's namespace `{namespace}`, which it cannot; \
                 move the policy, or make it a CiliumClusterwideNetworkPolicy"
            ));
        }
        Ok(Selector { scope: Scope::Namespace(namespace.to_owned()), conditions: self.0 })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.conditions.is_empty() {
            f.write_str("any endpoint")?;
        }
        for (n, Condition { source, key, test }) in self.conditions.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            let colon = if source.is_empty() { "" } else { ":" };
            match test {
                Test::In(values) if values.len() == 1 => write!(f, "{comma}{source}{colon}{key}={}", values.concat())?,
                Test::In(values) => write!(f, "{comma}{source}{colon}{key} in ({})", values.join(", "))?,
                Test::NotIn(values) => write!(f, "{comma}{source}{colon}{key} not in ({})", values.join(", "))?,
                Test::Exists => write!(f, "{comma}{source}{colon}{key}")?,
                Test::Absent => write!(f, "{comma}no {source}{colon}{key}")?,
            }
        }
        match &self.scope {
            Scope::Namespace(namespace) => write!(f, " in namespace {namespace}"),
            Scope::Everything | Scope::Endpoints => Ok(()),
        }
    }
}

impl Selector {
    pub(crate) fn matches(&self, labels: &Labels) -> bool {
        let namespace = labels.namespace();
        let scope = match &self.scope {
            Scope::Everything => true,
            Scope::Endpoints => namespace.is_some(),
            Scope::Namespace(wanted) => namespace == Some(wanted),
        };
        scope && self.conditions.iter().all(|condition| condition.matches(labels, namespace))
    }

    /// Whether whatever the other selects is selected by this, as far as can be told.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let scope = match (&self.scope, &other.scope) {
            (Scope::Everything, _) | (Scope::Endpoints, Scope::Endpoints | Scope::Namespace(_)) => true,
            (mine, theirs) => mine == theirs,
        };
        scope && self.conditions.iter().all(|wide| other.conditions.iter().any(|narrow| wide.follows_from(narrow)))
    }

    /// Whether it selects endpoints of the cluster only.
    pub(crate) fn is_of_endpoints(&self) -> bool {
        self.scope != Scope::Everything
    }

    /// The selectors with one condition of this one at most: what may cover it. Few, and found by looking them up.
    pub(crate) fn wider(&self) -> impl Iterator<Item = Self> {
        let scopes = [self.scope.clone(), Scope::Endpoints, Scope::Everything];
        scopes.into_iter().flat_map(|scope| {
            let none = Self { scope: scope.clone(), conditions: Vec::new() };
            let one = self
                .conditions
                .iter()
                .map(move |condition| Self { scope: scope.clone(), conditions: vec![condition.clone()] });
            std::iter::once(none).chain(one)
        })
    }

    /// Whether no labels fulfil all conditions.
    pub(crate) fn is_contradictory(&self) -> bool {
        self.conditions
            .iter()
            .enumerate()
            .any(|(n, one)| self.conditions.iter().skip(n.saturating_add(1)).any(|other| one.contradicts(other)))
    }

    /// The labels of which any matching endpoint has one, by several choices: each choice is a key with its values.
    pub(crate) fn anchors(&self) -> impl Iterator<Item = (&str, &[String])> {
        let scope = match &self.scope {
            Scope::Namespace(namespace) => Some((NAMESPACE_KEY, std::slice::from_ref(namespace))),
            Scope::Everything | Scope::Endpoints => None,
        };
        let conditions = self.conditions.iter().filter_map(|condition| match &condition.test {
            Test::In(values) => Some((condition.key.as_str(), values.as_slice())),
            Test::NotIn(_) | Test::Exists | Test::Absent => None,
        });
        conditions.chain(scope)
    }
}

/// The namespace of a namespaced policy that names none.
pub(crate) const fn default_namespace() -> &'static str {
    DEFAULT_NAMESPACE
}
