//! Tests of `format`.

use super::number::{fixed, scientific, shortest};
use crate::error::EvalError;
use crate::library::testing::call;
use crate::value::Value;

fn format(pattern: &str, items: Vec<Value<'_>>) -> Result<String, EvalError> {
    Ok(call("format", &[Value::text(pattern.to_owned()), Value::list(items)])?.as_text().unwrap().to_owned())
}

#[test]
fn writes_numbers_as_the_api_server_does() {
    for (value, expected) in [
        (0.125, "0.12"),
        (0.375, "0.38"),
        (2.5, "2.50"),
        (1_234_567.891, "1,234,567.89"),
        (-0.0, "0.00"),
        (f64::NAN, "NaN"),
        (f64::INFINITY, "∞"),
    ] {
        assert_eq!(fixed(value, 2), expected);
    }
    for (value, expected) in [
        (1_234_567.891, "1.234568×10⁰⁶"),
        (0.000_123_456, "1.234560×10⁻⁰⁴"),
        (1e300, "1.000000×10³⁰⁰"),
        (f64::NEG_INFINITY, "    -∞"),
    ] {
        assert_eq!(scientific(value, 6), expected);
    }
    for (value, expected) in
        [(1.0, "1"), (1e6, "1e+06"), (100_000.0, "100000"), (1.5e-7, "1.5e-07"), (0.0001, "0.0001"), (-0.0, "-0")]
    {
        assert_eq!(shortest(value), expected);
    }
}

#[test]
fn writes_values_in_lists_as_literals() {
    let list = Value::list(vec![
        Value::Double(1.5),
        Value::text("a\n"),
        Value::Null,
        Value::Duration(-1_000_000),
        Value::UInt(1),
    ]);
    assert_eq!(format("%s", vec![list]).unwrap(), r#"[1.500000, "a\n", null, duration("-0.001s"), 1]"#);
}

#[test]
fn takes_clauses_apart() {
    assert_eq!(format("%d%% of %s, %X", vec![5.into(), Value::text("x"), (-255).into()]).unwrap(), "5% of x, -FF");
    for pattern in ["%", "%q", "%.", "%.3", "%.x", "%5d", "%s%s", "%.9999999999999999999999f", "%日"] {
        assert!(format(pattern, vec![1.into()]).is_err(), "{pattern}");
    }
}

#[test]
fn wide_results_are_bounded() {
    let widths = vec![Value::Double(1.0); 100];
    assert_eq!(format(&"%.1000000e".repeat(100), widths).unwrap_err(), EvalError::Memory);
}

#[test]
fn deep_values_do_not_recurse() {
    let mut deep = Value::list(Vec::new());
    for _ in 0..1000 {
        deep = Value::list(vec![deep]);
    }
    assert_eq!(format("%s", vec![deep]).unwrap().len(), 2002);
}
