//! The schema of a template's parameters: OpenAPI v3 as Kubernetes has it for custom resources.

mod check;
mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use portcullis_policy::Node;
use portcullis_policy::matcher::Regex;
use serde_json::Value as Json;

use super::read::{At, Faults, to_json};

/// A schema that was read. What it does not say is not asked for.
#[derive(Debug, Default)]
pub(super) struct Schema {
    kind: Option<Kind>,
    nullable: bool,
    /// `x-kubernetes-int-or-string`.
    int_or_string: bool,
    /// Whether fields may be there that no schema describes.
    preserve: bool,
    /// Whether they may only because the template is an old one.
    legacy: bool,
    properties: BTreeMap<Box<str>, Schema>,
    additional: Additional,
    required: Vec<Box<str>>,
    items: Option<Box<Schema>>,
    allowed: Option<Vec<Json>>,
    pattern: Option<Regex>,
    format: Option<Format>,
    minimum: Option<Bound>,
    maximum: Option<Bound>,
    multiple_of: Option<f64>,
    length: Sizes,
    count: Sizes,
    entries: Sizes,
    unique: bool,
    default: Option<Json>,
    all_of: Vec<Schema>,
    any_of: Vec<Schema>,
    one_of: Vec<Schema>,
    not: Option<Box<Schema>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Object,
    Array,
    Text,
    Integer,
    Number,
    Bool,
}

/// What of a map that is not among its properties.
#[derive(Debug, Default)]
enum Additional {
    #[default]
    Unsaid,
    Nothing,
    Any,
    Of(Box<Schema>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Int32,
    Int64,
    Ipv4,
    Ipv6,
}

#[derive(Clone, Copy, Debug)]
struct Bound {
    value: f64,
    exclusive: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sizes {
    least: Option<usize>,
    most: Option<usize>,
}

/// How strictly a schema is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strictness {
    /// It must be structural: every value has a type.
    Structural,
    /// `legacySchema: true`: what it does not describe is allowed.
    Legacy,
}

impl Schema {
    /// Reads a schema.
    pub(super) fn read(at: &At<'_>, strictness: Strictness, faults: &mut Faults) -> Self {
        read::read(at, strictness, true, faults)
    }

    /// The schema of what may be anything.
    pub(super) fn anything() -> Self {
        Self { preserve: true, ..Self::default() }
    }

    /// Checks parameters, and fills in the defaults. No parameters are checked only where the schema has a default for them.
    pub(super) fn apply(&self, parameters: Option<&At<'_>>, faults: &mut Faults) -> Json {
        let mut value = match parameters {
            Some(at) => {
                check::check(self, at, faults);
                to_json(at.node)
            }
            None => self.default.clone().unwrap_or(Json::Null),
        };
        self.fill(&mut value);
        value
    }

    /// Fills in the defaults of what is not there.
    fn fill(&self, value: &mut Json) {
        if value.is_null()
            && !self.nullable
            && let Some(default) = &self.default
        {
            *value = default.clone();
        }
        match value {
            Json::Object(entries) => {
                for (name, schema) in &self.properties {
                    match entries.get_mut(&**name) {
                        Some(value) => schema.fill(value),
                        None => {
                            if let Some(default) = &schema.default {
                                let mut value = default.clone();
                                schema.fill(&mut value);
                                entries.insert(name.to_string(), value);
                            }
                        }
                    }
                }
                if let Additional::Of(schema) = &self.additional {
                    let others = entries.iter_mut().filter(|(name, _)| !self.properties.contains_key(name.as_str()));
                    others.for_each(|(_, value)| schema.fill(value));
                }
            }
            Json::Array(items) => {
                if let Some(schema) = &self.items {
                    items.iter_mut().for_each(|item| schema.fill(item));
                }
            }
            _ => {}
        }
    }
}

/// Whether a node is what a schema describes.
fn satisfies(schema: &Schema, node: &Node) -> bool {
    let mut faults = Faults::default();
    check::check_alone(schema, &At::whole(node), &mut faults);
    faults.errors.is_empty()
}
