//! The socket: a reader that is slow, stalled, absent or new, and a log that is stopped.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use portcullis_proxylib::Sink;

use super::super::LogSocket;
use super::reader::{EntryType, Listener, LogEntry, Reader};
use super::*;

struct Place {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access_log.sock");
    Place { _folder: folder, path }
}

fn record(sink: &Arc<dyn Sink>, file: &str) {
    let meta = meta();
    let request = Request::text("file", file);
    sink.record(&entry(&meta, Status::Forwarded, Some(&request)));
}

fn file(entry: &LogEntry) -> String {
    entry.fields()["file"].clone()
}

fn await_true(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}: not in time");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn records_come_in_order_with_the_name_of_their_policy() {
    let place = place();
    let listener = Listener::bind(&place.path);
    let log = LogSocket::open(&place.path);
    let sinks = [log.sink("10.0.0.1"), log.sink("10.0.0.2")];
    for n in 0..1000 {
        record(&sinks[n % 2], &n.to_string());
    }
    let reader = listener.accept();
    let mut last = 0;
    for n in 0..1000 {
        let entry = reader.next();
        assert_eq!((file(&entry), entry.policy_name.as_str()), (n.to_string(), ["10.0.0.1", "10.0.0.2"][n % 2]));
        assert!(entry.timestamp >= last);
        last = entry.timestamp;
    }
    assert_eq!((log.lost(), log.written()), (0, 1000));
}

#[test]
fn a_connection_that_reuses_a_number_is_not_taken_for_the_other() {
    let place = place();
    let listener = Listener::bind(&place.path);
    let log = LogSocket::open(&place.path);
    let sink = log.sink("p");
    for port in [1, 2, 1] {
        let meta = Meta { source: format!("10.0.0.1:{port}").parse().ok(), ..meta() };
        sink.record(&entry(&meta, Status::Forwarded, None));
    }
    let reader = listener.accept();
    let sources = [(); 3].map(|()| reader.next().source_address);
    assert_eq!(sources, ["10.0.0.1:1", "10.0.0.1:2", "10.0.0.1:1"]);
}

#[test]
fn replies_are_logged_where_the_agent_knows_them() {
    let place = place();
    let listener = Listener::bind(&place.path);
    let log = LogSocket::open(&place.path);
    let sink = log.sink("p");
    let meta = meta();
    for protocol in ["cassandra", "r2d2", "memcache"] {
        for status in [Status::Reply, Status::Forwarded] {
            sink.record(&Entry { protocol, ..entry(&meta, status, None) });
        }
    }
    let reader = listener.accept();
    let came = [(); 4].map(|()| {
        let entry = reader.next();
        (entry.generic_l7.as_ref().unwrap().proto.clone(), entry.entry_type())
    });
    let protocols: Vec<_> = came.iter().map(|(protocol, kind)| (&**protocol, *kind)).collect();
    let (request, response) = (EntryType::Request, EntryType::Response);
    assert_eq!(protocols, [("cassandra", request), ("r2d2", request), ("memcache", response), ("memcache", request)]);
    assert_eq!((log.written(), log.lost()), (4, 0));
}

#[test]
fn what_is_recorded_before_there_is_a_reader_waits_for_it() {
    let place = place();
    let log = LogSocket::open(&place.path);
    let sink = log.sink("p");
    record(&sink, "early");
    thread::sleep(Duration::from_millis(50));
    let listener = Listener::bind(&place.path);
    assert_eq!(file(&listener.accept().next()), "early");
}

#[test]
fn a_new_reader_gets_what_comes_after_the_old_one() {
    let place = place();
    let listener = Listener::bind(&place.path);
    let log = LogSocket::open(&place.path);
    let sink = log.sink("p");
    record(&sink, "before");
    assert_eq!(file(&listener.accept().next()), "before");
    // The agent restarts: its socket is gone, and comes back at the same place.
    drop(listener);
    std::fs::remove_file(&place.path).unwrap();
    record(&sink, "between");
    thread::sleep(Duration::from_millis(50));
    let listener = Listener::bind(&place.path);
    let reader = listener.accept();
    record(&sink, "after");
    assert_eq!([file(&reader.next()), file(&reader.next())], ["between", "after"]);
    assert_eq!(log.lost(), 0);
}

#[test]
fn a_log_that_slept_is_woken() {
    let place = place();
    let listener = Listener::bind(&place.path);
    let log = LogSocket::open(&place.path);
    let sink = log.sink("p");
    record(&sink, "first");
    let reader = listener.accept();
    reader.next();
    thread::sleep(super::super::writer::REST + Duration::from_millis(200));
    record(&sink, "second");
    assert_eq!(file(&reader.next()), "second");
}

