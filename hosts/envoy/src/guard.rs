//! What keeps a panic of ours from taking Envoy with it.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

use crate::{abi, envoy};

/// Longer texts say nothing more to an operator.
const MAX_TEXT: usize = 200;

thread_local! {
    /// Whether this thread runs code of ours that catches panics.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Runs the body of a hook, or of a thread of ours. A panic in it leaves `fallback`, after `clean_up`.
pub fn guarded<R>(fallback: R, clean_up: impl FnOnce(), run: impl FnOnce() -> R) -> R {
    // Unwind safe: what was borrowed exclusively is dropped on the way, see `Handle`; the rest is atomics and locks whose
    // contents are replaced whole.
    catch(run).unwrap_or_else(|| {
        // Where not even that works, nothing is left to be done.
        let _: Option<()> = catch(clean_up);
        fallback
    })
}

fn catch<R>(run: impl FnOnce() -> R) -> Option<R> {
    let outside = INSIDE.replace(true);
    let result = catch_unwind(AssertUnwindSafe(run));
    INSIDE.set(outside);
    match result {
        Ok(value) => Some(value),
        Err(payload) => {
            // The payload may panic when it is dropped.
            std::mem::forget(payload);
            None
        }
    }
}

/// Sends the messages of panics that are caught here to Envoy's log. Others go where they went before.
pub(crate) fn install_panic_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if INSIDE.try_with(Cell::get).unwrap_or(false) {
                report(info);
            } else {
                before(info);
            }
        }));
    });
}

fn report(info: &PanicHookInfo<'_>) {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("a value that is not text");
    let text: String = text.chars().take(MAX_TEXT).flat_map(char::escape_debug).collect();
    match info.location() {
        Some(place) => envoy::log(abi::LOG_ERROR, &format!("panic at {place}: {text}")),
        None => envoy::log(abi::LOG_ERROR, &format!("panic: {text}")),
    }
}
