//! Writes better forms into files.

use anyhow::{Context, bail};
use portcullis_policy::lint::Finding;
use portcullis_policy::{PolicyErrors, Source};

use crate::commands::show_diff;
use crate::edit::Editor;
use crate::exit::Exit;
use crate::output::Output;

/// What is to become of one file.
pub(super) struct Change {
    name: String,
    before: String,
    after: String,
    fixes: usize,
}

/// All changes, and how many findings they leave.
pub(super) struct Changes {
    changes: Vec<Change>,
    left: usize,
}

/// Makes the changes that can be made, in memory. A file that would not be as good as before stays as it is.
pub(super) fn prepare(
    sources: &[Source],
    found: &[Finding],
    check: &impl Fn(&[Source]) -> Result<Vec<Finding>, PolicyErrors>,
) -> Changes {
    let mut fixed = sources.to_vec();
    let mut changes = Vec::new();
    for source in &mut fixed {
        let Ok(before) = String::from_utf8(source.text.clone()) else { continue };
        let fixes = found.iter().filter(|finding| *finding.place.file == *source.name);
        let fixes: Vec<_> = fixes.filter_map(|finding| finding.fix.as_ref()).collect();
        let Some(mut editor) = Editor::new(&before).filter(|_| !fixes.is_empty()) else { continue };
        let made = fixes.into_iter().filter(|fix| editor.apply(fix)).count();
        let after = editor.finish();
        if made > 0 {
            source.text = after.clone().into_bytes();
            changes.push(Change { name: source.name.clone(), before, after, fixes: made });
        }
    }
    match check(&fixed) {
        Ok(left) if left.len() < found.len() => Changes { changes, left: left.len() },
        _ => Changes { changes: Vec::new(), left: found.len() },
    }
}

pub(super) fn run(Changes { changes, left }: &Changes, write: bool, out: &mut Output) -> anyhow::Result<Exit> {
    if out.is_json() {
        let files: Vec<_> = changes
            .iter()
            .map(|change| serde_json::json!({"file": change.name, "fixes": change.fixes, "text": change.after}))
            .collect();
        out.json(&serde_json::json!({"written": write, "files": files, "left": left}))?;
    }
    for change in changes {
        if write {
            change.write()?;
        }
        if out.is_json() {
            continue;
        }
        if write {
            out.line(format_args!("{}: {} fixed", change.name, change.fixes))?;
        } else {
            show_diff(&change.name, &change.before, &change.after, out)?;
        }
    }
    if !out.is_json() {
        let fixed: usize = changes.iter().map(|change| change.fixes).sum();
        let verb = if write { "fixed" } else { "to be fixed" };
        out.line(format_args!("ok: {fixed} {verb}, {left} findings left"))?;
    }
    Ok(Exit::well_if(write || changes.is_empty()))
}

impl Change {
    fn write(&self) -> anyhow::Result<()> {
        let now = std::fs::read(&self.name).with_context(|| format!("`{}` cannot be read again", self.name))?;
        if now != self.before.as_bytes() {
            bail!(
                "`{}` was changed by somebody else since it was checked; nothing was written to it: run this again",
                self.name
            );
        }
        std::fs::write(&self.name, &self.after).with_context(|| format!("`{}` cannot be written", self.name))
    }
}