/// Records until records are lost, and says how many were made.
fn fill(log: &LogSocket, sink: &Arc<dyn Sink>) -> u64 {
    let long = "x".repeat(1500);
    let mut made = 0;
    while log.lost() < 1000 {
        assert!(made < 1_000_000, "nothing is ever lost");
        for _ in 0..1000 {
            record(sink, &long);
            made += 1;
        }
    }
    made
}

#[test]
fn a_stalled_reader_costs_records_and_not_time() {
    let place = place();
    let listener = Listener::bind(&place.path);
    let log = LogSocket::open(&place.path);
    let sink = log.sink("p");
    record(&sink, "first");
    let reader = listener.accept();
    let made = 1 + fill(&log, &sink);
    // It reads again: every record either comes or was counted.
    let read = drain(&reader, &log, made);
    assert_eq!(read + log.lost(), made);
    record(&sink, "last");
    assert_eq!(file(&reader.next()), "last");
}

fn drain(reader: &Reader, log: &LogSocket, made: u64) -> u64 {
    let mut read = 0;
    while read + log.lost() < made {
        reader.next();
        read += 1;
    }
    read
}

#[test]
fn stopping_writes_what_is_queued() {
    let place = place();
    let listener = Listener::bind(&place.path);
    let log = LogSocket::open(&place.path);
    let sink = log.sink("p");
    for n in 0..500 {
        record(&sink, &n.to_string());
    }
    log.stop();
    assert_eq!((log.written(), log.lost()), (500, 0));
    record(&sink, "too late");
    assert_eq!(log.lost(), 1);
    assert_eq!(listener.accept().drain(), 500);
    log.stop();
}

#[test]
fn stopping_does_not_wait_for_a_stalled_reader() {
    let place = place();
    let listener = Listener::bind(&place.path);
    let log = LogSocket::open(&place.path);
    let sink = log.sink("p");
    record(&sink, "first");
    let reader = listener.accept();
    let made = 1 + fill(&log, &sink);
    log.stop();
    // Without a reader nobody could have taken the others.
    assert_eq!(log.written() + log.lost(), made);
    assert!(log.lost() > 1000);
    drop(reader);
}

#[test]
fn stopping_does_not_wait_for_connections_that_live_on() {
    let place = place();
    let listener = Listener::bind(&place.path);
    let log = LogSocket::open(&place.path);
    let sink = log.sink("p");
    let is_over = Arc::new(AtomicBool::new(false));
    let theirs = Arc::clone(&is_over);
    let worker = thread::spawn(move || {
        let mut made = 0;
        while !theirs.load(Ordering::Relaxed) {
            record(&sink, "x");
            made += 1;
        }
        made
    });
    let reader = listener.accept();
    let reading = thread::spawn(move || reader.drain());
    thread::sleep(Duration::from_millis(50));
    log.stop();
    is_over.store(true, Ordering::Relaxed);
    let made: u64 = worker.join().unwrap();
    assert_eq!(reading.join().unwrap(), log.written());
    assert!(log.written() + log.lost() <= made && log.written() > 0);
}

#[test]
fn stopping_without_a_reader_counts_what_was_queued() {
    let place = place();
    let log = LogSocket::open(&place.path);
    let sink = log.sink("p");
    for _ in 0..10 {
        record(&sink, "a");
    }
    log.stop();
    assert_eq!((log.written(), log.lost()), (0, 10));
}

#[test]
fn a_description_that_panics_takes_nothing_with_it() {
    struct Bomb;
    impl Describe for Bomb {
        fn describe(&self, fields: &mut dyn Fields) {
            fields.text("file", b"half");
            panic!("at the disco");
        }
    }
    let place = place();
    let listener = Listener::bind(&place.path);
    let log = LogSocket::open(&place.path);
    let sink = log.sink("p");
    let theirs = Arc::clone(&sink);
    let meta = meta();
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        theirs.record(&entry(&meta, Status::Forwarded, Some(&Bomb)));
    }));
    assert!(caught.is_err());
    record(&sink, "whole");
    assert_eq!(file(&listener.accept().next()), "whole");
}

#[test]
fn every_record_of_many_threads_comes_once() {
    const EACH: u64 = 20_000;
    let place = place();
    let listener = Listener::bind(&place.path);
    let log = LogSocket::open(&place.path);
    let threads: Vec<_> = (0..4)
        .map(|of| {
            let sink = log.sink(&of.to_string());
            thread::spawn(move || (0..EACH).for_each(|n| record(&sink, &n.to_string())))
        })
        .collect();
    let reader = listener.accept();
    let mut next = [0_u64; 4];
    for _ in 0..4 * EACH {
        let entry = reader.next();
        let of: usize = entry.policy_name.parse().unwrap();
        assert_eq!(file(&entry), next[of].to_string(), "of thread {of}");
        next[of] += 1;
    }
    for thread in threads {
        thread.join().unwrap();
    }
    await_true("the count", || log.written() == 4 * EACH);
    assert_eq!(log.lost(), 0);
}
