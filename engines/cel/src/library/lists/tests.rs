//! Tests of the functions of lists and sets.

use crate::error::EvalError;
use crate::library::testing::{call, cost};
use crate::value::Value;

fn ints(items: &[i64]) -> Value<'static> {
    Value::list(items.iter().copied().map(Value::Int).collect())
}

fn read(value: &Value<'_>) -> Vec<i64> {
    let Value::List(list) = value else { panic!("no list") };
    list.items().map(|item| if let Value::Int(item) = item { item } else { panic!("no integer") }).collect()
}

#[test]
fn changes_lists() {
    assert_eq!(read(&call("sort", &[ints(&[3, 1, 2])]).unwrap()), [1, 2, 3]);
    assert_eq!(read(&call("@sortByAssociatedKeys", &[ints(&[7, 8, 9]), ints(&[3, 1, 2])]).unwrap()), [8, 9, 7]);
    assert_eq!(read(&call("distinct", &[ints(&[1, 2, 1])]).unwrap()), [1, 2]);
    assert_eq!(read(&call("reverse", &[ints(&[1, 2])]).unwrap()), [2, 1]);
    assert_eq!(read(&call("slice", &[ints(&[1, 2, 3]), 1.into(), 2.into()]).unwrap()), [2]);
    assert_eq!(read(&call(":lists.range", &[3.into()]).unwrap()), [0, 1, 2]);
    let nested = Value::list(vec![Value::list(vec![ints(&[1])]), ints(&[2])]);
    assert_eq!(read(&call("flatten", &[nested, 2.into()]).unwrap()), [1, 2]);
}

#[test]
fn refuses_what_has_no_sum_or_order() {
    let mixed = Value::list(vec![1.into(), Value::text("a")]);
    for name in ["sum", "min", "max", "isSorted", "sort"] {
        assert!(call(name, std::slice::from_ref(&mixed)).is_err(), "{name}");
    }
    assert!(call("sum", &[ints(&[i64::MAX, 1])]).is_err());
    assert!(call("max", &[ints(&[])]).is_err());
    for (from, until) in [(-1, 1), (2, 1), (0, 4), (i64::MAX, i64::MAX)] {
        assert!(call("slice", &[ints(&[1, 2, 3]), from.into(), until.into()]).is_err());
    }
}

#[test]
fn nan_is_sorted_without_a_panic() {
    let mut items: Vec<Value<'_>> = (0..100).map(|item| Value::Double(f64::from(item % 7))).collect();
    items.extend(std::iter::repeat_n(Value::Double(f64::NAN), 30));
    items.reverse();
    assert!(call("sort", &[Value::list(items)]).is_ok());
}

#[test]
fn work_that_grows_faster_than_the_list_is_refused_before_it_is_done() {
    let long = || ints(&vec![1; 100_000]);
    let calls: [(&str, Vec<Value<'_>>); 6] = [
        ("sort", vec![long()]),
        ("distinct", vec![long()]),
        (":sets.contains", vec![long(), long()]),
        (":sets.equivalent", vec![long(), long()]),
        (":lists.range", vec![i64::MAX.into()]),
        ("flatten", vec![long(), i64::MAX.into()]),
    ];
    for (name, arguments) in calls {
        assert!(matches!(call(name, &arguments).unwrap_err(), EvalError::Cost(_)), "{name}");
    }
}

#[test]
fn a_list_in_itself_over_and_over_is_not_counted_to_its_end() {
    let mut shared = ints(&[1, 1]);
    for _ in 0..60 {
        shared = Value::list(vec![shared.clone(), shared]);
    }
    assert!(cost("reverse", &[shared.clone()]) < 100);
    assert!(super::elements_cost(&[shared], &Value::Null) > crate::EXPRESSION_LIMIT);
}

#[test]
fn costs_follow_kubernetes() {
    assert_eq!(cost("sort", &[ints(&[3, 1, 2])]), 29);
    assert_eq!(cost("sum", &[ints(&[3, 1, 2])]), 3);
    assert_eq!(cost(":sets.equivalent", &[ints(&[1, 1]), ints(&[1])]), 5);
    assert_eq!(cost(":lists.range", &[3.into()]), 14);
}
