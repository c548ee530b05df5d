//! `portcullis replay`: captures judged by policies.

#[path = "replay_support/example.rs"]
mod example;
#[path = "replay_support/mod.rs"]
mod mod_capture;
#[path = "replay_support/run.rs"]
mod run;

use std::path::Path;

use mod_capture::{Talk, Who, merge, pcap, pcap_of, pcapng};
use run::{check_page, run, run_json};
use serde_json::{Value, json};

const ARGS: &[&str] = &[
    "replay",
    "--policy",
    "policy.yaml",
    "--identities",
    "identities.yaml",
    "--protocol",
    "memcache",
    "--port",
    "11211",
];

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a directory");
    example::make(folder.path());
    folder
}

/// What of the sum is not zero.
fn sum(value: &Value) -> Value {
    let sum = value["sum"].as_object().expect("a sum");
    sum.iter().filter(|(_, count)| **count != json!(0)).map(|(name, count)| (name.clone(), count.clone())).collect()
}

fn judge(folder: &Path, file: &[u8]) -> (Value, i32) {
    std::fs::write(folder.join("file"), file).expect("a file");
    run_json(folder, &[ARGS, &["file"]].concat())
}

fn maintenance() -> Talk {
    Talk::new("10.0.0.11:40392", "10.0.0.1:11211").open()
}

#[test]
fn the_page_shows_what_the_program_writes() {
    let folder = folder();
    check_page("replay.md", folder.path());
}

#[test]
fn denials_do_not_confuse_the_replies_of_the_capture() {
    let folder = folder();
    let mut talk = maintenance();
    for n in 0..20 {
        talk = talk.ask(format!("set empire/{n} 0 0 2\r\nok\r\nget alliance/{n}\r\n")).reply("STORED\r\nEND\r\n");
    }
    let (value, code) = judge(folder.path(), &pcap(&talk.close().packets));
    assert_eq!((sum(&value), code), (json!({"allowed": 20, "denied": 20}), 1));
    assert_eq!(value["connections"][0]["closes"], Value::Null);
}

#[test]
fn requests_that_the_parser_refuses_do_not_confuse_it_either() {
    let folder = folder();
    // memcached takes `stats r`; we do not, and its answer is to no request of ours.
    let talk = maintenance()
        .ask("get alliance/a\r\n")
        .reply("END\r\n")
        .ask("stats r\r\n")
        .reply("RESET\r\n")
        .ask("get alliance/b\r\n")
        .reply("VALUE alliance/b 0 1\r\nx\r\nEND\r\n")
        // Pipelined, the answers cannot be told apart: then the place in the replies is lost, and no request.
        .ask("get alliance/c\r\nstats r\r\nget alliance/d\r\n")
        .reply("END\r\nRESET\r\nEND\r\n")
        .ask("get alliance/e\r\n")
        .reply("END\r\n")
        .close();
    let (value, _) = judge(folder.path(), &pcap(&talk.packets));
    assert_eq!(sum(&value), json!({"allowed": 5, "refused": 2, "lost": 1}));
}

#[test]
fn questions_of_the_parser_are_answered_in_place_of_the_server() {
    let folder = folder();
    let quiet = maintenance().ask("mg alliance/a v q\r\n").ask("get alliance/b\r\n").reply("END\r\n").close();
    let (value, code) = judge(folder.path(), &pcap(&quiet.packets));
    assert_eq!((sum(&value), code), (json!({"allowed": 2}), 0));
    let packet = |magic: u8, opcode: u8, key: &[u8], value: &[u8]| {
        let body = key.len() + value.len();
        let mut packet = vec![magic, opcode, 0, key.len() as u8, 0, 0, 0, 0, 0, 0, 0, body as u8];
        packet.resize(24, 0);
        [&packet, key, value].concat()
    };
    let get = |key: &str| packet(0x80, 0, key.as_bytes(), b"");
    let binary = maintenance()
        .ask(get("alliance/a"))
        .reply(packet(0x81, 0, b"", b"hello"))
        .ask([get("empire/b"), get("alliance/c")].concat())
        .reply([packet(0x81, 0, b"", b"x"), packet(0x81, 0, b"", b"y")].concat())
        .close();
    let (value, _) = judge(folder.path(), &pcap(&binary.packets));
    assert_eq!(sum(&value), json!({"allowed": 2, "denied": 1}));
    assert_eq!(value["connections"][0]["closes"], Value::Null);
}

