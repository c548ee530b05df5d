//! Requests in segments: several in one, or one in several.

use std::cell::RefCell;

use portcullis_proxylib::{Context, Grant, Input, OnData, ParseError, Verdict};

use super::frame::{HEADER, Header, to_u64, to_usize};
use super::judge::Fate;
use super::orig::{Unknown, missing};
use super::rules::Rules;
use super::segment::{self, Segment, header_len};
use super::standin::options;
use super::{CassandraParser, Stage};

/// Where the requests of a connection are in their segments.
#[derive(Debug, Default)]
pub(super) struct Segments {
    /// What is left to be done with the segment at the front, once what stands in its place is on its way.
    next: Next,
    /// Of the payload at the front, the bytes whose requests are settled,
    done: usize,
    /// whether its checksum was looked at,
    verified: bool,
    /// and what it was inflated to, if it was and has to wait.
    inflated: Vec<u8>,
    /// The requests that are left of a segment in which many were answered,
    rest: Vec<u8>,
    /// and the bytes of the input that still stand for it.
    raw: u64,
    large: Large,
    /// Bytes of a request that is too large, which are still to be dropped.
    discard: u64,
}

#[derive(Debug, Default)]
enum Next {
    #[default]
    Nothing,
    Drop(u64),
    Fail(Box<ParseError>),
}

impl Next {
    /// Does it where nothing is sent on before.
    fn now<'c>(self) -> OnData<'c> {
        match self {
            Self::Drop(len) => Ok(Verdict::Drop(len)),
            Self::Fail(error) => Err(*error),
            Self::Nothing => Ok(Verdict::Wait),
        }
    }
}

/// A request that comes in several segments.
#[derive(Clone, Copy, Debug, Default)]
struct Large {
    /// Bytes of the input in whose segments it is so far,
    at: usize,
    /// bytes of its envelope in them,
    have: usize,
    /// and in all; 0 is none.
    need: usize,
}

impl Segments {
    /// Drops so many bytes before anything else.
    pub(super) fn drop_next(&mut self, len: u64) {
        self.next = Next::Drop(len);
    }

    /// What is left to be done before anything else.
    pub(super) fn take_next(&mut self) -> Option<Result<u64, ParseError>> {
        match std::mem::take(&mut self.next) {
            Next::Nothing => None,
            Next::Drop(len) => Some(Ok(len)),
            Next::Fail(error) => Some(Err(*error)),
        }
    }
}

impl CassandraParser {
    pub(super) fn on_segment<'c>(&mut self, cx: &mut Context<'c, Rules>, input: Input<'_>, lz4: bool) -> OnData<'c> {
        if self.segments.discard > 0 {
            return self.discard(&input, lz4);
        }
        if self.segments.large.need > 0 {
            return self.on_large(cx, input, lz4);
        }
        if self.segments.raw > 0 {
            return self.on_rest(cx, lz4);
        }
        let Some(segment) = self.segment(lz4, &input)? else { return Ok(missing(&input, header_len(lz4))) };
        let Some(bytes) = input.get(..segment.total()) else { return Ok(missing(&input, segment.total())) };
        if segment.self_contained {
            return self.on_contained(cx, &segment, bytes, lz4);
        }
        // "the first segment of a message that spans several holds its header" (what servers demand).
        let header = PAYLOAD.with_borrow_mut(|room| {
            let payload = segment.payload(bytes, room).map_err(|error| self.explained(error))?;
            self.request_header(payload)
        })?;
        if self.stage != Stage::Ready {
            return Err(
                self.protocol_error(header.stream, "a request in several segments before the connection is ready")
            );
        }
        let (total, have) = (header.total(), to_u64(segment.len()));
        // One that ends with its segment leaves the server waiting for more of it.
        if total <= have {
            return Err(self.protocol_error(header.stream, "a request that ends within its segment"));
        }
        if total > cx.max_frame_bytes() {
            if header.stream < 0 || self.pending.get(header.stream).is_some() {
                return Err(
                    self.protocol_error(header.stream, "a request that is too large, on a stream that is not free")
                );
            }
            let drop = to_u64(segment.total());
            self.segments.discard = total.saturating_sub(have);
            return match self.refuse_size(cx, drop, &header)? {
                None => Ok(Verdict::Drop(drop)),
                Some(grant) => {
                    let question = options(header.version, header.stream);
                    self.rewrite(cx, grant, &question, Next::Drop(drop), lz4)
                }
            };
        }
        self.segments.large = Large { at: segment.total(), have: segment.len(), need: to_usize(total) };
        self.on_large(cx, input, lz4)
    }

