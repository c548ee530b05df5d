//! Texts.

use std::collections::HashSet;

use regorus::Value;

use super::{Context, Done, Stop, as_int, as_text, text_of};
use crate::EvalError;

fn two(arguments: &[Value]) -> Result<(&str, &str), Stop> {
    match arguments {
        [left, right] => Ok((as_text(left)?, as_text(right)?)),
        _ => Err(Stop::Undefined),
    }
}

fn one(arguments: &[Value]) -> Result<&str, Stop> {
    arguments.first().ok_or(Stop::Undefined).and_then(as_text)
}

/// The texts of an array or a set.
fn texts(value: &Value) -> Result<Vec<&str>, Stop> {
    match value {
        Value::Array(items) => items.iter().map(as_text).collect(),
        Value::Set(items) => items.iter().map(as_text).collect(),
        _ => Err(Stop::Undefined),
    }
}

pub(super) fn concat(context: &mut Context, arguments: &[Value]) -> Done {
    let [between, parts] = arguments else { return Err(Stop::Undefined) };
    let between = as_text(between)?;
    let parts = texts(parts)?;
    let length =
        parts.iter().fold(between.len().saturating_mul(parts.len()), |sum, part| sum.saturating_add(part.len()));
    if length > context.limits.left() {
        return Err(Stop::Error(EvalError::Memory));
    }
    text_of(context, parts.join(between))
}

pub(super) fn contains(context: &mut Context, arguments: &[Value]) -> Done {
    let (text, part) = two(arguments)?;
    context.spend(text.len())?;
    Ok(Value::Bool(text.contains(part)))
}

pub(super) fn startswith(_: &mut Context, arguments: &[Value]) -> Done {
    let (text, part) = two(arguments)?;
    Ok(Value::Bool(text.starts_with(part)))
}

pub(super) fn endswith(_: &mut Context, arguments: &[Value]) -> Done {
    let (text, part) = two(arguments)?;
    Ok(Value::Bool(text.ends_with(part)))
}

fn any_match(context: &mut Context, arguments: &[Value], wanted: fn(&str, &str) -> bool) -> Done {
    let [texts_of, parts] = arguments else { return Err(Stop::Undefined) };
    let list = |value: &'_ Value| -> Result<Vec<String>, Stop> {
        match value {
            Value::String(text) => Ok(vec![text.to_string()]),
            other => Ok(texts(other)?.into_iter().map(str::to_owned).collect()),
        }
    };
    let (all, parts) = (list(texts_of)?, list(parts)?);
    for text in all {
        context.spend(parts.len())?;
        context.limits.step()?;
        if parts.iter().any(|part| wanted(&text, part)) {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

pub(super) fn any_prefix_match(context: &mut Context, arguments: &[Value]) -> Done {
    any_match(context, arguments, |text, part| text.starts_with(part))
}

pub(super) fn any_suffix_match(context: &mut Context, arguments: &[Value]) -> Done {
    any_match(context, arguments, |text, part| text.ends_with(part))
}

pub(super) fn indexof(context: &mut Context, arguments: &[Value]) -> Done {
    let (text, part) = two(arguments)?;
    if part.is_empty() {
        return Err(Stop::Undefined);
    }
    context.spend(text.len())?;
    let at = text.find(part).map(|at| text.get(..at).unwrap_or_default().chars().count());
    Ok(at.map_or_else(|| Value::from(-1_i64), Value::from))
}

pub(super) fn indexof_n(context: &mut Context, arguments: &[Value]) -> Done {
    let (text, part) = two(arguments)?;
    if part.is_empty() {
        return Err(Stop::Undefined);
    }
    context.spend(text.len().saturating_mul(part.len()))?;
    // The places overlap: "aaa" has "aa" twice.
    let mut found = Vec::new();
    for (number, (at, _)) in text.char_indices().enumerate() {
        context.limits.step()?;
        if text.get(at..).is_some_and(|rest| rest.starts_with(part)) {
            found.push(Value::from(number));
        }
    }
    context.limits.allocate(found.len().saturating_mul(48))?;
    Ok(Value::from(found))
}

pub(super) fn lower(context: &mut Context, arguments: &[Value]) -> Done {
    let text = one(arguments)?;
    context.spend(text.len())?;
    // Go maps each character to one character.
    let lower = text.chars().map(|it| single(it, it.to_lowercase())).collect();
    text_of(context, lower)
}

pub(super) fn upper(context: &mut Context, arguments: &[Value]) -> Done {
    let text = one(arguments)?;
    context.spend(text.len())?;
    let upper = text.chars().map(|it| single(it, it.to_uppercase())).collect();
    text_of(context, upper)
}

fn single(it: char, mut mapped: impl Iterator<Item = char>) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(mapped), None) => mapped,
        // One character that becomes several, as `ß` in capitals, stays.
        _ if it == 'İ' => 'i',
        _ => it,
    }
}

