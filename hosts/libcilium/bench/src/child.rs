//! The process that a library is measured in: it does what the other one tells it to, line by line.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::abi::Lib;
use crate::cases::{self, Case, ENDPOINT};
use crate::host::{Connection, Moved};

/// What one run took.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    /// Of the threads that call, all together.
    pub(crate) cpu: Duration,
    pub(crate) requests: u64,
    /// Calls of `OnData`.
    pub(crate) calls: u64,
}

/// How requests are sent.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) log: bool,
    pub(crate) threads: usize,
    pub(crate) time: Duration,
    /// Requests a second, or 0 for as many as there can be.
    pub(crate) rate: u64,
}

/// Reads orders from standard input, and answers each with a line.
pub(crate) fn run(library: &OsStr, folder: &Path) -> Result<(), String> {
    let mut child =
        Child { lib: Lib::load(library)?, folder: folder.to_owned(), cases: cases::all(), instances: HashMap::new() };
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|error| error.to_string())?;
        let words: Vec<&str> = line.split(' ').collect();
        let numbers: Vec<u64> = words.iter().skip(1).filter_map(|word| word.parse().ok()).collect();
        let answer = match (words[0], numbers.as_slice()) {
            ("load", &[case, log, threads, millis, rate]) => {
                let time = Duration::from_millis(millis);
                let load = Load { log: log == 1, threads: threads as usize, time, rate };
                child.load(case as usize, load).map(|cost| {
                    format!("{} {} {} {}", cost.wall.as_nanos(), cost.cpu.as_nanos(), cost.requests, cost.calls)
                })
            }
            ("churn", &[case, millis]) => child
                .churn(case as usize, Duration::from_millis(millis))
                .map(|cost| format!("{} {} {} 0", cost.wall.as_nanos(), cost.cpu.as_nanos(), cost.requests)),
            ("memory", &[case, count]) => {
                child.memory(case as usize, count).map(|(idle, used)| format!("{idle} {used} 0 0"))
            }
            _ => Err(format!("no such order: {line}")),
        };
        let answer = answer.map_or_else(|error| format!("error {error}"), |answer| format!("ok {answer}"));
        println!("{answer}");
        std::io::stdout().flush().map_err(|error| error.to_string())?;
    }
    // The instances go with the process: a library that cannot be closed is measured too.
    Ok(())
}

struct Child {
    lib: Lib,
    folder: PathBuf,
    cases: Vec<Case>,
    instances: HashMap<(usize, bool), u64>,
}

impl Child {
    fn load(&mut self, case: usize, load: Load) -> Result<Cost, String> {
        let instance = self.instance(case, load.log)?;
        let (lib, case) = (self.lib, &self.cases[case]);
        let barrier = Barrier::new(load.threads);
        let costs: Vec<Result<Cost, String>> = thread::scope(|scope| {
            let run = || {
                // The barrier before the error: the others wait for it.
                let connection = connect(lib, instance, case);
                barrier.wait();
                connection.and_then(|mut connection| play(&mut connection, case, load))
            };
            let others: Vec<_> = (1..load.threads).map(|_| scope.spawn(run)).collect();
            let own = run();
            std::iter::once(own)
                .chain(others.into_iter().map(|thread| thread.join().unwrap_or(Err("panic".into()))))
                .collect()
        });
        let mut sum = Cost::default();
        for cost in costs {
            let cost = cost?;
            sum.wall = sum.wall.max(cost.wall);
            sum.cpu += cost.cpu;
            sum.requests += cost.requests;
            sum.calls += cost.calls;
        }
        Ok(sum)
    }

    /// Opens and closes connections.
    fn churn(&mut self, case: usize, time: Duration) -> Result<Cost, String> {
        let instance = self.instance(case, false)?;
        let case = &self.cases[case];
        let mut connections: Vec<_> = (0..64).map(|_| Connection::prepare(self.lib, next_id())).collect();
        let (start, cpu) = (Instant::now(), thread_cpu());
        let mut requests = 0;
        while start.elapsed() < time {
            for connection in &mut connections {
                connection.open(instance, case.rules.proto, ENDPOINT)?;
                connection.close();
            }
            requests += connections.len() as u64;
        }
        Ok(Cost { wall: start.elapsed(), cpu: thread_cpu() - cpu, requests, calls: 0 })
    }

