//! `portcullis admission audit` of files.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod common;

use std::fs;
use std::path::PathBuf;

use common::{Ran, portcullis, repository};
use portcullis_policy::Node;
use serde_json::{Value, json};

fn data() -> PathBuf {
    repository("cli/tests/data/gatekeeper/audit")
}

fn audit(args: &[&str]) -> Ran {
    portcullis(&data(), &[&["admission", "audit"], args, &["policies"]].concat())
}

fn audit_json(args: &[&str]) -> (i32, Value) {
    let ran = audit(&[&["-o", "json"], args].concat());
    (ran.status, serde_json::from_str(&ran.stdout).unwrap_or_else(|_| Value::from(format!("{ran:?}"))))
}

/// Policies of a test, and objects beside them.
fn files(all: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, text) in all {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        fs::write(path, text).expect("written");
    }
    dir
}

#[test]
fn a_table_tells_what_violates() {
    let ran = audit(&["--objects", "objects"]);
    let wanted = "\
CONSTRAINT                      ACTION  KIND        NAMESPACE  NAME   MESSAGE
TeamLabels/owned                deny    Namespace              attic  the label <team> is missing
TeamLabels/owned                deny    Namespace              games  the label <team> is missing
TeamLabels/tiers-in-production  dryrun  Deployment  shop       web    the label <tier> is missing
UniqueHosts/one-owner           deny    Ingress     games      other  the host shop.example.com belongs to shop/web
UniqueHosts/one-owner           deny    Ingress     shop       web    the host shop.example.com belongs to games/other
10 objects and 3 constraints: 5 violations
";
    assert_eq!((ran.status, ran.stdout.as_str(), ran.stderr.as_str()), (1, wanted, ""));
}

#[test]
fn totals_stay_true_under_a_limit() {
    let ran = audit(&["--objects", "objects", "--limit", "1"]);
    assert!(ran.stdout.contains("and 1 more of TeamLabels/owned; `--limit` shows more\n"), "{ran:?}");
    let (status, json) = audit_json(&["--objects", "objects", "--limit", "0"]);
    assert_eq!((status, &json["totalViolations"], &json["objects"]), (1, &json!(5), &json!(10)), "{json:#}");
    assert_eq!(json["constraints"][0]["totalViolations"], 2, "{json:#}");
    assert_eq!(json["constraints"][0]["violations"], json!([]), "{json:#}");
}

#[test]
fn constraints_get_the_status_that_gatekeeper_writes() {
    let ran = audit(&["--objects", "objects", "--write-status", "--id", "auditor-0"]);
    let documents = Node::load("out", ran.stdout.as_bytes()).expect("YAML");
    assert_eq!((ran.status, documents.len()), (1, 3), "{ran:?}");
    let out = tempfile::tempdir().expect("a directory");
    let dir = out.path().join("status");
    let ran = audit(&["--objects", "objects", "--write-status", "--status-out", dir.to_str().expect("a path")]);
    assert_eq!(ran.status, 1, "{ran:?}");
    let text = fs::read_to_string(dir.join("teamlabels-owned.yaml")).expect("a file");
    let (head, tail) = text.split_once("auditTimestamp: ").expect("a time");
    let (time, tail) = tail.split_once('\n').expect("a line");
    let time = time.trim_matches('"');
    assert!(time.len() == 20 && time.ends_with('Z') && time.contains('T'), "{time}");
    assert!(head.starts_with("apiVersion: constraints.gatekeeper.sh/v1beta1\nkind: TeamLabels\n"), "{head}");
    let wanted = "  byPod:
  - enforced: true
    id: portcullis-audit
  totalViolations: 2
  violations:
  - kind: Namespace
    name: attic
    enforcementAction: deny
    group: \"\"
    message: the label <team> is missing
    version: v1
";
    let lines =
        |text: &str| text.lines().map(|line| line.trim().trim_start_matches("- ").to_owned()).collect::<Vec<_>>();
    for line in lines(wanted) {
        assert!(lines(tail).contains(&line) || line.starts_with("message"), "{line} is not in\n{text}");
    }
    assert!(!text.contains("namespace:"), "{text}");
    let kept = fs::read_dir(&dir).expect("files").count();
    assert_eq!(kept, 3);
}

