//! Requests.

use portcullis_proxylib::{Context, Grant, Input, OnData, ParseError, Verdict};

use super::answer::{Answer, Code, unknown_version};
use super::compress::Compression;
use super::frame::{HEADER, Header, RESPONSE, Version, opcode, to_u64, to_usize};
use super::judge::{Fate, TOO_LARGE_TEXT};
use super::request::Named;
use super::rules::Rules;
use super::segment::Framing;
use super::{CassandraParser, Stage, standin};

impl CassandraParser {
    pub(super) fn on_request<'c>(&mut self, cx: &mut Context<'c, Rules>, input: Input<'_>) -> OnData<'c> {
        if let Some(rest) = self.segments.take_next() {
            return rest.map(Verdict::Drop);
        }
        if input.is_empty() {
            return Ok(Verdict::More(1));
        }
        let starting = matches!(self.stage, Stage::Starting { .. });
        if starting && !self.stays_plain(cx) || self.owed.len() >= MAX_OWED {
            if cx.can_wait() {
                return Ok(Verdict::Wait);
            }
            return Err(ParseError::new("requests that do not wait for the server"));
        }
        if self.stage == Stage::Refused {
            return Err(self.protocol_error(0, "a request after the server has refused the connection: make a new one"));
        }
        if self.is_held() {
            return Ok(Verdict::Wait);
        }
        match self.framing {
            Framing::Plain(_) => self.on_envelope(cx, input),
            Framing::Segments { lz4 } => self.on_segment(cx, input, lz4),
        }
    }

    /// Whether requests can be read although STARTUP is not answered: where they cannot wait, and the framing will not change.
    pub(super) fn stays_plain(&self, cx: &Context<'_, Rules>) -> bool {
        let uncompressed = matches!(self.stage, Stage::Starting { compression: Some(Compression::None) });
        !cx.can_wait() && uncompressed && self.version < Version::V5
    }

    /// A request that stands for itself.
    fn on_envelope<'c>(&mut self, cx: &mut Context<'c, Rules>, input: Input<'_>) -> OnData<'c> {
        let version = match self.version_of(&input) {
            Ok(version) => version,
            Err(Unknown::More(more)) => return Ok(Verdict::More(more)),
            Err(Unknown::Version(version)) => return self.on_unknown_version(cx, &input, version),
            Err(Unknown::Close(error)) => return Err(error),
        };
        if self.stage == Stage::New {
            // Answers are in the version of the request.
            self.version = version;
        }
        let Some(header) = Header::read(version, &input) else { return Ok(missing(&input, HEADER)) };
        let total = header.total();
        if total > cx.max_frame_bytes() {
            return self.too_large(cx, &header, total);
        }
        let Some(body) = input.get(HEADER..to_usize(total)) else { return Ok(missing(&input, to_usize(total))) };
        match self.judge(cx, total, &header, body) {
            Fate::Pass(grant) => Ok(Verdict::Pass(grant)),
            Fate::Answered => Ok(Verdict::Drop(total)),
            Fate::StandIn(grant) => Ok(self.replace(cx, grant, version, header.stream, total)),
            Fate::Wait => Ok(Verdict::Wait),
            Fate::Close(error) => Err(error),
        }
    }

    /// The version of an envelope of the client, by its first byte.
    pub(super) fn version_of(&self, bytes: &[u8]) -> Result<Version, Unknown> {
        let first = bytes.first().copied().ok_or(Unknown::More(1))?;
        if first & RESPONSE != 0 {
            return Err(Unknown::Close(self.protocol_error(0, "a response from a client")));
        }
        match Version::of(first) {
            Some(version) if self.stage == Stage::New || version == self.version => Ok(version),
            None if self.stage == Stage::New => Err(Unknown::Version(first)),
            _ => Err(Unknown::Close(self.protocol_error(0, "another version than the connection has"))),
        }
    }

    /// A request beyond the limit is answered as servers do, and its bytes are dropped as they come.
    fn too_large<'c>(&mut self, cx: &mut Context<'c, Rules>, header: &Header, drop: u64) -> OnData<'c> {
        if self.stage != Stage::Ready || header.stream < 0 || self.pending.get(header.stream).is_some() {
            return Err(self.protocol_error(header.stream, TOO_LARGE_TEXT));
        }
        Ok(match self.refuse_size(cx, drop, header)? {
            None => Verdict::Drop(drop),
            Some(grant) => self.replace(cx, grant, header.version, header.stream, drop),
        })
    }

    /// Answers a request beyond the limit, or says that another one must stand in for it.
    pub(super) fn refuse_size<'c>(
        &mut self,
        cx: &mut Context<'c, Rules>,
        frame_len: u64,
        header: &Header,
    ) -> Result<Option<Grant<'c>>, ParseError> {
        cx.refuse("a request of more than `maxFrameBytes`", &Named(opcode::name(header.opcode)));
        let answer = Answer::new(Code::Invalid, TOO_LARGE_TEXT);
        if !self.needs_stand_in(cx) {
            self.answer(cx, header.stream, &answer);
            return Ok(None);
        }
        if self.stand_ins.is_full() {
            return Err(standin::too_many());
        }
        Ok(Some(self.stand_in(cx, frame_len, header.stream, &answer)))
    }

    /// Answers a version that is not understood as servers do. Those that drivers try first are not worth an entry in the log,
    /// and may be followed by another.
    fn on_unknown_version<'c>(&mut self, cx: &mut Context<'c, Rules>, input: &[u8], version: u8) -> OnData<'c> {
        // Versions 1 and 2 have a header of eight bytes, in which a stream is one byte.
        let header_len = if matches!(version, 1 | 2) { HEADER.saturating_sub(1) } else { HEADER };
        let Some(header) = input.get(..header_len) else { return Ok(missing(input, header_len)) };
        let Some((&[_, _, s0, s1], _)) = header.split_first_chunk() else { return Ok(missing(input, header_len)) };
        let answer = unknown_version(version, [s0, s1]);
        if !matches!(version, 1 | 2 | 6 | DSE_V1 | DSE_V2) {
            return Err(ParseError::new("a version of the protocol that is not understood").reply(answer));
        }
        let body = header.last_chunk().map_or(0, |length| u32::from_be_bytes(*length));
        let total = u64::from(body).saturating_add(to_u64(header_len));
        if !self.needs_stand_in(cx) {
            cx.inject_reply(&answer);
            return Ok(Verdict::Drop(total));
        }
        // Nothing is under way yet, most likely; but for another one like this.
        if self.pending.get(0).is_some() {
            return Err(standin::too_many());
        }
        let grant = self.await_stand_in(cx, total, 0, answer);
        Ok(self.replace(cx, grant, Version::V4, 0, total))
    }
}

/// Why there is no version.
pub(super) enum Unknown {
    More(u64),
    /// None that is understood, where another one may be tried.
    Version(u8),
    Close(ParseError),
}

/// Versions that another product has.
const DSE_V1: u8 = 65;
const DSE_V2: u8 = 66;

/// Asks for what is not there yet.
pub(super) fn missing<'c>(input: &[u8], wanted: usize) -> Verdict<'c> {
    Verdict::More(to_u64(wanted.saturating_sub(input.len())))
}

/// Bytes of answers that wait for the end of a reply; then requests wait too. As much as the core lets wait.
const MAX_OWED: usize = 64 << 10;
