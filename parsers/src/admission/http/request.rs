//! The head of a request.

use std::mem::MaybeUninit;

use super::end::NOT_HTTP1;
use super::fields::{Connection, FramingFields, Room, check_lines};
use super::{Framing, MAX_FIELDS, Malformed, Status, is_token};

/// The head of a request, borrowed from the wire.
#[derive(Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// As it is written: methods know upper and lower case.
    pub method: &'a str,
    /// The path, as it is written: nothing is decoded.
    pub path: &'a str,
    /// What stands behind the first `?`.
    pub query: Option<&'a str>,
    /// How the body is framed.
    pub framing: Framing,
    /// Whether the connection ends with this request.
    pub close: bool,
    /// What the client waits for before it sends the body.
    pub expect: Expect,
    /// What the body is said to be.
    pub media: Media,
    /// Whether the body is compressed, or so it is said.
    pub is_encoded: bool,
    /// The token of `Authorization: Bearer`.
    pub token: Option<&'a [u8]>,
    /// Whether the head asks for something that must not be passed on: another protocol, a tunnel, or fields for the next hop
    /// alone.
    pub is_for_this_hop: bool,
}

/// What a client waits for before it sends a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing.
    Nothing,
    /// `100 Continue`.
    Continue,
    /// Something that there is not.
    Other,
}

/// What a body is said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// Nothing is said.
    Absent,
    /// JSON, in UTF-8.
    Json,
    /// Anything else.
    Other,
}

impl<'a> Head<'a> {
    /// Reads a head with its empty line, whose end [`HeadEnd`](super::HeadEnd) found.
    ///
    /// # Errors
    /// A head that not every server reads alike, or none.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let first = memchr::memchr(b'\r', bytes).and_then(|end| bytes.split_at_checked(end));
        let Some((line, fields)) = first else { return Err(Malformed::bad("a request without a line")) };
        check_request_line(line)?;
        check_lines(fields.get(2..).unwrap_or_default())?;
        let mut room: Room<'a> = [const { MaybeUninit::uninit() }; MAX_FIELDS];
        let mut request = httparse::Request::new(&mut []);
        let status = request.parse_with_uninit_headers(bytes, &mut room)?;
        let whole = status == httparse::Status::Complete(bytes.len());
        let (true, Some(method), Some(target), Some(minor)) = (whole, request.method, request.path, request.version)
        else {
            return Err(Malformed::bad("a head that ends before its end"));
        };
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let mut head = Self {
            method,
            path,
            query,
            framing: Framing::None,
            close: minor == 0,
            expect: Expect::Nothing,
            media: Media::Absent,
            is_encoded: false,
            token: None,
            // A server that takes `CONNECT` makes a tunnel of the connection, and one to which `head` is HEAD sends no body.
            is_for_this_hop: method.eq_ignore_ascii_case("CONNECT")
                || (method != "HEAD" && method.eq_ignore_ascii_case("HEAD")),
        };
        head.read_fields(request.headers, minor)?;
        Ok(head)
    }

    fn read_fields(&mut self, fields: &[httparse::Header<'a>], minor: u8) -> Result<(), Malformed> {
        let mut framing = FramingFields::default();
        let mut connection = Connection::default();
        let mut hosts = 0_usize;
        let mut types = 0_usize;
        let mut authorizations = 0_usize;
        for &httparse::Header { name, value } in fields {
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            // By length first: most names are none of these.
            match name.len() {
                4 if is("host") => {
                    hosts = hosts.saturating_add(1);
                    if !value.iter().all(|&byte| is_of_authority(byte)) {
                        return Err(Malformed::bad("a Host that is none"));
                    }
                }
                6 if is("expect") => {
                    let is_new = self.expect == Expect::Nothing;
                    let known = is_new && value.eq_ignore_ascii_case(b"100-continue");
                    self.expect = if known { Expect::Continue } else { Expect::Other };
                }
                7 if is("upgrade") => self.is_for_this_hop = true,
                10 if is("connection") => connection.add(value),
                12 if is("content-type") => {
                    types = types.saturating_add(1);
                    self.media = if is_json(value) { Media::Json } else { Media::Other };
                }
                13 if is("authorization") => {
                    authorizations = authorizations.saturating_add(1);
                    self.token = bearer(value);
                }
                14 if is("content-length") => framing.add_length(value)?,
                16 if is("content-encoding") => self.is_encoded = true,
                17 if is("transfer-encoding") => framing.add_coding(value)?,
                _ => {}
            }
        }
        match (hosts, minor) {
            (1, _) | (0, 0) => {}
            (0, _) => return Err(Malformed::bad("no Host")),
            _ => return Err(Malformed::bad("more than one Host")),
        }
        if types > 1 || authorizations > 1 {
            return Err(Malformed::bad("a field more than once that may stand there once"));
        }
        if minor == 0 {
            self.expect = Expect::Nothing;
        }
        self.framing = framing.finish(minor)?;
        self.close |= connection.close;
        self.is_for_this_hop |= connection.other;
        Ok(())
    }

    /// Whether a body follows.
    pub const fn has_body(&self) -> bool {
        !matches!(self.framing, Framing::None | Framing::Length(0))
    }

    /// The value of a parameter of the query. Nothing is decoded.
    pub fn parameter(&self, name: &str) -> Option<&'a str> {
        let mut pairs = self.query?.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

/// A method, a path, a version, and one space between them.
fn check_request_line(line: &[u8]) -> Result<(), Malformed> {
    let mut words = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Malformed::bad("a first line that is not a method, a path and a version"));
    };
    if method.is_empty() || !method.iter().copied().all(is_token) {
        return Err(Malformed::bad("a method with a character that methods do not have"));
    }
    match version {
        b"HTTP/1.1" | b"HTTP/1.0" => {}
        b"HTTP/2.0" if method == b"PRI" => return Err(Malformed::with(Status::VERSION, NOT_HTTP1)),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            return Err(Malformed::with(Status::VERSION, "a version other than HTTP/1.0 and HTTP/1.1"));
        }
        _ => return Err(Malformed::bad("a first line without a version")),
    }
    if target.first() != Some(&b'/') {
        return Err(Malformed::bad("a target that does not begin with `/`: no proxy is spoken to here"));
    }
    check_target(target)
}

