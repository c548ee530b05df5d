//! The golden suite of lints: see lints.yaml.
#![expect(clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::path::Path;

use common::portcullis;
use portcullis_parsers::REGISTRY;
use portcullis_policy::{Dialect, Node, lint};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Suite {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    lint: String,
    kind: String,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    at: Option<String>,
    bad: String,
    near: String,
    #[serde(default)]
    fixed: Option<String>,
}

const SUITE: &str = include_str!("lints.yaml");

fn suite() -> Vec<Case> {
    let documents = Node::load("lints.yaml", SUITE.as_bytes()).expect("YAML");
    documents[0].read::<Suite>(Dialect::Strict).expect("a suite").cases
}

/// The rules as a policy of a kind; or what follows the first fields of a hook.
fn policy(kind: &str, rules: &str) -> String {
    if kind == "hook" {
        let head = "apiVersion: portcullis.dev/v1\nkind: AdmissionHook\nmetadata: {name: h}\nspec:\n  uri: /h\n  doc: It is one.\n";
        return rules.lines().fold(head.to_owned(), |text, line| format!("{text}  {line}\n"));
    }
    let head = match kind {
        "cilium" => "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy",
        "strict" => "apiVersion: portcullis.dev/v1\nkind: L7Policy",
        other => panic!("no kind `{other}`"),
    };
    let rules: String = rules.lines().map(|line| format!("  {line}\n")).collect();
    format!("{head}\nmetadata: {{name: p}}\nspec:\n  endpointSelector: {{}}\n  ingress:\n{rules}")
}

/// Lines before the rules, and columns.
const HEAD: (u64, u64) = (6, 2);

fn findings(dir: &Path, args: &[String], text: &str) -> Vec<(String, String)> {
    std::fs::write(dir.join("p.yaml"), text).expect("written");
    let args = ["check", "-o", "json", "p.yaml"].into_iter().chain(args.iter().map(String::as_str));
    let ran = portcullis(dir, &args.collect::<Vec<_>>());
    assert_eq!(ran.status, 0, "{text}\n{ran:?}");
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let findings = json["findings"].as_array().expect("findings");
    let of = |finding: &serde_json::Value| {
        let line = finding["line"].as_u64().expect("a line") - HEAD.0;
        let column = finding["column"].as_u64().expect("a column") - HEAD.1;
        let better = finding["better"].as_str().expect("a text");
        assert!(!better.is_empty(), "no better form: {finding}");
        (finding["lint"].as_str().expect("a name").to_owned(), format!("{line}:{column}"))
    };
    findings.iter().map(of).collect()
}

#[test]
fn each_lint_is_triggered_where_it_should_be_and_not_near_it() {
    let dir = tempfile::tempdir().expect("a directory");
    for Case { lint, kind, args, at, bad, near, .. } in suite() {
        if let Some(at) = at {
            let found = findings(dir.path(), &args, &policy(&kind, &bad));
            assert!(found.contains(&(lint.clone(), at.clone())), "{lint} is not at {at}: {found:?}\n{bad}");
        }
        let found = findings(dir.path(), &args, &policy(&kind, &near));
        assert!(found.iter().all(|(name, _)| *name != lint), "{lint}: {found:?}\n{near}");
    }
}

#[test]
fn every_lint_has_cases() {
    let cases = suite();
    for lint in lint::ALL {
        let name = lint.name();
        assert!(cases.iter().any(|case| case.lint == name && case.at.is_some()), "{name} has no case");
        assert!(cases.iter().any(|case| case.lint == name && !case.near.is_empty()), "{name} has no near case");
    }
    for case in &cases {
        assert!(lint::ALL.iter().any(|lint| lint.name() == case.lint), "{} is no lint", case.lint);
    }
}

