//! `portcullis migrate`.
//!
//! Cilium 1.19 has no parsers for `l7proto` any more, and with 1.20 the fields `l7proto` and `l7` are gone from the resource
//! definitions: the API server drops them from what is stored, and a rule with an L7 part becomes one without, which opens
//! its port.

mod cassandra;
mod names;
mod rewrite;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use portcullis_policy::Node;
use serde::Serialize;

use self::rewrite::Rewritten;
use super::show_diff;
use crate::exit::{Exit, Usage};
use crate::judge::{STDIN, load_sources};
use crate::output::{Look, Output};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Writes the files as they should be into this directory, under their own names.
    #[arg(long, value_name = "DIR", conflicts_with = "in_place")]
    out: Option<PathBuf>,
    /// Writes the files as they should be where they are.
    #[arg(long)]
    in_place: bool,
    /// Files, directories whose .yaml, .yml and .json files are read, and for `-` the standard input. Other objects than policies are left alone.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// What is to be said of one policy.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Found {
    pub(crate) policy: String,
    pub(crate) at: String,
    /// What opens once the L7 part is gone.
    pub(crate) opens: Vec<String>,
    /// Whether it is rewritten.
    pub(crate) rewritten: bool,
    /// Why it is not; or what of it means more or less than before.
    pub(crate) notes: Vec<String>,
}

#[derive(Serialize)]
struct File {
    file: String,
    policies: Vec<Found>,
    text: Option<String>,
}

pub(crate) fn run(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    let writes = args.in_place || args.out.is_some();
    if writes && args.paths.iter().any(|path| path.as_os_str() == STDIN) {
        return Err(Usage("what comes from the standard input has no file to be written to".to_owned()).into());
    }
    let sources = load_sources(&args.paths, out)?;
    let mut files = Vec::new();
    for source in &sources {
        let before = std::str::from_utf8(&source.text).with_context(|| format!("`{}`: invalid UTF-8", source.name))?;
        let documents = Node::load(&source.name, &source.text)?;
        let Rewritten { found, text } = rewrite::rewrite(&source.name, before, &documents);
        if found.is_empty() && args.out.is_none() {
            continue;
        }
        let changed = text.filter(|text| text != before);
        if let Some(dir) = &args.out {
            let path = name_in(dir, &source.name)?;
            std::fs::create_dir_all(dir).with_context(|| format!("`{}` cannot be made", dir.display()))?;
            let text = changed.as_deref().unwrap_or(before);
            std::fs::write(&path, text).with_context(|| format!("`{}` cannot be written", path.display()))?;
        }
        if let Some(text) = changed.as_ref().filter(|_| args.in_place) {
            let now = std::fs::read(&source.name).with_context(|| format!("`{}` cannot be read again", source.name))?;
            if now != source.text {
                bail!(
                    "`{}` was changed by somebody else meanwhile; nothing was written to it: run this again",
                    source.name
                );
            }
            std::fs::write(&source.name, text).with_context(|| format!("`{}` cannot be written", source.name))?;
        }
        if !out.is_json() {
            found.iter().try_for_each(|found| show(found, out))?;
            if let Some(text) = changed.as_ref().filter(|_| args.out.is_none() && !args.in_place) {
                show_diff(&source.name, before, text, out)?;
            }
        }
        files.push(File { file: source.name.clone(), policies: found, text: changed });
    }
    let all = || files.iter().flat_map(|file| &file.policies);
    let (count, rewritten) = (all().count(), all().filter(|found| found.rewritten).count());
    let noted = all().filter(|found| !found.notes.is_empty()).count();
    if out.is_json() {
        out.json(&serde_json::json!({"found": count, "rewritten": rewritten, "files": files}))?;
    } else {
        let left = count - rewritten;
        out.line(format_args!(
            "{}: {rewritten} rewritten, {left} left, {noted} to be looked at",
            if count == 1 {
                "1 policy loses its L7 part".to_owned()
            } else {
                format!("{count} policies lose their L7 part")
            }
        ))?;
    }
    Ok(Exit::well_if(count == 0 || writes && noted == 0))
}

fn name_in(dir: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let file = Path::new(name).file_name().with_context(|| format!("`{name}` has no name of its own"))?;
    let path = dir.join(file);
    if path.exists() {
        bail!("`{}` is there already; give an empty directory", path.display());
    }
    Ok(path)
}

fn show(found: &Found, out: &mut Output) -> anyhow::Result<()> {
    let Found { policy, at, opens, rewritten, notes } = found;
    let verb = if *rewritten { out.paint(Look::Good, "rewritten") } else { out.paint(Look::Bad, "left as it is") };
    out.line(format_args!("{at}: {policy}: loses its L7 part with Cilium 1.20; {verb}"))?;
    for open in opens {
        out.line(format_args!("    opens: {open}"))?;
    }
    for note in notes {
        out.line(format_args!("    {}: {note}", out.paint(Look::Doubtful, "note")))?;
    }
    Ok(())
}
