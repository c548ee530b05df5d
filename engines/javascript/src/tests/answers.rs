use super::*;
use crate::Denial;

fn told(value: &str) -> Result<Answer, EvalError> {
    answer(&format!("function validate(request) {{ return {value} }}"))
}

#[test]
fn each_way_to_write_a_script_is_found() {
    for text in [
        "function validate(request) { return request.object.metadata.name }",
        "const validate = (request) => request.object.metadata.name",
        "export function validate(request) { return request.object.metadata.name }",
        "export const validate = ({object}) => object.metadata.name",
        "export default { validate: (request) => request.object.metadata.name }",
        "export default function (request) { return request.object.metadata.name }",
        "module.exports = { validate(request) { return request.object.metadata.name } }",
        "module.exports = (request) => request.object.metadata.name",
        "exports.validate = (request) => request.object.metadata.name",
    ] {
        let denial = answer(text).unwrap_or_else(|error| panic!("{text}: {error}")).denial.unwrap();
        assert_eq!(denial, Denial { message: "web".to_owned(), ..Denial::default() }, "{text}");
    }
}

#[test]
fn a_script_that_cannot_judge_is_refused_with_its_place() {
    for (text, line, column, message) in [
        ("", 1, 1, "nothing that judges"),
        ("const x = 1", 1, 1, "nothing that judges"),
        ("const validate = 1", 1, 1, "nothing that judges"),
        ("export const validates = () => true", 1, 1, "nothing that judges"),
        ("function validate() {\n  return (\n}", 3, 1, "SyntaxError"),
        ("export function validate() {\n  return (\n}", 3, 1, "SyntaxError"),
        ("function validate() {}\n\n missing()", 3, 2, "ReferenceError"),
        ("import {x} from './other.js'\nexport const validate = x", 1, 1, "ReferenceError"),
        ("export const validate = await 1", 1, 1, "await"),
        ("function validate() {}\npipy()", 1, 1, "which of them"),
        ("throw 'a\\nb'", 1, 1, "`a\\nb`"),
        ("throw Object.assign(new Error(), {name: ''})", 1, 25, "says nothing"),
        ("throw {get message() { throw 1 }}", 1, 1, "object"),
        ("let x = 10n; function validate() {}", 1, 9, "integer of any size"),
    ] {
        let fault = compile(text).map(|_| ()).unwrap_err();
        assert!(fault.message.contains(message), "{text}: {fault}");
        assert_eq!((fault.file.as_str(), fault.line, fault.column), ("rule.js", line, column), "{text}: {fault}");
    }
}

#[test]
fn true_allows_and_false_denies() {
    assert_eq!(told("true"), Ok(Answer::default()));
    assert_eq!(told("false").unwrap().denial, Some(Denial::default()));
    assert_eq!(told("'no ' + request.object.kind").unwrap().denial.unwrap().message, "no Pod");
}

