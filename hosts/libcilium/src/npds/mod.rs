//! The policies as the node's agent tells them: network policy discovery over its unix socket.
//!
//! # What the agent's words mean
//!
//! Where the library in Go that this one replaces and the C++ side of Cilium's Envoy differ, the C++ side is followed: it is
//! what decides whether a connection gets here. Names of functions are those of `cilium/network_policy.cc`.
//!
//! | | meaning | source |
//! |---|---|---|
//! | `port`, `end_port` | one port, or from the one to the other; `port` 0 is every port | `PortNetworkPolicy` |
//! | entries that overlap, 0 among them | their rules count together, whichever is the more exact | `PortNetworkPolicy`, `findPortRules` |
//! | UDP entries | none of our business | `PortNetworkPolicy` |
//! | no entry | denied | `PortPolicy::allowed` |
//! | an entry without rules | a rule of precedence 0 that allows everything | `forEachRule`, `addDefaultAllowRule` |
//! | `remote_policies` | the peers by security id, the source's for ingress and the destination's for egress; empty is every peer | `getVerdict` |
//! | `precedence` | the highest first; a rule that does not match leaves it to the next | `sort`, `forEachRule` |
//! | `deny` | on its precedence it comes before all that allow | `sort` |
//! | `pass_precedence` | go on below it; before that, what denies or allows on the rule's own precedence counts | `prepareRuntimePasses` |
//! | `pass_precedence: 0`, said as such | denied; C++ takes it for an allow, which nobody can have meant | `PortNetworkPolicyRule` |
//! | `l7_deny_rules` | what matches is denied; on its precedence, whatever other rules allow it (C++ goes by the order of the list) | `getVerdict` with metadata |
//! | `l7_allow_rules` | what matches is allowed; empty or absent: whatever is not denied | `getVerdict` with metadata |
//! | `rule` | keys and values as the parser reads them; empty matches every request | |
//! | TLS contexts, `server_names` | enforced before a connection gets here, not looked at | `getVerdict` with SNI |
//! | `http_rules`, `l7_proto: envoy.*` | enforced by filters of Envoy; a connection with a parser at such a port is denied | |
//! | `proxy_id` | for one listener of Envoy, and which one a connection comes from we are not told: such a rule grants only what its `l7_allow_rules` match | `getVerdict` |
//!
//! # What is accepted, refused, and closed
//!
//! A response comes into force as a whole or not at all. It is refused, with the place and what is wrong, if anything in it
//! is malformed: another type, no or more than two `endpoint_ips` or an empty one, ports above 65535 or a range that ends
//! before it begins or begins with 0, a protocol that is neither TCP nor UDP, two TCP entries for the same ports, two of our
//! parsers on one port, a `pass_precedence` above the rule's own precedence or not that of others that it meets, and items
//! that the parser cannot read: unknown keys, bad patterns, values that do not exist.
//!
//! What is well formed and can be enforced by nobody here closes its port: `kafka_rules`, an unknown `l7_proto`,
//! `l7_rules` without a parser, `metadata_rule` for one of our parsers, our parser and a filter of Envoy's on one port. The
//! rest of the update comes into force. Such ports are logged, and counted in [`Status`].
//!
//! Endpoints that a response does not speak of deny everything. An endpoint whose policy is the same as before keeps its
//! snapshot, and with it its generation: its connections look nothing up anew. While the agent is away, what it said last
//! stays in force.

mod backoff;
mod client;
mod read;
mod update;
#[rustfmt::skip]
#[allow(missing_docs, unreachable_pub, clippy::doc_markdown, reason = "made from `proto/npds.proto`")]
pub mod wire;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use portcullis_proxylib::Registry;
use tokio::sync::Notify;

use crate::policies::Policies;
use client::Client;

/// What resources and requests are about.
pub const TYPE_URL: &str = "type.googleapis.com/cilium.NetworkPolicy";
/// The method that is called.
pub const METHOD: &str = "/cilium.NetworkPolicyDiscoveryService/StreamNetworkPolicies";

/// A client of the agent's policy service, on a thread of its own. It ends when this is dropped.
#[derive(Debug)]
pub struct Npds {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What has happened so far, and how it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Streams that the agent answered on.
    pub streams: u64,
    /// Attempts that failed, and streams that ended.
    pub lost: u64,
    /// Responses that came into force.
    pub accepted: u64,
    /// Responses that were refused.
    pub refused: u64,
    /// Panics that were caught.
    pub panics: u64,
    /// Endpoints that the policy in force speaks of.
    pub endpoints: u64,
    /// Ports in it that are closed because nobody here can enforce what is said of them.
    pub unenforceable_ports: u64,
}

/// What the client's thread and the rest of the process both see.
#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    /// Wakes a session.
    stopped: Notify,
    progress: Mutex<Progress>,
    /// Wakes whoever waits for progress.
    moved: Condvar,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Progress {
    stopping: bool,
    /// The first attempt has come to something.
    first: bool,
}

#[derive(Debug, Default)]
struct Counters {
    streams: AtomicU64,
    lost: AtomicU64,
    accepted: AtomicU64,
    refused: AtomicU64,
    panics: AtomicU64,
    endpoints: AtomicU64,
    unenforceable_ports: AtomicU64,
}

impl Npds {
    /// Starts the client. It asks the agent that listens at `xds_path` until it is stopped; whether there is one yet does
    /// not matter.
    ///
    /// # Errors
    /// The thread cannot be made.
    pub fn start(
        xds_path: &str,
        node_id: &str,
        policies: Arc<Policies>,
        registry: &'static Registry,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let client = Client::new(xds_path, node_id, policies, registry, Arc::clone(&shared));
        let thread = std::thread::Builder::new().name(THREAD_NAME.to_owned()).spawn(move || client.run())?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Returns when a first answer was dealt with, or the first attempt has failed, or the client was stopped, or the time
    /// is over.
    pub fn wait_first(&self, at_most: Duration) {
        let waiting = |progress: &mut Progress| !progress.first && !progress.stopping;
        drop(self.shared.moved.wait_timeout_while(self.shared.lock(), at_most, waiting));
    }

    /// Ends the client, whatever it waits for, and its thread with it. What is in force stays in force.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.lock().stopping = true;
        self.shared.moved.notify_all();
        self.shared.stopped.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // It catches its panics.
        drop(thread.map(JoinHandle::join));
    }

    /// How it stands.
    pub fn status(&self) -> Status {
        let Counters { streams, lost, accepted, refused, panics, endpoints, unenforceable_ports } =
            &self.shared.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Status {
            streams: read(streams),
            lost: read(lost),
            accepted: read(accepted),
            refused: read(refused),
            panics: read(panics),
            endpoints: read(endpoints),
            unenforceable_ports: read(unenforceable_ports),
        }
    }
}

impl Drop for Npds {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// The first attempt has come to something.
    fn end_first(&self) {
        let mut progress = self.lock();
        if !progress.first {
            progress.first = true;
            self.moved.notify_all();
        }
    }

    /// Waits, unless the client is told to stop.
    fn pause(&self, time: Duration) {
        drop(self.moved.wait_timeout_while(self.lock(), time, |progress| !progress.stopping));
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// At most 15 characters, as Linux keeps no more.
const THREAD_NAME: &str = "portcullis-npds";
