//! Points and spans of time.

use std::fmt::Write as _;

use super::zones::{Civil, civil, days_from_civil, local};
use super::{Type, receiver, takes};
use crate::function::cost::one;
use crate::function::{Function, Overload};
use crate::value::{Timestamp, Value};
use crate::{Call, EvalError};

use Type::{Duration, Int, String as Text, Timestamp as Time};

const OF_TIME: &[Overload] = &[takes(&[Time], Int), takes(&[Time, Text], Int)];
const OF_BOTH: &[Overload] = &[takes(&[Time], Int), takes(&[Time, Text], Int), takes(&[Duration], Int)];

pub(super) const FUNCTIONS: &[Function] = &[
    receiver("getFullYear", OF_TIME, one, |call| part(call, |civil| civil.year)),
    receiver("getMonth", OF_TIME, one, |call| part(call, |civil| civil.month.saturating_sub(1))),
    receiver("getDayOfYear", OF_TIME, one, |call| part(call, |civil| civil.day_of_year)),
    receiver("getDayOfMonth", OF_TIME, one, |call| part(call, |civil| civil.day.saturating_sub(1))),
    receiver("getDate", OF_TIME, one, |call| part(call, |civil| civil.day)),
    receiver("getDayOfWeek", OF_TIME, one, |call| part(call, |civil| civil.day_of_week)),
    receiver("getHours", OF_BOTH, one, |call| span(call, 3_600_000_000_000, |civil| civil.hour)),
    receiver("getMinutes", OF_BOTH, one, |call| span(call, 60_000_000_000, |civil| civil.minute)),
    receiver("getSeconds", OF_BOTH, one, |call| span(call, 1_000_000_000, |civil| civil.second)),
    receiver("getMilliseconds", OF_BOTH, one, milliseconds),
];

fn part<'v>(call: &Call<'_, 'v>, choose: fn(&Civil) -> i64) -> Result<Value<'v>, EvalError> {
    let Value::Timestamp(time) = call.argument(0)? else { return Err(call.no_such_overload()) };
    let seconds = match call.arguments().get(1) {
        Some(Value::Text(zone)) => local(time.seconds, zone)?,
        _ => time.seconds,
    };
    Ok(Value::Int(choose(&civil(seconds))))
}

fn span<'v>(call: &Call<'_, 'v>, unit: i64, choose: fn(&Civil) -> i64) -> Result<Value<'v>, EvalError> {
    match call.argument(0)? {
        Value::Duration(span) => Ok(Value::Int(span.checked_div(unit).unwrap_or(0))),
        _ => part(call, choose),
    }
}

fn milliseconds<'v>(call: &mut Call<'_, 'v>) -> Result<Value<'v>, EvalError> {
    match call.argument(0)? {
        Value::Duration(span) => Ok(Value::Int(span.checked_div(1_000_000).unwrap_or(0))),
        Value::Timestamp(time) => {
            if let Some(Value::Text(zone)) = call.arguments().get(1) {
                local(time.seconds, zone)?;
            }
            Ok(Value::Int(i64::from(time.nanos / 1_000_000)))
        }
        _ => Err(call.no_such_overload()),
    }
}

/// Reads a span as Go writes it: `1h30m`, `-1.5s`, `10ms`. In nanoseconds.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
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
    let mut total = 0_i128;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(end)?;
        let nanos: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let mut sum =
            if whole.is_empty() { 0 } else { whole.parse::<i64>().ok().map(i128::from)?.checked_mul(nanos)? };
        let mut scale = nanos;
        for digit in fraction.bytes() {
            scale = scale.checked_div(10)?;
            sum = sum.checked_add(i128::from(digit.saturating_sub(b'0')).checked_mul(scale)?)?;
        }
        total = total.checked_add(sum)?;
        if total > i128::from(i64::MAX).saturating_add(1) {
            return None;
        }
        rest = after;
    }
    let total = if negative { total.checked_neg()? } else { total };
    i64::try_from(total).ok()
}

fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// Writes a span in seconds.
pub(crate) fn write_duration(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    let mut text = format!("{sign}{}", nanos / 1_000_000_000);
    write_fraction(&mut text, nanos % 1_000_000_000);
    text.push('s');
    text
}

fn write_fraction(text: &mut String, nanos: u64) {
    if nanos > 0 {
        let digits = format!("{nanos:09}");
        let _ = write!(text, ".{}", digits.trim_end_matches('0'));
    }
}

/// Reads a point in time as RFC 3339 has it.
pub(crate) fn parse_timestamp(text: &str) -> Option<Timestamp> {
    let number = |from: usize, to: usize| {
        let digits = text.get(from..to)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<i64>().ok()).flatten()
    };
    let sign = |at: usize, expected: u8| (text.as_bytes().get(at) == Some(&expected)).then_some(());
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    for (at, expected) in [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')] {
        sign(at, expected)?;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days_from_civil(year, month, day)?;
    let mut rest = text.get(19..)?;
    let mut nanos = 0_u32;
    if let Some(after) = rest.strip_prefix(['.', ',']) {
        let (fraction, after) = digits(after);
        if fraction.is_empty() {
            return None;
        }
        let nine: String = fraction.chars().chain("000000000".chars()).take(9).collect();
        nanos = nine.parse().ok()?;
        rest = after;
    }
    let offset = if rest == "Z" {
        0
    } else {
        let (sign, rest) = match (rest.strip_prefix('+'), rest.strip_prefix('-')) {
            (Some(rest), _) => (1_i64, rest),
            (_, Some(rest)) => (-1, rest),
            _ => return None,
        };
        if rest.len() != 5 || !rest.is_ascii() || rest.as_bytes().get(2) != Some(&b':') {
            return None;
        }
        let (hours, minutes) = (rest.get(..2)?.parse::<u8>().ok()?, rest.get(3..)?.parse::<u8>().ok()?);
        if hours > 24 || minutes > 59 {
            return None;
        }
        sign.checked_mul(i64::from(hours).checked_mul(3600)?.checked_add(i64::from(minutes).checked_mul(60)?)?)?
    };
    let clock = hour.checked_mul(3600)?.checked_add(minute.checked_mul(60)?)?.checked_add(second)?;
    let seconds = days.checked_mul(86_400)?.checked_add(clock)?.checked_sub(offset)?;
    Some(Timestamp { nanos, ..Timestamp::from_seconds(seconds)? })
}

/// Writes a point in time as RFC 3339 has it.
pub(crate) fn write_timestamp(time: Timestamp) -> String {
    let Civil { year, month, day, hour, minute, second, .. } = civil(time.seconds);
    let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    write_fraction(&mut text, u64::from(time.nanos));
    text.push('Z');
    text
}
