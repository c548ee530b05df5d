//! The bytes a parser looks at, and a cursor to read them with.

use std::ops::Deref;

use crate::verdict::ParseError;

/// The undecided bytes of one direction, contiguous from the start of the frame.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    bytes: &'a [u8],
    seen: usize,
    end: bool,
}

impl<'a> Input<'a> {
    /// Input for a parser that is called by hand, as tests do. The datapath makes its own.
    pub const fn new(bytes: &'a [u8], seen: usize, end: bool) -> Self {
        Self { bytes, seen, end }
    }

    /// The bytes.
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// How many bytes at the front were already there at the last call, which asked for more. A search need not look at
    /// them again.
    pub const fn seen(&self) -> usize {
        self.seen
    }

    /// Whether the sender has closed its side: no more bytes will come after these.
    pub const fn is_end(&self) -> bool {
        self.end
    }

    /// The offset of the CR LF that ends the first line, or nothing if the line goes on: ask for [one more
    /// byte](crate::Verdict::More) then.
    ///
    /// # Errors
    /// The line has more than `max` bytes. However it was cut, the answer is the same.
    pub fn find_line(&self, max: usize) -> Result<Option<usize>, ParseError> {
        match self.find_crlf() {
            Some(end) if end <= max => Ok(Some(end)),
            // The CR may be there already.
            None if self.bytes.len() <= max.saturating_add(1) => Ok(None),
            _ => Err(ParseError::new(format!("a line of more than {max} bytes"))),
        }
    }

    /// The offset of the first line feed, resuming where the last search stopped.
    pub fn find_lf(&self) -> Option<usize> {
        let seen = self.seen.min(self.bytes.len());
        memchr::memchr(b'\n', self.bytes.get(seen..)?)?.checked_add(seen)
    }

    /// The offset of the first CR LF, resuming where the last search stopped.
    pub fn find_crlf(&self) -> Option<usize> {
        let mut from = self.seen.min(self.bytes.len()).saturating_sub(1);
        loop {
            let at = memchr::memchr(b'\n', self.bytes.get(from..)?)?.checked_add(from)?;
            match at.checked_sub(1) {
                Some(cr) if self.bytes.get(cr) == Some(&b'\r') => return Some(cr),
                _ => from = at.checked_add(1)?,
            }
        }
    }
}

impl Deref for Input<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

/// A cursor over bytes that cannot read past their end: what is not there is `None`, never a panic.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A cursor at the start of the bytes.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The bytes not yet read.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything is read.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `n` bytes.
    pub fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(n)?;
        self.rest = rest;
        Some(taken)
    }

    /// The next `N` bytes as an array.
    pub fn take_array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*taken)
    }

    /// A cursor over the next `n` bytes alone.
    pub fn sub(&mut self, n: usize) -> Option<Self> {
        self.take(n).map(Self::new)
    }

    /// The next byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.take_array().map(u8::from_be_bytes)
    }

    /// The next two bytes, big endian.
    pub fn u16(&mut self) -> Option<u16> {
        self.take_array().map(u16::from_be_bytes)
    }

    /// The next four bytes, big endian.
    pub fn u32(&mut self) -> Option<u32> {
        self.take_array().map(u32::from_be_bytes)
    }

    /// The next eight bytes, big endian.
    pub fn u64(&mut self) -> Option<u64> {
        self.take_array().map(u64::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crlf_is_found_across_the_point_where_the_last_search_stopped() {
        for (bytes, at) in [
            (&b"ab\r\ncd"[..], Some(2)),
            (b"\r\n", Some(0)),
            (b"\n\r\n", Some(1)),
            (b"a\nb\r\n", Some(3)),
            (b"a\rb\n", None),
            (b"abc\r", None),
            (b"", None),
        ] {
            let first = at.unwrap_or(bytes.len());
            for seen in 0..=bytes.len() {
                // What was seen before held no CR LF, so only such prefixes can be asked about.
                if seen <= first + 1 {
                    assert_eq!(Input::new(bytes, seen, false).find_crlf(), at, "{bytes:?} seen {seen}");
                }
            }
        }
    }

    #[test]
    fn a_line_is_too_long_however_it_is_cut() {
        let whole = |bytes: &[u8]| Input::new(bytes, 0, false).find_line(3);
        let bytewise = |bytes: &[u8]| {
            let cut = |len| Input::new(&bytes[..len], len - 1, false).find_line(3);
            (1..=bytes.len()).map(cut).find(|found| found != &Ok(None)).unwrap_or(Ok(None))
        };
        for (bytes, ok) in [(&b"abc\r\nd"[..], true), (b"abcd\r\n", false), (b"ab\r\n", true), (b"abc\r\r\n", false)] {
            assert_eq!(whole(bytes), bytewise(bytes), "{bytes:?}");
            assert_eq!(whole(bytes).is_ok(), ok, "{bytes:?}");
        }
    }

    #[test]
    fn a_reader_never_reads_past_the_end() {
        let mut reader = Reader::new(&[0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(reader.u16(), Some(1));
        assert_eq!(reader.u64(), None);
        assert_eq!(reader.u32(), Some(0x0203_0405));
        assert_eq!(reader.take(2), None);
        assert_eq!(reader.sub(1).and_then(|mut sub| sub.u8()), Some(6));
        assert!(reader.is_empty());
    }
}
