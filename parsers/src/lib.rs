//! The protocols of Portcullis. No parser knows another one, nor a host.
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

pub mod admission;
pub mod cassandra;
pub mod memcache;
pub mod r2d2;
#[cfg(feature = "test-parsers")]
pub mod test;

use portcullis_proxylib::{Registry, protocols};

/// The protocols for production.
pub static REGISTRY: Registry =
    protocols![r2d2::R2d2, memcache::Memcache, cassandra::Cassandra, admission::AdmissionProtocol,];
