//! Replies: they pass by their headers, and teach what the server alone knows.

use std::cell::RefCell;

use portcullis_proxylib::{Context, Input, OnData, ParseError, Reader, Verdict};

use super::compress::Compression;
use super::frame::{HEADER, Header, RESPONSE, Version, flag, opcode, to_u64, to_usize};
use super::message::{self, KIND_SET_KEYSPACE, Outcome};
use super::orig::missing;
use super::pending::Awaited;
use super::request::Named;
use super::rules::Rules;
use super::segment::{self, Framing, Segment, header_len};
use super::{CassandraParser, Stage};

impl CassandraParser {
    pub(super) fn on_reply<'c>(&mut self, cx: &mut Context<'c, Rules>, input: Input<'_>) -> OnData<'c> {
        if self.reply_drop > 0 {
            return Ok(Verdict::Drop(std::mem::take(&mut self.reply_drop)));
        }
        if self.reply_left == 0 && !self.owed.is_empty() {
            let owed = std::mem::take(&mut self.owed);
            cx.inject_reply(&owed);
            return Ok(Verdict::Inject(to_u64(owed.len())));
        }
        if input.is_empty() {
            return Ok(Verdict::More(1));
        }
        if self.closing && self.pending.is_empty() && self.reply_left == 0 {
            return Ok(Verdict::Drop(to_u64(input.len())));
        }
        match self.framing {
            Framing::Plain(compression) => self.on_reply_envelope(cx, input, compression),
            Framing::Segments { lz4 } => self.on_reply_segment(cx, input, lz4),
        }
    }

