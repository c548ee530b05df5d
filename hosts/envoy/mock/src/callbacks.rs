//! The callbacks of the ABI that the module under test uses.

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use portcullis_envoy::Buf;
use portcullis_proxylib::Direction;

use crate::core::{Calls, Certificate, Core};
use crate::listener::{self, Metrics};

/// Where the addresses of connections come from.
pub(crate) const SOURCE: (&str, u32) = ("10.77.0.11", 41000);
pub(crate) const DESTINATION: (&str, u32) = ("10.77.1.5", 11211);

fn core<'a>(filter: *mut c_void) -> &'a Core {
    // SAFETY: the module only has filters that this crate made, which live until after `destroy`.
    unsafe { &*filter.cast::<Core>() }
}

fn metrics<'a>(config: *mut c_void) -> &'a Metrics {
    // SAFETY: the module only has configurations that this crate made, which live until after `config_destroy`.
    unsafe { &*config.cast::<Metrics>() }
}

fn bytes<'a>(buf: Buf) -> &'a [u8] {
    if buf.ptr.is_null() {
        return &[];
    }
    // SAFETY: bytes that a callback was given are there as long as it runs.
    unsafe { std::slice::from_raw_parts(buf.ptr, buf.len) }
}

fn text(buf: Buf) -> String {
    String::from_utf8(bytes(buf).to_vec()).unwrap_or_else(|_| "not UTF-8".to_owned())
}

macro_rules! callbacks {
    ($(fn $name:ident($($arg:ident: $type:ty),*) $(-> $ret:ty)? $body:block)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name($($arg: $type),*) $(-> $ret)? $body
    )*

        /// Names every callback, so that none is left out when the tests are linked.
        pub(crate) fn all() -> Vec<*const ()> {
            vec![$($name as *const ()),*]
        }
    };
}

