//! Reads the document of a hook, and finds all that is wrong with it.

use std::collections::BTreeMap;

use portcullis_policy::{Node, Value};

use super::at::{At, Faults, List, Reader, shorten};
use super::decide::{Requirement, Rule};
use super::hook::Hook;
use super::lints;
use super::mutate::Mutation;
use super::rules;
use super::selectors::{Selector, check_key, is_label, is_subdomain};
use super::spec::{LabelSelector, Spec};
use super::template::Template;
use super::testing::Test;
use crate::admission::engines::{Libraries, NAMES, Named};

const FIELDS: [&str; 24] = [
    "uri",
    "webhookName",
    "doc",
    "failurePolicy",
    "matchPolicy",
    "sideEffects",
    "timeoutSeconds",
    "reinvocationPolicy",
    "rules",
    "namespaceSelector",
    "objectSelector",
    "targets",
    "mode",
    "onError",
    "lists",
    "auditAnnotations",
    "validate",
    "decide",
    "mutate",
    "rego",
    "gatekeeper",
    "validatingAdmissionPolicies",
    "javascript",
    "tests",
];

/// Whether a document is of a kind.
pub(super) fn is_of(node: &Node, (api_version, kind): (&str, &str)) -> bool {
    let is = |name, wanted: &str| {
        let field = At { node, path: String::new() }.field(name);
        matches!(field.map(|at| &at.node.value), Some(Value::Text(text)) if text == wanted)
    };
    is("apiVersion", api_version) && is("kind", kind)
}

/// Reads a hook. What is wrong is added to the faults; then the hook is not to be used.
pub(super) fn read(document: &Node, libraries: &Libraries, faults: &mut Faults) -> Option<Hook> {
    let mut reader = Reader { faults: std::mem::take(faults), ..Reader::default() };
    let hook = read_hook(document, libraries, &mut reader);
    *faults = reader.faults;
    hook
}

fn read_hook(document: &Node, libraries: &Libraries, reader: &mut Reader) -> Option<Hook> {
    let whole = At { node: document, path: String::new() };
    whole.check_fields(&["apiVersion", "kind", "metadata", "spec"], reader);
    let Some(metadata) = whole.field("metadata") else {
        reader.refuse(&whole, "`metadata` with a `name` is missing");
        return None;
    };
    metadata.check_fields(&["name"], reader);
    let name: String = metadata.need("name", reader)?;
    if !is_label(&name) {
        let message = format!(
            "`{}` is not a name for a hook; one has up to 63 letters in lower case, digits and `-`",
            shorten(&name)
        );
        reader.refuse(&metadata, message);
    }
    let named = At { node: document, path: format!("{}/", shorten(&name)) };
    let Some(at) = named.field("spec") else {
        reader.refuse(&named, "the field `spec` is missing");
        return None;
    };
    if !at.check_fields(&FIELDS, reader) {
        return None;
    }
    read_lists(&at, reader);
    let uri = read_uri(&at, reader);
    let (written_rules, rules) = read_rules(&at, reader).into_iter().unzip();
    let (namespace_selector, namespaces) = read_selector(&at, "namespaceSelector", reader);
    let (object_selector, objects) = read_selector(&at, "objectSelector", reader);
    let items = |name, reader: &mut Reader| at.field(name).map(|list| list.items(reader)).unwrap_or_default();

    let validate = items("validate", reader).iter().filter_map(|item| Requirement::read(item, reader)).collect();
    let decided = items("decide", reader);
    let decide: Vec<_> = decided.iter().map(|item| Rule::read(item, reader)).collect();
    lints::check_reachable(&decided, &decide, reader);
    let mutate: Vec<_> = items("mutate", reader).iter().filter_map(|item| Mutation::read(item, reader)).collect();
    let engine = read_engine(&at, libraries, reader);
    let tests = items("tests", reader).iter().filter_map(|item| Test::read(item, reader)).collect();

    let spec = Spec {
        name,
        uri: uri.unwrap_or_default(),
        webhook_name: read_webhook_name(&at, reader),
        doc: read_doc(&at, reader),
        failure_policy: at.read_field("failurePolicy", reader).unwrap_or_default(),
        match_policy: at.read_field("matchPolicy", reader).unwrap_or_default(),
        side_effects: at.read_field("sideEffects", reader).unwrap_or_default(),
        timeout_seconds: read_timeout(&at, reader),
        reinvocation_policy: at.read_field("reinvocationPolicy", reader),
        rules: written_rules,
        namespace_selector,
        object_selector,
        targets: at
            .field("targets")
            .map(|list| reader.strings(&list))
            .unwrap_or_default()
            .into_iter()
            .map(|(name, _)| name)
            .collect(),
        mode: at.read_field("mode", reader).unwrap_or_default(),
        on_error: at.read_field("onError", reader).unwrap_or_default(),
        mutating: at.field("mutate").is_some() || engine.as_ref().is_some_and(|(_, named)| named.mutating),
        engine: engine.as_ref().map(|(name, _)| *name),
    };
    let audit_annotations = read_audit_annotations(&at, reader);
    let hook = Hook {
        name_place: metadata.field("name").map_or_else(|| document.place.clone(), |at| at.node.place.clone()),
        uri_place: at.field("uri").map_or_else(|| document.place.clone(), |at| at.node.place.clone()),
        place: document.place.clone(),
        label: spec.name.as_str().into(),
        spec,
        rules,
        objects,
        namespaces,
        audit_annotations,
        validate,
        decide: decide.into_iter().flatten().collect(),
        mutate,
        engine: engine.map(|(_, named)| named.engine),
        tests,
    };
    lints::check(&hook, &at, reader);
    Some(hook)
}

