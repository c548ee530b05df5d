//! The protocols of this project for Cilium's Envoy: `libcilium.so`.

portcullis_libcilium::export!(portcullis_parsers::REGISTRY);
