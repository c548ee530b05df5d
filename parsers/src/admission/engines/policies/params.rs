//! Parameters: objects of the kind that a policy names, and which of them a binding wants.

use std::collections::BTreeMap;

use portcullis_policy::{Node, Value};
use serde_json::{Map, Value as Json};

use crate::admission::hooks::at::{At, Reader, shorten};
use crate::admission::hooks::context::{Keyed, Metadata};
use crate::admission::hooks::selectors::{Selector, is_label, is_subdomain};
use crate::admission::hooks::truth::Truth;
use crate::admission::json::Document;

use super::read::{check_fields, is_path_segment, need_text, selector, text, word};

/// The kind of the parameters of a policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ParamKind {
    pub(super) api_version: String,
    pub(super) kind: String,
}

impl ParamKind {
    /// Reads `paramKind`.
    pub(super) fn read(at: &At<'_>, reader: &mut Reader) -> Option<Self> {
        if !check_fields(at, &["apiVersion", "kind"], reader) {
            return None;
        }
        let api_version = need_text(at, "apiVersion", reader);
        let kind = need_text(at, "kind", reader);
        let ((api_version, at_version), (kind, at_kind)) = (api_version?, kind?);
        let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
        if (api_version.contains('/') && !is_subdomain(group)) || !is_word(version) {
            let message = format!(
                "`{}` is not an apiVersion; write one such as `v1`, or `rules.example.com/v1`",
                shorten(&api_version)
            );
            reader.refuse(&at_version, message);
        }
        if !is_word(&kind.to_ascii_lowercase()) {
            reader.refuse(&at_kind, format!("`{}` is not a kind; write one such as `ConfigMap`", shorten(&kind)));
        }
        Some(Self { api_version, kind })
    }

    /// Whether objects of the kind are in namespaces, where that is known whatever documents say.
    fn is_namespaced(&self) -> Option<bool> {
        (self.api_version == "v1").then(|| !CLUSTER_KINDS.contains(&self.kind.as_str()))
    }
}

/// Whether a text is a label of DNS that begins with a letter (`IsDNS1035Label`).
fn is_word(text: &str) -> bool {
    is_label(text) && text.starts_with(|first: char| first.is_ascii_lowercase())
}

/// Kinds of the core group that are in no namespace.
const CLUSTER_KINDS: [&str; 4] = ["Namespace", "Node", "PersistentVolume", "ComponentStatus"];

/// The namespace of what is written without one, as for kubectl.
const DEFAULT_NAMESPACE: &str = "default";

/// The parameters that documents bring along.
#[derive(Debug, Default)]
pub(super) struct Params(BTreeMap<ParamKind, Objects>);

#[derive(Debug, Default)]
struct Objects {
    namespaced: bool,
    /// By namespace and name.
    by_name: BTreeMap<(String, String), Document>,
}

impl Params {
    /// Takes all objects of a kind.
    pub(super) fn add(&mut self, kind: &ParamKind, documents: &[&Node], reader: &mut Reader) {
        let has_namespace = |node: &&Node| {
            let metadata = At { node, path: String::new() }.field("metadata");
            metadata.is_some_and(|at| at.field("namespace").is_some())
        };
        let namespaced = kind.is_namespaced().unwrap_or_else(|| documents.iter().any(has_namespace));
        let mut objects = Objects { namespaced, by_name: BTreeMap::new() };
        for document in documents {
            let whole = At { node: document, path: kind.kind.clone() };
            let Some(metadata) = whole.field("metadata") else {
                reader.refuse(&whole, "`metadata` with a `name` is missing");
                continue;
            };
            let Some((name, at)) = need_text(&metadata, "name", reader) else { continue };
            let namespace = text(&metadata, "namespace", reader).map(|(namespace, _)| namespace);
            let namespace = namespace.or_else(|| namespaced.then(|| DEFAULT_NAMESPACE.to_owned())).unwrap_or_default();
            let fill = |object: &mut Map<String, Json>| {
                if let Some(metadata) = object.get_mut("metadata").and_then(Json::as_object_mut)
                    && !namespace.is_empty()
                {
                    metadata.insert("namespace".to_owned(), namespace.as_str().into());
                }
            };
            match to_document(document, fill) {
                Ok(document) => {
                    if objects.by_name.insert((namespace, name.clone()), document).is_some() {
                        reader
                            .refuse(&at, format!("there is a `{}` `{}` already", shorten(&kind.kind), shorten(&name)));
                    }
                }
                Err(why) => reader.refuse(&whole, why),
            }
        }
        self.0.insert(kind.clone(), objects);
    }