    fn on_reply_envelope<'c>(
        &mut self,
        cx: &mut Context<'c, Rules>,
        input: Input<'_>,
        compression: Compression,
    ) -> OnData<'c> {
        let version = self.reply_version(&input)?;
        let Some(header) = Header::read(version, &input) else { return Ok(missing(&input, HEADER)) };
        let total = header.total();
        if self.has_stand_in(header.stream) {
            self.learn(&header, &[])?;
            return Ok(Verdict::Drop(total));
        }
        let looked_at = match self.interest(&header)? {
            Interest::None => 0,
            Interest::Kind => 4.min(header.body),
            Interest::Body => header.body,
        };
        let looked_at = HEADER.saturating_add(to_usize(u64::from(looked_at)));
        let Some(body) = input.get(HEADER..looked_at) else { return Ok(missing(&input, looked_at)) };
        if header.has(flag::COMPRESSED) && self.interest(&header)? == Interest::Body {
            INFLATED.with_borrow_mut(|room| {
                let inflated = compression.inflate(body, cx.max_frame_bytes(), room);
                inflated.map_err(|_| ParseError::new("a reply that is not compressed as agreed"))?;
                let learned = self.learn(&header, room);
                room.clear();
                room.shrink_to(KEEP_BYTES);
                learned
            })?;
        } else {
            self.learn(&header, body)?;
        }
        cx.log_reply(&Named(opcode::name(header.opcode)));
        Ok(Verdict::Pass(cx.unjudged(total, "replies are not judged")))
    }

    /// The version of an envelope of the server.
    fn reply_version(&self, bytes: &[u8]) -> Result<Version, ParseError> {
        let first = bytes.first().copied().unwrap_or_default();
        let version = Version::of(first & !RESPONSE).filter(|_| first & RESPONSE != 0);
        let version = version.ok_or_else(|| ParseError::new("a reply in a version that is not understood"))?;
        // A server that does not have the client's version says so in one of its own.
        let free = matches!(self.stage, Stage::New | Stage::Starting { .. } | Stage::Refused);
        if free || version == self.version {
            Ok(version)
        } else {
            Err(ParseError::new("a reply in another version than the connection has"))
        }
    }

    /// How much of a reply must be looked at.
    fn interest(&self, header: &Header) -> Result<Interest, ParseError> {
        if header.opcode == opcode::EVENT && header.stream < 0 {
            return Ok(Interest::None);
        }
        let awaited = self.pending.get(header.stream);
        let awaited = awaited.ok_or_else(|| ParseError::new("a reply that nobody asked for"))?;
        Ok(match (header.opcode, awaited) {
            (_, Awaited::StandIn) => Interest::Body,
            (opcode::RESULT, Awaited::Use | Awaited::Prepare | Awaited::UnqualifiedPrepare) => Interest::Body,
            (opcode::RESULT, _) if header.flags & !flag::USE_BETA == 0 => Interest::Kind,
            _ => Interest::None,
        })
    }

    /// Takes note of a reply.
    fn learn(&mut self, header: &Header, body: &[u8]) -> Result<(), ParseError> {
        if header.opcode == opcode::EVENT && header.stream < 0 {
            return if self.stage == Stage::Ready {
                Ok(())
            } else {
                Err(ParseError::new("an event before it is time"))
            };
        }
        let stream = header.stream;
        let Some(awaited) = self.pending.get(stream) else {
            return Err(ParseError::new("a reply that nobody asked for"));
        };
        self.pending.remove(stream);
        let statement = if awaited.is_prepare() { self.take_preparing(stream) } else { None };
        let is_error = header.opcode == opcode::ERROR;
        match (awaited, header.opcode) {
            (Awaited::Startup, _) => return self.start(header),
            (Awaited::Auth, opcode::AUTH_SUCCESS | opcode::READY) => self.stage = Stage::Ready,
            (Awaited::Auth, opcode::AUTH_CHALLENGE) => {}
            (Awaited::Options, opcode::SUPPORTED) | (Awaited::Register, opcode::READY) => {}
            (Awaited::Use, opcode::RESULT) => match message::result(header, body) {
                Some(Outcome::Keyspace(keyspace)) => self.keyspace = Some(keyspace.into()),
                _ => return Err(ParseError::new("a reply to USE that does not name the keyspace")),
            },
            (Awaited::Prepare | Awaited::UnqualifiedPrepare, opcode::RESULT) => {
                match (message::result(header, body), statement) {
                    (Some(Outcome::Prepared(id)), Some(statement)) => self.shared.learn(id, statement),
                    _ => return Err(ParseError::new("a reply to PREPARE without an id")),
                }
            }
            (Awaited::Plain | Awaited::Unqualified, opcode::RESULT) => {
                // Only where nothing is in front of it; but what is not a USE can never change the keyspace.
                let is_plain = header.flags & !flag::USE_BETA == 0;
                if is_plain && Reader::new(body).u32() == Some(KIND_SET_KEYSPACE) {
                    return Err(ParseError::new("a reply that changes the keyspace, to a request that does not"));
                }
            }
            (Awaited::StandIn, opcode::SUPPORTED | opcode::ERROR) => {
                let answer = self.stand_ins.take(stream);
                self.owed.extend_from_slice(&answer.unwrap_or_default());
            }
            (Awaited::StandIn, _) => return Err(ParseError::new("a reply that is none to its request")),
            _ if is_error => {}
            _ => return Err(ParseError::new("a reply that is none to its request")),
        }
        Ok(())
    }

    /// Takes note of the answer to STARTUP: from here on the connection is framed as was agreed.
    fn start(&mut self, header: &Header) -> Result<(), ParseError> {
        let Stage::Starting { compression } = self.stage else {
            return Err(ParseError::new("an answer to STARTUP out of its turn"));
        };
        let stage = match header.opcode {
            opcode::READY => Stage::Ready,
            opcode::AUTHENTICATE => Stage::Authenticating,
            opcode::ERROR => {
                // A server that does not have version 5 says so in one that it has, and never reads segments.
                self.stage = if header.version == Version::V5 { Stage::Refused } else { Stage::New };
                return Ok(());
            }
            _ => return Err(ParseError::new("a reply that is none to STARTUP")),
        };
        if header.version != self.version {
            return Err(ParseError::new("an answer to STARTUP in another version"));
        }
        if self.version == Version::V5 && header.has(flag::USE_BETA) {
            return Err(ParseError::new("a server whose version 5 is a beta version, which is framed in another way"));
        }
        self.framing = match (self.version, compression) {
            (Version::V3 | Version::V4, Some(compression)) => Framing::Plain(compression),
            (Version::V5, Some(Compression::None)) => Framing::Segments { lz4: false },
            (Version::V5, Some(Compression::Lz4)) => Framing::Segments { lz4: true },
            _ => return Err(ParseError::new("a server that agrees to a compression that there is not")),
        };
        self.stage = stage;
        Ok(())
    }

    fn take_preparing(&mut self, stream: i16) -> Option<std::sync::Arc<super::Statement>> {
        let at = self.preparing.iter().position(|(of, _)| *of == stream)?;
        let (_, statement) = self.preparing.swap_remove(at);
        if self.preparing.is_empty() {
            self.preparing = Vec::new();
        }
        Some(statement)
    }

    fn on_reply_segment<'c>(&mut self, cx: &mut Context<'c, Rules>, input: Input<'_>, lz4: bool) -> OnData<'c> {
        let Some(segment) = Segment::read(lz4, &input)? else { return Ok(missing(&input, header_len(lz4))) };
        let total = segment.total();
        let len = to_u64(segment.len());
        if self.reply_left > 0 {
            if segment.self_contained || len == 0 || len > self.reply_left {
                return Err(ParseError::new("a reply in segments that do not go together"));
            }
            self.reply_left = self.reply_left.saturating_sub(len);
            return Ok(Verdict::Pass(cx.unjudged(to_u64(total), "the rest of a reply")));
        }
        if len == 0 {
            return if segment.self_contained {
                Ok(Verdict::Pass(cx.unjudged(to_u64(total), "an empty segment")))
            } else {
                Err(ParseError::new("an empty segment that begins a reply"))
            };
        }
        // One envelope that is not looked at passes by its header, before all of it is there.
        if !segment.is_compressed() {
            let head = segment.header.saturating_add(HEADER);
            let Some(bytes) = input.get(segment.header..head) else {
                if segment.payload < HEADER {
                    return Err(ParseError::new("a segment that is too short for a reply"));
                }
                return Ok(missing(&input, head));
            };
            let header = self.reply_header(bytes)?;
            let fits = if segment.self_contained { header.total() == len } else { header.total() > len };
            if fits && self.interest(&header)? != Interest::Body {
                let kind = to_usize(u64::from(header.body)).min(4);
                let Some(body) = input.get(head..head.saturating_add(kind)) else {
                    return Ok(missing(&input, head.saturating_add(kind)));
                };
                return self.pass_first(cx, &segment, &header, body);
            }
        }
        let Some(bytes) = input.get(..total) else { return Ok(missing(&input, total)) };
        INFLATED.with_borrow_mut(|room| {
            let payload = segment.payload(bytes, room)?;
            if !segment.self_contained {
                let (head, body) = payload.split_at_checked(HEADER).unwrap_or((payload, &[]));
                let header = self.reply_header(head)?;
                if self.has_stand_in(header.stream) {
                    return Err(ParseError::new("a reply to OPTIONS in several segments"));
                }
                return self.pass_first(cx, &segment, &header, body);
            }
            let mut rest = payload;
            // What goes on of it, where not all does.
            let mut kept: Option<Vec<u8>> = None;
            while !rest.is_empty() {
                let header = self.reply_header(rest)?;
                let whole = rest.split_at_checked(to_usize(header.total()));
                let Some((envelope, others)) = whole else {
                    return Err(ParseError::new("a reply that goes beyond its segment"));
                };
                let stands_in = self.has_stand_in(header.stream);
                if stands_in {
                    let before = payload.len().saturating_sub(rest.len());
                    kept.get_or_insert_with(|| payload.get(..before).unwrap_or_default().to_vec());
                } else if let Some(kept) = &mut kept {
                    kept.extend_from_slice(envelope);
                }
                self.learn(&header, envelope.get(HEADER..).unwrap_or_default())?;
                if !stands_in {
                    cx.log_reply(&Named(opcode::name(header.opcode)));
                }
                rest = others;
            }
            match kept {
                Some(kept) if kept.is_empty() => return Ok(Verdict::Drop(to_u64(total))),
                Some(kept) => {
                    let len = segment::write(lz4, true, &[&kept], |part| cx.inject_reply(part));
                    self.reply_drop = to_u64(total);
                    return Ok(Verdict::Inject(len));
                }
                None => {}
            }
            Ok(Verdict::Pass(cx.unjudged(to_u64(total), "replies are not judged")))
        })
    }

    /// Passes a segment with a reply, or with the first part of one.
    fn pass_first<'c>(
        &mut self,
        cx: &mut Context<'c, Rules>,
        segment: &Segment,
        header: &Header,
        body: &[u8],
    ) -> OnData<'c> {
        let Some(left) = header.total().checked_sub(to_u64(segment.len())) else {
            return Err(ParseError::new("a reply that ends within its segment"));
        };
        self.learn(header, body)?;
        self.reply_left = left;
        cx.log_reply(&Named(opcode::name(header.opcode)));
        Ok(Verdict::Pass(cx.unjudged(to_u64(segment.total()), "replies are not judged")))
    }

    fn reply_header(&self, bytes: &[u8]) -> Result<Header, ParseError> {
        let version = self.reply_version(bytes)?;
        Header::read(version, bytes).ok_or_else(|| ParseError::new("a segment that is too short for a reply"))
    }
}

/// How much of a reply is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interest {
    None,
    /// Of what kind a RESULT is.
    Kind,
    Body,
}

thread_local! {
    static INFLATED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Bytes that are kept for the next reply.
const KEEP_BYTES: usize = 128 << 10;
