//! Protocols whose calls are counted: what a parser is shown is what it costs.

use std::cell::Cell;
use std::sync::Arc;

use portcullis_parsers::{admission::AdmissionProtocol, cassandra::Cassandra, memcache::Memcache, r2d2::R2d2};
use portcullis_policy::DocumentCompiler;
use portcullis_proxylib::{Context, Direction, Input, Meta, OnData, Parser, Protocol, Registry, Verdict, protocols};

/// The protocols for production, counted.
pub(super) static REGISTRY: Registry =
    protocols![Counted(R2d2), Counted(Memcache), Counted(Cassandra), Counted(AdmissionProtocol)];

/// What the parsers of this thread did since this was last reset.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) calls: usize,
    /// Bytes that a parser had to look at: those decided, and of those it asked more for the ones it had not seen before.
    pub(super) examined: usize,
    /// Verdicts on requests that decided something.
    pub(super) progress: usize,
    /// Replies that a parser found to be none.
    pub(super) bad_replies: usize,
    /// Bytes that waited to be injected towards the client, at most.
    pub(super) backlog: usize,
    /// Whether parsers are told that they have seen nothing before.
    pub(super) forgetful: bool,
}

thread_local! {
    static COUNTS: Cell<Counts> = Cell::default();
}

pub(super) fn reset(forgetful: bool) {
    COUNTS.set(Counts { forgetful, ..Counts::default() });
}

pub(super) fn counts() -> Counts {
    COUNTS.get()
}

pub(super) struct Counted<P>(P);

impl<P: Protocol> Protocol for Counted<P> {
    const NAME: &'static str = P::NAME;
    type Config = P::Config;
    type Shared = P::Shared;
    type Parser = CountedParser<P::Parser>;

    fn documents(&self) -> Option<&'static dyn DocumentCompiler> {
        self.0.documents()
    }

    fn open(&self, meta: &Meta, config: &P::Config, shared: &Arc<P::Shared>) -> Option<Self::Parser> {
        self.0.open(meta, config, shared).map(CountedParser)
    }
}

pub(super) struct CountedParser<P>(P);

impl<P: Parser> Parser for CountedParser<P> {
    type Rules = P::Rules;

    fn on_data<'c>(&mut self, cx: &mut Context<'c, Self::Rules>, input: Input<'_>) -> OnData<'c> {
        let mut counts = counts();
        let seen = if counts.forgetful { 0 } else { input.seen() };
        let (len, request) = (input.len(), cx.direction() == Direction::Orig);
        counts.calls += 1;
        let verdict = self.0.on_data(cx, Input::new(input.bytes(), seen, input.is_end()));
        let decided = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(len);
        let (examined, progress) = match &verdict {
            Ok(Verdict::Pass(grant)) => (decided(grant.len()), true),
            Ok(Verdict::Drop(n)) => (decided(*n), true),
            Ok(Verdict::Inject(_)) => (0, true),
            Ok(Verdict::More(_) | Verdict::Nop) => (len.saturating_sub(input.seen()), false),
            Ok(Verdict::Wait) => (0, false),
            Err(_) => (len.saturating_sub(input.seen()), true),
        };
        counts.examined += examined;
        counts.progress += usize::from(progress && request);
        counts.bad_replies += usize::from(verdict.is_err() && !request);
        counts.backlog = counts.backlog.max(cx.reply_backlog());
        COUNTS.set(counts);
        verdict
    }

    fn owes_replies(&self) -> bool {
        self.0.owes_replies()
    }
}
