//! What the exported functions do. Numbers of contexts that are not known are those of nobody: nothing passes for them.

use std::panic::PanicHookInfo;
use std::sync::Once;

use portcullis_proxylib::{Direction, Registry};

pub use crate::abi::allocate;
use crate::abi::{self, CONTINUE, STOP, STOP_AND_DROP};
use crate::http::{self, Exchange, Onward};
use crate::session::Session;
use crate::vm;

/// The module is loaded.
pub fn initialize() {
    static ONCE: Once = Once::new();
    // Where a panic unwinds, it is a test's.
    if cfg!(panic = "abort") {
        ONCE.call_once(|| std::panic::set_hook(Box::new(report)));
    }
}

/// A context is made.
pub fn create(context: u32, parent: u32) {
    vm::create(context, parent);
}

/// A root context is configured, or configured anew.
pub fn configure(registry: &'static Registry, root: u32, size: usize) -> u32 {
    vm::configure(registry, root, size).into()
}

/// Time has gone by.
pub fn tick(root: u32) {
    vm::tick(root);
}

/// The connection is made.
pub fn new_connection(context: u32) -> u32 {
    vm::with_session(context, Session::on_new).unwrap_or_else(|| {
        // And not the other way round either. Where the host refuses this, nothing passes all the same.
        let _ = abi::close();
        STOP
    })
}

/// The client has sent something.
pub fn downstream_data(context: u32, size: usize, end: u32) -> u32 {
    vm::with_session(context, |session| session.on_data(Direction::Orig, size, end != 0)).unwrap_or(STOP)
}

/// The server has sent something.
pub fn upstream_data(context: u32, size: usize, end: u32) -> u32 {
    vm::with_session(context, |session| session.on_data(Direction::Reply, size, end != 0)).unwrap_or(STOP)
}

/// A context is gone.
pub fn delete(context: u32) {
    vm::delete(context);
}

/// The head of a request has come.
pub fn request_headers(context: u32, end: u32) -> u32 {
    vm::with_exchange(context, |exchange| onward(exchange.on_request_headers(end != 0), STOP)).unwrap_or_else(|| {
        // Whoever makes a network filter an HTTP filter must not get one that lets everything pass.
        http::turn_away();
        STOP
    })
}

/// More of a request's body has come.
pub fn request_body(context: u32, size: usize, end: u32) -> u32 {
    let go_on = |exchange: &mut Exchange| onward(exchange.on_request_body(size, end != 0), STOP_AND_DROP);
    vm::with_exchange(context, go_on).unwrap_or(STOP_AND_DROP)
}

/// The fields behind a request's body have come.
pub fn request_trailers(context: u32) -> u32 {
    vm::with_exchange(context, |exchange| onward(exchange.on_request_trailers(), STOP)).unwrap_or(STOP)
}

/// The head of a reply has come. Replies pass: there is one only to a request that was answered, or let on.
pub fn response_headers(context: u32, end: u32) -> u32 {
    vm::with_exchange(context, |exchange| exchange.on_response_headers(end != 0));
    CONTINUE
}

/// More of a reply's body has come.
pub fn response_body(context: u32, size: usize, end: u32) -> u32 {
    vm::with_exchange(context, |exchange| exchange.on_response_body(size, end != 0));
    CONTINUE
}

/// The fields behind a reply's body have come.
pub fn response_trailers(context: u32) -> u32 {
    vm::with_exchange(context, Exchange::on_response_trailers);
    CONTINUE
}

const fn onward(onward: Onward, stays: u32) -> u32 {
    match onward {
        Onward::Goes => CONTINUE,
        Onward::Stays => stays,
    }
}

/// Says what the VM is lost for, while it can.
fn report(info: &PanicHookInfo<'_>) {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    // Longer texts say nothing more to an operator.
    let text: String =
        text.unwrap_or("a value that is not text").chars().take(200).flat_map(char::escape_debug).collect();
    match info.location() {
        Some(place) => abi::log(abi::LOG_ERROR, &format!("panic at {place}: {text}")),
        None => abi::log(abi::LOG_ERROR, &format!("panic: {text}")),
    }
}
