//! Objects, and documents as texts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use portcullis_json as json;
use regorus::Value;

use super::format::values::number_text;
use super::{Context, Done, Stop, as_text, text_of};
use crate::{EvalError, ManagedFields, read_json};

const ENTRY: usize = 96;

type Object = regorus::value::Object;

fn object(value: &Value) -> Result<&Object, Stop> {
    match value {
        Value::Object(entries) => Ok(entries),
        _ => Err(Stop::Undefined),
    }
}

/// The keys that a set, an array or an object stands for.
fn keys(value: &Value) -> Result<BTreeSet<Value>, Stop> {
    Ok(match value {
        Value::Set(items) => items.iter().cloned().collect(),
        Value::Array(items) => items.iter().cloned().collect(),
        Value::Object(entries) => entries.keys().cloned().collect(),
        _ => return Err(Stop::Undefined),
    })
}

pub(super) fn object_get(_: &mut Context, arguments: &[Value]) -> Done {
    let [from, key, default] = arguments else { return Err(Stop::Undefined) };
    let entries = object(from)?;
    let found = match key {
        Value::Array(path) => path.iter().try_fold(from, |at, key| match at {
            Value::Object(entries) => entries.get(key),
            Value::Array(items) => match key {
                Value::Number(at) => at.as_u64().and_then(|at| items.get(usize::try_from(at).ok()?)),
                _ => None,
            },
            Value::Set(items) => items.get(key),
            _ => None,
        }),
        key => entries.get(key),
    };
    Ok(found.unwrap_or(default).clone())
}

pub(super) fn object_keys(context: &mut Context, arguments: &[Value]) -> Done {
    let [from] = arguments else { return Err(Stop::Undefined) };
    let entries = object(from)?;
    context.limits.allocate(entries.len().saturating_mul(ENTRY))?;
    Ok(Value::from(entries.keys().cloned().collect::<BTreeSet<_>>()))
}

pub(super) fn object_remove(context: &mut Context, arguments: &[Value]) -> Done {
    let [from, gone] = arguments else { return Err(Stop::Undefined) };
    let (entries, gone) = (object(from)?, keys(gone)?);
    context.limits.allocate(entries.len().saturating_mul(ENTRY))?;
    Ok(select(entries, |key| !gone.contains(key)))
}

pub(super) fn object_filter(context: &mut Context, arguments: &[Value]) -> Done {
    let [from, kept] = arguments else { return Err(Stop::Undefined) };
    let (entries, kept) = (object(from)?, keys(kept)?);
    context.limits.allocate(entries.len().saturating_mul(ENTRY))?;
    Ok(select(entries, |key| kept.contains(key)))
}

fn select(entries: &Object, wanted: impl Fn(&Value) -> bool) -> Value {
    let kept: BTreeMap<Value, Value> =
        entries.iter().filter(|(key, _)| wanted(key)).map(|(key, value)| (key.clone(), value.clone())).collect();
    Value::from(kept)
}

pub(super) fn object_subset(context: &mut Context, arguments: &[Value]) -> Done {
    let [whole, part] = arguments else { return Err(Stop::Undefined) };
    Ok(Value::Bool(match (whole, part) {
        (Value::Object(_), Value::Object(_)) => is_part(context, whole, part)?,
        (Value::Set(whole), Value::Set(part)) => part.is_subset(whole),
        (Value::Array(whole), Value::Set(part)) => part.iter().all(|item| whole.contains(item)),
        (Value::Array(whole), Value::Array(part)) => {
            context.limits.look()?;
            part.is_empty() || whole.as_slice().windows(part.len()).any(|window| window == part.as_slice())
        }
        _ => return Err(Stop::Undefined),
    }))
}

