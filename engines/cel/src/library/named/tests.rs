//! Tests of the named formats.

use crate::library::testing::{call, cost};
use crate::value::Value;

fn is_valid(format: &str, text: &str) -> bool {
    let format = call(&format!(":format.{format}"), &[]).unwrap();
    matches!(call("validate", &[format, Value::text(text.to_owned())]).unwrap(), Value::Optional(None))
}

#[test]
fn checks_texts() {
    let long = "a".repeat(64);
    let table: &[(&str, &[&str], &[&str])] = &[
        ("dns1123Label", &["a", "1a", "a-b"], &["", "A", "-a", "a-", "a.b", "ok\n", &long]),
        ("dns1123Subdomain", &["a.b", "1.2"], &["", "a..b", ".a", "a_b"]),
        ("dns1035Label", &["a1"], &["1a", ""]),
        ("dns1123LabelPrefix", &["a-", "a--"], &["-", "--a", "\u{e9}-"]),
        ("qualifiedName", &["a", "A_b.c", "x.y/Z"], &["", "/a", "a/", "a/b/c", "X/a"]),
        ("labelValue", &["", "a", "A.b"], &["-", "a-", &long]),
        (
            "uuid",
            &["123e4567-e89b-12d3-a456-426614174000", "123E4567E89B12D3A456426614174000"],
            &["", "123e4567--e89b-12d3-a456-426614174000"],
        ),
        ("byte", &["aa==", "aaa=", "aaaa"], &["", "a===", "aaa", "=aaa", "aa=a", "a-_="]),
        ("date", &["2020-02-29", "0000-02-29"], &["2021-02-29", "1900-02-29", "2020-1-01", "2020-00-01", ""]),
        (
            "datetime",
            &["2021-01-01T00:00:00Z", "2021-01-01t23:59:59.5+01:00"],
            &["2021-01-01T24:00:00Z", "2021-01-01 00:00:00Z", "2021-01-01T00:00:00"],
        ),
        ("uri", &["/a", "http://a"], &["", "a"]),
    ];
    for (format, good, bad) in table {
        for text in *good {
            assert!(is_valid(format, text), "{format} {text}");
        }
        for text in *bad {
            assert!(!is_valid(format, text), "{format} {text}");
        }
    }
}

#[test]
fn costs_a_search() {
    let format = call(":format.dns1123Label", &[]).unwrap();
    assert_eq!(cost("validate", &[format, Value::text("A_b")]), 8);
}

#[test]
fn unknown_names_have_no_format() {
    assert!(matches!(call(":format.named", &[Value::text("dns1123label")]).unwrap(), Value::Optional(None)));
    assert!(matches!(call(":format.named", &[Value::text("uuid")]).unwrap(), Value::Optional(Some(_))));
}
