//! From ordered bodies to instructions.

mod equality;
mod terms;

use std::collections::HashMap;
use std::sync::Arc;

use regorus::Value;

use super::resolve::shown;
use terms::is_scan;

use super::safety::{Vars, all_vars, reorder};
use super::tree::Tree;
use super::{Faults, Signatures};
use crate::ast::{self, Body, Expr, ExprKind, Place, RuleKind, TermKind};
use crate::code::{Instr, Mock, Override, Pattern, Rule, Slot, Target, Term};

/// How many times the compiler may look at an expression or a variable for the order of bodies, some 200 ns each: a body of
/// 500 expressions in the worst order takes a quarter of it.
const MAX_WORK: usize = 2_000_000;

pub(crate) struct Lowerer<'c> {
    pub(crate) tree: &'c Tree,
    pub(crate) signatures: &'c Signatures,
    pub(crate) faults: &'c mut Faults,
    pub(crate) work: &'c mut usize,
    slots: HashMap<Arc<str>, Slot>,
    next: Slot,
}

impl<'c> Lowerer<'c> {
    pub(crate) fn new(tree: &'c Tree, signatures: &'c Signatures, faults: &'c mut Faults, work: &'c mut usize) -> Self {
        Self { tree, signatures, faults, work, slots: HashMap::new(), next: 0 }
    }

    /// A rule with all of its branches.
    pub(crate) fn lower_rule(mut self, rule: &ast::Rule, prefix: usize, file: u32) -> Rule {
        let mut branches = Vec::new();
        let mut next = Some(rule);
        while let Some(branch) = next {
            branches.push(self.lower_branch(branch, prefix, file));
            next = branch.otherwise.as_deref();
        }
        let slots = self.next;
        let mut whole: Option<Rule> = None;
        while let Some(mut branch) = branches.pop() {
            branch.slots = slots;
            branch.otherwise = whole.map(Box::new);
            whole = Some(branch);
        }
        whole.unwrap_or(Rule {
            file,
            place: rule.place,
            slots: 0,
            arguments: Vec::new(),
            body: Vec::new(),
            suffix: Vec::new(),
            key: None,
            value: Term::Const(Value::Bool(true)),
            otherwise: None,
        })
    }

    fn lower_branch(&mut self, rule: &ast::Rule, prefix: usize, file: u32) -> Rule {
        let mut bound = Vars::new();
        let mut arguments = Vec::new();
        let mut ignored = Vec::new();
        for argument in &rule.arguments {
            if super::expand::requires_evaluation(argument) {
                let all: Vec<_> = all_vars(argument).into_iter().collect();
                if matches!(argument.kind, TermKind::Call(_)) {
                    self.faults.add(
                        argument.place,
                        "rego_compile_error",
                        "rule arguments cannot contain calls".to_owned(),
                    );
                }
                for var in all.iter().filter(|var| !bound.contains(*var)) {
                    self.faults.add(argument.place, "rego_unsafe_var_error", format!("var {} is unsafe", shown(var)));
                }
            }
            let pattern = self.pattern(argument, &mut bound, &mut ignored);
            arguments.push(pattern);
        }
        let mut body = ignored;
        let is_default = rule.default;
        let lowered = self.lower_body(rule.body.clone(), &mut bound);
        body.extend(lowered);
        let suffix_terms: Vec<ast::Term> = rule.name.get(prefix..).unwrap_or_default().to_vec();
        let mut after = Vec::new();
        let suffix = suffix_terms.iter().map(|part| self.head_term(part, &mut bound, &mut after)).collect();
        let key = rule.key.as_ref().map(|key| self.head_term(key, &mut bound, &mut after));
        let value = match &rule.value {
            Some(value) if is_default || rule.kind != RuleKind::Set => self.head_term(value, &mut bound, &mut after),
            _ => Term::Const(Value::Bool(true)),
        };
        body.extend(after);
        Rule { file, place: rule.place, slots: 0, arguments, body, suffix, key, value, otherwise: None }
    }

    fn head_term(&mut self, term: &ast::Term, bound: &mut Vars, before: &mut Vec<Instr>) -> Term {
        self.check_bound(term, bound);
        self.value(term, bound, before)
    }

    fn check_bound(&mut self, term: &ast::Term, bound: &Vars) {
        for var in all_vars(term) {
            if !bound.contains(&var) {
                self.unsafe_var(&var, term.place);
            }
        }
    }

    fn unsafe_var(&mut self, var: &str, place: Place) {
        let name = shown(var);
        if name.starts_with('%') {
            self.faults.add(place, "rego_unsafe_var_error", "expression is unsafe".to_owned());
        } else {
            self.faults.add(place, "rego_unsafe_var_error", format!("var {name} is unsafe"));
        }
    }

