//! Terms, references and patterns.

use std::collections::BTreeMap;

use regorus::Value;

use super::Lowerer;
use crate::ast::{self, TermKind};
use crate::code::{Compr, ComprKind, Instr, Key, Pattern, Ref, Root, Term};
use crate::compile::expand;
use crate::compile::safety::{Vars, all_vars};

impl Lowerer<'_> {
    pub(super) fn hoist_in(&mut self, term: &ast::Term, bound: &mut Vars, pre: &mut Vec<Instr>) -> ast::Term {
        if !expand::requires_evaluation(term) {
            return term.clone();
        }
        match &term.kind {
            TermKind::Ref(parts) => ast::Term::new(term.place, TermKind::Ref(self.hoist_parts(parts, bound, pre))),
            TermKind::ArrayCompr(..) | TermKind::SetCompr(..) | TermKind::ObjectCompr(..) => term.clone(),
            _ => self.hoist_refs(term, bound, pre),
        }
    }

    pub(super) fn hoist_parts(
        &mut self,
        parts: &[ast::Term],
        bound: &mut Vars,
        pre: &mut Vec<Instr>,
    ) -> Vec<ast::Term> {
        parts
            .iter()
            .enumerate()
            .map(|(at, part)| if at == 0 { part.clone() } else { self.hoist_refs(part, bound, pre) })
            .collect()
    }

    /// References and comprehensions within a term become variables that have their values before it.
    pub(super) fn hoist_refs(&mut self, term: &ast::Term, bound: &mut Vars, pre: &mut Vec<Instr>) -> ast::Term {
        let place = term.place;
        match &term.kind {
            TermKind::Scalar(_) | TermKind::Var(_) | TermKind::Call(_) => term.clone(),
            TermKind::Ref(parts) => {
                let parts = self.hoist_parts(parts, bound, pre);
                let (name, slot) = self.fresh_var();
                let made = self.reference(&parts, bound, pre);
                pre.push(if is_scan(&made) {
                    Instr::Scan(made, Pattern::Bind(slot))
                } else {
                    Instr::Match(Term::Ref(Box::new(made)), Pattern::Bind(slot))
                });
                bound.insert(name.clone());
                ast::Term::var(place, name)
            }
            TermKind::Array(items) => ast::Term::new(
                place,
                TermKind::Array(items.iter().map(|item| self.hoist_refs(item, bound, pre)).collect()),
            ),
            TermKind::Set(items) => ast::Term::new(
                place,
                TermKind::Set(items.iter().map(|item| self.hoist_refs(item, bound, pre)).collect()),
            ),
            TermKind::Object(entries) => ast::Term::new(
                place,
                TermKind::Object(
                    entries
                        .iter()
                        .map(|(key, value)| {
                            let key = self.hoist_refs(key, bound, pre);
                            (key, self.hoist_refs(value, bound, pre))
                        })
                        .collect(),
                ),
            ),
            TermKind::ArrayCompr(..) | TermKind::SetCompr(..) | TermKind::ObjectCompr(..) => {
                let value = self.comprehension(term, bound);
                let (name, slot) = self.fresh_var();
                pre.push(Instr::Match(value, Pattern::Bind(slot)));
                bound.insert(name.clone());
                ast::Term::var(place, name)
            }
        }
    }

    /// A term whose references have their values before it.
    pub(super) fn hoist(&mut self, term: &ast::Term, bound: &mut Vars, pre: &mut Vec<Instr>) -> Term {
        let term = self.hoist_refs(term, bound, pre);
        self.value(&term, bound, pre)
    }

    /// A term that is known; references that go through collections do so before it.
    pub(super) fn value(&mut self, term: &ast::Term, bound: &mut Vars, pre: &mut Vec<Instr>) -> Term {
        match &term.kind {
            TermKind::Scalar(value) => Term::Const(value.clone()),
            TermKind::Var(name) => {
                if !bound.contains(name) {
                    self.unsafe_var(name, term.place);
                }
                Term::Slot(self.slot(name))
            }
            TermKind::Ref(parts) => {
                let parts = self.hoist_parts(parts, bound, pre);
                let made = self.reference(&parts, bound, pre);
                if is_scan(&made) {
                    let slot = self.fresh();
                    pre.push(Instr::Scan(made, Pattern::Bind(slot)));
                    Term::Slot(slot)
                } else {
                    Term::Ref(Box::new(made))
                }
            }
            TermKind::Array(items) => {
                let items: Vec<Term> = items.iter().map(|item| self.value(item, bound, pre)).collect();
                fold(items, Term::Array, Value::from)
            }
            TermKind::Set(items) => {
                let items: Vec<Term> = items.iter().map(|item| self.value(item, bound, pre)).collect();
                fold(items, Term::Set, |values| {
                    Value::from(values.into_iter().collect::<std::collections::BTreeSet<_>>())
                })
            }
            TermKind::Object(entries) => {
                let entries: Vec<(Term, Term)> = entries
                    .iter()
                    .map(|(key, value)| {
                        let key = self.value(key, bound, pre);
                        (key, self.value(value, bound, pre))
                    })
                    .collect();
                object(entries)
            }
            TermKind::ArrayCompr(..) | TermKind::SetCompr(..) | TermKind::ObjectCompr(..) => {
                self.comprehension(term, bound)
            }
            TermKind::Call(_) => {
                // All calls have become expressions but those of defaults.
                self.faults.add(term.place, "rego_compile_error", "a call cannot stand here".to_owned());
                Term::Const(Value::Null)
            }
        }
    }

    pub(super) fn comprehension(&mut self, term: &ast::Term, bound: &Vars) -> Term {
        let mut inside = bound.clone();
        let (kind, key, head, body) = match &term.kind {
            TermKind::ArrayCompr(head, body) => (ComprKind::Array, None, &**head, body),
            TermKind::SetCompr(head, body) => (ComprKind::Set, None, &**head, body),
            TermKind::ObjectCompr(head, body) => (ComprKind::Object, Some(&head.0), &head.1, body),
            _ => return Term::Const(Value::Null),
        };
        let mut body = self.lower_body(body.clone(), &mut inside);
        let key = key.map(|key| self.head_term(key, &mut inside, &mut body));
        let head = self.head_term(head, &mut inside, &mut body);
        Term::Compr(Box::new(Compr { kind, head, key, body }))
    }

    pub(super) fn reference(&mut self, parts: &[ast::Term], bound: &mut Vars, pre: &mut Vec<Instr>) -> Ref {
        let Some((head, rest)) = parts.split_first() else { return Ref { root: Root::Input, keys: Vec::new() } };
        let root = match head.as_var().map(|name| &**name) {
            Some("input") => Root::Input,
            Some("data") => Root::Data,
            Some(_) => match head.as_var().cloned() {
                Some(name) => {
                    if !bound.contains(&name) {
                        self.unsafe_var(&name, head.place);
                    }
                    Root::Slot(self.slot(&name))
                }
                None => Root::Input,
            },
            None => {
                let value = self.value(head, bound, pre);
                let slot = self.fresh();
                pre.push(Instr::Match(value, Pattern::Bind(slot)));
                Root::Slot(slot)
            }
        };
        let mut keys = Vec::with_capacity(rest.len());
        for part in rest {
            keys.push(match &part.kind {
                TermKind::Scalar(value) => Key::Const(value.clone()),
                TermKind::Var(name) if bound.contains(name) => Key::Slot(self.slot(name)),
                TermKind::Var(name) if name.starts_with('$') => Key::Any(Pattern::Any),
                _ if all_vars(part).iter().all(|var| bound.contains(var)) => match self.value(part, bound, pre) {
                    Term::Const(value) => Key::Const(value),
                    Term::Slot(slot) => Key::Slot(slot),
                    term => Key::Term(term),
                },
                _ => Key::Any(self.pattern(part, bound, pre)),
            });
        }
        Ref { root, keys }
    }

    pub(super) fn pattern(&mut self, term: &ast::Term, bound: &mut Vars, pre: &mut Vec<Instr>) -> Pattern {
        match &term.kind {
            TermKind::Var(name) if !bound.contains(name) => {
                if name.starts_with('$') && !name.starts_with("$some") {
                    return Pattern::Any;
                }
                bound.insert(name.clone());
                Pattern::Bind(self.slot(name))
            }
            TermKind::Array(items) if !all_vars(term).iter().all(|var| bound.contains(var)) => {
                Pattern::Array(items.iter().map(|item| self.pattern(item, bound, pre)).collect())
            }
            TermKind::Object(entries) if !all_vars(term).iter().all(|var| bound.contains(var)) => {
                let mut patterns = Vec::new();
                for (key, value) in entries {
                    self.check_bound(key, bound);
                    let key = self.value(key, bound, pre);
                    patterns.push((key, self.pattern(value, bound, pre)));
                }
                Pattern::Object(patterns)
            }
            _ => Pattern::Equals(self.value(term, bound, pre)),
        }
    }
}

