//! The `portcullis` program.
//!
//! Exit status: 0 all is well, 1 something is wrong with what was looked at, 2 the command line is.
#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use portcullis_parsers::REGISTRY;
use portcullis_policy::{CompileOptions, Snapshot, Source};

/// L7 policy for the protocols that Envoy does not police.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Checks policy files, and directories of them, as a listener would when it loads them.
    Check {
        /// The protocol of the listener that the policies are for: rules for other protocols are warned of.
        #[arg(long, value_name = "NAME")]
        protocol: Option<String>,
        /// Files, and directories whose .yaml, .yml and .json files are read.
        #[arg(required = true, value_name = "PATH")]
        paths: Vec<PathBuf>,
    },
    /// Lists the protocols that policies may name as `l7proto`.
    Protocols,
}

fn main() -> ExitCode {
    let mut out = io::stdout().lock();
    let done = match Arguments::parse().command {
        Command::Check { protocol, paths } => check(&mut out, protocol.as_deref(), &paths),
        Command::Protocols => {
            REGISTRY.iter().try_for_each(|protocol| writeln!(out, "{}", protocol.name())).map(|()| true)
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        // A reader that has seen enough, such as `head`, is not an error to tell of.
        Ok(false) | Err(_) => ExitCode::FAILURE,
    }
}

/// Says what is wrong with the policies, and whether nothing is.
fn check(out: &mut impl Write, protocol: Option<&str>, paths: &[PathBuf]) -> io::Result<bool> {
    if let Some(name) = protocol
        && REGISTRY.find(name).is_none()
    {
        let known: Vec<_> = REGISTRY.iter().map(|protocol| protocol.name()).collect();
        eprintln!("error: unknown protocol `{name}`; there are `{}`", known.join("`, `"));
        return Ok(false);
    }
    let options = CompileOptions { l7proto: protocol, ..CompileOptions::default() };
    let compiled = Source::load(paths).and_then(|sources| {
        let count = sources.len();
        Snapshot::compile(&sources, &REGISTRY, &options).map(|compiled| (count, compiled))
    });
    match compiled {
        Ok((files, compiled)) => {
            for warning in &compiled.warnings {
                writeln!(out, "warning: {warning}")?;
            }
            writeln!(out, "ok: {files} files, {} warnings", compiled.warnings.len())?;
            Ok(true)
        }
        Err(errors) => {
            for error in &errors.errors {
                eprintln!("error: {error}");
            }
            Ok(false)
        }
    }
}
