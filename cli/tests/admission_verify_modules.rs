//! `portcullis admission check --kube-mgmt-status`: what modules in Rego come to.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod common;

use std::fs;

use common::{Ran, portcullis};
use serde_json::{Value, json};

const GOOD: &str =
    "package kubernetes.admission\n\ndeny[msg] {\n  input.request.kind.kind == \"Pod\"\n  msg := \"no pods\"\n}\n";
const BAD: &str = "package broken\n\ndeny[msg] {\n  msg := sprintf((\n}\n";

fn check(files: &[(&str, String)], args: &[&str]) -> Ran {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, text) in files {
        fs::write(dir.path().join(name), text).expect("written");
    }
    portcullis(dir.path(), &[&["admission", "check", "--kube-mgmt-status"], args, &["."]].concat())
}

fn config_map(name: &str, label: &str, data: &Value) -> String {
    let labels = json!({ label: if label.ends_with("policy") { "rego" } else { "opa" } });
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "opa", "labels": labels}, "data": data}).to_string()
}

const POLICY: &str = "openpolicyagent.org/policy";
const DATA: &str = "openpolicyagent.org/data";

#[test]
fn what_compiles_is_ok() {
    let files = [
        ("main.rego", GOOD.to_owned()),
        ("map.yaml", config_map("pods", POLICY, &json!({"pods.rego": GOOD.replace("kubernetes.admission", "pods")}))),
        ("data.yaml", config_map("lists", DATA, &json!({"registries": "{\"trusted\": [\"a\"]}"}))),
    ];
    let ran = check(&files, &[]);
    let wanted = "opa/lists: {\"status\":\"ok\"}\n./main.rego: {\"status\":\"ok\"}\nopa/pods: {\"status\":\"ok\"}\n";
    assert_eq!((ran.status, ran.stdout.as_str()), (0, wanted), "{ran:?}");
}

#[test]
fn what_does_not_compile_says_where() {
    let map = config_map("pods", POLICY, &json!({"good.rego": GOOD, "bad.rego": BAD}));
    let ran =
        check(&[("map.yaml", map), ("good.rego", GOOD.replace("kubernetes.admission", "other"))], &["-o", "json"]);
    let all: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| Value::from(format!("{ran:?}")));
    assert_eq!(ran.status, 1, "{all:#}");
    let of = |name: &str| {
        all.as_array().expect("a list").iter().find(|one| one["document"] == name).expect(name)["status"].clone()
    };
    assert_eq!(of("./good.rego"), json!({"status": "ok"}));
    let status = of("opa/pods");
    assert_eq!(
        (&status["status"], &status["error"]["code"]),
        (&json!("error"), &json!("invalid_parameter")),
        "{status:#}"
    );
    assert_eq!(status["error"]["message"], "error(s) occurred while compiling module(s)");
    let error = &status["error"]["errors"][0];
    assert_eq!(
        (&error["code"], &error["location"]["file"]),
        (&json!("rego_parse_error"), &json!("opa/pods/bad.rego")),
        "{status:#}"
    );
    assert!(
        error["location"]["row"].as_u64().is_some_and(|row| (4..=6).contains(&row))
            && error["location"]["col"].is_u64(),
        "{status:#}"
    );
}

#[test]
fn data_that_is_no_json_is_told() {
    let map = config_map("lists", DATA, &json!({"a": "{\"x\": 1}", "b": "{x", "c": "[1]"}));
    let ran = check(&[("map.yaml", map)], &["-o", "json"]);
    let all: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| Value::from(format!("{ran:?}")));
    assert_eq!((ran.status, all[0]["status"]["error"].as_array().map(Vec::len)), (1, Some(2)), "{all:#}");
}

#[test]
fn nothing_to_tell_of_is_no_success() {
    let ran = check(&[("pod.yaml", "{apiVersion: v1, kind: Pod}".to_owned())], &[]);
    assert!(ran.status == 3 && ran.stderr.contains("there is no module in Rego"), "{ran:?}");
    let ran = check(&[("broken.yaml", "a: [".to_owned())], &[]);
    assert!(ran.status == 1 && ran.stderr.contains("broken.yaml:2"), "{ran:?}");
}
