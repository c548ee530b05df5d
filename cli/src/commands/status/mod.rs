//! `portcullis status`.

mod files;
mod log;
mod metrics;

use std::path::PathBuf;
use std::time::SystemTime;

use serde_json::json;

use self::files::{StatusFile, span};
use self::log::{Denial, Seen, Sums, Tail};
use self::metrics::Metrics;
use crate::exit::{Exit, Usage};
use crate::output::{Look, Output};

/// Where it is told how things stand. Any of them, and several.
#[derive(clap::Args)]
pub(crate) struct Sources {
    /// A status file of a listener (`statusFile` of the filter). May be given several times.
    #[arg(long, value_name = "FILE")]
    status_file: Vec<PathBuf>,
    /// Envoy's metrics: `http://127.0.0.1:9901/stats/prometheus`, or a file of them.
    #[arg(long, value_name = "URL")]
    metrics: Option<String>,
    /// An access log.
    #[arg(long, value_name = "FILE")]
    access_log: Option<PathBuf>,
}

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    sources: Sources,
}

pub(crate) fn run(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    let sources = &args.sources;
    sources.check()?;
    let bar = out.progress(0, "bytes");
    let log = sources.access_log.as_deref().map(|path| Seen::load(path, &bar)).transpose();
    bar.finish_and_clear();
    let (log, fault) = match log {
        Ok(log) => (log, None),
        Err(error) => (None, Some(error)),
    };
    let mut state = sources.look();
    state.log = log;
    state.faults.extend(fault);
    if out.is_json() {
        out.json(&state.json())?;
    } else {
        for Line(look, text) in state.lines(None) {
            let text = look.map_or_else(|| text.clone(), |look| out.paint(look, &text));
            out.line(text)?;
        }
    }
    if let Some(remark) = state.log.as_ref().and_then(|log| log.lines.remark()) {
        out.note(remark);
    }
    let well = state.is_well();
    let mut faults = state.faults.into_iter();
    match faults.next() {
        Some(first) => {
            faults.for_each(|fault| out.error(&fault));
            Err(first)
        }
        None => Ok(Exit::well_if(well)),
    }
}

impl Sources {
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        if self.status_file.is_empty() && self.metrics.is_none() && self.access_log.is_none() {
            let message = "say where to look: `--status-file`, `--metrics`, `--access-log`, any of them";
            return Err(Usage(message.to_owned()).into());
        }
        Ok(())
    }

    /// Looks at everything but the log.
    fn look(&self) -> State {
        let now = SystemTime::now();
        let mut state = State::default();
        for path in &self.status_file {
            match StatusFile::load(path, now) {
                Ok(file) => state.files.push(file),
                Err(error) => state.faults.push(error),
            }
        }
        match self.metrics.as_deref().map(metrics::load).transpose() {
            Ok(metrics) => state.metrics = metrics,
            Err(error) => state.faults.push(error),
        }
        state
    }
}

/// How things stand at some time.
#[derive(Default)]
pub(crate) struct State {
    files: Vec<StatusFile>,
    metrics: Option<Metrics>,
    log: Option<Seen>,
    /// What could not be looked at.
    faults: Vec<anyhow::Error>,
}

/// A line, and how it looks.
pub(crate) struct Line(pub(crate) Option<Look>, pub(crate) String);

/// One row for a protocol: its name, and the numbers of [`HEAD`].
type Row = (String, Vec<Option<u64>>);

/// What is shown of each protocol. The first four are counters, of which `top` shows the rate.
const HEAD: [&str; 9] = ["requests", "denied", "watched", "errors", "connections", "generation", "age", "bad", "glass"];

impl State {
    fn is_well(&self) -> bool {
        let metric =
            |values: &std::collections::BTreeMap<String, u64>, name: &str| values.get(name).copied().unwrap_or(0);
        let bad = |values| ["policy_bad", "break_glass", "panics"].iter().any(|name| metric(values, name) > 0);
        self.files.iter().all(StatusFile::is_well) && !self.metrics.iter().flat_map(Metrics::values).any(bad)
    }

