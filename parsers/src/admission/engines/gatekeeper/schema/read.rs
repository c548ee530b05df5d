//! Reads a schema. What cannot be read in it is refused: a word that is passed over would let parameters through.

use portcullis_policy::{Dialect, Value, matcher::Regex};

use super::super::read::{At, Faults, describe, shorten, to_json};
use super::{Additional, Bound, Format, Kind, Schema, Sizes, Strictness, check};

/// Words that say something to people only.
const REMARKS: [&str; 6] = ["description", "title", "example", "externalDocs", "$schema", "id"];

/// Reads a schema. `typed` says whether a structural one needs a `type` here.
pub(super) fn read(at: &At<'_>, strictness: Strictness, typed: bool, faults: &mut Faults) -> Schema {
    let mut schema = Schema::default();
    // Of the first articles on templates: `items: string`.
    if let (Some(name), Strictness::Legacy) = (at.text(), strictness)
        && let Some(kind) = read_kind(name)
    {
        faults.warn(at, format!("a schema is a map; `{name}` is taken for `type: {name}`"));
        return Schema { kind: Some(kind), preserve: kind == Kind::Object, ..schema };
    }
    if !at.need_map(faults) {
        return schema;
    }
    for (name, at) in at.entries() {
        if matches!(at.node.value, Value::Null) {
            faults.refuse(&at, "it is null; write a value, or leave it out");
            continue;
        }
        read_word(&mut schema, name, &at, strictness, faults);
    }
    if strictness == Strictness::Legacy {
        schema.legacy = !schema.preserve && matches!(schema.kind, None | Some(Kind::Object));
        schema.preserve |= schema.legacy;
    } else if typed && schema.kind.is_none() && !schema.preserve && !schema.int_or_string {
        faults.refuse(at, "`type` is missing; allowed are `object`, `array`, `string`, `integer`, `number`, `boolean`");
    } else if typed && schema.kind == Some(Kind::Array) && schema.items.is_none() {
        faults.refuse(at, "`items` is missing; say what the list has in it");
    }
    if let Some(default) = at.field("default") {
        check::check(&schema, &default, faults);
    }
    schema
}

fn read_word(schema: &mut Schema, name: &str, at: &At<'_>, strictness: Strictness, faults: &mut Faults) {
    let many = |faults: &mut Faults| -> Vec<Schema> {
        at.need_items(faults).iter().map(|at| read(at, strictness, false, faults)).collect()
    };
    match name {
        "type" => {
            let text = at.need_text(faults).unwrap_or_default();
            schema.kind = read_kind(text);
            if schema.kind.is_none() {
                faults.refuse(at, format!("`{}` is not a type", shorten(text)));
            }
        }
        "nullable" => schema.nullable = read_bool(at, faults),
        "x-kubernetes-int-or-string" => schema.int_or_string = read_bool(at, faults),
        "x-kubernetes-preserve-unknown-fields" => schema.preserve = read_bool(at, faults),
        "x-kubernetes-embedded-resource" => schema.preserve |= read_bool(at, faults),
        "x-kubernetes-list-type" => schema.unique |= at.need_text(faults) == Some("set"),
        "x-kubernetes-list-map-keys" | "x-kubernetes-map-type" => {}
        "properties" => {
            if at.need_map(faults) {
                for (name, at) in at.entries() {
                    schema.properties.insert(name.into(), read(&at, strictness, true, faults));
                }
            }
        }
        "additionalProperties" => {
            schema.additional = match at.node.value {
                Value::Bool(true) => Additional::Any,
                Value::Bool(false) => Additional::Nothing,
                _ => Additional::Of(Box::new(read(at, strictness, true, faults))),
            };
        }
        "required" => {
            schema.required = at.need_texts(faults).into_iter().map(|(name, _)| name.into()).collect();
        }
        "items" => schema.items = Some(Box::new(read(at, strictness, true, faults))),
        "enum" => schema.allowed = Some(at.need_items(faults).iter().map(|at| to_json(at.node)).collect()),
        "pattern" => {
            let compiled = at.need_text(faults).map(|text| Regex::compile(text, Dialect::Cilium));
            match compiled {
                Some(Ok(regex)) => schema.pattern = Some(regex),
                Some(Err(why)) => faults.refuse(at, why),
                None => {}
            }
        }
        // Kubernetes passes over formats that it does not know.
        "format" => schema.format = at.need_text(faults).and_then(read_format),
        "minimum" => schema.minimum = read_bound(at, schema.minimum, faults),
        "maximum" => schema.maximum = read_bound(at, schema.maximum, faults),
        "exclusiveMinimum" => schema.minimum = read_exclusive(at, schema.minimum, f64::NEG_INFINITY, faults),
        "exclusiveMaximum" => schema.maximum = read_exclusive(at, schema.maximum, f64::INFINITY, faults),
        "multipleOf" => schema.multiple_of = read_number(at, faults).filter(|number| *number > 0.0),
        "minLength" => schema.length.least = read_size(at, faults),
        "maxLength" => schema.length.most = read_size(at, faults),
        "minItems" => schema.count.least = read_size(at, faults),
        "maxItems" => schema.count.most = read_size(at, faults),
        "minProperties" => schema.entries.least = read_size(at, faults),
        "maxProperties" => schema.entries.most = read_size(at, faults),
        "uniqueItems" => schema.unique |= read_bool(at, faults),
        "default" => schema.default = Some(to_json(at.node)),
        "allOf" => schema.all_of = many(faults),
        "anyOf" => schema.any_of = many(faults),
        "oneOf" => schema.one_of = many(faults),
        "not" => schema.not = Some(Box::new(read(at, strictness, false, faults))),
        remark if REMARKS.contains(&remark) => {}
        // Words of other tools, which Kubernetes drops.
        other if other.starts_with("x-") && !other.starts_with("x-kubernetes-") => {}
        unknown => faults.refuse(at, format!("`{}` is not known in a schema; leave it out", shorten(unknown))),
    }
}

