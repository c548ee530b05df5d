//! Expressions of CEL.

use std::time::Instant;

use portcullis_cel::{Budget, EXPRESSION_LIMIT, Environment, EvalError, Expression, POLICY_LIMIT, Scope, Type, Value};
use portcullis_parsers::admission::json::{self, Tape};

use super::{check_told, forgive_caught_panics, gauge, most_in_use, on_a_small_stack, until};

/// The variables, and what they are.
const DOCUMENT: &[u8] = include_bytes!("../../../engines/cel/tests/golden/input.json");

/// The stack of the threads on which Envoy judges.
const STACK: usize = 16 << 20;

struct Document<'v>(json::Value<'v>);

impl<'v> Scope<'v> for Document<'v> {
    fn resolve(&mut self, name: &str, _: &mut Budget) -> Option<Result<Value<'v>, EvalError>> {
        gauge();
        self.0.get(name).map(|value| Ok(Value::from(value)))
    }
}

/// Compiles an expression, and evaluates it and others that must come to the same.
pub(in super::super) fn run(data: &[u8]) {
    let Ok(source) = std::str::from_utf8(data) else { return };
    forgive_caught_panics();
    on_a_small_stack(STACK, || check(source));
}

fn check(source: &str) {
    let mut tape = Tape::new();
    let document = tape.read(DOCUMENT).expect("the document is JSON");
    let mut environment = Environment::new(&[]);
    for (name, _) in document.entries() {
        environment.declare(&name.to_cow(), Type::Dyn);
    }
    let expression = match Expression::compile(source, &environment) {
        Ok(expression) => expression,
        Err(fault) => {
            check_told(source, fault.line, &fault.message);
            assert!(fault.line > 0 && fault.column > 0, "{fault}");
            assert_eq!(Expression::compile(source, &environment).err(), Some(fault), "another fault the next time");
            return;
        }
    };
    let Some((result, cost)) = evaluate(&expression, document) else { return };
    if let Ok(value) = &result {
        check_type(&expression, value);
    }
    let shown = result.as_ref().map(show);
    if shown.as_ref().is_ok_and(|shown| shown.contains("NaN")) {
        return;
    }
    // A newline ends a comment.
    for (around, is_free) in [
        ("(_\n)", true),
        ("[_\n][0]", false),
        ("{'k': _\n}['k']", false),
        ("true ? (_\n) : 1", false),
        ("[1].map(i, _\n)[0]", false),
        ("optional.of(_\n).value()", false),
        ("cel.bind(bound, _\n, bound)", false),
    ] {
        let other = around.replacen('_', source, 1);
        // It may be too deep now, or have a variable of that name.
        let Ok(other) = Expression::compile(&other, &environment) else { continue };
        let Some((other, its_cost)) = evaluate(&other, document) else { continue };
        match (&shown, &other) {
            (Err(_), Err(_)) => {}
            (Err(EvalError::Failed(why)), Ok(value)) => panic!("`{around}` turns `{why}` into {}", show(value)),
            (Ok(shown), Ok(other)) => assert_eq!(*shown, show(other), "`{around}`"),
            (Ok(shown), Err(EvalError::Failed(why))) => panic!("`{around}` turns {shown} into `{why}`"),
            _ => continue,
        }
        if result.is_ok() && is_free {
            assert_eq!(cost, its_cost, "`{around}` costs");
        }
        // What is chosen is part of the way to it, which costs once.
        let may_save = around.contains('?') || result.is_err();
        assert!(its_cost >= cost || may_save, "`{around}` makes it cheaper: {its_cost} and not {cost}");
    }
}

/// What it comes to and costs; nothing where the time or the memory ends.
fn evaluate<'v>(expression: &'v Expression, document: json::Value<'v>) -> Option<(Result<Value<'v>, EvalError>, u64)> {
    let mut told = None;
    for _ in 0..2 {
        let mut budget = Budget::new(POLICY_LIMIT, Some(until()));
        most_in_use();
        let before = gauge();
        let result = expression.evaluate(&mut Document(document), &mut budget);
        gauge();
        let most = most_in_use().saturating_sub(before);
        assert!(most <= 4 * portcullis_cel::MAX_MEMORY as u64, "{most} bytes in use");
        let cost = budget.spent();
        match &result {
            Err(EvalError::Deadline | EvalError::Memory | EvalError::Depth) => return None,
            Err(EvalError::Cost(_)) => assert!(cost > EXPRESSION_LIMIT, "stopped at {cost}"),
            Err(EvalError::Failed(why)) => assert!(!why.is_empty(), "failed without a reason"),
            Ok(_) => assert!(cost <= EXPRESSION_LIMIT, "{cost} is too much"),
        }
        let shown = result.as_ref().map(show).map_err(ToString::to_string);
        let (_, expected, its_cost) = told.get_or_insert_with(|| (result.clone(), shown.clone(), cost));
        assert_eq!((&*expected, *its_cost), (&shown, cost), "something else the next time");
    }
    let mut late = Budget::new(POLICY_LIMIT, Some(Instant::now()));
    let _ = expression.evaluate(&mut Document(document), &mut late);
    told.map(|(result, _, cost)| (result, cost))
}

/// What is known of the type before must be so.
fn check_type(expression: &Expression, value: &Value<'_>) {
    let known = expression.result_type();
    let may_be = |ty| assert!(known.may_be(ty), "is {}, and was held to be {known}", show(value));
    match value {
        Value::Null => may_be(Type::Null),
        Value::Bool(_) => may_be(Type::Bool),
        Value::Int(_) => may_be(Type::Int),
        Value::UInt(_) => may_be(Type::UInt),
        Value::Double(_) => may_be(Type::Double),
        Value::Text(_) => may_be(Type::String),
        Value::Bytes(_) => may_be(Type::Bytes),
        Value::List(_) => may_be(Type::List(&Type::Dyn)),
        Value::Map(_) => may_be(Type::Map(&Type::Dyn, &Type::Dyn)),
        Value::Duration(_) => may_be(Type::Duration),
        Value::Timestamp(_) => may_be(Type::Timestamp),
        Value::Opaque(opaque) => may_be(opaque.kind()),
        Value::Optional(_) => may_be(Type::Optional(&Type::Dyn)),
        Value::Type(_) => may_be(Type::Type),
    }
}

/// A value for comparing. The order of the entries of a map is that in which they are found.
fn show(value: &Value<'_>) -> String {
    match value {
        Value::List(list) => format!("[{}]", list.items().map(|item| show(&item)).collect::<Vec<_>>().join(",")),
        Value::Map(map) => {
            let mut entries: Vec<_> =
                map.entries().map(|(key, value)| format!("{}:{}", show(&key.to_value()), show(&value))).collect();
            entries.sort();
            format!("{{{}}}", entries.join(","))
        }
        Value::Optional(Some(value)) => format!("some({})", show(value)),
        Value::Text(text) => format!("{:?}", &**text),
        other => format!("{other:?}"),
    }
}
