//! What becomes of a request whose envelope is all there, however it was framed.

use std::cell::RefCell;
use std::sync::Arc;

use portcullis_proxylib::{Context, Denied, Grant, ParseError, Reader};

use super::answer::{Answer, Code};
use super::compress::Bad;
use super::frame::{Header, Version, flag, opcode};
use super::message::{self, Malformed, Part};
use super::pending::Awaited;
use super::prepared::{Found, MAX_TEXT, Prepared, Statement};
use super::request::Named;
use super::rules::Rules;
use super::segment::Framing;
use super::statements::{Entry, Statements};
use super::{CassandraParser, Stage, standin};

/// What becomes of a request.
pub(super) enum Fate<'c> {
    Pass(Grant<'c>),
    /// It was answered, and must not reach the server.
    Answered,
    /// Another request must reach the server in its place: then it is answered.
    StandIn(Grant<'c>),
    /// It cannot be judged yet.
    Wait,
    Close(ParseError),
}

/// What the request at the front waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    No,
    /// Until the keyspace is known: no USE is awaited.
    Keyspace,
    /// A USE, until nothing depends on the keyspace.
    Unqualified,
    /// Until fewer statements are being prepared.
    Preparing,
    /// Until nothing is awaited.
    All,
}

/// Why a request was not passed.
pub(super) enum Refused {
    /// The client gets an error, and the connection goes on.
    Told(Code, &'static str, &'static str),
    /// Nobody has prepared that.
    Unprepared(Vec<u8>),
    Hold(Hold),
    Close(&'static str),
}

impl From<Malformed> for Refused {
    fn from(Malformed(why): Malformed) -> Self {
        Self::Told(Code::Protocol, "Request could not be read: ", why)
    }
}

impl From<Denied> for Refused {
    fn from(_: Denied) -> Self {
        Self::Told(Code::Unauthorized, Answer::DENIED.message, "")
    }
}

impl CassandraParser {
    /// Whether the request at the front still waits.
    pub(super) fn is_held(&mut self) -> bool {
        let held = match self.hold {
            Hold::No => false,
            Hold::Keyspace => self.pending.has_use(),
            Hold::Unqualified => self.pending.has_use() || self.pending.needs_keyspace(),
            Hold::Preparing => self.is_preparing_much(),
            Hold::All => !self.pending.is_empty(),
        };
        if !held {
            self.hold = Hold::No;
        }
        held
    }

    fn is_preparing_much(&self) -> bool {
        let weight = self.preparing.iter().fold(0, |sum: usize, (_, one)| sum.saturating_add(one.weight));
        self.preparing.len() >= MAX_PREPARING || weight >= MAX_PREPARING_BYTES
    }

