//! `portcullis man`.

use std::path::PathBuf;

use anyhow::Context;
use clap::CommandFactory;
use clap_mangen::Man;

use crate::exit::Exit;
use crate::output::Output;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Writes a page for the program and one for each command into this directory, and nothing to stdout.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    let command = crate::Arguments::command();
    match &args.dir {
        Some(dir) => {
            std::fs::create_dir_all(dir).with_context(|| format!("`{}` cannot be made", dir.display()))?;
            clap_mangen::generate_to(command, dir).with_context(|| format!("cannot write to `{}`", dir.display()))?;
        }
        None => {
            let mut page = Vec::new();
            Man::new(command).render(&mut page)?;
            out.raw(&page)?;
        }
    }
    Ok(Exit::Well)
}
