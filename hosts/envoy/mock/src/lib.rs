//! A small Envoy, for tests: it defines the callbacks of the ABI and calls the hooks that the test exports.
//!
//! It is faithful where that matters to a filter: buffers are shown in slices and only inside their hooks, what a filter leaves
//! in a buffer stays there, reads can be disabled and are counted, bytes for the server leave when the event loop turns and
//! are lost when the client's side closes first, a full send buffer is said from within the call that fills it, and a close
//! calls back before it returns. What a filter must not do is noted, and [`Connection::finish`] fails on it.
//!
//! A test links one module: `portcullis_envoy::export!(REGISTRY);` in the test, and a [`Listener`] made here.

mod callbacks;
mod connection;
mod core;
mod host;
mod listener;

pub use connection::Connection;
pub use core::{Certificate, State};
pub use host::MockHost;
pub use listener::{Listener, log_lines};

/// The hooks, as the test exports them.
mod hooks {
    use std::ffi::{c_char, c_void};

    use portcullis_envoy::Buf;

    unsafe extern "C" {
        pub(crate) fn envoy_dynamic_module_on_program_init() -> *const c_char;
        pub(crate) fn envoy_dynamic_module_on_network_filter_config_new(
            config: *mut c_void,
            name: Buf,
            text: Buf,
        ) -> *const c_void;
        pub(crate) fn envoy_dynamic_module_on_network_filter_config_destroy(config: *const c_void);
        pub(crate) fn envoy_dynamic_module_on_network_filter_new(
            config: *const c_void,
            envoy: *mut c_void,
        ) -> *const c_void;
        pub(crate) fn envoy_dynamic_module_on_network_filter_new_connection(
            envoy: *mut c_void,
            ours: *const c_void,
        ) -> u32;
        pub(crate) fn envoy_dynamic_module_on_network_filter_read(
            envoy: *mut c_void,
            ours: *const c_void,
            len: usize,
            end: u8,
        ) -> u32;
        pub(crate) fn envoy_dynamic_module_on_network_filter_write(
            envoy: *mut c_void,
            ours: *const c_void,
            len: usize,
            end: u8,
        ) -> u32;
        pub(crate) fn envoy_dynamic_module_on_network_filter_event(envoy: *mut c_void, ours: *const c_void, event: u32);
        pub(crate) fn envoy_dynamic_module_on_network_filter_scheduled(
            envoy: *mut c_void,
            ours: *const c_void,
            id: u64,
        );
        pub(crate) fn envoy_dynamic_module_on_network_filter_above_write_buffer_high_watermark(
            envoy: *mut c_void,
            ours: *const c_void,
        );
        pub(crate) fn envoy_dynamic_module_on_network_filter_below_write_buffer_low_watermark(
            envoy: *mut c_void,
            ours: *const c_void,
        );
        pub(crate) fn envoy_dynamic_module_on_network_filter_destroy(ours: *const c_void);
    }
}
