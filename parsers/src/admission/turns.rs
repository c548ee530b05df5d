//! Whose turn it is to answer where an upstream stands behind the filter: its own, or ours.

use std::collections::VecDeque;

use portcullis_proxylib::{Context, Verdict};

use super::rule::Rules;
use super::shadow::Expected;

/// The answers that are owed, in the order of the requests.
#[derive(Default)]
pub(super) struct Turns {
    queue: VecDeque<Turn>,
    /// Bytes of our own answers among them.
    bytes: usize,
    /// The last reply ended with the connection: nothing can come behind it.
    is_over: bool,
}

enum Turn {
    Server(Awaited),
    Ours(Vec<u8>),
}

/// A reply of the upstream that is to come.
#[derive(Default)]
pub(super) struct Awaited {
    /// Whether the request was a HEAD, whose reply has no body.
    pub(super) is_head: bool,
    /// What it is compared with.
    pub(super) expected: Option<Box<Expected>>,
}

impl Turns {
    /// Whether so much is owed that requests must wait.
    pub(super) fn is_full(&self, can_wait: bool) -> bool {
        let more = if can_wait { 1 } else { WHERE_NONE_CAN_WAIT };
        self.queue.len() >= MAX_TURNS.saturating_mul(more) || self.bytes >= MAX_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// A request passes: the upstream will answer it.
    pub(super) fn forward(&mut self, awaited: Awaited) {
        self.queue.push_back(Turn::Server(awaited));
    }

    /// We answer: at once, or when its turn comes.
    pub(super) fn answer(&mut self, cx: &mut Context<'_, Rules>, bytes: &[u8]) {
        if self.is_over {
            return;
        }
        if self.queue.is_empty() {
            return cx.inject_reply(bytes);
        }
        self.bytes = self.bytes.saturating_add(bytes.len());
        if let Some(Turn::Ours(last)) = self.queue.back_mut() {
            last.extend_from_slice(bytes);
        } else {
            self.queue.push_back(Turn::Ours(bytes.to_vec()));
        }
    }

    /// The reply that the upstream gives next.
    pub(super) fn awaited(&mut self) -> Option<&mut Awaited> {
        match self.queue.front_mut() {
            Some(Turn::Server(awaited)) => Some(awaited),
            Some(Turn::Ours(_)) | None => None,
        }
    }

    /// The upstream's reply is complete.
    pub(super) fn finish(&mut self) {
        if self.awaited().is_some() {
            self.queue.pop_front();
        }
    }

    /// The upstream's reply is complete, and ends with the connection: what came behind it would be read as part of it.
    pub(super) fn end(&mut self) {
        self.queue.clear();
        self.bytes = 0;
        self.is_over = true;
    }

    /// Whether nothing can be answered any more.
    pub(super) const fn is_over(&self) -> bool {
        self.is_over
    }

    /// Injects our answers whose turn has come. To be asked first at every call for replies.
    pub(super) fn give<'c>(&mut self, cx: &mut Context<'c, Rules>) -> Option<Verdict<'c>> {
        let mut given = 0_usize;
        while let Some(Turn::Ours(bytes)) = self.queue.front() {
            cx.inject_reply(bytes);
            given = given.saturating_add(bytes.len());
            self.queue.pop_front();
        }
        self.bytes = self.bytes.saturating_sub(given);
        (given > 0).then_some(Verdict::Inject(given as u64))
    }
}

/// Answers that are owed at most; then requests wait. The API server asks one after the other.
const MAX_TURNS: usize = 128;

/// Bytes of our own among them: as much as the core lets wait.
const MAX_BYTES: usize = 64 << 10;

/// How many times as many requests are taken where a client cannot be made to wait.
const WHERE_NONE_CAN_WAIT: usize = 16;
