//! What a hostile policy may try: each ends as an error, in time, and takes nothing down.

use std::time::{Duration, Instant};

use portcullis_rego::{Data, Dialect, EvalError, Fault, Input, Module, Program, Value, read_serde};

fn compile(text: &str) -> Result<Program, Vec<Fault>> {
    Program::compile(&[Module { name: "policy.rego", text }], Dialect::V0)
}

fn refused(text: &str) -> Fault {
    match compile(text) {
        Ok(_) => panic!("compiled: {:.200}", text),
        Err(faults) => faults[0].clone(),
    }
}

fn run_with(text: &str, input: Value) -> Result<Option<Value>, EvalError> {
    let program = compile(text).unwrap_or_else(|faults| panic!("{}", faults[0]));
    program.evaluate("data.t.p", &Input::from_value(input), Instant::now() + Duration::from_millis(500))
}

fn run(text: &str) -> Result<Option<Value>, EvalError> {
    run_with(text, Value::new_object())
}

#[test]
fn nesting_is_refused_by_name_and_place() {
    for (open, close) in [("[", "]"), ("{", "}"), ("(", ")")] {
        let fault = refused(&format!("package t\np = {}1{}", open.repeat(100_000), close.repeat(100_000)));
        assert_eq!((fault.code, fault.row), ("rego_parse_error", 2));
        assert!(fault.message.contains("nested"), "{fault}");
    }
}

#[test]
fn chains_are_refused() {
    let sum = vec!["1"; 100_000].join(" + ");
    assert!(refused(&format!("package t\np = {sum}")).message.contains("in a row"));
    let branches = " else = 2 { false }".repeat(20_000);
    assert!(refused(&format!("package t\np = 1 {{ false }}{branches}")).message.contains("in a row"));
    let bodies = " { false }".repeat(20_000);
    assert!(refused(&format!("package t\np = 1 {{ false }}{bodies}")).message.contains("in a row"));
    let calls = "(1)".repeat(20_000);
    assert!(compile(&format!("package t\np = f{calls}")).is_err());
}

#[test]
fn braces_that_are_read_twice_do_not_take_for_ever() {
    let fault = refused(&format!("package t\np = {}1{}", "{1 | ".repeat(100), ", 2}".repeat(100)));
    assert!(fault.message.contains("intricate"), "{fault}");
}

#[test]
fn recursion_is_refused_with_the_way_around() {
    for (text, around) in [
        ("package t\nf(x) = f(x)", "data.t.f -> data.t.f"),
        ("package t\na { b }\nb { c }\nc { a }", "data.t.a -> data.t.b -> data.t.c -> data.t.a"),
        ("package t\np { data.t.q }\nq { data[\"t\"].p }", "data.t.p -> data.t.q -> data.t.p"),
        ("package t\np { data.t[x] == 1; x == \"q\" }", "data.t.p -> data.t.p"),
        ("package t\np { x := [y | y := p] }", "data.t.p -> data.t.p"),
    ] {
        let fault = refused(text);
        assert_eq!(fault.code, "rego_recursion_error", "{text}");
        assert!(fault.message.contains(around), "{fault}");
    }
}

#[test]
fn functions_that_are_not_there_are_refused_at_load() {
    for (call, says) in [
        ("http.send({})", "http.send is not allowed here"),
        ("external_data({})", "external_data is not available"),
        ("io.jwt.decode(\"x\")", "io.jwt.decode is not supported"),
        ("uri.parse(\"x\")", "not supported"),
        ("no_such(1)", "undefined function no_such"),
        ("data.t.no_such(1)", "undefined function data.t.no_such"),
        ("startswith(\"a\")", "arity mismatch"),
    ] {
        let fault = refused(&format!("package t\n\np {{\n  {call}\n}}"));
        assert_eq!((fault.code, fault.row, fault.column), ("rego_type_error", 4, 3), "{call}");
        assert!(fault.message.contains(says), "{fault}");
    }
}

