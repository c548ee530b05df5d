//! Who a TLS client is, and what an operator does while a listener serves: broken glass, the status file, bad policies.

mod common;

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{config, policy};
use portcullis_envoy_mock::{Certificate, Connection, Listener, log_lines};
use serde_json::{Value, json};

/// A policy of the strict kind that lets the given peer say `ask`.
fn policy_for(peer: &Value) -> String {
    let port =
        json!({"ports": [{"port": "11211", "protocol": "TCP"}], "rules": {"l7proto": "chat", "l7": [{"verb": "ask"}]}});
    json!({
        "apiVersion": "portcullis.dev/v1",
        "kind": "L7Policy",
        "metadata": {"name": "chat"},
        "spec": {"endpointSelector": {"matchLabels": {"app": "chat"}}, "ingress": [{"fromPeers": [peer], "toPorts": [port]}]},
    })
    .to_string()
}

fn client(uris: &[&str], dns_names: &[&str], subject: &str) -> Certificate {
    let bytes = |names: &[&str]| names.iter().map(|name| name.as_bytes().to_vec()).collect();
    Certificate { uris: bytes(uris), dns_names: bytes(dns_names), subject: subject.as_bytes().to_vec() }
}

fn passes(connection: &Connection, request: &[u8]) -> bool {
    let before = connection.to_server().len();
    connection.client(request);
    connection.to_server().len() > before
}

