//! One listener: what the host was told of it, the policy in force, and who may be behind an address.

use std::cell::Cell;
use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use portcullis_policy::{
    CompileOptions, Compiled, Documents, Identities, Identity, Labels, PolicyErrors, Snapshot, Source, Traffic,
};
use portcullis_proxylib::{Budget, Connection, Entry, Instance, Log, Meta, Registry, Sink, Status, Time, write_json};

use crate::abi;
use crate::config::{Endpoint, ListenerConfig, TlsIdentity};
use crate::peer;
use crate::stats::Stats;

/// What the connections of a listener share.
pub(crate) struct Listener {
    pub(crate) instance: Arc<Instance>,
    pub(crate) stats: Stats,
    pub(crate) protocol: &'static str,
    /// Whether it is an HTTP filter, or else a network filter.
    pub(crate) is_http: bool,
    tls_identity: TlsIdentity,
    /// Whether there is an access log.
    logs: bool,
    port: Option<u16>,
    traffic: Traffic,
    /// The labels of the endpoint, where they are the same for all connections.
    endpoint: Option<Labels>,
    identities: Identities,
}

/// Why a client is not let in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TurnedAway {
    /// The reason as hosts report it.
    pub(crate) name: &'static str,
    pub(crate) text: &'static str,
}

const ANONYMOUS: TurnedAway =
    TurnedAway { name: "portcullis_no_certificate", text: "the client has shown no certificate that names it" };
const REFUSED: TurnedAway = TurnedAway { name: "portcullis_refused", text: "the protocol refuses the connection" };

impl Listener {
    /// Makes a listener of what the host was told. Where it takes the place of another one, open connections of that get the
    /// new policy.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub(crate) fn open(registry: &'static Registry, text: &[u8], before: Option<&Self>) -> Result<Self, PolicyErrors> {
        let config = ListenerConfig::read(text)?;
        let fault = |field: &str, message: String| PolicyErrors::from(ListenerConfig::fault(text, field, message));
        let Some(protocol) = registry.find(&config.protocol) else {
            let names = registry.iter().map(|protocol| protocol.name()).collect::<Vec<_>>().join("`, `");
            let message = format!("unknown protocol `{}`; known are `{names}`", config.protocol.escape_debug());
            return Err(fault("protocol", message));
        };
        let listen = protocol.listen(&config.protocol_config);
        let listen = listen.map_err(|error| fault("protocolConfig", error.to_string()))?;
        let source = Source::new("configuration policy.inline", config.policy.inline.as_bytes());
        let options = CompileOptions { default: config.default.into(), l7proto: Some(protocol.name()) };
        let Compiled { snapshot, warnings } = Snapshot::compile(&[source], registry, &options)?;
        let identities = match &config.identities {
            Some(text) => Identities::load("configuration identities.inline", text.inline.as_bytes())?,
            None => Identities::default(),
        };
        let labels: Vec<_> = snapshot.documents().iter().flat_map(Documents::labels).cloned().collect();
        let Ok(stats) = Stats::define(protocol.name(), &labels) else {
            return Err(fault("protocol", "the host does not let its metrics be defined".to_owned()));
        };