#[test]
fn values_that_were_not_captured_do_not_matter() {
    let folder = folder();
    let value = "x".repeat(1400);
    let talk = maintenance()
        .ask(format!("set alliance/a 0 0 1400\r\n{value}\r\n"))
        .reply("STORED\r\n")
        .ask("get alliance/a\r\n")
        .reply(format!("VALUE alliance/a 0 1400\r\n{value}\r\nEND\r\n"))
        .ask("get empire/a\r\n")
        .reply("END\r\n")
        .close();
    let (value, _) = judge(folder.path(), &pcap_of(1, 110, &talk.packets));
    assert_eq!(sum(&value)["allowed"], 2);
    assert_eq!(sum(&value)["denied"], 1);
    assert!(value["capture"]["missing"].as_u64() > Some(2000));
    assert_eq!(value["connections"][0]["closes"], Value::Null);
}

#[test]
fn after_a_gap_the_next_segment_is_read_on() {
    let folder = folder();
    let talk = maintenance()
        .ask("get alliance/a\r\n")
        .reply("END\r\n")
        .lose(Who::Client, 100)
        .lose(Who::Server, 30)
        .ask("get alliance/b\r\nget empire/b\r\n")
        .reply("END\r\nEND\r\n")
        .close();
    let (value, _) = judge(folder.path(), &pcap(&talk.packets));
    assert_eq!((&sum(&value)["allowed"], &sum(&value)["denied"]), (&json!(2), &json!(1)));
    // The same from the middle of a value on.
    let middle: Vec<_> = maintenance()
        .ask("tail of a value\r\n")
        .reply("STORED\r\n")
        .ask("get alliance/b\r\n")
        .reply("END\r\n")
        .ask("get empire/b\r\n")
        .reply("END\r\n")
        .packets
        .split_off(3);
    let (value, _) = judge(folder.path(), &pcap(&middle));
    assert_eq!((&sum(&value)["allowed"], &sum(&value)["denied"]), (&json!(1), &json!(1)));
    assert_eq!(sum(&value)["refused"], Value::Null, "what was not read from the beginning is not refused");
}

#[test]
fn one_direction_alone_is_judged_to_its_end() {
    let folder = folder();
    let mut talk = maintenance();
    for n in 0..9000 {
        talk = talk.ask(format!("get alliance/{n}\r\nset empire/{n} 0 0 1\r\nx\r\n"));
    }
    let only: Vec<_> =
        talk.packets.into_iter().filter(|(_, packet)| packet[14 + 12..14 + 16] == [10, 0, 0, 11]).collect();
    let (value, _) = judge(folder.path(), &pcap(&only));
    assert_eq!((&sum(&value)["allowed"], &sum(&value)["denied"]), (&json!(9000), &json!(9000)));
}

#[test]
fn bytes_that_a_listener_closes_for_are_told_and_nothing_after_is_judged() {
    let folder = folder();
    let talk = maintenance()
        .ask("get alliance/a\r\n")
        .reply("END\r\n")
        .ask(" set alliance/a 0 0 1\r\nx\r\n")
        .reply("ERROR\r\nERROR\r\n")
        .ask("get alliance/b\r\n")
        .reply("END\r\n");
    let (value, code) = judge(folder.path(), &pcap(&talk.packets));
    assert_eq!((&sum(&value)["allowed"], code), (&json!(1), 1));
    assert_eq!(value["closed"], 1);
    assert_eq!(value["connections"][0]["closes"], "a line that servers read in different ways");
    assert!(sum(&value)["unread"].as_u64() > Some(0));
}

#[test]
fn a_cut_capture_is_judged_as_far_as_it_goes() {
    let folder = folder();
    let file = pcap(&merge(example::talks()));
    std::fs::write(folder.path().join("file"), &file[..file.len() - 10]).expect("a file");
    let ran = run(folder.path(), &[ARGS, &["file"]].concat());
    assert_eq!(ran.code, 3);
    assert!(ran.out.contains("8 requests of `memcache`"), "{}", ran.out);
    assert!(ran.err.contains("in the middle of a packet"), "{}", ran.err);
    let (value, code) = judge(folder.path(), &file[..file.len() - 10]);
    assert_eq!((code, value["broken"]["why"].is_string()), (3, true));
}

#[test]
fn both_formats_and_a_dump_say_the_same() {
    let folder = folder();
    let talks = || merge(example::talks());
    let (wanted, _) = judge(folder.path(), &pcap(&talks()));
    let (found, _) = judge(folder.path(), &pcapng(&talks()));
    assert_eq!(
        (&found["sum"], &found["cases"], &found["connections"]),
        (&wanted["sum"], &wanted["cases"], &wanted["connections"])
    );
    let mut dump = String::new();
    for (_, packet) in talks() {
        dump += "07:00:00.000000 IP a > b: tcp\n";
        for (n, line) in packet.chunks(16).enumerate() {
            let hex = |pair: &[u8]| pair.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            let pairs: Vec<_> = line.chunks(2).map(hex).collect();
            dump += &format!("\t0x{:04x}:  {}\n", n * 16, pairs.join(" "));
        }
    }
    let (found, _) = judge(folder.path(), dump.as_bytes());
    assert_eq!((&found["sum"], &found["cases"]), (&wanted["sum"], &wanted["cases"]));
}

