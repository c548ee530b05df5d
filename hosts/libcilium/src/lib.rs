//! Portcullis in Cilium's Envoy: the proxylib C ABI, for any list of protocols.
//!
//! A crate of type `cdylib` with the line `portcullis_libcilium::export!(REGISTRY);` is a library that Cilium's Envoy loads by
//! the `proxylib` of its filter `cilium.network`, in the place of the one in Go. `libcilium.so` is made of this project's own
//! protocols that way. The contract of the exported functions is in `include/proxylib.h`, which is made from these sources.
//!
//! # Layout
//!
//! All unsafe code is in `abi.rs` (layouts and pointers), `hooks.rs` (bodies of the exports) and `export.rs` (the exports,
//! which catch panics). `modules.rs` has the instances, `sites.rs` what connections to one server share, `table.rs` the
//! connections, `connection/` the bookkeeping of one.

mod abi;
mod address;
mod connection;
mod events;
mod export;
mod guard;
#[doc(hidden)]
pub mod hooks;
pub mod log;
mod modules;
pub mod npds;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod overrides;
pub mod policies;
mod say;
mod sites;
mod table;
#[cfg(feature = "testing")]
pub mod testing;

#[cfg(panic = "abort")]
compile_error!("a panic must unwind: one that aborts takes Envoy with it; build with `panic = \"unwind\"`");

pub use abi::{FilterOp, FilterOpError, FilterOpType, FilterResult, GoSlice, GoString, KeyValue, MAX_OPS};
pub use portcullis_proxylib::{Registry, protocols};

use portcullis_proxylib::Capabilities;

/// Bytes of an inject buffer of Cilium's Envoy (`GoFilter::Instance::Direction` in `cilium/proxylib.h`).
const INJECT_BUFFER: usize = 1024;

/// What this host can do.
pub fn capabilities() -> Capabilities {
    Capabilities {
        can_wake: false,
        deadlines: false,
        half_close: false,
        zero_copy: true,
        back_pressure: false,
        max_inject: Some(INJECT_BUFFER),
        tells_reason: false,
        ..Capabilities::all("libcilium")
    }
}
