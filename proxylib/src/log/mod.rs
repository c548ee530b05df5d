//! The access log: one record for each decision, for the operator who audits.

mod json;
#[cfg(test)]
mod tests;
mod writer;

use std::sync::Arc;

use portcullis_policy::{Decision, Describe, Mismatch, RuleInfo, Snapshot, View};
use serde::Deserialize;

use crate::meta::Meta;

pub use json::{MAX_ENTRY, write_json};
pub use writer::{AccessLog, Target};

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Denials, watched denials and errors.
    #[default]
    Denied,
    /// Also requests that pass.
    Requests,
    /// Also replies, where the protocol describes them.
    Responses,
}

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// A request passed.
    Forwarded,
    /// A request passed that a watched rule would deny.
    Audited,
    /// A request was denied.
    Denied,
    /// A reply passed.
    Reply,
    /// The connection was closed, or refused, for its bytes or for a fault of a parser.
    Error,
}

impl Status {
    /// The word in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded",
            Self::Audited => "audit",
            Self::Denied => "denied",
            Self::Reply => "reply",
            Self::Error => "error",
        }
    }

    const fn level(self) -> Level {
        match self {
            Self::Audited | Self::Denied | Self::Error => Level::Denied,
            Self::Forwarded => Level::Requests,
            Self::Reply => Level::Responses,
        }
    }
}

/// One record, borrowed from the data path.
pub struct Entry<'a> {
    /// What it is about.
    pub status: Status,
    /// The protocol's name.
    pub protocol: &'a str,
    /// The connection.
    pub meta: &'a Meta,
    /// The rule that decided, where one did.
    pub rule: Option<&'a RuleInfo>,
    /// Why, where no rule says it.
    pub reason: &'a str,
    /// The generation of the policy that decided; 0 before there was any.
    pub generation: u64,
    /// The request or reply.
    pub fields: Option<&'a dyn Describe>,
}

/// Takes records. It must not block.
pub trait Sink: Send + Sync {
    /// Takes one record.
    fn record(&self, entry: &Entry<'_>);

    /// Is shown the request that the last record of a request was about, if policy was asked: for tools that ask other
    /// policies about it.
    fn asked(&self, _request: &dyn Asked) {}
}

/// A request, for tools that ask policies about it.
pub trait Asked {
    /// What it shows of itself.
    fn fields(&self) -> &dyn Describe;
    /// What a policy says of it, for a connection with that view of it.
    fn judge(&self, snapshot: &Snapshot, view: &View) -> Decision;
    /// Why the rules of a policy do not match it, the nearest miss first.
    fn explain(&self, snapshot: &Snapshot, view: &View) -> Vec<Mismatch>;
}

/// The access log of one listener: where records go, and which.
#[derive(Clone)]
pub struct Log {
    protocol: &'static str,
    sink: Option<(Level, Arc<dyn Sink>)>,
}

impl Log {
    /// A log that writes nothing.
    pub const fn off(protocol: &'static str) -> Self {
        Self { protocol, sink: None }
    }

    /// A log of a protocol into a sink.
    pub fn new(protocol: &'static str, level: Level, sink: Arc<dyn Sink>) -> Self {
        Self { protocol, sink: Some((level, sink)) }
    }

    pub(crate) const fn protocol(&self) -> &'static str {
        self.protocol
    }

    /// The sink, if it is to have records of this status.
    pub(crate) fn wants(&self, status: Status) -> Option<&dyn Sink> {
        let (level, sink) = self.sink.as_ref()?;
        (status.level() <= *level).then_some(&**sink)
    }
}
