use super::*;

#[test]
fn nothing_is_carried_from_one_review_to_another() {
    for text in [
        "let seen = []; function validate(r) { seen.push(1); return `${seen.length}` }",
        "function validate(r) { globalThis.n = (globalThis.n ?? 0) + 1; return `${n}` }",
        "function validate(r) { validate.n = (validate.n ?? 0) + 1; return `${validate.n}` }",
        "Array.prototype.n = ([].n ?? 0) + 1; function validate(r) { return `${[].n}` }",
        "function validate(r) { const s = Symbol.for('x'); globalThis[s] = (globalThis[s] ?? 0) + 1; return `${globalThis[s]}` }",
        "let n = 0; export function validate(r) { return `${++n}` }",
        "pipy({n: 0}).replaceMessage(() => new Message(JSON.encode({response: {allowed: false, status: {message: `${++n}`}}})))",
    ] {
        let script = compile(text).unwrap();
        for _ in 0..3 {
            assert_eq!(judge_images(&script, &[]).unwrap().denial.unwrap().message, "1", "{text}");
        }
    }
}

/// What a script that says what it finds, and then changes it, says of some reviews in turn. Most are judged by one engine.
#[test]
fn what_one_review_changes_no_other_sees() {
    for (found, change) in [
        ("n", "n++"),
        ("globalThis.n", "globalThis.n = 1"),
        ("globalThis.n", "Object.defineProperty(globalThis, 'n', {value: 1})"),
        ("globalThis[0] + Object.keys(globalThis).length", "globalThis[0] = 1"),
        (
            "Reflect.ownKeys(globalThis).map(String)",
            "delete globalThis.module; globalThis.other = 1; globalThis.module = 2",
        ),
        ("Object.isExtensible(globalThis)", "Object.preventExtensions(globalThis)"),
        ("Object.getPrototypeOf(globalThis) === Object.prototype", "Object.setPrototypeOf(globalThis, {})"),
        ("globalThis.n", "Object.setPrototypeOf(globalThis, {n: 1})"),
        ("module.exports.n", "module.exports.n = 1"),
        ("typeof exports", "globalThis.exports = 1"),
        ("typeof Map", "Map = 1"),
        ("({}).n", "Object.prototype.n = 1"),
        ("({}).toString()", "Object.prototype.toString = () => 1"),
        ("({}).toString()", "Object.defineProperty(Object.prototype, 'toString', {get: () => () => 1})"),
        (
            "Object.getOwnPropertyDescriptor(Object.prototype, 'valueOf').writable",
            "Object.defineProperty(Object.prototype, 'valueOf', {writable: false})",
        ),
        ("new Error('m').name", "Error.prototype.name = 1"),
        ("new TypeError('m').message", "TypeError.prototype.message = 1"),
        ("Error.stackTraceLimit", "Error.stackTraceLimit = 1"),
        ("new Error('m').stack?.split('\\n').length", "Error.stackTraceLimit = 0"),
        ("[].n", "Array.prototype.n = 1"),
        ("[][0]", "Array.prototype[0] = 1"),
        ("[1].map(String)", "Array.prototype.map = () => 1"),
        ("Array.prototype.length", "Array.prototype.length = 7"),
        ("'a'.startsWith('a')", "String.prototype.startsWith = () => false"),
        ("/a/.test('a')", "RegExp.prototype.exec = () => null"),
        ("JSON.n", "JSON.n = 1"),
        ("console.n", "console.n = 1"),
        ("console.log.n", "console.log.n = 1"),
        ("Message.prototype.n", "Message.prototype.n = 1"),
        ("pipy.n", "pipy.n = 1"),
        ("Object.getPrototypeOf([].values()).n", "Object.getPrototypeOf([].values()).n = 1"),
        ("[...[1, 2]].length", "Object.getPrototypeOf([].values()).next = () => ({done: true})"),
        ("Object.getPrototypeOf('a'.matchAll(/a/g)).n", "Object.getPrototypeOf('a'.matchAll(/a/g)).n = 1"),
        ("Object.getPrototypeOf([].values().map(String)).n", "Object.getPrototypeOf([].values().map(String)).n = 1"),
        ("Object.getPrototypeOf(function* () {}).n", "Object.getPrototypeOf(function* () {}).n = 1"),
        ("Object.getPrototypeOf(async () => 1).n", "Object.getPrototypeOf(async () => 1).n = 1"),
        ("Iterator.prototype[Symbol.toStringTag]", "Iterator.prototype[Symbol.toStringTag] = 1"),
        ("Iterator.prototype.constructor === Iterator", "Iterator.prototype.constructor = 1"),
        ("Object[Symbol.for('n')]", "Object[Symbol.for('n')] = 1"),
        ("global.lastIndex", "global.exec('a')"),
        ("steps.next().value", "steps.next()"),
        ("kept.size + kept.get(Array)", "kept.set(Array, 1); kept.set(1, 1)"),
        ("weak.has(Array)", "weak.add(Array)"),
        ("Stamp.has(Array)", "new Stamp(Array)"),
        ("Stamp.count", "Stamp.count++"),
        ("template().n", "template().n = 1"),
        ("RegExp.$1 + RegExp.lastMatch + RegExp.input", "/(a)/.exec('a')"),
        ("n", "Promise.resolve().then(() => { n++ }); (async () => { n++ })()"),
        ("typeof validate.call", "Function.prototype.call = 1"),
        ("validate.n", "validate.n = 1"),
    ] {
        let text = format!(
            "let n = 0; const global = /a/g, kept = new Map(), weak = new WeakSet(); const template = () => (t => t)`a`;
             const steps = (function* () {{ for (let i = 0;; i++) yield i }})();
             class Base {{ constructor(o) {{ return o }} }}
             class Stamp extends Base {{ #n; static count = 0; static has(o) {{ return #n in o }} }}
             export function validate(r) {{
               let found; try {{ found = String({found}) }} catch (e) {{ found = `thrown ${{e.message}}` }}
               try {{ {change} }} catch {{}}
               return `found ${{found}}`
             }}"
        );
        let script = compile(&text).unwrap_or_else(|fault| panic!("{found}: {fault}"));
        assert!(script.workers.do_engines_last(), "{found}");
        let first = judge_images(&script, &[]);
        assert!(first.as_ref().is_ok_and(|answer| answer.denial.is_some()), "{found}: {first:?}");
        for _ in 0..4 {
            assert_eq!(judge_images(&script, &[]), first, "{found}, {change}");
        }
    }
}

/// Writes down all that can be reached, and then breaks what can be broken.
#[test]
fn what_is_there_before_a_script_stays_as_it_was() {
    let text = "
      const {ownKeys, getOwnPropertyDescriptor, getPrototypeOf, setPrototypeOf, defineProperty, deleteProperty, isExtensible, preventExtensions} = Reflect;
      export function validate() {
        const lines = [], seen = [], known = new Set(), add = (o) => {
          if ((typeof o === 'object' && o !== null || typeof o === 'function') && !known.has(o)) { known.add(o); seen.push(o) }
        };
        [globalThis, function () {}, async () => {}, function* () {}, async function* () {}, (function* () {})(), [].values(), ''[Symbol.iterator](),
          new Map().keys(), new Set().keys(), 'a'.matchAll(/a/g), [].values().map(String), Iterator.from({next() {}}), /a/, new Error(), Promise.resolve(),
          (function () { return arguments })(), new WeakMap(), Symbol.prototype].forEach(add);
        for (let i = 0; i < seen.length; i++) {
          const o = seen[i];
          lines.push(`${isExtensible(o)} ${known.has(getPrototypeOf(o))}`);
          add(getPrototypeOf(o));
          for (const key of ownKeys(o)) {
            const {value, get, set, writable, enumerable, configurable} = getOwnPropertyDescriptor(o, key);
            const told = typeof value === 'string' && key !== 'stack' ? value : typeof value;
            lines.push(`${String(key)} ${told} ${typeof get} ${typeof set} ${writable} ${enumerable} ${configurable}`);
            add(value), add(get), add(set);
          }
        }
        let sum = 0;
        for (const line of lines) for (let i = 0; i < line.length; i++) sum = (sum * 31 + line.charCodeAt(i)) % 4294967291;
        const answer = `${seen.length} ${lines.length} ${sum}`;
        for (const o of seen) if (o !== globalThis) {
          for (const key of ownKeys(o)) {
            try { o[key] = 666 } catch {}
            deleteProperty(o, key), defineProperty(o, key, {value: 667}), defineProperty(o, key, {get: () => 668});
          }
          defineProperty(o, 'other', {value: 669}), setPrototypeOf(o, null), preventExtensions(o);
        }
        for (const key of ownKeys(globalThis)) { try { globalThis[key] = 666 } catch {} deleteProperty(globalThis, key) }
        return answer;
      }";
    let script = compile(text).unwrap();
    assert!(script.workers.do_engines_last());
    let first = judge_images(&script, &[]).unwrap().denial.unwrap().message;
    let objects: usize = first.split(' ').next().unwrap().parse().unwrap();
    assert!(objects > 400, "{first}");
    for _ in 0..4 {
        assert_eq!(judge_images(&script, &[]).unwrap().denial.unwrap().message, first);
    }
}

#[test]
fn scripts_are_run_anew_for_each_review_where_that_is_the_same() {
    for (text, do_last) in [
        (include_str!("../../../../envoy-config/admission/pipy/pipy-rule.js"), true),
        ("export function validate() { return true }", true),
        ("export default { validate: () => true }", true),
        ("module.exports = { validate: () => true }", true),
        ("const validate = () => true", true),
        (
            "Array.prototype.last = function () { return this.at(-1) }; function validate() { return [true].last() }",
            false,
        ),
        ("Object.prototype.n = 1; export const validate = () => ({}).n === 1", false),
        ("delete String.prototype.trim; export const validate = () => !''.trim", false),
        (
            "const t = []; for (let i = 0; i < 1e5; i++) t.push({i}); export const validate = () => t.length === 1e5",
            false,
        ),
        ("function helper() { return true } const validate = () => globalThis['help' + 'er']()", false),
        ("/* \n */ export async function other() {} export const validate = () => true", false),
    ] {
        let script = compile(text).unwrap_or_else(|fault| panic!("{text}: {fault}"));
        assert_eq!(script.workers.do_engines_last(), do_last, "{text}");
        if !text.contains("pipy") {
            for _ in 0..3 {
                assert_eq!(judge_images(&script, &[]), Ok(Answer::default()), "{text}");
            }
        }
    }
}

#[test]
fn what_is_made_may_have_names_of_what_is_there() {
    for value in [
        "(() => { const o = {}; o.toString = 1; o.constructor = 2; o.valueOf = 3; return o.toString + o.constructor + o.valueOf === 6 })()",
        "(() => { const n = {}; for (const k of ['constructor', 'toString', 'a']) n[k] = (Object.hasOwn(n, k) ? n[k] : 0) + 1; return n.constructor === 1 })()",
        "(() => { const e = new Error('m'); e.name = 'N'; e.message = 'x'; return `${e}` === 'N: x' })()",
        "(() => { class E extends TypeError { constructor(m) { super(m); this.name = 'E' } } return new E('m').name === 'E' })()",
        "(() => { function F() {} F.prototype.toString = () => 'F'; return `${new F()}` === 'F' })()",
        "(() => { class A extends Array { last() { return this.at(-1) } } return A.from([1, 2]).last() === 2 })()",
        "[1, 2].map(String).filter(Boolean).slice(0, 1).concat(['3']).join() === '1,3'",
    ] {
        let script = compile(&format!("export const validate = () => {value}")).unwrap();
        assert!(script.workers.do_engines_last(), "{value}");
        for _ in 0..3 {
            assert_eq!(judge_images(&script, &[]), Ok(Answer::default()), "{value}");
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
