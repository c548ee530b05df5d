//! What policies found, and what is told of it.

use std::fmt::Write as _;

use serde_json::json;

use super::policy::{Action, Binding, Policy};
use super::program::{Judged, Reason};
use crate::admission::engines::{Denial, EngineError, Ruling};

/// Bytes of the value of an audit annotation (`maxAuditAnnotationValueLength`).
const MAX_VALUE: usize = 10 * 1024;
/// Validations that failed and are told in the audit log (`maxValidationFailures`).
const MAX_FAILURES: usize = 50;
/// Denials that are told, a line each. kubectl prints them all; the API server's own policies tell only the first.
const MAX_LINES: usize = 50;
/// Warnings. The API server cuts all but the first 4,096 characters.
const MAX_WARNINGS: usize = 50;
/// Names of policies in a line of the log.
const MAX_NAMES: usize = 8;
/// Characters of a name in a qualified name: of the key of an annotation, before which the API server puts the webhook's name.
const MAX_KEY: usize = 63;

/// The key of the audit annotation that tells of validations whose action is `Audit`. The API server's own is
/// `validation.policy.admission.k8s.io/validation_failure`; it puts the name of the webhook before ours.
const FAILURE_KEY: &str = "validation_failure";

/// What was found so far.
#[derive(Default)]
pub(super) struct Findings {
    lines: Vec<String>,
    reason: Option<Reason>,
    more_lines: usize,
    warnings: Vec<String>,
    failures: Vec<serde_json::Value>,
    annotations: Vec<(String, Vec<String>)>,
    denied_by: Vec<String>,
    asked: Vec<String>,
}

impl Findings {
    /// Notes a policy or binding that cannot be used. Its actions make no difference.
    pub(super) fn refuse(&mut self, policy: &Policy, binding: Option<&Binding>, why: &str) {
        note(&mut self.asked, policy, binding);
        if policy.program.ignores_failures {
            return;
        }
        let what = if binding.is_some() { "binding" } else { "policy" };
        self.deny(policy, binding, &format!("failed to configure {what}: {why}"), Reason::default());
    }

    /// Adds what a policy came to for a binding and a parameter.
    pub(super) fn add(&mut self, policy: &Policy, binding: &Binding, judged: Judged) {
        note(&mut self.asked, policy, Some(binding));
        for denied in judged.denials {
            for action in &binding.actions {
                match action {
                    Action::Deny => self.deny(policy, Some(binding), &denied.message, denied.reason),
                    Action::Warn if self.warnings.len() < MAX_WARNINGS => self.warnings.push(format!(
                        "Validation failed for ValidatingAdmissionPolicy '{}' with binding '{}': {}",
                        policy.name, binding.name, denied.message
                    )),
                    Action::Audit if self.failures.len() < MAX_FAILURES => {
                        let actions: Vec<_> = binding.actions.iter().map(|action| action.as_str()).collect();
                        self.failures.push(json!({
                            "message": denied.message,
                            "policy": policy.name,
                            "binding": binding.name,
                            "expressionIndex": denied.index,
                            "validationActions": actions,
                        }));
                    }
                    Action::Warn | Action::Audit => {}
                }
            }
        }
        for (key, value) in judged.annotations {
            self.annotate(key_of(&policy.name, &key), cut(value, MAX_VALUE));
        }
        for message in judged.failures {
            self.deny(policy, Some(binding), &message, Reason::default());
        }
    }

    fn deny(&mut self, policy: &Policy, binding: Option<&Binding>, message: &str, reason: Reason) {
        note(&mut self.denied_by, policy, binding);
        self.reason.get_or_insert(reason);
        if self.lines.len() == MAX_LINES {
            self.more_lines = self.more_lines.saturating_add(1);
            return;
        }
        let name = &policy.name;
        self.lines.push(match binding {
            Some(Binding { name: binding, .. }) => {
                format!("ValidatingAdmissionPolicy '{name}' with binding '{binding}' denied request: {message}")
            }
            None => format!("ValidatingAdmissionPolicy '{name}' denied request: {message}"),
        });
    }

    /// "If multiple bindings produces the exact same key and value for an audit annotation, ignore the duplicates."
    fn annotate(&mut self, key: String, value: String) {
        match self.annotations.iter_mut().find(|(known, _)| *known == key) {
            Some((_, values)) if values.contains(&value) => {}
            Some((_, values)) => values.push(value),
            None => self.annotations.push((key, vec![value])),
        }
    }

    /// What comes of it all.
    pub(super) fn rule(self) -> Ruling {
        let decided_by = match (self.denied_by.as_slice(), self.asked.as_slice()) {
            ([], []) => "not matched".into(),
            ([], asked) => list(asked).into(),
            (denied, _) => list(denied).into(),
        };
        let denial = self.reason.map(|reason| {
            let mut message = self.lines.join("\n");
            if self.more_lines > 0 {
                let _ = write!(message, "\nand {} more", self.more_lines);
            }
            Denial { message, reason: reason.as_str().to_owned(), code: reason.code() }
        });
        let mut audit_annotations: Vec<_> =
            self.annotations.into_iter().map(|(key, values)| (key, values.join(", "))).collect();
        if !self.failures.is_empty() {
            audit_annotations.push((FAILURE_KEY.to_owned(), serde_json::Value::from(self.failures).to_string()));
        }
        Ruling { denial, warnings: self.warnings, audit_annotations, patch: None, decided_by }
    }

    /// What comes of it where time ran out: what was denied stays denied.
    pub(super) fn end_early(mut self, policy: &Policy, binding: &Binding) -> Result<Ruling, EngineError> {
        let why = format!(
            "time ran out while the policy `{}` was evaluated with the binding `{}`",
            policy.name, binding.name
        );
        if self.lines.is_empty() {
            return Err(EngineError(why));
        }
        self.lines.push(why);
        Ok(self.rule())
    }
}

/// Adds `policy/binding`, once.
fn note(names: &mut Vec<String>, policy: &Policy, binding: Option<&Binding>) {
    let name = match binding {
        Some(binding) => format!("{}/{}", policy.name, binding.name),
        None => policy.name.clone(),
    };
    if names.last() != Some(&name) {
        names.push(name);
    }
}

fn list(names: &[String]) -> String {
    let shown = names.get(..MAX_NAMES).unwrap_or(names).join(", ");
    match names.len().saturating_sub(MAX_NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The key of an annotation of a policy. The API server writes `policy/key` for its own; what a webhook gives may have no slash
/// and no more than 63 characters. Longer ones are cut, and told apart by a checksum.
fn key_of(policy: &str, key: &str) -> String {
    let whole = format!("{policy}.{key}");
    if whole.len() <= MAX_KEY {
        return whole;
    }
    /// A point and eight digits.
    const END: usize = 9;
    let kept = whole.get(..MAX_KEY.saturating_sub(END)).unwrap_or_default();
    format!("{kept}.{:08x}", crc32fast::hash(whole.as_bytes()))
}

/// The text, or as much of its beginning as there is room for.
fn cut(mut text: String, room: usize) -> String {
    if text.len() > room {
        let end = (0..=room).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{cut, key_of};

    #[test]
    fn a_key_is_one_that_the_api_server_takes() {
        assert_eq!(key_of("replicas", "high"), "replicas.high");
        let long = "a".repeat(60);
        let (one, other) = (key_of(&long, "high"), key_of(&long, "low"));
        assert_eq!((one.len(), other.len()), (63, 63));
        assert_ne!(one, other);
        assert!(one.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.'));
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("aé".to_owned(), 2), "a");
        assert_eq!(cut("aé".to_owned(), 3), "aé");
    }
}
