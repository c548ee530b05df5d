//! What the library says to whoever runs Envoy: lines on its standard error.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

static DEBUG: AtomicBool = AtomicBool::new(false);

/// Also says what only developers want to know, from now on.
pub(crate) fn enable_debug() {
    DEBUG.store(true, Ordering::Relaxed);
}

/// Says what an operator must look at.
pub(crate) fn error(text: &str) {
    line("error", text);
}

/// Says what an operator should know.
pub(crate) fn warning(text: &str) {
    line("warning", text);
}

/// Says what a developer may want to know, if it is wanted.
pub(crate) fn debug(text: impl FnOnce() -> String) {
    if DEBUG.load(Ordering::Relaxed) {
        line("debug", &text());
    }
}

fn line(level: &str, text: &str) {
    // In one write, so that lines of several threads do not mix. Where nobody reads, nothing is to be done.
    let _ = std::io::stderr().write_all(format!("[portcullis][{level}] {text}\n").as_bytes());
}
