//! Where a head ends, found as its bytes come.

use super::{Malformed, Status, is_token};

/// What a TLS client says first.
const TLS_HANDSHAKE: u8 = 0x16;

/// Why neither TLS nor HTTP/2 is understood, and what to do.
pub(super) const NOT_HTTP1: &str = "HTTP/2 (or TLS) on the plaintext side: set alpn_protocols [http/1.1]";

/// Looks for the empty line behind a head, or behind the fields of a chunked body. Each byte is looked at once, however they
/// come. Lines end in CR LF, and neither of these stands anywhere else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeadEnd {
    /// Bytes that were looked at.
    at: usize,
    /// Where the current line begins.
    line: usize,
}

impl HeadEnd {
    /// The length of the head with its empty line, or nothing as long as that has not come. `input` begins as it did before.
    ///
    /// # Errors
    /// Bytes that no head has, or `limit` bytes without an end.
    pub fn find(&mut self, input: &[u8], limit: usize) -> Result<Option<usize>, Malformed> {
        let within = input.get(..limit).unwrap_or(input);
        while let Some(rest) = within.get(self.at..).filter(|rest| !rest.is_empty()) {
            if self.at == self.line {
                self.begin_line(rest.first().copied().unwrap_or_default())?;
            }
            let Some(found) = memchr::memchr3(b'\r', b'\n', 0, rest) else {
                self.at = within.len();
                break;
            };
            self.at = self.at.saturating_add(found);
            match (rest.get(found), rest.get(found.saturating_add(1))) {
                (Some(b'\r'), Some(b'\n')) => {
                    let is_empty = self.at == self.line;
                    self.at = self.at.saturating_add(2);
                    self.line = self.at;
                    if is_empty {
                        return Ok(Some(self.at));
                    }
                }
                (Some(b'\r'), None) => break,
                (Some(b'\r'), Some(_)) => return Err(Malformed::bad("a carriage return without a line feed")),
                (Some(b'\n'), _) => return Err(Malformed::bad("a line feed without a carriage return")),
                _ => return Err(Malformed::bad("a NUL in the head")),
            }
        }
        if within.len() >= limit {
            return Err(Malformed::with(Status::HEAD_TOO_LARGE, "the fields of the request are too large"));
        }
        Ok(None)
    }

    /// A line must not begin in any other way than the name of a field, a method or a version does.
    const fn begin_line(&self, first: u8) -> Result<(), Malformed> {
        match first {
            TLS_HANDSHAKE if self.line == 0 => Err(Malformed { status: None, why: NOT_HTTP1 }),
            b' ' | b'\t' if self.line > 0 => Err(Malformed::bad("a field on more than one line")),
            // Of control characters the search tells what is wrong.
            b'\r' | b'\n' | 0 => Ok(()),
            first if is_token(first) => Ok(()),
            _ => Err(Malformed::bad("a line that begins like no request and no field")),
        }
    }
}
