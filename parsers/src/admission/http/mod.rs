//! HTTP/1.1 as slices: where a message ends, and what its head says. Stricter than servers are: what two readers might read in
//! two ways is refused.

mod body;
mod chunked;
mod end;
mod fields;
mod reply;
mod request;
mod write;

pub use self::body::{Body, Progress};
pub use self::chunked::join;
pub use self::end::HeadEnd;
pub use self::reply::ReplyHead;
pub use self::request::{Expect, Head, Media};
pub use self::write::{Answer, CONTINUE, Status};

/// Bytes of a head: the most that servers take in their default configuration (Node has 16 KiB, Apache 8 KiB a line, Envoy
/// 60 KiB).
pub const MAX_HEAD: usize = 64 << 10;

/// Fields of a head: nobody sends as many (Envoy takes 100).
const MAX_FIELDS: usize = 128;

/// Bytes of the fields behind a chunked body, which nobody here reads.
const MAX_TRAILERS: usize = 8 << 10;

/// Bytes of the extensions of all chunks of a body together, which nobody here reads: Go's limit for them is 16 KiB, too.
const MAX_EXTENSIONS: usize = 16 << 10;

/// How the length of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// So many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
}

/// Bytes that are not HTTP as it must be. The connection closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// What the client is told; nothing where it would not understand.
    pub status: Option<Status>,
    /// What is wrong: lower case.
    pub why: &'static str,
}

impl Malformed {
    /// An empty line where a request should begin.
    pub const NO_LINE: Self = Self::bad("an empty line where a request should begin");

    const fn bad(why: &'static str) -> Self {
        Self { status: Some(Status::BAD_REQUEST), why }
    }

    const fn with(status: Status, why: &'static str) -> Self {
        Self { status: Some(status), why }
    }
}

/// Whether a byte may stand in a name or a method: RFC 9110, section 5.6.2.
pub(super) const fn is_token(byte: u8) -> bool {
    matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
        || byte.is_ascii_alphanumeric()
}
