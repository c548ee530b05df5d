//! Names: which are rules and imports, and which are variables of their own.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Faults;
use super::safety::all_vars;
use crate::ast::{Body, Call, Every, Expr, ExprKind, Place, Rule, Term, TermKind};

/// What the names of a module mean that are not variables.
pub(crate) type Globals = HashMap<Arc<str>, Vec<Term>>;

/// How a name has come up in a body so far.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Argument,
    Declared,
    Assigned,
    /// Used, and not declared before.
    Used,
}

/// The names of a body. A declaration counts from where it stands: a closure before it has a variable of its own.
#[derive(Default)]
struct Scope {
    own: HashMap<Arc<str>, Arc<str>>,
    seen: HashMap<Arc<str>, How>,
    /// What the body declares anywhere: no rules or imports.
    declared: HashSet<Arc<str>>,
}

pub(crate) struct Resolver<'f> {
    globals: &'f Globals,
    scopes: Vec<Scope>,
    next: u32,
    faults: &'f mut Faults,
}

/// The name of a variable as it stands in the module.
pub(crate) fn shown(name: &str) -> &str {
    if name.starts_with('$') {
        return "_";
    }
    name.split('@').next().unwrap_or(name)
}

/// Gives each declared variable a name of its own, and writes out rules and imports as paths.
pub(crate) fn resolve_rule(rule: &mut Rule, globals: &Globals, faults: &mut Faults) {
    let mut resolver = Resolver { globals, scopes: Vec::new(), next: 0, faults };
    let mut next = Some(rule);
    while let Some(branch) = next {
        resolver.resolve_branch(branch);
        next = branch.otherwise.as_deref_mut();
    }
}

