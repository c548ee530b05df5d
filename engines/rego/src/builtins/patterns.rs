//! Regular expressions as Go reads them, and globs.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use regex_automata::hybrid::dfa;
use regex_automata::meta::Regex;
use regex_automata::util::captures::Captures;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};
use regorus::Value;

use super::syntax::{escape, translate};
use super::{Context, Done, Stop, as_text, text_of};
use crate::EvalError;

/// How large a compiled expression may be, in bytes. Counted repetitions grow it: `(a{1000}){1000}`.
const MAX_REGEX: usize = 1 << 20;

/// How many expressions a thread keeps.
const KEPT: usize = 256;

/// The longest expression or glob, in bytes.
const MAX_PATTERN: usize = 16 << 10;

/// Up to which sizes of a text and of a compiled expression, multiplied, a search needs no care. At worst one takes as many steps
/// as the text has bytes, for each state of the expression, of which each takes some 40 bytes: here that is a tenth of a second.
const SMALL_SEARCH: usize = 64 << 20;

/// The same for a search that has a match and is not stopped, where the states that it had need of were few.
const MAX_SEARCH: usize = 4 << 30;

/// The same for the groups of one match, where there is no way to stop the search: half a second at worst.
const MAX_GROUPS: usize = 512 << 20;

/// How often the states of a search may be thrown away for want of memory, before it counts as one that makes a new state for
/// each byte.
const MAX_CLEARS: usize = 8;

/// How many bytes are read between two looks at the clock. Each may make a new state.
const BYTES_PER_LOOK: usize = 128;

thread_local! {
    static REGEXES: RefCell<HashMap<String, Option<Rc<Pattern>>>> = RefCell::new(HashMap::new());
}

struct Pattern {
    regex: Regex,
    /// As our own syntax has it.
    text: String,
    /// For searches that may have to be stopped.
    steps: OnceCell<Option<Steps>>,
}

struct Steps {
    dfa: dfa::DFA,
    /// Whether it has memory enough for its states; then searches that are not stopped use such a one, too.
    fits: bool,
}

struct Scan {
    found: bool,
    /// How often states were thrown away.
    clears: usize,
}

fn cached(key: String, translate: impl FnOnce() -> Option<String>) -> Option<Rc<Pattern>> {
    REGEXES.with_borrow_mut(|known| {
        if let Some(pattern) = known.get(&key) {
            return pattern.clone();
        }
        let pattern = translate().and_then(compile).map(Rc::new);
        if known.len() >= KEPT {
            known.clear();
        }
        known.insert(key, pattern.clone());
        pattern
    })
}

fn compile(text: String) -> Option<Pattern> {
    let regex = Regex::builder()
        .configure(
            Regex::config()
                .nfa_size_limit(Some(MAX_REGEX))
                .hybrid_cache_capacity(MAX_REGEX)
                .onepass_size_limit(Some(MAX_REGEX)),
        )
        .syntax(syntax_config())
        .build(&text)
        .ok()?;
    Some(Pattern { regex, text, steps: OnceCell::new() })
}

fn syntax_config() -> syntax::Config {
    syntax::Config::new().nest_limit(128)
}

fn regex(pattern: &str) -> Result<Rc<Pattern>, Stop> {
    if pattern.len() > MAX_PATTERN {
        return Err(Stop::Undefined);
    }
    cached(format!("r{pattern}"), || translate(pattern)).ok_or(Stop::Undefined)
}

fn too_long(text: &str) -> Stop {
    let message = format!("a text of {} bytes is too long for a regular expression as large as this one", text.len());
    Stop::Error(EvalError::Failed(message))
}

impl Pattern {
    fn is_small(&self, text: &str) -> bool {
        text.len().saturating_mul(self.regex.memory_usage()) <= SMALL_SEARCH
    }

    fn is_match(&self, context: &mut Context, text: &str) -> Result<bool, Stop> {
        if self.is_small(text) {
            return Ok(self.regex.is_match(text));
        }
        self.scan(context, text, false).map(|scan| scan.found)
    }

    /// Whether there is a match. Where there is one, it can be searched for without stopping: a search of the whole text had no
    /// need of ever new states.
    fn check(&self, context: &mut Context, text: &str) -> Result<bool, Stop> {
        if self.is_small(text) {
            return Ok(true);
        }
        let scan = self.scan(context, text, true)?;
        let is_large = text.len().saturating_mul(self.regex.memory_usage()) > MAX_SEARCH;
        if scan.found && (is_large || scan.clears > MAX_CLEARS || !self.steps().is_some_and(|steps| steps.fits)) {
            return Err(too_long(text));
        }
        Ok(scan.found)
    }

