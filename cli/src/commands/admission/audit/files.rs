//! Objects in files.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use portcullis_parsers::admission::json::{MAX_BYTES, Tape};
use portcullis_policy::Node;

use super::objects::{self, Object};

/// What was found, and what is wrong.
#[derive(Default)]
pub(super) struct Found {
    pub(super) objects: Vec<Object>,
    pub(super) problems: Vec<String>,
}

/// All objects of files, and of directories with all below them.
pub(super) fn load(paths: &[PathBuf]) -> Found {
    let mut found = Found::default();
    for path in paths {
        if path.as_os_str() == "-" {
            found.take_text("standard input", read_from(std::io::stdin().lock()));
            continue;
        }
        for file in found.list(path) {
            found.take_text(&file.display().to_string(), read(&file));
        }
    }
    found
}

impl Found {
    fn list(&mut self, root: &Path) -> Vec<PathBuf> {
        if root.is_file() {
            return vec![root.to_owned()];
        }
        let (mut files, mut open) = (Vec::new(), vec![root.to_owned()]);
        while let Some(dir) = open.pop() {
            let entries = match fs::read_dir(&dir) {
                Ok(entries) => entries,
                Err(error) => {
                    self.problems.push(format!("`{}` cannot be read: {error}", dir.display()));
                    continue;
                }
            };
            for entry in entries {
                match entry.and_then(|entry| Ok((entry.path(), entry.file_type()?))) {
                    // Links are not followed into directories, so that there is an end to it.
                    Ok((path, kind)) if kind.is_dir() => open.push(path),
                    Ok((path, _)) if is_wanted(&path) => files.push(path),
                    Ok(_) => {}
                    Err(error) => self.problems.push(format!("`{}` cannot be read: {error}", dir.display())),
                }
            }
        }
        files.sort();
        files
    }

    fn take_text(&mut self, name: &str, text: Result<Vec<u8>, String>) {
        let text = match text {
            Ok(text) => text,
            Err(why) => return self.problems.push(format!("`{name}` cannot be read: {why}")),
        };
        if text.trim_ascii_start().starts_with(b"{") {
            let mut tape = Tape::new();
            if let Ok(root) = tape.read(&text) {
                return self.take(objects::take(name, root, None));
            }
        }
        match Node::load(name, &text) {
            Ok(documents) => {
                for document in &documents {
                    let text = objects::write(&objects::to_json(document));
                    let mut tape = Tape::new();
                    match tape.read(&text) {
                        Ok(root) => self.take(objects::take(&document.place.to_string(), root, None)),
                        Err(why) => self.problems.push(format!("{}: {why}", document.place)),
                    }
                }
            }
            Err(error) => self.problems.push(error.to_string()),
        }
    }

    fn take(&mut self, objects: Vec<Result<Object, String>>) {
        for object in objects {
            match object {
                Ok(object) => self.objects.push(object),
                Err(why) => self.problems.push(why),
            }
        }
    }
}

fn is_wanted(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json")
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let file = fs::File::open(path).map_err(|error| error.to_string())?;
    if !file.metadata().map_err(|error| error.to_string())?.is_file() {
        return Err("it is no file".to_owned());
    }
    read_from(file)
}

fn read_from(file: impl Read) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    // One byte more than allowed is enough to see that it is too large.
    let limit = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(&mut text).map_err(|error| error.to_string())?;
    if text.len() > MAX_BYTES {
        return Err(format!("it has more than {MAX_BYTES} bytes; split it"));
    }
    Ok(text)
}
