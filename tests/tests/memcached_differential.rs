//! Streams of bytes to memcached alone, and to memcached behind us; and streams that may not reach one of its keys.
//!
//! `PORTCULLIS_CASES` says how many streams, `PORTCULLIS_SEED` the first of them.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use portcullis_tests::differential::canary::Guard;
use portcullis_tests::differential::divergences::DIVERGENCES;
use portcullis_tests::differential::streams::{Kind, Stream};
use portcullis_tests::differential::{Judge, find_memcached};

/// Streams in a run of CI.
const CASES: u64 = 2500;

/// Much of the time is spent waiting for servers to be silent.
const LANES: usize = 12;

/// Failures that are minimised and shown.
const SHOWN: usize = 6;

/// Plays to make one failure smaller.
const MINIMISING: usize = 80;

/// The ways past the parser that can be put back are one switch for the whole process.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn number(name: &str, default: u64) -> u64 {
    env::var(name)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("`{name}` must be a number: `{text}`")))
}

fn begin() -> Option<(PathBuf, MutexGuard<'static, ()>)> {
    let Some(found) = find_memcached() else {
        assert!(env::var_os("PORTCULLIS_NO_SKIP").is_none(), "no memcached: set `PORTCULLIS_MEMCACHED`, or install it");
        eprintln!("SKIPPED: memcached is not on PATH; see tools/fetch-memcached");
        return None;
    };
    Some((found, ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)))
}

/// What a run came to.
#[derive(Default)]
struct Tally {
    kinds: BTreeMap<Kind, u64>,
    met: BTreeMap<&'static str, u64>,
    failures: Vec<(u64, String)>,
}

/// Plays the streams of these seeds, on several threads, until so many have failed.
fn run(memcached: &Path, first: u64, count: u64, most: usize, part: Part) -> Tally {
    let next = AtomicU64::new(first);
    let tally = Mutex::<Tally>::default();
    thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                let mut judge = if part == Part::Replies { Judge::new(memcached) } else { Judge::hasty(memcached) };
                let mut guard = Guard::new(memcached);
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count || tally.lock().unwrap().failures.len() >= most {
                        return;
                    }
                    let stream = Stream::generate(seed);
                    *tally.lock().unwrap().kinds.entry(stream.kind).or_default() += 1;
                    if part != Part::Replies
                        && let Err(why) = guard.judge(&stream)
                    {
                        tally.lock().unwrap().failures.push((seed, format!("canary: {why}")));
                    }
                    if part == Part::Canary {
                        continue;
                    }
                    match judge.judge(&stream) {
                        Ok(ids) => {
                            ids.into_iter().for_each(|id| *tally.lock().unwrap().met.entry(id).or_default() += 1)
                        }
                        Err(difference) => {
                            let shown = part == Part::Replies && tally.lock().unwrap().failures.len() < SHOWN;
                            let difference = if shown { judge.minimise(difference, MINIMISING) } else { difference };
                            tally.lock().unwrap().failures.push((seed, difference.to_string()));
                        }
                    }
                }
            });
        }
    });
    tally.into_inner().unwrap()
}

/// What is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Replies,
    Canary,
    #[cfg(feature = "mutants")]
    Both,
}

fn check(name: &str, part: Part) {
    let Some((memcached, _turn)) = begin() else { return };
    let (first, count) = (number("PORTCULLIS_SEED", 0), number("PORTCULLIS_CASES", CASES));
    let begun = Instant::now();
    let Tally { kinds, met, failures } = run(&memcached, first, count, 40, part);
    println!("{name}: {count} streams from seed {first} in {:.0?}: {kinds:?}", begun.elapsed());
    println!("{name}: {} divergences met: {met:?}", met.values().sum::<u64>());
    let show: Vec<_> = failures.iter().take(SHOWN).map(|(seed, why)| format!("seed {seed}: {why}")).collect();
    assert!(failures.is_empty(), "{} streams failed:\n{}", failures.len(), show.join("\n"));
}

#[test]
fn replies_are_those_of_the_server_or_a_listed_refusal() {
    check("replies", Part::Replies);
}

#[test]
fn a_key_that_is_not_admitted_is_neither_told_nor_changed() {
    check("canary", Part::Canary);
}

/// Rows of the tables have an id in their first column, but where we do as memcached does.
#[test]
fn the_divergences_are_those_of_the_documentation() {
    let docs = include_str!("../../docs/memcache.md");
    let (_, tables) = docs.split_once("## Where we refuse what memcached takes").unwrap();
    let ids = tables.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |").map(|(id, _)| id));
    let (mut listed, mut known): (Vec<_>, Vec<_>) = (ids.collect(), DIVERGENCES.iter().map(|row| row.id).collect());
    listed.sort_unstable();
    known.sort_unstable();
    assert_eq!(listed, known);
}

#[cfg(feature = "mutants")]
#[test]
fn every_known_way_past_the_parser_is_found() {
    use portcullis_parsers::memcache::mutants::{Mutant, activate};

    let Some((memcached, _turn)) = begin() else { return };
    let mut missed = Vec::new();
    for mutant in Mutant::ALL {
        let begun = Instant::now();
        let mut found = None;
        let mut first = 0;
        while found.is_none() && first < CASES {
            activate(Some(mutant));
            let failures = run(&memcached, first, CASES - first, 1, Part::Both).failures;
            activate(None);
            // What is found must be the way past the parser, and nothing else.
            let is_sound = |seed: u64| {
                [Part::Canary, Part::Replies].iter().all(|part| run(&memcached, seed, 1, 1, *part).failures.is_empty())
            };
            first = failures.iter().map(|(seed, _)| seed + 1).max().unwrap_or(CASES);
            found = failures.into_iter().find(|(seed, _)| is_sound(*seed));
        }
        match found {
            Some((seed, why)) => {
                let why: String = why.lines().next().unwrap_or_default().chars().take(90).collect();
                println!("{mutant:?}: found by seed {seed} in {:.1?}: {why}", begun.elapsed());
            }
            None => missed.push(mutant),
        }
    }
    assert!(missed.is_empty(), "not found in {CASES} streams: {missed:?}");
}
