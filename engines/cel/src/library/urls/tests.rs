//! Tests of URLs. What they come to is what Go 1.26 gives.

use super::check;
use super::url::Url;

#[test]
fn tells_urls_from_what_is_none() {
    for text in [
        "/a",
        "http://a",
        "http://[::1]:80/",
        "mailto:a@b",
        "*",
        "/x#f",
        "http://u:p@h:80/p",
        "http://[fe80::1%25en0]/",
    ] {
        assert_eq!(check(text), Ok(()), "{text}");
    }
    let refused = [
        "",
        "a",
        ":a",
        "1a:b",
        "/a%4g",
        "/a\u{1}",
        "http://a b/",
        "http://a:b/",
        "http://a:80:90/",
        "http://[::1",
        "http://[1.2.3.4]/",
        "http://a#f",
        "http://a%41/",
    ];
    for text in refused {
        assert!(check(text).is_err(), "{text}");
    }
}

#[test]
fn takes_urls_apart() {
    let url = Url::parse("HTTPS://u:p@Example.com:443/a%2fb?x=1&y=2&x=%20+&k=%zz&a;b#f").unwrap();
    assert_eq!(
        (url.scheme.as_str(), url.host.as_str(), url.hostname(), url.port()),
        ("https", "Example.com:443", "Example.com", "443")
    );
    assert_eq!(url.escaped_path, "/a%2fb");
    let query: Vec<_> = url.query().collect();
    let expected = [("x", "1"), ("y", "2"), ("x", "  ")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(query, expected);
    let url = Url::parse("http://[::1]:80/").unwrap();
    assert_eq!((url.host.as_str(), url.hostname(), url.port()), ("[::1]:80", "::1", "80"));
}

#[test]
fn a_query_of_too_many_pairs_is_empty() {
    let url = Url::parse(&format!("/?{}", "a=1&".repeat(10_000))).unwrap();
    assert_eq!(url.query().count(), 0);
}
