//! Reads our access logs: lines of JSON.

mod record;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use anyhow::Context;
use indicatif::ProgressBar;
use serde::Serialize;

pub(crate) use record::{Record, Value, Verdict, address_of};

/// What was found in a log besides records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Lines {
    /// All lines, but for empty ones.
    pub(crate) lines: u64,
    /// Lines that are no records, and the number of the first of them.
    pub(crate) unreadable: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) first_unreadable: Option<u64>,
    /// Records of another version of the log.
    pub(crate) other_version: u64,
}

impl Lines {
    /// What the reader should know, if anything.
    pub(crate) fn remark(&self) -> Option<String> {
        let unreadable = self.first_unreadable.map(|first| {
            format!(
                "{} of {} lines are no records of an access log, the first of them line {first}",
                self.unreadable, self.lines
            )
        });
        let other = (self.other_version > 0).then(|| {
            format!(
                "{} records are of another version of the log than {VERSION}, and were left out",
                self.other_version
            )
        });
        let remarks: Vec<_> = unreadable.into_iter().chain(other).collect();
        (!remarks.is_empty()).then(|| remarks.join("; "))
    }
}

/// Whether a file begins like a log: with an object.
pub(crate) fn is_log(head: &[u8]) -> bool {
    head.trim_ascii_start().starts_with(b"{")
}

/// Hands on each record of a file, or of the standard input for `-`.
pub(crate) fn read_file(path: &Path, bar: &ProgressBar, on_record: impl FnMut(&Record<'_>)) -> anyhow::Result<Lines> {
    let context = || format!("`{}` cannot be read", path.display());
    if path.as_os_str() == "-" {
        return read(io::stdin().lock(), on_record).with_context(context);
    }
    let file = File::open(path).with_context(context)?;
    if let Ok(meta) = file.metadata() {
        anyhow::ensure!(!meta.is_dir(), "`{}` is a directory; name one file", path.display());
        bar.inc_length(meta.len());
    }
    read(bar.wrap_read(file), on_record).with_context(context)
}

/// Hands on each record of a log.
pub(crate) fn read(reader: impl Read, mut on_record: impl FnMut(&Record<'_>)) -> io::Result<Lines> {
    let mut reader = BufReader::with_capacity(BUFFER, reader);
    let mut lines = Lines::default();
    let mut line = Vec::new();
    let mut number = 0_u64;
    loop {
        line.clear();
        if reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(lines);
        }
        number = number.saturating_add(1);
        let whole = line.last() == Some(&b'\n') || (line.len() as u64) < MAX_LINE;
        if !whole {
            skip_line(&mut reader)?;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        lines.lines = lines.lines.saturating_add(1);
        match serde_json::from_slice::<Record<'_>>(&line) {
            Ok(record) if whole && record.v == VERSION => on_record(&record),
            Ok(_) if whole => lines.other_version = lines.other_version.saturating_add(1),
            _ => {
                lines.unreadable = lines.unreadable.saturating_add(1);
                lines.first_unreadable.get_or_insert(number);
            }
        }
    }
}

/// Leaves out what is left of a line.
fn skip_line(reader: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = reader.fill_buf()?;
        let (len, done) = match memchr::memchr(b'\n', buffer) {
            Some(end) => (end.saturating_add(1), true),
            None => (buffer.len(), buffer.is_empty()),
        };
        reader.consume(len);
        if done {
            return Ok(());
        }
    }
}

/// The version of records that is read (`v`).
const VERSION: u32 = 1;

/// Bytes of a line at most: sixteen times what a record has.
const MAX_LINE: u64 = 64 << 10;

/// Bytes that are read at a time.
const BUFFER: usize = 256 << 10;
