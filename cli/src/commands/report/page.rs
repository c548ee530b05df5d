//! The page.

use std::collections::HashMap;
use std::fmt::Write;

use super::chart;
use super::gather::{Gathered, Id, Sums};
use super::html::{Number, Safe};
use super::rules::Unused;

/// What the page is made of.
pub(super) struct Page<'a> {
    pub(super) title: &'a str,
    pub(super) gathered: &'a Gathered,
    /// The rules of the policy that was given.
    pub(super) unused: Option<&'a Unused>,
    /// What the reader should know of how the log was read.
    pub(super) remarks: &'a [String],
}

impl Page<'_> {
    /// The page as text: it needs no other file, and no network.
    pub(super) fn write(&self) -> String {
        let mut out = String::new();
        let _ = write!(
            out,
            "<!doctype html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n\
             <meta name=viewport content=\"width=device-width,initial-scale=1\">\n\
             <meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{SCRIPT_HASH}'\">\n\
             <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n",
            Safe(self.title)
        );
        self.head(&mut out);
        self.timeline(&mut out);
        self.matrix(&mut out);
        self.peers(&mut out);
        self.denials(&mut out);
        self.faults(&mut out);
        self.rules(&mut out);
        self.foot(&mut out);
        let _ = write!(out, "</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n");
        out
    }

    fn text(&self, id: Id) -> Safe<'_> {
        Safe(self.gathered.texts.text(id))
    }

    fn head(&self, out: &mut String) {
        let Gathered { sums, errors, span, uses, .. } = self.gathered;
        let _ = write!(out, "<h1>{}</h1>\n<p class=soft>", Safe(self.title));
        match span {
            Some((first, last)) => {
                let (first, last) = (first.as_second(), last.as_second());
                let _ = write!(out, "{} to {} UTC", chart::moment(first, 1), chart::moment(last, 1));
            }
            None => out.push_str("No times"),
        }
        if let Some((low, high)) = self.gathered.generations {
            let _ = match low == high {
                true => write!(out, ", policy generation {low}"),
                false => write!(out, ", policy generations {low} to {high}"),
            };
        }
        out.push_str("</p>\n<div class=figures>\n");
        let mut peers: Vec<_> = uses.kinds.keys().map(|(who, ..)| who).collect();
        peers.sort_unstable();
        peers.dedup();
        for (class, number, what) in [
            ("", sums.all(), "requests"),
            ("allowed", sums.allowed, "allowed"),
            ("audit", sums.audited, "only watched"),
            ("denied", sums.denied, "denied"),
            ("", *errors, "connections closed"),
            ("", peers.len() as u64, "peers"),
        ] {
            let _ = writeln!(out, "<div class=\"{class}\"><b>{}</b><small>{what}</small></div>", Number(number));
        }
        out.push_str("</div>\n");
        let all = sums.all().max(1) as f64;
        out.push_str("<div class=bar aria-hidden=true>");
        for (class, number) in [("allowed", sums.allowed), ("audit", sums.audited), ("denied", sums.denied)] {
            if number > 0 {
                let _ = write!(out, "<i class={class} style=\"width:{:.3}%\"></i>", number as f64 / all * 100.0);
            }
        }
        out.push_str("</div>\n");
        for remark in self.remarks {
            let _ = writeln!(
                out,
                "<p style=\"margin-top:14px\"><span class=\"tag audit\">note</span> {}</p>",
                Safe(remark)
            );
        }
    }

    fn timeline(&self, out: &mut String) {
        out.push_str("<section id=timeline>\n<h2>Denials over time</h2>\n");
        let Gathered { sums, timeline, .. } = self.gathered;
        if sums.denied == 0 && sums.audited == 0 {
            out.push_str("<p class=good>Nothing was denied.</p>\n</section>\n");
            return;
        }
        let steps = super::gather::Timeline { step: timeline.step, steps: timeline.steps.clone() };
        let (step, bars) = steps.bars(BARS);
        let _ = write!(
            out,
            "<p class=key><span><i style=\"background:var(--denied)\"></i>denied</span><span><i style=\"background:var(--audit)\"></i>only watched</span><span>each bar is {}</span></p>\n{}\n</section>\n",
            span_of(step),
            chart::draw(step, &bars)
        );
    }

    /// Peers by what they did: a table that is coloured by how often.
    fn matrix(&self, out: &mut String) {
        let uses = &self.gathered.uses;
        if uses.kinds.is_empty() {
            return;
        }
        let (mut peers, mut commands) = (HashMap::<Id, Sums>::new(), HashMap::<(Id, Id), Sums>::new());
        let mut protocols: Vec<Id> = Vec::new();
        for ((who, protocol, command), sums) in &uses.kinds {
            peers.entry(*who).or_default().add(*sums);
            commands.entry((*protocol, *command)).or_default().add(*sums);
            if !protocols.contains(protocol) {
                protocols.push(*protocol);
            }
        }
        let peers = self.ranked(peers, |texts, who| texts(*who));
        let commands = self.ranked(commands, |texts, (protocol, command)| texts(*protocol) + &texts(*command));
        let most = uses.kinds.values().map(|sums| sums.all()).max().unwrap_or(1);
        out.push_str("<section id=matrix>\n<h2>Who does what</h2>\n<p class=soft>Requests by peer and command; the darker, the more. In red, how many of them were denied.</p>\n<table class=matrix data-tools>\n<thead><tr><th>peer</th>");
        let shown: Vec<_> = commands.iter().take(COLUMNS).collect();
        for ((protocol, command), _) in &shown {
            out.push_str("<th class=n>");
            if protocols.len() > 1 {
                let _ = write!(out, "<span class=soft>{}</span> ", self.text(*protocol));
            }
            let _ = write!(out, "{}</th>", Safe(&cut(self.gathered.texts.text(*command), 24)));
        }
        let _ = write!(
            out,
            "{}<th class=n>all</th></tr></thead>\n<tbody>\n",
            if commands.len() > COLUMNS { "<th class=n>others</th>" } else { "" }
        );
        for (who, all) in peers.iter().take(ROWS) {
            let _ = write!(out, "<tr><th class=who>{}</th>", Safe(&cut(self.gathered.texts.text(*who), 120)));
            let mut rest = *all;
            for ((protocol, command), _) in &shown {
                let sums = uses.kinds.get(&(*who, *protocol, *command)).copied().unwrap_or_default();
                rest.allowed = rest.allowed.saturating_sub(sums.allowed);
                rest.audited = rest.audited.saturating_sub(sums.audited);
                rest.denied = rest.denied.saturating_sub(sums.denied);
                cell(out, sums, most);
            }
            if commands.len() > COLUMNS {
                cell(out, rest, most);
            }
            let _ = writeln!(out, "<td class=n data-n={}>{}</td></tr>", all.all(), Number(all.all()));
        }
        out.push_str("</tbody>\n</table>\n");
        hidden(out, peers.len().saturating_sub(ROWS), "peers");
        not_kept(out, uses.not_kept);
        out.push_str("</section>\n");
    }

    fn peers(&self, out: &mut String) {
        let mut peers: HashMap<Id, (u64, HashMap<Id, u64>)> = HashMap::new();
        for ((who, _, why, watched), count) in &self.gathered.denials.kinds {
            if !watched {
                let (sum, reasons) = peers.entry(*who).or_default();
                *sum = sum.saturating_add(*count);
                let reason = reasons.entry(*why).or_default();
                *reason = reason.saturating_add(*count);
            }
        }
        if peers.is_empty() {
            return;
        }
        let mut peers: Vec<_> = peers.into_iter().collect();
        peers.sort_by(|(a, (x, _)), (b, (y, _))| y.cmp(x).then_with(|| self.text(*a).0.cmp(self.text(*b).0)));
        let most = peers.first().map_or(1, |(_, (count, _))| *count).max(1);
        out.push_str("<section id=peers>\n<h2>Who was denied most</h2>\n<table data-tools>\n<thead><tr><th>peer</th><th class=n>denied</th><th>why</th></tr></thead>\n<tbody>\n");
        for (who, (count, reasons)) in peers.iter().take(ROWS) {
            let _ = write!(
                out,
                "<tr><th class=who>{}<span class=meter style=\"width:{:.1}%\"></span></th><td class=n data-n={count}>{}</td><td class=who>",
                Safe(&cut(self.gathered.texts.text(*who), 120)),
                *count as f64 / most as f64 * 100.0,
                Number(*count)
            );
            let mut reasons: Vec<_> = reasons.iter().collect();
            reasons.sort_by(|(a, x), (b, y)| y.cmp(x).then_with(|| self.text(**a).0.cmp(self.text(**b).0)));
            for (n, (why, count)) in reasons.iter().take(REASONS).enumerate() {
                let _ = write!(
                    out,
                    "{}{} <small>{}</small>",
                    if n > 0 { "<br>" } else { "" },
                    self.text(**why),
                    Number(**count)
                );
            }
            hidden(out, reasons.len().saturating_sub(REASONS), "reasons");
            out.push_str("</td></tr>\n");
        }
        out.push_str("</tbody>\n</table>\n");
        hidden(out, peers.len().saturating_sub(ROWS), "peers");
        out.push_str("</section>\n");
    }

    fn denials(&self, out: &mut String) {
        let denials = &self.gathered.denials;
        if denials.kinds.is_empty() {
            return;
        }
        let mut rows: Vec<_> = denials.kinds.iter().collect();
        let order = |(who, request, why, watched): &(Id, Id, Id, bool)| {
            (*watched, self.text(*request).0, self.text(*who).0, self.text(*why).0)
        };
        rows.sort_by(|(a, x), (b, y)| y.cmp(x).then_with(|| order(a).cmp(&order(b))));
        out.push_str("<section id=denials>\n<h2>What was denied most</h2>\n<table data-tools>\n<thead><tr><th class=n>times</th><th>request</th><th>peer</th><th>why</th></tr></thead>\n<tbody>\n");
        for ((who, request, why, watched), count) in rows.iter().take(ROWS) {
            let tag = if *watched { " <span class=\"tag audit\">only watched</span>" } else { "" };
            let _ = writeln!(
                out,
                "<tr><td class=n data-n={count}>{}</td><td class=code>{}{tag}</td><td class=who>{}</td><td class=who>{}</td></tr>",
                Number(**count),
                Safe(&cut(self.gathered.texts.text(*request), 160)),
                Safe(&cut(self.gathered.texts.text(*who), 120)),
                self.text(*why)
            );
        }
        out.push_str("</tbody>\n</table>\n");
        hidden(out, rows.len().saturating_sub(ROWS), "kinds of requests");
        not_kept(out, denials.not_kept);
        out.push_str("</section>\n");
    }

    fn faults(&self, out: &mut String) {
        let faults = &self.gathered.faults;
        if faults.kinds.is_empty() {
            return;
        }
        let mut rows: Vec<_> = faults.kinds.iter().collect();
        rows.sort_by(|((a, why_a), x), ((b, why_b), y)| {
            let text = |who: &Id, why: &Id| (self.text(*why).0.to_owned(), self.text(*who).0.to_owned());
            y.cmp(x).then_with(|| text(a, why_a).cmp(&text(b, why_b)))
        });
        out.push_str("<section id=faults>\n<h2>Connections that were closed</h2>\n<p class=soft>For their bytes, or for a fault of a parser.</p>\n<table data-tools>\n<thead><tr><th class=n>times</th><th>why</th><th>peer</th></tr></thead>\n<tbody>\n");
        for ((who, why), count) in rows.iter().take(ROWS) {
            let _ = writeln!(
                out,
                "<tr><td class=n data-n={count}>{}</td><td class=who>{}</td><td class=who>{}</td></tr>",
                Number(**count),
                self.text(*why),
                Safe(&cut(self.gathered.texts.text(*who), 120))
            );
        }
        out.push_str("</tbody>\n</table>\n");
        hidden(out, rows.len().saturating_sub(ROWS), "kinds");
        not_kept(out, faults.not_kept);
        out.push_str("</section>\n");
    }

    fn rules(&self, out: &mut String) {
        let rules = &self.gathered.rules;
        if let Some(unused) = self.unused {
            out.push_str("<section id=unused>\n<h2>Rules never used</h2>\n");
            let _ = writeln!(
                out,
                "<p class=soft>{} of {} rules of the policy decided nothing in this log.</p>",
                Number(unused.rules.len() as u64),
                Number(unused.all)
            );
            if self.gathered.sums.allowed == 0 {
                out.push_str("<p><span class=\"tag audit\">note</span> The log has no allowed requests, so that rules which allow cannot be seen to be used: log with <span class=code>level: requests</span>.</p>\n");
            }
            if unused.rules.is_empty() {
                out.push_str("<p class=good>Every rule was used.</p>\n");
            } else {
                out.push_str("<table data-tools>\n<thead><tr><th>rule</th><th>stands at</th></tr></thead>\n<tbody>\n");
                for (name, place) in unused.rules.iter().take(RULES) {
                    let _ =
                        writeln!(out, "<tr><td class=code>{}</td><td class=code>{}</td></tr>", Safe(name), Safe(place));
                }
                out.push_str("</tbody>\n</table>\n");
                hidden(out, unused.rules.len().saturating_sub(RULES), "rules");
            }
            out.push_str("</section>\n");
        }
        if rules.kinds.is_empty() {
            return;
        }
        let mut rows: Vec<_> = rules.kinds.iter().collect();
        rows.sort_by(|(a, x), (b, y)| y.cmp(x).then_with(|| self.text(**a).0.cmp(self.text(**b).0)));
        let most = rows.first().map_or(1, |(_, count)| **count).max(1);
        out.push_str("<section id=rules>\n<h2>Rules that decided</h2>\n<table data-tools>\n<thead><tr><th>rule</th><th class=n>requests</th></tr></thead>\n<tbody>\n");
        for (rule, count) in rows.iter().take(ROWS) {
            let _ = writeln!(
                out,
                "<tr><td class=code>{}<span class=\"meter allowed\" style=\"width:{:.1}%\"></span></td><td class=n data-n={count}>{}</td></tr>",
                self.text(**rule),
                **count as f64 / most as f64 * 100.0,
                Number(**count)
            );
        }
        out.push_str("</tbody>\n</table>\n");
        hidden(out, rows.len().saturating_sub(ROWS), "rules");
        not_kept(out, rules.not_kept);
        out.push_str("</section>\n");
    }

    fn foot(&self, out: &mut String) {
        out.push_str("<footer>Made by <span class=code>portcullis report</span>. Times are in UTC. Values and secrets are never in the log; keys are as the log has them.</footer>\n");
    }

    /// Kinds with their sums, the most frequent first.
    fn ranked<K>(&self, kinds: HashMap<K, Sums>, name: impl Fn(&dyn Fn(Id) -> String, &K) -> String) -> Vec<(K, Sums)> {
        let text = |id: Id| self.gathered.texts.text(id).to_owned();
        let mut ranked: Vec<_> = kinds.into_iter().map(|(kind, sums)| (name(&text, &kind), kind, sums)).collect();
        ranked.sort_by(|(a, _, x), (b, _, y)| y.all().cmp(&x.all()).then_with(|| a.cmp(b)));
        ranked.into_iter().map(|(_, kind, sums)| (kind, sums)).collect()
    }
}

