//! What the plugin's configuration says of a listener.

use portcullis_policy::{DefaultVerdict, Dialect, Labels, Node, NodeError, Place, Traffic, Value};
use portcullis_proxylib::{Level, Limits, OnParseError};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// What errors call the text that the host hands over.
const FILE: &str = "configuration";

/// The configuration of a listener: JSON as text.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct ListenerConfig {
    /// A protocol of the registry.
    pub(crate) protocol: String,
    /// What the protocol lets a listener say.
    #[serde(default)]
    pub(crate) protocol_config: serde_json::Value,
    pub(crate) policy: Inline,
    /// Whom the policy protects.
    pub(crate) endpoint: Endpoint,
    pub(crate) direction: Direction,
    /// The destination port as policies name it; else the one of the connection.
    pub(crate) port: Option<u16>,
    /// What an identities file would say.
    pub(crate) identities: Option<Inline>,
    /// Who the client is, its certificate says. Only of a certificate that the host was told to verify.
    #[serde(default)]
    pub(crate) tls_identity: TlsIdentity,
    #[serde(default)]
    pub(crate) default: Otherwise,
    #[serde(default)]
    pub(crate) on_parse_error: OnParseError,
    #[serde(default)]
    pub(crate) limits: Limits,
    pub(crate) access_log: Option<AccessLogConfig>,
}

/// Text in its place: a module has no files.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Inline {
    pub(crate) inline: String,
}

/// The endpoint that a connection is judged for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Endpoint {
    /// The one that the identities name for the connection's own address.
    Lookup,
    /// Always this one.
    Labels(Labels),
}

/// Which way the connections of a listener go, seen from the endpoint.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Direction {
    Ingress,
    Egress,
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
    #[serde(default)]
    pub(crate) level: Level,
}

impl ListenerConfig {
    /// Reads what the host hands over.
    ///
    /// # Errors
    /// Where it is not JSON, or not what a listener can be told here.
    pub(crate) fn read(text: &[u8]) -> Result<Self, NodeError> {
        // The reader of policies knows the places of things, and takes YAML too; here only JSON is meant.
        if let Err(error) = serde_json::from_slice::<IgnoredAny>(text) {
            let message = if text.is_empty() {
                "empty; wanted a `StringValue` with JSON".to_owned()
            } else {
                format!("not JSON: {error}; wanted a `StringValue` with JSON, no `Struct`")
            };
            return Err(NodeError::new(&Place::whole(FILE), "", message));
        }
        let documents = Node::load(FILE, text)?;
        let [document @ Node { value: Value::Map(_), .. }] = &documents[..] else {
            return Err(NodeError::new(&Place::whole(FILE), "", "wanted one JSON object"));
        };
        let config: Self = document.read(Dialect::Strict)?;
        if matches!(config.endpoint, Endpoint::Lookup) && config.identities.is_none() {
            return Err(Self::fault(text, "endpoint", "`lookup` needs `identities` to look in"));
        }
        if config.tls_identity != TlsIdentity::Off && config.direction == Direction::Egress {
            let message = "the certificate is the client's, who is not the remote side of `egress`";
            return Err(Self::fault(text, "tlsIdentity", message));
        }
        if config.on_parse_error == OnParseError::Passthrough {
            let message = "a proxy-wasm host has no `passthrough`: replies to requests that stood in for denied ones would pass too";
            return Err(Self::fault(text, "onParseError", message));
        }
        Ok(config)
    }

    /// An error about a field, with its place.
    pub(crate) fn fault(text: &[u8], field: &str, message: impl Into<String>) -> NodeError {
        let documents = Node::load(FILE, text).unwrap_or_default();
        let whole = Place::whole(FILE);
        let document = documents.first();
        let entry = document.and_then(|document| match &document.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == field).map(|entry| &entry.place),
            _ => None,
        });
        NodeError::new(entry.or(document.map(|document| &document.place)).unwrap_or(&whole), field, message)
    }
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
