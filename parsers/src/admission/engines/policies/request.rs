//! `request` as expressions see it.

use std::cell::OnceCell;

use serde_json::{Map, Value as Json, json};

use crate::admission::json::{Document, Kind, Value};
use crate::admission::review::{GroupVersionKind, GroupVersionResource, Review};

/// A review, and `request` where an expression asks for it.
///
/// `AdmissionRequest` as `ToUnstructured` gives it: what is empty is left out. "The 'object' and 'oldObject' fields are omitted
/// since they are exposed as root level CEL variables", and the `uid`: no expression may name them.
pub(in crate::admission) struct Request<'r, 'd> {
    pub(super) review: &'r Review<'d>,
    document: OnceCell<Document>,
}

impl<'r, 'd> Request<'r, 'd> {
    pub(super) fn new(review: &'r Review<'d>) -> Self {
        Self { review, document: OnceCell::new() }
    }

    /// `request`.
    pub(super) fn value(&self) -> Value<'_> {
        self.document.get_or_init(|| Document::read(self.write()).unwrap_or_default()).root()
    }

    fn write(&self) -> String {
        let review = self.review;
        let request_kind = review.request_kind.as_ref().unwrap_or(&review.kind);
        let request_resource = review.request_resource.as_ref().unwrap_or(&review.resource);
        let request_sub =
            if review.request_resource.is_some() { &review.request_sub_resource } else { &review.sub_resource };
        let mut fields = Map::new();
        fields.insert("kind".into(), kind(&review.kind));
        fields.insert("resource".into(), resource(&review.resource));
        fields.insert("requestKind".into(), kind(request_kind));
        fields.insert("requestResource".into(), resource(request_resource));
        fields.insert("operation".into(), review.operation.as_str().into());
        fields.insert("dryRun".into(), review.dry_run.into());
        // What is left out has no value, but is there.
        fields.insert("uid".into(), "".into());
        fields.insert("object".into(), Json::Null);
        fields.insert("oldObject".into(), Json::Null);
        let mut add = |name: &str, text: &str| {
            if !text.is_empty() {
                fields.insert(name.into(), text.into());
            }
        };
        add("subResource", &review.sub_resource);
        add("requestSubResource", request_sub);
        add("name", &review.name);
        add("namespace", &review.namespace);
        // What the client wrote is taken over as it stands there.
        let mut text = Json::Object(fields).to_string();
        text.pop();
        text.push_str(",\"userInfo\":");
        text.push_str(&self.write_user());
        text.push_str(",\"options\":");
        push_raw(&mut text, review.options);
        text.push('}');
        text
    }

    fn write_user(&self) -> String {
        let user = &self.review.user;
        let mut fields = Map::new();
        for (name, value) in [("username", &user.username), ("uid", &user.uid)] {
            if !value.is_empty() {
                fields.insert(name.into(), value.as_ref().into());
            }
        }
        let groups: Vec<Json> = user.groups().map(|group| group.to_cow().into_owned().into()).collect();
        if !groups.is_empty() {
            fields.insert("groups".into(), groups.into());
        }
        let mut text = Json::Object(fields).to_string();
        if let Some(extra) = user.extra.filter(|extra| extra.entries().next().is_some()) {
            text.pop();
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str("\"extra\":");
            push_raw(&mut text, Some(extra));
            text.push('}');
        }
        text
    }
}

fn kind(kind: &GroupVersionKind<'_>) -> Json {
    json!({"group": kind.group, "version": kind.version, "kind": kind.kind})
}

fn resource(resource: &GroupVersionResource<'_>) -> Json {
    json!({"group": resource.group, "version": resource.version, "resource": resource.resource})
}

/// The value as it stands in its document.
fn push_raw(text: &mut String, value: Option<Value<'_>>) {
    let raw = value.filter(|value| value.kind() == Kind::Map).map_or(&b"null"[..], Value::raw);
    text.push_str(std::str::from_utf8(raw).unwrap_or("null"));
}
