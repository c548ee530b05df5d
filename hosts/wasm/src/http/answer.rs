//! The protocol's own answer, taken apart for the host to send.

use std::borrow::Cow;

/// An answer as a host sends it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u32,
    pub(crate) fields: Vec<(&'a str, &'a str)>,
    pub(crate) body: Cow<'a, [u8]>,
}

/// Fields that are the host's own to write.
const OF_HOST: [&str; 2] = ["content-length", "connection"];

/// Longest body that is only told of, for HEAD. Answers to that are a line.
const MAX_TOLD: usize = 64 << 10;

/// Reads the answer that a protocol has written, behind what it may have said in the meantime.
pub(crate) fn read(mut bytes: &[u8]) -> Option<Answer<'_>> {
    loop {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let (head, rest) = bytes.split_at(end);
        let rest = rest.get(4..)?;
        let mut lines = str::from_utf8(head).ok()?.split("\r\n");
        let status: u32 = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        if status < 200 {
            bytes = rest;
            continue;
        }
        let mut length = rest.len();
        let mut fields = Vec::new();
        for line in lines {
            let (name, value) = line.split_once(": ")?;
            if name.eq_ignore_ascii_case("content-length") {
                length = value.parse().ok()?;
            }
            if !OF_HOST.iter().any(|own| name.eq_ignore_ascii_case(own)) {
                fields.push((name, value));
            }
        }
        let mut body = Cow::Borrowed(rest.get(..length).unwrap_or(rest));
        if body.len() < length {
            // The host sends no body in reply to HEAD, but its length.
            body.to_mut().resize(length.min(MAX_TOLD), b' ');
        }
        return Some(Answer { status, fields, body });
    }
}
