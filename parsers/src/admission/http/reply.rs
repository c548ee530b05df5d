//! The head of a server's reply.

use std::mem::MaybeUninit;

use super::fields::{Connection, FramingFields, Room, check_lines};
use super::{Framing, MAX_FIELDS, Malformed};

/// The head of a reply, as far as it says how the reply is framed.
#[derive(Debug, PartialEq, Eq)]
pub struct ReplyHead {
    /// The status code.
    pub code: u16,
    /// How the body is framed, as the fields have it; some replies have none whatever they say.
    pub framing: Framing,
    /// Whether the body is compressed.
    pub is_encoded: bool,
    /// Whether the server ends the connection with this reply.
    pub close: bool,
}

impl ReplyHead {
    /// Reads a head with its empty line, whose end [`HeadEnd`](super::HeadEnd) found.
    ///
    /// # Errors
    /// A head that not every client reads alike, or none.
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let first = memchr::memchr(b'\r', bytes).and_then(|end| bytes.split_at_checked(end));
        let Some((line, fields)) = first else { return Err(Malformed::bad("a reply without a line")) };
        let minor = match line {
            [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ (b'0' | b'1'), b' ', a, b, c]
            | [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ (b'0' | b'1'), b' ', a, b, c, b' ', ..]
                if [a, b, c].iter().all(|digit| digit.is_ascii_digit()) =>
            {
                u8::from(*minor == b'1')
            }
            _ => return Err(Malformed::bad("a reply that does not begin with a version and a status")),
        };
        check_lines(fields.get(2..).unwrap_or_default())?;
        let mut room: Room<'_> = [const { MaybeUninit::uninit() }; MAX_FIELDS];
        let mut reply = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        let status = config.parse_response_with_uninit_headers(&mut reply, bytes, &mut room)?;
        let (true, Some(code)) = (status == httparse::Status::Complete(bytes.len()), reply.code) else {
            return Err(Malformed::bad("a head that ends before its end"));
        };
        if !(100..600).contains(&code) {
            return Err(Malformed::bad("a reply with a status that there is not"));
        }
        let mut framing = FramingFields::default();
        let mut connection = Connection { close: minor == 0, ..Connection::default() };
        let mut is_encoded = false;
        for &httparse::Header { name, value } in &*reply.headers {
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            match name.len() {
                10 if is("connection") => connection.add(value),
                14 if is("content-length") => framing.add_length(value)?,
                16 if is("content-encoding") => is_encoded = true,
                17 if is("transfer-encoding") => framing.add_coding(value)?,
                _ => {}
            }
        }
        Ok(Self { code, framing: framing.finish(minor)?, is_encoded, close: connection.close })
    }

    /// Whether the reply to the request is still to come.
    pub const fn is_interim(&self) -> bool {
        self.code < 200
    }

    /// Whether the reply to a request of any method has no body.
    pub const fn is_bodiless(&self) -> bool {
        self.is_interim() || matches!(self.code, 204 | 304)
    }
}
