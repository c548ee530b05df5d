//! Tests of the resource limits of containers.

use super::super::at::{At, Reader, shorten};
use super::super::podspec::{Group, Slot};
use super::super::quantity::Quantity;
use super::super::selectors::check_key;
use super::super::truth::Truth;
use crate::admission::json::{Kind, Value};

/// Holds for a container that lacks a limit, or has one that is too high.
#[derive(Debug)]
pub(super) struct Limits {
    missing: Vec<String>,
    over: Vec<(String, Quantity)>,
}

impl Limits {
    pub(super) fn read(at: &At<'_>, reader: &mut Reader) -> Self {
        at.check_fields(&["missing", "over"], reader);
        let missing = at.field("missing").map(|at| reader.strings(&at)).unwrap_or_default();
        let missing: Vec<_> = missing.into_iter().map(|(name, _)| name).collect();
        let mut over = Vec::new();
        if let Some(at) = at.field("over")
            && at.check_fields(&at.entries().iter().map(|(name, _)| *name).collect::<Vec<_>>(), reader)
        {
            for (name, at) in at.entries() {
                let text = match at.read::<serde_json::Value>(reader) {
                    Some(serde_json::Value::String(text)) => text,
                    Some(serde_json::Value::Number(number)) => number.to_string(),
                    _ => String::new(),
                };
                match Quantity::parse(&text) {
                    Some(quantity) => over.push((name.to_owned(), quantity)),
                    None => reader.refuse(&at, "wanted a number, or a quantity such as `500m` or `1Gi`"),
                }
            }
        }
        for name in missing.iter().chain(over.iter().map(|(name, _)| name)) {
            if !is_resource(name) {
                let message = format!(
                    "there is no resource `{}`; write `cpu`, `memory`, `ephemeral-storage`, `hugepages-2Mi`, or one with a domain",
                    shorten(name)
                );
                reader.refuse(at, message);
            }
        }
        if missing.is_empty() && over.is_empty() {
            reader.refuse(at, "nothing is asked of the limits; write `missing: [memory]` or `over: {memory: 1Gi}`");
        }
        Self { missing, over }
    }

    /// Whether this container is such a one.
    pub(super) fn test(&self, slot: &Slot<'_>) -> Truth {
        if !slot.is_container() {
            return Truth::No;
        }
        let Some(container) = slot.value else { return Truth::Unreadable };
        let limits = match step(Some(container), "resources").and_then(|resources| step(resources, "limits")) {
            Ok(limits) => limits,
            Err(Lost) => return Truth::Unreadable,
        };
        let limit = |name: &str| limits.and_then(|limits| limits.get(name)).filter(|limit| !limit.is_null());
        // The API allows no resources for ephemeral containers.
        let may_lack = slot.group == Some(Group::EphemeralContainers);
        let size = |limit: Value<'_>| {
            let text = limit.text().map(|text| text.to_cow()).or_else(|| limit.number().map(Into::into));
            text.and_then(|text| Quantity::parse(&text))
        };
        let missing = self.missing.iter().filter(|_| !may_lack).map(|name| match limit(name) {
            None => Truth::Yes,
            // A limit of nothing is none for container runtimes.
            Some(limit) => size(limit).map_or(Truth::Unreadable, |size| (size <= Quantity::ZERO).into()),
        });
        let over = self.over.iter().map(|(name, bound)| match limit(name) {
            None => Truth::No,
            Some(limit) => size(limit).map_or(Truth::Unreadable, |size| (size > *bound).into()),
        });
        Truth::any(missing.chain(over))
    }
}

/// Whether containers may have a limit for it (Kubernetes, "Resource Management for Pods and Containers").
fn is_resource(name: &str) -> bool {
    ["cpu", "memory", "ephemeral-storage"].contains(&name)
        || name.strip_prefix("hugepages-").is_some_and(|size| Quantity::parse(size).is_some())
        || (name.contains('/') && check_key(name).is_ok())
}

struct Lost;

/// A map in a map; none if it is not there.
fn step<'d>(map: Option<Value<'d>>, key: &str) -> Result<Option<Value<'d>>, Lost> {
    match map.and_then(|map| map.get(key)).filter(|value| !value.is_null()) {
        None => Ok(None),
        Some(value) if value.kind() == Kind::Map => Ok(Some(value)),
        Some(_) => Err(Lost),
    }
}