#[test]
fn a_map_says_all_that_an_answer_can_hold() {
    let answer =
        told("({allowed: false, message: 'm', reason: 'r', code: 422, warnings: ['w'], auditAnnotations: {a: 'b'}})");
    assert_eq!(
        answer,
        Ok(Answer {
            denial: Some(Denial { message: "m".to_owned(), reason: "r".to_owned(), code: 422 }),
            warnings: vec!["w".to_owned()],
            audit_annotations: vec![("a".to_owned(), "b".to_owned())],
            ..Answer::default()
        })
    );
    let patched = told("({allowed: true, patch: [{op: 'remove', path: '/a~1b'}]})").unwrap();
    assert_eq!(patched.patch, Some(br#"[{"op":"remove","path":"/a~1b"}]"#.to_vec()));
}

#[test]
fn whatever_else_is_an_error() {
    for value in [
        "undefined",
        "null",
        "0",
        "1",
        "NaN",
        "''",
        "Symbol()",
        "validate",
        "[]",
        "[true]",
        "{}",
        "({})",
        "new Map([['allowed', true]])",
        "Promise.resolve(true)",
        "(async () => true)()",
        "(function* () { yield true })()",
        "({allowed: 'true'})",
        "({allowed: true, messages: 'x'})",
        "({allowed: true, patch: [{}]})",
        "({allowed: new Boolean(true), warnings: [1]})",
        "({get allowed() { throw 1 }})",
        "({toJSON() { return undefined }})",
        "({toJSON() { return 'true' }})",
        "'\\ud800'",
        "({allowed: false, message: '\\ud800'})",
        "request.object.missing.name",
        "(() => { throw new Error('x') })()",
        "(() => { throw undefined })()",
    ] {
        let told = told(value);
        assert!(matches!(told, Err(EvalError::Failed(_))), "{value}: {told:?}");
    }
}

#[test]
fn an_error_names_its_place() {
    let error = answer("function validate(request) {\n  return request.a.b;\n}").unwrap_err();
    let text = error.to_string();
    assert!(text.contains("TypeError") && text.contains("line 2"), "{text}");
}

#[test]
fn regexes_and_what_else_rules_need_are_there() {
    for value in [
        "/^ng[a-z]+$/u.test(request.object.spec.containers[0].image)",
        "new RegExp('^ng').test('nginx') && RegExp('a', 'i').test('A')",
        "'a1b22'.replace(/[0-9]+/g, '-') === 'a-b-'",
        "'a1b22'.replaceAll(/([0-9])/g, (m, d) => d * 2) === 'a2b44'",
        "'a,b'.split(',').length === 2 && 'a1b'.split(/\\d/).length === 2 && 'ab'.split().length === 1",
        "'a.b'.replace('.', '$&$&') === 'a..b'",
        "[...'a1b2'.matchAll(/\\d/g)].length === 2 && 'x1'.match(/\\d/).index === 1 && 'x1'.search('1') === 1",
        "'x'.match() !== null && 'abc'.includes('b') && 'abc'.indexOf('c', -1) === 2 && 'aba'.lastIndexOf('a') === 2",
        "/a/ instanceof RegExp && (/a/).constructor === RegExp && new RegExp(/b/g).flags === 'g'",
        "(() => 1) instanceof Function && new Set([1, 1]).size === 1 && new Map([[1, 2]]).get(1) === 2",
        "class_()",
        "[3, 1, 2].sort().join() === '1,2,3' && [1, [2, [3]]].flat(Infinity).length === 3",
        "[1].concat([2, 3], 4).length === 4 && [1, 2].flatMap(x => [x, x]).length === 4",
        "Object.entries({a: 1})[0][0] === 'a' && [1, 2].some(x => x > 1) && Array.from('ab').length === 2",
        "JSON.parse('{\"a\":[1]}').a[0] === 1 && JSON.stringify({a: [1]}) === '{\"a\":[1]}'",
        "`${[1, 2]}` === '1,2' && 'b'.localeCompare('a') === 1 && '\\u00e9'.normalize('NFD').length === 2",
        "String.raw`a\\n` === 'a\\\\n' && 'ab'.at(-1) === 'b' && 'a'.padStart(3, '-') === '--a'",
        "class_.name === 'class_' && [].map.name === 'map'",
        "new (class extends Map {})([[1, 2]]).get(1) === 2 && 'a'.toUpperCase() === 'A'",
    ] {
        let text = format!(
            "function class_() {{ class A {{ #x = 1; get x() {{ return this.#x }} }}; return new A().x === 1 }}
             function validate(request) {{ return {value} }}"
        );
        assert_eq!(answer(&text), Ok(Answer::default()), "{value}");
    }
}

#[test]
fn numbers_and_keys_are_as_json_has_them() {
    let script =
        compile("function validate(r) { return `${r.a} ${r.b} ${Object.keys(r.c)} ${r.c.__proto__} ${r.d}` }").unwrap();
    let review = r#"{"request":{"a":1.0,"b":1e400,"c":{"__proto__":7},"d":1,"d":2}}"#;
    assert_eq!(judge(&script, review).unwrap().denial.unwrap().message, "1 Infinity __proto__ 7 2");
}
