//! Which variables an expression gives a value to, and so in which order a body runs.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::ast::{Body, Expr, ExprKind, Place, Term, TermKind, With};

pub(crate) type Vars = BTreeSet<Arc<str>>;

/// How many arguments a function takes.
pub(crate) type Arity<'a> = &'a dyn Fn(&crate::ast::Call) -> Option<usize>;

/// Expressions in their order, and the variables that nothing gives a value to.
pub(crate) type Ordered = (Body, Vec<(Arc<str>, Place)>);

/// The expressions in an order in which each has what it needs, and the variables that nothing gives a value to.
///
/// The order is that of the body but for expressions that must wait.
///
/// It counts how often it has looked at an expression, and stops where that is `most`: there is no order then.
pub(crate) fn reorder(body: Body, bound: &Vars, arity: Arity<'_>, work: &mut usize, most: usize) -> Option<Ordered> {
    let infos: Vec<Info> = body.iter().map(Info::of).collect();
    let mut body_vars = Vars::new();
    for info in &infos {
        body_vars.extend(info.vars.iter().cloned());
    }
    let mut safe: Vars = bound.clone();
    let mut outputs_so_far = Vars::new();
    let mut done: Vec<bool> = vec![false; body.len()];
    let mut order = Vec::with_capacity(body.len());
    loop {
        let before = order.len();
        for (at, expr) in body.iter().enumerate() {
            if done.get(at) != Some(&false) {
                continue;
            }
            let Some(info) = infos.get(at) else { continue };
            *work = work.saturating_add(info.vars.len()).saturating_add(info.closure_vars.len()).saturating_add(1);
            if *work > most {
                return None;
            }
            let outputs = output_vars(expr, &safe, arity);
            let waits = info
                .closure_vars
                .iter()
                .any(|var| body_vars.contains(var) && !bound.contains(var) && !outputs_so_far.contains(var));
            if waits || !info.vars.iter().all(|var| outputs.contains(var) || safe.contains(var)) {
                continue;
            }
            if let Some(slot) = done.get_mut(at) {
                *slot = true;
            }
            order.push(at);
            outputs_so_far.extend(outputs.iter().cloned());
            safe.extend(outputs);
        }
        if order.len() == before {
            break;
        }
    }
    let mut faults = Vec::new();
    if order.len() < body.len() {
        let mut seen = HashSet::new();
        for (at, expr) in body.iter().enumerate() {
            if done.get(at) == Some(&true) {
                continue;
            }
            order.push(at);
            let Some(info) = infos.get(at) else { continue };
            let outputs = output_vars(expr, &safe, arity);
            let closures = info.closure_vars.iter().filter(|var| body_vars.contains(*var));
            for var in info.vars.iter().chain(closures) {
                if !safe.contains(var) && !outputs.contains(var) && seen.insert(var.clone()) {
                    let place = info.places.get(var).copied().unwrap_or(expr.place);
                    faults.push((var.clone(), place));
                }
            }
        }
        if faults.is_empty() {
            let place = body.first().map(|expr| expr.place).unwrap_or_default();
            faults.push((Arc::from("_"), place));
        }
    }
    let mut exprs: Vec<Option<Expr>> = body.into_iter().map(Some).collect();
    let ordered = order.into_iter().filter_map(|at| exprs.get_mut(at).and_then(Option::take)).collect();
    Some((ordered, faults))
}

struct Info {
    vars: Vars,
    closure_vars: Vars,
    places: HashMap<Arc<str>, Place>,
}

impl Info {
    fn of(expr: &Expr) -> Self {
        let mut info = Self { vars: Vars::new(), closure_vars: Vars::new(), places: HashMap::new() };
        match &expr.kind {
            ExprKind::Term(term) => info.term(term, false),
            ExprKind::Call(call) => call.arguments.iter().for_each(|argument| info.term(argument, false)),
            ExprKind::Every(every) => {
                info.term(&every.domain, false);
                let mut inner = Self { vars: Vars::new(), closure_vars: Vars::new(), places: HashMap::new() };
                inner.body(&every.body);
                for var in every.key.iter().chain([&every.value]).filter_map(Term::as_var) {
                    inner.closure_vars.remove(var);
                }
                info.closure_vars.extend(inner.closure_vars);
            }
            ExprKind::Some(_) | ExprKind::SomeIn(..) => {}
        }
        for with in &expr.with {
            if !names_builtin(with) {
                info.term(&with.value, false);
            }
            if let TermKind::Ref(parts) = &with.target.kind {
                parts.iter().skip(1).for_each(|part| info.term(part, false));
            }
        }
        info
    }

