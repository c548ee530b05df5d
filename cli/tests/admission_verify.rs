//! `portcullis admission verify`: suites as Gatekeeper's own program runs them.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Ran, portcullis, repository};
use serde_json::Value;

fn data() -> PathBuf {
    repository("cli/tests/data/gatekeeper")
}

fn verify(dir: &Path, args: &[&str]) -> Ran {
    portcullis(dir, &[&["admission", "verify"], args].concat())
}

fn json(dir: &Path, args: &[&str]) -> (i32, Value) {
    let ran = verify(dir, &[&["-o", "json"], args].concat());
    let json = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| Value::from(format!("{ran:?}")));
    (ran.status, json)
}

/// How many passed, failed, and were left out.
fn counts(json: &Value) -> (u64, u64, u64) {
    let count = |key| json[key].as_u64().unwrap_or(u64::MAX);
    (count("passed"), count("failed"), count("skipped"))
}

/// The text without what a clock says.
fn untimed(text: &str) -> String {
    let lines = text.lines().map(|line| line.rsplit_once('\t').map_or(line, |(line, _)| line).to_owned() + "\n");
    lines.collect()
}

/// A suite of one case, with files of the data beside it.
fn alone(test: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    for entry in fs::read_dir(data().join("owners")).expect("data") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), dir.path().join(entry.file_name())).expect("copied");
    }
    let text = format!("kind: Suite\napiVersion: test.gatekeeper.sh/v1alpha1\ntests:\n- {test}\n");
    fs::write(dir.path().join("suite.yaml"), text).expect("written");
    dir
}

#[test]
fn suites_of_many_kinds_pass() {
    let (status, json) = json(&data(), &["./..."]);
    assert_eq!((status, counts(&json)), (0, (16, 0, 1)), "{json:#}");
    let suites: Vec<_> =
        json["suites"].as_array().expect("suites").iter().map(|suite| suite["suite"].clone()).collect();
    assert_eq!(suites, ["./hosts/suite.yaml", "./networks/suite.yaml", "./owners/suite.yaml", "./replicas/suite.yaml"]);
}

#[test]
fn what_passes_is_told_as_gator_tells_it() {
    let ran = verify(&data(), &["owners/suite.yaml"]);
    assert_eq!(
        (ran.status, untimed(&ran.stdout).as_str()),
        (0, "ok\towners/suite.yaml\nPASS\n6 passed, 0 failed, 1 skipped\n"),
        "{ran:?}"
    );
    let ran = verify(&data(), &["--verbose", "--run", "^no |one label", "owners"]);
    let wanted = "=== RUN   owned\n    --- PASS: no labels\n    --- PASS: one label\n    === SKIP  both labels\n    === SKIP  another kind\n    === SKIP  left out\n--- PASS: owned\n\
                  === RUN   no keys\n--- PASS: no keys\n=== SKIP  keys that are numbers\nok\towners/suite.yaml\nPASS\n3 passed, 0 failed, 4 skipped\n";
    assert_eq!((ran.status, untimed(&ran.stdout).as_str()), (0, wanted), "{ran:?}");
    assert_eq!(verify(&data(), &["--deny-skipped", "owners"]).status, 1);
}

#[test]
fn what_fails_says_where_and_why() {
    let case = |case: &str| {
        alone(&format!("{{name: owned, template: template.yaml, constraint: constraint.yaml, cases: [{case}]}}"))
    };
    let dir = case("{name: quiet, object: namespace-none.yaml, assertions: [{violations: no}]}");
    let ran = verify(dir.path(), &["suite.yaml"]);
    assert_eq!(ran.status, 1, "{ran:?}");
    for part in [
        "    --- FAIL: quiet\t",
        "        suite.yaml:4:135: wanted none of the violations, there are 2\n",
        "        violation: the label <team> is missing\n",
        "--- FAIL: owned\t",
        "FAIL\tsuite.yaml\t",
        "\nFAIL\n0 passed, 1 failed, 0 skipped\n",
    ] {
        assert!(ran.stdout.contains(part), "{part:?} is not in\n{}", ran.stdout);
    }
    for (text, wanted) in [
        ("{name: a, object: not-there.yaml, assertions: [{violations: no}]}", "not-there.yaml"),
        ("{name: a, object: ., assertions: [{violations: no}]}", "is a directory"),
        ("{name: a, assertions: [{violations: no}]}", "the case names no `object`"),
        ("{name: a, object: namespace-all.yaml}", "the case has no `assertions`"),
        (
            "{name: a, object: namespace-all.yaml, inventory: [not-there.yaml], assertions: [{violations: no}]}",
            "not-there.yaml",
        ),
        ("{name: a, object: two.yaml, assertions: [{violations: no}]}", "wanted one object in `two.yaml`, there are 2"),
        ("{name: a, object: empty.yaml, assertions: [{violations: no}]}", "there is no document in"),
        (
            "{name: a, object: review.yaml, assertions: [{violations: no}]}",
            "has neither an `object` nor an `oldObject`",
        ),
    ] {
        let dir = case(text);
        for (file, text) in [
            ("two.yaml", "{apiVersion: v1, kind: Pod}\n---\n{apiVersion: v1, kind: Pod}\n"),
            ("empty.yaml", "---\n"),
            ("review.yaml", "{apiVersion: admission.k8s.io/v1, kind: AdmissionReview, request: {object: null}}\n"),
        ] {
            fs::write(dir.path().join(file), text).expect("written");
        }
        let (status, json) = json(dir.path(), &["suite.yaml"]);
        let faults = json["suites"][0]["tests"][0]["cases"][0]["faults"].to_string();
        assert_eq!((status, counts(&json)), (1, (0, 1, 0)), "{json:#}");
        assert!(faults.contains(wanted), "{text}: {json:#}");
    }
}

