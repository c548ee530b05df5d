//! The orderly close: both sides get what is theirs before Envoy is told to close.

use std::time::Duration;

use portcullis_proxylib::{Direction, FaultKind, Time};

use crate::act::Done;
use crate::handle::Handle;
use crate::process;

/// How long a client must have been silent before its connection is closed. Bytes that nobody has read when it closes make
/// the kernel reset it, and what is on its way to the client is lost: so they are read, and thrown away, until none come.
const QUIET: Duration = Duration::from_secs(1);

/// How long a client may go on sending. After that it has to live with a reset.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes that a client may send meanwhile: what is on its way when it hears of the end, at 1 Gbit/s over 100 ms.
const MAX_DISCARDED: usize = 16 << 20;

/// How long the server may take to close when it was told that no more will come. One that is not stuck has read by then
/// what was passed to it before.
const LINGER: Duration = Duration::from_secs(2);

/// How long a client may take to read what is left for it. After that it is cut off.
const FLUSH: Duration = Duration::from_secs(60);

/// What is known of the two ends of a connection.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    /// What was passed to the server may not have reached it yet.
    unconfirmed: bool,
    /// The server was told that no more will come.
    told_server: bool,
    /// The client was told so.
    told_client: bool,
    /// The client has said so.
    client_ended: bool,
}

/// How far the close of a connection has come. Nothing passes any more.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ending {
    /// Until the client has ended, is silent, or has gone on for too long.
    AwaitingClient { why: FaultKind, quiet: Time, until: Time, discarded: usize },
    /// Until the server has ended, or that time.
    AwaitingServer { why: FaultKind, until: Time },
    /// Envoy closes the connection when the client has read what is left for it.
    Flushing { until: Time },
}

impl Ends {
    /// Notes what a data hook was told.
    pub(crate) fn hear(&mut self, direction: Direction, len: usize, end: bool) {
        match direction {
            Direction::Orig => self.client_ended |= end,
            // A server that speaks has read what it was sent; one that has ended will not.
            Direction::Reply => self.unconfirmed &= len == 0 && !end,
        }
    }

    /// Notes what was sent on.
    pub(crate) const fn note(&mut self, done: Done) {
        self.unconfirmed |= done.sent;
        self.told_server |= done.told_server_end;
        self.told_client |= done.told_client_end;
    }
}

impl Ending {
    /// Begins a close. The client has got its last words.
    pub(crate) fn begin(handle: &Handle, ends: &mut Ends, why: FaultKind) -> Self {
        if ends.client_ended {
            return Self::end_server(handle, ends, why);
        }
        // A client that is told the end closes too, most likely. While the server has not got everything that would be too
        // early: Envoy closes a connection both of whose halves are closed by itself, and without our reason.
        if !ends.unconfirmed && !std::mem::replace(&mut ends.told_client, true) {
            handle.filter.inject(Direction::Reply, b"", true);
        }
        let now = process::now();
        Self::AwaitingClient { why, quiet: now.after(QUIET), until: now.after(PATIENCE), discarded: 0 }
    }

    /// Has Envoy close, with nothing more to wait for.
    pub(crate) fn close(handle: &Handle, why: &str) -> Self {
        if !handle.is_closed() {
            handle.filter.close(why);
        }
        Self::Flushing { until: process::now().after(FLUSH) }
    }

    /// The client sends no more. When its side is closed, Envoy throws away what it has not sent to the server yet: so the
    /// server is told first that no more will come, and the close waits for its answer to that.
    fn end_server(handle: &Handle, ends: &mut Ends, why: FaultKind) -> Self {
        if !ends.unconfirmed {
            return Self::close(handle, why.as_str());
        }
        if !std::mem::replace(&mut ends.told_server, true) {
            handle.filter.inject(Direction::Orig, b"", true);
        }
        Self::AwaitingServer { why, until: process::now().after(LINGER) }
    }

    /// Something came, and was thrown away.
    pub(crate) fn on_data(self, handle: &Handle, ends: &mut Ends, direction: Direction, len: usize, end: bool) -> Self {
        match (self, direction) {
            (Self::AwaitingClient { why, until, discarded, .. }, Direction::Orig) => {
                let discarded = discarded.saturating_add(len);
                if end || discarded > MAX_DISCARDED {
                    return Self::end_server(handle, ends, why);
                }
                Self::AwaitingClient { why, until, discarded, quiet: process::now().after(QUIET) }
            }
            (Self::AwaitingServer { why, .. }, Direction::Reply) if end => Self::close(handle, why.as_str()),
            _ => self,
        }
    }

    /// Time has gone by.
    pub(crate) fn on_time(self, handle: &Handle, ends: &mut Ends) -> Self {
        if process::now() < self.deadline() {
            return self;
        }
        match self {
            Self::AwaitingClient { why, .. } => Self::end_server(handle, ends, why),
            Self::AwaitingServer { why, .. } => Self::close(handle, why.as_str()),
            Self::Flushing { .. } => {
                handle.filter.abort("portcullis_timeout");
                self
            }
        }
    }

    /// When time is up.
    pub(crate) fn deadline(self) -> Time {
        match self {
            Self::AwaitingClient { quiet, until, .. } => quiet.min(until),
            Self::AwaitingServer { until, .. } | Self::Flushing { until } => until,
        }
    }
}
