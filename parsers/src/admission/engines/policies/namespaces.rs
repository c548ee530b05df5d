//! Namespaces that are known from documents.

use std::collections::BTreeMap;

use portcullis_policy::Node;

use crate::admission::hooks::at::{At, Reader, shorten};
use crate::admission::hooks::context::{Entry, Keyed, Metadata};
use crate::admission::json::{Document, Value};

use super::params::to_document;
use super::read::need_text;

/// The label that each namespace has, whoever made it: its name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// What is known of namespaces.
#[derive(Debug, Default)]
pub(super) struct Namespaces(BTreeMap<String, Document>);

impl Namespaces {
    /// Adds an object.
    pub(super) fn add(&mut self, document: &Node, reader: &mut Reader) {
        let whole = At { node: document, path: String::new() };
        let Some(metadata) = whole.field("metadata") else {
            reader.refuse(&whole, "`metadata` with a `name` is missing");
            return;
        };
        let Some((name, at)) = need_text(&metadata, "name", reader) else { return };
        match to_document(document, |object| drop_hidden(object, &name)) {
            Ok(_) if self.0.contains_key(&name) => {
                reader.refuse(&at, format!("there is a namespace `{}` already", shorten(&name)));
            }
            Ok(document) => {
                self.0.insert(name, document);
            }
            Err(why) => reader.refuse(&whole, why),
        }
    }

    /// A namespace as expressions see it.
    pub(super) fn find(&self, name: &str) -> Option<Value<'_>> {
        self.0.get(name).map(Document::root)
    }

    /// A label of a namespace. That of its name is known of all.
    pub(super) fn label(&self, name: &str, key: &str) -> Entry<'_> {
        match self.0.get(name) {
            Some(document) => Keyed::of(Some(document.root()), Metadata::Labels).get(key),
            None if key == NAME_LABEL => Entry::Text(name.to_owned().into()),
            None => Entry::Unreadable,
        }
    }
}

/// Fields of `metadata` that expressions do not see ("omitted [...] by design").
const HIDDEN: [&str; 3] = ["managedFields", "ownerReferences", "selfLink"];

/// Leaves what expressions see, and adds the label that the API server adds.
fn drop_hidden(object: &mut serde_json::Map<String, serde_json::Value>, name: &str) {
    object.retain(|key, _| matches!(key.as_str(), "metadata" | "spec" | "status"));
    // An object that the API server made has both.
    for part in ["spec", "status"] {
        object.entry(part).or_insert_with(|| serde_json::Value::Object(serde_json::Map::new()));
    }
    let Some(metadata) = object.get_mut("metadata").and_then(serde_json::Value::as_object_mut) else { return };
    metadata.retain(|key, _| !HIDDEN.contains(&key.as_str()));
    let labels = metadata.entry("labels").or_insert_with(|| serde_json::Value::Object(serde_json::Map::new()));
    if labels.is_null() {
        *labels = serde_json::Value::Object(serde_json::Map::new());
    }
    if let Some(labels) = labels.as_object_mut() {
        labels.entry(NAME_LABEL).or_insert_with(|| name.into());
    }
}
