//! Regular expressions as Go reads them, and globs.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use regex_automata::meta::Regex;
use regex_automata::util::syntax;
use regorus::Value;

use super::syntax::{escape, translate};
use super::{Context, Done, Stop, as_text, text_of};

/// How large a compiled expression may be, in bytes. Counted repetitions grow it: `(a{1000}){1000}`.
const MAX_REGEX: usize = 1 << 20;

/// How many expressions a thread keeps.
const KEPT: usize = 256;

/// The longest expression or glob, in bytes.
const MAX_PATTERN: usize = 16 << 10;

thread_local! {
    static REGEXES: RefCell<HashMap<String, Option<Arc<Regex>>>> = RefCell::new(HashMap::new());
}

fn cached(key: String, translate: impl FnOnce() -> Option<String>) -> Option<Arc<Regex>> {
    REGEXES.with_borrow_mut(|known| {
        if let Some(regex) = known.get(&key) {
            return regex.clone();
        }
        let regex = translate().and_then(|text| compile(&text)).map(Arc::new);
        if known.len() >= KEPT {
            known.clear();
        }
        known.insert(key, regex.clone());
        regex
    })
}

fn compile(text: &str) -> Option<Regex> {
    Regex::builder()
        .configure(
            Regex::config()
                .nfa_size_limit(Some(MAX_REGEX))
                .hybrid_cache_capacity(MAX_REGEX)
                .onepass_size_limit(Some(MAX_REGEX)),
        )
        .syntax(syntax::Config::new().nest_limit(128))
        .build(text)
        .ok()
}

fn regex(pattern: &str) -> Result<Arc<Regex>, Stop> {
    if pattern.len() > MAX_PATTERN {
        return Err(Stop::Undefined);
    }
    cached(format!("r{pattern}"), || translate(pattern)).ok_or(Stop::Undefined)
}

/// From how many bytes on a text is long for an expression.
const LONG_TEXT: usize = 64 << 10;

/// The most that the sizes of a long text and of a compiled expression may come to, multiplied: a search is not stopped, and
/// takes at worst as many steps as the text has bytes for each state of some 40 bytes.
const MAX_SEARCH: usize = 16 << 30;

/// An expression for a text.
fn regex_for(pattern: &str, text: &str) -> Result<Arc<Regex>, Stop> {
    let regex = regex(pattern)?;
    if text.len() > LONG_TEXT && text.len().saturating_mul(regex.memory_usage()) > MAX_SEARCH {
        let message =
            format!("a text of {} bytes is too long for a regular expression as large as this one", text.len());
        return Err(Stop::Error(crate::EvalError::Failed(message)));
    }
    Ok(regex)
}

pub(super) fn is_valid(_: &mut Context, arguments: &[Value]) -> Done {
    let [Value::String(pattern)] = arguments else { return Ok(Value::Bool(false)) };
    Ok(Value::Bool(regex(pattern).is_ok()))
}

pub(super) fn matches(context: &mut Context, arguments: &[Value]) -> Done {
    let [pattern, text] = arguments else { return Err(Stop::Undefined) };
    let (pattern, text) = (as_text(pattern)?, as_text(text)?);
    context.spend(text.len())?;
    Ok(Value::Bool(regex_for(pattern, text)?.is_match(text)))
}

pub(super) fn split(context: &mut Context, arguments: &[Value]) -> Done {
    let [pattern, text] = arguments else { return Err(Stop::Undefined) };
    let (pattern, text) = (as_text(pattern)?, as_text(text)?);
    context.spend(text.len().saturating_mul(4))?;
    let regex = regex_for(pattern, text)?;
    let mut parts = Vec::new();
    let mut start = 0;
    for found in regex.find_iter(text) {
        // Each match may take a search to the end of the text.
        context.spend(text.len())?;
        // Go does not split before the first or after the last character where the match is empty.
        if found.range().is_empty() && (found.start() == 0 || found.start() == text.len()) {
            continue;
        }
        parts.push(Value::from(text.get(start..found.start()).unwrap_or_default()));
        start = found.end();
    }
    parts.push(Value::from(text.get(start..).unwrap_or_default()));
    context.limits.allocate(parts.len().saturating_mul(48))?;
    Ok(Value::from(parts))
}

