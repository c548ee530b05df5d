//! The threads that judge by a script.
//!
//! A thread keeps one engine ready. After a review it clears it, or throws it away and makes the next, while nobody waits. Whoever asks waits for an answer until the time is over and no longer: a
//! script that cannot be stopped holds a thread of its own script, and none of those that ask.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::answer::Answer;
use super::engine::{Asked, Engine, Failure, Source};
use super::fault::EvalError;
use super::script::{LOAD_TIME, ask};

/// The threads of one script. They end when it is dropped.
#[derive(Debug)]
pub(crate) struct Workers(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    source: Source,
    state: Mutex<State>,
    more: Condvar,
    /// Whether the script takes too much memory to be kept ready.
    is_large: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    /// Threads that wait for a job.
    ready: usize,
    /// What is being judged or made ready, each by the time when it must be done.
    under_way: Vec<Instant>,
    is_over: bool,
}

#[derive(Debug)]
struct Job {
    review: Arc<[u8]>,
    until: Instant,
    reply: SyncSender<Result<Answer, EvalError>>,
}

impl Workers {
    /// Threads for a script, the first of which is to be the one that calls this: by [`Worker::work`].
    pub(crate) fn begin(source: Source) -> (Self, Worker) {
        let state = State { threads: 1, ..State::default() };
        let shared = Arc::new(Shared {
            source,
            state: Mutex::new(state),
            more: Condvar::new(),
            is_large: AtomicBool::new(false),
        });
        (Self(Arc::clone(&shared)), Worker { shared, _counted: Counted::new() })
    }

    /// What the script says of a review. Ends soon after `until`, whatever the script does.
    pub(crate) fn judge(&self, review: &[u8], until: Instant) -> Result<Answer, EvalError> {
        let start = Instant::now();
        let review: Arc<[u8]> = review.into();
        let (reply, answer) = sync_channel(1);
        {
            let mut state = self.0.lock();
            if state.is_late(start) {
                return Err(EvalError::Busy);
            }
            state.jobs.push_back(Job { review: Arc::clone(&review), until, reply });
            if state.jobs.len() > state.ready && state.threads < most_threads() {
                self.0.add_thread(&mut state);
            }
        }
        self.0.more.notify_one();
        let patience = until.saturating_duration_since(start).saturating_add(PATIENCE);
        answer.recv_timeout(patience).unwrap_or_else(|error| match error {
            RecvTimeoutError::Disconnected => Err(EvalError::Failed("the engine has failed".to_owned())),
            RecvTimeoutError::Timeout => {
                self.0.lock().jobs.retain(|job| !Arc::ptr_eq(&job.review, &review));
                Err(EvalError::Deadline)
            }
        })
    }

    /// Whether an engine judges more than one review.
    #[cfg(test)]
    pub(crate) fn do_engines_last(&self) -> bool {
        self.0.source.function.is_some()
    }

    /// Whether nothing is under way.
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        self.0.lock().under_way.is_empty()
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.0.lock().is_over = true;
        self.0.more.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a thread. Without one, a job waits for those that are there.
    fn add_thread(self: &Arc<Self>, state: &mut State) {
        if THREADS.load(Ordering::Relaxed) >= MAX_THREADS {
            return;
        }
        let worker = Worker { shared: Arc::clone(self), _counted: Counted::new() };
        let builder = thread::Builder::new().name("javascript".to_owned()).stack_size(STACK);
        if builder.spawn(move || worker.work(None)).is_ok() {
            state.threads = state.threads.saturating_add(1);
        }
    }

    /// Notes what is under way, while it is.
    fn begin(&self, state: &mut State, until: Instant) -> Turn<'_> {
        state.under_way.push(until);
        Turn { shared: self, until }
    }

    /// An engine that is ready for the next review, if the script can be kept so.
    fn make_ready(&self) -> Option<Engine> {
        if self.is_large.load(Ordering::Relaxed) {
            return None;
        }
        let start = Instant::now();
        let until = start.checked_add(LOAD_TIME).unwrap_or(start);
        let _turn = self.begin(&mut self.lock(), until);
        catch_unwind(AssertUnwindSafe(|| Engine::prepare(&self.source, until, 0))).ok()?.ok()
    }

    /// Waits for a job. There is none for a thread that is not needed any more.
    fn next(&self) -> Option<(Job, Turn<'_>)> {
        let mut state = self.lock();
        loop {
            if state.is_over {
                return None;
            }
            if let Some(job) = state.jobs.pop_front() {
                let turn = self.begin(&mut state, job.until);
                return Some((job, turn));
            }
            state.ready = state.ready.saturating_add(1);
            let waited = self.more.wait_timeout(state, IDLE);
            let (again, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = again;
            state.ready = state.ready.saturating_sub(1);
            if timeout.timed_out() && state.threads > 1 && state.jobs.is_empty() {
                state.threads = state.threads.saturating_sub(1);
                return None;
            }
        }
    }
}

impl State {
    fn is_late(&self, now: Instant) -> bool {
        self.under_way.iter().any(|until| now.saturating_duration_since(*until) > GRACE)
    }
}

/// Something under way.
struct Turn<'s> {
    shared: &'s Shared,
    until: Instant,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if let Some(at) = state.under_way.iter().position(|until| *until == self.until) {
            state.under_way.swap_remove(at);
        }
    }
}

