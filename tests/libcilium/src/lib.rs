//! `libcilium_test.so`: the library with the test parsers, one of which panics on command. Not for production.

portcullis_libcilium::export!(portcullis_parsers::test::REGISTRY);
