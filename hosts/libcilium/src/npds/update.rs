//! One response of the agent: all of its policies come into force, or none.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use portcullis_policy::{PolicyErrors, Protocols, Snapshot};
use prost::Message;

use super::TYPE_URL;
use super::read::{check_addresses, quote, translate};
use super::wire::{Any, DiscoveryResponse, NetworkPolicy};
use crate::policies::Policies;

/// The policies that were accepted last, and what they were compiled to.
#[derive(Debug, Default)]
pub(super) struct Accepted {
    /// By the first address of the endpoint.
    endpoints: HashMap<String, Endpoint>,
}

#[derive(Clone, Debug)]
struct Endpoint {
    policy: Arc<NetworkPolicy>,
    snapshot: Arc<Snapshot>,
    unenforceable: usize,
}

/// What has come into force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Applied {
    /// Endpoints that the agent speaks of.
    pub(super) endpoints: usize,
    /// Ports that are closed because nobody can enforce what is said of them.
    pub(super) unenforceable: usize,
}

/// Why nothing has come into force.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// What is wrong, for the agent.
    Invalid(String),
    /// The client was told to stop.
    Stopped,
}

impl Accepted {
    /// Compiles what has changed, and then puts all of it in force.
    ///
    /// # Errors
    /// Something in it is malformed: nothing has changed.
    pub(super) fn update(
        &mut self,
        response: &DiscoveryResponse,
        protocols: &dyn Protocols,
        policies: &Policies,
        stop: &AtomicBool,
    ) -> Result<Applied, Refused> {
        let mut endpoints = HashMap::with_capacity(response.resources.len());
        let mut by_address = HashMap::with_capacity(response.resources.len());
        let mut faults = Faults::default();
        for (at, resource) in response.resources.iter().enumerate() {
            if stop.load(Ordering::Relaxed) {
                return Err(Refused::Stopped);
            }
            let endpoint = match self.compile(at, resource, protocols) {
                Ok(endpoint) => endpoint,
                Err(fault) => {
                    faults.add(fault);
                    continue;
                }
            };
            // Of two policies for one address, the last one counts.
            for address in &endpoint.policy.endpoint_ips {
                by_address.insert(address.clone(), Arc::clone(&endpoint.snapshot));
            }
            if let Some(first) = endpoint.policy.endpoint_ips.first() {
                endpoints.insert(first.clone(), endpoint);
            }
        }
        faults.finish().map_err(Refused::Invalid)?;
        policies.apply(by_address);
        self.endpoints = endpoints;
        let unenforceable = self.endpoints.values().map(|endpoint| endpoint.unenforceable).sum();
        Ok(Applied { endpoints: self.endpoints.len(), unenforceable })
    }

    fn compile(&self, at: usize, resource: &Any, protocols: &dyn Protocols) -> Result<Endpoint, String> {
        let Any { type_url, value } = resource;
        if type_url != TYPE_URL {
            return Err(format!("resource {at}: `{}` is not `{TYPE_URL}`", quote(type_url)));
        }
        let policy = NetworkPolicy::decode(value.clone()).map_err(|error| format!("resource {at}: {error}"))?;
        let name = name_of(&policy);
        check_addresses(&policy.endpoint_ips).map_err(|error| format!("{name}: {error}"))?;
        let known = policy.endpoint_ips.first().and_then(|first| self.endpoints.get(first));
        if let Some(known) = known.filter(|known| *known.policy == policy) {
            return Ok(known.clone());
        }
        let translation = translate(&name, &policy, protocols).map_err(|error| format!("{name}: {error}"))?;
        let snapshot = Snapshot::compile_ports(translation.policy, protocols).map_err(in_one_line)?;
        for port in &translation.unenforceable {
            tracing::warn!(endpoint = %name, "nothing passes at a port whose policy cannot be enforced here: {port}");
        }
        let unenforceable = translation.unenforceable.len();
        Ok(Endpoint { policy: Arc::new(policy), snapshot: Arc::new(snapshot), unenforceable })
    }
}

/// `endpoint 1234 (10.0.0.1, fd00::1)`.
fn name_of(policy: &NetworkPolicy) -> String {
    let addresses: Vec<_> = policy.endpoint_ips.iter().take(2).map(|address| quote(address)).collect();
    format!("endpoint {} ({})", policy.endpoint_id, addresses.join(", "))
}

fn in_one_line(errors: PolicyErrors) -> String {
    let mut faults = Faults::default();
    errors.errors.iter().for_each(|error| faults.add(error.to_string()));
    faults.more = faults.more.saturating_add(errors.omitted);
    faults.finish().err().unwrap_or_default()
}

/// What is wrong with an update, as much of it as a message should hold.
#[derive(Default)]
struct Faults {
    shown: Vec<String>,
    more: usize,
}

impl Faults {
    fn add(&mut self, fault: String) {
        if self.shown.len() < MAX_FAULTS {
            self.shown.push(cut(fault));
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    fn finish(self) -> Result<(), String> {
        let mut text = self.shown.join("; ");
        if self.more > 0 {
            text.push_str(&format!("; and {} more", self.more));
        }
        if text.is_empty() { Ok(()) } else { Err(text) }
    }
}

fn cut(text: String) -> String {
    match text.char_indices().nth(MAX_FAULT) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// Faults that one refusal names: the agent logs it as one line.
const MAX_FAULTS: usize = 8;
/// Characters of one of them. Those of one policy are joined before.
const MAX_FAULT: usize = 1024;
