//! Sets: lists in which neither order nor number counts.

use super::lists::{product_cost, refuse_cost};
use crate::error::EvalError;
use crate::function::Style::Global;
use crate::function::{Call, Function, Overload};
use crate::types::Type;
use crate::value::{List, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "sets.contains",
        style: Global,
        overloads: OVERLOADS,
        cost: |arguments, _| product_cost(arguments, 1),
        pattern: None,
        call: |call| {
            refuse_cost(product_cost(call.arguments(), 1))?;
            let (list, part) = (call.list(0)?, call.list(1)?);
            Ok(Value::Bool(contains_all(call, list, part)?))
        },
    },
    Function {
        name: "sets.equivalent",
        style: Global,
        overloads: OVERLOADS,
        cost: |arguments, _| product_cost(arguments, 2),
        pattern: None,
        call: |call| {
            refuse_cost(product_cost(call.arguments(), 2))?;
            let (left, right) = (call.list(0)?, call.list(1)?);
            Ok(Value::Bool(contains_all(call, left, right)? && contains_all(call, right, left)?))
        },
    },
    Function {
        name: "sets.intersects",
        style: Global,
        overloads: OVERLOADS,
        cost: |arguments, _| product_cost(arguments, 1),
        pattern: None,
        call: intersects,
    },
];

const LIST: Type = Type::List(&Type::Param('A'));

const OVERLOADS: &[Overload] = &[Overload { parameters: &[LIST, LIST], result: Type::Bool }];

fn contains_all<'v>(call: &mut Call<'_, 'v>, list: &List<'v>, part: &List<'v>) -> Result<bool, EvalError> {
    for item in part.items() {
        if !contains(call, list, &item)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn intersects<'v>(call: &mut Call<'_, 'v>) -> Result<Value<'v>, EvalError> {
    refuse_cost(product_cost(call.arguments(), 1))?;
    let (left, right) = (call.list(0)?, call.list(1)?);
    for item in left.items() {
        if contains(call, right, &item)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn contains<'v>(call: &mut Call<'_, 'v>, list: &List<'v>, wanted: &Value<'v>) -> Result<bool, EvalError> {
    for item in list.items() {
        call.work(1)?;
        if call.equals(&item, wanted)? {
            return Ok(true);
        }
    }
    Ok(false)
}