#[test]
fn what_cannot_be_read_is_told_and_leaves_nothing_written() {
    let policy = fs::read_to_string(data().join("policies/team-labels.yaml")).expect("a template");
    let constraint = fs::read_to_string(data().join("policies/constraints.yaml")).expect("constraints");
    let config = fs::read_to_string(data().join("policies/config.yaml")).expect("a Config");
    let dir = files(&[
        ("policies/template.yaml", &policy),
        ("policies/constraint.yaml", &constraint),
        ("policies/config.yaml", &config),
        ("objects/good.yaml", "{apiVersion: v1, kind: Namespace, metadata: {name: a, labels: {team: a}}}\n"),
        ("objects/values.yaml", "image: web\n"),
        ("objects/broken.yaml", "a: [\n"),
        ("objects/broken.json", "{\"apiVersion\": \"v1\"\n"),
        (
            "objects/mixed.json",
            "{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[null,{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"b\"}}]}",
        ),
    ]);
    let run = |args: &[&str]| {
        portcullis(
            dir.path(),
            &[&["admission", "audit", "--objects", "objects", "--objects", "not-there"], args, &["policies"]].concat(),
        )
    };
    let ran = run(&["--write-status", "--status-out", "status", "--write-inventory", "inventory"]);
    assert_eq!(ran.status, 3, "{ran:?}");
    for part in [
        "objects/values.yaml:1:1: the object has no `apiVersion` and `kind`",
        "objects/broken.yaml",
        "objects/broken.json",
        "objects/mixed.json: items[0]",
        "`not-there` cannot be read",
    ] {
        assert!(ran.stderr.contains(part), "{part} is not in {}", ran.stderr);
    }
    // What could be read is judged.
    assert!(ran.stdout.contains("2 objects and 2 constraints: 1 violation"), "{ran:?}");
    assert!(!dir.path().join("status").exists() && !dir.path().join("inventory").exists());
    let ran = run(&["-o", "json"]);
    let json: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!((ran.status, json["errors"].as_array().map(Vec::len)), (3, Some(5)), "{json:#}");
}

/// A namespace that is not among the objects is not taken for one without labels.
#[test]
fn an_unknown_namespace_is_told_where_a_constraint_asks_for_it() {
    let dir = files(&[(
        "objects/one.yaml",
        "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: lost}}\n",
    )]);
    let ran = audit(&["--objects", dir.path().join("objects").to_str().expect("a path")]);
    assert_eq!(ran.status, 3, "{ran:?}");
    assert!(ran.stderr.contains("lost"), "{ran:?}");
}

#[test]
fn the_inventory_is_what_a_listener_loads() {
    let out = tempfile::tempdir().expect("a directory");
    let dir = out.path().to_str().expect("a path");
    fs::write(out.path().join("inventory-v1-gone-0.json"), "{}").expect("written");
    fs::write(out.path().join("mine.json"), "{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[]}").expect("written");
    let ran = audit(&["--objects", "objects", "--write-inventory", dir]);
    assert_eq!(ran.status, 1, "{ran:?}");
    let mut names: Vec<_> =
        fs::read_dir(out.path()).expect("files").map(|entry| entry.expect("an entry").file_name()).collect();
    names.sort();
    assert_eq!(names, ["inventory-networking.k8s.io_v1-ingress-0.json", "mine.json"]);
    // The objects of one directory, with the inventory of another.
    fs::remove_file(out.path().join("mine.json")).expect("removed");
    let ran =
        portcullis(&data(), &["admission", "audit", "--objects", "objects/nested/shop-web.yaml", "policies", dir]);
    assert!(ran.stdout.contains("belongs to games/other"), "{ran:?}");
}

