//! What `replay` writes.

use std::path::Path;

use serde::Serialize;
use serde_json::json;

use super::Connections;
use super::follow::{Counts, Followed};
use super::setting::name_of;
use super::verdicts::{Case, Change, Seen, Verdicts, Why};
use crate::capture::{Broken, Stats};
use crate::exit::Exit;
use crate::output::{Look, Output};

/// All that is to be told.
pub(super) struct Results<'a> {
    pub(super) file: &'a Path,
    pub(super) protocol: &'a str,
    pub(super) port: u16,
    pub(super) stats: Stats,
    pub(super) broken: Option<&'a Broken>,
    pub(super) verdicts: &'a Verdicts,
    pub(super) connections: &'a Connections,
    pub(super) compares: bool,
    pub(super) top: usize,
}

impl Results<'_> {
    pub(super) fn print(&self, out: &mut Output) -> anyhow::Result<Exit> {
        if out.is_json() {
            self.json(out)?
        } else {
            self.human(out)?
        }
        Ok(Exit::well_if(self.is_well()))
    }

    /// All requests pass; or, of two policies, both judge all of them alike.
    fn is_well(&self) -> bool {
        let Counts { denied, refused, changed, .. } = self.connections.counts;
        let passes = denied == 0 && refused == 0 && self.connections.closed == 0;
        if self.compares { changed == 0 } else { passes }
    }

    fn sorted(&self) -> Vec<&Followed> {
        let mut kept: Vec<_> = self.connections.kept.iter().collect();
        kept.sort_by_key(|one| (!one.is_remarkable(), one.flow.number));
        kept
    }

    fn cases(&self) -> Vec<(&Case, &Seen)> {
        self.verdicts.cases.sorted(|a, b| (&a.verdict, &a.request, &a.who).cmp(&(&b.verdict, &b.request, &b.who)))
    }

    fn changes(&self) -> Vec<(&Change, &Seen)> {
        self.verdicts.changes.sorted(|a, b| (&a.request, &a.who).cmp(&(&b.request, &b.who)))
    }

    fn human(&self, out: &mut Output) -> anyhow::Result<()> {
        let Stats { packets, connections, bytes, .. } = self.stats;
        let Counts { allowed, audited, denied, refused, .. } = self.connections.counts;
        let requests = self.connections.counts.requests();
        let name = self.file.display();
        let of = if packets > 0 { format!(", {}", count(packets, "packet")) } else { String::new() };
        let head = format!(
            "{name}: {} of `{}` in {} to port {} ({bytes} bytes{of})",
            count(requests, "request"),
            self.protocol,
            count(connections, "connection"),
            self.port
        );
        out.line(out.paint(Look::Strong, head))?;
        self.remarks(out)?;
        if self.compares {
            self.human_changes(out)?;
        }
        for (verdict, title, look) in [
            ("denied", "denied", Look::Bad),
            ("refused", "refused by the parser itself", Look::Bad),
            ("audit", "would be denied, but only watched", Look::Doubtful),
        ] {
            let cases: Vec<_> = self.cases().into_iter().filter(|(case, _)| case.verdict == verdict).collect();
            if cases.is_empty() {
                continue;
            }
            out.line("")?;
            out.line(format!("{}:", out.paint(look, title)))?;
            for (case, seen) in cases.iter().take(self.top) {
                out.line(format!("  {:>6} x  {}", seen.count, out.paint(Look::Strong, &case.request)))?;
                let by = format!("by {}, first on connection {}: {}", case.who, seen.connection, tell(&case.why));
                out.line(format!("            {by}"))?;
                if let Some(miss) = &seen.nearest {
                    let near = format!("nearest: `{}` at {}, but for `{}`", miss.rule, miss.at, miss.field);
                    out.line(format!("            {}", out.paint(Look::Faint, near)))?;
                }
            }
            more(out, cases.len().saturating_sub(self.top), "kinds of requests")?;
        }
        if self.verdicts.cases.not_kept > 0 {
            out.line(format!("and {} of further kinds", count(self.verdicts.cases.not_kept, "request")))?;
        }
        self.human_connections(out)?;
        out.line("")?;
        let sum = |look, n: u64, what: &str| {
            let text = format!("{n} {what}");
            if n > 0 { out.paint(look, text) } else { text }
        };
        let mut parts = vec![
            sum(Look::Good, allowed, "pass"),
            sum(Look::Bad, denied, "denied"),
            sum(Look::Doubtful, audited, "only watched"),
            sum(Look::Bad, refused, "refused"),
        ];
        if self.connections.closed > 0 {
            let closed = count(self.connections.closed, "connection");
            parts.push(out.paint(Look::Bad, format!("{closed} would be closed")));
        }
        let parts = parts.join(", ");
        out.line(parts)
    }

    /// What the reader of the figures must know.
    fn remarks(&self, out: &mut Output) -> anyhow::Result<()> {
        let Stats { packets, segments, begun_before, strays, .. } = self.stats;
        let Counts { unread, lost, .. } = self.connections.counts;
        let ours = [
            (begun_before, "connections began before the capture: they are read from their first segment on"),
            (strays, "segments belong to no connection, or came after its end"),
            (lost, "times the place in a connection was lost; it was read on from the client's next segment"),
            (unread, "bytes of clients were not read as requests"),
        ];
        for (number, text) in self.stats.losses().chain(ours.into_iter().filter(|(number, _)| *number > 0)) {
            out.line(format!("  {}: {number} {text}", out.paint(Look::Doubtful, "note")))?;
        }
        if packets > 0 && segments == 0 {
            let none = format!("no packet is to or from port {}: name the server's port in the capture", self.port);
            out.line(format!("  {}: {none}", out.paint(Look::Doubtful, "note")))?;
        }
        if self.verdicts.no_policy {
            let none = "no policy selects the endpoint of some requests: give its labels with `--endpoint`, or its address in the identities";
            out.line(format!("  {}: {none}", out.paint(Look::Doubtful, "note")))?;
        }
        Ok(())
    }

    fn human_changes(&self, out: &mut Output) -> anyhow::Result<()> {
        let changes = self.changes();
        out.line("")?;
        if changes.is_empty() {
            return out.line("no request changes its verdict");
        }
        out.line(format!("{} change their verdict:", count(self.connections.counts.changed, "request")))?;
        for (change, seen) in changes.iter().take(self.top) {
            let paint = |word: &str| out.paint(if word == "allowed" { Look::Good } else { Look::Bad }, word);
            let (before, after) = (paint(change.before.0), paint(change.after.0));
            let request = out.paint(Look::Strong, &change.request);
            out.line(format!("  {:>6} x  {request}  {before} -> {after}", seen.count))?;
            out.line(format!(
                "            by {}: {} -> {}",
                change.who,
                tell(&change.before.1),
                tell(&change.after.1)
            ))?;
        }
        more(out, changes.len().saturating_sub(self.top), "kinds of requests")?;
        match self.verdicts.changes.not_kept {
            0 => Ok(()),
            some => out.line(format!("and {} of further kinds", count(some, "request"))),
        }
    }

    fn human_connections(&self, out: &mut Output) -> anyhow::Result<()> {
        let kept = self.sorted();
        if kept.is_empty() {
            return Ok(());
        }
        out.line("")?;
        out.line(out.paint(Look::Strong, "connections:"))?;
        let rows: Vec<_> = kept
            .iter()
            .take(self.top)
            .map(|one| {
                let Followed { flow, counts, .. } = one;
                [
                    flow.number.to_string(),
                    peer(one),
                    format!("{} -> {}", flow.client, flow.server),
                    counts.allowed.to_string(),
                    counts.denied.to_string(),
                    counts.audited.to_string(),
                    counts.refused.to_string(),
                    one.closes.as_ref().map_or_else(String::new, |why| format!("closes: {why}")),
                ]
            })
            .collect();
        let head = ["#", "who", "connection", "pass", "denied", "watched", "refused", ""].map(str::to_owned);
        for line in align(&head, &rows) {
            out.line(line)?;
        }
        let hidden = self.connections.not_kept.saturating_add(kept.len().saturating_sub(self.top) as u64);
        more(out, usize::try_from(hidden).unwrap_or(usize::MAX), "connections")
    }

    fn json(&self, out: &mut Output) -> anyhow::Result<()> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Row<'a> {
            who: &'a str,
            request: &'a str,
            #[serde(flatten)]
            seen: &'a Seen,
            #[serde(skip_serializing_if = "Option::is_none")]
            verdict: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            why: Option<&'a Why>,
            #[serde(skip_serializing_if = "Option::is_none")]
            before: Option<serde_json::Value>,
            #[serde(skip_serializing_if = "Option::is_none")]
            after: Option<serde_json::Value>,
        }
        let cases: Vec<_> = self
            .cases()
            .into_iter()
            .map(|(case, seen)| Row {
                who: &case.who,
                request: &case.request,
                seen,
                verdict: Some(case.verdict),
                why: Some(&case.why),
                before: None,
                after: None,
            })
            .collect();
        let side = |(verdict, why): &(&str, Why)| Some(json!({"verdict": verdict, "why": why}));
        let changes: Vec<_> = self
            .changes()
            .into_iter()
            .map(|(change, seen)| Row {
                who: &change.who,
                request: &change.request,
                seen,
                verdict: None,
                why: None,
                before: side(&change.before),
                after: side(&change.after),
            })
            .collect();
        let connections: Vec<_> = self
            .sorted()
            .into_iter()
            .map(|one| {
                json!({
                    "number": one.flow.number,
                    "client": one.flow.client,
                    "server": one.flow.server,
                    "who": peer(one),
                    "since": one.flow.since.map(|since| since.to_string()),
                    "begunBefore": !one.flow.whole,
                    "counts": one.counts,
                    "closes": one.closes,
                })
            })
            .collect();
        let broken = self.broken.map(|broken| json!({"afterBytes": broken.at, "why": broken.why}));
        out.json(&json!({
            "file": self.file.display().to_string(),
            "protocol": self.protocol,
            "port": self.port,
            "broken": broken,
            "capture": self.stats,
            "sum": self.connections.counts,
            "closed": self.connections.closed,
            "cases": cases,
            "casesNotKept": self.verdicts.cases.not_kept,
            "changes": self.compares.then_some(changes),
            "changesNotKept": self.compares.then_some(self.verdicts.changes.not_kept),
            "connections": connections,
            "connectionsNotKept": self.connections.not_kept,
        }))
    }
}

