//! Labels of endpoints and peers, with Cilium's sources.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;

use crate::order;

/// The label that names the namespace of a Kubernetes endpoint.
pub(crate) const NAMESPACE_KEY: &str = "io.kubernetes.pod.namespace";
/// Labels of the namespace itself: a selector that has one chooses its namespaces by it.
pub(crate) const NAMESPACE_LABELS_PREFIX: &str = "io.cilium.k8s.namespace.labels.";
/// The source of the labels of what is no workload: `reserved:world`, `reserved:host`, …
pub(crate) const RESERVED: &str = "reserved";
/// The namespace of policies and endpoints that name none, as in Kubernetes.
pub(crate) const DEFAULT_NAMESPACE: &str = "default";

/// One label: `source:key=value`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label {
    /// Who gave the label: `k8s`, `reserved`, …; empty if nobody said.
    pub source: String,
    /// The key.
    pub key: String,
    /// The value; may be empty.
    pub value: String,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.source.is_empty() {
            write!(f, "{}:", self.source)?;
        }
        f.write_str(&self.key)?;
        if !self.value.is_empty() {
            write!(f, "={}", self.value)?;
        }
        Ok(())
    }
}

/// Labels of an endpoint or a peer. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>")]
pub struct Labels(Arc<[Label]>);

/// Labels that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// A key is empty or only a source.
    #[error("the label key `{0}` is empty; write `key` or `source:key`")]
    EmptyKey(String),
    /// The source `any` is for selectors.
    #[error("the label `{0}` has the source `any`, which only selectors may use; leave it out")]
    AnySource(String),
    /// The same source and key twice.
    #[error("the label `{0}` is given twice")]
    Twice(String),
}

impl Labels {
    /// Labels from keys such as `app` or `k8s:app` with their values.
    ///
    /// # Errors
    /// An empty key, the source `any`, or the same label twice.
    pub fn new<K: AsRef<str>, V: Into<String>>(pairs: impl IntoIterator<Item = (K, V)>) -> Result<Self, LabelError> {
        let mut labels = Vec::new();
        for (name, value) in pairs {
            let name = name.as_ref();
            let (source, key) = split_key(name);
            if key.is_empty() {
                return Err(LabelError::EmptyKey(name.to_owned()));
            }
            if source == "any" {
                return Err(LabelError::AnySource(name.to_owned()));
            }
            labels.push(Label { source: source.to_owned(), key: key.to_owned(), value: value.into() });
        }
        order::sort(&mut labels);
        let twice = labels.iter().zip(labels.iter().skip(1)).find(|(a, b)| (&a.source, &a.key) == (&b.source, &b.key));
        match twice {
            Some((label, _)) => Err(LabelError::Twice(label.key.clone())),
            None => Ok(Self(labels.into())),
        }
    }

    /// `reserved:world`: whoever nothing names.
    pub fn world() -> Self {
        Self::reserved("world")
    }

    /// The labels of an entity: `reserved:host`, `reserved:health`, …
    pub fn reserved(entity: &str) -> Self {
        Self([Label { source: RESERVED.to_owned(), key: entity.to_owned(), value: String::new() }].into())
    }

    /// All labels, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &Label> {
        self.0.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The namespace that a label names.
    pub(crate) fn named_namespace(&self) -> Option<&str> {
        self.iter()
            .find(|label| label.key == NAMESPACE_KEY && label.source != RESERVED)
            .map(|label| label.value.as_str())
    }

    /// The namespace this endpoint is in: the one that it names, or the default one; what is reserved is in none.
    pub(crate) fn namespace(&self) -> Option<&str> {
        match self.named_namespace() {
            None if self.iter().any(|label| label.source == RESERVED) => None,
            named => Some(named.unwrap_or(DEFAULT_NAMESPACE)),
        }
    }

    /// Whether this is outside of the cluster.
    pub(crate) fn is_world(&self) -> bool {
        self.has_reserved("world") || self.has_reserved("world-ipv4") || self.has_reserved("world-ipv6")
    }

    pub(crate) fn has_reserved(&self, entity: &str) -> bool {
        self.iter().any(|label| label.source == RESERVED && label.key == entity)
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self([].into())
    }
}

impl TryFrom<BTreeMap<String, String>> for Labels {
    type Error = LabelError;

    fn try_from(pairs: BTreeMap<String, String>) -> Result<Self, LabelError> {
        Self::new(pairs)
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, label) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str(",")?;
            }
            label.fmt(f)?;
        }
        Ok(())
    }
}

/// Splits `source:key`; the source is empty where there is none.
pub(crate) fn split_key(name: &str) -> (&str, &str) {
    name.split_once(':').unwrap_or(("", name))
}
