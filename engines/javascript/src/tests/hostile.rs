//! Scripts that mean harm, at their own cost.

use super::*;

/// What becomes of a script that has 300 ms, whichever way it is caught.
fn attack(body: &str) -> Result<Answer, EvalError> {
    let script = compile(&format!("function validate(request) {{ {body}; return true }}")).unwrap();
    let told = script.evaluate(br#"{"request":{}}"#, Instant::now() + Duration::from_millis(300));
    // Whoever asks is told in any case; the engine must have stopped as well.
    let patience = Instant::now() + Duration::from_secs(20);
    while !script.workers.is_idle() {
        assert!(Instant::now() < patience, "{body} runs on");
        std::thread::sleep(Duration::from_millis(1));
    }
    told
}

#[test]
fn endless_scripts_are_stopped() {
    for body in [
        "for (;;);",
        "while (true) try { for (;;); } catch {} finally { continue }",
        "(function f() { try { f() } finally { f() } })()",
        "for (;;) try { (function f() { f() })() } catch {}",
        "/^(a+)+$/.test('a'.repeat(50) + '!')",
        "for (;;) /a*b/.exec('a'.repeat(1000))",
        "'a'.repeat(1e5).match(/a+b/)",
        "`${{toString() { for (;;); }}}`",
        "return {get allowed() { for (;;); }}",
        "return {toJSON() { for (;;); }}",
        "throw Object.defineProperty(new Error(), 'message', {get() { for (;;); }})",
        "const m = new Map([[1, 1]]); m.forEach((v, k) => { m.delete(k); m.set(k + 1, 1) })",
        "for (const x of (function* () { for (;;) yield 1 })()) ;",
        "[1, 2].sort(() => { for (;;); })",
        "for (;;) { const a = [1]; for (const x of a) { a.length = 0; a.push(1, 2); a.length = 1e6 } }",
        "const a = new Array(2 ** 32 - 1); for (const x of a) ;",
        "Iterator.from({next: Object.prototype.valueOf.bind({done: false, value: 1})}).every(Boolean)",
        "for (;;) 'a'.repeat(1e6).indexOf('b')",
        "for (;;) [...Array(1e5)].reverse()",
        "for (;;) try { Array(1e6).sort() } catch {}",
        "for (;;) JSON.stringify(Array(1e5).fill(1))",
        "for (;;) Object.keys(Array(1e5).fill(1))",
        "console.log({toJSON() { for (;;); }})",
        "(async () => { for (;;) { } })()",
        "new Set(Array.prototype.values.call({length: 2 ** 53 - 1}))",
        "new WeakSet(Array.prototype.entries.call({length: 2 ** 53 - 1}))",
        "Array.prototype.values.call({length: 2 ** 53 - 1}).filter(Boolean).next()",
        "const x = '9'.repeat(5e6); for (;;) parseFloat(x)",
        "for (;;) 'x'.repeat(1e7)",
        "for (;;) 'x'.padEnd(1e7)",
        "const p = 'x'.repeat(1e6), m = new Map(); for (;;) m.get(p)",
        "const p = 'x'.repeat(1e6), m = new Map(); for (let i = 0; i < 1e5; i++) m.set(i, p); new Set(m.values())",
        "const a = Array(1e4).fill('x'.repeat(1000)); for (;;) a.join()",
        "const a = 'a'.repeat(1e3), b = 'b'.repeat(1e4); for (;;) a.replaceAll('a', b)",
        "const o = {}; for (let i = 0; i < 1e4; i++) o[`k${i}`] = undefined; JSON.stringify(Array(1e6).fill(o))",
        "const o = {}; for (let i = 0; i < 1e4; i++) o[`k${i}`] = undefined; return {allowed: true, patch: Array(1e6).fill(o)}",
        "const o = {}; for (let i = 0; i < 1e4; i++) o[`k${i}`] = undefined; console.log(Array(1e6).fill(o))",
        "const x = 'x'.repeat(5e6); for (;;) encodeURIComponent(x)",
    ] {
        let told = attack(body);
        assert!(matches!(told, Err(EvalError::Deadline)), "{body}: {told:?}");
    }
}

#[test]
fn what_nothing_would_stop_is_refused() {
    for body in [
        "Array(2 ** 32 - 1).fill(0)",
        "Array(2 ** 32 - 1).join()",
        "`${Array(2 ** 32 - 1)}`",
        "Array(2 ** 32 - 1).reverse()",
        "Array(2 ** 32 - 1).sort()",
        "Array(2 ** 32 - 1).slice()",
        "Array(2 ** 32 - 1).shift()",
        "Array(2 ** 32 - 2).unshift(1)",
        "Array(2 ** 32 - 1).splice(1, 1)",
        "[].concat(Array(2 ** 32 - 1))",
        "[].concat({length: 2 ** 53 - 1, [Symbol.isConcatSpreadable]: true}).reverse.call({length: 2 ** 53 - 1})",
        "[Array(2 ** 32 - 1)].flat()",
        "[1].flatMap(() => Array(2 ** 32 - 1))",
        "Array(2 ** 32 - 1).copyWithin(1, 0)",
        "[].reverse.call({length: 2 ** 53 - 1})",
        "[].sort.call({length: 2 ** 53 - 1})",
        "[].reverse.call({get length() { return this.n = (this.n ?? 0) + 1 > 1 ? 2 ** 53 - 1 : 1 }})",
        "Array.prototype.splice.call('x'.repeat(1e6), 0, 1)",
        "new Set(Array(2 ** 32 - 1))",
        "new Map(Array(2 ** 32 - 1))",
        "new WeakSet(Array(2 ** 32 - 1))",
        "JSON.stringify({}, Array(2 ** 32 - 1))",
        "String.raw({raw: {length: 2 ** 53 - 1}})",
        "String.raw({raw: Array(2 ** 32 - 1)})",
        "Math.max.apply(null, {length: 2 ** 32 - 1})",
        "Array.from({length: 2 ** 53 - 1})",
        "'a'.repeat(1e6).indexOf('a'.repeat(5e5) + 'b')",
        "'a'.repeat(1e6).includes({toString: () => 'a'.repeat(5e5) + 'b'})",
        "'a'.repeat(1e6).split('a'.repeat(5e5) + 'b')",
        "'a'.repeat(1e6).replace('a'.repeat(5e5) + 'b', '')",
        "'a'.repeat(1e6).replaceAll('a'.repeat(5e5) + 'b', '')",
        "'a'.repeat(1e6).lastIndexOf('b' + 'a'.repeat(5e5))",
        "const r = /a/; r[Symbol.replace] = undefined; r.toString = () => 'a'.repeat(5e5) + 'b'; 'a'.repeat(1e6).includes(r)",
        "('a' + '\\u0301\\u0316'.repeat(1e5)).normalize('NFD')",
        "('a' + '\\u0301\\u0316'.repeat(1e5)).localeCompare('b')",
        "'b'.localeCompare('a' + '\\u0301\\u0316'.repeat(1e5))",
        "new RegExp('[' + '\\\\p{L}\\\\P{L}'.repeat(20000) + ']', 'u')",
        "'a'.match('[' + '\\\\p{L}'.repeat(20000) + ']')",
        "new (/a/.constructor)('x'.repeat(1e6))",
        "/a/.compile('x'.repeat(1e6))",
        "'x'.repeat(2 ** 30)",
        "Array.prototype.values.call({length: 2 ** 53 - 1}).drop(2 ** 53 - 2).next()",
        "Array.prototype.values.call({length: 2 ** 53 - 1}).drop(Infinity).next()",
        "new Set().union({size: 1, has: Boolean, keys: () => Array.prototype.values.call({length: 2 ** 53 - 1})})",
        "new Set([1]).intersection({size: 0, has: Boolean, keys: () => Array.prototype.values.call({length: 2 ** 53 - 1})})",
        "new Set([1, 2]).isSupersetOf({size: 1, has: () => true, keys: () => Array(2 ** 32 - 1).values()})",
        "Set.prototype.keys = Map.prototype.keys = () => Array(2 ** 32 - 1).values(); new Set([1, 2]).isSupersetOf({size: 1})",
        "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)",
        "const p = 'x'.repeat(1e6), q = 'x'.repeat(1e6 - 1) + 'y'; Array(1e6).fill(p).indexOf(q)",
        "const p = 'x'.repeat(1e6), q = 'x'.repeat(1e6 - 1) + 'y'; Array(1e6).fill(p).includes(q)",
        "const p = 'x'.repeat(1e6), q = 'x'.repeat(1e6 - 1) + 'y'; Array(1e6).fill(p).lastIndexOf(q)",
        "const p = 'x'.repeat(1e6), q = 'x'.repeat(1e6 - 1) + 'y'; Array(1e5).fill(p).fill(q, 5e4).sort()",
        "const p = 'x'.repeat(1e6), q = 'x'.repeat(1e6 - 1) + 'y'; Array(1e5).fill(p).fill(q, 5e4).toSorted()",
        "new Set(Array(1e6).fill('x'.repeat(1e6)))",
        "new Map(Array(1e6).fill(['x'.repeat(1e6), 1]))",
        "new Map(Array(1e6).fill({0: 'x'.repeat(1e6)}))",
        "Object.fromEntries(Array(1e6).fill(['x'.repeat(1e6), 1]))",
        "JSON.stringify(Array(1e5).fill({}), Array(1e5).fill().map(String))",
        "let p = Array.prototype; for (let i = 0; i < 1e5; i++) p = Object.create(p); const a = Array(2e6); \
         Object.setPrototypeOf(a, p); [].includes.call(a, 1)",
        "let p = {}; for (let i = 0; i < 1e5; i++) p = Object.create(p); Object.assign(p, Object.fromEntries(Array(1e5).fill().map((_, i) => [`k${i}`, i])))",
        "let p = {length: 65535}; for (let i = 0; i < 1e5; i++) p = Object.create(p); Math.max.apply(null, p)",
        "let p = {length: 65535}; for (let i = 0; i < 1e5; i++) p = Object.create(p); Reflect.apply(Math.max, null, p)",
        "(function f() { f() })()",
        "(function f() { [1, 2].sort(f) })()",
        "(function f() { return `${{toString: f}}` })()",
        "(function f() { JSON.stringify({toJSON: f}) })()",
        "(function f() { 'a'.replace(/a/, f) })()",
        "let s = '[', n = '['; for (let i = 0; i < 20; i++) n += n; JSON.parse(n)",
        "let a = []; for (let i = 0; i < 1e5; i++) a = [a]; JSON.stringify(a)",
        "let a = []; for (let i = 0; i < 1e5; i++) a = [a]; a.flat(Infinity)",
        "let a = []; for (let i = 0; i < 1e5; i++) a = [a]; `${a}`",
        "new RegExp('('.repeat(1000) + ')'.repeat(1000))",
    ] {
        let told = attack(body);
        assert!(told.is_err(), "{body}: {told:?}");
    }
}

#[test]
fn who_asks_is_told_in_time_whatever_runs_on() {
    // Nothing looks at the clock while texts are compared: it is some seconds until this ends.
    let runs_on = "function validate({wait}) { const a = 'x'.repeat(1e7), b = 'x'.repeat(1e7); let n = 0; \
                   while (wait) n += a === b; return true }";
    let script = compile(runs_on).unwrap();
    let ask = |review: &str| script.evaluate(review.as_bytes(), Instant::now() + Duration::from_millis(100));
    let (waits, passes) = (r#"{"request":{"wait":true}}"#, r#"{"request":{}}"#);
    assert_eq!(ask(waits), Err(EvalError::Deadline));
    // Another of its threads judges, and other scripts have threads of their own.
    assert_eq!(judge(&script, passes), Ok(Answer::default()));
    assert_eq!(answer("function validate() { return true }"), Ok(Answer::default()));
}

#[test]
fn null_that_is_thrown_is_not_taken_for_memory() {
    let told = attack("throw null");
    assert!(matches!(&told, Err(EvalError::Failed(why)) if why.contains("thrown null")), "{told:?}");
    let filling = "function validate() { const a = []; for (;;) a.push('x'.repeat(1e6) + a.length) }";
    assert_eq!(answer(filling), Err(EvalError::Memory));
}

#[test]
fn memory_has_an_end() {
    for body in [
        "const a = []; for (;;) a.push('x'.repeat(1000) + a.length)",
        "const a = []; for (;;) a.push({})",
        "let s = 'x'; for (;;) s += s",
        "'x'.padStart(2 ** 30 - 10)",
        "Array.from({length: 2 ** 32 - 1})",
        "const o = {}; for (let i = 0; ; i++) o['k' + i] = i",
        "const m = new Map(); for (let i = 0; ; i++) m.set(i, {})",
        "let f = () => 1; for (;;) { const g = f; f = () => g }",
        "const a = []; for (;;) a.push(/a/g)",
        "const a = []; for (;;) a.push(Symbol())",
        "for (let p = Promise.resolve(); ;) p = p.then(() => 1)",
        "for (;;) queueMicrotask(() => 1)",
        "const a = []; a.length = 2e6; a.fill('x'); for (;;) a.push(...a.slice(0, 1e4))",
        "for (;;) { const o = {}; o.o = o; o.f = () => o; o.t = 'x'.repeat(100) + Object.keys(o) }",
    ] {
        let script = compile(&format!("function validate(request) {{ {body}; return true }}")).unwrap();
        let told = judge(&script, r#"{"request":{}}"#);
        assert!(matches!(told, Err(EvalError::Memory | EvalError::Failed(_))), "{body}: {told:?}");
    }
}

/// Where memory ends is another place each time, and an engine that fails there must not take others with it.
#[test]
fn memory_may_end_anywhere() {
    let script = compile(
        "export function validate({kind, taken}) {
           const held = 'x'.repeat(taken) + 'y'; held.at(0);
           const all = [];
           for (let i = 0; ; i++) switch (kind) {
             case 0: all['k' + i] = i; break;
             case 1: all.push({i, a: [i]}); break;
             case 2: { const o = {}; for (let k = 0; k < i % 50; k++) o['p' + k] = o; all.push(o); break; }
             case 3: all.push(() => i, /a/g, Symbol(i)); break;
             case 4: all.push(new Map([[i, {}]]), new Set([i]), new Error(i)); break;
             case 5: all.push(Promise.resolve(i).then(() => all)); break;
             case 6: all.push((function* () { yield i })(), [i].values(), class { #a = i }); break;
             case 7: try { all.push('x'.repeat(1e5) + i); } catch { all.length >>= 1; } if (i > 2000) throw 1; break;
             case 8: all.push(JSON.parse('[{\"a\":[1,{\"b\":2}]}]'), JSON.stringify([i])); break;
             case 9: all.push(`${i}`.split('').map(Number).sort().join().match(/./g)); break;
           }
         }",
    )
    .unwrap();
    for kind in 0..10 {
        for taken in [1 << 20, 9 << 20, 20_000_003, 28_000_001, 31 << 20, 32_500_000, 33_000_011] {
            let told = judge(&script, &format!(r#"{{"request":{{"kind":{kind},"taken":{taken}}}}}"#));
            assert!(matches!(told, Err(EvalError::Memory | EvalError::Failed(_))), "{kind} {taken}: {told:?}");
        }
    }
    let told = compile("function validate() { return true }").unwrap();
    assert_eq!(judge(&told, r#"{"request":{}}"#), Ok(Answer::default()));
}

#[test]
fn a_script_that_is_harmful_when_loaded_is_refused() {
    for text in [
        "for (;;);".to_owned(),
        "/^(a+)+$/.test('a'.repeat(50) + '!'); function validate() { return true }".to_owned(),
        "const a = []; for (;;) a.push({})".to_owned(),
        "(function f() { f() })()".to_owned(),
        "(".repeat(100_000),
        "[".repeat(100_000),
        "{".repeat(100_000),
        "!".repeat(100_000),
        "a=>".repeat(30_000),
        "`${".repeat(30_000),
        format!("x = {}1", "1+".repeat(60_000)) + ";;",
        format!("/{}/", "(".repeat(50_000)),
        format!("/[{}]/u", "\\p{L}\\P{L}".repeat(12_000)),
        format!("x={}", "(".repeat(5000) + &")".repeat(5000)),
        format!("{}1", "({a:".repeat(5000)),
    ] {
        assert!(compile(&text).is_err(), "{}", &text[..20.min(text.len())]);
    }
}

#[test]
fn deep_and_large_reviews_are_judged() {
    let script =
        compile("function validate(r) { let n = 0; for (let o = r.o; o; o = o[0]) n++; return `${n}` }").unwrap();
    let review = format!(r#"{{"request":{{"o":{}{}}}}}"#, "[".repeat(990), "]".repeat(990));
    assert_eq!(judge(&script, &review).unwrap().denial.unwrap().message, "990");
    let script = compile("function validate(r) { return `${r.a.length}` }").unwrap();
    for item in ["[]", "{}", "1", "\"\"", "{\"a\":1}", "null", "\"a\\u0000\""] {
        let items = vec![item; (3 << 20) / (item.len() + 1)];
        let review = format!(r#"{{"request":{{"a":[{}]}}}}"#, items.join(","));
        let told = judge(&script, &review);
        assert!(told.is_ok() || told == Err(EvalError::Memory), "{item}: {told:?}");
    }
}

#[test]
fn a_script_past_its_time_is_not_asked_again() {
    let script = compile("function validate(request) { return true }").unwrap();
    let past = Instant::now();
    assert_eq!(script.evaluate(br#"{"request":{}}"#, past), Err(EvalError::Deadline));
    assert_eq!(judge(&script, r#"{"request":{}}"#), Ok(Answer::default()));
}
