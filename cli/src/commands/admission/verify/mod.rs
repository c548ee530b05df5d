//! `portcullis admission verify`.

mod assertion;
mod filter;
mod find;
mod play;
mod review;
mod show;
mod suite;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::thread;

use anyhow::anyhow;

use self::filter::Filter;
use self::play::Count;
use self::suite::Test;
use super::audit;
use crate::commands::check;
use crate::exit::Exit;
use crate::output::Output;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Runs only tests and cases with such a name. `TESTS//CASES` are expressions for both.
    #[arg(short, long, value_name = "REGEX")]
    run: Option<String>,
    /// Shows what passed and what was left out, too.
    #[arg(short, long)]
    verbose: bool,
    /// Ends with status 1 if a test or a case is left out, by `skip` or by `--run`, or if nothing was run.
    #[arg(long)]
    deny_skipped: bool,
    /// Suites: files, directories whose .yaml and .yml files are looked at, and with `/...` behind it all directories below.
    #[arg(required = true, value_name = "SUITE")]
    paths: Vec<PathBuf>,
}

pub(crate) fn run(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    let filter = Filter::parse(args.run.as_deref())?;
    let suites = match find::load(&args.paths, out)? {
        Ok(suites) => suites,
        Err(errors) => return check::refuse(&errors, out),
    };
    let steps = suites.iter().flat_map(|suite| &suite.tests).map(weigh).sum();
    let bar = out.progress(steps, "cases");
    let played = thread::scope(|scope| {
        let play = || suites.iter().map(|suite| play::play(suite, &filter, &bar)).collect::<Vec<_>>();
        let worker = thread::Builder::new().stack_size(audit::STACK).spawn_scoped(scope, play)?;
        worker.join().map_err(|_| anyhow!("the suites ended unexpectedly"))
    })?;
    bar.finish_and_clear();
    let count = Count::of(&played);
    if count.is_of_nothing() {
        out.note(match &args.run {
            Some(run) => format!("nothing was run: `--run {run}` takes no test and no case"),
            None => "nothing was run: all cases are left out by `skip`, or there are none".to_owned(),
        });
    }
    match out.is_json() {
        true => show::json(&played, count, out)?,
        false => show::print(&played, count, args.verbose, out)?,
    }
    let left_out = count.skipped > 0 || count.is_of_nothing();
    Ok(Exit::well_if(count.failed == 0 && !(args.deny_skipped && left_out)))
}

/// As how many a test counts.
fn weigh(test: &Test) -> u64 {
    (test.cases.len() as u64).max(1)
}
