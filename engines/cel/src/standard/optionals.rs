//! Functions of optionals.

use super::{Type, global, receiver, takes};
use crate::function::cost::one;
use crate::function::{Function, Overload};
use crate::value::Value;
use crate::{Call, EvalError};

const A: Type = Type::Param('A');
const OPTIONAL: Type = Type::Optional(&A);
const LIST: Type = Type::List(&A);
const OPTIONALS: Type = Type::List(&OPTIONAL);
const UNWRAP: &[Overload] = &[takes(&[OPTIONALS], LIST)];
const PICK: &[Overload] = &[takes(&[LIST], OPTIONAL)];

pub(super) const FUNCTIONS: &[Function] = &[
    global("optional.of", &[takes(&[A], OPTIONAL)], one, |call| Ok(Value::some(call.argument(0)?.clone()))),
    global("optional.ofNonZeroValue", &[takes(&[A], OPTIONAL)], one, |call| {
        let value = call.argument(0)?;
        Ok(if is_zero(value) { Value::Optional(None) } else { Value::some(value.clone()) })
    }),
    global("optional.none", &[takes(&[], OPTIONAL)], one, |_| Ok(Value::Optional(None))),
    receiver("value", &[takes(&[OPTIONAL], A)], one, |call| match call.argument(0)? {
        Value::Optional(Some(value)) => Ok((**value).clone()),
        Value::Optional(None) => Err(EvalError::failed("optional.none() dereference")),
        _ => Err(call.no_such_overload()),
    }),
    receiver("hasValue", &[takes(&[OPTIONAL], Type::Bool)], one, |call| match call.argument(0)? {
        Value::Optional(value) => Ok(Value::Bool(value.is_some())),
        _ => Err(call.no_such_overload()),
    }),
    global("optional.unwrap", UNWRAP, one, unwrap),
    receiver("unwrapOpt", UNWRAP, one, unwrap),
    receiver("first", PICK, one, |call| Ok(wrap(call.list(0)?.get(0)))),
    receiver("last", PICK, one, |call| {
        let list = call.list(0)?;
        call.work(list.len() >> 6)?;
        Ok(wrap(list.len().checked_sub(1).and_then(|last| list.get(last))))
    }),
];

fn wrap(value: Option<Value<'_>>) -> Value<'_> {
    value.map_or(Value::Optional(None), Value::some)
}

fn unwrap<'v>(call: &mut Call<'_, 'v>) -> Result<Value<'v>, EvalError> {
    let list = call.list(0)?;
    call.allocate(list.len().saturating_mul(size_of::<Value<'v>>()))?;
    let mut values = Vec::new();
    for item in list.items() {
        match item {
            Value::Optional(value) => values.extend(value.map(|value| (*value).clone())),
            other => return Err(EvalError::failed(format!("value of type {} is not optional", other.type_name()))),
        }
    }
    Ok(Value::list(values))
}

fn is_zero(value: &Value<'_>) -> bool {
    match value {
        Value::Null | Value::Optional(None) => true,
        Value::Bool(value) => !value,
        Value::Int(value) | Value::Duration(value) => *value == 0,
        Value::UInt(value) => *value == 0,
        Value::Double(value) => *value == 0.0,
        Value::Text(text) => text.is_empty(),
        Value::Bytes(bytes) => bytes.is_empty(),
        Value::List(list) => list.is_empty(),
        Value::Map(map) => map.is_empty(),
        // That of Go: the first of January of the year 1.
        Value::Timestamp(time) => time.seconds == FIRST_SECOND && time.nanos == 0,
        Value::Optional(Some(_)) | Value::Type(_) | Value::Opaque(_) => false,
    }
}

/// The earliest time that there is.
const FIRST_SECOND: i64 = -62_135_596_800;
