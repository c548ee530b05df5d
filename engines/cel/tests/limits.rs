//! What an author who means harm would write: it is refused, or ends within the budget.

use std::time::{Duration, Instant};

use portcullis_cel::{Budget, Environment, EvalError, Expression, POLICY_LIMIT, Scope, Value};
use portcullis_json::Tape;

struct Document<'v>(portcullis_json::Value<'v>);

impl<'v> Scope<'v> for Document<'v> {
    fn resolve(&mut self, name: &str, _: &mut Budget) -> Option<Result<Value<'v>, EvalError>> {
        self.0.get(name).map(|value| Ok(Value::from(value)))
    }
}

fn environment() -> Environment {
    Environment::new(&["object", "a"])
}

/// Evaluates within five seconds, which no expression within its cost needs.
fn run(source: &str, document: &str) -> Result<bool, EvalError> {
    let expression = Expression::compile(source, &environment()).unwrap();
    let mut tape = Tape::new();
    let document = tape.read(document.as_bytes()).unwrap();
    let mut budget = Budget::new(POLICY_LIMIT, Some(Instant::now() + Duration::from_secs(5)));
    let result = expression.evaluate(&mut Document(document), &mut budget);
    result.map(|value| value.as_bool().unwrap_or_default())
}

#[test]
fn what_is_too_deep_or_too_long_is_refused() {
    let many = 100_000;
    let sources = [
        vec!["1"; many].join("+"),
        vec!["1"; many / 2 - 1].join("+"),
        vec!["a"; many].join("."),
        vec!["a"; 20_000].join("."),
        "(".repeat(many),
        "(".repeat(many) + "1" + &")".repeat(many),
        "(".repeat(400) + "1" + &")".repeat(400),
        "[".repeat(many),
        "[".repeat(3000) + &"]".repeat(3000),
        "{".repeat(many),
        "{1:".repeat(3000) + "1" + &"}".repeat(3000),
        "!".repeat(many) + "true",
        "!".repeat(9000) + "true",
        "-".repeat(9000) + "a",
        "true?1:".repeat(9000) + "1",
        "true?".repeat(9000) + "1" + &":1".repeat(9000),
        "a".to_owned() + &"[0]".repeat(9000),
        "a".to_owned() + &".map(x,x)".repeat(2000),
        "a.map(x,".repeat(2000) + "x" + &")".repeat(2000),
        "size(".repeat(3000) + "a" + &")".repeat(3000),
        "a in ".repeat(9000) + "a",
        vec!["a"; 9000].join("=="),
        vec!["a"; 9000].join("<"),
        "a.?b".to_owned() + &".?b".repeat(9000),
        "'".to_owned() + &"x".repeat(200_000) + "'",
        "has(a.".repeat(3000) + "x" + &")".repeat(3000),
    ];
    for source in sources {
        let start: String = source.chars().take(20).collect();
        assert!(Expression::compile(&source, &environment()).is_err(), "{start} of {} bytes", source.len());
    }
}

#[test]
fn what_is_within_the_limits_is_read_and_evaluated_on_a_small_stack() {
    let sources = [
        vec!["1"; 450].join("+") + " == 450",
        vec!["true"; 5000].join("&&"),
        vec!["false"; 5000].join("||") + "||true",
        "(".repeat(200) + "true" + &")".repeat(200),
        "[".repeat(200) + &"]".repeat(200) + " != []",
        "!".repeat(400) + "true",
        "false?true:".repeat(200) + "true",
        "[[1]]".to_owned() + &".map(x,x)".repeat(80) + " == [[1]]",
        "[1]".to_owned() + &".sortBy(x,x)".repeat(60) + " == [1]",
        vec!["'x'"; 400].join("+") + " != ''",
        format!("[{}] != []", vec!["1"; 9000].join(",")),
    ];
    for source in sources {
        let start: String = source.chars().take(20).collect();
        assert_eq!(run(&source, "{}"), Ok(true), "{start} of {} bytes", source.len());
    }
}

