//! One listener: what Envoy was told of it, the policy in force, and who may be behind an address.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use portcullis_policy::{
    Change, CompileOptions, Compiled, DefaultVerdict, Identities, Identity, Labels, NodeError, Place, PolicyErrors,
    PolicyStore, RuleId, Snapshot, Source, Traffic, Watch,
};
use portcullis_proxylib::{ErasedProtocol, Instance, Log, Meta, Registry, Target};

use crate::config::{Endpoint, ListenerConfig};
use crate::envoy::{Config, Filter};
use crate::process::{self, SharedLog};
use crate::stats::{Levels, Stats};
use crate::waker::Waker;
use crate::{abi, envoy, pool};

/// What the connections of a listener share.
pub(crate) struct Listener {
    pub(crate) instance: Arc<Instance>,
    pub(crate) stats: Stats,
    envoy: Config,
    port: Option<u16>,
    identities: ArcSwap<Identities>,
    policies: Policies,
    log: Option<Arc<SharedLog>>,
    /// All connections, and some that have ended since these were last looked through.
    connections: Mutex<Vec<Weak<Waker>>>,
}

/// Files that are read again when they change.
pub(crate) struct Watches {
    policies: Watch,
    identities: Option<Watch>,
}

/// Where the policy comes from, and what it is compiled for.
struct Policies {
    registry: &'static Registry,
    protocol: &'static dyn ErasedProtocol,
    inline: Option<String>,
    default: DefaultVerdict,
    traffic: Traffic,
    /// The labels of the endpoint, where they are the same for all connections.
    endpoint: Option<Labels>,
}

impl Listener {
    /// Makes a listener of what Envoy was told.
    ///
    /// # Errors
    /// All that is wrong with it, one line for each.
    pub(crate) fn open(
        registry: &'static Registry,
        envoy: Config,
        text: &[u8],
    ) -> Result<(Self, Watches), PolicyErrors> {
        let config = ListenerConfig::read(text)?;
        let fault = |field: &str, message: String| PolicyErrors::from(ListenerConfig::fault(text, field, message));
        let Some(protocol) = registry.find(&config.protocol) else {
            let names = registry.iter().map(|protocol| protocol.name()).collect::<Vec<_>>().join("`, `");
            let message = format!("unknown protocol `{}`; known are `{names}`", config.protocol.escape_debug());
            return Err(fault("protocol", message));
        };
        let listen = protocol.listen(&config.protocol_config);
        let listen = listen.map_err(|error| fault("protocolConfig", error.to_string()))?;

        let policies = Policies {
            registry,
            protocol,
            inline: config.policy.inline,
            default: config.default.into(),
            traffic: config.direction.into(),
            endpoint: match config.endpoint {
                Endpoint::Lookup => None,
                Endpoint::Labels(labels) => Some(labels),
            },
        };
        let mut watches = Watches {
            policies: Watch::new(config.policy.files.into_iter().chain(config.policy.directory)),
            identities: config.identities.map(|path| Watch::new([path])),
        };
        let policy = Arc::new(PolicyStore::default());
        if let Some(change) = watches.policies.poll(SystemTime::now()) {
            policy.store(policies.compile(change)?);
        }
        let known = match watches.identities.as_mut().and_then(|watch| watch.poll(SystemTime::now())) {
            Some(change) => load_identities(change)?,
            None => Identities::default(),
        };

        let log = match &config.access_log {
            Some(log) => Some(process::access_log(Target::named(&log.path)).map_err(|error| {
                fault("accessLog", format!("`{}` cannot be opened: {error}", log.path.escape_debug()))
            })?),
            None => None,
        };
        let sink = log.as_ref().zip(config.access_log.as_ref()).map_or_else(
            || Log::off(protocol.name()),
            |(log, config)| Log::new(protocol.name(), config.level, Arc::<SharedLog>::clone(log)),
        );
        let Some(stats) = Stats::define(envoy, protocol.name()) else {
            return Err(fault("protocol", "Envoy does not let its metrics be defined".to_owned()));
        };
        let budget = process::budget(config.limits.held_bytes);
        let instance = Instance {
            protocol: listen,
            policy,
            log: sink,
            on_parse_error: config.on_parse_error,
            limits: config.limits,
            budget,
            executor: Some(pool::pool()),
        };
        let listener = Self {
            instance: Arc::new(instance),
            stats,
            envoy,
            port: config.port,
            identities: ArcSwap::from_pointee(known),
            policies,
            log,
            connections: Mutex::default(),
        };
        Ok((listener, watches))
    }