fn cell(out: &mut String, sums: Sums, most: u64) {
    let all = sums.all();
    if all == 0 {
        out.push_str("<td class=n data-n=0></td>");
        return;
    }
    // By the logarithm: otherwise one busy peer makes all others look idle.
    let heat = 0.10 + 0.42 * (all as f64).ln_1p() / (most as f64).ln_1p();
    let colour = if sums.denied.saturating_mul(2) > all { "hot" } else { "heat" };
    let _ =
        write!(out, "<td class=n data-n={all} style=\"background:rgba(var(--{colour}),{heat:.2})\">{}", Number(all));
    if sums.denied > 0 {
        let _ = write!(out, "<small>{} denied</small>", Number(sums.denied));
    }
    out.push_str("</td>");
}

fn hidden(out: &mut String, more: usize, what: &str) {
    if more > 0 {
        let _ = writeln!(out, "<p class=soft>and {} more {what}</p>", Number(more as u64));
    }
}

fn not_kept(out: &mut String, more: u64) {
    if more > 0 {
        let _ =
            writeln!(out, "<p class=soft>and {} records of further kinds, which were only counted</p>", Number(more));
    }
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or(text)),
        None => text.to_owned(),
    }
}

fn span_of(seconds: i64) -> String {
    let unit = |n: i64, what: &str| if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") };
    match seconds {
        s if s % 86_400 == 0 => unit(s / 86_400, "day"),
        s if s % 3600 == 0 => unit(s / 3600, "hour"),
        s if s % 60 == 0 => unit(s / 60, "minute"),
        s => unit(s, "second"),
    }
}

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// SHA-256 of the script in base64: nothing else can run on the page. The test in Chromium says when it is stale.
const SCRIPT_HASH: &str = "C0AMkediKIHDgeqmNcPPjTGfS7GMpaiLEzIb6fTxl2w=";

/// Bars of the drawing at most.
const BARS: i64 = 120;
/// Rows of a table at most.
const ROWS: usize = 40;
/// Columns of the matrix at most.
const COLUMNS: usize = 12;
/// Reasons for each peer.
const REASONS: usize = 4;
/// Unused rules that are listed.
const RULES: usize = 500;
