//! How other threads reach a connection on its worker.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use portcullis_proxylib::Time;

use crate::envoy::Scheduler;

/// What a connection is asked to do, as the number that Envoy hands through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Call {
    /// Go on with what had to wait.
    Resume = 1,
    /// Close what is overdue.
    Expire = 2,
}

impl Call {
    pub(crate) fn from_id(id: u64) -> Option<Self> {
        [Self::Resume, Self::Expire].into_iter().find(|call| u64::from(*call as u8) == id)
    }
}

/// Reaches one connection from any thread; after the connection's end it does nothing.
#[derive(Debug)]
pub(crate) struct Waker {
    /// Gone when the connection is: Envoy's scheduler must not outlive the worker.
    scheduler: Mutex<Option<Scheduler>>,
    /// Calls that are on their way, one bit each: no more than one of each kind is.
    pending: AtomicU8,
    /// When the connection is overdue; 0 for never.
    deadline: AtomicU64,
}

impl Waker {
    pub(crate) const fn new(scheduler: Scheduler) -> Self {
        Self { scheduler: Mutex::new(Some(scheduler)), pending: AtomicU8::new(0), deadline: AtomicU64::new(0) }
    }

    /// Calls the connection, soon, on its own thread.
    pub(crate) fn call(&self, call: Call) {
        let bit = call as u8;
        if self.pending.fetch_or(bit, Ordering::AcqRel) & bit == 0
            && let Some(scheduler) = &*self.scheduler.lock().unwrap_or_else(PoisonError::into_inner)
        {
            scheduler.commit(u64::from(bit));
        }
    }

    /// Notes that a call has arrived.
    pub(crate) fn arrived(&self, call: Call) {
        self.pending.fetch_and(!(call as u8), Ordering::AcqRel);
    }

    pub(crate) fn set_deadline(&self, deadline: Option<Time>) {
        self.deadline.store(deadline.map_or(0, |time| time.0), Ordering::Relaxed);
    }

    /// Calls the connection if it is overdue.
    pub(crate) fn check(&self, now: Time) {
        let deadline = self.deadline.load(Ordering::Relaxed);
        if deadline != 0 && deadline <= now.0 {
            self.call(Call::Expire);
        }
    }

    /// Ends all calls. On the connection's own thread.
    pub(crate) fn detach(&self) {
        drop(self.scheduler.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}
