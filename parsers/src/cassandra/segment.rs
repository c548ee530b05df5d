//! Segments: how version 5 wraps envelopes, with checksums, once a connection is set up.

use portcullis_proxylib::ParseError;

use super::compress::{self, Compression};
use super::frame::to_u64;

/// How the envelopes of a connection are framed at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// One after the other; each may be compressed.
    Plain(Compression),
    /// In segments.
    Segments { lz4: bool },
}

/// The header of a segment, whose checksum holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Whether it holds whole envelopes, or else a part of one.
    pub(super) self_contained: bool,
    /// Bytes of its own header,
    pub(super) header: usize,
    /// of its payload as it stands on the wire,
    pub(super) payload: usize,
    /// and of that, inflated; nothing if it is not compressed.
    inflated: Option<usize>,
}

/// Bytes of the header of a segment.
pub(super) const fn header_len(lz4: bool) -> usize {
    if lz4 { 8 } else { 6 }
}

impl Segment {
    /// Reads a header, if it is all there.
    pub(super) fn read(lz4: bool, bytes: &[u8]) -> Result<Option<Self>, ParseError> {
        let Some(bytes) = bytes.get(..header_len(lz4)) else { return Ok(None) };
        let (covered, crc) = bytes.split_at(header_len(lz4).saturating_sub(3));
        if crc24(covered).to_le_bytes().get(..3) != Some(crc) {
            return Err(ParseError::new("a segment whose header does not have its checksum"));
        }
        let number = covered.iter().rev().fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
        let low = |number: u64| usize::try_from(number & u64::from(MAX_PAYLOAD)).unwrap_or_default();
        let (payload, flags, inflated) = match lz4 {
            false => (low(number), number >> 17, None),
            // "an uncompressed length of 0 signals that the payload was not compressed" (v5, section 2.2).
            true => (low(number), number >> 34, Some(low(number >> 17)).filter(|&length| length > 0)),
        };
        if flags > 1 {
            return Err(ParseError::new("a segment with bits in its header that mean nothing"));
        }
        Ok(Some(Self { self_contained: flags == 1, header: header_len(lz4), payload, inflated }))
    }

    /// Bytes of the whole segment.
    pub(super) const fn total(&self) -> usize {
        self.header.saturating_add(self.payload).saturating_add(TRAILER)
    }

    /// Bytes of its payload, inflated.
    pub(super) fn len(&self) -> usize {
        self.inflated.unwrap_or(self.payload)
    }

    pub(super) const fn is_compressed(&self) -> bool {
        self.inflated.is_some()
    }

    /// The payload as it stands on the wire, if all of the segment is there and its checksum holds.
    pub(super) fn wire<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], ParseError> {
        let end = self.header.saturating_add(self.payload);
        let (Some(payload), Some(crc)) = (bytes.get(self.header..end), bytes.get(end..self.total())) else {
            return Err(ParseError::new("a segment that is not all there"));
        };
        let mut sum = crc32();
        sum.update(payload);
        if sum.finalize().to_le_bytes() != crc {
            return Err(ParseError::new("a segment whose payload does not have its checksum"));
        }
        Ok(payload)
    }

    /// The payload, inflated into `room` where it is compressed.
    pub(super) fn payload<'a>(&self, bytes: &'a [u8], room: &'a mut Vec<u8>) -> Result<&'a [u8], ParseError> {
        let wire = self.wire(bytes)?;
        match self.inflated {
            None => Ok(wire),
            Some(length) => {
                compress::inflate_lz4(wire, length, room).map_err(|_| not_inflated())?;
                Ok(room)
            }
        }
    }

    /// Appends the payload, inflated.
    pub(super) fn append(&self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), ParseError> {
        let wire = self.wire(bytes)?;
        match self.inflated {
            None => out.extend_from_slice(wire),
            Some(length) => compress::append_lz4(wire, length, out).map_err(|_| not_inflated())?,
        }
        Ok(())
    }
}

fn not_inflated() -> ParseError {
    ParseError::new("a segment that is not the compressed one that its header says")
}

/// Hands a segment of these parts to `put`, never compressed. Returns its bytes. The parts are no longer than
/// [`MAX_PAYLOAD`] together.
pub(super) fn write(lz4: bool, self_contained: bool, parts: &[&[u8]], mut put: impl FnMut(&[u8])) -> u64 {
    let payload = parts.iter().fold(0, |sum: u64, part| sum.saturating_add(to_u64(part.len())));
    let flag = u64::from(self_contained);
    let number = if lz4 { payload | flag << 34 } else { payload | flag << 17 };
    let number = number.to_le_bytes();
    let covered = number.get(..header_len(lz4).saturating_sub(3)).unwrap_or_default();
    put(covered);
    put(crc24(covered).to_le_bytes().get(..3).unwrap_or_default());
    let mut sum = crc32();
    for part in parts {
        sum.update(part);
        put(part);
    }
    put(&sum.finalize().to_le_bytes());
    payload.saturating_add(to_u64(header_len(lz4).saturating_add(TRAILER)))
}

/// The checksum of a header (v5, section 2.2: the polynomial 0x1974f0b, begun with 0x875060).
fn crc24(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x0087_5060, |crc, &byte| {
        let [_, high, ..] = crc.to_be_bytes();
        let step = CRC24.get(usize::from(high ^ byte)).copied().unwrap_or_default();
        (crc << 8 ^ step) & 0x00ff_ffff
    })
}

/// What each byte does to the checksum of a header.
static CRC24: [u32; 256] = {
    let mut table = [0; 256];
    let mut rest: &mut [u32] = &mut table;
    let mut byte = 0_u32;
    while let [step, others @ ..] = rest {
        *step = byte << 16;
        let mut bits: &[()] = &[(); 8];
        while let [_, fewer @ ..] = bits {
            *step = if *step & 0x0080_0000 == 0 { *step << 1 } else { *step << 1 ^ 0x0197_4f0b };
            bits = fewer;
        }
        byte = byte.saturating_add(1);
        rest = others;
    }
    table
};

/// The checksum of a payload (v5, section 2.2), which begins with these four bytes.
fn crc32() -> crc32fast::Hasher {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&[0xfa, 0x2d, 0x55, 0xca]);
    sum
}

/// Bytes of a payload at most: what seventeen bits can say.
pub(super) const MAX_PAYLOAD: u32 = (1 << 17) - 1;

/// Bytes after a payload.
const TRAILER: usize = 4;
