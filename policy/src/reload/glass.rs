//! The break-glass file: for the worst hour, when traffic must pass whatever policy says of it.

use std::fmt;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;

use super::{Change, Reload, Watch};
use crate::l7::Dialect;
use crate::node::{Node, NodeError, Place, shorten};
use crate::problems::PolicyErrors;

/// The longest time that a file can ask for: who needs more writes `mode: audit` into the policies.
const MAX_SPAN: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How often it is said that the glass is broken.
const REMINDER: Duration = Duration::from_secs(60);

/// What a break-glass file asks for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakGlass {
    mode: Audit,
    until: Until,
    reason: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Audit {
    Audit,
}

/// A moment, and how it was written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Until {
    at: SystemTime,
    written: String,
}

impl BreakGlass {
    /// When policy is enforced again.
    pub const fn until(&self) -> SystemTime {
        self.until.at
    }

    /// The same, as the file has it.
    pub fn until_text(&self) -> &str {
        &self.until.written
    }

    /// What the file gives as the reason, escaped and cut for a log.
    pub fn reason(&self) -> Option<String> {
        self.reason.as_deref().map(shorten)
    }
}

impl fmt::Display for BreakGlass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "all denials by policy are only logged until {}", self.until_text())?;
        match self.reason() {
            Some(reason) => write!(f, "; reason: {reason}"),
            None => Ok(()),
        }
    }
}

#[derive(Debug)]
pub(super) struct Glass {
    path: PathBuf,
    watch: Watch,
    order: Option<BreakGlass>,
    error: Option<String>,
    said: Option<(BreakGlass, SystemTime)>,
}

impl Glass {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { watch: Watch::new([path.clone()]), path, order: None, error: None, said: None }
    }

    pub(super) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// What holds now. A file that became unreadable leaves what it said, until the time that it named.
    pub(super) fn poll(&mut self, now: SystemTime, done: &mut Vec<Reload>) -> Option<BreakGlass> {
        if let Some(change) = self.watch.poll(now) {
            match self.read(change, now) {
                Ok(order) => {
                    self.order = order;
                    self.error = None;
                }
                Err(errors) => {
                    self.error = Some(errors.to_string());
                    done.push(Reload::GlassRefused(errors));
                }
            }
        }
        self.order.clone().filter(|order| order.until() > now)
    }

    /// Whether it is time to say that the glass is broken.
    pub(super) fn speaks(&mut self, new: bool, now: SystemTime) -> bool {
        let Some(order) = &self.order else { return false };
        let known = self.said.as_ref().filter(|(said, _)| !new && said == order);
        let recent = known.is_some_and(|(_, at)| now.duration_since(*at).is_ok_and(|since| since < REMINDER));
        if !recent {
            self.said = Some((order.clone(), now));
        }
        !recent
    }

    fn read(&self, change: Change, now: SystemTime) -> Result<Option<BreakGlass>, PolicyErrors> {
        if std::fs::metadata(&self.path).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            return Ok(None);
        }
        let sources = change.sources?;
        let whole = Place::whole(&self.path.to_string_lossy());
        let [source] = sources.as_slice() else {
            return Err(NodeError::new(&whole, "", "wanted one file, not a directory").into());
        };
        let documents = Node::load(&source.name, &source.text)?;
        let [document] = documents.as_slice() else {
            return Err(NodeError::new(&whole, "", "wanted `mode: audit` and `until`, and no more").into());
        };
        let order: BreakGlass = document.read(Dialect::Strict)?;
        if order.until().duration_since(now).is_ok_and(|span| span > MAX_SPAN) {
            let message = "more than 7 days from now; name an earlier time, or write `mode: audit` into the policies";
            let place = document.entry("until").map_or(&document.place, |until| &until.place);
            return Err(NodeError::new(place, "until", message).into());
        }
        Ok(Some(order))
    }
}

impl TryFrom<String> for Until {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        match parse_moment(&written) {
            Some(at) => Ok(Self { at, written }),
            None => Err(format!("`{}` is not a time; write it as RFC 3339: `2026-01-31T18:30:00Z`", shorten(&written))),
        }
    }
}

/// RFC 3339, section 5.6: `2026-01-31T18:30:00Z`, with a fraction of a second or another offset where one is needed.
fn parse_moment(text: &str) -> Option<SystemTime> {
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let digits = text.get(range)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
    };
    let is = |at: usize, wanted: &[u8]| text.as_bytes().get(at).is_some_and(|b| wanted.contains(b));
    if !(is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":")) {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let rest = text.get(19..)?;
    let zone =
        rest.strip_prefix('.').map_or(rest, |fraction| fraction.trim_start_matches(|c: char| c.is_ascii_digit()));
    let offset = match zone.as_bytes() {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), h1 @ b'0'..=b'2', h2 @ b'0'..=b'9', b':', m1 @ b'0'..=b'5', m2 @ b'0'..=b'9'] => {
            let two = |a: &u8, b: &u8| i64::from(a & 15).saturating_mul(10).saturating_add(i64::from(b & 15));
            let minutes = two(h1, h2).saturating_mul(60).saturating_add(two(m1, m2));
            if *sign == b'-' { minutes.saturating_neg() } else { minutes }
        }
        _ => return None,
    };
    let in_range = (1..=12).contains(&month) && (1..=days_of(year, month)).contains(&day);
    if year < 1970 || !in_range || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let hours = days_since_1970(year, month, day).saturating_mul(24).saturating_add(hour);
    let minutes = hours.saturating_mul(60).saturating_add(minute).saturating_sub(offset);
    let seconds = u64::try_from(minutes.saturating_mul(60).saturating_add(second)).ok()?;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

fn is_leap(year: i64) -> bool {
    (year.rem_euclid(4) == 0 && year.rem_euclid(100) != 0) || year.rem_euclid(400) == 0
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Years have four digits, so that counting is quick enough.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let years: i64 = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum();
    let months: i64 = (1..month).map(|month| days_of(year, month)).sum();
    years.saturating_add(months).saturating_add(day).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_rfc_3339_has_them() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-01-31T18:30:00Z", Some(1_769_884_200)),
            ("2024-02-29T23:59:59Z", Some(1_709_251_199)),
            ("2026-01-31t18:30:00.123z", Some(1_769_884_200)),
            ("2026-01-31T19:30:00+01:00", Some(1_769_884_200)),
            ("2026-01-31T13:00:00-05:30", Some(1_769_884_200)),
            ("2026-02-29T00:00:00Z", None),
            ("2026-13-01T00:00:00Z", None),
            ("2026-01-31T24:00:00Z", None),
            ("2026-01-31T18:30:00", None),
            ("2026-01-31", None),
            ("+026-01-31T18:30:00Z", None),
            ("tomorrow", None),
            ("", None),
        ] {
            let wanted = seconds.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds));
            assert_eq!(parse_moment(text), wanted, "{text}");
        }
    }
}