fn read_kind(name: &str) -> Option<Kind> {
    Some(match name {
        "object" => Kind::Object,
        "array" => Kind::Array,
        "string" => Kind::Text,
        "integer" => Kind::Integer,
        "number" => Kind::Number,
        "boolean" => Kind::Bool,
        _ => return None,
    })
}

fn read_format(name: &str) -> Option<Format> {
    Some(match name {
        "int32" => Format::Int32,
        "int64" => Format::Int64,
        "ipv4" => Format::Ipv4,
        "ipv6" => Format::Ipv6,
        _ => return None,
    })
}

fn read_bool(at: &At<'_>, faults: &mut Faults) -> bool {
    match at.node.value {
        Value::Bool(it) => it,
        _ => {
            faults.refuse(at, format!("wanted `true` or `false`, found {}", describe(at.node)));
            false
        }
    }
}

fn read_number(at: &At<'_>, faults: &mut Faults) -> Option<f64> {
    let number = check::number(at.node);
    if number.is_none() {
        faults.refuse(at, format!("wanted a number, found {}", describe(at.node)));
    }
    number
}

fn read_size(at: &At<'_>, faults: &mut Faults) -> Option<usize> {
    match at.node.value {
        Value::Integer(it) if it >= 0 => usize::try_from(it).ok(),
        _ => {
            faults.refuse(at, format!("wanted a whole number from 0, found {}", describe(at.node)));
            None
        }
    }
}

fn read_bound(at: &At<'_>, so_far: Option<Bound>, faults: &mut Faults) -> Option<Bound> {
    let value = read_number(at, faults)?;
    Some(Bound { value, exclusive: so_far.is_some_and(|bound| bound.exclusive) })
}

/// In OpenAPI v3 it is a truth value beside the bound, which may be read before or after it.
fn read_exclusive(at: &At<'_>, so_far: Option<Bound>, none: f64, faults: &mut Faults) -> Option<Bound> {
    let exclusive = read_bool(at, faults);
    match so_far {
        None if !exclusive => None,
        so_far => Some(Bound { value: so_far.map_or(none, |bound| bound.value), exclusive }),
    }
}

impl Sizes {
    pub(super) fn has(self, size: usize) -> bool {
        self.least.is_none_or(|least| size >= least) && self.most.is_none_or(|most| size <= most)
    }

    pub(super) fn describe(self) -> String {
        match (self.least, self.most) {
            (Some(least), Some(most)) => format!("{least} to {most}"),
            (Some(least), None) => format!("at least {least}"),
            (None, Some(most)) => format!("at most {most}"),
            (None, None) => "any number".into(),
        }
    }
}
