//! The system's allocator, which tells how much a thread has in use.
//!
//! A policy engine that grows without end would take the whole proxy with it, for Rust aborts where there is no memory. With
//! this allocator an engine can be stopped before.
//!
//! ```
//! #[global_allocator]
//! static ALLOCATOR: portcullis_allocator::Counting = portcullis_allocator::Counting;
//!
//! let before = portcullis_allocator::in_use();
//! let room = Vec::<u8>::with_capacity(1 << 20);
//! assert!(portcullis_allocator::in_use() - before >= 1 << 20);
//! drop(room);
//! ```

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, counting.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counting;

thread_local! {
    /// Bytes that this thread allocated, less those that it freed. What another thread allocated may make it negative.
    static IN_USE: Cell<i64> = const { Cell::new(0) };
}

/// Bytes that this thread has allocated and not freed. What goes from one thread to another counts for neither rightly: it is
/// for what is built and dropped by one call.
pub fn in_use() -> u64 {
    IN_USE.try_with(Cell::get).map_or(0, |bytes| u64::try_from(bytes).unwrap_or(0))
}

fn count(bytes: i64) {
    // A thread that ends has no locals any more, and nobody asks it.
    let _ = IN_USE.try_with(|in_use| in_use.set(in_use.get().wrapping_add(bytes)));
}

fn signed(size: usize) -> i64 {
    // A layout is never larger than `isize::MAX`.
    i64::try_from(size).unwrap_or(i64::MAX)
}

// SAFETY: all is left to the system's allocator; counting allocates nothing, as the local has no destructor and is constant at
// first, and does not panic.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()));
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(signed(layout.size()).wrapping_neg());
        // SAFETY: as above; `memory` came from the system's allocator.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()));
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(signed(size).wrapping_sub(signed(layout.size())));
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static ALLOCATOR: Counting = Counting;

    #[test]
    fn what_a_thread_has_in_use_is_told() {
        // What tests print is kept by their threads, too.
        const NOISE: u64 = 4096;
        let before = in_use();
        let grown_by = |bytes: u64| in_use().abs_diff(before.saturating_add(bytes)) < NOISE;
        let mut room: Vec<u8> = Vec::with_capacity(1 << 20);
        assert!(grown_by(1 << 20));
        room.reserve_exact(1 << 22);
        assert!(grown_by(1 << 22));
        drop(room);
        assert!(grown_by(0));
        let zeroed = vec![0_u8; 1 << 20];
        assert!(grown_by(1 << 20));
        // Another thread has its own count, and may free what is not its own.
        std::thread::spawn(move || drop(zeroed)).join().unwrap();
        assert!(grown_by(1 << 20));
    }
}
