//! Where modules and data come from.

use std::collections::BTreeMap;

use portcullis_policy::{FILE, Node, NodeError, Place, Value};
use portcullis_rego::{Data, Module, Value as Rego, read_serde};

use crate::admission::hooks::at::{At, Faults, describe, shorten};

/// The modules and data of some documents.
#[derive(Debug, Default)]
pub(super) struct Loose {
    pub(super) modules: Vec<Found>,
    pub(super) data: Data,
}

/// A module, and where it was found.
#[derive(Debug)]
pub(super) struct Found {
    /// What faults call it: a file, or namespace, name and key of a ConfigMap, as kube-mgmt calls modules.
    pub(super) name: String,
    /// The way to it in its document.
    pub(super) path: String,
    /// The text.
    pub(super) text: Node,
}

/// What labels of kube-mgmt say of a ConfigMap.
enum Label {
    Policy,
    Data,
    None,
}

const POLICY_LABEL: (&str, &str) = ("openpolicyagent.org/policy", "rego");
const DATA_LABEL: (&str, &str) = ("openpolicyagent.org/data", "opa");

impl Found {
    pub(super) fn module(&self) -> Module<'_> {
        let text = match &self.text.value {
            Value::Text(text) => text.as_str(),
            _ => "",
        };
        Module { name: &self.name, text }
    }
}

/// Finds modules and data.
pub(super) fn find(documents: &[Node], claims: &[(String, String)], faults: &mut Faults) -> Loose {
    let mut loose = Loose::default();
    let config_maps_are_data = claims.iter().any(|(api, kind)| api == "v1" && kind == "ConfigMap");
    for document in documents {
        let at = At { node: document, path: String::new() };
        match (text(&at, "apiVersion"), text(&at, "kind")) {
            (Some(FILE), Some("rego")) => {
                if let Some(field) = at.field("text") {
                    let name = document.place.file.to_string();
                    loose.modules.push(Found { name, path: String::new(), text: field.node.clone() });
                }
            }
            (Some("v1"), Some("ConfigMap")) => read_config_map(&at, config_maps_are_data, &mut loose, faults),
            (Some(api), Some(kind)) if claims.iter().any(|claim| claim.0 == api && claim.1 == kind) => {
                replicate(&at, kind, &mut loose.data);
            }
            _ => {}
        }
    }
    loose
}

fn read_config_map(at: &At<'_>, are_data: bool, loose: &mut Loose, faults: &mut Faults) {
    let (namespace, name) = key_of(at);
    if name.is_empty() {
        faults.errors.push(at.error("`metadata` with a `name` is missing"));
        return;
    }
    let label = label_of(at);
    let Some(data) = at.field("data") else { return };
    for (key, field) in data.entries() {
        let Value::Text(text) = &field.node.value else {
            faults.errors.push(field.error(format!("wanted text, found {}", describe(field.node))));
            continue;
        };
        match label {
            Label::Data => match serde_json::from_str(text) {
                Ok(value) => loose.data.insert(&[&namespace, &name, key], read_serde(&value)),
                Err(error) => {
                    let line = u32::try_from(error.line()).unwrap_or(u32::MAX);
                    let column = u32::try_from(error.column()).unwrap_or(u32::MAX);
                    let place = place_within(field.node, line, column);
                    faults.errors.push(NodeError::new(&place, &field.path, format!("wanted JSON: {error}")));
                }
            },
            Label::None if key.ends_with(".js") || (are_data && !key.ends_with(".rego")) => {}
            Label::Policy | Label::None => {
                let name = format!("{}/{}/{}", shorten(&namespace), shorten(&name), shorten(key));
                if let Some(other) = loose.modules.iter().find(|other| other.name == name) {
                    let message = format!("there is a module `{name}` already, at {}; rename one", other.text.place);
                    faults.errors.push(field.error(message));
                    continue;
                }
                loose.modules.push(Found { name, path: field.path, text: field.node.clone() });
            }
        }
    }
}

fn label_of(at: &At<'_>) -> Label {
    let labels = at.field("metadata").and_then(|metadata| metadata.field("labels"));
    let has = |(key, value): (&str, &str)| {
        labels.as_ref().and_then(|labels| text(labels, key)).is_some_and(|found| found == value)
    };
    match (has(POLICY_LABEL), has(DATA_LABEL)) {
        (true, _) => Label::Policy,
        (false, true) => Label::Data,
        (false, false) => Label::None,
    }
}

/// An object of the cluster, where kube-mgmt puts it.
fn replicate(at: &At<'_>, kind: &str, data: &mut Data) {
    let (_, name) = key_of(at);
    let namespace = at.field("metadata").and_then(|metadata| text(&metadata, "namespace").map(str::to_owned));
    let resource = guess_resource(kind);
    let object = read_node(at.node);
    match namespace {
        Some(namespace) => data.insert(&["kubernetes", &resource, &namespace, &name], object),
        None => data.insert(&["kubernetes", &resource, &name], object),
    }
}

/// The plural of a kind, as Kubernetes guesses it (apimachinery, `UnsafeGuessKindToResource`).
fn guess_resource(kind: &str) -> String {
    let kind = kind.to_lowercase();
    match kind.strip_suffix('y') {
        _ if kind == "endpoints" => kind,
        _ if kind.ends_with('s') => kind + "es",
        Some(stem) => format!("{stem}ies"),
        None => kind + "s",
    }
}

/// Namespace and name of an object.
fn key_of(at: &At<'_>) -> (String, String) {
    let metadata = at.field("metadata");
    let read = |field| metadata.as_ref().and_then(|metadata| text(metadata, field)).unwrap_or_default().to_owned();
    let namespace = Some(read("namespace")).filter(|namespace| !namespace.is_empty());
    (namespace.unwrap_or_else(|| "default".to_owned()), read("name"))
}

fn text<'n>(at: &At<'n>, field: &str) -> Option<&'n str> {
    match at.field(field).map(|at| &at.node.value) {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    }
}

/// A document as a value of Rego. The loader of documents bounds how deep they are.
fn read_node(node: &Node) -> Rego {
    match &node.value {
        Value::Null => Rego::Null,
        Value::Bool(value) => Rego::Bool(*value),
        Value::Integer(value) => Rego::from(*value),
        Value::Float(value) => Rego::from(*value),
        Value::Text(text) => Rego::from(text.as_str()),
        Value::List(items) => Rego::from(items.iter().map(read_node).collect::<Vec<_>>()),
        Value::Map(entries) => Rego::from(
            entries
                .iter()
                .map(|entry| (Rego::from(entry.key.as_str()), read_node(&entry.value)))
                .collect::<BTreeMap<_, _>>(),
        ),
    }
}

/// The place of a row and column of a text: of a file that is all text, and of a block scalar in YAML, which is placed where its
/// first line begins. Of another text the place is all that can be told.
pub(in crate::admission) fn place_within(text: &Node, row: u32, column: u32) -> Place {
    let mut place = text.place.clone();
    if row == 0 {
        return place;
    }
    let is_block = matches!(&text.value, Value::Text(text) if text.contains('\n'));
    if place.line == 0 {
        (place.line, place.column) = (row, column.max(1));
    } else if is_block {
        place.line = place.line.saturating_add(row.saturating_sub(1));
        place.column = place.column.saturating_add(column.saturating_sub(1));
    }
    place
}
