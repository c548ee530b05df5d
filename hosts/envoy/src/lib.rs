//! Portcullis in a stock Envoy: the network filter of a dynamic module, for any list of protocols.
//!
//! A crate of type `cdylib` with the line `portcullis_envoy::export!(REGISTRY);` is a library that Envoy 1.38, 1.39 and 1.40
//! load as a [dynamic module]. `libportcullis.so` is made of this project's own protocols that way.
//!
//! # Configuration
//!
//! `filter_config` is a `google.protobuf.StringValue` with JSON. Unknown fields are refused, and so is a policy or an
//! identities file that cannot be used: Envoy then refuses the listener, and its log says why, with file, line and field.
//! `envoy --mode validate` does the same.
//!
//! | field | | meaning |
//! |---|---|---|
//! | `protocol` | needed | a protocol of the registry |
//! | `protocolConfig` | | what the protocol lets a listener say |
//! | `policy` | needed | `{"files": […], "directory": "…", "inline": "…"}`: where policies come from; all of them count together |
//! | `policy.isolate` | off | `namespace`: a bad file holds back the policies of its own namespaces alone |
//! | `policy.start` | `refuse` | `refuse` or `deny`: with policies that cannot be used from the beginning Envoy refuses the listener, or nothing passes until they are mended |
//! | `endpoint` | needed | `{"labels": {…}}`: whom the policy protects; `"lookup"`: whom `identities` names for the address of the endpoint's side (where the client meant to go, or for egress where it comes from) |
//! | `direction` | needed | `ingress` or `egress`, seen from the endpoint |
//! | `port` | | the destination port as policies name it; else the one where the connection meant to go |
//! | `identities` | | a file with the labels of addresses and networks |
//! | `tlsIdentity` | `false` | `true` or `"optional"`: who the client is, its certificate says; see below |
//! | `breakGlass` | off | a file that turns all denials by policy into audits for a time |
//! | `statusFile` | off | a file to write how it stands with the policies: [`Status`](portcullis_policy::Status); one for each listener |
//! | `default` | `deny` | `allow` or `deny`: what becomes of endpoints that no policy selects |
//! | `onParseError` | `close` | `close` or `passthrough`: what becomes of a connection whose bytes are not what the protocol allows; see [`OnParseError`](portcullis_proxylib::OnParseError) |
//! | `limits` | | see [`Limits`](portcullis_proxylib::Limits) |
//! | `accessLog` | off | `{"path": "stderr" or a file, "level": "denied", "requests" or "responses"}` |
//!
//! Files that change are read again within about a second. All policies of a listener come into force together or not at
//! all, but for `isolate`; what cannot be used changes nothing, is logged once, and counted.
//!
//! # Who the client is
//!
//! Its address is the one that Envoy goes by: behind the listener filter `proxy_protocol` the one that was told. With
//! `tlsIdentity`, the client's certificate adds names to the labels of its address: the SPIFFE id, DNS names and the subject.
//! Envoy does not say whether it has verified a certificate, so the listener's `DownstreamTlsContext` **must** have
//! `require_client_certificate: true` and a `validation_context` with a `trusted_ca`; hence no certificate counts unless the
//! listener says `tlsIdentity`. A connection that shows none, or one that names nobody, is closed before any byte passes:
//! it could evade what is denied by name. The client must be the first to speak, as the handshake is over only then.
//!
//! With `"optional"` such a connection stays, of a client without a name: for protocols that know callers by other means too
//! (`admission`, by a token), and policies that admit by name and deny nobody by it. The `DownstreamTlsContext` then has
//! `require_client_certificate: false`; what needs to be there is the `trusted_ca`, so that a certificate that is shown is a
//! good one.
//!
//! # Metrics
//!
//! Below the `metrics_namespace` of the module's configuration. Tags of `stats_config` make labels of protocol and verdict,
//! see the sample bootstraps. Listeners of one protocol share their metrics.
//!
//! | name | | counts |
//! |---|---|---|
//! | `<protocol>.forwarded.requests` | counter | requests that passed |
//! | `<protocol>.denied.requests` | counter | requests that were denied |
//! | `<protocol>.audit.requests` | counter | requests that passed although a watched rule would deny them |
//! | `<protocol>.errors` | counter | connections closed for their bytes (malformed, too large, too slow, too many at once) or for want of a certificate |
//! | `<protocol>.panics` | counter | parsers that panicked |
//! | `<protocol>.connections` | counter | connections |
//! | `<protocol>.connections_active` | gauge | connections at the moment |
//! | `<protocol>.policy_generation` | gauge | the number of the policy in force; it goes up with each one |
//! | `<protocol>.policy_reloads` | counter | policies that came into force after the first |
//! | `<protocol>.policy_errors` | counter | changed policies and identities files that could not be used |
//! | `<protocol>.policy_age_seconds` | gauge | how long the policies in force have been |
//! | `<protocol>.policy_hash` | gauge | a digest of the files they came from: the first eight digits of the one in the status file |
//! | `<protocol>.policy_bad` | gauge | 1 while the files hold something that is not in force |
//! | `<protocol>.break_glass` | gauge | 1 while denials by policy pass as the break-glass file says |
//! | `<protocol>.log_lost` | counter | records of the access log that were not written |
//! | `<protocol>.held_bytes` | gauge | bytes that all listeners of the process hold: of undecided frames, and of answers that wait for their turn |
//! | `<protocol>.judged.<name>.forwarded`, `.denied`, `.audit`, `.errors` | counter | what the document of that name (an admission hook) came to; `_other` is those that came after the listener was made |
//! | `<protocol>.judged.<name>.microseconds` | histogram | how long it took |
//!
//! In Envoy 1.38 the nine from `policy_generation` on change only when a connection opens or closes: it has no metrics without one.
//!
//! # Metadata
//!
//! The last request of a connection that was not simply allowed shows in the namespace `portcullis` of its dynamic
//! metadata: `verdict` is `denied` or `audit`, `rule` the id of the rule that decided, or the reason why none did. Where
//! Portcullis closes a connection, the connection's termination details say why: `portcullis_` and one of `parse_error`,
//! `frame_too_large`, `timeout`, `memory`, `truncated`, `panic`, `contract`, `refused`, `no_certificate`.
//!
//! # Layout
//!
//! All unsafe code is in `abi.rs` (what Envoy's header says), `envoy.rs` (its objects as safe handles) and `hooks.rs` (our
//! objects behind its pointers). A hook enters through [`export!`], which catches panics; `handle.rs` lends it the
//! connection's `Session`, which lets the datapath decide; `act.rs` then does to Envoy what was decided.
//!
//! [dynamic module]: https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/advanced/dynamic_modules

mod abi;
mod act;
mod config;
mod ending;
mod envoy;
mod export;
mod guard;
mod handle;
#[doc(hidden)]
pub mod hooks;
mod housekeeper;
mod listener;
mod policies;
mod pool;
mod process;
mod session;
mod stats;
mod waker;

#[cfg(panic = "abort")]
compile_error!("a panic must unwind: one that aborts takes Envoy with it; build with `panic = \"unwind\"`");

pub use abi::Buf;
pub use portcullis_allocator::Counting;
pub use portcullis_proxylib::{Capabilities, Registry};

/// What this host can do in the Envoy that it is loaded by.
pub fn capabilities() -> Capabilities {
    Capabilities { idle_metrics: abi::optional().config_metrics.is_some(), ..Capabilities::all("envoy") }
}
