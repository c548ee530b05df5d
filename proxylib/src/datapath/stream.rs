//! One direction: what is settled ahead, what is held, and where the next decision begins.

use crate::limits::{KEEP_CAPACITY, Time};

/// Bytes that are moved at least where a frame straddles two pieces, so that lines whose end is not known are not sought
/// byte by byte.
const STRADDLE: usize = 256;

/// Bytes of output that are kept allocated between events.
const KEEP_OUTPUT: usize = 16 << 10;

/// The state of one direction.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Bytes that pass as they arrive.
    pub(super) pass: u64,
    /// Bytes that are dropped as they arrive.
    drop: u64,
    /// Undecided bytes that were moved out of the host's buffer: those from `start`.
    held: Vec<u8>,
    start: usize,
    /// Bytes that must be there before the parser is called.
    need: usize,
    /// Bytes at the front that the parser has seen and asked for more.
    pub(super) seen: usize,
    /// The offset in the stream of the first byte that no verdict was given on.
    pub(super) position: u64,
    /// When the frame at the front was first left unfinished.
    since: Option<Time>,
    /// Bytes of the process's budget that are taken.
    pub(super) reserved: usize,
    /// The parser waits; nothing moves.
    pub(super) waiting: bool,
    /// Undecided bytes are held that were not shown to the parser yet.
    pub(super) blocked: bool,
    /// Whether bytes were decided or settled since this was last taken.
    pub(super) moved: bool,
    /// The sender has closed its side,
    pub(super) ended: bool,
    /// the parser knows,
    told_end: bool,
    /// and so does the receiver.
    pub(super) end_sent: bool,
    pub(super) out: Outlet,
}

/// The bytes that the parser is shown.
#[derive(Clone, Copy, Debug)]
pub(super) enum Window {
    /// The current piece of the event.
    Piece,
    /// What is held; this many bytes at its end are also still to be found in the current piece.
    Held { borrowed: usize },
}

impl Stream {
    pub(super) fn held_len(&self) -> usize {
        self.held.len().saturating_sub(self.start)
    }

    pub(super) const fn unfinished_since(&self) -> Option<Time> {
        if self.blocked { None } else { self.since }
    }

    /// Passes and drops what was promised ahead.
    pub(super) fn settle(&mut self, feed: &mut Feed<'_>) {
        while self.pass > 0 && !feed.current().is_empty() {
            let now = clamp(self.pass).min(feed.current().len());
            self.out.pass(feed, now);
            self.pass = self.pass.saturating_sub(widen(now));
            self.moved = true;
        }
        while self.drop > 0 && !feed.current().is_empty() {
            let now = clamp(self.drop).min(feed.current().len());
            feed.advance(now);
            self.drop = self.drop.saturating_sub(widen(now));
        }
    }

    /// Whether the parser is to be called: there is what it asked for, or it must learn that no more will come.
    pub(super) fn ready(&self, feed: &Feed<'_>) -> bool {
        let there = self.held_len().saturating_add(feed.remaining());
        !self.is_ahead() && (there >= self.need || (self.ended && !self.told_end))
    }

    /// Whether bytes are settled ahead, so that nothing can be decided.
    pub(super) const fn is_ahead(&self) -> bool {
        self.pass > 0 || self.drop > 0
    }

    pub(super) const fn ahead(&self) -> u64 {
        self.pass.saturating_add(self.drop)
    }

    pub(super) fn undecided(&self) -> &[u8] {
        self.held.get(self.start..).unwrap_or_default()
    }

    /// Makes as many bytes contiguous as the parser asked for.
    pub(super) fn open(&mut self, feed: &mut Feed<'_>) -> Window {
        let last = feed.current().len() == feed.remaining();
        if self.held_len() == 0 && (last || feed.current().len() >= self.need.max(1)) {
            return Window::Piece;
        }
        let mut borrowed = 0;
        while self.held_len() < self.need && feed.remaining() > 0 {
            let missing = self.need.saturating_sub(self.held_len());
            let piece = feed.current();
            let taken = piece.get(..missing.max(STRADDLE)).unwrap_or(piece);
            self.held.extend_from_slice(taken);
            borrowed = taken.len();
            feed.advance(borrowed);
        }
        Window::Held { borrowed }
    }

