//! What we say in the server's place.

use super::frame::{RESPONSE, Version, opcode, to_u64};
use super::segment::{self, Framing};

/// An error on the stream of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer<'a> {
    pub(super) code: Code,
    pub(super) message: &'a str,
    /// What follows the message.
    pub(super) detail: &'a str,
    /// The id that is not known, for [`Code::Unprepared`] alone.
    pub(super) id: &'a [u8],
}

impl<'a> Answer<'a> {
    pub(super) const fn new(code: Code, message: &'a str) -> Self {
        Self { code, message, detail: "", id: &[] }
    }

    /// What the client sees of a denial.
    pub(super) const DENIED: Self = Self::new(Code::Unauthorized, "Request Unauthorized");

    /// Hands the answer to `put`, framed as the connection is. Returns its bytes.
    pub(super) fn write(&self, framing: Framing, version: Version, stream: i16, mut put: impl FnMut(&[u8])) -> u64 {
        let text = self.message.len().saturating_add(self.detail.len());
        let has_id = self.code == Code::Unprepared;
        let id = if has_id { self.id.len().saturating_add(2) } else { 0 };
        let body = text.saturating_add(id).saturating_add(6);
        let [s0, s1] = stream.to_be_bytes();
        let [b0, b1, b2, b3] = u32::try_from(body).unwrap_or(u32::MAX).to_be_bytes();
        let [c0, c1, c2, c3] = (self.code as u32).to_be_bytes();
        let [t0, t1] = u16::try_from(text).unwrap_or(u16::MAX).to_be_bytes();
        let first = RESPONSE | version as u8;
        let head = [first, 0, s0, s1, opcode::ERROR, b0, b1, b2, b3, c0, c1, c2, c3, t0, t1];
        let id_len = u16::try_from(self.id.len()).unwrap_or(u16::MAX).to_be_bytes();
        let id_parts: [&[u8]; 2] = if has_id { [&id_len, self.id] } else { [&[], &[]] };
        let [id_len, id] = id_parts;
        let parts = [&head[..], self.message.as_bytes(), self.detail.as_bytes(), id_len, id];
        match framing {
            Framing::Plain(_) => {
                parts.iter().for_each(|part| put(part));
                parts.iter().fold(0, |sum: u64, part| sum.saturating_add(to_u64(part.len())))
            }
            Framing::Segments { lz4 } => segment::write(lz4, true, &parts, put),
        }
    }

    /// The answer as the last that is said.
    pub(super) fn bytes(&self, framing: Framing, version: Version, stream: i16) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(framing, version, stream, |part| bytes.extend_from_slice(part));
        bytes
    }
}

/// Error codes (native_protocol_v5.spec, section 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    Protocol = 0x000a,
    Overloaded = 0x1001,
    Syntax = 0x2000,
    Unauthorized = 0x2100,
    Invalid = 0x2200,
    Unprepared = 0x2500,
}

/// How servers refuse a version: what drivers look for before they try a lower one.
pub(super) fn unknown_version(version: u8, stream: [u8; 2]) -> Vec<u8> {
    let text =
        format!("Invalid or unsupported protocol version ({version}); supported versions are (3/v3, 4/v4, 5/v5)");
    // Versions 1 and 2 are answered in their own framing, in which a stream is one byte; all others in the newest.
    let mut bytes = match version {
        1 | 2 => {
            let [stream, _] = stream;
            vec![RESPONSE | version, 0, stream, opcode::ERROR]
        }
        _ => {
            let [s0, s1] = stream;
            vec![RESPONSE | Version::V5 as u8, 0, s0, s1, opcode::ERROR]
        }
    };
    let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
    bytes.extend_from_slice(&u32::from(len).saturating_add(6).to_be_bytes());
    bytes.extend_from_slice(&(Code::Protocol as u32).to_be_bytes());
    bytes.extend_from_slice(&len.to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
    bytes
}
