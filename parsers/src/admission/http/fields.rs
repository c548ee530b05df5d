//! The fields of a head that say how its message is framed.

use std::mem::MaybeUninit;

use super::{Framing, MAX_FIELDS, Malformed, Status, is_token};

/// Room for the fields of a head.
pub(super) type Room<'a> = [MaybeUninit<httparse::Header<'a>>; MAX_FIELDS];

/// Names that say how a message is framed or read, who sends it, or where it goes. With `_` for `-` they are another name that
/// some servers take for the same, and behind the body there are servers that take them for those in front of it.
const FRAMING_NAMES: [&[u8]; 9] = [
    b"content-length",
    b"transfer-encoding",
    b"host",
    b"connection",
    b"content-type",
    b"content-encoding",
    b"authorization",
    b"expect",
    b"upgrade",
];

/// Checks the lines behind the first one: each is a name, a colon right behind it, and a value. The scan for the end has seen
/// to the ends of lines.
pub(super) fn check_lines(lines: &[u8]) -> Result<(), Malformed> {
    let mut rest = lines;
    while let Some(end) = memchr::memchr(b'\r', rest) {
        let (line, after) = rest.split_at(end);
        rest = after.get(2..).unwrap_or_default();
        if line.is_empty() {
            break;
        }
        let name = memchr::memchr(b':', line).and_then(|colon| line.get(..colon));
        let Some(name) = name else { return Err(Malformed::bad("a field without a colon")) };
        if name.is_empty() {
            return Err(Malformed::bad("a field without a name"));
        }
        if !name.iter().copied().all(is_token) {
            return Err(Malformed::bad("a name of a field with a character that names do not have"));
        }
        if memchr::memchr(b'_', name).is_some() && FRAMING_NAMES.iter().any(|known| is_alike(name, known)) {
            return Err(Malformed::bad("a name of a field with `_`, which servers may take for `-`"));
        }
    }
    Ok(())
}

/// Checks the fields behind a chunked body, as far as that is needed to pass them by.
pub(super) fn check_trailers(lines: &[u8]) -> Result<(), Malformed> {
    check_lines(lines)?;
    let mut room = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let httparse::Status::Complete((_, fields)) = httparse::parse_headers(lines, &mut room)? else {
        return Err(Malformed::bad("fields that end before their end"));
    };
    if fields.iter().any(|field| FRAMING_NAMES.iter().any(|known| field.name.as_bytes().eq_ignore_ascii_case(known))) {
        return Err(Malformed::bad("a field behind the body that may only stand before it"));
    }
    Ok(())
}

fn is_alike(name: &[u8], known: &[u8]) -> bool {
    let dashed = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    name.len() == known.len() && name.iter().map(dashed).eq(known.iter().copied())
}

/// What a body's framing is told by, collected field by field.
#[derive(Default)]
pub(super) struct FramingFields {
    length: Option<u64>,
    chunked: bool,
}

impl FramingFields {
    /// `Content-Length`: digits alone, and once.
    pub(super) fn add_length(&mut self, value: &[u8]) -> Result<(), Malformed> {
        if self.length.is_some() {
            return Err(Malformed::bad("more than one Content-Length"));
        }
        if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
            return Err(Malformed::bad("a Content-Length that is not digits alone"));
        }
        let digit = |sum: u64, digit: &u8| sum.saturating_mul(10).saturating_add(u64::from(digit & 0xf));
        self.length = Some(value.iter().fold(0, digit));
        Ok(())
    }

    /// `Transfer-Encoding`: exactly `chunked`, and once. Other codings, and other ways to write it, are read differently by
    /// different servers.
    pub(super) fn add_coding(&mut self, value: &[u8]) -> Result<(), Malformed> {
        if self.chunked {
            return Err(Malformed::bad("more than one Transfer-Encoding"));
        }
        if value != b"chunked" {
            return Err(Malformed::with(Status::NOT_IMPLEMENTED, "a Transfer-Encoding other than `chunked`"));
        }
        self.chunked = true;
        Ok(())
    }

    /// The framing, where the message is of HTTP/1.`minor`.
    pub(super) const fn finish(&self, minor: u8) -> Result<Framing, Malformed> {
        match (self.length, self.chunked) {
            (Some(_), true) => Err(Malformed::bad("both Content-Length and Transfer-Encoding")),
            (None, true) if minor == 0 => Err(Malformed::bad("a Transfer-Encoding in HTTP/1.0")),
            (None, true) => Ok(Framing::Chunked),
            (Some(length), false) => Ok(Framing::Length(length)),
            (None, false) => Ok(Framing::None),
        }
    }
}

/// What `Connection` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Connection {
    pub(super) close: bool,
    /// Something that whoever passes the message on would have to act on.
    pub(super) other: bool,
}

impl Connection {
    pub(super) fn add(&mut self, value: &[u8]) {
        for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if !option.is_empty() && !option.eq_ignore_ascii_case(b"keep-alive") {
                self.other = true;
            }
        }
    }
}

impl From<httparse::Error> for Malformed {
    fn from(error: httparse::Error) -> Self {
        match error {
            httparse::Error::TooManyHeaders => Self::with(Status::HEAD_TOO_LARGE, "too many fields"),
            httparse::Error::HeaderValue => Self::bad("a value of a field with a control character"),
            httparse::Error::HeaderName => Self::bad("a field without a name or a colon"),
            httparse::Error::Version => Self::with(Status::VERSION, "a version other than HTTP/1.0 and HTTP/1.1"),
            _ => Self::bad("the first line is not one of HTTP/1.1"),
        }
    }
}
