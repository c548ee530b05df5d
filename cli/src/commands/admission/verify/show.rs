//! What came of suites, for people and machines.

use super::super::audit::escape;
use super::play::{Count, Outcome, PlayedCase, PlayedSuite, PlayedTest};
use crate::output::{Look, Output};

pub(super) fn json(played: &[PlayedSuite], count: Count, out: &mut Output) -> anyhow::Result<()> {
    let Count { passed, failed, skipped } = count;
    out.json(&serde_json::json!({"passed": passed, "failed": failed, "skipped": skipped, "suites": played}))
}

/// The lines that `gator verify` writes, and the sum of all.
pub(super) fn print(played: &[PlayedSuite], count: Count, verbose: bool, out: &mut Output) -> anyhow::Result<()> {
    for suite in played {
        for test in &suite.tests {
            print_test(test, verbose, out)?;
        }
        let result = match suite.result {
            Outcome::Failed => out.paint(Look::Bad, "FAIL"),
            Outcome::Passed | Outcome::Skipped => out.paint(Look::Good, "ok"),
        };
        // As `go test` says it; `gator` leaves it open.
        let empty = if Count::of([suite]).is_of_nothing() { "\t[nothing run]" } else { "" };
        out.line(format_args!("{result}\t{}\t{:.3}s{empty}", suite.suite, suite.seconds))?;
    }
    let all = match count {
        _ if count.failed > 0 => out.paint(Look::Bad, "FAIL"),
        _ if count.is_of_nothing() => out.paint(Look::Doubtful, "NOTHING RUN"),
        _ => out.paint(Look::Good, "PASS"),
    };
    out.line(all)?;
    out.line(format_args!("{} passed, {} failed, {} skipped", count.passed, count.failed, count.skipped))
}

fn print_test(test: &PlayedTest, verbose: bool, out: &mut Output) -> anyhow::Result<()> {
    let name = escape(&test.name);
    if verbose {
        if test.result == Outcome::Skipped {
            return out.line(format_args!("=== SKIP  {name}"));
        }
        out.line(format_args!("=== RUN   {name}"))?;
    }
    for case in &test.cases {
        print_case(case, verbose, out)?;
    }
    match test.result {
        Outcome::Failed => {
            out.line(format_args!("{}: {name}\t({:.3}s)", out.paint(Look::Bad, "--- FAIL"), test.seconds))?;
            print_faults("  ", &test.at, &test.faults, out)
        }
        Outcome::Passed if verbose => {
            out.line(format_args!("{}: {name}\t({:.3}s)", out.paint(Look::Good, "--- PASS"), test.seconds))
        }
        _ => Ok(()),
    }
}

fn print_case(case: &PlayedCase, verbose: bool, out: &mut Output) -> anyhow::Result<()> {
    let name = escape(&case.name);
    let ended = |look, word| format!("    {}: {name}\t({:.3}s)", out.paint(look, word), case.seconds);
    match case.result {
        Outcome::Skipped if verbose => out.line(format_args!("    === SKIP  {name}")),
        // Its test tells why it was not run.
        Outcome::Failed if case.faults.is_empty() => Ok(()),
        Outcome::Failed => {
            out.line(ended(Look::Bad, "--- FAIL"))?;
            print_faults("        ", &case.at, &case.faults, out)?;
            for message in &case.messages {
                out.line(format_args!("        violation: {}", escape(message)))?;
            }
            Ok(())
        }
        Outcome::Passed if verbose => out.line(ended(Look::Good, "--- PASS")),
        _ => Ok(()),
    }
}

fn print_faults(indent: &str, at: &str, faults: &[String], out: &mut Output) -> anyhow::Result<()> {
    for fault in faults {
        out.line(format_args!("{indent}{}", escape(fault)))?;
    }
    // What is said of an assertion has its own place.
    match faults.iter().all(|fault| fault.starts_with(at)) {
        true => Ok(()),
        false => out.line(format_args!("{indent}at {at}")),
    }
}
