//! Streams of bytes as clients send them, or would like to: valid, mutated and hostile, each from its seed.

mod binary;
mod hostile;
mod text;
mod words;

pub use words::CANARY;

use fastrand::Rng;

/// Which of its protocols memcached takes a stream for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Also meta commands.
    Text,
    /// What begins with 0x80.
    Binary,
}

/// What a stream is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Classic commands.
    Text,
    /// Meta commands.
    Meta,
    /// Both, pipelined.
    Mixed,
    /// Packets.
    Binary,
    /// Nothing that a client of memcached would say, or several protocols in one stream.
    Hostile,
}

/// A stream, as the pieces that it is made of.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Its seed.
    pub seed: u64,
    /// What it is made of.
    pub kind: Kind,
    /// Requests, or what is left of them.
    pub pieces: Vec<Vec<u8>>,
}

/// Requests of one stream at most.
const MOST: usize = 12;

impl Stream {
    /// The stream of a seed.
    pub fn generate(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let kind = match rng.u8(..20) {
            0..7 => Kind::Text,
            7..11 => Kind::Meta,
            11..13 => Kind::Mixed,
            13..18 => Kind::Binary,
            _ => Kind::Hostile,
        };
        // One in four is as it should be; else about every third request is mutated.
        let odds = if rng.u8(..4) == 0 { 0 } else { 3 };
        let count = 1 + rng.usize(..MOST);
        let pieces = (0..count).flat_map(|_| request(kind, odds, &mut rng)).collect();
        Self { seed, kind, pieces }
    }

    /// All bytes.
    pub fn bytes(&self) -> Vec<u8> {
        self.pieces.concat()
    }
}

fn request(kind: Kind, odds: u8, rng: &mut Rng) -> Vec<Vec<u8>> {
    let mutate = odds > 0 && rng.u8(..odds) == 0;
    let line = |mut line: text::Line, rng: &mut Rng| {
        if mutate {
            line.mutate(rng);
        }
        vec![line.bytes()]
    };
    match kind {
        Kind::Text => line(text::classic(rng), rng),
        Kind::Meta => line(text::meta(rng), rng),
        Kind::Mixed if rng.bool() => line(text::classic(rng), rng),
        Kind::Mixed => line(text::meta(rng), rng),
        Kind::Binary => {
            let mut packet = binary::packet(rng);
            if mutate {
                packet.mutate(rng);
            }
            vec![packet.bytes()]
        }
        Kind::Hostile => vec![hostile::bytes(rng)],
    }
}

/// Which protocol memcached reads in these bytes.
pub fn protocol_of(bytes: &[u8]) -> Protocol {
    if bytes.first() == Some(&0x80) { Protocol::Binary } else { Protocol::Text }
}

/// What is sent after a stream: its answers say that the connection lives, and reads requests.
pub fn tail(protocol: Protocol) -> Vec<u8> {
    match protocol {
        Protocol::Text => b"version\r\nversion\r\n".to_vec(),
        Protocol::Binary => [1, 2].map(|n| binary::noop(0xface_0000 + n)).concat(),
    }
}

/// The answers to [`tail`].
pub(super) fn alive(protocol: Protocol) -> Vec<u8> {
    match protocol {
        Protocol::Text => b"VERSION 1.6.18\r\nVERSION 1.6.18\r\n".to_vec(),
        Protocol::Binary => {
            let mut replies = tail(protocol);
            replies.iter_mut().step_by(24).for_each(|magic| *magic = 0x81);
            replies
        }
    }
}

/// Cuts bytes at random, mostly in few places.
pub fn cut(bytes: &[u8], seed: u64) -> Vec<Vec<u8>> {
    let mut rng = Rng::with_seed(seed ^ 0xc07);
    let most = match rng.u8(..4) {
        0 => return vec![bytes.to_vec()],
        1 => 8,
        2 => 64,
        _ => bytes.len() / 2 + 2,
    };
    let mut rest = bytes;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let (piece, after) = rest.split_at((1 + rng.usize(..most)).min(rest.len()));
        pieces.push(piece.to_vec());
        rest = after;
    }
    pieces
}

/// Cuts where requests end, or may: after every line feed, and where the generator put an end.
pub fn cut_requests(pieces: &[Vec<u8>], protocol: Protocol) -> Vec<Vec<u8>> {
    match protocol {
        Protocol::Text => {
            pieces.iter().flat_map(|piece| piece.split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec)).collect()
        }
        Protocol::Binary => pieces.to_vec(),
    }
}
