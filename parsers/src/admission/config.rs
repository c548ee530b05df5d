//! What a listener says of the protocol.

use serde::Deserialize;

/// What becomes of calls, and who may make them.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// Who answers.
    pub(super) mode: Mode,
    /// Who may call.
    pub(super) callers: CallersMode,
    /// The largest body.
    pub(super) max_body_bytes: MaxBody,
}

/// Who answers.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mode {
    /// The filter, always: there is no upstream.
    #[default]
    Answer,
    /// The filter where it denies, else the upstream.
    Guard,
    /// The upstream; the filter only compares.
    Shadow,
}

/// Who may call.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum CallersMode {
    /// Whoever shows a certificate that was verified, or a token that is listed.
    #[default]
    Authenticated,
    /// Whoever can connect.
    Anonymous,
}

/// Bytes of a body.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "u64")]
pub(super) struct MaxBody(pub(super) u64);

/// The API server takes 3 MiB from a client, and sends up to two such objects with what belongs to them.
const DEFAULT_BODY: u64 = 8 << 20;

/// Eight times that. Where larger objects are allowed, etcd does not store them.
const LARGEST_BODY: u64 = 64 << 20;

impl Default for MaxBody {
    fn default() -> Self {
        Self(DEFAULT_BODY)
    }
}

impl TryFrom<u64> for MaxBody {
    type Error = String;

    fn try_from(bytes: u64) -> Result<Self, String> {
        let right = (1..=LARGEST_BODY).contains(&bytes);
        right.then_some(Self(bytes)).ok_or_else(|| format!("`maxBodyBytes: {bytes}`: from 1 to {LARGEST_BODY}"))
    }
}
