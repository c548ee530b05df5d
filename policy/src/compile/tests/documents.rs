//! Documents that protocols bring along: they share the fate of the policies beside them.

use std::sync::Arc;

use super::{from, spec};
use crate::testing::{TestProtocols, peer};
use crate::{
    CompileOptions, DocumentCompiler, Documents, Node, NodeError, PolicyErrors, Protocols, RuleCompiler, Snapshot,
    Source, Value,
};

/// Collects the names of hooks. One without a name is bad.
struct Names;

/// The protocols of the other tests, and one that has hooks.
struct WithHooks;

impl DocumentCompiler for Names {
    fn kinds(&self) -> &[(&str, &str)] {
        &[("example.org/v1", "Hook")]
    }

    fn compile(&self, documents: &[Node]) -> Result<Documents, Vec<NodeError>> {
        let name = |document: &Node| match document.entry("name").map(|name| &name.value) {
            Some(Value::Text(name)) => Ok(name.clone()),
            _ => Err(NodeError::new(&document.place, "hook", "a hook needs a `name`")),
        };
        let (names, errors): (Vec<_>, Vec<_>) = documents.iter().map(name).partition(Result::is_ok);
        let errors: Vec<_> = errors.into_iter().filter_map(Result::err).collect();
        if !errors.is_empty() {
            return Err(errors);
        }
        let names: Vec<String> = names.into_iter().filter_map(Result::ok).collect();
        let warnings = documents.iter().filter(|_| names.len() > 2);
        let warnings = warnings.map(|document| NodeError::new(&document.place, "hook", "many hooks")).collect();
        Ok(Documents::new(names.clone(), warnings, names.iter().map(|name| Arc::from(name.as_str()))))
    }
}

impl Protocols for WithHooks {
    fn documents(&self) -> Vec<&dyn DocumentCompiler> {
        vec![&Names]
    }

    fn compiler(&self, l7proto: &str) -> Option<&dyn RuleCompiler> {
        TestProtocols.compiler(l7proto)
    }

    fn names(&self) -> Vec<&str> {
        TestProtocols.names()
    }
}

fn load(texts: &[&str]) -> Result<crate::Compiled, PolicyErrors> {
    let source = |(n, text): (usize, &&str)| Source::new(format!("{n}.yaml"), text.as_bytes());
    let sources: Vec<_> = texts.iter().enumerate().map(source).collect();
    Snapshot::compile(&sources, &WithHooks, &CompileOptions::default())
}

fn names(snapshot: &Snapshot) -> &[String] {
    snapshot.documents().iter().find_map(Documents::downcast_ref::<Vec<String>>).unwrap()
}

const HOOK: &str = "apiVersion: example.org/v1\nkind: Hook\nname: ";

#[test]
fn documents_are_in_the_snapshot_with_the_policies() {
    let policy = spec("ingress: [{fromEndpoints: [{matchLabels: {app: a}}]}]");
    let compiled = load(&[&format!("{HOOK}one\n---\n{policy}"), &format!("{HOOK}two")]).unwrap();
    assert_eq!(names(&compiled.snapshot), ["one", "two"]);
    assert_eq!(compiled.snapshot.documents()[0].labels(), [Arc::from("one"), Arc::from("two")]);
    assert!(from(peer("app=a")).allows(&compiled.snapshot, "get", "x"));
    // Without any the protocol is asked all the same: it has nothing then.
    assert!(names(&load(&[&policy]).unwrap().snapshot).is_empty());
}

#[test]
fn documents_stand_in_lists_too() {
    let list = r#"{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "example.org/v1", "kind": "Hook", "name": "x"}]}"#;
    assert_eq!(names(&load(&[list]).unwrap().snapshot), ["x"]);
}

