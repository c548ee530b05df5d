//! Functions that could run for long on what is within the limits: each stops at the deadline, or needs no time.

use std::time::{Duration, Instant};

use portcullis_rego::{Dialect, EvalError, Input, Module, Program, Value};

fn run(call: &str, input: Value) -> Result<Option<Value>, EvalError> {
    let text = format!("package t\np = {call}");
    let program = Program::compile(&[Module { name: "policy.rego", text: &text }], Dialect::V0)
        .unwrap_or_else(|faults| panic!("{}", faults[0]));
    program.evaluate("data.t.p", &Input::from_value(input), Instant::now() + Duration::from_millis(50))
}

fn object(entries: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    let mut made = Value::new_object();
    for (key, value) in entries {
        made.as_object_mut().unwrap().insert(Value::from(key), value);
    }
    made
}

fn ones(count: usize) -> Vec<Value> {
    vec![Value::from(1_u64); count]
}

#[test]
fn what_takes_too_long_stops_at_the_deadline() {
    let mut part = ones(20_000);
    part.push(Value::from(2_u64));
    let long = Value::from(ones(20_000));
    let patches: Vec<Value> = (0..20_000)
        .map(|_| object([("op", Value::from("add")), ("path", Value::from("/a/0")), ("value", Value::from(1_u64))]))
        .collect();
    let mut changes = Value::new_object();
    let mut graph = Value::new_object();
    for at in 0..20_000_u64 {
        changes.as_object_mut().unwrap().insert(Value::from(format!("b{at}")), Value::from("x"));
    }
    let nodes: Vec<Value> = (0..40_u64).map(Value::from).collect();
    for node in &nodes {
        graph.as_object_mut().unwrap().insert(node.clone(), Value::from(nodes.clone()));
    }
    for (call, input) in [
        (
            "object.subset(input.a, input.b)",
            object([("a", Value::from(ones(40_000))), ("b", Value::from(part.clone()))]),
        ),
        (
            "object.subset({\"x\": input.a}, {\"x\": input.b})",
            object([("a", Value::from(ones(40_000))), ("b", Value::from(part))]),
        ),
        ("count(sort(input.a))", object([("a", Value::from(vec![long.clone(); 20_000]))])),
        ("count(max(input.a))", object([("a", Value::from(vec![long.clone(); 20_000]))])),
        ("count(json.patch({\"a\": input.a}, input.b))", object([("a", long), ("b", Value::from(patches))])),
        ("strings.replace_n(input.a, input.b)", object([("a", changes), ("b", Value::from("a".repeat(1 << 20)))])),
        ("count(graph.reachable_paths(input.a, [0]))", object([("a", graph)])),
    ] {
        let result = run(call, input);
        assert!(matches!(result, Err(EvalError::Deadline | EvalError::Memory)), "{call}: {result:?}");
    }
}

