//! Whatever is sent, no cut changes what either side receives, and what is denied never arrives.

use portcullis_proxylib::testing::{Cut, Scenario, Step};
use proptest::prelude::*;

use super::wire::Wire;
use super::{client, play, scenario, server};

/// One request: mostly right, of things that are allowed and of such that are not.
fn request(wire: Wire) -> impl Strategy<Value = Vec<u8>> {
    let text = prop_oneof![
        4 => Just("SELECT a FROM ks.t"),
        2 => Just("SELECT a FROM ks.secret"),
        2 => Just("SELECT a FROM t"),
        2 => Just("USE ks"),
        1 => Just("INSERT INTO ks.t (a) VALUES (1)"),
        1 => Just("BEGIN BATCH INSERT INTO ks.t (a) VALUES (1); INSERT INTO ks.secret (a) VALUES (1); APPLY BATCH"),
        1 => Just("no statement"),
    ];
    (text, 0..6_i16, 0..8_u8, any::<prop::sample::Index>(), any::<u8>()).prop_map(
        move |(text, stream, kind, at, byte)| {
            let mut request = match kind {
                0..3 => wire.query(stream, text),
                3 => wire.prepare(stream, text),
                4 => wire.execute(stream, b"0123456789abcdef"),
                5 => wire.batch(stream, &[text, "INSERT INTO ks.t (a) VALUES (1)"]),
                6 => wire.register(stream),
                _ => wire.query(stream, &format!("{text} /* {} */", "x".repeat(300))),
            };
            if byte < 16 {
                let at = at.index(request.len());
                request[at] = byte;
            }
            request
        },
    )
}

/// Some requests as they are framed: together, alone, or in parts.
fn requests(wire: Wire) -> impl Strategy<Value = Vec<u8>> {
    let some = proptest::collection::vec(request(wire), 1..4);
    let framed = (some, 0..4_u8, 9..200_usize, any::<prop::sample::Index>(), any::<u8>()).prop_map(
        move |(some, form, size, at, byte)| {
            let mut framed = match form {
                0 => wire.parts(&some[0], size),
                1 => some.iter().flat_map(|one| wire.framed(one)).collect(),
                _ => wire.framed(&some.concat()),
            };
            if byte < 8 {
                let at = at.index(framed.len());
                framed[at] ^= 1 << byte;
            }
            framed
        },
    );
    proptest::collection::vec(framed, 1..4).prop_map(|parts| parts.concat())
}

fn replies(wire: Wire) -> impl Strategy<Value = Vec<u8>> {
    let reply = (0..6_i16, 0..8_u8).prop_map(move |(stream, kind)| match kind {
        0..4 => wire.rows(stream),
        4 => wire.set_keyspace(stream, "ks"),
        5 => wire.prepared(stream, b"0123456789abcdef"),
        6 => wire.reply(stream, 0, &[&[0, 0, 0x22, 0, 0, 2], b"no"]),
        _ => wire.reply(-1, 0x0c, &[b"event"]),
    });
    (proptest::collection::vec(reply, 0..4), any::<bool>(), 9..60_usize).prop_map(move |(some, parts, size)| {
        if parts { some.iter().flat_map(|one| wire.parts(one, size)).collect() } else { wire.framed(&some.concat()) }
    })
}

fn conversation() -> impl Strategy<Value = Vec<Step>> {
    prop_oneof![Just(Wire(4)), Just(Wire(5)), Just(Wire(5))].prop_flat_map(|wire| {
        let rounds = proptest::collection::vec((requests(wire), replies(wire)), 1..4);
        (rounds, any::<bool>()).prop_map(move |(rounds, early)| {
            let mut steps = vec![client(wire.startup()), server(wire.ready(0))];
            if early {
                // Everything is there before the server has said a word.
                steps.swap(0, 1);
                let all: Vec<u8> = rounds.iter().flat_map(|(requests, _)| requests.clone()).collect();
                let startup = [wire.startup(), all].concat();
                return vec![client(startup), server(wire.ready(0)), server(rounds[0].1.clone())];
            }
            steps.extend(rounds.into_iter().flat_map(|(requests, replies)| [client(requests), server(replies)]));
            steps
        })
    })
}

/// Whether a request may have to wait for the reply to a USE.
fn may_wait(scenario: &Scenario) -> bool {
    let has_use = |bytes: &[u8]| bytes.windows(6).any(|window| window == b"USE ks");
    scenario.steps.iter().any(|step| matches!(step, Step::Client(bytes) if has_use(&bytes.0)))
}

fn sorted(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.sort_unstable();
    bytes
}

fn is_beginning(one: &[u8], other: &[u8]) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

proptest! {
    #[test]
    fn no_cut_changes_what_either_side_receives(steps in conversation(), seed in any::<u64>()) {
        let scenario = scenario(steps);
        let whole = play(&scenario, Cut::Whole);
        for cut in [Cut::Bytewise, Cut::Random(seed), Cut::Pieces(seed)] {
            let other = play(&scenario, cut);
            if may_wait(&scenario) {
                // When its turn comes depends on how the replies come: whether it was before the server broke the protocol,
                // and between which replies.
                prop_assert!(is_beginning(&other.to_server, &whole.to_server));
                if whole.closed.is_none() && other.closed.is_none() {
                    prop_assert_eq!(&other.to_server, &whole.to_server);
                    prop_assert_eq!(sorted(&other.to_client), sorted(&whole.to_client));
                }
                continue;
            }
            prop_assert_eq!(&other.closed, &whole.closed);
            prop_assert_eq!(other.to_server.escape_ascii().to_string(), whole.to_server.escape_ascii().to_string());
            prop_assert_eq!(other.to_client.escape_ascii().to_string(), whole.to_client.escape_ascii().to_string());
            prop_assert_eq!(&other.log, &whole.log);
        }
    }

    #[test]
    fn what_is_denied_never_reaches_the_server(steps in conversation()) {
        let seen = play(&scenario(steps), Cut::Whole).to_server;
        let there = |text: &[u8]| seen.windows(text.len()).any(|window| window == text);
        prop_assert!(!there(b"ks.secret"), "{}", seen.escape_ascii());
        prop_assert!(!there(b"no statement"), "{}", seen.escape_ascii());
    }

    /// Bytes without any order, in both directions.
    #[test]
    fn noise_is_survived(
        client_bytes in proptest::collection::vec(any::<u8>(), 0..300),
        server_bytes in proptest::collection::vec(any::<u8>(), 0..300),
        version in 3..6_u8,
        set_up in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let wire = Wire(version);
        let mut steps = if set_up { vec![client(wire.startup()), server(wire.ready(0))] } else { Vec::new() };
        steps.extend([client(client_bytes), server(server_bytes)]);
        let scenario = scenario(steps);
        let whole = play(&scenario, Cut::Whole);
        let other = play(&scenario, Cut::Random(seed));
        prop_assert_eq!(&other.to_server, &whole.to_server);
        prop_assert_eq!(&other.to_client, &whole.to_client);
        prop_assert_eq!(&other.closed, &whole.closed);
    }
}
