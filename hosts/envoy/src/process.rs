//! What all listeners of a process share: the clock, the bytes they may hold, the writers of their access logs.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use portcullis_proxylib::{AccessLog, Budget, Entry, Sink, Target, Time};

use crate::{abi, envoy};

/// The time on a clock that starts with the first question.
pub(crate) fn now() -> Time {
    // From 1: 0 stands for no deadline.
    Time(u64::try_from(clock().as_millis()).unwrap_or(u64::MAX).saturating_add(1))
}

/// The time since the first question.
pub(crate) fn clock() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

/// The budget of all listeners. The first one says how large it is; a later one that differs is told so.
pub(crate) fn budget(limit: usize) -> Arc<Budget> {
    static SHARED: Mutex<(usize, Weak<Budget>)> = Mutex::new((0, Weak::new()));
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    let (first, budget) = &mut *shared;
    if let Some(budget) = budget.upgrade() {
        if *first != limit {
            let text = format!("`limits.heldBytes` is one for all listeners: {first} stays in force, not {limit}");
            envoy::log(abi::LOG_WARN, &text);
        }
        return budget;
    }
    let made = Budget::new(limit);
    (*first, *budget) = (limit, Arc::downgrade(&made));
    made
}

/// The access log of all listeners that name the same target.
///
/// # Errors
/// It cannot be opened.
pub(crate) fn access_log(target: Target) -> io::Result<Arc<SharedLog>> {
    static OPEN: Mutex<Vec<(Target, Weak<SharedLog>)>> = Mutex::new(Vec::new());
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    open.retain(|(_, log)| log.strong_count() > 0);
    let found = open.iter().find(|(open, _)| *open == target).and_then(|(_, log)| log.upgrade());
    if let Some(log) = found {
        return Ok(log);
    }
    let log = Arc::new(SharedLog { writer: AccessLog::open(&target)?, reported: AtomicU64::new(0) });
    open.push((target, Arc::downgrade(&log)));
    Ok(log)
}

/// An access log that several listeners write.
pub(crate) struct SharedLog {
    writer: AccessLog,
    /// Lost records that a counter has been told of.
    reported: AtomicU64,
}

impl SharedLog {
    /// Records lost since this was last asked, by whichever listener.
    pub(crate) fn take_lost(&self) -> u64 {
        let lost = self.writer.lost();
        lost.saturating_sub(self.reported.fetch_max(lost, Ordering::Relaxed))
    }
}

impl Sink for SharedLog {
    fn record(&self, entry: &Entry<'_>) {
        self.writer.record(entry);
    }
}
