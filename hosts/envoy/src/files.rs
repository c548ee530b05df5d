//! Notices that files have changed, by looking at them from time to time.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Files and directories, and what they looked like.
#[derive(Debug)]
pub(crate) struct Watched {
    paths: Vec<PathBuf>,
    /// When they were last read.
    read: Look,
    /// At the last look.
    seen: Look,
}

/// What tells a file that was written from the same file before, without reading it: device, inode, size, times of
/// change. `None` for what is not there.
type Look = Vec<(PathBuf, Option<[i128; 5]>)>;

impl Watched {
    /// To be called before the files are first read.
    pub(crate) fn new(paths: Vec<PathBuf>) -> Self {
        let seen = look(&paths);
        Self { paths, read: seen.clone(), seen }
    }

    /// The files and directories.
    pub(crate) fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Whether the files should be read again: they changed, and have come to rest since the last look, so that no file
    /// is read while it is being written.
    pub(crate) fn changed(&mut self) -> bool {
        let now = look(&self.paths);
        let at_rest = now == self.seen;
        self.seen = now;
        if !at_rest || self.seen == self.read {
            return false;
        }
        self.read.clone_from(&self.seen);
        true
    }
}

fn look(paths: &[PathBuf]) -> Look {
    let mut seen = Vec::new();
    for path in paths {
        let found = fs::metadata(path).ok();
        if found.as_ref().is_some_and(Metadata::is_dir) {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            for entry in entries {
                let inside = entry.path();
                let found = fs::metadata(&inside).ok();
                seen.push((inside, found.as_ref().map(fingerprint)));
            }
        }
        seen.push((path.clone(), found.as_ref().map(fingerprint)));
    }
    seen.sort();
    seen
}

fn fingerprint(found: &Metadata) -> [i128; 5] {
    let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    [
        found.dev().into(),
        found.ino().into(),
        found.size().into(),
        nanoseconds(found.mtime(), found.mtime_nsec()),
        nanoseconds(found.ctime(), found.ctime_nsec()),
    ]
}
