//! Denials as answers of ours and in the place of a server's, however requests and replies are framed and whatever comes in
//! between: every request has its own answer, and what is denied never arrives.

use std::collections::BTreeMap;
use std::sync::Arc;

use portcullis_proxylib::testing::{CoreHost, Recorder};
use portcullis_proxylib::{Datapath, Direction, Time};
use proptest::prelude::*;

use super::wire::Wire;
use super::{REGISTRY, scenario};
use crate::cassandra::segment::{self, Segment};

const ALLOWED: &str = "SELECT a FROM ks.t";
const DENIED: &str = "SELECT a FROM ks.secret";
const STREAMS: i16 = 8;

/// A client, a server and what stands between them.
struct World {
    datapath: Datapath,
    log: Arc<Recorder>,
    can_answer: bool,
    wire: Wire,
    /// Whether segments may be compressed, if there are any.
    lz4: Option<bool>,
    random: u64,
    /// Streams in use, and whether what is asked there is allowed.
    asked: BTreeMap<i16, bool>,
    /// What the server has yet to say.
    replies: Vec<Vec<u8>>,
    /// Bytes on their way: from the client, and from the server.
    ways: [Vec<u8>; 2],
    /// Bytes that have arrived: at the server, and at the client.
    arrived: [Vec<u8>; 2],
    /// The beginning of an envelope that comes in several segments, in the same order.
    parts: [Vec<u8>; 2],
    answered: [usize; 2],
}

impl World {
    fn new(wire: Wire, lz4: Option<bool>, can_answer: bool, seed: u64) -> Self {
        let scenario = scenario(Vec::new());
        let log = Arc::<Recorder>::default();
        let instance = Arc::new(CoreHost::new(REGISTRY).instance(&scenario, &log).unwrap());
        let mut connection = instance.open(scenario.meta().unwrap()).unwrap();
        connection.forbid_waiting();
        if !can_answer {
            connection.forbid_answering();
        }
        let mut datapath = Datapath::new(connection);
        let startup = if lz4 == Some(true) { wire.startup_lz4() } else { wire.startup() };
        assert_eq!(datapath.receive(Direction::Orig, &[&startup], false, Time(0)).passed, startup.len());
        let ready = wire.ready(0);
        assert_eq!(datapath.receive(Direction::Reply, &[&ready], false, Time(0)).passed, ready.len());
        Self {
            datapath,
            log,
            can_answer,
            wire,
            lz4,
            random: seed | 1,
            asked: BTreeMap::new(),
            replies: Vec::new(),
            ways: Default::default(),
            arrived: Default::default(),
            parts: Default::default(),
            answered: [0; 2],
        }
    }

