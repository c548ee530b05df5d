//! The protocols of this project for the network filter of proxy-wasm hosts: `portcullis.wasm`.

use portcullis_parsers::{cassandra::Cassandra, memcache::Memcache, r2d2::R2d2};
use portcullis_wasm::Registry;

/// Without admission, which is for an HTTP filter: a module of its own. A proxy compiles all of a module for each VM.
static REGISTRY: Registry = Registry::new(&[&R2d2, &Memcache, &Cassandra]);

portcullis_wasm::export!(REGISTRY);
