//! The core of Portcullis: parsers read the bytes of a connection and answer MORE, PASS, DROP, INJECT or ERROR.
//!
//! The core does no I/O but for the access log's own thread, owns no clock, and names no protocol and no host. A host hands
//! the bytes of both directions to a [`Datapath`]; that calls the connection's [`Parser`], which frames the bytes, asks
//! policy through its [`Context`], and answers with a [`Verdict`].
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

mod capabilities;
mod connection;
mod context;
mod datapath;
mod input;
mod instance;
mod jobs;
mod limits;
mod log;
mod meta;
mod parser;
mod registry;
mod sandbox;
mod tally;
#[cfg(feature = "testing")]
pub mod testing;
mod turns;
mod verdict;

pub use capabilities::Capabilities;
pub use connection::{Accepted, Connection, Fault, FaultKind, MAX_OPS, Op, Ops};
pub use context::{Admitted, Conclusion, Context, Denied};
pub use datapath::{Datapath, Effects};
pub use input::{Input, Reader};
pub use instance::{Clock, Instance, OnParseError, Refused};
pub use jobs::{Executor, Job, Lost, Pending, Wake, memory_gauge, set_memory_gauge};
pub use limits::{Budget, Limits, Time};
pub use log::{AccessLog, Asked, Entry, Level, Log, MAX_ENTRY, Sink, Status, Target, write_json};
pub use meta::Meta;
pub use parser::{ErasedParser, ErasedProtocol, Listen, NoConfig, Parser, Protocol};
pub use registry::Registry;
pub use tally::{Observed, Tally};
pub use turns::Turns;
pub use verdict::{Direction, Grant, OnData, ParseError, Verdict};

/// The policy types that parsers name.
pub use portcullis_policy as policy;