    fn body(&mut self, body: &Body) {
        for expr in body {
            match &expr.kind {
                ExprKind::Term(term) => self.term(term, true),
                ExprKind::Call(call) => call.arguments.iter().for_each(|argument| self.term(argument, true)),
                ExprKind::Every(every) => {
                    self.term(&every.domain, true);
                    self.body(&every.body);
                }
                ExprKind::Some(_) | ExprKind::SomeIn(..) => {}
            }
            for with in expr.with.iter().filter(|with| !names_builtin(with)) {
                self.term(&with.value, true);
            }
        }
    }

    fn term(&mut self, term: &Term, in_closure: bool) {
        match &term.kind {
            TermKind::Scalar(_) => {}
            TermKind::Var(name) => {
                if matches!(&**name, "input" | "data") {
                    return;
                }
                self.places.entry(name.clone()).or_insert(term.place);
                if in_closure {
                    self.closure_vars.insert(name.clone())
                } else {
                    self.vars.insert(name.clone())
                };
            }
            TermKind::Ref(parts) | TermKind::Array(parts) | TermKind::Set(parts) => {
                parts.iter().for_each(|part| self.term(part, in_closure));
            }
            TermKind::Object(entries) => entries.iter().for_each(|(key, value)| {
                self.term(key, in_closure);
                self.term(value, in_closure);
            }),
            TermKind::ArrayCompr(head, body) | TermKind::SetCompr(head, body) => {
                self.term(head, true);
                self.body(body);
            }
            TermKind::ObjectCompr(head, body) => {
                self.term(&head.0, true);
                self.term(&head.1, true);
                self.body(body);
            }
            TermKind::Call(call) => call.arguments.iter().for_each(|argument| self.term(argument, in_closure)),
        }
    }
}

fn output_vars(expr: &Expr, safe: &Vars, arity: Arity<'_>) -> Vars {
    let mut outputs = Vars::new();
    let known = |with: &With| names_builtin(with) || all_vars(&with.value).iter().all(|var| safe.contains(var));
    if expr.negated || !expr.with.iter().all(known) {
        return outputs;
    }
    match &expr.kind {
        ExprKind::Term(term) => ref_outputs(term, safe, &mut outputs),
        ExprKind::Call(call) => {
            for argument in &call.arguments {
                ref_outputs(argument, safe, &mut outputs);
            }
            if let [left, right] = call.arguments.as_slice()
                && (call.is("eq") || call.is("assign"))
            {
                let mut known = Known { safe, hidden: Vars::new(), found: outputs };
                if call.is("assign") {
                    known.hidden.extend(pattern_vars(left));
                    known.found.retain(|var| !known.hidden.contains(var));
                }
                unify(&mut known, left, right);
                return known.found;
            }
            let Some(arity) = arity(call) else { return Vars::new() };
            let (inputs, rest) = call.arguments.split_at(arity.min(call.arguments.len()));
            let needed: Vars = inputs.iter().flat_map(pattern_vars_and_refs).collect();
            if rest.is_empty() {
                return outputs;
            }
            if needed.iter().any(|var| !outputs.contains(var) && !safe.contains(var)) {
                return Vars::new();
            }
            outputs.extend(rest.iter().flat_map(pattern_vars));
        }
        ExprKind::Every(every) => ref_outputs(&every.domain, safe, &mut outputs),
        ExprKind::Some(_) | ExprKind::SomeIn(..) => {}
    }
    outputs
}

/// Whether a function is replaced by one that every policy may call: its name is no variable.
fn names_builtin(with: &With) -> bool {
    let (TermKind::Ref(target), value) = (&with.target.kind, &with.value) else { return false };
    if target.first().and_then(Term::as_var).is_some_and(|root| &**root == "input") {
        return false;
    }
    let operator = match &value.kind {
        TermKind::Ref(operator) => operator.as_slice(),
        TermKind::Var(_) => std::slice::from_ref(value),
        _ => return false,
    };
    let Some((head, rest)) = operator.split_first() else { return false };
    let Some(mut name) = head.as_var().map(|head| head.to_string()) else { return false };
    for part in rest {
        let Some(part) = part.as_text() else { return false };
        name.push('.');
        name.push_str(part);
    }
    crate::builtins::find(&name).is_some()
}

