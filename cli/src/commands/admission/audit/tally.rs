//! What was found, by constraint.

use std::collections::{BTreeMap, BinaryHeap};

use serde::Serialize;

use super::judging::{Constraint, Violation};
use super::objects::Named;

/// Bytes of a message in a status, as Gatekeeper cuts them: `msgSize` of its audit.
const MAX_MESSAGE: usize = 256;

/// One violation of one object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reported {
    // In the order in which Gatekeeper sorts them.
    pub(super) group: String,
    pub(super) version: String,
    pub(super) kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) message: String,
    pub(super) enforcement_action: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) enforcement_actions: Vec<String>,
}

/// Of one constraint: how many violations there are, and the first of them.
#[derive(Default)]
pub(super) struct Counted {
    pub(super) total: u64,
    first: BinaryHeap<Reported>,
}

impl Counted {
    /// The violations that are kept, in order.
    pub(super) fn reported(&self) -> Vec<&Reported> {
        let mut all: Vec<_> = self.first.iter().collect();
        all.sort();
        all
    }

    /// How many are not kept.
    pub(super) fn omitted(&self) -> u64 {
        self.total.saturating_sub(self.first.len() as u64)
    }
}

/// All constraints in force, with what violates them.
pub(super) struct Tally {
    pub(super) counted: BTreeMap<Constraint, Counted>,
    pub(super) objects: u64,
    limit: usize,
}

impl Tally {
    /// `limit` is how many violations are kept of each constraint.
    pub(super) fn new(constraints: impl IntoIterator<Item = Constraint>, limit: usize) -> Self {
        let counted = constraints.into_iter().map(|constraint| (constraint, Counted::default())).collect();
        Self { counted, objects: 0, limit }
    }

    /// Counts an object, and what is wrong with it.
    pub(super) fn count(&mut self, object: &Named, violations: Vec<Violation>) {
        self.objects = self.objects.saturating_add(1);
        for violation in violations {
            let Named { group, version, kind, namespace, name } = object.clone();
            let reported = Reported {
                group,
                version,
                kind,
                namespace,
                name,
                message: cut(violation.message),
                enforcement_action: violation.action,
                enforcement_actions: violation.actions,
            };
            let counted = self.counted.entry(violation.constraint).or_default();
            counted.total = counted.total.saturating_add(1);
            counted.first.push(reported);
            if counted.first.len() > self.limit {
                counted.first.pop();
            }
        }
    }

    pub(super) fn total(&self) -> u64 {
        self.counted.values().map(|counted| counted.total).fold(0, u64::saturating_add)
    }
}

/// At most [`MAX_MESSAGE`] bytes and the sign that there was more.
fn cut(mut message: String) -> String {
    const MORE: &str = "...";
    if message.len() > MAX_MESSAGE {
        let end = message.floor_char_boundary(MAX_MESSAGE - MORE.len());
        message.truncate(end);
        message.push_str(MORE);
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violation(message: &str) -> Violation {
        let constraint = Constraint { kind: "K8sOwner".to_owned(), name: "all".to_owned() };
        Violation { constraint, action: "deny".to_owned(), actions: Vec::new(), message: message.to_owned() }
    }

    fn named(name: &str) -> Named {
        Named { version: "v1".to_owned(), kind: "Pod".to_owned(), name: name.to_owned(), ..Named::default() }
    }

    #[test]
    fn the_first_are_kept_whatever_the_order_and_all_are_counted() {
        let mut tally = Tally::new([], 2);
        for name in ["c", "a", "d", "b"] {
            tally.count(&named(name), vec![violation("no owner"), violation("no owner")]);
        }
        let counted = tally.counted.values().next().expect("one");
        let kept: Vec<_> = counted.reported().iter().map(|one| one.name.as_str()).collect();
        assert_eq!((kept.as_slice(), counted.total, counted.omitted()), (["a", "a"].as_slice(), 8, 6));
        let mut none = Tally::new([], 0);
        none.count(&named("a"), vec![violation("no owner")]);
        assert_eq!(none.total(), 1);
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        let cut = |text: &str| cut(text.to_owned());
        assert_eq!(cut(&"a".repeat(MAX_MESSAGE)).len(), MAX_MESSAGE);
        let long = cut(&"ß".repeat(MAX_MESSAGE));
        assert!(long.ends_with("ß...") && long.len() <= MAX_MESSAGE, "{long}");
    }
}
