//! Policies as the agent tells them, over its socket.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod anything;
mod kv;
mod meaning;
mod parsers;
mod reference;
mod refused;
mod stream;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_libcilium::npds::wire::{DiscoveryRequest, DiscoveryResponse};
use portcullis_libcilium::npds::{Npds, Status};
use portcullis_libcilium::policies::Policies;
use portcullis_libcilium::testing::{Agent, Event, response};
use portcullis_policy::{PolicyStore, Traffic};

/// A client and where its agent is, or would be.
struct Node {
    // Dropped first: it must end whatever else is there.
    npds: Npds,
    policies: Arc<Policies>,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Node {
    /// A client without an agent.
    fn alone() -> Self {
        Self::at(tempfile::tempdir().unwrap())
    }

    fn at(folder: tempfile::TempDir) -> Self {
        let path = folder.path().join("xds.sock");
        let policies = Arc::new(Policies::new());
        let npds = Npds::start(path.to_str().unwrap(), "host~1~test~x", Arc::clone(&policies), &kv::REGISTRY).unwrap();
        Self { npds, policies, path, _folder: folder }
    }

    /// A client with its agent, which has heard the first request.
    fn with_agent() -> (Self, Agent, DiscoveryRequest) {
        let folder = tempfile::tempdir().unwrap();
        let agent = Agent::start(&folder.path().join("xds.sock"));
        let node = Self::at(folder);
        assert_eq!(agent.next(), Event::Opened);
        let Event::Request(first) = agent.next() else { panic!("a stream begins with a request") };
        (node, agent, first)
    }

    fn store(&self, address: &str) -> Arc<PolicyStore> {
        self.policies.of(address)
    }

    fn allows(&self, address: &str, port: u16, key: &str) -> bool {
        kv::allows(&self.store(address), Traffic::Ingress, port, 7, key)
    }

    /// Waits until it stands so.
    fn wait(&self, what: &str, until: impl Fn(Status) -> bool) {
        let begun = Instant::now();
        while !until(self.npds.status()) {
            assert!(begun.elapsed() < Duration::from_secs(60), "{what}: {:?}", self.npds.status());
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The reason of a refusal.
fn reason(request: &DiscoveryRequest) -> &str {
    request.error_detail.as_ref().map_or("", |detail| &detail.message)
}

/// A response of that version with one endpoint's ports.
fn ports(version: &str, ports: Vec<portcullis_libcilium::npds::wire::PortNetworkPolicy>) -> DiscoveryResponse {
    response(version, &[kv::endpoint("10.0.0.1", ports)])
}