impl Resolver<'_> {
    fn resolve_branch(&mut self, rule: &mut Rule) {
        let mut scope = Scope::default();
        let mut arguments = Vec::new();
        for argument in &rule.arguments {
            collect_pattern(argument, &mut arguments);
        }
        for (place, name) in &arguments {
            if matches!(&**name, "input" | "data") {
                let message = format!("args must not shadow {name} (use a different variable name)");
                self.faults.add(*place, "rego_compile_error", message);
            }
            if !scope.own.contains_key(name) {
                let own = self.rename(name);
                scope.own.insert(name.clone(), own);
                scope.seen.insert(name.clone(), How::Argument);
            }
        }
        scope.declared = declared_names(&rule.body);
        self.scopes.push(scope);
        for argument in &mut rule.arguments {
            self.term(argument);
        }
        self.body(&mut rule.body);
        for part in rule.name.iter_mut().skip(1) {
            self.term(part);
        }
        if let Some(key) = &mut rule.key {
            self.term(key);
        }
        if let Some(value) = &mut rule.value {
            self.term(value);
        }
        self.scopes.pop();
    }

    fn rename(&mut self, name: &Arc<str>) -> Arc<str> {
        self.next = self.next.saturating_add(1);
        Arc::from(format!("{name}@{}", self.next))
    }

    /// Gives names that are declared here variables of their own.
    fn declare(&mut self, names: Vec<(Place, Arc<str>)>, how: How) {
        for (place, name) in names {
            let own = self.rename(&name);
            let Some(scope) = self.scopes.last_mut() else { return };
            let before = scope.seen.insert(name.clone(), how);
            scope.own.insert(name.clone(), own);
            let message = match before {
                None => continue,
                Some(How::Argument) => format!("arg {name} redeclared"),
                Some(How::Declared) => format!("var {name} declared above"),
                Some(How::Assigned) => format!("var {name} assigned above"),
                Some(How::Used) => format!("var {name} referenced above"),
            };
            self.faults.add(place, "rego_compile_error", message);
        }
    }

    fn local(&self, name: &Arc<str>) -> Option<Arc<str>> {
        self.scopes.iter().rev().find_map(|scope| scope.own.get(name).cloned())
    }

    fn body(&mut self, body: &mut Body) {
        for expr in body.iter_mut() {
            self.expr(expr);
        }
        body.retain(|expr| !matches!(expr.kind, ExprKind::Some(_)));
    }

    fn expr(&mut self, expr: &mut Expr) {
        for with in &mut expr.with {
            self.with_target(&mut with.target);
            self.term(&mut with.value);
        }
        let place = expr.place;
        match &mut expr.kind {
            ExprKind::Term(term) => self.term(term),
            ExprKind::Call(call) => {
                if call.is("assign") {
                    call.arguments.iter_mut().take(1).for_each(unwrap_roots);
                    self.check_assigned(place, expr.negated, call);
                    if let [left, right] = call.arguments.as_mut_slice() {
                        // The right side does not see what the left side declares.
                        self.term(right);
                        let mut names = Vec::new();
                        collect_pattern(left, &mut names);
                        self.declare(names, How::Assigned);
                        self.term(left);
                        return;
                    }
                }
                self.call(call);
                if is_rule(call) {
                    let path = std::mem::take(&mut call.operator);
                    expr.kind = ExprKind::Term(Term::new(place, TermKind::Ref(path)));
                }
            }
            ExprKind::Some(vars) => {
                let mut names = Vec::new();
                vars.iter().for_each(|var| collect_pattern(var, &mut names));
                self.declare(names, How::Declared);
            }
            ExprKind::SomeIn(key, value, collection) => {
                let mut names = Vec::new();
                key.iter().chain([&*value]).for_each(|term| collect_pattern(term, &mut names));
                // A variable of the collection is known there, and is compared.
                let known = all_vars(collection);
                names.retain(|(_, name)| !known.contains(name));
                self.term(collection);
                self.declare(names, How::Declared);
                if let Some(key) = key {
                    self.term(key);
                }
                self.term(value);
                self.next = self.next.saturating_add(1);
                let key = key.take().unwrap_or_else(|| Term::var(place, Arc::from(format!("$some{}", self.next))));
                let mut path = match std::mem::replace(&mut collection.kind, TermKind::Array(Vec::new())) {
                    TermKind::Ref(path) => path,
                    kind => vec![Term::new(collection.place, kind)],
                };
                path.push(key);
                let looked_up = Term::new(place, TermKind::Ref(path));
                let value = std::mem::replace(value, Term::truth(place));
                expr.kind = ExprKind::Call(Call::named(place, "eq", vec![value, looked_up]));
            }
            ExprKind::Every(every) => {
                let Every { key, value, domain, body } = &mut **every;
                self.term(domain);
                let mut scope = Scope::default();
                for var in key.iter().chain([&*value]) {
                    if let Some(name) = var.as_var().filter(|name| !name.starts_with('$')) {
                        let own = self.rename(name);
                        scope.own.insert(name.clone(), own);
                    }
                }
                self.scopes.push(scope);
                if let Some(key) = key {
                    self.term(key);
                }
                self.term(value);
                self.closure(body, &mut []);
                self.scopes.pop();
            }
        }
    }

    /// Of `with data.lib.f as g` the target is a path as it stands, but for imports.
    fn with_target(&mut self, target: &mut Term) {
        // A variable of the name does not hide the document here.
        if let TermKind::Ref(parts) = &mut target.kind
            && parts.first().is_some_and(is_root)
        {
            parts.iter_mut().skip(1).for_each(|key| self.term(key));
            return;
        }
        self.term(target);
        if let TermKind::Var(name) = &target.kind {
            target.kind = TermKind::Ref(vec![Term::var(target.place, name.clone())]);
        }
    }

    fn check_assigned(&mut self, place: Place, negated: bool, call: &Call) {
        if negated {
            self.faults.add(place, "rego_compile_error", "cannot assign vars inside negated expression".to_owned());
            return;
        }
        let Some(left) = call.arguments.first() else { return };
        let what = match &left.kind {
            TermKind::Var(_) | TermKind::Array(_) | TermKind::Object(_) => return,
            TermKind::Ref(_) => "ref",
            TermKind::Call(_) => "call",
            TermKind::Set(_) => "set",
            TermKind::ArrayCompr(..) => "arraycomprehension",
            TermKind::SetCompr(..) => "setcomprehension",
            TermKind::ObjectCompr(..) => "objectcomprehension",
            TermKind::Scalar(regorus::Value::Null) => "null",
            TermKind::Scalar(regorus::Value::Bool(_)) => "boolean",
            TermKind::Scalar(regorus::Value::Number(_)) => "number",
            TermKind::Scalar(_) => "string",
        };
        self.faults.add(left.place, "rego_compile_error", format!("cannot assign to {what}"));
    }

    fn call(&mut self, call: &mut Call) {
        if let Some(head) = call.operator.first().and_then(Term::as_var).cloned() {
            let place = call.operator.first().map(|head| head.place).unwrap_or_default();
            if self.local(&head).is_some() && call.operator.len() == 1 {
                self.faults.add(place, "rego_compile_error", format!("called function {head} shadowed"));
            } else if let Some(path) = self.globals.get(&head) {
                let rest = call.operator.drain(1..).collect::<Vec<_>>();
                call.operator = place_all(path, place);
                call.operator.extend(rest);
            }
        }
        for argument in &mut call.arguments {
            self.term(argument);
        }
    }

    fn closure(&mut self, body: &mut Body, heads: &mut [&mut Term]) {
        self.scopes.push(Scope { declared: declared_names(body), ..Scope::default() });
        self.body(body);
        for head in heads {
            self.term(head);
        }
        self.scopes.pop();
    }

    fn term(&mut self, term: &mut Term) {
        let place = term.place;
        match &mut term.kind {
            TermKind::Scalar(_) => {}
            TermKind::Var(name) => {
                if let Some(own) = self.local(name) {
                    *name = own;
                } else if !self.globals.contains_key(name)
                    || self.scopes.iter().any(|scope| scope.declared.contains(name))
                {
                    if let Some(scope) = self.scopes.last_mut() {
                        scope.seen.entry(name.clone()).or_insert(How::Used);
                    }
                } else if let Some(path) = self.globals.get(name) {
                    term.kind = TermKind::Ref(place_all(path, place));
                }
            }
            TermKind::Ref(parts) => {
                let Some((head, keys)) = parts.split_first_mut() else { return };
                for key in keys {
                    self.term(key);
                }
                self.term(head);
                if let TermKind::Ref(path) = &mut head.kind {
                    let mut whole = std::mem::take(path);
                    whole.extend(parts.drain(1..));
                    *parts = whole;
                } else if let [head] = parts.as_slice()
                    && let TermKind::Var(name) = &head.kind
                    && !is_root(head)
                {
                    term.kind = TermKind::Var(name.clone());
                }
            }
            TermKind::Array(items) | TermKind::Set(items) => {
                for item in items {
                    self.term(item);
                }
            }
            TermKind::Object(entries) => {
                for (key, value) in entries {
                    self.term(key);
                    self.term(value);
                }
            }
            TermKind::ArrayCompr(head, body) | TermKind::SetCompr(head, body) => self.closure(body, &mut [&mut **head]),
            TermKind::ObjectCompr(head, body) => {
                let (key, value) = &mut **head;
                self.closure(body, &mut [key, value]);
            }
            TermKind::Call(call) => {
                self.call(call);
                if is_rule(call) {
                    term.kind = TermKind::Ref(std::mem::take(&mut call.operator));
                }
            }
        }
    }
}

