//! `portcullis learn`: the least policy that admits what was seen.

#[path = "replay_support/example.rs"]
mod example;
#[path = "replay_support/mod.rs"]
mod mod_capture;
#[path = "replay_support/run.rs"]
mod run;

use std::path::Path;

use mod_capture::{Talk, merge, pcap};
use proptest::prelude::*;
use run::{check_page, run, run_json};
use serde_json::{Value, json};

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a directory");
    example::make(folder.path());
    folder
}

/// Learns from a capture, checks what was learned, and replays the capture against it.
fn learn_and_replay(folder: &Path, protocol: &str, port: &str, file: &[u8], more: &[&str]) -> (String, Value) {
    std::fs::write(folder.join("file"), file).expect("a file");
    let common = ["--protocol", protocol, "--port", port, "--identities", "identities.yaml"];
    let learned = run(folder, &[&["learn"], &common[..], more, &["file"]].concat());
    assert_eq!(learned.code, 0, "{}", learned.err);
    std::fs::write(folder.join("learned.yaml"), &learned.out).expect("a file");
    let checked = run(folder, &["check", "learned.yaml"]);
    assert_eq!(checked.code, 0, "{}{}\n{}", checked.out, checked.err, learned.out);
    let more: Vec<_> =
        more.iter().filter(|arg| **arg != "--prefix-at" && arg.parse::<u32>().is_err()).copied().collect();
    let replay = [&["replay", "--policy", "learned.yaml"], &common[..], &more, &["file"]].concat();
    let (value, _) = run_json(folder, &replay);
    (learned.out, value["sum"].clone())
}

#[test]
fn the_page_shows_what_the_program_writes() {
    let folder = folder();
    check_page("learn.md", folder.path());
}

#[test]
fn replaying_what_was_learned_from_denies_nothing() {
    let folder = folder();
    let file = pcap(&merge(example::talks()));
    let (policy, sum) = learn_and_replay(folder.path(), "memcache", "11211", &file, &[]);
    assert_eq!((&sum["allowed"], &sum["denied"]), (&json!(8), &json!(0)), "{policy}");
    assert!(policy.contains("192.0.2.7/32"), "{policy}");
}

#[test]
fn meta_commands_need_what_their_flags_do() {
    let folder = folder();
    let talk = Talk::new("10.0.0.11:40392", "10.0.0.1:11211")
        .open()
        .ask("mg a v\r\n")
        .reply("EN\r\n")
        .ask("ms b 1 MA\r\nx\r\n")
        .reply("NS\r\n")
        .ask("md c T30\r\n")
        .reply("NF\r\n")
        .close();
    let (policy, sum) = learn_and_replay(folder.path(), "memcache", "11211", &pcap(&talk.packets), &[]);
    assert_eq!((&sum["allowed"], &sum["denied"]), (&json!(3), &json!(0)), "{policy}");
    let commands: Vec<_> = policy.lines().filter_map(|line| line.trim().strip_prefix("- command: ")).collect();
    assert_eq!(commands, ["\"append\"", "\"delete\"", "\"get\"", "\"touch\""]);
}

#[test]
fn keys_that_are_no_text_or_look_like_yaml_are_learned_all_the_same() {
    let folder = folder();
    let mut talk = Talk::new("10.0.0.12:40392", "10.0.0.1:11211").open();
    for key in [
        "{a}: [b] # c".replace(' ', "_").as_bytes(),
        b"\"quoted\\\"",
        b"caf\xc3\xa9",
        b"x/\xff\xfe",
        "\u{202e}z".as_bytes(),
        b"null",
        b"~",
        b"1e3",
    ] {
        talk = talk.ask([b"get ", key, b"\r\n"].concat()).reply("END\r\n");
    }
    let (policy, sum) = learn_and_replay(folder.path(), "memcache", "11211", &pcap(&talk.close().packets), &[]);
    assert_eq!((&sum["allowed"], &sum["denied"]), (&json!(8), &json!(0)), "{policy}");
    assert!(policy.is_ascii() && policy.contains("\"x/\""), "{policy}");
}

