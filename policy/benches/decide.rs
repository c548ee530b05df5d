//! What a decision costs by the number of rules: 1, 100 and 10,000 of each kind, keys drawn uniformly from all rules and one
//! hot key, matching and not. After Criterion's own report stands one table with the ratios to one rule in the same run,
//! with the time that compiling takes and the memory that the rules hold.
//!
//! `cargo bench -p portcullis-policy`; a part of a name after `--` runs some of it.

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use allocation_counter::measure;
use criterion::Criterion;
use portcullis_policy::matcher::{KeyMatcher, KeyMatcherBuilder, KeyPattern};
use portcullis_policy::{Dialect, Effect, RuleId};

/// How many rules there are; the first is what the others are compared with.
const COUNTS: [u32; 3] = [1, 100, 10_000];
/// Keys that are asked for in turn: far more than a cache of the processor holds lines for.
const KEYS: usize = 4096;

/// The kinds of rules, and the largest ratio of 10,000 rules to one that is aimed at, for a hot key and for random ones.
const KINDS: [(&str, f64, f64); 4] =
    [("exact", 1.2, 1.5), ("prefix", 1.2, 1.5), ("regex, anchored", 3.0, 3.0), ("regex, floating", 3.0, 3.0)];

fn main() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("criterion-decide");
    // Estimates of an earlier run are none of this one.
    let _ = fs::remove_dir_all(&folder);
    let mut criterion = Criterion::default()
        .output_directory(&folder)
        .without_plots()
        .nresamples(5_000)
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(500))
        .configure_from_args();
    let mut costs = Vec::new();
    for (kind, ..) in KINDS {
        for count in COUNTS {
            let begun = Instant::now();
            let mut compiled = None;
            let allocated = measure(|| compiled = Some(compile(kind, count)));
            costs.push((kind, count, begun.elapsed(), allocated.bytes_current));
            let Some(matcher) = compiled else { continue };
            for (asked, keys) in questions(kind, count) {
                let mut turn = 0_usize;
                criterion.bench_function(&format!("{kind} {count} {asked}"), |bencher| {
                    bencher.iter(|| {
                        turn = (turn + 1) % KEYS;
                        black_box(matcher.decide(1, black_box(&keys[turn])))
                    });
                });
            }
        }
    }
    print(&folder, &costs);
}

fn compile(kind: &str, count: u32) -> KeyMatcher {
    let mut builder = KeyMatcherBuilder::new(Dialect::Cilium);
    for n in 0..count {
        let text = stem(n);
        let regex = match kind {
            "regex, anchored" => format!("^{text}[a-z]+[0-9]$"),
            _ => format!("{text}[a-z]+[0-9]"),
        };
        let pattern = match kind {
            "exact" => KeyPattern::Exact(text.as_bytes()),
            "prefix" => KeyPattern::Prefix(text.as_bytes()),
            _ => KeyPattern::Regex(&regex),
        };
        builder.add(pattern, 1, RuleId::nth(n), Effect::Allow).expect("a rule of this bench is refused");
    }
    builder.build().expect("the rules of this bench are refused")
}

fn stem(n: u32) -> String {
    format!("alliance/fleet/{n:05}/")
}

/// Hot: one key of the last rule. Random: of all rules alike. Missing: of no rule, as long as those that match.
fn questions(kind: &str, count: u32) -> [(&'static str, Vec<Vec<u8>>); 4] {
    let ending = if kind == "exact" { "" } else { "xwing7" };
    let key = |n: u32| format!("{}{ending}", stem(n)).into_bytes();
    let miss = |n: u32| match kind {
        "exact" | "prefix" => format!("alliance/fleet/{n:05}x{ending}").into_bytes(),
        // The literal is there, and what follows it does not match.
        _ => format!("{}xwing_", stem(n)).into_bytes(),
    };
    let mut dice = Dice(7);
    let mut random: Vec<u32> = Vec::new();
    random.resize_with(KEYS, || dice.roll(count));
    [
        ("hot", vec![key(count - 1); KEYS]),
        ("random", random.iter().copied().map(key).collect()),
        ("hot, missing", vec![miss(count - 1); KEYS]),
        ("random, missing", random.iter().copied().map(miss).collect()),
    ]
}

/// SplitMix64 (Steele, Lea, Flood 2014): repeatable from its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % u64::from(sides)) as u32
    }
}

fn print(folder: &Path, costs: &[(&str, u32, Duration, i64)]) {
    println!("\n{:<34} {:>10} {:>10} {:>10} {:>8}", "ns for a decision, rules:", 1, 100, 10_000, "ratio");
    for (kind, hot, random) in KINDS {
        for (asked, aim) in [("hot", hot), ("random", random), ("hot, missing", hot), ("random, missing", random)] {
            let found = COUNTS.map(|count| median(folder, &format!("{kind} {count} {asked}")));
            let [Some(one), Some(hundred), Some(many)] = found else { continue };
            let ratio = many / one;
            let verdict = if ratio <= aim { "within" } else { "over" };
            println!(
                "{:<34} {one:>10.1} {hundred:>10.1} {many:>10.1} {:>8} {verdict} {aim}",
                format!("{kind}: {asked}"),
                format!("x {ratio:.2}")
            );
        }
    }
    println!("\n{:<34} {:>12} {:>12}", "compiled rules", "time", "memory held");
    for (kind, count, time, bytes) in costs {
        println!(
            "{:<34} {:>9.1} ms {:>8.1} KiB",
            format!("{kind}: {count}"),
            time.as_secs_f64() * 1e3,
            *bytes as f64 / 1024.0
        );
    }
}

/// The median that Criterion wrote down, in nanoseconds.
fn median(folder: &Path, name: &str) -> Option<f64> {
    let file: PathBuf = folder.join(name).join("new/estimates.json");
    let text = fs::read_to_string(file).ok()?;
    let estimates: serde_json::Value = serde_json::from_str(&text).ok()?;
    estimates["median"]["point_estimate"].as_f64()
}
