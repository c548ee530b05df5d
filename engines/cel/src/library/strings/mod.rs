//! Texts: version 2 of CEL's extension for them. `indexOf` and `lastIndexOf`, which lists have too, are in [`super::position`].

mod search;
#[cfg(test)]
mod tests;

use std::ops::Range;

use super::failed;
use crate::error::EvalError;
use crate::function::Style::{Global, Receiver};
use crate::function::{Call, Function, Overload, cost};
use crate::types::Type;
use crate::value::{Str, Value};

pub(super) use search::{find, find_last, find_last_until};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "charAt",
        style: Receiver,
        overloads: &[Overload { parameters: &[Type::String, Type::Int], result: Type::String }],
        cost: cost::one,
        pattern: None,
        call: char_at,
    },
    Function {
        name: "lowerAscii",
        style: Receiver,
        overloads: TEXT_TO_TEXT,
        cost: cost::traverse,
        pattern: None,
        call: |call| {
            let text = read(call, 1)?;
            Ok(Value::text(text.to_ascii_lowercase()))
        },
    },
    Function {
        name: "upperAscii",
        style: Receiver,
        overloads: TEXT_TO_TEXT,
        cost: cost::traverse,
        pattern: None,
        call: |call| {
            let text = read(call, 1)?;
            Ok(Value::text(text.to_ascii_uppercase()))
        },
    },
    Function {
        name: "trim",
        style: Receiver,
        overloads: TEXT_TO_TEXT,
        cost: cost::traverse,
        pattern: None,
        call: trim,
    },
    Function {
        name: "substring",
        style: Receiver,
        overloads: &[
            Overload { parameters: &[Type::String, Type::Int], result: Type::String },
            Overload { parameters: &[Type::String, Type::Int, Type::Int], result: Type::String },
        ],
        cost: cost::traverse,
        pattern: None,
        call: substring,
    },
    Function {
        name: "replace",
        style: Receiver,
        overloads: &[
            Overload { parameters: &[Type::String, Type::String, Type::String], result: Type::String },
            Overload { parameters: &[Type::String, Type::String, Type::String, Type::Int], result: Type::String },
        ],
        cost: traverse_twice,
        pattern: None,
        call: replace,
    },
    Function {
        name: "split",
        style: Receiver,
        overloads: &[
            Overload { parameters: &[Type::String, Type::String], result: TEXTS },
            Overload { parameters: &[Type::String, Type::String, Type::Int], result: TEXTS },
        ],
        cost: traverse_twice,
        pattern: None,
        call: split,
    },
    Function {
        name: "join",
        style: Receiver,
        overloads: &[
            Overload { parameters: &[TEXTS], result: Type::String },
            Overload { parameters: &[TEXTS, Type::String], result: Type::String },
        ],
        cost: |_, result| cost::tenth(result.cost_size().saturating_mul(2)),
        pattern: None,
        call: join,
    },
    Function {
        name: "strings.quote",
        style: Global,
        overloads: TEXT_TO_TEXT,
        cost: cost::traverse,
        pattern: None,
        call: |call| {
            let text = read(call, 2)?;
            Ok(Value::text(search::quote(text)))
        },
    },
];

const TEXTS: Type = Type::List(&Type::String);

const TEXT_TO_TEXT: &[Overload] = &[Overload { parameters: &[Type::String], result: Type::String }];

/// "cost is the traversal plus the construction of the result".
fn traverse_twice(arguments: &[Value<'_>], _: &Value<'_>) -> u64 {
    arguments.first().map_or(1, |text| cost::tenth(text.cost_size().saturating_mul(2)))
}

/// The receiver, once there is room for what is made of it: so many times its length.
fn read<'c>(call: &mut Call<'c, '_>, growth: usize) -> Result<&'c str, EvalError> {
    let text = call.text(0)?;
    call.allocate(text.len().saturating_mul(growth))?;
    Ok(text)
}

fn receiver<'c, 'v>(call: &Call<'c, 'v>) -> Result<&'c Str<'v>, EvalError> {
    match call.argument(0)? {
        Value::Text(text) => Ok(text),
        _ => Err(call.no_such_overload()),
    }
}

/// A part of a text; of a document's it is not copied.
fn cut<'v>(call: &mut Call<'_, 'v>, text: &Str<'v>, range: Range<usize>) -> Result<Value<'v>, EvalError> {
    if let Str::Borrowed(text) = text {
        return Ok(Value::text(text.get(range).unwrap_or_default()));
    }
    let part = text.get(range).unwrap_or_default();
    call.allocate(part.len())?;
    Ok(Value::text(part.to_owned()))
}

