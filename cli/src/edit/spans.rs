//! Where the values of a YAML text begin and end.

use std::collections::HashMap;
use std::ops::Range;

use portcullis_policy::Place;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

/// Ranges of bytes by the places where values begin.
pub(crate) struct Spans {
    scalars: HashMap<(u32, u32), Range<usize>>,
    /// Lists and maps. A map in block style begins where its first key does, so that both are in the same place.
    collections: HashMap<(u32, u32), Range<usize>>,
    /// Lists and maps in brackets.
    brackets: Vec<Range<usize>>,
    /// From a key to the end of its value, by the place of the key.
    entries: HashMap<(u32, u32), Range<usize>>,
}

struct Open {
    place: (u32, u32),
    start: usize,
    /// The end of the last value within.
    end: usize,
    is_map: bool,
    key: Option<((u32, u32), usize)>,
}

impl Spans {
    /// Reads a text that the policy loader has read: it is within that one's limits.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mark = text.strip_prefix('\u{feff}').map_or(0, |_| '\u{feff}'.len_utf8());
        let body = &text[mark..];
        let lines = Lines::of(text, mark);
        let at = |marker: &Marker| lines.offset(text, marker);
        let mut spans = Self {
            scalars: HashMap::new(),
            collections: HashMap::new(),
            brackets: Vec::new(),
            entries: HashMap::new(),
        };
        let mut open: Vec<Open> = Vec::new();
        // Read as the policy loader does, so that places are the same.
        for event in Parser::new_from_iter(body.chars()) {
            let (event, span) = event.ok()?;
            let place = (u32::try_from(span.start.line()).ok()?, u32::try_from(span.start.col()).ok()?.checked_add(1)?);
            let (start, end) = (at(&span.start), at(&span.end));
            match event {
                Event::SequenceStart(..) | Event::MappingStart(..) => {
                    let is_map = matches!(event, Event::MappingStart(..));
                    open.push(Open { place, start, end: start, is_map, key: None });
                }
                Event::Scalar(value, style, ..) => {
                    let written = text.get(start..)?;
                    let (start, end) = match style {
                        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => (start, start + quoted(written)?),
                        // What is not written is told with the place of what comes next.
                        ScalarStyle::Plain if !value.chars().next().is_some_and(|first| written.starts_with(first)) => {
                            let end = text.get(..start)?.trim_end().len();
                            let colon = written.trim_start().starts_with(':');
                            let end = if colon { end + text.get(end..)?.find(':')? + 1 } else { end };
                            (end, end)
                        }
                        _ => (start, start + text.get(start..end)?.trim_end().len()),
                    };
                    // Of a block in many lines the indentation would have to be told.
                    if !matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
                        spans.scalars.insert(place, start..end);
                    }
                    spans.close(&mut open, place, start, end);
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    let done = open.pop()?;
                    // In brackets the end is told; in block style it is where the last value ends.
                    let opens = text.get(done.start..)?.starts_with(['[', '{']);
                    let bracket = opens && text.get(start..)?.starts_with([']', '}']);
                    let end = if bracket { start + 1 } else { done.end };
                    if opens {
                        spans.brackets.push(done.start..end);
                    }
                    // A list that is not indented is told with the place of its first item, which came before it.
                    spans.collections.entry(done.place).or_insert(done.start..end);
                    spans.close(&mut open, done.place, done.start, end);
                }
                _ => {}
            }
        }
        Some(spans)
    }

    /// Notes that a value ends.
    fn close(&mut self, open: &mut [Open], place: (u32, u32), start: usize, end: usize) {
        let Some(outer) = open.last_mut() else { return };
        outer.end = outer.end.max(end);
        if !outer.is_map {
            return;
        }
        match outer.key.take() {
            None => outer.key = Some((place, start)),
            Some((key, from)) => drop(self.entries.insert(key, from..end)),
        }
    }

    pub(crate) fn scalar(&self, place: &Place) -> Option<Range<usize>> {
        self.scalars.get(&(place.line, place.column)).cloned()
    }

    /// A value of any kind: where a map and its first key begin together, the map.
    pub(crate) fn whole(&self, place: &Place) -> Option<Range<usize>> {
        let key = (place.line, place.column);
        self.collections.get(&key).or_else(|| self.scalars.get(&key)).cloned()
    }

    /// Whether what begins there is within brackets.
    pub(crate) fn in_brackets(&self, at: usize) -> bool {
        self.brackets.iter().any(|range| range.start < at && at < range.end)
    }

    pub(crate) fn entry(&self, key: &Place) -> Option<Range<usize>> {
        self.entries.get(&(key.line, key.column)).cloned()
    }
}

/// Where lines begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str, first: usize) -> Self {
        let mut starts = vec![first];
        let bytes = text.as_bytes();
        for (at, byte) in bytes.iter().enumerate() {
            if *byte == b'\n' || *byte == b'\r' && bytes.get(at + 1) != Some(&b'\n') {
                starts.push(at + 1);
            }
        }
        Self(starts)
    }

    /// The byte of a place that is told in lines and characters.
    fn offset(&self, text: &str, marker: &Marker) -> usize {
        let start = marker.line().checked_sub(1).and_then(|line| self.0.get(line)).copied().unwrap_or(text.len());
        let rest = &text[start..];
        rest.char_indices().nth(marker.col()).map_or(text.len(), |(at, _)| start + at)
    }
}

/// Bytes of a text in quotes, with them.
fn quoted(text: &str) -> Option<usize> {
    let quote = text.chars().next()?;
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\\' && quote == '"' {
            chars.next();
        } else if c == quote {
            // In single quotes, two of them are one.
            if quote == '\'' && chars.peek().is_some_and(|(_, next)| *next == quote) {
                chars.next();
            } else {
                return Some(at + c.len_utf8());
            }
        }
    }
    None
}
