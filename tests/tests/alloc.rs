//! In its steady state a connection allocates nothing for a request, whatever becomes of it.

#[path = "../benches/rig/mod.rs"]
mod rig;

use std::sync::Arc;

use allocation_counter::measure;
use portcullis_proxylib::testing::Recorder;
use portcullis_proxylib::{Datapath, Sink};
use rig::{Exchange, connect, exchanges, rules_of};

/// Requests of one measurement: an allocation that only every hundredth of them makes is one too many.
const REQUESTS: usize = 1000;

/// Allocations of so many exchanges after the first ones.
fn count(datapath: &mut Datapath, exchange: &Exchange, answer: Option<&[u8]>) -> u64 {
    exchange.warm_up(datapath, answer);
    let info = measure(|| {
        for _ in 0..REQUESTS {
            exchange.play(datapath);
        }
    });
    info.count_total
}

#[test]
fn a_request_allocates_nothing() {
    let r2d2 = Some(exchanges::R2D2_DENIED);
    let memcache = Some(exchanges::MEMCACHE_DENIED);
    let large = 1 << 20;
    for (name, protocol, exchange, answer) in [
        ("an r2d2 line", "r2d2", exchanges::line(), None),
        ("a denied r2d2 line", "r2d2", exchanges::line_denied(), r2d2),
        ("a get", "memcache", exchanges::get(), None),
        ("a get that misses", "memcache", exchanges::get_miss("public/plan-0001"), None),
        ("a denied get", "memcache", exchanges::get_denied(), memcache),
        ("a set of 100 bytes", "memcache", exchanges::set(100), None),
        ("a denied set", "memcache", exchanges::set_denied(), memcache),
        ("a set of 1 MiB in pieces of 16 KiB", "memcache", exchanges::set(large).cut(16 << 10), None),
        ("a get of 1 MiB in pieces of 16 KiB", "memcache", exchanges::get_large(large).cut(16 << 10), None),
        ("a line that comes byte by byte", "r2d2", exchanges::line().cut(1), None),
        ("a get that comes byte by byte", "memcache", exchanges::get().cut(1), None),
        ("64 gets at once", "memcache", exchanges::get().pipelined(64), None),
    ] {
        let mut datapath = connect(protocol, &rules_of(protocol), None);
        assert_eq!(count(&mut datapath, &exchange, answer), 0, "{name}");
    }
}

#[test]
fn a_request_to_cassandra_allocates_nothing() {
    for (name, exchange, answer) in [
        ("a query", exchanges::cassandra_query(100), None),
        ("a denied query", exchanges::cassandra_denied(), Some(exchanges::CASSANDRA_DENIED)),
        ("an execution of what is prepared", exchanges::cassandra_execute(), None),
        ("a batch", exchanges::cassandra_batch(), None),
        ("16 queries at once", exchanges::cassandra_queries(16), None),
        ("a query that comes byte by byte", exchanges::cassandra_query(100).cut(1), None),
        ("a query with 1 MiB in reply, in pieces of 16 KiB", exchanges::cassandra_query(1 << 20).cut(16 << 10), None),
    ] {
        let mut datapath = connect("cassandra", &rules_of("cassandra"), None);
        for begins in exchanges::cassandra_begins() {
            begins.play(&mut datapath);
        }
        assert_eq!(count(&mut datapath, &exchange, answer), 0, "{name}");
    }
}

/// The log in memory allocates as it grows: the counter sees what a connection allocates, so that zero means none.
#[test]
fn what_allocates_is_counted() {
    let sink: Arc<dyn Sink> = Arc::new(Recorder::default());
    let mut datapath = connect("memcache", &rules_of("memcache"), Some(sink));
    assert_ne!(count(&mut datapath, &exchanges::get(), None), 0);
}