    /// The bytes of the window, and whether they are the last that will ever come.
    pub(super) fn show<'a>(&'a self, window: Window, feed: &Feed<'a>) -> (&'a [u8], bool) {
        let (bytes, after) = match window {
            Window::Piece => (feed.current(), feed.remaining().saturating_sub(feed.current().len())),
            Window::Held { .. } => (self.held.get(self.start..).unwrap_or_default(), feed.remaining()),
        };
        (bytes, self.ended && after == 0)
    }

    /// Passes or drops `len` bytes, of which `left` are in the window. Returns how many are left then.
    pub(super) fn consume(&mut self, window: Window, feed: &mut Feed<'_>, left: usize, len: u64, pass: bool) -> usize {
        let now = clamp(len).min(left);
        match window {
            Window::Piece if pass => self.out.pass(feed, now),
            Window::Piece => feed.advance(now),
            Window::Held { .. } => {
                let end = self.start.saturating_add(now);
                if pass {
                    self.out.add(self.held.get(self.start..end).unwrap_or_default());
                }
                self.start = end;
            }
        }
        let ahead = len.saturating_sub(widen(now));
        if pass {
            self.pass = ahead;
        } else {
            self.drop = ahead;
        }
        self.position = self.position.saturating_add(len);
        self.need = 0;
        self.seen = 0;
        self.since = None;
        self.moved = true;
        left.saturating_sub(now)
    }

    /// Ends the use of a window: what was borrowed and not used is left where it was.
    pub(super) fn shut(&mut self, window: Window, feed: &mut Feed<'_>) {
        let Window::Held { borrowed } = window else { return };
        let left = self.held_len();
        if left <= borrowed {
            feed.rewind(left);
            self.forget();
        }
    }

    /// Notes that the parser wants `more` bytes than the `left` ones it was shown.
    pub(super) fn want(&mut self, left: usize, more: u64, end: bool) {
        self.need = left.saturating_add(clamp(more));
        self.seen = left;
        self.told_end |= end;
    }

    /// Shows everything anew at the next call.
    pub(super) const fn retry(&mut self) {
        self.need = 0;
        self.seen = 0;
    }

    /// Moves what is left of the event out of the host's buffer.
    pub(super) fn hold(&mut self, feed: &mut Feed<'_>, now: Time) {
        // Only once half of it is used up: moved at every event, a long queue of requests would cost the square of its length.
        if self.start > self.held.len() / 2 {
            self.held.drain(..self.start);
            self.start = 0;
        }
        while feed.remaining() > 0 {
            let piece = feed.current();
            self.held.extend_from_slice(piece);
            feed.advance(piece.len());
        }
        if self.held_len() == 0 {
            self.forget();
        } else {
            self.since.get_or_insert(now);
        }
    }

    /// Lets everything undecided pass.
    pub(super) fn release(&mut self, feed: &mut Feed<'_>) {
        self.out.add(self.held.get(self.start..).unwrap_or_default());
        self.forget();
        while feed.remaining() > 0 {
            self.out.pass(feed, feed.current().len());
        }
        (self.pass, self.drop) = (0, 0);
        (self.waiting, self.blocked) = (false, false);
    }

    /// Throws away everything undecided.
    pub(super) fn discard(&mut self, feed: &mut Feed<'_>) {
        feed.advance(feed.remaining());
        self.forget();
    }

    /// Bytes of memory that count against the budget. Small buffers are part of a connection.
    pub(super) fn footprint(&self) -> usize {
        if self.held.capacity() > KEEP_CAPACITY { self.held.capacity() } else { 0 }
    }

    fn forget(&mut self) {
        self.held.clear();
        self.start = 0;
        self.since = None;
        if self.held.capacity() > KEEP_CAPACITY {
            self.held = Vec::new();
        }
    }
}

/// What an event sends on in one direction: the first `passed` bytes of the event as they are, then `bytes`.
#[derive(Debug, Default)]
pub(super) struct Outlet {
    pub(super) passed: usize,
    pub(super) bytes: Vec<u8>,
}

impl Outlet {
    pub(super) fn clear(&mut self) {
        self.passed = 0;
        self.bytes.clear();
        self.bytes.shrink_to(KEEP_OUTPUT);
    }

    /// Sends the next `len` bytes of the current piece.
    fn pass(&mut self, feed: &mut Feed<'_>, len: usize) {
        if self.bytes.is_empty() && self.passed == feed.at {
            self.passed = self.passed.saturating_add(len);
        } else {
            self.bytes.extend_from_slice(feed.current().get(..len).unwrap_or_default());
        }
        feed.advance(len);
    }

