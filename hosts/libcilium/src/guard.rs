//! What keeps a panic of ours from taking Envoy with it.

use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

use crate::say;

/// Longer texts say nothing more to an operator.
const MAX_TEXT: usize = 200;

/// Runs the body of an exported function. A panic in it leaves `fallback`.
pub fn guarded<R>(fallback: R, run: impl FnOnce() -> R) -> R {
    // Unwind safe: a connection whose lock is poisoned is never entered again, and the tables hold whole values.
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(value) => value,
        Err(payload) => {
            // The payload may panic when it is dropped.
            std::mem::forget(payload);
            fallback
        }
    }
}

/// Writes panics as one line of bounded length.
pub(crate) fn install_panic_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| std::panic::set_hook(Box::new(report)));
}

fn report(info: &PanicHookInfo<'_>) {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("a value that is not text");
    let text: String = text.chars().take(MAX_TEXT).flat_map(char::escape_debug).collect();
    match info.location() {
        Some(place) => say::error(&format!("panic at {place}: {text}")),
        None => say::error(&format!("panic: {text}")),
    }
}
