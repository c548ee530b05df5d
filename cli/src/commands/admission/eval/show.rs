//! What was decided, for people and machines.

use portcullis_parsers::admission::judge::Verdict;
use portcullis_parsers::admission::review::Review;
use serde::Serialize;
use serde_json::Value;

use super::super::load::Loaded;
use super::{Judged, NOT_MATCHED};
use crate::output::{Look, Output};

/// One of several.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shown<'a> {
    hook: &'a str,
    uri: &'a str,
    allowed: bool,
    verdict: &'static str,
    decided_by: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    answer: Value,
}

impl<'a> Shown<'a> {
    pub(super) fn new(judged: &'a Judged<'a>, loaded: &Loaded) -> anyhow::Result<Self> {
        let Judged { hook, outcome, .. } = judged;
        Ok(Self {
            hook: hook.name(),
            uri: hook.uri(),
            allowed: judged.allows(),
            verdict: name(outcome.verdict).0,
            decided_by: &outcome.decided_by,
            at: loaded.place_of(hook, &outcome.decided_by).map(|place| place.to_string()),
            answer: judged.answer()?,
        })
    }
}

const fn name(verdict: Verdict) -> (&'static str, &'static str, Look) {
    match verdict {
        Verdict::Allow => ("allowed", "", Look::Good),
        Verdict::Watched => ("watched", " (allowed, as the hook only watches; it would be denied)", Look::Doubtful),
        Verdict::Deny => ("denied", "", Look::Bad),
        Verdict::Error => ("denied", " (it could not be judged)", Look::Bad),
        Verdict::Excused => ("excused", " (allowed, though it could not be judged)", Look::Doubtful),
    }
}

pub(super) fn print(judged: &Judged<'_>, loaded: &Loaded, out: &mut Output) -> anyhow::Result<()> {
    let Judged { hook, outcome, request, .. } = judged;
    let (verdict, more, look) = name(outcome.verdict);
    let request = request.as_deref().unwrap_or("a review that is refused as it is");
    out.line(format_args!("{}: {request}{more}", out.paint(look, verdict)))?;
    let by = match loaded.place_of(hook, &outcome.decided_by) {
        Some(place) => format!("{} at {place}", outcome.decided_by),
        None => match &*outcome.decided_by {
            NOT_MATCHED => "its rules and selectors, which do not speak of it".to_owned(),
            "default" => "no rule that denies it".to_owned(),
            other => other.to_owned(),
        },
    };
    out.line(format_args!("  by the hook {}: {by}", hook.name()))?;
    if !judged.allows() || outcome.verdict == Verdict::Watched {
        // What says no code is denied with 403.
        let code = if outcome.code == 0 { 403 } else { outcome.code };
        out.line(format_args!("  status {code}{}", within(&outcome.reason)))?;
        for line in outcome.message.lines() {
            out.line(format_args!("    {}", escape(line)))?;
        }
    }
    for warning in &outcome.warnings {
        out.line(format_args!("  warning: {}", escape(warning)))?;
    }
    for (key, value) in &outcome.audit_annotations {
        out.line(format_args!("  audit: {key}={}", escape(value)))?;
    }
    if let Some(patch) = &outcome.patch {
        let operations: Vec<Value> = serde_json::from_slice(patch)?;
        for operation in operations {
            out.line(format_args!("  patch: {operation}"))?;
        }
    }
    Ok(())
}

fn within(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(", {}", escape(reason)) }
}

/// The request in a line.
pub(super) fn say_request(review: &Review<'_>) -> String {
    let mut resource = review.resource.resource.to_string();
    if !review.resource.group.is_empty() {
        resource = format!("{resource}.{}", review.resource.group);
    }
    if !review.sub_resource.is_empty() {
        resource = format!("{resource}/{}", review.sub_resource);
    }
    let object = match (review.namespace.is_empty(), review.name.is_empty()) {
        (_, true) => review.namespace.to_string(),
        (true, false) => review.name.to_string(),
        (false, false) => format!("{}/{}", review.namespace, review.name),
    };
    let dry = if review.dry_run { ", a dry run" } else { "" };
    escape(&format!("{} {resource} {object} by {}{dry}", review.operation.as_str(), review.user.username))
}

/// What would begin a line of its own, or do things to a terminal, is shown by its number.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            hidden
                if hidden.is_control()
                    || matches!(hidden, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}') =>
            {
                out.extend(hidden.escape_default());
            }
            shown => out.push(shown),
        }
    }
    out
}
