//! What an audit found, for people and machines.

use serde::Serialize;

use super::judging::Constraint;
use super::tally::{Reported, Tally};
use crate::output::{Look, Output};

/// The widest that a column is made for what stands in it.
const MAX_WIDTH: usize = 48;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    kind: &'a str,
    name: &'a str,
    total_violations: u64,
    violations: Vec<&'a Reported>,
}

pub(super) fn json(tally: &Tally, timestamp: &str, problems: &[String], out: &mut Output) -> anyhow::Result<()> {
    let constraints: Vec<_> = tally
        .counted
        .iter()
        .map(|(Constraint { kind, name }, counted)| Shown {
            kind,
            name,
            total_violations: counted.total,
            violations: counted.reported(),
        })
        .collect();
    out.json(&serde_json::json!({
        "auditTimestamp": timestamp,
        "objects": tally.objects,
        "totalViolations": tally.total(),
        "constraints": constraints,
        "errors": problems,
    }))
}

pub(super) fn table(tally: &Tally, out: &mut Output) -> anyhow::Result<()> {
    let mut rows: Vec<[String; 6]> = Vec::new();
    for (Constraint { kind, name }, counted) in &tally.counted {
        for one in counted.reported() {
            let action = match one.enforcement_actions.as_slice() {
                [] => one.enforcement_action.clone(),
                actions => actions.join(","),
            };
            let cells = [&format!("{kind}/{name}"), &action, &one.kind, &one.namespace, &one.name, &one.message];
            rows.push(cells.map(|cell| escape(cell)));
        }
    }
    if !rows.is_empty() {
        let head = ["CONSTRAINT", "ACTION", "KIND", "NAMESPACE", "NAME", "MESSAGE"].map(str::to_owned);
        let mut widths = [0_usize; 6];
        for row in std::iter::once(&head).chain(&rows) {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count()).min(MAX_WIDTH);
            }
        }
        let line = line(&head, &widths);
        out.line(out.paint(Look::Strong, line))?;
        for row in &rows {
            out.line(self::line(row, &widths))?;
        }
    }
    for (Constraint { kind, name }, counted) in tally.counted.iter().filter(|(_, counted)| counted.omitted() > 0) {
        out.line(format_args!("and {} more of {kind}/{name}; `--limit` shows more", counted.omitted()))?;
    }
    out.line(format_args!(
        "{} and {}: {}",
        count(tally.objects, "object"),
        count(tally.counted.len() as u64, "constraint"),
        count(tally.total(), "violation")
    ))
}

fn line(row: &[String; 6], widths: &[usize; 6]) -> String {
    let mut text = String::new();
    for (cell, width) in row.iter().zip(widths) {
        text.push_str(&format!("{cell:width$}  "));
    }
    text.trim_end().to_owned()
}

fn count(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// What would begin a line of its own, or do things to a terminal, is shown by its number.
pub(crate) fn escape(text: &str) -> String {
    let hides = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => out.push_str("\\n"),
            hidden if hides(hidden) => out.extend(hidden.escape_default()),
            shown => out.push(shown),
        }
    }
    out
}