    /// Judges a request, of which the first `frame_len` bytes of the input consist.
    pub(super) fn judge<'c>(
        &mut self,
        cx: &mut Context<'c, Rules>,
        frame_len: u64,
        header: &Header,
        body: &[u8],
    ) -> Fate<'c> {
        if header.stream < 0 || self.pending.get(header.stream).is_some() {
            let why = if header.stream < 0 { "a stream below zero" } else { "a stream that is in use" };
            return Fate::Close(self.protocol_error(header.stream, why));
        }
        let judged = SCRATCH.with_borrow_mut(|scratch| {
            let Scratch { statements, inflated } = scratch;
            let judged = match self.inflate(cx, header, body, inflated) {
                Ok(body) => self.read(cx, frame_len, header, body, statements),
                Err(refused) => Err(refused),
            };
            scratch.tidy();
            judged
        });
        let refused = match judged {
            Ok((grant, awaited)) => {
                self.pending.add(header.stream, awaited);
                return Fate::Pass(grant);
            }
            Err(refused) => refused,
        };
        match refused {
            Refused::Told(code, message, detail) => {
                if code != Code::Unauthorized {
                    cx.refuse(if detail.is_empty() { message } else { detail }, &Named(opcode::name(header.opcode)));
                }
                self.deny(cx, frame_len, header, &Answer { detail, ..Answer::new(code, message) })
            }
            Refused::Unprepared(id) => {
                cx.refuse("a prepared statement that is not known", &Named(opcode::name(header.opcode)));
                let message = "Prepared query with this ID not found (either the query was not prepared on this host or \
                               it was forgotten)";
                self.deny(cx, frame_len, header, &Answer { id: &id, ..Answer::new(Code::Unprepared, message) })
            }
            Refused::Hold(hold) if cx.can_wait() => {
                self.hold = hold;
                Fate::Wait
            }
            Refused::Hold(Hold::All) => Fate::Close(self.protocol_error(header.stream, "requests before the answer")),
            Refused::Hold(_) => {
                let why = "policy cannot tell the keyspace while other requests are under way: try again";
                cx.refuse("a request that would have to wait", &Named(opcode::name(header.opcode)));
                self.deny(cx, frame_len, header, &Answer::new(Code::Overloaded, why))
            }
            Refused::Close(why) => Fate::Close(self.protocol_error(header.stream, why)),
        }
    }

    /// Answers a request that must not reach the server.
    fn deny<'c>(
        &mut self,
        cx: &mut Context<'c, Rules>,
        frame_len: u64,
        header: &Header,
        answer: &Answer<'_>,
    ) -> Fate<'c> {
        if !self.needs_stand_in(cx) {
            self.answer(cx, header.stream, answer);
            return Fate::Answered;
        }
        if self.stand_ins.is_full() {
            return Fate::Close(standin::too_many());
        }
        Fate::StandIn(self.stand_in(cx, frame_len, header.stream, answer))
    }

    /// An error after which the connection closes.
    pub(super) fn protocol_error(&self, stream: i16, why: &'static str) -> ParseError {
        ParseError::new(why).reply(self.protocol_answer(stream, why))
    }

    pub(super) fn protocol_answer(&self, stream: i16, why: &str) -> Vec<u8> {
        let answer = Answer { detail: why, ..Answer::new(Code::Protocol, "Request could not be read: ") };
        answer.bytes(self.framing, self.version, stream.max(0))
    }

    /// Says something in the server's place, at the next boundary between envelopes.
    pub(super) fn answer(&mut self, cx: &mut Context<'_, Rules>, stream: i16, answer: &Answer<'_>) {
        if self.reply_left > 0 {
            let owed = &mut self.owed;
            answer.write(self.framing, self.version, stream, |part| owed.extend_from_slice(part));
        } else {
            answer.write(self.framing, self.version, stream, |part| cx.inject_reply(part));
        }
    }

    /// The body as it is read.
    fn inflate<'b>(
        &self,
        cx: &Context<'_, Rules>,
        header: &Header,
        body: &'b [u8],
        room: &'b mut Vec<u8>,
    ) -> Result<&'b [u8], Refused> {
        let Framing::Plain(compression) = self.framing else {
            // In segments the flag means nothing; servers do not look at it.
            return Ok(body);
        };
        if !header.has(flag::COMPRESSED) {
            return Ok(body);
        }
        match compression.inflate(body, cx.max_frame_bytes(), room) {
            Ok(()) => Ok(room),
            Err(Bad::NotAgreed) => Err(Malformed("a compressed body, without a compression").into()),
            Err(Bad::Corrupt) => Err(Malformed("a body that is not compressed as agreed").into()),
            Err(Bad::TooLarge) => Err(TOO_LARGE),
        }
    }

    fn read<'c>(
        &mut self,
        cx: &mut Context<'c, Rules>,
        frame_len: u64,
        header: &Header,
        body: &[u8],
        statements: &mut Statements,
    ) -> Result<(Grant<'c>, Awaited), Refused> {
        let body_len = body.len();
        let body = message::open(header, body)?;
        if matches!(header.opcode, opcode::STARTUP | opcode::OPTIONS)
            && (body_len > MAX_BEGINNING || header.has(!flag::TRACING) && self.stage != Stage::Ready)
        {
            return Err(Malformed("a beginning that is too long, or has flags").into());
        }
        let (why, awaited) = match (self.stage, header.opcode) {
            (Stage::New | Stage::Ready, opcode::OPTIONS) => {
                message::close(&body)?;
                ("a question about the server", Awaited::Options)
            }
            (Stage::New, opcode::STARTUP) => {
                let compression = message::startup(body)?;
                if !self.pending.is_empty() {
                    return Err(Refused::Hold(Hold::All));
                }
                self.version = header.version;
                self.stage = Stage::Starting { compression };
                ("the beginning of a connection", Awaited::Startup)
            }
            (Stage::Starting { .. }, opcode::QUERY | opcode::PREPARE | opcode::EXECUTE | opcode::BATCH)
                if self.stays_plain(cx) =>
            {
                return self.statement(cx, frame_len, header, body, statements);
            }
            (Stage::Starting { .. }, _) => return Err(Refused::Hold(Hold::All)),
            (Stage::Authenticating, opcode::AUTH_RESPONSE) => {
                message::auth_response(body)?;
                if !self.pending.is_empty() {
                    return Err(Refused::Hold(Hold::All));
                }
                ("credentials", Awaited::Auth)
            }
            (Stage::Authenticating, _) => return Err(unexpected("expecting AUTH_RESPONSE")),
            (Stage::Ready, opcode::REGISTER) => {
                message::register(body)?;
                ("a request for events", Awaited::Register)
            }
            (Stage::Ready, opcode::QUERY | opcode::PREPARE | opcode::EXECUTE | opcode::BATCH) => {
                return self.statement(cx, frame_len, header, body, statements);
            }
            // Before STARTUP the server refuses it, in the framing that it keeps in these versions.
            (Stage::New, opcode::QUERY | opcode::PREPARE | opcode::EXECUTE | opcode::BATCH)
                if header.version < Version::V5 =>
            {
                return self.statement(cx, frame_len, header, body, statements);
            }
            (Stage::New, _) => return Err(unexpected("expecting STARTUP or OPTIONS")),
            (Stage::Ready, opcode::STARTUP | opcode::AUTH_RESPONSE) => {
                return Err(unexpected("the connection is already initialized"));
            }
            (Stage::Ready, _) => return Err(unexpected("there is no such request")),
            (Stage::Refused, _) => return Err(unexpected("the server has refused the connection")),
        };
        Ok((cx.unjudged(frame_len, why), awaited))
    }

    /// A request that runs statements, or prepares one.
    fn statement<'c>(
        &mut self,
        cx: &mut Context<'c, Rules>,
        frame_len: u64,
        header: &Header,
        body: Reader<'_>,
        statements: &mut Statements,
    ) -> Result<(Grant<'c>, Awaited), Refused> {
        let version = header.version;
        statements.clear();
        let own_keyspace = match header.opcode {
            opcode::QUERY => {
                let (text, keyspace) = message::query(version, body)?;
                statements.read(text)?;
                keyspace
            }
            opcode::PREPARE => {
                let (text, keyspace) = message::prepare(version, body)?;
                return self.prepare(cx, frame_len, header, (text, keyspace), statements);
            }
            opcode::EXECUTE => {
                self.find(message::execute(version, body)?, statements)?;
                None
            }
            _ => {
                // All of it is looked at before any of it is used.
                let keyspace = message::batch(version, body.clone(), |_| ())?;
                let mut result = Ok(());
                message::batch(version, body, |part| {
                    if result.is_ok() {
                        let read = match part {
                            Part::Text(text) => statements.read(text),
                            Part::Id(id) => self.find(id, statements),
                        };
                        result = read.and_then(|()| statements.check_batch());
                    }
                })?;
                result?;
                keyspace
            }
        };
        if own_keyspace.is_some() && statements.resolve_late() {
            return Err(NOT_QUALIFIED);
        }
        let awaited = if statements.has_use() {
            Awaited::Use
        } else if own_keyspace.is_none() && statements.needs_keyspace() {
            Awaited::Unqualified
        } else {
            Awaited::Plain
        };
        self.order(awaited)?;
        let keyspace = own_keyspace.or(self.keyspace.as_deref());
        let grant = statements.admit(cx, frame_len, header.opcode, keyspace)?;
        Ok((grant, awaited))
    }

    /// Requests of one connection run side by side: the keyspace must not change beside one that depends on it.
    fn order(&self, awaited: Awaited) -> Result<(), Refused> {
        match awaited {
            Awaited::Use if self.pending.has_use() || self.pending.needs_keyspace() => {
                Err(Refused::Hold(Hold::Unqualified))
            }
            Awaited::Unqualified | Awaited::UnqualifiedPrepare if self.pending.has_use() => {
                Err(Refused::Hold(Hold::Keyspace))
            }
            _ => Ok(()),
        }
    }

    fn prepare<'c>(
        &mut self,
        cx: &mut Context<'c, Rules>,
        frame_len: u64,
        header: &Header,
        (text, own_keyspace): (&[u8], Option<&str>),
        statements: &mut Statements,
    ) -> Result<(Grant<'c>, Awaited), Refused> {
        if text.len() > MAX_TEXT {
            return Err(Refused::Told(Code::Invalid, "The statement is too long to be prepared", ""));
        }
        if self.is_preparing_much() {
            return Err(Refused::Hold(Hold::Preparing));
        }
        statements.read(text)?;
        if statements.resolve_late() {
            return Err(NOT_QUALIFIED);
        }
        let needs_keyspace = statements.needs_keyspace();
        let unqualified = own_keyspace.is_none() && needs_keyspace;
        let awaited = if unqualified { Awaited::UnqualifiedPrepare } else { Awaited::Prepare };
        self.order(awaited)?;
        let keyspace = own_keyspace.or(self.keyspace.as_deref());
        let grant = statements.admit(cx, frame_len, header.opcode, keyspace)?;
        let script = statements.take_first();
        let statement = Statement {
            weight: script.footprint().saturating_add(STATEMENT_WEIGHT),
            script,
            keyspace: keyspace.filter(|_| needs_keyspace).map(Box::from),
            text: Prepared::digest(text),
        };
        self.preparing.push((header.stream, Arc::new(statement)));
        Ok((grant, awaited))
    }

    fn find(&self, id: &[u8], statements: &mut Statements) -> Result<(), Refused> {
        match self.shared.find(id) {
            Found::Known(statement) => {
                statements.entries.push(Entry::Known(statement));
                Ok(())
            }
            Found::Contested => Err(Refused::Told(Code::Invalid, "Two prepared statements have this id", "")),
            Found::Unknown => Err(Refused::Unprepared(id.to_vec())),
        }
    }
}

