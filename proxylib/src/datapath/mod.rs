//! The bookkeeping of bytes between a host and a connection's parser: what is kept, what is passed or dropped ahead, what is
//! injected and when, and how a connection ends.

mod stream;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::time::Duration;

use crate::connection::{Connection, Fault, FaultKind, Op, Ops};
use crate::input::Input;
use crate::instance::OnParseError;
use crate::jobs::Wake;
use crate::limits::{MAX_BACKLOG, Time};
use crate::meta::Meta;
use crate::tally::Tally;
use crate::verdict::Direction;

use stream::{Feed, Stream};

/// Calls of a parser in a row that neither decide a byte nor ask for one before it counts as broken. Sixteen verdicts each.
const MAX_IDLE_CALLS: u32 = 64;

/// A connection with its bookkeeping, for hosts that hand over bytes as they come and take back what is to be sent.
pub struct Datapath {
    connection: Connection,
    orig: Stream,
    reply: Stream,
    state: State,
    /// The client does not read: no request is looked at.
    client_full: bool,
    /// Bytes of the budget that are taken for answers which wait for their turn.
    reserved: usize,
    now: Time,
    ops: Ops,
}

/// What a host must do after an event. The slices are good until the next one.
#[derive(Debug)]
#[must_use]
pub struct Effects<'a> {
    /// Of the bytes handed over with the event this many, from the first, go on as they are. The others do not: drop them.
    /// What follows them in their direction is below.
    pub passed: usize,
    /// Bytes for the server.
    pub to_server: &'a [u8],
    /// Bytes for the client.
    pub to_client: &'a [u8],
    /// After these bytes the client's side is closed towards the server.
    pub end_to_server: bool,
    /// After these bytes the server's side is closed towards the client.
    pub end_to_client: bool,
    /// After these bytes the connection closes, once they are flushed.
    pub close: Option<FaultKind>,
    /// There is more to do than one event should: call [`Datapath::resume`] after this event.
    pub resume: bool,
}

#[derive(Debug)]
enum State {
    Open,
    /// Requests are no longer read. What the server still owes is delivered, then `last`, then the connection closes.
    Draining {
        kind: FaultKind,
        last: Cow<'static, [u8]>,
        until: Time,
    },
    Closed(FaultKind),
    /// Everything passes.
    Passthrough,
}

/// What one call of the parser did.
enum Moved {
    Something,
    Nothing,
    Waits,
}

impl Datapath {
    /// The bookkeeping of a new connection.
    pub fn new(connection: Connection) -> Self {
        Self {
            connection,
            orig: Stream::default(),
            reply: Stream::default(),
            state: State::Open,
            client_full: false,
            reserved: 0,
            now: Time::default(),
            ops: Ops::new(),
        }
    }

    /// What is known of the connection.
    pub fn meta(&self) -> &Meta {
        self.connection.meta()
    }

    /// What happened since this was last taken.
    pub const fn tally(&mut self) -> &mut Tally {
        self.connection.tally()
    }

    /// See [`Connection::attach`]: to wake is to call [`resume`](Self::resume) on the connection's own thread.
    pub fn attach(&mut self, wake: Wake) {
        self.connection.attach(wake);
    }

