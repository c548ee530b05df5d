//! What is JSON and what is not, with `serde_json` as the second opinion.

use proptest::prelude::*;
use serde_json::Value as Other;

use super::reader::INDEX_FROM;
use super::*;

fn accepts(text: &str) {
    let mut tape = Tape::new();
    if let Err(error) = tape.read(text.as_bytes()) {
        panic!("`{text}`: {error}");
    }
}

/// The error for a document: what is wrong, and where.
fn refusal(bytes: &[u8]) -> (String, usize) {
    match Tape::new().read(bytes) {
        Ok(value) => panic!("`{}` was read as {value:?}", bytes.escape_ascii()),
        Err(error) => (error.message.into_owned(), error.offset),
    }
}

#[test]
fn what_is_json_is_read() {
    for text in [
        "null",
        " \t\r\n true \n",
        "false",
        "0",
        "-0",
        "-0.0e-00",
        "1E+9",
        "1e400",
        "123456789012345678901234567890.5",
        "\"\"",
        r#""\"\\\/\b\f\n\r\t\u0000\u00e9\uD83D\uDE00""#,
        "\"\u{7f}\u{80}é漢😀\"",
        "[]",
        "[ ]",
        "{}",
        "{ }",
        "[1 , 2]",
        "[[],{}]",
        r#"{"":""}"#,
        r#"{"a":1,"a":2}"#,
        r#" { "a" : [ { "b" : null } ] } "#,
        "\"0123456\"",
        "\"01234567\"",
        "\"0123456789abcdef\"",
    ] {
        accepts(text);
    }
}

#[test]
fn what_is_not_is_refused_where_it_goes_wrong() {
    for (text, message, offset) in [
        (&b""[..], "the document is empty", 0),
        (b" \n ", "the document is empty", 3),
        (b"\xef\xbb\xbf{}", "expected a value", 0),
        (b"nul", "the document ends too early", 3),
        (b"nulL", "expected `true`, `false` or `null`", 0),
        (b"True", "expected a value", 0),
        (b"truetrue", "expected the end of the document", 4),
        (b"NaN", "expected a value", 0),
        (b"-Infinity", "expected a digit of a number", 1),
        (b"+1", "expected a value", 0),
        (b".5", "expected a value", 0),
        (b"01", "expected the end of the document", 1),
        (b"-", "the document ends too early", 1),
        (b"1.", "the document ends too early", 2),
        (b"1.e5", "expected a digit of a number", 2),
        (b"[1e]", "expected a digit of a number", 3),
        (b"1e+", "the document ends too early", 3),
        (b"0x10", "expected the end of the document", 1),
        (b"'a'", "expected a value", 0),
        (b"\"a", "the document ends too early", 2),
        (b"\"a\nb\"", "a control character in a text; write it as an escape", 2),
        (b"\"01234567\0\"", "a control character in a text; write it as an escape", 9),
        (b"\"\\n\x1f\"", "a control character in a text; write it as an escape", 3),
        (b"\"\\x41\"", "no such escape in a text", 1),
        (b"\"\\", "the document ends too early", 2),
        (b"\"\\u00", "the document ends too early", 5),
        (b"\"\\u00g0\"", "no such escape in a text", 1),
        (b"\"\\u+123\"", "no such escape in a text", 1),
        (b"\"\\ud800\"", "half a surrogate pair in a text", 1),
        (b"\"\\ud800\\n\"", "half a surrogate pair in a text", 1),
        (b"\"\\ud800\\ud800\"", "half a surrogate pair in a text", 1),
        (b"\"\\udc00\"", "half a surrogate pair in a text", 1),
        (b"[\"\xc3\x28\"]", "invalid UTF-8", 2),
        (b"\"\xed\xa0\x80\"", "invalid UTF-8", 1),
        (b"\"\xc0\xaf\"", "invalid UTF-8", 1),
        (b"\"\xf4\x90\x80\x80\"", "invalid UTF-8", 1),
        (b"\xff\xfe", "invalid UTF-8", 0),
        (b"[", "the document ends too early", 1),
        (b"[,]", "expected a value", 1),
        (b"[1,]", "expected a value", 3),
        (b"[1 2]", "expected `,` or `]`", 3),
        (b"[1}", "expected `,` or `]`", 2),
        (b"]", "expected a value", 0),
        (b"{", "the document ends too early", 1),
        (b"{1:2}", "expected a key in quotes", 1),
        (b"{a:2}", "expected a key in quotes", 1),
        (b"{\"a\"}", "expected `:` after a key", 4),
        (b"{\"a\" 1}", "expected `:` after a key", 5),
        (b"{\"a\":}", "expected a value", 5),
        (b"{\"a\":1,}", "expected a key in quotes", 7),
        (b"{\"a\":1]", "expected `,` or `}`", 6),
        (b"{\"a\":1,\"b\"", "the document ends too early", 10),
        (b"{} {}", "expected the end of the document", 3),
        (b"[]// note", "expected the end of the document", 2),
        (b"[1,\x0c2]", "expected a value", 3),
        (b"[\xc2\xa01]", "expected a value", 1),
        (b"[1]\0", "expected the end of the document", 3),
    ] {
        assert_eq!(refusal(text), (message.to_owned(), offset), "`{}`", text.escape_ascii());
    }
}

