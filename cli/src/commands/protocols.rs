//! `portcullis protocols`.

use portcullis_parsers::REGISTRY;

use crate::exit::Exit;
use crate::output::Output;

#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    let names: Vec<_> = REGISTRY.iter().map(|protocol| protocol.name()).collect();
    if out.is_json() {
        out.json(&names)?;
    } else {
        names.iter().try_for_each(|name| out.line(name))?;
    }
    Ok(Exit::Well)
}
