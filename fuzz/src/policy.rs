//! Policies as text.

use portcullis_policy::{CompileOptions, Node, PolicyErrors, Snapshot, Source, Value};

use super::counted::REGISTRY;

/// Errors that are shown at most.
const MAX_ERRORS: usize = 20;

/// Loads and compiles a text, twice.
pub(super) fn load(data: &[u8]) {
    let nodes = Node::load("fuzz.yaml", data);
    if let Ok(nodes) = &nodes
        && let [node] = &nodes[..]
        && let Ok(json) = serde_json::from_slice::<serde_json::Value>(data)
    {
        assert!(is_same(node, &json), "read as {node:?}, which is {json}");
    }
    let sources = [Source::new("fuzz.yaml", data)];
    for l7proto in [None, Some("memcache")] {
        let options = CompileOptions { l7proto, ..CompileOptions::default() };
        let [first, second] = [(); 2].map(|()| Snapshot::compile(&sources, &REGISTRY, &options));
        match (first, second) {
            (Ok(first), Ok(second)) => {
                assert!(nodes.is_ok(), "compiled what cannot be read");
                let lines = |warnings: &[portcullis_policy::Warning]| {
                    warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
                };
                assert_eq!(
                    lines(&first.warnings),
                    lines(&second.warnings),
                    "warnings differ from one time to the next"
                );
                check_lines(data, &first.warnings);
            }
            (Err(first), Err(second)) => {
                assert_eq!(first, second, "errors differ from one time to the next");
                check_errors(data, &first);
            }
            _ => panic!("compiles, or does not, as it happens"),
        }
    }
}

pub(super) fn check_errors(data: &[u8], errors: &PolicyErrors) {
    assert!((1..=MAX_ERRORS).contains(&errors.errors.len()), "{} errors", errors.errors.len());
    check_lines(data, &errors.errors);
}

/// Each is one line of text that says where, in the file.
pub(super) fn check_lines(data: &[u8], errors: &[portcullis_policy::NodeError]) {
    // Whatever ends lines for a YAML parser: more than these there cannot be.
    let lines = data.iter().filter(|&&byte| byte == b'\n' || byte == b'\r').count();
    for error in errors {
        let text = error.to_string();
        assert!(!text.contains(|c: char| c.is_control()), "not one line: {text:?}");
        // A hook that is there by default is in the way of one of the same name: it says which.
        let says_where = text.starts_with("fuzz.yaml") || text.starts_with("the hook for `");
        assert!(says_where, "says not where: {text}");
        assert!(error.place.line as usize <= lines + 2, "a place after the end: {text}");
        assert!(text.len() <= 4096 + data.len(), "an endless line: {text}");
    }
}

/// Whether a tree is what another reader of JSON makes of the text.
fn is_same(node: &Node, json: &serde_json::Value) -> bool {
    match (&node.value, json) {
        (Value::Null, serde_json::Value::Null) => true,
        (Value::Bool(one), serde_json::Value::Bool(other)) => one == other,
        (Value::Integer(one), serde_json::Value::Number(other)) => {
            // `-0` is a float to one of them.
            other.as_i64() == Some(*one) || (*one == 0 && other.as_f64() == Some(0.0))
        }
        // That reader is content with almost the nearest number.
        (Value::Float(one), serde_json::Value::Number(other)) => {
            other.as_f64().is_some_and(|other| (one - other).abs() <= other.abs() * 1e-12)
        }
        (Value::Text(one), serde_json::Value::String(other)) => one == other,
        (Value::List(one), serde_json::Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Map(one), serde_json::Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|entry| other.get(&entry.key).is_some_and(|other| is_same(&entry.value, other)))
        }
        _ => false,
    }
}