/// As `gator test` has it: at its point, what is denied alone, and all objects know of each other.
#[test]
fn objects_are_tested_before_they_are_in_a_cluster() {
    let dir = tempfile::tempdir().expect("a directory");
    for name in ["unique-hosts.yaml", "one-owner.yaml"] {
        fs::copy(data().join("policies").join(name), dir.path().join(name)).expect("copied");
    }
    let policies = dir.path().to_str().expect("a path");
    let gator = ["--enforcement-point", "gator.gatekeeper.sh", "--deny-only"];
    let run = |args: &[&str]| {
        portcullis(&data(), &[&["admission", "audit", "--objects", "objects"], args, &gator, &[policies]].concat())
    };
    let ran = run(&[]);
    assert!(ran.status == 1 && ran.stdout.contains("2 violations"), "{ran:?}");
    assert!(ran.stderr.contains("all objects that are given are the inventory"), "{ran:?}");
    let constraint = fs::read_to_string(dir.path().join("one-owner.yaml")).expect("a constraint");
    let put = |spec: &str| {
        let changed = constraint.replace("spec:", &format!("spec:\n  {spec}"));
        fs::write(dir.path().join("one-owner.yaml"), changed).expect("written");
    };
    put("enforcementAction: warn");
    let ran = run(&[]);
    assert!(ran.status == 0 && ran.stdout.contains("0 violations"), "{ran:?}");
    put(
        "enforcementAction: scoped\n  scopedEnforcementActions: [{action: deny, enforcementPoints: [{name: gator.gatekeeper.sh}]}]",
    );
    let ran = run(&[]);
    assert!(ran.status == 1 && ran.stdout.contains("2 violations"), "{ran:?}");
    let ran = portcullis(&data(), &["admission", "audit", "--objects", "objects", policies]);
    assert!(ran.status == 3 && ran.stderr.contains("is in force at `audit.gatekeeper.sh`"), "{ran:?}");
    assert_eq!(run(&["--write-status"]).status, 2);
}

/// No constraint is needed for what listeners are to know.
#[test]
fn an_inventory_is_written_without_constraints() {
    let dir = tempfile::tempdir().expect("a directory");
    let (policies, out) = (dir.path().join("policies"), dir.path().join("out"));
    fs::create_dir(&policies).expect("made");
    let run = |objects: &str| {
        let [policies, out] = [&policies, &out].map(|path| path.to_str().expect("a path"));
        portcullis(&data(), &["admission", "audit", "--objects", objects, "--write-inventory", out, policies])
    };
    fs::copy(data().join("policies/team-labels.yaml"), policies.join("template.yaml")).expect("copied");
    let ran = run("objects");
    assert!(ran.status == 3 && ran.stderr.contains("neither a Config nor a SyncSet"), "{ran:?}");
    fs::copy(data().join("policies/config.yaml"), policies.join("config.yaml")).expect("copied");
    let ran = run("objects");
    assert!(ran.status == 0 && ran.stderr.contains("3 objects are in"), "{ran:?}");
    assert_eq!(fs::read_dir(&out).expect("files").count(), 1);
    let ran = run("objects/notes.txt");
    assert!(ran.status == 3 && !ran.stdout.is_empty(), "{ran:?}");
    fs::create_dir(dir.path().join("empty")).expect("made");
    let ran = run(dir.path().join("empty").to_str().expect("a path"));
    assert!(ran.status == 0 && ran.stderr.contains("there is no object to audit"), "{ran:?}");
}

#[test]
fn nothing_to_audit_is_no_success() {
    let ran = portcullis(&repository("docs/cli/examples"), &["admission", "audit", "--objects", ".", "hooks"]);
    assert!(ran.status == 3 && ran.stderr.contains("there is no constraint"), "{ran:?}");
    assert_eq!(audit(&["--objects", "objects", "-o", "json", "--write-status"]).status, 2);
    assert_eq!(audit(&["--objects", "objects", "--kubeconfig", "x"]).status, 2);
    let ran = audit(&["--kubeconfig", "not-there"]);
    assert!(ran.status == 3 && ran.stderr.contains("not-there"), "{ran:?}");
}
