//! The part of Envoy's dynamic-module ABI that a network filter needs: types, constants, and the callbacks.
//!
//! Facts of Envoy's `source/extensions/dynamic_modules/abi/abi.h`. Everything declared here is there in 1.38, 1.39 and
//! 1.40 alike; what came later is looked up at run time, as one unknown symbol would keep the whole library from loading.

use std::ffi::{CStr, c_char, c_void};
use std::sync::OnceLock;

/// Bytes that somebody else owns. A null pointer stands for no bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Buf {
    /// The first byte, or null.
    pub ptr: *const u8,
    /// How many bytes.
    pub len: usize,
}

impl Buf {
    pub(crate) const EMPTY: Self = Self { ptr: std::ptr::null(), len: 0 };

    pub(crate) const fn of(bytes: &[u8]) -> Self {
        Self { ptr: bytes.as_ptr(), len: bytes.len() }
    }

    /// The bytes.
    ///
    /// # Safety
    /// They must be there, and not change, for as long as the caller says.
    pub(crate) const unsafe fn bytes<'a>(self) -> &'a [u8] {
        if self.ptr.is_null() || self.len == 0 {
            return &[];
        }
        // SAFETY: not null, and the caller vouches for the rest.
        unsafe { std::slice::from_raw_parts(self.ptr, self.len) }
    }
}

/// What the read and write hooks answer: the bytes in the buffer go on to the next filter.
pub const CONTINUE: u32 = 0;
/// What the read and write hooks answer: nothing goes on.
pub const STOP: u32 = 1;

pub(crate) const EVENT_REMOTE_CLOSE: u32 = 0;
pub(crate) const EVENT_LOCAL_CLOSE: u32 = 1;

pub(crate) const CLOSE_FLUSH_WRITE: u32 = 0;
pub(crate) const CLOSE_NO_FLUSH: u32 = 1;

pub(crate) const LOG_INFO: u32 = 2;
pub(crate) const LOG_WARN: u32 = 3;
pub(crate) const LOG_ERROR: u32 = 4;

/// The answer of the metrics callbacks when all is well.
pub(crate) const METRICS_OK: u32 = 0;

macro_rules! callbacks {
    ($($short:ident = $name:ident ( $($arg:ident : $type:ty),* ) $(-> $ret:ty)?;)*) => {
        unsafe extern "C" {
            $(fn $name($($arg: $type),*) $(-> $ret)?;)*
        }
        $(
            /// See the callback of that name in Envoy's `abi.h`.
            ///
            /// # Safety
            /// Pointers must be what Envoy gave out for this use and alive; see `envoy.rs` for each call.
            pub(crate) unsafe fn $short($($arg: $type),*) $(-> $ret)? {
                // SAFETY: the caller keeps to the contract of the callback.
                unsafe { $name($($arg),*) }
            }
        )*
    };
}

