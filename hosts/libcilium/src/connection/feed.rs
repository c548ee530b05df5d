//! A cursor over the host's pieces.

use crate::abi::Pieces;

/// The bytes that no verdict was given on yet, in the host's pieces.
#[derive(Clone, Copy, Debug)]
pub(super) struct Feed<'a> {
    pieces: Pieces<'a>,
    /// What is left of the current piece; empty only at the end of all.
    piece: &'a [u8],
    /// Pieces after the current one begin here.
    next: usize,
    remaining: usize,
}

impl<'a> Feed<'a> {
    pub(super) fn new(pieces: Pieces<'a>) -> Self {
        let mut feed = Self { pieces, piece: &[], next: 0, remaining: pieces.total() };
        feed.advance(0);
        feed
    }

    /// What is left of the current piece.
    pub(super) const fn current(&self) -> &'a [u8] {
        self.piece
    }

    /// Bytes in all.
    pub(super) const fn remaining(&self) -> usize {
        self.remaining
    }

    /// Goes on by `len` bytes, or to the end.
    pub(super) fn advance(&mut self, mut len: usize) {
        self.remaining = self.remaining.saturating_sub(len);
        loop {
            let now = len.min(self.piece.len());
            self.piece = self.piece.get(now..).unwrap_or_default();
            len = len.saturating_sub(now);
            if !self.piece.is_empty() {
                return;
            }
            let Some(piece) = self.pieces.piece(self.next) else { return };
            self.piece = piece;
            self.next = self.next.saturating_add(1);
        }
    }

    /// Makes `held`, whose bytes are the first of these, `len` bytes long, or as long as there are bytes.
    pub(super) fn extend(&self, held: &mut Vec<u8>, len: usize) {
        let mut rest = *self;
        rest.advance(held.len());
        while held.len() < len && !rest.current().is_empty() {
            let missing = len.saturating_sub(held.len());
            let taken = rest.current().get(..missing).unwrap_or(rest.current());
            held.extend_from_slice(taken);
            rest.advance(taken.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::GoSlice;

    #[test]
    fn a_feed_walks_over_empty_pieces_and_past_no_end() {
        let parts: [&[u8]; 6] = [b"", b"abc", b"", b"", b"de", b"f"];
        let slices = parts.map(|part| GoSlice {
            data: part.as_ptr().cast_mut(),
            len: part.len() as i64,
            cap: part.len() as i64,
        });
        let mut feed = Feed::new(Pieces::of(&slices));
        assert_eq!((feed.current(), feed.remaining()), (&b"abc"[..], 6));
        feed.advance(2);
        let mut held = b"c".to_vec();
        feed.extend(&mut held, 3);
        assert_eq!(held, b"cde");
        feed.extend(&mut held, 99);
        assert_eq!(held, b"cdef");
        feed.advance(1);
        assert_eq!((feed.current(), feed.remaining()), (&b"de"[..], 3));
        feed.advance(99);
        assert_eq!((feed.current(), feed.remaining()), (&b""[..], 0));
    }
}
