//! A node of a document with the way to it, and the faults that are found on the way.

use portcullis_policy::{Node, NodeError, Value};
use serde_json::{Map, Value as Json};

/// What is wrong with documents, and what is probably not meant.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) errors: Vec<NodeError>,
    pub(super) warnings: Vec<NodeError>,
}

impl Faults {
    pub(super) fn refuse(&mut self, at: &At<'_>, message: impl Into<String>) {
        self.errors.push(at.error(message));
    }

    pub(super) fn warn(&mut self, at: &At<'_>, message: impl Into<String>) {
        self.warnings.push(at.error(message));
    }
}

/// A node and the way to it: `K8sRequiredLabels/ns-must-have-hr: spec.parameters.labels[0]`.
#[derive(Clone, Debug)]
pub(super) struct At<'n> {
    pub(super) node: &'n Node,
    pub(super) path: String,
}

impl<'n> At<'n> {
    pub(super) fn whole(node: &'n Node) -> Self {
        Self { node, path: String::new() }
    }

    pub(super) fn error(&self, message: impl Into<String>) -> NodeError {
        NodeError::new(&self.node.place, &self.path, message)
    }

    /// A field that is there and is not null.
    pub(super) fn field(&self, name: &str) -> Option<Self> {
        self.any_field(name).filter(|at| !matches!(at.node.value, Value::Null))
    }

    /// A field that is there, perhaps null.
    pub(super) fn any_field(&self, name: &str) -> Option<Self> {
        let Value::Map(entries) = &self.node.value else { return None };
        let entry = entries.iter().find(|entry| entry.key == name)?;
        Some(self.within(name, &entry.value))
    }

    /// A field in a field.
    pub(super) fn descend(&self, path: &[&str]) -> Option<Self> {
        path.iter().try_fold(self.clone(), |at, name| at.field(name))
    }

    pub(super) fn within(&self, name: &str, node: &'n Node) -> Self {
        // An object's kind and name come first, and have a slash between them.
        let dot = match &*self.path {
            "" => "",
            path if path.contains('/') && !path.contains(": ") => ": ",
            _ => ".",
        };
        Self { node, path: format!("{}{dot}{}", self.path, shorten(name)) }
    }

    /// The entries of a map; none if it is no map.
    pub(super) fn entries(&self) -> Vec<(&'n str, Self)> {
        let Value::Map(entries) = &self.node.value else { return Vec::new() };
        entries.iter().map(|entry| (entry.key.as_str(), self.within(&entry.key, &entry.value))).collect()
    }

    /// The items of a list; none if it is no list.
    pub(super) fn items(&self) -> Vec<Self> {
        let Value::List(items) = &self.node.value else { return Vec::new() };
        let at = |(n, node)| Self { node, path: format!("{}[{n}]", self.path) };
        items.iter().enumerate().map(at).collect()
    }

    pub(super) fn text(&self) -> Option<&'n str> {
        match &self.node.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The text here, or a fault.
    pub(super) fn need_text(&self, faults: &mut Faults) -> Option<&'n str> {
        let text = self.text();
        if text.is_none() {
            faults.refuse(self, format!("wanted a text, found {}", describe(self.node)));
        }
        text
    }

    /// The list here, or a fault.
    pub(super) fn need_items(&self, faults: &mut Faults) -> Vec<Self> {
        if !matches!(self.node.value, Value::List(_)) {
            faults.refuse(self, format!("wanted a list, found {}", describe(self.node)));
        }
        self.items()
    }

    /// The texts of the list here.
    pub(super) fn need_texts(&self, faults: &mut Faults) -> Vec<(&'n str, Self)> {
        let items = self.need_items(faults);
        items.into_iter().filter_map(|at| Some((at.need_text(faults)?, at))).collect()
    }

    /// Whether it is a map; a fault if not.
    pub(super) fn need_map(&self, faults: &mut Faults) -> bool {
        let is = matches!(self.node.value, Value::Map(_));
        if !is {
            faults.refuse(self, format!("wanted a map, found {}", describe(self.node)));
        }
        is
    }

    /// A text in a field; empty where it is not there.
    pub(super) fn text_field(&self, name: &str, faults: &mut Faults) -> &'n str {
        self.field(name).and_then(|at| at.need_text(faults)).unwrap_or_default()
    }

    /// The fields of a map that are none of these.
    pub(super) fn unknown<'a>(&self, known: &'a [&str]) -> impl Iterator<Item = NodeError> + use<'a, 'n> {
        let path = self.path.clone();
        let entries = match &self.node.value {
            Value::Map(entries) => entries.as_slice(),
            _ => &[],
        };
        entries.iter().filter(|entry| !known.contains(&entry.key.as_str())).map(move |entry| {
            let message = format!("unknown field `{}`; {}", shorten(&entry.key), allowed(known));
            NodeError::new(&entry.place, &path, message)
        })
    }

    /// Checks that this is a map of known fields that are not null. Says whether it is a map.
    pub(super) fn check_fields(&self, known: &[&str], faults: &mut Faults) -> bool {
        if !self.need_map(faults) {
            return false;
        }
        faults.errors.extend(self.unknown(known));
        for (_, at) in self.entries() {
            if matches!(at.node.value, Value::Null) {
                faults.refuse(&at, "it is null; write a value, or leave it out");
            }
        }
        true
    }
}

/// The node as JSON. It is no deeper than documents may be.
pub(super) fn to_json(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Bool(it) => Json::Bool(*it),
        Value::Integer(it) => Json::from(*it),
        Value::Float(it) => Json::from(*it),
        Value::Text(it) => Json::from(it.as_str()),
        Value::List(items) => items.iter().map(to_json).collect(),
        Value::Map(entries) => {
            let entries = entries.iter().map(|entry| (entry.key.clone(), to_json(&entry.value)));
            Json::Object(entries.collect::<Map<_, _>>())
        }
    }
}

/// What would be right, for a message.
pub(super) fn allowed(names: &[&str]) -> String {
    match names {
        [] => "there is none".to_owned(),
        [one] => format!("allowed is `{one}`"),
        more => format!("allowed are `{}`", more.join("`, `")),
    }
}

/// What a node is, for messages.
pub(super) fn describe(node: &Node) -> String {
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

/// Text of a document as it may stand in a one-line message: cut and escaped.
pub(super) fn shorten(text: &str) -> String {
    /// Long enough to recognise what one wrote, short enough for one line of a log.
    const MAX_QUOTED: usize = 80;
    let mut out: String = text.chars().take(MAX_QUOTED).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX_QUOTED).is_some() {
        out.push('…');
    }
    out
}

/// Whether a text is a DNS subdomain (RFC 1123), as names of objects are: Kubernetes, "Object Names and IDs".
pub(super) fn is_subdomain(text: &str) -> bool {
    const MAX: usize = 253;
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| letter(byte) || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= MAX && text.split('.').all(label)
}
