//! Reviews as suites have them: with as much as a case needs.

use anyhow::{Context, bail};
use portcullis_parsers::admission::review::REQUEST_FIELDS;
use serde_json::{Map, Value, json};

/// Says what a suite leaves out and the API server always sends: a uid, an operation, the kind and the resource of the object.
///
/// # Errors
/// There is nothing to review, or a field that no review has: it would be passed over.
pub(super) fn complete(review: &mut Value) -> anyhow::Result<()> {
    check_fields("the AdmissionReview", Some(&*review), &REVIEW)?;
    check_fields("the `request` of the AdmissionReview", review.get("request"), &REQUEST_FIELDS)?;
    let request = review.get_mut("request").filter(|request| !request.is_null());
    let request = request.context("the AdmissionReview has no `request`")?;
    let request = request.as_object_mut().context("the `request` of the AdmissionReview is no map")?;
    let given = |key: &str| request.get(key).filter(|value| !value.is_null()).cloned();
    let (object, old) = (given("object"), given("oldObject"));
    let Some(subject) = object.as_ref().or(old.as_ref()) else {
        bail!("the `request` of the AdmissionReview has neither an `object` nor an `oldObject`");
    };
    let text = |key: &str| subject.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    if kind.is_empty() {
        bail!("the object in the AdmissionReview has no `kind`");
    }
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    // What no kind is chosen by, and nothing is without.
    let version = if version.is_empty() { "v1" } else { version };
    let metadata = |key: &str| subject.get("metadata").and_then(|metadata| metadata.get(key)).cloned();
    let (name, namespace) = (metadata("name"), metadata("namespace"));
    let operation = if object.is_some() { "CREATE" } else { "DELETE" };
    fill(request, "uid", Value::from(NO_UID));
    fill(request, "operation", Value::from(operation));
    for (key, what) in [("kind", kind.clone()), ("resource", plural(&kind))] {
        fill(request, key, json!({}));
        if let Some(map) = request.get_mut(key).and_then(Value::as_object_mut) {
            for (part, value) in [("group", group), ("version", version), (key, &what)] {
                fill(map, part, Value::from(value));
            }
        }
    }
    for (key, value) in [("name", name), ("namespace", namespace)] {
        if let Some(value) = value {
            fill(request, key, value);
        }
    }
    Ok(())
}

const REVIEW: [&str; 4] = ["apiVersion", "kind", "request", "response"];
fn check_fields(what: &str, map: Option<&Value>, known: &[&str]) -> anyhow::Result<()> {
    let mut fields = map.and_then(Value::as_object).into_iter().flat_map(Map::keys);
    match fields.find(|field| !known.contains(&field.as_str())) {
        Some(field) => {
            bail!("{what} has an unknown field `{}`; it may have `{}`", field.escape_debug(), known.join("`, `"))
        }
        None => Ok(()),
    }
}

/// The resource of a kind, as English makes plurals.
fn plural(kind: &str) -> String {
    let one = kind.to_ascii_lowercase();
    match one.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
        _ if one.ends_with(['s', 'x']) || one.ends_with("ch") => format!("{one}es"),
        _ => format!("{one}s"),
    }
}

const NO_UID: &str = "00000000-0000-0000-0000-000000000000";

fn fill(request: &mut Map<String, Value>, key: &str, value: Value) {
    let missing = request.get(key).is_none_or(|value| value.is_null() || value.as_str() == Some(""));
    if missing {
        request.insert(key.to_owned(), value);
    }
}