    /// Takes bytes that arrived in one direction, in pieces as the host has them. `end` says that no more will come.
    pub fn receive(&mut self, direction: Direction, pieces: &[&[u8]], end: bool, now: Time) -> Effects<'_> {
        self.begin(now);
        self.stream(direction).ended |= end;
        self.drive(direction, &mut Feed::new(pieces));
        if std::mem::take(&mut self.reply.moved) && direction == Direction::Reply && self.orig.waiting {
            // A parser that waits for replies is called again, on resumption.
            self.orig.waiting = false;
            self.orig.blocked = true;
        }
        self.finish(direction)
    }

    /// Goes on with what had to wait: for a job, for a client that did not read, or for its turn.
    pub fn resume(&mut self, now: Time) -> Effects<'_> {
        self.begin(now);
        for direction in [Direction::Orig, Direction::Reply] {
            self.stream(direction).waiting = false;
            self.drive(direction, &mut Feed::new(&[]));
        }
        self.finish(Direction::Orig)
    }

    /// Closes what is overdue. To be called at or after the [`deadline`](Self::deadline).
    pub fn expire(&mut self, now: Time) -> Effects<'_> {
        self.begin(now);
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            if let State::Draining { kind, last, .. } = &mut self.state {
                let (kind, last) = (*kind, std::mem::take(last));
                self.close_with(kind, &last);
            } else {
                self.connection.report(FaultKind::Timeout, "a frame was not finished within `frameTimeoutSeconds`");
                self.close_with(FaultKind::Timeout, b"");
            }
        }
        self.finish(Direction::Orig)
    }

    /// When [`expire`](Self::expire) is due, if at all.
    pub fn deadline(&self) -> Option<Time> {
        match self.state {
            State::Closed(_) | State::Passthrough => None,
            State::Draining { until, .. } => Some(until),
            State::Open => {
                let since = [&self.orig, &self.reply].into_iter().filter_map(Stream::unfinished_since).min()?;
                Some(since.after(self.timeout()))
            }
        }
    }

    /// Says whether the client's send buffer is too full. While it is, requests wait; afterwards call
    /// [`resume`](Self::resume).
    pub const fn set_client_full(&mut self, full: bool) {
        self.client_full = full;
    }

    /// Whether requests wait for something: a host should stop reading from the client until an event after which they
    /// do not.
    pub const fn requests_wait(&self) -> bool {
        self.orig.blocked
    }

    /// Bytes that are held, undecided.
    pub fn held(&self) -> usize {
        self.orig.held_len().saturating_add(self.reply.held_len())
    }

    /// The bytes of a direction that are held, undecided.
    pub fn undecided(&mut self, direction: Direction) -> &[u8] {
        self.stream(direction).undecided()
    }

    /// How many of the bytes that come next in a direction are decided already, whatever they are.
    pub const fn decided_ahead(&mut self, direction: Direction) -> u64 {
        self.stream(direction).ahead()
    }

    /// Whether replies to requests that passed are still to come.
    pub fn owes_replies(&mut self) -> bool {
        self.connection.owes_replies()
    }

    /// Ends the parser, so that a panic of its destructor is counted and logged before the last [`tally`](Self::tally).
    pub fn close(&mut self) {
        self.connection.close();
    }

    fn begin(&mut self, now: Time) {
        self.now = now;
        self.orig.out.clear();
        self.reply.out.clear();
    }

    /// Settles, decides and holds until the bytes of one direction are used up.
    fn drive(&mut self, direction: Direction, feed: &mut Feed<'_>) {
        let mut idle = 0_u32;
        let mut waited = false;
        loop {
            match self.state {
                State::Draining { .. } if direction == Direction::Orig => break self.stream(direction).discard(feed),
                State::Closed(_) => break self.stream(direction).discard(feed),
                State::Passthrough => break self.stream(direction).release(feed),
                State::Open | State::Draining { .. } => {}
            }
            self.stream(direction).settle(feed);
            self.flush_injected(direction);
            let stalled = direction == Direction::Orig && self.is_stalled();
            let stream = self.stream(direction);
            let ready = stream.ready(feed);
            stream.blocked = (stream.waiting || stalled) && ready;
            if stream.waiting || stalled || !ready {
                let now = self.now;
                self.stream(direction).hold(feed, now);
                break;
            }
            match self.step(direction, feed) {
                Ok(Moved::Something) => idle = 0,
                Ok(Moved::Nothing) => idle = idle.saturating_add(1),
                // A job that ran in place is done by now. Who still waits then waits for the other direction.
                Ok(Moved::Waits) if !waited && !self.connection.can_wake() => waited = true,
                Ok(Moved::Waits) if !self.connection.can_wait() => {
                    let why = "the request must wait, and this host cannot call for it again";
                    // No error of the bytes, after which a listener may let everything pass.
                    self.connection.report(FaultKind::Memory, why);
                    self.fail(direction, Fault { kind: FaultKind::Memory, reply: Cow::Borrowed(b"") });
                }
                Ok(Moved::Waits) => self.stream(direction).waiting = true,
                Err(fault) => self.fail(direction, fault),
            }
            if idle > MAX_IDLE_CALLS {
                self.connection.report(FaultKind::Contract, "the parser injects without end");
                self.fail(direction, Fault { kind: FaultKind::Contract, reply: Cow::Borrowed(b"") });
            }
            match direction {
                // As Cilium's host does: what was injected goes out, and the reply side may have more to say.
                Direction::Orig if !self.connection.injected(Direction::Reply).is_empty() => {
                    self.drive(Direction::Reply, &mut Feed::new(&[]));
                }
                Direction::Orig => {}
                Direction::Reply => self.flush_injected(Direction::Orig),
            }
        }
        self.account(direction);
    }

    /// Calls the parser once and applies what it decided.
    fn step(&mut self, direction: Direction, feed: &mut Feed<'_>) -> Result<Moved, Fault> {
        let Self { connection, orig, reply, ops, .. } = self;
        let stream = match direction {
            Direction::Orig => orig,
            Direction::Reply => reply,
        };
        let window = stream.open(feed);
        let (bytes, end) = stream.show(window, feed);
        let mut left = bytes.len();
        let result = connection.on_data(direction, stream.position, Input::new(bytes, stream.seen, end), ops);
        let mut moved = Moved::Nothing;
        // Whether the parser said what it waits for. Where it did not, any further byte will do.
        let mut told = ops.is_full();
        for op in ops.drain(..) {
            match op {
                Op::More(more) => {
                    stream.want(left, more, end);
                    // The next call sees more bytes, or there is none.
                    moved = Moved::Something;
                    told = true;
                }
                Op::Pass { offset, .. } if offset != stream.position => {
                    connection.report(FaultKind::Contract, "a grant for other bytes reached the datapath");
                    return Err(Fault { kind: FaultKind::Contract, reply: Cow::Borrowed(b"") });
                }
                Op::Pass { len, .. } => {
                    left = stream.consume(window, feed, left, len, true);
                    moved = Moved::Something;
                }
                Op::Drop(len) => {
                    left = stream.consume(window, feed, left, len, false);
                    moved = Moved::Something;
                }
                Op::Inject(len) => {
                    let injected = connection.injected(direction);
                    let len = usize::try_from(len).unwrap_or(usize::MAX).min(injected.len());
                    stream.out.add(injected.get(..len).unwrap_or_default());
                    injected.drain(..len);
                }
                Op::Wait => {
                    stream.retry();
                    moved = Moved::Waits;
                    told = true;
                }
            }
        }
        if !told && !stream.is_ahead() {
            stream.want(left, 1, end);
        }
        stream.shut(window, feed);
        result.map(|()| moved)
    }

    /// Ends the connection in order: reading stops, replies still owed are delivered, the protocol's own error goes last.
    fn fail(&mut self, direction: Direction, fault: Fault) {
        let Fault { kind, reply } = fault;
        let passthrough = self.connection.instance().on_parse_error == OnParseError::Passthrough;
        if passthrough && matches!(kind, FaultKind::Parse | FaultKind::FrameTooLarge) {
            for direction in [Direction::Orig, Direction::Reply] {
                self.flush_injected(direction);
                self.stream(direction).release(&mut Feed::new(&[]));
            }
            self.state = State::Passthrough;
            return;
        }
        let orderly = direction == Direction::Orig && !matches!(kind, FaultKind::Panic | FaultKind::Contract);
        if orderly && (self.reply.pass > 0 || self.connection.owes_replies()) && !self.reply.ended {
            self.state = State::Draining { kind, last: reply, until: self.now.after(self.timeout()) };
        } else {
            self.close_with(kind, &reply);
        }
    }

    fn close_with(&mut self, kind: FaultKind, last: &[u8]) {
        // In the middle of a reply that passes ahead, more bytes would be read as part of it.
        if self.reply.pass == 0 {
            self.flush_injected(Direction::Reply);
            self.reply.out.add(last);
        }
        self.state = State::Closed(kind);
    }

    /// Sends what the other direction injected, at a frame boundary of this one.
    fn flush_injected(&mut self, direction: Direction) {
        let Self { connection, orig, reply, .. } = self;
        let stream = match direction {
            Direction::Orig => orig,
            Direction::Reply => reply,
        };
        let injected = connection.injected(direction);
        if stream.pass == 0 && !injected.is_empty() {
            stream.out.add(injected);
            injected.clear();
            injected.shrink_to(MAX_BACKLOG);
        }
    }

    /// Whether so much waits for the client that no more requests should be answered.
    const fn is_stalled(&mut self) -> bool {
        let waiting = self.connection.injected(Direction::Reply).len();
        self.client_full || waiting.saturating_add(self.reply.out.bytes.len()) >= MAX_BACKLOG
    }

    /// Accounts for what is held by now.
    fn account(&mut self, direction: Direction) {
        let answers = match self.state {
            State::Open | State::Draining { .. } => self.connection.kept_answers(),
            State::Closed(_) | State::Passthrough => 0,
        };
        let stream = self.stream(direction);
        let (reserved, held) = (stream.reserved, stream.footprint());
        let (before, now) = (reserved.saturating_add(self.reserved), held.saturating_add(answers));
        if before == now || self.connection.instance().budget.adjust(before, now) {
            self.stream(direction).reserved = held;
            self.reserved = answers;
            return;
        }
        self.connection.report(FaultKind::Memory, "the listeners of this process hold more than `heldBytes`");
        self.close_with(FaultKind::Memory, b"");
        for direction in [Direction::Orig, Direction::Reply] {
            self.stream(direction).discard(&mut Feed::new(&[]));
        }
        self.release();
    }

    fn release(&mut self) {
        for direction in [Direction::Orig, Direction::Reply] {
            let reserved = std::mem::take(&mut self.stream(direction).reserved);
            self.connection.instance().budget.adjust(reserved, 0);
        }
        let answers = std::mem::take(&mut self.reserved);
        self.connection.instance().budget.adjust(answers, 0);
    }

    /// Takes back what was to be said to the client where the host cannot say it. Not even the end of the connection may wait
    /// for that: who was denied something and hears nothing would wait for ever.
    fn mute(&mut self) {
        if self.connection.can_answer() || self.reply.out.bytes.is_empty() {
            return;
        }
        if !matches!(self.state, State::Closed(_)) {
            self.connection.report(FaultKind::Unanswerable, "a denial that this host cannot answer");
            self.close_with(FaultKind::Unanswerable, b"");
        }
        self.reply.out.bytes.clear();
    }

    /// Sums up an event in which bytes of `event` were handed over.
    fn finish(&mut self, event: Direction) -> Effects<'_> {
        if let State::Draining { kind, last, .. } = &mut self.state
            && self.reply.pass == 0
        {
            let (kind, last) = (*kind, std::mem::take(last));
            if self.reply.ended || !self.connection.owes_replies() {
                self.close_with(kind, &last);
            } else if let State::Draining { last: kept, .. } = &mut self.state {
                *kept = last;
            }
        }
        if event == Direction::Orig {
            self.mute();
        }
        let end_to_server = self.end(Direction::Orig);
        let end_to_client = self.end(Direction::Reply);
        let backlog = self.connection.injected(Direction::Reply).len();
        let free = self.orig.blocked && !self.orig.waiting && !self.client_full && backlog < MAX_BACKLOG;
        let close = if let State::Closed(kind) = self.state { Some(kind) } else { None };
        Effects {
            passed: match event {
                Direction::Orig => self.orig.out.passed,
                Direction::Reply => self.reply.out.passed,
            },
            to_server: &self.orig.out.bytes,
            to_client: &self.reply.out.bytes,
            end_to_server,
            end_to_client,
            close,
            resume: free && close.is_none(),
        }
    }

    /// Whether the end of a direction is to be sent on now. An unfinished frame before it can never be judged: it is dropped.
    fn end(&mut self, direction: Direction) -> bool {
        let open = matches!(self.state, State::Open | State::Passthrough);
        let stream = self.stream(direction);
        if !stream.ended || stream.end_sent || stream.blocked || stream.waiting || !open {
            return false;
        }
        stream.end_sent = true;
        if stream.held_len() > 0 {
            stream.discard(&mut Feed::new(&[]));
            self.connection.report(FaultKind::Truncated, "the connection ended in the middle of a frame");
            self.account(direction);
        }
        true
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(self.connection.instance().limits.frame_timeout_seconds)
    }

    const fn stream(&mut self, direction: Direction) -> &mut Stream {
        match direction {
            Direction::Orig => &mut self.orig,
            Direction::Reply => &mut self.reply,
        }
    }
}

impl Drop for Datapath {
    fn drop(&mut self) {
        self.release();
    }
}
