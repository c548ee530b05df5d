//! Reading of objects as clusters write them: a null is as good as nothing, and lists may be empty.

use std::collections::BTreeMap;

use portcullis_policy::{Node, NodeError, Value};

use crate::admission::hooks::at::{At, Reader, allowed, describe, shorten};
use crate::admission::hooks::selectors::{Selector, check_key, check_label_value, is_subdomain};

/// The fields of `metadata` (`metav1.ObjectMeta`).
const METADATA: [&str; 15] = [
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
];

/// Checks that this is a map of known fields. Says whether it is a map.
pub(super) fn check_fields(at: &At<'_>, known: &[&str], reader: &mut Reader) -> bool {
    let Value::Map(entries) = &at.node.value else {
        reader.refuse(at, format!("wanted a map, found {}", describe(at.node)));
        return false;
    };
    for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
        let message = format!("unknown field `{}`; {}", shorten(&entry.key), allowed(known));
        reader.faults.errors.push(NodeError::new(&entry.place, &at.path, message));
    }
    true
}

/// The items of a field that is a list; none where it is not there.
pub(super) fn items<'n>(at: &At<'n>, name: &str, reader: &mut Reader) -> Vec<At<'n>> {
    match at.field(name) {
        None => Vec::new(),
        Some(list) if matches!(&list.node.value, Value::List(items) if items.is_empty()) => Vec::new(),
        Some(list) => list.items(reader),
    }
}

/// The texts of a field that is a list of them.
pub(super) fn texts<'n>(at: &At<'n>, name: &str, reader: &mut Reader) -> Vec<(String, At<'n>)> {
    let items = items(at, name, reader);
    items.into_iter().filter_map(|item| item.read(reader).map(|text| (text, item))).collect()
}

/// The text of a field; nothing where it is empty or not there.
pub(super) fn text<'n>(at: &At<'n>, name: &str, reader: &mut Reader) -> Option<(String, At<'n>)> {
    let field = at.field(name)?;
    let text: String = field.read(reader)?;
    (!text.is_empty()).then_some((text, field))
}

/// The text of a field that must be there.
pub(super) fn need_text<'n>(at: &At<'n>, name: &str, reader: &mut Reader) -> Option<(String, At<'n>)> {
    let before = reader.faults.errors.len();
    let text = text(at, name, reader);
    if text.is_none() && reader.faults.errors.len() == before {
        reader.refuse(at, format!("the field `{name}` is missing or empty"));
    }
    text
}

/// One of some words in a field; the first where it is not there.
pub(super) fn word<'w>(at: &At<'_>, name: &str, words: &[&'w str], reader: &mut Reader) -> Option<&'w str> {
    // An empty word is none of them.
    let written = at.field(name).and_then(|field| Some((field.read::<String>(reader)?, field)));
    match written {
        None => words.first().copied(),
        Some((text, field)) => {
            let found = words.iter().find(|word| **word == text).copied();
            if found.is_none() {
                reader.refuse(&field, format!("`{}` is not known; {}", shorten(&text), allowed(words)));
            }
            found
        }
    }
}

/// A selector in a field, checked as the API server does; one that selects everything where it is not there.
pub(super) fn selector(at: &At<'_>, name: &str, reader: &mut Reader) -> Selector {
    let Some(field) = at.field(name) else { return Selector::default() };
    let Some((written, selector)) = Selector::read(&field, reader) else { return Selector::default() };
    let listed = written.match_expressions.iter().flat_map(|requirement| &requirement.values);
    for value in written.match_labels.values().chain(listed) {
        if let Err(why) = check_label_value(value) {
            reader.refuse(&field, why);
        }
    }
    selector
}

/// An object of a kind that is in no namespace, with its fields: its name, the object with its name in the path, its `spec`.
pub(super) fn open<'n>(document: &'n Node, reader: &mut Reader) -> Option<(String, At<'n>, At<'n>)> {
    let whole = At { node: document, path: String::new() };
    // What the API server adds to an object is not asked about.
    if !check_fields(&whole, &["apiVersion", "kind", "metadata", "spec", "status"], reader) {
        return None;
    }
    let Some(metadata) = whole.field("metadata") else {
        reader.refuse(&whole, "`metadata` with a `name` is missing");
        return None;
    };
    check_fields(&metadata, &METADATA, reader);
    check_texts(&metadata, "labels", reader);
    check_texts(&metadata, "annotations", reader);
    let (name, field) = need_text(&metadata, "name", reader)?;
    if !is_subdomain(&name) {
        reader.refuse(&field, format!("`{}` is not a name; one is a DNS subdomain in lower case", shorten(&name)));
    }
    if let Some((_, namespace)) = text(&metadata, "namespace", reader) {
        reader.refuse(&namespace, "objects of this kind are in no namespace; leave it out");
    }
    let named = At { node: document, path: format!("{}/", shorten(&name)) };
    let Some(spec) = named.field("spec") else {
        reader.refuse(&named, "the field `spec` is missing");
        return None;
    };
    Some((name, named, spec))
}

/// The labels or annotations of an object.
fn check_texts(metadata: &At<'_>, name: &str, reader: &mut Reader) {
    let Some(field) = metadata.field(name) else { return };
    let Some(texts) = field.read::<BTreeMap<String, String>>(reader) else { return };
    for (key, value) in &texts {
        // In annotations capitals are taken in a domain.
        let key = if name == "labels" { key.clone() } else { key.to_ascii_lowercase() };
        let checked = check_key(&key).and_then(|()| if name == "labels" { check_label_value(value) } else { Ok(()) });
        if let Err(why) = checked {
            reader.refuse(&field, why);
        }
    }
}

/// Whether a text is a name of an object, as the API server takes it in a path: anything but a slash, a percent sign, and dots
/// alone.
pub(super) fn is_path_segment(name: &str) -> bool {
    !matches!(name, "." | "..") && !name.contains(['/', '%'])
}