/// The engine that judges instead of rules.
fn read_engine(at: &At<'_>, libraries: &Libraries, reader: &mut Reader) -> Option<(&'static str, Named)> {
    let mut named = NAMES.iter().filter_map(|(name, _)| Some((*name, at.field(name)?)));
    let (name, field) = named.next()?;
    if let Some((other, field)) = named.next() {
        reader.refuse(
            &field,
            format!("there is `{name}` already; a hook has one engine, so make `{other}` another hook"),
        );
    }
    for rules in ["validate", "decide", "mutate", "lists"] {
        if let Some(field) = at.field(rules) {
            reader.refuse(
                &field,
                format!("`{name}` judges this hook, so that `{rules}` would never be asked; make it another hook"),
            );
        }
    }
    Some((name, libraries.engine(name, &field, reader)?))
}

fn read_lists(at: &At<'_>, reader: &mut Reader) {
    let Some(lists) = at.field("lists") else { return };
    let entries = lists.entries();
    lists.check_fields(&entries.iter().map(|(name, _)| *name).collect::<Vec<_>>(), reader);
    let mut read = BTreeMap::new();
    for (name, list) in entries {
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if name.is_empty() || !name.bytes().all(valid) {
            reader.refuse(&list, "the name of a list has letters, digits, `-` and `_`");
        }
        let items = list.items(reader).iter().filter_map(|item| item.read(reader)).collect();
        read.insert(name.to_owned(), List { items, place: list.node.place.clone(), used: false });
    }
    reader.lists = read;
}

/// Paths that are answered without a hook.
const RESERVED_PATHS: [&str; 2] = ["/healthz", "/readyz"];
/// Bytes of a path: more than one of people's making needs.
const MAX_URI: usize = 253;

