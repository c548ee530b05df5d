//! Functions of texts and sizes.

use super::{Type, global, receiver, takes};
use crate::function::cost::{one, quarter, tenth, traverse};
use crate::function::{Function, Overload, Style};
use crate::value::Value;
use crate::{Call, EvalError};

const A: Type = Type::Param('A');
const B: Type = Type::Param('B');
const SIZE: &[Overload] = &[
    takes(&[Type::Bytes], Type::Int),
    takes(&[Type::List(&A)], Type::Int),
    takes(&[Type::Map(&A, &B)], Type::Int),
    takes(&[Type::String], Type::Int),
];
const TEXTS: &[Overload] = &[takes(&[Type::String, Type::String], Type::Bool)];

pub(super) const FUNCTIONS: &[Function] = &[
    global("size", SIZE, one, size),
    receiver("size", SIZE, one, size),
    receiver("contains", TEXTS, contains_cost, |call| Ok(Value::Bool(call.text(0)?.contains(call.text(1)?)))),
    receiver("startsWith", TEXTS, traverse, |call| Ok(Value::Bool(call.text(0)?.starts_with(call.text(1)?)))),
    receiver("endsWith", TEXTS, traverse, |call| Ok(Value::Bool(call.text(0)?.ends_with(call.text(1)?)))),
    Function { name: "matches", style: Style::Global, overloads: TEXTS, cost: one, pattern: Some(1), call: matches },
    Function {
        name: "matches",
        style: Style::Receiver,
        overloads: TEXTS,
        cost: matches_cost,
        pattern: Some(1),
        call: matches,
    },
];

fn size<'v>(call: &mut Call<'_, 'v>) -> Result<Value<'v>, EvalError> {
    let size = match call.argument(0)? {
        Value::Text(text) => {
            call.work(text.len() >> 6)?;
            text.characters()
        }
        Value::Bytes(bytes) => bytes.len(),
        Value::List(list) => list.len(),
        Value::Map(map) => map.len(),
        _ => return Err(call.no_such_overload()),
    };
    call.work(size >> 3)?;
    Ok(Value::Int(i64::try_from(size).unwrap_or(i64::MAX)))
}

fn matches<'v>(call: &mut Call<'_, 'v>) -> Result<Value<'v>, EvalError> {
    let text = call.text(0)?;
    call.work(text.len() >> 4)?;
    let regex = call.regex(1)?;
    // Enough for a look at the clock.
    Ok(Value::Bool(regex.is_match_watched(text, || call.work(1024))?))
}

fn contains_cost(arguments: &[Value<'_>], _: &Value<'_>) -> u64 {
    let size = |at: usize| arguments.get(at).map_or(1, Value::cost_size);
    tenth(size(0)).saturating_mul(tenth(size(1)))
}

fn matches_cost(arguments: &[Value<'_>], _: &Value<'_>) -> u64 {
    let size = |at: usize| arguments.get(at).map_or(1, Value::cost_size);
    tenth(size(0).saturating_add(1)).saturating_mul(quarter(size(1)))
}
