//! JSON (RFC 8259), read as events: it needs no lookahead, so that its limits are those of the tree alone.

use std::str::Chars;
use std::sync::Arc;

use super::build::Builder;
use super::{Node, NodeError, Place, Value, shorten};

/// A refusal, and whether it is that the text is not JSON at all.
pub(super) struct JsonError {
    pub(super) error: NodeError,
    pub(super) syntax: bool,
}

impl From<NodeError> for JsonError {
    fn from(error: NodeError) -> Self {
        Self { error, syntax: false }
    }
}

/// Reads values one after the other, with white space or nothing between them.
pub(super) fn load(file: &Arc<str>, text: &str) -> Result<Vec<Node>, JsonError> {
    let mut scanner = Scanner { file, chars: text.chars(), line: 1, column: 1 };
    let mut builder = Builder::default();
    let mut documents = Vec::new();
    loop {
        scanner.skip_space();
        if scanner.peek().is_none() {
            return Ok(documents);
        }
        scanner.value(&mut builder)?;
        documents.extend(builder.take().filter(|node| !matches!(node.value, Value::Null)));
    }
}

struct Scanner<'t> {
    file: &'t Arc<str>,
    chars: Chars<'t>,
    line: u32,
    column: u32,
}

/// What is open: the closing bracket it needs.
type Open = Vec<char>;

impl Scanner<'_> {
    /// One value with all that is in it.
    fn value(&mut self, builder: &mut Builder) -> Result<(), JsonError> {
        let mut open = Open::new();
        loop {
            // A value is due.
            self.skip_space();
            let place = self.place();
            match self.peek() {
                Some('{') => {
                    self.next();
                    builder.begin_map(place)?;
                    open.push('}');
                    if !self.closes('}') {
                        self.key(builder)?;
                        continue;
                    }
                }
                Some('[') => {
                    self.next();
                    builder.begin_list(place)?;
                    open.push(']');
                    if !self.closes(']') {
                        continue;
                    }
                }
                Some('"') => {
                    let text = self.text()?;
                    builder.add(Node { place, value: Value::Text(text) })?;
                }
                _ => {
                    let value = self.word()?;
                    builder.add(Node { place, value })?;
                }
            }
            // A value is done: what follows it?
            loop {
                let Some(&closing) = open.last() else { return Ok(()) };
                self.skip_space();
                match self.peek() {
                    Some(',') => {
                        self.next();
                        if closing == '}' {
                            self.key(builder)?;
                        }
                        break;
                    }
                    Some(c) if c == closing => {
                        self.next();
                        open.pop();
                        builder.end()?;
                    }
                    _ => return Err(self.fault(&format!("wanted `,` or `{closing}`"))),
                }
            }
        }
    }

    /// Whether the next thing is the given bracket; it is left for the caller to take.
    fn closes(&mut self, bracket: char) -> bool {
        self.skip_space();
        self.peek() == Some(bracket)
    }

    fn key(&mut self, builder: &mut Builder) -> Result<(), JsonError> {
        self.skip_space();
        let place = self.place();
        if self.peek() != Some('"') {
            return Err(self.fault("wanted a key in quotes"));
        }
        let text = self.text()?;
        builder.key(place, text)?;
        self.skip_space();
        match self.next() {
            Some(':') => Ok(()),
            _ => Err(self.fault("wanted `:` after a key")),
        }
    }

    fn text(&mut self) -> Result<String, JsonError> {
        let mut out = String::new();
        self.next();
        loop {
            match self.next() {
                Some('"') => return Ok(out),
                Some('\\') => out.push(self.escape()?),
                Some(c) if c >= ' ' => out.push(c),
                Some(_) => return Err(self.fault("a control character in a text; write it as `\\u....`")),
                None => return Err(self.fault("a text without an end; wanted `\"`")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        Ok(match self.next() {
            Some(c @ ('"' | '\\' | '/')) => c,
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => {
                let first = self.hex()?;
                let mut units = vec![first];
                if (0xd800..0xdc00).contains(&first) && self.next() == Some('\\') && self.next() == Some('u') {
                    units.push(self.hex()?);
                }
                match char::decode_utf16(units).next() {
                    Some(Ok(c)) => c,
                    _ => return Err(self.fault("half of a surrogate pair")),
                }
            }
            _ => return Err(self.fault("an unknown escape in a text")),
        })
    }

    fn hex(&mut self) -> Result<u16, JsonError> {
        let digits: String = (0..4).filter_map(|_| self.next()).filter(char::is_ascii_hexdigit).collect();
        match u16::from_str_radix(&digits, 16) {
            Ok(unit) if digits.len() == 4 => Ok(unit),
            _ => Err(self.fault("wanted four hexadecimal digits after `\\u`")),
        }
    }

    fn word(&mut self) -> Result<Value, JsonError> {
        let mut word = String::new();
        while let Some(c) = self.peek().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.')) {
            word.push(c);
            self.next();
        }
        match word.as_str() {
            "null" => return Ok(Value::Null),
            "true" => return Ok(Value::Bool(true)),
            "false" => return Ok(Value::Bool(false)),
            _ => {}
        }
        let number = word.starts_with(|c: char| c.is_ascii_digit() || c == '-')
            && !word.contains(|c: char| c.is_ascii_alphabetic() && !matches!(c, 'e' | 'E'));
        let value = word.parse().map(Value::Integer).or_else(|_| word.parse().map(Value::Float));
        match value {
            Ok(value) if number => Ok(value),
            _ if word.is_empty() => Err(self.fault("wanted a value")),
            _ => Err(self.fault(&format!("`{}` is not a value", shorten(&word)))),
        }
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(|c| matches!(c, ' ' | '\t' | '\n' | '\r')) {
            self.next();
        }
    }

    fn peek(&self) -> Option<char> {
        self.chars.clone().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.chars.next()?;
        if next == '\n' {
            self.line = self.line.saturating_add(1);
            self.column = 1;
        } else {
            self.column = self.column.saturating_add(1);
        }
        Some(next)
    }

    fn place(&self) -> Place {
        Place { file: Arc::clone(self.file), line: self.line, column: self.column }
    }

    fn fault(&self, message: &str) -> JsonError {
        JsonError { error: NodeError::new(&self.place(), "", format!("not JSON: {message}")), syntax: true }
    }
}