#[test]
fn endless_work_ends_in_time() {
    let text =
        "package t\np = count([1 | numbers.range(1, 1000)[_]; numbers.range(1, 1000)[_]; numbers.range(1, 1000)[_]])";
    let program = compile(text).unwrap();
    let start = Instant::now();
    let result = program.evaluate("data.t.p", &Input::new(), start + Duration::from_millis(50));
    assert!(matches!(result, Err(EvalError::Deadline | EvalError::Memory)), "{result:?}");
}

#[test]
fn what_grows_without_bound_is_stopped() {
    let mut doubling = String::from("package t\na0 = \"0123456789\"\n");
    for at in 1..60 {
        doubling.push_str(&format!("a{at} = concat(\"\", [a{0}, a{0}])\n", at - 1));
    }
    doubling.push_str("p = a59");
    let mut arrays = String::from("package t\na0 = [1, 2]\n");
    for at in 1..60 {
        arrays.push_str(&format!("a{at} = array.concat(a{0}, a{0})\n", at - 1));
    }
    arrays.push_str("p = a59");
    let mut squares = String::from("package t\na0 = 123456789123456789\n");
    for at in 1..60 {
        squares.push_str(&format!("a{at} = a{0} * a{0}\n", at - 1));
    }
    squares.push_str("p = a59");
    let mut replaced = String::from("package t\na0 = \"aa\"\n");
    for at in 1..60 {
        replaced.push_str(&format!("a{at} = strings.replace_n({{\"a\": \"aaaaaaaa\"}}, a{})\n", at - 1));
    }
    replaced.push_str("p = a59");
    let mut shown = String::from("package t\na0 = [1]\n");
    for at in 1..60 {
        shown.push_str(&format!("a{at} = [a{0}, a{0}, a{0}, a{0}]\n", at - 1));
    }
    shown.push_str("p = sprintf(\"%v\", [a59])");
    for text in [
        doubling.as_str(),
        &arrays,
        &squares,
        &replaced,
        &shown,
        &shown.replace("sprintf(\"%v\", [a59])", "json.marshal(a59)"),
        "package t\np = numbers.range(1, 1000000000)",
        "package t\np = numbers.range_step(0, 1000000000000, 1)",
        "package t\np = bits.lsh(1, 1000000000)",
        "package t\np = net.cidr_expand(\"::/0\")",
        "package t\np = count(net.cidr_expand(\"0.0.0.0/0\"))",
    ] {
        let result = run(text);
        assert!(matches!(result, Err(EvalError::Memory | EvalError::Deadline)), "{result:?}: {:.80}", text);
    }
    // What sprintf may pad is bounded as in Go.
    assert!(run("package t\np = sprintf(\"%999999999d\", [1])").is_ok());
}

#[test]
fn values_do_not_become_deeper_than_the_stack_allows() {
    let mut text = String::from("package t\nf0(x) = [[[[[[[[[[x]]]]]]]]]]\n");
    for at in 1..20 {
        text.push_str(&format!("f{at}(x) = f{0}(f{0}(x))\n", at - 1));
    }
    text.push_str("p = f19(1)");
    assert!(matches!(run(&text), Err(EvalError::Failed(_) | EvalError::Memory)));
    let mut chain = String::from("package t\na0 = 1\n");
    for at in 1..20_000 {
        chain.push_str(&format!("a{at} = [a{}]\n", at - 1));
    }
    chain.push_str("p = a19999");
    assert!(run(&chain).is_err());
}

#[test]
fn deep_input_and_data_are_walked_compared_and_printed() {
    let mut deep = Value::from(1_u64);
    for _ in 0..990 {
        deep = Value::from(vec![deep]);
    }
    let input: Value = {
        let mut input = Value::new_object();
        input.as_object_mut().unwrap().insert(Value::from("deep"), deep.clone());
        input
    };
    for body in [
        "count([v | walk(input, [_, v])]) > 900",
        "json.marshal(input) != \"\"",
        "sprintf(\"%v\", [input]) != \"\"",
        "input.deep == input.deep",
        "{input.deep} == {input.deep}",
        "object.union(input, {\"b\": input}).b == input",
        "json.unmarshal(json.marshal(input)) == input",
    ] {
        let result = run_with(&format!("package t\np {{ {body} }}"), input.clone());
        assert_eq!(result, Ok(Some(Value::Bool(true))), "{body}");
    }
    let mut data = Data::new();
    data.insert(&["deep"], deep);
    let program = compile("package t\np { count([v | walk(data.deep, [_, v])]) > 900 }").unwrap().with_data(&data);
    let result = program.evaluate("data.t.p", &Input::new(), Instant::now() + Duration::from_secs(5));
    assert_eq!(result, Ok(Some(Value::Bool(true))));
}

