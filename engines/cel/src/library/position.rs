//! `indexOf` and `lastIndexOf`, of texts and of lists.

use super::lists::elements_cost;
use super::strings::{find, find_last, find_last_until, out_of_range};
use crate::error::EvalError;
use crate::function::Style::Receiver;
use crate::function::{Call, Function, Overload};
use crate::types::Type;
use crate::value::Value;

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "indexOf",
        style: Receiver,
        overloads: OVERLOADS,
        cost: elements_cost,
        pattern: None,
        call: index_of,
    },
    Function {
        name: "lastIndexOf",
        style: Receiver,
        overloads: OVERLOADS,
        cost: elements_cost,
        pattern: None,
        call: last_index_of,
    },
];

const OVERLOADS: &[Overload] = &[
    Overload { parameters: &[Type::String, Type::String], result: Type::Int },
    Overload { parameters: &[Type::String, Type::String, Type::Int], result: Type::Int },
    Overload { parameters: &[Type::List(&Type::Param('A')), Type::Param('A')], result: Type::Int },
];

fn index_of<'v>(call: &mut Call<'_, 'v>) -> Result<Value<'v>, EvalError> {
    if let Value::List(_) = call.argument(0)? {
        return index_in_list(call, false);
    }
    let from = if call.arguments().len() > 2 { call.int(2)? } else { 0 };
    let found = find(call.text(0)?, call.text(1)?, from);
    Ok(Value::Int(found.ok_or_else(|| out_of_range(from))?))
}

fn last_index_of<'v>(call: &mut Call<'_, 'v>) -> Result<Value<'v>, EvalError> {
    if let Value::List(_) = call.argument(0)? {
        return index_in_list(call, true);
    }
    let (text, part) = (call.text(0)?, call.text(1)?);
    if call.arguments().len() < 3 {
        return Ok(Value::Int(find_last(text, part)));
    }
    let until = call.int(2)?;
    Ok(Value::Int(find_last_until(text, part, until).ok_or_else(|| out_of_range(until))?))
}

fn index_in_list<'v>(call: &mut Call<'_, 'v>, last: bool) -> Result<Value<'v>, EvalError> {
    let (list, wanted) = (call.list(0)?, call.argument(1)?);
    let mut found = -1;
    for (at, item) in (0i64..).zip(list.items()) {
        call.work(1)?;
        if call.equals(&item, wanted)? {
            found = at;
            if !last {
                break;
            }
        }
    }
    Ok(Value::Int(found))
}
