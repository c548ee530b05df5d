//! Prepared statements: what the servers of a listener have told its connections.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use sha2::{Digest, Sha256};

use super::cql::Script;

/// A statement as it was prepared.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub(super) script: Script,
    /// The keyspace in which its unqualified names are, if it has any.
    pub(super) keyspace: Option<Box<str>>,
    /// The [digest](Prepared::digest) of its text.
    pub(super) text: [u8; 32],
    /// Bytes of memory, about.
    pub(super) weight: usize,
}

/// The statements that servers have given ids, for all connections of a listener: an id is good on each.
///
/// Those that were not used for long are forgotten. A client then learns that its statement is not prepared, and prepares
/// it again.
#[derive(Debug, Default)]
pub struct Prepared {
    shards: [RwLock<Shard>; SHARDS],
}

/// Statements by id, in two generations. What is used is in the younger one; when that is full, it becomes the older one,
/// and what is still in that is forgotten. So a look-up never waits for the search for the one not used for longest.
#[derive(Debug, Default)]
struct Shard {
    young: Generation,
    old: Generation,
}

#[derive(Debug, Default)]
struct Generation {
    by_id: HashMap<Box<[u8]>, Entry>,
    weight: usize,
}

#[derive(Clone, Debug)]
enum Entry {
    Known(Arc<Statement>),
    /// Two statements have this id. Servers run the first one, of which nobody here can say which it is.
    Contested,
}

/// What is known of an id.
#[derive(Debug)]
pub(super) enum Found {
    Known(Arc<Statement>),
    Contested,
    Unknown,
}

impl Prepared {
    /// What tells texts apart that servers give the same id: nobody can make two texts with one digest. A keyed hash would need
    /// a secret, and not every host has one.
    pub(super) fn digest(text: &[u8]) -> [u8; 32] {
        Sha256::digest(text).into()
    }

    /// The statement with that id.
    pub(super) fn find(&self, id: &[u8]) -> Found {
        let Some(shard) = self.shard(id) else { return Found::Unknown };
        {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(entry) = shard.young.by_id.get(id) {
                return entry.found();
            }
            if !shard.old.by_id.contains_key(id) {
                return Found::Unknown;
            }
        }
        let mut guard = shard.write().unwrap_or_else(PoisonError::into_inner);
        let Some((id, entry)) = guard.old.by_id.remove_entry(id) else {
            return guard.young.by_id.get(id).map_or(Found::Unknown, Entry::found);
        };
        let found = entry.found();
        let forgotten = guard.insert(id, entry);
        drop(guard);
        drop(forgotten);
        found
    }

    /// Notes what a server said: that this statement has this id.
    pub(super) fn learn(&self, id: &[u8], statement: Arc<Statement>) {
        if id.is_empty() || id.len() > MAX_ID {
            return;
        }
        let entry = match self.find(id) {
            Found::Contested => return,
            Found::Known(known) if known.is(&statement) => return,
            Found::Known(_) => Entry::Contested,
            Found::Unknown => Entry::Known(statement),
        };
        let Some(shard) = self.shard(id) else { return };
        let mut guard = shard.write().unwrap_or_else(PoisonError::into_inner);
        let entry = match (guard.young.by_id.get(id).or_else(|| guard.old.by_id.get(id)), entry) {
            // Another connection has learned it in between.
            (Some(Entry::Known(known)), Entry::Known(statement)) if !known.is(&statement) => Entry::Contested,
            (Some(Entry::Contested), _) => Entry::Contested,
            (_, entry) => entry,
        };
        guard.old.by_id.remove(id);
        let forgotten = guard.insert(id.into(), entry);
        drop(guard);
        drop(forgotten);
    }

    /// The shard of an id. Ids are digests; clients that make them up find nothing.
    fn shard(&self, id: &[u8]) -> Option<&RwLock<Shard>> {
        let last = id.last().copied().unwrap_or_default();
        self.shards.get(usize::from(last) % SHARDS)
    }
}

impl Statement {
    fn is(&self, other: &Self) -> bool {
        self.text == other.text && self.keyspace == other.keyspace
    }
}

impl Entry {
    fn found(&self) -> Found {
        match self {
            Self::Known(statement) => Found::Known(Arc::clone(statement)),
            Self::Contested => Found::Contested,
        }
    }

    fn weight(&self) -> usize {
        match self {
            Self::Known(statement) => statement.weight,
            Self::Contested => 0,
        }
    }
}

