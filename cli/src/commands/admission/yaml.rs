//! Objects as YAML that YAML 1.1 (kubectl) and 1.2 read alike: what either could take for something else than text is quoted.

use std::fmt::Write;

use serde_json::{Map, Value};

/// One document. What an object is comes first, the rest in the order of the names: the same object gives the same text.
pub(super) fn write(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => write_map(&mut out, map, 0),
        Value::Array(items) if !items.is_empty() => write_list(&mut out, items, 0),
        scalar => {
            write_scalar(&mut out, scalar, 0);
            out.push('\n');
        }
    }
    out
}

/// Several documents, for one file.
pub(super) fn write_all<'a>(values: impl IntoIterator<Item = &'a Value>) -> String {
    values.into_iter().map(write).collect::<Vec<_>>().join("---\n")
}

fn write_map(out: &mut String, map: &Map<String, Value>, indent: usize) {
    for (nth, (key, value)) in in_order(map).into_iter().enumerate() {
        if nth > 0 {
            push_indent(out, indent);
        }
        write_text(out, key, None);
        out.push(':');
        write_value(out, value, indent);
    }
}

/// After a key: on the same line, or below it.
fn write_value(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            push_indent(out, indent + STEP);
            write_map(out, map, indent + STEP);
        }
        // As kubectl writes them: no further in than the key.
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            push_indent(out, indent);
            write_list(out, items, indent);
        }
        scalar => {
            out.push(' ');
            write_scalar(out, scalar, indent + STEP);
            out.push('\n');
        }
    }
}

fn write_list(out: &mut String, items: &[Value], indent: usize) {
    for (nth, item) in items.iter().enumerate() {
        if nth > 0 {
            push_indent(out, indent);
        }
        out.push_str("- ");
        match item {
            Value::Object(map) if !map.is_empty() => write_map(out, map, indent + STEP),
            Value::Array(items) if !items.is_empty() => write_list(out, items, indent + STEP),
            scalar => {
                write_scalar(out, scalar, indent + STEP);
                out.push('\n');
            }
        }
    }
}

fn in_order(map: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut entries: Vec<_> = map.iter().collect();
    let rank = |key: &str| FIRST.iter().position(|first| *first == key).unwrap_or(FIRST.len());
    entries.sort_by_key(|(key, _)| (rank(key), *key));
    entries
}

fn write_scalar(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::String(text) => write_text(out, text, Some(indent)),
        Value::Object(_) => out.push_str("{}"),
        Value::Array(_) => out.push_str("[]"),
        other => out.push_str(&other.to_string()),
    }
}

/// `block` is where the lines of a longer text may stand.
fn write_text(out: &mut String, text: &str, block: Option<usize>) {
    match block {
        _ if is_plain(text) => out.push_str(text),
        Some(indent) if is_block(text) => write_block(out, text, indent),
        _ => write_quoted(out, text),
    }
}

/// Whether a text can stand as it is: a word that neither version of YAML takes for a number, a truth value, a date or null.
fn is_plain(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || "-_./:".contains(c);
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    begins && !text.ends_with(':') && text.chars().all(word) && !RESERVED.contains(&text.to_ascii_lowercase().as_str())
}

/// Whether a text reads best line by line, and comes back as it was.
fn is_block(text: &str) -> bool {
    let ends_once = !text.ends_with("\n\n");
    let begins = !text.starts_with([' ', '\n', '\t']);
    let lines = text.contains('\n') && text != "\n";
    lines && begins && ends_once && text.chars().all(|c| c == '\n' || is_printable(c))
}

fn write_block(out: &mut String, text: &str, indent: usize) {
    out.push_str(if text.ends_with('\n') { "|" } else { "|-" });
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        out.push('\n');
        if !line.is_empty() {
            push_indent(out, indent);
            out.push_str(line);
        }
    }
}

fn write_quoted(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            printable if is_printable(printable) => out.push(printable),
            other => {
                let number = u32::from(other);
                let written =
                    if number <= 0xffff { write!(out, "\\u{number:04x}") } else { write!(out, "\\U{number:08x}") };
                debug_assert!(written.is_ok(), "a String takes what is written");
            }
        }
    }
    out.push('"');
}

/// What both versions of YAML let stand, and no reader takes for the end of a line.
fn is_printable(character: char) -> bool {
    matches!(character, ' '..='~' | '\u{a0}'..='\u{2027}' | '\u{202f}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}' | '\u{10000}'..='\u{1ffff}')
}

