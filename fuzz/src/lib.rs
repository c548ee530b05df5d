//! What the fuzz targets call, and what `tests/tests/fuzz_entries.rs` calls on the committed corpora.
//!
//! An entry takes bytes and panics if something does not hold:
//!
//! * The same bytes, cut in any way, give the same bytes each way, the same log, the same close.
//! * The cost, in calls of the parser and bytes that it has to look at, is linear in the bytes that came.
//! * Nothing grows: what is held, what waits to be injected, the budget once a connection is gone.
//! * The server gets whole requests that it understands and that policy admits, and nothing else.
//! * Its replies are understood, and nobody waits for a server that has answered.
//! * An engine ends in time, within its memory and its stack; what it says is the same each time, and one line.
#![forbid(unsafe_code)]

mod admission_http;
mod admission_review;
mod book;
mod cassandra;
mod counted;
mod drive;
mod engines;
mod packets;
mod policy;
mod rig;
mod script;
mod server;

use portcullis_proxylib::testing::{self, Cut, Scenario};

use counted::Counts;
use drive::{Run, Seen, Way};
use rig::{Listener, Rules, Servers};
use script::{Script, Step};
use server::Server;

/// A check of what some bytes do.
pub type Entry = fn(&[u8]);

/// Every entry, by the name of its target.
pub const ENTRIES: &[(&str, Entry)] = &[
    ("memcache_text", memcache_text),
    ("memcache_binary", memcache_binary),
    ("memcache_replies", memcache_replies),
    ("r2d2", r2d2),
    ("cassandra_frames", cassandra_frames),
    ("cassandra_replies", cassandra_replies),
    ("cassandra_cql", cassandra_cql),
    ("policy", policy),
    ("admission_review", admission_review),
    ("admission_http", admission_http),
    ("rego", rego),
    ("rego_values", rego_values),
    ("cel", cel),
    ("template", template),
    ("policies", policies),
    #[cfg(feature = "javascript")]
    ("javascript", javascript),
    ("review_in_engines", review_in_engines),
];

/// memcached requests, text or whatever their first byte says, and a server that answers them.
pub fn memcache_text(data: &[u8]) {
    if let Some(script) = Script::read(data) {
        converse("memcache", &script);
    }
}

/// memcached's binary requests, put together from fewer bytes, and a server that answers them.
pub fn memcache_binary(data: &[u8]) {
    if let Some(script) = packets::read(data) {
        converse("memcache", &script);
    }
}

/// memcached requests, and replies that are as strange as they are.
pub fn memcache_replies(data: &[u8]) {
    if let Some(script) = Script::read(data) {
        play("memcache", &script);
    }
}

/// r2d2, with a server that answers and with one that says anything.
pub fn r2d2(data: &[u8]) {
    if let Some(script) = Script::read(data) {
        converse("r2d2", &script);
        play("r2d2", &script);
    }
}

/// Cassandra's requests and replies, put together from fewer bytes, so that they fit together more often than not.
pub fn cassandra_frames(data: &[u8]) {
    if let Some(script) = cassandra::read(data) {
        play("cassandra", &script);
    }
}

/// Cassandra's requests, and replies that are as strange as they are.
pub fn cassandra_replies(data: &[u8]) {
    if let Some(script) = Script::read(data) {
        play("cassandra", &script);
    }
}

/// A CQL text.
pub fn cassandra_cql(data: &[u8]) {
    cassandra::read_cql(data);
}

/// The text of a policy.
pub fn policy(data: &[u8]) {
    policy::load(data);
}

/// An AdmissionReview, or any other JSON.
pub fn admission_review(data: &[u8]) {
    admission_review::read(data);
}

/// Requests for admission, and replies of an upstream that are as strange as they are.
pub fn admission_http(data: &[u8]) {
    if let Some(script) = Script::read(data) {
        play("admission", &script);
    }
}

/// Modules of Rego.
pub fn rego(data: &[u8]) {
    engines::rego::run(data);
}

/// A function of Rego, with any arguments.
pub fn rego_values(data: &[u8]) {
    engines::builtins::run(data);
}

/// An expression of CEL.
pub fn cel(data: &[u8]) {
    engines::cel::run(data);
}

/// Documents of Gatekeeper, and a review.
pub fn template(data: &[u8]) {
    engines::documents::run(data);
}

/// ValidatingAdmissionPolicies with their bindings, and a review.
pub fn policies(data: &[u8]) {
    engines::documents::run(data);
}

/// A script, and a review.
#[cfg(feature = "javascript")]
pub fn javascript(data: &[u8]) {
    engines::javascript::run(data);
}

/// An object that the same policy judges in every language.
pub fn review_in_engines(data: &[u8]) {
    engines::agreement::run(data);
}

