//! Servers that answer whatever they get, and hold that they understand it and that policy admits it.
//!
//! They are written from the protocols' documents and share nothing with the parsers.

mod binary;
mod text;

use super::rig::{Listener, Rules, Servers};
pub(super) use binary::QUESTION;

/// A server at the other end of a connection.
pub(super) struct Server {
    listener: Listener,
    seed: u8,
    /// Bytes of what was received that were read.
    read: usize,
    /// What was asked of it, without the questions that are not the client's.
    pub(super) requests: Vec<u8>,
    asked: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Reads,
    WantsCredentials,
    /// It watches: nothing more may come.
    Streams,
    /// It was told to quit.
    Left,
}

/// What a server makes of the bytes at hand.
enum Heard {
    /// Not a whole request yet.
    Part,
    /// A request of this many bytes, and what is answered.
    Request { len: usize, reply: Vec<u8>, then: State },
    /// A question of the library's own.
    Question { len: usize, reply: Vec<u8> },
}

impl Server {
    pub(super) fn new(listener: Listener, seed: u8) -> Self {
        let wants = listener.servers == Servers::Authenticating;
        let state = if wants { State::WantsCredentials } else { State::Reads };
        Self { listener, seed, read: 0, requests: Vec::new(), asked: 0, state }
    }

    /// Whether it closed the connection, as it was told to.
    pub(super) fn has_left(&self) -> bool {
        self.state == State::Left
    }

    /// Reads on in all that was received, and answers.
    pub(super) fn answer(&mut self, received: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        loop {
            let rest = &received[self.read..];
            if rest.is_empty() {
                return out;
            }
            assert!(
                self.state != State::Left && self.state != State::Streams,
                "sent after the end: `{}`",
                rest.escape_ascii()
            );
            // What it answers depends on which request it is, and on nothing that depends on cuts.
            let mut dice = Dice(u64::from(self.seed) << 32 | self.asked);
            let heard = match (self.listener.protocol, received[0]) {
                ("memcache", 0x80) => binary::hear(rest, &mut dice, self.listener.rules),
                ("memcache", _) => text::hear(rest, &mut dice, self.listener, self.state),
                _ => hear_line(rest, self.listener.rules),
            };
            match heard {
                Heard::Part => return out,
                Heard::Question { len, reply } => {
                    out.extend(reply);
                    self.read += len;
                }
                Heard::Request { len, reply, then } => {
                    self.requests.extend_from_slice(&rest[..len]);
                    self.asked += 1;
                    out.extend(reply);
                    self.state = then;
                    self.read += len;
                }
            }
        }
    }
}

/// A server of r2d2: one line for one line.
fn hear_line(bytes: &[u8], rules: Rules) -> Heard {
    let Some(end) = bytes.windows(2).position(|end| end == b"\r\n") else { return Heard::Part };
    let line = bytes[..end].escape_ascii().to_string();
    let admitted = match (rules, line.split_once(' ')) {
        (Rules::DenyAll, _) => false,
        (Rules::Reads, file) => file.is_some_and(|(cmd, file)| cmd == "READ" && file.starts_with('a')),
        (_, Some((cmd, file))) => {
            matches!(cmd, "READ" | "WRITE") && !file.is_empty() && !(rules == Rules::NotNo && file.starts_with("no"))
        }
        (_, None) => matches!(&*line, "HALT" | "RESET"),
    };
    assert!(admitted, "policy does not admit `{line}`");
    Heard::Request { len: end + 2, reply: b"DONE\r\n".to_vec(), then: State::Reads }
}

/// Whether policy admits a request: whether it only reads, and its keys.
fn admits<'k>(rules: Rules, reads: bool, keys: impl IntoIterator<Item = &'k [u8]>) -> bool {
    match rules {
        Rules::DenyAll => false,
        Rules::AllowAll => true,
        Rules::Reads => reads && keys.into_iter().all(|key| key.starts_with(b"a")),
        Rules::NotNo => !keys.into_iter().any(|key| key.starts_with(b"no")),
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): repeatable from its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    fn pick<'a>(&mut self, list: &[&'a [u8]]) -> &'a [u8] {
        list[self.roll(list.len() as u64) as usize]
    }
}