    /// Protocols with their numbers: from the metrics, or else from the log.
    fn rows(&self) -> Vec<Row> {
        if let Some(metrics) = &self.metrics {
            let row = |(protocol, values): (&String, &std::collections::BTreeMap<String, u64>)| {
                let get = |name: &str| values.get(name).copied();
                let sum =
                    ["forwarded_requests", "denied_requests", "audit_requests"].map(|name| get(name).unwrap_or(0));
                let numbers = vec![
                    Some(sum.iter().fold(0_u64, |all, one| all.saturating_add(*one))),
                    get("denied_requests").or(Some(0)),
                    get("audit_requests").or(Some(0)),
                    get("errors"),
                    get("connections_active"),
                    get("policy_generation"),
                    get("policy_age_seconds"),
                    get("policy_bad"),
                    get("break_glass"),
                ];
                (protocol.clone(), numbers)
            };
            return metrics.iter().map(row).collect();
        }
        let row = |(protocol, sums): (&String, &Sums)| {
            let Sums { allowed, audited, denied, errors } = *sums;
            let all = allowed.saturating_add(audited).saturating_add(denied);
            let mut numbers = vec![Some(all), Some(denied), Some(audited), Some(errors)];
            numbers.resize(HEAD.len(), None);
            (protocol.clone(), numbers)
        };
        self.log.iter().flat_map(|log| &log.protocols).map(row).collect()
    }

    /// All of it as lines. `before`: the counters some seconds ago, for rates.
    fn lines(&self, before: Option<(&[Row], f64)>) -> Vec<Line> {
        let mut lines = Vec::new();
        if !self.files.is_empty() {
            lines.push(Line(Some(Look::Strong), "listeners".to_owned()));
            let mut table = vec![["", "state", "generation", "age", "refused", ""].map(str::to_owned).to_vec()];
            let mut looks = vec![Some(Look::Faint)];
            for file in &self.files {
                let age = file.age.map_or_else(|| "never".to_owned(), span);
                let refused = file.written.refused.to_string();
                let generation = file.written.generation.to_string();
                table.push(vec![
                    file.file.clone(),
                    file.written.status.clone(),
                    generation,
                    age,
                    refused,
                    file.remark(),
                ]);
                looks.push(Some(if file.is_well() { Look::Good } else { Look::Bad }));
            }
            lines.extend(looks.into_iter().zip(align(&table)).map(|(look, text)| Line(look, text)));
        }
        let rows = self.rows();
        if !rows.is_empty() {
            if !lines.is_empty() {
                lines.push(Line(None, String::new()));
            }
            let of = if self.metrics.is_some() { "by the metrics" } else { "by the access log" };
            lines.push(Line(Some(Look::Strong), format!("protocols, {of}")));
            lines.extend(protocol_lines(&rows, before));
        }
        if let Some(log) = &self.log {
            if !lines.is_empty() {
                lines.push(Line(None, String::new()));
            }
            lines.push(Line(Some(Look::Strong), "last denials".to_owned()));
            if log.denials.is_empty() {
                lines.push(Line(None, "  none in the log".to_owned()));
            }
            let cells = |denial: &Denial| {
                let Denial { time, protocol, who, request, why, verdict } = denial;
                let cells = [&time.replace('T', " "), *verdict, protocol, request, who, why];
                cells.map(str::to_owned).to_vec()
            };
            let table: Vec<_> = log.denials.iter().rev().map(cells).collect();
            lines.extend(align(&table).into_iter().map(|text| Line(None, text)));
        }
        for fault in &self.faults {
            lines.push(Line(Some(Look::Bad), format!("{fault:#}")));
        }
        lines
    }

    fn json(&self) -> serde_json::Value {
        let protocols = self.rows().into_iter().map(|(protocol, numbers)| {
            let mut object = serde_json::Map::from_iter([("protocol".to_owned(), json!(protocol))]);
            for (name, number) in HEAD.iter().zip(numbers) {
                if let Some(number) = number {
                    object.insert((*name).to_owned(), json!(number));
                }
            }
            object
        });
        json!({
            "well": self.is_well() && self.faults.is_empty(),
            "listeners": self.files,
            "protocols": protocols.collect::<Vec<_>>(),
            "metrics": self.metrics,
            "denials": self.log.as_ref().map(|log| &log.denials),
            "lines": self.log.as_ref().map(|log| log.lines),
            "faults": self.faults.iter().map(|fault| format!("{fault:#}")).collect::<Vec<_>>(),
        })
    }
}