pub(super) fn split(context: &mut Context, arguments: &[Value]) -> Done {
    let (text, between) = two(arguments)?;
    split_into(context, text, between, usize::MAX)
}

/// The first parts; those after them are left out.
pub(super) fn split_n(context: &mut Context, arguments: &[Value]) -> Done {
    let [text, between, most] = arguments else { return Err(Stop::Undefined) };
    let most = as_int(most)?;
    let (text, between) = (as_text(text)?, as_text(between)?);
    if let Ok(most) = usize::try_from(most) {
        return split_into(context, text, between, most);
    }
    // Below zero they are counted from the end.
    let parts = split_into(context, text, between, usize::MAX)?;
    let Value::Array(items) = &parts else { return Ok(parts) };
    let most = usize::try_from(most.unsigned_abs()).unwrap_or(usize::MAX);
    let skipped = items.len().saturating_sub(most);
    Ok(Value::from(items.iter().skip(skipped).cloned().collect::<Vec<_>>()))
}

fn split_into(context: &mut Context, text: &str, between: &str, most: usize) -> Done {
    context.spend(text.len())?;
    let pieces = if between.is_empty() { text.len() } else { text.matches(between).count().saturating_add(1) };
    context.limits.allocate(pieces.min(most).saturating_mul(64).saturating_add(text.len()))?;
    let parts: Vec<Value> = if between.is_empty() {
        text.chars().take(most).map(|it| Value::from(it.to_string())).collect()
    } else {
        text.split(between).take(most).map(Value::from).collect()
    };
    Ok(Value::from(parts))
}

pub(super) fn substring(context: &mut Context, arguments: &[Value]) -> Done {
    let [text, start, length] = arguments else { return Err(Stop::Undefined) };
    let text = as_text(text)?;
    let start = usize::try_from(as_int(start)?).map_err(|_| Stop::Undefined)?;
    let length = usize::try_from(as_int(length)?).unwrap_or(usize::MAX);
    context.spend(text.len())?;
    text_of(context, text.chars().skip(start).take(length).collect())
}

pub(super) fn count(context: &mut Context, arguments: &[Value]) -> Done {
    let (text, part) = two(arguments)?;
    context.spend(text.len())?;
    Ok(Value::from(if part.is_empty() { text.chars().count().saturating_add(1) } else { text.matches(part).count() }))
}

pub(super) fn replace(context: &mut Context, arguments: &[Value]) -> Done {
    let [text, old, new] = arguments else { return Err(Stop::Undefined) };
    let (text, old, new) = (as_text(text)?, as_text(old)?, as_text(new)?);
    context.spend(text.len())?;
    let times = if old.is_empty() { text.chars().count().saturating_add(1) } else { text.matches(old).count() };
    let length = text.len().saturating_add(times.saturating_mul(new.len()));
    if length > context.limits.left() {
        return Err(Stop::Error(EvalError::Memory));
    }
    text_of(context, text.replace(old, new))
}

/// Replaces all of several texts at once: where they start at the same place, the first of them by name counts.
pub(super) fn replace_n(context: &mut Context, arguments: &[Value]) -> Done {
    let [Value::Object(pairs), text] = arguments else { return Err(Stop::Undefined) };
    let text = as_text(text)?;
    let mut changes = Vec::new();
    for (old, new) in pairs.iter_sorted() {
        changes.push((as_text(old)?, as_text(new)?));
    }
    let mut out = String::new();
    let mut rest = text;
    // The empty text is found once at each place, and before any other.
    let mut after_empty = false;
    loop {
        context.spend(changes.len().saturating_mul(16))?;
        context.limits.step()?;
        if out.len() > context.limits.left() {
            return Err(Stop::Error(EvalError::Memory));
        }
        let found = changes.iter().find(|(old, _)| rest.starts_with(old) && !(old.is_empty() && after_empty));
        after_empty = found.is_some_and(|(old, _)| old.is_empty());
        if let Some((old, new)) = found {
            out.push_str(new);
            rest = rest.get(old.len()..).unwrap_or_default();
            continue;
        }
        let Some(it) = rest.chars().next() else { break };
        out.push(it);
        rest = rest.get(it.len_utf8()..).unwrap_or_default();
    }
    text_of(context, out)
}

pub(super) fn reverse(context: &mut Context, arguments: &[Value]) -> Done {
    let text = one(arguments)?;
    context.spend(text.len())?;
    text_of(context, text.chars().rev().collect())
}

