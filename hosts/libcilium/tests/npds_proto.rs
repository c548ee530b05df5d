//! `src/npds/wire.rs` is what `proto/npds.proto` says. With `UPDATE_WIRE=1` it is written anew.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;

#[test]
fn the_messages_are_those_of_the_proto_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = protox::compile([root.join("proto/npds.proto")], [root.join("proto")]).unwrap();
    let out = tempfile::tempdir().unwrap();
    let mut config = prost_build::Config::new();
    config.btree_map(["."]).bytes([".cilium.Any.value"]).out_dir(out.path());
    config.compile_fds(files).unwrap();
    let generated = std::fs::read_to_string(out.path().join("cilium.rs")).unwrap();
    let wire = root.join("src/npds/wire.rs");
    if std::env::var_os("UPDATE_WIRE").is_some() {
        std::fs::write(&wire, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&wire).unwrap_or_default();
    assert!(committed == generated, "`src/npds/wire.rs` is out of date: run this test with UPDATE_WIRE=1");
}
