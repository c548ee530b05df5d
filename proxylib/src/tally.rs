//! What happened on a connection since its host last asked.

use std::sync::Arc;
use std::time::Duration;

use portcullis_policy::Decision;

use crate::log::Status;

/// Counts since the last [`take`](Self::take), and the last denial.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Requests that passed.
    pub forwarded: u64,
    /// Requests that were denied.
    pub denied: u64,
    /// Requests that passed although a rule that is only watched would deny them.
    pub audited: u64,
    /// Connections closed because their bytes are not what the protocol allows, or took too long or too much.
    pub errors: u64,
    /// Parsers that panicked.
    pub panics: u64,
    /// The last decision that was not to allow, and the generation of the policy that it is of: rule ids mean nothing in
    /// any other.
    pub last_denial: Option<(Decision, u64)>,
    /// Judgements that are counted by a name of their own.
    pub observed: Vec<Observed>,
}

/// A judgement that is counted by a name: one of the [`labels`](portcullis_policy::Documents::labels) of the documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The name.
    pub label: Arc<str>,
    /// What it came to.
    pub status: Status,
    /// How long it took, where the host tells the time.
    pub took: Option<Duration>,
}

impl Tally {
    /// The counts, starting anew.
    pub fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