pub(super) fn trim(context: &mut Context, arguments: &[Value]) -> Done {
    let (text, cut) = two(arguments)?;
    context.spend(text.len().saturating_add(cut.len()))?;
    let cut: HashSet<char> = cut.chars().collect();
    text_of(context, text.trim_matches(|it| cut.contains(&it)).to_owned())
}

pub(super) fn trim_left(context: &mut Context, arguments: &[Value]) -> Done {
    let (text, cut) = two(arguments)?;
    context.spend(text.len().saturating_add(cut.len()))?;
    let cut: HashSet<char> = cut.chars().collect();
    text_of(context, text.trim_start_matches(|it| cut.contains(&it)).to_owned())
}

pub(super) fn trim_right(context: &mut Context, arguments: &[Value]) -> Done {
    let (text, cut) = two(arguments)?;
    context.spend(text.len().saturating_add(cut.len()))?;
    let cut: HashSet<char> = cut.chars().collect();
    text_of(context, text.trim_end_matches(|it| cut.contains(&it)).to_owned())
}

pub(super) fn trim_prefix(context: &mut Context, arguments: &[Value]) -> Done {
    let (text, prefix) = two(arguments)?;
    text_of(context, text.strip_prefix(prefix).unwrap_or(text).to_owned())
}

pub(super) fn trim_suffix(context: &mut Context, arguments: &[Value]) -> Done {
    let (text, suffix) = two(arguments)?;
    text_of(context, text.strip_suffix(suffix).unwrap_or(text).to_owned())
}

pub(super) fn trim_space(context: &mut Context, arguments: &[Value]) -> Done {
    let text = one(arguments)?;
    text_of(context, text.trim().to_owned())
}

/// A version of three numbers, what comes before its release, and its build.
struct Version<'t> {
    numbers: [&'t str; 3],
    before: &'t str,
}

fn version(text: &str) -> Option<Version<'_>> {
    let is_identifier =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let (rest, build) = text.split_once('+').unwrap_or((text, "x"));
    let (core, before) = match rest.split_once('-') {
        Some((core, before)) if !before.is_empty() => (core, before),
        Some(_) => return None,
        None => (rest, ""),
    };
    // A number has no zero before it.
    let is_plain = |part: &str| part.len() < 2 || !part.starts_with('0') || !part.bytes().all(|it| it.is_ascii_digit());
    if !build.split('.').all(is_identifier)
        || !(before.is_empty() || before.split('.').all(|part| is_identifier(part) && is_plain(part)))
    {
        return None;
    }
    let mut parts = core.split('.');
    let numbers = [parts.next()?, parts.next()?, parts.next()?];
    let is_number = |part: &&str| {
        !part.is_empty() && part.len() < 19 && is_plain(part) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    (parts.next().is_none() && numbers.iter().all(is_number)).then_some(Version { numbers, before })
}

pub(super) fn semver_is_valid(_: &mut Context, arguments: &[Value]) -> Done {
    Ok(Value::Bool(one(arguments).is_ok_and(|text| version(text).is_some())))
}

pub(super) fn semver_compare(_: &mut Context, arguments: &[Value]) -> Done {
    let (left, right) = two(arguments)?;
    let (left, right) = (version(left).ok_or(Stop::Undefined)?, version(right).ok_or(Stop::Undefined)?);
    let number = |text: &&str| text.parse::<u64>().unwrap_or(0);
    let by_number = left.numbers.iter().map(number).cmp(right.numbers.iter().map(number));
    let order = by_number.then_with(|| match (left.before, right.before) {
        ("", "") => std::cmp::Ordering::Equal,
        ("", _) => std::cmp::Ordering::Greater,
        (_, "") => std::cmp::Ordering::Less,
        (left, right) => {
            let (mut lefts, mut rights) = (left.split('.'), right.split('.'));
            loop {
                let order = match (lefts.next(), rights.next()) {
                    (None, None) => return std::cmp::Ordering::Equal,
                    (None, _) => return std::cmp::Ordering::Less,
                    (_, None) => return std::cmp::Ordering::Greater,
                    (Some(left), Some(right)) => match (left.parse::<u64>(), right.parse::<u64>()) {
                        (Ok(left), Ok(right)) => left.cmp(&right),
                        (Ok(_), Err(_)) => std::cmp::Ordering::Less,
                        (Err(_), Ok(_)) => std::cmp::Ordering::Greater,
                        _ => left.cmp(right),
                    },
                };
                if order.is_ne() {
                    return order;
                }
            }
        }
    });
    Ok(Value::from(match order {
        std::cmp::Ordering::Less => -1_i64,
        std::cmp::Ordering::Equal => 0,
        std::cmp::Ordering::Greater => 1,
    }))
}
