//! How long to wait before the next attempt.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Doubles with each failure up to a limit. Half of each delay is left to chance, so that those who were cut off together
/// do not come back together.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    /// Its keys are random.
    chance: RandomState,
}

impl Backoff {
    /// The agent is well: the next delay is the first one again.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The next delay.
    pub(super) fn delay(&mut self) -> Duration {
        let full = FIRST.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX)).min(LONGEST);
        // More would only overflow.
        self.failures = self.failures.saturating_add(1).min(31);
        let half = full / 2;
        let nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX).max(1);
        self.chance = RandomState::new();
        half.saturating_add(Duration::from_nanos(self.chance.hash_one(self.failures) % nanos))
    }
}

/// The first delay, as in the library that this one replaces.
const FIRST: Duration = Duration::from_millis(100);
/// The longest. An agent that starts takes longer to be ready, and one attempt costs it nothing.
const LONGEST: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_a_limit_and_begins_anew() {
        let mut backoff = Backoff::default();
        for failures in 0..100 {
            let full = FIRST.saturating_mul(1 << failures.min(20)).min(LONGEST);
            let delay = backoff.delay();
            assert!(full / 2 <= delay && delay < full, "{failures}: {delay:?}");
        }
        backoff.reset();
        assert!(backoff.delay() < FIRST);
        let distinct: std::collections::HashSet<_> = (0..100).map(|_| Backoff::default().delay()).collect();
        assert!(distinct.len() > 50, "delays are left to chance");
    }
}
