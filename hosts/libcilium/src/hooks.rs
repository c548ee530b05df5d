//! The bodies of the exported functions: pointers in, safe calls out.
//!
//! Not for use in Rust: [`export!`](crate::export!) calls them.

use portcullis_proxylib::{Direction, Registry};

use crate::abi::{FilterResult, GoSlice, GoString, InjectBuffer, KeyValue, OpList, Pieces};
use crate::address::Compact;
use crate::events;
use crate::guard;
use crate::modules::{self, Params};
use crate::sites::{Route, Sides};
use crate::{say, table};

pub use crate::guard::guarded;

/// See [`export!`](crate::export!).
///
/// # Safety
/// `params` is a slice of [`KeyValue`]s, its strings can be read.
pub unsafe fn open_module(registry: &'static Registry, params: GoSlice, debug: u8) -> u64 {
    guard::install_panic_hook();
    events::listen();
    // SAFETY: as the caller promises.
    let Some(params) = (unsafe { params.elements::<KeyValue>() }) else { return 0 };
    let mut wanted = Params::default();
    for param in params {
        // SAFETY: as the caller promises.
        let (key, value) = unsafe { (param.key.bytes(), param.value.bytes()) };
        let Ok(value) = str::from_utf8(value) else { return 0 };
        match key {
            b"access-log-path" => value.clone_into(&mut wanted.access_log_path),
            b"xds-path" => value.clone_into(&mut wanted.xds_path),
            b"node-id" => value.clone_into(&mut wanted.node_id),
            _ => {
                say::error(&format!(
                    "unknown parameter `{}`",
                    key.escape_ascii().take(64).map(char::from).collect::<String>()
                ));
                return 0;
            }
        }
    }
    if debug != 0 {
        say::enable_debug();
    }
    modules::open(registry, wanted)
}

/// See [`export!`](crate::export!).
pub fn close_module(module_id: u64) {
    modules::close(module_id);
}

/// See [`export!`](crate::export!).
///
/// # Safety
/// The strings can be read; the inject buffers are null or stay good until the connection is closed.
#[expect(clippy::too_many_arguments, reason = "the signature is Cilium's")]
pub unsafe fn on_new_connection(
    module_id: u64,
    proto: GoString,
    connection_id: u64,
    ingress: u8,
    src_id: u32,
    dst_id: u32,
    src_addr: GoString,
    dst_addr: GoString,
    policy_name: GoString,
    orig_inject: *mut GoSlice,
    reply_inject: *mut GoSlice,
) -> FilterResult {
    // SAFETY: as the caller promises.
    let (route, source, inject) = unsafe {
        let route = Route {
            module: module_id,
            ingress: ingress != 0,
            protocol: proto.bytes(),
            policy_name: policy_name.bytes(),
            destination: dst_addr.bytes(),
        };
        (route, src_addr.bytes(), [InjectBuffer::new(orig_inject), InjectBuffer::new(reply_inject)])
    };
    let sides = Sides { source: Compact::read(source), source_id: src_id, destination_id: dst_id };
    table::open(connection_id, &route, sides, inject)
}

/// See [`export!`](crate::export!).
///
/// # Safety
/// The slices can be read, and `ops` can be written, during the call.
pub unsafe fn on_data(
    connection_id: u64,
    reply: u8,
    end_stream: u8,
    data: *const GoSlice,
    ops: *mut GoSlice,
) -> FilterResult {
    let direction = if reply == 0 { Direction::Orig } else { Direction::Reply };
    // SAFETY: as the caller promises.
    match unsafe { (OpList::new(ops), Pieces::new(data)) } {
        (Some(mut ops), Some(pieces)) => table::on_data(connection_id, direction, end_stream != 0, pieces, &mut ops),
        _ => table::on_bad_data(connection_id),
    }
}

/// See [`export!`](crate::export!).
pub fn close(connection_id: u64) {
    table::close(connection_id);
}
