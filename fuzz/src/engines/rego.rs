//! Modules of Rego.

use std::time::Instant;

use portcullis_rego::{Data, Dialect, EvalError, Fault, Input, Module, Program, Value, read_serde};

use super::{BETWEEN, REVIEW, STACK, check_told, gauge, most_in_use, on_a_small_stack, until};

/// Modules of one input.
const NAMES: [&str; 4] = ["a.rego", "b.rego", "c.rego", "d.rego"];

/// What an evaluation may have had in use when it was stopped: its limit, and what one function more may return.
pub(super) const MOST: u64 = 2 * (64 << 20) + (4 << 20);

/// Compiles modules in both dialects, and evaluates all their rules.
pub(in super::super) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    portcullis_rego::set_memory_gauge(gauge);
    let modules: Vec<_> =
        NAMES.into_iter().zip(text.split(BETWEEN)).map(|(name, text)| Module { name, text }).collect();
    for dialect in [Dialect::V0, Dialect::V1] {
        let [first, second] = [(); 2].map(|()| Program::compile(&modules, dialect));
        match (first, second) {
            (Ok(first), Ok(second)) => {
                let longer: Vec<_> = modules.iter().map(|it| format!("{}\n # end\n", it.text)).collect();
                let longer: Vec<_> =
                    modules.iter().zip(&longer).map(|(it, text)| Module { name: it.name, text }).collect();
                let third = Program::compile(&longer, dialect).expect("a comment at the end changes nothing");
                on_a_small_stack(STACK, || evaluate(text, &[first, second, third]));
            }
            (Err(first), Err(second)) => {
                assert_eq!(first, second, "faults differ from one time to the next");
                assert!(!first.is_empty(), "refused without a fault");
                first.iter().for_each(|fault| check_fault(&modules, fault));
            }
            (first, second) => panic!("compiles, or does not, as it happens: {:?} {:?}", first.err(), second.err()),
        }
    }
}

fn check_fault(modules: &[Module<'_>], fault: &Fault) {
    assert!(fault.code.starts_with("rego_"), "{fault}");
    assert!(!fault.message.contains("the compiler failed"), "{fault}");
    let module = modules.iter().find(|module| module.name == fault.file);
    let module = module.unwrap_or_else(|| panic!("a fault of no module: {fault}"));
    check_told(module.text, fault.row, &fault.message);
}

/// Evaluates programs that are the same.
fn evaluate(text: &str, programs: &[Program]) {
    let review: serde_json::Value = serde_json::from_str(REVIEW).expect("the review is JSON");
    let input = Input::from_value(read_serde(&review));
    let data = serde_json::json!({"inventory": {"cluster": {"v1": {"Namespace": {"shop": {"metadata": {"name": "shop"}}}}}}, "n": [1, 2]});
    let data = Data::from_value(read_serde(&data));
    let mut expected = None;
    for program in programs {
        most_in_use();
        let result = program.with_data(&data).evaluate("data", &input, until());
        assert!(most_in_use() <= MOST, "too much in use");
        match &result {
            Err(EvalError::Deadline | EvalError::Memory) => return,
            Err(EvalError::Failed(message)) => check_told(text, 0, message),
            Ok(value) => check_value(value.as_ref().expect("`data` is never undefined")),
        }
        // It is another moment each time.
        if text.contains("now_ns") {
            return;
        }
        let expected = expected.get_or_insert_with(|| result.clone());
        assert_eq!(*expected, result, "another value the next time");
    }
    let late = programs.first().map(|program| program.evaluate("data", &input, Instant::now()));
    assert_eq!(late, Some(Err(EvalError::Deadline)), "evaluated when it was too late");
}

/// A value can be told as JSON, which says what it is.
pub(super) fn check_value(value: &Value) {
    let json = serde_json::to_string(value).expect("a value can be told");
    assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok() || is_deep(&json), "no JSON: {json}");
}

/// Whether another reader may refuse it for its depth or its numbers.
fn is_deep(json: &str) -> bool {
    let error =
        serde_json::from_str::<serde_json::Value>(json).err().map(|error| error.to_string()).unwrap_or_default();
    error.contains("recursion limit") || error.contains("number out of range")
}
