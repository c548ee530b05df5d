//! Objects of the cluster beside the one that is judged: `data.inventory`, and the Namespaces that selectors ask for.

use std::collections::HashMap;

use portcullis_rego::{Data, read_serde};
use serde_json::Value as Json;

use super::config::{Config, Process};
use super::read::shorten;

/// Objects of the cluster. All programs share them.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    pub(super) data: Data,
    /// Namespaces by name, as JSON.
    namespaces: HashMap<Box<str>, Box<str>>,
}

impl Inventory {
    /// Adds an object: `namespace[ns][groupVersion][kind][name]`, or `cluster[groupVersion][kind][name]`.
    ///
    /// # Errors
    /// What of it is missing that it would be found by.
    pub(super) fn add(&mut self, object: &Json, config: &Config) -> Result<(), String> {
        let text = |path: &str| object.pointer(path).and_then(Json::as_str).unwrap_or_default();
        let [api_version, kind, name, namespace] =
            ["/apiVersion", "/kind", "/metadata/name", "/metadata/namespace"].map(text);
        for (value, field) in [(api_version, "apiVersion"), (kind, "kind"), (name, "metadata.name")] {
            if value.is_empty() {
                return Err(format!("an object for the inventory has no `{field}`; write it"));
            }
        }
        let is_namespace = (api_version, kind) == ("v1", "Namespace");
        if config.excludes(Process::Sync, if is_namespace { name } else { namespace }) {
            return Ok(());
        }
        let value = read_serde(object);
        if is_namespace {
            if !has_labels_of_texts(object) {
                return Err(format!("`metadata.labels` of the Namespace `{}` is not a map of texts", shorten(name)));
            }
            self.namespaces.insert(name.into(), object.to_string().into());
        }
        if namespace.is_empty() {
            self.data.insert(&["inventory", "cluster", api_version, kind, name], value);
        } else {
            self.data.insert(&["inventory", "namespace", namespace, api_version, kind, name], value);
        }
        Ok(())
    }

    /// A Namespace, as JSON.
    pub(super) fn find_namespace(&self, name: &str) -> Option<&str> {
        self.namespaces.get(name).map(|text| &**text)
    }
}

fn has_labels_of_texts(object: &Json) -> bool {
    match object.pointer("/metadata/labels") {
        None | Some(Json::Null) => true,
        Some(Json::Object(labels)) => labels.values().all(Json::is_string),
        Some(_) => false,
    }
}
