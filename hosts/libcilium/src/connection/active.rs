//! The bookkeeping between the host's loop and the parser.
//!
//! The host keeps the bytes, shows all that are undecided at each call, and applies what it is told. What this adds: an order
//! for what does not fit into one call (16 operations, 1,024 bytes to inject), frames that straddle the host's pieces, and an
//! end that loses nothing.
//!
//! # Ends
//!
//! The host resets a connection whose call fails, and what the same event has passed is lost with it: requests that were
//! allowed, replies that the client was owed, the protocol's own error. So a fault does not fail the call where there is
//! any of these. The rest of the input is dropped, replies still owed pass, the protocol's error follows them, and the first
//! call after it was sent fails. Nothing that comes after the fault passes.

use std::borrow::Cow;

use portcullis_proxylib::{Connection, Direction, Fault, FaultKind, Input, OnParseError, Op, Ops};

use super::feed::Feed;
use super::stream::Stream;
use crate::abi::{FilterOpError, FilterOpType, FilterResult, InjectBuffer, OpList, Pieces};

/// Bytes to be injected that may wait from one event to the next: as the core's own datapath has it, larger than any single
/// reply and small enough for 10,000 clients that never read.
const MAX_BACKLOG: usize = 64 << 10;

/// Bytes to be injected that one event may make. Envoy reads 1 MiB at once by default (`per_connection_buffer_limit_bytes`);
/// the shortest requests that are answered have 2 bytes, the answers to them 28.
const MAX_EVENT_BACKLOG: usize = 16 << 20;

/// Calls of a parser in a row that decide no byte and ask for none before it counts as broken. Sixteen verdicts each.
const MAX_IDLE_CALLS: u32 = 64;

/// All that may ever come.
const ENDLESS: u64 = i64::MAX.unsigned_abs();

/// A connection that has seen bytes.
pub(super) struct Active {
    connection: Connection,
    orig: Stream,
    reply: Stream,
    inject: [InjectBuffer; 2],
    state: State,
    /// Bytes of the process's budget that are taken.
    reserved: usize,
}

enum State {
    Open,
    /// Requests are no longer read. What the server still owes is delivered, then `last`.
    Draining {
        last: Cow<'static, [u8]>,
    },
    /// Nothing is read. Once what was said is sent, the next call fails.
    Closing,
    /// Everything passes.
    Passthrough,
    /// A call has failed, and so will all others.
    Failed,
}

/// One call: what of the input is left, and what was told to the host.
struct Round<'a, 'b> {
    direction: Direction,
    end: bool,
    front: Feed<'a>,
    /// Bytes that the operations told so far have left.
    left: usize,
    ops: &'a mut OpList<'b>,
    /// An operation was told that must be the last.
    terminal: bool,
    /// Bytes were passed or dropped.
    decided: bool,
}

impl Active {
    pub(super) fn new(mut connection: Connection, inject: [InjectBuffer; 2]) -> Self {
        connection.forbid_waiting();
        Self { connection, orig: Stream::default(), reply: Stream::default(), inject, state: State::Open, reserved: 0 }
    }

    /// Judges the bytes of one direction.
    pub(super) fn on_data(
        &mut self,
        direction: Direction,
        end: bool,
        pieces: Pieces<'_>,
        ops: &mut OpList<'_>,
    ) -> FilterResult {
        let mut round = Round {
            direction,
            end,
            front: Feed::new(pieces),
            left: pieces.total(),
            ops,
            terminal: false,
            decided: false,
        };
        let outcome = self.judge(&mut round).and_then(|()| self.settle(&mut round));
        match outcome {
            Ok(()) => FilterResult::Ok,
            Err(why) => {
                self.state = State::Failed;
                round.ops.push(FilterOpType::Error, why as i64);
                FilterResult::ParserError
            }
        }
    }

    /// Ends the parser.
    pub(super) fn close(&mut self) {
        if matches!(self.state, State::Open) && self.orig.seen > 0 {
            self.connection.report(FaultKind::Truncated, "the connection ended in the middle of a frame");
        }
        self.connection.close();
    }

    fn judge(&mut self, round: &mut Round<'_, '_>) -> Result<(), FilterOpError> {
        self.begin(round)?;
        if !self.deliver(round)? {
            return Ok(());
        }
        match self.state {
            State::Open => self.run(round),
            State::Draining { .. } if round.direction == Direction::Reply => {
                self.run(round)?;
                self.finish_draining(round);
                Ok(())
            }
            State::Draining { .. } => {
                self.discard(round);
                Ok(())
            }
            State::Closing => {
                // Replies that have ended take nothing any more.
                let waiting = round.direction == Direction::Orig && self.inject(Direction::Reply).len() > 0;
                let waiting = (waiting || self.reply.queued() > 0) && !self.reply.ended;
                if !self.stream(round.direction).moved && !waiting {
                    return Err(FilterOpError::InvalidFrameType);
                }
                self.discard(round);
                Ok(())
            }
            State::Passthrough => {
                self.tell(round, FilterOpType::Pass, ENDLESS);
                Ok(())
            }
            State::Failed => Err(FilterOpError::InvalidFrameType),
        }
    }

