//! The engines for policies: Rego, CEL, JavaScript, and what judges by them.

pub(super) mod agreement;
pub(super) mod builtins;
pub(super) mod cel;
pub(super) mod documents;
#[cfg(feature = "javascript")]
pub(super) mod javascript;
mod objects;
pub(super) mod rego;
mod respell;
mod values;

use std::cell::Cell;
use std::fs;
use std::panic::{resume_unwind, set_hook, take_hook};
use std::sync::Once;
use std::thread;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: portcullis_allocator::Counting = portcullis_allocator::Counting;

/// What lies between the parts of an input: modules, documents and a review.
const BETWEEN: &str = "\n=====\n";

/// How long an evaluation may take. What needs longer is stopped, which is as good to see.
const TIME: Duration = Duration::from_millis(40);

/// How much longer than [`TIME`] it may be on the processor in all that one input does: one function is not interrupted, and
/// an input is evaluated several times.
const PATIENCE: Duration = Duration::from_secs(8);

/// The stack of the threads on which Envoy judges.
const STACK: usize = 2 << 20;

/// The review that policies are asked about which bring none along.
const REVIEW: &str = include_str!("review.json");

fn until() -> Instant {
    Instant::now() + TIME
}

thread_local! {
    static MOST: Cell<u64> = const { Cell::new(0) };
}

/// What the thread has in use, for engines that ask; notes the most.
fn gauge() -> u64 {
    let bytes = portcullis_allocator::in_use();
    MOST.set(MOST.get().max(bytes));
    bytes
}

/// The most that engines have seen in use since the last time.
fn most_in_use() -> u64 {
    MOST.replace(0)
}

/// Runs a check where there is no more stack than a judgement has, and sees that it ends.
fn on_a_small_stack(stack: usize, check: impl FnOnce() + Send) {
    let timed = || {
        let before = processor_time();
        check();
        let took = processor_time().zip(before).map(|(now, before)| now.saturating_sub(before));
        assert!(took.is_none_or(|took| took < PATIENCE), "on the processor for {took:?}");
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(stack).spawn_scoped(scope, timed).expect("a thread");
        thread.join().unwrap_or_else(|panic| resume_unwind(panic));
    });
}

/// How long this thread was on a processor: what others take of a busy machine does not count. Known on Linux.
fn processor_time() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

/// Lets panics pass of the crate that reads CEL: they are caught where it is called, and libFuzzer would end for them.
fn forgive_caught_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let hook = take_hook();
        set_hook(Box::new(move |panic| {
            if !panic.location().is_some_and(|place| place.file().contains("/cel-0.")) {
                hook(panic);
            }
        }));
    });
}

/// What is told of a text must be one line, of the text.
fn check_told(text: &str, row: u32, message: &str) {
    assert!(!message.is_empty(), "no message");
    assert!(!message.contains(char::is_control), "not one line: {message:?}");
    assert!(message.len() <= 4096 + text.len(), "an endless line: {message}");
    let lines = text.bytes().filter(|byte| matches!(byte, b'\n' | b'\r')).count();
    assert!(row as usize <= lines + 2, "row {row} of {lines}: {message}");
}
