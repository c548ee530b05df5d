#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Deserialize;

use super::build::{MAX_DEPTH, MAX_FILE_BYTES, MAX_FLOW_CHARS, MAX_NODES};
use super::*;

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Ship {
    name: String,
    #[serde(default)]
    crew: Vec<Member>,
    speed: Option<u8>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Member {
    role: Role,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Role {
    Pilot,
    Gunner,
}

fn one(text: &str) -> Node {
    Node::load("f.yaml", text.as_bytes()).unwrap().into_iter().next().unwrap()
}

fn refused(text: impl AsRef<[u8]>) -> String {
    match Node::load("f.yaml", text.as_ref()) {
        Ok(_) => panic!("not refused: {:.80}", String::from_utf8_lossy(text.as_ref())),
        Err(error) => error.to_string(),
    }
}

fn read_error(text: &str) -> String {
    one(text).read::<Ship>(Dialect::Cilium).unwrap_err().to_string()
}

#[test]
fn typed_values_are_read() {
    let ship = one("name: x-wing\ncrew: [{role: pilot}]\nspeed: 7\n").read::<Ship>(Dialect::Strict).unwrap();
    assert_eq!(ship, Ship { name: "x-wing".to_owned(), crew: vec![Member { role: Role::Pilot }], speed: Some(7) });
    let json = one(r#"{"name": "x\u00e9\ud83d\ude80\n", "speed": null}"#).read::<Ship>(Dialect::Cilium).unwrap();
    assert_eq!((json.name.as_str(), json.speed), ("xé🚀\n", None));
    let pairs = Node::from_pairs(&Place::whole("wire"), [("name", "tie")]);
    assert_eq!(pairs.read::<Ship>(Dialect::Strict).unwrap().name, "tie");
}

#[test]
fn errors_say_where_and_what_would_be_right() {
    let rows = [
        (
            "name: a\ncrew:\n- role: cook\n",
            "f.yaml:3:9: crew[0].role: `cook` is not known here; allowed are `pilot`, `gunner`",
        ),
        ("name: a\nsped: 1\n", "f.yaml:2:1: unknown field `sped`; allowed are `name`, `crew`, `speed`"),
        ("crew: []\n", "f.yaml:1:1: the field `name` is missing"),
        ("name: 80\n", "f.yaml:1:7: name: wanted text, found the number `80`; put it in quotes"),
        ("name: [a]\n", "f.yaml:1:7: name: wanted a string, found a list"),
        ("name: a\nspeed: 300\n", "f.yaml:2:8: speed: wanted u8, found integer `300`"),
        ("[a, b]", "f.yaml:1:1: wanted a map, found a list; leave out the `-` or the brackets around it"),
        (
            "name: a\ncrew: {role: pilot}\n",
            "f.yaml:2:7: crew: wanted a list, found a map; put `- ` before it, or brackets around it",
        ),
        ("{\"name\": \"a\",\n \"crew\": [{}]}", "f.yaml:2:11: crew[0]: the field `role` is missing"),
    ];
    for (text, wanted) in rows {
        assert_eq!(read_error(text), wanted, "{text}");
    }
}

#[test]
fn a_null_is_the_empty_text_only_in_the_dialect_of_cilium() {
    let node = one("name:\n");
    assert_eq!(node.read::<Ship>(Dialect::Cilium).unwrap().name, "");
    assert_eq!(
        node.read::<Ship>(Dialect::Strict).unwrap_err().to_string(),
        "f.yaml:1:5: name: wanted a string, found nothing (null)"
    );
    let error = one("name: a\nspeed: ~\n").read::<Ship>(Dialect::Strict).unwrap_err().to_string();
    assert_eq!(error, "f.yaml:2:8: speed: a null; write a value, or leave the field out");
}

#[test]
fn scalars_follow_the_core_schema() {
    let rows = [
        ("~", "Null"),
        ("null", "Null"),
        ("true", "Bool(true)"),
        ("yes", "Text(\"yes\")"),
        ("'true'", "Text(\"true\")"),
        ("12", "Integer(12)"),
        ("-0x10", "Text(\"-0x10\")"),
        ("0x10", "Integer(16)"),
        ("1.5", "Float(1.5)"),
        ("1e3", "Float(1000.0)"),
        ("nan", "Text(\"nan\")"),
        ("1.2.3", "Text(\"1.2.3\")"),
        ("1_000", "Text(\"1_000\")"),
        ("10.0.0.0/8", "Text(\"10.0.0.0/8\")"),
    ];
    for (text, wanted) in rows {
        assert_eq!(
            format!("{:?}", one(&format!("[{text}]")).value).split("value: ").nth(1).unwrap().trim_end_matches(" }])"),
            wanted
        );
    }
}

#[test]
fn documents_are_several_and_empty_ones_are_left_out() {
    let load = |text: &str| Node::load("f", text.as_bytes()).unwrap().len();
    assert_eq!(
        (load(""), load("# nothing\n"), load("---\n---\na: 1\n...\n---\nb: 2\n"), load("{\"a\":1}\n{\"b\":2}")),
        (0, 0, 2, 2)
    );
    assert_eq!(load("{a: b}"), 1);
    assert_eq!(load("\u{feff}a: b"), 1);
}

#[test]
fn what_yaml_should_not_do_is_refused() {
    let rows: &[(&[u8], &str)] = &[
        (b"a: 1\nb: 2\na: 3\n", "f.yaml:3:1: the key `a` stands here a second time"),
        (b"{\"a\": 1, \"a\": 2}", "f.yaml:1:10: the key `a` stands here a second time"),
        (b"a: &x [1]\nb: *x\n", "f.yaml:2:4: aliases (`*name`) are not supported"),
        (b"a: {<<: {b: c}}\n", "f.yaml:1:5: merge keys (`<<`) are not supported"),
        (b"a: !!binary aGk=\n", "f.yaml:1:"),
        (b"[a]: b\n", "f.yaml:1:1: a key must be text"),
        (b": b\n", "f.yaml:1:1: a key is missing"),
        (b"a: b\0\n", "f.yaml:1:5: a NUL byte"),
        (b"a: \"b\\0\"\n", "f.yaml:1:4: the text holds a NUL"),
        (b"a: b\nc: \xff\n", "f.yaml:2:4: invalid UTF-8"),
        (b"a: [b\n", "f.yaml:"),
        (b"a: b: c\n", "f.yaml:1:"),
    ];
    for (text, wanted) in rows {
        let error = refused(text);
        assert!(error.starts_with(wanted) && !error.contains('\n'), "{error}\nis not\n{wanted}");
    }
}

#[test]
fn json_faults_have_places() {
    let padding = format!("\"{}\"", "x".repeat(MAX_FLOW_CHARS));
    for (text, wanted) in [
        (format!("[{padding},\n  tru]"), "f.yaml:2:6: not JSON: `tru` is not a value"),
        (format!("[{padding},\n  1 2]"), "f.yaml:2:5: not JSON: wanted `,` or `]`"),
        (format!("{{{padding}:\n1,}}"), "f.yaml:2:3: not JSON: wanted a key in quotes"),
        (format!("[{padding}"), "f.yaml:1:262148: not JSON: wanted `,` or `]`"),
        (format!("[{padding}, \"\\ud800\"]"), "f.yaml:1:262158: not JSON: half of a surrogate pair"),
    ] {
        assert_eq!(refused(&text), wanted);
    }
}

#[test]
fn hostile_files_are_refused_within_bounds() {
    let deep = 100_000;
    let message = format!("more than {MAX_DEPTH} lists and maps within each other");
    for text in [
        "[".repeat(deep),
        "{\"a\":".repeat(deep),
        "- ".repeat(deep),
        "a: [".repeat(deep),
        "? ".repeat(deep),
        "{a: ".repeat(50_000),
    ] {
        let error = refused(&text);
        assert!(error.len() < 300, "{error}");
        let limit =
            ["recursion limit", &message, "not YAML", "a key must be text"].iter().any(|wanted| error.contains(wanted));
        assert!(limit, "{:?}: {error}", &text[..10]);
    }
    let nested: String = (0..deep / 100).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
    assert!(refused(&nested).contains(&message));
    assert!(refused(format!("- [{}]", "1,".repeat(MAX_FLOW_CHARS))).contains("block style, or the file as JSON"));
    assert!(refused("- a\n".repeat(MAX_NODES + 1)).contains("values; split it"));
    assert!(refused(vec![b'a'; MAX_FILE_BYTES + 1]).contains("more than 16777216; split it"));
    let laughs: String = (1..30).map(|n| format!("a{n}: &a{n} [*a{0}, *a{0}]\n", n - 1)).collect();
    assert!(refused(format!("a0: &a0 x\n{laughs}")).contains("aliases"));
}

#[test]
fn a_large_file_in_json_or_block_style_is_read() {
    let block: String = (0..20_000).map(|n| format!("- {{name: ship-{n}, crew: [{{role: pilot}}]}}\n")).collect();
    let ships: Vec<Ship> = one(&block).read(Dialect::Strict).unwrap();
    assert_eq!(ships.len(), 20_000);
    let items: Vec<_> = (0..20_000).map(|n| format!("{{\"name\": \"ship-{n}\"}}")).collect();
    let ships: Vec<Ship> = one(&format!("[{}]", items.join(","))).read(Dialect::Strict).unwrap();
    assert_eq!(ships.len(), 20_000);
}

/// What serde_json makes of it, as a tree to compare with.
fn plain(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Integer(value) => (*value).into(),
        Value::Float(value) => (*value).into(),
        Value::Text(text) => text.as_str().into(),
        Value::List(items) => items.iter().map(plain).collect(),
        Value::Map(entries) => entries.iter().map(|entry| (entry.key.clone(), plain(&entry.value))).collect(),
    }
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let text = prop_oneof!["[a-z:#'\"\\\\ \\-]{0,6}", "\\PC{0,4}"];
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        text.clone().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            proptest::collection::btree_map(text.clone().prop_filter("merge key", |key| key != "<<"), inner, 0..5)
                .prop_map(|map: BTreeMap<_, _>| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn json_is_read_as_by_others(value in json(), pretty in any::<bool>()) {
        let value = serde_json::json!({ "value": value });
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        prop_assert_eq!(plain(&one(&text.unwrap())), value);
    }

    /// A parser that panics or hangs on some file would take the process with it.
    #[test]
    fn any_text_is_read_or_refused(text in "([-?:,\\[\\]{}#&*!|>'\"%@`]|[ab]|\n| |\t|---|\\.\\.\\.|é){0,60}") {
        let _ = Node::load("f", text.as_bytes());
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        let _ = Node::load("f", &bytes);
    }
}
