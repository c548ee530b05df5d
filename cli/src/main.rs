//! The `portcullis` program.
#![forbid(unsafe_code)]

mod accesslog;
mod capture;
mod commands;
mod edit;
mod exit;
mod judge;
mod output;
mod request;

use std::io;
use std::process::ExitCode;

use clap::Parser;

use crate::commands::Command;
use crate::exit::{Exit, Usage};
use crate::output::{Colour, Format, Output};

/// L7 policy for the protocols that Envoy does not police.
#[derive(Parser)]
#[command(
    name = "portcullis",
    version,
    propagate_version = true,
    after_help = "Exit status: 0 all is well; 1 what was looked at is not (findings, a denial, a failed test); \
                  2 the command line is wrong; 3 it could not be done (a file that cannot be read or used)."
)]
struct Arguments {
    /// What is written: for people, or JSON for machines.
    #[arg(short, long, global = true, value_name = "FORMAT", default_value = "human")]
    output: Format,
    /// When colours are used. `auto`: on a terminal, unless NO_COLOR is set.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: Colour,
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let Arguments { output, color, command } = Arguments::parse();
    let mut out = Output::to_terminal(output, color);
    let done = command.run(&mut out).and_then(|exit| out.flush().map(|()| exit));
    match done {
        Ok(exit) => exit.into(),
        // A reader that has seen enough, such as `head`, is not an error to tell of.
        Err(error) if is_broken_pipe(&error) => Exit::Found.into(),
        Err(error) => {
            // What was found out before still counts; a reader that is gone is told of nothing more.
            let _ = out.flush();
            out.error(&error);
            if error.is::<Usage>() { Exit::Usage.into() } else { Exit::Failed.into() }
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let is = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| {
        let inside_json = cause.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind);
        cause.downcast_ref().is_some_and(is) || inside_json == Some(io::ErrorKind::BrokenPipe)
    })
}
