//! What a parser answers, and the proof that it asked.

use std::borrow::Cow;
use std::marker::PhantomData;

use crate::connection::FaultKind;

/// The two directions of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the side that opened the connection: requests.
    Orig,
    /// Back to it: replies.
    Reply,
}

impl Direction {
    /// The other direction.
    pub const fn opposite(self) -> Self {
        match self {
            Self::Orig => Self::Reply,
            Self::Reply => Self::Orig,
        }
    }
}

/// What is to be done with the bytes at the front of the input.
///
/// After [`Pass`](Self::Pass), [`Drop`](Self::Drop) and [`Inject`](Self::Inject) the parser is called again with what is
/// left, also when nothing is.
#[derive(Debug)]
#[must_use]
pub enum Verdict<'c> {
    /// This many *more* bytes than the input holds are needed before the next call. Exact wherever a header tells.
    More(u64),
    /// The bytes that the grant is for pass. They may exceed the input: the rest passes as it arrives, unseen.
    Pass(Grant<'c>),
    /// This many bytes are dropped. They may exceed the input.
    Drop(u64),
    /// This many bytes of this direction's inject buffer go out now.
    Inject(u64),
    /// Nothing to do until more bytes come, however many.
    Nop,
    /// Nothing of this direction moves until a job handed over by [`Context::run`](crate::Context::run) is done, or, where
    /// there is none, the other direction has moved.
    Wait,
}

/// What [`Parser::on_data`](crate::Parser::on_data) returns.
pub type OnData<'c> = Result<Verdict<'c>, ParseError>;

/// The proof that policy was asked about a frame (or that a parser said in so many words that it need not be).
///
/// Only [`Context`](crate::Context) makes one. It is for the bytes at hand: it cannot be copied, nor kept beyond the call,
/// and it carries the stream offset and the length it was given for, which the datapath checks.
///
/// It cannot be kept:
///
/// ```compile_fail
/// use portcullis_proxylib::Grant;
/// struct Hoarder { kept: Option<Grant<'static>> }
/// impl Hoarder {
///     fn keep(&mut self, grant: Grant<'_>) { self.kept = Some(grant); }
/// }
/// ```
///
/// It cannot be used twice:
///
/// ```compile_fail
/// use portcullis_proxylib::{Grant, Verdict};
/// fn twice<'c>(grant: Grant<'c>) -> (Verdict<'c>, Verdict<'c>) {
///     (Verdict::Pass(grant), Verdict::Pass(grant))
/// }
/// ```
///
/// It is for as many bytes as were asked about, and no more:
///
/// ```compile_fail
/// use portcullis_proxylib::{Grant, Verdict};
/// fn longer<'c>(mut grant: Grant<'c>) -> Verdict<'c> {
///     grant.len += 100;
///     Verdict::Pass(grant)
/// }
/// ```
///
/// It cannot be made up:
///
/// ```compile_fail
/// use portcullis_proxylib::Grant;
/// let grant = Grant { offset: 0, len: 10 };
/// ```
#[derive(Debug)]
#[must_use = "a frame that was granted must be passed or dropped"]
pub struct Grant<'c> {
    offset: u64,
    len: u64,
    call: PhantomData<fn(&'c ()) -> &'c ()>,
}

impl Grant<'_> {
    pub(crate) const fn new(offset: u64, len: u64) -> Self {
        Self { offset, len, call: PhantomData }
    }

    pub(crate) const fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes of the frame.
    #[expect(clippy::len_without_is_empty, reason = "a length of zero is refused where grants are used")]
    pub const fn len(&self) -> u64 {
        self.len
    }
}

/// Bytes that are not what the protocol allows: the connection closes, in order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct ParseError {
    why: Cow<'static, str>,
    reply: Cow<'static, [u8]>,
    is_fault: bool,
}

impl ParseError {
    /// No error: the protocol itself ends the connection here, in order, with these last bytes for the client. Nothing is
    /// counted or logged.
    pub fn finish(reply: impl Into<Cow<'static, [u8]>>) -> Self {
        Self { why: Cow::Borrowed("the protocol ends the connection"), reply: reply.into(), is_fault: false }
    }

    /// What is wrong, for the log: lower case, no bytes of the connection in it.
    pub fn new(why: impl Into<Cow<'static, str>>) -> Self {
        Self { why: why.into(), reply: Cow::Borrowed(b""), is_fault: true }
    }

    /// The protocol's own error, sent after the replies still owed and before the close. Only for requests.
    #[must_use]
    pub fn reply(mut self, reply: impl Into<Cow<'static, [u8]>>) -> Self {
        self.reply = reply.into();
        self
    }

    /// What is wrong.
    pub fn why(&self) -> &str {
        &self.why
    }

    pub(crate) fn into_parts(self) -> (FaultKind, Cow<'static, str>, Cow<'static, [u8]>) {
        let kind = if self.is_fault { FaultKind::Parse } else { FaultKind::Finished };
        (kind, self.why, self.reply)
    }
}
