//! The state of one connection: what its hooks decide.

use std::cell::Cell;
use std::sync::Arc;

use portcullis_policy::{Decision, Outcome};
use portcullis_proxylib::{Datapath, Direction};

use crate::abi::STOP;
use crate::act::{Done, Event, carry_out, copy_front};
use crate::ending::{Ending, Ends};
use crate::handle::Handle;
use crate::process;
use crate::waker::Call;

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
    ends: Ends,
    /// The denial that the connection's metadata tell of.
    told: Option<(Decision, u64)>,
}

#[derive(Default)]
enum Phase {
    /// Nothing was read or written yet.
    #[default]
    New,
    Open(Box<Datapath>),
    Ending(Ending),
    Closed,
}

impl Session {
    /// Answers the read and write hooks.
    pub(crate) fn on_data(&mut self, handle: &Handle, direction: Direction, len: usize, end: bool) -> u32 {
        if matches!(self.phase, Phase::New) {
            self.open(handle);
        }
        self.ends.hear(direction, len, end);
        let Phase::Open(datapath) = &mut self.phase else {
            handle.filter.drain(direction, len);
            if let Phase::Ending(ending) = self.phase {
                self.phase = Phase::Ending(ending.on_data(handle, &mut self.ends, direction, len, end));
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
        self.phase = Phase::Ending(Ending::close(handle, "portcullis_no_buffer"));
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
            Phase::Ending(ending) => self.phase = Phase::Ending(ending.on_time(handle, &mut self.ends)),
            Phase::New | Phase::Closed => {}
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
            // Envoy counts no further on a connection that it is about to close.
            Phase::Ending(ending @ Ending::Flushing { .. }) => return handle.set_deadline(Some(ending.deadline())),
            Phase::Ending(ending) => {
                // What is only thrown away may come also while the client does not read.
                stop = false;
                Some(ending.deadline())
            }
            Phase::New | Phase::Closed => None,
        };
        handle.set_deadline(deadline);
        if stop != self.reading_stopped {
            self.reading_stopped = stop;
            handle.filter.stop_reading(stop);
        }
    }

    fn open(&mut self, handle: &Handle) {
        match handle.listener.connect(handle.filter) {
            Ok(connection) => {
                let mut datapath = Box::new(Datapath::new(connection));
                if let Some(waker) = handle.waker() {
                    let waker = Arc::clone(waker);
                    datapath.attach(Arc::new(move || waker.call(Call::Resume)));
                }
                self.phase = Phase::Open(datapath);
            }
            Err(why) => self.phase = Phase::Ending(Ending::close(handle, why)),
        }
    }

    /// Counts what an event did, and closes the connection if that is what it came to.
    fn follow_up(&mut self, handle: &Handle, done: Done) {
        self.ends.note(done);
        self.report(handle);
        if done.resume {
            handle.call(Call::Resume);
        }
        if let Some(why) = done.close {
            self.end(handle);
            if !handle.is_closed() {
                self.phase = Phase::Ending(Ending::begin(handle, &mut self.ends, why));
            }
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
fn tell(handle: &Handle, (denial, generation): (Decision, u64)) {
    let policy = handle.listener.instance.policy.load();
    // The policy may have been swapped since, and its ids with it.
    let rule = denial.rule.filter(|_| policy.generation() == generation).and_then(|id| policy.rule(id));
    handle.filter.set_metadata("verdict", if denial.outcome == Outcome::Audit { "audit" } else { "denied" });
    handle.filter.set_metadata("rule", rule.map_or(denial.reason.as_str(), |rule| rule.name.as_str()));
}
