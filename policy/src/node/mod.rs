//! A document as a tree in which every value knows its place in the file.

mod build;
mod json;
mod quoted;
mod read;
#[cfg(test)]
mod tests;
mod yaml;

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::l7::Dialect;

pub(crate) use build::MAX_FILE_BYTES;
use build::MAX_FLOW_CHARS;
pub(crate) use read::list_allowed;

/// Where something stands: for error messages and for the ids of rules.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The file's name as the operator wrote it, or what else the text came from.
    pub file: Arc<str>,
    /// Line, from 1; 0 speaks of the file as a whole.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl Place {
    /// The file as a whole.
    pub fn whole(file: &str) -> Self {
        Self { file: file.into(), line: 0, column: 0 }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.file),
            line => write!(f, "{}:{line}:{}", self.file, self.column),
        }
    }
}

/// A value with its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where the value begins.
    pub place: Place,
    /// The value.
    pub value: Value,
}

/// What a [`Node`] holds.
#[derive(Clone, Debug)]
pub enum Value {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the file. Keys are text and unique.
    Map(Vec<Entry>),
}

/// One entry of a map.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub place: Place,
    /// What it maps to.
    pub value: Node,
}

/// A value that is not what is wanted in its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {}{}{}", OneLine(.path), if .path.is_empty() { "" } else { ": " }, OneLine(.message))]
pub struct NodeError {
    /// Where.
    pub place: Place,
    /// The path to it from the node that was read: `ingress[0].toPorts[1].ports[0].port`.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl NodeError {
    /// An error at a place.
    pub fn new(place: &Place, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.clone(), path: path.into(), message: message.into() }
    }

    /// The same error seen from further out: `path` leads to the node that was read.
    #[must_use]
    pub fn within(mut self, path: &str) -> Self {
        self.path = match (path.is_empty(), self.path.is_empty()) {
            (true, _) => self.path,
            (false, true) => path.to_owned(),
            (false, false) if self.path.starts_with('[') => format!("{path}{}", self.path),
            (false, false) => format!("{path}.{}", self.path),
        };
        self
    }
}

impl Node {
    /// Reads all documents of a YAML or JSON text; empty documents are left out. `file` names the text in errors.
    ///
    /// # Errors
    /// Text that is not UTF-8 or holds NULs, is not YAML, uses anchors' aliases, tags, merge keys or a key twice, or is
    /// larger or deeper than the limits of this module.
    pub fn load(file: &str, text: &[u8]) -> Result<Vec<Self>, NodeError> {
        let file: Arc<str> = file.into();
        let text = build::check_text(&file, text)?;
        if text.trim_start().starts_with(['{', '[']) {
            match json::load(&file, text) {
                // What is flow YAML and not JSON may still be read as YAML, within that reader's limit.
                Err(error) if error.syntax && text.len() <= MAX_FLOW_CHARS => {}
                result => return result.map_err(|error| error.error),
            }
        }
        yaml::load(&file, text)
    }

    /// A file in a language of its own as a map of texts: its `text`, and what else is told of it.
    ///
    /// # Errors
    /// Text that is not UTF-8 or holds NULs.
    pub(crate) fn of_file<const N: usize>(file: &str, text: &[u8], told: [(&str, &str); N]) -> Result<Self, NodeError> {
        let text = build::check_text(&file.into(), text)?;
        Ok(Self::from_pairs(&Place::whole(file), told.into_iter().chain([("text", text)])))
    }

    /// A map of texts, such as the rules that come over the wire have.
    pub fn from_pairs<K: Into<String>, V: Into<String>>(
        place: &Place,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let entries = pairs.into_iter().map(|(key, value)| Entry {
            key: key.into(),
            place: place.clone(),
            value: Self { place: place.clone(), value: Value::Text(value.into()) },
        });
        Self { place: place.clone(), value: Value::Map(entries.collect()) }
    }

    /// Reads the node as a `T`.
    ///
    /// In [`Dialect::Cilium`] a null is the empty string where text is wanted, and `None` where an option is; in
    /// [`Dialect::Strict`] a null is refused everywhere.
    ///
    /// # Errors
    /// The first place that does not fit.
    pub fn read<T: DeserializeOwned>(&self, dialect: Dialect) -> Result<T, NodeError> {
        T::deserialize(read::Reader::new(self, dialect)).map_err(|error| error.finish(self))
    }

    /// What the node is, for messages.
    pub(crate) fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing (null)".to_owned(),
            Value::Bool(value) => format!("`{value}`"),
            Value::Integer(value) => format!("the number `{value}`"),
            Value::Float(value) => format!("the number `{value}`"),
            Value::Text(text) => format!("the text `{}`", shorten(text)),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
        }
    }

    /// The value of a key, where this is a map that has it.
    pub(crate) fn entry(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value),
            _ => None,
        }
    }
}

/// Text from a policy on its way into a log: what would begin a line of its own, or hide or reorder text, is escaped.
struct OneLine<'a>(&'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            let hides = matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
            if character.is_control() || hides {
                write!(f, "{}", character.escape_default())?;
            } else {
                write!(f, "{character}")?;
            }
        }
        Ok(())
    }
}

/// Text from a policy as it may stand in a one-line message: cut and escaped.
pub(crate) fn shorten(text: &str) -> String {
    /// Long enough to recognise what one wrote, short enough for one line of a log.
    const MAX_QUOTED: usize = 80;
    let mut out: String = text.chars().take(MAX_QUOTED).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX_QUOTED).is_some() {
        out.push('…');
    }
    out
}