#[test]
fn an_error_tells_line_and_column() {
    for (text, expected) in [
        ("x", "expected a value at byte 0 (line 1, column 1)"),
        ("{\n  \"é\": x", "expected a value at byte 10 (line 2, column 8)"),
        ("[\n\n", "the document ends too early at byte 3 (line 3, column 1)"),
    ] {
        assert_eq!(Tape::new().read(text.as_bytes()).map(Value::kind).unwrap_err().to_string(), expected);
    }
}

#[test]
fn depth_is_bounded_and_needs_no_stack() {
    let nested = |open: &str, inner: &str, close: &str, depth| open.repeat(depth) + inner + &close.repeat(depth);
    for depth in [1, 127, 128, 500, MAX_DEPTH] {
        accepts(&nested("[", "", "]", depth));
        accepts(&nested("{\"a\":", "1", "}", depth));
    }
    for (open, inner, close) in [("[", "", "]"), ("{\"a\":", "1", "}"), ("[{\"a\":", "1", "}]")] {
        for depth in [MAX_DEPTH + 1, 10_000] {
            let (message, offset) = refusal(nested(open, inner, close, depth).as_bytes());
            assert_eq!(message, "nested deeper than 1000 levels");
            assert!(offset <= open.len() * MAX_DEPTH, "{offset}");
        }
    }
    let mut tape = Tape::new();
    for open in ["[", "{\"a\":", "[[],"] {
        let bytes = open.repeat((8 << 20) / open.len());
        assert!(tape.read(bytes.as_bytes()).is_err());
        assert!(tape.nodes.len() <= 4 * MAX_DEPTH, "it went on after the limit");
    }
}

