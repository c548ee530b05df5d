//! Notices when files change.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::compile::{Source, list_files};
use crate::problems::PolicyErrors;

/// File systems stamp changes with a clock that may tick only this often: a file that was changed more recently than
/// this may change again and look the same, so its content is compared.
pub(super) const STAMP_RESOLUTION: Duration = Duration::from_secs(2);

/// Notices when files change: replaced, written in place, added to a directory, or swapped by a symbolic link as
/// Kubernetes does it.
#[derive(Debug)]
pub struct Watch {
    paths: Vec<PathBuf>,
    /// What the last poll saw of the files without reading them.
    seen: Option<Stamp>,
    /// The content that was last handed out, and whether it may have changed since without a trace.
    taken: Option<(Stamp, u64)>,
}

/// A digest of names, inodes, sizes and times, and when the latest change was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    digest: u64,
    latest: SystemTime,
}

/// What the files hold now.
#[derive(Debug)]
pub struct Change {
    /// All of them, or what cannot be read.
    pub sources: Result<Vec<Source>, PolicyErrors>,
    /// A digest of their names and contents.
    pub hash: u64,
}

impl Watch {
    /// Watches files and directories, as [`Source::load`] reads them.
    pub fn new(paths: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        Self { paths: paths.into_iter().map(Into::into).collect(), seen: None, taken: None }
    }

    /// What the files hold, if it is not what the last change held. The first poll always tells. A later change is told
    /// once two polls in a row have seen the same, so that a file is not read while it is written.
    pub fn poll(&mut self, now: SystemTime) -> Option<Change> {
        let stamp = stamp(&self.paths);
        let settled = self.seen.replace(stamp) == Some(stamp) || self.taken.is_none();
        if !settled {
            return None;
        }
        if let Some((taken, _)) = self.taken {
            let age = now.duration_since(stamp.latest).unwrap_or_default();
            if taken == stamp && age > STAMP_RESOLUTION {
                return None;
            }
        }
        let sources = Source::load(&self.paths);
        let hash = digest(&sources);
        let changed = self.taken.is_none_or(|(_, taken)| taken != hash);
        self.taken = Some((stamp, hash));
        changed.then_some(Change { sources, hash })
    }
}

fn stamp(paths: &[PathBuf]) -> Stamp {
    let mut hasher = DefaultHasher::new();
    let mut latest = UNIX_EPOCH;
    for path in paths {
        let Ok(files) = list_files(path) else {
            (path, "unreadable").hash(&mut hasher);
            continue;
        };
        for file in files {
            file.hash(&mut hasher);
            if let Ok(meta) = fs::metadata(&file) {
                let changed = trace(&meta, &mut hasher);
                latest = latest.max(changed.unwrap_or(UNIX_EPOCH));
            }
        }
    }
    Stamp { digest: hasher.finish(), latest }
}

/// Digests what shows that a file was changed, and tells when it was.
#[cfg(unix)]
fn trace(meta: &fs::Metadata, hasher: &mut DefaultHasher) -> Option<SystemTime> {
    use std::os::unix::fs::MetadataExt;
    (meta.dev(), meta.ino(), meta.size()).hash(hasher);
    (meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()).hash(hasher);
    // The time of the change of the inode: unlike that of the content, nobody can set it.
    u64::try_from(meta.ctime()).ok().and_then(|s| UNIX_EPOCH.checked_add(Duration::from_secs(s)))
}

/// Where there are no inodes, sizes and times have to do.
#[cfg(not(unix))]
fn trace(meta: &fs::Metadata, hasher: &mut DefaultHasher) -> Option<SystemTime> {
    let changed = meta.modified().ok();
    (meta.len(), changed).hash(hasher);
    changed
}

fn digest(sources: &Result<Vec<Source>, PolicyErrors>) -> u64 {
    let mut hasher = DefaultHasher::new();
    match sources {
        Ok(sources) => sources.iter().for_each(|source| (&source.name, &source.text).hash(&mut hasher)),
        Err(errors) => errors.to_string().hash(&mut hasher),
    }
    hasher.finish()
}