#[test]
fn large_sources_and_bodies_are_refused_not_compiled_for_ever() {
    let fault = refused(&format!("package t\n# {}", "x".repeat(1 << 20)));
    assert!(fault.message.contains("bytes"), "{fault}");
    // In the worst order: each expression waits for the next one.
    let mut body = String::new();
    for at in 0..20_000 {
        body.push_str(&format!("x{at} = x{} + 1\n", at + 1));
    }
    let fault = refused(&format!("package t\np {{ {body} x20000 = 1 }}"));
    assert!(fault.message.contains("too many expressions"), "{fault}");
}

#[test]
fn programs_share_what_they_are_made_of() {
    let program = compile("package t\np = data.kinds[_] { true }").unwrap();
    let mut one = Data::from_value(read_serde(&serde_json::json!({"kinds": ["a"]})));
    let first = program.with_data(&one);
    one.insert(&["kinds"], read_serde(&serde_json::json!(["b"])));
    let second = program.with_data(&one);
    let until = Instant::now() + Duration::from_secs(5);
    assert_eq!(first.evaluate("data.t.p", &Input::new(), until), Ok(Some(Value::from("a"))));
    assert_eq!(second.evaluate("data.t.p", &Input::new(), until), Ok(Some(Value::from("b"))));
    assert_eq!(program.evaluate("data.t.p", &Input::new(), until), Ok(None));
    one.remove(&["kinds"]);
    assert_eq!(program.with_data(&one).evaluate("data.t.p", &Input::new(), until), Ok(None));
    assert!(program.has_rule("data.t.p") && !program.has_rule("data.t.q") && !program.has_rule("data.t"));
}

#[test]
fn conflicts_fail_and_pick_nothing() {
    let input = read_serde(&serde_json::json!({"l": [1, 2]}));
    for text in [
        "p = x { x := input.l[_] }",
        "q[k] = v { v := input.l[_]; k := \"a\" }\np { q.a }",
        "f(x) = y { y := input.l[_] }\np = f(1)",
    ] {
        let result = run_with(&format!("package t\n{text}"), input.clone());
        assert!(
            matches!(&result, Err(EvalError::Failed(message)) if message.contains("eval_conflict_error")),
            "{result:?}"
        );
    }
}