/// The variables in the references of a term: what a reference is looked up with it gives a value to.
fn ref_outputs(term: &Term, safe: &Vars, outputs: &mut Vars) {
    match &term.kind {
        TermKind::Ref(parts) => {
            let head_is_safe = parts.first().is_some_and(|head| match head.as_var() {
                Some(name) => matches!(&**name, "input" | "data") || safe.contains(name),
                None => true,
            });
            if !head_is_safe {
                return;
            }
            for part in parts.iter().skip(1) {
                match &part.kind {
                    TermKind::Ref(_) => ref_outputs(part, safe, outputs),
                    _ => {
                        outputs.extend(pattern_vars(part));
                        ref_outputs(part, safe, outputs);
                    }
                }
            }
        }
        TermKind::Array(items) | TermKind::Set(items) => items.iter().for_each(|item| ref_outputs(item, safe, outputs)),
        TermKind::Object(entries) => entries.iter().for_each(|(key, value)| {
            ref_outputs(key, safe, outputs);
            ref_outputs(value, safe, outputs);
        }),
        TermKind::Call(call) => call.arguments.iter().for_each(|argument| ref_outputs(argument, safe, outputs)),
        _ => {}
    }
}

/// The variables that a pattern binds: not those of keys, sets, references and closures.
pub(crate) fn pattern_vars(term: &Term) -> Vec<Arc<str>> {
    let mut vars = Vec::new();
    let mut terms = vec![term];
    while let Some(term) = terms.pop() {
        match &term.kind {
            TermKind::Var(name) if !matches!(&**name, "input" | "data") => vars.push(name.clone()),
            TermKind::Array(items) => terms.extend(items),
            TermKind::Object(entries) => terms.extend(entries.iter().map(|(_, value)| value)),
            _ => {}
        }
    }
    vars
}

fn pattern_vars_and_refs(term: &Term) -> Vec<Arc<str>> {
    let mut vars = pattern_vars(term);
    if let TermKind::Set(items) = &term.kind {
        vars.extend(items.iter().flat_map(pattern_vars));
    }
    vars
}

/// All variables of a term but those of closures.
pub(crate) fn all_vars(term: &Term) -> Vars {
    let mut info = Info { vars: Vars::new(), closure_vars: Vars::new(), places: HashMap::new() };
    info.term(term, false);
    info.vars
}

/// What is known before an expression, and what it finds.
struct Known<'v> {
    safe: &'v Vars,
    /// What counts as unknown all the same.
    hidden: Vars,
    found: Vars,
}

impl Known<'_> {
    fn contains(&self, var: &Arc<str>) -> bool {
        self.found.contains(var) || self.safe.contains(var) && !self.hidden.contains(var)
    }
}

/// What becomes known where two terms are equal.
fn unify(known: &mut Known<'_>, left: &Term, right: &Term) {
    let mut pairs = vec![(left, right)];
    let mut at = 0;
    while let Some((left, right)) = pairs.get(at).copied() {
        match (&left.kind, &right.kind) {
            (TermKind::Array(lefts), TermKind::Array(rights)) if lefts.len() == rights.len() => {
                pairs.extend(lefts.iter().zip(rights));
            }
            (TermKind::Object(lefts), TermKind::Object(rights)) if lefts.len() == rights.len() => {
                for (key, left) in lefts {
                    let same = rights.iter().find(|(other, _)| match (&key.kind, &other.kind) {
                        (TermKind::Scalar(key), TermKind::Scalar(other)) => key == other,
                        _ => false,
                    });
                    if let Some((_, right)) = same {
                        pairs.push((left, right));
                    }
                }
            }
            _ => {}
        }
        at = at.saturating_add(1);
    }
    let sides: Vec<Side> =
        pairs.iter().flat_map(|(left, right)| [Side::of(left, right), Side::of(right, left)]).collect();
    let mut waiting: HashMap<&Arc<str>, Vec<usize>> = HashMap::new();
    let mut missing = Vec::with_capacity(sides.len());
    let mut ready = Vec::new();
    for (at, side) in sides.iter().enumerate() {
        let needs: Vec<_> = side.needs.iter().filter(|var| !known.contains(var)).collect();
        if needs.is_empty() {
            ready.push(at);
        }
        missing.push(needs.len());
        for var in needs {
            waiting.entry(var).or_default().push(at);
        }
    }
    while let Some(at) = ready.pop() {
        for var in sides.get(at).map(|side| side.gives.as_slice()).unwrap_or_default() {
            if known.contains(var) {
                continue;
            }
            known.found.insert(var.clone());
            for other in waiting.remove(var).unwrap_or_default() {
                let Some(left) = missing.get_mut(other) else { continue };
                *left = left.saturating_sub(1);
                if *left == 0 {
                    ready.push(other);
                }
            }
        }
    }
}

/// One side of an equality that gives the other one its values.
struct Side {
    needs: Vars,
    gives: Vec<Arc<str>>,
}

impl Side {
    fn of(from: &Term, to: &Term) -> Self {
        Self { needs: all_vars(from), gives: pattern_vars(to) }
    }
}
