//! The protocols of this project for Cilium's Envoy: `libcilium.so`.

use portcullis_libcilium::{Registry, protocols};
use portcullis_parsers::{cassandra::Cassandra, memcache::Memcache, r2d2::R2d2};

/// Without admission, whose hooks Cilium's agent has no way to send: there it would refuse everything.
static REGISTRY: Registry = protocols![R2d2, Memcache, Cassandra];

portcullis_libcilium::export!(REGISTRY);
