//! Memory, where a host tells how much a thread has in use.

use std::cell::Cell;
use std::time::{Duration, Instant};

use portcullis_rego::{Dialect, EvalError, Input, Module, Program, Value, set_memory_gauge};

thread_local! {
    static IN_USE: Cell<u64> = const { Cell::new(0) };
    /// What each look adds.
    static GROWTH: Cell<u64> = const { Cell::new(0) };
}

fn gauge() -> u64 {
    IN_USE.set(IN_USE.get() + GROWTH.get());
    IN_USE.get()
}

fn run(growth: u64, before: u64) -> Result<Option<Value>, EvalError> {
    let text = "package t\np = count([x | x := sprintf(\"%v\", [numbers.range(1, 20000)[_]])])";
    let program = Program::compile(&[Module { name: "policy.rego", text }], Dialect::V0).unwrap();
    set_memory_gauge(gauge);
    IN_USE.set(before);
    GROWTH.set(growth);
    program.evaluate("data.t.p", &Input::new(), Instant::now() + Duration::from_secs(60))
}

#[test]
fn what_is_in_use_counts_and_not_what_was_made() {
    assert_eq!(run(0, 0), Ok(Some(Value::from(20_000_u64))));
    // What the thread had before is not the policy's.
    assert_eq!(run(0, 1 << 40), Ok(Some(Value::from(20_000_u64))));
    assert_eq!(run(8 << 20, 0), Err(EvalError::Memory));
}

#[test]
fn a_value_that_is_too_large_is_not_made() {
    let text = "package t\np = count(sprintf(\"%999999d\", [1]))\nq = count(concat(\"\", [x | numbers.range(1, 100)[_]; x := sprintf(\"%999999d\", [1])]))";
    let program = Program::compile(&[Module { name: "policy.rego", text }], Dialect::V0).unwrap();
    set_memory_gauge(gauge);
    let until = Instant::now() + Duration::from_secs(60);
    assert_eq!(program.evaluate("data.t.p", &Input::new(), until), Ok(Some(Value::from(999_999_u64))));
    assert_eq!(program.evaluate("data.t.q", &Input::new(), until), Err(EvalError::Memory));
}