    /// Finds out what the host has done since the last call.
    fn begin(&mut self, round: &mut Round<'_, '_>) -> Result<(), FilterOpError> {
        let other = self.stream(round.direction.opposite()).queued();
        let other = other.saturating_add(self.inject(round.direction.opposite()).len());
        let stream = self.stream(round.direction);
        let new_event = !stream.in_event;
        if new_event {
            stream.moved = false;
        }
        // What was passed ahead, or injected by the other direction, is on its way with this event.
        stream.moved |= std::mem::take(&mut stream.ahead) | std::mem::take(&mut stream.handed);
        stream.in_event = false;
        stream.ended |= round.end;
        if new_event && other >= MAX_BACKLOG {
            self.connection.report(FaultKind::Memory, "the other side does not take what it is to be told");
            return Err(FilterOpError::InvalidFrameLength);
        }
        // The host has sent it already; one that has not would close the connection for what is left.
        let waiting = i64::try_from(self.inject(round.direction).len()).unwrap_or(i64::MAX);
        if waiting > 0 && round.ops.push(FilterOpType::Inject, waiting) {
            self.stream(round.direction).moved = true;
        }
        Ok(())
    }

    /// Tells what there was no room for before. Returns whether that was all.
    fn deliver(&mut self, round: &mut Round<'_, '_>) -> Result<bool, FilterOpError> {
        let direction = round.direction;
        while let Some((op, n)) = self.stream(direction).pop_pending() {
            let rest = self.try_tell(round, op, n);
            if rest > 0 {
                self.stream(direction).spill().pending.push_front((op, rest));
                break;
            }
        }
        if !round.terminal && !self.stream(direction).is_pending() {
            let waiting = to_u64(self.stream(direction).queued());
            if waiting > 0 {
                self.try_tell(round, FilterOpType::Inject, waiting);
            }
        }
        let stream = self.stream(direction);
        let done = !stream.is_pending() && stream.queued() == 0;
        let buffer = self.inject(direction);
        if !done && !round.ops.is_full() && !round.terminal && buffer.len() == 0 && buffer.room() == 0 {
            self.connection.report(FaultKind::Memory, "the host has no room for what is to be injected");
            return Err(FilterOpError::InvalidOpLength);
        }
        round.front.advance(round.front.remaining().saturating_sub(round.left));
        Ok(done && !round.terminal)
    }

    /// Lets the parser judge what there is.
    fn run(&mut self, round: &mut Round<'_, '_>) -> Result<(), FilterOpError> {
        let direction = round.direction;
        let mut ops = Ops::new();
        let mut waited = false;
        loop {
            let there = round.front.remaining();
            let stream = self.stream(direction);
            let open = !round.terminal && !stream.is_pending() && !round.ops.is_full() && !ops.is_full();
            if !open || !stream.ready(there, round.end) {
                return Ok(());
            }
            let from = ops.len();
            let (shown, is_end, result) = self.call(round, &mut ops);
            let mut left = shown;
            let asked = match ops.last() {
                Some(&last @ (Op::More(_) | Op::Wait)) if ops.len() > from => {
                    ops.pop();
                    Some(last)
                }
                _ => None,
            };
            for op in ops.get(from..).unwrap_or_default() {
                left = self.apply(round, left, *op)?;
            }
            if let Err(fault) = result {
                return self.fail(round, fault);
            }
            let stream = self.stream(direction);
            match asked {
                Some(Op::Wait) if waited => {
                    let why = "the request must wait, and this host cannot call for it again";
                    self.connection.report(FaultKind::Memory, why);
                    return self.fail(round, Fault { kind: FaultKind::Memory, reply: Cow::Borrowed(b"") });
                }
                // A job that ran in place is done by now.
                Some(Op::Wait) => {
                    waited = true;
                    (stream.need, stream.seen) = (0, 0);
                }
                Some(Op::More(more)) => {
                    stream.want(left, more, true);
                    stream.told_end |= is_end;
                }
                _ if ops.is_full() || round.terminal || left == 0 && shown < there => {}
                // Any further byte will do.
                _ => {
                    stream.want(left, 1, false);
                    stream.told_end |= is_end;
                }
            }
        }
    }

