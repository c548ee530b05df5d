//! What a request costs in the core: the events of a host, from the bytes it hands over to the bytes it takes back.
//!
//! `make bench` runs all of it; `cargo bench -p portcullis-tests -- <part of a name>` some of it. After Criterion's own report
//! stands one table with what was run: nanoseconds a request, replies included.

mod rig;
mod table;

use std::hint::black_box;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use portcullis_proxylib::{AccessLog, Sink, Target};
use rig::{Exchange, connect, exchanges, rule, rules_of};
use serde_json::{Value, json};
use table::Table;
use tempfile::TempDir;

/// How many requests come at once where they are pipelined.
const PIPELINED: u64 = 64;

/// Records that are written without a pause: half of what the log's queue holds.
const BURST: u64 = 4096;

/// How long the log's writer gets after each burst. It looks at its queue every 10 ms.
const DRAIN: Duration = Duration::from_millis(25);

/// Requests that are logged without any pause, to see how many records are lost.
const FLOOD: u64 = 1 << 20;

fn main() {
    let mut table = Table::new();
    let mut criterion = Criterion::default()
        .output_directory(&table.folder())
        .without_plots()
        .nresamples(10_000)
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(800))
        .configure_from_args();
    floor(&mut criterion, &mut table);
    small(&mut criterion, &mut table);
    large(&mut criterion, &mut table);
    cassandra(&mut criterion, &mut table);
    rules(&mut criterion, &mut table);
    if table.print() {
        flood();
    }
}

/// What the bookkeeping costs where there is nothing to decide: 20 bytes that pass.
fn floor(criterion: &mut Criterion, table: &mut Table) {
    let mut group = criterion.benchmark_group("floor");
    measure(&mut group, table, ["floor", "20 bytes pass"], 1, || {
        player("test.passer", Exchange::new("01234567890123456789", ""), None, None)
    });
}

/// Small requests: one at a time and pipelined, without and with a log of every request.
fn small(criterion: &mut Criterion, table: &mut Table) {
    let (r2d2, memcache) = (Some(exchanges::R2D2_DENIED), Some(exchanges::MEMCACHE_DENIED));
    for (protocol, name, exchange, denial) in [
        ("r2d2", "line", exchanges::line(), None),
        ("r2d2", "line denied", exchanges::line_denied(), r2d2),
        ("memcache", "get", exchanges::get(), None),
        ("memcache", "get denied", exchanges::get_denied(), memcache),
        ("memcache", "set", exchanges::set(100), None),
        ("memcache", "set denied", exchanges::set_denied(), memcache),
    ] {
        let mut group = criterion.benchmark_group(protocol);
        for times in [1, PIPELINED] {
            let name = if times == 1 { name.to_owned() } else { format!("{name} x{times}") };
            let exchange = exchange.pipelined(times as usize);
            let denials = denial.map(|denial| denial.repeat(times as usize));
            measure(&mut group, table, [protocol, &name], times, || {
                player(protocol, exchange.clone(), denials.as_deref(), None)
            });
            let log = TemporaryLog::open();
            let name = format!("{name}, log");
            measure_logged(&mut group, table, [protocol, &name], times, || {
                player(protocol, exchange.clone(), denials.as_deref(), Some(log.sink()))
            });
            let lost = log.sink.lost();
            if lost > 0 {
                println!("{protocol}/{name}: {lost} records were lost, so that this measured something else");
            }
        }
    }
}

/// Values of 1 MiB as they come from sockets.
fn large(criterion: &mut Criterion, table: &mut Table) {
    let mut group = criterion.benchmark_group("memcache");
    for (name, whole) in [("set 1 MiB", exchanges::set(1 << 20)), ("get 1 MiB", exchanges::get_large(1 << 20))] {
        for kib in [4, 16] {
            let name = format!("{name} in {kib} KiB");
            measure(&mut group, table, ["memcache", &name], 1, || player("memcache", whole.cut(kib << 10), None, None));
        }
    }
}

/// Cassandra's requests, on a connection that is set up, by three rules and by ten thousand.
fn cassandra(criterion: &mut Criterion, table: &mut Table) {
    const AT_ONCE: u8 = 16;
    let mut group = criterion.benchmark_group("cassandra");
    let few = rules_of("cassandra");
    let tables = (0..10_000).map(|n| json!({"query_action": "select", "query_table": format!("^public\\.plans{n}$")}));
    let select = json!({"query_action": "select", "query_table": "^public\\.plans$"});
    let many = json!([rule("cassandra", &tables.chain([select]).collect::<Value>())]);
    for (name, requests, rules, exchange, answer) in [
        ("query", 1, &few, exchanges::cassandra_query(100), None),
        ("query x16", u64::from(AT_ONCE), &few, exchanges::cassandra_queries(AT_ONCE), None),
        ("query denied", 1, &few, exchanges::cassandra_denied(), Some(exchanges::CASSANDRA_DENIED)),
        ("query, 10,000 tables", 1, &many, exchanges::cassandra_query(100), None),
        ("execute", 1, &few, exchanges::cassandra_execute(), None),
        ("batch of three", 1, &few, exchanges::cassandra_batch(), None),
        ("query, 1 MiB in reply in 16 KiB", 1, &few, exchanges::cassandra_query(1 << 20).cut(16 << 10), None),
    ] {
        measure(&mut group, table, ["cassandra", name], requests, || {
            let mut datapath = connect("cassandra", rules, None);
            for begins in exchanges::cassandra_begins() {
                begins.play(&mut datapath);
            }
            exchange.warm_up(&mut datapath, answer);
            let exchange = exchange.clone();
            move || exchange.play(&mut datapath)
        });
    }
}

