//! Rules: heads, bodies, and what else there is.

use super::{MAX_CHAIN, Parsed, Parser};
use crate::ast::{Body, Expr, ExprKind, Place, Rule, RuleKind, Term, TermKind};
use crate::lexer::Token;

impl Parser<'_> {
    /// A rule, or several where bodies are chained.
    pub(super) fn parse_rules(&mut self, rules: &mut Vec<Rule>) -> Parsed<()> {
        let place = self.place();
        let default = self.is_word("default") && !self.starts_rule();
        if default {
            self.step()?;
        }
        if self.token() != Token::Name {
            return self.illegal("");
        }
        if self.is_keyword(self.text()) && self.text() != "contains" && !self.starts_rule() {
            let word = self.text();
            return self.illegal(&format!("rule name must not be a keyword: `{word}`"));
        }
        let (mut rule, uses_contains) = self.parse_head(place, default)?;
        if default {
            check_default(&rule)?;
            rule.body = true_body(place);
            rules.push(rule);
            return Ok(());
        }
        let has_if = self.is_joining("if");
        if !has_if && !uses_contains && rule.kind == RuleKind::Complete && rule.value.is_none() && rule.name.len() == 2
        {
            // `p[x] { ... }` adds to a set.
            if self.modern {
                return Self::error_at(place, "`contains` keyword is required for partial set rules");
            }
            rule.kind = RuleKind::Set;
            rule.key = rule.name.pop();
        }
        if rule.kind != RuleKind::Set && rule.value.is_none() {
            rule.value = Some(Term::truth(place));
        }
        if has_if {
            self.step()?;
            rule.body = self.parse_body_after_if()?;
        } else if self.token() == Token::OpenBrace {
            if self.modern {
                return Self::error_at(place, "`if` keyword is required before rule body");
            }
            self.step()?;
            rule.body = self.parse_body(Token::CloseBrace)?;
        } else {
            if !(uses_contains || rule.value_is_written) {
                if rule.kind == RuleKind::Set {
                    // `p["a"]` alone is a set of one element.
                    rule.body = true_body(place);
                    rules.push(rule);
                    return Ok(());
                }
                if self.lexeme().on_new_line || self.token() == Token::End {
                    return Self::error_at(place, "var cannot be used for rule name");
                }
                return self.illegal("");
            }
            rule.body = true_body(place);
            rules.push(rule);
            return Ok(());
        }
        if self.is_word("else") && !self.starts_rule() {
            if rule.kind == RuleKind::Set {
                return self.error("else keyword cannot be used on multi-value rules");
            }
            if rule.name.iter().skip(1).any(|part| !matches!(part.kind, TermKind::Scalar(_))) {
                return self.error("else keyword cannot be used on rules with variables in head");
            }
            rule.otherwise = self.parse_else(&rule)?;
        }
        let has_else = rule.otherwise.is_some();
        let head = Rule { body: Vec::new(), otherwise: None, ..rule.clone() };
        rules.push(rule);
        let mut chained = 0_usize;
        while self.token() == Token::OpenBrace {
            if has_else {
                return self.error("expected else keyword");
            }
            chained = chained.saturating_add(1);
            if chained > MAX_CHAIN {
                return self.error("too many bodies in a row");
            }
            let place = self.place();
            self.step()?;
            let body = self.parse_body(Token::CloseBrace)?;
            let mut next = Rule { place, body, ..head.clone() };
            self.renew_wildcards(&mut next);
            rules.push(next);
        }
        Ok(())
    }

    /// A wildcard is another variable in each body that shares the head.
    fn renew_wildcards(&mut self, rule: &mut Rule) {
        let mut arguments = std::mem::take(&mut rule.arguments);
        for argument in &mut arguments {
            if argument.as_var().is_some_and(|name| name.starts_with('$')) {
                *argument = self.wildcard(argument.place);
            }
        }
        rule.arguments = arguments;
    }

    fn parse_head(&mut self, place: Place, default: bool) -> Parsed<(Rule, bool)> {
        let var = self.parse_var()?;
        let head = self.parse_rest_of(var, true)?;
        let head_place = head.place;
        let mut is_call = false;
        let mut rule = Rule {
            place,
            default,
            kind: RuleKind::Complete,
            name: Vec::new(),
            arguments: Vec::new(),
            key: None,
            value: None,
            value_is_written: false,
            body: Vec::new(),
            otherwise: None,
        };
        match head.kind {
            TermKind::Var(_) => rule.name.push(head),
            TermKind::Ref(path) => rule.name = path,
            TermKind::Call(call) => {
                // Without arguments it is a rule like any other.
                if !call.arguments.is_empty() {
                    rule.kind = RuleKind::Function;
                }
                rule.name = call.operator;
                rule.arguments = call.arguments;
                is_call = true;
            }
            _ => return Self::error_at(head_place, "expected rule head name"),
        }
        if rule.name.first().and_then(Term::as_var).is_none() {
            return Self::error_at(head_place, "rule head ref is invalid");
        }
        if self.is_joining("contains") {
            if rule.kind == RuleKind::Function {
                return self.illegal("the contains keyword can only be used with multi-value rule definitions");
            }
            self.step()?;
            rule.kind = RuleKind::Set;
            rule.key = Some(self.parse_infix(true)?);
            return Ok((rule, true));
        }
        // `f("a")` alone is true.
        rule.value_is_written = is_call;
        if matches!(self.token(), Token::Unify | Token::Assign) {
            self.step()?;
            rule.value = Some(self.parse_infix(true)?);
            rule.value_is_written = true;
        } else if default {
            return self.illegal("expected default rule value term (e.g., default <name> := <VALUE>)");
        }
        Ok((rule, false))
    }

    fn parse_body_after_if(&mut self) -> Parsed<Body> {
        let before = self.at;
        let braced = self.token() == Token::OpenBrace;
        match self.parse_literal() {
            Ok(expr) => {
                let is_set = matches!(&expr.kind, ExprKind::Term(Term { kind: TermKind::Set(_), .. }));
                if !(braced && is_set) {
                    return Ok(vec![expr]);
                }
            }
            Err(error) if !braced => return Err(error),
            Err(_) => {}
        }
        self.at = before;
        self.step()?;
        self.parse_body(Token::CloseBrace)
    }

    /// The `else` of a rule, and theirs. Each is in the one before it.
    fn parse_else(&mut self, rule: &Rule) -> Parsed<Option<Box<Rule>>> {
        let mut branches = Vec::new();
        while self.is_word("else") {
            if branches.len() >= MAX_CHAIN {
                return self.error("too many else in a row");
            }
            let place = self.place();
            self.step()?;
            let mut branch = Rule { place, body: Vec::new(), otherwise: None, ..rule.clone() };
            self.renew_wildcards(&mut branch);
            if self.token() == Token::OpenBrace || self.is_joining("if") {
                branch.value = Some(Term::truth(place));
            } else if matches!(self.token(), Token::Unify | Token::Assign) {
                self.step()?;
                branch.value = Some(self.parse_infix(true)?);
            } else {
                return self.illegal("expected else value term or rule body");
            }
            let has_if = self.is_joining("if");
            if has_if {
                self.step()?;
            }
            if self.token() == Token::OpenBrace {
                if self.modern && !has_if {
                    return Self::error_at(place, "`if` keyword is required before rule body");
                }
                self.step()?;
                branch.body = self.parse_body(Token::CloseBrace)?;
                branches.push(branch);
            } else if has_if {
                if self.token() == Token::End {
                    return self.illegal("rule body expected");
                }
                branch.body = vec![self.parse_literal()?];
                branches.push(branch);
            } else {
                branch.body = true_body(place);
                branches.push(branch);
                break;
            }
        }
        let mut next = None;
        while let Some(mut branch) = branches.pop() {
            branch.otherwise = next;
            next = Some(Box::new(branch));
        }
        Ok(next)
    }
}

