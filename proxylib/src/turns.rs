//! Who answers next: for protocols whose replies come in the order of the requests.

use std::collections::VecDeque;

use portcullis_policy::RuleSet;

use crate::context::Context;
use crate::verdict::Verdict;

/// Requests that wait for their answers at most, ours included. Then the client must wait too.
const MAX_PENDING: usize = 4096;

/// The answers that are owed to a client, in order: the server's to requests that passed, ours to those that did not. `T` is
/// what must be remembered to frame the server's.
#[derive(Debug)]
pub struct Turns<T> {
    queue: VecDeque<Turn<T>>,
    pending: usize,
}

#[derive(Debug)]
enum Turn<T> {
    Server(T),
    Ours { text: &'static [u8], times: usize },
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self { queue: VecDeque::new(), pending: 0 }
    }
}

impl<T> Turns<T> {
    /// Whether so many answers are owed that requests should wait: answer [`Verdict::Wait`] to them.
    pub const fn is_full(&self) -> bool {
        self.pending >= MAX_PENDING
    }

    /// Whether the server owes an answer.
    pub fn is_owed(&self) -> bool {
        self.queue.iter().any(|turn| matches!(turn, Turn::Server(_)))
    }

    /// A request passes: the server will answer it.
    pub fn forward(&mut self, request: T) {
        self.queue.push_back(Turn::Server(request));
        self.pending = self.pending.saturating_add(1);
    }

    /// We answer a request: at once, or when its turn comes.
    pub fn answer<R: RuleSet>(&mut self, cx: &mut Context<'_, R>, text: &'static [u8]) {
        match self.queue.back_mut() {
            None => return cx.inject_reply(text),
            Some(Turn::Ours { text: last, times }) if *last == text => *times = times.saturating_add(1),
            Some(_) => self.queue.push_back(Turn::Ours { text, times: 1 }),
        }
        self.pending = self.pending.saturating_add(1);
    }

    /// The request that the server answers next.
    pub fn head(&mut self) -> Option<&mut T> {
        match self.queue.front_mut() {
            Some(Turn::Server(request)) => Some(request),
            Some(Turn::Ours { .. }) | None => None,
        }
    }

    /// The server's answer is complete. Call [`give`](Self::give) then.
    pub fn finish(&mut self) -> Option<T> {
        match self.queue.pop_front()? {
            Turn::Server(request) => {
                self.pending = self.pending.saturating_sub(1);
                Some(request)
            }
            ours @ Turn::Ours { .. } => {
                self.queue.push_front(ours);
                None
            }
        }
    }

    /// Injects our answers whose turn has come. To be asked first at every call for replies.
    pub fn give<'c, R: RuleSet>(&mut self, cx: &mut Context<'c, R>) -> Option<Verdict<'c>> {
        let before = cx.reply_backlog();
        while let Some(&Turn::Ours { text, times }) = self.queue.front() {
            self.queue.pop_front();
            self.pending = self.pending.saturating_sub(times);
            for _ in 0..times {
                cx.inject_reply(text);
            }
        }
        let given = cx.reply_backlog().saturating_sub(before);
        (given > 0).then(|| Verdict::Inject(u64::try_from(given).unwrap_or(u64::MAX)))
    }
}
