//! The part of the proxy-wasm ABI (0.2.1) that our filters need: the host's functions, each with its status handled.
//!
//! Facts of the specification of proxy-wasm, `abi-versions/v0.2.1`. No function here panics, whatever the host answers: where
//! there is no unwinding a panic costs all connections of the VM.

use std::alloc::{Layout, alloc};
use std::time::Duration;

/// What a callback about data answers: the bytes in the buffer go on.
pub(crate) const CONTINUE: u32 = 0;
/// What a callback about data answers: nothing goes on.
pub(crate) const STOP: u32 = 1;
/// What a callback about the body of a request answers: nothing goes on, and the host keeps none of it.
pub(crate) const STOP_AND_DROP: u32 = 3;

pub(crate) const LOG_DEBUG: u32 = 1;
pub(crate) const LOG_INFO: u32 = 2;
pub(crate) const LOG_WARN: u32 = 3;
pub(crate) const LOG_ERROR: u32 = 4;

/// Buffers by their numbers (`proxy_buffer_type_t`).
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum Buffer {
    RequestBody = 0,
    ResponseBody = 1,
    Downstream = 2,
    Upstream = 3,
    PluginConfiguration = 7,
}

/// The fields of messages by their numbers (`proxy_header_map_type_t`).
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum Map {
    Request = 0,
    Response = 2,
}

/// Kinds of metrics (`proxy_metric_type_t`).
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(crate) enum Metric {
    Counter = 0,
    Gauge = 1,
    Histogram = 2,
}

/// The host did not do what it was asked to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused;

/// A request of HTTP (`proxy_stream_type_t`).
const STREAM_REQUEST: u32 = 0;
/// The connection to the client.
const STREAM_DOWNSTREAM: u32 = 2;

/// An answer that says nothing of gRPC.
const NO_GRPC_STATUS: i32 = -1;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: u32, message: *const u8, size: usize) -> u32;
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_set_effective_context(context: u32) -> u32;
    fn proxy_get_property(path: *const u8, path_size: usize, value: *mut *mut u8, value_size: *mut usize) -> u32;
    fn proxy_get_buffer_bytes(buffer: u32, start: usize, max: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_set_buffer_bytes(buffer: u32, start: usize, replaced: usize, data: *const u8, size: usize) -> u32;
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_close_stream(stream: u32) -> u32;
    fn proxy_define_metric(metric: u32, name: *const u8, name_size: usize, id: *mut u32) -> u32;
    fn proxy_increment_metric(id: u32, by: i64) -> u32;
    fn proxy_record_metric(id: u32, value: u64) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
}

/// Makes room for bytes that the host hands over. Null where there is none, which the host takes for a failed call.
pub fn allocate(size: usize) -> *mut u8 {
    match Layout::array::<u8>(size) {
        // SAFETY: the size is not zero.
        Ok(layout) if size > 0 => unsafe { alloc(layout) },
        _ => std::ptr::null_mut(),
    }
}

pub(crate) fn log(level: u32, message: &str) {
    // SAFETY: the host reads the text, and only during the call. A log that fails leaves nothing to be done.
    unsafe { proxy_log(level, message.as_ptr(), message.len()) };
}

/// The time since 1970, or zero where the host does not tell.
pub(crate) fn time() -> Duration {
    let mut nanoseconds = 0;
    // SAFETY: the host writes a number.
    let status = unsafe { proxy_get_current_time_nanoseconds(&raw mut nanoseconds) };
    if status == OK { Duration::from_nanos(nanoseconds) } else { Duration::ZERO }
}

/// Has the current root context called every so often.
pub(crate) fn tick_every(period: Duration) -> Result<(), Refused> {
    let millis = u32::try_from(period.as_millis()).unwrap_or(u32::MAX);
    // SAFETY: numbers alone.
    check(unsafe { proxy_set_tick_period_milliseconds(millis) })
}

/// Makes further calls be about a stream. Until the callback of the moment ends.
pub(crate) fn turn_to(stream: u32) -> Result<(), Refused> {
    // SAFETY: numbers alone.
    check(unsafe { proxy_set_effective_context(stream) })
}