    /// Drops a segment of a request that is too large.
    fn discard<'c>(&mut self, input: &[u8], lz4: bool) -> OnData<'c> {
        let Some(segment) = self.segment(lz4, input)? else { return Ok(missing(input, header_len(lz4))) };
        self.continues(&segment, self.segments.discard)?;
        self.segments.discard = self.segments.discard.saturating_sub(to_u64(segment.len()));
        Ok(Verdict::Drop(to_u64(segment.total())))
    }

    /// Whether a segment goes on with an envelope of which so many bytes are missing.
    fn continues(&self, segment: &Segment, missing: u64) -> Result<(), ParseError> {
        let len = to_u64(segment.len());
        if segment.self_contained || len == 0 || len > missing {
            return Err(self.protocol_error(0, "segments that do not go together"));
        }
        Ok(())
    }

    /// Collects a request that comes in several segments, and judges it when all are there.
    fn on_large<'c>(&mut self, cx: &mut Context<'c, Rules>, input: Input<'_>, lz4: bool) -> OnData<'c> {
        loop {
            let Large { at, have, need } = self.segments.large;
            if have == need {
                break;
            }
            let rest = input.get(at..).unwrap_or_default();
            let Some(segment) = self.segment(lz4, rest)? else { return Ok(missing(rest, header_len(lz4))) };
            self.continues(&segment, to_u64(need.saturating_sub(have)))?;
            if rest.len() < segment.total() {
                return Ok(missing(rest, segment.total()));
            }
            let (at, have) = (at.saturating_add(segment.total()), have.saturating_add(segment.len()));
            self.segments.large = Large { at, have, need };
        }
        let Large { at, need, .. } = self.segments.large;
        // What is asked for has come, but for what is compressed, and that is within the limit.
        let mut envelope = Vec::with_capacity(need);
        let mut from = 0;
        while from < at {
            let rest = input.get(from..).unwrap_or_default();
            let Some(segment) = self.segment(lz4, rest)? else { break };
            segment.append(rest, &mut envelope).map_err(|error| self.explained(error))?;
            from = from.saturating_add(segment.total());
        }
        let header = self.request_header(&envelope)?;
        let total = to_u64(at);
        let fate = self.judge(cx, total, &header, envelope.get(HEADER..).unwrap_or_default());
        if !matches!(fate, Fate::Wait) {
            self.segments.large = Large::default();
        }
        match fate {
            Fate::Pass(grant) => Ok(Verdict::Pass(grant)),
            Fate::Answered => Ok(Verdict::Drop(total)),
            Fate::StandIn(grant) => {
                let question = options(header.version, header.stream);
                self.rewrite(cx, grant, &question, Next::Drop(total), lz4)
            }
            Fate::Wait => Ok(Verdict::Wait),
            Fate::Close(error) => Err(error),
        }
    }

