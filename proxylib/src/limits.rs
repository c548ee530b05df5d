//! What a connection and a process may cost, whatever the peers send.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::Deserialize;

/// Bounds of one connection. Units are in the names.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of one frame that must be held before it can be judged. What is passed ahead does not count.
    pub max_frame_bytes: usize,
    /// How long a frame may stay unfinished, and how long replies still owed may take once a connection is to close.
    pub frame_timeout_seconds: u64,
    /// Bytes that the listeners of this process may hold together: of frames that are not decided yet, and of answers that wait
    /// for their turn.
    pub held_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Cassandra, the largest frames that are held whole, has 16 MiB by default (`native_transport_max_frame_size`).
            max_frame_bytes: 16 << 20,
            // Long enough for a large frame over a slow link, short enough that idle half frames do not pile up.
            frame_timeout_seconds: 60,
            // A tenth of a small node's memory: above it peers are most likely up to no good.
            held_bytes: 256 << 20,
        }
    }
}

/// Bytes that a parser may keep for a connection, waiting to be injected, before the datapath stops reading requests.
///
/// Larger than any single reply of ours, small enough that 10,000 clients that never read stay under 1 GiB.
pub(crate) const MAX_BACKLOG: usize = 64 << 10;

/// Room for a held frame that is kept when it is empty: a line or a header, so that the steady state does not allocate.
pub(crate) const KEEP_CAPACITY: usize = 4 << 10;

/// A time on the host's monotonic clock, in milliseconds from any fixed point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub u64);

impl Time {
    /// This time, `wait` later.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// The bytes that all connections which share it hold at the moment, and how many they may.
#[derive(Debug)]
pub struct Budget {
    held: AtomicUsize,
    limit: usize,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { held: AtomicUsize::new(0), limit })
    }

    /// Bytes held at the moment.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Replaces a reservation of `before` bytes by one of `now`. Refuses, and changes nothing, where that is too much.
    pub fn adjust(&self, before: usize, now: usize) -> bool {
        if now <= before {
            self.held.fetch_sub(before.saturating_sub(now), Ordering::Relaxed);
            return true;
        }
        let more = now.saturating_sub(before);
        let reserve = |held: usize| held.checked_add(more).filter(|&sum| sum <= self.limit);
        self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, reserve).is_ok()
    }
}