const fn unexpected(why: &'static str) -> Refused {
    Refused::Told(Code::Protocol, "Unexpected message, ", why)
}

/// A request beyond the limit, in the words of servers.
pub(super) const TOO_LARGE_TEXT: &str = "Request is too big: longer than the maximum allowed message length";
const TOO_LARGE: Refused = Refused::Told(Code::Invalid, TOO_LARGE_TEXT, "");

/// What is resolved only when it runs, where the keyspace may have changed by then.
const NOT_QUALIFIED: Refused = Refused::Told(Code::Invalid, "Name the keyspace in the statement", "");

/// Bytes of a STARTUP or an OPTIONS: drivers tell their names and versions there, a few hundred.
const MAX_BEGINNING: usize = 16 << 10;

/// What requests are read into, kept for the next one.
#[derive(Default)]
struct Scratch {
    statements: Statements,
    inflated: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Scratch {
    /// Gives back what only a large request needs.
    fn tidy(&mut self) {
        self.statements.entries.clear();
        self.statements.entries.shrink_to(KEEP_SCRIPTS);
        if self.statements.read > KEEP_BYTES {
            self.statements.scripts = Vec::new();
        }
        self.statements.scripts.truncate(KEEP_SCRIPTS);
        self.inflated.clear();
        self.inflated.shrink_to(KEEP_BYTES);
    }
}

/// Scripts that are kept for the next batch.
const KEEP_SCRIPTS: usize = 128;

/// Bytes, in a text or a body, up to which the memory for them is kept.
const KEEP_BYTES: usize = 64 << 10;

/// Statements of one connection that wait for their ids: more than any driver has under way.
const MAX_PREPARING: usize = 256;

/// Bytes of them.
const MAX_PREPARING_BYTES: usize = 2 * MAX_TEXT;

/// Bytes of a prepared statement besides those of its script, about.
const STATEMENT_WEIGHT: usize = 256;
