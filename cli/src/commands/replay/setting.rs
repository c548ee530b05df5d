//! Where traffic is judged: the protocol, the port, the endpoint, and who is who.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::ValueEnum;
use portcullis_policy::{Identities, Identity, KnownBy, Labels, PolicyStore, Snapshot, Traffic};
use portcullis_proxylib::{Budget, Instance, Level, Limits, Log, Meta, OnParseError, Sink};

use crate::capture::{Flow, Kind};
use crate::commands::find_protocol;
use crate::exit::Usage;

/// What stands in for a listener's configuration.
#[derive(clap::Args)]
pub(crate) struct Setting {
    /// The server's port in the capture. For bytes without packets, the port that policies speak of.
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,
    /// A file of identities: which address has which labels.
    #[arg(long, value_name = "FILE")]
    pub(crate) identities: Option<PathBuf>,
    /// The labels of the endpoint that policies protect, as `key=value,key=value`. Else they are looked up by its address.
    #[arg(long, value_name = "LABELS")]
    pub(crate) endpoint: Option<String>,
    /// Which way connections go, seen from that endpoint.
    #[arg(long, value_name = "WAY", default_value = "ingress")]
    pub(crate) direction: Way,
    /// The labels of the peer, as `key=value,key=value`, for bytes without packets. Else it is `reserved:world`.
    #[arg(long, value_name = "LABELS")]
    pub(crate) remote: Option<String>,
    /// What the listener says of the protocol (`protocolConfig`), as JSON.
    #[arg(long, value_name = "JSON")]
    pub(crate) protocol_config: Option<String>,
    /// What the file holds. Else its first bytes tell.
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<Kind>,
}

/// Which way connections go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Way {
    /// Towards the endpoint.
    Ingress,
    /// From the endpoint.
    Egress,
}

impl From<Way> for Traffic {
    fn from(way: Way) -> Self {
        match way {
            Way::Ingress => Self::Ingress,
            Way::Egress => Self::Egress,
        }
    }
}

/// Who is who.
pub(crate) struct Who {
    identities: Identities,
    endpoint: Option<Labels>,
    remote: Option<Labels>,
    traffic: Traffic,
}

impl Setting {
    /// Reads who is who.
    pub(crate) fn who(&self) -> anyhow::Result<Who> {
        let identities = match &self.identities {
            Some(path) => {
                let name = path.display().to_string();
                let text = std::fs::read(path).with_context(|| format!("`{name}` cannot be read"))?;
                Identities::load(&name, &text)?
            }
            None => Identities::default(),
        };
        let labels = |text: &Option<String>| text.as_deref().map(parse_labels).transpose();
        let (endpoint, remote) = (labels(&self.endpoint)?, labels(&self.remote)?);
        Ok(Who { identities, endpoint, remote, traffic: self.direction.into() })
    }

    /// A listener whose log goes to `sink`, under a policy in force.
    pub(crate) fn instance(
        &self,
        protocol: &str,
        snapshot: Snapshot,
        sink: Arc<dyn Sink>,
    ) -> anyhow::Result<Arc<Instance>> {
        let protocol = find_protocol(protocol)?;
        let config = match &self.protocol_config {
            Some(text) => serde_json::from_str(text)
                .map_err(|error| Usage(format!("`--protocol-config` is not JSON: {error}")))?,
            None => serde_json::Value::Null,
        };
        let listen = protocol
            .listen(&config)
            .map_err(|error| Usage(format!("`--protocol-config` is not for `{}`: {error}", protocol.name())))?;
        let policy = PolicyStore::default();
        policy.store(snapshot);
        let limits = Limits::default();
        Ok(Arc::new(Instance {
            protocol: listen,
            policy: Arc::new(policy),
            log: Log::new(protocol.name(), Level::Requests, sink),
            on_parse_error: OnParseError::Close,
            limits,
            budget: Budget::new(limits.held_bytes),
            clock: None,
            executor: None,
        }))
    }
}

impl Who {
    /// What a listener knows of a connection.
    pub(crate) fn meta(&self, flow: &Flow) -> Meta {
        let (ours, theirs) = match self.traffic {
            Traffic::Ingress => (flow.server, flow.client),
            Traffic::Egress => (flow.client, flow.server),
        };
        let endpoint = self.endpoint.clone().unwrap_or_else(|| self.identify(ours.ip()).labels);
        let remote = match &self.remote {
            Some(labels) => Identity { labels: labels.clone(), known_by: KnownBy::Address, ..Identity::unknown(None) },
            None => self.identify(theirs.ip()),
        };
        Meta {
            id: flow.number,
            traffic: self.traffic,
            endpoint,
            endpoint_id: 0,
            remote,
            port: flow.server.port(),
            source: Some(flow.client),
            destination: Some(flow.server),
        }
    }

    fn identify(&self, address: IpAddr) -> Identity {
        if address.is_unspecified() {
            Identity::unknown(None)
        } else {
            self.identities.identify(address.to_canonical())
        }
    }
}

/// Reads `key=value,key=value`.
pub(crate) fn parse_labels(text: &str) -> anyhow::Result<Labels> {
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    Labels::new(pairs).map_err(|error| Usage(format!("`{text}`: {error}")).into())
}

/// A peer for people: its certificate's name, its labels, or its address where nothing else is known.
pub(crate) fn name_of(identity: &Identity) -> String {
    if let Some(certificate) = identity.certificate() {
        return certificate.to_string();
    }
    let labels: Vec<_> = identity.labels.iter().map(ToString::to_string).collect();
    match (identity.address, &identity.known_by) {
        (Some(address), KnownBy::Nothing) => format!("{address} ({})", labels.join(",")),
        _ => labels.join(","),
    }
}
