//! Heads of messages as HTTP/1.1 has them, made of what a host tells: the protocol reads the same bytes as on a connection.

use std::io::Write;

use super::fields::{self, Field};

/// The head of a request, with its empty line.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) bytes: Vec<u8>,
    pub(crate) framing: Framing,
}

/// How the body behind a head is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    None,
    Length(u64),
    Chunked,
}

/// Fields that say how a message is framed on its own connection. The host has read them, and this head has its own.
const FRAMING: [&[u8]; 2] = [b"content-length", b"transfer-encoding"];

/// Writes the head of a request. `is_whole` says that no body comes.
///
/// # Errors
/// What cannot be written without its meaning something else. No host that reads HTTP as it is lets that get here.
pub(crate) fn write_request(fields: &[Field<'_>], is_whole: bool) -> Result<Head, &'static str> {
    let pseudo = |name: &str| fields::find(fields, name).filter(|value| !value.is_empty());
    let (method, path) = (pseudo(":method").unwrap_or_default(), pseudo(":path").unwrap_or_default());
    let mut bytes = Vec::new();
    put(&mut bytes, &[method, b" ", path, b" HTTP/1.1\r\n"]);
    if let Some(host) = pseudo(":authority") {
        put(&mut bytes, &[b"Host: ", host, b"\r\n"]);
    }
    let mut framing = if is_whole { Framing::None } else { Framing::Chunked };
    if [method, path, pseudo(":authority").unwrap_or_default()].into_iter().any(|text| !is_line(text)) {
        return Err("a first line with a control character");
    }
    for &(name, value) in fields {
        if matches!(name, b":method" | b":path" | b":authority" | b":scheme") {
            continue;
        }
        if name.is_empty() || !name.iter().copied().all(is_token) {
            return Err("a name of a field with a character that names do not have");
        }
        if !is_line(value) {
            return Err("a value of a field with a control character");
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            let length = length.and_then(|text| text.parse().ok()).ok_or("a Content-Length that is no number")?;
            if matches!(framing, Framing::Length(other) if other != length) {
                return Err("more than one Content-Length");
            }
            framing = Framing::Length(length);
        }
        // The host asks the client to go on, or lets it wait: that is between the two.
        let is_for_host = name.eq_ignore_ascii_case(b"expect") && value.eq_ignore_ascii_case(b"100-continue");
        if !is_for_host && !FRAMING.iter().any(|known| name.eq_ignore_ascii_case(known)) {
            put(&mut bytes, &[name, b": ", value, b"\r\n"]);
        }
    }
    write_framing(&mut bytes, framing);
    Ok(Head { bytes, framing })
}

/// Writes the head of a reply, as far as anybody asks: its status, whether it is encoded, and that its body comes in chunks.
pub(crate) fn write_reply(fields: &[Field<'_>], is_whole: bool) -> Option<Vec<u8>> {
    let status = fields::find(fields, ":status")?;
    if status.len() != 3 || !status.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut bytes = Vec::new();
    put(&mut bytes, &[b"HTTP/1.1 ", status, b"\r\n"]);
    if let Some(encoding) = fields::find(fields, "content-encoding").filter(|encoding| is_line(encoding)) {
        put(&mut bytes, &[b"Content-Encoding: ", encoding, b"\r\n"]);
    }
    write_framing(&mut bytes, if is_whole { Framing::Length(0) } else { Framing::Chunked });
    Some(bytes)
}

/// The line before a chunk of so many bytes. None for no bytes, which would end the body.
pub(crate) fn begin_chunk(size: usize) -> Option<String> {
    (size > 0).then(|| format!("{size:x}\r\n"))
}

/// What is behind a chunk.
pub(crate) const CHUNK_END: &[u8] = b"\r\n";

/// What ends a body in chunks.
pub(crate) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The bytes in chunks that were written here.
pub(crate) fn join_chunks(mut rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(rest.len());
    while let Some(end) = rest.iter().position(|&byte| byte == b'\r') {
        let (line, after) = rest.split_at(end);
        let size = str::from_utf8(line).ok().and_then(|line| usize::from_str_radix(line, 16).ok());
        let chunk = size.filter(|&size| size > 0).and_then(|size| after.get(CHUNK_END.len()..)?.split_at_checked(size));
        let Some((chunk, after)) = chunk else { break };
        out.extend_from_slice(chunk);
        rest = after.get(CHUNK_END.len()..).unwrap_or_default();
    }
    out
}

fn write_framing(out: &mut Vec<u8>, framing: Framing) {
    // Writing to memory does not fail.
    let _ = match framing {
        Framing::None => write!(out, "\r\n"),
        Framing::Length(length) => write!(out, "Content-Length: {length}\r\n\r\n"),
        Framing::Chunked => write!(out, "Transfer-Encoding: chunked\r\n\r\n"),
    };
}

fn put(out: &mut Vec<u8>, parts: &[&[u8]]) {
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

/// Whether a text ends no line.
fn is_line(text: &[u8]) -> bool {
    !text.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0))
}

/// Whether a byte may stand in a name: RFC 9110, section 5.6.2.
const fn is_token(byte: u8) -> bool {
    matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
        || byte.is_ascii_alphanumeric()
}
