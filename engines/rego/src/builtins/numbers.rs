//! Numbers. Whole ones have as many digits as they need, up to a limit.

use regorus::Value;

use super::{Context, Done, Stop, as_int, as_text, collections, text_of};
use crate::EvalError;
use crate::value;

/// How many bits a number may have. Rego's own documents have no number beyond some hundred.
const MAX_BITS: u64 = 1 << 16;

fn is_whole(value: &Value) -> bool {
    matches!(value, Value::Number(number) if number.is_integer())
}

/// Two numbers.
fn two(arguments: &[Value]) -> Result<(&Value, &Value), Stop> {
    match arguments {
        [left @ Value::Number(_), right @ Value::Number(_)] => Ok((left, right)),
        _ => Err(Stop::Undefined),
    }
}

fn one(arguments: &[Value]) -> Result<&Value, Stop> {
    arguments.first().filter(|value| matches!(value, Value::Number(_))).ok_or(Stop::Undefined)
}

fn bits(value: &Value) -> u64 {
    let Value::Number(number) = value else { return 0 };
    if number.as_i64().is_some() || number.as_u64().is_some() || !number.is_integer() {
        return 64;
    }
    number.as_big().map_or(64, |big| big.bits())
}

fn checked(context: &mut Context, bits: u64) -> Result<(), Stop> {
    if bits > MAX_BITS {
        return Err(Stop::Error(EvalError::Memory));
    }
    if bits > 64 {
        context.limits.allocate(usize::try_from(bits / 8).unwrap_or(usize::MAX))?;
    }
    Ok(())
}

fn finite<E>(result: Result<impl Into<Value>, E>) -> Done {
    let value: Value = result.map_err(|_| Stop::Undefined)?.into();
    match &value {
        Value::Number(number) if !number.is_integer() && number.as_f64().is_some_and(|float| !float.is_finite()) => {
            Err(Stop::Undefined)
        }
        _ => Ok(value),
    }
}

pub(super) fn plus(context: &mut Context, arguments: &[Value]) -> Done {
    let (left, right) = two(arguments)?;
    checked(context, bits(left).max(bits(right)))?;
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => match decimal(left, right, Operation::Add) {
            Some(value) => Ok(value),
            None => finite(a.add(b)),
        },
        _ => Err(Stop::Undefined),
    }
}

pub(super) fn minus(context: &mut Context, arguments: &[Value]) -> Done {
    if let [Value::Set(_), Value::Set(_)] = arguments {
        return collections::set_diff(context, arguments);
    }
    let (left, right) = two(arguments)?;
    checked(context, bits(left).max(bits(right)))?;
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => match decimal(left, right, Operation::Sub) {
            Some(value) => Ok(value),
            None => finite(a.sub(b)),
        },
        _ => Err(Stop::Undefined),
    }
}

pub(super) fn mul(context: &mut Context, arguments: &[Value]) -> Done {
    let (left, right) = two(arguments)?;
    let (a, b) = (bits(left), bits(right));
    if a > 64 || b > 64 {
        checked(context, a.saturating_add(b))?;
    }
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => match decimal(left, right, Operation::Mul) {
            Some(value) => Ok(value),
            None => finite(a.mul(b)),
        },
        _ => Err(Stop::Undefined),
    }
}

#[derive(Clone, Copy)]
enum Operation {
    Add,
    Sub,
    Mul,
}

/// Fractions as they are written: for OPA `0.1 + 0.2` is `0.3`. Nothing where both are whole, or where they have many digits.
fn decimal(left: &Value, right: &Value, operation: Operation) -> Option<Value> {
    if is_whole(left) && is_whole(right) {
        return None;
    }
    let (mut a, a_scale) = digits(left)?;
    let (mut b, b_scale) = digits(right)?;
    let scale = match operation {
        Operation::Mul => a_scale.checked_add(b_scale)?,
        _ => {
            let scale = a_scale.max(b_scale);
            a = a.checked_mul(10_i128.checked_pow(scale.checked_sub(a_scale)?)?)?;
            b = b.checked_mul(10_i128.checked_pow(scale.checked_sub(b_scale)?)?)?;
            scale
        }
    };
    let result = match operation {
        Operation::Add => a.checked_add(b)?,
        Operation::Sub => a.checked_sub(b)?,
        Operation::Mul => a.checked_mul(b)?,
    };
    value::number(&format!("{result}e-{scale}"))
}

/// The digits of a number, and how many of them are after the point.
fn digits(value: &Value) -> Option<(i128, u32)> {
    let Value::Number(number) = value else { return None };
    let text = if number.is_integer() { number.as_i64()?.to_string() } else { format!("{}", number.as_f64()?) };
    if text.len() > 24 {
        return None;
    }
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    Some((format!("{whole}{part}").parse().ok()?, u32::try_from(part.len()).ok()?))
}

fn is_zero(value: &Value) -> bool {
    matches!(value, Value::Number(number) if number.as_f64() == Some(0.0))
}

pub(super) fn div(_: &mut Context, arguments: &[Value]) -> Done {
    let (left, right) = two(arguments)?;
    if is_zero(right) {
        return Err(Stop::Undefined);
    }
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => finite(left.clone().divide(right)),
        _ => Err(Stop::Undefined),
    }
}

pub(super) fn rem(_: &mut Context, arguments: &[Value]) -> Done {
    let (left, right) = two(arguments)?;
    if is_zero(right) || !is_whole(left) || !is_whole(right) {
        return Err(Stop::Undefined);
    }
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => finite(left.clone().modulo(right)),
        _ => Err(Stop::Undefined),
    }
}

