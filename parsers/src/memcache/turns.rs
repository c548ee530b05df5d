//! Whose turn it is to answer: the server's, or ours.

use std::collections::VecDeque;

/// The answers that are still to come, in the order of their requests. `S` says what a reply of the server looks like, `A` what
/// we answer ourselves.
///
/// Equal neighbours are counted, not repeated: a client that sends the same over and over costs no memory.
#[derive(Debug)]
pub(super) struct Turns<S, A> {
    runs: VecDeque<Run<S, A>>,
    /// Answers of ours that wait for the server,
    ours: usize,
    /// and their bytes.
    bytes: usize,
}

/// An answer of ours.
pub(super) trait Answer: Copy + PartialEq {
    /// Its bytes, once it is sent.
    fn size(self) -> usize;
}

impl Answer for &'static [u8] {
    fn size(self) -> usize {
        self.len()
    }
}

#[derive(Debug)]
struct Run<S, A> {
    turn: Turn<S, A>,
    count: u32,
}

/// One answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn<S, A> {
    /// A reply of the server.
    Server(S),
    /// Replies of the server of which some may never come, as long as no [`Barrier`](Self::Barrier) has: so many at least, so
    /// many at most.
    Some { least: u32, most: u32 },
    /// A reply of the server to a question of ours. The client gets this in its place, or nothing.
    Barrier(Option<A>),
    /// An answer of ours.
    Ours(A),
}

impl<S, A> Default for Turns<S, A> {
    fn default() -> Self {
        Self { runs: VecDeque::new(), ours: 0, bytes: 0 }
    }
}

impl<S, A> Turns<S, A> {
    /// Bytes of answers of ours that wait for the server.
    pub(super) const fn kept(&self) -> usize {
        self.bytes
    }
}

impl<S: Copy + PartialEq, A: Answer> Turns<S, A> {
    /// Whose turn it is.
    pub(super) fn front(&self) -> Option<Turn<S, A>> {
        self.runs.front().map(|run| run.turn)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Whether no more may be added before some are taken: a client must wait then, or, where it cannot, has asked too much.
    pub(super) fn is_full(&self, can_wait: bool) -> bool {
        let counted_out = self.runs.back().is_some_and(|run| run.count == u32::MAX);
        let more = if can_wait { 1 } else { WHERE_NONE_CAN_WAIT };
        let reached = |count: usize, limit: usize| count >= limit.saturating_mul(more);
        reached(self.runs.len(), MAX_RUNS) || reached(self.ours, MAX_OURS) || counted_out
    }

    /// Whether the last replies are of the kind that may not come.
    pub(super) fn ends_unsure(&self) -> bool {
        matches!(self.runs.back(), Some(Run { turn: Turn::Some { .. }, .. }))
    }

    /// Whether the server surely has something to say.
    pub(super) fn owes(&self) -> bool {
        self.runs.iter().any(|run| match run.turn {
            Turn::Some { least, .. } => least > 0,
            Turn::Server(_) | Turn::Barrier(_) | Turn::Ours(_) => true,
        })
    }

    pub(super) fn push(&mut self, turn: Turn<S, A>) {
        if let Some(size) = size_of_ours(turn) {
            self.ours = self.ours.saturating_add(1);
            self.bytes = self.bytes.saturating_add(size);
        }
        match self.runs.back_mut() {
            Some(run) if run.turn == turn => run.count = run.count.saturating_add(1),
            _ => self.runs.push_back(Run { turn, count: 1 }),
        }
    }

    /// Adds a reply that comes, or may not come, to those at the end of which that is so too.
    pub(super) fn push_unsure(&mut self, comes: bool) {
        if let Some(Run { turn: Turn::Some { least, most }, .. }) = self.runs.back_mut() {
            *most = most.saturating_add(1);
            *least = least.saturating_add(u32::from(comes));
        } else {
            self.runs.push_back(Run { turn: Turn::Some { least: u32::from(comes), most: 1 }, count: 1 });
        }
    }

    /// Takes the answer whose turn it is; of several that may not come, one that did.
    pub(super) fn take(&mut self) {
        let Some(run) = self.runs.front_mut() else { return };
        let done = match &mut run.turn {
            Turn::Some { least, most } => {
                *least = least.saturating_sub(1);
                *most = most.saturating_sub(1);
                *most == 0
            }
            turn => {
                if let Some(size) = size_of_ours(*turn) {
                    self.ours = self.ours.saturating_sub(1);
                    self.bytes = self.bytes.saturating_sub(size);
                }
                run.count = run.count.saturating_sub(1);
                run.count == 0
            }
        };
        if done {
            self.runs.pop_front();
        }
    }

    /// Our question was answered: it is the turn of what stands in its place.
    pub(super) fn answer_barrier(&mut self) {
        match self.runs.front_mut() {
            Some(Run { turn: Turn::Barrier(None), .. }) => self.take(),
            Some(Run { turn, .. }) => {
                if let Turn::Barrier(Some(answer)) = *turn {
                    *turn = Turn::Ours(answer);
                }
            }
            None => {}
        }
    }

    /// Gives up on replies that did not come.
    pub(super) fn skip_unsure(&mut self) {
        while matches!(self.front(), Some(Turn::Some { .. })) {
            self.runs.pop_front();
        }
    }
}

/// The bytes of an answer of ours, or of none behind a question of ours.
fn size_of_ours<S, A: Answer>(turn: Turn<S, A>) -> Option<usize> {
    match turn {
        Turn::Server(_) | Turn::Some { .. } => None,
        Turn::Barrier(answer) => Some(answer.map_or(0, Answer::size)),
        Turn::Ours(answer) => Some(answer.size()),
    }
}

/// Runs of answers at most; then requests wait. 32 KiB, for a client that mixes commands and denials thoroughly.
const MAX_RUNS: usize = 1024;

/// Answers of ours at most that wait for the server; then requests wait. 28 KiB when they are sent.
const MAX_OURS: usize = 1024;

/// How many times as much is taken where a client cannot be made to wait: what bulk loaders have under way.
const WHERE_NONE_CAN_WAIT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    impl Answer for char {
        fn size(self) -> usize {
            self.len_utf8()
        }
    }

