//! Threads for judgements that take longer than a worker should be held.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

use portcullis_proxylib::{Executor, Job};

use crate::guard::guarded;

/// Threads at least: enough that one slow judgement does not hold up all others.
const MIN_THREADS: usize = 2;

/// Threads at most: a node has other work.
const MAX_THREADS: usize = 8;

/// Bytes of stack of a thread: policy engines walk documents that are nested a thousand levels deep. What is not used is not
/// there.
const STACK: usize = 16 << 20;

/// Jobs that wait at most. A job for which there is no room counts as lost, and its request is denied.
const MAX_QUEUED: usize = 1024;

/// The pool of this process. Its threads start with the first job and stay: the library must never be unloaded, which
/// `do_not_close` in Envoy's configuration sees to.
pub(crate) fn pool() -> Arc<dyn Executor> {
    static POOL: OnceLock<Arc<Pool>> = OnceLock::new();
    let pool = POOL.get_or_init(|| Arc::new(Pool(Arc::new(Shared { state: Mutex::default(), more: Condvar::new() }))));
    Arc::<Pool>::clone(pool)
}

struct Pool(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    more: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
}

impl Executor for Pool {
    fn execute(&self, job: Job) {
        let threads = thread::available_parallelism().map_or(MIN_THREADS, usize::from).clamp(MIN_THREADS, MAX_THREADS);
        let mut state = self.0.lock();
        while state.threads < threads {
            let shared = Arc::clone(&self.0);
            let builder = thread::Builder::new().name("portcullis-job".to_owned()).stack_size(STACK);
            if builder.spawn(move || shared.work()).is_err() {
                break;
            }
            state.threads += 1;
        }
        if state.threads > 0 && state.jobs.len() < MAX_QUEUED {
            state.jobs.push_back(job);
            self.0.more.notify_one();
        } else {
            // A lost job wakes its connection, for which nobody may hold the lock.
            drop(state);
            drop(job);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        loop {
            let waiting = self.more.wait_while(self.lock(), |state| state.jobs.is_empty());
            let job = waiting.unwrap_or_else(PoisonError::into_inner).jobs.pop_front();
            if let Some(job) = job {
                guarded((), || (), job);
            }
        }
    }
}
