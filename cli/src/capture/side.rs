//! What one side of a connection sent: segments in any order, twice, overlapping or missing, put in order.

use std::collections::BTreeMap;

/// What one side sent.
#[derive(Debug, Default)]
pub(super) struct Side {
    /// The sequence number that it began with, where its SYN was captured.
    pub(super) isn: Option<u32>,
    /// The sequence number of the byte at `position`; unknown before anything tells it.
    next: Option<u32>,
    /// Bytes handed on, or given up, from the first that is known.
    pub(super) position: u64,
    /// Up to where the other side says it has received.
    pub(super) acked: u64,
    /// Where it ends.
    pub(super) fin: Option<u64>,
    /// Whether its end was handed on.
    pub(super) ended: bool,
    /// What cannot be handed on yet, by its offset.
    waiting: BTreeMap<u64, Chunk>,
    /// Bytes of memory for that.
    pub(super) held: usize,
}

/// A segment, or what is left of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    pub(super) start: u64,
    pub(super) bytes: &'a [u8],
    /// Bytes after those that were not captured.
    pub(super) missing: u64,
    /// The offset in the other direction that its sender had received: it was sent after that.
    pub(super) after: u64,
}

#[derive(Debug)]
struct Chunk {
    bytes: Vec<u8>,
    missing: u64,
    after: u64,
}