    /// Judges the requests of a segment, one after the other.
    fn on_contained<'c>(
        &mut self,
        cx: &mut Context<'c, Rules>,
        segment: &Segment,
        bytes: &[u8],
        lz4: bool,
    ) -> OnData<'c> {
        let verified = std::mem::replace(&mut self.segments.verified, true);
        let mut inflated = std::mem::take(&mut self.segments.inflated);
        let payload = if !verified {
            if segment.is_compressed() {
                inflated = PAYLOAD.take();
            }
            let payload = segment.payload(bytes, &mut inflated);
            payload.map_err(|error| self.explained(error))?
        } else if segment.is_compressed() {
            &inflated
        } else {
            bytes.get(segment.header..segment.header.saturating_add(segment.payload)).unwrap_or_default()
        };
        let total = to_u64(segment.total());
        let Walk { grant, kept, end, stop } = self.walk(cx, total, payload);
        let mut next = Next::Nothing;
        self.segments.done = 0;
        match stop {
            Stop::End => next = Next::Drop(total),
            Stop::Wait => self.segments.done = end,
            Stop::Pause => {
                self.segments.rest = payload.get(end..).unwrap_or_default().to_vec();
                self.segments.raw = total.saturating_sub(1);
                next = Next::Drop(1);
            }
            Stop::Fail(error) => next = Next::Fail(error),
        }
        if self.segments.done > 0 || matches!(next, Next::Nothing) {
            self.segments.inflated = inflated;
        } else {
            self.segments.verified = false;
            if segment.is_compressed() {
                PAYLOAD.set(inflated);
            }
        }
        match (kept, grant) {
            (Kept::Whole, Some(grant)) => Ok(Verdict::Pass(grant)),
            (Kept::Some(kept), Some(grant)) => self.rewrite(cx, grant, &kept, next, lz4),
            (_, None) => next.now(),
        }
    }

    /// Goes on with a segment in which many requests were answered.
    fn on_rest<'c>(&mut self, cx: &mut Context<'c, Rules>, lz4: bool) -> OnData<'c> {
        let payload = std::mem::take(&mut self.segments.rest);
        let raw = self.segments.raw;
        let begin = self.segments.done;
        let mut walk = self.walk(cx, raw, &payload);
        walk.cut(&payload, begin);
        let Walk { grant, kept, end, stop } = walk;
        self.segments.done = end;
        self.segments.rest = payload;
        let next = match stop {
            Stop::Wait => Next::Nothing,
            Stop::Pause => {
                self.segments.raw = raw.saturating_sub(1);
                Next::Drop(1)
            }
            Stop::End | Stop::Fail(_) => {
                (self.segments.done, self.segments.raw) = (0, 0);
                self.segments.rest = Vec::new();
                if let Stop::Fail(error) = stop { Next::Fail(error) } else { Next::Drop(raw) }
            }
        };
        match (kept, grant) {
            (Kept::Some(kept), Some(grant)) => self.rewrite(cx, grant, &kept, next, lz4),
            _ => next.now(),
        }
    }

    /// Sends what is left of a segment on in its place.
    fn rewrite<'c>(
        &mut self,
        cx: &mut Context<'c, Rules>,
        grant: Grant<'c>,
        kept: &[u8],
        next: Next,
        lz4: bool,
    ) -> OnData<'c> {
        let mut rewritten = Vec::with_capacity(kept.len().saturating_add(16));
        let len = segment::write(lz4, true, &[kept], |part| rewritten.extend_from_slice(part));
        cx.inject_request(grant, &rewritten);
        self.segments.next = next;
        Ok(Verdict::Inject(len))
    }

    /// Goes through the requests that are not settled yet, as far as they can be settled and not too many are answered.
    fn walk<'c>(&mut self, cx: &mut Context<'c, Rules>, frame_len: u64, payload: &[u8]) -> Walk<'c> {
        let begin = self.segments.done;
        let backlog = cx.reply_backlog().saturating_add(self.owed.len());
        let mut walk = Walk { grant: None, kept: Kept::Whole, end: begin, stop: Stop::End };
        while let Some(rest) = payload.get(walk.end..)
            && !rest.is_empty()
        {
            let answered = cx.reply_backlog().saturating_add(self.owed.len()).saturating_sub(backlog);
            if answered >= MAX_ANSWERED && frame_len > 1 {
                walk.stop = Stop::Pause;
                break;
            }
            let mut question = [0; HEADER];
            let fate = match self.request_header(rest) {
                Err(error) => Err(error),
                Ok(header) => match rest.get(HEADER..to_usize(header.total())) {
                    None => Err(self.protocol_error(header.stream, "a request that goes beyond its segment")),
                    Some(body) => {
                        question = options(header.version, header.stream);
                        Ok((self.judge(cx, frame_len, &header, body), to_usize(header.total())))
                    }
                },
            };
            let len = match fate {
                Ok((Fate::Pass(grant), len)) => {
                    walk.keep(grant, payload, len);
                    len
                }
                Ok((Fate::Answered, len)) => {
                    walk.cut(payload, begin);
                    len
                }
                Ok((Fate::StandIn(grant), len)) => {
                    walk.replace(grant, payload, begin, &question);
                    len
                }
                Ok((Fate::Wait, _)) => {
                    walk.stop = Stop::Wait;
                    break;
                }
                Ok((Fate::Close(error), _)) | Err(error) => {
                    walk.stop = Stop::Fail(Box::new(error));
                    break;
                }
            };
            walk.end = walk.end.saturating_add(len);
        }
        if begin > 0 || !matches!(walk.stop, Stop::End) {
            walk.cut(payload, begin);
        }
        walk
    }

    fn request_header(&self, bytes: &[u8]) -> Result<Header, ParseError> {
        let short = || self.protocol_error(0, "a segment that is too short for a request");
        let version = self.version_of(bytes).map_err(|unknown| match unknown {
            Unknown::Close(error) => error,
            Unknown::More(_) | Unknown::Version(_) => short(),
        })?;
        Header::read(version, bytes).ok_or_else(short)
    }

    fn segment(&self, lz4: bool, bytes: &[u8]) -> Result<Option<Segment>, ParseError> {
        Segment::read(lz4, bytes).map_err(|error| self.explained(error))
    }

    /// An error of framing, with an answer that says no more than that.
    fn explained(&self, error: ParseError) -> ParseError {
        error.reply(self.protocol_answer(0, "a segment that is not right"))
    }
}

