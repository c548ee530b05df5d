//! The access log: `cilium.LogEntry` packets on the agent's socket.
//!
//! A worker encodes a record into the queue of its thread, without a lock, an allocation or a system call; one thread writes
//! them to the socket, many at a time. A reader that is slow, stalled or absent costs the workers nothing: records wait in
//! the queues until these are full, and then they are lost and counted.

mod entry;
mod lanes;
mod packets;
mod pen;
mod sheet;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::SystemTime;

use portcullis_proxylib::{Entry, Level, Sink, Status};

use crate::say;

use lanes::Lanes;
use pen::Endpoint;
use writer::{Shared, Writer};

pub use entry::MAX_PACKET;

/// What is handed to the sinks. Of replies they take those that the reference logs.
pub const LEVEL: Level = Level::Responses;

/// The protocols whose replies are logged: those whose replies the agent was told of before. It counts them for the endpoint
/// and shows them as flows, and there is no parameter by which anybody could ask for them. Of the others only the log would
/// grow: twice the packets, with nothing in them that a decision was about.
const REPLIES_OF: &[&str] = &["memcache"];

/// The agent's access log socket, shared by all connections of an instance.
pub struct LogSocket {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl LogSocket {
    /// Starts the thread that connects and writes. A socket that is not there is tried again until it is.
    pub fn open(path: impl AsRef<Path>) -> Arc<Self> {
        let shared =
            Arc::new(Shared { path: path.as_ref().to_owned(), lanes: Lanes::new(), stop: AtomicBool::new(false) });
        let writer = Writer::new(Arc::clone(&shared));
        let thread = match thread::Builder::new().name("portcullis-log".to_owned()).spawn(|| writer.run()) {
            Ok(thread) => {
                shared.lanes.meet(thread.thread().clone());
                Some(thread)
            }
            Err(error) => {
                say::error(&format!("the access log has no thread, and all its records will be lost: {error}"));
                shared.lanes.close();
                None
            }
        };
        Arc::new(Self { shared, thread: Mutex::new(thread) })
    }

    /// Takes the records of one policy name.
    pub fn sink(self: &Arc<Self>, policy_name: &str) -> Arc<dyn Sink> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let endpoint = Endpoint { id: NEXT.fetch_add(1, Ordering::Relaxed), name: policy_name.into() };
        Arc::new(Named { socket: Arc::clone(self), endpoint })
    }

    /// Writes what is queued, for a quarter of a second at most, and ends the thread. What is recorded later is lost.
    pub fn stop(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            self.shared.stop.store(true, Ordering::SeqCst);
            thread.thread().unpark();
            // A writer that panicked has nothing more to write.
            let _ = thread.join();
        }
    }

    /// Records that no reader got so far: there was no room for them, or the log was stopped.
    pub fn lost(&self) -> u64 {
        self.shared.lanes.lost()
    }

    /// Records that were handed to the reader's socket so far.
    pub fn written(&self) -> u64 {
        self.shared.lanes.written()
    }
}

impl Drop for LogSocket {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for LogSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.shared.path;
        f.debug_struct("LogSocket").field("path", path).field("lost", &self.lost()).finish_non_exhaustive()
    }
}

struct Named {
    socket: Arc<LogSocket>,
    endpoint: Endpoint,
}

impl Sink for Named {
    fn record(&self, entry: &Entry<'_>) {
        if entry.status == Status::Reply && !REPLIES_OF.contains(&entry.protocol) {
            return;
        }
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let time = u64::try_from(since.as_nanos()).unwrap_or_default();
        self.socket.shared.lanes.record(&self.endpoint, entry, time);
    }
}
