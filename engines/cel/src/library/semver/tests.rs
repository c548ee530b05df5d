//! Tests of versions.

use std::cmp::Ordering;

use super::Version;

#[test]
fn reads_versions() {
    for text in ["1.2.3", "1.2.3-a.b+c", "0.0.0", "1.2.3--", "18446744073709551615.0.0"] {
        assert!(Version::parse(text).is_ok(), "{text}");
    }
    for text in [
        "",
        "1.2",
        "v1.2.3",
        "01.2.3",
        "1.2.3-01",
        "1.2.3-",
        "1.2.3+",
        "1.2.3-a..b",
        "1.2.3+α",
        "18446744073709551616.0.0",
    ] {
        assert!(Version::parse(text).is_err(), "{text}");
    }
}

#[test]
fn puts_versions_in_order_before_reading_them() {
    for (text, numbers) in [("v1", [1, 0, 0]), ("01.02", [1, 2, 0]), ("000.0.1-rc", [0, 0, 1]), ("00", [0, 0, 0])] {
        assert_eq!(Version::parse_normalized(text).unwrap().numbers, numbers, "{text}");
    }
    for text in ["V1", "1-a", "vv1", "1.2+a", ""] {
        assert!(Version::parse_normalized(text).is_err(), "{text}");
    }
}

#[test]
fn orders_versions() {
    let ascending = [
        "1.2.3-1",
        "1.2.3-2",
        "1.2.3-A",
        "1.2.3-a",
        "1.2.3-a.1",
        "1.2.3-a.2",
        "1.2.3-a.10",
        "1.2.3-b",
        "1.2.3",
        "1.3.0",
        "10.0.0",
    ];
    for pair in ascending.windows(2) {
        let [left, right] = [pair[0], pair[1]].map(|text| Version::parse(text).unwrap());
        assert_eq!(left.compare(&right), Ordering::Less, "{pair:?}");
    }
    let [left, right] = ["1.0.0+a", "1.0.0+b"].map(|text| Version::parse(text).unwrap());
    assert_eq!(left.compare(&right), Ordering::Equal);
}
