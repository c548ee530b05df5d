//! What a listener can be told, what is refused and how that is said, and files that change.

mod common;

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use common::{config, policy};
use portcullis_envoy_mock::{Connection, Listener, log_lines};
use serde_json::{Value, json};

/// Opens a listener that must be refused, and looks for one line of the log at error level that says all of this.
fn refuse(config: &str, says: &[&str]) {
    assert!(Listener::open(config).is_err(), "{config}");
    let lines = log_lines("portcullis: ");
    let found = |line: &String| line.starts_with("[4]") && says.iter().all(|text| line.contains(text));
    assert!(lines.iter().any(found), "no line says all of {says:?}: {lines:#?}");
}

#[test]
fn text_that_is_not_json_is_refused() {
    refuse("", &["filter_config: empty"]);
    refuse("{", &["filter_config: not JSON", "line 1 column 1"]);
    refuse("protocol: chat\n", &["filter_config: not JSON", "line 1 column 1"]);
    refuse("{\"protocol\": \"chat\",}", &["not JSON", "key must be a string", "column 21"]);
    refuse("\u{0}", &["not JSON"]);
    refuse("[]", &["filter_config: wanted one JSON object"]);
}

#[test]
fn fields_that_are_wrong_are_refused_with_their_place() {
    let cases: [(Value, &[&str]); 14] = [
        (json!({"polciy": 1}), &["filter_config:1:", "unknown field `polciy`"]),
        (json!({"protocol": "nonesuch"}), &["filter_config:1:", "protocol: unknown protocol `nonesuch`", "`chat`"]),
        (json!({"protocolConfig": {"x": 1}}), &["filter_config:1:", "protocolConfig: ", "unknown field `x`"]),
        (json!({"policy": {}}), &["filter_config:1:", "policy: names no policy"]),
        (json!({"policy": {"file": "x"}}), &["filter_config:1:", "unknown field `file`"]),
        (json!({"endpoint": "somewhere"}), &["filter_config:1:", "endpoint: `somewhere` is not known here"]),
        (json!({"endpoint": {"labels": {"": "x"}}}), &["filter_config:1:", "endpoint", "label key"]),
        (json!({"endpoint": "lookup"}), &["filter_config:1:", "endpoint: `lookup` needs"]),
        (json!({"direction": "sideways"}), &["direction: `sideways` is not known here"]),
        (json!({"port": 70000}), &["filter_config:1:", "port: ", "70000"]),
        (json!({"default": "maybe"}), &["default: `maybe` is not known here"]),
        (json!({"limits": {"maxFrame": 1}}), &["limits", "unknown field `maxFrame`"]),
        (json!({"accessLog": {"path": "stderr", "level": "loud"}}), &["accessLog.level: `loud` is not known here"]),
        (json!({"accessLog": {"path": "/nonexistent/log"}}), &["filter_config:1:", "accessLog: `/nonexistent/log`"]),
    ];
    for (changes, says) in cases {
        refuse(&config(changes), says);
    }
    refuse("{\n\"protocol\": \"chat\",\n \"polciy\": {}\n}", &["filter_config:3:2", "unknown field `polciy`"]);
}

#[test]
fn files_that_cannot_be_used_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broken.yaml");
    let name = file.to_str().unwrap();
    refuse(&config(json!({"policy": {"files": [name]}})), &[name, "No such file"]);
    refuse(&config(json!({"identities": name})), &[name, "No such file"]);
    fs::write(&file, policy(&["ask"]).replace("verb", "word")).unwrap();
    refuse(&config(json!({"policy": {"files": [name]}})), &[name, ":1:", "unknown field `word`"]);
    fs::write(&file, "identities:\n- address: nowhere\n  labels: {a: b}\n").unwrap();
    refuse(&config(json!({"identities": name})), &[name, ":2:", "`nowhere`"]);
    refuse(&config(json!({"identities": folder.path()})), &["identities"]);
    refuse(&config(json!({"policy": {"inline": "hello"}})), &["policy.inline:1:1"]);
}

