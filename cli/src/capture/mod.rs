//! Captures: files of packets, and what the TCP connections in them said, in order.
//!
//! ```text
//! bytes of a file -> Packet -> Segment (link and IP headers off) -> Table (reassembly) -> Event, to whoever listens
//! ```
//!
//! Nothing here is held by what the file claims: every buffer and table has a bound, and what does not fit is reported.

mod file;
mod hex;
mod link;
mod side;
mod table;
#[cfg(test)]
#[path = "../../tests/replay_support/mod.rs"]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod tunnel;

pub(crate) use file::{Broken, Input, Kind};
#[cfg(test)]
use link::Segment;
pub(crate) use table::{Event, Flow, Listener, Stats, Table};