/// What a scenario does, as input for the entries that play scripts. Nothing where it is about another protocol.
pub fn encode(scenario: &Scenario) -> Option<(&'static str, Vec<u8>)> {
    let name = match (&*scenario.protocol, scenario.steps.iter().any(|step| matches!(step, testing::Step::Server(_)))) {
        ("memcache", true) => "memcache_replies",
        ("memcache", false) => "memcache_text",
        ("r2d2", _) => "r2d2",
        ("cassandra", _) => "cassandra_replies",
        ("admission", _) => "admission_http",
        _ => return None,
    };
    let step = |step: &testing::Step| match step {
        testing::Step::Client(bytes) => Step::Client(bytes.0.clone()),
        testing::Step::Server(bytes) => Step::Server(bytes.0.clone()),
        testing::Step::ClientEnd(()) => Step::ClientEnd,
        testing::Step::ServerEnd(()) => Step::ServerEnd,
    };
    let mode = scenario.config.get("mode").and_then(serde_json::Value::as_str);
    let settings = match (scenario.config.get("authentication"), scenario.config.get("server")) {
        (Some(_), _) => 0x19,
        (_, Some(_)) => 0x1d,
        _ if mode == Some("guard") => 0x19,
        _ if mode == Some("shadow") => 0x1d,
        _ => 1,
    };
    let steps: Vec<_> = scenario.steps.iter().map(step).collect();
    Some((name, script::write(settings, 7, &steps)))
}

/// The ways in which every script is played. The first one is what the others are compared with.
fn ways(script: &Script) -> [Way; 4] {
    let way = |cut| Way { cut, forgetful: false };
    let seed = u64::from(script.seed);
    let first = if script.is_short() { Cut::Bytewise } else { Cut::Random(!seed) };
    [way(first), way(Cut::Whole), Way { cut: Cut::Random(seed), forgetful: true }, way(Cut::Pieces(seed))]
}

/// A client as told, and a server that answers.
fn converse(protocol: &'static str, script: &Script) {
    let listener = Listener::choose(protocol, script.settings);
    let mut first: Option<(Seen, Vec<u8>)> = None;
    for way in ways(script) {
        let mut run = Run::new(listener, way, script);
        let mut server = Server::new(listener, script.seed);
        run.converse(script, &mut server);
        let open = run.seen.closed.is_none();
        let (mut seen, _) = run.finish();
        assert!(!open || seen.closed.is_none() || !owed(&seen), "closed late, for a server that has answered all");
        check_denied(listener, &seen);
        // Which questions are asked depends on when replies come, and so on the cut.
        seen.to_server.clear();
        match &first {
            None => first = Some((seen, server.requests)),
            Some((expected, requests)) => {
                compare(way, expected, &seen);
                same(way, "to the server", requests, &server.requests);
            }
        }
    }
}

/// Both sides as told.
fn play(protocol: &'static str, script: &Script) {
    let listener = Listener::choose(protocol, script.settings);
    let mut first: Option<(Seen, Vec<Vec<usize>>)> = None;
    for way in ways(script) {
        let mut run = Run::new(listener, way, script);
        let breaks = run.play(script, first.as_ref().map(|(_, breaks)| &breaks[..]));
        let (seen, Counts { .. }) = run.finish();
        check_denied(listener, &seen);
        match &first {
            None => first = Some((seen, breaks)),
            Some((expected, _)) => {
                compare(way, expected, &seen);
                same(way, "to the server", &expected.to_server, &seen.to_server);
            }
        }
    }
}

/// Whether the close was for an error that had to wait for replies, not for a frame that stayed unfinished.
fn owed(seen: &Seen) -> bool {
    seen.closed.is_some_and(|kind| kind.as_str() != "portcullis_timeout")
}

fn compare(way: Way, expected: &Seen, seen: &Seen) {
    same(way, "to the client", &expected.to_client, &seen.to_client);
    for (expected, seen) in expected.log.iter().zip(&seen.log) {
        same(way, "the log", expected, seen);
    }
    assert_eq!(expected.closed, seen.closed, "{way:?}: the close");
    assert_eq!(expected.ends, seen.ends, "{way:?}: the ends");
}

/// Where all is denied, the server gets nothing but a question, and the client nothing but errors.
fn check_denied(listener: Listener, seen: &Seen) {
    if listener.protocol == "cassandra" {
        return cassandra::check_server(listener.rules, &seen.to_server);
    }
    if listener.protocol == "admission" {
        return admission_http::check(listener, seen);
    }
    if listener.rules != Rules::DenyAll || listener.servers == Servers::Authenticating {
        return;
    }
    let asked = listener.protocol == "memcache" && seen.to_server == server::QUESTION;
    assert!(asked || seen.to_server.is_empty(), "denied, and passed: `{}`", show(&seen.to_server));
    let text = !seen.to_client.starts_with(&[0x81]);
    if listener.protocol == "memcache" && text {
        for line in seen.to_client.split_inclusive(|&byte| byte == b'\n') {
            let error = [&b"ERROR"[..], b"CLIENT_ERROR", b"SERVER_ERROR"].iter().any(|word| line.starts_with(word));
            assert!(error, "a reply to nothing: `{}`", line.escape_ascii());
        }
    }
    if listener.protocol == "memcache" && !text {
        let mut rest = &seen.to_client[..];
        while let Some((header, after)) = rest.split_first_chunk::<24>() {
            assert!(matches!(header[6..8], [0, 4 | 8 | 0x81]), "a reply to nothing: `{}`", header.escape_ascii());
            rest = &after[usize::from(header[11])..];
        }
        assert!(rest.is_empty(), "half a packet");
    }
}

fn same(way: Way, what: &str, expected: &[u8], seen: &[u8]) {
    assert!(expected == seen, "{way:?}: {what}\nexpected: {}\n    seen: {}", show(expected), show(seen));
}

fn show(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