    fn lower_body(&mut self, body: Body, bound: &mut Vars) -> Vec<Instr> {
        let place = body.first().map(|expr| expr.place).unwrap_or_default();
        *self.work = self.work.saturating_add(bound.len());
        let signatures = self.signatures;
        let ordered = reorder(body, bound, &|call| signatures.arity(call), self.work, MAX_WORK);
        let Some((body, unsafes)) = ordered else {
            self.too_large(place);
            return Vec::new();
        };
        for (var, place) in unsafes {
            self.unsafe_var(&var, place);
            // One message for each.
            bound.insert(var);
        }
        let mut code = Vec::with_capacity(body.len());
        for expr in body {
            self.lower_expr(expr, bound, &mut code);
        }
        code
    }

    fn too_large(&mut self, place: Place) {
        let message = "the program is too large: its bodies have too many expressions";
        self.faults.add(place, "rego_compile_error", message.to_owned());
    }

    fn lower_expr(&mut self, mut expr: Expr, bound: &mut Vars, code: &mut Vec<Instr>) {
        let withs = std::mem::take(&mut expr.with);
        if withs.is_empty() {
            self.lower_plain(expr, bound, code);
            return;
        }
        let mut overrides = Vec::new();
        for with in &withs {
            if let Some(made) = self.lower_with(with, bound, code) {
                overrides.push(made);
            }
        }
        let mut inner = Vec::new();
        self.lower_plain(expr, bound, &mut inner);
        code.push(Instr::With(overrides, inner));
    }

    fn lower_with(&mut self, with: &ast::With, bound: &mut Vars, code: &mut Vec<Instr>) -> Option<Override> {
        let TermKind::Ref(parts) = &with.target.kind else { return None };
        let (head, rest) = parts.split_first()?;
        let keys: Option<Vec<Value>> = rest
            .iter()
            .map(|part| match &part.kind {
                TermKind::Scalar(value) => Some(value.clone()),
                _ => None,
            })
            .collect();
        let root = head.as_var().map(|name| name.to_string()).unwrap_or_default();
        let Some(keys) = keys else {
            self.faults.add(with.target.place, "rego_compile_error", "with keyword target must be ground".to_owned());
            return None;
        };
        let call = ast::Call { operator: parts.clone(), arguments: Vec::new() };
        let name = self.signatures.full_name(&call);
        let is_function = name.as_ref().is_some_and(|name| self.signatures.of(name).is_some());
        if is_function && (root != "input") {
            let name = name.unwrap_or_default();
            if matches!(name.as_str(), "eq" | "assign" | "walk" | "print" | "internal.member_2" | "internal.member_3") {
                self.faults.add(
                    with.target.place,
                    "rego_compile_error",
                    format!("with keyword replacing built-in function: replacement of {name:?} invalid"),
                );
                return None;
            }
            let replacement = match &with.value.kind {
                TermKind::Ref(operator) => {
                    self.signatures.full_name(&ast::Call { operator: operator.clone(), arguments: Vec::new() })
                }
                TermKind::Var(var) => Some(var.to_string()),
                _ => None,
            };
            let mock = replacement.and_then(|name| self.signatures.callee(&name));
            let (mock, value) = match mock {
                Some(mock) => (mock, Term::Const(Value::Null)),
                None => (Mock::Value, self.with_value(&with.value, bound, code)),
            };
            return Some(Override { target: Target::Function(name, mock), value });
        }
        let value = self.with_value(&with.value, bound, code);
        match root.as_str() {
            "input" => Some(Override { target: Target::Input(keys), value }),
            "data" => {
                let (node, used) = self.tree.find(rest);
                let partly = used < rest.len() && self.tree.node(node).is_some_and(|node| !node.rules.is_empty());
                if partly {
                    self.faults.add(
                        with.target.place,
                        "rego_compile_error",
                        "with keyword cannot partially replace virtual document(s)".to_owned(),
                    );
                    return None;
                }
                Some(Override { target: Target::Data(keys), value })
            }
            _ => {
                self.faults.add(
                    with.target.place,
                    "rego_type_error",
                    "with keyword target must reference existing input, data, or a function".to_owned(),
                );
                None
            }
        }
    }

    fn with_value(&mut self, term: &ast::Term, bound: &mut Vars, code: &mut Vec<Instr>) -> Term {
        self.check_bound(term, bound);
        self.value(term, bound, code)
    }

