//! One listener: what Envoy was told of it, the policy in force, and who may be behind an address.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use portcullis_policy::{
    Change, DefaultVerdict, Documents, Identities, Identity, Labels, NodeError, Place, PolicyErrors, PolicyStore,
    Reload, RuleId, Status, Traffic, Warning, Watch,
};
use portcullis_proxylib::{Connection, Entry, Instance, Log, Meta, Registry, Sink, Target};

use crate::config::{Endpoint, ListenerConfig, Start, TlsIdentity};
use crate::envoy::{Config, Filter};
use crate::policies::Policies;
use crate::process::{self, SharedLog};
use crate::stats::{Levels, Stats};
use crate::waker::Waker;
use crate::{abi, envoy, pool};

/// What the connections of a listener share.
pub(crate) struct Listener {
    pub(crate) instance: Arc<Instance>,
    pub(crate) stats: Stats,
    envoy: Config,
    protocol: &'static str,
    port: Option<u16>,
    traffic: Traffic,
    /// The labels of the endpoint, where they are the same for all connections.
    endpoint: Option<Labels>,
    default: DefaultVerdict,
    /// Whether clients may or must show a certificate.
    tls_identity: TlsIdentity,
    identities: ArcSwap<Identities>,
    /// How it stood with the policies when their files were last looked at.
    status: ArcSwap<Status>,
    log: Option<Arc<SharedLog>>,
    /// All connections, and some that have ended since these were last looked through.
    connections: Mutex<Vec<Weak<Waker>>>,
}

/// Files that are read again when they change.
pub(crate) struct Watches {
    policies: Policies,
    identities: Option<Watch>,
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

        let policy = Arc::new(PolicyStore::default());
        let mut watches = Watches {
            policies: Policies::new(&config, registry),
            identities: config.identities.as_ref().map(|path| Watch::new([path])),
        };
        let mut done = Vec::new();
        for event in watches.policies.poll(&policy, SystemTime::now()) {
            match event {
                Reload::Refused(errors) if config.policy.start == Start::Refuse => return Err(errors),
                event => done.push(event),
            }
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
        let labels: Vec<_> = policy.load().documents().iter().flat_map(Documents::labels).cloned().collect();
        let Some(stats) = Stats::define(envoy, protocol.name(), &labels) else {
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
            clock: Some(process::clock),
            executor: Some(pool::pool()),
        };
        let listener = Self {
            instance: Arc::new(instance),
            stats,
            envoy,
            protocol: protocol.name(),
            port: config.port,
            traffic: config.direction.into(),
            endpoint: match config.endpoint {
                Endpoint::Lookup => None,
                Endpoint::Labels(labels) => Some(labels),
            },
            default: config.default.into(),
            tls_identity: config.tls_identity,
            identities: ArcSwap::from_pointee(known),
            status: ArcSwap::from_pointee(watches.policies.status().clone()),
            log,
            connections: Mutex::default(),
        };
        done.into_iter().for_each(|event| listener.tell(event));
        Ok((listener, watches))
    }

