//! Bytes that wait for room in one of the host's inject buffers.

use crate::abi::InjectBuffer;

/// Bytes in the order in which they go out.
#[derive(Debug, Default)]
pub(super) struct Queue {
    bytes: Vec<u8>,
    /// Those before are with the host.
    start: usize,
}

/// Room that is kept when it is empty: for one denial, so that the steady state does not allocate.
const KEEP_CAPACITY: usize = 256;

impl Queue {
    pub(super) const fn len(&self) -> usize {
        self.bytes.len().saturating_sub(self.start)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds bytes, and leaves none in `from`.
    pub(super) fn take(&mut self, from: &mut Vec<u8>) {
        if self.bytes.is_empty() {
            std::mem::swap(&mut self.bytes, from);
        } else {
            self.bytes.append(from);
        }
        from.shrink_to(KEEP_CAPACITY);
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Hands over the first `most` bytes, or as many as there is room for. Returns how many.
    pub(super) fn hand_over(&mut self, most: usize, buffer: InjectBuffer) -> usize {
        let waiting = self.bytes.get(self.start..).unwrap_or_default();
        let given = buffer.append(waiting.get(..most).unwrap_or(waiting));
        self.start = self.start.saturating_add(given);
        if self.is_empty() {
            self.bytes.clear();
            self.bytes.shrink_to(KEEP_CAPACITY);
            self.start = 0;
        } else if self.start > self.bytes.len() / 2 {
            // Only once half of it is used up: moved each time, a long queue would cost the square of its length.
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        given
    }

    pub(super) const fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}