fn protocol_lines(rows: &[Row], before: Option<(&[Row], f64)>) -> Vec<Line> {
    let used: Vec<_> =
        (0..HEAD.len()).filter(|n| rows.iter().any(|(_, row)| row.get(*n).copied().flatten().is_some())).collect();
    let mut head = vec![String::new()];
    for n in &used {
        head.push(HEAD.get(*n).copied().unwrap_or_default().to_owned());
        if before.is_some() && *n < 2 {
            head.push("/s".to_owned());
        }
    }
    let mut table = vec![head];
    for (protocol, numbers) in rows {
        let mut cells = vec![protocol.clone()];
        for n in &used {
            let value = numbers.get(*n).copied().flatten();
            cells.push(match (value, HEAD.get(*n)) {
                (Some(seconds), Some(&"age")) => span(seconds),
                (Some(flag), Some(&("bad" | "glass"))) => if flag > 0 { "yes" } else { "no" }.to_owned(),
                (Some(value), _) => value.to_string(),
                (None, _) => String::new(),
            });
            if let Some((rows, seconds)) = before.filter(|_| *n < 2) {
                let was =
                    rows.iter().find(|(name, _)| name == protocol).and_then(|(_, row)| row.get(*n).copied().flatten());
                let more = value.unwrap_or(0).saturating_sub(was.or(value).unwrap_or(0));
                cells.push(format!("{:.0}", more as f64 / seconds.max(0.001)));
            }
        }
        table.push(cells);
    }
    let looks = std::iter::once(Some(Look::Faint)).chain(std::iter::repeat(None));
    looks.zip(align(&table)).map(|(look, text)| Line(look, text)).collect()
}

/// Columns of equal width; those of numbers to the right, with their heads.
fn align(table: &[Vec<String>]) -> Vec<String> {
    let columns = table.iter().map(Vec::len).max().unwrap_or_default();
    let cell = |row: &Vec<String>, n: usize| row.get(n).cloned().unwrap_or_default();
    let width = |n: usize| table.iter().map(|row| cell(row, n).chars().count()).max().unwrap_or_default();
    let is_number = |n: usize| {
        let starts = |text: &String| text.starts_with(|first: char| first.is_ascii_digit());
        n > 0
            && table.len() > 1
            && table.iter().skip(1).all(|row| row.get(n).is_some_and(|text| text.len() < 14 && starts(text)))
    };
    let columns: Vec<_> = (0..columns).map(|n| (width(n), is_number(n))).collect();
    let line = |row: &Vec<String>| {
        let cells = columns.iter().enumerate().map(|(n, (width, number))| {
            let text = cell(row, n);
            if *number { format!("{text:>width$}") } else { format!("{text:width$}") }
        });
        format!("  {}", cells.collect::<Vec<_>>().join("  ")).trim_end().to_owned()
    };
    table.iter().map(line).collect()
}

/// Everything that `top` looks at again and again.
pub(crate) struct Watcher<'a> {
    sources: &'a Sources,
    tail: Option<Tail>,
    before: Option<(Vec<Row>, std::time::Instant)>,
}

impl<'a> Watcher<'a> {
    pub(crate) fn new(sources: &'a Sources) -> anyhow::Result<Self> {
        sources.check()?;
        let tail = sources.access_log.as_deref().map(Tail::open).transpose()?;
        Ok(Self { sources, tail, before: None })
    }

    /// Looks again.
    pub(crate) fn look(&mut self) -> Vec<Line> {
        let mut state = self.sources.look();
        if let Some(tail) = &mut self.tail {
            tail.poll();
            state.log = Some(tail.seen.clone());
        }
        let before = self.before.as_ref().map(|(rows, at)| (rows.as_slice(), at.elapsed().as_secs_f64()));
        let lines = state.lines(before);
        self.before = Some((state.rows(), std::time::Instant::now()));
        lines
    }
}
