//! Every scenario through the exported functions, whole and at every cut, beside a host that can answer by itself: the same
//! reaches both sides, but for the requests that stand in for denied ones, which a server answers here. What was played can be
//! written down, for a real host to do the same.

mod cassandra;
mod common;
mod transcript;

use std::collections::VecDeque;
use std::sync::Arc;

use common::{ROOT, connect, delete, send, start, tick, world};
use portcullis_parsers::test::REGISTRY;
use portcullis_proxylib::testing::{CoreHost, Cut, Host, Observed, Recorder, Scenario, Step};
use portcullis_proxylib::{Datapath, Direction, OnParseError, Time};
use serde_json::{Value, json};
use transcript::{Event, Transcript};

const CONNECTION: u32 = 2;
const SOURCE: &str = transcript::SOURCE;
const DESTINATION: &str = transcript::DESTINATION;

#[test]
fn every_scenario_holds_at_every_cut() {
    let random = (0..2).flat_map(|seed| [Cut::Random(seed), Cut::Pieces(seed)]);
    let cuts: Vec<_> = [Cut::Whole, Cut::Bytewise].into_iter().chain(random).collect();
    let mut failures = Vec::new();
    let mut stood_in = 0;
    let mut transcript = Transcript::create("connections");
    // HTTP is for the other filter.
    let spoken = |(_, scenario): &(String, Scenario)| {
        REGISTRY.find(&scenario.protocol).is_some_and(|protocol| !protocol.is_http())
    };
    for (file, scenario) in portcullis_tests::scenarios().into_iter().filter(spoken) {
        let scenario = without_question(scenario);
        let lacks = lacks(&scenario);
        if let Some(why) = lacks {
            transcript.skip(&file, why);
        }
        if scenario.on_parse_error == OnParseError::Passthrough {
            assert!(!start(&configuration(&scenario)), "{file}: this host has no passthrough");
            continue;
        }
        for &cut in &cuts {
            let mut host = WasmHost::default();
            let seen = host.play(&scenario, cut);
            stood_in += host.stood_in;
            if let Ok(seen) = &seen
                && lacks.is_none()
                && transcript::is_played(cut, &scenario)
            {
                let (closed, log, events) = (&seen.closed, &seen.log, &host.events);
                let configuration = configuration(&scenario);
                let play = json!({"configuration": configuration, "events": events, "closed": closed, "log": log});
                transcript.play(&file, cut, play);
            }
            let played = seen.and_then(|observed| check(&scenario, &observed));
            failures.extend(played.err().map(|why| format!("{file}, cut {cut:?}: {why}")));
        }
    }
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
    assert!(stood_in > 100, "only {stood_in} requests stood in for others");
}

/// Where requests cannot wait for the answer, a memcached is not asked whether it reads the binary protocol.
fn without_question(mut scenario: Scenario) -> Scenario {
    let answer = |step: &Step| matches!(step, Step::Server(bytes) if bytes.0.starts_with(b"\x81\x0b") && bytes.0.get(12..16) == Some(b"\n\n\n\n"));
    if scenario.protocol == "memcache" && scenario.steps.get(1).is_some_and(answer) {
        scenario.steps.remove(1);
        scenario.expect.to_server.0.drain(..24);
    }
    scenario
}

/// Why a scenario cannot be played where this module runs in earnest: what the host's capabilities say.
fn lacks(scenario: &Scenario) -> Option<&'static str> {
    let capabilities = portcullis_wasm::capabilities();
    if scenario.on_parse_error == OnParseError::Passthrough && !capabilities.reply_while_dropping {
        return Some("nothing passes unread where replies to requests that stood in for others would pass too");
    }
    if scenario.protocol == "test.panicker" && !capabilities.catches_panics {
        return Some("a panic takes the whole sandbox");
    }
    None
}

#[derive(Default)]
struct WasmHost {
    stood_in: usize,
    events: Vec<Event>,
}

impl Host for WasmHost {
    fn play(&mut self, scenario: &Scenario, cut: Cut) -> Result<Observed, String> {
        if !start(&configuration(scenario)) {
            return Err(format!("not configured: {:?}", world(|world| std::mem::take(&mut world.log))));
        }
        world(|world| {
            world.properties.insert("source.address".to_owned(), format!("{SOURCE}:41000").into_bytes());
            world.properties.insert("destination.address".to_owned(), format!("{DESTINATION}:11211").into_bytes());
        });
        let mut play = Play::new(scenario, cut)?;
        connect(CONNECTION);
        for step in &scenario.steps {
            let none = Vec::new();
            let (direction, bytes, end) = match step {
                Step::Client(bytes) => (Direction::Orig, &bytes.0, false),
                Step::Server(bytes) => (Direction::Reply, &bytes.0, false),
                Step::ClientEnd(()) => (Direction::Orig, &none, true),
                Step::ServerEnd(()) => (Direction::Reply, &none, true),
            };
            for pieces in cut.apply(bytes) {
                play.event(direction, &pieces.concat(), end)?;
            }
        }
        tick(1);
        let mut observed = play.observed;
        self.stood_in = play.stood_in;
        self.events = play.events;
        observed.closed = world(|world| world.reason(CONNECTION));
        if observed.closed.is_some() != world(|world| world.closed.contains(&CONNECTION)) {
            return Err("a connection that was to be closed was not".to_owned());
        }
        delete(CONNECTION);
        delete(ROOT);
        world(|world| {
            for gauge in ["held_bytes", "connections_active"] {
                let name = format!("portcullis.{}.{gauge}", scenario.protocol);
                if world.metric(&name) != 0 {
                    return Err(format!("`{name}` is {}", world.metric(&name)));
                }
            }
            observed.log = world.access_log();
            Ok(observed)
        })
    }
}