pub(super) fn abs(_: &mut Context, arguments: &[Value]) -> Done {
    match one(arguments)? {
        Value::Number(number) => Ok(Value::from(number.abs())),
        _ => Err(Stop::Undefined),
    }
}

pub(super) fn ceil(_: &mut Context, arguments: &[Value]) -> Done {
    match one(arguments)? {
        Value::Number(number) => Ok(Value::from(number.ceil())),
        _ => Err(Stop::Undefined),
    }
}

pub(super) fn floor(_: &mut Context, arguments: &[Value]) -> Done {
    match one(arguments)? {
        Value::Number(number) => Ok(Value::from(number.floor())),
        _ => Err(Stop::Undefined),
    }
}

pub(super) fn round(_: &mut Context, arguments: &[Value]) -> Done {
    match one(arguments)? {
        Value::Number(number) => Ok(Value::from(number.round())),
        _ => Err(Stop::Undefined),
    }
}

fn each<'v>(value: &'v Value) -> Result<Box<dyn Iterator<Item = &'v Value> + 'v>, Stop> {
    match value {
        Value::Array(items) => Ok(Box::new(items.iter())),
        Value::Set(items) => Ok(Box::new(items.iter())),
        _ => Err(Stop::Undefined),
    }
}

pub(super) fn sum(context: &mut Context, arguments: &[Value]) -> Done {
    let mut whole = Value::from(0_u64);
    for item in each(arguments.first().ok_or(Stop::Undefined)?)? {
        context.limits.step()?;
        whole = plus(context, &[whole, item.clone()])?;
    }
    Ok(whole)
}

pub(super) fn product(context: &mut Context, arguments: &[Value]) -> Done {
    let mut whole = Value::from(1_u64);
    for item in each(arguments.first().ok_or(Stop::Undefined)?)? {
        context.limits.step()?;
        whole = mul(context, &[whole, item.clone()])?;
    }
    Ok(whole)
}

pub(super) fn bits_lsh(context: &mut Context, arguments: &[Value]) -> Done {
    let [left, right] = arguments else { return Err(Stop::Undefined) };
    let by = u64::try_from(as_int(right)?).map_err(|_| Stop::Undefined)?;
    checked(context, bits(left).saturating_add(by))?;
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.lsh(right).map(Value::from).ok_or(Stop::Undefined),
        _ => Err(Stop::Undefined),
    }
}

pub(super) fn format_int(context: &mut Context, arguments: &[Value]) -> Done {
    let [value, base] = arguments else { return Err(Stop::Undefined) };
    let base = as_int(base)?;
    let Value::Number(number) = value else { return Err(Stop::Undefined) };
    let Some(int) = number.floor().as_i128() else { return Err(Stop::Undefined) };
    // Go cuts towards zero.
    let int = if number.is_integer() || int >= 0 { int } else { int.saturating_add(1) };
    let magnitude = int.unsigned_abs();
    let digits = match base {
        2 => format!("{magnitude:b}"),
        8 => format!("{magnitude:o}"),
        10 => magnitude.to_string(),
        16 => format!("{magnitude:x}"),
        _ => return Err(Stop::Undefined),
    };
    text_of(context, if int < 0 { format!("-{digits}") } else { digits })
}

pub(super) fn to_number(_: &mut Context, arguments: &[Value]) -> Done {
    match arguments.first() {
        Some(Value::Null) => Ok(Value::from(0_u64)),
        Some(Value::Bool(it)) => Ok(Value::from(u64::from(*it))),
        Some(it @ Value::Number(_)) => Ok(it.clone()),
        Some(it @ Value::String(_)) => {
            let text = as_text(it)?;
            if text.is_empty() || text.len() > 1024 || !is_numeric(text) {
                return Err(Stop::Undefined);
            }
            value::number(text).ok_or(Stop::Undefined)
        }
        _ => Err(Stop::Undefined),
    }
}

/// What Go's `ParseFloat` takes, but for hexadecimals, infinities and what is no number.
fn is_numeric(text: &str) -> bool {
    let rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (rest, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let good = digits(whole) && digits(part) && !(whole.is_empty() && part.is_empty());
    let exponent_good = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    good && exponent_good
}

pub(super) fn range(context: &mut Context, arguments: &[Value]) -> Done {
    let [from, to] = arguments else { return Err(Stop::Undefined) };
    range_of(context, from, to, 1)
}

pub(super) fn range_step(context: &mut Context, arguments: &[Value]) -> Done {
    let [from, to, step] = arguments else { return Err(Stop::Undefined) };
    let step = match step {
        // One that is beyond all others is a step over the end.
        Value::Number(number) if number.as_i64().is_none() && bits(step) > 63 && is_whole(step) => {
            if *step > Value::from(0_u64) { i64::MAX } else { -1 }
        }
        step => as_int(step)?,
    };
    if step <= 0 {
        return Err(Stop::Undefined);
    }
    range_of(context, from, to, step)
}

fn range_of(context: &mut Context, from: &Value, to: &Value, step: i64) -> Done {
    let (from, to) = (as_int(from)?, as_int(to)?);
    let step = step.unsigned_abs();
    let count = from.abs_diff(to).checked_div(step).unwrap_or(0).saturating_add(1);
    context.limits.allocate(usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(32))?;
    let offset = |at: u64| at.saturating_mul(step);
    let numbers: Vec<Value> = if from <= to {
        (0..count).map(|at| Value::from(from.saturating_add_unsigned(offset(at)))).collect()
    } else {
        (0..count).map(|at| Value::from(from.saturating_sub_unsigned(offset(at)))).collect()
    };
    Ok(Value::from(numbers))
}
