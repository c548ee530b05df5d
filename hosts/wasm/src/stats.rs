//! Counters and gauges. Their names are in the documentation of the crate.

use std::cell::Cell;

use portcullis_proxylib::Tally;

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
}

impl Stats {
    /// Defines the metrics of a listener.
    pub(crate) fn define(protocol: &str) -> Result<Self, Refused> {
        let define = |kind, name: &str| abi::define(kind, &format!("{NAMESPACE}.{protocol}.{name}"));
        let counter = |name: &str| define(Metric::Counter, name);
        let gauge = |name: &str| define(Metric::Gauge, name);
        Ok(Self {
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