#[test]
fn managed_fields_are_kept_where_in_doubt() {
    let mentions = |text: &str| compile(&format!("package t\n{text}")).unwrap().mentions_managed_fields();
    for text in [
        "p { input.review.object.metadata.managedFields[_].manager == \"x\" }",
        "p { input.review.object[k][l] == 1 }",
        "p { input.review.object[k] == data.x }",
        "p { input.review.object.metadata[k] == 1 }",
        "p { walk(input, [_, \"x\"]) }",
        "p { walk(input.review.object, [_, \"x\"]) }",
        "p { o := input.review.object; o.metadata[x] }",
        "p { o = input.review.object; o.metadata[x] }",
        "p { input.review.object = o; m = o.metadata; m[x] }",
        "p { o := input.review.object; o = data.x }",
        "p { o := input.review.object; b := input.review.oldObject; o = b }",
        "p { input.review.object.metadata == input.review.oldObject.metadata }",
        "p { json.marshal(input.request.object) == \"\" }",
        "p { input[a][b][c][d] }",
        "f(x) { x.metadata[_] }\np { f(input.review.object) }",
        "f(x) = 1 { x == 1 } else = 2 { x.metadata[_] }\np { f(input.review.object) }",
        "f(x) = y { y := x.object }\ng(x) = y { y := f(x).metadata }\np { g(input.review)[_] }",
        "f(x) = x.object\np { f(input.review, o); o.metadata[_] }",
        "f(x) = x.object\np { o := data.x; f(input.review, o) }",
        "m = input.review.object.metadata\np { m[_] }",
        "o = input.review.object\np { data.t.o.metadata[_] }",
        "s[x] { x := input.review.object }\np { s[x].metadata[_] }",
        "s[k] = x { x := input.review.object; k := 1 }\np { s[1].metadata[_] }",
        "p { o := [input.review.object]; o[_].metadata[_] }",
        "p { o := {\"a\": input.review.object}; o.a.metadata[_] }",
        "p { o := {x | x := input.review.object}; o[x].metadata[_] }",
        "p { {\"metadata\": m} := input.review.object; m[_] }",
        "import future.keywords\np { some m in input.review.object; m[_] }",
        "import future.keywords\np { every m in input.review.object { m = x; x[_] } }",
        "import future.keywords\np { \"x\" in input.review.object.metadata }",
        "p { object.get(input.review.object, \"metadata\", {})[_] }",
        "p { object.get(input.review, [\"object\", \"metadata\"], {})[_] }",
        "p { k := data.k; object.get(input.review, k, {}) }",
        "p { object.get({}, \"a\", input.review.object).metadata[_] }",
        "import input.review as r\np { r.object.metadata[_] }",
        "f(x) { x.a }\np { f(input.review.object) with f as data.t.g }\ng(x) { x.metadata[_] }",
        "p { input.a with input as input.review.object.metadata }",
        "p { k := \"managedFields\"; true }",
    ] {
        assert!(mentions(text), "{text}");
    }
    for text in [
        "p { input.review.object.spec.containers[_].image == \"x\" }",
        "p { input.review.object.metadata.labels[k] == input.parameters.labels[_] }",
        "p { input.parameters[k] == 1 }",
        // A part of an object is no number, whatever is in it.
        "p { input.review.object[k] == 1 }",
        "p { input.review.object.metadata != null; is_object(input.review.oldObject) }",
        "p { o := input.review.object; o.spec[x]; o.metadata.labels[y] }",
        "p { o = input.review.object; o.spec[x]; o.metadata.labels[y] }",
        "f(x) { x.operation == \"UPDATE\" }\np { f(input.review) }",
        "f(x, y) { x.metadata.name == y.object.metadata.name; g(y) }\ng(y) { y.object.spec[_] }\np { f(data.inventory.a[_][_], input.review) }",
        "f(x) = x.object.metadata\np { f(input.review).labels[_] }",
        "f(x) = 1 { x == 1 } else = 2 { x.spec[_] }\np { f(input.review.object) }",
        "m = input.review.object.metadata\np { m.annotations[_] }",
        "p { object.get(input.review.object.metadata, \"annotations\", {})[_] }",
        "p { object.get(input.review, [\"object\", \"spec\"], {})[_] }",
        "import future.keywords\np { some m in input.review.object.spec.containers; m[_] }",
        "p { data.inventory[_][_].metadata[_] }",
        "import input.review as r\np { r.object.metadata.labels[_] }",
    ] {
        assert!(!mentions(text), "{text}");
    }
}

#[test]
fn programs_that_would_compile_for_ever_are_refused() {
    let lines = |count: usize, line: &dyn Fn(usize) -> String| (0..count).map(line).collect::<String>();
    for text in [
        // Each rule keeps its path, so that a long one is refused.
        format!("package {}\np = 1", vec!["a"; 200_000].join(".")),
        format!("package t\na{} = 1", ".b".repeat(100_000)),
        // References that may lead to each rule.
        format!(
            "package p\n{}z {{ {} }}",
            lines(8000, &|at| format!("r{at} {{ data.q }}\n")),
            lines(5000, &|at| format!("data.p[x{at}]\n"))
        ),
        // Bodies in the worst order.
        format!("package t\np {{ {} x9000 = 1 }}", lines(9000, &|at| format!("x{at} = x{} + 1;", at + 1))),
        format!(
            "package t\np {{ {}{} }}",
            lines(1500, &|at| format!("y{at} = [1 | x{at} > 1];")),
            lines(1499, &|at| format!("x{} = y{};", 1499 - at, 1498 - at)) + "x0 = 1"
        ),
    ] {
        assert!(compile(&text).is_err(), "{:.60}", text);
    }
}

