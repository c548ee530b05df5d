//! Queued records as packets, many in one system call.

use std::io::IoSlice;

use arrayvec::ArrayVec;
use rtrb::Consumer;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{self, MMsgHdr, SendAncillaryBuffer, SendFlags};

use super::pen::PREFIX;

/// Packets that are sent at once: enough that the system call costs next to nothing for each, few enough that it takes tens
/// of microseconds and all lanes get their turn.
const BATCH: usize = 64;

/// The pieces of a packet: one, or two where the record goes round the end of its queue.
type Pieces<'a> = ArrayVec<IoSlice<'a>, 2>;

/// Sends what the kernel takes of a batch, and says how many packets that were.
pub(super) fn send(socket: &OwnedFd, records: &mut Consumer<u8>) -> Result<usize, Errno> {
    take(records, |packets| {
        let mut control: [_; BATCH] = std::array::from_fn(|_| SendAncillaryBuffer::default());
        let messages = packets.iter().zip(&mut control).map(|(packet, control)| MMsgHdr::new(packet, control));
        let mut messages: ArrayVec<MMsgHdr<'_>, BATCH> = messages.collect();
        net::sendmmsg(socket, &mut messages, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
    })
}

/// Shows the packets at the front of a queue, and takes away as many of them as `send` says.
pub(super) fn take(
    records: &mut Consumer<u8>,
    send: impl FnOnce(&[Pieces<'_>]) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    let Ok(chunk) = records.read_chunk(records.slots()) else { return Ok(0) };
    let (head, tail) = chunk.as_slices();
    let mut packets = ArrayVec::<Pieces<'_>, BATCH>::new();
    let mut ends = ArrayVec::<usize, BATCH>::new();
    let mut at = 0;
    while !packets.is_full() && at < head.len() + tail.len() {
        let byte = |at: usize| head.get(at).or_else(|| tail.get(at - head.len())).copied().unwrap_or_default();
        let start = at + PREFIX;
        at = start + usize::from(u16::from_le_bytes([byte(at), byte(at + 1)]));
        let pieces = [part(head, 0, start, at), part(tail, head.len(), start, at)];
        packets.push(pieces.into_iter().filter(|piece| !piece.is_empty()).map(IoSlice::new).collect());
        ends.push(at);
    }
    if packets.is_empty() {
        return Ok(0);
    }
    let count = send(&packets)?;
    drop(packets);
    chunk.commit(count.checked_sub(1).and_then(|last| ends.get(last).copied()).unwrap_or_default());
    Ok(count)
}

/// What of `start..end` is in `piece`, whose first byte is number `first`.
fn part(piece: &[u8], first: usize, start: usize, end: usize) -> &[u8] {
    let at = |place: usize| place.saturating_sub(first).min(piece.len());
    piece.get(at(start)..at(end)).unwrap_or_default()
}