/// What became of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// It is next.
    Next(Piece<'a>),
    /// It comes later.
    Later(Piece<'a>),
    /// All of it was there before.
    Again,
    /// It is not of this connection: its number is far away from all others.
    Stray,
}

impl Side {
    /// Says which sequence number the first byte has.
    pub(super) fn begin(&mut self, seq: u32) {
        self.next.get_or_insert(seq);
    }

    /// The offset of a sequence number: before the first byte at worst.
    fn offset(&self, seq: u32) -> Option<i64> {
        let distance = seq.wrapping_sub(self.next?).cast_signed();
        if distance.unsigned_abs() > MAX_WINDOW {
            return None;
        }
        i64::try_from(self.position).ok()?.checked_add(distance.into())
    }

    /// Notes that the other side has received everything before a sequence number. Returns the offset.
    pub(super) fn acknowledge(&mut self, seq: u32) -> u64 {
        self.begin(seq);
        let offset = self.offset(seq).and_then(|offset| u64::try_from(offset).ok()).unwrap_or_default();
        self.acked = self.acked.max(offset);
        offset
    }

    /// Finds the place of a segment. What was there before is cut off.
    pub(super) fn place<'a>(&mut self, seq: u32, bytes: &'a [u8], missing: u64, after: u64, fin: bool) -> Place<'a> {
        self.begin(seq);
        let Some(start) = self.offset(seq) else { return Place::Stray };
        let len = (bytes.len() as u64).saturating_add(missing);
        let end = start.saturating_add(i64::try_from(len).unwrap_or(i64::MAX));
        let Ok(end) = u64::try_from(end) else { return Place::Again };
        if fin && end >= self.position {
            self.fin.get_or_insert(end);
        }
        if end <= self.position || len == 0 {
            return Place::Again;
        }
        // Before the first byte that is known lies what nobody asked for.
        let before = start.min(0).unsigned_abs();
        let piece = Piece { start: u64::try_from(start).unwrap_or_default(), bytes, missing, after };
        let piece = piece.skip(before, 0);
        let piece = piece.skip(self.position.saturating_sub(piece.start), self.position);
        if piece.start == self.position && self.waiting.is_empty() { Place::Next(piece) } else { Place::Later(piece) }
    }

    /// Keeps a piece for later.
    pub(super) fn keep(&mut self, piece: Piece<'_>) {
        let Piece { start, bytes, missing, after } = piece;
        let whole = |chunk: &Chunk| (chunk.bytes.len() as u64).saturating_add(chunk.missing);
        let longer = self.waiting.get(&start).is_none_or(|known| {
            let len = (bytes.len() as u64).saturating_add(missing);
            (len, bytes.len()) > (whole(known), known.bytes.len())
        });
        if !longer {
            return;
        }
        self.held = self.held.saturating_add(bytes.len()).saturating_add(OVERHEAD);
        if let Some(known) = self.waiting.insert(start, Chunk { bytes: bytes.to_vec(), missing, after }) {
            self.release(known.bytes.len());
        }
    }

    /// The piece that comes next, if it is there. `received` is how far the other direction was handed on.
    pub(super) fn take(&mut self, received: u64) -> Option<(Vec<u8>, u64, usize)> {
        loop {
            let entry = self.waiting.first_entry()?;
            if *entry.key() > self.position {
                return None;
            }
            let skip = self.position.saturating_sub(*entry.key());
            let chunk = entry.get();
            if (chunk.bytes.len() as u64).saturating_add(chunk.missing) <= skip {
                let len = entry.remove().bytes.len();
                self.release(len);
                continue;
            }
            if chunk.after > received {
                return None;
            }
            let Chunk { bytes, missing, .. } = entry.remove();
            self.release(bytes.len());
            let from = usize::try_from(skip).unwrap_or(usize::MAX).min(bytes.len());
            let cut = skip.saturating_sub(bytes.len() as u64);
            return Some((bytes, missing.saturating_sub(cut), from));
        }
    }

    /// Lets the first piece that waits go before what it was sent after. `false`: there is none.
    pub(super) fn hurry(&mut self) -> bool {
        let Some(mut first) = self.waiting.first_entry() else { return false };
        first.get_mut().after = 0;
        true
    }

    /// Moves on by bytes that were handed on or given up.
    pub(super) fn advance(&mut self, len: u64) {
        self.position = self.position.saturating_add(len);
        // Sequence numbers wrap: only the lower half counts.
        let [.., a, b, c, d] = len.to_be_bytes();
        self.next = self.next.map(|next| next.wrapping_add(u32::from_be_bytes([a, b, c, d])));
    }

    /// Bytes that are missing before something that is there, or was received for certain.
    pub(super) fn hole(&self) -> Option<u64> {
        let until = match self.waiting.first_key_value() {
            Some((start, _)) => *start,
            // The end has a number, too: one more than the bytes have.
            None if self.is_proven() => self.fin.map_or(self.acked, |fin| fin.min(self.acked)),
            None => return None,
        };
        until.checked_sub(self.position).filter(|len| *len > 0)
    }

    /// Whether the byte at `position` was received, and so is missing from the capture and not from the connection.
    pub(super) fn is_proven(&self) -> bool {
        let end = self.fin.is_some_and(|fin| self.position >= fin);
        !end && self.acked > self.position
    }

    /// Whether all that is missing may be the mark of the end.
    pub(super) fn may_have_ended(&self) -> bool {
        self.waiting.is_empty() && self.fin.is_none() && self.acked == self.position.saturating_add(1)
    }

    /// Whether anything waits.
    pub(super) fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether so much waits that what is missing will not come any more.
    pub(super) fn is_full(&self) -> bool {
        self.held > MAX_HELD
    }

    /// How far it was handed on, as the other side would acknowledge it.
    pub(super) const fn received(&self) -> u64 {
        if self.ended { u64::MAX } else { self.position }
    }

    fn release(&mut self, len: usize) {
        self.held = self.held.saturating_sub(len).saturating_sub(OVERHEAD);
    }
}

impl Piece<'_> {
    fn skip(self, len: u64, start: u64) -> Self {
        if len == 0 {
            return self;
        }
        let from = usize::try_from(len).unwrap_or(usize::MAX).min(self.bytes.len());
        let cut = len.saturating_sub(self.bytes.len() as u64);
        let bytes = self.bytes.get(from..).unwrap_or_default();
        Self { start, bytes, missing: self.missing.saturating_sub(cut), after: self.after }
    }
}

/// The largest window there is (RFC 7323, section 2.3): what is further away is not of the connection.
const MAX_WINDOW: u32 = 1 << 30;

/// Bytes that wait for a missing segment at most: what a sender with a large window has under way when one is lost.
const MAX_HELD: usize = 4 << 20;

/// Bytes of memory that a piece takes besides its own.
const OVERHEAD: usize = 96;