#[test]
fn what_a_tape_takes_is_bounded() {
    let mut tape = Tape::new();
    for (entry, refused) in [("[],", true), ("{},", true), ("0,", false), ("\"\",", false), ("[[],[]],", true)] {
        let mut text = String::from("[");
        text.push_str(&entry.repeat((8 << 20) / entry.len()));
        text.push_str("0]");
        let outcome = tape.read(text.as_bytes()).map(Value::kind);
        // 8 MiB of `0,` are one more value than there may be.
        let refused = refused || entry == "0,";
        assert_eq!(outcome.is_err(), refused, "`{entry}`");
        if let Err(error) = outcome {
            assert!(error.message.contains("more than 4194304"), "{error}");
        }
        assert!(tape.nodes.len() <= MAX_NODES + MAX_DEPTH);
    }
    tape.shrink();
    assert!(tape.nodes.capacity() <= 2 * KEPT_NODES);
    // The tape of what the API server sends is not larger than the document.
    accepts(r#"{"f:a":{},"f:b":{}}"#);
    let managed = format!("{{{}\"z\":0}}", "\"f:annotations\":{},".repeat(1000));
    tape.read(managed.as_bytes()).unwrap();
    assert!(tape.nodes.len() * size_of::<Node>() <= 2 * managed.len());
}

#[test]
fn a_tape_is_used_again() {
    let mut tape = Tape::new();
    assert!(tape.read(b"[1,[2,{\"a\":").is_err());
    assert_eq!(tape.read(b"[true]").unwrap().items().count(), 1);
    assert!(tape.read(b"\xff").is_err());
    assert_eq!(tape.read(b"{\"a\":\"b\"}").unwrap().get("a").unwrap().raw(), b"\"b\"");
}

#[test]
fn values_are_what_they_are() {
    let mut tape = Tape::new();
    let text = r#" {"n":null,"t":true,"f":false,"i":-12,"big":1e400,"s":"a","e":"\u00e9\n\ud83d\ude00","l":[1, [] ],"m":{"x":{}}} "#;
    let root = tape.read(text.as_bytes()).unwrap();
    let get = |key: &str| root.get(key).unwrap();
    assert_eq!(root.kind(), Kind::Map);
    assert!(get("n").is_null() && !get("t").is_null());
    assert_eq!((get("t").bool(), get("f").bool(), get("n").bool()), (Some(true), Some(false), None));
    assert_eq!((get("i").number(), get("i").f64()), (Some("-12"), Some(-12.0)));
    assert_eq!((get("big").number(), get("big").f64()), (Some("1e400"), None));
    assert_eq!((get("s").number(), get("s").f64(), get("i").text().map(|text| text.to_cow())), (None, None, None));
    assert_eq!(get("s").text().unwrap().to_cow(), "a");
    assert_eq!(get("e").text().unwrap().to_cow(), "é\n😀");
    assert!(get("e").text().unwrap().is("é\n😀") && !get("e").text().unwrap().is("é\n"));
    for (key, raw) in [
        ("n", "null"),
        ("f", "false"),
        ("i", "-12"),
        ("e", r#""\u00e9\n\ud83d\ude00""#),
        ("l", "[1, [] ]"),
        ("m", r#"{"x":{}}"#),
    ] {
        assert_eq!(get(key).raw(), raw.as_bytes());
    }
    assert_eq!(root.raw(), text.trim().as_bytes());
    assert_eq!(root.entries().count(), 9);
    assert_eq!((get("l").items().count(), get("l").entries().count()), (2, 0));
    assert_eq!((get("m").items().count(), get("s").items().count(), get("s").entries().count()), (0, 0, 0));
    assert!(root.get("x").is_none() && get("l").get("0").is_none() && get("s").get("a").is_none());
    assert!(!format!("{root:?} {:?}", get("s").text()).contains('"'), "a client's text is shown");
}

#[test]
fn the_last_of_several_keys_counts_and_escapes_do_not() {
    let mut tape = Tape::new();
    for text in
        [r#"{"a":1,"a":2}"#, r#"{"a":1,"\u0061":2}"#, r#"{"\u0061":{"a":3},"a":2}"#, r#"{"a":[1],"b":{"a":4},"a":2}"#]
    {
        assert_eq!(tape.read(text.as_bytes()).unwrap().get("a").unwrap().number(), Some("2"), "{text}");
    }
}

#[test]
fn pointers_point() {
    let mut tape = Tape::new();
    let text = r#"{"a":{"b":[10,{"c":11}],"":12},"x/y":13,"m~n":14,"0":15,"~1":16}"#;
    let root = tape.read(text.as_bytes()).unwrap();
    for (pointer, expected) in [
        ("/a/b/0", Some("10")),
        ("/a/b/1/c", Some("11")),
        ("/a/", Some("12")),
        ("/x~1y", Some("13")),
        ("/m~0n", Some("14")),
        ("/0", Some("15")),
        ("/~01", Some("16")),
        ("/a/b/2", None),
        ("/a/b/00", None),
        ("/a/b/01", None),
        ("/a/b/-1", None),
        ("/a/b/+1", None),
        ("/a/b/-", None),
        ("/a/b/99999999999999999999999999", None),
        ("a", None),
        ("/x", None),
        ("/0/0", None),
    ] {
        assert_eq!(root.pointer(pointer).and_then(Value::number), expected, "{pointer}");
    }
    assert_eq!(root.pointer("").unwrap().kind(), Kind::Map);
}

/// Many keys, some of them escaped and some there twice: the same is found with an index as without.
#[test]
fn large_maps_are_found_through_their_index() {
    for count in [INDEX_FROM - 1, INDEX_FROM, INDEX_FROM + 1, 5 * INDEX_FROM] {
        let entry = |n: usize| match n % 3 {
            0 => format!("\"key{n}\":{{\"n\":[{n}]}}"),
            1 => format!("\"k\\u0065y{n}\":{{\"n\":[{n}]}}"),
            _ => format!("\"key{n}\":[],\"other\":[{n}],\"key{n}\":{{\"n\":[{n}]}}"),
        };
        let entries: Vec<_> = (0..count).map(entry).collect();
        let text = format!("[{{\"inner\":{{{}}},\"after\":true}}]", entries.join(","));
        let mut tape = Tape::new();
        let root = tape.read(text.as_bytes()).unwrap();
        let inner = root.pointer("/0/inner").unwrap();
        for n in 0..count {
            let found = inner.get(&format!("key{n}")).and_then(|value| value.pointer("/n/0"));
            assert_eq!(found.and_then(Value::number), Some(&*n.to_string()), "{n} of {count}");
        }
        let last = (0..count).rfind(|n| n % 3 == 2).unwrap();
        assert_eq!(inner.pointer("/other/0").and_then(Value::number), Some(&*last.to_string()));
        assert!(inner.get("missing").is_none() && inner.get("key").is_none());
        assert_eq!(inner.entries().count(), count + 2 * (0..count).filter(|n| n % 3 == 2).count());
        assert_eq!(root.pointer("/0/after").unwrap().bool(), Some(true));
        assert_eq!(root.pointer("/0").unwrap().entries().count(), 2);
        let end = inner.raw();
        assert!(end.starts_with(b"{") && end.ends_with(b"]}}"));
    }
}

/// Counted in nodes that are looked at this would be 10^12: it would not end.
#[test]
fn a_key_that_stands_there_often_is_found_at_once() {
    let count = 1_000_000;
    let text = format!("{{{}\"a\":1}}", "\"a\":0,".repeat(count));
    let mut tape = Tape::new();
    let root = tape.read(text.as_bytes()).unwrap();
    for _ in 0..count {
        assert_eq!(root.get("a").and_then(Value::number), Some("1"));
    }
}

/// A value as `serde_json` would have it. Goes through entries and items; what `get` finds must be the same.
fn convert(value: Value<'_>) -> Other {
    match value.kind() {
        Kind::Null => Other::Null,
        Kind::Bool => Other::Bool(value.bool().unwrap()),
        Kind::Number => serde_json::from_str(value.number().unwrap()).unwrap(),
        Kind::Text => Other::String(value.text().unwrap().to_cow().into_owned()),
        Kind::List => {
            let items: Vec<_> = value.items().map(convert).collect();
            for (place, item) in items.iter().enumerate() {
                assert_eq!(&convert(value.pointer(&format!("/{place}")).unwrap()), item);
            }
            Other::Array(items)
        }
        Kind::Map => {
            let map: serde_json::Map<_, _> =
                value.entries().map(|(key, value)| (key.to_cow().into_owned(), convert(value))).collect();
            for (key, expected) in &map {
                assert_eq!(&convert(value.get(key).unwrap()), expected);
            }
            Other::Object(map)
        }
    }
}

/// What both readers make of some bytes must be the same, but for numbers that only one of them converts.
fn compare(bytes: &[u8]) {
    let mut tape = Tape::new();
    match (tape.read(bytes), serde_json::from_slice::<Other>(bytes)) {
        (Ok(value), Ok(other)) => {
            assert_eq!(serde_json::from_slice::<Other>(value.raw()).unwrap(), other);
            assert_eq!(convert(value), other);
        }
        (Err(_), Err(_)) => {}
        (Ok(_), Err(error)) => {
            assert!(error.to_string().starts_with("number out of range"), "accepted, though: {error}")
        }
        (Err(error), Ok(_)) => panic!("refused `{}`: {error}", bytes.escape_ascii()),
    }
}

const TOKENS: [&str; 48] = [
    "{",
    "{",
    "}",
    "}",
    "[",
    "[",
    "]",
    "]",
    ":",
    ":",
    ":",
    ",",
    ",",
    ",",
    "\"a\"",
    "\"b\"",
    "\"a\":",
    "\"\":",
    "\"\\u0061\"",
    "\"\\\"\"",
    "\"\\ud83d\\ude00\"",
    "\"\\ud800\"",
    "\"\\udc00\"",
    "\"long enough for two words\"",
    "\"é\"",
    "0",
    "-1",
    "1.5",
    "01",
    "1.",
    "1e5",
    "1E-2",
    "1e400",
    "-",
    "18446744073709551616",
    "true",
    "false",
    "null",
    "nul",
    " ",
    "\n",
    "\t",
    "\r",
    "\"",
    "\\",
    "\u{1}",
    "\u{a0}",
    "/",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_as_serde_json_reads_them(bytes: Vec<u8>) {
        compare(&bytes);
    }

    #[test]
    fn any_tokens_are_read_as_serde_json_reads_them(tokens in prop::collection::vec(prop::sample::select(&TOKENS[..]), 0..12)) {
        compare(tokens.concat().as_bytes());
    }

    #[test]
    fn any_text_in_quotes_is_read_as_serde_json_reads_it(text in r#"([ -~é\n]|\\["\\/bfnrtu]|\\u[dD][89abcC][0-9]{2}|\\u00[0-9a-f]{2}){0,20}"#) {
        compare(format!("[\"{text}\"]").as_bytes());
    }

    #[test]
    fn documents_with_a_changed_byte_are_read_as_serde_json_reads_them(
        document in documents(),
        pretty: bool,
        place: prop::sample::Index,
        byte in prop::sample::select(&b"{}[]:,\"\\ 0\x01\xff"[..]),
        change: bool,
    ) {
        let written = if pretty { serde_json::to_vec_pretty(&document) } else { serde_json::to_vec(&document) };
        let mut bytes = written.unwrap();
        compare(&bytes);
        if change {
            let place = place.index(bytes.len());
            bytes[place] = byte;
            compare(&bytes);
            compare(&bytes[..place]);
        }
    }
}

fn documents() -> impl Strategy<Value = Other> {
    let leaf = prop_oneof![
        Just(Other::Null),
        any::<bool>().prop_map(Other::Bool),
        any::<i64>().prop_map(Other::from),
        any::<f64>().prop_map(Other::from),
        ".{0,20}".prop_map(Other::String),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Other::Array),
            prop::collection::vec(("(.{0,10}|[ab])", inner), 0..8).prop_map(|entries| entries.into_iter().collect()),
        ]
    })
}
