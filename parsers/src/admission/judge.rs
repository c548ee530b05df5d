//! What a judgement of a review comes to, and who makes it. Nothing here knows of HTTP.

use std::borrow::Cow;
use std::time::Instant;

use super::review::Review;

/// Judges reviews: a hook's rules, or an engine for a policy language.
pub trait Judge: Send + Sync {
    /// What becomes of a review. Never panics for anything that a review can hold. What takes long ends soon after `until`.
    fn judge(&self, review: &Review<'_>, until: Option<Instant>) -> Outcome;

    /// What becomes of a review whose judgement was lost or came too late, and why.
    fn excuse(&self, why: &str) -> Outcome;

    /// Whether judging may take longer than a worker thread should be held: it is then done on a thread of its own.
    fn takes_long(&self) -> bool {
        false
    }
}

/// What a judgement came to: all that the answer and the decision log tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Whether the request may go on.
    pub verdict: Verdict,
    /// What the client is told.
    pub message: Cow<'static, str>,
    /// `status.reason`, which kubectl prints in parentheses; empty is none.
    pub reason: Cow<'static, str>,
    /// `status.code` of a denial; 0 is 403.
    pub code: u16,
    /// What the client is warned of, whatever the verdict.
    pub warnings: Vec<String>,
    /// What the API server's audit log gets.
    pub audit_annotations: Vec<(String, String)>,
    /// The changes, as a JSON Patch (RFC 6902).
    pub patch: Option<Vec<u8>>,
    /// Which rule decided, as the log names it: `decide[2]`.
    pub decided_by: Cow<'static, str>,
}

/// Whether a request may go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Allow,
    /// It may, as the hook only watches: it would have been denied.
    Watched,
    /// It may not.
    #[default]
    Deny,
    /// It could not be judged, and is denied for that.
    Error,
    /// It could not be judged, and may go on all the same, as the hook says.
    Excused,
}

impl Verdict {
    /// Whether the request may go on.
    pub const fn allows(self) -> bool {
        matches!(self, Self::Allow | Self::Watched | Self::Excused)
    }
}
