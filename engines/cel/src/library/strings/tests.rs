//! Tests of the functions of texts.

use crate::error::EvalError;
use crate::library::testing::{call, cost};
use crate::value::Value;

fn text(name: &str, arguments: &[Value<'_>]) -> String {
    call(name, arguments).unwrap().as_text().unwrap().to_owned()
}

#[test]
fn counts_characters() {
    let word = Value::text("\u{e9}日本");
    assert_eq!(text("charAt", &[word.clone(), 1.into()]), "日");
    assert_eq!(text("charAt", &[word.clone(), 3.into()]), "");
    assert_eq!(text("substring", &[word.clone(), 1.into(), 2.into()]), "日");
    for index in [-1, 4, i64::MAX, i64::MIN] {
        assert!(call("charAt", &[word.clone(), index.into()]).is_err(), "{index}");
        assert!(call("substring", &[word.clone(), index.into()]).is_err(), "{index}");
    }
}

#[test]
fn finds_positions() {
    let table: &[(&str, &str, &str, Option<i64>, i64)] = &[
        ("indexOf", "hello", "l", None, 2),
        ("indexOf", "hello", "l", Some(3), 3),
        ("indexOf", "hello", "", Some(9), 5),
        ("indexOf", "hello", "l", Some(9), -1),
        ("lastIndexOf", "hello", "", None, 5),
        ("lastIndexOf", "hello", "l", Some(2), 2),
        ("lastIndexOf", "hello", "l", Some(9), -1),
        ("lastIndexOf", "hello", "", Some(20), 5),
        ("lastIndexOf", "日本日", "日", None, 2),
        ("lastIndexOf", "日本日", "本", Some(1), 1),
    ];
    for (name, word, part, from, expected) in table {
        let mut arguments = vec![Value::text(*word), Value::text(*part)];
        arguments.extend(from.map(Value::Int));
        assert!(
            matches!(call(name, &arguments).unwrap(), Value::Int(found) if found == *expected),
            "{name} {word} {part} {from:?}"
        );
    }
    assert!(call("indexOf", &[Value::text("a"), Value::text("a"), (-1).into()]).is_err());
}

#[test]
fn splits_and_replaces_with_limits() {
    let parts = |limit: i64| match call("split", &[Value::text("a,b,c"), Value::text(","), limit.into()]).unwrap() {
        Value::List(list) => list.items().map(|item| item.as_text().unwrap().to_owned()).collect::<Vec<_>>(),
        _ => panic!("no list"),
    };
    assert_eq!(parts(2), ["a", "b,c"]);
    assert_eq!(parts(0), [""; 0]);
    assert_eq!(parts(-1), ["a", "b", "c"]);
    assert_eq!(text("replace", &[Value::text("abc"), Value::text(""), Value::text("-"), 2.into()]), "-a-bc");
    assert_eq!(text("replace", &[Value::text("abc"), Value::text("b"), Value::text(""), (-1).into()]), "ac");
}

#[test]
fn results_without_end_are_refused_before_they_are_built() {
    let (large, filler) = (Value::text("x".repeat(1 << 20)), Value::text("y".repeat(1 << 20)));
    assert_eq!(call("replace", &[large.clone(), Value::text(""), filler.clone()]).unwrap_err(), EvalError::Memory);
    assert_eq!(call("split", &[large, Value::text("")]).unwrap_err(), EvalError::Memory);
    let list = Value::list(vec![filler; 64]);
    assert_eq!(call("join", &[list]).unwrap_err(), EvalError::Memory);
}

#[test]
fn costs_follow_kubernetes() {
    let word = Value::text("x".repeat(101));
    assert_eq!(cost("lowerAscii", std::slice::from_ref(&word)), 11);
    assert_eq!(cost("split", &[word.clone(), Value::text(",")]), 21);
    assert_eq!(cost("indexOf", &[word, Value::text("y")]), 10);
}
