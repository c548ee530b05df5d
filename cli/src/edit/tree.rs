//! Looks into the tree of an object, whatever is wrong with it.

use portcullis_policy::{Entry, Node, Value};

/// The entries of a map, and none of what is none.
pub(crate) fn entries(node: &Node) -> &[Entry] {
    match &node.value {
        Value::Map(entries) => entries,
        _ => &[],
    }
}

/// What a map has under a key.
pub(crate) fn get<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    entries(node).iter().find(|entry| entry.key == key).map(|entry| &entry.value)
}

/// The items of a list, and none of what is none.
pub(crate) fn list(node: Option<&Node>) -> &[Node] {
    match node.map(|node| &node.value) {
        Some(Value::List(items)) => items,
        _ => &[],
    }
}

/// A text, where it is one.
pub(crate) fn text(node: Option<&Node>) -> Option<&str> {
    match node.map(|node| &node.value) {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    }
}

/// Whether it is null.
pub(crate) fn is_null(node: &Node) -> bool {
    matches!(node.value, Value::Null)
}

/// Whether it is null or the empty text.
pub(crate) fn is_empty(node: &Node) -> bool {
    is_null(node) || matches!(&node.value, Value::Text(text) if text.is_empty())
}
