//! The thread of a listener: reads policies and identities again when they change, and calls connections that are overdue.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::guard::guarded;
use crate::listener::{Listener, Watches};

/// How often the thread looks around. A changed file counts after the second look that finds it the same.
const TICK: Duration = Duration::from_millis(400);

/// Runs until it is dropped.
pub(crate) struct Housekeeper {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Housekeeper {
    /// Starts the thread of a listener.
    ///
    /// # Errors
    /// The system has no more threads.
    pub(crate) fn start(listener: Arc<Listener>, mut watches: Watches) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let run = move || {
            while !stopped.load(Ordering::Acquire) {
                guarded(
                    (),
                    || (),
                    || {
                        listener.sweep();
                        listener.reload(&mut watches);
                        listener.show(None);
                    },
                );
                thread::park_timeout(TICK);
            }
        };
        let thread = thread::Builder::new().name("portcullis-keep".to_owned()).spawn(run)?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Housekeeper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // What it had to say of a panic, it has said.
            let _ = thread.join();
        }
    }
}