    /// The parameters to evaluate a policy with, one after the other; a single nothing for a policy or binding without any.
    ///
    /// # Errors
    /// What the API server says of a binding that cannot be used.
    pub(super) fn collect(
        &self,
        kind: Option<&ParamKind>,
        reference: Option<&ParamRef>,
        namespace: &str,
    ) -> Result<Vec<Option<&Document>>, String> {
        // "Policy ParamKind is set, but binding does not use it. Validate with nil params"
        let (Some(kind), Some(reference)) = (kind, reference) else { return Ok(vec![None]) };
        let Some(objects) = self.0.get(kind) else { return Err("the objects of its kind are not known".to_owned()) };
        let namespace = match (objects.namespaced, reference.namespace.as_str()) {
            (false, "") => "",
            // Where no object of the kind is known, neither is whether it has a namespace.
            (false, _) if objects.by_name.is_empty() => "",
            (false, _) => {
                return Err("paramRef.namespace must not be provided for a cluster-scoped `paramKind`".to_owned());
            }
            (true, "") if namespace.is_empty() => {
                return Err(
                    "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources".to_owned()
                );
            }
            (true, "") => namespace,
            (true, own) => own,
        };
        let mut found = Vec::new();
        for ((_, name), document) in objects.by_name.iter().filter(|((own, _), _)| own == namespace) {
            let labels = || Keyed::of(Some(document.root()), Metadata::Labels);
            let wanted = match &reference.which {
                Which::Name(wanted) => Truth::from(wanted == name),
                Which::Selected(selector) => selector.test_with(|key| labels().get(key)),
            };
            match wanted {
                Truth::Yes => found.push(Some(document)),
                Truth::No => {}
                Truth::Unreadable => return Err(format!("the labels of the `{}` `{name}` cannot be read", kind.kind)),
            }
        }
        if found.is_empty() && reference.deny_without {
            return Err("no params found for policy binding with `Deny` parameterNotFoundAction".to_owned());
        }
        Ok(found)
    }
}

/// Which parameters a binding wants.
#[derive(Debug)]
pub(super) struct ParamRef {
    which: Which,
    /// Empty for that of the request.
    namespace: String,
    deny_without: bool,
}

#[derive(Debug)]
enum Which {
    Name(String),
    Selected(Selector),
}

impl ParamRef {
    /// Reads `paramRef`. Before v1beta1 what becomes of a request without parameters need not be said.
    pub(super) fn read(at: &At<'_>, is_alpha: bool, reader: &mut Reader) -> Option<Self> {
        if !check_fields(at, &["name", "namespace", "selector", "parameterNotFoundAction"], reader) {
            return None;
        }
        let name = text(at, "name", reader);
        let which = match (name, at.field("selector")) {
            (Some((name, field)), None) => {
                if !is_path_segment(&name) {
                    reader.refuse(&field, format!("`{}` is not a name of an object", shorten(&name)));
                }
                Some(Which::Name(name))
            }
            (None, Some(_)) => Some(Which::Selected(selector(at, "selector", reader))),
            (Some(_), Some(field)) => {
                reader.refuse(&field, "`name` and `selector` exclude each other; leave one of them out");
                None
            }
            (None, None) => {
                reader.refuse(at, "give `name`, or `selector`, which may be empty for all");
                None
            }
        };
        if !is_alpha {
            need_text(at, "parameterNotFoundAction", reader);
        }
        let action = word(at, "parameterNotFoundAction", &["Deny", "Allow"], reader);
        let namespace = text(at, "namespace", reader).map(|(text, _)| text).unwrap_or_default();
        Some(Self { which: which?, namespace, deny_without: action? == "Deny" })
    }
}

/// An object to look at with expressions, after a change.
///
/// # Errors
/// It is no map, or larger than a document may be.
pub(super) fn to_document(node: &Node, change: impl FnOnce(&mut Map<String, Json>)) -> Result<Document, String> {
    let Json::Object(mut object) = to_json(node) else { return Err("wanted a map".to_owned()) };
    change(&mut object);
    let text = Json::Object(object).to_string();
    Document::read(text).map_err(|error| error.to_string())
}

/// The node as JSON, as kubectl makes it of YAML: whole numbers have no point. It is no deeper than documents may be.
fn to_json(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Bool(it) => Json::Bool(*it),
        Value::Integer(it) => Json::from(*it),
        Value::Float(it) if it.fract() == 0.0 && it.abs() < MAX_WHOLE => Json::from(*it as i64),
        Value::Float(it) => Json::from(*it),
        Value::Text(it) => Json::from(it.as_str()),
        Value::List(items) => items.iter().map(to_json).collect(),
        Value::Map(entries) => {
            let entries = entries.iter().map(|entry| (entry.key.clone(), to_json(&entry.value)));
            Json::Object(entries.collect())
        }
    }
}

/// Whole numbers up to this are exact in both forms: 2⁵³.
const MAX_WHOLE: f64 = 9_007_199_254_740_992.0;
