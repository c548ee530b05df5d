//! Whether a program may see `metadata.managedFields`: often a third of an object, and seldom asked for.
//!
//! Each variable, function and rule is given what it may stand for: something above an object, an object, or its metadata. A
//! program that does more with one of these than look something up by a written name is taken to see all of it.

use std::collections::HashMap;
use std::sync::Arc;

use regorus::Value;

use super::functions::{Visited, walk_branch};
use super::signatures::{Signatures, function_name};
use crate::ast::{Body, Call, ExprKind, File, Rule, RuleKind, Term, TermKind};

/// How often the rules are gone through. What a function is given is known to what it calls one round later at the most, and
/// calls in Gatekeeper's library are not deeper than 4.
const MAX_ROUNDS: usize = 32;
/// How many parts the full name of a rule has at the most: its package's and its own.
const MAX_PARTS: usize = 2 * super::MAX_PATH;

/// Whether a rule may come to `metadata.managedFields`. True where in doubt.
pub(crate) fn may_be_seen(files: &[File], signatures: &Signatures) -> bool {
    let branches = branches(files);
    let mut search = Search::new(&branches, signatures);
    for _ in 0..MAX_ROUNDS {
        search.changed = false;
        for (at, branch) in branches.iter().enumerate() {
            search.at = at;
            search.branch(branch);
        }
        if search.seen || !search.changed {
            return search.seen;
        }
    }
    true
}

/// What a value may be: several of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct May(u8);

impl May {
    /// `input`, its `review` or its `request`.
    const REVIEW: Self = Self(1);
    const OBJECT: Self = Self(2);
    const METADATA: Self = Self(4);

    fn be(self, what: Self) -> bool {
        self.0 & what.0 != 0
    }

    fn be_any(self) -> bool {
        self != Self::default()
    }

    fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is found in it by a written name.
    fn at(self, key: &str) -> Self {
        let found = |is: bool, what: Self| if is { what } else { Self::default() };
        match key {
            "request" | "review" => found(self.be(Self::REVIEW), Self::REVIEW),
            "object" | "oldObject" => found(self.be(Self::REVIEW), Self::OBJECT),
            "metadata" => found(self.be(Self::OBJECT), Self::METADATA),
            _ => Self::default(),
        }
    }

    /// What is found in it by any name.
    fn at_any(self) -> Self {
        self.at("review").or(self.at("object")).or(self.at("metadata"))
    }
}

/// A rule, or what stands behind its `else`.
struct Branch<'f> {
    /// The full name of the rule, as far as it is written out.
    name: String,
    rule: &'f Rule,
}

fn branches(files: &[File]) -> Vec<Branch<'_>> {
    let mut branches = Vec::new();
    for file in files {
        for rule in &file.rules {
            let package = file.package.iter().map(|part| Value::from(&**part));
            let first = rule.name.first().and_then(Term::as_var).map(|name| Value::from(&**name));
            let rest = rule.name.iter().skip(1).map_while(Term::as_text).map(Value::from);
            let name = function_name(&package.chain(first).chain(rest).collect::<Vec<_>>());
            let all = std::iter::successors(Some(rule), |rule| rule.otherwise.as_deref());
            branches.extend(all.map(|rule| Branch { name: name.clone(), rule }));
        }
    }
    branches
}

/// A variable of a branch.
type Variable = (usize, Arc<str>);

struct Search<'f> {
    signatures: &'f Signatures,
    /// What each function is given.
    given: HashMap<&'f str, Vec<May>>,
    /// What functions and rules may be.
    values: HashMap<&'f str, May>,
    /// Whether any of them may be anything.
    is_any_value: bool,
    variables: HashMap<Variable, May>,
    /// In how many places a variable may get its value, or be compared with another.
    bound: HashMap<Variable, i64>,
    at: usize,
    changed: bool,
    seen: bool,
}

