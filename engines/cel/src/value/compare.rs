//! Equality and order.

use std::cmp::Ordering;

use super::{KeyRef, List, Map, Value};
use crate::budget::Budget;
use crate::error::EvalError;

/// Whether two values are equal, of whatever types they are. Numbers are compared as numbers.
///
/// # Errors
///
/// It is too late.
pub(crate) fn equals(left: &Value<'_>, right: &Value<'_>, budget: &mut Budget) -> Result<bool, EvalError> {
    Ok(match (left, right) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::Text(left), Value::Text(right)) => **left == **right,
        (Value::Bytes(left), Value::Bytes(right)) => left == right,
        (Value::Int(_) | Value::UInt(_) | Value::Double(_), Value::Int(_) | Value::UInt(_) | Value::Double(_)) => {
            compare_numbers(left, right) == Some(Ordering::Equal)
        }
        (Value::Duration(left), Value::Duration(right)) => left == right,
        (Value::Timestamp(left), Value::Timestamp(right)) => left == right,
        (Value::Type(left), Value::Type(right)) => left == right,
        (Value::Opaque(left), Value::Opaque(right)) => left.equals(&**right),
        (Value::Optional(None), Value::Optional(None)) => true,
        (Value::Optional(Some(left)), Value::Optional(Some(right))) => equals(left, right, budget)?,
        (Value::List(left), Value::List(right)) => equal_lists(left, right, budget)?,
        (Value::Map(left), Value::Map(right)) => equal_maps(left, right, budget)?,
        _ => false,
    })
}

fn equal_lists(left: &List<'_>, right: &List<'_>, budget: &mut Budget) -> Result<bool, EvalError> {
    let (mut left, mut right) = (left.items(), right.items());
    loop {
        budget.work(1)?;
        match (left.next(), right.next()) {
            (None, None) => return Ok(true),
            (Some(left), Some(right)) if equals(&left, &right, budget)? => {}
            _ => return Ok(false),
        }
    }
}

fn equal_maps(left: &Map<'_>, right: &Map<'_>, budget: &mut Budget) -> Result<bool, EvalError> {
    let (length, other) = (left.len(), right.len());
    budget.work((length.saturating_add(other) >> 2) as u64)?;
    if length != other {
        return Ok(false);
    }
    for (key, value) in left.entries() {
        budget.work(1)?;
        match right.get(key.as_ref()) {
            Some(other) if equals(&value, &other, budget)? => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// The order of two values; none if one is not a number.
///
/// # Errors
///
/// Values of their types have no order.
pub(crate) fn order(left: &Value<'_>, right: &Value<'_>) -> Result<Option<Ordering>, EvalError> {
    Ok(match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        (Value::Text(left), Value::Text(right)) => Some((**left).cmp(right)),
        (Value::Bytes(left), Value::Bytes(right)) => Some(left.cmp(right)),
        (Value::Duration(left), Value::Duration(right)) => Some(left.cmp(right)),
        (Value::Timestamp(left), Value::Timestamp(right)) => Some(left.cmp(right)),
        (Value::Int(_) | Value::UInt(_) | Value::Double(_), Value::Int(_) | Value::UInt(_) | Value::Double(_)) => {
            compare_numbers(left, right)
        }
        _ => return Err(EvalError::failed("no such overload")),
    })
}

fn compare_numbers(left: &Value<'_>, right: &Value<'_>) -> Option<Ordering> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => Some(left.cmp(right)),
        (Value::UInt(left), Value::UInt(right)) => Some(left.cmp(right)),
        (Value::Double(left), Value::Double(right)) => left.partial_cmp(right),
        (Value::Int(left), Value::UInt(right)) => Some(i128::from(*left).cmp(&i128::from(*right))),
        (Value::UInt(left), Value::Int(right)) => Some(i128::from(*left).cmp(&i128::from(*right))),
        (Value::Int(left), Value::Double(right)) => compare_with_double(i128::from(*left), *right),
        (Value::UInt(left), Value::Double(right)) => compare_with_double(i128::from(*left), *right),
        (Value::Double(left), Value::Int(right)) => {
            compare_with_double(i128::from(*right), *left).map(Ordering::reverse)
        }
        (Value::Double(left), Value::UInt(right)) => {
            compare_with_double(i128::from(*right), *left).map(Ordering::reverse)
        }
        _ => None,
    }
}

/// As doubles are ordered, but for those beyond all integers: cel-go compares them so.
fn compare_with_double(int: i128, double: f64) -> Option<Ordering> {
    (int as f64).partial_cmp(&double)
}

/// The whole number that a double is, if it is one of 64 bits.
pub(super) fn whole<'k>(value: f64) -> Option<KeyRef<'k>> {
    if value != value.floor() || value.is_infinite() {
        return None;
    }
    let value = value as i128;
    match (i64::try_from(value), u64::try_from(value)) {
        (Ok(value), _) => Some(KeyRef::Int(value)),
        (_, Ok(value)) => Some(KeyRef::UInt(value)),
        _ => None,
    }
}