    /// Describes a connection. To be asked once something was read from it or written to it, when the two sides are known.
    pub(crate) fn describe(&self, filter: Filter) -> Meta {
        let (source, destination) = (filter.source(), filter.destination());
        let (own, remote) = match self.policies.traffic {
            Traffic::Ingress => (destination, source),
            Traffic::Egress => (source, destination),
        };
        let identities = self.identities.load();
        let identify = |side: Option<SocketAddr>| match side {
            Some(address) => identities.identify(address.ip()),
            None => Identity::unknown(None),
        };
        Meta {
            id: filter.connection_id(),
            traffic: self.policies.traffic,
            endpoint: self.policies.endpoint.clone().unwrap_or_else(|| identify(own).labels),
            remote: identify(remote),
            // No policy speaks of port 0.
            port: self.port.or(destination.map(|address| address.port())).unwrap_or(0),
            source,
            destination,
        }
    }

    /// Has a connection's deadline watched.
    pub(crate) fn watch(&self, waker: &Arc<Waker>) {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(waker));
    }

    /// Calls the connections that are overdue.
    pub(crate) fn sweep(&self) {
        let now = process::now();
        // Workers that open a connection meanwhile do not wait for us.
        let mut watched = std::mem::take(&mut *self.connections.lock().unwrap_or_else(PoisonError::into_inner));
        watched.retain(|waker| {
            waker.upgrade().is_some_and(|waker| {
                waker.check(now);
                true
            })
        });
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        watched.append(&mut connections);
        *connections = watched;
    }

    /// Puts in force what has changed in the files. What cannot be used changes nothing, and is said once.
    pub(crate) fn reload(&self, watches: &mut Watches) {
        let now = SystemTime::now();
        if let Some(change) = watches.policies.poll(now) {
            match self.policies.compile(change) {
                Ok(snapshot) => {
                    let generation = self.instance.policy.store(snapshot);
                    self.stats.note_reload();
                    envoy::log(abi::LOG_INFO, &format!("policy generation {generation} is in force"));
                }
                Err(errors) => self.keep("policy", &errors),
            }
        }
        if let Some(change) = watches.identities.as_mut().and_then(|watch| watch.poll(now)) {
            match load_identities(change) {
                Ok(identities) => {
                    let count = identities.len();
                    self.identities.store(Arc::new(identities));
                    envoy::log(abi::LOG_INFO, &format!("the labels of {count} addresses and networks are in force"));
                }
                Err(errors) => self.keep("identities", &errors),
            }
        }
    }

    /// Shows the levels of the moment in the metrics: without a connection where Envoy can do that, else through one.
    pub(crate) fn show(&self, filter: Option<Filter>) {
        let levels = || Levels {
            policy_generation: self.instance.policy.load().generation(),
            held_bytes: u64::try_from(self.instance.budget.held()).unwrap_or(u64::MAX),
            log_lost: self.log.as_ref().map_or(0, |log| log.take_lost()),
        };
        match (self.envoy.metrics(), filter) {
            (Some(metrics), None) => self.stats.show(metrics, levels()),
            (None, Some(filter)) => self.stats.show_through(filter, levels()),
            _ => {}
        }
    }

    fn keep(&self, what: &str, errors: &PolicyErrors) {
        self.stats.note_error();
        log_errors(&format!("keeping the {what} in force: "), errors);
    }
}

impl Policies {
    fn compile(&self, change: Change) -> Result<Snapshot, PolicyErrors> {
        let mut sources = change.sources?;
        sources.extend(self.inline.as_ref().map(|text| Source::new("filter_config policy.inline", text.as_bytes())));
        let options = CompileOptions { default: self.default, l7proto: Some(self.protocol.name()) };
        let Compiled { snapshot, warnings, .. } = Snapshot::compile(&sources, self.registry, &options)?;
        for warning in warnings {
            envoy::log(abi::LOG_WARN, &one_line(warning));
        }
        let nobody = match &self.endpoint {
            Some(labels) if !snapshot.selects(labels, self.traffic) => {
                Some(format!("no policy selects the endpoint `{labels}`"))
            }
            None if snapshot.rule(RuleId::nth(0)).is_none() => Some("no policy has a rule".to_owned()),
            _ => None,
        };
        if let Some(nobody) = nobody {
            envoy::log(abi::LOG_WARN, &format!("{nobody}: `default` decides alone"));
        }
        Ok(snapshot)
    }
}

fn load_identities(change: Change) -> Result<Identities, PolicyErrors> {
    match &change.sources?[..] {
        [source] => Identities::load(&source.name, &source.text),
        _ => Err(NodeError::new(&Place::whole("identities"), "", "wanted one file, not a directory").into()),
    }
}

/// Logs each error in a line of its own.
pub(crate) fn log_errors(before: &str, errors: &PolicyErrors) {
    for error in &errors.errors {
        envoy::log(abi::LOG_ERROR, &format!("{before}{}", one_line(error)));
    }
    if errors.omitted > 0 {
        envoy::log(abi::LOG_ERROR, &format!("{before}and {} more errors", errors.omitted));
    }
}

fn one_line(text: impl Display) -> String {
    text.to_string().replace('\n', " ")
}
