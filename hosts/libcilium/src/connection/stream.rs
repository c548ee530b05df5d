//! One direction: where the next verdict begins, and what it waits for.

use std::collections::VecDeque;

use super::feed::Feed;
use super::queue::Queue;
use crate::abi::{FilterOpType, InjectBuffer};

/// Bytes that are joined at least where a frame straddles two pieces, so that lines whose end is not known are not sought
/// byte by byte.
const STRADDLE: usize = 256;

/// Below this many bytes, what a connection holds is not counted.
const KEEP_CAPACITY: usize = 4 << 10;

/// What a direction keeps from one call to the next, besides numbers.
#[derive(Debug, Default)]
pub(super) struct Spill {
    /// A copy of the first bytes, where the host has them in several pieces and a frame straddles these.
    pub(super) held: Vec<u8>,
    /// Operations that there was no room for, in the list or in the inject buffer. They go before anything else.
    pub(super) pending: VecDeque<(FilterOpType, u64)>,
    /// Bytes to be injected in this direction that the host has not got yet: first those that operations wait for.
    pub(super) queue: Queue,
}

/// The state of one direction.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// The offset in the stream of the first byte that no verdict was given on.
    pub(super) position: u64,
    /// Bytes that must be there before the parser is called.
    pub(super) need: usize,
    /// Bytes at the front that the parser has seen and asked for more.
    pub(super) seen: usize,
    /// Whether the parser said how many it needs.
    pub(super) told: bool,
    /// The parser knows that no more will come.
    pub(super) told_end: bool,
    /// The sender has closed its side.
    pub(super) ended: bool,
    /// The host passes bytes that a verdict was given on ahead.
    pub(super) ahead: bool,
    /// What most connections have none of most of the time.
    spill: Option<Box<Spill>>,
    /// The host was given bytes to inject in this direction by a call for the other one.
    pub(super) handed: bool,
    /// The host calls again before it sends anything on.
    pub(super) in_event: bool,
    /// This event has sent something on.
    pub(super) moved: bool,
    /// Calls in a row that filled the list of operations and decided no byte.
    pub(super) idle_calls: u32,
}

impl Stream {
    /// Whether the parser is to be called.
    pub(super) const fn ready(&self, there: usize, end: bool) -> bool {
        there >= self.need || (end && !self.told_end)
    }

    /// The next bytes, in one piece: as many as the parser asked for, or all.
    pub(super) fn show<'a>(&'a mut self, front: &Feed<'a>) -> &'a [u8] {
        let piece = front.current();
        if piece.len() >= self.need.max(1) || piece.len() == front.remaining() {
            self.forget_held();
            return piece;
        }
        let need = self.need;
        let held = &mut self.spill().held;
        // Twice as many as before where the parser goes on byte by byte: it is called a few times, not for each.
        let len = need.max(held.len().saturating_mul(2)).max(STRADDLE);
        front.extend(held, len);
        held
    }

    /// What is kept; made if there is nothing yet.
    pub(super) fn spill(&mut self) -> &mut Spill {
        self.spill.get_or_insert_default()
    }

    /// Bytes to be injected that the host has not got yet.
    pub(super) fn queued(&self) -> usize {
        self.spill.as_ref().map_or(0, |spill| spill.queue.len())
    }

    /// Whether operations wait for room.
    pub(super) fn is_pending(&self) -> bool {
        self.spill.as_ref().is_some_and(|spill| !spill.pending.is_empty())
    }

    /// The first operation that waits for room.
    pub(super) fn pop_pending(&mut self) -> Option<(FilterOpType, u64)> {
        self.spill.as_mut()?.pending.pop_front()
    }

    /// Hands over the first `most` bytes to be injected, or as many as there is room for. Returns how many.
    pub(super) fn hand_over(&mut self, most: usize, buffer: InjectBuffer) -> usize {
        self.spill.as_mut().map_or(0, |spill| spill.queue.hand_over(most, buffer))
    }

    fn forget_held(&mut self) {
        if let Some(spill) = &mut self.spill {
            spill.held.clear();
        }
    }

    /// Notes a verdict on `len` bytes.
    pub(super) fn decide(&mut self, len: u64) {
        self.position = self.position.saturating_add(len);
        self.need = 0;
        self.seen = 0;
        self.told = false;
        self.forget_held();
    }

    /// Notes that the parser has seen `left` bytes and waits for `more`; `told` if it said so.
    pub(super) fn want(&mut self, left: usize, more: u64, told: bool) {
        self.need = left.saturating_add(usize::try_from(more).unwrap_or(usize::MAX));
        self.seen = left;
        self.told = told;
    }

    /// Bytes of memory that count against the budget. Small buffers are part of a connection.
    pub(super) fn footprint(&self) -> usize {
        let Some(spill) = &self.spill else { return 0 };
        let bytes = spill.held.capacity().saturating_add(spill.queue.capacity());
        if bytes > KEEP_CAPACITY { bytes } else { 0 }
    }

    /// Gives memory back that nothing is in.
    pub(super) fn tidy(&mut self) {
        if let Some(spill) = &self.spill
            && spill.held.is_empty()
            && spill.pending.is_empty()
            && spill.queue.is_empty()
        {
            self.spill = None;
        }
    }
}
