//! Plays a script on the core, cut in some way, and holds what is true of any connection.

use std::collections::VecDeque;
use std::sync::Arc;

use portcullis_proxylib::testing::Cut;
use portcullis_proxylib::{Datapath, Direction, Effects, FaultKind, Instance, Time};

use super::counted::{self, Counts};
use super::rig::{Listener, Records};
use super::script::{Script, Step};
use super::server::Server;

/// Bytes that may wait to be injected before requests wait: the core's own bound, and what one call may add to it.
const MAX_BACKLOG: usize = (64 << 10) + (32 << 10);

/// Bytes of an unfinished request and an unfinished reply: the longest lines of r2d2 and memcached, `get` aside.
const MAX_HELD: usize = 8193 + 4098;

/// How the bytes of a script reach the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) cut: Cut,
    /// Whether the parser is told that it has seen nothing before: resuming a search must not change what it finds.
    pub(super) forgetful: bool,
}

/// What an outsider saw.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) to_server: Vec<u8>,
    pub(super) to_client: Vec<u8>,
    pub(super) ends: [bool; 2],
    pub(super) closed: Option<FaultKind>,
    /// The access log, of requests and of replies.
    pub(super) log: [Vec<u8>; 2],
}

/// Something that comes from the client at once: bytes in pieces, and perhaps the end.
struct Event {
    pieces: Vec<Vec<u8>>,
    end: bool,
}

pub(super) struct Run {
    pub(super) seen: Seen,
    datapath: Datapath,
    instance: Arc<Instance>,
    records: Arc<Records>,
    way: Way,
    /// What a host has not read yet, because requests wait.
    unread: VecDeque<Event>,
    bytes: usize,
    events: usize,
    max_held: usize,
    frames_are_held: bool,
}

impl Run {
    pub(super) fn new(listener: Listener, way: Way, script: &Script) -> Self {
        counted::reset(way.forgetful);
        let (datapath, instance, records) = listener.open();
        // memcached has no bound for `get` lines. Ours is far above what a script holds.
        let retrieves = script.client().windows(3).any(|word| word == b"get");
        // Cassandra's requests are held whole, and so are those for admission.
        let frames_are_held = matches!(listener.protocol, "cassandra" | "admission");
        let max_held = if retrieves || frames_are_held { usize::MAX } else { MAX_HELD };
        let (seen, unread) = (Seen::default(), VecDeque::new());
        Self { seen, datapath, instance, records, way, unread, bytes: 0, events: 0, max_held, frames_are_held }
    }

    /// Plays a script in which the server, too, says what it says. `breaks` has, for each step of the server, the offsets at
    /// which bytes of it made the core look at requests that waited: a server that answers those cannot have sent what
    /// follows at once. Where there are none yet, returns them.
    pub(super) fn play(&mut self, script: &Script, breaks: Option<&[Vec<usize>]>) -> Vec<Vec<usize>> {
        let mut found = Vec::new();
        for (n, step) in script.steps.iter().enumerate() {
            let mut here = Vec::new();
            match step {
                Step::Client(bytes) => self.client(bytes, false),
                Step::ClientEnd => self.client(b"", true),
                Step::ClientFull(full) => self.client_full(*full),
                Step::ServerEnd => self.server(b"", true),
                Step::Server(bytes) => match breaks.and_then(|breaks| breaks.get(n)) {
                    Some(breaks) => {
                        let mut start = 0;
                        for &at in breaks.iter().chain([&bytes.len()]) {
                            self.server(&bytes[start..at], false);
                            start = at;
                        }
                    }
                    None => {
                        for (at, byte) in bytes.iter().enumerate() {
                            let before = (counted::counts().progress, self.seen.ends[0]);
                            self.server(std::slice::from_ref(byte), false);
                            if (counted::counts().progress, self.seen.ends[0]) != before {
                                here.push(at + 1);
                            }
                        }
                    }
                },
            }
            found.push(here);
        }
        found
    }

    /// Plays a script against a server that answers what it gets, at its cues and in the end.
    pub(super) fn converse(&mut self, script: &Script, server: &mut Server) {
        for step in &script.steps {
            match step {
                Step::Client(bytes) => self.client(bytes, false),
                Step::ClientEnd => self.client(b"", true),
                Step::ClientFull(full) => self.client_full(*full),
                Step::Server(_) => self.serve(server),
                Step::ServerEnd => {}
            }
        }
        self.client_full(false);
        self.serve(server);
        if self.seen.closed.is_none() && !server.has_left() {
            assert!(
                self.unread.is_empty() && !self.datapath.requests_wait(),
                "a request waits for a server that has answered all"
            );
        }
    }

    fn serve(&mut self, server: &mut Server) {
        loop {
            let out = server.answer(&self.seen.to_server);
            if out.is_empty() || self.seen.closed.is_some() {
                break;
            }
            self.server(&out, false);
            assert_eq!(counted::counts().bad_replies, 0, "a good reply was not understood: `{}`", out.escape_ascii());
        }
        if server.has_left() {
            self.server(b"", true);
        }
    }