/// One connection, beside the same one on a host that can answer.
struct Play<'s> {
    scenario: &'s Scenario,
    cut: Cut,
    reference: Option<Datapath>,
    /// What the reference has sent to the server in the event at hand.
    reference_sent: Vec<u8>,
    observed: Observed,
    stood_in: usize,
    /// Where the server is in its replies, and what it has yet to answer.
    server: cassandra::Replies,
    answers: VecDeque<Vec<u8>>,
    /// What has happened, for a transcript.
    events: Vec<Event>,
}

impl<'s> Play<'s> {
    fn new(scenario: &'s Scenario, cut: Cut) -> Result<Self, String> {
        let instance = Arc::new(CoreHost::new(REGISTRY).instance(scenario, &Arc::new(Recorder::default()))?);
        let reference = instance.open(scenario.meta()?).ok().map(|mut connection| {
            connection.forbid_waiting();
            Datapath::new(connection)
        });
        Ok(Self {
            scenario,
            cut,
            reference,
            reference_sent: Vec::new(),
            observed: Observed::default(),
            stood_in: 0,
            server: cassandra::Replies::default(),
            answers: VecDeque::new(),
            events: Vec::new(),
        })
    }

    fn event(&mut self, direction: Direction, bytes: &[u8], end: bool) -> Result<(), String> {
        if world(|world| world.closed.contains(&CONNECTION)) {
            return Ok(());
        }
        self.reference_sent.clear();
        if let Some(reference) = &mut self.reference {
            let effects = reference.receive(direction, &[bytes], end, Time(1000));
            if direction == Direction::Orig {
                self.reference_sent.extend_from_slice(&bytes[..effects.passed]);
            }
            self.reference_sent.extend_from_slice(effects.to_server);
        }
        let sent = self.send(direction, bytes, end);
        if direction == Direction::Reply {
            self.observed.to_client.extend_from_slice(&sent);
            if self.scenario.protocol == "cassandra" {
                self.server.say(bytes, &self.observed.to_server);
                self.answer();
            }
            return Ok(());
        }
        let answers = self.take_stand_ins(&sent)?;
        self.stood_in += answers.len();
        self.answers.extend(answers);
        self.answer();
        Ok(())
    }

    /// Sends something, and takes it down. Returns what went on.
    fn send(&mut self, direction: Direction, bytes: &[u8], end: bool) -> Vec<u8> {
        let (sent, goes_on) = send(CONNECTION, direction == Direction::Reply, bytes, end);
        self.events.push(Event::new(direction, bytes, end, &sent, goes_on));
        sent
    }

    /// Answers requests that stood in for others: as servers do, never in the middle of another reply.
    fn answer(&mut self) {
        while self.server.is_between_replies()
            && let Some(answer) = self.answers.pop_front()
        {
            for pieces in self.cut.apply(&answer) {
                let sent = self.send(Direction::Reply, &pieces.concat(), false);
                self.observed.to_client.extend_from_slice(&sent);
            }
        }
    }

    /// Records what went to the server, but for what the reference did not send: that stood in for something, and is answered.
    fn take_stand_ins(&mut self, sent: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        let mut answers = Vec::new();
        let (mut rest, mut expected) = (sent, &self.reference_sent[..]);
        while !rest.is_empty() {
            if let Some(lz4) = self.server.segments
                && let Some((segment, questions, kept)) = cassandra::take_questions(rest, lz4)
            {
                if !kept.is_empty() {
                    let (original, payload) = cassandra::payload(expected, lz4).ok_or("a segment too many")?;
                    if payload != kept {
                        return Err("other requests in a segment".to_owned());
                    }
                    self.observed.to_server.extend_from_slice(&expected[..original]);
                    expected = &expected[original..];
                }
                answers.extend(
                    questions.into_iter().map(|question| cassandra::segment(lz4, &cassandra::answer(&question))),
                );
                rest = &rest[segment..];
                continue;
            }
            match self.stand_in(rest) {
                Some((len, answer)) if !expected.starts_with(&rest[..len]) => {
                    answers.push(answer);
                    rest = &rest[len..];
                }
                _ => {
                    self.observed.to_server.push(rest[0]);
                    if expected.first() != rest.first() {
                        return Err(format!(
                            "`{}` to the server, expected `{}`",
                            rest.escape_ascii(),
                            expected.escape_ascii()
                        ));
                    }
                    (rest, expected) = (&rest[1..], &expected[1..]);
                }
            }
        }
        Ok(answers)
    }

