//! Counters and gauges. Their names are in the documentation of the crate.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use portcullis_proxylib::{Observed, Status, Tally};

use crate::abi::{self, Metric, Refused};

/// What names begin with, as they do below the native module's `metrics_namespace` in the samples.
const NAMESPACE: &str = "portcullis";

/// The metrics of one listener, by the host's ids.
#[derive(Debug)]
pub(crate) struct Stats {
    forwarded: u32,
    denied: u32,
    audit: u32,
    errors: u32,
    panics: u32,
    connections: u32,
    connections_active: u32,
    policy_generation: u32,
    held_bytes: u32,
    /// What the last one shows of this VM: the host sums up over all of them.
    held_shown: Cell<i64>,
    /// By the labels of the documents.
    judged: HashMap<Arc<str>, Judged>,
    /// What has no label of its own.
    judged_other: Option<Judged>,
}

/// The metrics of what is counted by a name.
#[derive(Debug)]
struct Judged {
    forwarded: u32,
    denied: u32,
    audit: u32,
    errors: u32,
    microseconds: u32,
}

/// Labels that have metrics of their own; five for each.
const MAX_LABELS: usize = 1000;
/// The name of what is beyond them. Labels are names of Kubernetes, which have no `_`.
const OTHER: &str = "_other";

impl Stats {
    /// Defines the metrics of a listener.
    pub(crate) fn define(protocol: &str, labels: &[Arc<str>]) -> Result<Self, Refused> {
        let define = |kind, name: &str| abi::define(kind, &format!("{NAMESPACE}.{protocol}.{name}"));
        let counter = |name: &str| define(Metric::Counter, name);
        let gauge = |name: &str| define(Metric::Gauge, name);
        let judged = |label: &str| {
            let counter = |what: &str| counter(&format!("judged.{label}.{what}"));
            Ok(Judged {
                forwarded: counter("forwarded")?,
                denied: counter("denied")?,
                audit: counter("audit")?,
                errors: counter("errors")?,
                microseconds: define(Metric::Histogram, &format!("judged.{label}.microseconds"))?,
            })
        };
        let by_label = labels.iter().take(MAX_LABELS).map(|label| Ok((Arc::clone(label), judged(label)?)));
        Ok(Self {
            judged: by_label.collect::<Result<_, Refused>>()?,
            judged_other: if labels.is_empty() { None } else { Some(judged(OTHER)?) },
            forwarded: counter("forwarded.requests")?,
            denied: counter("denied.requests")?,
            audit: counter("audit.requests")?,
            errors: counter("errors")?,
            panics: counter("panics")?,
            connections: counter("connections")?,
            connections_active: gauge("connections_active")?,
            policy_generation: gauge("policy_generation")?,
            held_bytes: gauge("held_bytes")?,
            held_shown: Cell::new(0),
        })
    }

    pub(crate) fn opened(&self) {
        abi::add(self.connections, 1);
        abi::add(self.connections_active, 1);
    }

    pub(crate) fn closed(&self) {
        abi::add(self.connections_active, -1);
    }

    pub(crate) fn count(&self, tally: &Tally) {
        let counts = [
            (self.forwarded, tally.forwarded),
            (self.denied, tally.denied),
            (self.audit, tally.audited),
            (self.errors, tally.errors),
            (self.panics, tally.panics),
        ];
        for (counter, count) in counts {
            if count > 0 {
                abi::add(counter, i64::try_from(count).unwrap_or(i64::MAX));
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
            abi::add(counter, 1);
            if let Some(took) = took {
                abi::record(judged.microseconds, u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
            }
        }
    }

    /// Counts a connection that was turned away.
    pub(crate) fn count_error(&self) {
        abi::add(self.errors, 1);
    }

    pub(crate) fn show_generation(&self, generation: u64) {
        abi::record(self.policy_generation, generation);
    }

    pub(crate) fn show_held(&self, held: usize) {
        let held = i64::try_from(held).unwrap_or(i64::MAX);
        let more = held.saturating_sub(self.held_shown.replace(held));
        if more != 0 {
            abi::add(self.held_bytes, more);
        }
    }
}
