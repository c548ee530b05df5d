//! Conversions between types.

use super::times::{self, parse_duration, parse_timestamp};
use super::{Type, global, takes};
use crate::function::cost::{one, traverse};
use crate::function::{Function, Overload};
use crate::value::{Timestamp, Value};
use crate::{Call, EvalError};

use Type::{Bool, Bytes, Double, Duration, Int, String as Text, Timestamp as Time, UInt};
const A: Type = Type::Param('A');

const TO_BOOL: &[Overload] = &[takes(&[Bool], Bool), takes(&[Text], Bool)];
const BYTES_TO_BYTES: &[Overload] = &[takes(&[Bytes], Bytes)];
const TEXT_TO_BYTES: &[Overload] = &[takes(&[Text], Bytes)];
const TO_DOUBLE: &[Overload] =
    &[takes(&[Double], Double), takes(&[Int], Double), takes(&[Text], Double), takes(&[UInt], Double)];
const TO_DURATION: &[Overload] = &[takes(&[Duration], Duration), takes(&[Int], Duration), takes(&[Text], Duration)];
const TO_INT: &[Overload] = &[
    takes(&[Int], Int),
    takes(&[Double], Int),
    takes(&[Duration], Int),
    takes(&[Text], Int),
    takes(&[Time], Int),
    takes(&[UInt], Int),
];
const TO_TEXT: &[Overload] = &[
    takes(&[Text], Text),
    takes(&[Bool], Text),
    takes(&[Double], Text),
    takes(&[Duration], Text),
    takes(&[Int], Text),
    takes(&[Time], Text),
    takes(&[UInt], Text),
];
const BYTES_TO_TEXT: &[Overload] = &[takes(&[Bytes], Text)];
const TO_TIMESTAMP: &[Overload] = &[takes(&[Time], Time), takes(&[Int], Time), takes(&[Text], Time)];
const TO_UINT: &[Overload] = &[takes(&[UInt], UInt), takes(&[Double], UInt), takes(&[Int], UInt), takes(&[Text], UInt)];

pub(super) const FUNCTIONS: &[Function] = &[
    global("bool", TO_BOOL, one, to_bool),
    global("bytes", BYTES_TO_BYTES, one, to_bytes),
    global("bytes", TEXT_TO_BYTES, traverse, to_bytes),
    global("double", TO_DOUBLE, one, to_double),
    global("duration", TO_DURATION, one, to_duration),
    global("dyn", &[takes(&[A], Type::Dyn)], one, |call| call.argument(0).cloned()),
    global("int", TO_INT, one, to_int),
    global("string", TO_TEXT, one, to_text),
    global("string", BYTES_TO_TEXT, traverse, to_text),
    global("timestamp", TO_TIMESTAMP, one, to_timestamp),
    global("type", &[takes(&[A], Type::Type)], one, |call| Ok(Value::Type(call.argument(0)?.type_name()))),
    global("uint", TO_UINT, one, to_uint),
];

fn to_bool<'v>(call: &mut Call<'_, 'v>) -> Result<Value<'v>, EvalError> {
    match call.argument(0)? {
        Value::Bool(value) => Ok(Value::Bool(*value)),
        Value::Text(text) => match &**text {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(Value::Bool(false)),
            _ => Err(EvalError::failed("strconv.ParseBool: invalid syntax")),
        },
        _ => Err(call.no_such_overload()),
    }
}

fn to_bytes<'v>(call: &mut Call<'_, 'v>) -> Result<Value<'v>, EvalError> {
    match call.argument(0)? {
        value @ Value::Bytes(_) => Ok(value.clone()),
        Value::Text(text) => {
            call.allocate(text.len())?;
            Ok(Value::Bytes(text.as_bytes().into()))
        }
        _ => Err(call.no_such_overload()),
    }
}

fn to_double<'v>(call: &mut Call<'_, 'v>) -> Result<Value<'v>, EvalError> {
    match call.argument(0)? {
        Value::Double(value) => Ok(Value::Double(*value)),
        Value::Int(value) => Ok(Value::Double(*value as f64)),
        Value::UInt(value) => Ok(Value::Double(*value as f64)),
        Value::Text(text) => {
            call.work(text.len() >> 3)?;
            let finite = !text.to_ascii_lowercase().contains("inf");
            match text.parse::<f64>() {
                Ok(value) if value.is_infinite() && finite => {
                    Err(EvalError::failed("strconv.ParseFloat: value out of range"))
                }
                Ok(value) => Ok(Value::Double(value)),
                Err(_) => Err(EvalError::failed("strconv.ParseFloat: invalid syntax")),
            }
        }
        _ => Err(call.no_such_overload()),
    }
}

