//! One connection: calls its parser and turns verdicts into ops.

use std::borrow::Cow;
use std::sync::Arc;

use arrayvec::ArrayVec;
use portcullis_policy::View;

use crate::context::{Call, Injections};
use crate::input::Input;
use crate::instance::Instance;
use crate::jobs::{Jobs, Wake};
use crate::meta::Meta;
use crate::parser::ErasedParser;
use crate::sandbox::{Panicked, Sandbox};
use crate::tally::Tally;
use crate::verdict::{Direction, ParseError, Verdict};

/// Ops of one call at most: the room that Cilium's host has for them.
pub const MAX_OPS: usize = 16;

/// One step of what is to be done with the bytes of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// This many more bytes are needed before the next call. Last in its call.
    More(u64),
    /// These bytes pass.
    Pass {
        /// The offset in the stream that the grant was given for.
        offset: u64,
        /// How many bytes, from that offset; more than the input holds only as the last op.
        len: u64,
    },
    /// This many bytes are dropped; more than the input holds only as the last op.
    Drop(u64),
    /// This many bytes of the direction's inject buffer go out.
    Inject(u64),
    /// Nothing of this direction moves until the connection is woken or the other direction has moved. Last in its call.
    Wait,
}

/// The ops of one call.
pub type Ops = ArrayVec<Op, MAX_OPS>;

/// Why a connection cannot go on. What was judged and passed before stays passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Whose fault it is.
    pub kind: FaultKind,
    /// The protocol's own error for the client, or nothing.
    pub reply: Cow<'static, [u8]>,
}

/// Why a connection was closed, for access logs and counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// None: the protocol itself ends the connection.
    Finished,
    /// The bytes are not what the protocol allows.
    Parse,
    /// A frame is larger than the listener allows.
    FrameTooLarge,
    /// A frame was not finished in time, or a reply that was owed did not come.
    Timeout,
    /// The process holds too many undecided bytes.
    Memory,
    /// A sender closed its side in the middle of a frame.
    Truncated,
    /// The parser panicked.
    Panic,
    /// The parser broke the contract of verdicts and grants.
    Contract,
    /// A request was denied, and the host has no way to say so to the client.
    Unanswerable,
}

impl FaultKind {
    /// The reason as hosts report it when they close.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "portcullis_finished",
            Self::Parse => "portcullis_parse_error",
            Self::FrameTooLarge => "portcullis_frame_too_large",
            Self::Timeout => "portcullis_timeout",
            Self::Memory => "portcullis_memory",
            Self::Truncated => "portcullis_truncated",
            Self::Panic => "portcullis_panic",
            Self::Contract => "portcullis_contract",
            Self::Unanswerable => "portcullis_unanswerable",
        }
    }
}

/// A connection that was let in and has seen no byte yet: its parser alone, for hosts with very many of them.
pub struct Accepted(Sandbox);

impl Accepted {
    pub(crate) fn new(parser: Box<dyn ErasedParser>) -> Self {
        Self(Sandbox::new(parser))
    }

    /// Makes it a connection of the instance that let it in. `meta` is what that was shown.
    pub fn connect(self, instance: Arc<Instance>, meta: Meta) -> Connection {
        Connection::new(instance, self.0, meta)
    }
}

/// A connection and its parser. [`Datapath`](crate::Datapath) does the bookkeeping of bytes for it; hosts that do their own
/// call it directly.
pub struct Connection {
    instance: Arc<Instance>,
    parser: Sandbox,
    meta: Box<Meta>,
    view: View,
    inject: Injections,
    jobs: Jobs,
    tally: Tally,
    can_wait: bool,
    can_answer: bool,
}

impl Connection {
    fn new(instance: Arc<Instance>, parser: Sandbox, meta: Meta) -> Self {
        Self {
            instance,
            parser,
            meta: Box::new(meta),
            view: View::default(),
            inject: Injections::default(),
            jobs: Jobs::default(),
            tally: Tally::default(),
            can_wait: true,
            can_answer: true,
        }
    }

