//! Connections, whole and cut, and two of them side by side.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that cannot go on has failed"
)]

mod any;
mod rules;
mod standin;
mod wire;

use std::sync::Arc;

use portcullis_proxylib::testing::{Bytes, CoreHost, Cut, Host, Observed, Recorder, Scenario, Step};
use portcullis_proxylib::{Datapath, Direction, Input, Op, Ops, Registry, Time, protocols};

use self::wire::Wire;

static REGISTRY: Registry = protocols![super::Cassandra];

/// A policy that admits reading and writing `ks.t`, and nothing else.
fn scenario(steps: Vec<Step>) -> Scenario {
    let mut scenario = Scenario::parse(
        r#"{
            "name": "any bytes", "protocol": "cassandra", "port": 9042, "steps": [], "expect": {},
            "policy": {"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy", "metadata": {"name": "p"}, "spec": {
                "endpointSelector": {},
                "ingress": [{"toPorts": [{"ports": [{"port": "9042"}], "rules": {"l7proto": "cassandra", "l7": [
                    {"query_action": "select", "query_table": "^ks\\.t$"}, {"query_action": "insert", "query_table": "^ks\\.t$"}
                ]}}]}]
            }}
        }"#,
    )
    .unwrap();
    scenario.steps = steps;
    scenario
}

fn client(bytes: impl Into<Vec<u8>>) -> Step {
    Step::Client(Bytes(bytes.into()))
}

fn server(bytes: impl Into<Vec<u8>>) -> Step {
    Step::Server(Bytes(bytes.into()))
}

fn play(scenario: &Scenario, cut: Cut) -> Observed {
    CoreHost::new(REGISTRY).play(scenario, cut).unwrap()
}

/// Two connections of one listener.
fn pair() -> [Datapath; 2] {
    let scenario = scenario(Vec::new());
    let instance = Arc::new(CoreHost::new(REGISTRY).instance(&scenario, &Arc::<Recorder>::default()).unwrap());
    [1, 2].map(|id| {
        let mut meta = scenario.meta().unwrap();
        meta.id = id;
        Datapath::new(instance.open(meta).unwrap())
    })
}

/// What goes on, and what comes back, of bytes in one direction.
fn pass(datapath: &mut Datapath, direction: Direction, bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let effects = datapath.receive(direction, &[bytes], false, Time(0));
    assert_eq!(effects.close, None);
    let mut sent = bytes[..effects.passed].to_vec();
    let (on, back) = match direction {
        Direction::Orig => (effects.to_server, effects.to_client),
        Direction::Reply => (effects.to_client, effects.to_server),
    };
    sent.extend_from_slice(on);
    (sent, back.to_vec())
}

#[test]
fn what_one_connection_learned_the_others_of_its_listener_know() {
    let [mut one, mut other] = pair();
    let wire = Wire(4);
    for datapath in [&mut one, &mut other] {
        pass(datapath, Direction::Orig, &wire.startup());
        pass(datapath, Direction::Reply, &wire.ready(0));
    }
    let execute = wire.execute(1, b"0123456789abcdef");
    let (passed, answer) = pass(&mut other, Direction::Orig, &execute);
    assert!(passed.is_empty() && answer[9..13] == [0, 0, 0x25, 0]);
    pass(&mut one, Direction::Orig, &wire.prepare(1, "SELECT a FROM ks.t"));
    assert!(pass(&mut other, Direction::Orig, &execute).0.is_empty(), "nobody has said what the id is");
    pass(&mut one, Direction::Reply, &wire.prepared(1, b"0123456789abcdef"));
    assert_eq!(pass(&mut other, Direction::Orig, &execute), (execute, Vec::new()));
}

#[test]
fn another_listener_knows_nothing_of_it() {
    let ([mut one, _], [mut other, _]) = (pair(), pair());
    let wire = Wire(4);
    for datapath in [&mut one, &mut other] {
        pass(datapath, Direction::Orig, &wire.startup());
        pass(datapath, Direction::Reply, &wire.ready(0));
    }
    pass(&mut one, Direction::Orig, &wire.prepare(1, "SELECT a FROM ks.t"));
    pass(&mut one, Direction::Reply, &wire.prepared(1, b"0123456789abcdef"));
    assert!(pass(&mut other, Direction::Orig, &wire.execute(1, b"0123456789abcdef")).0.is_empty());
}

/// Cassandra takes only modifications in a batch, and a batch is none; nor is one prepared that holds another.
#[test]
fn a_batch_holds_no_batch() {
    let wire = Wire(4);
    for (texts, passes) in [
        (vec!["INSERT INTO ks.t (a) VALUES (1)", "INSERT INTO ks.t (a) VALUES (2)"], true),
        (vec!["INSERT INTO ks.t (a) VALUES (1)", "BEGIN BATCH INSERT INTO ks.t (a) VALUES (2) APPLY BATCH"], false),
        (vec!["BEGIN UNLOGGED BATCH APPLY BATCH"], false),
    ] {
        let [mut one, _] = pair();
        pass(&mut one, Direction::Orig, &wire.startup());
        pass(&mut one, Direction::Reply, &wire.ready(0));
        let batch = wire.batch(1, &texts);
        let (passed, answer) = pass(&mut one, Direction::Orig, &batch);
        assert_eq!(passed == batch, passes, "{texts:?}");
        assert_eq!(passed.is_empty() && answer.get(4) == Some(&0), !passes, "{texts:?}");
    }
}

