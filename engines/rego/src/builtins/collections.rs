//! Arrays and sets, and what asks for the kind of a value.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use regorus::Value;

use super::{Context, Done, Stop, as_int, order};

const ELEMENT: usize = 48;

fn pair(arguments: &[Value]) -> Result<(&Value, &Value), Stop> {
    match arguments {
        [left, right] => Ok((left, right)),
        _ => Err(Stop::Undefined),
    }
}

fn first(arguments: &[Value]) -> Result<&Value, Stop> {
    arguments.first().ok_or(Stop::Undefined)
}

pub(super) fn count(_: &mut Context, arguments: &[Value]) -> Done {
    Ok(Value::from(match first(arguments)? {
        Value::Array(items) => items.len(),
        Value::Set(items) => items.len(),
        Value::Object(entries) => entries.len(),
        Value::String(text) => text.chars().count(),
        _ => return Err(Stop::Undefined),
    }))
}

pub(super) fn all(_: &mut Context, arguments: &[Value]) -> Done {
    let truth = Value::Bool(true);
    Ok(Value::Bool(match first(arguments)? {
        Value::Array(items) => items.iter().all(|item| *item == truth),
        Value::Set(items) => items.is_empty() || items.len() == 1 && items.contains(&truth),
        _ => return Err(Stop::Undefined),
    }))
}

pub(super) fn any(_: &mut Context, arguments: &[Value]) -> Done {
    let truth = Value::Bool(true);
    Ok(Value::Bool(match first(arguments)? {
        Value::Array(items) => items.contains(&truth),
        Value::Set(items) => items.contains(&truth),
        _ => return Err(Stop::Undefined),
    }))
}

pub(super) fn and(context: &mut Context, arguments: &[Value]) -> Done {
    let (Value::Set(left), Value::Set(right)) = pair(arguments)? else { return Err(Stop::Undefined) };
    context.spend(left.len().saturating_add(right.len()))?;
    context.limits.allocate(left.len().min(right.len()).saturating_mul(ELEMENT))?;
    Ok(Value::from(left.intersection(right)))
}

pub(super) fn or(context: &mut Context, arguments: &[Value]) -> Done {
    let (Value::Set(left), Value::Set(right)) = pair(arguments)? else { return Err(Stop::Undefined) };
    context.limits.allocate(left.len().saturating_add(right.len()).saturating_mul(ELEMENT))?;
    Ok(Value::from(left.union(right)))
}

pub(super) fn set_diff(context: &mut Context, arguments: &[Value]) -> Done {
    let (Value::Set(left), Value::Set(right)) = pair(arguments)? else { return Err(Stop::Undefined) };
    context.limits.allocate(left.len().saturating_mul(ELEMENT))?;
    Ok(Value::from(left.difference(right)))
}

pub(super) fn union(context: &mut Context, arguments: &[Value]) -> Done {
    let Value::Set(sets) = first(arguments)? else { return Err(Stop::Undefined) };
    let mut whole = BTreeSet::new();
    for set in sets.iter() {
        let Value::Set(items) = set else { return Err(Stop::Undefined) };
        context.limits.allocate(items.len().saturating_mul(ELEMENT))?;
        whole.extend(items.iter().cloned());
    }
    Ok(Value::from(whole))
}

pub(super) fn intersection(context: &mut Context, arguments: &[Value]) -> Done {
    let Value::Set(sets) = first(arguments)? else { return Err(Stop::Undefined) };
    let mut whole: Option<regorus::value::Set> = None;
    for set in sets.iter() {
        let Value::Set(items) = set else { return Err(Stop::Undefined) };
        context.limits.allocate(items.len().saturating_mul(ELEMENT))?;
        whole = Some(match whole {
            Some(whole) => whole.intersection(items),
            None => (**items).clone(),
        });
    }
    Ok(Value::from(whole.unwrap_or_default()))
}

pub(super) fn array_concat(context: &mut Context, arguments: &[Value]) -> Done {
    let (Value::Array(left), Value::Array(right)) = pair(arguments)? else { return Err(Stop::Undefined) };
    context.limits.allocate(left.len().saturating_add(right.len()).saturating_mul(ELEMENT))?;
    Ok(Value::from(left.iter().chain(right.iter()).cloned().collect::<Vec<_>>()))
}

