//! Equalities: which side gives the other one its values, and in which order.

use regorus::Value;

use super::terms::is_scan;
use super::{Lowerer, MAX_WORK};
use crate::ast::{self, Place, TermKind};
use crate::code::{Instr, Pattern, Ref, Term};
use crate::compile::safety::{Vars, all_vars};

impl Lowerer<'_> {
    pub(super) fn lower_equality(
        &mut self,
        left: &ast::Term,
        right: &ast::Term,
        place: Place,
        bound: &mut Vars,
        pre: &mut Vec<Instr>,
        main: &mut Vec<Instr>,
    ) {
        let left = self.hoist_in(left, bound, pre);
        let right = self.hoist_in(right, bound, pre);
        let mut pairs = vec![(left, right)];
        while !pairs.is_empty() {
            *self.work = self.work.saturating_add(pairs.len());
            if *self.work > MAX_WORK {
                self.too_large(place);
                return;
            }
            let mut waiting = Vec::new();
            let mut progress = false;
            for (left, right) in pairs {
                match self.lower_pair(left, right, bound, main) {
                    Ok(()) => progress = true,
                    Err(Split::Into(parts)) => {
                        progress = true;
                        waiting.extend(parts);
                    }
                    Err(Split::Later(pair)) => waiting.push(*pair),
                }
            }
            if !progress {
                self.faults.add(place, "rego_unsafe_var_error", "expression is unsafe".to_owned());
                return;
            }
            pairs = waiting;
        }
    }

    /// One side is known, or both are of parts that are.
    fn lower_pair(
        &mut self,
        left: ast::Term,
        right: ast::Term,
        bound: &mut Vars,
        main: &mut Vec<Instr>,
    ) -> Result<(), Split> {
        let known = |term: &ast::Term, bound: &Vars| match &term.kind {
            TermKind::Ref(parts) => {
                parts.first().is_some_and(|head| all_vars(head).iter().all(|var| bound.contains(var)))
            }
            _ => all_vars(term).iter().all(|var| bound.contains(var)),
        };
        let (left_known, right_known) = (known(&left, bound), known(&right, bound));
        let is_ref = |term: &ast::Term| matches!(term.kind, TermKind::Ref(_));
        let (source, target) = match (left_known, right_known) {
            // A reference that goes through a collection comes first.
            (true, true) if is_ref(&right) && !is_ref(&left) => (right, left),
            (true, _) => (left, right),
            (false, true) => (right, left),
            (false, false) => {
                return Err(match split_pair(&left, &right) {
                    Some(parts) => Split::Into(parts),
                    None => Split::Later(Box::new((left, right))),
                });
            }
        };
        if let TermKind::Ref(parts) = &source.kind {
            let mut before = Vec::new();
            let made = self.reference(parts, bound, &mut before);
            main.append(&mut before);
            if is_scan(&made) {
                let code = self.pattern_after_scan(&target, bound, made);
                main.extend(code);
                return Ok(());
            }
            let mut before = Vec::new();
            let pattern = self.pattern(&target, bound, &mut before);
            main.append(&mut before);
            main.push(Instr::Match(Term::Ref(Box::new(made)), pattern));
            return Ok(());
        }
        let mut before = Vec::new();
        let value = self.value(&source, bound, &mut before);
        let pattern = self.pattern(&target, bound, &mut before);
        main.append(&mut before);
        main.push(Instr::Match(value, pattern));
        Ok(())
    }

    /// A scan, and what its values must be like. Where that in turn must be evaluated after the scan, by a slot.
    fn pattern_after_scan(&mut self, target: &ast::Term, bound: &mut Vars, made: Ref) -> Vec<Instr> {
        let mut after = Vec::new();
        let pattern = self.pattern(target, bound, &mut after);
        if after.is_empty() {
            return vec![Instr::Scan(made, pattern)];
        }
        let slot = self.fresh();
        let mut code = vec![Instr::Scan(made, Pattern::Bind(slot))];
        code.append(&mut after);
        code.push(Instr::Match(Term::Slot(slot), pattern));
        code
    }
}

enum Split {
    Into(Vec<(ast::Term, ast::Term)>),
    Later(Box<(ast::Term, ast::Term)>),
}

/// The parts of two lists or two objects that must be equal one by one; nothing where they cannot be told apart.
fn split_pair(left: &ast::Term, right: &ast::Term) -> Option<Vec<(ast::Term, ast::Term)>> {
    let never = |place: Place| {
        let truth = ast::Term::truth(place);
        vec![(truth, ast::Term::new(place, TermKind::Scalar(Value::Bool(false))))]
    };
    match (&left.kind, &right.kind) {
        (TermKind::Array(lefts), TermKind::Array(rights)) => {
            if lefts.len() != rights.len() {
                return Some(never(left.place));
            }
            Some(lefts.iter().cloned().zip(rights.iter().cloned()).collect())
        }
        (TermKind::Object(lefts), TermKind::Object(rights)) => {
            if lefts.len() != rights.len() {
                return Some(never(left.place));
            }
            let mut parts = Vec::new();
            for (key, left) in lefts {
                let TermKind::Scalar(wanted) = &key.kind else { return None };
                let right = rights.iter().find(|(key, _)| matches!(&key.kind, TermKind::Scalar(key) if key == wanted));
                match right {
                    Some((_, right)) => parts.push((left.clone(), right.clone())),
                    None => return Some(never(left.place)),
                }
            }
            Some(parts)
        }
        _ => None,
    }
}
