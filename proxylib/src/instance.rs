//! One listener: its protocol, policy, log and limits.

use std::sync::Arc;
use std::time::Duration;

use portcullis_policy::PolicyStore;
use serde::Deserialize;

use crate::connection::{Accepted, Connection};
use crate::jobs::Executor;
use crate::limits::{Budget, Limits};
use crate::log::{Entry, Log, Status};
use crate::meta::Meta;
use crate::parser::Listen;

/// What the connections of one listener have in common.
pub struct Instance {
    /// The protocol, configured.
    pub protocol: Box<dyn Listen>,
    /// The policy in force.
    pub policy: Arc<PolicyStore>,
    /// The access log.
    pub log: Log,
    /// What becomes of a connection whose bytes cannot be framed.
    pub on_parse_error: OnParseError,
    /// The bounds of each connection.
    pub limits: Limits,
    /// The bytes that all connections of the process may hold together.
    pub budget: Arc<Budget>,
    /// The time since any fixed moment, where the host tells it.
    pub clock: Option<Clock>,
    /// Threads for long judgements, where the host has them and can wake a connection.
    pub executor: Option<Arc<dyn Executor>>,
}

/// Tells the time since some fixed moment. Never goes back.
pub type Clock = fn() -> Duration;

/// What becomes of a connection whose bytes are not what the protocol allows.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum OnParseError {
    /// It closes.
    #[default]
    Close,
    /// It is logged once, and nothing on it is judged from there on. For trying out a policy: whoever sends such bytes
    /// passes by it.
    Passthrough,
}

/// The protocol's own veto: the connection must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the protocol refuses the connection")]
pub struct Refused;

impl Instance {
    /// Opens a connection.
    ///
    /// # Errors
    /// The protocol refuses it, or panicked. The access log says so.
    pub fn open(self: &Arc<Self>, meta: Meta) -> Result<Connection, Refused> {
        Ok(self.accept(&meta)?.connect(Arc::clone(self), meta))
    }

    /// Opens a connection in two steps: this one is all that is needed before the first byte.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn accept(&self, meta: &Meta) -> Result<Accepted, Refused> {
        let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.protocol.open(meta)));
        match opened {
            Ok(Some(parser)) => Ok(Accepted::new(parser)),
            Ok(None) => self.refuse(meta, "the protocol refuses the connection"),
            Err(payload) => {
                // The payload may panic when it is dropped.
                std::mem::forget(payload);
                self.refuse(meta, "the parser panicked when it was made")
            }
        }
    }

    fn refuse(&self, meta: &Meta, reason: &str) -> Result<Accepted, Refused> {
        self.log_error(meta, reason);
        Err(Refused)
    }

    pub(crate) fn log_error(&self, meta: &Meta, reason: &str) {
        let Some(sink) = self.log.wants(Status::Error) else { return };
        let generation = self.policy.load().generation();
        let protocol = self.log.protocol();
        sink.record(&Entry { status: Status::Error, protocol, meta, rule: None, reason, generation, fields: None });
    }
}
