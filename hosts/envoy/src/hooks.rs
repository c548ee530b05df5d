//! The bodies of the exported hooks: from Envoy's pointers to our types. For [`export!`](crate::export!) alone.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use portcullis_proxylib::{Direction, Registry};

use crate::abi::{self, Buf};
use crate::envoy::{Config, Filter};
use crate::guard;
use crate::handle::Handle;
use crate::housekeeper::Housekeeper;
use crate::listener::{Listener, log_errors};

pub use crate::abi::{CONTINUE, STOP};
pub use crate::guard::guarded;

/// What Envoy holds of a listener. Fields are dropped in this order: first the thread, then what it looks after.
struct Configured {
    _housekeeper: Housekeeper,
    listener: Arc<Listener>,
}

/// The library is loaded. Returns the version of the ABI.
pub fn program_init() -> *const c_char {
    guard::install_panic_hook();
    portcullis_proxylib::set_memory_gauge(portcullis_allocator::in_use);
    abi::version()
}

/// A listener is configured. Returns null, with the reason in the log, if it must not be.
///
/// # Safety
/// As Envoy calls it: the configuration lives until [`config_destroy`], the text as long as the call.
pub unsafe fn config_new(registry: &'static Registry, config: *mut c_void, text: Buf) -> *const c_void {
    // SAFETY: the configuration is used until `config_destroy`, and Envoy calls no hook of it after that.
    let envoy = unsafe { Config::new(config) };
    // SAFETY: the text is there as long as the call, and so is the borrow.
    let text = unsafe { text.bytes() };
    let (listener, watches) = match Listener::open(registry, envoy, text) {
        Ok(opened) => opened,
        Err(errors) => {
            log_errors("", &errors);
            return std::ptr::null();
        }
    };
    for loss in crate::capabilities().losses() {
        crate::envoy::log(abi::LOG_INFO, &format!("in this Envoy {loss}"));
    }
    let listener = Arc::new(listener);
    match Housekeeper::start(Arc::clone(&listener), watches) {
        Ok(housekeeper) => {
            Box::into_raw(Box::new(Configured { _housekeeper: housekeeper, listener })).cast_const().cast()
        }
        Err(error) => {
            crate::envoy::log(abi::LOG_ERROR, &format!("no thread for the listener: {error}"));
            std::ptr::null()
        }
    }
}

/// A listener is gone, and all its connections.
///
/// # Safety
/// `config` is what [`config_new`] returned, and not used any more.
pub unsafe fn config_destroy(config: *const c_void) {
    if !config.is_null() {
        // SAFETY: it was made by `config_new` from a box, and this is its last use.
        drop(unsafe { Box::from_raw(config.cast_mut().cast::<Configured>()) });
    }
}

/// A connection is being made.
///
/// # Safety
/// `config` is what [`config_new`] returned; `filter` lives until [`destroy`].
pub unsafe fn new(config: *const c_void, filter: *mut c_void) -> *const c_void {
    // SAFETY: it was made by `config_new`, and is only read by all that use it.
    let Some(configured) = (unsafe { config.cast::<Configured>().as_ref() }) else { return std::ptr::null() };
    // SAFETY: the filter is used in hooks of this connection only, on its own thread.
    let filter = unsafe { Filter::new(filter) };
    Box::into_raw(Box::new(Handle::new(filter, Arc::clone(&configured.listener)))).cast_const().cast()
}

/// The handle of a connection, for as long as a hook runs.
///
/// # Safety
/// `ours` is what [`new`] returned, on the thread that made it, before [`destroy`].
unsafe fn handle<'a>(ours: *const c_void) -> Option<&'a Handle> {
    // SAFETY: it was made by `new`, is alive, and is shared only with hooks further down on the same stack.
    unsafe { ours.cast::<Handle>().as_ref() }
}

/// The connection is made.
///
/// # Safety
/// As for [`read`].
pub unsafe fn new_connection(ours: *const c_void) -> u32 {
    // SAFETY: the same contract.
    let Some(handle) = (unsafe { handle(ours) }) else { return STOP };
    handle.open();
    CONTINUE
}

/// The client has sent something.
///
/// # Safety
/// `ours` is what [`new`] returned, on the thread that made it, before [`destroy`].
pub unsafe fn read(ours: *const c_void, len: usize, end: u8) -> u32 {
    // SAFETY: the same contract.
    let Some(handle) = (unsafe { handle(ours) }) else { return STOP };
    handle.on_data(Direction::Orig, len, end != 0)
}

/// The server has sent something.
///
/// # Safety
/// As for [`read`].
pub unsafe fn write(ours: *const c_void, len: usize, end: u8) -> u32 {
    // SAFETY: the same contract.
    let Some(handle) = (unsafe { handle(ours) }) else { return STOP };
    handle.on_data(Direction::Reply, len, end != 0)
}

/// Something happened to the connection.
///
/// # Safety
/// As for [`read`].
pub unsafe fn event(ours: *const c_void, event: u32) {
    if matches!(event, abi::EVENT_REMOTE_CLOSE | abi::EVENT_LOCAL_CLOSE)
        // SAFETY: the same contract.
        && let Some(handle) = unsafe { handle(ours) }
    {
        handle.on_close();
    }
}

/// The client's send buffer crossed its limit.
///
/// # Safety
/// As for [`read`].
pub unsafe fn watermark(ours: *const c_void, full: bool) {
    // SAFETY: the same contract.
    if let Some(handle) = unsafe { handle(ours) } {
        handle.on_watermark(full);
    }
}

/// A call that was asked for with a scheduler.
///
/// # Safety
/// As for [`read`].
pub unsafe fn scheduled(ours: *const c_void, id: u64) {
    // SAFETY: the same contract.
    if let Some(handle) = unsafe { handle(ours) } {
        handle.on_call(id);
    }
}

/// The connection's end.
///
/// # Safety
/// As for [`read`]; nothing uses `ours` after this.
pub unsafe fn destroy(ours: *const c_void) {
    if !ours.is_null() {
        // SAFETY: it was made by `new` from a box, and this is its last use; no other hook is under way.
        let handle = unsafe { Box::from_raw(ours.cast_mut().cast::<Handle>()) };
        handle.destroy();
    }
}

/// A hook of this connection panicked: closes it.
///
/// # Safety
/// As for [`read`].
pub unsafe fn abandon(ours: *const c_void) {
    // SAFETY: the same contract.
    if let Some(handle) = unsafe { handle(ours) } {
        handle.abandon();
    }
}
