//! Streams of bytes to memcached alone, and to memcached behind us.
//!
//! `PORTCULLIS_CASES` says how many streams, `PORTCULLIS_SEED` the first of them.

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use portcullis_tests::differential::streams::{Kind, Stream};
use portcullis_tests::differential::{Judge, find_memcached};

/// Streams in a run of CI.
const CASES: u64 = 4000;

/// Most of the time is spent waiting for servers to start and to be silent.
const LANES: usize = 8;

/// Failures that are minimised and shown.
const SHOWN: usize = 8;

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("`{name}` must be a number: `{text}`")))
}

fn memcached() -> Option<PathBuf> {
    let found = find_memcached();
    if found.is_none() {
        assert!(env::var_os("PORTCULLIS_NO_SKIP").is_none(), "no memcached: set `PORTCULLIS_MEMCACHED`, or install it");
        eprintln!("SKIPPED: memcached is not on PATH; see tools/fetch-memcached");
    }
    found
}

#[test]
fn replies_are_those_of_the_server_or_a_listed_refusal() {
    let Some(memcached) = memcached() else { return };
    let judge = Judge::new(&memcached);
    let first = number("PORTCULLIS_SEED", 0);
    let end = first + number("PORTCULLIS_CASES", CASES);
    let next = AtomicU64::new(first);
    let failures = Mutex::new(Vec::new());
    let kinds: Mutex<BTreeMap<Kind, u64>> = Mutex::default();
    let met: Mutex<BTreeMap<&str, u64>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let stream = Stream::generate(seed);
                    *kinds.lock().unwrap().entry(stream.kind).or_default() += 1;
                    match judge.judge(&stream) {
                        Ok(ids) => ids.into_iter().for_each(|id| *met.lock().unwrap().entry(id).or_default() += 1),
                        Err(difference) => {
                            let nth = failures.lock().unwrap().len();
                            let difference = if nth < SHOWN { judge.minimise(difference, 60) } else { difference };
                            failures.lock().unwrap().push(format!("seed {seed}: {difference}"));
                        }
                    }
                }
            });
        }
    });
    println!("{} streams: {:?}", end - first, kinds.lock().unwrap());
    println!("divergences: {:?}", met.lock().unwrap());
    let failures = failures.lock().unwrap();
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures[..failures.len().min(SHOWN)].join("\n"));
}
