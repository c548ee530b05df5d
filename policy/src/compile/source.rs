//! Where policies come from: files, directories, or text at hand.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::node::{MAX_FILE_BYTES, Node, NodeError, Place};
use crate::problems::{PolicyErrors, Problems};

/// The text of some policies, with the name that errors give for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The path of the file, or what else it came from.
    pub name: String,
    /// The text, as it was found.
    pub text: Vec<u8>,
}

/// Bytes of all files together: four files of the largest size.
const MAX_TOTAL_BYTES: usize = 4 * MAX_FILE_BYTES;
/// Files of all directories together.
const MAX_FILES: usize = 100_000;

impl Source {
    /// Text at hand.
    pub fn new(name: impl Into<String>, text: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    /// Reads files, and of directories those files whose names end in `.yaml`, `.yml`, `.json`, `.rego` or `.js`, sorted,
    /// without hidden ones and without further directories.
    ///
    /// # Errors
    /// What cannot be read, or is too large.
    pub fn load(paths: &[impl AsRef<Path>]) -> Result<Vec<Self>, PolicyErrors> {
        let mut problems = Problems::default();
        let mut files = Vec::new();
        for path in paths {
            files.extend(problems.note(list(path.as_ref())).unwrap_or_default());
        }
        let mut sources = Vec::new();
        let mut total = 0_usize;
        for path in files {
            let Some(source) = problems.note(read(&path)) else { continue };
            total = total.saturating_add(source.text.len());
            if total > MAX_TOTAL_BYTES {
                let message = format!("the files have more than {MAX_TOTAL_BYTES} bytes together");
                return Err(NodeError::new(&Place::whole(&source.name), "", message).into());
            }
            sources.push(source);
        }
        problems.finish().map(|()| sources)
    }

    /// The documents in it. A file in another language than YAML and JSON is one document of [`FILE`].
    ///
    /// # Errors
    /// What [`Node::load`] refuses, or text that is not UTF-8.
    pub fn documents(&self) -> Result<Vec<Node>, NodeError> {
        let path = Path::new(&self.name);
        match path.extension().and_then(|end| SCRIPTS.iter().find(|known| end == **known)) {
            Some(kind) => {
                let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
                Node::of_file(&self.name, &self.text, [("apiVersion", FILE), ("kind", kind), ("name", &name)])
                    .map(|node| vec![node])
            }
            None => Node::load(&self.name, &self.text),
        }
    }
}

/// The `apiVersion` of files that are no objects: their `kind` is the end of their name, and they have a `name` and a `text`.
pub const FILE: &str = "portcullis.dev/file";

/// How the names of such files end.
const SCRIPTS: [&str; 2] = ["rego", "js"];

/// The files that a path stands for.
pub(crate) fn list(path: &Path) -> Result<Vec<PathBuf>, NodeError> {
    let fault = |error: std::io::Error| NodeError::new(&Place::whole(&path.to_string_lossy()), "", error.to_string());
    if !fs::metadata(path).map_err(fault)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(fault)? {
        let file = entry.map_err(fault)?.path();
        let wanted = file
            .extension()
            .is_some_and(|end| ["yaml", "yml", "json"].iter().chain(&SCRIPTS).any(|known| end == *known));
        let hidden = file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        // A link that leads nowhere is no directory: reading it then says so.
        if wanted && !hidden && !file.is_dir() {
            if files.len() >= MAX_FILES {
                return Err(fault(std::io::Error::other(format!("more than {MAX_FILES} files"))));
            }
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> Result<Source, NodeError> {
    let name = path.to_string_lossy().into_owned();
    let fault = |message: String| NodeError::new(&Place::whole(&name), "", message);
    let file = fs::File::open(path).map_err(|error| fault(error.to_string()))?;
    if !file.metadata().map_err(|error| fault(error.to_string()))?.is_file() {
        return Err(fault("not a regular file".to_owned()));
    }
    let mut text = Vec::new();
    // One byte more than allowed is enough to see that it is too large, whatever the file system says of its size.
    let limit = u64::try_from(MAX_FILE_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(&mut text).map_err(|error| fault(error.to_string()))?;
    if text.len() > MAX_FILE_BYTES {
        return Err(fault(format!("the file has more than {MAX_FILE_BYTES} bytes; split it")));
    }
    Ok(Source { name, text })
}