    fn steps(&self) -> Option<&Steps> {
        let build = |config: dfa::Config| {
            dfa::DFA::builder()
                .configure(config.cache_capacity(MAX_REGEX))
                .syntax(syntax_config())
                .build(&self.text)
                .ok()
        };
        let made = self.steps.get_or_init(|| match build(dfa::DFA::config()) {
            Some(dfa) => Some(Steps { dfa, fits: true }),
            None => build(dfa::DFA::config().skip_cache_capacity_check(true)).map(|dfa| Steps { dfa, fits: false }),
        });
        made.as_ref()
    }

    /// Searches byte by byte, to the end of the first match or of the text.
    fn scan(&self, context: &mut Context, text: &str, whole: bool) -> Result<Scan, Stop> {
        let dfa = &self.steps().ok_or_else(|| too_long(text))?.dfa;
        let mut cache = dfa.create_cache();
        let mut found = false;
        let mut state = dfa.start_state_forward(&mut cache, &Input::new(text)).map_err(|_| too_long(text))?;
        for (at, byte) in text.bytes().enumerate() {
            if at.is_multiple_of(BYTES_PER_LOOK) {
                context.limits.look()?;
            }
            state = dfa.next_state(&mut cache, state, byte).map_err(|_| too_long(text))?;
            found |= state.is_match();
            if state.is_quit() {
                return Err(too_long(text));
            }
            if (found || state.is_dead()) && !whole {
                return Ok(Scan { found, clears: cache.clear_count() });
            }
            if state.is_dead() {
                // The next search starts about here.
                let rest = Input::new(text).range(at..text.len());
                state = dfa.start_state_forward(&mut cache, &rest).map_err(|_| too_long(text))?;
            }
        }
        let state = dfa.next_eoi_state(&mut cache, state).map_err(|_| too_long(text))?;
        Ok(Scan { found: found || state.is_match(), clears: cache.clear_count() })
    }

    /// The groups of a match that was found.
    fn groups(&self, text: &str, found: Range<usize>) -> Result<Captures, Stop> {
        if found.len().saturating_mul(self.regex.memory_usage()) > MAX_GROUPS {
            return Err(too_long(text));
        }
        let mut captures = self.regex.create_captures();
        self.regex.captures(Input::new(text).range(found).anchored(Anchored::Yes), &mut captures);
        Ok(captures)
    }
}

pub(super) fn is_valid(_: &mut Context, arguments: &[Value]) -> Done {
    let [Value::String(pattern)] = arguments else { return Ok(Value::Bool(false)) };
    Ok(Value::Bool(regex(pattern).is_ok()))
}

pub(super) fn matches(context: &mut Context, arguments: &[Value]) -> Done {
    let [pattern, text] = arguments else { return Err(Stop::Undefined) };
    let (pattern, text) = (as_text(pattern)?, as_text(text)?);
    context.spend(text.len())?;
    Ok(Value::Bool(regex(pattern)?.is_match(context, text)?))
}

pub(super) fn split(context: &mut Context, arguments: &[Value]) -> Done {
    let [pattern, text] = arguments else { return Err(Stop::Undefined) };
    let (pattern, text) = (as_text(pattern)?, as_text(text)?);
    context.spend(text.len().saturating_mul(4))?;
    let regex = regex(pattern)?;
    if !regex.check(context, text)? {
        return Ok(Value::from(vec![Value::from(text)]));
    }
    let mut parts = Vec::new();
    let mut start = 0;
    for found in regex.regex.find_iter(text) {
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
    let regex = regex(pattern)?;
    if !regex.check(context, text)? {
        return Ok(Value::new_array());
    }
    let mut all = Vec::new();
    for found in regex.regex.find_iter(text).take(most) {
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
    let regex = regex(pattern)?;
    if !regex.check(context, text)? {
        return Ok(Value::new_array());
    }
    let mut all = Vec::new();
    for found in regex.regex.find_iter(text).take(most) {
        let captures = regex.groups(text, found.range())?;
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
    let regex = regex(pattern)?;
    if !regex.check(context, text)? {
        return text_of(context, text.to_owned());
    }
    let mut out = String::new();
    let mut start = 0;
    for whole in regex.regex.find_iter(text) {
        let captures = regex.groups(text, whole.range())?;
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
            return Err(Stop::Error(EvalError::Memory));
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
    Ok(Value::Bool(regex.is_match(context, text)?))
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
    Ok(Value::Bool(regex(&pattern)?.is_match(context, text)?))
}
