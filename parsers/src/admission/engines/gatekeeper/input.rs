//! What Rego sees of a review: `input.review` as Gatekeeper has it. It is built once for all programs.

use std::collections::BTreeMap;

use portcullis_rego::{Input, ManagedFields, Value, read_json};

use super::super::super::json;
use super::super::super::review::{GroupVersionKind, GroupVersionResource, Operation, Review};
use super::target::Object;

/// What is judged.
#[derive(Clone, Copy, Debug)]
pub(super) enum Judged<'a, 'd> {
    /// A request.
    Review(&'a Review<'d>),
    /// An object alone; of a request of this operation, if there is one.
    Object { value: json::Value<'d>, facts: &'a Object<'d>, operation: Option<Operation> },
}

/// Builds inputs where they are first asked for.
#[derive(Debug)]
pub(super) struct Inputs<'a, 'd> {
    pub(super) judged: Judged<'a, 'd>,
    /// The Namespace that it is in.
    pub(super) namespace: Option<json::Value<'d>>,
    whole: Option<Input>,
    short: Option<Input>,
    /// The review of an object alone, for CEL.
    #[cfg(feature = "cel")]
    pub(super) made: std::cell::OnceCell<json::Document>,
}

impl<'a, 'd> Inputs<'a, 'd> {
    pub(super) const fn new(judged: Judged<'a, 'd>, namespace: Option<json::Value<'d>>) -> Self {
        Self {
            judged,
            namespace,
            whole: None,
            short: None,
            #[cfg(feature = "cel")]
            made: std::cell::OnceCell::new(),
        }
    }

    /// The input for a constraint.
    ///
    /// # Errors
    /// What of the review Rego has no value for.
    pub(super) fn of(&mut self, managed_fields: bool, parameters: &Value) -> Result<Input, String> {
        let kept = if managed_fields { &mut self.whole } else { &mut self.short };
        let input = match kept {
            Some(input) => input,
            None => {
                let review = build(&self.judged, self.namespace, managed_fields)?;
                // With its place for parameters, each constraint only puts its own there.
                kept.insert(Input::new().with("review", review).with("parameters", Value::Null))
            }
        };
        Ok(input.with("parameters", parameters.clone()))
    }
}

fn build(judged: &Judged<'_, '_>, namespace: Option<json::Value<'_>>, managed_fields: bool) -> Result<Value, String> {
    let mut review = Map::default();
    match judged {
        Judged::Review(it) => build_review(it, managed_fields, &mut review)?,
        Judged::Object { value, facts, operation } => {
            let object = read_object(*value, managed_fields)?;
            let kind = [&*facts.group, &facts.version, &facts.kind];
            review.put("uid", Value::from(""));
            review.put("kind", triple(["group", "version", "kind"], kind));
            review.put("resource", triple(["group", "version", "resource"], ["", "", ""]));
            review.put_text("name", &facts.name);
            review.put_text("namespace", &facts.namespace);
            review.put("operation", Value::from(operation.map_or("", Operation::as_str)));
            review.put("userInfo", Value::new_object());
            let old = if *operation == Some(Operation::Delete) { object.clone() } else { Value::Null };
            review.put("object", object);
            review.put("oldObject", old);
            review.put("options", Value::Null);
        }
    }
    let namespace = namespace.map(|it| read_object(it, false)).transpose()?;
    if let Some(namespace) = &namespace {
        // Where older versions had it.
        let mut unstable = Map::default();
        unstable.put("namespace", namespace.clone());
        review.put("_unstable", unstable.finish());
    }
    review.put("namespaceObject", namespace.unwrap_or_else(Value::new_object));
    Ok(review.finish())
}

fn build_review(it: &Review<'_>, managed_fields: bool, review: &mut Map) -> Result<(), String> {
    let read =
        |value: Option<json::Value<'_>>| value.map_or(Ok(Value::Null), |value| read_object(value, managed_fields));
    let old = read(it.old_object)?;
    let object = if it.operation == Operation::Delete { old.clone() } else { read(it.object)? };
    let is_namespace = it.kind.kind == "Namespace" && it.kind.group.is_empty();
    review.put("uid", Value::from(&*it.uid));
    review.put("kind", kind(&it.kind));
    review.put("resource", resource(&it.resource));
    review.put_text("subResource", &it.sub_resource);
    if let Some(requested) = &it.request_kind {
        review.put("requestKind", kind(requested));
    }
    if let Some(requested) = &it.request_resource {
        review.put("requestResource", resource(requested));
    }
    review.put_text("requestSubResource", &it.request_sub_resource);
    review.put_text("name", &it.name);
    // A server-side apply of a Namespace says that it is in itself; others do not.
    review.put_text("namespace", if is_namespace { "" } else { &it.namespace });
    review.put("operation", Value::from(it.operation.as_str()));
    review.put("userInfo", user(it)?);
    review.put("object", object);
    review.put("oldObject", old);
    review.put("dryRun", Value::from(it.dry_run));
    review.put("options", it.options.map_or(Ok(Value::Null), read_whole)?);
    Ok(())
}

fn user(it: &Review<'_>) -> Result<Value, String> {
    let mut user = Map::default();
    user.put_text("username", &it.user.username);
    user.put_text("uid", &it.user.uid);
    let groups: Vec<_> = it.user.groups().map(|group| Value::from(&*group.to_cow())).collect();
    if !groups.is_empty() {
        user.put("groups", Value::from(groups));
    }
    if let Some(extra) = it.user.extra {
        user.put("extra", read_whole(extra)?);
    }
    Ok(user.finish())
}

fn read_whole(value: json::Value<'_>) -> Result<Value, String> {
    read_json(value, ManagedFields::Keep).map_err(|error| error.to_string())
}

/// The value of an object, perhaps without `metadata.managedFields`.
fn read_object(object: json::Value<'_>, managed_fields: bool) -> Result<Value, String> {
    let metadata = object.get("metadata").filter(|it| it.kind() == json::Kind::Map);
    let Some(metadata) = metadata.filter(|it| !managed_fields && it.get("managedFields").is_some()) else {
        return read_whole(object);
    };
    let mut short = Map::default();
    for (key, value) in metadata.entries() {
        if !key.is("managedFields") {
            short.put(&key.to_cow(), read_whole(value)?);
        }
    }
    let mut out = Map::default();
    for (key, value) in object.entries() {
        if !key.is("metadata") {
            out.put(&key.to_cow(), read_whole(value)?);
        }
    }
    out.put("metadata", short.finish());
    Ok(out.finish())
}

fn kind(it: &GroupVersionKind<'_>) -> Value {
    triple(["group", "version", "kind"], [&it.group, &it.version, &it.kind])
}

fn resource(it: &GroupVersionResource<'_>) -> Value {
    triple(["group", "version", "resource"], [&it.group, &it.version, &it.resource])
}

fn triple(keys: [&str; 3], values: [&str; 3]) -> Value {
    let mut map = Map::default();
    keys.into_iter().zip(values).for_each(|(key, value)| map.put(key, Value::from(value)));
    map.finish()
}

#[derive(Default)]
struct Map(BTreeMap<Value, Value>);

impl Map {
    fn put(&mut self, key: &str, value: Value) {
        self.0.insert(Value::from(key), value);
    }

    /// A text that is left out where it is empty.
    fn put_text(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            self.put(key, Value::from(text));
        }
    }

    fn finish(self) -> Value {
        Value::from(self.0)
    }
}
