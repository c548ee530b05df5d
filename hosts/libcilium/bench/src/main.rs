//! What a request costs Cilium's Envoy in a `libcilium.so`, through the C ABI and the host's own bookkeeping.
//!
//! ```text
//! bench-libcilium [--rounds N] [--millis N] [--only WORD] LIBRARY [REFERENCE]
//! ```
//!
//! Each library has a process of its own; this one serves policies over NPDS and reads the access log. In each round a case is
//! played for some milliseconds in one library and then in the other, so that what else the machine does falls on both; what
//! counts is the median of the ratios, and of these the one of CPU time where the machine is busy. The library needs the parser `test.passer`, whose cost is that of the call itself.

mod abi;
mod agent;
mod cases;
mod child;
mod host;

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use agent::LogReader;
use cases::Case;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let outcome = match args.next() {
        Some(word) if word == "--child" => match (args.next(), args.next()) {
            (Some(library), Some(folder)) => child::run(&library, Path::new(&folder)),
            _ => Err("--child LIBRARY FOLDER".to_owned()),
        },
        first => Options::read(first.into_iter().chain(args)).and_then(|options| measure(&options)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-libcilium: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Options {
    rounds: usize,
    millis: u64,
    only: String,
    libraries: Vec<OsString>,
}

impl Options {
    fn read(args: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let mut options = Self { rounds: 5, millis: 60, only: String::new(), libraries: Vec::new() };
        let mut args = args;
        while let Some(arg) = args.next() {
            let mut value = || args.next().and_then(|value| value.into_string().ok()).ok_or("a value is missing");
            match arg.to_str() {
                Some("--rounds") => options.rounds = value()?.parse().map_err(|_| "`--rounds` is a number")?,
                Some("--millis") => options.millis = value()?.parse().map_err(|_| "`--millis` is a number")?,
                Some("--only") => options.only = value()?,
                _ => options.libraries.push(arg),
            }
        }
        match options.libraries.len() {
            1 | 2 if options.rounds > 0 => Ok(options),
            _ => Err("usage: bench-libcilium [--rounds N] [--millis N] [--only WORD] LIBRARY [REFERENCE]".to_owned()),
        }
    }
}

fn measure(options: &Options) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let log = LogReader::listen(&folder.path().join("log")).map_err(|error| error.to_string())?;
    let cases = cases::all();
    for (number, case) in cases.iter().enumerate() {
        let path = folder.path().join(format!("{number}.npds"));
        agent::serve(&path, &case.rules).map_err(|error| error.to_string())?;
    }
    let mut bench = Bench { options, folder: folder.path(), log, libraries: Vec::new(), floor: Vec::new() };
    for library in &options.libraries {
        bench.libraries.push(Library::start(library, folder.path())?);
    }
    let wanted: Vec<(usize, &Case)> =
        cases.iter().enumerate().filter(|(n, case)| *n == 0 || case.name.contains(&options.only)).collect();
    bench.table(
        "log off, one thread: ns per request (CPU of the calling thread)",
        &wanted,
        |bench, library, case, _| bench.run(library, &format!("load {case} 0 1 {} 0", options.millis)),
    )?;
    let few: Vec<_> = wanted.iter().copied().filter(|(_, case)| !case.name.contains(" rules")).collect();
    bench.table("log on, one thread, as fast as it goes", &few, |bench, library, case, _| {
        bench.logged(library, &format!("load {case} 1 1 {} 0", options.millis))
    })?;
    // At which rates nothing is lost.
    for rate in [100_000, 300_000, 600_000, 1_000_000] {
        let some: Vec<_> = few.iter().copied().filter(|(_, case)| case.name == "r2d2 20 B line").collect();
        let title = format!("log on, one thread, {rate} requests a second");
        bench.table(&title, &some, |bench, library, case, _| {
            bench.logged(library, &format!("load {case} 1 1 {} {rate}", options.millis.max(300)))
        })?;
    }
    for log in [0, 1] {
        let title = format!("two threads, log {}", if log == 1 { "on" } else { "off" });
        let some: Vec<_> = few.iter().copied().filter(|(_, case)| case.count == 1).collect();
        bench.table(&title, &some, |bench, library, case, _| {
            bench.logged(library, &format!("load {case} {log} 2 {} 0", options.millis))
        })?;
    }
    let kinds: Vec<_> = few.iter().copied().filter(|(_, case)| case.count == 1 && !case.denied).collect();
    bench.table("new connection and close", &kinds, |bench, library, case, _| {
        bench.run(library, &format!("churn {case} {}", options.millis))
    })?;
    bench.memory(&kinds)
}

struct Bench<'a> {
    options: &'a Options,
    folder: &'a Path,
    log: LogReader,
    libraries: Vec<Library>,
    /// What a call costs each library if it does nothing: CPU nanoseconds.
    floor: Vec<f64>,
}

/// What one run came to.
#[derive(Clone, Copy)]
struct Sample {
    /// Nanoseconds a request.
    wall: f64,
    cpu: f64,
    requests: f64,
    calls: f64,
    /// Of the log: entries a second, and entries a request.
    delivered: f64,
    share: f64,
}

