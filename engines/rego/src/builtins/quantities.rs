//! Texts that stand for amounts: durations, resources and sizes; and UUIDs.

use regorus::Value;

use super::{Context, Done, Stop, as_text, upstream};
use crate::EvalError;

/// The longest amount, in bytes, and the largest exponent in it: its digits take time and memory.
const MAX_AMOUNT: usize = 1024;
const MAX_EXPONENT: u32 = 400;

/// How many digits OPA takes for an exponent.
const EXPONENT_DIGITS: usize = 6;

const SECOND: u64 = 1_000_000_000;

/// Units of durations in nanoseconds. The longer ones come first where one starts like another.
const UNITS: [(&str, u64); 11] = [
    ("ns", 1),
    ("us", 1000),
    ("\u{b5}s", 1000),
    ("\u{3bc}s", 1000),
    ("ms", 1_000_000),
    ("s", SECOND),
    ("m", 60 * SECOND),
    ("h", 3600 * SECOND),
    ("d", 24 * 3600 * SECOND),
    ("w", 7 * 24 * 3600 * SECOND),
    ("y", 365 * 24 * 3600 * SECOND),
];

pub(super) fn duration(_: &mut Context, arguments: &[Value]) -> Done {
    let text = arguments.first().ok_or(Stop::Undefined).and_then(as_text)?;
    nanoseconds(text).map(Value::from).ok_or(Stop::Undefined)
}

/// Go's durations, and days, weeks and years.
fn nanoseconds(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut whole = 0_u64;
    while !rest.is_empty() {
        let (digits, after) = split_digits(rest);
        let (part, after) = match after.strip_prefix('.') {
            Some(after) => split_digits(after),
            None => ("", after),
        };
        if digits.is_empty() && part.is_empty() {
            return None;
        }
        let (unit, size) = UNITS.into_iter().find(|(unit, _)| after.starts_with(unit))?;
        let count: u64 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
        whole = whole.checked_add(count.checked_mul(size)?)?.checked_add(fraction(part, size))?;
        rest = after.get(unit.len()..)?;
    }
    if negative { 0_i64.checked_sub_unsigned(whole) } else { i64::try_from(whole).ok() }
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|it: char| !it.is_ascii_digit()).unwrap_or(text.len()))
}

/// The part of a unit that digits after the point stand for. More than 18 of them count for nothing.
fn fraction(digits: &str, size: u64) -> u64 {
    let digits = digits.get(..18).unwrap_or(digits);
    let scale = digits.bytes().fold(1_u128, |scale, _| scale.saturating_mul(10));
    let part: u128 = digits.parse().unwrap_or(0);
    part.saturating_mul(u128::from(size)).checked_div(scale).and_then(|it| u64::try_from(it).ok()).unwrap_or(0)
}

/// `units.parse` and `units.parse_bytes`.
pub(super) fn units(context: &mut Context, name: &str, arguments: &[Value]) -> Done {
    let text = arguments.first().ok_or(Stop::Undefined).and_then(as_text)?;
    let exponent = exponent(text);
    if exponent.len() > EXPONENT_DIGITS {
        return Err(Stop::Undefined);
    }
    if text.len() > MAX_AMOUNT || exponent.parse::<u32>().is_ok_and(|exponent| exponent > MAX_EXPONENT) {
        let message = format!("{name}: the amount `{text:.40}` is beyond what rego computes with");
        return Err(Stop::Error(EvalError::Failed(message)));
    }
    upstream::call(context, name, arguments)
}

/// The digits of an exponent, as in `1e3`; in `1E` it is a unit.
fn exponent(text: &str) -> &str {
    let Some((_, after)) = text.split_once(['e', 'E']) else { return "" };
    split_digits(after.strip_prefix(['+', '-']).unwrap_or(after)).0
}

/// A UUID may stand in braces, for which OPA takes any two bytes.
pub(super) fn uuid(context: &mut Context, arguments: &[Value]) -> Done {
    const IN_BRACES: usize = 38;
    let text = arguments.first().ok_or(Stop::Undefined).and_then(as_text)?;
    match text.get(1..IN_BRACES - 1) {
        Some(inner) if text.len() == IN_BRACES => upstream::call(context, "uuid.parse", &[Value::from(inner)]),
        _ => upstream::call(context, "uuid.parse", arguments),
    }
}
