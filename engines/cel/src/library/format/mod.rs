//! `'%s'.format([x])`: version 2 of CEL's, which is the one of Kubernetes.

mod literal;
mod number;
#[cfg(test)]
mod tests;
mod time;

use number::Base;

use super::failed;
use crate::error::EvalError;
use crate::function::Style::Receiver;
use crate::function::{Call, Function, Overload, cost};
use crate::types::Type;
use crate::value::Value;

pub(super) const FUNCTIONS: &[Function] = &[Function {
    name: "format",
    style: Receiver,
    overloads: &[Overload { parameters: &[Type::String, Type::List(&Type::Dyn)], result: Type::String }],
    cost: cost::traverse,
    pattern: None,
    call: format,
}];

fn format<'v>(call: &mut Call<'_, 'v>) -> Result<Value<'v>, EvalError> {
    let mut rest = call.text(0)?;
    call.allocate(rest.len())?;
    let list = call.list(1)?;
    let mut items = list.items().enumerate();
    let mut out = String::with_capacity(rest.len());
    while let Some((text, clause)) = rest.split_once('%') {
        out.push_str(text);
        if let Some(after) = clause.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        let (_, item) = items.next().ok_or_else(|| failed(format!("index {} out of range", list.len())))?;
        let (precision, letter, after) = read_clause(clause)?;
        write_clause(call, letter, precision, &item, &mut out)?;
        rest = after;
    }
    out.push_str(rest);
    Ok(Value::text(out))
}

/// Takes apart what stands behind a `%`: the precision, the letter, and what follows.
fn read_clause(clause: &str) -> Result<(Option<usize>, char, &str), EvalError> {
    if clause.is_empty() {
        return Err(failed("unexpected end of string"));
    }
    let (precision, clause) = match clause.strip_prefix('.') {
        None => (None, clause),
        Some(rest) => {
            let end = rest.bytes().position(|byte| !byte.is_ascii_digit());
            let (digits, rest) = end.and_then(|end| rest.split_at_checked(end)).ok_or_else(|| {
                unreadable("error while parsing precision: could not find end of precision specifier")
            })?;
            let precision = digits.parse().ok().filter(|precision| *precision <= MAX_PRECISION);
            let precision = precision.ok_or_else(|| {
                unreadable("error while parsing precision: error while converting precision to integer")
            })?;
            (Some(precision), rest)
        }
    };
    let mut letters = clause.chars();
    let letter = letters.next().ok_or_else(|| failed("unexpected end of string"))?;
    Ok((precision, letter, letters.as_str()))
}

fn write_clause<'v>(
    call: &mut Call<'_, 'v>,
    letter: char,
    precision: Option<usize>,
    item: &Value<'v>,
    out: &mut String,
) -> Result<(), EvalError> {
    let text = match letter {
        's' => return literal::write(call, item, out),
        'd' => match item {
            Value::Int(value) => value.to_string(),
            Value::UInt(value) => value.to_string(),
            _ => return Err(wrong_type("decimal clause can only be used on integers", item)),
        },
        'f' => {
            let value =
                double(item).ok_or_else(|| wrong_type("fixed-point clause can only be used on doubles", item))?;
            let decimals = precision.unwrap_or(DEFAULT_PRECISION);
            if decimals > MAX_DECIMALS {
                return Err(unreadable(&format!(
                    "precision {decimals} exceeds maximum allowed precision {MAX_DECIMALS}"
                )));
            }
            number::fixed(value, decimals)
        }
        'e' => {
            let value =
                double(item).ok_or_else(|| wrong_type("scientific clause can only be used on doubles", item))?;
            let width = precision.unwrap_or(DEFAULT_PRECISION);
            call.allocate(width)?;
            number::scientific(value, width)
        }
        'b' => match item {
            Value::Bool(value) => u8::from(*value).to_string(),
            _ => integer(item, Base::Binary)
                .ok_or_else(|| wrong_type("only integers and bools can be formatted as binary", item))?,
        },
        'o' => {
            integer(item, Base::Octal).ok_or_else(|| wrong_type("octal clause can only be used on integers", item))?
        }
        'x' | 'X' => hexadecimal(call, item, letter == 'X')?,
        _ => return Err(unreadable(&format!("unrecognized formatting clause \"{}\"", letter.escape_default()))),
    };
    call.allocate(text.len())?;
    out.push_str(&text);
    Ok(())
}

fn double(item: &Value<'_>) -> Option<f64> {
    match item {
        Value::Double(value) => Some(*value),
        Value::Text(text) => match &**text {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

fn integer(item: &Value<'_>, base: Base) -> Option<String> {
    match item {
        Value::Int(value) => Some(number::in_base(*value < 0, value.unsigned_abs(), base)),
        Value::UInt(value) => Some(number::in_base(false, *value, base)),
        _ => None,
    }
}

fn hexadecimal(call: &mut Call<'_, '_>, item: &Value<'_>, upper: bool) -> Result<String, EvalError> {
    let bytes = match item {
        Value::Text(text) => text.as_bytes(),
        Value::Bytes(bytes) => bytes,
        _ => {
            return integer(item, Base::Hex { upper })
                .ok_or_else(|| wrong_type("only integers, byte buffers, and strings can be formatted as hex", item));
        }
    };
    call.allocate(bytes.len().saturating_mul(2))?;
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        for digit in [byte >> 4, byte & 0x0f] {
            let digit = char::from_digit(digit.into(), 16).unwrap_or('0');
            text.push(if upper { digit.to_ascii_uppercase() } else { digit });
        }
    }
    Ok(text)
}

fn wrong_type(rule: &str, item: &Value<'_>) -> EvalError {
    failed(format!("error during formatting: {rule}, was given {}", item.type_name()))
}

fn unreadable(reason: &str) -> EvalError {
    failed(format!("could not parse formatting clause: {reason}"))
}

const DEFAULT_PRECISION: usize = 6;

/// The API server's printer keeps the low 8 bits of it: more than this comes out otherwise than it was meant.
const MAX_DECIMALS: usize = 255;

/// The largest width that Go's printer takes.
const MAX_PRECISION: usize = 1_000_000;
