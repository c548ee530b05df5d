//! Terms: what has a value.

use std::collections::BTreeMap;
use std::sync::Arc;

use regorus::Value;

use super::{MAX_CHAIN, Parsed, Parser};
use crate::ast::{Body, Call, Expr, ExprKind, Place, Term, TermKind};
use crate::lexer::Token;
use crate::value;

/// Operators between two terms, by how tight they bind.
const LEVELS: [&[(Token, &str)]; 5] = [
    &[
        (Token::Equal, "equal"),
        (Token::NotEqual, "neq"),
        (Token::Less, "lt"),
        (Token::Greater, "gt"),
        (Token::LessEqual, "lte"),
        (Token::GreaterEqual, "gte"),
    ],
    &[(Token::Or, "or")],
    &[(Token::And, "and")],
    &[(Token::Plus, "plus"), (Token::Minus, "minus")],
    &[(Token::Times, "mul"), (Token::Divide, "div"), (Token::Modulo, "rem")],
];

impl Parser<'_> {
    /// A term with operators and `in`. `pairs` says whether `key, value in collection` may be meant.
    pub(super) fn parse_infix(&mut self, pairs: bool) -> Parsed<Term> {
        let left = self.parse_level(0, None)?;
        self.parse_membership(left, pairs)
    }

    /// Goes on after a term that was read already.
    fn parse_infix_after(&mut self, first: Term, pairs: bool) -> Parsed<Term> {
        let left = self.parse_level(0, Some(first))?;
        self.parse_membership(left, pairs)
    }

    fn parse_membership(&mut self, mut left: Term, pairs: bool) -> Parsed<Term> {
        for _ in 0..MAX_CHAIN {
            if pairs && self.token() == Token::Comma && self.keywords.r#in {
                let before = self.at;
                self.step()?;
                if let Ok(value) = self.parse_level(0, None)
                    && self.is_joining("in")
                {
                    self.step()?;
                    let right = self.parse_level(0, None)?;
                    let place = left.place;
                    left = Term::new(
                        place,
                        TermKind::Call(Call::named(place, "internal.member_3", vec![left, value, right])),
                    );
                    if self.is_joining("in") {
                        continue;
                    }
                    return Ok(left);
                }
                self.at = before;
            }
            if !self.is_joining("in") {
                return Ok(left);
            }
            self.step()?;
            let right = self.parse_level(0, None)?;
            let place = left.place;
            left = Term::new(place, TermKind::Call(Call::named(place, "internal.member_2", vec![left, right])));
        }
        self.error("too many operators in a row")
    }

    fn parse_level(&mut self, level: usize, first: Option<Term>) -> Parsed<Term> {
        let Some(operators) = LEVELS.get(level) else {
            return match first {
                Some(term) => Ok(term),
                None => self.parse_term(),
            };
        };
        let next = level.saturating_add(1);
        let mut left = self.parse_level(next, first)?;
        for _ in 0..MAX_CHAIN {
            let token = self.token();
            let Some((_, name)) = operators.iter().find(|(operator, _)| *operator == token) else { return Ok(left) };
            self.step()?;
            let right = self.parse_level(next, None)?;
            let place = left.place;
            left = Term::new(place, TermKind::Call(Call::named(place, name, vec![left, right])));
        }
        self.error("too many operators in a row")
    }

    pub(super) fn parse_term(&mut self) -> Parsed<Term> {
        let place = self.place();
        let term = match self.token() {
            Token::Name => match self.text() {
                // A keyword is a name where a reference goes on with it.
                word if self.is_keyword(word) && word != "contains" && !self.starts_rule() => match word {
                    "null" => self.scalar(Value::Null)?,
                    "true" => self.scalar(Value::Bool(true))?,
                    "false" => self.scalar(Value::Bool(false))?,
                    _ => return self.illegal(""),
                },
                _ => self.parse_var()?,
            },
            Token::Minus => {
                self.step()?;
                if self.token() == Token::Name {
                    let var = self.parse_var()?;
                    let operand = self.parse_rest(var)?;
                    let zero = Term::new(place, TermKind::Scalar(Value::from(0_u64)));
                    return Ok(Term::new(place, TermKind::Call(Call::named(place, "minus", vec![zero, operand]))));
                }
                self.parse_number("-", place)?
            }
            Token::Number | Token::Dot => self.parse_number("", place)?,
            Token::Text => {
                let text: String = match serde_json::from_str(self.text()) {
                    Ok(text) => text,
                    Err(_) => match decode_as_go(self.text()) {
                        Some(text) => text,
                        None => return self.error("illegal string literal"),
                    },
                };
                self.scalar(Value::from(text.as_str()))?
            }
            Token::RawText => {
                let text = self.text();
                let inner = text.get(1..text.len().saturating_sub(1)).unwrap_or_default();
                // Go leaves carriage returns out of raw texts.
                self.scalar(Value::from(inner.replace('\r', "").as_str()))?
            }
            Token::Template | Token::TemplateEnd if self.text().starts_with('$') => self.parse_template()?,
            Token::OpenBracket => self.parse_array()?,
            Token::OpenBrace => self.parse_braces()?,
            Token::OpenParen => {
                self.step()?;
                let inner = self.parse_infix(true)?;
                if !self.take(Token::CloseParen)? {
                    return self.error("non-terminated expression");
                }
                inner
            }
            _ => return self.illegal(""),
        };
        self.parse_rest(term)
    }

    /// A template string, as OPA writes it out: what an expression comes to stands in a set, which is empty where it is undefined.
    fn parse_template(&mut self) -> Parsed<Term> {
        let place = self.place();
        if !self.modern {
            return self.error("template strings are not supported before rego v1, use sprintf");
        }
        let raw = self.text().starts_with("$`");
        let mut parts = Vec::new();
        let mut start = 2_usize;
        loop {
            let text = self.text();
            let inner = text.get(start..text.len().saturating_sub(1)).unwrap_or_default();
            let Some(literal) = decode_template(inner, raw) else { return self.error("illegal template-string part") };
            if !literal.is_empty() {
                parts.push(Term::text(self.place(), &literal));
            }
            let ends = self.token() == Token::TemplateEnd;
            self.step()?;
            if ends {
                break;
            }
            start = 1;
            parts.push(self.parse_template_part()?);
            if !(matches!(self.token(), Token::Template | Token::TemplateEnd) && self.text().starts_with('}')) {
                return self.illegal("expected } to end template string expression");
            }
        }
        // Without an expression it is a plain text.
        match parts.as_slice() {
            [] => return Ok(Term::text(place, "")),
            [only] if only.as_text().is_some() => return Ok(parts.remove(0)),
            _ => {}
        }
        let parts = Term::new(place, TermKind::Array(parts));
        Ok(Term::new(place, TermKind::Call(Call::named(place, "internal.template_string", vec![parts]))))
    }

    fn parse_template_part(&mut self) -> Parsed<Term> {
        let expr = self.parse_literal()?;
        let place = expr.place;
        let value = match expr.kind {
            _ if expr.negated => {
                return Self::error_at(place, "unexpected negation ('not') in template-string expression");
            }
            ExprKind::Term(value) => value,
            ExprKind::Call(call) if call.is("eq") || call.is("assign") => {
                return Self::error_at(place, "unexpected unification or assignment in template-string expression");
            }
            ExprKind::Call(call) => Term::new(place, TermKind::Call(call)),
            _ => return Self::error_at(place, "unexpected declaration in template-string expression"),
        };
        if matches!(value.kind, TermKind::Scalar(_)) && expr.with.is_empty() {
            return Ok(value);
        }
        // No name in a module has this sign.
        self.wildcards = self.wildcards.saturating_add(1);
        let var = Term::var(place, Arc::from(format!("part@{}", self.wildcards)));
        let mut capture = Expr::call(place, "eq", vec![var.clone(), value]);
        capture.with = expr.with;
        Ok(Term::new(place, TermKind::SetCompr(Box::new(var), vec![capture])))
    }

    fn scalar(&mut self, value: Value) -> Parsed<Term> {
        let place = self.place();
        self.step()?;
        Ok(Term::new(place, TermKind::Scalar(value)))
    }

    fn parse_number(&mut self, sign: &str, place: Place) -> Parsed<Term> {
        let mut text = sign.to_owned();
        if self.token() == Token::Dot {
            text.push_str("0.");
            self.step()?;
        }
        if self.token() != Token::Number {
            return self.illegal("expected number");
        }
        text.push_str(self.text());
        self.step()?;
        match value::number(&text) {
            Some(number) => Ok(Term::new(place, TermKind::Scalar(number))),
            None => Self::error_at(place, "number too big"),
        }
    }

    pub(super) fn parse_var(&mut self) -> Parsed<Term> {
        let place = self.place();
        let name = self.text();
        let term = if name == "_" { self.wildcard(place) } else { Term::var(place, Arc::from(name)) };
        self.step()?;
        Ok(term)
    }

    /// What follows a term without space: `.name`, `[key]` and `(arguments)`.
    fn parse_rest(&mut self, head: Term) -> Parsed<Term> {
        self.parse_rest_of(head, false)
    }

    /// Whether space keeps what is next from being part of the term. In the head of a rule only a line end does.
    fn is_apart(&self, in_head: bool) -> bool {
        self.lexeme().spaced && (!in_head || self.lexeme().on_new_line)
    }

    pub(super) fn parse_rest_of(&mut self, mut head: Term, spaced: bool) -> Parsed<Term> {
        let place = head.place;
        let mut first = spaced;
        for _ in 0..MAX_CHAIN {
            let starts = matches!(self.token(), Token::OpenParen | Token::Dot | Token::OpenBracket);
            if !starts || self.is_apart(first) {
                return Ok(match &head.kind {
                    TermKind::Var(name) if matches!(&**name, "input" | "data") => {
                        Term::new(place, TermKind::Ref(vec![head]))
                    }
                    _ => head,
                });
            }
            if matches!(head.kind, TermKind::Scalar(_)) {
                return Self::error_at(place, format!("illegal ref (head cannot be {})", kind_name(&head)));
            }
            let mut path = vec![head];
            loop {
                if self.is_apart(first) {
                    break;
                }
                first = false;
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
                        let key = self.parse_infix(true)?;
                        self.expect(Token::CloseBracket, "]")?;
                        path.push(key);
                    }
                    _ => break,
                }
            }
            head = if self.token() == Token::OpenParen && !self.lexeme().spaced
                || self.token() == Token::OpenParen && spaced && path.len() == 1 && !self.lexeme().on_new_line
            {
                first = false;
                self.parse_call(path)?
            } else {
                Term::new(place, TermKind::Ref(path))
            };
        }
        Self::error_at(place, "too many calls in a row")
    }

    fn parse_call(&mut self, operator: Vec<Term>) -> Parsed<Term> {
        let place = operator.first().map(|head| head.place).unwrap_or_default();
        self.step()?;
        let arguments = self.parse_list(Token::CloseParen, Vec::new())?;
        if arguments.is_empty()
            && let [head] = operator.as_slice()
            && head.as_var().is_some_and(|name| &**name == "set")
        {
            return Ok(Term::new(place, TermKind::Set(Vec::new())));
        }
        Ok(Term::new(place, TermKind::Call(Call { operator, arguments })))
    }

    /// The rest of a list, and what closes it.
    fn parse_list(&mut self, close: Token, mut terms: Vec<Term>) -> Parsed<Vec<Term>> {
        loop {
            if self.take(close)? {
                return Ok(terms);
            }
            terms.push(self.parse_infix(false)?);
            if self.take(close)? {
                return Ok(terms);
            }
            if !self.take(Token::Comma)? {
                let expected = match close {
                    Token::CloseParen => ")",
                    Token::CloseBracket => "]",
                    _ => "}",
                };
                return self.illegal(&format!("expected \",\" or \"{expected}\""));
            }
        }
    }

    fn parse_array(&mut self) -> Parsed<Term> {
        let place = self.place();
        self.step()?;
        if self.take(Token::CloseBracket)? {
            return Ok(Term::new(place, TermKind::Array(Vec::new())));
        }
        let leading_comma = self.take(Token::Comma)?;
        let head = self.parse_term()?;
        if self.token() == Token::Or
            && !leading_comma
            && let Some(body) = self.try_body(Token::CloseBracket)?
        {
            return Ok(Term::new(place, TermKind::ArrayCompr(Box::new(head), body)));
        }
        let first = self.parse_infix_after(head, false)?;
        let terms = self.parse_list_after(Token::CloseBracket, first)?;
        Ok(Term::new(place, TermKind::Array(terms)))
    }

    fn parse_list_after(&mut self, close: Token, first: Term) -> Parsed<Vec<Term>> {
        if self.take(close)? {
            return Ok(vec![first]);
        }
        if !self.take(Token::Comma)? {
            let expected = if close == Token::CloseBracket { "]" } else { "}" };
            return self.illegal(&format!("expected \",\" or \"{expected}\""));
        }
        self.parse_list(close, vec![first])
    }

    /// The body of a comprehension after its `|`; nothing where a comma shows that `|` was an operator.
    fn try_body(&mut self, close: Token) -> Parsed<Option<Body>> {
        let before = self.at;
        self.step()?;
        match self.parse_body(close) {
            Ok(body) => Ok(Some(body)),
            Err(_) if self.token() == Token::Comma => {
                self.at = before;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn parse_braces(&mut self) -> Parsed<Term> {
        let place = self.place();
        self.step()?;
        if self.take(Token::CloseBrace)? {
            return Ok(Term::new(place, TermKind::Object(Vec::new())));
        }
        let leading_comma = self.take(Token::Comma)?;
        let mut head = self.parse_term()?;
        if self.token() == Token::Or
            && !leading_comma
            && let Some(body) = self.try_body(Token::CloseBrace)?
        {
            return Ok(Term::new(place, TermKind::SetCompr(Box::new(head), body)));
        }
        head = self.parse_infix_after(head, false)?;
        match self.token() {
            Token::Colon => self.parse_object(place, head, leading_comma),
            Token::CloseBrace | Token::Comma => {
                let terms = self.parse_list_after(Token::CloseBrace, head)?;
                Ok(Term::new(place, TermKind::Set(terms)))
            }
            _ => self.illegal("non-terminated set"),
        }
    }

    fn parse_object(&mut self, place: Place, key: Term, leading_comma: bool) -> Parsed<Term> {
        self.step()?;
        let mut value = self.parse_term()?;
        if self.token() == Token::Or
            && !leading_comma
            && let Some(body) = self.try_body(Token::CloseBrace)?
        {
            return Ok(Term::new(place, TermKind::ObjectCompr(Box::new((key, value)), body)));
        }
        value = self.parse_infix_after(value, false)?;
        let mut entries = vec![(key, value)];
        loop {
            if self.take(Token::CloseBrace)? {
                return Ok(Term::new(place, TermKind::Object(last_of_each(entries))));
            }
            if !self.take(Token::Comma)? {
                return self.illegal("non-terminated object");
            }
            if self.take(Token::CloseBrace)? {
                return Ok(Term::new(place, TermKind::Object(last_of_each(entries))));
            }
            let key = self.parse_infix(false)?;
            if !self.take(Token::Colon)? {
                return self.illegal("non-terminated object");
            }
            let value = self.parse_infix(false)?;
            entries.push((key, value));
        }
    }
}

/// What stands between the expressions of a template string. A brace may be written `\{`.
fn decode_template(text: &str, raw: bool) -> Option<String> {
    if raw {
        return Some(text.replace("\\{", "{"));
    }
    let mut quoted = String::from("\"");
    let mut chars = text.chars();
    while let Some(it) = chars.next() {
        if it != '\\' {
            quoted.push(it);
            continue;
        }
        match chars.next()? {
            '{' => quoted.push('{'),
            other => quoted.extend([it, other]),
        }
    }
    quoted.push('"');
    serde_json::from_str(&quoted).ok().or_else(|| decode_as_go(&quoted))
}

/// The entries of an object in which a literal key may be written twice: the last one counts.
fn last_of_each(entries: Vec<(Term, Term)>) -> Vec<(Term, Term)> {
    let mut places: BTreeMap<Value, usize> = BTreeMap::new();
    let mut kept: Vec<(Term, Term)> = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let before = match &key.kind {
            TermKind::Scalar(literal) => places.insert(literal.clone(), kept.len()),
            _ => None,
        };
        match before.and_then(|at| Some((at, kept.get_mut(at)?))) {
            Some((at, slot)) => {
                if let TermKind::Scalar(literal) = &key.kind {
                    places.insert(literal.clone(), at);
                }
                slot.1 = value;
            }
            None => kept.push((key, value)),
        }
    }
    kept
}

/// A text with half a surrogate pair in it: Go puts a replacement character there.
fn decode_as_go(quoted: &str) -> Option<String> {
    let mut out = String::with_capacity(quoted.len());
    let mut rest = quoted.get(1..quoted.len().saturating_sub(1))?;
    while let Some(at) = rest.find("\\u") {
        let (before, after) = rest.split_at(at);
        if before.chars().rev().take_while(|it| *it == '\\').count() % 2 == 1 {
            return None;
        }
        let unit = |text: &str| u32::from_str_radix(text.get(2..6)?, 16).ok();
        let code = unit(after)?;
        out.push_str(before);
        let next = after.get(6..)?;
        if (0xd800..0xdc00).contains(&code)
            && next.starts_with("\\u")
            && let Some(low) = unit(next)
            && (0xdc00..0xe000).contains(&low)
        {
            out.push_str(after.get(..12)?);
            rest = after.get(12..)?;
            continue;
        }
        if (0xd800..0xe000).contains(&code) {
            out.push('\u{fffd}');
        } else {
            out.push_str(after.get(..6)?);
        }
        rest = next;
    }
    out.push_str(rest);
    serde_json::from_str(&format!("\"{out}\"")).ok()
}

fn kind_name(term: &Term) -> &'static str {
    match &term.kind {
        TermKind::Scalar(Value::Null) => "null",
        TermKind::Scalar(Value::Bool(_)) => "boolean",
        TermKind::Scalar(Value::Number(_)) => "number",
        TermKind::Scalar(_) => "string",
        _ => "term",
    }
}
