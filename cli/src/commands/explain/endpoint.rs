//! Whom a listener protects, by the policies that are asked about: the access log does not say it.

use std::collections::BTreeMap;

use portcullis_policy::{Entry, Node, Source, Value};

use crate::edit::tree::{entries, get, list, text};
use crate::judge::Who;

/// Finds the labels that all policies select, if they select the same by labels alone.
///
/// # Errors
/// What is selected instead, as it can be given on the command line.
pub(super) fn guess(sources: &[Source]) -> Result<Who, Vec<String>> {
    let mut found: Vec<BTreeMap<String, String>> = Vec::new();
    let mut clear = true;
    let documents = sources.iter().filter_map(|source| Node::load(&source.name, &source.text).ok()).flatten();
    for document in documents {
        let objects = match get(&document, "items") {
            Some(items) => list(Some(items)),
            None => std::slice::from_ref(&document),
        };
        for object in objects {
            let metadata = get(object, "metadata");
            let namespace =
                metadata.and_then(|metadata| text(get(metadata, "namespace"))).filter(|text| !text.is_empty());
            let more = list(get(object, "specs"));
            for spec in get(object, "spec").into_iter().chain(more) {
                let Some(selector) = get(spec, "endpointSelector") else { continue };
                match labels(selector, namespace) {
                    Some(labels) if found.contains(&labels) => {}
                    Some(labels) => found.push(labels),
                    None => clear = false,
                }
            }
        }
    }
    match <[_; 1]>::try_from(found) {
        Ok([only]) if clear => Ok(Who::Labels(only)),
        Ok([only]) => Err(vec![show(&only)]),
        Err(found) => Err(found.iter().map(show).collect()),
    }
}

/// The labels of an endpoint that a selector selects, where it asks for no more than labels.
fn labels(selector: &Node, namespace: Option<&str>) -> Option<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    for Entry { key, value, .. } in entries(selector) {
        match (key.as_str(), &value.value) {
            (_, Value::Null) => {}
            ("matchLabels", _) => {
                for Entry { key, value, .. } in entries(value) {
                    labels.insert(key.clone(), text(Some(value))?.to_owned());
                }
            }
            ("matchExpressions", Value::List(items)) if items.is_empty() => {}
            _ => return None,
        }
    }
    if let Some(namespace) = namespace
        && !labels.keys().any(|key| key.ends_with(NAMESPACE))
    {
        labels.insert(format!("k8s:{NAMESPACE}"), namespace.to_owned());
    }
    Some(labels)
}

fn show(labels: &BTreeMap<String, String>) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// The label of a namespace.
const NAMESPACE: &str = "io.kubernetes.pod.namespace";