    /// What is known of the connection.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The listener it belongs to.
    pub fn instance(&self) -> &Arc<Instance> {
        &self.instance
    }

    /// What happened since this was last taken.
    pub const fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }

    /// The bytes to be injected in a direction. Ops of that direction take from its front; the bytes for the other direction
    /// go out at its next frame boundary.
    pub const fn injected(&mut self, direction: Direction) -> &mut Vec<u8> {
        self.inject.towards(direction)
    }

    /// Says how to wake this connection when a job is done. Without it, or without an executor, jobs run in place.
    pub fn attach(&mut self, wake: Wake) {
        if let Some(executor) = &self.instance.executor {
            self.jobs.attach(Arc::clone(executor), wake);
        }
    }

    /// Says that the host calls for requests only when more of them come: [`Verdict::Wait`] would hang there.
    pub const fn forbid_waiting(&mut self) {
        self.can_wait = false;
    }

    /// Says that the host cannot write to the client while it looks at requests: what answers them must come from the server.
    pub const fn forbid_answering(&mut self) {
        self.can_answer = false;
    }

    pub(crate) const fn can_wait(&self) -> bool {
        self.can_wait
    }

    pub(crate) const fn can_answer(&self) -> bool {
        self.can_answer
    }

    /// Whether jobs run elsewhere and wake the connection, or else in place.
    pub const fn can_wake(&self) -> bool {
        self.jobs.is_attached()
    }

    /// Whether the parser waits for replies to requests that passed.
    pub fn owes_replies(&mut self) -> bool {
        self.parser.enter(|parser| parser.owes_replies()).unwrap_or(false)
    }

    /// Bytes for the client that wait for their turn, with the parser or to be injected. They count as held.
    pub fn kept_answers(&mut self) -> usize {
        let kept = self.parser.enter(|parser| parser.kept_answers()).unwrap_or(0);
        kept.saturating_add(self.inject.to_client.len())
    }

    /// Shows the parser the undecided bytes of one direction and adds its verdicts to `ops`, up to [`MAX_OPS`]: a full one
    /// asks for another call.
    ///
    /// `position` is the offset in the stream of the first byte of `input`; `seen` of its bytes were there at the last call.
    /// One call sees one policy.
    ///
    /// # Errors
    /// The connection must close. The ops before the fault still count. The access log has been written.
    pub fn on_data(
        &mut self,
        direction: Direction,
        position: u64,
        input: Input<'_>,
        ops: &mut Ops,
    ) -> Result<(), Fault> {
        let outcome = self.collect(direction, position, input, ops);
        outcome.map_err(|Failure { kind, why, reply }| {
            if kind != FaultKind::Finished {
                self.report(kind, &why);
            }
            Fault { kind, reply }
        })
    }

    /// Counts a fault and writes it to the access log. `why` is lower case, and has no bytes of the connection in it.
    pub fn report(&mut self, kind: FaultKind, why: &str) {
        let counter = match kind {
            FaultKind::Panic => &mut self.tally.panics,
            _ => &mut self.tally.errors,
        };
        *counter = counter.saturating_add(1);
        self.instance.log_error(&self.meta, why);
    }

    /// Throws the parser away. A destructor that panics is caught, counted and logged.
    pub fn close(&mut self) {
        if let Some(Panicked(text)) = self.parser.discard() {
            self.report(FaultKind::Panic, &format!("panic while closing: {text}"));
        }
    }

    fn collect(&mut self, direction: Direction, position: u64, input: Input<'_>, ops: &mut Ops) -> Result<(), Failure> {
        let snapshot = self.instance.policy.load();
        if self.view.generation() != snapshot.generation() {
            self.view = snapshot.view(&self.meta.flow());
        }
        let max_frame = u64::try_from(self.instance.limits.max_frame_bytes).unwrap_or(u64::MAX);
        let mut consumed = 0_usize;
        let mut injected = 0_u64;
        while !ops.is_full() {
            let rest = input.get(consumed..).unwrap_or_default();
            let at = position.saturating_add(to_u64(consumed));
            let mut call = Call {
                direction,
                position: at,
                snapshot: &snapshot,
                view: &self.view,
                meta: &self.meta,
                log: &self.instance.log,
                clock: self.instance.clock,
                tally: &mut self.tally,
                inject: &mut self.inject,
                jobs: &self.jobs,
                can_wait: self.can_wait,
                can_answer: self.can_answer,
                max_frame,
            };
            let shown = Input::new(rest, input.seen().saturating_sub(consumed), input.is_end());
            let op = match self.parser.enter(|parser| parser.on_data(&mut call, shown).map(Step::from)) {
                Err(Panicked(text)) => return Err(Failure::of(FaultKind::Panic, format!("panic: {text}"))),
                Ok(Err(error)) => return Err(error.into()),
                Ok(Ok(Step::Nop)) => break,
                Ok(Ok(Step::Op(op))) => op,
            };
            if self.inject.misused {
                return Err(Failure::contract("a grant was used to inject for other bytes"));
            }
            let taken = match op {
                Op::More(0) | Op::Drop(0) | Op::Inject(0) | Op::Pass { len: 0, .. } => {
                    return Err(Failure::contract("a verdict of length zero"));
                }
                Op::Pass { offset, .. } if offset != at => {
                    return Err(Failure::contract("a grant was used for bytes that it was not given for"));
                }
                Op::Pass { len, .. } | Op::Drop(len) => len,
                Op::Inject(len) => {
                    injected = injected.saturating_add(len);
                    if injected > to_u64(self.inject.towards(direction).len()) {
                        return Err(Failure::contract("more was to be injected than there is"));
                    }
                    0
                }
                Op::More(more) if to_u64(rest.len()).saturating_add(more) > max_frame => {
                    let why = format!("a frame of more than `maxFrameBytes` ({max_frame})");
                    return Err(Failure::of(FaultKind::FrameTooLarge, why));
                }
                Op::More(_) | Op::Wait => {
                    ops.push(op);
                    break;
                }
            };
            ops.push(op);
            match usize::try_from(taken).ok().and_then(|taken| consumed.checked_add(taken)) {
                Some(sum) if sum <= input.len() => consumed = sum,
                _ => break,
            }
        }
        if injected != to_u64(self.inject.towards(direction).len()) {
            return Err(Failure::contract("bytes were left in the inject buffer of the direction at hand"));
        }
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.close();
    }
}

/// A fault with its text for the log.
struct Failure {
    kind: FaultKind,
    why: Cow<'static, str>,
    reply: Cow<'static, [u8]>,
}

impl Failure {
    fn of(kind: FaultKind, why: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, why: why.into(), reply: Cow::Borrowed(b"") }
    }

    fn contract(why: &'static str) -> Self {
        Self::of(FaultKind::Contract, why)
    }
}

impl From<ParseError> for Failure {
    fn from(error: ParseError) -> Self {
        let (kind, why, reply) = error.into_parts();
        Self { kind, why, reply }
    }
}

/// A verdict without its lifetime.
enum Step {
    Op(Op),
    Nop,
}

impl From<Verdict<'_>> for Step {
    fn from(verdict: Verdict<'_>) -> Self {
        Self::Op(match verdict {
            Verdict::More(n) => Op::More(n),
            Verdict::Pass(grant) => Op::Pass { offset: grant.offset(), len: grant.len() },
            Verdict::Drop(n) => Op::Drop(n),
            Verdict::Inject(n) => Op::Inject(n),
            Verdict::Wait => Op::Wait,
            Verdict::Nop => return Self::Nop,
        })
    }
}

fn to_u64(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