fn is_part(context: &mut Context, whole: &Value, part: &Value) -> Result<bool, Stop> {
    context.limits.check_stack()?;
    context.limits.step()?;
    let (Value::Object(whole), Value::Object(part)) = (whole, part) else {
        return Ok(match (whole, part) {
            (Value::Set(whole), Value::Set(part)) => part.is_subset(whole),
            (Value::Array(whole), Value::Array(part)) => {
                part.is_empty() || whole.as_slice().windows(part.len()).any(|window| window == part.as_slice())
            }
            _ => whole == part,
        });
    };
    for (key, part) in part.iter() {
        let Some(whole) = whole.get(key) else { return Ok(false) };
        if !is_part(context, whole, part)? {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(super) fn object_union(context: &mut Context, arguments: &[Value]) -> Done {
    let [left, right] = arguments else { return Err(Stop::Undefined) };
    object(left)?;
    object(right)?;
    merge(context, left, right)
}

pub(super) fn object_union_n(context: &mut Context, arguments: &[Value]) -> Done {
    let [Value::Array(all)] = arguments else { return Err(Stop::Undefined) };
    let mut whole = Value::new_object();
    for next in all.iter() {
        object(next)?;
        whole = merge(context, &whole, next)?;
    }
    Ok(whole)
}

/// What is in the right one counts; objects in both become one.
fn merge(context: &mut Context, left: &Value, right: &Value) -> Done {
    context.limits.check_stack()?;
    let (Value::Object(lefts), Value::Object(rights)) = (left, right) else { return Ok(right.clone()) };
    context.limits.allocate(lefts.len().saturating_add(rights.len()).saturating_mul(ENTRY))?;
    let mut whole: BTreeMap<Value, Value> = lefts.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    for (key, value) in rights.iter() {
        let value = match whole.get(key) {
            Some(before) => merge(context, before, value)?,
            None => value.clone(),
        };
        whole.insert(key.clone(), value);
    }
    Ok(Value::from(whole))
}

/// Paths as `a/b/0` or as arrays.
fn paths(value: &Value) -> Result<Vec<Vec<Value>>, Stop> {
    let each: Vec<&Value> = match value {
        Value::Set(items) => items.iter().collect(),
        Value::Array(items) => items.iter().collect(),
        _ => return Err(Stop::Undefined),
    };
    each.into_iter()
        .map(|path| match path {
            Value::String(text) => Ok(text
                .trim_start_matches('/')
                .split('/')
                .map(|part| Value::from(part.replace("~1", "/").replace("~0", "~")))
                .collect()),
            Value::Array(parts) => Ok(parts.to_vec()),
            _ => Err(Stop::Undefined),
        })
        .collect()
}

fn child<'v>(value: &'v Value, key: &Value) -> Option<(Value, &'v Value)> {
    match value {
        Value::Object(entries) => entries.get(key).map(|value| (key.clone(), value)),
        Value::Array(items) => {
            let at = match key {
                Value::Number(at) => at.as_u64()?,
                Value::String(text) => text.parse().ok()?,
                _ => return None,
            };
            items.get(usize::try_from(at).ok()?).map(|value| (Value::from(at), value))
        }
        _ => None,
    }
}

/// What is left of a value where only some paths stay.
fn keep(context: &mut Context, value: &Value, paths: &[&[Value]]) -> Done {
    context.limits.check_stack()?;
    context.limits.step()?;
    if paths.iter().any(|path| path.is_empty()) {
        return Ok(value.clone());
    }
    let mut below: BTreeMap<Value, (&Value, Vec<&[Value]>)> = BTreeMap::new();
    for path in paths {
        let Some((first, rest)) = path.split_first() else { continue };
        if let Some((key, found)) = child(value, first) {
            below.entry(key).or_insert_with(|| (found, Vec::new())).1.push(rest);
        }
    }
    let mut entries = Vec::new();
    for (key, (found, rest)) in below {
        entries.push((key, keep(context, found, &rest)?));
    }
    context.limits.allocate(entries.len().saturating_mul(ENTRY))?;
    Ok(match value {
        Value::Array(_) => Value::from(entries.into_iter().map(|(_, value)| value).collect::<Vec<_>>()),
        Value::Object(_) => Value::from(entries.into_iter().collect::<BTreeMap<_, _>>()),
        other => other.clone(),
    })
}

pub(super) fn json_filter(context: &mut Context, arguments: &[Value]) -> Done {
    let [from, wanted] = arguments else { return Err(Stop::Undefined) };
    object(from)?;
    let paths = paths(wanted)?;
    let paths: Vec<&[Value]> = paths.iter().map(Vec::as_slice).collect();
    keep(context, from, &paths)
}

pub(super) fn json_remove(context: &mut Context, arguments: &[Value]) -> Done {
    let [from, gone] = arguments else { return Err(Stop::Undefined) };
    object(from)?;
    let paths = paths(gone)?;
    let paths: Vec<&[Value]> = paths.iter().map(Vec::as_slice).collect();
    drop_paths(context, from, &paths)
}

fn drop_paths(context: &mut Context, value: &Value, paths: &[&[Value]]) -> Done {
    context.limits.check_stack()?;
    context.limits.step()?;
    let of = |key: &Value| -> Vec<&[Value]> {
        paths
            .iter()
            .filter_map(|path| path.split_first())
            .filter(|(first, _)| child(value, first).is_some_and(|(found, _)| found == *key))
            .map(|(_, rest)| rest)
            .collect()
    };
    match value {
        Value::Object(entries) => {
            let mut kept = BTreeMap::new();
            context.limits.allocate(entries.len().saturating_mul(ENTRY))?;
            for (key, value) in entries.iter() {
                let rest = of(key);
                if rest.iter().any(|path| path.is_empty()) {
                    continue;
                }
                let value = if rest.is_empty() { value.clone() } else { drop_paths(context, value, &rest)? };
                kept.insert(key.clone(), value);
            }
            Ok(Value::from(kept))
        }
        Value::Array(items) => {
            let mut kept = Vec::new();
            context.limits.allocate(items.len().saturating_mul(ENTRY))?;
            for (at, value) in items.iter().enumerate() {
                let rest = of(&Value::from(at));
                if rest.iter().any(|path| path.is_empty()) {
                    continue;
                }
                kept.push(if rest.is_empty() { value.clone() } else { drop_paths(context, value, &rest)? });
            }
            Ok(Value::from(kept))
        }
        other => Ok(other.clone()),
    }
}

pub(super) fn json_marshal(context: &mut Context, arguments: &[Value]) -> Done {
    let [value] = arguments else { return Err(Stop::Undefined) };
    let mut out = String::new();
    write_json(context, &mut out, value)?;
    text_of(context, out)
}

/// JSON as Go writes it: without spaces, and with `<`, `>` and `&` escaped.
fn write_json(context: &mut Context, out: &mut String, value: &Value) -> Result<(), Stop> {
    context.limits.check_stack()?;
    context.limits.step()?;
    if out.len() > context.limits.left() {
        return Err(Stop::Error(EvalError::Memory));
    }
    match value {
        Value::Null | Value::Undefined => out.push_str("null"),
        Value::Bool(it) => out.push_str(if *it { "true" } else { "false" }),
        Value::Number(_) => out.push_str(&number_text(value)),
        Value::String(text) => write_text(out, text),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_json(context, out, item)?;
            }
            out.push(']');
        }
        Value::Set(items) => {
            out.push('[');
            for (at, item) in items.iter_sorted().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_json(context, out, item)?;
            }
            out.push(']');
        }
        Value::Object(entries) => {
            // Keys that are no texts are written as the texts of their JSON.
            let mut named = BTreeMap::new();
            for (key, value) in entries.iter_sorted() {
                let key: Arc<str> = match key {
                    Value::String(text) => text.clone(),
                    other => {
                        let mut text = String::new();
                        write_json(context, &mut text, other)?;
                        Arc::from(text)
                    }
                };
                named.insert(key, value);
            }
            out.push('{');
            for (at, (key, value)) in named.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_text(out, &key);
                out.push(':');
                write_json(context, out, value)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for it in text.chars() {
        match it {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", u32::from(it))),
            _ if it.is_ascii_control() && it != '\u{7f}' => out.push_str(&format!("\\u{:04x}", u32::from(it))),
            _ => out.push(it),
        }
    }
    out.push('"');
}

pub(super) fn json_unmarshal(context: &mut Context, arguments: &[Value]) -> Done {
    let [text] = arguments else { return Err(Stop::Undefined) };
    let text = as_text(text)?;
    // A value takes some 20 times what its shortest text does.
    context.limits.allocate(text.len().saturating_mul(20))?;
    context.limits.look()?;
    let mut tape = json::Tape::new();
    let value = tape.read(text.as_bytes()).map_err(|_| Stop::Undefined)?;
    read_json(value, ManagedFields::Keep).map_err(|_| Stop::Undefined)
}

pub(super) fn json_is_valid(context: &mut Context, arguments: &[Value]) -> Done {
    let [Value::String(text)] = arguments else { return Ok(Value::Bool(false)) };
    context.limits.allocate(text.len().saturating_mul(8))?;
    context.limits.look()?;
    Ok(Value::Bool(json::Tape::new().read(text.as_bytes()).is_ok()))
}