    #[test]
    fn equal_neighbours_take_no_room_but_answers_of_ours_are_counted() {
        let mut turns = Turns::<u8, char>::default();
        for _ in 0..1_000_000 {
            turns.push(Turn::Server(1));
        }
        assert_eq!((turns.runs.len(), turns.is_full(true)), (1, false));
        for _ in 0..MAX_OURS {
            assert!(!turns.is_full(true));
            turns.push(Turn::Ours('n'));
        }
        assert_eq!((turns.runs.len(), turns.is_full(true), turns.kept()), (2, true, MAX_OURS));
        for _ in 0..=1_000_000 {
            turns.take();
        }
        assert_eq!((turns.front(), turns.is_full(true)), (Some(Turn::Ours('n')), false));
    }

    #[test]
    fn a_client_that_mixes_its_requests_must_wait_too() {
        let mut turns = Turns::<u8, char>::default();
        let pushed = (0..u32::MAX).take_while(|n| {
            turns.push(Turn::Server(u8::from(n % 2 == 0)));
            !turns.is_full(true)
        });
        assert_eq!(pushed.count(), MAX_RUNS - 1);
    }

    #[test]
    fn replies_that_may_not_come_are_owed_only_as_far_as_they_surely_do() {
        let mut turns = Turns::<u8, char>::default();
        turns.push_unsure(false);
        assert!(turns.ends_unsure() && !turns.owes());
        turns.push_unsure(true);
        assert!(turns.owes());
        turns.take();
        assert!(!turns.owes() && !turns.is_empty());
        turns.take();
        assert!(turns.is_empty());
    }

    #[test]
    fn what_stands_behind_a_question_has_its_turn_when_the_question_is_answered() {
        let mut turns = Turns::<u8, char>::default();
        turns.push_unsure(false);
        turns.push(Turn::Barrier(Some('n')));
        turns.push_unsure(false);
        turns.push(Turn::Barrier(None));
        turns.push(Turn::Server(1));
        turns.skip_unsure();
        turns.answer_barrier();
        assert_eq!((turns.front(), turns.kept()), (Some(Turn::Ours('n')), 1));
        turns.take();
        turns.skip_unsure();
        turns.answer_barrier();
        assert_eq!((turns.front(), turns.ours, turns.kept()), (Some(Turn::Server(1)), 0, 0));
    }
}
