//! Policies follow their files: looked at off the data path, put in force whole, and kept when an update is bad.
//!
//! Nothing here starts a thread or waits: whoever hosts it calls [`Reloader::poll`] now and then (twice a second, say). A
//! poll costs one `stat` for each file until something changes.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::compile::{CompileOptions, Source, list_files};
use crate::decide::{DefaultVerdict, Snapshot};
use crate::l7::Protocols;
use crate::node::shorten;
use crate::problems::{PolicyErrors, Warning};
use crate::store::PolicyStore;

/// File systems stamp changes with a clock that may tick only this often: a file that was changed more recently than
/// this may change again and look the same, so its content is compared.
const STAMP_RESOLUTION: Duration = Duration::from_secs(2);

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
                (meta.dev(), meta.ino(), meta.size()).hash(&mut hasher);
                (meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()).hash(&mut hasher);
                // The time of the change of the inode: unlike that of the content, nobody can set it.
                let changed =
                    u64::try_from(meta.ctime()).ok().and_then(|s| UNIX_EPOCH.checked_add(Duration::from_secs(s)));
                latest = latest.max(changed.unwrap_or(UNIX_EPOCH));
            }
        }
    }
    Stamp { digest: hasher.finish(), latest }
}

fn digest(sources: &Result<Vec<Source>, PolicyErrors>) -> u64 {
    let mut hasher = DefaultHasher::new();
    match sources {
        Ok(sources) => sources.iter().for_each(|source| (&source.name, &source.text).hash(&mut hasher)),
        Err(errors) => errors.to_string().hash(&mut hasher),
    }
    hasher.finish()
}

/// Keeps a [`PolicyStore`] at what some files say.
pub struct Reloader {
    watch: Watch,
    protocols: Arc<dyn Protocols>,
    default: DefaultVerdict,
    l7proto: Option<String>,
    status: Status,
}

/// What a poll did.
#[derive(Debug)]
pub enum Reload {
    /// New policies are in force.
    Applied {
        /// Their generation.
        generation: u64,
        /// What is probably not meant as it is written.
        warnings: Vec<Warning>,
    },
    /// The files hold something that cannot be put in force. What was in force still is.
    Refused(PolicyErrors),
}

/// How it stands with the policies, for metrics and for a status file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The generation in force; 0 if there never was one.
    pub generation: u64,
    /// A digest of the files that it was compiled from.
    pub hash: u64,
    /// When it was put in force.
    pub since: Option<SystemTime>,
    /// How many updates were refused.
    pub refused: u64,
    /// Why the last one was, unless a good one followed.
    pub error: Option<String>,
}

impl Reloader {
    /// Prepares to load the files; the first poll does it.
    pub fn new(watch: Watch, protocols: Arc<dyn Protocols>, options: &CompileOptions<'_>) -> Self {
        let l7proto = options.l7proto.map(str::to_owned);
        Self { watch, protocols, default: options.default, l7proto, status: Status::default() }
    }

    /// Puts in force what the files hold, if they changed and nothing is wrong with them.
    pub fn poll(&mut self, store: &PolicyStore, now: SystemTime) -> Option<Reload> {
        let Change { sources, hash } = self.watch.poll(now)?;
        let options = CompileOptions { default: self.default, l7proto: self.l7proto.as_deref() };
        let compiled = sources.and_then(|sources| Snapshot::compile(&sources, &*self.protocols, &options));
        Some(match compiled {
            Ok(compiled) => {
                let generation = store.store(compiled.snapshot);
                let refused = self.status.refused;
                self.status = Status { generation, hash, since: Some(now), refused, error: None };
                Reload::Applied { generation, warnings: compiled.warnings }
            }
            Err(errors) => {
                self.status.refused = self.status.refused.saturating_add(1);
                self.status.error = Some(errors.to_string());
                Reload::Refused(errors)
            }
        })
    }

    /// How it stands.
    pub const fn status(&self) -> &Status {
        &self.status
    }
}

impl Status {
    /// The status as a line of JSON: `{"status":"ok",…}` or `{"status":"error","error":…,…}`.
    pub fn to_json(&self) -> String {
        let since =
            self.since.and_then(|since| since.duration_since(UNIX_EPOCH).ok()).map_or(0, |since| since.as_secs());
        let verdict = match &self.error {
            None => "\"status\":\"ok\"".to_owned(),
            Some(error) => format!("\"status\":\"error\",\"error\":\"{}\"", escape(error)),
        };
        let Self { generation, hash, refused, .. } = self;
        format!(
            "{{{verdict},\"generation\":{generation},\"hash\":\"{hash:016x}\",\"since\":{since},\"refused\":{refused}}}\n"
        )
    }

    /// Writes the status to a file, replacing it whole.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        fs::write(&beside, self.to_json())?;
        fs::rename(&beside, path)
    }
}

/// RFC 8259 section 7: quotation mark, reverse solidus and control characters must be escaped.
fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
        out
    })
}

