//! `portcullis report`: the page, and the facts in it. `report_page.py` looks at it in a browser.

#[path = "replay_support/example.rs"]
mod example;
#[path = "replay_support/mod.rs"]
mod mod_capture;
#[path = "replay_support/run.rs"]
mod run;

use run::{check_page, run, run_json};
use serde_json::{Value, json};

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a directory");
    example::make(folder.path());
    folder
}

fn record(at: u32, verdict: &str, who: &str, more: &Value) -> String {
    let mut record = json!({
        "v": 1,
        "time": format!("2026-01-31T{:02}:{:02}:{:02}.000Z", at / 3600, at / 60 % 60, at % 60),
        "type": "request",
        "verdict": verdict,
        "protocol": "memcache",
        "direction": "ingress",
        "connection": 1,
        "source": "10.0.0.11:40392",
        "port": 11211,
        "remote": {"knownBy": "address", "labels": {"app": who}},
        "generation": 1,
    });
    record.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    record.to_string()
}

#[test]
fn the_page_of_the_documentation_shows_what_the_program_writes() {
    let folder = folder();
    check_page("report.md", folder.path());
}

#[test]
fn facts_are_counted_right() {
    let folder = folder();
    let get = |key: &str| json!({"fields": {"command": "get", "keys": [key]}});
    let with = |mut value: Value, name: &str, text: &str| {
        value[name] = json!(text);
        value
    };
    let used = "cache/spec.ingress[0].toPorts[0].rules.l7[0]";
    let log = [
        record(0, "forwarded", "web", &with(get("a"), "rule", used)),
        record(1, "forwarded", "web", &with(get("b"), "rule", used)),
        record(2, "denied", "web", &with(get("<b>"), "reason", "no rule matches")),
        record(3, "denied", "web", &with(get("<b>"), "reason", "no rule matches")),
        record(4, "audit", "job", &with(get("c"), "reason", "no rule matches")),
        record(5, "reply", "job", &json!({"fields": {"status": "END"}})),
        record(6, "error", "job", &json!({"type": "connection", "reason": "too long"})),
        "{}".to_owned(),
    ];
    std::fs::write(folder.path().join("log"), log.join("\n")).expect("a file");
    let (value, code) = run_json(folder.path(), &["report", "--policy", "policy.yaml", "log"]);
    assert_eq!(code, 0);
    for (name, wanted) in [
        ("requests", json!(5)),
        ("allowed", json!(2)),
        ("audited", json!(1)),
        ("denied", json!(2)),
        ("closed", json!(1)),
        ("from", json!("2026-01-31T00:00:00Z")),
        ("to", json!("2026-01-31T00:00:06Z")),
    ] {
        assert_eq!(value[name], wanted, "{name}");
    }
    assert_eq!(
        value["denials"],
        json!([
            {"who": "app=web", "request": "get <b>", "why": "no rule matches", "count": 2, "verdict": "denied"},
            {"who": "app=job", "request": "get c", "why": "no rule matches", "count": 1, "verdict": "audit"},
        ])
    );
    assert_eq!(value["rules"], json!([{"rule": used, "count": 2}]));
    let unused: Vec<_> = value["unused"].as_array().expect("a list").iter().map(|rule| rule["rule"].as_str()).collect();
    assert_eq!(unused, [Some("cache/spec.ingress[0].toPorts[0].rules.l7[1]"), Some("cache/look")]);
    assert_eq!(
        value["remarks"],
        json!(["log: 1 of 8 lines are no records of an access log, the first of them line 8"])
    );
}

#[test]
fn nothing_hostile_gets_into_the_page() {
    let folder = folder();
    let hostile = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'\u{202e}\u{0}";
    let long = "k".repeat(3000);
    let fields = |key: &str| json!({"fields": {"command": key, "keys": [key, long]}, "reason": key, "protocol": key});
    let log = [
        record(0, "denied", hostile, &fields(hostile)),
        record(0, "forwarded", hostile, &json!({"rule": hostile, "fields": {"command": hostile}})),
        record(0, "error", hostile, &json!({"reason": hostile})),
    ];
    std::fs::write(folder.path().join("log"), log.join("\n")).expect("a file");
    let args = ["report", "--title", hostile.trim_end_matches('\0'), "--policy", "policy.yaml", "log"];
    let ran = run(folder.path(), &args);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(ran.out.matches("<script").count(), 1, "but for ours");
    assert_eq!(ran.out.matches("<img").count(), 0);
    assert!(!ran.out.contains('\u{202e}') && !ran.out.contains('\0') && !ran.out.contains(&long));
    assert!(ran.out.contains("&lt;script&gt;alert(1)") && ran.out.contains("<i>\\u{202e}</i>"));
    assert!(!ran.out.contains("http://") && !ran.out.contains("https://"), "no network");
}

#[test]
fn a_log_without_records_is_an_error() {
    let folder = folder();
    std::fs::write(folder.path().join("log"), "one\ntwo\n").expect("a file");
    let ran = run(folder.path(), &["report", "log"]);
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains("no record of a request") && ran.err.contains("2 of 2 lines"), "{}", ran.err);
    assert_eq!(run(folder.path(), &["report", "nowhere"]).code, 3);
    assert_eq!(run(folder.path(), &["report"]).code, 2);
}

#[test]
fn times_that_are_far_apart_take_few_bars() {
    let folder = folder();
    let at = |time: &str| {
        let more = json!({"time": time, "reason": "x", "fields": {"command": "get"}});
        record(0, "denied", "web", &more)
    };
    let log = [at("0001-01-01T00:00:00Z"), at("9999-12-30T00:00:00Z"), at("2026-01-01T00:00:00Z"), at("never")];
    std::fs::write(folder.path().join("log"), log.join("\n")).expect("a file");
    let ran = run(folder.path(), &["report", "log"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.matches("<rect").count() <= 120);
}
