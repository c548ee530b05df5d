//! The protocols of this project as a dynamic module for Envoy: `libportcullis.so`.

portcullis_envoy::export!(portcullis_parsers::REGISTRY);