impl std::fmt::Debug for Reloader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let error = self.status.error.as_deref().map(shorten);
        f.debug_struct("Reloader")
            .field("generation", &self.status.generation)
            .field("error", &error)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

    use std::os::unix::fs::symlink;

    use super::*;
    use crate::Traffic;
    use crate::testing::{Ask, TestProtocols, peer};

    struct Stage {
        folder: tempfile::TempDir,
        store: PolicyStore,
        reloader: Reloader,
        now: SystemTime,
    }

    fn policy(role: &str) -> String {
        format!(
            "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {{name: p}}\n\
             spec: {{endpointSelector: {{}}, ingress: [{{fromEndpoints: [{{matchLabels: {{role: {role}}}}}]}}]}}\n"
        )
    }

    impl Stage {
        fn new(watched: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let watch = Watch::new([folder.path().join(watched)]);
            let reloader = Reloader::new(watch, Arc::new(TestProtocols), &CompileOptions::default());
            Self { folder, store: PolicyStore::default(), reloader, now: SystemTime::now() }
        }

        fn write(&self, file: &str, text: &str) {
            fs::write(self.folder.path().join(file), text).unwrap();
        }

        /// The generation that two polls put in force, 0 if they refused the files, and nothing if they saw no change.
        fn poll(&mut self) -> Option<u64> {
            let both = [self.reloader.poll(&self.store, self.now), self.reloader.poll(&self.store, self.now)];
            both.into_iter().flatten().last().map(|reload| match reload {
                Reload::Applied { generation, .. } => generation,
                Reload::Refused(_) => 0,
            })
        }

        fn admits(&self, role: &str) -> bool {
            let ask = Ask { endpoint: "", traffic: Traffic::Ingress, port: 1, remote: peer(&format!("role={role}")) };
            ask.allows(&self.store.load(), "get", "x")
        }
    }

    #[test]
    fn good_updates_apply_and_bad_ones_leave_the_last_good_one() {
        let mut stage = Stage::new("p.yaml");
        assert_eq!(stage.poll(), Some(0), "a missing file is an error");
        assert!(!stage.admits("a"));
        stage.write("p.yaml", &policy("a"));
        assert_eq!(stage.poll(), Some(1));
        assert_eq!(stage.poll(), None);
        assert!(stage.admits("a") && stage.reloader.status().error.is_none());

        stage.write("p.yaml", &policy("a").replace("ingress", "igress"));
        assert_eq!(stage.poll(), Some(0));
        assert_eq!(stage.poll(), None);
        let status = stage.reloader.status();
        assert!(stage.admits("a") && status.refused == 2 && status.generation == 1);
        let json: serde_json::Value = serde_json::from_str(&status.to_json()).unwrap();
        assert_eq!(json["status"], "error");
        assert!(json["error"].as_str().unwrap().contains("p.yaml:4:30: p/spec: unknown field `igress`"), "{json}");

        // In place, of the same length, within the same tick of the clock.
        stage.write("p.yaml", &policy("b"));
        assert_eq!(stage.poll(), Some(2));
        stage.write("p.yaml", &policy("c"));
        assert_eq!(stage.poll(), Some(3));
        assert!(stage.admits("c") && !stage.admits("b"));
        fs::remove_file(stage.folder.path().join("p.yaml")).unwrap();
        assert_eq!(stage.poll(), Some(0));
        assert!(stage.admits("c"));
    }

    #[test]
    fn a_directory_is_one_unit() {
        let mut stage = Stage::new("");
        stage.write("a.yaml", &policy("a"));
        assert_eq!(stage.poll(), Some(1));
        stage.write("b.yaml", &policy("b").replace("name: p", "name: q"));
        stage.write("bad.yaml", "kind: Nonsense");
        assert_eq!(stage.poll(), Some(0));
        assert!(!stage.admits("b"), "half an update is in force");
        fs::remove_file(stage.folder.path().join("bad.yaml")).unwrap();
        assert_eq!(stage.poll(), Some(2));
        assert!(stage.admits("a") && stage.admits("b"));
        fs::rename(stage.folder.path().join("b.yaml"), stage.folder.path().join("b.off")).unwrap();
        assert_eq!(stage.poll(), Some(3));
        assert!(!stage.admits("b"));
    }

    #[test]
    fn the_symlink_swap_of_kubernetes_is_seen() {
        let mut stage = Stage::new("");
        let root = stage.folder.path().to_owned();
        for (version, role) in [("..1", "a"), ("..2", "b")] {
            fs::create_dir(root.join(version)).unwrap();
            fs::write(root.join(version).join("p.yaml"), policy(role)).unwrap();
        }
        symlink("..1", root.join("..data")).unwrap();
        symlink("..data/p.yaml", root.join("p.yaml")).unwrap();
        assert_eq!(stage.poll(), Some(1));
        symlink("..2", root.join("..data.new")).unwrap();
        fs::rename(root.join("..data.new"), root.join("..data")).unwrap();
        assert_eq!(stage.poll(), Some(2));
        assert!(stage.admits("b") && !stage.admits("a"));
    }

    #[test]
    fn files_that_rest_are_not_read_again() {
        let mut stage = Stage::new("p.yaml");
        stage.write("p.yaml", &policy("a"));
        assert_eq!(stage.poll(), Some(1));
        stage.now += 2 * STAMP_RESOLUTION;
        assert_eq!(stage.poll(), None);
        let status = stage.folder.path().join("status.json");
        stage.reloader.status().write(&status).unwrap();
        let text = fs::read_to_string(&status).unwrap_or_else(|error| panic!("{error}"));
        assert!(
            text.starts_with("{\"status\":\"ok\",\"generation\":1,\"hash\":\"") && text.ends_with("\"refused\":0}\n"),
            "{text}"
        );
    }
}