impl Bench<'_> {
    /// Plays each case in all libraries in turn, and prints a line.
    fn table(
        &mut self,
        title: &str,
        cases: &[(usize, &Case)],
        mut run: impl FnMut(&mut Self, usize, usize, &Case) -> Result<Sample, String>,
    ) -> Result<(), String> {
        println!("\n{title}");
        for &(number, case) in cases {
            let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); self.libraries.len()];
            let mut failure = None;
            'rounds: for _ in 0..self.options.rounds {
                for (library, samples) in samples.iter_mut().enumerate() {
                    match run(self, library, number, case) {
                        Ok(sample) => samples.push(sample),
                        Err(error) => {
                            failure = Some(format!("{}: {error}", self.options.libraries[library].display()));
                            if library == 0 {
                                break 'rounds;
                            }
                        }
                    }
                }
            }
            print!("{:<38}", case.name);
            for of in samples.iter().filter(|of| !of.is_empty()) {
                let median = |pick: fn(&Sample) -> f64| median(of.iter().map(pick).collect());
                print!(
                    " | {:>8.1} ns ({:>8.1} cpu) {:>5.2} calls",
                    median(|s| s.wall),
                    median(|s| s.cpu),
                    median(|s| s.calls)
                );
                if median(|s| s.share) > 0.0 {
                    print!(", {:>8.0} entries/s, {:.4} a request", median(|s| s.delivered), median(|s| s.share));
                }
            }
            if let [ours, theirs, ..] = samples.as_slice()
                && !ours.is_empty()
                && !theirs.is_empty()
            {
                let ratio = |pick: fn(&Sample) -> f64| {
                    median(ours.iter().zip(theirs).map(|(ours, theirs)| pick(theirs) / pick(ours)).collect())
                };
                print!(" | ratio {:.1} ({:.1} cpu", ratio(|s| s.wall), ratio(|s| s.cpu));
                if let [floor, their_floor] = self.floor.as_slice() {
                    let above = |of: &Sample, floor: f64| of.cpu - of.calls * floor;
                    let pairs = ours.iter().zip(theirs);
                    let ratios = pairs.map(|(ours, theirs)| above(theirs, *their_floor) / above(ours, *floor).max(1.0));
                    print!(", {:.1} above the floor", median(ratios.collect()));
                }
                print!(")");
                if ours[0].share > 0.0 && theirs[0].share > 0.0 {
                    print!(", {:.1} entries/s", 1.0 / ratio(|s| s.delivered));
                }
            }
            if self.floor.is_empty() && case.rules.l7.is_empty() {
                self.floor = samples.iter().map(|of| median(of.iter().map(|s| s.cpu).collect())).collect();
            }
            println!("{}", failure.map(|failure| format!(" | {failure}")).unwrap_or_default());
        }
        Ok(())
    }

    fn run(&mut self, library: usize, order: &str) -> Result<Sample, String> {
        let [wall, cpu, requests, calls] = self.libraries[library].obey(order)?;
        let requests = (requests as f64).max(1.0);
        let wall = wall as f64;
        Ok(Sample {
            wall: wall / requests,
            cpu: cpu as f64 / requests,
            requests,
            calls: calls as f64 / requests,
            delivered: 0.0,
            share: 0.0,
        })
    }

    /// The same, with what the reader of the log got.
    fn logged(&mut self, library: usize, order: &str) -> Result<Sample, String> {
        // The first run of a case logs what is tried before its policy is there.
        self.libraries[library].obey(&warm(order))?;
        self.settle();
        let (before, start) = (self.log.entries(), self.log.now());
        let sample = self.run(library, order)?;
        self.settle();
        let entries = (self.log.entries() - before) as f64;
        let time = self.log.last().saturating_sub(start).as_secs_f64();
        Ok(Sample { delivered: entries / time.max(1e-3), share: entries / sample.requests, ..sample })
    }

    /// Waits until no entry has come for a while.
    fn settle(&self) {
        loop {
            let before = self.log.entries();
            thread::sleep(Duration::from_millis(50));
            if self.log.entries() == before {
                return;
            }
        }
    }

    /// Memory is measured in a new process each.
    fn memory(&mut self, cases: &[(usize, &Case)]) -> Result<(), String> {
        const CONNECTIONS: u64 = 100_000;
        println!("\n{CONNECTIONS} connections: bytes each, idle / after one request");
        for &(number, case) in cases {
            print!("{:<38}", case.name);
            for library in &self.options.libraries {
                let mut library = Library::start(library, self.folder)?;
                match library.obey(&format!("memory {number} {CONNECTIONS}")) {
                    Ok([idle, used, ..]) => print!(" | {idle:>6} / {used:>6}"),
                    Err(error) => print!(" | {error}"),
                }
            }
            println!();
        }
        Ok(())
    }
}

/// The same order, for a millisecond.
fn warm(order: &str) -> String {
    let mut words: Vec<&str> = order.split(' ').collect();
    words[4] = "1";
    words.join(" ")
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The process that a library is measured in.
struct Library {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Library {
    fn start(library: &OsString, folder: &Path) -> Result<Self, String> {
        let fail = |error: std::io::Error| error.to_string();
        let mut process = Command::new(std::env::current_exe().map_err(fail)?)
            .arg("--child")
            .arg(library)
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(fail)?;
        let (Some(orders), Some(answers)) = (process.stdin.take(), process.stdout.take()) else {
            return Err("no pipes".to_owned());
        };
        Ok(Self { process, orders, answers: BufReader::new(answers) })
    }

    fn obey(&mut self, order: &str) -> Result<[u64; 4], String> {
        let mut line = String::new();
        writeln!(self.orders, "{order}").map_err(|error| error.to_string())?;
        self.answers.read_line(&mut line).map_err(|error| error.to_string())?;
        match line.trim_end().split_once(' ') {
            Some(("ok", numbers)) => {
                let numbers: Vec<u64> = numbers.split(' ').filter_map(|number| number.parse().ok()).collect();
                numbers.try_into().map_err(|_| format!("a strange answer: {line}"))
            }
            Some(("error", error)) => Err(error.to_owned()),
            _ => Err("the process ended".to_owned()),
        }
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
