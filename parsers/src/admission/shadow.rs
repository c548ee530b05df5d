//! What an upstream answers, compared with what the hooks would have: the way to move over from another webhook.

use std::borrow::Cow;
use std::sync::Arc;

use portcullis_policy::{Describe, Fields};
use portcullis_proxylib::Context;

use super::json::Tape;
use super::rule::Rules;

/// Bytes of an answer of the upstream that are kept for the comparison. The patch of an object can be as long as the object.
pub(super) const MAX_ANSWER: usize = 2 << 20;

/// What the hook would have answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Expected {
    pub(super) hook: Arc<str>,
    pub(super) uid: String,
    pub(super) allowed: bool,
    pub(super) patched: bool,
    /// What decided.
    pub(super) decided_by: Cow<'static, str>,
}

/// What the upstream answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Answered {
    /// The status code.
    pub(super) code: u16,
    /// Whether the body is compressed.
    pub(super) is_encoded: bool,
    /// The body, as far as it is kept.
    pub(super) body: Vec<u8>,
    /// Whether all of it is.
    pub(super) is_whole: bool,
}

impl Answered {
    /// Keeps some bytes more, as long as there is room for them.
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        self.is_whole &= self.body.len().saturating_add(bytes.len()) <= MAX_ANSWER;
        if self.is_whole {
            self.body.extend_from_slice(bytes);
        } else {
            self.body = Vec::new();
        }
    }

    /// Whether the upstream allows, and whether it has a patch.
    fn read(&self) -> Result<(bool, bool), &'static str> {
        if !(200..=206).contains(&self.code) {
            return Err("shadow: the upstream failed");
        }
        if !self.is_whole || self.is_encoded {
            return Err("shadow: the upstream's answer is too large, or compressed, and was not compared");
        }
        let mut tape = Tape::new();
        let root = tape.read(&self.body).ok();
        let response = root.and_then(|root| root.get("response"));
        let allowed = response.and_then(|response| response.get("allowed")).and_then(super::json::Value::bool);
        let patch = response.and_then(|response| response.get("patch")).and_then(super::json::Value::text);
        let allowed = allowed.ok_or("shadow: the upstream's answer is no AdmissionReview")?;
        Ok((allowed, patch.is_some_and(|patch| !patch.is("") && !patch.is("W10="))))
    }
}

/// Compares, and says so where there is a difference.
pub(super) fn compare(cx: &mut Context<'_, Rules>, expected: &Expected, answered: &Answered) {
    let (reason, upstream) = match answered.read() {
        Err(why) => (why, "unknown"),
        Ok((allowed, _)) if allowed != expected.allowed => {
            ("shadow: the upstream decides otherwise", if allowed { "allowed" } else { "denied" })
        }
        Ok((true, patched)) if patched != expected.patched => {
            ("shadow: the upstream changes the object otherwise", if patched { "changed" } else { "allowed" })
        }
        Ok(_) => return,
    };
    cx.audit(reason, &Difference { expected, upstream, code: answered.code });
}

struct Difference<'a> {
    expected: &'a Expected,
    upstream: &'static str,
    code: u16,
}

impl Describe for Difference<'_> {
    fn describe(&self, fields: &mut dyn Fields) {
        let Expected { hook, uid, allowed, patched, decided_by } = self.expected;
        let ours = match (allowed, patched) {
            (true, true) => "changed",
            (true, false) => "allowed",
            (false, _) => "denied",
        };
        fields.text("hook", hook.as_bytes());
        fields.text("uid", uid.as_bytes());
        fields.text("verdict", ours.as_bytes());
        if !decided_by.is_empty() {
            fields.text("decidedBy", decided_by.as_bytes());
        }
        fields.text("upstream", self.upstream.as_bytes());
        fields.text("status", self.code.to_string().as_bytes());
    }
}
