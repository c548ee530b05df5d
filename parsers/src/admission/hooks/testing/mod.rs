//! The tests in the documents of hooks: reviews, and what is to become of them.

mod patch;
mod review;

use portcullis_policy::{Node, NodeError, Place};
use serde_json::Value as Json;

use super::at::{At, Reader};
use super::hook::{Hook, NOT_MATCHED};
use super::spec::Mode;
use crate::admission::json::Tape;
use crate::admission::judge::{Outcome, Verdict};
use crate::admission::review::{Review, ReviewError};
pub use patch::apply as apply_patch;

/// One test: a request, and what is to become of it.
#[derive(Clone, Debug)]
pub struct Test {
    name: String,
    place: Place,
    review: Vec<u8>,
    object: Json,
    expect: Expect,
    message: Option<String>,
    message_contains: Option<String>,
    reason: Option<String>,
    code: Option<u16>,
    warnings: Option<Vec<String>>,
    patched: Option<Json>,
}

/// What is to become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
enum Expect {
    Allow,
    Deny,
    /// It is not what the hook requires of all requests.
    Invalid,
    /// It cannot be judged.
    Error,
    /// The hook does not speak of it.
    NotMatched,
}

/// What a test came to.
#[derive(Clone, Debug)]
pub struct TestResult {
    /// What is not as it ought to be; nothing if the test passed.
    pub failures: Vec<String>,
    /// What the hook said; nothing if the test made no review that could be read.
    pub outcome: Option<Outcome>,
}

impl TestResult {
    /// Whether all is as it ought to be.
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

const FIELDS: [&str; 20] = [
    "name",
    "user",
    "groups",
    "operation",
    "kind",
    "resource",
    "subResource",
    "objectName",
    "namespace",
    "dryRun",
    "object",
    "oldObject",
    "options",
    "expect",
    "message",
    "messageContains",
    "reason",
    "code",
    "warnings",
    "patched",
];

/// Writes the review of a request that is described as tests describe it: for those who judge objects from files.
///
/// # Errors
/// All that is wrong with the description.
pub fn write_review(request: &Node) -> Result<Vec<u8>, Vec<NodeError>> {
    let mut reader = Reader::default();
    let review = review::write(&At { node: request, path: String::new() }, &mut reader);
    match review {
        Some(review) if reader.faults.errors.is_empty() => Ok(review.text),
        _ => Err(reader.faults.errors),
    }
}

impl Test {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it stands.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The review that it makes, as JSON.
    pub fn review(&self) -> &[u8] {
        &self.review
    }

    pub(super) fn read(at: &At<'_>, reader: &mut Reader) -> Option<Self> {
        if !at.check_fields(&FIELDS, reader) {
            return None;
        }
        let review = review::write(at, reader)?;
        let warnings = at.field("warnings").map(|at| {
            // That there is none is something to expect, too.
            at.read::<Vec<String>>(reader).unwrap_or_default()
        });
        let test = Self {
            name: at.need("name", reader)?,
            place: at.node.place.clone(),
            object: review.object,
            review: review.text,
            expect: at.need("expect", reader)?,
            message: at.read_field("message", reader),
            message_contains: at.read_field("messageContains", reader),
            reason: at.read_field("reason", reader),
            code: at.read_field("code", reader),
            warnings,
            patched: at.read_field("patched", reader),
        };
        let tells = test.message.is_some() || test.message_contains.is_some() || test.reason.is_some();
        if matches!(test.expect, Expect::Allow | Expect::NotMatched) && (tells || test.code.is_some()) {
            reader.refuse(
                at,
                "what is allowed has no message, reason or code; leave them out, or expect another outcome",
            );
        }
        Some(test)
    }

    pub(super) fn run(&self, hook: &Hook) -> TestResult {
        let mut tape = Tape::new();
        let review = match tape.read(&self.review) {
            Ok(root) => Review::read(root),
            Err(error) => return TestResult { failures: vec![format!("not a review: {error}")], outcome: None },
        };
        let review = match review {
            Ok(review) => review,
            Err(ReviewError::Unreadable { message } | ReviewError::Refused { message, .. }) => {
                return TestResult { failures: vec![format!("not a review: {message}")], outcome: None };
            }
        };
        let outcome = hook.judge_in(Mode::Enforce, &review, None);
        TestResult { failures: self.compare(&outcome), outcome: Some(outcome) }
    }

    fn compare(&self, outcome: &Outcome) -> Vec<String> {
        let mut failures = Vec::new();
        let is_matched = outcome.decided_by != NOT_MATCHED;
        let as_expected = match (self.expect, outcome.verdict) {
            (Expect::Allow, Verdict::Allow) | (Expect::Error, Verdict::Error | Verdict::Excused) => true,
            (Expect::NotMatched, Verdict::Allow) => !is_matched,
            (Expect::Deny, Verdict::Deny) => true,
            (Expect::Invalid, Verdict::Deny) => outcome.decided_by.starts_with("validate["),
            _ => false,
        };
        if !as_expected {
            let expect = match self.expect {
                Expect::Allow => "allow",
                Expect::Deny => "deny",
                Expect::Invalid => "invalid",
                Expect::Error => "error",
                Expect::NotMatched => "notMatched",
            };
            let told = [&outcome.message, &outcome.reason].into_iter().find(|text| !text.is_empty());
            let told = told.map(|told| format!(": {told}")).unwrap_or_default();
            let verdict = match outcome.verdict {
                Verdict::Allow => "allow",
                Verdict::Deny => "deny",
                Verdict::Watched => "watched",
                Verdict::Error => "error",
                Verdict::Excused => "excused",
            };
            failures.push(format!("expected {expect}, got {verdict} by {}{told}", outcome.decided_by));
        }
        let mut text = |what: &str, wanted: &Option<String>, have: &str| {
            if let Some(wanted) = wanted.as_deref().filter(|wanted| *wanted != have) {
                failures.push(format!("expected the {what} {wanted:?}, got {have:?}"));
            }
        };
        text("message", &self.message, &outcome.message);
        text("reason", &self.reason, &outcome.reason);
        if let Some(part) = self.message_contains.as_deref().filter(|part| !outcome.message.contains(part)) {
            failures.push(format!("expected a message with {part:?} in it, got {:?}", outcome.message));
        }
        if let Some(code) = self.code.filter(|code| *code != outcome.code) {
            failures.push(format!("expected the code {code}, got {}", outcome.code));
        }
        if let Some(warnings) = self.warnings.as_ref().filter(|warnings| **warnings != outcome.warnings) {
            failures.push(format!("expected the warnings {warnings:?}, got {:?}", outcome.warnings));
        }
        if let Some(patched) = &self.patched {
            let patch = outcome.patch.as_deref().unwrap_or(b"[]");
            match patch::apply(&self.object, patch) {
                Ok(object) => patch::compare_part(patched, &object, "", &mut failures),
                Err(why) => failures.push(format!("the patch does not apply: {why}")),
            }
        }
        failures
    }
}
