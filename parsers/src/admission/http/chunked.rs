//! A body in chunks: RFC 9112, section 7.1, and nothing that is only tolerated.

use super::end::HeadEnd;
use super::fields::check_trailers;
use super::{MAX_EXTENSIONS, MAX_TRAILERS, Malformed, Status, is_token};

/// How far a body in chunks was read. Each byte is looked at once, however they come; those of chunks not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chunks {
    /// Bytes that were looked at, from the front of the input.
    at: usize,
    state: State,
    /// Bytes of the chunks so far.
    len: u64,
    /// Bytes of extensions so far.
    extensions: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Size {
        value: u64,
        digits: u8,
    },
    /// Behind a `;`, and whether a name was there.
    Name {
        value: u64,
        any: bool,
    },
    /// Behind a `=`, and whether a value was there.
    Value {
        value: u64,
        any: bool,
    },
    SizeLf {
        value: u64,
    },
    Data {
        left: u64,
    },
    DataCr,
    DataLf,
    Trailers {
        start: usize,
        end: HeadEnd,
    },
    Done,
}

/// Digits of the size of a chunk: as many as a `u64` has.
const MAX_DIGITS: u8 = 16;

/// Bytes that come behind a chunk at least: the end of its line, and the last chunk.
const AFTER_CHUNK: u64 = 7;

/// The most that may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Bytes of the body.
    pub(super) body: u64,
    /// Bytes of the whole frame as it came, from the front of the input.
    pub(super) frame: u64,
}

impl Chunks {
    /// A body that begins at `at`.
    pub(super) const fn new(at: usize) -> Self {
        Self { at, state: State::Size { value: 0, digits: 0 }, len: 0, extensions: 0 }
    }

    /// Goes on to the end of the body: nothing more to ask for, or the number of bytes that must come before there is anything
    /// to look at.
    pub(super) fn advance(&mut self, input: &[u8], bounds: Bounds) -> Result<Option<u64>, Malformed> {
        loop {
            match &mut self.state {
                State::Done => return Ok(None),
                State::Data { left } => {
                    let there = input.len().saturating_sub(self.at);
                    let now = usize::try_from(*left).unwrap_or(usize::MAX).min(there);
                    self.at = self.at.saturating_add(now);
                    *left = left.saturating_sub(now as u64);
                    if *left > 0 {
                        // And the byte behind the chunk, which can be wrong.
                        return Ok(Some(left.saturating_add(1)));
                    }
                    self.state = State::DataCr;
                }
                State::Trailers { start, end } => {
                    let lines = input.get(*start..).unwrap_or_default();
                    let room = usize::try_from(bounds.frame).unwrap_or(usize::MAX).saturating_sub(*start);
                    match end.find(lines, MAX_TRAILERS.min(room))? {
                        None => return Ok(Some(1)),
                        Some(len) => {
                            if let Err(malformed) = check_trailers(lines.get(..len).unwrap_or_default()) {
                                *end = HeadEnd::default();
                                return Err(malformed);
                            }
                            self.at = start.saturating_add(len);
                            self.state = State::Done;
                        }
                    }
                }
                _ => {
                    if self.at as u64 >= bounds.frame {
                        return Err(TOO_LARGE);
                    }
                    let Some(&byte) = input.get(self.at) else { return Ok(Some(1)) };
                    self.step(byte, bounds)?;
                    self.at = self.at.saturating_add(1);
                }
            }
        }
    }

    /// One byte between chunks.
    fn step(&mut self, byte: u8, bounds: Bounds) -> Result<(), Malformed> {
        let next = self.at.saturating_add(1);
        if matches!(self.state, State::Name { .. } | State::Value { .. }) {
            self.extensions = self.extensions.saturating_add(1);
            if self.extensions > MAX_EXTENSIONS {
                return Err(Malformed::bad("too many extensions of chunks"));
            }
        }
        self.state = match (&self.state, byte) {
            (&State::Size { value, digits }, digit) if digit.is_ascii_hexdigit() => {
                if digits >= MAX_DIGITS {
                    return Err(Malformed::bad("a size of a chunk with too many digits"));
                }
                let digit = char::from(digit).to_digit(16).unwrap_or_default();
                let value = value.wrapping_shl(4) | u64::from(digit);
                State::Size { value, digits: digits.saturating_add(1) }
            }
            (&State::Size { value, digits: 1.. }, b'\r') => State::SizeLf { value },
            (&State::Size { value, digits: 1.. }, b';') => State::Name { value, any: false },
            (State::Size { .. }, _) => {
                return Err(Malformed::bad("a size of a chunk that is not hexadecimal digits alone"));
            }
            (&State::Name { value, any: true } | &State::Value { value, any: true }, b';') => {
                State::Name { value, any: false }
            }
            (&State::Name { value, any: true }, b'=') => State::Value { value, any: false },
            (&State::Name { value, any: true } | &State::Value { value, any: true }, b'\r') => State::SizeLf { value },
            (&State::Name { value, .. }, byte) if is_token(byte) => State::Name { value, any: true },
            (&State::Value { value, .. }, byte) if is_token(byte) => State::Value { value, any: true },
            (State::Name { .. } | State::Value { .. }, _) => {
                return Err(Malformed::bad("an extension of a chunk that is none"));
            }
            (&State::SizeLf { value: 0 }, b'\n') => State::Trailers { start: next, end: HeadEnd::default() },
            (&State::SizeLf { value }, b'\n') => {
                let len = self.len.saturating_add(value);
                let end = (next as u64).saturating_add(value).saturating_add(AFTER_CHUNK);
                if len > bounds.body || end > bounds.frame {
                    return Err(TOO_LARGE);
                }
                self.len = len;
                State::Data { left: value }
            }
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size { value: 0, digits: 0 },
            (State::DataCr | State::DataLf, _) => return Err(Malformed::bad("a chunk that is longer than its size")),
            _ => return Err(Malformed::bad("a line of a chunk without its end")),
        };
        Ok(())
    }

    /// Bytes from the front of the input that need not be shown again.
    pub(super) const fn settled(&self) -> usize {
        match self.state {
            State::Trailers { start, .. } => start,
            _ => self.at,
        }
    }

    /// The input now begins so many bytes later, none of them beyond [`settled`](Self::settled).
    pub(super) const fn shift(&mut self, by: usize) {
        self.at = self.at.saturating_sub(by);
        if let State::Trailers { start, .. } = &mut self.state {
            *start = start.saturating_sub(by);
        }
    }

    /// Bytes of the chunks so far.
    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    /// Where the body ends, once it does.
    pub(super) const fn end(&self) -> usize {
        self.at
    }
}

const TOO_LARGE: Malformed = Malformed::with(Status::BODY_TOO_LARGE, "the body is too large");

/// Puts together the chunks of a body that was read to its end.
pub fn join(mut raw: &[u8], out: &mut Vec<u8>) {
    out.clear();
    while let Some(end) = memchr::memchr(b'\n', raw) {
        let (line, rest) = raw.split_at(end.saturating_add(1));
        let digits = line.iter().map_while(|&byte| char::from(byte).to_digit(16));
        let size = digits.fold(0_usize, |size, digit| size.wrapping_shl(4) | digit as usize);
        let Some((chunk, after)) = rest.split_at_checked(size).filter(|_| size > 0) else { break };
        out.extend_from_slice(chunk);
        raw = after.get(2..).unwrap_or_default();
    }
}