#[test]
fn bad_documents_are_refused_with_their_places_and_all_else() {
    let policy = spec("ingress: [{}]");
    let text = format!("{policy}---\napiVersion: example.org/v1\nkind: Hook\n");
    let errors = load(&[&policy.replace("name: p", "name: q"), &text]).unwrap_err().to_string();
    assert!(errors.starts_with("1.yaml:") && errors.ends_with("hook: a hook needs a `name`"), "{errors}");
    let other = "apiVersion: example.org/v2\nkind: Hook\nname: x\n";
    let errors = load(&[other]).unwrap_err().to_string();
    assert!(errors.contains("apiVersion `example.org/v2`, kind `Hook` is not a policy"), "{errors}");
    assert!(errors.contains("`L7Policy`, `Hook`, or a `List`"), "{errors}");
}

#[test]
fn what_is_doubtful_in_documents_is_warned_of() {
    let hooks = format!("{HOOK}a\n---\n{HOOK}b\n---\n{HOOK}c\n");
    assert_eq!(load(&[&hooks]).unwrap().warnings.len(), 3);
}

/// Speaks of the kinds that its hooks name in `of`.
struct Claiming;

impl DocumentCompiler for Claiming {
    fn kinds(&self) -> &[(&str, &str)] {
        &[("example.org/*", "*"), (crate::FILE, "rego")]
    }

    fn claims(&self, documents: &[Node]) -> Vec<(String, String)> {
        let text = |node: &Node, field| match node.entry(field).map(|node| &node.value) {
            Some(Value::Text(text)) => Some(text.clone()),
            _ => None,
        };
        documents.iter().filter_map(|document| Some(("v1".to_owned(), text(document, "of")?))).collect()
    }

    fn compile(&self, documents: &[Node]) -> Result<Documents, Vec<NodeError>> {
        let name = |document: &Node| match document.entry("kind").map(|kind| &kind.value) {
            Some(Value::Text(kind)) => kind.clone(),
            _ => String::new(),
        };
        Ok(Documents::new(documents.iter().map(name).collect::<Vec<_>>(), Vec::new(), []))
    }
}

impl Protocols for Claiming {
    fn documents(&self) -> Vec<&dyn DocumentCompiler> {
        vec![&Claiming]
    }

    fn compiler(&self, l7proto: &str) -> Option<&dyn RuleCompiler> {
        TestProtocols.compiler(l7proto)
    }

    fn names(&self) -> Vec<&str> {
        TestProtocols.names()
    }
}

#[test]
fn objects_are_data_where_a_document_speaks_of_their_kind_and_are_refused_otherwise() {
    let load = |sources: &[(&str, &str)]| {
        let sources: Vec<_> = sources.iter().map(|(name, text)| Source::new(*name, text.as_bytes())).collect();
        Snapshot::compile(&sources, &Claiming, &CompileOptions::default())
    };
    let wants = ("a.yaml", "apiVersion: example.org/v7\nkind: Sync\nof: Pod");
    let pod = ("0.yaml", "apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: Pod}]");
    let kinds = |sources: &[(&str, &str)]| names(&load(sources).unwrap().snapshot).to_vec();
    assert_eq!(kinds(&[wants]), ["Sync"]);
    assert_eq!(kinds(&[pod, wants]), ["Sync", "Pod"]);
    for sources in [vec![pod], vec![wants, ("b.yaml", "apiVersion: v1\nkind: Secret")]] {
        let error = load(&sources).unwrap_err().to_string();
        assert!(error.contains("is not a policy"), "{error}");
    }
    // A group of one name is not another that begins like it.
    for other in ["example.organ/v1", "example.org", "other.example.org/v1", ""] {
        assert!(load(&[("a.yaml", &format!("apiVersion: '{other}'\nkind: Sync"))]).is_err(), "{other}");
    }
}

#[test]
fn a_file_in_another_language_is_a_document_as_it_stands() {
    let compile =
        |name: &str, text: &[u8]| Snapshot::compile(&[Source::new(name, text)], &Claiming, &CompileOptions::default());
    assert_eq!(names(&compile("dir/main.rego", b"{ not: [yaml").unwrap().snapshot), ["rego"]);
    assert!(compile("dir/main.rego", b"\xff").unwrap_err().to_string().starts_with("dir/main.rego"));
    // Nobody here asks for scripts.
    assert!(compile("rule.js", b"x").unwrap_err().to_string().contains("is not a policy"));
}