fn limit_of(value: &Value) -> Result<usize, Stop> {
    let Value::Number(number) = value else { return Err(Stop::Undefined) };
    let most = number.as_i64().filter(|_| number.is_integer()).ok_or(Stop::Undefined)?;
    Ok(usize::try_from(most).unwrap_or(usize::MAX))
}

pub(super) fn find_n(context: &mut Context, arguments: &[Value]) -> Done {
    let [pattern, text, most] = arguments else { return Err(Stop::Undefined) };
    let (pattern, text, most) = (as_text(pattern)?, as_text(text)?, limit_of(most)?);
    context.spend(text.len().saturating_mul(4))?;
    let regex = regex_for(pattern, text)?;
    let mut all = Vec::new();
    for found in regex.find_iter(text).take(most) {
        context.spend(text.len())?;
        context.limits.allocate(found.len().saturating_add(48))?;
        all.push(Value::from(text.get(found.range()).unwrap_or_default()));
    }
    Ok(Value::from(all))
}

pub(super) fn find_all_submatches(context: &mut Context, arguments: &[Value]) -> Done {
    let [pattern, text, most] = arguments else { return Err(Stop::Undefined) };
    let (pattern, text, most) = (as_text(pattern)?, as_text(text)?, limit_of(most)?);
    context.spend(text.len().saturating_mul(8))?;
    let regex = regex_for(pattern, text)?;
    let mut all = Vec::new();
    for captures in regex.captures_iter(text).take(most) {
        let mut groups = Vec::new();
        for group in 0..captures.group_len() {
            let range = captures.get_group(group).map_or(0..0, |span| span.range());
            groups.push(Value::from(text.get(range).unwrap_or_default()));
        }
        context.limits.allocate(groups.len().saturating_mul(64))?;
        context.spend(text.len())?;
        all.push(Value::from(groups));
    }
    Ok(Value::from(all))
}

pub(super) fn replace(context: &mut Context, arguments: &[Value]) -> Done {
    let [text, pattern, with] = arguments else { return Err(Stop::Undefined) };
    let (text, pattern, with) = (as_text(text)?, as_text(pattern)?, as_text(with)?);
    context.spend(text.len().saturating_mul(4))?;
    let regex = regex_for(pattern, text)?;
    let mut out = String::new();
    let mut start = 0;
    for captures in regex.captures_iter(text) {
        let Some(whole) = captures.get_match() else { continue };
        out.push_str(text.get(start..whole.start()).unwrap_or_default());
        expand(&mut out, with, |name| {
            let span = match name.parse::<usize>() {
                Ok(index) => captures.get_group(index),
                Err(_) => captures.get_group_by_name(name),
            };
            span.map(|span| text.get(span.range()).unwrap_or_default())
        });
        start = whole.end();
        if out.len() > context.limits.left() {
            return Err(Stop::Error(crate::EvalError::Memory));
        }
        context.spend(text.len())?;
    }
    out.push_str(text.get(start..).unwrap_or_default());
    text_of(context, out)
}

/// Go's templates: `$1`, `${name}`, `$$`; of a name as many letters count as there are.
fn expand<'t>(out: &mut String, template: &str, group: impl Fn(&str) -> Option<&'t str>) {
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let (name, next) = match after.strip_prefix('{') {
            Some(inner) => match inner.split_once('}') {
                Some((name, next)) if !name.is_empty() && name.chars().all(|it| it.is_alphanumeric() || it == '_') => {
                    (name, next)
                }
                _ => {
                    out.push('$');
                    rest = after;
                    continue;
                }
            },
            None => {
                let end = after.find(|it: char| !(it.is_alphanumeric() || it == '_')).unwrap_or(after.len());
                after.split_at(end)
            }
        };
        if name.is_empty() {
            out.push('$');
            rest = after;
            continue;
        }
        out.push_str(group(name).unwrap_or_default());
        rest = next;
    }
    out.push_str(rest);
}