/// What a body declares, but not its closures.
fn declared_names(body: &Body) -> HashSet<Arc<str>> {
    let mut names = Vec::new();
    for expr in body {
        match &expr.kind {
            ExprKind::Some(vars) => vars.iter().for_each(|var| collect_pattern(var, &mut names)),
            ExprKind::SomeIn(key, value, _) => {
                key.iter().chain([value]).for_each(|term| collect_pattern(term, &mut names));
            }
            ExprKind::Call(call) if call.is("assign") && !expr.negated => {
                call.arguments.iter().take(1).for_each(|left| collect_pattern(left, &mut names));
            }
            _ => {}
        }
    }
    names.into_iter().map(|(_, name)| name).collect()
}

/// Whether a call is of a rule that has no arguments, and so is no function.
fn is_rule(call: &Call) -> bool {
    call.arguments.is_empty() && call.operator.first().and_then(Term::as_var).is_some_and(|name| &**name == "data")
}

fn place_all(path: &[Term], place: Place) -> Vec<Term> {
    path.iter().map(|part| Term::new(place, part.kind.clone())).collect()
}

/// The variables of a pattern. Those within references are not its own.
fn collect_pattern(term: &Term, names: &mut Vec<(Place, Arc<str>)>) {
    match &term.kind {
        TermKind::Var(name) if !name.starts_with('$') => names.push((term.place, name.clone())),
        TermKind::Array(items) => items.iter().for_each(|item| collect_pattern(item, names)),
        TermKind::Object(entries) => entries.iter().for_each(|(_, value)| collect_pattern(value, names)),
        TermKind::Ref(parts) => {
            if let [head] = parts.as_slice()
                && is_root(head)
            {
                names.extend(head.as_var().map(|name| (head.place, name.clone())));
            }
        }
        _ => {}
    }
}

/// Whether a term is `input` or `data`.
fn is_root(term: &Term) -> bool {
    term.as_var().is_some_and(|name| matches!(&**name, "input" | "data"))
}

/// Makes `input` and `data` in a pattern the variables that they are where they are assigned to.
fn unwrap_roots(term: &mut Term) {
    match &mut term.kind {
        TermKind::Array(items) => items.iter_mut().for_each(unwrap_roots),
        TermKind::Object(entries) => entries.iter_mut().for_each(|(_, value)| unwrap_roots(value)),
        TermKind::Ref(parts) => {
            if let [head] = parts.as_slice()
                && is_root(head)
            {
                *term = head.clone();
            }
        }
        _ => {}
    }
}