/// A property by its path, if the host has it.
pub(crate) fn property(path: &[&str]) -> Option<Vec<u8>> {
    let path = path.join("\0");
    // SAFETY: the host reads the path during the call, and answers as `receive` demands.
    receive(|data, size| unsafe { proxy_get_property(path.as_ptr(), path.len(), data, size) }).ok()
}

/// The first `size` bytes of a buffer.
///
/// # Errors
/// The host has no such buffer, no room could be made for the bytes, or there are not as many.
pub(crate) fn read(buffer: Buffer, size: usize) -> Result<Vec<u8>, Refused> {
    if size == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: numbers, and the host answers as `receive` demands.
    let bytes = receive(|data, len| unsafe { proxy_get_buffer_bytes(buffer as u32, 0, size, data, len) })?;
    if bytes.len() == size { Ok(bytes) } else { Err(Refused) }
}

/// Puts bytes in the place of the first `size` of a buffer.
///
/// # Errors
/// The host did not: the buffer holds what it held.
pub(crate) fn replace(buffer: Buffer, size: usize, bytes: &[u8]) -> Result<(), Refused> {
    // SAFETY: the host reads the bytes during the call.
    check(unsafe { proxy_set_buffer_bytes(buffer as u32, 0, size, bytes.as_ptr(), bytes.len()) })
}

/// Closes the connection of the stream at hand.
pub(crate) fn close() -> Result<(), Refused> {
    // SAFETY: numbers alone.
    check(unsafe { proxy_close_stream(STREAM_DOWNSTREAM) })
}

/// Defines a metric, or finds the one of that name.
pub(crate) fn define(metric: Metric, name: &str) -> Result<u32, Refused> {
    let mut id = 0;
    // SAFETY: the host reads the name during the call, and writes a number.
    check(unsafe { proxy_define_metric(metric as u32, name.as_ptr(), name.len(), &raw mut id) })?;
    Ok(id)
}

pub(crate) fn add(metric: u32, by: i64) {
    // SAFETY: numbers alone. A count that fails leaves nothing to be done.
    unsafe { proxy_increment_metric(metric, by) };
}

pub(crate) fn record(metric: u32, value: u64) {
    // SAFETY: as above.
    unsafe { proxy_record_metric(metric, value) };
}

/// The fields of a message, as the host writes them.
///
/// # Errors
/// The host has no such message at the moment, or no room could be made for the bytes.
pub(crate) fn fields(map: Map) -> Result<Vec<u8>, Refused> {
    // SAFETY: a number, and the host answers as `receive` demands.
    receive(|data, size| unsafe { proxy_get_header_map_pairs(map as u32, data, size) })
}

/// Answers the request at hand, which goes no further. `fields` is as the host writes them, and `why` is for its log.
///
/// # Errors
/// The host did not.
pub(crate) fn respond(status: u32, why: &str, fields: &[u8], body: &[u8]) -> Result<(), Refused> {
    let (why, fields, body) = ((why.as_ptr(), why.len()), (fields.as_ptr(), fields.len()), (body.as_ptr(), body.len()));
    // SAFETY: the host reads the texts during the call.
    check(unsafe {
        proxy_send_local_response(status, why.0, why.1, body.0, body.1, fields.0, fields.1, NO_GRPC_STATUS)
    })
}

/// Gives up the request at hand, without an answer.
pub(crate) fn reset() -> Result<(), Refused> {
    // SAFETY: numbers alone.
    check(unsafe { proxy_close_stream(STREAM_REQUEST) })
}

const OK: u32 = 0;

fn check(status: u32) -> Result<(), Refused> {
    if status == OK { Ok(()) } else { Err(Refused) }
}

/// Takes over bytes that the host has put into room made by [`allocate`].
fn receive(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Vec<u8>, Refused> {
    let (mut data, mut size) = (std::ptr::null_mut::<u8>(), 0);
    check(call(&raw mut data, &raw mut size))?;
    if data.is_null() || size == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: the host got the room from `allocate` with exactly this size, has filled it, and forgets it.
    Ok(unsafe { Vec::from_raw_parts(data, size, size) })
}