#[test]
fn what_is_too_much_fails_and_is_not_undefined() {
    let digits = "1".repeat(100_000);
    for (call, input) in [
        ("units.parse(\"10e999999\")", Value::Null),
        ("units.parse_bytes(\"1e401GiB\")", Value::Null),
        ("units.parse(input)", Value::from(digits.as_str())),
        (r#"regex.replace(input, "((a?){900}(a{900})b)", "x")"#, Value::from(format!("{}b", "a".repeat(60_000)))),
        (
            "json.marshal_with_options(input, {\"indent\": concat(\"\", [x | numbers.range(1, 1000)[_]; x := sprintf(\"%100d\", [1])])})",
            Value::from(vec![Value::from(ones(2000))]),
        ),
    ] {
        let result = run(call, input);
        assert!(result.is_err(), "{call}: {result:?}");
    }
    // As in OPA, which takes six digits.
    assert_eq!(run("units.parse(\"10e10000000Ei\")", Value::Null), Ok(None));
}

#[test]
fn intricate_expressions_are_searched_for_step_by_step() {
    let text = Value::from("a".repeat(60_000));
    let until = Instant::now() + Duration::from_secs(60);
    let program = |call: &str| {
        let text = format!("package t\np = {call}");
        Program::compile(&[Module { name: "policy.rego", text: &text }], Dialect::V0).unwrap()
    };
    for (call, value) in [
        (r#"regex.match("((a?){900}(a{900})b)", input)"#, Value::Bool(false)),
        (r#"regex.match("((a?){900}(a{900})b)", concat("", [input, "b"]))"#, Value::Bool(true)),
        (r#"regex.match("^a*$", input)"#, Value::Bool(true)),
        (r#"glob.match("*b*", [], input)"#, Value::Bool(false)),
        (r#"count(regex.find_n("((a?){900}(a{900})b)", input, -1))"#, Value::from(0_u64)),
        (r#"count(regex.split("((a?){900}(a{900})b)", input))"#, Value::from(1_u64)),
        (r#"count(regex.replace(input, "(a?){90}b", "x"))"#, Value::from(60_000_u64)),
        (r#"regex.replace(concat("", [input, "xyz"]), "a*x(y)", "$1")"#, Value::from("yz")),
        (r#"count(regex.find_all_string_submatch_n("(a{1,9})", input, -1))"#, Value::from(6667_u64)),
    ] {
        let result = program(call).evaluate("data.t.p", &Input::from_value(text.clone()), until);
        assert_eq!(result, Ok(Some(value)), "{call}");
    }
    let text = Value::from("\u{4e00}ab".repeat(20_000));
    let call = r#"regex.match("[ab].{500}[ab].{500}c", input)"#;
    assert!(matches!(run(call, text), Err(EvalError::Deadline) | Ok(Some(Value::Bool(false)))));
}

#[test]
fn many_paths_objects_and_characters_take_no_more_than_they_are() {
    let paths: Vec<Value> = (0..20_000).map(|at| Value::from(format!("a/{at}"))).collect();
    let whole = object([("a", Value::from(ones(20_001)))]);
    let input = object([("a", whole), ("b", Value::from(paths))]);
    let until = Instant::now() + Duration::from_secs(60);
    let text = "package t\np = count(json.remove(input.a, input.b).a)\nq = count(json.filter(input.a, input.b).a)\n\
        r = count(object.union_n([{sprintf(\"%d\", [x]): {\"y\": x}} | x := numbers.range(1, 3000)[_]]))\n\
        s = trim(input.text, input.cut)";
    let program = Program::compile(&[Module { name: "policy.rego", text }], Dialect::V0).unwrap();
    let cut: String = ('\u{4e00}'..'\u{9000}').chain(['a']).collect();
    let mut input = input;
    input.as_object_mut().unwrap().insert(Value::from("cut"), Value::from(cut));
    input.as_object_mut().unwrap().insert(Value::from("text"), Value::from(format!("{}b", "a".repeat(1 << 20))));
    let input = Input::from_value(input);
    for (rule, value) in [
        ("data.t.p", Value::from(1_u64)),
        ("data.t.q", Value::from(20_000_u64)),
        ("data.t.r", Value::from(3000_u64)),
        ("data.t.s", Value::from("b")),
    ] {
        assert_eq!(program.evaluate(rule, &input, until), Ok(Some(value)), "{rule}");
    }
}

#[test]
fn yaml_that_grows_or_is_deep_ends() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for at in 1..12 {
        let before = format!("*a{}, ", at - 1).repeat(10);
        bomb.push_str(&format!("a{at}: &a{at} [{}]\n", before.trim_end_matches(", ")));
    }
    for text in [bomb, "[".repeat(100_000), "- ".repeat(100_000), "---\n".repeat(100_000)] {
        let result = run("count(yaml.unmarshal(input))", Value::from(text.as_str()));
        assert!(!matches!(result, Ok(Some(_))), "{:.20}", text);
    }
}

#[test]
fn nested_template_strings_are_refused() {
    let compile = |text: String| {
        let module = Module { name: "policy.rego", text: &text };
        Program::compile(&[module], Dialect::V1).map(|_| ()).map_err(|faults| faults[0].to_string())
    };
    for text in
        ["$\"{".repeat(100_000), format!("{}1{}", "$`{".repeat(100_000), "}`".repeat(100_000)), "$\"{[".repeat(100_000)]
    {
        let fault = compile(format!("package t\np := {text}")).unwrap_err();
        assert!(fault.contains("nested"), "{fault}");
    }
    assert_eq!(compile(format!("package t\np := {}1{}", "$\"{".repeat(20), "}\"".repeat(20))), Ok(()));
    // A value that has several is no text.
    let program =
        Program::compile(&[Module { name: "policy.rego", text: "package t\np := $\"{input[_]}\"" }], Dialect::V1)
            .unwrap();
    let input = Input::from_value(Value::from(vec![Value::from(1_u64), Value::from(2_u64)]));
    let result = program.evaluate("data.t.p", &input, Instant::now() + Duration::from_secs(5));
    assert!(matches!(result, Err(EvalError::Failed(_))), "{result:?}");
}