impl<'f> Search<'f> {
    fn new(branches: &'f [Branch<'f>], signatures: &'f Signatures) -> Self {
        let mut given: HashMap<&str, Vec<_>> = HashMap::new();
        let mut bound = HashMap::new();
        for (at, Branch { name, rule }) in branches.iter().enumerate() {
            if rule.kind == RuleKind::Function {
                given.insert(name, vec![May::default(); rule.arguments.len()]);
            }
            bound.extend(count_bound(rule, signatures).into_iter().map(|(name, count)| ((at, name), count)));
        }
        let values = branches.iter().map(|branch| (branch.name.as_str(), May::default())).collect();
        let variables = HashMap::new();
        Self { signatures, given, values, is_any_value: false, variables, bound, at: 0, changed: false, seen: false }
    }

    fn branch(&mut self, branch: &'f Branch<'f>) {
        let rule = branch.rule;
        if let Some(given) = self.given.get(branch.name.as_str()).cloned() {
            rule.arguments.iter().zip(given).for_each(|(argument, value)| self.give(argument, value));
        }
        let fixed = rule.name.iter().skip(1).all(|part| part.as_text().is_some());
        rule.name.iter().skip(1).for_each(|part| self.consume(part));
        self.body(&rule.body);
        if let Some(key) = &rule.key {
            self.consume(key);
        }
        let Some(value) = &rule.value else { return };
        let value = self.term(value);
        // An entry of a map of many.
        self.seen |= !fixed && value.be_any();
        if let Some(known) = self.values.get_mut(branch.name.as_str()) {
            self.changed |= known.or(value) != *known;
            *known = known.or(value);
            self.is_any_value |= known.be_any();
        }
    }

    fn body(&mut self, body: &Body) {
        for expr in body {
            // What stands for what is no longer known.
            self.seen |= !expr.with.is_empty();
            match &expr.kind {
                ExprKind::Term(term) => {
                    self.term(term);
                }
                ExprKind::Call(call) => {
                    self.call(call);
                }
                ExprKind::Some(_) => {}
                ExprKind::SomeIn(key, value, collection) => self.iterate(key.as_ref(), value, collection),
                ExprKind::Every(every) => {
                    self.iterate(every.key.as_ref(), &every.value, &every.domain);
                    self.body(&every.body);
                }
            }
        }
    }

    fn iterate(&mut self, key: Option<&Term>, value: &Term, collection: &Term) {
        let found = self.term(collection);
        self.seen |= found.be(May::METADATA);
        key.into_iter().for_each(|key| self.consume(key));
        self.give(value, found.at_any());
    }

    /// What a term may be.
    fn term(&mut self, term: &Term) -> May {
        match &term.kind {
            TermKind::Scalar(value) => {
                self.seen |= matches!(value, Value::String(text) if text.contains("managedFields"));
                May::default()
            }
            TermKind::Var(name) => self.variable(name),
            TermKind::Ref(parts) => self.reference(parts),
            TermKind::Array(items) | TermKind::Set(items) => {
                items.iter().for_each(|item| self.consume(item));
                May::default()
            }
            TermKind::Object(entries) => {
                entries.iter().flat_map(|(key, value)| [key, value]).for_each(|item| self.consume(item));
                May::default()
            }
            TermKind::ArrayCompr(head, body) | TermKind::SetCompr(head, body) => {
                self.body(body);
                self.consume(head);
                May::default()
            }
            TermKind::ObjectCompr(head, body) => {
                self.body(body);
                self.consume(&head.0);
                self.consume(&head.1);
                May::default()
            }
            TermKind::Call(call) => self.call(call),
        }
    }

    /// A term of which all is looked at.
    fn consume(&mut self, term: &Term) {
        let value = self.term(term);
        self.seen |= value.be_any();
    }

    fn variable(&mut self, name: &Arc<str>) -> May {
        match &**name {
            "input" => May::REVIEW,
            "data" => {
                self.seen |= self.is_any_value;
                May::default()
            }
            _ => self.variables.get(&(self.at, Arc::clone(name))).copied().unwrap_or_default(),
        }
    }

    fn reference(&mut self, parts: &[Term]) -> May {
        let Some((head, keys)) = parts.split_first() else { return May::default() };
        if head.as_var().is_some_and(|name| &**name == "data") {
            return self.rule(keys);
        }
        let head = self.term(head);
        keys.iter().fold(head, |found, key| self.look_up(found, key))
    }

    fn look_up(&mut self, found: May, key: &Term) -> May {
        self.consume(key);
        match key.as_text() {
            Some(key) => found.at(key),
            None => {
                self.seen |= found.be(May::METADATA);
                found.at_any()
            }
        }
    }

    /// What a path below `data` leads to: a rule and what is looked up in it, or something above rules.
    fn rule(&mut self, keys: &[Term]) -> May {
        keys.iter().for_each(|key| self.consume(key));
        let written: Vec<_> = keys.iter().take(MAX_PARTS).map_while(Term::as_text).map(Value::from).collect();
        let found = (1..=written.len()).rev().find_map(|length| {
            let name = function_name(written.get(..length)?);
            Some((length, self.values.get(name.as_str()).copied()?))
        });
        match found {
            Some((length, value)) => keys.iter().skip(length).fold(value, |found, key| self.look_up(found, key)),
            None if written.first() == Some(&Value::from("inventory")) => May::default(),
            None => self.variable(&Arc::from("data")),
        }
    }

    fn call(&mut self, call: &Call) -> May {
        let name = self.signatures.full_name(call).unwrap_or_default();
        let given: Vec<May> = call.arguments.iter().map(|argument| self.term(argument)).collect();
        if let Some(known) = self.given.get_mut(name.as_str()) {
            for (known, value) in known.iter_mut().zip(&given) {
                self.changed |= known.or(*value) != *known;
                *known = known.or(*value);
            }
            let value = self.values.get(name.as_str()).copied().unwrap_or_default();
            // One argument more takes the result.
            if let Some(result) = call.arguments.get(self.signatures.of(&name).unwrap_or_default())
                && value.be_any()
            {
                self.seen |= !self.is_new(result);
                self.give(result, value);
            }
            return value;
        }
        if !given.iter().any(|value| value.be_any()) {
            return May::default();
        }
        match (name.as_str(), call.arguments.as_slice(), given.as_slice()) {
            ("assign", [left, _], [_, value]) => self.give(left, *value),
            ("eq", [left, _], [_, value]) if self.is_new(left) => self.give(left, *value),
            ("eq", [_, right], [value, _]) if self.is_new(right) => self.give(right, *value),
            // A whole object is no scalar, whatever is in it.
            ("eq" | "equal" | "neq", [left, right], _) if is_scalar(left) || is_scalar(right) => {}
            (
                "is_array" | "is_boolean" | "is_null" | "is_number" | "is_object" | "is_set" | "is_string"
                | "type_name",
                [_],
                _,
            ) => {}
            ("object.get", [_, key, _], [object, _, default]) => return self.look_up_path(*object, key).or(*default),
            _ => self.seen = true,
        }
        May::default()
    }

    /// What `object.get` finds.
    fn look_up_path(&mut self, object: May, key: &Term) -> May {
        match &key.kind {
            TermKind::Scalar(_) => self.look_up(object, key),
            TermKind::Array(path) => path.iter().fold(object, |found, key| self.look_up(found, key)),
            // It may be a path.
            _ => {
                self.seen |= object.be_any();
                May::default()
            }
        }
    }

    /// A pattern gets a value.
    fn give(&mut self, pattern: &Term, value: May) {
        if !value.be_any() || is_scalar(pattern) {
            return;
        }
        let Some(name) = pattern.as_var() else {
            self.seen = true;
            return;
        };
        let known = self.variables.entry((self.at, Arc::clone(name))).or_default();
        self.changed |= known.or(value) != *known;
        *known = known.or(value);
    }

    /// Whether `=` gives a variable its value, and does not compare it.
    fn is_new(&self, side: &Term) -> bool {
        side.as_var().is_some_and(|name| self.bound.get(&(self.at, Arc::clone(name))) == Some(&1))
    }
}

fn is_scalar(term: &Term) -> bool {
    matches!(term.kind, TermKind::Scalar(_))
}

/// In how many places each variable of a branch may get its value: all but those where something is looked up in it, and where
/// it is handed to a function.
fn count_bound(rule: &Rule, signatures: &Signatures) -> HashMap<Arc<str>, i64> {
    let mut counts: HashMap<Arc<str>, i64> = HashMap::new();
    let mut add = |name: &Arc<str>, number: i64| {
        let count = counts.entry(Arc::clone(name)).or_default();
        *count = count.saturating_add(number);
    };
    walk_branch(rule, &mut |visited| match visited {
        Visited::Term(Term { kind: TermKind::Var(name), .. }) => add(name, 1),
        Visited::Term(Term { kind: TermKind::Ref(parts), .. }) => {
            parts.first().and_then(Term::as_var).into_iter().for_each(|name| add(name, -1));
        }
        Visited::Term(_) => {}
        Visited::Call(_, call) if call.is("eq") || call.is("assign") => {}
        Visited::Call(_, call) => {
            let arity = signatures.arity(call).unwrap_or_default();
            call.arguments.iter().take(arity).filter_map(Term::as_var).for_each(|name| add(name, -1));
        }
    });
    counts
}
