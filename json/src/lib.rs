//! JSON (RFC 8259) as a flat tape: one pass, no recursion, no allocation per value.
//!
//! A [`Tape`] is read into again and again, and keeps its memory. What it gives are [`Value`]s: places in the tape and in the
//! document, to be looked at where a rule asks for something. Texts stay as they stand in the document, and are decoded only
//! where they are compared or shown. Nothing is converted, so that a number such as `1e400` is as good as any other.
//!
//! The document must be UTF-8 throughout, and half a surrogate pair is refused like invalid UTF-8. Of a key that stands twice
//! in a map the last one counts, as for the API server.
//!
//! # Cost
//!
//! Reading is linear in the bytes, but for the sort of an index. The tape takes 8 bytes for each text, number, literal and key,
//! and 16 bytes for each list and map; that is about as much as the review of a Pod itself, and at worst 5.4 times that
//! (`[[],[],`). [`MAX_NODES`] bounds it.
//!
//! [`Value::get`] looks at each entry of a map once, passing over values whatever is in them. A map of 512 entries or more has an
//! index of its keys instead, of 8 bytes each, so that many questions about a large map stay cheap.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

mod document;
mod error;
mod reader;
#[cfg(test)]
mod tests;
mod value;

pub use document::Document;
pub use error::JsonError;
pub use value::{Entries, Items, Kind, Text, Value};

use value::Node;

/// How deep lists and maps may be nested. Custom resource definitions need some 500; Go's decoder refuses more than 10,000.
pub const MAX_DEPTH: usize = 1000;

/// The longest document, in bytes: what the 28 bits for a length in a node can tell.
pub const MAX_BYTES: usize = (1 << 28) - 1;

/// How many nodes a tape may hold: 32 MiB of them, and half as much again where all keys are in an index. The largest review
/// has two objects of 3 MiB, the limit of the API server for a request; with the shortest entries that managed fields have,
/// `"f:a":{},`, that makes 2.3 million nodes.
pub const MAX_NODES: usize = 1 << 22;

/// How many nodes of memory (512 KiB) a tape keeps when asked to shrink: enough for a review of some 500 KB.
const KEPT_NODES: usize = 1 << 16;

/// Memory to read documents into, one after the other.
#[derive(Debug, Default)]
pub struct Tape {
    nodes: Vec<Node>,
    open: Vec<u32>,
}

impl Tape {
    /// A tape without memory yet.
    pub const fn new() -> Self {
        Self { nodes: Vec::new(), open: Vec::new() }
    }

    /// Reads a whole document.
    ///
    /// # Errors
    ///
    /// What is no JSON or no UTF-8; what is nested deeper than [`MAX_DEPTH`], longer than [`MAX_BYTES`], or has more in it
    /// than [`MAX_NODES`].
    pub fn read<'d>(&'d mut self, bytes: &'d [u8]) -> Result<Value<'d>, JsonError> {
        self.nodes.clear();
        self.open.clear();
        if bytes.len() > MAX_BYTES {
            return Err(JsonError::new(bytes, MAX_BYTES, format!("the document is longer than {MAX_BYTES} bytes")));
        }
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => return Err(JsonError::new(bytes, error.valid_up_to(), "invalid UTF-8")),
        };
        match reader::read(bytes, &mut self.nodes, &mut self.open) {
            Ok(()) => Ok(Value::new(text, &self.nodes)),
            Err(fault) => Err(JsonError::new(bytes, fault.at, fault.what.message())),
        }
    }

    /// Gives back the memory of an unusually large document.
    pub fn shrink(&mut self) {
        self.nodes.clear();
        self.nodes.shrink_to(KEPT_NODES);
    }
}