    /// Bytes of one connection that does nothing, and of one that has seen a request and its reply.
    fn memory(&mut self, case: usize, count: u64) -> Result<(u64, u64), String> {
        let instance = self.instance(case, false)?;
        let case = &self.cases[case];
        let mut connections: Vec<_> = (0..count).map(|_| Connection::prepare(self.lib, next_id())).collect();
        let before = resident()?;
        for connection in &mut connections {
            connection.open(instance, case.rules.proto, ENDPOINT)?;
        }
        let idle = resident()?;
        for connection in &mut connections {
            begin(connection, case)?;
            exchange(connection, case)?;
        }
        let used = resident()?;
        Ok((idle.saturating_sub(before) / count, used.saturating_sub(before) / count))
    }

    /// An instance with the case's policy in force.
    fn instance(&mut self, case: usize, log: bool) -> Result<u64, String> {
        if let Some(&instance) = self.instances.get(&(case, log)) {
            return Ok(instance);
        }
        let xds = self.folder.join(format!("{case}.npds"));
        let log_path = self.folder.join("log");
        let (Some(xds), Some(log_path)) = (xds.to_str(), log_path.to_str()) else {
            return Err("a strange folder".into());
        };
        let node = format!("bench~{case}~{log}~localdomain");
        let mut params = vec![("node-id", node.as_str())];
        if !self.cases[case].rules.l7.is_empty() {
            params.push(("xds-path", xds));
        }
        if log {
            params.push(("access-log-path", log_path));
        }
        let instance = self.lib.open(&params);
        if instance == 0 {
            return Err("OpenModule answers 0".to_owned());
        }
        let begun = Instant::now();
        loop {
            let tried = connect(self.lib, instance, &self.cases[case]);
            match tried {
                Ok(_) => break,
                Err(error) if begun.elapsed() > Duration::from_secs(20) => return Err(error),
                Err(_) => thread::sleep(Duration::from_millis(20)),
            }
        }
        self.instances.insert((case, log), instance);
        Ok(instance)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        for &instance in self.instances.values() {
            self.lib.close_module(instance);
        }
    }
}

/// A connection on which the case has been played once, as it is to be.
fn connect(lib: Lib, instance: u64, case: &Case) -> Result<Connection, String> {
    let mut connection = Connection::prepare(lib, next_id());
    connection.open(instance, case.rules.proto, ENDPOINT)?;
    begin(&mut connection, case)?;
    let moved = exchange(&mut connection, case)?;
    let right = if case.denied { moved.passed == 0 && moved.injected > 0 } else { moved.passed == case.requests.len() };
    if right { Ok(connection) } else { Err(format!("{}: {moved:?} is not what is to happen", case.name)) }
}

fn begin(connection: &mut Connection, case: &Case) -> Result<(), String> {
    if let Some((request, reply)) = &case.prelude {
        connection.request(request)?;
        connection.reply(reply)?;
    }
    Ok(())
}

fn exchange(connection: &mut Connection, case: &Case) -> Result<Moved, String> {
    let moved = connection.request(&case.requests)?;
    if !case.replies.is_empty() {
        connection.reply(&case.replies)?;
    }
    Ok(moved)
}

fn play(connection: &mut Connection, case: &Case, load: Load) -> Result<Cost, String> {
    // Between looks at the clock.
    let portion = (64 / case.count).max(1);
    connection.calls = 0;
    let (start, cpu) = (Instant::now(), thread_cpu());
    let mut requests = 0;
    let wall = loop {
        for _ in 0..portion {
            exchange(connection, case)?;
        }
        requests += portion * case.count;
        let now = start.elapsed();
        if now >= load.time {
            break now;
        }
        if let Some(due) = (requests * 1_000_000_000).checked_div(load.rate) {
            thread::sleep(Duration::from_nanos(due).saturating_sub(now));
        }
    };
    Ok(Cost { wall, cpu: thread_cpu() - cpu, requests, calls: connection.calls })
}

fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn thread_cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// Bytes of memory that this process has.
fn resident() -> Result<u64, String> {
    let text = std::fs::read_to_string("/proc/self/statm").map_err(|error| error.to_string())?;
    let pages: u64 = text.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or("`statm` is not what it was")?;
    Ok(pages * rustix::param::page_size() as u64)
}
