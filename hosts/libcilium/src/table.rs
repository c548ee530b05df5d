//! The connections of the process, by the host's numbers for them.
//!
//! Nobody waits for another connection here: the table takes no lock, and each connection has its own.

use std::sync::{LazyLock, Mutex, PoisonError, TryLockError};

use papaya::HashMap;
use rustc_hash::FxBuildHasher;

use crate::abi::{FilterResult, InjectBuffer, OpList, Pieces};
use crate::connection::Connection;
use crate::sites::{Route, Sides};
use crate::{say, sites};
use portcullis_proxylib::Direction;

/// A place in the table. It outlives its connection until no thread looks at it any more.
struct Slot(Mutex<Option<Connection>>);

/// Places in the empty table. Numbers go up, and a place is used once before the table is made anew: not too often.
const PLACES: usize = 8192;

static CONNECTIONS: LazyLock<HashMap<u64, Slot, FxBuildHasher>> =
    LazyLock::new(|| HashMap::builder().hasher(FxBuildHasher).capacity(PLACES).build());

/// Opens a connection. One that had the number before is closed.
pub(crate) fn open(id: u64, route: &Route<'_>, sides: Sides, inject: [InjectBuffer; 2]) -> FilterResult {
    let site = match sites::find(route) {
        Ok(site) => site,
        Err(result) => return result,
    };
    let Ok(parser) = site.instance.accept(&site.describe(id, &sides)) else { return FilterResult::PolicyDrop };
    let slot = Slot(Mutex::new(Some(Connection::new(site, parser, sides, inject))));
    if let Some(before) = CONNECTIONS.pin().insert(id, slot) {
        before.close(id);
    }
    FilterResult::Ok
}

/// Lets a connection judge the bytes of one direction.
pub(crate) fn on_data(
    id: u64,
    direction: Direction,
    end: bool,
    pieces: Pieces<'_>,
    ops: &mut OpList<'_>,
) -> FilterResult {
    let connections = CONNECTIONS.pin();
    let Some(slot) = connections.get(&id) else { return FilterResult::UnknownConnection };
    if ops.is_full() {
        // Nothing can be told, so nothing is decided.
        return FilterResult::Ok;
    }
    let mut connection = match slot.0.try_lock() {
        Ok(connection) => connection,
        // Another thread is in the same call, which the contract rules out: nothing is certain of this connection any more.
        Err(TryLockError::WouldBlock) => return FilterResult::UnknownError,
        Err(TryLockError::Poisoned(_)) => return FilterResult::ParserError,
    };
    match &mut *connection {
        Some(connection) => connection.on_data(id, direction, end, pieces, ops),
        None => FilterResult::UnknownConnection,
    }
}

/// The host has handed over slices that cannot be.
pub(crate) fn on_bad_data(id: u64) -> FilterResult {
    match CONNECTIONS.pin().get(&id) {
        Some(_) => FilterResult::ParserError,
        None => FilterResult::UnknownConnection,
    }
}

/// Closes a connection. When this returns, nothing of it is running, and its inject buffers are not touched again.
pub(crate) fn close(id: u64) {
    if let Some(slot) = CONNECTIONS.pin().remove(&id) {
        slot.close(id);
    }
}

impl Slot {
    fn close(&self, id: u64) {
        let connection = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(connection) = connection {
            connection.close();
            say::debug(|| format!("connection {id} closed"));
        }
    }
}
