//! Fuzzed bytes as Cassandra's envelopes, and what a server must be able to make of what it gets.

use portcullis_parsers::cassandra::cql::Script as Cql;

use super::rig::Rules;
use super::script::{Script, Step};

/// Records are six bytes: what it is and how it is framed, the stream, two choices, a size, what is wrong.
const RECORD: usize = 6;

/// Texts, and what is known of them: whether they only read what begins with `a`, and whether they name what begins with `no`.
const TEXTS: [(&str, Option<(bool, bool)>); 12] = [
    ("SELECT v FROM a.t", Some((true, false))),
    ("SELECT v FROM no.t", Some((false, true))),
    ("SELECT v FROM b.t", Some((false, false))),
    ("INSERT INTO a.t (v) VALUES (1)", Some((false, false))),
    ("INSERT INTO no.t (v) VALUES (1)", Some((false, true))),
    ("SELECT v FROM t", None),
    ("USE a", None),
    ("USE no", None),
    ("BEGIN BATCH INSERT INTO a.t (v) VALUES (1); INSERT INTO no.t (v) VALUES (1); APPLY BATCH", Some((false, true))),
    ("SELECT v /* FROM a.t */ FROM \"no\".t", Some((false, true))),
    ("nothing", None),
    ("", None),
];

/// The bytes of both sides while they are put together.
struct Talk {
    version: u8,
    segments: bool,
    steps: Vec<Step>,
    /// Envelopes that go into one segment.
    open: [Vec<u8>; 2],
}

pub(super) fn read(data: &[u8]) -> Option<Script> {
    let (&[settings, seed], rest) = data.split_first_chunk()?;
    let mut talk = Talk { version: 4, segments: false, steps: Vec::new(), open: [Vec::new(), Vec::new()] };
    for record in rest.chunks_exact(RECORD).take(64) {
        talk.add(record);
    }
    talk.close(0, 0);
    talk.close(1, 0);
    Some(Script { settings, seed, steps: talk.steps })
}

impl Talk {
    fn add(&mut self, record: &[u8]) {
        let &[kind, stream, a, b, size, wrong] = record else { return };
        let text = |choice: u8| TEXTS[usize::from(choice) % TEXTS.len()].0.as_bytes();
        let options: &[u8] = if self.version >= 5 { &[0, 1, 0, 0, 0, 0] } else { &[0, 1, 0] };
        let v5 = |bytes: &'static [u8]| if self.version >= 5 { bytes } else { b"" };
        let id = [b'i', b'd', a % 4];
        let keyspace = if a.is_multiple_of(2) { "a" } else { "no" };
        let side = usize::from(kind & 15 > 8);
        let (opcode, body) = match kind & 15 {
            0 => {
                self.version = 3 + a % 3;
                (1, [&[0, 1][..], &short(b"CQL_VERSION"), &short(b"3.0.0")].concat())
            }
            1 => (7, [&long(text(a)), options].concat()),
            2 => (7, [&long(text(b)), options].concat()),
            3 => (9, [&long(text(a)), v5(&[0; 4])].concat()),
            4 => (10, [&short(&id), v5(b"\0\x01m"), options].concat()),
            5 => {
                let parts = [&[0, 0, 2, 0][..], &long(text(a)), &[0, 0, 1], &short(&id), &[0, 1, 0, 0, 0, 0]];
                (13, [&parts.concat()[..], options].concat())
            }
            6 => (5, Vec::new()),
            7 => (11, [&[0, 1][..], &short(b"STATUS_CHANGE")].concat()),
            8 => (15, vec![0, 0, 0, 1, b'x']),
            9 => (2, Vec::new()),
            10 => (8, [&[0, 0, 0, 3][..], &short(keyspace.as_bytes())].concat()),
            11 => (8, [&[0, 0, 0, 4][..], &short(&id), v5(b"\0\x01m")].concat()),
            12 => (0, [&[0, 0, 0x22, 0][..], &short(b"no")].concat()),
            13 => (8, [&[0, 0, 0, 2][..], &vec![b'r'; usize::from(size)]].concat()),
            14 => ([3, 14, 16, 6][usize::from(a % 4)], vec![0, 0]),
            _ => (12, short(b"STATUS_CHANGE")),
        };
        let stream = if opcode == 12 { -1 } else { i16::from(stream % 8) };
        let direction = if side == 1 { 0x80 } else { 0 };
        let [s0, s1] = stream.to_be_bytes();
        let length = u32::try_from(body.len()).unwrap_or(0).to_be_bytes();
        let mut envelope = [&[direction | self.version, 0, s0, s1, opcode][..], &length, &body].concat();
        if kind & 0x80 != 0 {
            let at = usize::from(wrong) % envelope.len();
            envelope[at] ^= 1 << (wrong & 7);
        }
        self.open[side].extend(envelope);
        if kind & 0x10 == 0 {
            self.close(side, if kind & 0x20 != 0 { size } else { 0 });
        }
        if opcode == 2 || opcode == 3 {
            self.segments = self.version >= 5;
        }
    }

    /// Sends what is open, in one segment or in parts of this size.
    fn close(&mut self, side: usize, size: u8) {
        let bytes = std::mem::take(&mut self.open[side]);
        if bytes.is_empty() {
            return;
        }
        let framed = match size {
            _ if !self.segments => bytes,
            0 => segment(&bytes, true),
            size => bytes.chunks(usize::from(size.max(9))).flat_map(|part| segment(part, false)).collect(),
        };
        self.steps.push(if side == 1 { Step::Server(framed) } else { Step::Client(framed) });
    }
}

