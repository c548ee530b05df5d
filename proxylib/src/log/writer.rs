//! The thread that writes the access log, and the bounded queue before it.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use crossbeam_queue::ArrayQueue;

use super::json::{MAX_ENTRY, write_json};
use super::{Entry, Sink};

/// Records that wait to be written at most: a second of a busy worker, 32 MiB at worst.
const QUEUE: usize = 8192;

/// How long the writer sleeps when there is nothing to write: no record is older than this when it is written, and
/// workers never have to wake anybody.
const NAP: Duration = Duration::from_millis(10);

/// How often the writer looks whether its file was renamed or removed.
const LOOK: Duration = Duration::from_millis(500);

/// Where an access log goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// The standard error of the process.
    Stderr,
    /// A file, appended to, opened anew after rotation.
    File(PathBuf),
}

impl Target {
    /// The target that a configuration names: `stderr`, or a path.
    pub fn named(path: &str) -> Self {
        if path == "stderr" { Self::Stderr } else { Self::File(PathBuf::from(path)) }
    }
}

/// An access log of JSON lines. Records never wait for the disk: they are queued, and dropped and counted when the queue is
/// full.
pub struct AccessLog {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    queue: ArrayQueue<Vec<u8>>,
    spare: ArrayQueue<Vec<u8>>,
    dropped: AtomicU64,
    failed: AtomicU64,
    stop: AtomicBool,
}

impl AccessLog {
    /// Opens the target and starts the thread that writes.
    ///
    /// # Errors
    /// The file cannot be opened for appending, or the thread cannot be started.
    pub fn open(target: &Target) -> io::Result<Self> {
        let output = Output::open(target)?;
        let shared = Arc::new(Shared {
            queue: ArrayQueue::new(QUEUE),
            spare: ArrayQueue::new(QUEUE),
            dropped: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new().name("portcullis-log".to_owned()).spawn(move || theirs.write(output))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Records lost so far: the queue was full, or the target could not be written.
    pub fn lost(&self) -> u64 {
        let dropped = self.shared.dropped.load(Ordering::Relaxed);
        dropped.saturating_add(self.shared.failed.load(Ordering::Relaxed))
    }
}

impl Sink for AccessLog {
    fn record(&self, entry: &Entry<'_>) {
        let mut line = self.shared.spare.pop().unwrap_or_else(|| Vec::with_capacity(MAX_ENTRY / 4));
        write_json(entry, SystemTime::now(), &mut line);
        if self.shared.queue.push(line).is_err() {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // A writer that panicked has nothing more to write.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLog").field("lost", &self.lost()).finish_non_exhaustive()
    }
}

impl Shared {
    fn write(&self, mut output: Output) {
        let mut batch = Vec::with_capacity(64 * MAX_ENTRY);
        let mut looked = Instant::now();
        loop {
            // Read before the queue, so that what was queued before the stop is still written.
            let stop = self.stop.load(Ordering::Acquire);
            let mut lines = 0_u64;
            while batch.len() < 63 * MAX_ENTRY
                && let Some(mut line) = self.queue.pop()
            {
                batch.extend_from_slice(&line);
                lines = lines.saturating_add(1);
                line.clear();
                // One too many to keep is simply freed.
                let _ = self.spare.push(line);
            }
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                output.follow();
            }
            if lines > 0 {
                if output.write(&batch).is_err() {
                    self.failed.fetch_add(lines, Ordering::Relaxed);
                }
                batch.clear();
            } else if stop {
                return;
            } else {
                thread::sleep(NAP);
            }
        }
    }
}

enum Output {
    Stderr,
    File { path: PathBuf, file: File, id: Option<(u64, u64)> },
}

impl Output {
    fn open(target: &Target) -> io::Result<Self> {
        match target {
            Target::Stderr => Ok(Self::Stderr),
            Target::File(path) => {
                let file = OpenOptions::new().append(true).create(true).open(path)?;
                Ok(Self::File { path: path.clone(), file, id: identify(path) })
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stderr => io::stderr().lock().write_all(bytes),
            Self::File { file, .. } => file.write_all(bytes),
        }
    }

    /// Opens the file anew if the path names another one by now, or none.
    fn follow(&mut self) {
        let Self::File { path, id, .. } = self else { return };
        let now = identify(path);
        if now.is_some() && now == *id {
            return;
        }
        // Until the path can be opened again the old file is written: better there than nowhere.
        if let Ok(next) = Self::open(&Target::File(path.clone())) {
            *self = next;
        }
    }
}

#[cfg(unix)]
fn identify(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let found = path.metadata().ok()?;
    Some((found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn identify(path: &Path) -> Option<(u64, u64)> {
    path.metadata().ok().map(|_| (0, 0))
}