fn read_uri(at: &At<'_>, reader: &mut Reader) -> Option<String> {
    let uri: String = at.need("uri", reader)?;
    let field = at.field("uri")?;
    let segment = |segment: &str| {
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
        !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(valid)
    };
    let valid = uri == "/" || uri.strip_prefix('/').is_some_and(|rest| rest.split('/').all(segment));
    if RESERVED_PATHS.contains(&uri.as_str()) {
        reader.refuse(&field, format!("`{uri}` is the path of health checks; choose another"));
    } else if !valid || uri.len() > MAX_URI {
        let message = format!(
            "`{}` is not a path for a hook; write `/` and letters, digits, `-`, `_`, `.`, `~`, such as `/image-policy`",
            shorten(&uri)
        );
        reader.refuse(&field, message);
    }
    Some(uri)
}

/// Labels of the name of a webhook ("should be a domain with at least three segments separated by dots").
const MIN_WEBHOOK_LABELS: usize = 3;

fn read_webhook_name(at: &At<'_>, reader: &mut Reader) -> Option<String> {
    let field = at.field("webhookName")?;
    let name: String = field.read(reader)?;
    if !is_subdomain(&name) || name.split('.').count() < MIN_WEBHOOK_LABELS {
        let message =
            format!("`{}` is not the name of a webhook; write one such as `pods.policy.example.com`", shorten(&name));
        reader.refuse(&field, message);
    }
    Some(name)
}

fn read_doc(at: &At<'_>, reader: &mut Reader) -> String {
    let Some(field) = at.field("doc") else {
        reader.refuse(at, "the field `doc` is missing; say what the hook does and why");
        return String::new();
    };
    let doc = Template::read_constant(&field, reader);
    if doc.trim().is_empty() && matches!(field.node.value, Value::Text(_)) {
        reader.refuse(&field, "`doc` is empty; say what the hook does and why");
    }
    doc
}

/// Seconds that the API server waits: `admissionregistration.k8s.io/v1`, "default to 10 seconds", "between 1 and 30".
const DEFAULT_TIMEOUT: u8 = 10;
const MAX_TIMEOUT: u8 = 30;

fn read_timeout(at: &At<'_>, reader: &mut Reader) -> u8 {
    let Some(field) = at.field("timeoutSeconds") else { return DEFAULT_TIMEOUT };
    let seconds = field.read::<i64>(reader).map(u8::try_from);
    match seconds {
        Some(Ok(seconds @ 1..=MAX_TIMEOUT)) => seconds,
        Some(_) => {
            reader.refuse(&field, format!("`timeoutSeconds` is 1 to {MAX_TIMEOUT}"));
            DEFAULT_TIMEOUT
        }
        None => DEFAULT_TIMEOUT,
    }
}

fn read_rules(at: &At<'_>, reader: &mut Reader) -> Vec<(super::spec::WebhookRule, rules::Rule)> {
    match at.field("rules") {
        Some(list) => list.items(reader).iter().filter_map(|item| rules::Rule::read(item, reader)).collect(),
        None => {
            reader.refuse(at, "the field `rules` is missing; say which requests the hook speaks of");
            Vec::new()
        }
    }
}

fn read_selector(at: &At<'_>, name: &str, reader: &mut Reader) -> (Option<LabelSelector>, Selector) {
    match at.field(name).and_then(|field| Selector::read(&field, reader)) {
        Some((written, selector)) => (Some(written), selector),
        None => (None, Selector::default()),
    }
}

fn read_audit_annotations(at: &At<'_>, reader: &mut Reader) -> Vec<(String, String)> {
    let Some(map) = at.field("auditAnnotations") else { return Vec::new() };
    let entries = map.entries();
    map.check_fields(&entries.iter().map(|(name, _)| *name).collect::<Vec<_>>(), reader);
    let mut out = Vec::new();
    for (key, value) in entries {
        // The API server puts the name of the webhook and a slash before it.
        if key.contains('/') || check_key(key).is_err() {
            let message =
                format!("`{}` is not a key for audit annotations; write a name without a slash", shorten(key));
            reader.refuse(&value, message);
        }
        out.extend(value.read(reader).map(|text: String| (key.to_owned(), text)));
    }
    out
}
