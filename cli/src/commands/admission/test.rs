//! `portcullis admission test`.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::anyhow;
use portcullis_parsers::admission::hooks::Hook;
use portcullis_parsers::admission::hooks::testing::Test;

use super::load::{Loaded, load};
use crate::commands::check;
use crate::commands::test::{Outcome, Report, finish};
use crate::exit::Exit;
use crate::output::Output;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Writes a JUnit report into this file, too.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Runs only tests with this text in their name, or in that of their hook.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Ends with status 1 if a hook has no tests, or there is no hook.
    #[arg(long)]
    require_tests: bool,
    /// Hooks with their tests: files, and directories whose .yaml, .yml and .json files are read.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

pub(crate) fn run(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    let loaded = match load(&args.paths)? {
        Ok(loaded) => loaded,
        Err(errors) => return check::refuse(&errors, out),
    };
    let wanted = |hook: &Hook, test: &Test| {
        args.filter.as_ref().is_none_or(|text| hook.name().contains(text) || test.name().contains(text))
    };
    let mut reports = Vec::new();
    let mut untested = Vec::new();
    for hook in loaded.hooks() {
        if hook.tests().is_empty() {
            untested.push(hook.name());
        }
        let began = Instant::now();
        let tests: Vec<_> =
            hook.tests().iter().filter(|test| wanted(hook, test)).map(|test| play(&loaded, hook, test)).collect();
        if !tests.is_empty() {
            reports.push(Report { suite: hook.name().to_owned(), seconds: began.elapsed().as_secs_f64(), tests });
        }
    }
    if !untested.is_empty() {
        out.note(format_args!("no tests are in `{}`", untested.join("`, `")));
    }
    let missed = loaded.miss_hooks(&args.paths);
    match &missed {
        Some(missed) if args.require_tests => out.error(&anyhow!("{missed}")),
        Some(missed) => out.note(missed),
        None => {}
    }
    let exit = finish(&reports, args.junit.as_deref(), out)?;
    Ok(if args.require_tests && (missed.is_some() || !untested.is_empty()) { Exit::Found } else { exit })
}

fn play(loaded: &Loaded, hook: &Hook, test: &Test) -> Outcome {
    let began = Instant::now();
    let result = hook.run_test(test);
    let mut explained = Vec::new();
    if let Some(outcome) = result.outcome.as_ref().filter(|_| !result.passed()) {
        explained.push(match loaded.place_of(hook, &outcome.decided_by) {
            Some(place) => format!("decided by {} at {place}", outcome.decided_by),
            None => format!("decided by no rule ({})", outcome.decided_by),
        });
    }
    Outcome {
        name: test.name().to_owned(),
        at: test.place().to_string(),
        passed: result.passed(),
        seconds: began.elapsed().as_secs_f64(),
        failures: result.failures,
        explained,
    }
}