    fn lower_plain(&mut self, expr: Expr, bound: &mut Vars, code: &mut Vec<Instr>) {
        let mut main = Vec::new();
        // What the operands of a negated expression need stays outside of it, and so must be defined.
        let negated = expr.negated;
        match expr.kind {
            ExprKind::Term(term) => self.lower_term_expr(&term, negated, bound, code, &mut main),
            ExprKind::Call(call) => self.lower_call_expr(&call, expr.place, negated, bound, code, &mut main),
            ExprKind::Every(every) => {
                let domain = self.value(&every.domain, bound, code);
                let mut inside = bound.clone();
                let key = every.key.as_ref().and_then(ast::Term::as_var).cloned().map(|name| {
                    inside.insert(name.clone());
                    self.slot(&name)
                });
                let value = match every.value.as_var().cloned() {
                    Some(name) => {
                        inside.insert(name.clone());
                        self.slot(&name)
                    }
                    None => self.fresh(),
                };
                let body = self.lower_body(every.body, &mut inside);
                main.push(Instr::Every { domain, key, value, body });
            }
            ExprKind::Some(_) | ExprKind::SomeIn(..) => {}
        }
        if negated {
            code.push(Instr::Not(main));
        } else {
            code.append(&mut main);
        }
    }

    fn lower_term_expr(
        &mut self,
        term: &ast::Term,
        negated: bool,
        bound: &mut Vars,
        pre: &mut Vec<Instr>,
        main: &mut Vec<Instr>,
    ) {
        match &term.kind {
            TermKind::Ref(parts) => {
                let parts = self.hoist_parts(parts, bound, pre);
                let made = self.reference(&parts, bound, pre);
                if is_scan(&made) {
                    // False is no value for a reference that stands alone.
                    let slot = self.fresh();
                    main.push(Instr::Scan(made, Pattern::Bind(slot)));
                    main.push(Instr::Test(Term::Slot(slot)));
                } else {
                    main.push(Instr::Test(Term::Ref(Box::new(made))));
                }
            }
            _ => {
                let value = if negated { self.hoist(term, bound, pre) } else { self.value(term, bound, pre) };
                main.push(Instr::Test(value));
            }
        }
    }

    fn lower_call_expr(
        &mut self,
        call: &ast::Call,
        place: Place,
        negated: bool,
        bound: &mut Vars,
        pre: &mut Vec<Instr>,
        main: &mut Vec<Instr>,
    ) {
        if let [left, right] = call.arguments.as_slice()
            && (call.is("eq") || call.is("assign") || call.is("equal"))
        {
            self.lower_equality(left, right, place, bound, pre, main);
            return;
        }
        let Some(name) = self.signatures.full_name(call) else {
            self.faults.add(place, "rego_type_error", "undefined function".to_owned());
            return;
        };
        let Some(signature) = self.signatures.of(&name) else { return };
        let arity = signature;
        if name == "print" || name == "trace" && call.arguments.len() == 1 {
            return;
        }
        let (inputs, output) = match call.arguments.split_at_checked(arity) {
            Some((inputs, [])) => (inputs, None),
            Some((inputs, [output])) => (inputs, Some(output)),
            _ => {
                let have = call.arguments.len();
                self.faults.add(
                    place,
                    "rego_type_error",
                    format!("{name}: arity mismatch: it takes {arity} arguments, and {have} are given"),
                );
                return;
            }
        };
        let arguments: Vec<Term> = inputs
            .iter()
            .map(|input| if negated { self.hoist(input, bound, pre) } else { self.value(input, bound, pre) })
            .collect();
        let output = match output {
            Some(output) if negated => Some(Pattern::Equals(self.hoist(output, bound, pre))),
            Some(output) => {
                let mut before = Vec::new();
                let pattern = self.pattern(output, bound, &mut before);
                pre.append(&mut before);
                Some(pattern)
            }
            None => None,
        };
        if name == "walk" {
            let argument = arguments.into_iter().next().unwrap_or(Term::Const(Value::Null));
            main.push(Instr::Walk(argument, output.unwrap_or(Pattern::Any)));
            return;
        }
        let Some(callee) = self.signatures.callee(&name) else {
            self.faults.add(place, "rego_type_error", format!("undefined function {name}"));
            return;
        };
        let term = match callee {
            Mock::Builtin(builtin) => Term::Builtin(builtin, arguments),
            Mock::Function(node) => Term::Function(node, arguments),
            Mock::Value => return,
        };
        main.push(match output {
            Some(pattern) => Instr::Match(term, pattern),
            None => Instr::Test(term),
        });
    }

    fn slot(&mut self, name: &Arc<str>) -> Slot {
        if let Some(slot) = self.slots.get(name) {
            return *slot;
        }
        let slot = self.fresh();
        self.slots.insert(name.clone(), slot);
        slot
    }

    fn fresh(&mut self) -> Slot {
        let slot = self.next;
        self.next = self.next.saturating_add(1);
        slot
    }

    fn fresh_var(&mut self) -> (Arc<str>, Slot) {
        let slot = self.fresh();
        let name: Arc<str> = Arc::from(format!("%hoisted{slot}"));
        self.slots.insert(name.clone(), slot);
        (name, slot)
    }
}