#[test]
fn what_is_no_expression_is_refused_without_panic() {
    let sources = [
        "",
        " ",
        "//",
        "'",
        "\"",
        "'''",
        "r'",
        "b'",
        "\\",
        "\0",
        "a.",
        ".",
        "1.",
        "[",
        "]",
        "a[",
        "a?b",
        "a?b:",
        "a b",
        "a..b",
        "{",
        "{a",
        "{a:",
        "x'",
        "'\\",
        "'\\x",
        "\u{feff}1",
        "é",
        "'é",
        "a.é",
        "&&",
        "a&&",
        "||a",
        "1e",
        "0x",
        "1u2",
        "`",
        "`a",
        "a.`",
        "\u{1f600}",
        "a(",
        "a(,)",
        "a{}",
        "a{b:}",
    ];
    for source in sources {
        let _ = Expression::compile(source, &environment());
    }
    for end in 0..60 {
        let source = "object.a.map(x, x > 1 ? 'é\\n' : b'\\x00').size() in [1, 2u, 1.5e3] && !{'a': [?a.?b]}";
        let part: String = source.chars().take(end).collect();
        assert!(Expression::compile(&part, &environment()).is_err() || !part.is_empty());
    }
}

#[test]
fn costs_end_what_takes_long() {
    let list = format!(r#"{{"a":[{}]}}"#, vec!["1"; 3000].join(","));
    for source in [
        "a.all(x, a.all(y, a.all(z, x == y)))",
        "a.map(x, a.map(y, x + y)).size() > 0",
        "a.exists(x, a.exists(y, x + y > 5))",
        "a.exists_one(x, a.filter(y, y == x).size() > 5)",
        "a.map(x, a).map(l, l.map(x, x)).size() > 0",
    ] {
        assert_eq!(
            run(source, &list),
            Err(EvalError::Cost("operation cancelled: actual cost limit exceeded")),
            "{source}"
        );
    }
}

#[test]
fn what_costs_nothing_ends_at_the_deadline() {
    let list = format!(r#"{{"a":[{}]}}"#, vec!["1"; 100_000].join(","));
    let expression =
        Expression::compile("a.filter(x, a.filter(y, false).size() > 0).size() > 0", &environment()).unwrap();
    let mut tape = Tape::new();
    let document = tape.read(list.as_bytes()).unwrap();
    let mut budget = Budget::new(POLICY_LIMIT, Some(Instant::now() + Duration::from_millis(50)));
    assert_eq!(expression.evaluate(&mut Document(document), &mut budget).err(), Some(EvalError::Deadline));
}

#[test]
fn a_regular_expression_ends_at_the_deadline() {
    // No part of the text is like another, so that nothing that was found out about one helps with the next.
    let mut seed = 1_u64;
    let letters = (0..1 << 20).map(|_| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        if seed >> 63 == 1 { 'a' } else { 'b' }
    });
    let text: String = letters.collect();
    let document = format!(r#"{{"a":"{text}"}}"#);
    let mut tape = Tape::new();
    let document = tape.read(document.as_bytes()).unwrap();
    for (source, ended) in [
        ("a.matches('a[ab]{900}c')", EvalError::Deadline),
        ("a.matches('(a|b)*a(a|b){500}(c|d)')", EvalError::Deadline),
        ("a.find('a[ab]{900}c') == ''", EvalError::Cost("")),
        ("a.findAll('a[ab]{1,900}?c').size() > 0", EvalError::Cost("")),
    ] {
        let expression = Expression::compile(source, &environment()).unwrap();
        let mut budget = Budget::new(POLICY_LIMIT, Some(Instant::now() + Duration::from_millis(50)));
        let error = expression.evaluate(&mut Document(document), &mut budget).unwrap_err();
        assert_eq!(std::mem::discriminant(&error), std::mem::discriminant(&ended), "{source}: {error}");
    }
    // What is watched finds the same.
    let ends = format!(r#"{{"a":"{text}aabababab"}}"#);
    for (source, found) in [
        ("a.matches('a(ab){4}$')", true),
        ("a.matches('^[ab]+$')", true),
        ("a.matches('^[ab]+c$')", false),
        ("a.matches('b(ab){400}$')", false),
        ("a.matches('(?i)A{90}|$')", true),
    ] {
        assert_eq!(run(source, &ends), Ok(found), "{source}");
    }
}

#[test]
fn memory_is_bounded() {
    // Each level doubles what it is given.
    let doubled = |first: &str, double: &str| {
        (0..40).fold(format!("optional.of({first})"), |source, _| format!("{source}.optMap(x, {double})"))
    };
    let cases = [
        doubled("a", "x + x"),
        doubled("[a]", "x + x"),
        doubled("string(a)", "x.replace('a', 'aa')"),
        doubled("string(a)", "[x, x].join(x)"),
        doubled("string(a)", "'%s%s'.format([x, x])"),
        doubled("bytes(string(a))", "x + x"),
    ];
    for source in cases {
        let source = source + ".hasValue()";
        match Expression::compile(&source, &environment()) {
            Ok(_) => match run(&source, r#"{"a":"aaaaaaaaaaaaaaaa"}"#) {
                Err(error) => assert!(error.is_final(), "{source}: {error}"),
                Ok(_) => panic!("{source} came to an end"),
            },
            Err(fault) => panic!("{source}: {fault}"),
        }
    }
}

#[test]
fn what_costs_too_much_in_any_case_is_refused_before_it_runs() {
    let list = format!("[{}]", vec!["1"; 2000].join(","));
    let source = format!("{list}.map(x, {list}.map(y, x + y)).size() > 0");
    let fault = Expression::compile(&source, &environment()).unwrap_err();
    assert!(fault.message.contains("costs more"), "{fault}");
}

#[test]
fn faults_say_what_and_where() {
    for (source, line, column, message) in [
        ("1 +\n nope", 2, 2, "undeclared reference to 'nope'"),
        ("'é' + nope", 1, 7, "undeclared reference to 'nope'"),
        ("a.nope(1)", 1, 7, "undeclared reference to 'nope'"),
        ("1 + 'a'", 1, 3, "found no matching overload for '_+_' applied to '(int, string)'"),
        ("'a'.startsWith(1)", 1, 15, "found no matching overload for 'startsWith' applied to 'string.(int)'"),
        ("1 + ", 1, 5, "Syntax error: mismatched input '<EOF>'"),
        ("authorizer.group('x')", 1, 1, "authorizer"),
        ("'a'.matches('(')", 1, 12, "error parsing regexp"),
        ("1 > \u{1} 2\0", 1, 5, "token recognition error at: '\\u{1}'"),
    ] {
        let fault = Expression::compile(source, &environment()).unwrap_err();
        assert!(fault.message.contains(message), "{source}: {fault}");
        assert_eq!((fault.line, fault.column), (line, column), "{source}: {fault}");
    }
}

/// A variable that is an expression which needs that variable.
struct Circle<'e>(&'e Expression);

impl<'e> Scope<'e> for Circle<'e> {
    fn resolve(&mut self, _: &str, budget: &mut Budget) -> Option<Result<Value<'e>, EvalError>> {
        Some(self.0.evaluate(&mut Circle(self.0), budget))
    }
}

#[test]
fn expressions_that_need_one_another_without_end_are_stopped() {
    let turn = || {
        let expression = Expression::compile("size([a, dyn(1)].map(x, [x])) + 1", &environment()).unwrap();
        let mut budget = Budget::new(POLICY_LIMIT, None);
        assert_eq!(expression.evaluate(&mut Circle(&expression), &mut budget).err(), Some(EvalError::Depth));
    };
    // As much as a host gives an engine.
    std::thread::Builder::new().stack_size(16 << 20).spawn(turn).unwrap().join().unwrap();
}
