//! What policies say of the requests of a capture.

use std::collections::HashMap;
use std::collections::hash_map;

use portcullis_policy::{Decision, Fields, Outcome, Snapshot};
use portcullis_proxylib::{Asked, Entry};
use serde::Serialize;

use super::follow::{Counts, Ear, Known};
use super::setting::name_of;

/// Judges requests, and counts alike ones together.
pub(crate) struct Verdicts {
    policy: Snapshot,
    /// Another policy to compare with.
    other: Option<Snapshot>,
    /// Requests that are not simply allowed.
    pub(crate) cases: Cases<Case>,
    /// Requests that the other policy judges in another way.
    pub(crate) changes: Cases<Change>,
    /// Whether any request was denied for want of a policy.
    pub(crate) no_policy: bool,
    scratch: String,
}

/// Alike requests that are not simply allowed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Case {
    pub(crate) verdict: &'static str,
    pub(crate) who: String,
    pub(crate) request: String,
    pub(crate) why: Why,
}

/// Alike requests that two policies judge in different ways.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Change {
    pub(crate) who: String,
    pub(crate) request: String,
    pub(crate) before: (&'static str, Why),
    pub(crate) after: (&'static str, Why),
}

/// Why a decision fell as it did.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Why {
    /// The rule that decided, and where it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<String>,
    pub(crate) reason: String,
}

/// The rule that came nearest to admitting a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Miss {
    pub(crate) rule: String,
    pub(crate) at: String,
    /// What of it did not match.
    pub(crate) field: &'static str,
}

/// What is counted of alike requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Seen {
    pub(crate) count: u64,
    /// The first connection that it was on.
    pub(crate) connection: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) nearest: Option<Miss>,
}

/// Alike things, counted: so many kinds at most.
#[derive(Debug)]
pub(crate) struct Cases<K> {
    seen: HashMap<K, Seen>,
    /// Requests of further kinds.
    pub(crate) not_kept: u64,
}

impl Verdicts {
    pub(crate) fn new(policy: Snapshot, other: Option<Snapshot>) -> Self {
        Self {
            policy,
            other,
            cases: Cases::default(),
            changes: Cases::default(),
            no_policy: false,
            scratch: String::new(),
        }
    }
}

impl Ear for Verdicts {
    fn request(&mut self, known: &Known, counts: &mut Counts, passed: bool, request: &dyn Asked) {
        let Some(view) = known.views.first() else { return };
        let decision = if passed { None } else { Some(request.judge(&self.policy, view)) };
        let outcome = decision.map_or(Outcome::Allow, |decision| decision.outcome);
        let counter = match outcome {
            Outcome::Allow if passed => &mut counts.allowed,
            Outcome::Audit => &mut counts.audited,
            // Another request of its frame does not pass, and they go together.
            Outcome::Allow | Outcome::Deny => &mut counts.denied,
        };
        *counter = counter.saturating_add(1);
        let other =
            self.other.as_ref().zip(known.views.get(1)).map(|(other, view)| (other, request.judge(other, view)));
        let changed = other.filter(|(_, after)| after.outcome != outcome);
        if passed && changed.is_none() {
            return;
        }
        self.scratch.clear();
        request.fields().describe(&mut Brief(&mut self.scratch));
        let who = name_of(&known.meta.remote);
        if let Some((other, after)) = changed {
            counts.changed = counts.changed.saturating_add(1);
            let before = decision.unwrap_or_else(|| request.judge(&self.policy, view));
            let change = Change {
                who: who.clone(),
                request: self.scratch.clone(),
                before: (word(before.outcome), why(&self.policy, before)),
                after: (word(after.outcome), why(other, after)),
            };
            self.changes.count(change, known.number, || None);
        }
        let Some(decision) = decision else { return };
        let case =
            Case { verdict: word(outcome), who, request: self.scratch.clone(), why: why(&self.policy, decision) };
        let case = match outcome {
            Outcome::Allow => Case {
                verdict: word(Outcome::Deny),
                why: Why { rule: None, at: None, reason: "another request of its frame is denied".to_owned() },
                ..case
            },
            _ => case,
        };
        self.no_policy |= decision.reason == portcullis_policy::Reason::NoPolicy;
        let policy = &self.policy;
        self.cases.count(case, known.number, || {
            let miss = request.explain(policy, view).into_iter().next()?;
            let rule = policy.rule(miss.rule)?;
            Some(Miss { rule: rule.name.clone(), at: rule.place.to_string(), field: miss.field })
        });
    }

