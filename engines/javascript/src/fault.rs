//! What is wrong with a script.

use std::fmt;

use rquickjs::{Ctx, Value};

use super::wrap::HEADER_LINES;

/// Why a script cannot be taken, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What the script is called.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)
    }
}

impl std::error::Error for Fault {}

/// Why a script has not judged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// It took longer than it may.
    #[error("the script takes too long")]
    Deadline,
    /// It took more memory than it may.
    #[error("the script takes too much memory")]
    Memory,
    /// It still judges an earlier review, long past its time.
    #[error("the script still runs for an earlier review, past its time")]
    Busy,
    /// It failed, or gave no answer that can be understood.
    #[error("{0}")]
    Failed(String),
}

/// What a script has thrown.
pub(crate) struct Thrown {
    pub(crate) message: String,
    pub(crate) place: Option<(u32, u32)>,
    pub(crate) is_memory: bool,
}

impl Thrown {
    /// Takes what was thrown last, where a script may have thrown it.
    pub(crate) fn catch(ctx: &Ctx<'_>) -> Self {
        let value = ctx.catch();
        Self::read(ctx, &value)
    }

    /// Takes what the engine itself has thrown last: `null` where there was no memory left to say so.
    pub(crate) fn catch_own(ctx: &Ctx<'_>) -> Self {
        let value = ctx.catch();
        let thrown = Self::read(ctx, &value);
        Self { is_memory: thrown.is_memory || value.is_null(), ..thrown }
    }

    fn read(ctx: &Ctx<'_>, value: &Value<'_>) -> Self {
        let Some(exception) = value.as_exception() else {
            return Self { message: describe(value), place: None, is_memory: false };
        };
        // Both may be getters of the script, and throw again.
        let text = |key: &str| exception.as_object().get::<_, Value<'_>>(key).ok().and_then(|text| text_of(&text));
        let found = (text("name"), text("message"), text("stack"));
        ctx.catch();
        let (name, message, stack) = found;
        let message = message.unwrap_or_default();
        let is_memory = message.starts_with("out of memory");
        let message = match name.as_deref() {
            None | Some("") if message.is_empty() => "the script has thrown an error that says nothing".to_owned(),
            None | Some("") => tidy(&message),
            Some(name) => tidy(&format!("{name}: {message}")),
        };
        Self { message, place: stack.as_deref().and_then(find_place), is_memory }
    }
}

impl fmt::Display for Thrown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some((line, column)) => write!(f, "{} (line {line}, column {column})", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// A text of the script, if it is one that can be read.
fn text_of(value: &Value<'_>) -> Option<String> {
    value.as_string().and_then(|text| text.to_string().ok())
}

fn describe(value: &Value<'_>) -> String {
    match text_of(value) {
        Some(text) => tidy(&format!("the script has thrown `{text}`")),
        // It cannot be told apart from `throw null`.
        None if value.is_null() => {
            "the script has thrown null, or has had no memory left to say what is wrong".to_owned()
        }
        None => format!("the script has thrown {}", value.type_name()),
    }
}

/// One line, that is not too long and moves no cursor.
pub(crate) fn tidy(text: &str) -> String {
    let mut line: String = text.chars().take(MAX_MESSAGE).flat_map(escape).collect();
    if text.chars().nth(MAX_MESSAGE).is_some() {
        line.push_str("...");
    }
    line
}

fn escape(character: char) -> impl Iterator<Item = char> {
    let escaped = character.is_control().then(|| character.escape_default());
    let plain = escaped.is_none().then_some(character);
    escaped.into_iter().flatten().chain(plain)
}

/// The first place in the script itself that a stack trace names: `at validate (rule:3:7)`.
fn find_place(stack: &str) -> Option<(u32, u32)> {
    stack.match_indices(SCRIPT).find_map(|(at, found)| {
        let rest = stack.get(at.saturating_add(found.len())..)?;
        let (rest, header) = match rest.strip_prefix(LATER) {
            Some(rest) => (rest, HEADER_LINES),
            None => (rest, 0),
        };
        let (line, rest) = rest.strip_prefix(':')?.split_once(':')?;
        let column = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        Some((line.parse::<u32>().ok()?.checked_sub(header)?, column.parse().ok()?))
    })
}

/// What scripts are called within the engine, for the places in its stack traces.
pub(crate) const SCRIPT: &str = "rule";

/// What they are called as functions, where each line comes later than in the script.
pub(crate) const FUNCTION: &str = "rule+";
const LATER: char = '+';

/// Characters of a message: more tells an operator nothing.
const MAX_MESSAGE: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_place_in_the_script_is_found() {
        assert_eq!(find_place("    at sort (native)\n    at validate (rule:3:7)\n    at rule:9:1\n"), Some((3, 7)));
        assert_eq!(find_place("    at rule:1:5\n"), Some((1, 5)));
        assert_eq!(find_place("    at validate (rule+:4:7)\n"), Some((3, 7)));
        assert_eq!(find_place("    at rule (prelude:1:5)\n"), None);
        assert_eq!(find_place("rule:x:y rule:99999999999999:1 rule:"), None);
    }

    #[test]
    fn a_message_is_one_line() {
        assert_eq!(tidy("a\nb\u{1b}[31m"), "a\\nb\\u{1b}[31m");
        assert_eq!(tidy(&"x".repeat(1000)).len(), MAX_MESSAGE + 3);
    }
}
