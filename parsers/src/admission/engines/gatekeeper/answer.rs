//! The answer to a request: denial and warnings as Gatekeeper words them.

use std::borrow::Cow;
use std::time::Instant;

use super::super::super::review::Review;
use super::super::{Denial, Engine, EngineError, Ruling};
use super::action::{Action, EnforcementPoint};
use super::judge::{Asked, Findings, Subject, describe_faults, shorten_fault};
use super::{Gatekeeper, own};

/// Bytes of the message of a denial, and of the warnings together: what is beyond is counted only. The API server cuts
/// warnings at 4096 characters.
const MAX_MESSAGE: usize = 64 << 10;
/// Constraints that the log names for one review.
const MAX_NAMED: usize = 8;

impl Engine for Gatekeeper {
    fn evaluate(&self, review: &Review<'_>, until: Instant) -> Result<Ruling, EngineError> {
        if let Some(denial) = own::check(self, review) {
            return Ok(Ruling { denial: Some(denial), decided_by: Cow::Borrowed("gatekeeper"), ..Ruling::default() });
        }
        let asked = Asked { review: Subject::Review(review), namespace: None, point: EnforcementPoint::Webhook };
        answer(&self.find(&asked, until)?)
    }
}

/// What is answered. A denial stands whatever else could not be asked; but where only a constraint that would deny could not
/// be asked, there is no answer.
fn answer(findings: &Findings) -> Result<Ruling, EngineError> {
    let (mut denials, mut warnings) = (Lines::default(), Lines::default());
    let mut named: Vec<String> = Vec::new();
    let mut name = |action: Action, label: String| {
        let text = if action == Action::Deny { label } else { format!("{}:{label}", action.as_str()) };
        if !named.contains(&text) && named.len() <= MAX_NAMED {
            named.push(text);
        }
    };
    for violation in &findings.violations {
        for action in &violation.actions {
            let line = || format!("[{}] {}", violation.constraint.name(), violation.message);
            match action {
                Action::Deny => denials.push(line()),
                Action::Warn => warnings.push(line()),
                Action::Dryrun => {}
            }
            name(*action, violation.constraint.label());
        }
    }
    let denied = !denials.lines.is_empty();
    let is_for = |fault: &&super::judge::Fault, action| fault.actions.contains(&action);
    if let Some(fault) = findings.faults.iter().find(|fault| is_for(fault, Action::Deny))
        && !denied
    {
        return Err(EngineError(describe_faults(&findings.faults, fault)));
    }
    for fault in &findings.faults {
        let line = || format!("[{}] {}", fault.constraint.name(), shorten_fault(&fault.message));
        for action in &fault.actions {
            match action {
                Action::Deny => denials.push(line()),
                Action::Warn => warnings.push(line()),
                Action::Dryrun => {}
            }
            name(*action, format!("{} (failed)", fault.constraint.label()));
        }
    }
    if named.len() > MAX_NAMED {
        named.truncate(MAX_NAMED);
        named.push("and others".into());
    }
    let message = denials.finish().join("\n");
    Ok(Ruling {
        denial: denied.then(|| Denial { message, reason: "Forbidden".into(), code: 403 }),
        warnings: warnings.finish(),
        decided_by: if named.is_empty() { Cow::Borrowed("gatekeeper") } else { Cow::Owned(named.join(", ")) },
        ..Ruling::default()
    })
}

/// Lines up to a size.
#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    bytes: usize,
    dropped: usize,
}

impl Lines {
    fn push(&mut self, mut line: String) {
        let left = MAX_MESSAGE.saturating_sub(self.bytes);
        if left == 0 || !self.lines.is_empty() && line.len() > left {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        if line.len() > left {
            line.truncate((0..=left).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0));
        }
        self.bytes = self.bytes.saturating_add(line.len());
        self.lines.push(line);
    }

    fn finish(mut self) -> Vec<String> {
        if self.dropped > 0 {
            self.lines.push(format!("and {} more", self.dropped));
        }
        self.lines
    }
}