    fn refused(&mut self, known: &Known, entry: &Entry<'_>) {
        self.scratch.clear();
        if let Some(fields) = entry.fields {
            fields.describe(&mut Brief(&mut self.scratch));
        }
        let why = Why { rule: None, at: None, reason: entry.reason.to_owned() };
        let who = name_of(&known.meta.remote);
        let case = Case { verdict: "refused", who, request: self.scratch.clone(), why };
        self.cases.count(case, known.number, || None);
    }
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Allow => "allowed",
        Outcome::Audit => "audit",
        Outcome::Deny => "denied",
    }
}

fn why(policy: &Snapshot, decision: Decision) -> Why {
    let rule = decision.rule.and_then(|id| policy.rule(id));
    Why {
        rule: rule.map(|rule| rule.name.clone()),
        at: rule.map(|rule| rule.place.to_string()),
        reason: decision.reason.as_str().to_owned(),
    }
}

impl<K> Default for Cases<K> {
    fn default() -> Self {
        Self { seen: HashMap::new(), not_kept: 0 }
    }
}

impl<K: std::hash::Hash + Eq> Cases<K> {
    fn count(&mut self, kind: K, connection: u64, nearest: impl FnOnce() -> Option<Miss>) {
        let full = self.seen.len() >= MAX_KINDS;
        match self.seen.entry(kind) {
            hash_map::Entry::Occupied(mut seen) => {
                let count = &mut seen.get_mut().count;
                *count = count.saturating_add(1);
            }
            hash_map::Entry::Vacant(_) if full => self.not_kept = self.not_kept.saturating_add(1),
            hash_map::Entry::Vacant(place) => {
                place.insert(Seen { count: 1, connection, nearest: nearest() });
            }
        }
    }

    /// The kinds, those of the first connections first and among them the most frequent.
    pub(crate) fn sorted(&self, by: impl Fn(&K, &K) -> std::cmp::Ordering) -> Vec<(&K, &Seen)> {
        let mut all: Vec<_> = self.seen.iter().collect();
        all.sort_by(|(a, one), (b, other)| {
            other.count.cmp(&one.count).then(one.connection.cmp(&other.connection)).then_with(|| by(a, b))
        });
        all
    }
}

/// The fields of a request as one short text: their values, escaped and cut.
pub(crate) struct Brief<'a>(pub(crate) &'a mut String);

impl Brief<'_> {
    fn add(&mut self, value: &[u8]) {
        if self.0.len() >= MAX_BRIEF {
            if !self.0.ends_with(" …") {
                self.0.push_str(" …");
            }
            return;
        }
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        let shown = value.get(..MAX_VALUE).unwrap_or(value);
        self.0.extend(shown.escape_ascii().map(char::from));
        if shown.len() < value.len() {
            self.0.push('…');
        }
    }
}

impl Fields for Brief<'_> {
    fn text(&mut self, _name: &'static str, value: &[u8]) {
        self.add(value);
    }

    fn list(&mut self, _name: &'static str, values: &mut dyn Iterator<Item = &[u8]>) {
        // What is not shown need not be looked at.
        values.take(MAX_LIST).for_each(|value| self.add(value));
    }
}

/// Kinds of requests that are kept apart: with 300 bytes each, 3 MB.
const MAX_KINDS: usize = 10_000;

/// Bytes of a request's text before no more values are added.
const MAX_BRIEF: usize = 160;

/// Bytes of one value that are shown. Keys of memcached have 250 at most.
const MAX_VALUE: usize = 80;

/// Values of a list that are looked at.
const MAX_LIST: usize = 16;
