//! Carries out on Envoy's side what the datapath has decided. Nothing is borrowed here that a hook could want.

use portcullis_proxylib::{Direction, Effects, FaultKind};

use crate::abi::{CONTINUE, STOP};
use crate::handle::Handle;

/// The event of a data hook: so many bytes are in the buffer of a direction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) direction: Direction,
    pub(crate) len: usize,
    pub(crate) end: bool,
}

/// What an event came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    /// What the data hook answers.
    pub(crate) status: u32,
    /// Bytes went on to the server.
    pub(crate) sent: bool,
    /// The server was told that no more will come.
    pub(crate) told_server_end: bool,
    /// The client was told so.
    pub(crate) told_client_end: bool,
    /// There is more to do.
    pub(crate) resume: bool,
    /// The connection is to be closed.
    pub(crate) close: Option<FaultKind>,
}

impl Event {
    /// Whether the bytes go on as they are, with nothing before, between or after them.
    pub(crate) fn passes_whole(self, effects: &Effects<'_>) -> bool {
        let (added, end) = side(effects, self.direction);
        effects.passed == self.len && added.is_empty() && end == self.end && effects.close.is_none()
    }
}

/// Sends on what passes, the bytes of the event in place and all others past our hooks.
///
/// `own` holds those bytes of the event that pass, unless it passes whole.
///
/// No byte is left in Envoy's buffer: held there, it would stop reading for good once the buffer's limit is reached, and
/// the end of the stream would be lost with it.
pub(crate) fn carry_out(handle: &Handle, event: Option<Event>, own: &mut Vec<u8>, effects: &Effects<'_>) -> Done {
    let filter = handle.filter;
    let mut status = STOP;
    // The buffer first: once anything is injected the connection may be closed, and the buffer gone.
    if let Some(event) = event {
        let Event { direction, len, end } = event;
        let (added, send_end) = side(effects, direction);
        if event.passes_whole(effects) {
            status = CONTINUE;
        } else {
            filter.drain(direction, len);
            own.extend_from_slice(added);
            if send_end == end && effects.close.is_none() {
                filter.append(direction, own);
                status = if end || !own.is_empty() { CONTINUE } else { STOP };
            } else {
                // An end that must wait cannot stay in the buffer, and bytes before a close must go on before it.
                filter.inject(direction, own, send_end);
            }
        }
    }
    for direction in [Direction::Reply, Direction::Orig] {
        let (bytes, end) = side(effects, direction);
        if event.is_none_or(|event| event.direction != direction) && !handle.is_closed() {
            filter.inject(direction, bytes, end);
        }
    }
    let passed = effects.passed > 0 && event.is_some_and(|event| event.direction == Direction::Orig);
    Done {
        status,
        sent: passed || !effects.to_server.is_empty(),
        told_server_end: effects.end_to_server,
        told_client_end: effects.end_to_client,
        resume: effects.resume,
        close: effects.close,
    }
}

/// Copies the first `len` bytes of the slices.
pub(crate) fn copy_front(pieces: &[&[u8]], mut len: usize, to: &mut Vec<u8>) {
    for piece in pieces {
        let taken = piece.get(..len).unwrap_or(piece);
        to.extend_from_slice(taken);
        len = len.saturating_sub(taken.len());
    }
}

/// What is added in a direction, and whether its end is sent on.
fn side<'e>(effects: &Effects<'e>, direction: Direction) -> (&'e [u8], bool) {
    match direction {
        Direction::Orig => (effects.to_server, effects.end_to_server),
        Direction::Reply => (effects.to_client, effects.end_to_client),
    }
}