    /// Calls the parser once. Returns how many bytes it was shown, and whether they are the last that will come.
    fn call(&mut self, round: &Round<'_, '_>, ops: &mut Ops) -> (usize, bool, Result<(), Fault>) {
        let Self { connection, orig, reply, .. } = self;
        let stream = match round.direction {
            Direction::Orig => &mut *orig,
            Direction::Reply => &mut *reply,
        };
        let (position, seen) = (stream.position, stream.seen);
        let window = stream.show(&round.front);
        let shown = window.len();
        let is_end = round.end && shown == round.front.remaining();
        let input = Input::new(window, seen.min(shown), is_end);
        let result = connection.on_data(round.direction, position, input, ops);
        for (direction, stream) in [(Direction::Orig, orig), (Direction::Reply, reply)] {
            let injected = connection.injected(direction);
            if !injected.is_empty() {
                stream.spill().queue.take(injected);
            }
        }
        (shown, is_end, result)
    }

    /// Notes a verdict on what the parser was shown and tells it to the host. Returns how much of what was shown is left.
    fn apply(&mut self, round: &mut Round<'_, '_>, left: usize, op: Op) -> Result<usize, FilterOpError> {
        let position = self.stream(round.direction).position;
        let (op, len) = match op {
            Op::Pass { offset, .. } if offset != position => {
                self.connection.report(FaultKind::Contract, "a grant for other bytes reached the host");
                return Err(FilterOpError::InvalidOpLength);
            }
            Op::Pass { len, .. } => (FilterOpType::Pass, len),
            Op::Drop(len) => (FilterOpType::Drop, len),
            Op::Inject(len) => {
                self.tell(round, FilterOpType::Inject, len);
                return Ok(left);
            }
            // Both end a call of the parser, and were taken away from there.
            Op::More(_) | Op::Wait => return Ok(left),
        };
        if len > ENDLESS {
            self.connection.report(FaultKind::Contract, "a verdict on more bytes than can be counted");
            return Err(FilterOpError::InvalidOpLength);
        }
        self.stream(round.direction).decide(len);
        let len_here = usize::try_from(len).unwrap_or(usize::MAX);
        round.front.advance(len_here);
        self.tell(round, op, len);
        Ok(left.saturating_sub(len_here))
    }

    /// Tells the host an operation, now or, where there is no room, in a later call.
    fn tell(&mut self, round: &mut Round<'_, '_>, op: FilterOpType, n: u64) {
        let rest = if self.stream(round.direction).is_pending() { n } else { self.try_tell(round, op, n) };
        if rest > 0 {
            self.stream(round.direction).spill().pending.push_back((op, rest));
        }
    }

    /// Tells the host as much of an operation as there is room for. Returns what is left of it.
    fn try_tell(&mut self, round: &mut Round<'_, '_>, op: FilterOpType, n: u64) -> u64 {
        if round.terminal || round.ops.is_full() {
            return n;
        }
        let buffer = self.inject(round.direction);
        let stream = self.stream(round.direction);
        let now = match op {
            FilterOpType::Inject => to_u64(stream.hand_over(usize::try_from(n).unwrap_or(usize::MAX), buffer)),
            _ => n,
        };
        if now == 0 {
            return n;
        }
        round.ops.push(op, i64::try_from(now).unwrap_or(i64::MAX));
        match op {
            FilterOpType::Pass | FilterOpType::Drop => {
                stream.moved |= op == FilterOpType::Pass;
                stream.ahead = now > to_u64(round.left);
                round.terminal = stream.ahead;
                round.decided = true;
                round.left = round.left.saturating_sub(usize::try_from(now).unwrap_or(usize::MAX));
            }
            FilterOpType::Inject => stream.moved = true,
            FilterOpType::More | FilterOpType::Error => {}
        }
        n.saturating_sub(now)
    }

    /// Begins the end of the connection, see above.
    fn fail(&mut self, round: &mut Round<'_, '_>, fault: Fault) -> Result<(), FilterOpError> {
        let Fault { kind, reply: last } = fault;
        let passthrough = self.connection.instance().on_parse_error == OnParseError::Passthrough;
        if passthrough && matches!(kind, FaultKind::Parse | FaultKind::FrameTooLarge) {
            self.state = State::Passthrough;
            self.tell(round, FilterOpType::Pass, ENDLESS);
            return Ok(());
        }
        let orderly = round.direction == Direction::Orig && !matches!(kind, FaultKind::Panic | FaultKind::Contract);
        if orderly && !self.reply.ended && self.connection.owes_replies() {
            self.state = State::Draining { last };
        } else {
            self.say_last(round, &last);
            let waiting = self.inject(Direction::Reply).len() > 0;
            let stream = self.stream(round.direction);
            if !stream.moved && !stream.is_pending() && self.reply.queued() == 0 && !waiting {
                return Err(match kind {
                    FaultKind::FrameTooLarge => FilterOpError::InvalidFrameLength,
                    FaultKind::Contract => FilterOpError::InvalidOpLength,
                    _ => FilterOpError::InvalidFrameType,
                });
            }
        }
        self.discard(round);
        Ok(())
    }

