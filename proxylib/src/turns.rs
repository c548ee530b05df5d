//! Who answers next: for protocols whose replies come in the order of the requests.

use std::collections::VecDeque;

use portcullis_policy::RuleSet;

use crate::context::Context;
use crate::verdict::Verdict;

/// Answers of ours that wait for their turn at most. Then the client must wait too.
const MAX_OURS: usize = 4096;

/// Changes between answers of ours and the server's, or between unlike requests, that are remembered at most: 64 KiB for a
/// connection. Requests that are alike are only counted.
const MAX_RUNS: usize = 4096;

/// How many times as much is taken where a client cannot be made to wait: what bulk loaders have under way.
const WHERE_NONE_CAN_WAIT: usize = 16;

/// The answers that are owed to a client, in order: the server's to requests that passed, ours to those that did not. `T` is
/// what must be remembered to frame the server's.
#[derive(Debug)]
pub struct Turns<T> {
    queue: VecDeque<Turn<T>>,
    ours: usize,
    /// Bytes of them.
    bytes: usize,
}

#[derive(Debug)]
enum Turn<T> {
    Server { request: T, times: u64 },
    Ours { text: &'static [u8], times: usize },
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self { queue: VecDeque::new(), ours: 0, bytes: 0 }
    }
}

impl<T: PartialEq> Turns<T> {
    /// Whether so many answers are owed that requests should wait: answer [`Verdict::Wait`] to them. Where they cannot wait,
    /// that ends the connection, and comes later.
    pub fn is_full<R: RuleSet>(&self, cx: &Context<'_, R>) -> bool {
        let more = if cx.can_wait() { 1 } else { WHERE_NONE_CAN_WAIT };
        self.ours >= MAX_OURS.saturating_mul(more) || self.queue.len() >= MAX_RUNS.saturating_mul(more)
    }

    /// Whether the server owes an answer.
    pub fn is_owed(&self) -> bool {
        self.queue.iter().any(|turn| matches!(turn, Turn::Server { .. }))
    }

    /// A request passes: the server will answer it.
    pub fn forward(&mut self, request: T) {
        match self.queue.back_mut() {
            Some(Turn::Server { request: last, times }) if *last == request => *times = times.saturating_add(1),
            _ => self.queue.push_back(Turn::Server { request, times: 1 }),
        }
    }

    /// We answer a request: at once, or when its turn comes.
    pub fn answer<R: RuleSet>(&mut self, cx: &mut Context<'_, R>, text: &'static [u8]) {
        match self.queue.back_mut() {
            None => return cx.inject_reply(text),
            Some(Turn::Ours { text: last, times }) if *last == text => *times = times.saturating_add(1),
            Some(_) => self.queue.push_back(Turn::Ours { text, times: 1 }),
        }
        self.ours = self.ours.saturating_add(1);
        self.bytes = self.bytes.saturating_add(text.len());
    }

    /// Bytes of answers of ours that wait: see [`Parser::kept_answers`](crate::Parser::kept_answers).
    pub const fn kept(&self) -> usize {
        self.bytes
    }

    /// The request that the server answers next.
    pub fn head(&self) -> Option<&T> {
        match self.queue.front() {
            Some(Turn::Server { request, .. }) => Some(request),
            Some(Turn::Ours { .. }) | None => None,
        }
    }

    /// The server's answer is complete. Call [`give`](Self::give) then.
    pub fn finish(&mut self) {
        if let Some(Turn::Server { times, .. }) = self.queue.front_mut() {
            *times = times.saturating_sub(1);
            if *times == 0 {
                self.queue.pop_front();
            }
        }
    }

    /// Injects our answers whose turn has come. To be asked first at every call for replies.
    pub fn give<'c, R: RuleSet>(&mut self, cx: &mut Context<'c, R>) -> Option<Verdict<'c>> {
        let before = cx.reply_backlog();
        while let Some(&Turn::Ours { text, times }) = self.queue.front() {
            self.queue.pop_front();
            self.ours = self.ours.saturating_sub(times);
            self.bytes = self.bytes.saturating_sub(text.len().saturating_mul(times));
            for _ in 0..times {
                cx.inject_reply(text);
            }
        }
        let given = cx.reply_backlog().saturating_sub(before);
        (given > 0).then(|| Verdict::Inject(u64::try_from(given).unwrap_or(u64::MAX)))
    }
}