fn peer(one: &Followed) -> String {
    one.peer.as_ref().map_or_else(|| "-".to_owned(), name_of)
}

fn tell(why: &Why) -> String {
    match (&why.rule, &why.at) {
        (Some(rule), Some(at)) => format!("rule `{rule}` at {at}"),
        _ => why.reason.clone(),
    }
}

fn more(out: &mut Output, hidden: usize, what: &str) -> anyhow::Result<()> {
    if hidden == 0 {
        Ok(())
    } else {
        out.line(format!("  and {hidden} more {what}; `--top` shows more, `-o json` most"))
    }
}

/// A number of things, in words.
pub(crate) fn count(n: u64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// Columns of equal width, two spaces between them; those of numbers to the right.
pub(crate) fn align<const N: usize>(head: &[String; N], rows: &[[String; N]]) -> Vec<String> {
    let all = || std::iter::once(head).chain(rows);
    let width = |column: usize| all().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let is_number = |column: usize| {
        let cells = || rows.iter().filter_map(|row| row.get(column));
        !rows.is_empty() && cells().all(|cell| !cell.is_empty() && cell.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let line = |row: &[String; N]| {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = width(column).unwrap_or_default();
            if is_number(column) { format!("{cell:>width$}") } else { format!("{cell:width$}") }
        });
        let text = cells.collect::<Vec<_>>().join("  ");
        format!("  {}", text.trim_end())
    };
    all().map(line).collect()
}