        // From here on nothing can fail: the policy is put in force.
        let same = before.filter(|before| before.protocol == protocol.name());
        let policy = same.map_or_else(Arc::default, |before| Arc::clone(&before.instance.policy));
        let generation = policy.store(snapshot);
        stats.show_generation(generation);
        abi::log(abi::LOG_INFO, &format!("policy generation {generation} is in force"));
        for warning in warnings {
            abi::log(abi::LOG_WARN, &one_line(warning));
        }
        let log = match &config.access_log {
            Some(log) => Log::new(protocol.name(), log.level, Arc::new(HostLog)),
            None => Log::off(protocol.name()),
        };
        Ok(Self {
            instance: Arc::new(Instance {
                protocol: listen,
                policy,
                log,
                on_parse_error: config.on_parse_error,
                limits: config.limits,
                budget: Budget::new(config.limits.held_bytes),
                clock: Some(clock),
                executor: None,
            }),
            stats,
            protocol: protocol.name(),
            is_http: protocol.is_http(),
            tls_identity: config.tls_identity,
            logs: config.access_log.is_some(),
            port: config.port,
            traffic: config.direction.into(),
            endpoint: match config.endpoint {
                Endpoint::Lookup => None,
                Endpoint::Labels(labels) => Some(labels),
            },
            identities,
        })
    }

    /// Opens the connection at hand. `id` is the host's number for it, where it tells none of its own.
    ///
    /// # Errors
    /// The client has no certificate where it must, or the protocol refuses it.
    pub(crate) fn connect(&self, id: u32) -> Result<Connection, TurnedAway> {
        let meta = self.describe(id);
        let certificate = match self.tls_identity {
            TlsIdentity::Off => Ok(None),
            // Without a certificate a client would slip past all that is denied to it by name.
            TlsIdentity::Required => peer::certificate().and_then(|known| known.ok_or(abi::Refused)).map(Some),
            TlsIdentity::Optional => peer::certificate(),
        };
        let meta = match certificate {
            Ok(Some(certificate)) => Meta { remote: meta.remote.clone().with_certificate(certificate), ..meta },
            Ok(None) => meta,
            Err(abi::Refused) => {
                self.note_anonymous(&meta);
                return Err(ANONYMOUS);
            }
        };
        let mut connection = self.instance.open(meta).map_err(|_refused| REFUSED)?;
        connection.forbid_waiting();
        Ok(connection)
    }

    /// Shows how much is held.
    pub(crate) fn show_held(&self) {
        self.stats.show_held(self.instance.budget.held());
    }

    fn note_anonymous(&self, meta: &Meta) {
        self.stats.count_error();
        if !self.logs {
            return;
        }
        HostLog.record(&Entry {
            status: Status::Error,
            protocol: self.protocol,
            meta,
            rule: None,
            reason: ANONYMOUS.text,
            generation: self.instance.policy.load().generation(),
            fields: None,
        });
    }

    fn describe(&self, id: u32) -> Meta {
        let (source, destination) = (address(&["source", "address"]), address(&["destination", "address"]));
        let (own, remote) = match self.traffic {
            Traffic::Ingress => (destination, source),
            Traffic::Egress => (source, destination),
        };
        let identify = |side: Option<SocketAddr>| match side {
            Some(address) => self.identities.identify(address.ip()),
            None => Identity::unknown(None),
        };
        let number =
            abi::property(&["connection", "id"]).and_then(|bytes| Some(u64::from_le_bytes(*bytes.first_chunk()?)));
        Meta {
            id: number.unwrap_or(id.into()),
            traffic: self.traffic,
            endpoint: self.endpoint.clone().unwrap_or_else(|| identify(own).labels),
            endpoint_id: 0,
            remote: identify(remote),
            // No policy speaks of port 0.
            port: self.port.or(destination.map(|address| address.port())).unwrap_or(0),
            source,
            destination,
        }
    }
}

/// Writes the access log into the host's.
struct HostLog;

impl Sink for HostLog {
    fn record(&self, entry: &Entry<'_>) {
        let mut line = Vec::new();
        write_json(entry, UNIX_EPOCH + abi::time(), &mut line);
        // Whoever logs no more than warnings sees all that was denied.
        let level = match entry.status {
            Status::Forwarded | Status::Reply => abi::LOG_INFO,
            Status::Audited | Status::Denied | Status::Error => abi::LOG_WARN,
        };
        if let Ok(line) = str::from_utf8(&line) {
            abi::log(level, line.trim_end());
        }
    }
}

/// Logs each error in a line of its own.
pub(crate) fn log_errors(errors: &PolicyErrors) {
    for error in &errors.errors {
        abi::log(abi::LOG_ERROR, &one_line(error));
    }
    if errors.omitted > 0 {
        abi::log(abi::LOG_ERROR, &format!("and {} more errors", errors.omitted));
    }
}

/// The time as the datapath counts it.
pub(crate) fn now() -> Time {
    Time(u64::try_from(clock().as_millis()).unwrap_or(u64::MAX))
}

/// The host tells only the time of day, which may be set back: this one never goes back.
fn clock() -> Duration {
    thread_local! {
        static LATEST: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }
    let now = abi::time();
    LATEST.with(|latest| {
        latest.set(latest.get().max(now));
        latest.get()
    })
}

fn address(path: &[&str]) -> Option<SocketAddr> {
    str::from_utf8(&abi::property(path)?).ok()?.parse().ok()
}

fn one_line(text: impl Display) -> String {
    text.to_string().replace('\n', " ")
}
