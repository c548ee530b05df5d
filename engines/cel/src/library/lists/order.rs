//! Sums, extremes and order.

use std::cmp::Ordering;

use super::{collect, measure, refuse_cost};
use crate::error::EvalError;
use crate::function::Call;
use crate::library::failed;
use crate::value::{List, Value};

pub(super) fn sum<'v>(call: &mut Call<'_, 'v>) -> Result<Value<'v>, EvalError> {
    let mut total: Option<Value<'v>> = None;
    for item in call.list(0)?.items() {
        call.work(1)?;
        let total = total.get_or_insert(match item {
            Value::UInt(_) => Value::UInt(0),
            Value::Double(_) => Value::Double(0.0),
            Value::Duration(_) => Value::Duration(0),
            _ => Value::Int(0),
        });
        let added = match (&*total, item) {
            (Value::Int(total), Value::Int(item)) => total.checked_add(item).map(Value::Int).ok_or("integer overflow"),
            (Value::UInt(total), Value::UInt(item)) => {
                total.checked_add(item).map(Value::UInt).ok_or("unsigned integer overflow")
            }
            (Value::Double(total), Value::Double(item)) => Ok(Value::Double(total + item)),
            (Value::Duration(total), Value::Duration(item)) => {
                total.checked_add(item).map(Value::Duration).ok_or("duration overflow")
            }
            _ => return Err(call.no_such_overload()),
        };
        *total = added.map_err(failed)?;
    }
    Ok(total.unwrap_or(Value::Int(0)))
}

pub(super) fn min<'v>(call: &mut Call<'_, 'v>) -> Result<Value<'v>, EvalError> {
    pick(call, Ordering::Greater, "min called on empty list")
}

pub(super) fn max<'v>(call: &mut Call<'_, 'v>) -> Result<Value<'v>, EvalError> {
    pick(call, Ordering::Less, "max called on empty list")
}

/// The first of the items to which no other has this order.
fn pick<'v>(call: &mut Call<'_, 'v>, replace: Ordering, empty: &'static str) -> Result<Value<'v>, EvalError> {
    let mut items = call.list(0)?.items();
    let mut best = items.next().ok_or_else(|| failed(empty))?;
    require_comparable(call, &best)?;
    for item in items {
        call.work(1)?;
        if order(call, &best, &item)? == Some(replace) {
            best = item;
        }
    }
    Ok(best)
}

pub(super) fn is_sorted<'v>(call: &mut Call<'_, 'v>) -> Result<Value<'v>, EvalError> {
    let mut items = call.list(0)?.items();
    let Some(mut last) = items.next() else { return Ok(Value::Bool(true)) };
    require_comparable(call, &last)?;
    for item in items {
        call.work(1)?;
        if order(call, &last, &item)? == Some(Ordering::Greater) {
            return Ok(Value::Bool(false));
        }
        last = item;
    }
    Ok(Value::Bool(true))
}

pub(super) fn sort<'v>(call: &mut Call<'_, 'v>) -> Result<Value<'v>, EvalError> {
    refuse_cost(measure::self_compare_cost(call.arguments(), 0))?;
    let list = call.list(0)?;
    let items = collect(call, list)?;
    let keys = collect(call, list)?;
    sort_items(call, items, keys)
}

pub(super) fn sort_by_keys<'v>(call: &mut Call<'_, 'v>) -> Result<Value<'v>, EvalError> {
    refuse_cost(measure::self_compare_cost(call.arguments(), 1))?;
    let (list, keys): (&List<'v>, &List<'v>) = (call.list(0)?, call.list(1)?);
    let items = collect(call, list)?;
    let keys = collect(call, keys)?;
    if items.len() != keys.len() {
        return Err(call.no_such_overload());
    }
    sort_items(call, items, keys)
}

fn sort_items<'v>(
    call: &mut Call<'_, 'v>,
    items: Vec<Value<'v>>,
    keys: Vec<Value<'v>>,
) -> Result<Value<'v>, EvalError> {
    let Some(first) = keys.first() else { return Ok(Value::list(items)) };
    if !is_comparable(first) {
        return Err(failed("list elements must be comparable"));
    }
    if keys.iter().any(|key| key.kind() != first.kind()) {
        return Err(failed("list elements must have the same type"));
    }
    call.work(items.len())?;
    let mut pairs: Vec<(Value<'v>, Value<'v>)> = keys.into_iter().zip(items).collect();
    pairs.sort_by(|(left, _), (right, _)| total_order(call, left, right));
    Ok(Value::list(pairs.into_iter().map(|(_, item)| item).collect()))
}

/// An order of values of one type that puts NaN first: a sort needs one that is never in doubt.
fn total_order<'v>(call: &Call<'_, 'v>, left: &Value<'v>, right: &Value<'v>) -> Ordering {
    match (left, right) {
        (Value::Double(left), Value::Double(right)) => match (left.is_nan(), right.is_nan()) {
            (false, false) => left.partial_cmp(right).unwrap_or(Ordering::Equal),
            (left, right) => right.cmp(&left),
        },
        _ => call.compare(left, right).unwrap_or(Ordering::Equal),
    }
}

/// The order of two values; none with NaN, which is passed over.
fn order<'v>(call: &Call<'_, 'v>, left: &Value<'v>, right: &Value<'v>) -> Result<Option<Ordering>, EvalError> {
    let is_nan = |value: &Value<'v>| matches!(value, Value::Double(value) if value.is_nan());
    if is_nan(left) || is_nan(right) {
        return Ok(None);
    }
    call.compare(left, right).map(Some)
}

fn require_comparable(call: &Call<'_, '_>, value: &Value<'_>) -> Result<(), EvalError> {
    if is_comparable(value) { Ok(()) } else { Err(call.no_such_overload()) }
}

fn is_comparable(value: &Value<'_>) -> bool {
    matches!(
        value,
        Value::Bool(_)
            | Value::Int(_)
            | Value::UInt(_)
            | Value::Double(_)
            | Value::Text(_)
            | Value::Bytes(_)
            | Value::Duration(_)
            | Value::Timestamp(_)
    )
}
