//! The test parsers of Cilium's proxylib, and one that panics on command: for tests of hosts, never in production builds.

mod block;
mod header;
mod line;
mod panicker;
mod passer;

pub use block::BlockParser;
pub use header::HeaderParser;
pub use line::LineParser;
pub use panicker::Panicker;
pub use passer::Passer;

use portcullis_policy::{Describe, Dialect, Fields, ListedRule, RuleList};
use portcullis_proxylib::{Context, OnData, ParseError, Verdict};
use portcullis_proxylib::{Registry, protocols};
use serde::Deserialize;

/// The protocols for production, and those of this module.
pub static REGISTRY: Registry = protocols![
    crate::r2d2::R2d2,
    crate::memcache::Memcache,
    crate::cassandra::Cassandra,
    crate::admission::AdmissionProtocol,
    Passer,
    LineParser,
    BlockParser,
    HeaderParser,
    Panicker,
];

/// Rules of parsers that never ask: an `l7` item with any key is refused.
pub type NoRules = RuleList<NoRule>;

/// An empty `l7` item.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoRule {}

/// What a test parser shows of a line.
pub struct Line<'a>(&'a [u8]);

impl Describe for Line<'_> {
    fn describe(&self, fields: &mut dyn Fields) {
        fields.text("line", self.0);
    }
}

impl ListedRule for NoRule {
    type Spec = Self;
    type Request<'a> = Line<'a>;

    fn compile(spec: Self, _dialect: Dialect) -> Result<Self, String> {
        Ok(spec)
    }

    fn matches(&self, _request: &Line<'_>) -> Result<(), &'static str> {
        Ok(())
    }
}

const WHY: &str = "a test parser";

/// What the line and the block parser do with a frame that they were told to inject or insert.
fn obey<'c>(cx: &mut Context<'c, NoRules>, verb: Verb, frame: &[u8], inserted: &mut bool) -> OnData<'c> {
    let len = frame.len() as u64;
    let towards_client = match verb {
        Verb::Pass => return Ok(Verdict::Pass(cx.unjudged(len, WHY))),
        Verb::Drop => return Ok(Verdict::Drop(len)),
        Verb::Inject => cx.direction() == portcullis_proxylib::Direction::Orig,
        Verb::Insert if std::mem::take(inserted) => return Ok(Verdict::Drop(len)),
        Verb::Insert => cx.direction() == portcullis_proxylib::Direction::Reply,
    };
    if towards_client {
        cx.inject_reply(frame);
    } else {
        let grant = cx.unjudged(len, WHY);
        cx.inject_request(grant, frame);
    }
    if verb == Verb::Insert {
        *inserted = true;
        return Ok(Verdict::Inject(len));
    }
    Ok(Verdict::Drop(len))
}

/// What a frame tells its parser to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    /// Let the frame pass.
    Pass,
    /// Drop it.
    Drop,
    /// Inject it into the other direction, and drop it.
    Inject,
    /// Inject it into its own direction, and drop it.
    Insert,
}

const VERBS: [(&[u8], Verb); 4] =
    [(b"PASS", Verb::Pass), (b"DROP", Verb::Drop), (b"INJECT", Verb::Inject), (b"INSERT", Verb::Insert)];

fn unknown<T>() -> Result<T, ParseError> {
    Err(ParseError::new("a frame that tells nothing to do"))
}