/// A thread of a script.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    _counted: Counted,
}

impl Worker {
    /// Judges what there is to judge, as long as there is a script.
    pub(crate) fn work(self, first: Option<Engine>) {
        let shared = &*self.shared;
        let mut spare = first;
        loop {
            spare = spare.or_else(|| shared.make_ready());
            if spare.as_ref().is_some_and(|engine| engine.size() > MAX_SPARE) {
                shared.is_large.store(true, Ordering::Relaxed);
                spare = None;
            }
            let Some((job, turn)) = shared.next() else { return };
            if Instant::now() >= job.until {
                let _ = job.reply.send(Err(EvalError::Deadline));
                continue;
            }
            let judged = catch_unwind(AssertUnwindSafe(|| judge(&shared.source, spare.take(), &job)));
            // Before the answer, for who gets it may ask again. Who does not wait any more has taken it for late.
            drop(turn);
            match judged {
                Ok((result, left)) => {
                    let _ = job.reply.send(result);
                    spare = left.and_then(|left| catch_unwind(AssertUnwindSafe(|| left.clear())).ok()?);
                }
                Err(_) => drop(job),
            }
        }
    }
}

/// What the script says, and what is left of the engine.
fn judge(source: &Source, spare: Option<Engine>, job: &Job) -> (Result<Answer, EvalError>, Option<Asked>) {
    let bytes = job.review.len();
    let engine = match spare.map_or_else(|| Engine::prepare(source, job.until, bytes), Ok) {
        Ok(engine) => engine,
        Err(failure) => return (Err(failure.into()), None),
    };
    let (result, mut left) = engine.ask(job.until, bytes, |ctx, judge| ask(ctx, judge, &job.review));
    let logged = std::mem::take(&mut left.logged);
    (result.map(|answer| Answer { logged, ..answer }).map_err(Failure::into), Some(left))
}

/// A thread that is there.
struct Counted;

impl Counted {
    fn new() -> Self {
        THREADS.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        THREADS.fetch_sub(1, Ordering::Relaxed);
    }
}

fn most_threads() -> usize {
    thread::available_parallelism().map_or(MIN_THREADS, usize::from).clamp(MIN_THREADS, MAX_THREADS_OF_ONE)
}

/// How many threads there are, of all scripts: of those that are loaded, and of those that hang.
static THREADS: AtomicUsize = AtomicUsize::new(0);

/// Threads of all scripts, beside the one that each has at least: eight each for 64 scripts.
const MAX_THREADS: usize = 512;

/// Threads of one script: as many as the machine can run at once, within these. One that runs past its time should not hold up
/// all others.
const MIN_THREADS: usize = 2;
const MAX_THREADS_OF_ONE: usize = 8;

/// Bytes of stack of a thread: the engine's own limit, and room for what calls it.
pub(crate) const STACK: usize = 4 << 20;

/// Bytes of an engine that is kept ready: one with nothing in it takes some 600 KiB. A script that builds larger tables builds
/// them for each review.
const MAX_SPARE: usize = 4 << 20;

/// How long a thread, other than the last of its script, waits for a job before it ends.
const IDLE: Duration = Duration::from_secs(60);

/// How long an answer is waited for past its time: what the engine needs to notice.
const PATIENCE: Duration = Duration::from_millis(50);

/// How long a judgement may go on past its time before the script counts as one that hangs: to clear 32 MiB away takes long on a
/// machine that is busy itself.
const GRACE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Files;
    use crate::engine::Form;

    fn workers() -> (Workers, Worker) {
        let text = "function validate() { return true }".to_owned();
        Workers::begin(Source { text, form: Form::Script, files: Files::default(), function: None })
    }

    #[test]
    fn one_that_is_late_keeps_others_from_beginning() {
        let (workers, _worker) = workers();
        let start = Instant::now();
        let turn = workers.0.begin(&mut workers.0.lock(), start);
        assert!(!workers.0.lock().is_late(start + GRACE));
        assert!(workers.0.lock().is_late(start + GRACE + Duration::from_millis(1)));
        drop(turn);
        assert!(!workers.0.lock().is_late(start + GRACE * 2));
        let long_ago = start.checked_sub(GRACE * 2).unwrap();
        let late = workers.0.begin(&mut workers.0.lock(), long_ago);
        assert_eq!(workers.judge(b"{}", start + GRACE), Err(EvalError::Busy));
        drop(late);
        assert!(workers.0.lock().under_way.is_empty());
    }

    #[test]
    fn who_asks_does_not_wait_for_threads_that_hang() {
        let (workers, worker) = workers();
        workers.0.lock().threads = MAX_THREADS_OF_ONE;
        assert_eq!(workers.judge(b"{}", Instant::now()), Err(EvalError::Deadline));
        assert!(workers.0.lock().jobs.is_empty());
        drop(worker);
    }

    #[test]
    fn threads_end_with_their_script() {
        let (workers, worker) = workers();
        let thread = thread::spawn(move || worker.work(None));
        let until = Instant::now() + Duration::from_secs(20);
        assert_eq!(workers.judge(br#"{"request":{}}"#, until), Ok(Answer::default()));
        drop(workers);
        thread.join().unwrap();
    }
}
