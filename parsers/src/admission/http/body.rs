//! Where a body ends, and its bytes.

use super::chunked::{Bounds, Chunks, join};
use super::{Framing, Malformed, Status};

/// How far the body of a request was read, whose head is still in front of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// Bytes of the head.
    pub head: usize,
    rest: Rest,
    max: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rest {
    /// The frame with its head has so many bytes.
    Length(u64),
    Chunked(Chunks),
}

/// How far a body is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// So many bytes must come first.
    More(u64),
    /// The frame, head and body, has so many bytes.
    Done(u64),
}

impl Body {
    /// The body behind a head of `head` bytes, of `max` bytes at most.
    pub const fn new(head: usize, framing: Framing, max: u64) -> Self {
        let rest = match framing {
            Framing::None => Rest::Length(head as u64),
            Framing::Length(length) => Rest::Length(length.saturating_add(head as u64)),
            Framing::Chunked => Rest::Chunked(Chunks::new(head)),
        };
        Self { head, rest, max }
    }

    /// The bytes of the frame, head and body, where the head tells.
    pub const fn total(&self) -> Option<u64> {
        match self.rest {
            Rest::Length(total) => Some(total),
            Rest::Chunked(_) => None,
        }
    }

    /// Whether the body may be as large as the head says, where no more than `frame` bytes can be held.
    ///
    /// # Errors
    /// It may not.
    pub const fn check(&self, frame: u64) -> Result<(), Malformed> {
        match self.rest {
            Rest::Length(total) if total > frame || total.saturating_sub(self.head as u64) > self.max => {
                Err(Malformed::with(Status::BODY_TOO_LARGE, "the body is too large"))
            }
            _ => Ok(()),
        }
    }

    /// The head is no longer in front of the body.
    pub const fn forget_head(&mut self) {
        match &mut self.rest {
            Rest::Length(total) => *total = total.saturating_sub(self.head as u64),
            Rest::Chunked(chunks) => chunks.shift(self.head),
        }
        self.head = 0;
    }

    /// Goes on to the end of the body. `input` begins with the head, and no more than `frame` of its bytes can be held.
    ///
    /// # Errors
    /// A body that is too large, or chunks that are none.
    pub fn advance(&mut self, input: &[u8], frame: u64) -> Result<Progress, Malformed> {
        self.check(frame)?;
        match &mut self.rest {
            Rest::Length(total) => Ok(match total.checked_sub(input.len() as u64) {
                Some(more @ 1..) => Progress::More(more),
                _ => Progress::Done(*total),
            }),
            Rest::Chunked(chunks) => Ok(match chunks.advance(input, Bounds { body: self.max, frame })? {
                Some(more) => Progress::More(more),
                None => Progress::Done(chunks.end() as u64),
            }),
        }
    }

    /// Goes on in a body of which nothing has to be held, behind the head: how many bytes from the front of the input are done
    /// with, and whether more must come. What is done with is not to be shown again.
    ///
    /// # Errors
    /// Chunks that are none.
    pub fn stream(&mut self, input: &[u8]) -> Result<(usize, bool), Malformed> {
        let chunks = match &mut self.rest {
            Rest::Chunked(chunks) => chunks,
            Rest::Length(left) => {
                let now = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left = left.saturating_sub(now as u64);
                return Ok((now, *left > 0));
            }
        };
        let advanced = chunks.advance(input, Bounds { body: self.max, frame: u64::MAX });
        let settled = chunks.settled();
        chunks.shift(settled);
        match advanced {
            Ok(more) => Ok((settled, more.is_some())),
            // What came before it is good, and would have gone on had it come alone. The fault is still there at the next call.
            Err(_) if settled > 0 => Ok((settled, true)),
            Err(malformed) => Err(malformed),
        }
    }

    /// Bytes of the body that came, and how many it should have, as far as that is known.
    pub fn extent(&self, input: &[u8]) -> (u64, Option<u64>) {
        match &self.rest {
            Rest::Length(total) => {
                ((input.len() as u64).saturating_sub(self.head as u64), Some(total.saturating_sub(self.head as u64)))
            }
            Rest::Chunked(chunks) => (chunks.len(), None),
        }
    }

    /// The bytes of the body, once it is there: `room` takes them where they came in chunks.
    pub fn bytes<'b>(&self, frame: &'b [u8], room: &'b mut Vec<u8>) -> &'b [u8] {
        let raw = frame.get(self.head..).unwrap_or_default();
        match self.rest {
            Rest::Length(_) => raw,
            Rest::Chunked(_) => {
                join(raw, room);
                room
            }
        }
    }
}
