//! Records are lines of JSON that readers can take, whatever is in them; and none waits for the disk.

use std::fs;
use std::time::{Duration, Instant, SystemTime};

use portcullis_policy::{Describe, Fields, Identity, Labels, Place, RuleInfo, Traffic};
use serde_json::Value;

use super::*;

/// Keys, shown as memcached shows them, or anything else.
struct Keys<'a>(&'a [&'a [u8]]);

impl Describe for Keys<'_> {
    fn describe(&self, fields: &mut dyn Fields) {
        fields.text("command", b"get");
        fields.list("keys", &mut self.0.iter().copied());
    }
}

fn meta() -> Meta {
    Meta {
        id: 7,
        traffic: Traffic::Ingress,
        endpoint: Labels::default(),
        endpoint_id: 0,
        remote: Identity::unknown(None),
        port: 11211,
        source: "10.0.0.1:1234".parse().ok(),
        destination: None,
    }
}

fn line(keys: &[&[u8]], reason: &str) -> (Vec<u8>, Value) {
    let meta = meta();
    let keys = Keys(keys);
    let entry = Entry {
        status: Status::Denied,
        protocol: "memcache",
        meta: &meta,
        rule: None,
        reason,
        generation: 3,
        fields: Some(&keys),
    };
    let mut out = Vec::new();
    write_json(&entry, SystemTime::UNIX_EPOCH + Duration::from_millis(1_740_700_799_042), &mut out);
    let value = serde_json::from_slice(&out).unwrap_or_else(|error| panic!("{error}: {}", out.escape_ascii()));
    (out, value)
}

#[test]
fn a_record_says_who_what_and_why() {
    let (text, value) = line(&[b"a", b"b"], "no rule matches");
    assert_eq!(text.last(), Some(&b'\n'));
    assert_eq!(
        value,
        serde_json::json!({
            "v": 1, "time": "2025-02-27T23:59:59.042Z", "type": "request", "verdict": "denied", "protocol": "memcache",
            "direction": "ingress", "connection": 7, "source": "10.0.0.1:1234", "port": 11211,
            "remote": {"knownBy": "nothing", "labels": {"reserved:world": ""}}, "generation": 3,
            "reason": "no rule matches", "fields": {"command": "get", "keys": ["a", "b"]},
        })
    );
}

#[test]
fn hostile_bytes_neither_break_the_line_nor_fill_it() {
    let endless = vec![0_u8; 100_000];
    let quotes = vec![b'"'; 300];
    let all: Vec<u8> = (0..=255).collect();
    let keys: Vec<&[u8]> = vec![b"\xff\"\\\n\r\0", "\u{202e}\u{1f600}".as_bytes(), &endless, &quotes, &all];
    let many: Vec<&[u8]> = keys.iter().copied().cycle().take(10_000).collect();
    let (text, value) = line(&many, &"x".repeat(10_000));
    assert!(text.len() <= MAX_ENTRY, "{}", text.len());
    assert!(text.is_ascii() && text.iter().filter(|byte| byte.is_ascii_control()).count() == 1);
    assert_eq!(value["fields"]["keys"][0], "\\xff\"\\\n\r\0");
    assert_eq!(value["fields"]["keys"][1], "\u{202e}\u{1f600}");
    let shown = value["fields"]["keys"].as_array().unwrap().len();
    assert_eq!(shown + value["fields"]["keysNotShown"].as_u64().unwrap() as usize, 10_000);
}

#[test]
fn a_record_of_nothing_but_long_names_still_fits() {
    let long = "\u{1}".repeat(250);
    let labels = (0..50).map(|n| (format!("{n}{long}"), long.clone()));
    let mut meta = meta();
    meta.remote.labels = Labels::new(labels).unwrap();
    let keys: Vec<&[u8]> = vec![long.as_bytes(); 20];
    let rule = RuleInfo { name: long.clone(), place: place(), audit: false };
    let entry = Entry {
        status: Status::Denied,
        protocol: "memcache",
        meta: &meta,
        rule: Some(&rule),
        reason: &long,
        generation: u64::MAX,
        fields: Some(&Keys(&keys)),
    };
    let mut out = Vec::new();
    write_json(&entry, SystemTime::now(), &mut out);
    assert!(out.len() <= MAX_ENTRY, "{}", out.len());
    let value: Value = serde_json::from_slice(&out).unwrap();
    assert!(value["rule"].as_str().unwrap().starts_with('\u{1}'));
}

fn place() -> Place {
    Place { file: "f".into(), line: 1, column: 1 }
}

#[test]
fn levels_choose_what_is_recorded() {
    struct Nowhere;
    impl Sink for Nowhere {
        fn record(&self, _: &Entry<'_>) {}
    }
    let statuses = [Status::Denied, Status::Audited, Status::Error, Status::Forwarded, Status::Reply];
    for (level, wanted) in [(Level::Denied, 3), (Level::Requests, 4), (Level::Responses, 5)] {
        let log = Log::new("p", level, Arc::new(Nowhere));
        assert_eq!(statuses.iter().filter(|&&status| log.wants(status).is_some()).count(), wanted);
    }
    assert!(Log::off("p").wants(Status::Denied).is_none());
}

fn record(log: &AccessLog, key: &str) {
    let meta = meta();
    let keys = [key.as_bytes()];
    let keys = Keys(&keys);
    log.record(&Entry {
        status: Status::Denied,
        protocol: "p",
        meta: &meta,
        rule: None,
        reason: "",
        generation: 1,
        fields: Some(&keys),
    });
}

#[test]
fn every_record_is_written_or_counted_as_lost() {
    const TOTAL: u64 = 50_000;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let log = AccessLog::open(&Target::File(path.clone())).unwrap();
    for n in 0..TOTAL {
        record(&log, &n.to_string());
    }
    let lost = log.lost();
    drop(log);
    let lines = fs::read_to_string(path).unwrap().lines().count() as u64;
    assert_eq!(lines + lost, TOTAL);
}

#[test]
fn a_target_that_cannot_be_written_loses_records_and_says_so() {
    let log = AccessLog::open(&Target::File("/dev/full".into())).unwrap();
    record(&log, "a");
    await_true(|| log.lost() == 1);
    assert!(AccessLog::open(&Target::File("/no/such/folder/log".into())).is_err());
}

#[test]
fn a_file_is_opened_anew_after_rotation() {
    let folder = tempfile::tempdir().unwrap();
    let (path, old) = (folder.path().join("log"), folder.path().join("log.1"));
    let log = AccessLog::open(&Target::File(path.clone())).unwrap();
    record(&log, "before");
    await_true(|| fs::read_to_string(&path).is_ok_and(|text| text.contains("before")));
    fs::rename(&path, &old).unwrap();
    await_true(|| path.exists());
    record(&log, "after");
    drop(log);
    assert!(fs::read_to_string(&path).unwrap().contains("after"));
    assert!(!fs::read_to_string(&old).unwrap().contains("after"));
}

fn await_true(mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(20), "nothing happened in time");
        std::thread::sleep(Duration::from_millis(5));
    }
}