#[test]
fn files_of_r2d2_are_learned_as_regexes_of_just_them() {
    let folder = folder();
    let mut talk = Talk::new("10.0.0.12:40392", "10.0.0.1:4040").open();
    for request in ["READ /a.b", "READ /a+b", "WRITE /log/1", "WRITE /log/2", "WRITE /log/3", "HALT"] {
        talk = talk.ask(format!("{request}\r\n")).reply("OK\r\n");
    }
    let args = ["--prefix-at", "2"];
    let (policy, sum) = learn_and_replay(folder.path(), "r2d2", "4040", &pcap(&talk.close().packets), &args);
    assert_eq!((&sum["allowed"], &sum["denied"]), (&json!(6), &json!(0)), "{policy}");
    assert!(policy.contains(r#""/a\\.b""#) && policy.contains("\"/log/.*\""), "{policy}");
}

/// A connection to Cassandra: its greeting, and statements with the answer that they have no result.
fn cassandra(statements: &[&str]) -> Talk {
    let envelope = |head: [u8; 5], body: &[u8]| {
        [&head[..], &u32::try_from(body.len()).expect("short").to_be_bytes(), body].concat()
    };
    let mut talk = Talk::new("10.0.0.11:40392", "10.0.0.1:9042")
        .open()
        .ask(envelope([4, 0, 0, 0, 1], b"\x00\x01\x00\x0bCQL_VERSION\x00\x053.0.0"))
        .reply(envelope([0x84, 0, 0, 0, 2], b""));
    for statement in statements {
        let length = u32::try_from(statement.len()).expect("short").to_be_bytes();
        let body = [&length[..], statement.as_bytes(), &[0, 1, 0]].concat();
        talk = talk.ask(envelope([4, 0, 0, 1, 7], &body)).reply(envelope([0x84, 0, 0, 1, 8], &[0, 0, 0, 1]));
    }
    talk.close()
}

#[test]
fn roles_and_what_else_statements_of_cassandra_name_are_learned() {
    let folder = folder();
    let talk = cassandra(&[
        "GRANT SELECT ON shop.orders TO clerk",
        "GRANT SELECT ON shop.orders TO \"Auditor\"",
        "GRANT SELECT ON KEYSPACE shop TO clerk",
        "GRANT MODIFY ON ALL KEYSPACES TO clerk",
        "CREATE ROLE clerk",
        "GRANT staff TO clerk",
        "LIST ROLES",
        "CREATE INDEX by_day ON shop.orders (day)",
        "DROP INDEX shop.by_day",
        "CREATE TYPE shop.address (street text)",
        "SELECT shop.total(a) FROM shop.orders",
        "DROP KEYSPACE old",
    ]);
    let (policy, sum) = learn_and_replay(folder.path(), "cassandra", "9042", &pcap(&talk.packets), &[]);
    assert_eq!((&sum["allowed"], &sum["denied"]), (&json!(12), &json!(0)), "{policy}");
    for wanted in [
        "- actions: \"grant-permission\"\n          keyspace: \"shop\"\n          roles:\n          - \"Auditor\"\n          - \"clerk\"\n          table:\n          - \"orders\"",
        "- actions: \"create-role\"\n          roles:\n          - \"clerk\"",
        "- actions: \"grant-role\"\n          roles:\n          - \"clerk\"\n          - \"staff\"",
        "- actions: \"drop-index\"\n          keyspace: \"shop\"\n          table:\n          - \"by_day\"",
        "- actions: \"create-type\"\n          keyspace: \"shop\"\n          table:\n          - \"address\"",
        "- actions: \"drop-keyspace\"\n          keyspace: \"old\"",
        "- actions: \"list-roles\"\n",
    ] {
        assert!(policy.contains(wanted), "{wanted}\n{policy}");
    }
    let (policy, sum) =
        learn_and_replay(folder.path(), "cassandra", "9042", &pcap(&talk.packets), &["--prefix-at", "1"]);
    assert_eq!((&sum["allowed"], &sum["denied"]), (&json!(12), &json!(0)), "{policy}");
    let fields = [
        r#"{"query_action":"grant-permission","query_table":"shop.orders","query_role":"clerk","message":"query"}"#,
        r#"{"query_action":"select","query_table":["shop.orders","shop.total","and 5 more"],"message":"query"}"#,
    ];
    let line = |fields: &&str| {
        format!(
            r#"{{"v":1,"time":"2026-11-22T02:41:59.243Z","type":"request","verdict":"forwarded","protocol":"cassandra","direction":"ingress","connection":1,"source":"10.0.0.11:40392","port":9042,"remote":{{"knownBy":"address","labels":{{"app":"web"}}}},"generation":1,"fields":{fields}}}"#
        )
    };
    std::fs::write(folder.path().join("log"), fields.iter().map(line).collect::<Vec<_>>().join("\n")).expect("a file");
    let ran = run(folder.path(), &["learn", "--endpoint", "app=db", "log"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("roles:\n          - \"clerk\"") && !ran.out.contains("and 5"), "{}", ran.out);
    assert!(ran.err.contains("does not show all"), "{}", ran.err);
}

#[test]
fn namespaces_are_named_where_policies_would_mean_another() {
    let folder = folder();
    std::fs::write(
        folder.path().join("identities.yaml"),
        r#"identities:
- {address: 10.0.0.1, labels: {app: memcached, "k8s:io.kubernetes.pod.namespace": fleet}}
- {address: 10.0.0.11, labels: {app: web, "k8s:io.kubernetes.pod.namespace": shop}}
- {address: 10.0.0.12, labels: {app: web}}
- {address: 192.0.2.7, labels: {"reserved:host": ""}}
"#,
    )
    .expect("a file");
    let file = pcap(&merge(example::talks()));
    let (policy, sum) = learn_and_replay(folder.path(), "memcache", "11211", &file, &[]);
    assert_eq!((&sum["allowed"], &sum["denied"]), (&json!(8), &json!(0)), "{policy}");
    assert!(policy.contains("fromEntities: [\"host\"]"), "{policy}");
    let (policy, sum) = learn_and_replay(
        folder.path(),
        "memcache",
        "11211",
        &file,
        &["--direction", "egress", "--endpoint", "app=web"],
    );
    assert_eq!((&sum["allowed"], &sum["denied"]), (&json!(8), &json!(0)), "{policy}");
}

#[test]
fn a_log_is_learned_from_as_well() {
    let folder = folder();
    let line = |verdict: &str, remote: &str, fields: &str| {
        format!(
            r#"{{"v":1,"time":"2026-11-22T02:41:59.243Z","type":"request","verdict":"{verdict}","protocol":"memcache","direction":"ingress","connection":1,"source":"127.0.0.11:40392","port":11211,"remote":{remote},"generation":1,"fields":{fields}}}"#
        )
    };
    let web = r#"{"knownBy":"address","labels":{"app":"web"}}"#;
    let spiffe = r#"{"knownBy":"tls","name":"spiffe://a/b","labels":{"reserved:world":""}}"#;
    let nobody = r#"{"knownBy":"nothing","labels":{"reserved:world":""}}"#;
    let log = [
        line("forwarded", web, r#"{"command":"gets","keys":["a","b"]}"#),
        line("audit", web, r#"{"command":"set","keys":["a"]}"#),
        line("denied", web, r#"{"command":"flush_all"}"#),
        line("forwarded", spiffe, r#"{"command":"version"}"#),
        line("forwarded", nobody, r#"{"command":"get","keys":["k\\xff"],"keysNotShown":3}"#),
        "not a record".to_owned(),
    ];
    std::fs::write(folder.path().join("log"), log.join("\n")).expect("a file");
    let args = ["learn", "--endpoint", "app=memcached", "log"];
    let ran = run(folder.path(), &args);
    assert_eq!(ran.code, 0, "{}", ran.err);
    for wanted in [
        "\"127.0.0.11/32\"",
        "spiffe: \"spiffe://a/b\"",
        "keyPrefix:\n          - \"k\"",
        "command: \"get\"\n          keyExact:\n          - \"a\"\n          - \"b\"",
    ] {
        assert!(ran.out.contains(wanted), "{wanted}\n{}", ran.out);
    }
    assert!(!ran.out.contains("flush_all"), "{}", ran.out);
    assert!(
        ran.err.contains("1 of 6 lines are no records") && ran.err.contains("does not show all keys"),
        "{}",
        ran.err
    );
    std::fs::write(folder.path().join("learned.yaml"), &ran.out).expect("a file");
    assert_eq!(run(folder.path(), &["check", "learned.yaml"]).code, 0);
    let (value, code) = run_json(folder.path(), &args);
    assert_eq!((&value["requests"], &value["leftOut"], code), (&json!(4), &json!(1), 0));
    for (args, code, wanted) in [
        (&["learn", "log"][..], 2, "give its labels with `--endpoint`"),
        (&["learn", "--protocol", "test.lineparser", "log"], 2, "unknown protocol"),
        (&["learn", "cache.pcap"], 2, "`--protocol`"),
        (&["learn", "--protocol", "memcache", "cache.pcap"], 2, "`--port`"),
        (&["learn", "--protocol", "memcache", "--port", "11211", "cache.pcap"], 2, "give its labels with `--endpoint`"),
        (&["learn", "--endpoint", "a=b", "--port", "1", "log"], 3, "no request to learn from"),
    ] {
        let ran = run(folder.path(), args);
        assert_eq!(ran.code, code, "{}", ran.err);
        assert!(ran.err.contains(wanted), "{}", ran.err);
    }
}

fn traffic() -> impl Strategy<Value = Vec<(u8, &'static str, String)>> {
    let command = prop::sample::select(vec![
        "get", "gets", "set", "delete", "touch", "incr", "mg", "ms", "md", "ma", "version", "mn",
    ]);
    proptest::collection::vec((0..6_u8, command, "[ab/:]{1,6}"), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever was seen: the policy learned from it passes `check`, and denies nothing of it.
    #[test]
    fn whatever_was_seen_is_admitted(requests in traffic(), most in 1..6_u32) {
        let folder = folder();
        let mut talks: Vec<_> = (0..6)
            .map(|n| Talk::new(&format!("10.0.0.{}:4000{n}", 9 + n), "10.0.0.1:11211").open())
            .collect();
        for (who, command, key) in requests {
            let talk = talks.remove(usize::from(who));
            let (request, reply) = match command {
                "set" => (format!("set {key} 0 0 1\r\nx\r\n"), "STORED\r\n"),
                "ms" => (format!("ms {key} 1\r\nx\r\n"), "HD\r\n"),
                "touch" | "incr" => (format!("{command} {key} 1\r\n"), "NOT_FOUND\r\n"),
                "version" => ("version\r\n".to_owned(), "VERSION 1\r\n"),
                "mn" => ("mn\r\n".to_owned(), "MN\r\n"),
                "get" | "gets" => (format!("{command} {key}\r\n"), "END\r\n"),
                "delete" => (format!("delete {key}\r\n"), "NOT_FOUND\r\n"),
                "mg" => (format!("mg {key} T3\r\n"), "EN\r\n"),
                _ => (format!("{command} {key}\r\n"), "NF\r\n"),
            };
            talks.insert(usize::from(who), talk.ask(request).reply(reply));
        }
        let file = pcap(&merge(talks));
        let (policy, sum) = learn_and_replay(folder.path(), "memcache", "11211", &file, &["--prefix-at", &most.to_string()]);
        prop_assert_eq!((&sum["denied"], &sum["refused"]), (&json!(0), &json!(0)), "{}", policy);
    }
}