/// A host that calls for requests only when more of them come: who would have to wait is refused.
#[test]
fn where_nothing_can_wait_what_would_have_to_is_refused() {
    let scenario = scenario(Vec::new());
    let instance = Arc::new(CoreHost::new(REGISTRY).instance(&scenario, &Arc::<Recorder>::default()).unwrap());
    let mut connection = instance.open(scenario.meta().unwrap()).unwrap();
    connection.forbid_waiting();
    let wire = Wire(4);
    let mut at = [0_u64; 2];
    let mut ops = Ops::new();
    let mut say = |direction: Direction, bytes: &[u8]| {
        let position = &mut at[usize::from(direction == Direction::Reply)];
        ops.clear();
        connection.on_data(direction, *position, Input::new(bytes, 0, false), &mut ops).unwrap();
        *position += bytes.len() as u64;
        let answer = std::mem::take(connection.injected(Direction::Reply));
        (ops.iter().any(|op| matches!(op, Op::Pass { .. })), answer)
    };
    say(Direction::Orig, &wire.startup());
    say(Direction::Reply, &wire.ready(0));
    assert!(say(Direction::Orig, &wire.query(1, "USE ks")).0);
    let (passed, answer) = say(Direction::Orig, &wire.query(2, "SELECT a FROM t"));
    assert!(!passed && answer[9..13] == [0, 0, 0x10, 0x01], "{answer:?}");
    assert!(say(Direction::Orig, &wire.query(3, "SELECT a FROM ks.t")).0);
    say(Direction::Reply, &wire.set_keyspace(1, "ks"));
    assert!(say(Direction::Orig, &wire.query(2, "SELECT a FROM t")).0);
    let (passed, answer) = say(Direction::Orig, &wire.query(4, "USE other"));
    assert!(!passed && answer[9..13] == [0, 0, 0x10, 0x01], "{answer:?}");
}

/// Requests that wait are not read anew at every reply: the cost of a long wait is that of a short one.
#[test]
fn a_large_request_waits_for_a_thousand_replies() {
    let wire = Wire(4);
    let mut steps = vec![client(wire.startup()), server(wire.ready(0))];
    steps.extend([client(wire.query(0, "USE ks")), server(wire.set_keyspace(0, "ks"))]);
    let requests: Vec<u8> = (0..1000).flat_map(|stream| wire.query(stream, "SELECT a FROM t")).collect();
    let large = wire.query(1000, &format!("USE{}other", " ".repeat(1 << 20)));
    steps.push(client([&requests[..], &large].concat()));
    steps.extend((0..1000).map(|stream| server(wire.rows(stream))));
    let seen = play(&scenario(steps), Cut::Whole);
    assert!(seen.to_server.ends_with(&large));
}

/// Every prefix of a conversation, ended by the client: no half request reaches the server.
#[test]
fn no_part_of_a_request_goes_on() {
    for version in [3, 4, 5] {
        let wire = Wire(version);
        let requests = [
            wire.query(1, "SELECT a FROM ks.t"),
            wire.prepare(2, "SELECT a FROM ks.t"),
            wire.batch(3, &["INSERT INTO ks.t (a) VALUES (1)", "INSERT INTO ks.t (a) VALUES (2)"]),
            wire.execute(4, b"0123456789abcdef"),
        ];
        for request in requests.map(|request| wire.framed(&request)) {
            for cut in 0..request.len() {
                let start =
                    [client(wire.startup()), server(wire.ready(0)), client(&request[..cut]), Step::ClientEnd(())];
                let seen = play(&scenario(start.into()), Cut::Whole);
                assert_eq!(seen.to_server, wire.startup(), "version {version}, cut at {cut}");
            }
        }
    }
}

/// The largest numbers, and others that cannot be, in every place of every request.
#[test]
fn lengths_that_contradict_are_answered_and_never_go_on() {
    let wire = Wire(4);
    let requests = [
        wire.query(1, "SELECT a FROM ks.t WHERE b = ?"),
        wire.prepare(1, "SELECT a FROM ks.t"),
        wire.batch(1, &["INSERT INTO ks.t (a) VALUES (1)", "INSERT INTO ks.t (a) VALUES (2)"]),
        wire.register(1),
    ];
    let after = wire.query(2, "SELECT a FROM ks.t");
    for request in &requests {
        for at in 9..request.len() {
            for number in [&[0x7f, 0xff, 0xff, 0xff][..], &[0xff; 4], &[0x80, 0, 0, 0], &[0xff, 0xff], &[0x7f, 0xff]] {
                let mut changed = request.clone();
                let end = changed.len().min(at + number.len());
                changed[at..end].copy_from_slice(&number[..end - at]);
                let steps =
                    vec![client(wire.startup()), server(wire.ready(0)), client([&changed[..], &after].concat())];
                let seen = play(&scenario(steps), Cut::Whole);
                assert_eq!(seen.closed, None);
                // Either it is a request still, or it has been answered; the next one goes on in any case.
                let whole = [wire.startup(), changed, after.clone()].concat();
                assert!(seen.to_server == whole || seen.to_server == [wire.startup(), after.clone()].concat());
                assert!(seen.to_server == whole || seen.to_client.len() > wire.ready(0).len());
            }
        }
    }
}
