//! The bounded queues between the threads that record and the one that writes.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::thread::{self, Thread};

use portcullis_proxylib::Entry;
use rtrb::{Consumer, RingBuffer};
use rustix::fd::OwnedFd;
use rustix::io::Errno;

use super::packets::send;
use super::pen::{Endpoint, Pen};

/// Bytes of records that wait at most, over all workers: some tenths of a second of nothing but the shortest ones, some
/// seconds of a busy node.
const QUEUED: usize = 64 << 20;

/// Bytes of one lane at least, and of each that is there beyond one for each processor.
const MIN_LANE: usize = 1 << 20;

/// Threads that never meet another one here: more than Envoy has workers on large machines.
const LANES: usize = 256;

/// A queue for each thread that records, so that nobody ever waits: only where there are more threads than lanes can one find
/// its lane taken, and then it takes the next one.
pub(super) struct Lanes {
    lanes: Box<[Lane]>,
    /// Lanes from here on were never used.
    used: AtomicUsize,
    size: usize,
    mood: AtomicU8,
    writer: OnceLock<Thread>,
    socket: Mutex<Option<Arc<OwnedFd>>>,
    /// Whether the reader took the last packet that was sent.
    drains: AtomicBool,
    written: AtomicU64,
}

/// Aligned so that no two threads share a cache line.
#[derive(Default)]
#[repr(align(128))]
struct Lane {
    /// For who records.
    pen: Mutex<Option<Pen>>,
    lost: AtomicU64,
    /// For who sends: the writer, or the thread of this lane if the writer does not keep up.
    records: Mutex<Option<Consumer<u8>>>,
    /// Whether the thread of this lane sends, or would if the writer let it.
    helps: AtomicBool,
}

/// What the writer does, and so whether it must be woken.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Mood {
    /// It will look at the lanes by itself.
    Awake,
    /// It sleeps, but not for long: it is woken for a lane that is half full.
    Napping,
    /// It sleeps until something comes.
    Asleep,
    /// It has ended: nothing is taken any more.
    Gone,
}

/// How a round of sending went.
pub(super) enum Round {
    /// There was nothing.
    Empty,
    /// Something was sent.
    Sent,
    /// The threads that record send themselves.
    Helped,
    /// The reader does not read.
    Stalled,
    /// The socket is of no use any more.
    Broken(Errno),
}

impl Lanes {
    pub(super) fn new() -> Self {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        Self {
            lanes: (0..LANES).map(|_| Lane::default()).collect(),
            used: AtomicUsize::new(0),
            size: (QUEUED / workers.max(2)).max(MIN_LANE),
            mood: AtomicU8::new(Mood::Awake as u8),
            writer: OnceLock::new(),
            socket: Mutex::new(None),
            drains: AtomicBool::new(false),
            written: AtomicU64::new(0),
        }
    }

    /// Whom to wake.
    pub(super) fn meet(&self, writer: Thread) {
        let _ = self.writer.set(writer);
    }

    /// Says what the writer is about to do.
    pub(super) fn turn(&self, mood: Mood) {
        self.mood.store(mood as u8, Ordering::SeqCst);
    }

    /// Where to send from now on.
    pub(super) fn connect(&self, socket: Option<OwnedFd>) {
        self.drains.store(socket.is_some(), Ordering::Relaxed);
        *self.socket.lock().unwrap_or_else(PoisonError::into_inner) = socket.map(Arc::new);
    }