/// Whatever is wrong with a test itself: none of its cases counts as passed.
#[test]
fn tests_that_cannot_be_run_fail() {
    let cases = "cases: [{name: a, object: namespace-all.yaml, assertions: [{violations: no}]}, {name: b, skip: true}]";
    for (test, wanted) in [
        (format!("{{constraint: constraint.yaml, {cases}}}"), "the test names no `template`"),
        (format!("{{template: template.yaml, {cases}}}"), "the test names no `constraint`"),
        (format!("{{template: constraint.yaml, constraint: constraint.yaml, {cases}}}"), "wanted a ConstraintTemplate"),
        (format!("{{template: template.yaml, constraint: template.yaml, {cases}}}"), "wanted a constraint"),
        (format!("{{template: template.yaml, constraint: without-keys.yaml, {cases}}}"), "without-keys.yaml:7"),
        (format!("{{template: broken.yaml, constraint: constraint.yaml, {cases}}}"), "broken.yaml"),
        (
            format!("{{template: template.yaml, constraint: other.yaml, {cases}}}"),
            "is of kind `Other`, and the template is for `TeamLabels`",
        ),
        (
            format!("{{template: template.yaml, constraint: constraint.yaml, expansion: constraint.yaml, {cases}}}"),
            "wanted an ExpansionTemplate",
        ),
        ("{template: template.yaml, constraint: constraint.yaml, invalid: true}".to_owned(), "the constraint is valid"),
        // Refused for something else than its parameters.
        ("{template: template.yaml, constraint: other.yaml, invalid: true}".to_owned(), "is of kind `Other`"),
        ("{template: broken.yaml, constraint: without-keys.yaml, invalid: true}".to_owned(), "broken.yaml"),
    ] {
        let dir = alone(&test);
        let template = fs::read_to_string(dir.path().join("template.yaml")).expect("a template");
        fs::write(dir.path().join("broken.yaml"), template.replace("sprintf(", "sprintf((")).expect("written");
        let constraint = fs::read_to_string(dir.path().join("constraint.yaml")).expect("a constraint");
        fs::write(dir.path().join("other.yaml"), constraint.replace("kind: TeamLabels", "kind: Other"))
            .expect("written");
        let (status, json) = json(dir.path(), &["suite.yaml"]);
        let (passed, failed, _) = counts(&json);
        assert_eq!((status, passed, failed), (1, 0, 1), "{test}: {json:#}");
        let faults = json["suites"][0]["tests"][0]["faults"].to_string();
        assert!(faults.contains(wanted), "{test}: {json:#}");
    }
}

#[test]
fn what_is_no_suite_is_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).expect("written");
    write("pod.yaml", "{apiVersion: v1, kind: Pod}\n");
    write("chart.yaml", "{{ .Values.chart }}\n");
    write("notes.txt", "none\n");
    for (args, wanted) in [
        (&["."][..], "there is no suite in `.`"),
        (&["./..."], "there is no suite in `./...`"),
        (&["pod.yaml"], "`pod.yaml` is no suite"),
        (&["pod.yaml/..."], "there is nothing below it"),
        (&["not-there"], "`not-there` cannot be read"),
    ] {
        let ran = verify(dir.path(), args);
        assert!(ran.status == 3 && ran.stderr.contains(wanted), "{args:?}: {ran:?}");
    }
    write("broken.yaml", "kind: Suite\napiVersion: test.gatekeeper.sh/v1alpha1\ntests: [{cases: {}}]\n");
    let ran = verify(dir.path(), &["."]);
    assert!(ran.status == 1 && ran.stderr.contains("broken.yaml:3:"), "{ran:?}");
    let (status, json) = json(dir.path(), &["."]);
    assert_eq!((status, json["errors"][0]["line"].as_u64()), (1, Some(3)), "{json:#}");
    assert_eq!(verify(&data(), &["--run", "a//b//c", "owners"]).status, 2);
}

#[test]
fn a_suite_that_is_left_out_is_not_taken_for_a_success() {
    for run in ["no such name", "no such name//"] {
        let ran = verify(&data(), &["--run", run, "owners"]);
        assert!(
            ran.status == 0 && ran.stderr.contains(&format!("nothing was run: `--run {run}` takes no test")),
            "{ran:?}"
        );
        assert!(ran.stdout.contains("[nothing run]\nNOTHING RUN\n0 passed, 0 failed, "), "{ran:?}");
        assert!(!ran.stdout.contains("PASS"), "{ran:?}");
        assert_eq!(verify(&data(), &["--run", run, "--deny-skipped", "owners"]).status, 1);
    }
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("suite.yaml"), "kind: Suite\napiVersion: test.gatekeeper.sh/v1alpha1\ntests: []\n")
        .expect("written");
    let ran = verify(dir.path(), &["."]);
    assert!(ran.status == 0 && ran.stdout.contains("NOTHING RUN"), "{ran:?}");
    assert_eq!(verify(dir.path(), &["--deny-skipped", "."]).status, 1);
}