callbacks! {
    fn envoy_dynamic_module_callback_log(level: u32, message: Buf) {
        listener::keep_log(level, text(message));
    }

    fn envoy_dynamic_module_callback_network_filter_get_read_buffer_chunks_size(filter: *mut c_void) -> usize {
        chunks_size(core(filter), Direction::Orig)
    }

    fn envoy_dynamic_module_callback_network_filter_get_read_buffer_chunks(filter: *mut c_void, out: *mut Buf) -> u8 {
        chunks(core(filter), Direction::Orig, out)
    }

    fn envoy_dynamic_module_callback_network_filter_get_write_buffer_chunks_size(filter: *mut c_void) -> usize {
        chunks_size(core(filter), Direction::Reply)
    }

    fn envoy_dynamic_module_callback_network_filter_get_write_buffer_chunks(filter: *mut c_void, out: *mut Buf) -> u8 {
        chunks(core(filter), Direction::Reply, out)
    }

    fn envoy_dynamic_module_callback_network_filter_drain_read_buffer(filter: *mut c_void, len: usize) -> u8 {
        u8::from(core(filter).drain(Direction::Orig, len))
    }

    fn envoy_dynamic_module_callback_network_filter_drain_write_buffer(filter: *mut c_void, len: usize) -> u8 {
        u8::from(core(filter).drain(Direction::Reply, len))
    }

    fn envoy_dynamic_module_callback_network_filter_append_read_buffer(filter: *mut c_void, data: Buf) -> u8 {
        append(core(filter), Direction::Orig, data)
    }

    fn envoy_dynamic_module_callback_network_filter_append_write_buffer(filter: *mut c_void, data: Buf) -> u8 {
        append(core(filter), Direction::Reply, data)
    }

    fn envoy_dynamic_module_callback_network_filter_inject_read_data(filter: *mut c_void, data: Buf, end: u8) {
        core(filter).inject(Direction::Orig, bytes(data), end != 0);
    }

    fn envoy_dynamic_module_callback_network_filter_inject_write_data(filter: *mut c_void, data: Buf, end: u8) {
        core(filter).inject(Direction::Reply, bytes(data), end != 0);
    }

    fn envoy_dynamic_module_callback_network_filter_close_with_details(filter: *mut c_void, how: u32, why: Buf) {
        core(filter).reenter_if_told();
        core(filter).close(how, &text(why));
    }

    fn envoy_dynamic_module_callback_network_filter_read_disable(filter: *mut c_void, disable: u8) -> u32 {
        let core = core(filter);
        if core.state.get() != crate::State::Open {
            core.violate("reading was switched on a connection that is closed");
        }
        let count = core.read_disabled.get() + if disable == 0 { -1 } else { 1 };
        if !(0..=1).contains(&count) {
            core.violate(format!("reading is disabled {count} times"));
        }
        core.read_disabled.set(count);
        0
    }

    fn envoy_dynamic_module_callback_network_filter_enable_half_close(_filter: *mut c_void, enabled: u8) {
        assert_eq!(enabled, 1, "half-closed connections are what this stand-in has");
    }

    fn envoy_dynamic_module_callback_network_filter_get_connection_id(_filter: *mut c_void) -> u64 {
        7
    }

    fn envoy_dynamic_module_callback_network_filter_get_remote_address(_filter: *mut c_void, address: *mut Buf, port: *mut u32) -> u8 {
        tell_address(SOURCE, address, port)
    }

    fn envoy_dynamic_module_callback_network_filter_get_local_address(_filter: *mut c_void, address: *mut Buf, port: *mut u32) -> u8 {
        tell_address(DESTINATION, address, port)
    }

    fn envoy_dynamic_module_callback_is_validation_mode() -> u8 {
        0
    }

    fn envoy_dynamic_module_callback_network_filter_is_ssl(filter: *mut c_void) -> u8 {
        u8::from(core(filter).certificate.borrow().is_some())
    }

    fn envoy_dynamic_module_callback_network_filter_get_ssl_uri_sans_size(filter: *mut c_void) -> usize {
        core(filter).certificate.borrow().as_ref().map_or(0, |certificate| certificate.uris.len())
    }

    fn envoy_dynamic_module_callback_network_filter_get_ssl_uri_sans(filter: *mut c_void, out: *mut Buf) -> u8 {
        tell_names(core(filter), |certificate| &certificate.uris, out)
    }

    fn envoy_dynamic_module_callback_network_filter_get_ssl_dns_sans_size(filter: *mut c_void) -> usize {
        core(filter).certificate.borrow().as_ref().map_or(0, |certificate| certificate.dns_names.len())
    }

    fn envoy_dynamic_module_callback_network_filter_get_ssl_dns_sans(filter: *mut c_void, out: *mut Buf) -> u8 {
        tell_names(core(filter), |certificate| &certificate.dns_names, out)
    }

    fn envoy_dynamic_module_callback_network_filter_get_ssl_subject(filter: *mut c_void, out: *mut Buf) -> u8 {
        tell_names(core(filter), |certificate| std::slice::from_ref(&certificate.subject), out)
    }

    fn envoy_dynamic_module_callback_network_set_dynamic_metadata_string(filter: *mut c_void, namespace: Buf, key: Buf, value: Buf) {
        core(filter).metadata.borrow_mut().insert(format!("{}.{}", text(namespace), text(key)), text(value));
    }

    fn envoy_dynamic_module_callback_network_filter_config_define_counter(config: *mut c_void, name: Buf, id: *mut usize) -> u32 {
        define(metrics(config), name, id)
    }

    fn envoy_dynamic_module_callback_network_filter_config_define_gauge(config: *mut c_void, name: Buf, id: *mut usize) -> u32 {
        define(metrics(config), name, id)
    }

    fn envoy_dynamic_module_callback_network_filter_config_define_histogram(config: *mut c_void, name: Buf, id: *mut usize) -> u32 {
        define(metrics(config), name, id)
    }

    fn envoy_dynamic_module_callback_network_filter_record_histogram_value(filter: *mut c_void, id: usize, value: u64) -> u32 {
        core(filter).metrics.change(id, |sum| sum + value)
    }

    fn envoy_dynamic_module_callback_network_filter_increment_counter(filter: *mut c_void, id: usize, by: u64) -> u32 {
        core(filter).metrics.change(id, |value| value + by)
    }

    fn envoy_dynamic_module_callback_network_filter_set_gauge(filter: *mut c_void, id: usize, to: u64) -> u32 {
        core(filter).metrics.change(id, |_| to)
    }

    fn envoy_dynamic_module_callback_network_filter_increment_gauge(filter: *mut c_void, id: usize, by: u64) -> u32 {
        core(filter).metrics.change(id, |value| value + by)
    }

    fn envoy_dynamic_module_callback_network_filter_decrement_gauge(filter: *mut c_void, id: usize, by: u64) -> u32 {
        core(filter).metrics.change(id, |value| value.wrapping_sub(by))
    }

    fn envoy_dynamic_module_callback_network_filter_scheduler_new(filter: *mut c_void) -> *mut c_void {
        let calls = Arc::clone(&core(filter).calls);
        calls.schedulers.fetch_add(1, Ordering::AcqRel);
        Arc::into_raw(calls).cast_mut().cast()
    }

    fn envoy_dynamic_module_callback_network_filter_scheduler_commit(scheduler: *mut c_void, event: u64) {
        // SAFETY: made by `scheduler_new`, and not deleted yet.
        unsafe { &*scheduler.cast::<Calls>() }.push(event);
    }

    fn envoy_dynamic_module_callback_network_filter_scheduler_delete(scheduler: *mut c_void) {
        // SAFETY: made by `scheduler_new`, and deleted once.
        let calls = unsafe { Arc::from_raw(scheduler.cast_const().cast::<Calls>()) };
        calls.schedulers.fetch_sub(1, Ordering::AcqRel);
    }
}

fn chunks_size(core: &Core, direction: Direction) -> usize {
    core.may_touch(direction);
    core.buffer(direction).borrow().len()
}

fn chunks(core: &Core, direction: Direction, out: *mut Buf) -> u8 {
    if !core.may_touch(direction) || core.hide_buffers.get() {
        return 0;
    }
    for (n, slice) in core.buffer(direction).borrow().iter().enumerate() {
        // SAFETY: the module has room for as many as it was told there are.
        unsafe { out.add(n).write(Buf { ptr: slice.as_ptr(), len: slice.len() }) };
    }
    1
}

fn append(core: &Core, direction: Direction, data: Buf) -> u8 {
    if !core.may_touch(direction) {
        return 0;
    }
    core.buffer(direction).borrow_mut().push(bytes(data).to_vec());
    1
}

fn tell_address((text, number): (&'static str, u32), address: *mut Buf, port: *mut u32) -> u8 {
    // SAFETY: the module has room for both.
    unsafe {
        address.write(Buf { ptr: text.as_ptr(), len: text.len() });
        port.write(number);
    }
    1
}

fn tell_names(core: &Core, of: impl FnOnce(&Certificate) -> &[Vec<u8>], out: *mut Buf) -> u8 {
    let certificate = core.certificate.borrow();
    let Some(certificate) = &*certificate else { return 0 };
    for (n, name) in of(certificate).iter().enumerate() {
        // SAFETY: the module has room for as many as it was told there are.
        unsafe { out.add(n).write(Buf { ptr: name.as_ptr(), len: name.len() }) };
    }
    1
}

fn define(metrics: &Metrics, name: Buf, id: *mut usize) -> u32 {
    // SAFETY: the module has room for it.
    unsafe { id.write(metrics.define(text(name))) };
    0
}
