//! Where suites are.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use portcullis_policy::{NodeError, PolicyErrors, Source};

use super::suite::{self, Suite};
use crate::output::Output;

/// What every suite has in it: other files beside suites are not read any further, whatever they are.
const MARK: &[u8] = b"test.gatekeeper.sh";

/// Loads the suites of files, of directories, and with `/...` at the end of all directories below.
///
/// The second is what is wrong with suites.
pub(super) fn load(paths: &[PathBuf], out: &Output) -> anyhow::Result<Result<Vec<Suite>, PolicyErrors>> {
    let mut suites = Vec::new();
    let mut errors = Vec::new();
    for path in paths {
        let before = suites.len().saturating_add(errors.len());
        let (files, named) = list(path)?;
        for file in files {
            match read(&file, named, out)? {
                Ok(found) => suites.extend(found),
                Err(more) => errors.extend(more),
            }
        }
        if suites.len().saturating_add(errors.len()) == before {
            bail!(
                "there is no suite in `{}`: suites are documents of kind `Suite` in .yaml and .yml files; with `/...` behind a directory, those below it are looked into",
                path.display()
            );
        }
    }
    Ok(if errors.is_empty() { Ok(suites) } else { Err(PolicyErrors { errors, omitted: 0 }) })
}

fn read(file: &Path, named: bool, out: &Output) -> anyhow::Result<Result<Option<Suite>, Vec<NodeError>>> {
    let sources = Source::load(&[file]).map_err(|errors| anyhow!("{errors}"))?;
    let Some(Source { name, text }) = sources.into_iter().next() else { return Ok(Ok(None)) };
    if !named && memchr::memmem::find(&text, MARK).is_none() {
        return Ok(Ok(None));
    }
    let read = match suite::read(&name, &text) {
        Ok(Some(read)) => read,
        Ok(None) if named => {
            bail!(
                "`{name}` is no suite: wanted a document with `kind: Suite` and `apiVersion: test.gatekeeper.sh/v1alpha1`"
            )
        }
        Ok(None) => return Ok(Ok(None)),
        Err(errors) => return Ok(Err(errors)),
    };
    read.notes.iter().for_each(|note| out.note(note));
    Ok(Ok(Some(read.suite)))
}

/// The files of an argument, and whether it names one.
fn list(path: &Path) -> anyhow::Result<(Vec<PathBuf>, bool)> {
    let deep = path.file_name().is_some_and(|name| name == "...");
    let root = match (deep, path.parent()) {
        (true, Some(parent)) if parent.as_os_str().is_empty() => Path::new("."),
        (true, Some(parent)) => parent,
        _ => path,
    };
    let shown = root.display();
    let is_dir = fs::metadata(root).with_context(|| format!("`{shown}` cannot be read"))?.is_dir();
    match (is_dir, deep) {
        (false, false) => return Ok((vec![root.to_owned()], true)),
        (false, true) => bail!("`{shown}` is no directory: there is nothing below it"),
        (true, _) => {}
    }
    let mut files = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        let unreadable = || format!("`{}` cannot be read", dir.display());
        for entry in fs::read_dir(&dir).with_context(unreadable)? {
            let entry = entry.with_context(unreadable)?;
            let path = entry.path();
            // Links are not followed into directories, so that there is an end to it.
            if entry.file_type().with_context(unreadable)?.is_dir() {
                if deep {
                    open.push(path);
                }
            } else if path.extension().is_some_and(|end| end == "yaml" || end == "yml") && !path.is_dir() {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok((files, false))
}
