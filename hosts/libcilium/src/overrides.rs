//! What a test says of the connections of an instance that the C ABI has no words for.

use std::sync::Arc;

use portcullis_policy::{Identity, KnownBy, Labels};
use portcullis_proxylib::{Instance, Limits, Log, Meta, OnParseError, Sink};

use crate::log::LEVEL;
use crate::modules;
use crate::policies::Policies;

/// What the connections of an instance have.
pub struct Overrides {
    /// What the listener says of the protocol.
    pub config: serde_json::Value,
    /// Bounds of each connection.
    pub limits: Limits,
    /// What becomes of a connection whose bytes cannot be framed.
    pub on_parse_error: OnParseError,
    /// The labels of the endpoint.
    pub endpoint: Labels,
    /// The labels of the other side, where it is known.
    pub remote: Option<Labels>,
    /// Takes the access log.
    pub sink: Arc<dyn Sink>,
}

/// Says it of an open instance, before its first connection, and hands out its policies.
///
/// # Panics
/// The instance is not open, or it was said before.
#[expect(clippy::expect_used, reason = "for tests")]
pub fn install(module_id: u64, overrides: Overrides) -> Arc<Policies> {
    let module = modules::find(module_id).expect("an open instance");
    assert!(module.overrides.set(overrides).is_ok(), "said before");
    Arc::clone(&module.policies)
}

/// Bytes that the connections of the process hold.
pub fn held() -> usize {
    modules::budget().held()
}

/// Servers that something is kept for.
pub fn sites() -> usize {
    crate::sites::count()
}

impl Overrides {
    pub(crate) fn apply(&self, instance: Instance, protocol: &'static str) -> Instance {
        Instance {
            log: Log::new(protocol, LEVEL, Arc::clone(&self.sink)),
            on_parse_error: self.on_parse_error,
            limits: self.limits,
            ..instance
        }
    }

    pub(crate) fn describe(&self, meta: Meta) -> Meta {
        let remote = match &self.remote {
            Some(labels) => Identity { labels: labels.clone(), known_by: KnownBy::Address, ..meta.remote },
            None => Identity { id: meta.remote.id, ..Identity::unknown(meta.remote.address) },
        };
        Meta { endpoint: self.endpoint.clone(), remote, ..meta }
    }
}
