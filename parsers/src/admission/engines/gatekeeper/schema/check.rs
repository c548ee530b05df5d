//! Checks a value by its schema.

use std::net::{Ipv4Addr, Ipv6Addr};

use portcullis_policy::{Node, Value};
use serde_json::Value as Json;

use super::super::read::{At, Faults, allowed, describe, shorten, to_json};
use super::{Additional, Bound, Format, Kind, Schema, satisfies};

/// Checks a value, and that it has no fields that its schema does not describe.
pub(super) fn check(schema: &Schema, at: &At<'_>, faults: &mut Faults) {
    if matches!(at.node.value, Value::Null) {
        check_null(schema, at, faults);
        return;
    }
    let before = faults.errors.len();
    check_alone(schema, at, faults);
    if faults.errors.len() == before {
        check_known(schema, at, faults);
    }
}

fn check_null(schema: &Schema, at: &At<'_>, faults: &mut Faults) {
    let allowed = schema.nullable || schema.default.is_some() || schema.kind.is_none() && !schema.int_or_string;
    if !allowed {
        faults.refuse(at, "it is null; write a value, or leave it out");
    }
}

/// Refuses fields that are not described: the API server would drop them without a word.
fn check_known(schema: &Schema, at: &At<'_>, faults: &mut Faults) {
    match &at.node.value {
        Value::Map(entries) => {
            for (entry, (name, at)) in entries.iter().zip(at.entries()) {
                match (schema.properties.get(name), &schema.additional) {
                    (Some(schema), _) => check_known(schema, &at, faults),
                    (None, Additional::Of(schema)) => check_known(schema, &at, faults),
                    (None, Additional::Any) => {}
                    (None, Additional::Unsaid) if schema.legacy && !schema.properties.is_empty() => {
                        faults.warn(&at, say_unknown(schema, &entry.key));
                    }
                    (None, Additional::Unsaid) if schema.preserve => {}
                    (None, Additional::Unsaid | Additional::Nothing) => refuse_unknown(schema, &at, &entry.key, faults),
                }
            }
        }
        Value::List(_) => {
            if let Some(schema) = &schema.items {
                at.items().iter().for_each(|at| check_known(schema, at, faults));
            }
        }
        _ => {}
    }
}

fn refuse_unknown(schema: &Schema, at: &At<'_>, name: &str, faults: &mut Faults) {
    faults.refuse(at, say_unknown(schema, name));
}

fn say_unknown(schema: &Schema, name: &str) -> String {
    let known: Vec<_> = schema.properties.keys().map(|name| &**name).collect();
    format!("unknown field `{}`; {}", shorten(name), allowed(&known))
}

/// Checks a value, whatever else is in it.
pub(super) fn check_alone(schema: &Schema, at: &At<'_>, faults: &mut Faults) {
    if matches!(at.node.value, Value::Null) {
        return check_null(schema, at, faults);
    }
    if !check_kind(schema, at, faults) {
        return;
    }
    match &at.node.value {
        Value::Map(entries) => check_map(schema, at, entries.len(), faults),
        Value::List(items) => check_list(schema, at, items, faults),
        Value::Text(text) => check_text(schema, at, text, faults),
        Value::Integer(_) | Value::Float(_) => check_number(schema, at, faults),
        Value::Null | Value::Bool(_) => {}
    }
    if let Some(allowed) = &schema.allowed
        && !allowed.iter().any(|json| same(json, &to_json(at.node)))
    {
        let words: Vec<_> = allowed.iter().map(Json::to_string).collect();
        faults.refuse(at, format!("{} is not allowed; allowed are {}", describe(at.node), shorten(&words.join(", "))));
    }
    schema.all_of.iter().for_each(|schema| check_alone(schema, at, faults));
    if !schema.any_of.is_empty() && !schema.any_of.iter().any(|schema| satisfies(schema, at.node)) {
        faults.refuse(at, "it is none of what `anyOf` of the template's schema allows");
    }
    if !schema.one_of.is_empty() && schema.one_of.iter().filter(|schema| satisfies(schema, at.node)).count() != 1 {
        faults.refuse(at, "it is not exactly one of what `oneOf` of the template's schema allows");
    }
    if schema.not.as_ref().is_some_and(|schema| satisfies(schema, at.node)) {
        faults.refuse(at, "it is what `not` of the template's schema excludes");
    }
}

