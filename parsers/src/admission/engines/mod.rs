//! Policy engines behind hooks: what judges a review instead of a hook's own rules.
//!
//! ```text
//! documents -> Libraries (templates, constraints, policies, modules, data)
//! hook: {gatekeeper: {}} ---------> Engine -> evaluate(review, until) -> Ruling -> the hook's mode and onError -> Outcome
//! ```
//!
//! Each engine is a folder and a feature. None of them is known to the data path: a hook with an engine takes long, so that it
//! is asked on a thread of its own, and what it cannot judge is for the hook's `onError`.

#[cfg(feature = "rego")]
pub mod gatekeeper;
#[cfg(feature = "javascript")]
pub mod javascript;
mod libraries;
#[cfg(feature = "cel")]
pub mod policies;
#[cfg(feature = "rego")]
pub mod rego;

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, Instant};

use super::review::Review;
pub use libraries::Libraries;
pub(in crate::admission) use libraries::{KINDS, NAMES, Named};

/// How long an engine may take where the API server would wait longer. Kubernetes gives its own policies less; what takes
/// longer than this is held to be a fault of the policy.
pub const MAX_TIME: Duration = Duration::from_millis(500);

/// Judges reviews by policies in a language of their own.
pub trait Engine: Send + Sync + fmt::Debug {
    /// What its policies say of a review. Never panics for anything that a review can hold, and ends soon after `until`.
    ///
    /// # Errors
    /// A policy cannot be evaluated, or takes more time or memory than it may.
    fn evaluate(&self, review: &Review<'_>, until: Instant) -> Result<Ruling, EngineError>;
}

/// What policies say of a review.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruling {
    /// The denial, if there is one.
    pub denial: Option<Denial>,
    /// What the client is warned of.
    pub warnings: Vec<String>,
    /// What the API server's audit log gets.
    pub audit_annotations: Vec<(String, String)>,
    /// The changes, as a JSON Patch (RFC 6902).
    pub patch: Option<Vec<u8>>,
    /// Which policies decided, as the log names them: `K8sRequiredLabels/ns-must-have-hr`.
    pub decided_by: Cow<'static, str>,
}

/// What a denial tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Denial {
    /// `status.message`; empty is none.
    pub message: String,
    /// `status.reason`; empty is none.
    pub reason: String,
    /// `status.code`; 0 is 403.
    pub code: u16,
}

/// Why there is no ruling: the policy at fault, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineError(pub String);

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
