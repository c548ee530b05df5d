//! The policies of all endpoints, each kept with the connections and instances that use it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use portcullis_policy::{PolicyStore, Snapshot};

/// The policies of all endpoints of a node, by the addresses that name them.
#[derive(Debug, Default)]
pub struct Policies {
    /// The endpoints that the agent speaks of: read without a lock.
    known: ArcSwap<HashMap<String, Arc<PolicyStore>>>,
    /// All that were ever asked for, and are still in use.
    slots: Mutex<HashMap<String, Slot>>,
}

#[derive(Debug, Default)]
struct Slot {
    store: Arc<PolicyStore>,
    /// What was put in force last, if the agent speaks of the endpoint.
    source: Option<Arc<Snapshot>>,
}

impl Policies {
    /// No policy for anybody yet: everything is denied.
    pub fn new() -> Self {
        Self::default()
    }

    /// The policy of an endpoint by its name, which is an address of it as the agent writes it. It denies everything
    /// while the agent does not speak of the endpoint.
    pub fn of(&self, policy_name: &str) -> Arc<PolicyStore> {
        if let Some(store) = self.known.load().get(policy_name) {
            return Arc::clone(store);
        }
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(policy_name) {
            return Arc::clone(&slot.store);
        }
        Arc::clone(&slots.entry(policy_name.to_owned()).or_default().store)
    }

    /// Puts in force what is said of each endpoint; those of which nothing is said deny everything again. Where the very
    /// same snapshot is in force already, it keeps its generation.
    pub(crate) fn apply(&self, mut policies: HashMap<String, Arc<Snapshot>>) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that nobody has spoken of since the update before, and nobody uses, need not be kept.
        slots.retain(|name, slot| {
            slot.source.is_some() || policies.contains_key(name) || Arc::strong_count(&slot.store) > 1
        });
        for (name, slot) in slots.iter_mut() {
            match policies.remove(name) {
                Some(snapshot) => slot.put(snapshot),
                None if slot.source.take().is_some() => {
                    slot.store.store(Snapshot::default());
                }
                None => {}
            }
        }
        for (name, snapshot) in policies {
            slots.entry(name).or_default().put(snapshot);
        }
        let known = slots.iter().filter(|(_, slot)| slot.source.is_some());
        let known = known.map(|(name, slot)| (name.clone(), Arc::clone(&slot.store))).collect();
        self.known.store(Arc::new(known));
    }
}

impl Slot {
    fn put(&mut self, snapshot: Arc<Snapshot>) {
        if self.source.as_ref().is_none_or(|source| !Arc::ptr_eq(source, &snapshot)) {
            self.store.store((*snapshot).clone());
            self.source = Some(snapshot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(names: &[&str], snapshot: &Arc<Snapshot>) -> HashMap<String, Arc<Snapshot>> {
        names.iter().map(|name| ((*name).to_owned(), Arc::clone(snapshot))).collect()
    }

    #[test]
    fn a_store_stays_the_same_through_all_updates() {
        let policies = Policies::new();
        let store = policies.of("10.0.0.1");
        assert_eq!(store.load().generation(), 0);
        let snapshot = Arc::new(Snapshot::default());
        policies.apply(update(&["10.0.0.1", "10.0.0.2"], &snapshot));
        assert!(Arc::ptr_eq(&store, &policies.of("10.0.0.1")));
        assert_eq!(store.load().generation(), 1);
        policies.apply(update(&["10.0.0.1"], &snapshot));
        assert_eq!(store.load().generation(), 1, "the same snapshot is not put in force again");
        policies.apply(HashMap::new());
        assert_eq!(store.load().generation(), 2, "an endpoint that is gone denies everything");
        policies.apply(HashMap::new());
        assert_eq!(store.load().generation(), 2);
        assert!(Arc::ptr_eq(&store, &policies.of("10.0.0.1")));
        policies.apply(update(&["10.0.0.1"], &snapshot));
        assert_eq!(store.load().generation(), 3);
    }

    #[test]
    fn names_that_nobody_uses_are_forgotten() {
        let policies = Policies::new();
        let kept = policies.of("kept");
        for n in 0..100 {
            policies.of(&n.to_string());
        }
        policies.apply(HashMap::new());
        assert_eq!(policies.slots.lock().unwrap_or_else(PoisonError::into_inner).len(), 1);
        assert!(Arc::ptr_eq(&kept, &policies.of("kept")));
    }
}
