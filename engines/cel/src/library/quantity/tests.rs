//! Tests of quantities. What they come to is what Kubernetes 1.37 gives.

use super::Quantity;
use super::number::QuantityError;
use crate::library::testing::{call, cost};
use crate::value::Value;

#[test]
fn reads_what_kubernetes_reads() {
    let table: &[(&str, Result<f64, QuantityError>)] = &[
        ("1", Ok(1.0)),
        ("+", Ok(0.0)),
        (".", Ok(0.0)),
        (".5", Ok(0.5)),
        ("1.", Ok(1.0)),
        ("1.5Gi", Ok(1_610_612_736.0)),
        ("1e3", Ok(1000.0)),
        ("1E", Ok(1e18)),
        ("-0.1n", Ok(-1e-9)),
        ("9Ei", Ok(9_223_372_036_854_775_807.0)),
        ("1e400", Ok(f64::INFINITY)),
        ("", Err(QuantityError::Format)),
        (" 1", Err(QuantityError::Format)),
        ("1K", Err(QuantityError::Suffix)),
        ("E-37", Err(QuantityError::Number)),
        ("1e", Err(QuantityError::Suffix)),
        ("1KiB", Err(QuantityError::Format)),
        ("1e3.5", Err(QuantityError::Format)),
        ("--1", Err(QuantityError::Suffix)),
        ("1\u{e9}", Err(QuantityError::Format)),
    ];
    for (text, expected) in table {
        assert_eq!(Quantity::parse(text).map(|quantity| quantity.as_float()), *expected, "{text}");
    }
}

#[test]
fn is_an_integer_only_in_its_short_form() {
    for (text, expected) in [("1k", Some(1000)), ("1500m", None), ("1Pi", None), ("5e1", Some(50)), ("0e999", Some(0))]
    {
        assert_eq!(Quantity::parse(text).unwrap().as_integer(), expected, "{text}");
    }
}

#[test]
fn exponents_without_end_cost_nothing() {
    let (huge, tiny) = (Quantity::parse("1e2147483647").unwrap(), Quantity::parse("1e-2147483647").unwrap());
    assert_eq!(huge.compare(&tiny), std::cmp::Ordering::Greater);
    assert_eq!(tiny.as_float(), 1e-9, "what is too small is rounded up");
    assert_eq!(huge.add(&tiny).unwrap_err(), QuantityError::Digits);
}

#[test]
fn one_that_is_too_long_is_still_one() {
    let text = "9".repeat(2000);
    assert_eq!(call(":isQuantity", &[Value::text(text.clone())]).unwrap().as_bool(), Some(true));
    assert!(call(":quantity", &[Value::text(text)]).is_err());
}

#[test]
fn sums_carry_and_borrow() {
    let sum = |left: &str, right: &str| Quantity::parse(left).unwrap().add(&Quantity::parse(right).unwrap()).unwrap();
    let same = |left: Quantity, right: &str| left.compare(&Quantity::parse(right).unwrap()).is_eq();
    assert!(same(sum("99999999999999999999", "1"), "100000000000000000000"));
    assert!(same(sum("100000000000000000000", "-1"), "99999999999999999999"));
    assert!(same(sum("1Ei", "-1Ei"), "0"));
    assert!(same(sum("1G", "1n"), "1000000000000000001n"));
}

#[test]
fn costs_a_tenth_of_the_text() {
    assert_eq!(cost(":quantity", &[Value::text("12345678901")]), 2);
}