pub(super) fn is_scan(made: &Ref) -> bool {
    made.keys.iter().any(|key| matches!(key, Key::Any(_)))
}

/// An object, of which is made beforehand what is known: the whole, or its keys.
fn object(entries: Vec<(Term, Term)>) -> Term {
    let is_scalar = |value: &Value| !matches!(value, Value::Array(_) | Value::Object(_) | Value::Set(_));
    let is_constant = entries.iter().all(|(_, value)| matches!(value, Term::Const(_)));
    let mut known = BTreeMap::new();
    for (key, value) in &entries {
        match (key, value) {
            (Term::Const(key), Term::Const(value)) if is_constant => known.insert(key.clone(), value.clone()),
            (Term::Const(key), _) if is_scalar(key) => known.insert(key.clone(), Value::Null),
            _ => return Term::Object(entries),
        };
    }
    if known.len() < entries.len() {
        return Term::Object(entries);
    }
    let known = Value::from(known);
    if is_constant {
        return Term::Const(known);
    }
    let named = |(key, value)| match key {
        Term::Const(key) => Some((key, value)),
        _ => None,
    };
    Term::Record(known, entries.into_iter().filter_map(named).collect())
}

fn fold(items: Vec<Term>, make: impl FnOnce(Vec<Term>) -> Term, fold: impl FnOnce(Vec<Value>) -> Value) -> Term {
    let known: Option<Vec<Value>> = items
        .iter()
        .map(|item| match item {
            Term::Const(value) => Some(value.clone()),
            _ => None,
        })
        .collect();
    match known {
        Some(values) => Term::Const(fold(values)),
        None => make(items),
    }
}
