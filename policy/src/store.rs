//! The policy in force, swapped whole.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};

use crate::decide::Snapshot;

/// Holds the snapshot in force. Reading takes no lock.
#[derive(Debug, Default)]
pub struct PolicyStore {
    current: ArcSwap<Snapshot>,
    /// Held while a number is taken and used, so that no two snapshots get the same one.
    writer: Mutex<()>,
}

impl PolicyStore {
    /// The snapshot in force; before the first one is stored, one that denies everything.
    pub fn load(&self) -> Guard<Arc<Snapshot>> {
        self.current.load()
    }

    /// Puts a snapshot in force and returns its generation: one more than that of the one before.
    pub fn store(&self, mut snapshot: Snapshot) -> u64 {
        let _writing = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = self.current.load().generation.saturating_add(1);
        snapshot.generation = generation;
        self.current.store(Arc::new(snapshot));
        generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_are_unique_under_many_writers() {
        let store = PolicyStore::default();
        let mut seen: Vec<u64> = std::thread::scope(|scope| {
            let write = || (0..100).map(|_| store.store(Snapshot::default())).collect::<Vec<_>>();
            let writers: Vec<_> = (0..4).map(|_| scope.spawn(write)).collect();
            writers.into_iter().flat_map(|writer| writer.join().unwrap_or_default()).collect()
        });
        seen.sort_unstable();
        assert_eq!(seen, (1..=400).collect::<Vec<_>>());
        assert_eq!(store.load().generation(), 400);
    }
}
