//! Portcullis where only wasm is let in: a proxy-wasm filter, for any list of protocols.
//!
//! A crate of type `cdylib` with the line `portcullis_wasm::export!(REGISTRY);`, built for `wasm32-unknown-unknown`, is a module
//! that proxy-wasm hosts load. `portcullis.wasm` and `portcullis-admission.wasm` are made of this project's own protocols that
//! way. It is a host of reduced powers: see [`capabilities`] and `docs/wasm.md`.
//!
//! Protocols are spoken by a network filter, and those of HTTP ([`Protocol::IS_HTTP`](portcullis_proxylib::Protocol::IS_HTTP)) by
//! an HTTP filter. A module in the other place closes all connections, or answers all requests with 500.
//!
//! # Configuration
//!
//! The plugin's `configuration` is JSON in a `StringValue`. Unknown fields are refused, and so is a policy that
//! cannot be used; the log then says why, with line and field.
//!
//! | field | | meaning |
//! |---|---|---|
//! | `protocol` | needed | a protocol of the registry |
//! | `protocolConfig` | | what the protocol lets a listener say |
//! | `policy` | needed | `{"inline": "…"}`: the policies, as text; a module has no files |
//! | `endpoint` | needed | `{"labels": {…}}`: whom the policy protects; `"lookup"`: whom `identities` names for the address of the endpoint's side |
//! | `direction` | needed | `ingress` or `egress`, seen from the endpoint |
//! | `port` | | the destination port as policies name it; else the one where the connection meant to go |
//! | `identities` | | `{"inline": "…"}`: the labels of addresses and networks |
//! | `tlsIdentity` | `false` | `true` or `"optional"`: who the client is, its certificate says, which the host must verify; as for the dynamic module |
//! | `default` | `deny` | `allow` or `deny`: what becomes of endpoints that no policy selects |
//! | `limits` | | see [`Limits`](portcullis_proxylib::Limits); `heldBytes` counts for each listener and worker |
//! | `accessLog` | off | `{"level": "denied", "requests" or "responses"}`: into the host's log, what passed as `info`, all else as `warn` |
//!
//! # Metrics
//!
//! Below `wasmcustom.portcullis` in Envoy, summed up over all workers, and named as those of the dynamic module:
//! `<protocol>.forwarded.requests`, `.denied.requests`, `.audit.requests`, `.errors`, `.panics`, `.connections`,
//! `.connections_active`, `.policy_generation`, `.held_bytes`, and those of `.judged.<name>`. An HTTP filter counts requests as
//! connections. A VM that is lost leaves its gauges as they were.
//!
//! # Layout
//!
//! All unsafe code is in `abi.rs`, the host's functions with their statuses, but for the names of the exports. A callback enters
//! through [`export!`]; `vm.rs` lends it the connection's `Session`, which lets the datapath decide and does to the host's
//! buffers what was decided; or the request's `Exchange` in `http`, which shows the same datapath the bytes that the request
//! would have on a connection, and takes its answer apart again. There is no unwinding in wasm: what panics takes the VM with it.

mod abi;
mod config;
mod export;
mod http;
mod listener;
mod peer;
mod session;
mod stats;
mod vm;

#[doc(hidden)]
pub mod hooks;

pub use portcullis_proxylib::{Capabilities, Registry};

/// What this host can do as an HTTP filter.
pub const fn http_capabilities() -> Capabilities {
    Capabilities { can_wake: false, zero_copy: false, catches_panics: false, ..Capabilities::all("wasm, HTTP") }
}

/// What this host can do as a network filter.
pub const fn capabilities() -> Capabilities {
    Capabilities {
        can_wake: false,
        reply_while_dropping: false,
        zero_copy: false,
        back_pressure: false,
        catches_panics: false,
        tells_reason: false,
        ..Capabilities::all("wasm")
    }
}
