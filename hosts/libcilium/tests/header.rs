//! `include/proxylib.h` says what the sources say.

use std::fmt::Write;
use std::fs;
use std::path::Path;

#[test]
fn the_header_is_that_of_the_sources() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let header = generate(&fs::read_to_string(folder.join("src/abi.rs")).unwrap(), include_str!("../src/export.rs"));
    let path = folder.join("include/proxylib.h");
    if std::env::var_os("PORTCULLIS_WRITE").is_some() {
        fs::write(&path, &header).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(written == header, "`{}` is stale: run this test with PORTCULLIS_WRITE=1", path.display());
}

fn generate(types: &str, export: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("proxylib.rs");
    let types = types.split("\n#[cfg(test)]\nmod tests").next().unwrap();
    fs::write(&source, format!("{types}\n{}", functions(export))).unwrap();
    let mut config = cbindgen::Config {
        language: cbindgen::Language::C,
        header: Some(HEADER.to_owned()),
        include_guard: Some("PORTCULLIS_PROXYLIB_H".to_owned()),
        cpp_compat: true,
        documentation_style: cbindgen::DocumentationStyle::C,
        line_length: 128,
        ..cbindgen::Config::default()
    };
    config.no_includes = true;
    config.sys_includes = vec!["stdint.h".to_owned()];
    config.enumeration.prefix_with_name = true;
    config.enumeration.rename_variants = cbindgen::RenameRule::ScreamingSnakeCase;
    config.export.exclude = ["Pieces", "InjectBuffer", "OpList"].map(str::to_owned).to_vec();
    config.export.include = ["KeyValue", "FilterOp", "FilterOpType", "FilterOpError"].map(str::to_owned).to_vec();
    let bindings = cbindgen::Builder::new().with_src(&source).with_config(config).generate().unwrap();
    let mut header = Vec::new();
    bindings.write(&mut header);
    String::from_utf8(header).unwrap()
}

/// The exported functions out of the macro that makes them: their documentation, and their signatures without bodies.
fn functions(export: &str) -> String {
    let (_, list) = export.split_once("$crate::exports! {").unwrap();
    let (list, _) = list.split_once("/// Exports functions").unwrap();
    let mut out = String::new();
    let mut lines = list.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if line.starts_with("///") {
            writeln!(out, "{line}").unwrap();
        } else if line.starts_with("fn ") {
            let mut signature = line.to_owned();
            while !signature.ends_with('{') {
                signature.push_str(lines.next().unwrap());
            }
            let signature = signature.replace("$crate::", "").replace(" -> ()", "");
            writeln!(out, "#[unsafe(no_mangle)]\npub unsafe extern \"C\" {signature} loop {{}} }}").unwrap();
        }
    }
    assert_eq!(out.matches("no_mangle").count(), 5);
    out
}

const HEADER: &str = "\
/* The C ABI of proxylib, as Cilium's Envoy calls it. Made from the sources of portcullis-libcilium. */
/* SPDX-License-Identifier: Apache-2.0 */
";
