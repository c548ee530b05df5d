//! Replies of our own.

use std::io::Write;

/// The status of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(u16, &'static str);

#[expect(missing_docs, reason = "the names of RFC 9110 say what they are")]
impl Status {
    pub const OK: Self = Self(200, "OK");
    pub const BAD_REQUEST: Self = Self(400, "Bad Request");
    pub const UNAUTHORIZED: Self = Self(401, "Unauthorized");
    pub const FORBIDDEN: Self = Self(403, "Forbidden");
    pub const NOT_FOUND: Self = Self(404, "Not Found");
    pub const METHOD: Self = Self(405, "Method Not Allowed");
    pub const BODY_TOO_LARGE: Self = Self(413, "Content Too Large");
    pub const MEDIA: Self = Self(415, "Unsupported Media Type");
    pub const EXPECTATION: Self = Self(417, "Expectation Failed");
    pub const HEAD_TOO_LARGE: Self = Self(431, "Request Header Fields Too Large");
    pub const NOT_IMPLEMENTED: Self = Self(501, "Not Implemented");
    pub const UNAVAILABLE: Self = Self(503, "Service Unavailable");
    pub const VERSION: Self = Self(505, "HTTP Version Not Supported");

    /// The number.
    pub const fn code(self) -> u16 {
        self.0
    }
}

/// A reply of our own.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The status.
    pub status: Status,
    /// Whether the body is JSON, or else text for people.
    pub json: bool,
    /// What the body says.
    pub body: &'a [u8],
    /// A field of its own, with the end of its line.
    pub field: &'static str,
    /// Whether the body is only told of: the reply to HEAD.
    pub is_head: bool,
    /// Whether the connection ends with it.
    pub close: bool,
}

impl Answer<'_> {
    /// Adds the reply to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let Status(code, reason) = self.status;
        let kind = if self.json { "application/json" } else { "text/plain; charset=utf-8" };
        let close = if self.close { "Connection: close\r\n" } else { "" };
        let length = self.body.len();
        let field = self.field;
        // Writing to memory does not fail.
        let _ = write!(
            out,
            "HTTP/1.1 {code} {reason}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{field}{close}\r\n"
        );
        if !self.is_head {
            out.extend_from_slice(self.body);
        }
    }
}

/// What a client gets that waits for it before it sends the body.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