    /// Sends other bytes.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }
}

/// The bytes of one event, in the host's pieces.
#[derive(Debug)]
pub(super) struct Feed<'a> {
    pieces: &'a [&'a [u8]],
    /// What is left of the current piece.
    piece: &'a [u8],
    /// Pieces after the current one begin here.
    next: usize,
    /// Bytes before the cursor.
    at: usize,
    total: usize,
}

impl<'a> Feed<'a> {
    pub(super) fn new(pieces: &'a [&'a [u8]]) -> Self {
        let total = pieces.iter().map(|piece| piece.len()).fold(0, usize::saturating_add);
        let mut feed = Self { pieces, piece: &[], next: 0, at: 0, total };
        feed.advance(0);
        feed
    }

    /// What is left of the current piece; empty only at the end of all.
    pub(super) const fn current(&self) -> &'a [u8] {
        self.piece
    }

    pub(super) const fn remaining(&self) -> usize {
        self.total.saturating_sub(self.at)
    }

    pub(super) fn advance(&mut self, mut len: usize) {
        self.at = self.at.saturating_add(len).min(self.total);
        loop {
            let now = len.min(self.piece.len());
            self.piece = self.piece.get(now..).unwrap_or_default();
            len = len.saturating_sub(now);
            if !self.piece.is_empty() {
                return;
            }
            let Some(piece) = self.pieces.get(self.next) else { return };
            self.piece = piece;
            self.next = self.next.saturating_add(1);
        }
    }

    /// Goes back by bytes that were the last ones taken, all of one piece.
    fn rewind(&mut self, len: usize) {
        if len == 0 {
            return;
        }
        // The cursor stands behind `len` bytes of one piece: the current one, or the one before it where that is used up.
        let begun = self.next.checked_sub(1).and_then(|index| self.pieces.get(index)).copied().unwrap_or_default();
        let used = begun.len().saturating_sub(self.piece.len());
        let (whole, from) = if used >= len {
            (begun, used.saturating_sub(len))
        } else {
            let before = self.pieces.get(..self.next.saturating_sub(1)).unwrap_or_default();
            let index = before.iter().rposition(|piece| !piece.is_empty()).unwrap_or_default();
            self.next = index.saturating_add(1);
            let piece = before.get(index).copied().unwrap_or_default();
            (piece, piece.len().saturating_sub(len))
        };
        self.piece = whole.get(from..).unwrap_or_default();
        self.at = self.at.saturating_sub(len);
    }
}

/// A length from the wire as a length in memory: what is not addressable is as good as endless.
fn clamp(len: u64) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}

fn widen(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feed_walks_its_pieces_and_goes_back() {
        let pieces: [&[u8]; 5] = [b"", b"abc", b"", b"de", b"f"];
        let mut feed = Feed::new(&pieces);
        assert_eq!((feed.current(), feed.remaining()), (&b"abc"[..], 6));
        feed.advance(3);
        assert_eq!((feed.current(), feed.remaining()), (&b"de"[..], 3));
        feed.rewind(2);
        assert_eq!((feed.current(), feed.remaining()), (&b"bc"[..], 5));
        feed.advance(3);
        assert_eq!((feed.current(), feed.remaining()), (&b"e"[..], 2));
        feed.rewind(1);
        assert_eq!((feed.current(), feed.remaining()), (&b"de"[..], 3));
        feed.advance(3);
        assert_eq!((feed.current(), feed.remaining()), (&b""[..], 0));
        feed.rewind(1);
        assert_eq!((feed.current(), feed.remaining()), (&b"f"[..], 1));
    }

    #[test]
    fn what_is_held_is_moved_only_once_half_of_it_is_used_up() {
        let mut stream = Stream::default();
        stream.hold(&mut Feed::new(&[&[b'x'; 100]]), Time(0));
        let mut decide = |len: u64| {
            let mut feed = Feed::new(&[]);
            let window = stream.open(&mut feed);
            stream.consume(window, &mut feed, 100, len, false);
            stream.shut(window, &mut feed);
            stream.hold(&mut feed, Time(0));
            (stream.start, stream.held_len())
        };
        assert_eq!(decide(10), (10, 90));
        assert_eq!(decide(40), (50, 50));
        assert_eq!(decide(1), (0, 49));
        assert_eq!(decide(49), (0, 0));
    }
}