/// Asks again and again, on new connections, until the answer is as wanted. If it never is, the test never ends.
fn wait_until(listener: &Listener, request: &[u8], passes: bool) {
    loop {
        let connection = listener.connect();
        connection.client(request);
        let passed = connection.to_server() == request;
        connection.finish();
        if passed == passes {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn passes(connection: &Connection, request: &[u8]) -> bool {
    let before = connection.to_server().len();
    connection.client(request);
    connection.to_server().len() > before
}

fn write_policy(path: &Path, verbs: &[&str]) {
    fs::write(path, policy(verbs)).unwrap();
}

#[test]
fn a_changed_policy_reaches_open_connections_and_a_broken_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.yaml");
    write_policy(&file, &["ask"]);
    let listener = Listener::open(&config(json!({"policy": {"directory": folder.path()}}))).unwrap();
    let open = listener.connect();
    assert!(passes(&open, b"ask\n") && !passes(&open, b"put\n"));

    write_policy(&file, &["put"]);
    wait_until(&listener, b"put\n", true);
    assert!(!passes(&open, b"ask\n") && passes(&open, b"put\n"));

    fs::write(&file, "{\"kind\": \"Nonsense\"}").unwrap();
    let said = || log_lines(folder.path().to_str().unwrap()).len();
    while said() == 0 {
        thread::sleep(Duration::from_millis(20));
    }
    assert!(passes(&open, b"put\n"), "the last good policy stays");
    assert!(log_lines(folder.path().to_str().unwrap())[0].contains("keeping the policy in force"));

    // A further file mends nothing; the broken one gone does.
    write_policy(&folder.path().join("more.yaml"), &["ask"]);
    fs::remove_file(&file).unwrap();
    wait_until(&listener, b"put\n", false);
    assert!(passes(&open, b"ask\n") && !passes(&open, b"put\n"));
    open.finish();
    assert_eq!(listener.metric("chat.policy_reloads"), 2);
    assert!(listener.metric("chat.policy_errors") >= 1);
    assert_eq!(listener.metric("chat.policy_generation"), 3);
}

#[test]
fn identities_count_anew_for_new_connections() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("identities.yaml");
    let known =
        |labels: &str| fs::write(&file, format!("identities:\n- cidr: 10.77.0.0/16\n  labels: {labels}\n")).unwrap();
    known("{role: stranger}");
    let policy = policy(&["ask"])
        .replace("\"toPorts\"", "\"fromEndpoints\":[{\"matchLabels\":{\"role\":\"friend\"}}],\"toPorts\"");
    let listener = Listener::open(&config(json!({"policy": {"inline": policy}, "identities": file}))).unwrap();
    let open = listener.connect();
    assert!(!passes(&open, b"ask\n"));
    known("{role: friend}");
    wait_until(&listener, b"ask\n", true);
    assert!(!passes(&open, b"ask\n"), "who a connection is does not change");
    fs::write(&file, "identities: 5\n").unwrap();
    while log_lines(file.to_str().unwrap()).is_empty() {
        thread::sleep(Duration::from_millis(20));
    }
    wait_until(&listener, b"ask\n", true);
    open.finish();
}

#[test]
fn a_file_that_is_written_anew_with_the_same_text_is_no_new_policy() {
    let folder = tempfile::tempdir().unwrap();
    let (file, identities) = (folder.path().join("policy.yaml"), folder.path().join("identities"));
    let friends =
        policy(&["ask"]).replace("\"toPorts\"", "\"fromEndpoints\":[{\"matchLabels\":{\"a\":\"b\"}}],\"toPorts\"");
    fs::write(&file, &friends).unwrap();
    fs::write(&identities, "identities: []\n").unwrap();
    let changes = json!({"policy": {"files": [file]}, "identities": identities});
    let listener = Listener::open(&config(changes)).unwrap();
    fs::remove_file(&file).unwrap();
    fs::write(&file, &friends).unwrap();
    // Identities are looked at after policies: once these count, the policy has been looked at, too.
    fs::write(&identities, "identities:\n- address: 10.77.0.11\n  labels: {a: b}\n").unwrap();
    wait_until(&listener, b"ask\n", true);
    listener.connect().finish();
    assert_eq!(listener.metric("chat.policy_generation"), 1);
    assert_eq!(listener.metric("chat.policy_reloads"), 0);
}

#[test]
fn an_endpoint_that_is_looked_up_has_the_policy_of_its_address() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("identities.yaml");
    // The small Envoy's connections come from 10.77.0.11 and are for 10.77.1.5.
    fs::write(&file, "identities:\n- address: 10.77.1.5\n  labels: {app: chat}\n").unwrap();
    let selected =
        |label: &str| policy(&["ask"]).replace("{}", &format!("{{\"matchLabels\":{{\"app\":\"{label}\"}}}}"));
    for (label, expected) in [("chat", true), ("other", false)] {
        let changes = json!({"policy": {"inline": selected(label)}, "identities": file, "endpoint": "lookup"});
        let listener = Listener::open(&config(changes)).unwrap();
        let connection = listener.connect();
        assert_eq!(passes(&connection, b"ask\n"), expected, "{label}");
        connection.finish();
    }
}

#[test]
fn the_port_is_that_of_the_connection_or_the_one_told() {
    for (port, expected) in [(None, true), (Some(11211), true), (Some(11212), false)] {
        let changes = port.map_or(json!({}), |port| json!({"port": port}));
        let listener = Listener::open(&config(changes)).unwrap();
        let connection = listener.connect();
        assert_eq!(passes(&connection, b"ask\n"), expected, "{port:?}");
        connection.finish();
    }
}

#[test]
fn listeners_share_the_writer_of_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.jsonl");
    let open = || Listener::open(&config(json!({"accessLog": {"path": file, "level": "requests"}}))).unwrap();
    let (one, two) = (open(), open());
    for listener in [&one, &two] {
        let connection = listener.connect();
        connection.client(b"ask\nkill\n");
        connection.finish();
    }
    drop(one);
    drop(two);
    let log = fs::read_to_string(file).unwrap();
    let verdicts: Vec<Value> =
        log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["verdict"].clone()).collect();
    assert_eq!(verdicts, ["forwarded", "denied", "forwarded", "denied"]);
}