fn check_kind(schema: &Schema, at: &At<'_>, faults: &mut Faults) -> bool {
    let fits = |kind| match (kind, &at.node.value) {
        (Kind::Object, Value::Map(_))
        | (Kind::Array, Value::List(_))
        | (Kind::Text, Value::Text(_))
        | (Kind::Integer | Kind::Number, Value::Integer(_))
        | (Kind::Number, Value::Float(_))
        | (Kind::Bool, Value::Bool(_)) => true,
        (Kind::Integer, Value::Float(it)) => it.fract() == 0.0,
        _ => false,
    };
    let wanted = match schema.kind {
        _ if schema.int_or_string => {
            if fits(Kind::Integer) || fits(Kind::Text) {
                return true;
            }
            "a whole number or a text"
        }
        None => return true,
        Some(kind) if fits(kind) => return true,
        Some(Kind::Object) => "a map (object)",
        Some(Kind::Array) => "a list (array)",
        Some(Kind::Text) => "a text (string)",
        Some(Kind::Integer) => "a whole number (integer)",
        Some(Kind::Number) => "a number",
        Some(Kind::Bool) => "`true` or `false` (boolean)",
    };
    faults.refuse(at, format!("wanted {wanted}, found {}", describe(at.node)));
    false
}

fn check_map(schema: &Schema, at: &At<'_>, entries: usize, faults: &mut Faults) {
    for name in &schema.required {
        let defaulted = schema.properties.get(name).is_some_and(|schema| schema.default.is_some());
        if at.any_field(name).is_none() && !defaulted {
            faults.refuse(at, format!("the field `{}` is missing", shorten(name)));
        }
    }
    if !schema.entries.has(entries) {
        faults.refuse(at, format!("it has {entries} fields, and may have {}", schema.entries.describe()));
    }
    for (name, at) in at.entries() {
        match (schema.properties.get(name), &schema.additional) {
            (Some(schema), _) => check_alone(schema, &at, faults),
            (None, Additional::Of(schema)) => check_alone(schema, &at, faults),
            (None, Additional::Any | Additional::Unsaid) => {}
            (None, Additional::Nothing) => refuse_unknown(schema, &at, name, faults),
        }
    }
}

fn check_list(schema: &Schema, at: &At<'_>, items: &[Node], faults: &mut Faults) {
    if !schema.count.has(items.len()) {
        faults.refuse(at, format!("it has {} items, and may have {}", items.len(), schema.count.describe()));
    }
    if schema.unique {
        let mut seen = std::collections::BTreeSet::new();
        for at in at.items() {
            if !seen.insert(to_json(at.node).to_string()) {
                faults.refuse(&at, "it stands there twice");
            }
        }
    }
    if let Some(schema) = &schema.items {
        at.items().iter().for_each(|at| check_alone(schema, at, faults));
    }
}

fn check_text(schema: &Schema, at: &At<'_>, text: &str, faults: &mut Faults) {
    let length = text.chars().count();
    if !schema.length.has(length) {
        faults.refuse(at, format!("it has {length} characters, and may have {}", schema.length.describe()));
    }
    if let Some(regex) = &schema.pattern
        && !regex.is_match(text.as_bytes())
    {
        faults.refuse(at, format!("`{}` does not match `{}`", shorten(text), shorten(regex.as_str())));
    }
    match schema.format {
        Some(Format::Ipv4) if text.parse::<Ipv4Addr>().is_err() => faults.refuse(at, "it is no IPv4 address"),
        Some(Format::Ipv6) if text.parse::<Ipv6Addr>().is_err() => faults.refuse(at, "it is no IPv6 address"),
        _ => {}
    }
}

fn check_number(schema: &Schema, at: &At<'_>, faults: &mut Faults) {
    let Some(number) = number(at.node) else { return };
    let beyond = |bound: Bound, beyond: bool| beyond || bound.exclusive && number == bound.value;
    if let Some(bound) = schema.minimum
        && beyond(bound, number < bound.value)
    {
        faults.refuse(at, format!("{number} is too small; {}", describe_bound(bound, "least", "more than")));
    }
    if let Some(bound) = schema.maximum
        && beyond(bound, number > bound.value)
    {
        faults.refuse(at, format!("{number} is too large; {}", describe_bound(bound, "most", "less than")));
    }
    if let Some(step) = schema.multiple_of
        && (number / step).fract() != 0.0
    {
        faults.refuse(at, format!("{number} is not a multiple of {step}"));
    }
    if schema.format == Some(Format::Int32) && !(f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&number) {
        faults.refuse(at, format!("{number} is no number of 32 bits"));
    }
}

fn describe_bound(bound: Bound, most: &str, beyond: &str) -> String {
    match bound.exclusive {
        true => format!("allowed is {beyond} {}", bound.value),
        false => format!("allowed is at {most} {}", bound.value),
    }
}

/// The number here. Digits past the 17th are lost.
pub(super) fn number(node: &Node) -> Option<f64> {
    match node.value {
        Value::Integer(it) => Some(it as f64),
        Value::Float(it) => Some(it),
        _ => None,
    }
}

/// Whether two values are the same, where `1` and `1.0` are.
fn same(one: &Json, other: &Json) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}
