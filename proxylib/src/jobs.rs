//! Judgements that take longer than a worker should be held.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Work to be done away from the data path.
pub type Job = Box<dyn FnOnce() + Send>;

/// A host's threads for long judgements. A job that is dropped instead of run counts as lost.
pub trait Executor: Send + Sync {
    /// Takes a job, to be run once on any thread. Drop it where there is no room.
    fn execute(&self, job: Job);
}

static MEMORY_GAUGE: OnceLock<fn() -> u64> = OnceLock::new();

/// Lets judgements know how many bytes their thread has in use, so that they can end before there is no memory. For hosts whose
/// allocator counts; the first gauge stays.
pub fn set_memory_gauge(gauge: fn() -> u64) {
    let _ = MEMORY_GAUGE.set(gauge);
}

/// How many bytes a thread has in use, where the host can tell.
pub fn memory_gauge() -> Option<fn() -> u64> {
    MEMORY_GAUGE.get().copied()
}

/// Makes a host call a connection's [`resume`](crate::Datapath::resume), from any thread.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// Where the jobs of one connection go.
#[derive(Default)]
pub(crate) struct Jobs {
    /// Boxed: most hosts have many connections and none of these.
    host: Option<Box<(Arc<dyn Executor>, Wake)>>,
}

impl Jobs {
    pub(crate) fn attach(&mut self, executor: Arc<dyn Executor>, wake: Wake) {
        self.host = Some(Box::new((executor, wake)));
    }

    pub(crate) const fn is_attached(&self) -> bool {
        self.host.is_some()
    }

    pub(crate) fn run<T, F>(&self, job: F) -> Pending<T>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let slot = Arc::new(Mutex::new(Slot::Running));
        let wake = self.host.as_ref().map(|host| Arc::clone(&host.1));
        let ticket = Ticket { slot: Arc::clone(&slot), wake };
        let job = move || ticket.settle(catch_unwind(AssertUnwindSafe(job)));
        match &self.host {
            Some(host) => host.0.execute(Box::new(job)),
            // A host that cannot wake a connection runs the job in place.
            None => job(),
        }
        Pending(slot)
    }
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.host.is_some() { "Jobs(pool)" } else { "Jobs(in place)" })
    }
}

/// The result of a job, once there is one.
#[derive(Debug)]
pub struct Pending<T>(Arc<Mutex<Slot<T>>>);

/// A job that panicked or was never run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the judgement was lost")]
pub struct Lost;

impl<T> Pending<T> {
    /// Takes the result, if the job is done. It can be taken once.
    pub fn take(&self) -> Option<Result<T, Lost>> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*slot, Slot::Running) {
            return None;
        }
        match std::mem::replace(&mut *slot, Slot::Taken) {
            Slot::Done(value) => Some(Ok(value)),
            Slot::Lost => Some(Err(Lost)),
            Slot::Running | Slot::Taken => None,
        }
    }
}

#[derive(Debug)]
enum Slot<T> {
    Running,
    Done(T),
    Lost,
    Taken,
}

/// Settles a slot exactly once, as lost if it is dropped.
struct Ticket<T> {
    slot: Arc<Mutex<Slot<T>>>,
    wake: Option<Wake>,
}

impl<T> Ticket<T> {
    fn settle(self, result: Result<T, Box<dyn Any + Send>>) {
        if let Ok(value) = result {
            *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = Slot::Done(value);
        }
    }
}

impl<T> Drop for Ticket<T> {
    fn drop(&mut self) {
        {
            let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
            if matches!(*slot, Slot::Running) {
                *slot = Slot::Lost;
            }
        }
        if let Some(wake) = &self.wake {
            wake();
        }
    }
}
