//! Counters and gauges. Their names are in the documentation of the crate.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use portcullis_proxylib::{Observed, Status, Tally};

use crate::envoy::{Config, ConfigMetrics, Filter};

/// The metrics of one listener, by Envoy's ids.
#[derive(Debug)]
pub(crate) struct Stats {
    forwarded: usize,
    denied: usize,
    audit: usize,
    errors: usize,
    panics: usize,
    connections: usize,
    connections_active: usize,
    policy_generation: usize,
    policy_reloads: Deferred,
    policy_errors: Deferred,
    policy_age: usize,
    policy_hash: usize,
    policy_bad: usize,
    break_glass: usize,
    log_lost: usize,
    held_bytes: usize,
    /// By the labels of the documents there were when the listener was made. Envoy defines none later.
    judged: HashMap<Arc<str>, Judged>,
    /// What has no label of its own there.
    judged_other: Option<Judged>,
}

/// The metrics of what is counted by a name.
#[derive(Debug)]
struct Judged {
    forwarded: usize,
    denied: usize,
    audit: usize,
    errors: usize,
    microseconds: usize,
}

/// A counter of what happens without a connection at hand.
#[derive(Debug)]
pub(crate) struct Deferred {
    id: usize,
    /// Not told to Envoy yet.
    more: AtomicU64,
}

/// What gauges show.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Levels {
    pub(crate) policy_generation: u64,
    /// Seconds since the policies in force were.
    pub(crate) policy_age: u64,
    pub(crate) policy_hash: u64,
    /// The files hold something that is not in force.
    pub(crate) policy_bad: bool,
    pub(crate) break_glass: bool,
    pub(crate) held_bytes: u64,
    /// Records of the access log that were lost and not counted yet.
    pub(crate) log_lost: u64,
}

impl Stats {
    /// Defines the metrics of a listener. `None` if Envoy refuses to.
    pub(crate) fn define(config: Config, protocol: &str, labels: &[Arc<str>]) -> Option<Self> {
        let counter = |name: &str| config.define_counter(&format!("{protocol}.{name}"));
        let gauge = |name: &str| config.define_gauge(&format!("{protocol}.{name}"));
        let deferred = |name: &str| counter(name).map(|id| Deferred { id, more: AtomicU64::new(0) });
        let judged = |label: &str| {
            let name = |what: &str| format!("{protocol}.judged.{label}.{what}");
            Some(Judged {
                forwarded: config.define_counter(&name("forwarded"))?,
                denied: config.define_counter(&name("denied"))?,
                audit: config.define_counter(&name("audit"))?,
                errors: config.define_counter(&name("errors"))?,
                microseconds: config.define_histogram(&name("microseconds"))?,
            })
        };
        let by_label = labels.iter().take(MAX_LABELS).map(|label| Some((Arc::clone(label), judged(label)?)));
        Some(Self {
            judged: by_label.collect::<Option<_>>()?,
            judged_other: if labels.is_empty() { None } else { Some(judged(OTHER)?) },
            forwarded: counter("forwarded.requests")?,
            denied: counter("denied.requests")?,
            audit: counter("audit.requests")?,
            errors: counter("errors")?,
            panics: counter("panics")?,
            connections: counter("connections")?,
            connections_active: gauge("connections_active")?,
            policy_generation: gauge("policy_generation")?,
            policy_reloads: deferred("policy_reloads")?,
            policy_errors: deferred("policy_errors")?,
            policy_age: gauge("policy_age_seconds")?,
            policy_hash: gauge("policy_hash")?,
            policy_bad: gauge("policy_bad")?,
            break_glass: gauge("break_glass")?,
            log_lost: counter("log_lost")?,
            held_bytes: gauge("held_bytes")?,
        })
    }

    pub(crate) fn opened(&self, filter: Filter) {
        filter.count(self.connections, 1);
        filter.raise_gauge(self.connections_active);
    }

    pub(crate) fn closed(&self, filter: Filter) {
        filter.lower_gauge(self.connections_active);
    }

    pub(crate) fn count(&self, filter: Filter, tally: &Tally) {
        let counts = [
            (self.forwarded, tally.forwarded),
            (self.denied, tally.denied),
            (self.audit, tally.audited),
            (self.errors, tally.errors),
            (self.panics, tally.panics),
        ];
        for (counter, count) in counts {
            if count > 0 {
                filter.count(counter, count);
            }
        }
        for Observed { label, status, took } in &tally.observed {
            let Some(judged) = self.judged.get(label).or(self.judged_other.as_ref()) else { continue };
            let counter = match status {
                Status::Forwarded | Status::Reply => judged.forwarded,
                Status::Denied => judged.denied,
                Status::Audited => judged.audit,
                Status::Error => judged.errors,
            };
            filter.count(counter, 1);
            if let Some(took) = took {
                filter.record(judged.microseconds, u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
            }
        }
    }

    /// Counts a connection that was turned away.
    pub(crate) fn count_error(&self, filter: Filter) {
        filter.count(self.errors, 1);
    }

    /// Counts a panic of our own.
    pub(crate) fn count_panic(&self, filter: Filter) {
        filter.count(self.panics, 1);
    }

    pub(crate) fn note_reload(&self) {
        self.policy_reloads.more.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn note_error(&self) {
        self.policy_errors.more.fetch_add(1, Ordering::Relaxed);
    }

    /// Shows what has happened away from connections.
    pub(crate) fn show(&self, metrics: ConfigMetrics, levels: Levels) {
        self.tell(levels, |counter, by| metrics.count(counter, by), |gauge, value| metrics.set_gauge(gauge, value));
    }

    /// As [`show`](Self::show), for an Envoy that needs a connection for it.
    pub(crate) fn show_through(&self, filter: Filter, levels: Levels) {
        self.tell(levels, |counter, by| filter.count(counter, by), |gauge, value| filter.set_gauge(gauge, value));
    }

    fn tell(&self, levels: Levels, count: impl Fn(usize, u64), set: impl Fn(usize, u64)) {
        for Deferred { id, more } in [&self.policy_reloads, &self.policy_errors] {
            count(*id, more.swap(0, Ordering::Relaxed));
        }
        count(self.log_lost, levels.log_lost);
        set(self.policy_generation, levels.policy_generation);
        set(self.policy_age, levels.policy_age);
        set(self.policy_hash, levels.policy_hash);
        set(self.policy_bad, levels.policy_bad.into());
        set(self.break_glass, levels.break_glass.into());
        set(self.held_bytes, levels.held_bytes);
    }
}

/// Labels that have metrics of their own; five for each.
const MAX_LABELS: usize = 1000;
/// The name of what came later. Labels are names of Kubernetes, which have no `_`.
const OTHER: &str = "_other";
