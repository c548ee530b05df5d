//! Requests that stand in for denied ones, where the host cannot answer by itself: OPTIONS on the same stream changes nothing,
//! and the server's answer to it, whatever it is, is replaced by ours.

use std::collections::BTreeMap;

use portcullis_proxylib::{Context, Grant, ParseError, Verdict};

use super::CassandraParser;
use super::answer::Answer;
use super::frame::{HEADER, Version, opcode};
use super::pending::Awaited;
use super::rules::Rules;

/// The answers that take the place of the server's, by stream, framed as the connection is.
#[derive(Debug, Default)]
pub(super) struct StandIns {
    answers: BTreeMap<i16, Box<[u8]>>,
    bytes: usize,
}

impl StandIns {
    /// Whether so many wait that a client that sends more has asked too much.
    pub(super) const fn is_full(&self) -> bool {
        self.bytes >= MAX_BYTES
    }

    /// Bytes that are kept of them.
    pub(super) const fn kept(&self) -> usize {
        self.bytes
    }

    fn put(&mut self, stream: i16, answer: Vec<u8>) {
        self.bytes = self.bytes.saturating_add(answer.len()).saturating_add(ENTRY_BYTES);
        self.answers.insert(stream, answer.into());
    }

    /// The answer for a stream, whose turn it is.
    pub(super) fn take(&mut self, stream: i16) -> Option<Box<[u8]>> {
        let answer = self.answers.remove(&stream)?;
        self.bytes = self.bytes.saturating_sub(answer.len()).saturating_sub(ENTRY_BYTES);
        Some(answer)
    }
}

impl CassandraParser {
    /// Whether the next reply on a stream is one to a request that stood in for another.
    pub(super) fn has_stand_in(&self, stream: i16) -> bool {
        self.pending.get(stream) == Some(Awaited::StandIn)
    }

    /// Whether an answer of ours needs a request of ours: a reply that is under way needs none.
    pub(super) const fn needs_stand_in(&self, cx: &Context<'_, Rules>) -> bool {
        !cx.can_answer() && self.reply_left == 0
    }

    /// Keeps an answer until the server has answered the request that stands in on the stream. That request is [`options`].
    pub(super) fn stand_in<'c>(
        &mut self,
        cx: &mut Context<'c, Rules>,
        frame_len: u64,
        stream: i16,
        answer: &Answer<'_>,
    ) -> Grant<'c> {
        let answer = answer.bytes(self.framing, self.version, stream);
        self.await_stand_in(cx, frame_len, stream, answer)
    }

    pub(super) fn await_stand_in<'c>(
        &mut self,
        cx: &mut Context<'c, Rules>,
        frame_len: u64,
        stream: i16,
        answer: Vec<u8>,
    ) -> Grant<'c> {
        self.stand_ins.put(stream, answer);
        self.pending.add(stream, Awaited::StandIn);
        cx.unjudged(frame_len, "a question that changes nothing, in the place of the frame")
    }

    /// Sends a question in the place of an envelope outside of segments.
    pub(super) fn replace<'c>(
        &mut self,
        cx: &mut Context<'c, Rules>,
        grant: Grant<'c>,
        version: Version,
        stream: i16,
        drop: u64,
    ) -> Verdict<'c> {
        cx.inject_request(grant, &options(version, stream));
        self.segments.drop_next(drop);
        Verdict::Inject(HEADER_BYTES)
    }
}

/// The request that stands in for others.
pub(super) const fn options(version: Version, stream: i16) -> [u8; HEADER] {
    let [s0, s1] = stream.to_be_bytes();
    [version as u8, 0, s0, s1, opcode::OPTIONS, 0, 0, 0, 0]
}

/// Why a client is given up that has more denied requests under way than are remembered.
pub(super) fn too_many() -> ParseError {
    ParseError::new("requests that do not wait for the server")
}

/// As [`HEADER`].
const HEADER_BYTES: u64 = 9;

/// Bytes of answers that wait at most: those to four thousand requests under way, where clients have a hundred or two.
const MAX_BYTES: usize = 512 << 10;

/// Bytes of an entry besides the answer, about.
const ENTRY_BYTES: usize = 64;