/// What a decision costs by the number of rules: gets that miss, of one key over and over and of each rule's key in turn.
fn rules(criterion: &mut Criterion, table: &mut Table) {
    let mut group = criterion.benchmark_group("rules");
    for kind in ["keyExact", "keyPrefix", "keyRegex", "keyExact in rules of its own"] {
        for count in [1, 100, 10_000] {
            let which: &[(&str, usize)] =
                if count == 1 { &[("one key", 1)] } else { &[("one key", 1), ("all keys", count)] };
            for (name, among) in which {
                let name = format!("{kind} x{count}, {name}");
                measure(&mut group, table, ["rules", &name], 1, || {
                    let mut datapath = connect("memcache", &key_rules(kind, count), None);
                    let gets: Vec<_> = shuffled(count).take(*among).map(|n| exchanges::get_miss(&key(n))).collect();
                    gets[0].warm_up(&mut datapath, None);
                    let mut turn = 0;
                    move || {
                        turn = (turn + 1) % gets.len();
                        gets[turn].play(&mut datapath)
                    }
                });
                table.compare_last(&format!("{kind} x1, one key"));
            }
        }
    }
}

/// The key that the `n`th rule admits.
fn key(n: usize) -> String {
    format!("fleet/{n:05}/plan")
}

fn key_rules(kind: &str, count: usize) -> Value {
    let item = |n| match kind {
        "keyPrefix" => json!({"command": "get", "keyPrefix": format!("fleet/{n:05}/")}),
        "keyRegex" => json!({"command": "get", "keyRegex": format!("^fleet/{n:05}/[a-z]+$")}),
        _ => json!({"command": "get", "keyExact": key(n)}),
    };
    let items: Vec<_> = (0..count).map(item).collect();
    if kind.ends_with("of its own") {
        items.into_iter().map(|item| rule("memcache", &json!([item]))).collect()
    } else {
        json!([rule("memcache", &json!(items))])
    }
}

/// The numbers below `count`, each once, in an order that no cache foresees.
fn shuffled(count: usize) -> impl Iterator<Item = usize> {
    // 7919 is a prime that divides no count here, so that its multiples visit every number.
    (0..count).map(move |n| n.wrapping_mul(7919).wrapping_add(count / 2) % count)
}

/// A connection, and what plays the exchange on it; it was seen to do what it should.
fn player(
    protocol: &str,
    exchange: Exchange,
    answer: Option<&[u8]>,
    sink: Option<Arc<dyn Sink>>,
) -> impl FnMut() -> (usize, usize) + use<> {
    let mut datapath = connect(protocol, &rules_of(protocol), sink);
    exchange.warm_up(&mut datapath, answer);
    move || exchange.play(&mut datapath)
}

/// Measures what plays so many requests. It is made only if the arguments ask for the measurement.
fn measure<T, P: FnMut() -> T>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    table: &mut Table,
    name: [&str; 2],
    requests: u64,
    make: impl Fn() -> P,
) {
    let mut play = None;
    group.throughput(Throughput::Elements(requests));
    group.bench_function(name[1], |bencher| bencher.iter(play.get_or_insert_with(&make)));
    table.add(name, requests);
}

/// Measures in bursts that the log's queue holds: between them, with the clock stopped, its writer catches up.
fn measure_logged<T, P: FnMut() -> T>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    table: &mut Table,
    name: [&str; 2],
    requests: u64,
    make: impl Fn() -> P,
) {
    let mut play = None;
    group.throughput(Throughput::Elements(BURST));
    group.bench_function(name[1], |bencher| {
        let play = play.get_or_insert_with(&make);
        bencher.iter_custom(|bursts| {
            let mut spent = Duration::ZERO;
            for _ in 0..bursts {
                let began = Instant::now();
                for _ in 0..BURST / requests {
                    black_box(play());
                }
                spent += began.elapsed();
                sleep(DRAIN);
            }
            spent
        });
    });
    table.add(name, BURST);
}

/// Logs without a pause, and says what a request costs then and how many records are lost.
fn flood() {
    for (name, exchange, denial) in
        [("get", exchanges::get(), None), ("get denied", exchanges::get_denied(), Some(exchanges::MEMCACHE_DENIED))]
    {
        let log = TemporaryLog::open();
        let mut play = player("memcache", exchange, denial, Some(log.sink()));
        let began = Instant::now();
        for _ in 0..FLOOD {
            black_box(play());
        }
        let spent = began.elapsed();
        println!(
            "{FLOOD} requests `{name}` without a pause, log: {} ns each, {:.1} % of the records lost",
            spent.as_nanos() / u128::from(FLOOD),
            100.0 * log.sink.lost() as f64 / FLOOD as f64,
        );
    }
}

/// An access log in a folder that goes away with it.
struct TemporaryLog {
    sink: Arc<AccessLog>,
    _folder: TempDir,
}

impl TemporaryLog {
    fn open() -> Self {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let target = Target::File(folder.path().join("access.jsonl"));
        let sink = Arc::new(AccessLog::open(&target).expect("the folder can be written"));
        Self { sink, _folder: folder }
    }

    fn sink(&self) -> Arc<dyn Sink> {
        Arc::<AccessLog>::clone(&self.sink)
    }
}
