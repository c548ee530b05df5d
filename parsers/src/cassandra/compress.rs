//! Compressed bodies, and segments.

use super::frame::to_u64;

/// What the bodies of a connection may be compressed with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Compression {
    #[default]
    None,
    Lz4,
    Snappy,
}

impl Compression {
    /// The algorithm that a client asks for, if servers have it.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            _ if name.eq_ignore_ascii_case("lz4") => Some(Self::Lz4),
            _ if name.eq_ignore_ascii_case("snappy") => Some(Self::Snappy),
            _ => None,
        }
    }

    /// Inflates the body of an envelope of version 3 or 4 into `out`. What it is to become is looked at first.
    pub(super) fn inflate(self, body: &[u8], limit: u64, out: &mut Vec<u8>) -> Result<(), Bad> {
        match self {
            Self::None => Err(Bad::NotAgreed),
            Self::Lz4 => {
                // "the body is preceded by its uncompressed length, as a 4 bytes big endian integer" (v4, section 5).
                let (length, block) = body.split_first_chunk().ok_or(Bad::Corrupt)?;
                let length = u32::from_be_bytes(*length);
                if u64::from(length) > limit {
                    return Err(Bad::TooLarge);
                }
                inflate_lz4(block, usize::try_from(length).map_err(|_| Bad::TooLarge)?, out)
            }
            Self::Snappy => {
                let length = snap::raw::decompress_len(body).map_err(|_| Bad::Corrupt)?;
                if to_u64(length) > limit {
                    return Err(Bad::TooLarge);
                }
                if !may_inflate(body, length) {
                    return Err(Bad::Corrupt);
                }
                out.clear();
                out.resize(length, 0);
                match snap::raw::Decoder::new().decompress(body, out) {
                    Ok(written) if written == length => Ok(()),
                    _ => Err(Bad::Corrupt),
                }
            }
        }
    }
}

/// Inflates a block to exactly `length` bytes.
pub(super) fn inflate_lz4(block: &[u8], length: usize, out: &mut Vec<u8>) -> Result<(), Bad> {
    out.clear();
    append_lz4(block, length, out)
}

/// Appends what a block inflates to: exactly `length` bytes.
pub(super) fn append_lz4(block: &[u8], length: usize, out: &mut Vec<u8>) -> Result<(), Bad> {
    if !may_inflate(block, length) {
        return Err(Bad::Corrupt);
    }
    let start = out.len();
    out.resize(start.saturating_add(length), 0);
    let room = out.get_mut(start..).ok_or(Bad::Corrupt)?;
    match lz4_flex::block::decompress_into(block, room) {
        Ok(written) if written == length => Ok(()),
        _ => Err(Bad::Corrupt),
    }
}

/// Whether so many bytes can come of a block at all, so that no memory is taken for a claim that nothing stands behind.
fn may_inflate(block: &[u8], length: usize) -> bool {
    length <= block.len().saturating_mul(MAX_RATIO).saturating_add(MAX_RATIO)
}

/// Bytes that one byte of a block becomes at most: in LZ4 each further byte of a length stands for 255, in Snappy three
/// bytes stand for 64.
const MAX_RATIO: usize = 255;

/// Why a body was not inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bad {
    NotAgreed,
    TooLarge,
    Corrupt,
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use super::*;

    fn lz4(text: &[u8]) -> Vec<u8> {
        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
        [&length[..], &lz4_flex::block::compress(text)].concat()
    }

    fn snappy(text: &[u8]) -> Vec<u8> {
        snap::raw::Encoder::new().compress_vec(text).unwrap()
    }

    #[test]
    fn what_was_compressed_comes_back() {
        let long = b"SELECT a FROM b ".repeat(1000);
        for text in [&b""[..], b"a", b"SELECT release_version FROM system.local", &long] {
            for (compression, body) in [(Compression::Lz4, lz4(text)), (Compression::Snappy, snappy(text))] {
                let mut out = b"before".to_vec();
                assert_eq!(compression.inflate(&body, 1 << 20, &mut out), Ok(()), "{compression:?}");
                assert_eq!(out, text);
            }
        }
    }

    #[test]
    fn what_would_be_too_large_takes_no_memory() {
        let zeros = vec![0; 1 << 20];
        for (compression, body) in [(Compression::Lz4, lz4(&zeros)), (Compression::Snappy, snappy(&zeros))] {
            let mut out = Vec::new();
            assert_eq!(compression.inflate(&body, (1 << 20) - 1, &mut out), Err(Bad::TooLarge));
            assert_eq!(out.capacity(), 0);
        }
        for claim in [u32::MAX, i32::MAX as u32, 1 << 30] {
            let body = [&claim.to_be_bytes()[..], b"\x10a"].concat();
            let mut out = Vec::new();
            assert_eq!(Compression::Lz4.inflate(&body, u64::MAX, &mut out), Err(Bad::Corrupt), "{claim}");
            assert_eq!(out.capacity(), 0);
        }
    }

    #[test]
    fn every_other_length_and_every_cut_is_refused() {
        let text = b"SELECT release_version FROM system.local, SELECT release_version FROM system.local";
        let (lz4, snappy) = (lz4(text), snappy(text));
        let mut out = Vec::new();
        for wrong in [0_u32, 1, 81, 83, 200] {
            let mut body = lz4.clone();
            body.splice(..4, wrong.to_be_bytes());
            assert!(Compression::Lz4.inflate(&body, 1 << 20, &mut out).is_err(), "{wrong}");
        }
        for cut in 0..lz4.len() {
            assert!(Compression::Lz4.inflate(&lz4[..cut], 1 << 20, &mut out).is_err(), "{cut}");
        }
        for cut in 0..snappy.len() {
            assert!(Compression::Snappy.inflate(&snappy[..cut], 1 << 20, &mut out).is_err(), "{cut}");
        }
        assert!(Compression::Lz4.inflate(&[&lz4[..], b"x"].concat(), 1 << 20, &mut out).is_err());
        assert!(Compression::Snappy.inflate(&[&snappy[..], b"x"].concat(), 1 << 20, &mut out).is_err());
    }

    /// Decoders differ in what they make of a match that begins nowhere: none may be taken.
    #[test]
    fn matches_outside_of_what_was_written_are_refused() {
        // One literal, then a match of four bytes at this offset, then one literal.
        for offset in [0_u16, 2, 300, u16::MAX] {
            let [low, high] = offset.to_le_bytes();
            let block = [0x10, b'a', low, high, 0x50, b'b', b'b', b'b', b'b', b'b'];
            let mut out = Vec::new();
            assert_eq!(inflate_lz4(&block, 10, &mut out), Err(Bad::Corrupt), "{offset}");
        }
        let block = [0x10, b'a', 1, 0, 0x50, b'b', b'b', b'b', b'b', b'b'];
        let mut out = Vec::new();
        assert_eq!(inflate_lz4(&block, 10, &mut out), Ok(()));
        assert_eq!(out, b"aaaaabbbbb");
    }
}
