//! Limits of an expression that are checked before it is parsed, in one pass without recursion.

use crate::error::Fault;
use crate::parse::place;

/// Characters of an expression: the limit of cel-go, "expression code point size exceeds limit".
const MAX_CHARACTERS: usize = 100_000;
/// Words, numbers, texts and signs of an expression. The parser takes some 10 µs for each.
const MAX_TOKENS: usize = 20_000;
/// How deep the syntax tree may become: brackets, and operators that are chained, such as the terms of a sum.
pub(crate) const MAX_DEPTH: usize = 500;

/// Checks the limits.
///
/// # Errors
///
/// Which limit the expression goes beyond, and where.
pub(crate) fn check(text: &str) -> Result<(), Fault> {
    let characters = text.chars().count();
    if characters > MAX_CHARACTERS {
        let message = format!("expression code point size exceeds limit: size: {characters}, limit {MAX_CHARACTERS}");
        return Err(Fault { line: 1, column: 1, message });
    }
    let mut tokens = Tokens { rest: text };
    let mut levels = Levels { open: Vec::new(), current: Level::default() };
    for count in 1_usize.. {
        let Some(token) = tokens.next() else { return Ok(()) };
        let limit = if count > MAX_TOKENS {
            format!("the expression has more than {MAX_TOKENS} words and signs")
        } else {
            levels.add(token);
            if levels.depth() <= MAX_DEPTH {
                continue;
            }
            format!("the expression is nested deeper than {MAX_DEPTH}, counting the terms of a chain")
        };
        let at = characters.saturating_sub(tokens.rest.chars().count());
        let (line, column) = place(text, at);
        return Err(Fault { line, column, message: format!("{limit}; divide it into several") });
    }
    Ok(())
}

/// What is within a bracket.
#[derive(Clone, Copy, Default)]
struct Level {
    /// The deepest of the parts that are complete.
    done: usize,
    /// Operators of the part that is being read, and how deep it goes in brackets.
    operators: usize,
    inner: usize,
    /// `&&` and `||`, whose terms become a balanced tree, and `?`.
    logic: usize,
    choices: usize,
    /// The depth of all brackets around it.
    above: usize,
}

impl Level {
    fn depth(&self) -> usize {
        // Two trees, one of terms of `||`, one of terms of `&&` in it.
        let balanced = (usize::BITS.saturating_sub(self.logic.leading_zeros()) as usize).saturating_mul(2);
        self.done.max(self.part()).saturating_add(balanced).saturating_add(self.choices).saturating_add(1)
    }

    fn part(&self) -> usize {
        self.operators.saturating_add(self.inner)
    }

    fn end_part(&mut self) {
        self.done = self.done.max(self.part());
        (self.operators, self.inner) = (0, 0);
    }
}

struct Levels {
    open: Vec<Level>,
    current: Level,
}

impl Levels {
    fn depth(&self) -> usize {
        self.current.above.saturating_add(self.current.depth())
    }

    fn add(&mut self, token: Token) {
        match token {
            Token::Open => {
                self.current.operators = self.current.operators.saturating_add(1);
                let above = self.depth();
                self.open.push(self.current);
                self.current = Level { above, ..Level::default() };
            }
            Token::Close => {
                let depth = self.current.depth();
                if let Some(outer) = self.open.pop() {
                    self.current = outer;
                    self.current.inner = self.current.inner.max(depth);
                }
            }
            Token::Comma => self.current.end_part(),
            Token::Logic => {
                self.current.end_part();
                self.current.logic = self.current.logic.saturating_add(1);
            }
            Token::Choice => self.current.choices = self.current.choices.saturating_add(1),
            Token::Operator => self.current.operators = self.current.operators.saturating_add(1),
            Token::Other => {}
        }
    }
}

#[derive(Clone, Copy)]
enum Token {
    Open,
    Close,
    Comma,
    Logic,
    Choice,
    Operator,
    Other,
}

struct Tokens<'t> {
    rest: &'t str,
}

impl Tokens<'_> {
    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    fn next(&mut self) -> Option<Token> {
        loop {
            self.rest = self.rest.trim_start();
            if !self.rest.starts_with("//") {
                break;
            }
            self.rest = self.rest.split_once('\n').map_or("", |(_, rest)| rest);
        }
        let first = self.rest.chars().next()?;
        if first.is_ascii_alphabetic() || first == '_' {
            let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.rest.len());
            let word = self.rest.get(..end).unwrap_or_default();
            let quoted = self.rest.get(end..).is_some_and(|rest| rest.starts_with(['"', '\'']));
            if quoted && word.len() <= 2 && word.chars().all(|c| "rRbB".contains(c)) {
                self.skip(end);
                self.skip_text(word.contains(['r', 'R']));
                return Some(Token::Other);
            }
            let token = if word == "in" { Token::Operator } else { Token::Other };
            self.skip(end);
            return Some(token);
        }
        if first.is_ascii_digit() {
            let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(self.rest.len());
            self.skip(end);
            return Some(Token::Other);
        }
        if first == '"' || first == '\'' {
            self.skip_text(false);
            return Some(Token::Other);
        }
        let token = match first {
            '(' | '[' | '{' => Token::Open,
            ')' | ']' | '}' => Token::Close,
            ',' => Token::Comma,
            '?' => Token::Choice,
            '&' | '|' => Token::Logic,
            '+' | '-' | '*' | '/' | '%' | '=' | '!' | '<' | '>' | '.' => Token::Operator,
            _ => Token::Other,
        };
        let double = ["&&", "||", "==", "!=", "<=", ">="].iter().any(|sign| self.rest.starts_with(sign));
        self.skip(if double { 2 } else { first.len_utf8() });
        Some(token)
    }

    /// Passes over a text in quotes; one that does not end takes all that is left.
    fn skip_text(&mut self, raw: bool) {
        let Some(quote) = self.rest.chars().next() else { return };
        let triple: String = [quote; 3].iter().collect();
        let closing = if self.rest.starts_with(&triple) { 3 } else { 1 };
        self.skip(closing);
        let bytes = self.rest.as_bytes();
        let mut at = 0_usize;
        while let Some(byte) = bytes.get(at) {
            if *byte == b'\\' && !raw {
                at = at.saturating_add(2);
                continue;
            }
            let rest = bytes.get(at..).unwrap_or_default();
            if rest.len() >= closing && rest.iter().take(closing).all(|byte| *byte == quote as u8) {
                at = at.saturating_add(closing);
                break;
            }
            at = at.saturating_add(1);
        }
        while at < self.rest.len() && !self.rest.is_char_boundary(at) {
            at = at.saturating_add(1);
        }
        self.skip(at.min(self.rest.len()));
    }
}
