//! Calls within terms become expressions of their own, as OPA's compiler makes them: what is undefined in the operand of a
//! `not` then leaves the whole body undefined.

use std::sync::Arc;

use crate::ast::{Body, Call, Expr, ExprKind, Place, Rule, RuleKind, Term, TermKind};

#[derive(Default)]
pub(crate) struct Expander {
    next: u32,
}

impl Expander {
    pub(crate) fn local(&mut self, place: Place) -> Term {
        self.next = self.next.saturating_add(1);
        Term::var(place, Arc::from(format!("%local{}", self.next)))
    }

    pub(crate) fn expand_rule(&mut self, rule: &mut Rule) {
        let mut support = Vec::new();
        // A pattern among the arguments may not call anything; that is found later.
        if let Some(key) = rule.key.take() {
            rule.key = Some(self.head(key, &mut support));
        }
        if let Some(value) = rule.value.take() {
            rule.value = Some(self.head(value, &mut support));
        }
        if rule.kind != RuleKind::Function {
            let parts = std::mem::take(&mut rule.name);
            for (at, part) in parts.into_iter().enumerate() {
                let part = if at == 0 { part } else { self.head(part, &mut support) };
                rule.name.push(part);
            }
        }
        let body = std::mem::take(&mut rule.body);
        rule.body = self.body(body);
        rule.body.extend(support);
        if let Some(otherwise) = &mut rule.otherwise {
            let mut next = Some(&mut **otherwise);
            while let Some(branch) = next {
                let mut rest = branch.otherwise.take();
                self.expand_rule(branch);
                branch.otherwise = rest.take();
                next = branch.otherwise.as_deref_mut();
            }
        }
    }

    /// A term of a head: what must be evaluated goes to the end of the body.
    fn head(&mut self, term: Term, support: &mut Body) -> Term {
        let term = self.term(term, support);
        if requires_evaluation(&term) { self.equal(term, support) } else { term }
    }

    fn equal(&mut self, term: Term, support: &mut Body) -> Term {
        let local = self.local(term.place);
        support.push(Expr::call(term.place, "eq", vec![local.clone(), term]));
        local
    }

    pub(crate) fn body(&mut self, body: Body) -> Body {
        let mut result = Vec::with_capacity(body.len());
        for expr in body {
            self.expr(expr, &mut result);
        }
        result
    }

    fn expr(&mut self, mut expr: Expr, result: &mut Body) {
        // What is only printed need not be defined.
        if let ExprKind::Call(call) = &expr.kind
            && call.is("print")
        {
            result.push(Expr::new(expr.place, ExprKind::Term(Term::truth(expr.place))));
            return;
        }
        for with in &mut expr.with {
            let value = std::mem::replace(&mut with.value, Term::truth(with.place));
            let value = self.term(value, result);
            with.value =
                if requires_evaluation(&value) && !is_path(&value) { self.equal(value, result) } else { value };
        }
        let mut extras = Vec::new();
        match &mut expr.kind {
            ExprKind::Term(term) => {
                let whole = std::mem::replace(term, Term::truth(expr.place));
                *term = self.term(whole, &mut extras);
            }
            ExprKind::Call(call) => {
                let arguments = std::mem::take(&mut call.arguments);
                call.arguments = arguments.into_iter().map(|argument| self.term(argument, &mut extras)).collect();
            }
            ExprKind::Every(every) => {
                let place = every.domain.place;
                let domain = std::mem::replace(&mut every.domain, Term::truth(place));
                let domain = self.term(domain, &mut extras);
                every.domain = self.equal(domain, &mut extras);
                let body = std::mem::take(&mut every.body);
                every.body = self.body(body);
            }
            ExprKind::Some(_) | ExprKind::SomeIn(..) => {}
        }
        for extra in &mut extras {
            extra.with.clone_from(&expr.with);
        }
        result.append(&mut extras);
        result.push(expr);
    }

    fn term(&mut self, term: Term, support: &mut Body) -> Term {
        let place = term.place;
        let kind = match term.kind {
            TermKind::Call(Call { operator, arguments }) => {
                let mut arguments: Vec<Term> =
                    arguments.into_iter().map(|argument| self.term(argument, support)).collect();
                let output = self.local(place);
                arguments.push(output.clone());
                support.push(Expr::new(place, ExprKind::Call(Call { operator, arguments })));
                return output;
            }
            TermKind::Ref(parts) => {
                let mut path: Vec<Term> = parts.into_iter().map(|part| self.term(part, support)).collect();
                if let Some(head) = path.first_mut()
                    && !matches!(head.kind, TermKind::Var(_))
                {
                    let whole = std::mem::replace(head, Term::truth(place));
                    *head = self.equal(whole, support);
                }
                TermKind::Ref(path)
            }
            TermKind::Array(items) => TermKind::Array(items.into_iter().map(|item| self.term(item, support)).collect()),
            TermKind::Set(items) => TermKind::Set(items.into_iter().map(|item| self.term(item, support)).collect()),
            TermKind::Object(entries) => TermKind::Object(
                entries
                    .into_iter()
                    .map(|(key, value)| {
                        let key = self.term(key, support);
                        (key, self.term(value, support))
                    })
                    .collect(),
            ),
            TermKind::ArrayCompr(head, body) => {
                let (head, body) = self.comprehension(*head, body);
                TermKind::ArrayCompr(Box::new(head), body)
            }
            TermKind::SetCompr(head, body) => {
                let (head, body) = self.comprehension(*head, body);
                TermKind::SetCompr(Box::new(head), body)
            }
            TermKind::ObjectCompr(head, body) => {
                let mut support = Vec::new();
                let (key, value) = *head;
                let key = self.head(key, &mut support);
                let value = self.head(value, &mut support);
                let mut body = self.body(body);
                body.extend(support);
                TermKind::ObjectCompr(Box::new((key, value)), body)
            }
            kind @ (TermKind::Scalar(_) | TermKind::Var(_)) => kind,
        };
        Term::new(place, kind)
    }

    fn comprehension(&mut self, head: Term, body: Body) -> (Term, Body) {
        let mut support = Vec::new();
        let head = self.head(head, &mut support);
        let mut body = self.body(body);
        body.extend(support);
        (head, body)
    }
}

/// Whether a term holds a reference or a comprehension.
pub(crate) fn requires_evaluation(term: &Term) -> bool {
    match &term.kind {
        TermKind::Scalar(_) | TermKind::Var(_) => false,
        TermKind::Array(items) | TermKind::Set(items) => items.iter().any(requires_evaluation),
        TermKind::Object(entries) => {
            entries.iter().any(|(key, value)| requires_evaluation(key) || requires_evaluation(value))
        }
        _ => true,
    }
}

/// A path of texts: in `with f as data.lib.g` it is a function, and has no value.
fn is_path(term: &Term) -> bool {
    match &term.kind {
        TermKind::Ref(parts) => parts.iter().skip(1).all(|part| part.as_text().is_some()),
        _ => false,
    }
}