/// Waits, for as long as it takes.
fn wait_until(mut met: impl FnMut() -> bool) {
    while !met() {
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_client_is_who_its_certificate_says() {
    const FLEET: &str = "spiffe://alliance/fleet/xwing";
    let listen = |peer: Value| {
        Listener::open(&config(json!({"policy": {"inline": policy_for(&peer)}, "tlsIdentity": true}))).unwrap()
    };
    for (peer, certificate, expected) in [
        (json!({"spiffe": FLEET}), client(&[FLEET], &[], ""), true),
        (json!({"spiffe": "spiffe://alliance/fleet/*"}), client(&[FLEET], &["x.example"], "CN=x"), true),
        (json!({"spiffe": FLEET}), client(&["spiffe://alliance/fleet/ywing"], &[], ""), false),
        (json!({"spiffe": FLEET}), client(&[FLEET, "spiffe://alliance/other"], &[], ""), false),
        (json!({"dnsName": "*.fleet.example"}), client(&[], &["Xwing.fleet.example"], ""), true),
        (json!({"dnsName": "*.fleet.example"}), client(&[FLEET], &["fleet.example"], "CN=a.fleet.example"), false),
        (json!({"subject": "CN=xwing,O=Alliance"}), client(&[], &[], "CN=xwing,O=Alliance"), true),
        (json!({"subject": "CN=xwing,O=Alliance"}), client(&[], &["xwing"], "CN=xwing"), false),
    ] {
        let listener = listen(peer.clone());
        let connection = listener.connect();
        assert_eq!(passes(connection.show(certificate.clone()), b"ask\n"), expected, "{peer} {certificate:?}");
        connection.finish();
    }
    let listener = listen(json!({"spiffe": FLEET}));
    let connection = listener.connect();
    let broken = Certificate { uris: vec![FLEET.into(), b"\xff".to_vec()], ..Certificate::default() };
    assert!(!passes(connection.show(broken), b"ask\n"), "a second URI counts, whatever is in it");
    connection.finish();
}

#[test]
fn a_client_without_a_certificate_is_turned_away_where_one_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("access.jsonl");
    let listener = Listener::open(&config(json!({"tlsIdentity": true, "accessLog": {"path": log}}))).unwrap();
    // Everybody may ask, whoever it is.
    for shown in [None, Some(Certificate::default())] {
        let connection = listener.connect();
        if let Some(shown) = shown {
            connection.show(shown);
        }
        assert!(!passes(&connection, b"ask\n"));
        assert_eq!(connection.closed_with().as_deref(), Some("portcullis_no_certificate"));
        connection.finish();
    }
    assert_eq!(listener.metric("chat.errors"), 2);
    drop(listener);
    let log = fs::read_to_string(log).unwrap();
    assert_eq!(log.matches("the client has shown no certificate").count(), 2, "{log}");
}

#[test]
fn a_certificate_counts_for_nothing_unless_the_listener_says_so() {
    let peer = json!({"spiffe": "spiffe://alliance/a"});
    let listener = Listener::open(&config(json!({"policy": {"inline": policy_for(&peer)}}))).unwrap();
    let connection = listener.connect();
    assert!(!passes(connection.show(client(&["spiffe://alliance/a"], &[], "")), b"ask\n"));
    connection.finish();
}

#[test]
fn where_a_certificate_is_optional_who_shows_none_is_nobody_by_name() {
    let open = |peer: serde_json::Value| {
        let policy = json!({"inline": policy_for(&peer)});
        Listener::open(&config(json!({"policy": policy, "tlsIdentity": "optional"}))).unwrap()
    };
    let named = open(json!({"spiffe": "spiffe://alliance/a"}));
    let connection = named.connect();
    assert!(passes(connection.show(client(&["spiffe://alliance/a"], &[], "")), b"ask\n"));
    connection.finish();
    let connection = named.connect();
    assert!(!passes(&connection, b"ask\n"));
    assert_eq!(connection.closed_with(), None);
    connection.finish();
    assert!(Listener::open(&config(json!({"tlsIdentity": "perhaps"}))).is_err());
    assert!(!log_lines("tlsIdentity: unknown value `perhaps`; wanted `true`, `false` or \"optional\"").is_empty());
}

#[test]
fn for_egress_the_certificate_is_the_wrong_sides() {
    assert!(Listener::open(&config(json!({"tlsIdentity": true, "direction": "egress"}))).is_err());
    assert!(!log_lines("tlsIdentity: the certificate is the client's").is_empty());
}

/// A time some seconds from now, as RFC 3339 has it.
fn in_seconds(seconds: u64) -> String {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + seconds;
    let (days, of_day) = (at / 86_400, at % 86_400);
    let (mut year, mut left) = (1970, days);
    let leap = |year: u64| (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
    while left >= 365 + u64::from(leap(year)) {
        left -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", left + 1)
}

#[test]
fn while_the_glass_is_broken_denials_pass_and_are_logged() {
    let folder = tempfile::tempdir().unwrap();
    let (glass, log) = (folder.path().join("glass.yaml"), folder.path().join("access.jsonl"));
    let changes = json!({"breakGlass": glass, "accessLog": {"path": log}});
    let listener = Listener::open(&config(changes)).unwrap();
    let connection = listener.connect();
    assert!(!passes(&connection, b"kill\n"));
    fs::write(&glass, format!("mode: audit\nuntil: {}\nreason: drill 7\n", in_seconds(5))).unwrap();
    wait_until(|| passes(&connection, b"kill\n"));
    assert_eq!(connection.metadata()["portcullis.verdict"], "audit");
    let said = log_lines("drill 7");
    assert!(said.iter().any(|line| line.starts_with("[4] portcullis: AUDIT")), "{said:?}");
    assert!(passes(&connection, b"ask\n"));
    // Its time comes, and the file is still there.
    wait_until(|| !passes(&connection, b"kill\n"));
    assert!(glass.exists());
    wait_until(|| !log_lines("the glass is mended").is_empty());
    connection.client(b"bad\n");
    connection.finish();
    drop(listener);
    let log = fs::read_to_string(log).unwrap();
    assert!(log.contains("\"verdict\":\"audit\""), "{log}");
}

#[test]
fn a_break_glass_file_with_a_mistake_changes_nothing_and_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let glass = folder.path().join("mistaken-glass.yaml");
    fs::write(&glass, "mode: audit\nuntil: whenever\n").unwrap();
    let listener = Listener::open(&config(json!({"breakGlass": glass}))).unwrap();
    let said = log_lines("mistaken-glass.yaml");
    assert!(said.iter().any(|line| line.starts_with("[4]") && line.contains("`whenever`")), "{said:?}");
    let connection = listener.connect();
    assert!(!passes(&connection, b"kill\n"));
    connection.finish();
}

fn status(path: &Path) -> Value {
    fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

#[test]
fn the_status_file_says_how_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let (file, told) = (folder.path().join("policy.yaml"), folder.path().join("status.json"));
    fs::write(&file, policy(&["ask"])).unwrap();
    let listener = Listener::open(&config(json!({"policy": {"files": [file]}, "statusFile": told}))).unwrap();
    wait_until(|| status(&told)["status"] == "ok");
    assert_eq!(status(&told)["generation"], 1);
    fs::write(&file, "kind: Nonsense\n").unwrap();
    wait_until(|| status(&told)["status"] == "error");
    assert!(status(&told)["error"].as_str().unwrap().contains("policy.yaml:1:"), "{}", status(&told));
    assert_eq!((&status(&told)["generation"], &status(&told)["refused"]), (&json!(1), &json!(1)));
    listener.connect().finish();
    assert_eq!(listener.metric("chat.policy_bad"), 1);
    assert!(listener.metric("chat.policy_hash") > 0);
    fs::write(&file, policy(&["put"])).unwrap();
    wait_until(|| status(&told)["status"] == "ok");
    assert_eq!(status(&told)["generation"], 2);
    listener.connect().finish();
    assert_eq!(listener.metric("chat.policy_bad"), 0);
}

#[test]
fn a_bad_file_can_hold_back_its_own_namespace_alone() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.yaml");
    let of = |namespace: &str, verb: &str| {
        policy(&[verb]).replace("{\"name\":\"chat\"}", &format!("{{\"name\":\"chat\",\"namespace\":\"{namespace}\"}}"))
    };
    fs::write(folder.path().join("own.yaml"), of("default", "ask")).unwrap();
    fs::write(&other, of("other", "ask")).unwrap();
    let listener =
        Listener::open(&config(json!({"policy": {"directory": folder.path(), "isolate": "namespace"}}))).unwrap();
    let connection = listener.connect();
    assert!(passes(&connection, b"ask\n") && !passes(&connection, b"put\n"));
    fs::write(&other, of("other", "ask").replace("verb", "word")).unwrap();
    wait_until(|| {
        log_lines("keeping the policies of the namespaces `other` in force").iter().any(|line| line.contains("`word`"))
    });
    fs::write(folder.path().join("own.yaml"), of("default", "put")).unwrap();
    wait_until(|| passes(&connection, b"put\n"));
    connection.finish();
}

#[test]
fn a_listener_can_start_closed_on_a_bad_policy() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad-at-start.yaml");
    fs::write(&file, "kind: Nonsense\n").unwrap();
    let with = |start: &str| config(json!({"policy": {"files": [file], "start": start}, "default": "allow"}));
    assert!(Listener::open(&with("refuse")).is_err());
    let listener = Listener::open(&with("deny")).unwrap();
    let said = log_lines("bad-at-start.yaml");
    assert!(said.iter().any(|line| line.contains("nothing passes until this is mended")), "{said:?}");
    let connection = listener.connect();
    assert!(!passes(&connection, b"ask\n"));
    fs::write(&file, policy(&["ask"])).unwrap();
    wait_until(|| passes(&connection, b"ask\n"));
    connection.finish();
    assert_eq!(listener.metric("chat.policy_generation"), 1);
}

#[test]
fn policies_that_select_nobody_are_warned_of() {
    let peer = json!({"spiffe": "spiffe://alliance/a"});
    for (changes, says) in [
        (json!({"endpoint": {"labels": {"app": "lonely"}}}), "`app=lonely` for ingress: everything is denied"),
        (
            json!({"direction": "egress", "default": "allow"}),
            "`app=chat` for egress: everything passes, as `default` is `allow`",
        ),
    ] {
        let mut changes = changes;
        changes["policy"] = json!({"inline": policy_for(&peer)});
        drop(Listener::open(&config(changes)).unwrap());
        let said = log_lines(says);
        assert!(said.iter().any(|line| line.starts_with("[3] portcullis: no policy selects the endpoint")), "{said:?}");
    }
}
