//! The subcommands: one file each, with `Args` and `run`. This list is all there is to register.

mod admission;
mod check;
mod completions;
mod explain;
mod learn;
mod man;
mod migrate;
mod protocols;
mod replay;
mod report;
mod status;
mod test;
mod top;

use clap::Subcommand;
use portcullis_parsers::REGISTRY;
use portcullis_proxylib::ErasedProtocol;
use similar::{ChangeTag, TextDiff};

use crate::exit::{Exit, Usage};
use crate::output::{Look, Output};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Checks policy files, and directories of them, as a listener would when it loads them.
    Check(check::Args),
    /// Says what becomes of a request, by which rule, and which rules came nearest.
    Explain(explain::Args),
    /// Writes the least policy that admits what a log or a capture of allowed traffic shows.
    Learn(learn::Args),
    /// Judges the requests of a capture: what would pass, be denied, and why; or what changes from one policy to another.
    Replay(replay::Args),
    /// Writes one page of HTML from access logs: who does what, denials over time, rules never used.
    Report(report::Args),
    /// Says how it stands with listeners: their policies, requests and denials.
    Status(status::Args),
    /// Shows the same all the time, redrawn in place.
    Top(top::Args),
    /// Runs suites of requests with the verdicts that policies should give them.
    Test(test::Args),
    /// Finds policies that lose their L7 part with Cilium 1.20, and rewrites them as L7Policy.
    Migrate(migrate::Args),
    /// Hooks for the Kubernetes API server: checks and tests them, makes manifests, documentation and certificates.
    Admission(admission::Args),
    /// Lists the protocols that policies may name as `l7proto`.
    Protocols(protocols::Args),
    /// Writes what a shell needs to complete command lines.
    Completions(completions::Args),
    /// Writes the manual pages.
    Man(man::Args),
}

impl Command {
    pub(crate) fn run(self, out: &mut Output) -> anyhow::Result<Exit> {
        match self {
            Self::Check(args) => check::run(&args, out),
            Self::Explain(args) => explain::run(&args, out),
            Self::Learn(args) => learn::run(&args, out),
            Self::Replay(args) => replay::run(&args, out),
            Self::Report(args) => report::run(&args, out),
            Self::Status(args) => status::run(&args, out),
            Self::Top(args) => top::run(&args, out),
            Self::Test(args) => test::run(&args, out),
            Self::Migrate(args) => migrate::run(&args, out),
            Self::Admission(args) => admission::run(&args, out),
            Self::Protocols(args) => protocols::run(&args, out),
            Self::Completions(args) => completions::run(&args, out),
            Self::Man(args) => man::run(&args, out),
        }
    }
}

/// The protocol of a name on the command line.
pub(crate) fn find_protocol(name: &str) -> anyhow::Result<&'static dyn ErasedProtocol> {
    let known = || REGISTRY.iter().map(|protocol| protocol.name()).collect::<Vec<_>>().join("`, `");
    Ok(REGISTRY.find(name).ok_or_else(|| Usage(format!("unknown protocol `{name}`; there are `{}`", known())))?)
}

/// A unified diff.
pub(crate) fn show_diff(name: &str, before: &str, after: &str, out: &mut Output) -> anyhow::Result<()> {
    let diff = TextDiff::from_lines(before, after);
    out.line(out.paint(Look::Strong, format_args!("--- {name}")))?;
    out.line(out.paint(Look::Strong, format_args!("+++ {name}")))?;
    for hunk in diff.unified_diff().context_radius(3).iter_hunks() {
        out.line(out.paint(Look::Faint, hunk.header()))?;
        for change in hunk.iter_changes() {
            let line = change.value().trim_end_matches(['\n', '\r']);
            match change.tag() {
                ChangeTag::Equal => out.line(format_args!(" {line}"))?,
                ChangeTag::Delete => out.line(out.paint(Look::Bad, format_args!("-{line}")))?,
                ChangeTag::Insert => out.line(out.paint(Look::Good, format_args!("+{line}")))?,
            }
        }
    }
    Ok(())
}
