//! A node of a document with the way to it, and the faults that are found on the way.

use std::collections::BTreeMap;

use portcullis_policy::{Dialect, Node, NodeError, Place, Value};
use serde::de::DeserializeOwned;

/// What is wrong with documents, and what is probably not meant.
#[derive(Debug, Default)]
pub(in crate::admission) struct Faults {
    pub(in crate::admission) errors: Vec<NodeError>,
    pub(in crate::admission) warnings: Vec<NodeError>,
}

/// Reads one hook: what is wrong with it, and its lists.
#[derive(Debug, Default)]
pub(in crate::admission) struct Reader {
    pub(in crate::admission) faults: Faults,
    pub(in crate::admission) lists: BTreeMap<String, List>,
}

/// A list that conditions name.
#[derive(Debug)]
pub(in crate::admission) struct List {
    pub(in crate::admission) items: Vec<String>,
    pub(in crate::admission) place: Place,
    pub(in crate::admission) used: bool,
}

impl Reader {
    pub(in crate::admission) fn refuse(&mut self, at: &At<'_>, message: impl Into<String>) {
        self.faults.errors.push(at.error(message));
    }

    pub(in crate::admission) fn warn(&mut self, at: &At<'_>, message: impl Into<String>) {
        self.faults.warnings.push(at.error(message));
    }

    /// Keeps the value, or the fault.
    pub(in crate::admission) fn note<T>(&mut self, result: Result<T, NodeError>) -> Option<T> {
        result.map_err(|error| self.faults.errors.push(error)).ok()
    }

    /// A list of texts, each with its place. `{list: name}` may stand for the whole, or for items.
    pub(in crate::admission) fn strings<'n>(&mut self, at: &At<'n>) -> Vec<(String, At<'n>)> {
        if matches!(at.node.value, Value::Map(_)) {
            return self.named_list(at);
        }
        let mut out = Vec::new();
        for item in at.items(self) {
            match item.node.value {
                Value::Map(_) => out.extend(self.named_list(&item)),
                _ => out.extend(item.read::<String>(self).map(|text| (text, item))),
            }
        }
        out
    }

    fn named_list<'n>(&mut self, at: &At<'n>) -> Vec<(String, At<'n>)> {
        if !at.check_fields(&["list"], self) {
            return Vec::new();
        }
        let Some(name) = at.need::<String>("list", self) else { return Vec::new() };
        match self.lists.get_mut(&name) {
            Some(list) => {
                list.used = true;
                list.items.iter().map(|item| (item.clone(), at.clone())).collect()
            }
            None => {
                let known: Vec<_> = self.lists.keys().map(String::as_str).collect();
                let message = format!("there is no list `{}` in `spec.lists`; {}", shorten(&name), allowed(&known));
                self.refuse(at, message);
                Vec::new()
            }
        }
    }
}

/// A node and the way to it.
#[derive(Clone, Debug)]
pub(in crate::admission) struct At<'n> {
    pub(in crate::admission) node: &'n Node,
    pub(in crate::admission) path: String,
}

impl<'n> At<'n> {
    pub(in crate::admission) fn error(&self, message: impl Into<String>) -> NodeError {
        NodeError::new(&self.node.place, &self.path, message)
    }

    /// A field that is there.
    pub(in crate::admission) fn field(&self, name: &str) -> Option<Self> {
        let Value::Map(entries) = &self.node.value else { return None };
        let entry = entries.iter().find(|entry| entry.key == name)?;
        (!matches!(entry.value.value, Value::Null)).then(|| self.within(name, &entry.value))
    }

    fn within(&self, name: &str, node: &'n Node) -> Self {
        // The name of the object ends with a slash: what is in it follows without a dot.
        let dot = if self.path.is_empty() || self.path.ends_with('/') { "" } else { "." };
        Self { node, path: format!("{}{dot}{}", self.path, shorten(name)) }
    }

    /// The entries of a map; none if it is no map.
    pub(in crate::admission) fn entries(&self) -> Vec<(&'n str, Self)> {
        let Value::Map(entries) = &self.node.value else { return Vec::new() };
        entries.iter().map(|entry| (entry.key.as_str(), self.within(&entry.key, &entry.value))).collect()
    }

    /// The items of a list, of which there is at least one.
    pub(in crate::admission) fn items(&self, reader: &mut Reader) -> Vec<Self> {
        match &self.node.value {
            Value::List(items) if items.is_empty() => {
                reader.refuse(self, "an empty list; write an item, or leave the field out");
                Vec::new()
            }
            Value::List(items) => {
                let at = |(n, node)| Self { node, path: format!("{}[{n}]", self.path) };
                items.iter().enumerate().map(at).collect()
            }
            _ => {
                reader.refuse(self, format!("wanted a list, found {}", describe(self.node)));
                Vec::new()
            }
        }
    }

    pub(in crate::admission) fn read<T: DeserializeOwned>(&self, reader: &mut Reader) -> Option<T> {
        reader.note(self.node.read(Dialect::Strict).map_err(|error| error.within(&self.path)))
    }

    pub(in crate::admission) fn read_field<T: DeserializeOwned>(&self, name: &str, reader: &mut Reader) -> Option<T> {
        self.field(name)?.read(reader)
    }

    /// A field that must be there.
    pub(in crate::admission) fn need<T: DeserializeOwned>(&self, name: &str, reader: &mut Reader) -> Option<T> {
        match self.field(name) {
            Some(field) => field.read(reader),
            None => {
                reader.refuse(self, format!("the field `{name}` is missing"));
                None
            }
        }
    }

    /// Checks that this is a map of known fields that are not null. Says whether it is a map.
    pub(in crate::admission) fn check_fields(&self, known: &[&str], reader: &mut Reader) -> bool {
        let Value::Map(entries) = &self.node.value else {
            reader.refuse(self, format!("wanted a map, found {}", describe(self.node)));
            return false;
        };
        for entry in entries {
            let message = if !known.contains(&entry.key.as_str()) {
                format!("unknown field `{}`; {}", shorten(&entry.key), allowed(known))
            } else if matches!(entry.value.value, Value::Null) {
                format!("`{}` is null; write a value, or leave it out", shorten(&entry.key))
            } else {
                continue;
            };
            reader.faults.errors.push(NodeError::new(&entry.place, &self.path, message));
        }
        true
    }

    pub(in crate::admission) fn is_map(&self) -> bool {
        matches!(self.node.value, Value::Map(_))
    }
}

/// What would be right, for a message.
pub(in crate::admission) fn allowed(names: &[&str]) -> String {
    match names {
        [] => "there is none".to_owned(),
        [one] => format!("allowed is `{one}`"),
        more => format!("allowed are `{}`", more.join("`, `")),
    }
}

/// What a node is, for messages.
pub(in crate::admission) fn describe(node: &Node) -> String {
    match &node.value {
        Value::Null => "nothing (null)".to_owned(),
        Value::Bool(value) => format!("`{value}`"),
        Value::Integer(value) => format!("the number `{value}`"),
        Value::Float(value) => format!("the number `{value}`"),
        Value::Text(text) => format!("the text `{}`", shorten(text)),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a map".to_owned(),
    }
}

/// Text of a hook as it may stand in a one-line message: cut and escaped.
pub(in crate::admission) fn shorten(text: &str) -> String {
    /// Long enough to recognise what one wrote, short enough for one line of a log.
    const MAX_QUOTED: usize = 80;
    let mut out: String = text.chars().take(MAX_QUOTED).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX_QUOTED).is_some() {
        out.push('…');
    }
    out
}
