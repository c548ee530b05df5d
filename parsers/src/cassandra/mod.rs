//! Cassandra: the native protocol in versions 3, 4 and 5.
//!
//! Framing is Cassandra's own; statements are read by [`cql`] as Cassandra reads them, or denied. What a connection's names
//! mean (its keyspace, its prepared statements) is learned from the server alone. `docs/cassandra.md` has the tables.

mod answer;
mod compress;
pub mod cql;
mod frame;
mod groups;
mod judge;
mod message;
mod orig;
mod pending;
mod prepared;
mod reply;
mod request;
mod rule;
mod rules;
mod segment;
mod segments;
mod standin;
mod statements;
mod strict;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use portcullis_proxylib::{Context, Direction, Input, Meta, NoConfig, OnData, Parser, Protocol};

use self::compress::Compression;
use self::frame::Version;
use self::judge::Hold;
use self::pending::Pending;
pub use self::prepared::Prepared;
use self::prepared::Statement;
pub use self::request::Request;
pub use self::rule::Rule;
pub use self::rules::Rules;
use self::segment::Framing;
use self::segments::Segments;
use self::standin::StandIns;

/// The protocol.
pub struct Cassandra;

impl Protocol for Cassandra {
    const NAME: &'static str = "cassandra";
    type Config = NoConfig;
    type Shared = Prepared;
    type Parser = CassandraParser;
    const STAND_IN: Option<&'static str> = Some("OPTIONS on the same stream");

    fn open(&self, _meta: &Meta, _config: &NoConfig, shared: &Arc<Prepared>) -> Option<CassandraParser> {
        Some(CassandraParser {
            shared: Arc::clone(shared),
            stage: Stage::New,
            version: Version::V5,
            framing: Framing::Plain(Compression::None),
            keyspace: None,
            pending: Pending::default(),
            preparing: Vec::new(),
            hold: Hold::No,
            segments: Segments::default(),
            reply_left: 0,
            owed: Vec::new(),
            stand_ins: StandIns::default(),
            reply_drop: 0,
            closing: false,
        })
    }
}

/// The parser of one connection.
pub struct CassandraParser {
    /// What the servers of the listener have prepared.
    shared: Arc<Prepared>,
    stage: Stage,
    /// The version of the last request; the same for all of them once the connection is set up.
    version: Version,
    framing: Framing,
    /// As the server said last.
    keyspace: Option<Box<str>>,
    pending: Pending,
    /// Statements that wait for their ids, by stream.
    preparing: Vec<(i16, Arc<Statement>)>,
    /// What the request at the front waits for.
    hold: Hold,
    /// Requests in segments.
    segments: Segments,
    /// Bytes of a reply's envelope that are to come in further segments.
    reply_left: u64,
    /// Answers of ours that wait for its end.
    owed: Vec<u8>,
    /// Answers of ours that wait for the replies to requests that stood in for others.
    stand_ins: StandIns,
    /// Bytes of replies that are to be dropped, once what stands in their place is on its way.
    reply_drop: u64,
    /// After a request that was given up: what is owed is delivered, and no more.
    closing: bool,
}

/// How far a connection is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    New,
    /// After STARTUP nobody can say how the next request is framed: it waits for the answer.
    Starting {
        /// Nothing if servers do not have what the client asked for.
        compression: Option<Compression>,
    },
    Authenticating,
    Ready,
    /// STARTUP was refused in version 5: some servers read segments from then on, and some do not.
    Refused,
}

impl Parser for CassandraParser {
    type Rules = Rules;

    fn on_data<'c>(&mut self, cx: &mut Context<'c, Rules>, input: Input<'_>) -> OnData<'c> {
        match cx.direction() {
            Direction::Orig => {
                let judged = self.on_request(cx, input);
                self.closing |= judged.is_err();
                judged
            }
            Direction::Reply => self.on_reply(cx, input),
        }
    }

    fn owes_replies(&self) -> bool {
        !self.pending.is_empty() || self.reply_left > 0 || !self.owed.is_empty()
    }

    fn kept_answers(&self) -> usize {
        self.stand_ins.kept().saturating_add(self.owed.len())
    }
}
