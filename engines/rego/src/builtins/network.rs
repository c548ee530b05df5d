//! Addresses and ranges of them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use regorus::Value;

use super::{Context, Done, Stop, as_text};

/// A range of addresses as numbers, the last one with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Range {
    wide: bool,
    first: u128,
    last: u128,
}

fn as_number(address: IpAddr) -> (bool, u128) {
    match address {
        IpAddr::V4(it) => (false, u128::from(u32::from(it))),
        IpAddr::V6(it) => (true, u128::from(it)),
    }
}

fn address(text: &str) -> Option<Range> {
    let (wide, number) = as_number(text.parse().ok()?);
    Some(Range { wide, first: number, last: number })
}

fn cidr(text: &str) -> Option<Range> {
    let (start, length) = text.split_once('/')?;
    let (wide, number) = as_number(start.parse().ok()?);
    let bits: u32 = if wide { 128 } else { 32 };
    let plain = !length.is_empty() && length.len() <= 3 && length.bytes().all(|byte| byte.is_ascii_digit());
    let length: u32 = length.parse().ok().filter(|length| plain && *length <= bits)?;
    let hosts = bits.saturating_sub(length);
    let mask = 1_u128.checked_shl(hosts).map_or(u128::MAX, |size| size.saturating_sub(1));
    let first = number & !mask;
    Some(Range { wide, first, last: first | mask })
}

/// The range that an address without a length stands for: by the classes of old, as Go has it.
fn class(text: &str) -> Option<Range> {
    let start: std::net::Ipv4Addr = text.parse().ok()?;
    let length = match start.octets() {
        [0..128, ..] => 8,
        [128..192, ..] => 16,
        [192..224, ..] => 24,
        _ => return None,
    };
    cidr(&format!("{start}/{length}"))
}

fn either(value: &Value) -> Result<Range, Stop> {
    let text = as_text(value)?;
    cidr(text).or_else(|| address(text)).ok_or(Stop::Undefined)
}

fn two(arguments: &[Value]) -> Result<(&Value, &Value), Stop> {
    match arguments {
        [left, right] => Ok((left, right)),
        _ => Err(Stop::Undefined),
    }
}

fn holds(outer: Range, inner: Range) -> bool {
    outer.wide == inner.wide && outer.first <= inner.first && inner.last <= outer.last
}

pub(super) fn contains(_: &mut Context, arguments: &[Value]) -> Done {
    let (outer, inner) = two(arguments)?;
    let outer = cidr(as_text(outer)?).ok_or(Stop::Undefined)?;
    Ok(Value::Bool(holds(outer, either(inner)?)))
}

pub(super) fn intersects(_: &mut Context, arguments: &[Value]) -> Done {
    let (left, right) = two(arguments)?;
    let left = cidr(as_text(left)?).ok_or(Stop::Undefined)?;
    let right = cidr(as_text(right)?).ok_or(Stop::Undefined)?;
    Ok(Value::Bool(left.wide == right.wide && left.first <= right.last && right.first <= left.last))
}

pub(super) fn is_valid(_: &mut Context, arguments: &[Value]) -> Done {
    Ok(Value::Bool(arguments.first().is_some_and(|it| as_text(it).is_ok_and(|text| cidr(text).is_some()))))
}

fn show(wide: bool, number: u128) -> String {
    if wide {
        std::net::Ipv6Addr::from(number).to_string()
    } else {
        std::net::Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX)).to_string()
    }
}

pub(super) fn expand(context: &mut Context, arguments: &[Value]) -> Done {
    let range = cidr(arguments.first().ok_or(Stop::Undefined).and_then(as_text)?).ok_or(Stop::Undefined)?;
    let count = range.last.saturating_sub(range.first).saturating_add(1);
    context.limits.allocate(usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(80))?;
    let mut all = BTreeSet::new();
    for number in range.first..=range.last {
        context.limits.step()?;
        all.insert(Value::from(show(range.wide, number)));
    }
    Ok(Value::from(all))
}

/// The texts of a text, a list, a set or an object, with the keys that lead to them.
fn keyed(value: &Value) -> Result<Vec<(Value, String)>, Stop> {
    let text_of = |value: &Value| match value {
        Value::Array(items) => items.get(0).ok_or(Stop::Undefined).and_then(as_text).map(str::to_owned),
        value => as_text(value).map(str::to_owned),
    };
    match value {
        Value::String(text) => Ok(vec![(value.clone(), text.to_string())]),
        Value::Array(items) => {
            items.iter().enumerate().map(|(at, item)| Ok((Value::from(at), text_of(item)?))).collect()
        }
        Value::Set(items) => items.iter().map(|item| Ok((item.clone(), text_of(item)?))).collect(),
        Value::Object(entries) => entries.iter().map(|(key, item)| Ok((key.clone(), text_of(item)?))).collect(),
        _ => Err(Stop::Undefined),
    }
}

pub(super) fn contains_matches(context: &mut Context, arguments: &[Value]) -> Done {
    let (outer, inner) = two(arguments)?;
    let mut found = BTreeSet::new();
    let inners = keyed(inner)?;
    for (outer_key, outer) in keyed(outer)? {
        let outer = cidr(&outer).ok_or(Stop::Undefined)?;
        for (inner_key, inner) in &inners {
            context.limits.step()?;
            let inner = cidr(inner).or_else(|| address(inner)).ok_or(Stop::Undefined)?;
            if holds(outer, inner) {
                context.limits.allocate(160)?;
                found.insert(Value::from(vec![outer_key.clone(), inner_key.clone()]));
            }
        }
    }
    Ok(Value::from(found))
}

/// The fewest ranges for the same addresses.
pub(super) fn merge(context: &mut Context, arguments: &[Value]) -> Done {
    let texts: Vec<&Value> = match arguments {
        [Value::Array(items)] => items.iter().collect(),
        [Value::Set(items)] => items.iter().collect(),
        _ => return Err(Stop::Undefined),
    };
    let mut ranges = Vec::new();
    for text in texts {
        let text = as_text(text)?;
        ranges.push(cidr(text).or_else(|| class(text)).ok_or(Stop::Undefined)?);
    }
    ranges.sort();
    let mut merged: Vec<Range> = Vec::new();
    for range in ranges {
        context.limits.step()?;
        match merged.last_mut() {
            Some(last) if last.wide == range.wide && range.first <= last.last.saturating_add(1) => {
                last.last = last.last.max(range.last);
            }
            _ => merged.push(range),
        }
    }
    let mut found = BTreeSet::new();
    for range in merged {
        let bits: u32 = if range.wide { 128 } else { 32 };
        let mut first = range.first;
        loop {
            context.limits.step()?;
            context.limits.allocate(80)?;
            let left = range.last.saturating_sub(first);
            // The largest range that starts here and does not go beyond the end.
            let by_start = first.trailing_zeros().min(bits);
            let by_end = if left == u128::MAX { 128 } else { left.saturating_add(1).ilog2() };
            let hosts = by_start.min(by_end);
            found.insert(Value::from(format!("{}/{}", show(range.wide, first), bits.saturating_sub(hosts))));
            let size = 1_u128.checked_shl(hosts);
            match size.and_then(|size| first.checked_add(size)) {
                Some(next) if next <= range.last => first = next,
                _ => break,
            }
        }
    }
    Ok(Value::from(found))
}