    /// Says the protocol's own error, if the server owes nothing any more.
    fn finish_draining(&mut self, round: &mut Round<'_, '_>) {
        let State::Draining { last } = &mut self.state else { return };
        let stream = &self.reply;
        if stream.ahead || stream.is_pending() || (!stream.ended && self.connection.owes_replies()) {
            return;
        }
        let last = std::mem::take(last);
        self.say_last(round, &last);
        self.discard(round);
    }

    fn say_last(&mut self, round: &mut Round<'_, '_>, last: &[u8]) {
        self.state = State::Closing;
        if !last.is_empty() {
            self.reply.spill().queue.add(last);
        }
        if round.direction == Direction::Reply && !last.is_empty() {
            self.tell(round, FilterOpType::Inject, to_u64(last.len()));
        }
    }

    /// Drops the rest of the input.
    fn discard(&mut self, round: &mut Round<'_, '_>) {
        let rest = round.front.remaining();
        round.front.advance(rest);
        if rest > 0 {
            self.stream(round.direction).decide(to_u64(rest));
            self.tell(round, FilterOpType::Drop, to_u64(rest));
        }
    }

    /// Ends a call: hands over what is for the other direction, asks for more, and looks at the bounds.
    fn settle(&mut self, round: &mut Round<'_, '_>) -> Result<(), FilterOpError> {
        let other = round.direction.opposite();
        let buffer = self.inject(other);
        let stream = self.stream(other);
        // Behind what waits for its operation, in the order in which they came.
        if !stream.is_pending() {
            stream.handed |= stream.hand_over(usize::MAX, buffer) > 0;
        }
        if stream.queued() > MAX_EVENT_BACKLOG {
            self.connection.report(FaultKind::Memory, "the answers to one event are too large");
            return Err(FilterOpError::InvalidFrameLength);
        }
        let reading = match self.state {
            State::Open => true,
            State::Draining { .. } => round.direction == Direction::Reply,
            State::Closing | State::Passthrough | State::Failed => false,
        };
        let own = self.inject(round.direction);
        let stream = self.stream(round.direction);
        let idle = !stream.is_pending() && stream.queued() == 0;
        if reading && idle && !round.terminal && stream.told && stream.need > round.left {
            // For replies only in the middle of one: while the host waits for bytes it does not call, and where there are
            // none it could not be told what is left to be injected.
            if round.direction == Direction::Orig || round.left > 0 {
                let more = i64::try_from(stream.need.saturating_sub(round.left)).unwrap_or(i64::MAX);
                round.terminal = round.ops.push(FilterOpType::More, more);
            }
        }
        let full = round.ops.is_full();
        stream.in_event = !round.terminal && (full || (own.len() > 0 && own.room() == 0));
        if full && !round.terminal && !round.decided {
            stream.idle_calls = stream.idle_calls.saturating_add(1);
            if stream.idle_calls > MAX_IDLE_CALLS {
                self.connection.report(FaultKind::Contract, "the parser injects without end");
                return Err(FilterOpError::InvalidOpLength);
            }
        } else {
            stream.idle_calls = 0;
        }
        self.orig.tidy();
        self.reply.tidy();
        self.account()
    }

    /// Accounts for what is held by now.
    fn account(&mut self) -> Result<(), FilterOpError> {
        let now = self.orig.footprint().saturating_add(self.reply.footprint());
        if now != self.reserved {
            if !self.connection.instance().budget.adjust(self.reserved, now) {
                let why = "the connections of this process hold more than `heldBytes`";
                self.connection.report(FaultKind::Memory, why);
                return Err(FilterOpError::InvalidFrameLength);
            }
            self.reserved = now;
        }
        Ok(())
    }

    const fn stream(&mut self, direction: Direction) -> &mut Stream {
        match direction {
            Direction::Orig => &mut self.orig,
            Direction::Reply => &mut self.reply,
        }
    }

    const fn inject(&self, direction: Direction) -> InjectBuffer {
        let [orig, reply] = self.inject;
        match direction {
            Direction::Orig => orig,
            Direction::Reply => reply,
        }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.connection.instance().budget.adjust(self.reserved, 0);
    }
}

fn to_u64(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
