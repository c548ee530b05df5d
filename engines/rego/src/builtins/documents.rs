//! Objects, and paths in documents.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use regorus::Value;

use super::{Context, Done, Stop, upstream};

const ENTRY: usize = 96;

pub(super) type Object = regorus::value::Object;

pub(super) fn object(value: &Value) -> Result<&Object, Stop> {
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
        (Value::Array(whole), Value::Set(part)) => {
            context.limits.allocate(whole.len().saturating_mul(ENTRY))?;
            let whole: BTreeSet<&Value> = whole.iter().collect();
            part.iter().all(|item| whole.contains(item))
        }
        (Value::Array(whole), Value::Array(part)) => has_slice(context, whole.as_slice(), part.as_slice())?,
        _ => return Err(Stop::Undefined),
    }))
}

/// Whether some items in a row are like others.
fn has_slice(context: &mut Context, whole: &[Value], part: &[Value]) -> Result<bool, Stop> {
    if part.is_empty() {
        return Ok(true);
    }
    for window in whole.windows(part.len()) {
        context.limits.step()?;
        context.spend(part.len().saturating_mul(64))?;
        if window == part {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_part(context: &mut Context, whole: &Value, part: &Value) -> Result<bool, Stop> {
    context.limits.check_stack()?;
    context.limits.step()?;
    let (Value::Object(whole), Value::Object(part)) = (whole, part) else {
        return Ok(match (whole, part) {
            (Value::Set(whole), Value::Set(part)) => part.is_subset(whole),
            (Value::Array(whole), Value::Array(part)) => has_slice(context, whole.as_slice(), part.as_slice())?,
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
    merge(context, left.clone(), right)
}

pub(super) fn object_union_n(context: &mut Context, arguments: &[Value]) -> Done {
    let [Value::Array(all)] = arguments else { return Err(Stop::Undefined) };
    let mut whole = Value::new_object();
    for next in all.iter() {
        object(next)?;
        whole = merge(context, whole, next)?;
    }
    Ok(whole)
}

/// What is in the right one counts; objects in both become one.
fn merge(context: &mut Context, left: Value, right: &Value) -> Done {
    context.limits.check_stack()?;
    let (Value::Object(mut lefts), Value::Object(rights)) = (left, right) else { return Ok(right.clone()) };
    // What nobody else has is changed where it is: to merge many objects takes no more than they have in them.
    if Arc::get_mut(&mut lefts).is_none() {
        context.limits.allocate(lefts.len().saturating_mul(ENTRY))?;
    }
    context.limits.allocate(rights.len().saturating_mul(ENTRY))?;
    let whole = Arc::make_mut(&mut lefts);
    for (key, value) in rights.iter() {
        context.limits.step()?;
        match whole.get_mut(key) {
            Some(slot) => {
                let before = std::mem::replace(slot, Value::Null);
                *slot = merge(context, before, value)?;
            }
            None => {
                whole.insert(key.clone(), value.clone());
            }
        }
    }
    Ok(Value::Object(lefts))
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
            // OPA finds an item by its number as a text, and not by the number.
            let Value::String(text) = key else { return None };
            let at: usize = text.parse().ok().filter(|at: &usize| at.to_string() == **text)?;
            items.get(at).map(|value| (Value::from(at), value))
        }
        _ => None,
    }
}

/// What some paths lead to in a value, and what is left of them there.
fn below<'v, 'p>(context: &mut Context, value: &'v Value, paths: &[&'p [Value]]) -> Result<Below<'v, 'p>, Stop> {
    let mut below = Below::new();
    for path in paths {
        context.limits.step()?;
        let Some((first, rest)) = path.split_first() else { continue };
        if let Some((key, found)) = child(value, first) {
            below.entry(key).or_insert_with(|| (found, Vec::new())).1.push(rest);
        }
    }
    Ok(below)
}

type Below<'v, 'p> = BTreeMap<Value, (&'v Value, Vec<&'p [Value]>)>;

/// What is left of a value where only some paths stay.
fn keep(context: &mut Context, value: &Value, paths: &[&[Value]]) -> Done {
    context.limits.check_stack()?;
    context.limits.step()?;
    if paths.iter().any(|path| path.is_empty()) {
        return Ok(value.clone());
    }
    let mut entries = Vec::new();
    for (key, (found, rest)) in below(context, value, paths)? {
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
    let mut below = below(context, value, paths)?;
    match value {
        Value::Object(entries) => {
            let mut kept = BTreeMap::new();
            context.limits.allocate(entries.len().saturating_mul(ENTRY))?;
            for (key, value) in entries.iter() {
                let value = match below.remove(key) {
                    None => value.clone(),
                    Some((_, rest)) if rest.iter().any(|path| path.is_empty()) => continue,
                    Some((_, rest)) => drop_paths(context, value, &rest)?,
                };
                kept.insert(key.clone(), value);
            }
            Ok(Value::from(kept))
        }
        Value::Array(items) => {
            let mut kept = Vec::new();
            context.limits.allocate(items.len().saturating_mul(ENTRY))?;
            for (at, value) in items.iter().enumerate() {
                kept.push(match below.remove(&Value::from(at)) {
                    None => value.clone(),
                    Some((_, rest)) if rest.iter().any(|path| path.is_empty()) => continue,
                    Some((_, rest)) => drop_paths(context, value, &rest)?,
                });
            }
            Ok(Value::from(kept))
        }
        other => Ok(other.clone()),
    }
}

/// How many operations of a patch are made in one go: the deadline is looked at between them.
const PATCHES: usize = 16;

pub(super) fn json_patch(context: &mut Context, arguments: &[Value]) -> Done {
    let [from, Value::Array(patches)] = arguments else { return Err(Stop::Undefined) };
    if patches.len() <= PATCHES {
        return upstream::call(context, "json.patch", arguments);
    }
    let mut patched = from.clone();
    for some in patches.as_slice().chunks(PATCHES) {
        patched = upstream::call(context, "json.patch", &[patched, Value::from(some.to_vec())])?;
    }
    Ok(patched)
}