pub(super) fn array_flatten(context: &mut Context, arguments: &[Value]) -> Done {
    let Value::Array(items) = first(arguments)? else { return Err(Stop::Undefined) };
    let mut flat = Vec::new();
    for item in items.iter() {
        match item {
            Value::Array(inner) => {
                context.limits.allocate(inner.len().saturating_mul(ELEMENT))?;
                flat.extend(inner.iter().cloned());
            }
            other => flat.push(other.clone()),
        }
    }
    context.limits.allocate(items.len().saturating_mul(ELEMENT))?;
    Ok(Value::from(flat))
}

pub(super) fn array_reverse(context: &mut Context, arguments: &[Value]) -> Done {
    let Value::Array(items) = first(arguments)? else { return Err(Stop::Undefined) };
    context.limits.allocate(items.len().saturating_mul(ELEMENT))?;
    let mut items = items.to_vec();
    items.reverse();
    Ok(Value::from(items))
}

pub(super) fn array_slice(context: &mut Context, arguments: &[Value]) -> Done {
    let [Value::Array(items), start, end] = arguments else { return Err(Stop::Undefined) };
    let start = usize::try_from(as_int(start)?.max(0)).unwrap_or(usize::MAX);
    let end = usize::try_from(as_int(end)?.max(0)).unwrap_or(usize::MAX).min(items.len());
    if start >= end {
        return Ok(Value::new_array());
    }
    context.limits.allocate(end.saturating_sub(start).saturating_mul(ELEMENT))?;
    Ok(Value::from(items.as_slice().get(start..end).unwrap_or_default().to_vec()))
}

pub(super) fn sort(context: &mut Context, arguments: &[Value]) -> Done {
    let items: Vec<Value> = match first(arguments)? {
        Value::Array(items) => items.to_vec(),
        Value::Set(items) => items.iter().cloned().collect(),
        _ => return Err(Stop::Undefined),
    };
    context.limits.allocate(items.len().saturating_mul(2 * ELEMENT))?;
    merge_sort(context, items).map(Value::from)
}

/// Sorts by merging runs that become longer: the sort of the standard library cannot be stopped half-way.
fn merge_sort(context: &mut Context, mut items: Vec<Value>) -> Result<Vec<Value>, Stop> {
    let mut run = 1_usize;
    while run < items.len() {
        let mut merged = Vec::with_capacity(items.len());
        for two in items.chunks(run.saturating_mul(2)) {
            let (left, right) = two.split_at(run.min(two.len()));
            let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
            while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
                let next = if compare(context, a, b)?.is_gt() { &mut right } else { &mut left };
                merged.extend(next.next().cloned());
            }
            merged.extend(left.chain(right).cloned());
        }
        items = merged;
        run = run.saturating_mul(2);
    }
    Ok(items)
}

/// Compares, and looks at the clock as often as that may take long.
fn compare(context: &mut Context, left: &Value, right: &Value) -> Result<Ordering, Stop> {
    match (left, right) {
        (Value::Array(_) | Value::Object(_) | Value::Set(_), Value::Array(_) | Value::Object(_) | Value::Set(_)) => {
            context.limits.look()?;
        }
        (Value::String(left), Value::String(right)) => {
            context.limits.step()?;
            context.spend(left.len().min(right.len()))?;
        }
        _ => context.limits.step()?,
    }
    Ok(order(left, right))
}

fn pick(context: &mut Context, arguments: &[Value], wanted: Ordering) -> Done {
    let items: Vec<&Value> = match first(arguments)? {
        Value::Array(items) => items.iter().collect(),
        Value::Set(items) => items.iter().collect(),
        _ => return Err(Stop::Undefined),
    };
    let mut items = items.into_iter();
    let mut found = items.next().ok_or(Stop::Undefined)?;
    for item in items {
        if compare(context, item, found)? == wanted {
            found = item;
        }
    }
    Ok(found.clone())
}

pub(super) fn max(context: &mut Context, arguments: &[Value]) -> Done {
    pick(context, arguments, Ordering::Greater)
}

pub(super) fn min(context: &mut Context, arguments: &[Value]) -> Done {
    pick(context, arguments, Ordering::Less)
}

