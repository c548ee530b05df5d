//! `portcullis completions`.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::exit::Exit;
use crate::output::Output;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The shell.
    shell: Shell,
}

pub(crate) fn run(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut crate::Arguments::command(), "portcullis", &mut text);
    out.raw(&text)?;
    Ok(Exit::Well)
}
