//! From tokens to modules, as OPA's parser reads them.

mod expressions;
mod rules;
mod terms;

use std::sync::Arc;

use crate::ast::{File, Import, Place, Term, TermKind};
use crate::lexer::{Lexeme, Token, read_tokens};
use crate::{Dialect, Fault};

/// How many tokens the parser looks at for each token there is. Where `{a | ...` is no comprehension after all it is read
/// twice; nested that doubles each time, which no policy does more than once or twice.
const MAX_LOOKS: usize = 64;

/// How many operators may stand in a row, how many `else` or bodies a rule may have, and how many calls a reference. Each is
/// a level of recursion later.
pub(crate) const MAX_CHAIN: usize = 256;

/// Reads a module.
///
/// # Errors
///
/// What OPA calls `rego_parse_error`, and what is nested too deep.
pub(crate) fn parse(name: &str, source: &str, dialect: Dialect) -> Result<File, Fault> {
    let name: Arc<str> = Arc::from(name);
    let fault = |place: Place, message: String| Fault {
        file: name.to_string(),
        row: place.row,
        column: place.column,
        code: "rego_parse_error",
        message,
    };
    let lexemes = read_tokens(source).map_err(|error| fault(error.place, error.message))?;
    let looks = lexemes.len().saturating_mul(MAX_LOOKS).saturating_add(10_000);
    let mut parser = Parser {
        source,
        lexemes,
        at: 0,
        looks,
        wildcards: 0,
        keywords: Keywords::default(),
        modern: dialect == Dialect::V1,
        name: name.clone(),
    };
    if parser.modern {
        parser.keywords = Keywords::ALL;
    }
    parser.parse_file().map_err(|error| fault(error.place, error.message))
}

#[derive(Debug)]
pub(crate) struct ParseError {
    pub(crate) place: Place,
    pub(crate) message: String,
}

pub(crate) type Parsed<T> = Result<T, ParseError>;

/// Which of the words that came later are keywords here.
#[derive(Clone, Copy, Default)]
struct Keywords {
    r#in: bool,
    every: bool,
    contains: bool,
    r#if: bool,
}

impl Keywords {
    const ALL: Self = Self { r#in: true, every: true, contains: true, r#if: true };
}

pub(crate) struct Parser<'s> {
    source: &'s str,
    lexemes: Vec<Lexeme>,
    at: usize,
    looks: usize,
    wildcards: u32,
    keywords: Keywords,
    modern: bool,
    name: Arc<str>,
}

static END: Lexeme =
    Lexeme { token: Token::End, at: 0..0, place: Place { row: 0, column: 0 }, spaced: true, on_new_line: true };

impl<'s> Parser<'s> {
    fn lexeme(&self) -> &Lexeme {
        self.lexemes.get(self.at).or_else(|| self.lexemes.last()).unwrap_or(&END)
    }

    fn lexeme_after(&self, ahead: usize) -> &Lexeme {
        self.lexemes.get(self.at.saturating_add(ahead)).or_else(|| self.lexemes.last()).unwrap_or(&END)
    }

    fn token(&self) -> Token {
        self.lexeme().token
    }

    fn place(&self) -> Place {
        self.lexeme().place
    }