/// What became of the requests of a segment.
struct Walk<'c> {
    grant: Option<Grant<'c>>,
    kept: Kept,
    /// Bytes that are settled.
    end: usize,
    stop: Stop,
}

/// Why no more requests of a segment were looked at.
enum Stop {
    End,
    Wait,
    /// Many were answered: the answers go out first.
    Pause,
    Fail(Box<ParseError>),
}

/// The requests of a segment that go on.
enum Kept {
    Whole,
    Some(Vec<u8>),
}

impl<'c> Walk<'c> {
    fn keep(&mut self, grant: Grant<'c>, payload: &[u8], len: usize) {
        self.grant = Some(grant);
        if let Kept::Some(kept) = &mut self.kept {
            kept.extend_from_slice(payload.get(self.end..self.end.saturating_add(len)).unwrap_or_default());
        }
    }

    /// Something else goes on in the place of the request at hand.
    fn replace(&mut self, grant: Grant<'c>, payload: &[u8], begin: usize, other: &[u8]) {
        self.cut(payload, begin);
        self.grant = Some(grant);
        if let Kept::Some(kept) = &mut self.kept {
            kept.extend_from_slice(other);
        }
    }

    /// From here on not everything goes on: what did so far, since `begin`, is put aside.
    fn cut(&mut self, payload: &[u8], begin: usize) {
        if let Kept::Whole = self.kept {
            self.kept = Kept::Some(payload.get(begin..self.end).unwrap_or_default().to_vec());
        }
    }
}

thread_local! {
    static PAYLOAD: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Bytes of answers after which the core is asked whether the client still reads, at sixteen verdicts a time: as many as it
/// lets wait altogether.
const MAX_ANSWERED: usize = 4 << 10;