/// A path and a query with the characters that they may have: RFC 3986, sections 3.3 and 3.4.
fn check_target(target: &[u8]) -> Result<(), Malformed> {
    let mut bytes = target.iter().copied();
    while let Some(byte) = bytes.next() {
        let known = match byte {
            b'%' => {
                [bytes.next(), bytes.next()].iter().all(|digit| digit.is_some_and(|digit| digit.is_ascii_hexdigit()))
            }
            b'/' | b'?' | b'@' => true,
            other => is_of_authority(other) && !matches!(other, b'[' | b']'),
        };
        if !known {
            return Err(Malformed::bad("a path with a character that paths do not have"));
        }
    }
    Ok(())
}

/// Unreserved characters, delimiters, and those of ports and addresses: RFC 3986, section 3.2.
const fn is_of_authority(byte: u8) -> bool {
    let delimiter = matches!(byte, b'!' | b'$' | b'&'..=b',' | b';' | b'=' | b':' | b'[' | b']' | b'%');
    byte.is_ascii_alphanumeric() || delimiter || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// `application/json`, with any parameters but another character set than UTF-8.
fn is_json(value: &[u8]) -> bool {
    let mut parts = value.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    let media = parts.next().is_some_and(|media| media.eq_ignore_ascii_case(b"application/json"));
    let mut charsets = parts.filter_map(|part| {
        let equals = memchr::memchr(b'=', part)?;
        let (name, value) = part.split_at(equals);
        name.eq_ignore_ascii_case(b"charset").then(|| value.get(1..).unwrap_or_default())
    });
    media && charsets.all(|charset| [&b"utf-8"[..], b"\"utf-8\""].iter().any(|utf8| charset.eq_ignore_ascii_case(utf8)))
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(7)?;
    let token = rest.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty()).then_some(token)
}
