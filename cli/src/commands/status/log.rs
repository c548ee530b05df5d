//! What an access log says of the requests so far, or as they come.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::Context;
use indicatif::ProgressBar;
use serde::Serialize;

use crate::accesslog::{self, Lines, Record, Value, Verdict};

/// Requests of one protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Sums {
    pub(super) allowed: u64,
    pub(super) audited: u64,
    pub(super) denied: u64,
    pub(super) errors: u64,
}

/// One denial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Denial {
    pub(super) time: String,
    pub(super) protocol: String,
    pub(super) who: String,
    pub(super) request: String,
    pub(super) why: String,
    pub(super) verdict: &'static str,
}

/// What was seen of a log.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) protocols: BTreeMap<String, Sums>,
    /// The last denials, the last one last.
    pub(super) denials: VecDeque<Denial>,
    pub(super) lines: Lines,
}

impl Seen {
    pub(super) fn load(path: &Path, bar: &ProgressBar) -> anyhow::Result<Self> {
        let mut seen = Self::default();
        seen.lines = accesslog::read_file(path, bar, |record| seen.add(record))?;
        Ok(seen)
    }

    fn add(&mut self, record: &Record<'_>) {
        let protocol = plain(&record.protocol);
        if self.protocols.len() >= MAX_PROTOCOLS && !self.protocols.contains_key(&protocol) {
            return;
        }
        let sums = self.protocols.entry(protocol.clone()).or_default();
        let (counter, verdict) = match record.verdict {
            Verdict::Forwarded => (&mut sums.allowed, ""),
            Verdict::Audit => (&mut sums.audited, "audit"),
            Verdict::Denied => (&mut sums.denied, "denied"),
            Verdict::Error => (&mut sums.errors, "error"),
            Verdict::Reply => return,
        };
        *counter = counter.saturating_add(1);
        if verdict.is_empty() {
            return;
        }
        if self.denials.len() >= LAST {
            self.denials.pop_front();
        }
        let mut request = String::new();
        for (_, value) in record.fields.iter() {
            match value {
                Value::Text(text) => push(&mut request, text),
                Value::List(texts) => texts.iter().for_each(|text| push(&mut request, text)),
                Value::Number(_) => {}
            }
        }
        let time = record.time().map(|time| time.to_string()).unwrap_or_default();
        let why = record.rule.as_deref().or(record.reason.as_deref()).unwrap_or_default();
        self.denials.push_back(Denial {
            time: time.get(..19).unwrap_or(&time).to_owned(),
            protocol,
            who: plain(&record.who()),
            request,
            why: plain(why),
            verdict,
        });
    }
}

fn push(request: &mut String, text: &str) {
    if request.len() < MAX_TEXT {
        if !request.is_empty() {
            request.push(' ');
        }
        request.push_str(&plain(text));
    }
}

/// Text for a terminal: cut, with what could steer the terminal by number.
pub(super) fn plain(text: &str) -> String {
    let shown = text.chars().take(MAX_TEXT);
    let mut out = String::new();
    for character in shown {
        match character {
            ' '..='~' => out.push(character),
            other => out.extend(other.escape_unicode()),
        }
    }
    if text.chars().nth(MAX_TEXT).is_some() {
        out.push_str("...");
    }
    out
}

/// A log that is followed as it grows, also over rotation.
pub(super) struct Tail {
    path: PathBuf,
    file: Option<BufReader<File>>,
    /// The beginning of a line whose end is not there yet.
    begun: Vec<u8>,
    pub(super) seen: Seen,
}

impl Tail {
    /// Begins with the last lines that are there.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let mut tail = Self { path: path.to_owned(), file: None, begun: Vec::new(), seen: Seen::default() };
        let mut file = File::open(path).with_context(|| format!("`{}` cannot be read", path.display()))?;
        let is_dir = file.metadata().is_ok_and(|meta| meta.is_dir());
        anyhow::ensure!(!is_dir, "`{}` is a directory; name one file", path.display());
        let len = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(len.saturating_sub(BEHIND)))?;
        let mut file = BufReader::new(file);
        if len > BEHIND {
            file.skip_until(b'\n')?;
        }
        tail.file = Some(file);
        tail.poll();
        Ok(tail)
    }

    /// Reads what was added.
    pub(super) fn poll(&mut self) {
        if self.was_replaced() {
            self.file = None;
            self.begun.clear();
        }
        if self.file.is_none() {
            self.file = File::open(&self.path).ok().map(BufReader::new);
        }
        let Some(file) = &mut self.file else { return };
        let mut new = std::mem::take(&mut self.begun);
        // What cannot be read now may be later.
        let _ = file.by_ref().take(AT_A_TIME).read_to_end(&mut new);
        let end = memchr::memrchr(b'\n', &new).map_or(0, |end| end.saturating_add(1));
        self.begun = new.split_off(end);
        if self.begun.len() as u64 > AT_A_TIME {
            self.begun.clear();
        }
        let seen = &mut self.seen;
        if let Ok(lines) = accesslog::read(&new[..], |record| seen.add(record)) {
            seen.lines.lines = seen.lines.lines.saturating_add(lines.lines);
            seen.lines.unreadable = seen.lines.unreadable.saturating_add(lines.unreadable);
        }
    }

    /// Whether the path is of another file now, or the file was cut.
    fn was_replaced(&mut self) -> bool {
        use std::os::unix::fs::MetadataExt;
        let (Some(file), Ok(there)) = (&mut self.file, std::fs::metadata(&self.path)) else { return false };
        let position = file.stream_position().unwrap_or_default();
        let same = file.get_ref().metadata().is_ok_and(|ours| (ours.dev(), ours.ino()) == (there.dev(), there.ino()));
        !same || there.len() < position
    }
}

/// Denials that are shown.
pub(super) const LAST: usize = 10;

/// Bytes from the end of a log that are looked at first.
const BEHIND: u64 = 1 << 20;

/// Bytes that are read at a time: a second of a busy listener.
const AT_A_TIME: u64 = 16 << 20;

/// Characters of a text.
const MAX_TEXT: usize = 120;

/// Protocols at most.
const MAX_PROTOCOLS: usize = 100;
