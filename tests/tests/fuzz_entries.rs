//! What fuzzing found to be worth keeping, and every scenario, through the entries of the fuzz targets: with a stable
//! toolchain, and without fuzzing.

#[path = "../../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "what is here a module is a crate for the fuzz targets")]
mod entries;

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use entries::{ENTRIES, Entry, encode};
use portcullis_tests::scenarios;

/// Runs an entry; the name of what failed, if it did.
fn fails(name: &str, entry: Entry, data: &[u8]) -> Option<String> {
    catch_unwind(|| entry(data)).err().map(|_| name.to_owned())
}

/// The inputs that a fuzz target keeps, with its entry: its minimised corpus, and whatever once failed.
fn inputs_of(target: &str) -> Vec<(String, Entry, Vec<u8>)> {
    let &(_, entry) = ENTRIES.iter().find(|(name, _)| *name == target).expect("the target has an entry");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let input = |path: PathBuf| (path.display().to_string(), entry, fs::read(&path).expect("the file can be read"));
    files.map(|file| input(file.expect("the folder can be read").path())).collect()
}

fn check_corpus(target: &str) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let inputs = inputs_of(target);
    assert!(!inputs.is_empty(), "`{target}` has no corpus");
    let failures: Vec<_> = inputs.iter().filter_map(|(name, entry, data)| fails(name, *entry, data)).collect();
    assert!(failures.is_empty(), "{} of {} failed:\n{}", failures.len(), inputs.len(), failures.join("\n"));
}

/// Where known ways past the parsers are put back, that is done for the whole process.
static ALONE: Mutex<()> = Mutex::new(());

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
fn the_corpus_of_cassandra_frames_holds() {
    check_corpus("cassandra_frames");
}

#[test]
fn the_corpus_of_cassandra_replies_holds() {
    check_corpus("cassandra_replies");
}

#[test]
fn the_corpus_of_cassandra_cql_holds() {
    check_corpus("cassandra_cql");
}

#[test]
fn the_corpus_of_policy_holds() {
    check_corpus("policy");
}

#[test]
fn the_corpus_of_admission_http_holds() {
    check_corpus("admission_http");
}

#[test]
fn the_corpus_of_admission_review_holds() {
    check_corpus("admission_review");
}

#[test]
fn the_corpus_of_rego_holds() {
    check_corpus("rego");
}

#[test]
fn the_corpus_of_rego_values_holds() {
    check_corpus("rego_values");
}

#[test]
fn the_corpus_of_cel_holds() {
    check_corpus("cel");
}

#[test]
fn the_corpus_of_template_holds() {
    check_corpus("template");
}

#[test]
fn the_corpus_of_policies_holds() {
    check_corpus("policies");
}

#[cfg(feature = "javascript")]
#[test]
fn the_corpus_of_javascript_holds() {
    check_corpus("javascript");
}

#[test]
fn the_corpus_of_review_in_engines_holds() {
    check_corpus("review_in_engines");
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
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
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

/// With known ways past the parsers put back, one at a time, the entries fail on what they hold for without them.
#[cfg(feature = "mutants")]
#[test]
fn known_ways_past_the_parsers_are_found() {
    use portcullis_parsers::memcache::mutants::{Mutant, activate};

    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let inputs: Vec<_> =
        ["memcache_text", "memcache_binary", "memcache_replies"].into_iter().flat_map(inputs_of).collect();
    let found = |mutant: Option<Mutant>| {
        activate(mutant);
        let found = inputs.iter().any(|(name, entry, data)| fails(name, *entry, data).is_some());
        activate(None);
        found
    };
    assert!(!found(None), "something fails without them");
    let missed: Vec<_> = Mutant::ALL.into_iter().filter(|&mutant| !found(Some(mutant))).collect();
    assert_eq!(missed, NOT_FOUND);
}

/// Only a real server shows that a value is read as commands: the differential test finds it.
#[cfg(feature = "mutants")]
const NOT_FOUND: [portcullis_parsers::memcache::mutants::Mutant; 1] =
    [portcullis_parsers::memcache::mutants::Mutant::RefusedValue];
