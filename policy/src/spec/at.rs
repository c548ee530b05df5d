//! A node of a document with the way to it, and how it is read with all its faults noted.

use serde::de::DeserializeOwned;

use super::fields::{Field, Reading};
use super::leaves::Mode;
use crate::l7::Dialect;
use crate::lint::Lint;
use crate::node::{Node, NodeError, Value, shorten};
use crate::problems::Problems;

/// A node and the way to it.
pub(super) struct At<'n> {
    pub(super) node: &'n Node,
    pub(super) path: String,
    pub(super) dialect: Dialect,
}

impl<'n> At<'n> {
    pub(super) fn error(&self, message: impl Into<String>) -> NodeError {
        NodeError::new(&self.node.place, &self.path, message)
    }

    /// A field that is there; a null is as good as absent.
    pub(super) fn field(&self, name: &str) -> Option<At<'n>> {
        let node = self.node.entry(name).filter(|node| !matches!(node.value, Value::Null))?;
        // The name of the object ends with a slash: what is in it follows without a dot.
        let dot = if self.path.is_empty() || self.path.ends_with('/') { "" } else { "." };
        Some(At { node, path: format!("{}{dot}{name}", self.path), dialect: self.dialect })
    }

    /// The mode that is written here, or else the one that holds further out.
    pub(super) fn is_audit(&self, outer: bool, problems: &mut Problems) -> bool {
        match self.read_field::<Mode>("mode", problems) {
            Some(mode) => mode == Mode::Audit,
            None => outer,
        }
    }

    /// What works in one dialect and is probably not meant, and is refused in the other.
    pub(super) fn doubt(&self, lint: Lint, message: &str, problems: &mut Problems) {
        match self.dialect {
            Dialect::Cilium => problems.warn(lint, self.error(message)),
            Dialect::Strict => problems.add(self.error(message)),
        }
    }

    pub(super) fn items(&self, problems: &mut Problems) -> Vec<At<'n>> {
        let Value::List(items) = &self.node.value else {
            problems.add(self.error(format!("wanted a list, found {}", self.node.describe())));
            return Vec::new();
        };
        let at = |(n, node)| At { node, path: format!("{}[{n}]", self.path), dialect: self.dialect };
        items.iter().enumerate().map(at).collect()
    }

    pub(super) fn read<T: DeserializeOwned>(&self, problems: &mut Problems) -> Option<T> {
        problems.note(self.node.read(self.dialect).map_err(|error| error.within(&self.path)))
    }

    pub(super) fn read_field<T: DeserializeOwned>(&self, name: &str, problems: &mut Problems) -> Option<T> {
        self.field(name)?.read(problems)
    }

    /// Checks that this is a map of known fields. What is refused is reported, too; other fields can still be read.
    pub(super) fn check_fields(&self, known: &[Field], problems: &mut Problems) -> bool {
        let Value::Map(entries) = &self.node.value else {
            problems.add(self.error(format!("wanted a map, found {}", self.node.describe())));
            return false;
        };
        for entry in entries {
            let field = known.iter().find(|field| field.name == entry.key);
            let message = match field.map(|field| (field.name, field.reading)) {
                Some((name, Reading::Refused(instead))) => format!("`{name}` cannot be enforced: {instead}"),
                Some((name, _)) if field.is_some_and(|field| field.is_read(self.dialect)) => {
                    if matches!(entry.value.value, Value::Null) {
                        let fault = |message: String| NodeError::new(&entry.place, &self.path, message);
                        match self.dialect {
                            Dialect::Cilium => {
                                let message = format!("`{name}` is null, which counts as if it were left out");
                                problems.warn(Lint::NullField, fault(message));
                            }
                            Dialect::Strict => problems.add(fault(format!("`{name}` is null; leave it out"))),
                        }
                    }
                    continue;
                }
                _ => {
                    let allowed = known.iter().filter(|field| field.is_read(self.dialect)).map(|field| field.name);
                    let allowed: Vec<_> = allowed.collect();
                    let allowed = crate::node::list_allowed(&allowed);
                    format!("unknown field `{}`; {allowed}", shorten(&entry.key))
                }
            };
            problems.add(NodeError::new(&entry.place, &self.path, message));
        }
        true
    }
}
