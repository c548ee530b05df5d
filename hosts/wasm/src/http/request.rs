//! A request as it comes: shown to its protocol as the bytes of a connection, and what the protocol makes of them.

use portcullis_proxylib::{Datapath, Direction, Effects, FaultKind, Time};

use super::head::{self, CHUNK_END, Framing, Head, LAST_CHUNK};
use crate::listener::now;

/// A request that is not decided yet.
pub(crate) struct Request {
    pub(crate) datapath: Datapath,
    framing: Framing,
    /// Bytes of the head.
    head: usize,
    /// Bytes that the protocol was shown.
    shown: usize,
    /// Bytes of the body so far.
    seen: u64,
    /// What the protocol has let on of what it was shown.
    passed: Vec<u8>,
    /// What it answers.
    answer: Vec<u8>,
    /// When the client gets that, whatever else it sends.
    answer_by: Option<Time>,
    /// Why the protocol reads no more.
    close: Option<FaultKind>,
}

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Fate {
    /// It goes on, with this body.
    Pass(Vec<u8>),
    /// It is answered, by an answer of HTTP/1.1.
    Answer(Vec<u8>),
    /// It is not, and nothing more of it is read.
    Close(FaultKind),
}

/// How long an answer waits for the end of its request, in milliseconds: a host that answers earlier closes the connection, and
/// may do so before the client has read why.
const LINGER: u64 = 1000;

/// How often a protocol is called again for what was too much for one call. One request is a few of them at most.
const MAX_RESUMES: usize = 64;

impl Request {
    /// A request of which the head is there.
    pub(crate) fn new(datapath: Datapath, head: &Head) -> Self {
        let mut request = Self {
            datapath,
            framing: head.framing,
            head: head.bytes.len(),
            shown: 0,
            seen: 0,
            passed: Vec::new(),
            answer: Vec::new(),
            answer_by: None,
            close: None,
        };
        request.show(&[&head.bytes], false);
        request
    }

    /// More of the body. Returns whether there may be as much: what comes behind the end would be read as another request.
    pub(crate) fn add(&mut self, bytes: &[u8]) -> bool {
        self.seen = self.seen.saturating_add(bytes.len() as u64);
        match self.framing {
            Framing::None if !bytes.is_empty() => return false,
            Framing::Length(length) if self.seen > length => return false,
            Framing::None | Framing::Length(_) => self.show(&[bytes], false),
            Framing::Chunked => {
                if let Some(line) = head::begin_chunk(bytes.len()) {
                    self.show(&[line.as_bytes(), bytes, CHUNK_END], false);
                }
            }
        }
        true
    }

    /// No more will come.
    pub(crate) fn finish(&mut self) {
        match self.framing {
            Framing::Chunked => self.show(&[LAST_CHUNK], false),
            Framing::Length(length) if self.seen < length => self.show(&[], true),
            Framing::Length(_) | Framing::None => {}
        }
    }

    /// No more will come, although the request is not whole.
    pub(crate) fn abandon(&mut self) {
        self.show(&[], true);
    }

    /// Whether the body has not begun.
    pub(crate) const fn is_bare(&self) -> bool {
        self.seen == 0
    }

    /// When it is looked at again, whatever comes.
    pub(crate) fn deadline(&self) -> Option<Time> {
        [self.answer_by, self.datapath.deadline()].into_iter().flatten().min()
    }

    /// Ends the request if it has come to its [`deadline`](Self::deadline).
    pub(crate) fn expire(&mut self) -> Option<Fate> {
        if self.answer_by.is_some_and(|by| by <= now()) {
            return self.fate(true);
        }
        let effects = self.datapath.expire(now());
        self.close = self.close.or(effects.close);
        self.fate(false)
    }

    /// What becomes of it, if that is known. An answer waits for the end of what it answers.
    pub(crate) fn fate(&mut self, is_whole: bool) -> Option<Fate> {
        if !self.answer.is_empty() {
            if is_whole || self.close.is_some() {
                return Some(Fate::Answer(std::mem::take(&mut self.answer)));
            }
            let by = || Time(now().0.saturating_add(LINGER));
            self.answer_by.get_or_insert_with(by);
            return None;
        }
        if let Some(kind) = self.close {
            return Some(Fate::Close(kind));
        }
        if !is_whole {
            return None;
        }
        if self.passed.len() != self.shown {
            // The protocol waits for what will not come.
            return Some(Fate::Close(FaultKind::Contract));
        }
        let mut passed = std::mem::take(&mut self.passed);
        passed.drain(..self.head.min(passed.len()));
        Some(Fate::Pass(if self.framing == Framing::Chunked { head::join_chunks(&passed) } else { passed }))
    }

    fn show(&mut self, pieces: &[&[u8]], is_end: bool) {
        if self.close.is_some() {
            return;
        }
        self.shown = pieces.iter().fold(self.shown, |sum, piece| sum.saturating_add(piece.len()));
        let Self { datapath, passed, answer, close, .. } = self;
        let mut effects = datapath.receive(Direction::Orig, pieces, is_end, now());
        let mut left = effects.passed;
        for piece in pieces {
            let now = piece.get(..left).unwrap_or(piece);
            passed.extend_from_slice(now);
            left = left.saturating_sub(now.len());
        }
        for _ in 0..MAX_RESUMES {
            let Effects { to_server, to_client, resume, .. } = effects;
            passed.extend_from_slice(to_server);
            answer.extend_from_slice(to_client);
            *close = effects.close;
            if !resume {
                return;
            }
            effects = datapath.resume(now());
        }
        *close = Some(FaultKind::Contract);
    }
}
