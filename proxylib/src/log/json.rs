//! Records as lines of JSON.

use std::io::Write;
use std::time::SystemTime;

use portcullis_policy::{Fields, Label};

use super::{Entry, Status};

/// Bytes of one record at most, line feed included: what readers with a page for a buffer can take.
pub const MAX_ENTRY: usize = 4096;

/// Bytes of one value at most, before escaping. A key of memcached has 250.
const MAX_VALUE: usize = 256;

/// Values of one list that are shown; the others are counted.
const MAX_LIST: usize = 8;

/// Where labels end at most, from the start of a record: the rest is for the rule, the reason and the fields.
const LABELS_END: usize = 1500;

/// Bytes kept free for names, brackets and the counts of lists.
const RESERVE: usize = 256;

/// The version of the record's shape: raised when a field changes its meaning.
const VERSION: u32 = 1;

/// Appends one record and its line feed.
pub fn write_json(entry: &Entry<'_>, now: SystemTime, out: &mut Vec<u8>) {
    let start = out.len();
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    put(out, format_args!("{{\"v\":{VERSION},\"time\":\"{}\"", Timestamp(since.as_secs(), since.subsec_millis())));
    let kind = match entry.status {
        Status::Reply => "reply",
        Status::Error => "connection",
        Status::Forwarded | Status::Audited | Status::Denied => "request",
    };
    put(out, format_args!(",\"type\":\"{kind}\",\"verdict\":\"{}\"", entry.status.as_str()));
    put(out, format_args!(",\"protocol\":\"{}\"", entry.protocol));
    let meta = entry.meta;
    let traffic = match meta.traffic {
        portcullis_policy::Traffic::Ingress => "ingress",
        portcullis_policy::Traffic::Egress => "egress",
    };
    put(out, format_args!(",\"direction\":\"{traffic}\",\"connection\":{}", meta.id));
    if let Some(source) = meta.source {
        put(out, format_args!(",\"source\":\"{source}\""));
    }
    if let Some(destination) = meta.destination {
        put(out, format_args!(",\"destination\":\"{destination}\""));
    }
    put(out, format_args!(",\"port\":{},\"remote\":{{\"knownBy\":\"{}\"", meta.port, meta.remote.known_by.as_str()));
    if let Some(certificate) = meta.remote.certificate() {
        out.extend_from_slice(b",\"name\":");
        quote(out, certificate.to_string().as_bytes(), start.saturating_add(LABELS_END));
    }
    out.extend_from_slice(b",\"labels\":{");
    let mut labels = Members { end: start.saturating_add(LABELS_END), out, first: true };
    for label in meta.remote.labels.iter() {
        labels.label(label);
    }
    put(out, format_args!("}}}},\"generation\":{}", entry.generation));
    let end = start.saturating_add(MAX_ENTRY).saturating_sub(RESERVE);
    if let Some(rule) = entry.rule {
        out.extend_from_slice(b",\"rule\":");
        quote(out, rule.name.as_bytes(), end);
    }
    if !entry.reason.is_empty() && entry.status != Status::Forwarded {
        out.extend_from_slice(b",\"reason\":");
        quote(out, entry.reason.as_bytes(), end);
    }
    if let Some(described) = entry.fields {
        out.extend_from_slice(b",\"fields\":{");
        described.describe(&mut Members { end, out, first: true });
        out.push(b'}');
    }
    out.extend_from_slice(b"}\n");
}

/// Writes members of an object, until there is no more room.
struct Members<'a> {
    out: &'a mut Vec<u8>,
    end: usize,
    first: bool,
}

impl Members<'_> {
    fn label(&mut self, label: &Label) {
        let name = if label.source.is_empty() { label.key.clone() } else { format!("{}:{}", label.source, label.key) };
        if self.fits(name.len().saturating_add(label.value.len())) {
            self.name(&name);
            quote(self.out, label.value.as_bytes(), self.end);
        }
    }

    fn name(&mut self, name: &str) {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        quote(self.out, name.as_bytes(), self.end);
        self.out.push(b':');
    }

    /// Whether a value of this many bytes and its name fit, each byte escaped to six at worst.
    fn fits(&self, len: usize) -> bool {
        let worst = len.min(MAX_VALUE).saturating_add(16).saturating_mul(6);
        self.out.len().saturating_add(worst) <= self.end
    }
}

impl Fields for Members<'_> {
    fn text(&mut self, name: &'static str, value: &[u8]) {
        if self.fits(value.len()) {
            self.name(name);
            quote(self.out, value, self.end);
        }
    }

    fn list(&mut self, name: &'static str, values: &mut dyn Iterator<Item = &[u8]>) {
        self.name(name);
        self.out.push(b'[');
        let mut shown = 0_usize;
        let mut hidden = 0_usize;
        for value in values {
            if shown == MAX_LIST || !self.fits(value.len()) {
                hidden = hidden.saturating_add(1);
                continue;
            }
            if shown > 0 {
                self.out.push(b',');
            }
            quote(self.out, value, self.end);
            shown = shown.saturating_add(1);
        }
        self.out.push(b']');
        if hidden > 0 {
            put(self.out, format_args!(",\"{name}NotShown\":{hidden}"));
        }
    }
}

/// Writes text in quotes, all but plain ASCII escaped, cut to what fits before `end`.
fn quote(out: &mut Vec<u8>, value: &[u8], end: usize) {
    // A byte becomes six at worst: a control character by its number.
    let room = end.saturating_sub(out.len()).checked_div(6).unwrap_or_default();
    let most = MAX_VALUE.min(room);
    let (shown, cut) = match value.get(..most) {
        Some(shown) if value.len() > most => (shown, true),
        _ => (value, false),
    };
    out.push(b'"');
    for chunk in shown.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                ' '..='~' => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
                // Beyond ASCII there are characters that reorder or hide text: a log shows them by number.
                _ => {
                    character.encode_utf16(&mut [0; 2]).iter().for_each(|unit| put(out, format_args!("\\u{unit:04x}")))
                }
            }
        }
        for byte in chunk.invalid() {
            put(out, format_args!("\\\\x{byte:02x}"));
        }
    }
    if cut {
        out.extend_from_slice(b"...");
    }
    out.push(b'"');
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a vector cannot fail.
    let _ = out.write_fmt(text);
}

/// Seconds and milliseconds since 1970 in UTC, as RFC 3339 writes them.
struct Timestamp(u64, u32);

impl std::fmt::Display for Timestamp {
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "bounded: a u64 of seconds divided into days stays far inside u64"
    )]
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(seconds, millis) = *self;
        let (days, of_day) = (seconds / 86_400, seconds % 86_400);
        // Days to a civil date, by Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}
