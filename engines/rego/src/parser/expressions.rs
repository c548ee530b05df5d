//! The expressions of a body.

use super::{Parsed, Parser};
use crate::ast::{Body, Call, Every, Expr, ExprKind, Term, TermKind, With};
use crate::lexer::Token;

impl Parser<'_> {
    /// The expressions up to what closes the body, and that too.
    pub(super) fn parse_body(&mut self, close: Token) -> Parsed<Body> {
        if self.token() == close {
            return self.error("found empty body");
        }
        let mut body = Vec::new();
        loop {
            body.push(self.parse_literal()?);
            if self.take(Token::Semicolon)? {
                // OPA lets a semicolon end the last expression.
                if self.take(close)? {
                    return Ok(body);
                }
                continue;
            }
            if self.take(close)? {
                return Ok(body);
            }
            if !self.lexeme().on_new_line || self.token() == Token::End {
                let closing = match close {
                    Token::CloseBracket => "]",
                    _ => "}",
                };
                return self.illegal(&format!("expected \\n or ; or {closing}"));
            }
        }
    }

    pub(super) fn parse_literal(&mut self) -> Parsed<Expr> {
        let place = self.place();
        let negated = self.is_word("not") && !self.starts_rule();
        if negated {
            self.step()?;
        }
        if self.is_word("some") && !self.starts_rule() {
            if negated {
                return self.illegal("illegal negation of 'some'");
            }
            return self.parse_some();
        }
        if self.is_word("every") && !self.starts_rule() {
            if negated {
                return self.illegal("illegal negation of 'every'");
            }
            return self.parse_every();
        }
        let mut expr = self.parse_expr()?;
        expr.place = place;
        expr.negated = negated;
        expr.with = self.parse_withs()?;
        Ok(expr)
    }

    fn parse_expr(&mut self) -> Parsed<Expr> {
        let place = self.place();
        let left = self.parse_infix(true)?;
        let name = match self.token() {
            Token::Unify => "eq",
            Token::Assign => "assign",
            _ => {
                return Ok(Expr::new(
                    place,
                    match left.kind {
                        TermKind::Call(call) => ExprKind::Call(call),
                        _ => ExprKind::Term(left),
                    },
                ));
            }
        };
        self.step()?;
        let right = self.parse_infix(true)?;
        Ok(Expr::new(place, ExprKind::Call(Call::named(place, name, vec![left, right]))))
    }

    fn parse_withs(&mut self) -> Parsed<Vec<With>> {
        let mut withs = Vec::new();
        while self.is_word("with") && !self.starts_rule() {
            let place = self.place();
            self.step()?;
            if self.token() != Token::Name {
                return self.illegal("expected ident");
            }
            let target = self.parse_term()?;
            if !matches!(target.kind, TermKind::Ref(_) | TermKind::Var(_)) {
                return self.illegal("expected with target path");
            }
            if !self.is_word("as") {
                return self.illegal("expected as keyword");
            }
            self.step()?;
            let value = self.parse_infix(true)?;
            withs.push(With { place, target, value });
        }
        Ok(withs)
    }

    fn parse_some(&mut self) -> Parsed<Expr> {
        let place = self.place();
        self.step()?;
        let before = self.at;
        if self.keywords.r#in
            && let Ok(Term { kind: TermKind::Call(call), .. }) = self.parse_infix(true)
        {
            let mut arguments = call.arguments.clone().into_iter();
            let kind = if call.is("internal.member_2") {
                match (arguments.next(), arguments.next()) {
                    (Some(value), Some(collection)) => Some(ExprKind::SomeIn(None, value, collection)),
                    _ => None,
                }
            } else if call.is("internal.member_3") {
                match (arguments.next(), arguments.next(), arguments.next()) {
                    (Some(key), Some(value), Some(collection)) => Some(ExprKind::SomeIn(Some(key), value, collection)),
                    _ => None,
                }
            } else {
                return self.illegal("expected `x in xs` or `x, y in xs` expression");
            };
            if let Some(kind) = kind {
                let mut expr = Expr::new(place, kind);
                expr.with = self.parse_withs()?;
                return Ok(expr);
            }
        }
        self.at = before;
        let mut vars = Vec::new();
        loop {
            if self.token() != Token::Name || self.is_keyword(self.text()) {
                return self.illegal("expected var");
            }
            vars.push(self.parse_var()?);
            if !self.take(Token::Comma)? {
                return Ok(Expr::new(place, ExprKind::Some(vars)));
            }
        }
    }

    fn parse_every(&mut self) -> Parsed<Expr> {
        let place = self.place();
        self.step()?;
        if self.token() != Token::Name {
            return self.illegal("expected `every x[, y] in xs { ... }` expression");
        }
        let mut value = self.parse_var()?;
        let mut key = None;
        if self.take(Token::Comma)? {
            if self.token() != Token::Name {
                return self.illegal("expected value");
            }
            key = Some(value);
            value = self.parse_var()?;
        }
        if !self.is_word("in") {
            return self.illegal("expected `x in xs { ... }` or `x, y in xs { ... }`");
        }
        self.step()?;
        let domain = self.parse_infix(true)?;
        self.expect(Token::OpenBrace, "{")?;
        let body = self.parse_body(Token::CloseBrace)?;
        let mut expr = Expr::new(place, ExprKind::Every(Box::new(Every { key, value, domain, body })));
        expr.with = self.parse_withs()?;
        Ok(expr)
    }
}