    /// A request that stands in for another, by its length and with the server's answer.
    fn stand_in(&self, bytes: &[u8]) -> Option<(usize, Vec<u8>)> {
        if self.scenario.protocol == "cassandra" && self.server.segments.is_none() {
            let question = bytes.first_chunk().filter(|question| cassandra::is_question(question))?;
            return Some((question.len(), cassandra::answer(question)));
        }
        if self.scenario.protocol != "memcache" {
            return None;
        }
        let wants_credentials = self.scenario.config["authentication"] == json!(true)
            && !self.observed.to_client.windows(6).any(|six| six == b"STORED");
        let text = |answer: &[u8]| {
            if wants_credentials { b"CLIENT_ERROR unauthenticated\r\n".to_vec() } else { answer.to_vec() }
        };
        match bytes {
            [b'm', b'n', b'\r', b'\n', ..] => Some((4, text(b"MN\r\n"))),
            _ if bytes.starts_with(b"version\r\n") => Some((9, text(b"VERSION 1.4.0\r\n"))),
            [0x80, 0x0b, ..] if bytes.get(12..16) == Some(b"\n\n\n\n") => {
                let mut answer = b"\x81\x0b\0\0\0\0\0\0\0\0\0\x06\n\n\n\n\0\0\0\0\0\0\0\0".to_vec();
                answer.extend_from_slice(b"1.6.40");
                Some((24, answer))
            }
            _ => None,
        }
    }
}

fn configuration(scenario: &Scenario) -> String {
    let mut config = json!({
        "protocol": scenario.protocol,
        "policy": {"inline": scenario.policy_text()},
        "endpoint": {"labels": scenario.endpoint},
        "direction": if scenario.egress { "egress" } else { "ingress" },
        "port": scenario.port,
        "onParseError": match scenario.on_parse_error {
            OnParseError::Close => "close",
            OnParseError::Passthrough => "passthrough",
        },
        "limits": {
            "maxFrameBytes": scenario.limits.max_frame_bytes,
            "frameTimeoutSeconds": scenario.limits.frame_timeout_seconds,
            "heldBytes": scenario.limits.held_bytes,
        },
        "accessLog": {"level": "responses"},
    });
    if scenario.config != Value::Null {
        config["protocolConfig"] = scenario.config.clone();
    }
    if !scenario.remote.is_empty() {
        let address = if scenario.egress { DESTINATION } else { SOURCE };
        let identities = json!({"identities": [{"address": address, "labels": scenario.remote}]});
        config["identities"] = json!({"inline": identities.to_string()});
    }
    config.to_string()
}

/// As on every host; but where a request must wait, or a denial cannot be answered, this one closes.
fn check(scenario: &Scenario, seen: &Observed) -> Result<(), String> {
    let says = |words: &[&str]| {
        let said = |line: &Value| words.iter().any(|word| line["reason"].as_str().unwrap().contains(word));
        seen.log.iter().filter(|line| line["reason"].is_string()).any(said)
    };
    let expect = &scenario.expect;
    let prefix = expect.to_server.0.starts_with(&seen.to_server) && expect.to_client.0.starts_with(&seen.to_client);
    if says(&["would have to wait", "has not yet shown", "requests before the answer"]) {
        let told = seen.to_client.len() > expect.to_client.0.len() || seen.to_server.len() != expect.to_server.0.len();
        return if told || seen.closed.is_some() {
            Ok(())
        } else {
            Err("a request that had to wait was not refused".to_owned())
        };
    }
    // Where the answer is not there at once, a client cannot use its stream again: it is told so, and closed.
    if says(&["a stream that is in use"]) && seen.closed.is_some() && expect.to_server.0.starts_with(&seen.to_server) {
        return Ok(());
    }
    if seen.closed.as_deref() == Some("portcullis_unanswerable") || says(&["must wait", "do not wait for the server"]) {
        let has_stand_in = REGISTRY.find(&scenario.protocol).is_some_and(|protocol| protocol.stand_in().is_some());
        if has_stand_in && seen.closed.as_deref() == Some("portcullis_unanswerable") {
            return Err("a denial was not answered".to_owned());
        }
        return match (prefix, &seen.closed) {
            (false, _) => Err("more passed than on a host that can wait and answer".to_owned()),
            (true, None) => Err("not closed".to_owned()),
            (true, Some(_)) => Ok(()),
        };
    }
    let mut seen = seen.clone();
    if seen.closed.is_some() && prefix && scenario.protocol != "memcache" {
        // The last words of a connection that closes at once are lost.
        seen.to_client.clone_from(&expect.to_client.0);
    }
    // Between streams there is no order; what stood in has an answer when the server has given it.
    if scenario.protocol == "cassandra" && cassandra::sorted(&seen.to_client) == cassandra::sorted(&expect.to_client.0)
    {
        seen.to_client.clone_from(&expect.to_client.0);
    }
    scenario.check(&seen)
}