    fn text(&self) -> &'s str {
        self.source.get(self.lexeme().at.clone()).unwrap_or_default()
    }

    fn step(&mut self) -> Parsed<()> {
        self.looks = match self.looks.checked_sub(1) {
            Some(left) => left,
            None => {
                return self.error("the module is too intricate: read its nested braces apart with rules of their own");
            }
        };
        self.at = self.at.saturating_add(1);
        Ok(())
    }

    /// Steps over a token if it is there.
    fn take(&mut self, token: Token) -> Parsed<bool> {
        let there = self.token() == token;
        if there {
            self.step()?;
        }
        Ok(there)
    }

    fn expect(&mut self, token: Token, what: &str) -> Parsed<()> {
        if self.take(token)? { Ok(()) } else { self.illegal(&format!("expected {what}")) }
    }

    /// Whether the word is here and is no plain name.
    fn is_word(&self, word: &str) -> bool {
        self.token() == Token::Name && self.text() == word && self.is_keyword(word)
    }

    /// Whether the word joins what is before it with what follows. Where a name goes on with `.` it starts something else.
    fn is_joining(&self, word: &str) -> bool {
        let next = self.lexeme_after(1);
        let is_name =
            !next.spaced && (next.token == Token::Dot || next.token == Token::OpenBracket && self.lexeme().on_new_line);
        self.is_word(word) && !is_name
    }

    fn is_keyword(&self, word: &str) -> bool {
        match word {
            "as" | "default" | "else" | "false" | "import" | "package" | "not" | "null" | "true" | "with" | "some" => {
                true
            }
            "in" => self.keywords.r#in,
            "every" => self.keywords.every,
            "contains" => self.keywords.contains,
            "if" => self.keywords.r#if,
            _ => false,
        }
    }

    fn error<T>(&self, message: impl Into<String>) -> Parsed<T> {
        Err(ParseError { place: self.place(), message: message.into() })
    }

    fn error_at<T>(place: Place, message: impl Into<String>) -> Parsed<T> {
        Err(ParseError { place, message: message.into() })
    }

    /// What OPA says of a token that must not be here.
    fn illegal<T>(&self, why: &str) -> Parsed<T> {
        let kind = match self.token() {
            Token::End => "eof".to_owned(),
            Token::Name if self.is_keyword(self.text()) => format!("{} keyword", self.text()),
            Token::Name => "identifier token".to_owned(),
            Token::Number => "number token".to_owned(),
            Token::Text | Token::RawText => "string token".to_owned(),
            Token::Assign => "assign token".to_owned(),
            Token::Unify => "eq token".to_owned(),
            Token::Equal => "equal token".to_owned(),
            Token::OpenBrace => "{ token".to_owned(),
            Token::And => "and token".to_owned(),
            Token::Or => "or token".to_owned(),
            _ => format!("{} token", self.text()),
        };
        let kind = if kind == "eof" { "eof token".to_owned() } else { kind };
        let why = if why.is_empty() { String::new() } else { format!(": {why}") };
        self.error(format!("unexpected {kind}{why}"))
    }

    fn wildcard(&mut self, place: Place) -> Term {
        self.wildcards = self.wildcards.saturating_add(1);
        Term::var(place, Arc::from(format!("${}", self.wildcards)))
    }

    fn parse_file(&mut self) -> Parsed<File> {
        if self.token() == Token::End {
            return Self::error_at(Place { row: 0, column: 0 }, "empty module");
        }
        let package_place = self.place();
        if !self.is_word("package") {
            return Self::error_at(package_place, "package expected");
        }
        let package = self.parse_package()?;
        let mut imports: Vec<Import> = Vec::new();
        let mut rules = Vec::new();
        loop {
            self.take_semicolons()?;
            if self.token() == Token::End {
                break;
            }
            if self.is_word("import") && !self.starts_rule() {
                imports.extend(self.parse_import()?);
                continue;
            }
            if self.is_word("package") && !self.starts_rule() {
                return self.illegal("expected rule or import");
            }
            self.parse_rules(&mut rules)?;
        }
        Ok(File { name: self.name.clone(), package_place, package, imports, rules, modern: self.modern })
    }

    /// A word that is a keyword, and yet the name of a rule: `import.x`.
    fn starts_rule(&self) -> bool {
        matches!(self.lexeme_after(1).token, Token::Dot | Token::OpenBracket) && !self.lexeme_after(1).spaced
    }

    fn take_semicolons(&mut self) -> Parsed<()> {
        while self.token() == Token::Semicolon {
            self.step()?;
        }
        Ok(())
    }

    fn parse_package(&mut self) -> Parsed<Vec<Arc<str>>> {
        self.step()?;
        if self.token() != Token::Name || self.lexeme().on_new_line {
            return self.illegal("expected package name, e.g. `package example`");
        }
        let place = self.place();
        let path = self.parse_path()?;
        let mut package: Vec<Arc<str>> = Vec::new();
        for (at, part) in path.iter().enumerate() {
            match (&part.kind, part.as_text()) {
                (TermKind::Var(name), _) if at == 0 => package.push(name.clone()),
                (_, Some(text)) if at > 0 => package.push(Arc::from(text)),
                _ => return Self::error_at(place, "package name may only contain string values"),
            }
        }
        Ok(package)
    }

    /// A name and what follows it without space, of texts alone: of packages and imports.
    fn parse_path(&mut self) -> Parsed<Vec<Term>> {
        let place = self.place();
        let mut path = vec![Term::var(place, Arc::from(self.text()))];
        self.step()?;
        loop {
            if self.lexeme().spaced {
                return Ok(path);
            }
            match self.token() {
                Token::Dot => {
                    self.step()?;
                    if self.token() != Token::Name {
                        return self.illegal("expected identifier");
                    }
                    path.push(Term::text(self.place(), self.text()));
                    self.step()?;
                }
                Token::OpenBracket => {
                    self.step()?;
                    let part = self.parse_infix(true)?;
                    path.push(part);
                    self.expect(Token::CloseBracket, "]")?;
                }
                _ => return Ok(path),
            }
        }
    }

    fn parse_import(&mut self) -> Parsed<Option<Import>> {
        let place = self.place();
        self.step()?;
        if self.token() != Token::Name {
            return self.illegal("expected ident");
        }
        let path_place = self.place();
        let path = self.parse_path()?;
        let words: Vec<&str> =
            path.iter().filter_map(|part| part.as_var().map(|name| &**name).or_else(|| part.as_text())).collect();
        let alias = if self.is_word("as") {
            self.step()?;
            if self.token() != Token::Name {
                return self.illegal("expected var");
            }
            let alias: Arc<str> = Arc::from(self.text());
            self.step()?;
            Some(alias)
        } else {
            None
        };
        match words.as_slice() {
            ["future", "keywords"] => self.keywords = Keywords::ALL,
            ["future", "keywords", word] => match *word {
                "in" => self.keywords.r#in = true,
                "every" => {
                    self.keywords.r#in = true;
                    self.keywords.every = true;
                }
                "contains" => self.keywords.contains = true,
                "if" => self.keywords.r#if = true,
                "not" | "and" | "or" => {
                    return Self::error_at(
                        path_place,
                        format!("the import of future.keywords.{word} is not supported"),
                    );
                }
                other => {
                    return Self::error_at(
                        path_place,
                        format!("unexpected keyword, must be one of [contains every if in]: {other}"),
                    );
                }
            },
            ["rego", "v1"] => {
                self.keywords = Keywords::ALL;
                self.modern = true;
            }
            ["rego", "v2"] => return Self::error_at(path_place, "the import of rego.v2 is not supported"),
            ["data" | "input", ..] if words.len() == path.len() => return Ok(Some(Import { place, path, alias })),
            _ => {
                let found = words.join(".");
                return Self::error_at(
                    path_place,
                    format!(
                        "unexpected import path, must begin with one of: {{data, future, input, rego}}, got: {}",
                        found.split('.').next().unwrap_or_default()
                    ),
                );
            }
        }
        Ok(None)
    }
}