    /// Ends the connection, and says what was seen.
    pub(super) fn finish(mut self) -> (Seen, Counts) {
        // Where a server does not answer, or a frame stays unfinished.
        if let Some(deadline) = self.datapath.deadline() {
            let effects = self.datapath.expire(deadline);
            absorb(&effects, Direction::Orig, &[], &mut self.seen);
            assert!(self.seen.closed.is_some(), "what was overdue is not closed");
        }
        self.datapath.close();
        assert_eq!(self.datapath.tally().panics, 0, "the parser panicked");
        drop(self.datapath);
        assert_eq!(self.instance.budget.held(), 0, "bytes of the budget were not given back");
        self.seen.log = self.records.take();
        let counts = counted::counts();
        // Of Cassandra's replies some are held, and may say that they are too large.
        let large = if self.frames_are_held { FaultKind::Panic } else { FaultKind::FrameTooLarge };
        let broken = [FaultKind::Panic, FaultKind::Contract, FaultKind::Memory, large];
        assert!(!self.seen.closed.is_some_and(|kind| broken.contains(&kind)), "closed by {:?}", self.seen.closed);
        assert!(counts.backlog <= MAX_BACKLOG, "{} bytes wait to be injected", counts.backlog);
        // Once when more is asked for, once when it is decided, and once more after a wait.
        let examined = 3 * self.bytes + 64 + usize::from(self.frames_are_held) * self.bytes;
        assert!(counts.examined <= examined, "{} bytes looked at for {}", counts.examined, self.bytes);
        let calls = 4 * self.bytes + 4 * self.events + 64;
        assert!(counts.calls <= calls, "{} calls for {} bytes in {} events", counts.calls, self.bytes, self.events);
        (self.seen, counts)
    }

    fn client(&mut self, bytes: &[u8], end: bool) {
        let owned = |pieces: Vec<&[u8]>| pieces.into_iter().map(<[u8]>::to_vec).collect();
        let events = self.way.cut.apply(bytes).into_iter().map(|pieces| Event { pieces: owned(pieces), end });
        self.unread.extend(events);
        self.read();
    }

    /// Does what a host does: it reads as long as requests do not wait.
    fn read(&mut self) {
        while !self.datapath.requests_wait() && self.seen.closed.is_none() {
            let Some(Event { pieces, end }) = self.unread.pop_front() else { break };
            let pieces: Vec<_> = pieces.iter().map(Vec::as_slice).collect();
            self.event(Direction::Orig, &pieces, end);
        }
    }

    fn client_full(&mut self, full: bool) {
        self.datapath.set_client_full(full);
        if !full && self.seen.closed.is_none() {
            self.resume();
            self.read();
        }
    }

    fn server(&mut self, bytes: &[u8], end: bool) {
        let way = self.way;
        for pieces in way.cut.apply(bytes) {
            if self.seen.closed.is_none() {
                self.event(Direction::Reply, &pieces, end);
                self.read();
            }
        }
    }

    fn event(&mut self, direction: Direction, pieces: &[&[u8]], end: bool) {
        let len: usize = pieces.iter().map(|piece| piece.len()).sum();
        self.bytes += len;
        self.events += 1;
        let effects = self.datapath.receive(direction, pieces, end, Time(0));
        if absorb(&effects, direction, pieces, &mut self.seen) {
            self.resume();
        }
        if self.way.cut == Cut::Bytewise && !self.datapath.requests_wait() {
            assert!(self.datapath.held() <= self.max_held, "{} bytes are held", self.datapath.held());
        }
    }

    fn resume(&mut self) {
        for round in 0.. {
            self.events += 1;
            let effects = self.datapath.resume(Time(0));
            if !absorb(&effects, Direction::Orig, &[], &mut self.seen) {
                break;
            }
            assert!(round <= self.bytes, "the core asks to be resumed without end");
        }
    }
}

/// Does what a host does with the effects of an event. Returns whether it must resume.
fn absorb(effects: &Effects<'_>, direction: Direction, pieces: &[&[u8]], seen: &mut Seen) -> bool {
    let mut passed = effects.passed;
    for piece in pieces {
        let now = passed.min(piece.len());
        match direction {
            Direction::Orig => seen.to_server.extend_from_slice(&piece[..now]),
            Direction::Reply => seen.to_client.extend_from_slice(&piece[..now]),
        }
        passed -= now;
    }
    assert_eq!(passed, 0, "more passes than there is");
    seen.to_server.extend_from_slice(effects.to_server);
    seen.to_client.extend_from_slice(effects.to_client);
    for (end, now) in seen.ends.iter_mut().zip([effects.end_to_server, effects.end_to_client]) {
        assert!(!(*end && now), "an end is sent twice");
        *end |= now;
    }
    if effects.close.is_some() {
        seen.closed = effects.close;
    }
    effects.resume && effects.close.is_none()
}
