//! Calls of functions that there are not, and the way through a rule.

use super::{Faults, Signatures};
use crate::ast::{Body, Call, ExprKind, File, Place, Rule, Term, TermKind};
use crate::builtins;

/// Finds calls of unknown functions, and calls with the wrong number of arguments.
pub(crate) fn check(file: &File, signatures: &Signatures, faults: &mut Faults) {
    for rule in &file.rules {
        walk_rule(rule, &mut |visited| {
            let Visited::Call(place, call) = visited else { return };
            let Some(name) = signatures.full_name(call) else {
                faults.add(place, "rego_type_error", "undefined function".to_owned());
                return;
            };
            if name == "print" {
                return;
            }
            match signatures.of(&name) {
                None => faults.add(place, "rego_type_error", refusal(&name)),
                Some(arity) => {
                    let have = call.arguments.len();
                    if have != arity && have != arity.saturating_add(1) {
                        faults.add(
                            place,
                            "rego_type_error",
                            format!("{name}: arity mismatch: it takes {arity} arguments, and {have} are given"),
                        );
                    }
                }
            }
        });
    }
}

/// What is said of a function that is not there.
fn refusal(name: &str) -> String {
    match name {
        "http.send" => {
            "http.send is not allowed here: a policy may not call other systems, bring what it needs in as data"
                .to_owned()
        }
        "external_data" => {
            "external_data is not available: there are no providers to ask, bring what the policy needs in as data"
                .to_owned()
        }
        "net.lookup_ip_addr" => "net.lookup_ip_addr is not allowed here: a policy may not ask a name server".to_owned(),
        "opa.runtime" => "opa.runtime is not available: there is no server of OPA here".to_owned(),
        _ if builtins::is_known_to_opa(name) => format!("the built-in function {name} is not supported"),
        _ => format!("undefined function {name}"),
    }
}

pub(crate) enum Visited<'t> {
    Term(&'t Term),
    Call(Place, &'t Call),
}

fn walk_rule(rule: &Rule, visit: &mut dyn FnMut(Visited<'_>)) {
    let mut next = Some(rule);
    while let Some(rule) = next {
        walk_branch(rule, visit);
        next = rule.otherwise.as_deref();
    }
}

/// Goes through a rule, without what stands behind its `else`.
pub(crate) fn walk_branch(rule: &Rule, visit: &mut dyn FnMut(Visited<'_>)) {
    for term in rule.name.iter().skip(1).chain(&rule.arguments).chain(&rule.key).chain(&rule.value) {
        walk_term(term, visit);
    }
    walk_body(&rule.body, visit);
}

fn walk_body(body: &Body, visit: &mut dyn FnMut(Visited<'_>)) {
    for expr in body {
        for with in &expr.with {
            walk_term(&with.value, visit);
        }
        match &expr.kind {
            ExprKind::Term(term) => walk_term(term, visit),
            ExprKind::Call(call) => walk_call(expr.place, call, visit),
            ExprKind::Some(_) => {}
            ExprKind::SomeIn(key, value, collection) => {
                key.iter().chain([value, collection]).for_each(|term| walk_term(term, visit));
            }
            ExprKind::Every(every) => {
                every.key.iter().chain([&every.value, &every.domain]).for_each(|term| walk_term(term, visit));
                walk_body(&every.body, visit);
            }
        }
    }
}

fn walk_call(place: Place, call: &Call, visit: &mut dyn FnMut(Visited<'_>)) {
    visit(Visited::Call(place, call));
    call.arguments.iter().for_each(|argument| walk_term(argument, visit));
}

fn walk_term(term: &Term, visit: &mut dyn FnMut(Visited<'_>)) {
    visit(Visited::Term(term));
    match &term.kind {
        TermKind::Scalar(_) | TermKind::Var(_) => {}
        TermKind::Ref(items) | TermKind::Array(items) | TermKind::Set(items) => {
            items.iter().for_each(|item| walk_term(item, visit));
        }
        TermKind::Object(entries) => entries.iter().for_each(|(key, value)| {
            walk_term(key, visit);
            walk_term(value, visit);
        }),
        TermKind::ArrayCompr(head, body) | TermKind::SetCompr(head, body) => {
            walk_term(head, visit);
            walk_body(body, visit);
        }
        TermKind::ObjectCompr(head, body) => {
            walk_term(&head.0, visit);
            walk_term(&head.1, visit);
            walk_body(body, visit);
        }
        TermKind::Call(call) => walk_call(term.place, call, visit),
    }
}