fn push_indent(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

const STEP: usize = 2;
/// What says of an object which it is.
const FIRST: &[&str] = &["apiVersion", "kind", "metadata", "name", "namespace", "type"];
/// "y|Y|yes|…|off|OFF" (YAML 1.1, bool), null, and what begins like a number: `.inf` does not begin with a letter.
const RESERVED: &[&str] = &["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"];

#[cfg(test)]
mod tests {
    use portcullis_policy::{Node, Value as Read};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read_back(text: &str) -> Value {
        let documents = Node::load("written.yaml", text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(documents.len(), 1, "{text}");
        value(&documents[0])
    }

    fn value(node: &Node) -> Value {
        match &node.value {
            Read::Null => Value::Null,
            Read::Bool(value) => (*value).into(),
            Read::Integer(value) => (*value).into(),
            Read::Float(value) => (*value).into(),
            Read::Text(text) => text.as_str().into(),
            Read::List(items) => items.iter().map(value).collect(),
            Read::Map(entries) => {
                Value::Object(entries.iter().map(|entry| (entry.key.clone(), value(&entry.value))).collect())
            }
        }
    }

    #[test]
    fn texts_that_look_like_something_else_are_quoted() {
        for text in [
            "",
            "y",
            "Y",
            "no",
            "On",
            "off",
            "True",
            "null",
            "~",
            "NaN",
            "1",
            "1e3",
            "0x10",
            "012",
            "1_000",
            "12:30",
            "2026-01-02",
            "-",
            "- a",
            "a: b",
            "a #b",
            "#",
            "*",
            "&a",
            "!a",
            "|",
            ">",
            "%a",
            "@a",
            "`a",
            "{",
            "[",
            "a,b",
            "'",
            "\"",
            "\\",
            " a",
            "a ",
            "=",
            "<<",
            "a:",
            ".5",
            "+1",
            "é",
        ] {
            let written = write(&json!({ "key": text }));
            assert!(written.starts_with("key: \""), "{written}");
            assert_eq!(read_back(&written), json!({ "key": text }));
        }
        let plain = json!({"a/b.c-d_e": "v1beta1", "i": "https://h:1/p", "m": 1, "t": true});
        assert_eq!(write(&plain), "a/b.c-d_e: v1beta1\ni: https://h:1/p\nm: 1\nt: true\n");
        assert_eq!(read_back(&write(&plain)), plain);
    }

    #[test]
    fn what_an_object_is_comes_first() {
        let object = json!({"data": {}, "kind": "ConfigMap", "apiVersion": "v1", "webhooks": [{"a": 1, "name": "x"}, [], [["y"]]], "metadata": {"name": "z"}});
        let wanted = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: z\ndata: {}\nwebhooks:\n- name: x\n  a: 1\n- []\n- - - \"y\"\n";
        assert_eq!(write(&object), wanted);
        assert_eq!(read_back(wanted), object);
    }

    #[test]
    fn longer_texts_stand_line_by_line() {
        let object = json!({"a": {"f.yaml": "x: 1\n\n  # two\n", "g": "1\n2", "h": "\n1\n", "i": "1\n\n", "j": "a\r\nb\n", "k": "a\u{85}b\nc\n"}});
        let written = write(&object);
        assert!(
            written.starts_with("a:\n  f.yaml: |\n    x: 1\n\n      # two\n  g: |-\n    1\n    2\n  h: \"\\n1\\n\"\n"),
            "{written}"
        );
        assert_eq!(read_back(&written), object);
    }

    fn objects() -> impl Strategy<Value = Value> {
        let text = prop_oneof![".{0,8}", "[ \\t\\n:#a\"'|>\\-]{0,12}", "(yes|no|null|[0-9.e_:+-]{1,6})"];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            text.prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((".{0,6}", inner), 0..4).prop_map(|entries| entries.into_iter().collect()),
            ]
        })
        .prop_map(|value| json!({ "top": value }))
    }

    proptest! {
        /// The project's own reader gets what was written.
        #[test]
        fn what_is_written_reads_back(object in objects()) {
            // The reader takes no text with a NUL, however it is written.
            prop_assume!(!object.to_string().contains("\\u0000"));
            prop_assert_eq!(read_back(&write(&object)), object);
        }
    }
}
