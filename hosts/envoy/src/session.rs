//! The state of one connection: what its hooks decide.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use portcullis_policy::{Decision, Outcome};
use portcullis_proxylib::{Datapath, Direction, FaultKind, Time};

use crate::abi::STOP;
use crate::act::{Done, Event, carry_out, copy_front};
use crate::handle::Handle;
use crate::process;
use crate::waker::Call;

/// How long a connection that is to close waits for the server to take what was passed to it before. A server that is not
/// stuck has done so by then, and a client that misbehaved is not kept for long.
const LINGER: Duration = Duration::from_secs(2);

/// How long a client may take to read what is left for it. After that it is cut off.
const FLUSH: Duration = Duration::from_secs(60);

/// Bytes of a worker's scratch space that are kept: what Envoy reads at a time.
const KEEP_SCRATCH: usize = 128 << 10;

thread_local! {
    /// Where bytes are put together that go on in place of those that came.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The state of one connection.
#[derive(Default)]
pub(crate) struct Session {
    phase: Phase,
    /// The datapath was told that the client's send buffer is full.
    told_full: bool,
    /// Reading from the client is stopped, by us.
    reading_stopped: bool,
    /// What was passed to the server may not have reached it yet.
    unconfirmed: bool,
    /// The server was told that no more will come.
    server_ended: bool,
    /// The denial that the connection's metadata tell of.
    told: Option<Decision>,
}

#[derive(Default)]
enum Phase {
    /// Nothing was read or written yet.
    #[default]
    New,
    Open(Box<Datapath>),
    /// Nothing passes any more. The connection closes when the server has ended, or at that time.
    Lingering {
        why: FaultKind,
        until: Time,
    },
    /// Nothing passes any more. Envoy closes the connection when the client has read what is left for it.
    Closing {
        until: Time,
    },
    Closed,
}

impl Session {
    /// Answers the read and write hooks.
    pub(crate) fn on_data(&mut self, handle: &Handle, direction: Direction, len: usize, end: bool) -> u32 {
        if matches!(self.phase, Phase::New) {
            self.open(handle);
        }
        if direction == Direction::Reply && (len > 0 || end) {
            self.unconfirmed = false;
        }
        let Phase::Open(datapath) = &mut self.phase else {
            handle.filter.drain(direction, len);
            if let Phase::Lingering { why, .. } = self.phase
                && direction == Direction::Reply
                && end
            {
                self.close(handle, why.as_str());
            }
            return STOP;
        };
        let event = Event { direction, len, end };
        let now = process::now();
        let mut scratch = SCRATCH.take();
        let decided = handle.filter.with_slices(direction, |pieces| {
            let effects = datapath.receive(direction, pieces, end, now);
            if !event.passes_whole(&effects) {
                copy_front(pieces, effects.passed, &mut scratch);
            }
            effects
        });
        let done = decided.map(|effects| carry_out(handle, Some(event), &mut scratch, &effects));
        scratch.clear();
        scratch.shrink_to(KEEP_SCRATCH);
        SCRATCH.set(scratch);
        if let Some(done) = done {
            self.follow_up(handle, done);
            return done.status;
        }
        // Envoy does not show its buffer: there is nothing to judge, so nothing passes.
        handle.filter.drain(direction, len);
        self.end(handle);
        self.close(handle, "portcullis_no_buffer");
        STOP
    }

    /// Goes on with what had to wait, or closes what is overdue.
    pub(crate) fn on_call(&mut self, handle: &Handle, call: Call) {
        if handle.is_closed() {
            return;
        }
        let now = process::now();
        match &mut self.phase {
            Phase::Open(datapath) => {
                let effects = match call {
                    Call::Resume => datapath.resume(now),
                    Call::Expire => datapath.expire(now),
                };
                let done = carry_out(handle, None, &mut Vec::new(), &effects);
                self.follow_up(handle, done);
            }
            Phase::Lingering { why, until } if *until <= now => {
                let why = why.as_str();
                self.close(handle, why);
            }
            Phase::Closing { until } if *until <= now => {
                self.phase = Phase::Closed;
                handle.filter.abort("portcullis_timeout");
            }
            Phase::New | Phase::Lingering { .. } | Phase::Closing { .. } | Phase::Closed => {}
        }
    }

    /// Brings Envoy and the datapath in line with what has happened: the last thing that every hook does.
    pub(crate) fn settle(&mut self, handle: &Handle) {
        if handle.is_closed() {
            self.end(handle);
            return;
        }
        let full = handle.is_client_full();
        let mut stop = full;
        let deadline = match &mut self.phase {
            Phase::Open(datapath) => {
                if full != self.told_full {
                    self.told_full = full;
                    datapath.set_client_full(full);
                    if !full {
                        handle.call(Call::Resume);
                    }
                }
                stop |= datapath.requests_wait();
                datapath.deadline()
            }
            Phase::Lingering { until, .. } => Some(*until),
            // Envoy counts no further on a connection that it is about to close.
            Phase::Closing { until } => return handle.set_deadline(Some(*until)),
            Phase::New | Phase::Closed => None,
        };
        handle.set_deadline(deadline);
        if stop != self.reading_stopped {
            self.reading_stopped = stop;
            handle.filter.stop_reading(stop);
        }
    }

    fn open(&mut self, handle: &Handle) {
        let listener = &handle.listener;
        match listener.instance.open(listener.describe(handle.filter)) {
            Ok(connection) => {
                let mut datapath = Box::new(Datapath::new(connection));
                if let Some(waker) = handle.waker() {
                    let waker = Arc::clone(waker);
                    datapath.attach(Arc::new(move || waker.call(Call::Resume)));
                }
                self.phase = Phase::Open(datapath);
            }
            Err(_refused) => self.close(handle, "portcullis_refused"),
        }
    }

    /// Counts what an event did, and closes the connection if that is what it came to.
    fn follow_up(&mut self, handle: &Handle, done: Done) {
        self.unconfirmed |= done.sent;
        self.server_ended |= done.ended;
        self.report(handle);
        if done.resume {
            handle.call(Call::Resume);
        }
        let Some(why) = done.close else { return };
        self.end(handle);
        if !self.unconfirmed {
            self.close(handle, why.as_str());
        } else if !handle.is_closed() {
            // When the client's side is closed, Envoy throws away what it has not sent to the server yet. So the server is
            // told first that no more will come, and the close waits for its answer to that.
            self.phase = Phase::Lingering { why, until: process::now().after(LINGER) };
            if !std::mem::replace(&mut self.server_ended, true) {
                handle.filter.inject(Direction::Orig, b"", true);
            }
        }
    }

    fn close(&mut self, handle: &Handle, why: &str) {
        self.phase = Phase::Closing { until: process::now().after(FLUSH) };
        if !handle.is_closed() {
            handle.filter.close(why);
        }
    }

    /// Ends the parser, and counts what that brought about.
    fn end(&mut self, handle: &Handle) {
        if let Phase::Open(datapath) = &mut self.phase {
            datapath.close();
            self.report(handle);
        }
        self.phase = Phase::Closed;
        handle.set_deadline(None);
    }

    /// Tells Envoy what happened: counters, and the last denial as metadata.
    fn report(&mut self, handle: &Handle) {
        let Phase::Open(datapath) = &mut self.phase else { return };
        if datapath.tally().is_empty() {
            return;
        }
        let tally = datapath.tally().take();
        handle.listener.stats.count(handle.filter, &tally);
        if let Some(denial) = tally.last_denial
            && self.told != Some(denial)
        {
            self.told = Some(denial);
            tell(handle, denial);
        }
    }
}

/// Writes a denial into the connection's metadata.
fn tell(handle: &Handle, denial: Decision) {
    let policy = handle.listener.instance.policy.load();
    let rule = denial.rule.and_then(|id| policy.rule(id));
    handle.filter.set_metadata("verdict", if denial.outcome == Outcome::Audit { "audit" } else { "denied" });
    handle.filter.set_metadata("rule", rule.map_or(denial.reason.as_str(), |rule| rule.name.as_str()));
}