#[test]
fn raw_bytes_are_those_of_a_client_with_the_labels_that_are_given() {
    let folder = folder();
    std::fs::write(folder.path().join("raw"), "get alliance/a\r\nget empire/a\r\n").expect("a file");
    let given = ["--endpoint", "app=memcached", "--remote", "function=fleet-maintenance", "raw"];
    let (value, _) = run_json(folder.path(), &[ARGS, &given].concat());
    assert_eq!(sum(&value), json!({"allowed": 1, "denied": 1}));
    let (value, _) = run_json(folder.path(), &[ARGS, &given[..2], &given[4..]].concat());
    assert_eq!(sum(&value), json!({"denied": 2}));
}

#[test]
fn only_what_changes_is_a_difference() {
    let folder = folder();
    let diff = |other| run_json(folder.path(), &[ARGS, &["--diff", other, "cache.pcap"]].concat());
    let (value, code) = diff("wider.yaml");
    let changes: Vec<_> = value["changes"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|change| {
            (change["request"].clone(), change["before"]["verdict"].clone(), change["after"]["verdict"].clone())
        })
        .collect();
    let wanted = |request: &str, before: &str, after: &str| (json!(request), json!(before), json!(after));
    assert_eq!(changes, [wanted("get alliance/motd", "denied", "allowed"), wanted("version", "allowed", "denied")]);
    assert_eq!(code, 1);
    let (value, code) = diff("policy.yaml");
    assert_eq!((value["changes"].clone(), code), (json!([]), 0));
}

#[test]
fn audit_is_told_apart_from_denial() {
    let folder = folder();
    let policy = std::fs::read_to_string(folder.path().join("policy.yaml")).expect("a file");
    let audited = policy.replace("spec:\n", "spec:\n  mode: audit\n");
    std::fs::write(folder.path().join("policy.yaml"), audited).expect("a file");
    let (value, code) = run_json(folder.path(), &[ARGS, &["cache.pcap"]].concat());
    assert_eq!((sum(&value), code), (json!({"allowed": 4, "audited": 4}), 0));
}

#[test]
fn faults_of_the_command_line_and_of_files_are_told_apart() {
    let folder = folder();
    let with = |changes: &[(&str, &str)], file: &str| {
        let mut args: Vec<_> = ARGS.to_vec();
        for (name, value) in changes {
            match args.iter().position(|arg| arg == name) {
                Some(at) => args[at + 1] = value,
                None => args.extend([*name, *value]),
            }
        }
        args.push(file);
        run(folder.path(), &args)
    };
    for (changes, file, code, wanted) in [
        (&[("--protocol", "smtp")][..], "cache.pcap", 2, "unknown protocol `smtp`"),
        (&[("--port", "0")], "cache.pcap", 2, "from 1 to 65535"),
        (&[("--protocol-config", "{")], "cache.pcap", 2, "not JSON"),
        (&[("--protocol-config", r#"{"x":1}"#)], "cache.pcap", 2, "unknown field `x`"),
        (&[("--endpoint", "=x")], "cache.pcap", 2, "label key"),
        (&[("--policy", "nowhere.yaml")], "cache.pcap", 3, "nowhere.yaml"),
        (&[], "nowhere.pcap", 3, "`nowhere.pcap` cannot be read"),
        (&[("--identities", "policy.yaml")], "cache.pcap", 3, "policy.yaml:1"),
        (&[], ".", 3, "is a directory"),
    ] {
        let ran = with(changes, file);
        assert_eq!(ran.code, code, "{}", ran.err);
        assert!(ran.err.contains(wanted), "{}", ran.err);
    }
    let ran = with(&[("--port", "11212")], "cache.pcap");
    assert!(ran.out.contains("no packet is to or from port 11212"), "{}", ran.out);
}

/// Captures with anything in them come to some end, and the program says what it read.
#[test]
fn mutated_captures_come_to_an_end() {
    let folder = folder();
    let good = pcap(&merge(example::talks()));
    let mut seed = 1_u64;
    let mut next = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    for _ in 0..40 {
        let mut file = good.clone();
        for _ in 0..1 + next(20) {
            let at = 4 + next(file.len() - 4);
            file[at] = next(256) as u8;
        }
        std::fs::write(folder.path().join("file"), &file).expect("a file");
        let ran = run(folder.path(), &[ARGS, &["file"]].concat());
        assert!([0, 1, 3].contains(&ran.code) && !ran.err.contains("panicked"), "{}{}", ran.out, ran.err);
    }
}