// `bool` answers are C booleans, one byte each.
callbacks! {
    log = envoy_dynamic_module_callback_log(level: u32, message: Buf);
    is_validation_mode = envoy_dynamic_module_callback_is_validation_mode() -> u8;

    read_chunks_size = envoy_dynamic_module_callback_network_filter_get_read_buffer_chunks_size(filter: *mut c_void) -> usize;
    read_chunks = envoy_dynamic_module_callback_network_filter_get_read_buffer_chunks(filter: *mut c_void, out: *mut Buf) -> u8;
    write_chunks_size = envoy_dynamic_module_callback_network_filter_get_write_buffer_chunks_size(filter: *mut c_void) -> usize;
    write_chunks = envoy_dynamic_module_callback_network_filter_get_write_buffer_chunks(filter: *mut c_void, out: *mut Buf) -> u8;
    drain_read = envoy_dynamic_module_callback_network_filter_drain_read_buffer(filter: *mut c_void, len: usize) -> u8;
    drain_write = envoy_dynamic_module_callback_network_filter_drain_write_buffer(filter: *mut c_void, len: usize) -> u8;
    append_read = envoy_dynamic_module_callback_network_filter_append_read_buffer(filter: *mut c_void, data: Buf) -> u8;
    append_write = envoy_dynamic_module_callback_network_filter_append_write_buffer(filter: *mut c_void, data: Buf) -> u8;
    inject_read = envoy_dynamic_module_callback_network_filter_inject_read_data(filter: *mut c_void, data: Buf, end: u8);
    inject_write = envoy_dynamic_module_callback_network_filter_inject_write_data(filter: *mut c_void, data: Buf, end: u8);

    close = envoy_dynamic_module_callback_network_filter_close_with_details(filter: *mut c_void, how: u32, why: Buf);
    read_disable = envoy_dynamic_module_callback_network_filter_read_disable(filter: *mut c_void, disable: u8) -> u32;
    enable_half_close = envoy_dynamic_module_callback_network_filter_enable_half_close(filter: *mut c_void, enabled: u8);

    connection_id = envoy_dynamic_module_callback_network_filter_get_connection_id(filter: *mut c_void) -> u64;
    remote_address = envoy_dynamic_module_callback_network_filter_get_remote_address(filter: *mut c_void, address: *mut Buf, port: *mut u32) -> u8;
    local_address = envoy_dynamic_module_callback_network_filter_get_local_address(filter: *mut c_void, address: *mut Buf, port: *mut u32) -> u8;
    is_ssl = envoy_dynamic_module_callback_network_filter_is_ssl(filter: *mut c_void) -> u8;
    uri_names_size = envoy_dynamic_module_callback_network_filter_get_ssl_uri_sans_size(filter: *mut c_void) -> usize;
    uri_names = envoy_dynamic_module_callback_network_filter_get_ssl_uri_sans(filter: *mut c_void, out: *mut Buf) -> u8;
    dns_names_size = envoy_dynamic_module_callback_network_filter_get_ssl_dns_sans_size(filter: *mut c_void) -> usize;
    dns_names = envoy_dynamic_module_callback_network_filter_get_ssl_dns_sans(filter: *mut c_void, out: *mut Buf) -> u8;
    subject = envoy_dynamic_module_callback_network_filter_get_ssl_subject(filter: *mut c_void, out: *mut Buf) -> u8;
    set_metadata = envoy_dynamic_module_callback_network_set_dynamic_metadata_string(filter: *mut c_void, namespace: Buf, key: Buf, value: Buf);

    define_counter = envoy_dynamic_module_callback_network_filter_config_define_counter(config: *mut c_void, name: Buf, id: *mut usize) -> u32;
    define_gauge = envoy_dynamic_module_callback_network_filter_config_define_gauge(config: *mut c_void, name: Buf, id: *mut usize) -> u32;
    define_histogram = envoy_dynamic_module_callback_network_filter_config_define_histogram(config: *mut c_void, name: Buf, id: *mut usize) -> u32;
    record_histogram_value = envoy_dynamic_module_callback_network_filter_record_histogram_value(filter: *mut c_void, id: usize, value: u64) -> u32;
    increment_counter = envoy_dynamic_module_callback_network_filter_increment_counter(filter: *mut c_void, id: usize, by: u64) -> u32;
    set_gauge = envoy_dynamic_module_callback_network_filter_set_gauge(filter: *mut c_void, id: usize, value: u64) -> u32;
    increment_gauge = envoy_dynamic_module_callback_network_filter_increment_gauge(filter: *mut c_void, id: usize, by: u64) -> u32;
    decrement_gauge = envoy_dynamic_module_callback_network_filter_decrement_gauge(filter: *mut c_void, id: usize, by: u64) -> u32;

    scheduler_new = envoy_dynamic_module_callback_network_filter_scheduler_new(filter: *mut c_void) -> *mut c_void;
    scheduler_commit = envoy_dynamic_module_callback_network_filter_scheduler_commit(scheduler: *mut c_void, event: u64);
    scheduler_delete = envoy_dynamic_module_callback_network_filter_scheduler_delete(scheduler: *mut c_void);
}

/// Changes a metric of a configuration by its id.
pub(crate) type ConfigMetric = unsafe extern "C" fn(config: *mut c_void, id: usize, value: u64) -> u32;

/// Callbacks that not every Envoy has.
#[derive(Clone, Copy)]
pub(crate) struct Optional {
    /// From 1.39, both. Without them, what happens while no connection opens or closes shows in the metrics only when the
    /// next one does.
    pub(crate) config_metrics: Option<ConfigMetrics>,
}

#[derive(Clone, Copy)]
pub(crate) struct ConfigMetrics {
    pub(crate) increment_counter: ConfigMetric,
    pub(crate) set_gauge: ConfigMetric,
}

/// The callbacks that this Envoy has beyond those of 1.38.
pub(crate) fn optional() -> Optional {
    static FOUND: OnceLock<Optional> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let metric = |name: &CStr| {
            let symbol = look_up(name)?;
            // SAFETY: the callbacks of these names, and no others are asked for here, have this type.
            Some(unsafe { std::mem::transmute::<*mut c_void, ConfigMetric>(symbol) })
        };
        let increment = metric(c"envoy_dynamic_module_callback_network_filter_config_increment_counter");
        let set = metric(c"envoy_dynamic_module_callback_network_filter_config_set_gauge");
        let config_metrics = increment.zip(set);
        Optional {
            config_metrics: config_metrics
                .map(|(increment_counter, set_gauge)| ConfigMetrics { increment_counter, set_gauge }),
        }
    })
}

/// The ABI version that the Envoy around us expects: any other is only warned of, but warned of at every load.
pub(crate) fn version() -> *const c_char {
    // The callback came with 1.40, as did this version.
    let newest = look_up(c"envoy_dynamic_module_callback_network_filter_start_downstream_secure_transport");
    if newest.is_some() { c"v0.2.0".as_ptr() } else { c"v0.1.0".as_ptr() }
}

fn look_up(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: a plain look-up of a name that ends in NUL.
    let symbol = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!symbol.is_null()).then_some(symbol)
}