    /// Opens a connection. To be asked once something was read from it or written to it, when the two sides are known.
    ///
    /// # Errors
    /// Why Envoy must close it.
    pub(crate) fn connect(&self, filter: Filter) -> Result<Connection, &'static str> {
        let meta = self.describe(filter);
        // Without a certificate a client would slip past all that is denied to it by name.
        if self.tls_identity == TlsIdentity::Required && meta.remote.certificate().is_none() {
            self.stats.count_error(filter);
            if let Some(log) = &self.log {
                log.record(&Entry {
                    status: portcullis_proxylib::Status::Error,
                    protocol: self.protocol,
                    meta: &meta,
                    rule: None,
                    reason: "the client has shown no certificate that names it",
                    generation: self.instance.policy.load().generation(),
                    fields: None,
                });
            }
            return Err("portcullis_no_certificate");
        }
        self.instance.open(meta).map_err(|_refused| "portcullis_refused")
    }

    fn describe(&self, filter: Filter) -> Meta {
        let (source, destination) = (filter.source(), filter.destination());
        let (own, remote) = match self.traffic {
            Traffic::Ingress => (destination, source),
            Traffic::Egress => (source, destination),
        };
        let identities = self.identities.load();
        let identify = |side: Option<SocketAddr>| match side {
            Some(address) => identities.identify(address.ip()),
            None => Identity::unknown(None),
        };
        let certificate = if self.tls_identity == TlsIdentity::Off { None } else { filter.certificate() };
        Meta {
            id: filter.connection_id(),
            traffic: self.traffic,
            endpoint: self.endpoint.clone().unwrap_or_else(|| identify(own).labels),
            endpoint_id: 0,
            remote: match certificate {
                Some(certificate) => identify(remote).with_certificate(certificate),
                None => identify(remote),
            },
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
        let done = watches.policies.poll(&self.instance.policy, now);
        if **self.status.load() != *watches.policies.status() {
            self.status.store(Arc::new(watches.policies.status().clone()));
        }
        done.into_iter().for_each(|event| self.tell(event));
        watches.policies.write_status(now);
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
        let status = self.status.load();
        let age = |since| SystemTime::now().duration_since(since).map_or(0, |age| age.as_secs());
        let levels = || Levels {
            policy_generation: self.instance.policy.load().generation(),
            policy_age: status.since.map_or(0, age),
            // Not more digits than a reader's floating-point number has.
            policy_hash: status.hash >> 32,
            policy_bad: status.error.is_some(),
            break_glass: self.instance.policy.load().is_glass_broken(),
            held_bytes: u64::try_from(self.instance.budget.held()).unwrap_or(u64::MAX),
            log_lost: self.log.as_ref().map_or(0, |log| log.take_lost()),
        };
        match (self.envoy.metrics(), filter) {
            (Some(metrics), None) => self.stats.show(metrics, levels()),
            (None, Some(filter)) => self.stats.show_through(filter, levels()),
            _ => {}
        }
    }

    /// Says what has become of the policies.
    fn tell(&self, event: Reload) {
        match event {
            Reload::Applied { generation, warnings } => self.applied(generation, &warnings),
            Reload::Held { generation, warnings, namespaces, errors } => {
                self.applied(generation, &warnings);
                self.keep(&format!("policies of the namespaces `{}`", namespaces.join("`, `")), &errors);
            }
            Reload::Refused(errors) => self.keep("policy", &errors),
            // As an error, so that who logs nothing else sees it.
            Reload::GlassBroken { generation, order } => envoy::log(
                abi::LOG_ERROR,
                &format!("AUDIT: the glass is broken, {}; policy generation {generation}", one_line(order)),
            ),
            Reload::GlassMended { generation } => envoy::log(
                abi::LOG_WARN,
                &format!("the glass is mended: policy is enforced again; policy generation {generation}"),
            ),
            Reload::GlassRefused(errors) => {
                self.stats.note_error();
                log_errors("ignoring the break-glass file: ", &errors);
            }
        }
    }

    fn applied(&self, generation: u64, warnings: &[Warning]) {
        // The first one is no reload.
        if generation > 1 {
            self.stats.note_reload();
        }
        envoy::log(abi::LOG_INFO, &format!("policy generation {generation} is in force"));
        for warning in warnings {
            envoy::log(abi::LOG_WARN, &one_line(warning));
        }
        let policy = self.instance.policy.load();
        let direction = match self.traffic {
            Traffic::Ingress => "ingress",
            Traffic::Egress => "egress",
        };
        let nobody = match &self.endpoint {
            Some(labels) if !policy.selects(labels, self.traffic) => {
                format!("no policy selects the endpoint `{labels}` for {direction}")
            }
            None if policy.rule(RuleId::nth(0)).is_none() => "no policy has a rule".to_owned(),
            _ => return,
        };
        let all = match self.default {
            DefaultVerdict::Deny => "everything is denied",
            DefaultVerdict::Allow => "everything passes, as `default` is `allow`",
        };
        envoy::log(abi::LOG_WARN, &format!("{nobody}: {all}"));
    }

    fn keep(&self, what: &str, errors: &PolicyErrors) {
        self.stats.note_error();
        match self.instance.policy.load().generation() {
            0 => log_errors("nothing passes until this is mended: ", errors),
            _ => log_errors(&format!("keeping the {what} in force: "), errors),
        }
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
