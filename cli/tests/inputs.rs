//! What is no policy, no log and no capture, and what comes by the standard input.
#![expect(clippy::expect_used, reason = "tests fail by panicking")]

mod common;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Ran, portcullis, repository};

/// Runs the program with something on its standard input.
fn fed(dir: &Path, args: &[&str], input: &str) -> Ran {
    let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(args)
        .current_dir(dir)
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // It may end before it has read all.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("an end");
    Ran {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

const SETTING: &[&str] = &["--protocol", "memcache", "--port", "11211", "--endpoint", "app=memcached"];

/// Whatever is named: an exit status that says what it was, and its name in the message.
#[test]
fn what_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().expect("a directory");
    let dir = folder.path();
    std::fs::copy(repository("docs/cli/examples/cache.yaml"), dir.join("policy.yaml")).expect("copied");
    std::fs::create_dir(dir.join("folder")).expect("made");
    std::fs::write(dir.join("empty"), "").expect("written");
    std::fs::write(dir.join("words"), "hello\n").expect("written");
    std::fs::write(dir.join("binary"), [0_u8, 255, 17, 0, 200].repeat(500)).expect("written");
    for (file, policy, suite, log, capture) in [
        ("missing", 3, 3, 3, 3),
        ("folder", 0, 3, 3, 3),
        ("empty", 0, 3, 2, 3),
        ("words", 1, 3, 3, 1),
        ("binary", 1, 3, 3, 1),
    ] {
        let replay = [&["replay", "--policy", "policy.yaml"], SETTING, &[file]].concat();
        for (args, status) in [
            (&["check", file][..], policy),
            (&["check", "-o", "json", file], policy),
            (&["test", file], suite),
            (&["explain", "-p", "policy.yaml", "--log", file], log),
            (&replay, capture),
        ] {
            let ran = portcullis(dir, args);
            assert_eq!(ran.status, status, "{args:?}: {ran:?}");
            assert!(format!("{}{}", ran.stdout, ran.stderr).contains(file), "{args:?}: {ran:?}");
        }
    }
    for args in [&["check", "folder"][..], &["check", "empty"], &["migrate", "empty"]] {
        let ran = portcullis(dir, args);
        assert!(ran.stderr.contains("there is no policy in"), "{args:?}: {ran:?}");
    }
    std::fs::write(dir.join("none.yaml"), "policies: [policy.yaml]\ntests: []\n").expect("written");
    assert!(portcullis(dir, &["test", "none.yaml"]).stderr.contains("nothing is tested"));
    let once = portcullis(dir, &["top", "--once", "--access-log", "folder"]);
    assert!(once.status == 3 && once.stderr.contains("`folder` is a directory"), "{once:?}");
}

#[test]
fn policies_and_logs_come_by_the_standard_input() {
    let dir = repository("docs/cli/examples");
    let policy = std::fs::read_to_string(dir.join("doubtful.yaml")).expect("a policy");
    let ran = fed(&dir, &["check", "-"], &policy);
    assert_eq!((ran.status, ran.stdout.contains("warning: -:14:21:")), (0, true), "{ran:?}");
    let ran = fed(&dir, &["check", "-"], &policy.replace("l7proto", "l7prot"));
    assert_eq!((ran.status, ran.stderr.contains("error: -:")), (1, true), "{ran:?}");
    let ran = fed(&dir, &["check", "--fix", "-"], &policy);
    assert_eq!((ran.status, ran.stderr.contains("cannot write to the standard input")), (2, true), "{ran:?}");
    let ran = fed(&dir, &["check", "--diff", "-"], &policy);
    assert_eq!(ran.status, 0, "{ran:?}");
    let old = std::fs::read_to_string(dir.join("old.yaml")).expect("a policy");
    let ran = fed(&dir, &["migrate", "-"], &old);
    assert_eq!((ran.status, ran.stdout.contains("+kind: L7Policy")), (1, true), "{ran:?}");
    assert_eq!(fed(&dir, &["migrate", "--in-place", "-"], &old).status, 2);
    let log = std::fs::read_to_string(dir.join("denied.jsonl")).expect("a log");
    let ran = fed(&dir, &["explain", "-p", "cache.yaml", "--log", "-"], &log);
    assert_eq!((ran.status, ran.stdout.contains("to app=memcached")), (1, true), "{ran:?}");
}

/// Whom the listener protects is taken from the policies, or asked for.
#[test]
fn a_line_of_the_log_is_explained_with_what_the_policies_say() {
    let folder = tempfile::tempdir().expect("a directory");
    let dir = folder.path();
    let examples = repository("docs/cli/examples");
    for file in ["cache.yaml", "denied.jsonl"] {
        std::fs::copy(examples.join(file), dir.join(file)).expect("copied");
    }
    let policy = std::fs::read_to_string(dir.join("cache.yaml")).expect("a policy");
    let asked = |policies: &[(&str, String)], more: &[&str]| {
        let mut args = vec!["explain", "--log", "denied.jsonl"];
        for (file, text) in policies {
            std::fs::write(dir.join(file), text).expect("written");
            args.extend(["-p", file]);
        }
        portcullis(dir, &[&args, more].concat())
    };
    let named = |text: &str, name: &str| text.replace("name: cache", &format!("name: {name}"));
    let other = named(&policy.replace("app: memcached", "app: redis"), "other");
    let same = named(&policy, "same");
    let ran = asked(&[("a.yaml", policy.clone()), ("b.yaml", same)], &[]);
    assert!(ran.status == 1 && ran.stdout.contains("to app=memcached"), "{ran:?}");
    assert!(ran.stdout.contains("those that the policies select are taken"), "{ran:?}");
    let ran = asked(&[("a.yaml", policy.clone()), ("b.yaml", other.clone())], &[]);
    assert!(ran.status == 2 && ran.stderr.contains("`--to app=memcached` or `--to app=redis`"), "{ran:?}");
    let ran = asked(&[("a.yaml", policy.clone()), ("b.yaml", other)], &["--to", "app=memcached"]);
    assert!(ran.status == 1 && !ran.stdout.contains("are taken"), "{ran:?}");
    let spaced = policy.replace("name: cache", "name: cache, namespace: shop");
    let ran = asked(&[("a.yaml", spaced)], &[]);
    assert!(ran.stdout.contains("k8s:io.kubernetes.pod.namespace=shop"), "{ran:?}");
    // Since then somebody has changed the policy.
    let wider = policy.replace("session/", "");
    let ran = asked(&[("a.yaml", wider.replace(", keyPrefix: \"\"", ""))], &[]);
    assert!(ran.status == 0 && ran.stdout.contains("the log says `denied`"), "{ran:?}");
}
