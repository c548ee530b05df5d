//! The protocols of this project for proxy-wasm hosts: `portcullis.wasm`.

use portcullis_parsers::{cassandra::Cassandra, memcache::Memcache, r2d2::R2d2};
use portcullis_wasm::Registry;

/// Without admission, which answers every request itself: a network filter cannot do that here.
static REGISTRY: Registry = Registry::new(&[&R2d2, &Memcache, &Cassandra]);

portcullis_wasm::export!(REGISTRY);
