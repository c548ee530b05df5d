//! Policies from where the command line says.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, ensure};
use portcullis_policy::{Node, Source};

use crate::output::Output;

/// Reads policy files, directories of them, and for `-` the standard input. Says so where nothing is in them.
pub(crate) fn load_sources(paths: &[PathBuf], out: &Output) -> anyhow::Result<Vec<Source>> {
    let (input, files): (Vec<_>, Vec<_>) = paths.iter().partition(|path| path.as_path() == Path::new(STDIN));
    let mut sources = Source::load(&files).map_err(|errors| anyhow!("{errors}"))?;
    if !input.is_empty() {
        let mut text = Vec::new();
        std::io::stdin().lock().take(MAX_INPUT).read_to_end(&mut text).context("the standard input cannot be read")?;
        ensure!((text.len() as u64) < MAX_INPUT, "the standard input has more than {MAX_INPUT} bytes");
        sources.push(Source::new(STDIN, text));
    }
    // What cannot be read is told of by whoever reads it.
    if sources.iter().all(|source| Node::load(&source.name, &source.text).is_ok_and(|documents| documents.is_empty())) {
        let shown: Vec<_> = paths.iter().map(|path| format!("`{}`", path.display())).collect();
        out.note(format!(
            "there is no policy in {}; of a directory .yaml, .yml and .json files are read, and no further directories",
            shown.join(", ")
        ));
    }
    Ok(sources)
}

/// What stands for the standard input.
pub(crate) const STDIN: &str = "-";

/// Bytes that are read from it at most: as many as a file of policies may have.
const MAX_INPUT: u64 = 16 << 20;