/// A default must not depend on anything, so that it cannot be undefined.
fn check_default(rule: &Rule) -> Parsed<()> {
    let mut terms: Vec<&Term> = rule.value.iter().collect();
    while let Some(term) = terms.pop() {
        let what = match &term.kind {
            TermKind::Scalar(_) | TermKind::ArrayCompr(..) | TermKind::SetCompr(..) | TermKind::ObjectCompr(..) => {
                continue;
            }
            TermKind::Array(items) | TermKind::Set(items) => {
                terms.extend(items);
                continue;
            }
            TermKind::Object(entries) => {
                terms.extend(entries.iter().flat_map(|(key, value)| [key, value]));
                continue;
            }
            TermKind::Var(_) => "var",
            TermKind::Ref(_) => "ref",
            TermKind::Call(_) => "call",
        };
        return Parser::error_at(rule.place, format!("illegal default rule (value cannot contain {what})"));
    }
    if rule.name.iter().skip(1).any(|part| part.as_text().is_none()) {
        return Parser::error_at(rule.place, "default rules must not have variables in their name");
    }
    for argument in &rule.arguments {
        let Some(name) = argument.as_var() else {
            return Parser::error_at(
                rule.place,
                "illegal default rule (arguments cannot contain anything but variables)",
            );
        };
        let used = rule.arguments.iter().filter(|other| other.as_var() == Some(name)).count();
        if used > 1 {
            return Parser::error_at(rule.place, format!("illegal default rule (arguments cannot be repeated {name})"));
        }
    }
    Ok(())
}

fn true_body(place: Place) -> Body {
    vec![Expr::new(place, ExprKind::Term(Term::truth(place)))]
}
