//! The core alone as a host: no proxy, no I/O.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use portcullis_policy::{CompileOptions, Identity, KnownBy, Labels, PolicyStore, Snapshot, Source, Traffic};

use super::{Cut, Host, Observed, Scenario, Step};
use crate::datapath::{Datapath, Effects};
use crate::instance::Instance;
use crate::limits::{Budget, Time};
use crate::log::{Entry, Level, Log, Sink, write_json};
use crate::meta::Meta;
use crate::registry::Registry;
use crate::verdict::Direction;

/// Plays scenarios on a [`Datapath`].
pub struct CoreHost {
    registry: Registry,
}

/// Keeps the access log in memory, as lines of JSON.
#[derive(Debug, Default)]
pub struct Recorder(Mutex<Vec<u8>>);

impl Recorder {
    /// The lines so far.
    pub fn lines(&self) -> Vec<serde_json::Value> {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bytes.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }
}

impl Sink for Recorder {
    fn record(&self, entry: &Entry<'_>) {
        write_json(entry, SystemTime::UNIX_EPOCH, &mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl CoreHost {
    /// A host with these protocols.
    pub const fn new(registry: Registry) -> Self {
        Self { registry }
    }

    /// The listener that a scenario describes.
    ///
    /// # Errors
    /// The protocol is unknown, its configuration unreadable, or the policy does not compile.
    pub fn instance(&self, scenario: &Scenario, recorder: &Arc<Recorder>) -> Result<Instance, String> {
        let protocol = self.registry.find(&scenario.protocol).ok_or("unknown protocol")?;
        let text = scenario.policy_text();
        let sources = [Source::new("scenario", text.as_bytes())];
        let options = CompileOptions { l7proto: Some(protocol.name()), ..CompileOptions::default() };
        let compiled = Snapshot::compile(&sources, &self.registry, &options).map_err(|errors| errors.to_string())?;
        let policy = Arc::new(PolicyStore::default());
        policy.store(compiled.snapshot);
        let sink: Arc<dyn Sink> = Arc::<Recorder>::clone(recorder);
        Ok(Instance {
            protocol: protocol.listen(&scenario.config).map_err(|error| error.to_string())?,
            policy,
            log: Log::new(protocol.name(), Level::Responses, sink),
            on_parse_error: scenario.on_parse_error,
            limits: scenario.limits,
            budget: Budget::new(scenario.limits.held_bytes),
            clock: None,
            executor: None,
        })
    }
}

impl Scenario {
    /// The connection as a host would describe it.
    ///
    /// # Errors
    /// Labels that cannot be.
    pub fn meta(&self) -> Result<Meta, String> {
        let labels = |map: &BTreeMap<String, String>| Labels::new(map.clone()).map_err(|error| error.to_string());
        let known = |labels| Identity { labels, known_by: KnownBy::Address, ..Identity::default() };
        Ok(Meta {
            id: 1,
            traffic: if self.egress { Traffic::Egress } else { Traffic::Ingress },
            endpoint: labels(&self.endpoint)?,
            endpoint_id: 0,
            remote: if self.remote.is_empty() { Identity::unknown(None) } else { known(labels(&self.remote)?) },
            port: self.port,
            source: None,
            destination: None,
        })
    }
}

impl Host for CoreHost {
    fn play(&mut self, scenario: &Scenario, cut: Cut) -> Result<Observed, String> {
        let recorder = Arc::new(Recorder::default());
        let instance = Arc::new(self.instance(scenario, &recorder)?);
        let budget = Arc::clone(&instance.budget);
        let mut seen = Observed::default();
        match instance.open(scenario.meta()?) {
            Ok(connection) => {
                let mut datapath = Datapath::new(connection);
                for step in &scenario.steps {
                    play_step(&mut datapath, step, cut, &mut seen);
                }
                datapath.close();
            }
            Err(_refused) => seen.closed = Some("portcullis_refused".to_owned()),
        }
        if budget.held() != 0 {
            return Err(format!("{} bytes of the budget were not given back", budget.held()));
        }
        seen.log = recorder.lines();
        Ok(seen)
    }
}

fn play_step(datapath: &mut Datapath, step: &Step, cut: Cut, seen: &mut Observed) {
    let none = Vec::new();
    let (direction, bytes, end) = match step {
        Step::Client(bytes) => (Direction::Orig, &bytes.0, false),
        Step::Server(bytes) => (Direction::Reply, &bytes.0, false),
        Step::ClientEnd(()) => (Direction::Orig, &none, true),
        Step::ServerEnd(()) => (Direction::Reply, &none, true),
    };
    for pieces in cut.apply(bytes) {
        if seen.closed.is_some() {
            return;
        }
        let effects = datapath.receive(direction, &pieces, end, Time(0));
        let mut resume = apply(&effects, direction, &pieces, seen);
        while resume && seen.closed.is_none() {
            resume = apply(&datapath.resume(Time(0)), Direction::Orig, &[], seen);
        }
    }
}

/// Does what a host does with the effects of an event. Returns whether it must resume.
fn apply(effects: &Effects<'_>, direction: Direction, pieces: &[&[u8]], seen: &mut Observed) -> bool {
    let input = pieces.concat();
    let passed = input.get(..effects.passed).unwrap_or_default();
    match direction {
        Direction::Orig => seen.to_server.extend_from_slice(passed),
        Direction::Reply => seen.to_client.extend_from_slice(passed),
    }
    seen.to_server.extend_from_slice(effects.to_server);
    seen.to_client.extend_from_slice(effects.to_client);
    if let Some(kind) = effects.close {
        seen.closed.get_or_insert_with(|| kind.as_str().to_owned());
    }
    effects.resume
}
