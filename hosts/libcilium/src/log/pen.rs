//! One thread's part of recording: what it knows of its connections, and the queue it writes to.

use std::net::SocketAddr;

use portcullis_policy::Traffic;
use portcullis_proxylib::{Entry, Meta};
use rtrb::Producer;

use super::entry::{self, MAX_PACKET};
use super::sheet::Sheet;

/// Bytes before each record in a queue: its length, the lower byte first.
pub(super) const PREFIX: usize = 2;

/// Connections whose part of a record a thread keeps at hand, a hundred bytes and some each: the busy ones of a busy worker.
/// That of any other is made anew, which takes as long as the rest of the record.
const KNOWN: usize = 512;

/// An endpoint, as policies name it.
pub(super) struct Endpoint {
    /// Its number: no two sinks have the same.
    pub(super) id: u64,
    pub(super) name: Box<str>,
}

/// Writes records into one queue.
pub(super) struct Pen {
    records: Producer<u8>,
    /// Where a record is made before it is queued: a queue's end may be in the middle of it.
    sheet: Sheet,
    known: Box<[Option<Known>]>,
}

struct Known {
    key: Key,
    /// What all its records have in common.
    part: Box<[u8]>,
}

/// All that the part depends on.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    endpoint: u64,
    ids: (u32, u32),
    source: Option<SocketAddr>,
    destination: Option<SocketAddr>,
    ingress: bool,
}

impl Pen {
    pub(super) fn new(records: Producer<u8>) -> Self {
        Self { records, sheet: Sheet::new(PREFIX + MAX_PACKET), known: (0..KNOWN).map(|_| None).collect() }
    }

    /// Queues a record, and says how many bytes of room are left. Nothing if there was none for it.
    pub(super) fn record(&mut self, endpoint: &Endpoint, entry: &Entry<'_>, time: u64) -> Option<usize> {
        // What room there is changes all the time, and is dear to read.
        let has_room = |least| self.records.cached_slots() >= least || self.records.slots() >= least;
        if !has_room(PREFIX + MAX_PACKET) {
            return None;
        }
        let part = introduce(&mut self.known, &mut self.sheet, endpoint, entry.meta)?;
        self.sheet.cut_to(0);
        self.sheet.put(&[0; PREFIX]);
        entry::write(entry, part, time, &mut self.sheet);
        let len = u16::try_from(self.sheet.len() - PREFIX).ok()?;
        self.sheet.overwrite(0, &len.to_le_bytes());
        self.records.push_entire_slice(self.sheet.written()).ok()?;
        Some(self.records.cached_slots())
    }

    /// The room that is left, as it is by now.
    pub(super) fn room(&self) -> usize {
        self.records.slots()
    }
}

/// The part of a connection, made if it is not known.
fn introduce<'k>(
    known: &'k mut [Option<Known>],
    sheet: &mut Sheet,
    endpoint: &Endpoint,
    meta: &Meta,
) -> Option<&'k [u8]> {
    let key = Key {
        endpoint: endpoint.id,
        ids: (meta.endpoint_id, meta.remote.id),
        source: meta.source,
        destination: meta.destination,
        ingress: meta.traffic == Traffic::Ingress,
    };
    // A host counts its connections.
    let place = known.get_mut((meta.id % KNOWN as u64) as usize)?;
    if place.as_ref().is_none_or(|known| known.key != key) {
        sheet.cut_to(0);
        entry::write_connection(meta, &endpoint.name, sheet);
        *place = Some(Known { key, part: sheet.written().into() });
    }
    place.as_ref().map(|known| &*known.part)
}