#[test]
fn fixes_write_the_better_form_and_leave_nothing_to_fix() {
    let dir = tempfile::tempdir().expect("a directory");
    for Case { kind, args, bad, fixed, .. } in suite() {
        let Some(fixed) = fixed else { continue };
        let path = dir.path().join("p.yaml");
        std::fs::write(&path, policy(&kind, &bad)).expect("written");
        let run = |more: &str| {
            let args: Vec<_> = ["check", more, "p.yaml"].into_iter().chain(args.iter().map(String::as_str)).collect();
            portcullis(dir.path(), &args)
        };
        let shown = run("--diff");
        assert_eq!(shown.status, 1, "{shown:?}");
        assert_eq!(std::fs::read_to_string(&path).expect("there"), policy(&kind, &bad), "--diff wrote");
        let ran = run("--fix");
        assert_eq!(ran.status, 0, "{ran:?}");
        assert_eq!(std::fs::read_to_string(&path).expect("there"), policy(&kind, &fixed));
        assert_eq!(run("--diff").status, 0, "there is more to fix");
    }
}

/// Ten thousand rules are looked at one by one, not each with each other: forty times as many would take 1600 times as long.
#[test]
fn many_rules_are_few_comparisons() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut rules = String::from(
        "- fromEntities: [all]\n  toPorts:\n  - ports: [{port: '1'}]\n    rules:\n      l7proto: memcache\n      l7:\n",
    );
    for n in 0..10_000 {
        rules.push_str(&format!(
            "      - {{command: get, keyPrefix: 'k/{n}/'}}\n      - {{command: get, keyRegex: 'x{n}[0-9]'}}\n"
        ));
    }
    rules.push_str("      - {command: get, keyExact: k/77/a}\n      - {command: get, keyPrefix: k/78/}\n");
    let found = findings(dir.path(), &[], &policy("cilium", &rules));
    let count = |name: &str| found.iter().filter(|(lint, _)| lint == name).count();
    assert_eq!((count("shadowed-rule"), count("duplicate-rule"), count("unanchored-regex")), (1, 1, 10_000));
}

/// What Cilium's agent hands over are its own objects.
#[test]
fn a_host_that_is_not_given_a_kind_of_object_is_told_of() {
    let dir = tempfile::tempdir().expect("a directory");
    let rule =
        "- fromEndpoints: [{}]\n  toPorts: [{ports: [{port: \"1\"}], rules: {l7proto: r2d2, l7: [{cmd: READ}]}}]\n";
    for (host, kind, found) in [
        ("libcilium", "strict", true),
        ("libcilium", "cilium", false),
        ("envoy", "strict", false),
        ("wasm", "strict", false),
    ] {
        std::fs::write(dir.path().join("p.yaml"), policy(kind, rule)).expect("written");
        let ran = portcullis(dir.path(), &["check", "--host", host, "p.yaml"]);
        assert_eq!(ran.stdout.contains("never reach `libcilium`"), found, "{host} {kind}: {}", ran.stdout);
        assert_eq!(ran.stdout.contains("[host-cannot]"), found || host == "wasm", "{host} {kind}: {}", ran.stdout);
    }
}

/// Where no request can stand in for a denied one, a proxy-wasm host has no answer, but to HTTP.
#[test]
fn a_host_that_cannot_answer_the_denials_of_a_protocol_is_told_of() {
    let dir = tempfile::tempdir().expect("a directory");
    for protocol in REGISTRY.iter() {
        let (name, item) = match protocol.name() {
            "r2d2" => ("r2d2", "{cmd: READ}"),
            "memcache" => ("memcache", "{command: get}"),
            "cassandra" => ("cassandra", "{query_action: select}"),
            "admission" => ("admission", "{}"),
            other => panic!("`{other}` has no case here"),
        };
        let rules = format!("rules: {{l7proto: {name}, l7: [{item}]}}");
        let rule = format!("- fromEndpoints: [{{}}]\n  toPorts: [{{ports: [{{port: \"1\"}}], {rules}}}]\n");
        std::fs::write(dir.path().join("p.yaml"), policy("cilium", &rule)).expect("written");
        let ran = portcullis(dir.path(), &["check", "--host", "wasm", "p.yaml"]);
        assert_eq!(ran.status, 0, "{ran:?}");
        let told = ran.stdout.contains("closes its connection in `wasm`");
        assert_eq!(told, protocol.stand_in().is_none() && !protocol.is_http(), "{name}: {}", ran.stdout);
    }
}
