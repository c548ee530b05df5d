//! The thread that writes the access log to the agent's socket.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::lanes::{Lanes, Mood, Round};
use crate::say;

/// How long the writer sleeps when all is written: no record is older when it is written, and workers have nobody to wake.
const NAP: Duration = Duration::from_millis(10);

/// How long it goes on napping when nothing comes. Then it sleeps, and the next record wakes it.
pub(super) const REST: Duration = Duration::from_secs(1);

/// The longest sleep: what a wake-up that was missed costs.
const SLEEP: Duration = Duration::from_millis(200);

/// How long to leave threads alone that send themselves.
const HELPED: Duration = Duration::from_millis(1);

/// How long to wait for a reader that does not read before looking whether to stop.
const STALL: Duration = Duration::from_millis(20);

/// How long to wait before a socket that did not answer is tried again: doubled each time, between these two. It is a
/// restart of the agent that is waited for, and a socket of this machine that is asked.
const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// Rounds of sending before the writer looks up, to see whether to stop and what was lost: some tens of milliseconds.
const ROUNDS: usize = 500;

/// How long what is queued may take to be written when the log is stopped.
const GRACE: Duration = Duration::from_millis(250);

/// How often the operator is told of losses at most.
const WARN: Duration = Duration::from_secs(10);

/// Bytes that the kernel is to keep for the reader: the more, the less often the two sides wait for each other. It gives what
/// `net.core.wmem_max` allows.
const SEND_BUFFER: usize = 4 << 20;

/// What the writer and its log have in common.
pub(super) struct Shared {
    pub(super) path: PathBuf,
    pub(super) lanes: Lanes,
    pub(super) stop: AtomicBool,
}

/// The writer: who reads, and what the operator was told.
pub(super) struct Writer {
    shared: Arc<Shared>,
    /// When to try again to connect, and how long to wait after that.
    retry: (Instant, Duration),
    warned: (Option<Instant>, u64),
}

/// How far the lanes were written.
enum Progress {
    /// Everything, and whether there was anything.
    Done(bool),
    /// Much, and there is more.
    Busy,
    /// The reader does not read.
    Stalled(Arc<OwnedFd>),
    /// There is no reader.
    Alone,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, retry: (Instant::now(), RETRY.0), warned: (None, 0) }
    }

    /// Writes until the log is stopped.
    pub(super) fn run(mut self) {
        let mut last = Instant::now();
        let mut deadline = None;
        loop {
            // Read before the lanes, so that what was recorded before the stop is still written.
            let stopped = self.shared.stop.load(Ordering::Acquire);
            if stopped && deadline.is_none() {
                // The last chance of what is queued. Nothing is added to it: connections may live on.
                self.retry.0 = Instant::now();
                deadline = Some(self.retry.0 + GRACE);
                self.shared.lanes.turn(Mood::Gone);
            }
            let progress = self.write_all();
            self.warn();
            let now = Instant::now();
            if let Some(deadline) = deadline
                && (matches!(progress, Progress::Done(_) | Progress::Alone) || now >= deadline)
            {
                break;
            }
            match progress {
                Progress::Done(true) => {
                    last = now;
                    self.sleep(Mood::Napping, NAP);
                }
                Progress::Done(false) if now.duration_since(last) < REST => self.sleep(Mood::Napping, NAP),
                Progress::Done(false) => self.sleep(Mood::Asleep, SLEEP),
                Progress::Busy => {}
                Progress::Stalled(socket) => await_reader(&socket),
                // Nothing is gained by waking for records that cannot be written.
                Progress::Alone => thread::park_timeout(self.retry.0.saturating_duration_since(now)),
            }
        }
        self.shared.lanes.close();
        self.warn();
    }

    fn sleep(&self, mood: Mood, time: Duration) {
        let Shared { lanes, stop, .. } = &*self.shared;
        lanes.turn(mood);
        let news = stop.load(Ordering::SeqCst) || mood == Mood::Asleep && !lanes.is_empty();
        if !news {
            thread::park_timeout(time);
        }
        lanes.turn(Mood::Awake);
    }

    /// Writes what is in the lanes, a batch of each in turn.
    fn write_all(&mut self) -> Progress {
        let mut wrote = false;
        for _ in 0..ROUNDS {
            if self.shared.lanes.is_empty() {
                return Progress::Done(wrote);
            }
            let Some(socket) = self.connect() else { return Progress::Alone };
            match self.shared.lanes.send(&socket) {
                Round::Empty => {}
                Round::Sent => {
                    wrote = true;
                    self.retry.1 = RETRY.0;
                }
                Round::Helped => thread::sleep(HELPED),
                Round::Stalled => return Progress::Stalled(socket),
                Round::Broken(error) => {
                    let path = self.shared.path.display();
                    say::debug(|| format!("the reader of the access log `{path}` went away: {error}"));
                    self.shared.lanes.connect(None);
                }
            }
        }
        Progress::Busy
    }

    /// The socket, connected if it is not and has waited long enough.
    fn connect(&mut self) -> Option<Arc<OwnedFd>> {
        let Shared { lanes, path, .. } = &*self.shared;
        let socket = lanes.socket();
        let now = Instant::now();
        if socket.is_some() || now < self.retry.0 {
            return socket;
        }
        self.retry = (now + self.retry.1, RETRY.1.min(self.retry.1 * 2));
        match dial(path) {
            Ok(socket) => {
                say::debug(|| format!("the access log `{}` has a reader", path.display()));
                lanes.connect(Some(socket));
            }
            Err(error) => say::debug(|| format!("the access log `{}` has no reader: {error}", path.display())),
        }
        lanes.socket()
    }

    /// Tells the operator of losses, now and then.
    fn warn(&mut self) {
        let (at, told) = self.warned;
        let lost = self.shared.lanes.lost();
        if lost > told && at.is_none_or(|at| at.elapsed() >= WARN) {
            self.warned = (Some(Instant::now()), lost);
            say::warning(&format!(
                "{} access log records were lost, {lost} in all: the reader of `{}` does not keep up, or there is none",
                lost - told,
                self.shared.path.display(),
            ));
        }
    }
}

fn dial(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    if net::sockopt::set_socket_send_buffer_size_force(&socket, SEND_BUFFER).is_err() {
        // Less than asked for will do.
        let _ = net::sockopt::set_socket_send_buffer_size(&socket, SEND_BUFFER);
    }
    net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

fn await_reader(socket: &OwnedFd) {
    let time = Timespec::try_from(STALL).unwrap_or_default();
    // What is wrong with the socket, if anything, the next packet tells.
    let _ = poll(&mut [PollFd::new(socket, PollFlags::OUT)], Some(&time));
}