fn short(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap_or(0).to_be_bytes(), bytes].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap_or(0).to_be_bytes(), bytes].concat()
}

fn segment(payload: &[u8], whole: bool) -> Vec<u8> {
    let number = u32::try_from(payload.len()).unwrap_or(0) | u32::from(whole) << 17;
    let head = &number.to_le_bytes()[..3];
    [head, &crc24(head).to_le_bytes()[..3], payload, &crc32(payload).to_le_bytes()].concat()
}

/// Bit by bit, as the specification has it.
fn crc24(bytes: &[u8]) -> u32 {
    let mut crc = 0x0087_5060_u32;
    for &byte in bytes {
        crc ^= u32::from(byte) << 16;
        for _ in 0..8 {
            crc <<= 1;
            if crc & 0x0100_0000 != 0 {
                crc ^= 0x0197_4f0b;
            }
        }
    }
    crc
}

fn crc32(payload: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in [0xfa, 0x2d, 0x55, 0xca].iter().chain(payload) {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

/// The server gets whole requests, and of the texts that are known here only those that policy admits.
pub(super) fn check_server(rules: Rules, bytes: &[u8]) {
    // What is compressed is left to the other checks: this server knows no compression.
    if bytes.windows(11).any(|word| word.eq_ignore_ascii_case(b"COMPRESSION")) {
        return;
    }
    let mut rest = bytes;
    let (mut in_segments, mut large) = (false, Vec::new());
    while !rest.is_empty() {
        let framed = rest.len() >= 6 && crc24(&rest[..3]).to_le_bytes()[..3] == rest[3..6];
        // Segments begin where the server has agreed; a STARTUP that it has refused may be followed by another.
        in_segments |= framed && !is_envelope(rest);
        if !in_segments {
            let len = check_envelope(rules, rest).expect("half a request reached the server");
            rest = &rest[len..];
            continue;
        }
        assert!(framed, "a segment without its checksum: `{}`", rest.escape_ascii());
        let len = usize::from(u16::from_le_bytes([rest[0], rest[1]])) | usize::from(rest[2] & 1) << 16;
        assert!(rest.len() >= len + 10, "half a segment reached the server");
        let payload = &rest[6..6 + len];
        assert_eq!(crc32(payload).to_le_bytes(), rest[6 + len..10 + len], "a payload without its checksum");
        if rest[2] & 2 == 0 {
            large.extend_from_slice(payload);
            if check_envelope(rules, &large) == Some(large.len()) {
                large.clear();
            }
        } else {
            assert!(large.is_empty(), "a whole request within another");
            let mut requests = payload;
            while !requests.is_empty() {
                let len = check_envelope(rules, requests).expect("half a request in a segment");
                requests = &requests[len..];
            }
        }
        rest = &rest[10 + len..];
    }
    assert!(large.is_empty(), "half a large request reached the server");
}

fn is_envelope(bytes: &[u8]) -> bool {
    matches!(bytes, [3..=5, _, _, _, 1 | 5, 0, 0, ..])
}

/// The bytes of an envelope, if it is all there.
fn check_envelope(rules: Rules, bytes: &[u8]) -> Option<usize> {
    let (header, rest) = bytes.split_first_chunk::<9>()?;
    let &[version, flags, s0, _, opcode, ref length @ ..] = header;
    assert!(matches!(version, 3..=5) && s0 < 0x80, "not a request: `{}`", header.escape_ascii());
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let body = rest.get(..length)?;
    match opcode {
        1 | 5 | 11 | 15 => {}
        7 | 9 if flags & 4 == 0 => {
            let text = usize::try_from(u32::from_be_bytes(*body.first_chunk()?)).ok()?;
            let text = &body[4..][..text];
            let known = TEXTS.iter().find(|(known, _)| known.as_bytes() == text);
            let names = known.and_then(|(_, names)| *names);
            let admitted = match (rules, names) {
                (Rules::AllowAll, _) | (_, None) => true,
                (Rules::DenyAll, Some(_)) => false,
                (Rules::Reads, Some((reads, _))) => reads,
                (Rules::NotNo, Some((_, no))) => !no,
            };
            assert!(admitted, "{rules:?} does not admit `{}`", text.escape_ascii());
        }
        7 | 9 | 10 | 13 => {
            assert!(rules != Rules::DenyAll || opcode == 7 || opcode == 10 || opcode == 9, "a batch, denied")
        }
        _ => panic!("a request that there is not: {opcode}"),
    }
    Some(9 + length)
}

/// A text says the same each time that it is read, and leaves nothing of the one before it.
pub(super) fn read_cql(data: &[u8]) {
    let tell = |script: &Cql| {
        let statements =
            script.statements().map(|one| format!("{:?} {:?}", one.action, one.objects().collect::<Vec<_>>()));
        (statements.collect::<Vec<_>>(), script.needs_keyspace(), script.is_batch())
    };
    let (mut fresh, mut used) = (Cql::default(), Cql::default());
    let first = fresh.read(data);
    // Whatever it is, it was read.
    let _before = used.read(b"BEGIN BATCH UPDATE a.b SET c = 1 WHERE d = 2; DELETE FROM e WHERE f = 3; APPLY BATCH");
    let second = used.read(data);
    assert_eq!(first, second, "another reading");
    assert_eq!(tell(&fresh), tell(&used), "something of another text");
    assert!(first.is_ok() || fresh.statements().next().is_none(), "statements of a text that was not read");
    assert!(first.is_err() || std::str::from_utf8(data).is_ok(), "text that is not UTF-8");
}