fn to_duration<'v>(call: &mut Call<'_, 'v>) -> Result<Value<'v>, EvalError> {
    match call.argument(0)? {
        Value::Duration(value) | Value::Int(value) => Ok(Value::Duration(*value)),
        Value::Text(text) => {
            call.work(text.len() >> 1)?;
            let failed = || EvalError::failed("type conversion error from 'string' to 'google.protobuf.Duration'");
            parse_duration(text).map(Value::Duration).ok_or_else(failed)
        }
        _ => Err(call.no_such_overload()),
    }
}

fn to_int<'v>(call: &mut Call<'_, 'v>) -> Result<Value<'v>, EvalError> {
    match call.argument(0)? {
        Value::Int(value) | Value::Duration(value) => Ok(Value::Int(*value)),
        Value::UInt(value) => i64::try_from(*value).map(Value::Int).map_err(|_| EvalError::failed("integer overflow")),
        // "greater than (or less than) the smallest and largest integer", both of which a double does not have exactly.
        Value::Double(value) if *value > -I64_EDGE && *value < I64_EDGE => Ok(Value::Int(*value as i64)),
        Value::Double(_) => Err(EvalError::failed("integer overflow")),
        Value::Timestamp(time) => Ok(Value::Int(time.seconds)),
        Value::Text(text) => match text.parse() {
            Ok(value) => Ok(Value::Int(value)),
            Err(_) => Err(EvalError::failed("strconv.ParseInt: invalid syntax")),
        },
        _ => Err(call.no_such_overload()),
    }
}

fn to_uint<'v>(call: &mut Call<'_, 'v>) -> Result<Value<'v>, EvalError> {
    match call.argument(0)? {
        Value::UInt(value) => Ok(Value::UInt(*value)),
        Value::Int(value) => {
            u64::try_from(*value).map(Value::UInt).map_err(|_| EvalError::failed("unsigned integer overflow"))
        }
        Value::Double(value) if *value >= 0.0 && *value < U64_EDGE => Ok(Value::UInt(*value as u64)),
        Value::Double(_) => Err(EvalError::failed("unsigned integer overflow")),
        Value::Text(text) if !text.starts_with('+') => match text.parse() {
            Ok(value) => Ok(Value::UInt(value)),
            Err(_) => Err(EvalError::failed("strconv.ParseUint: invalid syntax")),
        },
        Value::Text(_) => Err(EvalError::failed("strconv.ParseUint: invalid syntax")),
        _ => Err(call.no_such_overload()),
    }
}

/// 2⁶³ and 2⁶⁴.
const I64_EDGE: f64 = 9_223_372_036_854_775_808.0;
const U64_EDGE: f64 = 18_446_744_073_709_551_616.0;

fn to_text<'v>(call: &mut Call<'_, 'v>) -> Result<Value<'v>, EvalError> {
    Ok(Value::text(match call.argument(0)? {
        value @ Value::Text(_) => return Ok(value.clone()),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::UInt(value) => value.to_string(),
        Value::Double(value) => write_double(*value),
        Value::Duration(value) => times::write_duration(*value),
        Value::Timestamp(time) => times::write_timestamp(*time),
        Value::Bytes(bytes) => {
            call.allocate(bytes.len())?;
            match std::str::from_utf8(bytes) {
                Ok(text) => text.to_owned(),
                Err(_) => return Err(EvalError::failed("invalid UTF-8 in bytes, cannot convert to string")),
            }
        }
        _ => return Err(call.no_such_overload()),
    }))
}

fn to_timestamp<'v>(call: &mut Call<'_, 'v>) -> Result<Value<'v>, EvalError> {
    match call.argument(0)? {
        Value::Timestamp(time) => Ok(Value::Timestamp(*time)),
        Value::Int(seconds) => Timestamp::from_seconds(*seconds)
            .map(Value::Timestamp)
            .ok_or_else(|| EvalError::failed("timestamp overflow")),
        Value::Text(text) => match parse_timestamp(text) {
            Some(time) => Ok(Value::Timestamp(time)),
            None => Err(EvalError::failed("parsing time: it is not as RFC 3339 has it")),
        },
        _ => Err(call.no_such_overload()),
    }
}

/// As Go writes it with `%g` and the fewest digits: "use precision 6 for this decision".
pub(crate) fn write_double(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        return format!("{value}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
}