pub(super) fn member(context: &mut Context, arguments: &[Value]) -> Done {
    let (item, collection) = pair(arguments)?;
    Ok(Value::Bool(match collection {
        Value::Array(items) => {
            context.spend(items.len())?;
            items.contains(item)
        }
        Value::Set(items) => items.contains(item),
        Value::Object(entries) => {
            context.spend(entries.len())?;
            entries.values().any(|value| value == item)
        }
        _ => false,
    }))
}

pub(super) fn member_with_key(_: &mut Context, arguments: &[Value]) -> Done {
    let [key, item, collection] = arguments else { return Err(Stop::Undefined) };
    Ok(Value::Bool(match collection {
        Value::Array(_) | Value::Object(_) => collection[key] == *item && *item != Value::Undefined,
        Value::Set(items) => key == item && items.contains(item),
        _ => false,
    }))
}

pub(super) fn cast_array(context: &mut Context, arguments: &[Value]) -> Done {
    match first(arguments)? {
        Value::Set(items) => {
            context.limits.allocate(items.len().saturating_mul(ELEMENT))?;
            Ok(Value::from(items.iter().cloned().collect::<Vec<_>>()))
        }
        array @ Value::Array(_) => Ok(array.clone()),
        _ => Err(Stop::Undefined),
    }
}

pub(super) fn cast_set(context: &mut Context, arguments: &[Value]) -> Done {
    match first(arguments)? {
        Value::Array(items) => {
            context.limits.allocate(items.len().saturating_mul(ELEMENT))?;
            Ok(Value::from(items.iter().cloned().collect::<BTreeSet<_>>()))
        }
        set @ Value::Set(_) => Ok(set.clone()),
        _ => Err(Stop::Undefined),
    }
}

pub(super) fn type_name(_: &mut Context, arguments: &[Value]) -> Done {
    Ok(Value::from(match first(arguments)? {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Set(_) => "set",
        Value::Object(_) => "object",
        Value::Undefined => return Err(Stop::Undefined),
    }))
}

/// What an object of neighbours says of a node.
fn neighbours(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items.to_vec(),
        Value::Set(items) => items.iter().cloned().collect(),
        _ => Vec::new(),
    }
}

/// All ways through an object of neighbours that go on to no node twice.
pub(super) fn reachable_paths(context: &mut Context, arguments: &[Value]) -> Done {
    let (Value::Object(graph), starts) = pair(arguments)? else { return Err(Stop::Undefined) };
    if !matches!(starts, Value::Array(_) | Value::Set(_)) {
        return Err(Stop::Undefined);
    }
    let mut found = BTreeSet::new();
    // A way, and the node that it goes on to.
    let mut pending: Vec<(Vec<Value>, Value)> = neighbours(starts)
        .into_iter()
        .filter(|node| graph.get(node).is_some())
        .map(|node| (Vec::new(), node))
        .collect();
    while let Some((mut path, node)) = pending.pop() {
        context.limits.step()?;
        let edges = graph.get(&node).map(neighbours);
        if edges.is_some() {
            path.push(node);
        }
        let edges = edges.unwrap_or_default();
        if edges.is_empty() {
            context.limits.allocate(path.len().saturating_add(1).saturating_mul(ELEMENT))?;
            found.insert(Value::from(path));
            continue;
        }
        for next in edges {
            context.limits.step()?;
            context.spend(path.len().saturating_mul(64))?;
            context.limits.allocate(path.len().saturating_add(1).saturating_mul(ELEMENT))?;
            if path.contains(&next) {
                found.insert(Value::from(path.clone()));
            } else {
                pending.push((path.clone(), next));
            }
        }
    }
    Ok(Value::from(found))
}

/// The nodes that can be reached in an object of neighbours.
pub(super) fn reachable(context: &mut Context, arguments: &[Value]) -> Done {
    let (Value::Object(graph), starts) = pair(arguments)? else { return Err(Stop::Undefined) };
    if !matches!(starts, Value::Array(_) | Value::Set(_)) {
        return Err(Stop::Undefined);
    }
    let mut pending = neighbours(starts);
    let mut reached = BTreeSet::new();
    while let Some(node) = pending.pop() {
        context.limits.step()?;
        let Some(edges) = graph.get(&node) else { continue };
        if reached.insert(node) {
            let edges = neighbours(edges);
            context.limits.allocate(edges.len().saturating_add(1).saturating_mul(ELEMENT))?;
            pending.extend(edges);
        }
    }
    Ok(Value::Set(Arc::new(reached.into())))
}
