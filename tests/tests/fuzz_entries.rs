//! What fuzzing found to be worth keeping, and every scenario, through the entries of the fuzz targets: with a stable
//! toolchain, and without fuzzing.

#[path = "../../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "what is here a module is a crate for the fuzz targets")]
mod entries;

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use entries::{ENTRIES, Entry, encode};
use portcullis_tests::scenarios;

/// Runs an entry; the name of what failed, if it did.
fn fails(name: &str, entry: Entry, data: &[u8]) -> Option<String> {
    catch_unwind(|| entry(data)).err().map(|_| name.to_owned())
}

/// The inputs that a fuzz target keeps: its minimised corpus, and whatever once failed.
fn check_corpus(target: &str) {
    let &(_, entry) = ENTRIES.iter().find(|(name, _)| *name == target).expect("the target has an entry");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut count = 0;
    let failures: Vec<_> = files
        .filter_map(|file| {
            let path = file.expect("the folder can be read").path();
            count += 1;
            fails(&path.display().to_string(), entry, &fs::read(&path).expect("the file can be read"))
        })
        .collect();
    assert!(count > 0, "{} is empty", folder.display());
    assert!(failures.is_empty(), "{} of {count} failed:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn the_corpus_of_memcache_text_holds() {
    check_corpus("memcache_text");
}

#[test]
fn the_corpus_of_memcache_binary_holds() {
    check_corpus("memcache_binary");
}

#[test]
fn the_corpus_of_memcache_replies_holds() {
    check_corpus("memcache_replies");
}

#[test]
fn the_corpus_of_r2d2_holds() {
    check_corpus("r2d2");
}

#[test]
fn the_corpus_of_policy_holds() {
    check_corpus("policy");
}

#[test]
fn every_target_has_a_corpus_that_is_checked_here() {
    let source = include_str!("fuzz_entries.rs");
    for (name, _) in ENTRIES {
        assert!(source.contains(&format!("check_corpus(\"{name}\")")), "`{name}` has no test");
    }
}

#[test]
fn every_scenario_holds_as_a_script() {
    let failures: Vec<_> = scenarios()
        .iter()
        .filter_map(|(file, scenario)| {
            let (target, data) = encode(scenario)?;
            let &(_, entry) = ENTRIES.iter().find(|(name, _)| *name == target)?;
            fails(file, entry, &data)
        })
        .collect();
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
}
