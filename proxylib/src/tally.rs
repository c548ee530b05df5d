//! What happened on a connection since its host last asked.

use portcullis_policy::Decision;

/// Counts since the last [`take`](Self::take), and the last denial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
