//! The tokens of a module, in one pass without recursion.

use std::ops::Range;

use crate::ast::Place;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Name,
    Number,
    Text,
    RawText,
    /// A part of a template string, up to the brace of an expression.
    Template,
    /// The last part of one.
    TemplateEnd,
    OpenParen,
    CloseParen,
    OpenBracket,
    CloseBracket,
    OpenBrace,
    CloseBrace,
    Comma,
    Semicolon,
    Colon,
    Dot,
    Assign,
    Unify,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Plus,
    Minus,
    Times,
    Divide,
    Modulo,
    And,
    Or,
    End,
}

#[derive(Clone, Debug)]
pub(crate) struct Lexeme {
    pub(crate) token: Token,
    pub(crate) at: Range<usize>,
    pub(crate) place: Place,
    /// There is space, a line end or a comment before it.
    pub(crate) spaced: bool,
    /// There is a line end before it.
    pub(crate) on_new_line: bool,
}

/// What no token starts with, or does not end as it must.
#[derive(Debug)]
pub(crate) struct LexError {
    pub(crate) place: Place,
    pub(crate) message: String,
}

/// How deep brackets may be nested. The parser and the evaluation recurse that far; policies need some 15.
pub(crate) const MAX_NESTING: usize = 128;

pub(crate) fn read_tokens(source: &str) -> Result<Vec<Lexeme>, LexError> {
    let mut lexer =
        Lexer { bytes: source.as_bytes(), source, at: 0, row: 1, line_start: 0, open: 0, templates: Vec::new() };
    let mut lexemes = Vec::new();
    loop {
        let lexeme = lexer.next()?;
        match lexeme.token {
            Token::OpenParen | Token::OpenBracket | Token::OpenBrace | Token::Template => {
                if lexeme.token != Token::Template {
                    lexer.open = lexer.open.saturating_add(1);
                }
                if lexer.open.saturating_add(lexer.templates.len()) > MAX_NESTING {
                    return Err(LexError {
                        place: lexeme.place,
                        message: format!("brackets are nested deeper than {MAX_NESTING}"),
                    });
                }
            }
            Token::CloseParen | Token::CloseBracket | Token::CloseBrace => lexer.open = lexer.open.saturating_sub(1),
            _ => {}
        }
        let done = lexeme.token == Token::End;
        lexemes.push(lexeme);
        if done {
            return Ok(lexemes);
        }
    }
}

struct Lexer<'s> {
    bytes: &'s [u8],
    source: &'s str,
    at: usize,
    row: u32,
    line_start: usize,
    /// How many brackets are open.
    open: usize,
    /// Template strings in whose expressions we are: whether each is a raw one, and how many brackets were open before.
    templates: Vec<(bool, usize)>,
}