fn char_at<'v>(call: &mut Call<'_, 'v>) -> Result<Value<'v>, EvalError> {
    let text = receiver(call)?;
    let index = call.int(1)?;
    call.work(text.len() >> 6)?;
    let start = search::byte_of(text, index).ok_or_else(|| out_of_range(index))?;
    let length = text.get(start..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
    cut(call, text, start..start.saturating_add(length))
}

fn trim<'v>(call: &mut Call<'_, 'v>) -> Result<Value<'v>, EvalError> {
    let text = receiver(call)?;
    let start = text.len().saturating_sub(text.trim_start().len());
    let length = text.trim().len();
    cut(call, text, start..start.saturating_add(length))
}

fn substring<'v>(call: &mut Call<'_, 'v>) -> Result<Value<'v>, EvalError> {
    let text = receiver(call)?;
    let from = call.int(1)?;
    let until = if call.arguments().len() > 2 { Some(call.int(2)?) } else { None };
    if let Some(until) = until
        && from > until
    {
        return Err(failed(format!("invalid substring range. start: {from}, end: {until}")));
    }
    let start = search::byte_of(text, from).ok_or_else(|| out_of_range(from))?;
    let end = match until {
        Some(until) => search::byte_of(text, until).ok_or_else(|| out_of_range(until))?,
        None => text.len(),
    };
    cut(call, text, start..end)
}

fn replace<'v>(call: &mut Call<'_, 'v>) -> Result<Value<'v>, EvalError> {
    let text = receiver(call)?;
    let (old, new) = (call.text(1)?, call.text(2)?);
    let limit =
        if call.arguments().len() > 3 { usize::try_from(call.int(3)?).unwrap_or(usize::MAX) } else { usize::MAX };
    let count = text.matches(old).take(limit).count();
    if count == 0 {
        return Ok(Value::Text(text.clone()));
    }
    call.allocate(text.len().saturating_add(count.saturating_mul(new.len())))?;
    Ok(Value::text(text.replacen(old, new, count)))
}

fn split<'v>(call: &mut Call<'_, 'v>) -> Result<Value<'v>, EvalError> {
    let text = receiver(call)?;
    let separator = call.text(1)?;
    let limit =
        if call.arguments().len() > 2 { usize::try_from(call.int(2)?).unwrap_or(usize::MAX) } else { usize::MAX };
    let pieces = match separator {
        "" => text.chars().count(),
        _ => text.matches(separator).count().saturating_add(1),
    };
    call.allocate(pieces.min(limit).saturating_mul(PIECE_BYTES).saturating_add(text.len()))?;
    let mut parts: Vec<Value<'v>> = Vec::with_capacity(pieces.min(limit));
    let mut start = 0usize;
    while parts.len() < pieces.min(limit) {
        let rest = text.get(start..).unwrap_or_default();
        let last = parts.len().saturating_add(1) == pieces.min(limit);
        let length = match separator {
            _ if last => rest.len(),
            "" => rest.chars().next().map_or(0, char::len_utf8),
            _ => rest.find(separator).unwrap_or(rest.len()),
        };
        let end = start.saturating_add(length);
        parts.push(match text {
            Str::Borrowed(text) => Value::text(text.get(start..end).unwrap_or_default()),
            Str::Shared(text) => Value::text(text.get(start..end).unwrap_or_default().to_owned()),
        });
        start = end.saturating_add(separator.len());
    }
    Ok(Value::list(parts))
}

fn join<'v>(call: &mut Call<'_, 'v>) -> Result<Value<'v>, EvalError> {
    let list = call.list(0)?;
    let separator = if call.arguments().len() > 1 { call.text(1)? } else { "" };
    let mut joined = String::new();
    for (at, item) in list.items().enumerate() {
        let Value::Text(part) = &item else {
            return Err(failed(format!("join: invalid input of type {}", item.type_name())));
        };
        call.allocate(part.len().saturating_add(separator.len()))?;
        call.work(1)?;
        if at > 0 {
            joined.push_str(separator);
        }
        joined.push_str(part);
    }
    Ok(Value::text(joined))
}

pub(super) fn out_of_range(index: i64) -> EvalError {
    failed(format!("index out of range: {index}"))
}

/// What a list takes for a text in it, beside its letters.
const PIECE_BYTES: usize = 64;