impl Shard {
    /// Adds to the younger generation. Returns the older one if that was its end, to be dropped without the lock.
    fn insert(&mut self, id: Box<[u8]>, entry: Entry) -> Option<Generation> {
        let weight = entry.weight().saturating_add(id.len()).saturating_add(ENTRY_WEIGHT);
        let full = self.young.by_id.len() >= MAX_ENTRIES || self.young.weight.saturating_add(weight) > MAX_WEIGHT;
        let forgotten = full.then(|| std::mem::replace(&mut self.old, std::mem::take(&mut self.young)));
        self.young.weight = self.young.weight.saturating_add(weight);
        self.young.by_id.insert(id, entry);
        forgotten
    }
}

/// Locks, so that workers seldom want the same one.
const SHARDS: usize = 16;

/// Statements of one generation of a shard: 32,768 in all, three times what Cassandra's own cache holds by default.
const MAX_ENTRIES: usize = 1024;

/// Bytes of one generation of a shard: 64 MiB in all.
const MAX_WEIGHT: usize = 2 << 20;

/// Bytes of an entry besides its statement, about.
const ENTRY_WEIGHT: usize = 128;

/// Bytes of an id: Cassandra's have 16.
const MAX_ID: usize = 64;

/// Bytes of the text of one statement that may be prepared: half a generation of a shard.
pub(super) const MAX_TEXT: usize = MAX_WEIGHT / 2;

#[cfg(test)]
#[expect(clippy::panic, reason = "a test that cannot go on has failed")]
mod tests {
    use super::*;

    fn statement(text: &[u8], keyspace: Option<&str>) -> Arc<Statement> {
        let text_digest = Prepared::digest(text);
        let keyspace = keyspace.map(Box::from);
        Arc::new(Statement { script: Script::default(), keyspace, text: text_digest, weight: text.len() })
    }

    fn is_known(prepared: &Prepared, id: &[u8]) -> bool {
        matches!(prepared.find(id), Found::Known(_))
    }

    /// Ids of one shard.
    fn id(n: usize) -> [u8; 17] {
        let mut id = [7; 17];
        id[..8].copy_from_slice(&n.to_be_bytes());
        id
    }

    #[test]
    fn what_is_used_is_remembered_and_what_is_not_is_forgotten_in_time() {
        let prepared = Prepared::default();
        prepared.learn(b"used", statement(b"a", None));
        // The shard is told by the last byte.
        let unused = *b"unused-d";
        prepared.learn(&unused, statement(b"b", None));
        for n in 0..3 * MAX_ENTRIES {
            let mut id = id(n);
            id[16] = b'd';
            prepared.learn(&id, statement(b"c", None));
            assert!(is_known(&prepared, b"used"), "after {n}");
            assert!(is_known(&prepared, &id));
        }
        assert!(!is_known(&prepared, &unused));
    }

    #[test]
    fn nobody_can_make_it_grow() {
        let prepared = Prepared::default();
        let large = vec![b'x'; MAX_TEXT];
        for n in 0..10 * MAX_ENTRIES {
            let text = if n % 100 == 0 { &large[..] } else { b"" };
            prepared.learn(&id(n), statement(text, None));
        }
        let Some(shard) = prepared.shard(&id(0)) else { panic!("no shard") };
        let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
        for generation in [&shard.young, &shard.old] {
            assert!(generation.by_id.len() <= MAX_ENTRIES);
            assert!(generation.weight <= MAX_WEIGHT);
        }
        drop(shard);
        prepared.learn(&[1; MAX_ID + 1], statement(b"", None));
        assert!(!is_known(&prepared, &[1; MAX_ID + 1]));
    }

    #[test]
    fn an_id_with_two_statements_is_contested_for_good() {
        let prepared = Prepared::default();
        for (other, keyspace) in [(&b"b"[..], None), (b"a", Some("ks"))] {
            let id = [other, b"id", keyspace.unwrap_or("").as_bytes()].concat();
            prepared.learn(&id, statement(b"a", None));
            prepared.learn(&id, statement(b"a", None));
            assert!(is_known(&prepared, &id));
            prepared.learn(&id, statement(other, keyspace));
            prepared.learn(&id, statement(b"a", None));
            assert!(matches!(prepared.find(&id), Found::Contested));
        }
    }

    #[test]
    fn many_threads_learn_and_find_at_once() {
        let prepared = Prepared::default();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let prepared = &prepared;
                scope.spawn(move || {
                    for n in 0..3000 {
                        let id = id(n % 500);
                        prepared.learn(&id, statement(b"same", None));
                        assert!(is_known(prepared, &id), "thread {thread}");
                    }
                });
            }
        });
    }
}