#[test]
fn searches_of_long_texts_end_in_time() {
    let text = Value::from("a".repeat(1 << 20));
    for call in [
        r#"regex.find_n("a*?b|a", input, -1)"#,
        r#"regex.split("a*?b|a", input)"#,
        r#"regex.replace(input, "a*?b|a", "x")"#,
        r#"regex.find_all_string_submatch_n("((a?){900}(a{900})b)", concat("", [input, "b"]), -1)"#,
    ] {
        let result = run_with(&format!("package t\np = {call}"), text.clone());
        assert!(matches!(result, Err(EvalError::Deadline | EvalError::Failed(_))), "{call}");
    }
}

#[test]
fn an_honest_scan_of_a_large_inventory_is_within_memory() {
    let objects: serde_json::Map<String, serde_json::Value> = (0..5000)
        .map(|at| {
            let host = format!("{}-{at}.example.com", "h".repeat(100));
            (format!("ingress-{at}"), serde_json::json!({"spec": {"rules": [{"host": host}]}}))
        })
        .collect();
    let text = r#"package t
hosts[host] { host := lower(trim_space(data.inventory[_].spec.rules[_].host)) }
p[msg] { host := data.inventory[name].spec.rules[_].host; host == input.host; msg := sprintf("%v: %v", [name, host]) }
q = count({[a, b] | a := hosts[_]; b := split(a, "."); startswith(a, "h"); count(b) > 1; not contains(a, "_")})
"#;
    let data = Data::from_value(read_serde(&serde_json::json!({"inventory": objects})));
    let program = compile(text).unwrap().with_data(&data);
    let host = format!("{}-77.example.com", "h".repeat(100));
    let input = Input::from_value(read_serde(&serde_json::json!({"host": host})));
    let until = Instant::now() + Duration::from_secs(60);
    let found = program.evaluate("data.t.p", &input, until).unwrap().unwrap();
    assert_eq!(found.as_set().unwrap().len(), 1);
    assert_eq!(program.evaluate("data.t.q", &input, until), Ok(Some(Value::from(5000_u64))));
}

#[test]
fn any_tokens_compile_or_are_refused() {
    const TOKENS: [&str; 60] = [
        "package t\n",
        "import ",
        "rego.v1",
        "future.keywords",
        "default ",
        "p",
        "q",
        "f(x)",
        "x",
        "_",
        "input",
        "data",
        ".a",
        "[",
        "]",
        "{",
        "}",
        "(",
        ")",
        "\n",
        ";",
        ",",
        ":",
        ":=",
        "=",
        "==",
        "!=",
        "<",
        "+",
        "-",
        "*",
        "/",
        "%",
        "|",
        "&",
        " if ",
        " contains ",
        " in ",
        " every ",
        " some ",
        " not ",
        " else ",
        " with ",
        " as ",
        "\"s\"",
        "`r`",
        "\"\\u00",
        "1",
        "0x",
        "1e9",
        "-1",
        "null",
        "true",
        "set()",
        "count(",
        "walk(",
        "#c\n",
        "é",
        "\t",
        "\u{0}",
    ];
    // A linear congruence: the same programs each time.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |most: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % most
    };
    let mut compiled = 0;
    for _ in 0..3000 {
        let mut text = String::from("package t\n");
        for _ in 0..next(40) {
            text.push_str(TOKENS[next(TOKENS.len())]);
        }
        match compile(&text) {
            Ok(program) => {
                compiled += 1;
                let _ = program.evaluate("data.t", &Input::new(), Instant::now() + Duration::from_secs(1));
            }
            Err(faults) => assert!(!faults[0].message.contains("compiler failed"), "{text:?}"),
        }
    }
    assert!(compiled > 50, "{compiled}");
}
