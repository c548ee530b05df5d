//! A hook, and how it judges.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use portcullis_policy::Place;

use super::context::Context;
use super::decide::{Requirement, Rule, Told, name_rule};
use super::mutate::{Lost, Mutation, patch};
use super::rules::{self, is_selected};
use super::selectors::Selector;
use super::spec::{Mode, OnError, Spec};
use super::testing::{Test, TestResult};
use crate::admission::engines::{self, Engine};
use crate::admission::judge::{Judge, Outcome, Verdict};
use crate::admission::review::Review;

/// One hook: what its webhook asks of it, and what it decides.
pub struct Hook {
    pub(super) spec: Spec,
    /// Its name, as what it comes to is counted by.
    pub(super) label: Arc<str>,
    pub(super) place: Place,
    /// Where its name and its path stand.
    pub(super) name_place: Place,
    pub(super) uri_place: Place,
    pub(super) rules: Vec<rules::Rule>,
    pub(super) objects: Selector,
    pub(super) namespaces: Selector,
    pub(super) audit_annotations: Vec<(String, String)>,
    pub(super) validate: Vec<Requirement>,
    pub(super) decide: Vec<Rule>,
    pub(super) mutate: Vec<Mutation>,
    /// What judges instead of rules.
    pub(super) engine: Option<Arc<dyn Engine>>,
    pub(super) tests: Vec<Test>,
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hook").field("spec", &self.spec).finish_non_exhaustive()
    }
}

/// What rules come to, whether or not it is enforced.
enum Decision {
    Allowed,
    Denied(Told),
}

/// The key of the audit annotation that tells what a hook that only watches would have denied.
const WOULD_DENY: &str = "wouldDeny";
/// How the log names that the rules and selectors of a hook do not speak of a request.
pub(super) const NOT_MATCHED: &str = "not matched";

impl Hook {
    /// The name.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// The name, shared.
    pub const fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// The path that reviews are posted to.
    pub fn uri(&self) -> &str {
        &self.spec.uri
    }

    /// What it says of itself.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Where its document begins.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The tests in its document.
    pub fn tests(&self) -> &[Test] {
        &self.tests
    }

    /// Runs one of its tests, as if denials were enforced whatever its mode is. Not on the data path.
    pub fn run_test(&self, test: &Test) -> TestResult {
        test.run(self)
    }

    /// Judges a review in a mode of one's choice.
    pub(super) fn judge_in(&self, mode: Mode, review: &Review<'_>, until: Option<Instant>) -> Outcome {
        let context = Context::new(review);
        let mut outcome = Outcome {
            verdict: Verdict::Allow,
            decided_by: NOT_MATCHED.into(),
            audit_annotations: self.audit_annotations.clone(),
            ..Outcome::default()
        };
        let spoken_of = self.rules.iter().any(|rule| rule.speaks_of(&context))
            && is_selected(&context, &self.objects, &self.namespaces);
        if !spoken_of {
            return outcome;
        }
        if let Some(engine) = &self.engine {
            return self.ask(&**engine, mode, review, until, outcome);
        }
        let decision = self.decide(&context, &mut outcome);
        let patch = match decision {
            Decision::Allowed if mode == Mode::Enforce => patch(&self.mutate, &context),
            _ => Ok(None),
        };
        if context.is_exhausted() {
            return self.fail(mode, outcome, "the object has more entries than are looked at");
        }
        match (decision, patch) {
            (_, Err(Lost(what))) => self.fail(mode, outcome, &format!("{what} cannot be read")),
            (Decision::Allowed, Ok(patch)) => Outcome { patch, ..outcome },
            (Decision::Denied(told), Ok(_)) => self.deny(mode, outcome, told),
        }
    }

    /// What the rules say; notes which one, and what the client is warned of.
    fn decide(&self, context: &Context<'_, '_>, outcome: &mut Outcome) -> Decision {
        for (index, requirement) in self.validate.iter().enumerate() {
            if let Some(told) = requirement.refuse(context) {
                outcome.decided_by = format!("validate[{index}]").into();
                return Decision::Denied(told);
            }
        }
        for (index, rule) in self.decide.iter().enumerate() {
            if rule.allows(context) {
                outcome.decided_by = name_rule(index);
                return Decision::Allowed;
            }
            if let Some(told) = rule.deny(context) {
                outcome.decided_by = name_rule(index);
                return Decision::Denied(told);
            }
            outcome.warnings.extend(rule.warn(context));
        }
        outcome.decided_by = "default".into();
        Decision::Allowed
    }

    /// What an engine says.
    fn ask(
        &self,
        engine: &dyn Engine,
        mode: Mode,
        review: &Review<'_>,
        until: Option<Instant>,
        mut outcome: Outcome,
    ) -> Outcome {
        let latest = Instant::now().checked_add(engines::MAX_TIME);
        let until = until.into_iter().chain(latest).min().unwrap_or_else(Instant::now);
        outcome.decided_by = "error".into();
        let ruling = match engine.evaluate(review, until) {
            Ok(ruling) => ruling,
            Err(error) => return self.fail(mode, outcome, &error.0),
        };
        outcome.warnings.extend(ruling.warnings);
        outcome.audit_annotations.extend(ruling.audit_annotations);
        if ruling.patch.is_some() && !self.spec.mutating {
            return self.fail(
                mode,
                outcome,
                "its policy changes the object, and the hook does not say `mutating: true`",
            );
        }
        outcome.decided_by = ruling.decided_by;
        match ruling.denial {
            Some(engines::Denial { message, reason, code }) => self.deny(mode, outcome, Told { message, reason, code }),
            None => Outcome { patch: ruling.patch.filter(|_| mode == Mode::Enforce), ..outcome },
        }
    }

    fn deny(&self, mode: Mode, mut outcome: Outcome, told: Told) -> Outcome {
        let Told { mut message, reason, code } = told;
        if message.is_empty() && matches!(&*reason, "" | "Forbidden") {
            message = format!("denied by the hook `{}`", self.name());
        }
        let shown = if message.is_empty() { &reason } else { &message };
        match mode {
            Mode::Enforce => outcome.verdict = Verdict::Deny,
            Mode::Warn => {
                outcome.warnings.push(shown.clone());
                outcome.verdict = Verdict::Watched;
            }
            Mode::Audit => {
                outcome.audit_annotations.push((WOULD_DENY.to_owned(), shown.clone()));
                outcome.verdict = Verdict::Watched;
            }
        }
        Outcome { message: message.into(), reason: reason.into(), code, ..outcome }
    }

    /// What becomes of a review that cannot be judged.
    fn fail(&self, mode: Mode, outcome: Outcome, why: &str) -> Outcome {
        let denies = self.spec.on_error == OnError::Deny && mode == Mode::Enforce;
        Outcome {
            verdict: if denies { Verdict::Error } else { Verdict::Excused },
            message: format!("the hook `{}` cannot judge the request: {why}", self.name()).into(),
            reason: "InternalError".into(),
            code: 500,
            ..outcome
        }
    }
}

impl Judge for Hook {
    fn judge(&self, review: &Review<'_>, until: Option<Instant>) -> Outcome {
        self.judge_in(self.spec.mode, review, until)
    }

    fn takes_long(&self) -> bool {
        self.engine.is_some()
    }

    fn excuse(&self, why: &str) -> Outcome {
        let outcome = Outcome {
            decided_by: "error".into(),
            audit_annotations: self.audit_annotations.clone(),
            ..Outcome::default()
        };
        self.fail(self.spec.mode, outcome, why)
    }
}
