//! `portcullis admission check`.

use std::path::PathBuf;

use portcullis_parsers::REGISTRY;
use portcullis_policy::lint;

#[cfg(feature = "rego")]
use super::kube_mgmt;
use super::load;
use crate::commands::check;
use crate::exit::Exit;
use crate::output::{Look, Output};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Ends with status 1 if there is any warning. Notes do not count.
    #[arg(long)]
    deny_warnings: bool,
    /// Writes what modules in Rego come to, as kube-mgmt writes it on the ConfigMap of each, and nothing else.
    #[cfg(feature = "rego")]
    #[arg(long, conflicts_with = "deny_warnings")]
    kube_mgmt_status: bool,
    /// Hooks, and policies beside them: files, and directories whose .yaml, .yml and .json files are read.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

pub(crate) fn run(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    #[cfg(feature = "rego")]
    if args.kube_mgmt_status {
        return kube_mgmt::run(&args.paths, out);
    }
    let checked = load::load(&args.paths)?.and_then(|loaded| {
        let found = lint::check(&loaded.sources, &REGISTRY, &load::OPTIONS, None)?;
        Ok((loaded, found))
    });
    let (loaded, found) = match checked {
        Ok(checked) => checked,
        Err(errors) => return check::refuse(&errors, out),
    };
    if let Some(missed) = loaded.miss_hooks(&args.paths) {
        out.note(missed);
    }
    if !out.is_json() {
        for hook in loaded.hooks() {
            let kind = if hook.spec().mutating { "mutating" } else { "validating" };
            let tests = match hook.tests().len() {
                1 => "1 test".to_owned(),
                count => format!("{count} tests"),
            };
            out.line(format_args!("{} at {}: {kind}, {tests}", out.paint(Look::Strong, hook.name()), hook.uri()))?;
        }
    }
    check::report(loaded.sources.len(), &found, out)?;
    let warned = found.iter().any(|finding| !finding.lint.is_note());
    Ok(Exit::well_if(!(args.deny_warnings && warned)))
}
