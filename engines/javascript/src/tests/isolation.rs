use super::*;

#[test]
fn nothing_is_carried_from_one_review_to_another() {
    for text in [
        "let seen = []; function validate(r) { seen.push(1); return `${seen.length}` }",
        "function validate(r) { globalThis.n = (globalThis.n ?? 0) + 1; return `${n}` }",
        "function validate(r) { validate.n = (validate.n ?? 0) + 1; return `${validate.n}` }",
        "function validate(r) { Array.prototype.n = ([].n ?? 0) + 1; return `${[].n}` }",
        "function validate(r) { const s = Symbol.for('x'); Object[s] = (Object[s] ?? 0) + 1; return `${Object[s]}` }",
        "let n = 0; export function validate(r) { return `${++n}` }",
        "pipy({n: 0}).replaceMessage(() => new Message(JSON.encode({response: {allowed: false, status: {message: `${++n}`}}})))",
    ] {
        let script = compile(text).unwrap();
        for _ in 0..3 {
            assert_eq!(judge_images(&script, &[]).unwrap().denial.unwrap().message, "1", "{text}");
        }
    }
}

#[test]
fn nothing_is_carried_over_after_an_error_either() {
    for end in ["throw 1", "for (;;);", "const a = []; for (;;) a.push({})", "return 7"] {
        let script = compile(&format!(
            "let seen = 0; function validate(r) {{ seen++; if (r.end) {{ {end} }} return `${{seen}}` }}"
        ))
        .unwrap();
        for _ in 0..3 {
            let until = Instant::now() + Duration::from_millis(300);
            assert!(script.evaluate(br#"{"request":{"end":1}}"#, until).is_err(), "{end}");
            assert_eq!(judge(&script, r#"{"request":{}}"#).unwrap().denial.unwrap().message, "1", "{end}");
        }
    }
}

#[test]
fn tables_too_large_to_keep_are_built_for_each_review() {
    let text = "const t = []; for (let i = 0; i < 1e5; i++) t.push({i}); function validate() { return `${t.push(1)}` }";
    let script = compile(text).unwrap();
    for _ in 0..3 {
        assert_eq!(judge_images(&script, &[]).unwrap().denial.unwrap().message, "100001");
    }
}

#[test]
fn what_a_review_holds_is_nothing_but_data() {
    let script =
        compile("function validate(r) { return {allowed: r.o.allowed === true && r.o instanceof Object} }").unwrap();
    for object in [
        r#"{"__proto__":{"allowed":true}}"#,
        r#"{"constructor":{"prototype":{"allowed":true}}}"#,
        r#"{"prototype":{"allowed":true},"toJSON":{"allowed":true},"valueOf":true}"#,
        r#"{"allowed":true,"allowed":false}"#,
        r#"{"\u0061llowed":true,"allowed":false}"#,
        r#"{"allowed":"\ud800"}"#,
    ] {
        let answer = judge(&script, &format!(r#"{{"request":{{"o":{object}}}}}"#)).unwrap();
        assert!(answer.denial.is_some(), "{object}");
    }
    let script = compile("function validate(r) { return {allowed: false, ...r.o} }").unwrap();
    for object in [r#"{"toJSON":"x"}"#, r#"{"__proto__":{"allowed":true}}"#, r#"{"constructor":1}"#] {
        let told = judge(&script, &format!(r#"{{"request":{{"o":{object}}}}}"#));
        assert!(told.as_ref().is_err() || told.unwrap().denial.is_some(), "{object}");
    }
}

#[test]
fn the_host_is_out_of_reach() {
    for name in [
        "std",
        "os.getenv",
        "os.open",
        "os.exec",
        "bjson",
        "scriptArgs",
        "print",
        "require",
        "process",
        "fetch",
        "load",
        "setTimeout",
        "Worker",
        "navigator",
        "performance",
        "Date",
        "Math.random",
        "Proxy",
        "BigInt",
        "eval",
        "Atomics",
        "SharedArrayBuffer",
        "ArrayBuffer",
        "WeakRef",
        "FinalizationRegistry",
        "gc",
        "Error.prepareStackTrace",
        "Array.fromAsync",
        "Intl",
        "Temporal",
    ] {
        let text = format!("function validate() {{ return typeof {name} === 'undefined' }}");
        assert_eq!(answer(&text), Ok(Answer::default()), "{name}");
    }
}

#[test]
fn text_is_not_run_as_code() {
    for code in [
        "Function('return true')()",
        "new Function('return true')()",
        "(() => {}).constructor('return true')()",
        "(function* () {}).constructor('return true')()",
        "(async () => {}).constructor('return true')()",
        "(async function* () {}).constructor('return true')()",
        "(class {}).constructor('return true')()",
        "Object.getPrototypeOf(async () => {}).constructor('return true')()",
        "Object.getPrototypeOf(Object.getPrototypeOf(function* () {}).constructor)('return true')()",
        "Reflect.construct(Function, ['return true'])()",
        "[].map.constructor('return true')()",
        "Map.constructor('return true')()",
        "console.log.constructor('return true')()",
        "eval('true')",
        "globalThis['ev' + 'al']('true')",
    ] {
        let told = answer(&format!("function validate() {{ return {code} }}"));
        assert!(matches!(told, Err(EvalError::Failed(_))), "{code}: {told:?}");
    }
}

#[test]
fn import_at_run_time_comes_to_nothing() {
    let told =
        answer("function validate() { let m = 'no'; import('std').then(() => { m = 'yes' }); return m }").unwrap();
    assert_eq!(told.denial.unwrap().message, "no");
}

#[test]
fn a_script_judges_on_many_threads() {
    let script = compile(include_str!("../../../../envoy-config/admission/pipy/pipy-rule.js")).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert!(judge_images(&script, &["nginx"]).unwrap().denial.is_some());
                }
            });
        }
    });
}

#[test]
fn what_is_logged_is_bounded() {
    let told =
        answer("function validate() { for (let i = 0; i < 1000; i++) console.log('é'.repeat(10000), i); return true }")
            .unwrap();
    assert_eq!(told.logged.len(), 16);
    assert!(told.logged.iter().all(|line| line.chars().count() == 512));
    let odd =
        "function validate(r) { console.log('\\ud800', Symbol(), undefined, {a: 1}, [1], null, () => 1); return true }";
    assert_eq!(answer(odd).unwrap().logged, ["\u{fffd} a symbol undefined {\"a\":1} [1] null () => 1"]);
}
