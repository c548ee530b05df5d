//! `portcullis admission`: what is told of files that are empty, missing, or something else than was wanted.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod common;

use std::path::PathBuf;

use common::{Ran, portcullis, repository};

fn here() -> PathBuf {
    repository("cli/tests/admission")
}

fn admission(args: &[&str]) -> Ran {
    portcullis(&here(), &[&["admission"], args].concat())
}

/// A directory that is there may be the wrong one.
#[test]
fn without_hooks_that_is_told() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(dir.path().join("nothing")).expect("a directory");
    std::fs::write(dir.path().join("empty.yaml"), "").expect("written");
    let policy = std::fs::read_to_string(repository("docs/cli/examples/cache.yaml")).expect("a policy");
    std::fs::write(dir.path().join("policy.yaml"), policy).expect("written");
    for path in ["nothing", "empty.yaml", "policy.yaml"] {
        for (args, status, begins) in [
            (&["check"][..], 0, "note: "),
            (&["docs"], 0, "note: "),
            (&["test"], 0, "note: "),
            (&["test", "--require-tests"], 1, "error: "),
            (&["test", "--require-tests", "-o", "json"], 1, "error: "),
        ] {
            let ran = portcullis(dir.path(), &[&["admission"], args, &[path]].concat());
            let wanted = format!("{begins}there is no hook in `{path}`: ");
            assert!(ran.status == status && ran.stderr.starts_with(&wanted), "{args:?} {path}: {ran:?}");
        }
    }
    for args in [&["check"][..], &["docs"], &["test", "--require-tests"]] {
        let ran = admission(&[args, &["hooks/team-label.yaml"]].concat());
        assert!(!ran.stderr.contains("there is no hook"), "{args:?}: {ran:?}");
    }
}

/// What is doubtful in a hook is told once, by its message.
#[test]
fn warnings_of_hooks_are_a_line_each() {
    let dir = tempfile::tempdir().expect("a directory");
    let hook = std::fs::read_to_string(here().join("hooks/team-label.yaml")).expect("a hook");
    let unused = hook.replace("  uri: /team-label\n", "  uri: /team-label\n  lists: {known: [a]}\n");
    std::fs::write(dir.path().join("hook.yaml"), unused).expect("written");
    for args in [&["admission", "check"][..], &["check"]] {
        let ran = portcullis(dir.path(), &[args, &["hook.yaml"]].concat());
        let lines: Vec<_> = ran.stdout.lines().collect();
        let at = lines.iter().position(|line| line.starts_with("warning: hook.yaml:")).expect("a warning");
        assert!(lines[at].contains("lists.known") && !lines[at + 1].starts_with(' '), "{args:?}: {ran:?}");
    }
}

/// By the table in docs/cli/README.md.
#[test]
fn what_cannot_be_read_is_no_finding() {
    for args in [
        &["check"][..],
        &["check", "-o", "json"],
        &["test"],
        &["docs"],
        &["manifests", "--ca-bundle", "ca.crt"],
        &["eval", "hooks/pods.yaml"],
    ] {
        let ran = admission(&[args, &["hooks", "not-there"]].concat());
        assert!(ran.status == 3 && ran.stderr.contains("not-there") && ran.stdout.is_empty(), "{args:?}: {ran:?}");
    }
}

#[test]
fn an_object_is_asked_for_by_what_is_missing() {
    let dir = repository("docs/cli/examples");
    let given = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| {
        let path = given.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("a path").to_owned()
    };
    let text = write("text.yaml", "just a text\n");
    let list = write("list.json", "[1]");
    let unkind = write("unkind.yaml", "apiVersion: v1\nmetadata: {name: a}\n");
    let odd = write("odd.yaml", "apiVersion: v1\nkind: 7\n");
    let all = "write one of `CREATE`, `UPDATE`, `DELETE`, `CONNECT`, in upper case";
    for (args, status, words) in [
        (&[text.as_str()][..], 3, "text.yaml:1:1: this is no object"),
        (&[&list], 3, "list.json:1:1: this is no object"),
        (&[&text, "--resource", "pods"], 3, "this is no object"),
        (&["pod.yaml", "--operation", "UPDATE", "--old", &text], 3, "text.yaml:1:1: this is no object"),
        (&[&unkind], 3, "unkind.yaml:1:1: the object has no `kind`: write it"),
        (&[&unkind, "--resource", "configmaps"], 3, "the object has no `kind`: write it"),
        (&[&odd], 3, "the object has no `kind`"),
        (&["pod.yaml", "--operation", "create"], 2, all),
        (&["pod.yaml", "--operation", "create"], 2, "--operation"),
        (&["pod.yaml", "--operation", "*"], 2, all),
        (&["pod.yaml", "--operation", ""], 2, all),
    ] {
        let ran = portcullis(&dir, &[&["admission", "eval"], args, &["hooks"]].concat());
        assert!(ran.status == status && ran.stderr.contains(words), "{args:?}: {ran:?}");
        assert!(ran.stdout.is_empty() && !ran.stderr.contains("the test"), "{args:?}: {ran:?}");
    }
}