    pub(super) fn socket(&self) -> Option<Arc<OwnedFd>> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.used().all(|lane| match hold(&lane.records) {
            Some(records) => records.as_ref().is_none_or(Consumer::is_empty),
            None => false,
        })
    }

    /// Records that found no room so far.
    pub(super) fn lost(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.lost.load(Ordering::Relaxed)).sum()
    }

    /// Records that the kernel took so far.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Queues a record, or counts it as lost.
    pub(super) fn record(&self, endpoint: &Endpoint, entry: &Entry<'_>, time: u64) {
        let own = OWN.with(|own| *own);
        let free = (own..own + LANES).find_map(|at| {
            let lane = self.lanes.get(at % LANES)?;
            Some((lane, hold(&lane.pen)?))
        });
        let Some((lane, mut pen)) = free else {
            if let Some(lane) = self.lanes.get(own) {
                lane.lost.fetch_add(1, Ordering::Relaxed);
            }
            return;
        };
        let room = self.pen(lane, &mut pen).and_then(|pen| {
            let room = pen.record(endpoint, entry, time)?;
            Some(if room < self.size / 2 { pen.room() } else { room })
        });
        // The mood is looked at when the lane is free again: on x86 that orders the two, so that no wake is missed. Where it
        // does not, one that is comes as late as the writer's longest sleep.
        drop(pen);
        let Some(room) = room else {
            lane.lost.fetch_add(1, Ordering::Relaxed);
            return;
        };
        self.wake_for(room);
        if room < self.size / 4 && self.drains.load(Ordering::Relaxed) {
            self.help(lane);
        }
    }

    /// Sends a batch from each lane, as its only sender but for those that help.
    pub(super) fn send(&self, socket: &OwnedFd) -> Round {
        let mut round = Round::Empty;
        for lane in self.used() {
            // Two that send from one lane would only be in each other's way.
            if lane.helps.swap(false, Ordering::Relaxed) {
                round = match round {
                    Round::Empty => Round::Helped,
                    round => round,
                };
                continue;
            }
            match self.send_from(lane, socket) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => round = Round::Sent,
                Err(Errno::AGAIN | Errno::NOBUFS) => return Round::Stalled,
                Err(error) => return Round::Broken(error),
            }
        }
        round
    }

    /// Takes nothing any more, and counts what was not sent as lost.
    pub(super) fn close(&self) {
        self.turn(Mood::Gone);
        for lane in self.used() {
            let mut records = lane.records.lock().unwrap_or_else(PoisonError::into_inner);
            while let Some(records) = &mut *records
                && let Ok(count @ 1..) = super::packets::take(records, |packets| Ok(packets.len()))
            {
                lane.lost.fetch_add(count as u64, Ordering::Relaxed);
            }
        }
    }

    fn used(&self) -> impl Iterator<Item = &Lane> {
        self.lanes.iter().take(self.used.load(Ordering::Acquire))
    }

    /// The pen of a lane, made with its queue when it is first used.
    fn pen<'p>(&self, lane: &Lane, pen: &'p mut Option<Pen>) -> Option<&'p mut Pen> {
        if self.mood.load(Ordering::Relaxed) == Mood::Gone as u8 {
            return None;
        }
        Some(match pen {
            Some(pen) => pen,
            None => pen.insert(self.open(lane)),
        })
    }

    #[cold]
    fn open(&self, lane: &Lane) -> Pen {
        let (records, consumer) = RingBuffer::new(self.size);
        *lane.records.lock().unwrap_or_else(PoisonError::into_inner) = Some(consumer);
        let place = self.lanes.iter().position(|other| std::ptr::eq(lane, other)).unwrap_or_default();
        self.used.fetch_max(place + 1, Ordering::Release);
        Pen::new(records)
    }

    fn wake_for(&self, room: usize) {
        let mood = self.mood.load(Ordering::Relaxed);
        let wakes = mood == Mood::Asleep as u8 || mood == Mood::Napping as u8 && room < self.size / 2;
        if wakes
            && self.mood.compare_exchange(mood, Mood::Awake as u8, Ordering::AcqRel, Ordering::Relaxed).is_ok()
            && let Some(writer) = self.writer.get()
        {
            writer.unpark();
        }
    }

    /// Sends a batch from this thread: better than to lose records when the writer does not keep up with a reader that does.
    #[cold]
    fn help(&self, lane: &Lane) {
        lane.helps.store(true, Ordering::Relaxed);
        let socket = hold(&self.socket).and_then(|socket| socket.clone());
        if let Some(socket) = socket {
            // What is wrong with the socket, if anything, the writer finds out.
            let _ = self.send_from(lane, &socket);
        }
    }

    fn send_from(&self, lane: &Lane, socket: &OwnedFd) -> Result<usize, Errno> {
        let Some(mut records) = hold(&lane.records) else { return Ok(0) };
        let Some(records) = &mut *records else { return Ok(0) };
        let sent = send(socket, records);
        match sent {
            Ok(0) => {}
            Ok(count) => {
                self.drains.store(true, Ordering::Relaxed);
                self.written.fetch_add(count as u64, Ordering::Relaxed);
            }
            Err(_) => self.drains.store(false, Ordering::Relaxed),
        }
        sent
    }
}

/// Takes a lock if nobody has it. Who panicked with it left nothing half done that matters: records are queued whole.
fn hold<T>(lock: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match lock.try_lock() {
        Ok(held) => Some(held),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// The number of the next thread that records, in any log of the process.
static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static OWN: usize = NEXT.fetch_add(1, Ordering::Relaxed) % LANES;
}