    fn below(&mut self, end: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random >> 33).unwrap() % end
    }

    /// Envelopes as they are framed: together, compressed, or one in several segments.
    fn framed(&mut self, envelopes: &[Vec<u8>]) -> Vec<u8> {
        let Some(lz4) = self.lz4 else { return envelopes.concat() };
        let mut framed = Vec::new();
        if let [one] = envelopes
            && one.len() > 40
            && self.below(3) == 0
        {
            let size = 9 + self.below(30);
            for part in one.chunks(size) {
                segment::write(lz4, false, &[part], |part| framed.extend(part));
            }
        } else if lz4 && self.below(2) == 0 {
            framed = compressed(&envelopes.concat());
        } else {
            segment::write(lz4, true, &[&envelopes.concat()], |part| framed.extend(part));
        }
        framed
    }

    /// The client asks on streams that are free.
    fn ask(&mut self) {
        let mut requests = Vec::new();
        for _ in 0..=self.below(4) {
            let stream = i16::try_from(self.below(usize::try_from(STREAMS).unwrap())).unwrap();
            let allowed = self.below(2) == 0;
            if self.asked.contains_key(&stream) {
                continue;
            }
            self.asked.insert(stream, allowed);
            let pad = "x".repeat(self.below(3) * 40);
            requests.push(self.wire.query(stream, &format!("{} /* {pad} */", if allowed { ALLOWED } else { DENIED })));
        }
        if !requests.is_empty() {
            let framed = self.framed(&requests);
            self.ways[0].extend(framed);
        }
    }

    /// The server says some of what it owes, in any order, and now and then something unasked.
    fn reply(&mut self) {
        let mut some = Vec::new();
        for _ in 0..=self.below(4) {
            if !self.replies.is_empty() {
                let at = self.below(self.replies.len());
                some.push(self.replies.swap_remove(at));
            } else if self.below(4) == 0 {
                some.push(self.wire.reply(-1, 0x0c, &[b"event"]));
            }
        }
        if !some.is_empty() {
            let framed = self.framed(&some);
            self.ways[1].extend(framed);
        }
    }

    /// Moves some of the bytes that are on their way in a direction, or all.
    fn step(&mut self, to: usize, all: bool) {
        let len = self.ways[to].len();
        let len = if all || len == 0 { len } else { 1 + self.below(len.min(120)) };
        let bytes: Vec<u8> = self.ways[to].drain(..len).collect();
        let direction = [Direction::Orig, Direction::Reply][to];
        let effects = self.datapath.receive(direction, &[&bytes], false, Time(0));
        assert_eq!(effects.close, None);
        let (on, back) =
            if to == 0 { (effects.to_server, effects.to_client) } else { (effects.to_client, effects.to_server) };
        assert!(back.is_empty() || to == 0 && self.can_answer, "an answer where there can be none");
        self.arrived[to].extend_from_slice(&bytes[..effects.passed]);
        self.arrived[to].extend_from_slice(on);
        self.arrived[1 - to].extend_from_slice(back);
        self.read(0);
        self.read(1);
    }

    /// Reads whole envelopes of what has arrived at one side.
    fn read(&mut self, side: usize) {
        while let Some(lz4) = self.lz4 {
            let Ok(Some(segment)) = Segment::read(lz4, &self.arrived[side]) else { break };
            if self.arrived[side].len() < segment.total() {
                break;
            }
            let bytes: Vec<u8> = self.arrived[side].drain(..segment.total()).collect();
            let mut room = Vec::new();
            let payload = segment.payload(&bytes, &mut room).unwrap();
            assert!(!segment.self_contained || self.parts[side].is_empty(), "a segment among those of an envelope");
            self.parts[side].extend_from_slice(payload);
            let mut parts = std::mem::take(&mut self.parts[side]);
            self.envelopes(side, &mut parts);
            assert!(!segment.self_contained || parts.is_empty());
            self.parts[side] = parts;
        }
        if self.lz4.is_none() {
            let mut arrived = std::mem::take(&mut self.arrived[side]);
            self.envelopes(side, &mut arrived);
            self.arrived[side] = arrived;
        }
    }

    fn envelopes(&mut self, side: usize, bytes: &mut Vec<u8>) {
        while let Some(&[first, _, s0, s1, opcode, l0, l1, l2, l3]) = bytes.first_chunk() {
            let total = 9 + usize::try_from(u32::from_be_bytes([l0, l1, l2, l3])).unwrap();
            if bytes.len() < total {
                break;
            }
            let envelope: Vec<u8> = bytes.drain(..total).collect();
            let stream = i16::from_be_bytes([s0, s1]);
            assert_eq!(first & 0x7f, self.wire.0);
            if side == 0 {
                self.serve(stream, opcode, &envelope[9..])
            } else {
                self.told(stream, opcode, &envelope[9..])
            }
        }
    }

    /// What the server does with a request.
    fn serve(&mut self, stream: i16, opcode: u8, body: &[u8]) {
        let allowed = self.asked[&stream];
        let text = body.windows(ALLOWED.len()).any(|window| window == ALLOWED.as_bytes());
        assert_eq!((opcode, text), if allowed { (7, true) } else { (5, false) });
        assert!(allowed || !self.can_answer && body.is_empty(), "a stand-in where none is needed");
        let [s0, s1] = stream.to_be_bytes();
        let long = vec![s1; self.below(3) * 60];
        let reply = match (allowed, self.below(3)) {
            (true, _) => self.wire.reply(stream, 8, &[&[0, 0, 0, 2, s0, s1], &long]),
            (false, 0) => self.wire.reply(stream, 0, &[&[0, 0, 0x10, 1, 0, 2], b"no"]),
            // Never so long that it comes in several segments.
            (false, _) => self.wire.reply(stream, 6, &[&[0, 0]]),
        };
        self.replies.push(reply);
    }

    /// What the client makes of a reply.
    fn told(&mut self, stream: i16, opcode: u8, body: &[u8]) {
        if stream < 0 {
            return assert_eq!((opcode, body), (0x0c, &b"event"[..]));
        }
        let [s0, s1] = stream.to_be_bytes();
        let allowed = self.asked.remove(&stream).expect("an answer that nobody waits for");
        let begin: &[u8] = if allowed { &[0, 0, 0, 2, s0, s1] } else { &[0, 0, 0x21, 0] };
        assert_eq!((opcode, body.get(..begin.len())), (if allowed { 8 } else { 0 }, Some(begin)));
        self.answered[usize::from(allowed)] += 1;
    }
}

/// A segment whose payload is compressed.
fn compressed(payload: &[u8]) -> Vec<u8> {
    let deflated = lz4_flex::block::compress(payload);
    let number = deflated.len() | payload.len() << 17 | 1 << 34;
    let mut bytes = number.to_le_bytes()[..5].to_vec();
    let crc = bytes.iter().fold(0x0087_5060_u32, |crc, &byte| {
        let step = |crc: u32| if crc & 0x0080_0000 == 0 { crc << 1 } else { crc << 1 ^ 0x0197_4f0b };
        (0..8).fold(crc ^ u32::from(byte) << 16, |crc, _| step(crc)) & 0x00ff_ffff
    });
    bytes.extend_from_slice(&crc.to_le_bytes()[..3]);
    let sum = crc32fast::hash(&[&[0xfa, 0x2d, 0x55, 0xca][..], &deflated].concat());
    [&bytes[..], &deflated, &sum.to_le_bytes()].concat()
}

proptest! {
    #[test]
    fn every_request_has_its_own_answer(form in 0..3_u8, can_answer in any::<bool>(), seed in any::<u64>()) {
        let (wire, lz4) = [(Wire(4), None), (Wire(5), Some(false)), (Wire(5), Some(true))][usize::from(form)];
        let mut world = World::new(wire, lz4, can_answer, seed);
        for _ in 0..150 {
            match world.below(6) {
                0 => world.ask(),
                1 => world.reply(),
                2 | 3 => world.step(0, false),
                _ => world.step(1, false),
            }
        }
        for _ in 0..20 {
            world.step(0, true);
            world.reply();
            world.step(1, true);
        }
        prop_assert!(world.asked.is_empty(), "not answered: {:?}", world.asked);
        prop_assert!(world.parts.concat().is_empty() && world.arrived.concat().is_empty());
        let of_ours = |line: &serde_json::Value| line.to_string().to_uppercase().contains("SUPPORTED");
        prop_assert!(!world.log.lines().iter().any(of_ours), "the log speaks of what nobody asked");
        prop_assert!(world.answered.iter().all(|&count| count > 0), "{:?}", world.answered);
    }
}
