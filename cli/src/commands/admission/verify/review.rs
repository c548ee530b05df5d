//! Reviews as suites have them: with as much as a case needs.

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

/// Says what a suite leaves out and the API server always sends: a uid, an operation, the kind and the resource of the object.
pub(super) fn complete(review: &mut Value) -> anyhow::Result<()> {
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
    let metadata = |key: &str| subject.get("metadata").and_then(|metadata| metadata.get(key)).cloned();
    let (name, namespace) = (metadata("name"), metadata("namespace"));
    let operation = if object.is_some() { "CREATE" } else { "DELETE" };
    let resource = json!({"group": group, "version": version, "resource": plural(&kind)});
    let kind = json!({"group": group, "version": version, "kind": kind});
    fill(request, "uid", Value::from(NO_UID));
    fill(request, "operation", Value::from(operation));
    fill(request, "kind", kind);
    fill(request, "resource", resource);
    for (key, value) in [("name", name), ("namespace", namespace)] {
        if let Some(value) = value {
            fill(request, key, value);
        }
    }
    Ok(())
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
