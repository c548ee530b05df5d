//! Writes objects for listeners, which load them beside policies.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, anyhow, bail};

use super::objects::Object;

/// Bytes of objects in one file: a listener takes files of up to 16 MiB.
const MAX_FILE_BYTES: usize = 4 << 20;
/// What the files are called that this program writes, and takes away when they are no longer needed.
const PREFIX: &str = "inventory-";

/// Writes objects into a directory, as lists by their kind. Files of an earlier run that are no longer needed are removed last.
///
/// # Errors
/// A file cannot be written or removed; an object is too large for one.
pub(super) fn write<'o>(dir: &Path, objects: impl IntoIterator<Item = &'o Object>) -> anyhow::Result<usize> {
    let mut objects: Vec<&Object> = objects.into_iter().collect();
    objects.sort_by(|a, b| a.named.cmp(&b.named));
    fs::create_dir_all(dir).with_context(|| format!("`{}` cannot be made", dir.display()))?;
    let mut written = BTreeSet::new();
    let of_one_kind =
        |a: &&Object, b: &&Object| a.named.kind == b.named.kind && a.named.api_version() == b.named.api_version();
    for same in objects.chunk_by(of_one_kind) {
        for (number, text) in lists(same)?.iter().enumerate() {
            let Some(first) = same.first() else { continue };
            let kind = as_file_name(&first.named.kind);
            let version = as_file_name(&first.named.api_version());
            let name = format!("{PREFIX}{version}-{kind}-{number}.json");
            replace(&dir.join(&name), text)?;
            written.insert(name);
        }
    }
    for entry in fs::read_dir(dir).with_context(|| format!("`{}` cannot be read", dir.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        let ours = name
            .to_str()
            .is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(".json") && !written.contains(name));
        if ours {
            fs::remove_file(entry.path()).with_context(|| format!("`{}` cannot be removed", entry.path().display()))?;
        }
    }
    Ok(objects.len())
}

/// Lists of no more than [`MAX_FILE_BYTES`] each.
fn lists(objects: &[&Object]) -> anyhow::Result<Vec<Vec<u8>>> {
    const HEAD: &[u8] = br#"{"apiVersion":"v1","kind":"List","items":["#;
    let mut lists: Vec<Vec<u8>> = Vec::new();
    for object in objects {
        if object.text.len() > MAX_FILE_BYTES {
            bail!("{} has more than {MAX_FILE_BYTES} bytes: a listener would not load it", object.named);
        }
        match lists.last_mut() {
            Some(list) if list.len().saturating_add(object.text.len()) <= MAX_FILE_BYTES => {
                list.extend_from_slice(b",\n");
                list.extend_from_slice(&object.text);
            }
            _ => lists.push([HEAD, b"\n", &object.text].concat()),
        }
    }
    lists.iter_mut().for_each(|list| list.extend_from_slice(b"\n]}\n"));
    Ok(lists)
}

/// Puts a file in place at once: whoever looks sees the old one or the new one.
///
/// # Errors
/// It cannot be written.
pub(super) fn replace(path: &Path, text: &[u8]) -> anyhow::Result<()> {
    let name =
        path.file_name().and_then(|name| name.to_str()).ok_or_else(|| anyhow!("`{}` is no file", path.display()))?;
    // Hidden, so that no listener loads it half written.
    let beside = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let write = || {
        let mut file = fs::File::create(&beside)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().map_err(|error| {
        // What was begun is of no use to anybody.
        let _ = fs::remove_file(&beside);
        anyhow!("`{}` cannot be written: {error}", path.display())
    })
}

/// A name that is a file's name everywhere.
pub(super) fn as_file_name(text: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    text.chars().map(safe).collect::<String>().to_ascii_lowercase()
}