pub(super) fn glob_match(context: &mut Context, arguments: &[Value]) -> Done {
    let [pattern, delimiters, text] = arguments else { return Err(Stop::Undefined) };
    let (pattern, text) = (as_text(pattern)?, as_text(text)?);
    let delimiters: Vec<char> = match delimiters {
        Value::Null => Vec::new(),
        Value::Array(items) if items.is_empty() => vec!['.'],
        Value::Array(items) => {
            let mut all = Vec::new();
            for item in items.iter() {
                let mut chars = as_text(item)?.chars();
                match (chars.next(), chars.next()) {
                    (Some(it), None) => all.push(it),
                    _ => return Err(Stop::Undefined),
                }
            }
            all
        }
        _ => return Err(Stop::Undefined),
    };
    if pattern.len() > MAX_PATTERN {
        return Err(Stop::Undefined);
    }
    context.spend(text.len())?;
    let key = format!("g{}\0{pattern}", delimiters.iter().collect::<String>());
    let regex = cached(key, || glob_to_regex(pattern, &delimiters)).ok_or(Stop::Undefined)?;
    Ok(Value::Bool(regex.is_match(text)))
}

fn glob_to_regex(pattern: &str, delimiters: &[char]) -> Option<String> {
    let none: String = delimiters
        .iter()
        .flat_map(|it| ['\\', *it])
        .filter(|it| *it != '\\')
        .map(|it| escape(&it.to_string()))
        .collect();
    let single = if none.is_empty() { "(?s:.)".to_owned() } else { format!("[^{none}]") };
    let mut out = String::from("(?s)^(?:");
    let mut chars = pattern.chars().peekable();
    let mut open = 0_usize;
    while let Some(it) = chars.next() {
        match it {
            '\\' => out.push_str(&escape(&chars.next()?.to_string())),
            '*' if chars.peek() == Some(&'*') => {
                while chars.peek() == Some(&'*') {
                    chars.next();
                }
                out.push_str(".*");
            }
            '*' => out.push_str(&format!("{single}*")),
            '?' => out.push_str(&single),
            '{' => {
                open = open.saturating_add(1);
                out.push_str("(?:");
            }
            '}' if open > 0 => {
                open = open.saturating_sub(1);
                out.push(')');
            }
            ',' if open > 0 => out.push('|'),
            '[' => {
                out.push('[');
                if chars.peek() == Some(&'!') {
                    chars.next();
                    out.push('^');
                }
                let mut any = false;
                loop {
                    match chars.next()? {
                        ']' if any => break,
                        '\\' => out.push_str(&escape(&chars.next()?.to_string())),
                        '-' => out.push('-'),
                        it => out.push_str(&escape(&it.to_string())),
                    }
                    any = true;
                }
                out.push(']');
            }
            it => out.push_str(&escape(&it.to_string())),
        }
    }
    if open > 0 {
        return None;
    }
    out.push_str(")$");
    Some(out)
}

pub(super) fn quote_meta(context: &mut Context, arguments: &[Value]) -> Done {
    let [text] = arguments else { return Err(Stop::Undefined) };
    let mut out = String::new();
    for it in as_text(text)?.chars() {
        if matches!(it, '*' | '?' | '\\' | '[' | ']' | '{' | '}') {
            out.push('\\');
        }
        out.push(it);
    }
    text_of(context, out)
}

pub(super) fn template_match(context: &mut Context, arguments: &[Value]) -> Done {
    let [template, text, start, end] = arguments else { return Err(Stop::Undefined) };
    let (template, text) = (as_text(template)?, as_text(text)?);
    let (start, end) =
        (as_text(start)?.chars().next().ok_or(Stop::Undefined)?, as_text(end)?.chars().next().ok_or(Stop::Undefined)?);
    context.spend(text.len())?;
    let mut pattern = String::from("^");
    let mut level = 0_usize;
    let mut inner = String::new();
    for it in template.chars() {
        if it == start {
            if level > 0 {
                inner.push(it);
            }
            level = level.saturating_add(1);
        } else if it == end && level > 0 {
            level = level.saturating_sub(1);
            if level == 0 {
                pattern.push_str(&format!("({inner})"));
                inner.clear();
            } else {
                inner.push(it);
            }
        } else if level > 0 {
            inner.push(it);
        } else {
            pattern.push_str(&escape(&it.to_string()));
        }
    }
    if level > 0 {
        return Err(Stop::Undefined);
    }
    pattern.push('$');
    Ok(Value::Bool(regex(&pattern)?.is_match(text)))
}
