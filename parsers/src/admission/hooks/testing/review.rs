//! Writes the review of a test: what the API server would send.

use serde_json::{Value as Json, json};

use crate::admission::hooks::at::{At, Reader};
use crate::admission::hooks::conditions::{Operations, unknown_operation};

/// A review, and the object that a patch would be of.
pub(super) struct Written {
    pub(super) text: Vec<u8>,
    pub(super) object: Json,
}

/// Who makes requests of tests that name nobody.
const DEFAULT_USER: &str = "somebody";

/// Writes the review of a test. What the test does not say is taken from its objects.
pub(super) fn write(at: &At<'_>, reader: &mut Reader) -> Option<Written> {
    let operation = at.read_field("operation", reader).unwrap_or_else(|| "CREATE".to_owned());
    if operation == "*" || Operations::of(&operation).is_none() {
        reader.refuse(at, unknown_operation(&operation));
        return None;
    }
    let mut object: Json = at.read_field("object", reader).unwrap_or(Json::Null);
    let mut old: Json = at.read_field("oldObject", reader).unwrap_or(Json::Null);
    match operation.as_str() {
        "DELETE" if old.is_null() => std::mem::swap(&mut object, &mut old),
        "UPDATE" if old.is_null() => old = object.clone(),
        _ => {}
    }
    let about = if object.is_null() { &old } else { &object };
    let needs_object = operation != "CONNECT";
    if needs_object && about.is_null() {
        reader.refuse(at, format!("an `object` is missing, or an `oldObject`; a {operation} is of one"));
        return None;
    }
    let text = |value: &Json, path: &str| value.pointer(path).and_then(Json::as_str).unwrap_or_default().to_owned();
    let api_version = text(about, "/apiVersion");
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", &api_version));
    let kind = match at.read_field::<String>("kind", reader) {
        Some(kind) => kind,
        None if group.is_empty() => text(about, "/kind"),
        None => format!("{}.{group}", text(about, "/kind")),
    };
    let (kind, kind_group) = kind.split_once('.').unwrap_or((&kind, ""));
    let resource = at.read_field::<String>("resource", reader);
    if kind.is_empty() && resource.is_none() {
        reader.refuse(at, "the object has no `kind`, and the test names no `kind` or `resource`; write one of them");
        return None;
    }
    if needs_object && version.is_empty() {
        reader.refuse(at, "the object has no `apiVersion`; write it");
        return None;
    }
    let resource = resource.unwrap_or_else(|| match kind_group {
        "" => plural(kind),
        group => format!("{}.{group}", plural(kind)),
    });
    let (resource, sub_resource) = resource.split_once('/').unwrap_or((&resource, ""));
    let (resource, resource_group) = resource.split_once('.').unwrap_or((resource, ""));
    let version = if version.is_empty() { "v1" } else { version };

    let name: String = at.read_field("objectName", reader).unwrap_or_else(|| text(about, "/metadata/name"));
    let is_namespace = (resource, resource_group) == ("namespaces", "");
    let namespace: String = at
        .read_field("namespace", reader)
        .unwrap_or_else(|| if is_namespace { name.clone() } else { text(about, "/metadata/namespace") });
    let user: String = at.read_field("user", reader).unwrap_or_else(|| DEFAULT_USER.to_owned());
    let groups: Vec<String> = at
        .field("groups")
        .map(|list| reader.strings(&list))
        .unwrap_or_default()
        .into_iter()
        .map(|(group, _)| group)
        .collect();
    let sub_resource = at.read_field("subResource", reader).unwrap_or_else(|| sub_resource.to_owned());
    let dry_run: bool = at.read_field("dryRun", reader).unwrap_or(false);
    let options: Json = at.read_field("options", reader).unwrap_or(Json::Null);
    let kind = json!({"group": kind_group, "version": version, "kind": kind});
    let resource = json!({"group": resource_group, "version": version, "resource": resource});
    let review = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "00000000-0000-0000-0000-000000000000",
            "kind": kind,
            "resource": resource,
            "subResource": sub_resource,
            "requestKind": kind,
            "requestResource": resource,
            "requestSubResource": sub_resource,
            "name": name,
            "namespace": namespace,
            "operation": operation,
            "userInfo": {"username": user, "groups": groups},
            "object": object,
            "oldObject": old,
            "dryRun": dry_run,
            "options": options,
        },
    });
    Some(Written { text: review.to_string().into_bytes(), object })
}

/// The resource of a kind, by the usual rule (`k8s.io/apimachinery/pkg/api/meta`, UnsafeGuessKindToResource).
fn plural(kind: &str) -> String {
    let kind = kind.to_ascii_lowercase();
    // Two kinds that are named in the plural already.
    if kind.ends_with("endpoints") || kind == "securitycontextconstraints" {
        return kind;
    }
    match kind.as_bytes().last() {
        Some(b's') => format!("{kind}es"),
        Some(b'y') => format!("{}ies", kind.trim_end_matches('y')),
        // `Proxy` is of the rule before; the rule of Kubernetes knows no other endings.
        _ => format!("{kind}s"),
    }
}