impl Lexer<'_> {
    fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    fn peek_after(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at.saturating_add(ahead)).copied().unwrap_or(0)
    }

    fn step(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    fn place(&self) -> Place {
        let column = self.at.saturating_sub(self.line_start).saturating_add(1);
        Place { row: self.row, column: u32::try_from(column).unwrap_or(u32::MAX) }
    }

    fn newline(&mut self) {
        self.row = self.row.saturating_add(1);
        self.line_start = self.at.saturating_add(1);
    }

    fn error<T>(place: Place, message: impl Into<String>) -> Result<T, LexError> {
        Err(LexError { place, message: message.into() })
    }

    fn next(&mut self) -> Result<Lexeme, LexError> {
        let (mut spaced, mut on_new_line) = (false, false);
        loop {
            match self.peek() {
                b'\n' => {
                    self.newline();
                    on_new_line = true;
                }
                b' ' | b'\t' | b'\r' => {}
                b'#' => {
                    while self.at < self.bytes.len() && self.peek() != b'\n' {
                        self.step();
                    }
                    spaced = true;
                    continue;
                }
                _ => break,
            }
            spaced = true;
            self.step();
        }
        let start = self.at;
        let place = self.place();
        if start >= self.bytes.len() {
            return Ok(Lexeme { token: Token::End, at: start..start, place, spaced, on_new_line });
        }
        let token = self.read_token(place)?;
        Ok(Lexeme { token, at: start..self.at, place, spaced, on_new_line })
    }

    fn read_token(&mut self, place: Place) -> Result<Token, LexError> {
        let byte = self.peek();
        if byte.is_ascii_alphabetic() || byte == b'_' {
            while self.peek().is_ascii_alphanumeric() || self.peek() == b'_' {
                self.step();
            }
            return Ok(Token::Name);
        }
        if byte.is_ascii_digit() {
            return self.read_number(place);
        }
        if byte == b'"' {
            return self.read_text(place);
        }
        if byte == b'`' {
            return self.read_raw(place);
        }
        self.step();
        if byte == b'}'
            && let Some((raw, _)) = self.templates.pop_if(|(_, open)| *open == self.open)
        {
            return self.read_template(place, raw);
        }
        let with_equals = |lexer: &mut Self, with, without| {
            if lexer.peek() == b'=' {
                lexer.step();
                with
            } else {
                without
            }
        };
        Ok(match byte {
            b'(' => Token::OpenParen,
            b')' => Token::CloseParen,
            b'[' => Token::OpenBracket,
            b']' => Token::CloseBracket,
            b'{' => Token::OpenBrace,
            b'}' => Token::CloseBrace,
            b',' => Token::Comma,
            b';' => Token::Semicolon,
            b'.' => Token::Dot,
            b'+' => Token::Plus,
            b'-' => Token::Minus,
            b'*' => Token::Times,
            b'/' => Token::Divide,
            b'%' => Token::Modulo,
            b'&' => Token::And,
            b'|' => Token::Or,
            b':' => with_equals(self, Token::Assign, Token::Colon),
            b'=' => with_equals(self, Token::Equal, Token::Unify),
            b'<' => with_equals(self, Token::LessEqual, Token::Less),
            b'>' => with_equals(self, Token::GreaterEqual, Token::Greater),
            b'!' if self.peek() == b'=' => {
                self.step();
                Token::NotEqual
            }
            b'$' if matches!(self.peek(), b'"' | b'`') => {
                let raw = self.peek() == b'`';
                self.step();
                return self.read_template(place, raw);
            }
            _ => {
                let found = self.source.get(self.at.saturating_sub(1)..).and_then(|rest| rest.chars().next());
                return Self::error(
                    place,
                    format!("illegal token: unexpected character {:?}", found.unwrap_or('\u{fffd}')),
                );
            }
        })
    }

    fn read_number(&mut self, place: Place) -> Result<Token, LexError> {
        let start = self.at;
        while self.peek().is_ascii_digit() {
            self.step();
        }
        let digits = self.at.saturating_sub(start);
        if digits > 1 && self.bytes.get(start) == Some(&b'0') {
            return Self::error(place, "illegal number format: leading zero");
        }
        if self.peek() == b'.' && self.peek_after(1).is_ascii_digit() {
            self.step();
            while self.peek().is_ascii_digit() {
                self.step();
            }
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.step();
            if matches!(self.peek(), b'+' | b'-') {
                self.step();
            }
            if !self.peek().is_ascii_digit() {
                return Self::error(place, "illegal number format: the exponent has no digits");
            }
            while self.peek().is_ascii_digit() {
                self.step();
            }
        }
        if self.peek().is_ascii_alphabetic() || self.peek() == b'_' {
            return Self::error(place, "illegal number format");
        }
        Ok(Token::Number)
    }

    fn read_text(&mut self, place: Place) -> Result<Token, LexError> {
        self.step();
        loop {
            match self.peek() {
                b'"' => {
                    self.step();
                    return Ok(Token::Text);
                }
                b'\\' => {
                    self.step();
                    match self.peek() {
                        b'\\' | b'"' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                        b'u' => {
                            if !(1..=4).all(|ahead| self.peek_after(ahead).is_ascii_hexdigit()) {
                                return Self::error(place, "illegal unicode escape sequence in string literal");
                            }
                        }
                        _ => return Self::error(place, "illegal escape sequence in string literal"),
                    }
                    self.step();
                }
                b'\n' => return Self::error(place, "non-terminated string"),
                _ if self.at >= self.bytes.len() => return Self::error(place, "non-terminated string"),
                _ => self.step(),
            }
        }
    }

    /// The next part of a template string.
    fn read_template(&mut self, place: Place, raw: bool) -> Result<Token, LexError> {
        let end = if raw { b'`' } else { b'"' };
        loop {
            if self.at >= self.bytes.len() || !raw && self.peek() == b'\n' {
                return Self::error(place, "non-terminated string");
            }
            match self.peek() {
                byte if byte == end => {
                    self.step();
                    return Ok(Token::TemplateEnd);
                }
                b'{' => {
                    self.step();
                    self.templates.push((raw, self.open));
                    return Ok(Token::Template);
                }
                b'\\' if raw && self.peek_after(1) == b'{' => self.step(),
                b'\\' if raw => {}
                b'\\' => {
                    self.step();
                    if !matches!(self.peek(), b'\\' | b'"' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' | b'u' | b'{') {
                        return Self::error(place, "illegal escape sequence in string literal");
                    }
                }
                b'\n' => self.newline(),
                _ => {}
            }
            self.step();
        }
    }

    fn read_raw(&mut self, place: Place) -> Result<Token, LexError> {
        self.step();
        loop {
            match self.peek() {
                b'`' => {
                    self.step();
                    return Ok(Token::RawText);
                }
                _ if self.at >= self.bytes.len() => return Self::error(place, "non-terminated string"),
                b'\n' => self.newline(),
                _ => {}
            }
            self.step();
        }
    }
}
