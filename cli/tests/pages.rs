//! The examples of the pages are run, and their output is what stands there. `PORTCULLIS_WRITE=1` writes it anew.
#![expect(clippy::expect_used, reason = "tests fail by panicking")]

mod common;

use common::{portcullis, repository};

const PAGES: &[&str] = &[
    "cli/check.md",
    "cli/explain.md",
    "cli/test.md",
    "cli/migrate.md",
    "cli/admission.md",
    "cli/protocols.md",
    "cli/install.md",
    "troubleshooting.md",
];

/// Runs the command lines of a block, and shows what they give.
fn play(block: &str) -> String {
    let dir = repository("docs/cli/examples");
    let mut shown = String::new();
    for line in block.lines().filter_map(|line| line.strip_prefix("$ ")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let args = words.strip_prefix(&["portcullis"]).expect("a command line of ours");
        let ran = portcullis(&dir, args);
        shown.push_str(&format!("$ {line}\n{}{}", ran.stdout, ran.stderr));
    }
    shown
}

#[test]
fn examples_give_what_the_pages_show() {
    for page in PAGES {
        let path = repository("docs").join(page);
        let before = std::fs::read_to_string(&path).expect("a page");
        let (mut after, mut rest) = (String::new(), before.as_str());
        while let Some((head, tail)) = rest.split_once("```console\n") {
            let (block, tail) = tail.split_once("```").expect("an end");
            after.push_str(&format!("{head}```console\n{}```", play(block)));
            rest = tail;
        }
        after.push_str(rest);
        if std::env::var_os("PORTCULLIS_WRITE").is_some() {
            std::fs::write(&path, &after).expect("written");
        }
        let now = std::fs::read_to_string(&path).expect("a page");
        assert!(
            now == after,
            "{page} is stale: run `PORTCULLIS_WRITE=1 cargo test -p portcullis-cli --test pages`\n{after}"
        );
    }
}

#[test]
fn the_schema_of_suites_is_not_stale() {
    let path = repository("docs/cli/test-suite.schema.json");
    let wanted = portcullis(&repository("docs"), &["test", "--schema"]).stdout;
    if std::env::var_os("PORTCULLIS_WRITE").is_some() {
        std::fs::write(&path, &wanted).expect("written");
    }
    assert!(std::fs::read_to_string(&path).expect("a schema") == wanted, "run with `PORTCULLIS_WRITE=1`");
}

/// Every page, every lint and every command is there.
#[test]
fn the_pages_are_complete() {
    let page = |name: &str| std::fs::read_to_string(repository("docs/cli").join(name)).expect(name);
    let check = page("check.md");
    for lint in portcullis_policy::lint::ALL {
        assert!(check.contains(&format!("`{lint}`")), "{lint} is not in check.md");
    }
    let index = page("README.md");
    let help = portcullis(&repository("docs"), &["--help"]).stdout;
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    for command in commands
        .filter_map(|line| line.strip_prefix("  ")?.split_once(' '))
        .map(|(name, _)| name)
        .filter(|name| !name.is_empty())
    {
        assert!(command == "help" || index.contains(&format!("`{command}`")), "{command} is not in README.md");
    }
}

/// What a suite, a JUnit report and the exit statuses are to machines.
#[test]
fn machines_can_read_what_is_written() {
    let dir = repository("docs/cli/examples");
    let report = tempfile::tempdir().expect("a directory");
    let file = report.path().join("junit.xml");
    let ran = portcullis(
        &dir,
        &["test", "-o", "json", "--junit", file.to_str().expect("a path"), "cache.test.yaml", "failing.test.yaml"],
    );
    assert_eq!(ran.status, 1, "{ran:?}");
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!((json["passed"].as_u64(), json["failed"].as_u64()), (Some(5), Some(1)), "{json}");
    let xml = std::fs::read_to_string(&file).expect("a report");
    for part in [
        "<testsuite name=\"failing.test.yaml\" tests=\"2\" failures=\"1\"",
        "<failure message=\"expected allowed, allowed, was allowed, denied\">",
        "</testsuites>",
    ] {
        assert!(xml.contains(part), "{part} is not in\n{xml}");
    }
    for (args, status) in [
        (&["check", "cache.yaml"][..], 0),
        (&["check", "--deny-warnings", "doubtful.yaml"], 1),
        (&["check", "broken/port.yaml"], 1),
        (&["check", "--protocol", "smtp", "cache.yaml"], 2),
        (&["check", "--no-such-thing"], 2),
        (&["explain", "-p", "cache.yaml"], 2),
        (&["explain", "-p", "not-there.yaml", "--protocol", "r2d2", "--port", "1", "--to", "a=b", "-f", "cmd=HALT"], 3),
        (&["test", "not-there.yaml"], 3),
    ] {
        let ran = portcullis(&dir, args);
        assert_eq!(ran.status, status, "{args:?}: {ran:?}");
        assert_eq!(ran.stderr.is_empty(), status == 0 || args.contains(&"--deny-warnings"), "{args:?}: {ran:?}");
    }
    let refused = portcullis(&dir, &["check", "-o", "json", "broken/field.yaml"]);
    let json: serde_json::Value = serde_json::from_str(&refused.stdout).expect("JSON");
    assert_eq!((refused.status, json["ok"].as_bool(), json["errors"][0]["line"].as_u64()), (1, Some(false), Some(13)));
}
