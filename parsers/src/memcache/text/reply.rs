//! Replies of the text protocol, line by line. Values are counted, never searched.

use super::line::{block, unsigned};
#[cfg(feature = "mutants")]
use crate::memcache::mutants::{self, Mutant};
use crate::memcache::request::Words;

/// What the reply to a command looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// One line.
    Line,
    /// `VALUE` lines, each with a value after it, up to `END`.
    Values,
    /// `STAT`, `ITEM` or `PREFIX` lines up to `END`, or one line.
    Stats,
    /// One line of two letters and flags; after `VA` a value.
    Meta,
    /// The answer to `mn`.
    Noop,
    /// Lines with keys up to this one, or one line.
    Dump(&'static [u8]),
    /// `OK`, and then whatever happens for as long as the connection lasts; or one line.
    Watch,
    /// The server closes.
    Quit,
}

/// A line of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// This many bytes follow it, then more lines.
    More(u64),
    /// This many bytes follow it and end the reply.
    End(u64),
    /// Everything from here on belongs to the reply.
    Stream,
}

/// Reads a line of a reply, without its line end. Nothing if no such reply has such a line.
pub(super) fn read(shape: Shape, line: &[u8]) -> Option<Part> {
    let one_line = Some(Part::End(0));
    if is_error(line) {
        return if shape == Shape::Noop || shape == Shape::Quit { None } else { one_line };
    }
    match shape {
        Shape::Line => (!is_start_of_more(line)).then_some(Part::End(0)),
        Shape::Values if line == b"END" => one_line,
        #[cfg(feature = "mutants")]
        Shape::Values if mutants::is(Mutant::EndInValue) => Some(Part::More(0)),
        Shape::Values => value(line),
        Shape::Stats if [&b"STAT "[..], b"ITEM ", b"PREFIX "].iter().any(|word| line.starts_with(word)) => {
            Some(Part::More(0))
        }
        Shape::Stats => matches!(line, b"END" | b"RESET" | b"OK").then_some(Part::End(0)),
        Shape::Meta => meta(line),
        Shape::Noop => (line == b"MN").then_some(Part::End(0)),
        Shape::Dump(end) if line == end => one_line,
        // Newer versions begin with `OK`; older ones do not.
        Shape::Dump(_) if line == b"OK" || line.starts_with(b"key=") || line.starts_with(b"mg ") => Some(Part::More(0)),
        Shape::Dump(_) => (!is_start_of_more(line)).then_some(Part::End(0)),
        Shape::Watch if line == b"OK" => Some(Part::Stream),
        Shape::Watch => (!is_start_of_more(line)).then_some(Part::End(0)),
        Shape::Quit => None,
    }
}

/// Whether the line reports an error: it ends any reply, and may come unasked.
pub(super) fn is_error(line: &[u8]) -> bool {
    [&b"ERROR"[..], b"CLIENT_ERROR", b"SERVER_ERROR"].iter().any(|word| line.starts_with(word))
}

/// Whether more would follow the line if it were what it looks like, so that it cannot be the only one.
fn is_start_of_more(line: &[u8]) -> bool {
    line == b"END" || [&b"VALUE "[..], b"VA ", b"STAT "].iter().any(|word| line.starts_with(word))
}

/// `VALUE <key> <flags> <bytes> [<cas unique>]`
fn value(line: &[u8]) -> Option<Part> {
    let mut words = Words::new(line.strip_prefix(b"VALUE ")?);
    let (_key, flags, bytes) = (words.next()?, words.next()?, words.next()?);
    unsigned(flags, 20)?;
    if let Some(unique) = words.next() {
        unsigned(unique, 20)?;
    }
    let bytes = u32::try_from(unsigned(bytes, 10)?).ok()?;
    words.next().is_none().then_some(Part::More(block(bytes)))
}

/// `VA <bytes> <flags>*`, or another two letters.
fn meta(line: &[u8]) -> Option<Part> {
    let mut words = Words::new(line);
    match words.next()? {
        b"VA" => Some(Part::End(block(u32::try_from(unsigned(words.next()?, 10)?).ok()?))),
        b"HD" | b"EN" | b"NF" | b"NS" | b"EX" | b"ME" | b"OK" => Some(Part::End(0)),
        _ => None,
    }
}
