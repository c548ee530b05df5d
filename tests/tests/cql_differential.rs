//! CQL texts for Cassandra's own parser and for ours: what that one takes, ours reads as the same, or refuses.
//!
//! `PORTCULLIS_CASES` says how many texts, `PORTCULLIS_SEED` the first of them.

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use portcullis_parsers::cassandra::cql::Script;
use portcullis_tests::cql::oracle::{Oracle, find};
use portcullis_tests::cql::{Reading, corpus, texts};

/// Texts in a run of CI.
const CASES: u64 = 120_000;

/// Texts that are asked for together.
const TOGETHER: u64 = 2000;

/// Failures that are shown.
const SHOWN: usize = 12;

/// Of a hundred texts of the corpus, so many must be read.
const MUST_READ: usize = 99;

/// The mistakes that can be put back are one switch for the whole process.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn number(name: &str, default: u64) -> u64 {
    env::var(name)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("`{name}` must be a number: `{text}`")))
}

fn begin() -> Option<(Oracle, MutexGuard<'static, ()>)> {
    let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    match find() {
        Ok(class_path) => {
            let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cql-oracle");
            std::fs::create_dir_all(&folder).unwrap();
            Some((Oracle::start(&class_path, &folder), turn))
        }
        Err(why) => {
            assert!(env::var_os("PORTCULLIS_NO_SKIP").is_none(), "{why}");
            eprintln!("SKIPPED: {why}");
            None
        }
    }
}

/// What became of the texts.
#[derive(Debug, Default)]
struct Tally {
    /// Read alike.
    agreed: u64,
    /// Refused by both.
    refused: u64,
    /// Taken by Cassandra's parser, refused by ours: why, and how often.
    stricter: BTreeMap<&'static str, u64>,
    /// Refused by Cassandra's parser, taken by ours.
    looser: u64,
    /// Read alike, but for functions and types that ours has besides: they are judged, too.
    more: u64,
    failures: Vec<String>,
}

/// One text that Cassandra's parser has read.
fn judge(script: &mut Script, text: &[u8], cassandra: Option<&Reading>, tally: &mut Tally) {
    let verbose = env::var("PORTCULLIS_SHOW").unwrap_or_default();
    let shown = String::from_utf8_lossy(text);
    let ours = Reading::ours(script, text);
    let mut failed = |why: String| tally.failures.push(format!("{shown:?}: {why}"));
    match (ours, cassandra) {
        (Some(ours), Some(cassandra)) => {
            if !ours.agrees(cassandra) && ours.names_more(cassandra) {
                tally.more += 1;
            } else if !ours.agrees(cassandra) {
                failed(format!("ours {ours:?}, Cassandra {cassandra:?}"));
            } else if script.needs_keyspace() != cassandra.needs_keyspace() {
                failed(format!("needs a keyspace: ours {}, Cassandra {cassandra:?}", script.needs_keyspace()));
            } else {
                tally.agreed += 1;
            }
        }
        (None, None) => tally.refused += 1,
        (None, Some(_)) => {
            let reason = script.read(text).map_err(|error| error.reason).unwrap_err();
            if verbose.contains("stricter") {
                println!("stricter: {shown:?}: {reason}");
            }
            *tally.stricter.entry(reason).or_default() += 1;
        }
        (Some(_), None) => {
            if verbose.contains("looser") {
                println!("looser: {shown:?}");
            }
            tally.looser += 1;
        }
    }
}

/// Judges the texts of these seeds, until so many have failed.
fn run(oracle: &mut Oracle, corpus: &[String], first: u64, count: u64, most: usize) -> Tally {
    let mut tally = Tally::default();
    let mut script = Script::default();
    let mut seed = first;
    while seed < first + count && tally.failures.len() < most {
        let next = (seed + TOGETHER).min(first + count);
        let texts: Vec<_> = (seed..next).map(|seed| texts::generate(corpus, seed)).collect();
        for (text, reading) in texts.iter().zip(oracle.read(&texts)) {
            judge(&mut script, text, reading.as_ref(), &mut tally);
        }
        seed = next;
    }
    tally
}

fn assert_none(failures: &[String]) {
    let shown: Vec<_> = failures.iter().take(SHOWN).map(String::as_str).collect();
    assert!(failures.is_empty(), "{} texts are read differently:\n{}", failures.len(), shown.join("\n"));
}

#[test]
fn the_corpus_is_read_as_cassandra_reads_it() {
    let Some((mut oracle, _turn)) = begin() else { return };
    let corpus = corpus::read();
    let texts: Vec<_> = corpus.iter().map(|text| text.clone().into_bytes()).collect();
    let mut tally = Tally::default();
    let mut script = Script::default();
    let readings = oracle.read(&texts);
    for (text, reading) in texts.iter().zip(&readings) {
        judge(&mut script, text, reading.as_ref(), &mut tally);
    }
    let theirs = readings.iter().flatten().count();
    let ours = texts.iter().filter(|text| script.read(text).is_ok()).count();
    println!("corpus: {} texts, Cassandra takes {theirs}, ours {ours}: {tally:?}", texts.len());
    assert_none(&tally.failures);
    assert!(ours * 100 >= texts.len() * MUST_READ, "ours reads {ours} of {} texts", texts.len());
}

#[test]
fn what_cassandra_takes_is_read_alike_or_refused() {
    let Some((mut oracle, _turn)) = begin() else { return };
    let (first, count) = (number("PORTCULLIS_SEED", 0), number("PORTCULLIS_CASES", CASES));
    let begun = Instant::now();
    let tally = run(&mut oracle, &corpus::read(), first, count, 200);
    println!(
        "{count} texts from seed {first} in {:.1?}: {} read alike, {} refused by both, {} only by ours {:?}, {} only by Cassandra, {} \
         with more names",
        begun.elapsed(),
        tally.agreed,
        tally.refused,
        tally.stricter.values().sum::<u64>(),
        tally.stricter,
        tally.looser,
        tally.more
    );
    assert_none(&tally.failures);
    assert!(tally.more * 5000 <= tally.agreed, "{} texts name more in ours", tally.more);
    // A reader that refuses everything would pass as well.
    assert!(tally.agreed * 10 > count, "only {} of {count} texts were read", tally.agreed);
}

#[cfg(feature = "mutants")]
#[test]
fn every_known_mistake_is_found() {
    use portcullis_parsers::cassandra::cql::mutants::{Mutant, activate};

    let Some((mut oracle, _turn)) = begin() else { return };
    let corpus = corpus::read();
    let mut missed = Vec::new();
    for mutant in Mutant::ALL {
        let begun = Instant::now();
        activate(Some(mutant));
        let failures = run(&mut oracle, &corpus, 0, CASES, 1).failures;
        activate(None);
        match failures.first() {
            Some(why) => {
                println!("{mutant:?}: found in {:.1?}: {}", begun.elapsed(), why.chars().take(160).collect::<String>());
            }
            None => missed.push(mutant),
        }
    }
    assert!(missed.is_empty(), "not found in {CASES} texts: {missed:?}");
}
