//! `libportcullis_test.so`: the module with the test parsers, one of which panics on command. Not for production.

portcullis_envoy::export!(portcullis_parsers::test::REGISTRY);
