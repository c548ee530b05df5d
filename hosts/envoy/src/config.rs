//! What Envoy's configuration says of a listener.

use std::path::PathBuf;

use portcullis_policy::{DefaultVerdict, Dialect, Labels, Node, NodeError, Place, Traffic, Value};
use portcullis_proxylib::{Level, Limits, OnParseError};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// What errors call the text that Envoy hands over.
const FILE: &str = "filter_config";

/// The `filter_config` of a listener: JSON in a `StringValue`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct ListenerConfig {
    /// A protocol of the registry.
    pub(crate) protocol: String,
    /// What the protocol lets a listener say.
    #[serde(default)]
    pub(crate) protocol_config: serde_json::Value,
    pub(crate) policy: PolicyConfig,
    /// Whom the policy protects.
    pub(crate) endpoint: Endpoint,
    pub(crate) direction: Direction,
    /// The destination port as policies name it; else the one of the connection.
    pub(crate) port: Option<u16>,
    /// The identities file.
    pub(crate) identities: Option<PathBuf>,
    /// Who the client is, its certificate says. Only of a certificate that Envoy was told to verify.
    #[serde(default)]
    pub(crate) tls_identity: TlsIdentity,
    /// The file that turns all denials by policy into audits for a time.
    pub(crate) break_glass: Option<PathBuf>,
    /// Where it is written how it stands with the policies.
    pub(crate) status_file: Option<PathBuf>,
    #[serde(default)]
    pub(crate) default: Otherwise,
    /// What becomes of a connection whose bytes cannot be framed.
    #[serde(default)]
    pub(crate) on_parse_error: OnParseError,
    #[serde(default)]
    pub(crate) limits: Limits,
    pub(crate) access_log: Option<AccessLogConfig>,
}

/// Where policies come from; all of them count together.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct PolicyConfig {
    #[serde(default)]
    pub(crate) files: Vec<PathBuf>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) inline: Option<String>,
    pub(crate) isolate: Option<Isolate>,
    #[serde(default)]
    pub(crate) start: Start,
}

/// What a bad file holds back besides itself, if it is not everything.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Isolate {
    Namespace,
}

/// What becomes of a listener whose first policies cannot be used.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Start {
    /// Envoy refuses it.
    #[default]
    Refuse,
    /// It denies everything until they are mended.
    Deny,
}

/// The endpoint that a connection is judged for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Endpoint {
    /// The one that the identities file names for the connection's own address: for a proxy of a whole node.
    Lookup,
    /// Always this one: for a sidecar.
    Labels(Labels),
}

/// Whether a certificate says who the client is: `true`, `false`, or `optional`.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(try_from = "BoolOrText")]
pub(crate) enum TlsIdentity {
    #[default]
    Off,
    /// Whoever shows none is nobody by name.
    Optional,
    /// Whoever shows none is turned away.
    Required,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "wanted `true`, `false` or \"optional\"")]
enum BoolOrText {
    Bool(bool),
    Text(String),
}

impl TryFrom<BoolOrText> for TlsIdentity {
    type Error = String;

    fn try_from(value: BoolOrText) -> Result<Self, String> {
        match value {
            BoolOrText::Bool(false) => Ok(Self::Off),
            BoolOrText::Bool(true) => Ok(Self::Required),
            BoolOrText::Text(text) if text == "optional" => Ok(Self::Optional),
            BoolOrText::Text(text) => {
                Err(format!("unknown value `{}`; wanted `true`, `false` or \"optional\"", text.escape_debug()))
            }
        }
    }
}

/// Which way the connections of a listener go, seen from the endpoint.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Direction {
    Ingress,
    Egress,
}

/// What becomes of endpoints that no policy selects.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Otherwise {
    #[default]
    Deny,
    Allow,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct AccessLogConfig {
    /// `stderr` or a file.
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) level: Level,
}

impl ListenerConfig {
    /// Reads what Envoy hands over.
    ///
    /// # Errors
    /// Where it is not JSON, or not what a listener can be told.
    pub(crate) fn read(text: &[u8]) -> Result<Self, NodeError> {
        // The reader of policies knows the places of things, and takes YAML too; here only JSON is meant.
        if let Err(error) = serde_json::from_slice::<IgnoredAny>(text) {
            let message = if text.is_empty() {
                "empty; wanted a `StringValue` with JSON".to_owned()
            } else {
                format!("not JSON: {error}")
            };
            return Err(NodeError::new(&Place::whole(FILE), "", message));
        }
        let documents = Node::load(FILE, text)?;
        let [document @ Node { value: Value::Map(_), .. }] = &documents[..] else {
            return Err(NodeError::new(&Place::whole(FILE), "", "wanted one JSON object"));
        };
        let config: Self = document.read(Dialect::Strict)?;
        let fault = |field: &str, message: &str| Err(NodeError::new(place_of(document, field), field, message));
        let PolicyConfig { files, directory, inline, .. } = &config.policy;
        if files.is_empty() && directory.is_none() && inline.is_none() {
            return fault("policy", "names no policy; give `files`, `directory` or `inline`");
        }
        if matches!(config.endpoint, Endpoint::Lookup) && config.identities.is_none() {
            return fault("endpoint", "`lookup` needs an `identities` file to look in");
        }
        if config.tls_identity != TlsIdentity::Off && matches!(config.direction, Direction::Egress) {
            return fault("tlsIdentity", "the certificate is the client's, who is not the remote side of `egress`");
        }
        Ok(config)
    }

    /// An error about a field, with its place.
    pub(crate) fn fault(text: &[u8], field: &str, message: impl Into<String>) -> NodeError {
        let documents = Node::load(FILE, text).unwrap_or_default();
        let whole = Place::whole(FILE);
        let place = documents.first().map_or(&whole, |document| place_of(document, field));
        NodeError::new(place, field, message)
    }
}

fn place_of<'n>(document: &'n Node, field: &str) -> &'n Place {
    match &document.value {
        Value::Map(entries) => entries.iter().find(|entry| entry.key == field).map(|entry| &entry.place),
        _ => None,
    }
    .unwrap_or(&document.place)
}

impl From<Direction> for Traffic {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Ingress => Self::Ingress,
            Direction::Egress => Self::Egress,
        }
    }
}

impl From<Otherwise> for DefaultVerdict {
    fn from(default: Otherwise) -> Self {
        match default {
            Otherwise::Deny => Self::Deny,
            Otherwise::Allow => Self::Allow,
        }
    }
}
