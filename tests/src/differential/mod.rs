//! memcached against itself: what a stream does to a server alone, and what it does to one behind us.

pub mod canary;
mod client;
pub mod divergences;
mod normalise;
mod relay;
mod server;
pub mod streams;

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portcullis_proxylib::testing::Cut;

use client::{Pace, Reply, play};
use divergences::{Divergence, Ending};
use normalise::normalise;
use relay::{Relay, Trace};
use server::Server;
use streams::{Protocol, Stream, cut, cut_requests, protocol_of, tail};

pub use server::find_memcached;

/// Admits everything.
const ALLOW_ALL: &str = "[{}]";

/// How long each request of a patient play is waited for. A difference that a busy machine made goes away with more patience.
const PAUSES: [Duration; 3] = [Duration::from_millis(4), Duration::from_millis(25), Duration::from_millis(100)];

/// A fast play that differs is played again so often.
const TRIES: usize = 3;

/// Differences of one stream that are looked into, one after the other.
const MAX_EXCISIONS: usize = 40;

/// Streams that a pair of servers sees before it is replaced: what was set stays with them, and `cas` uniques grow.
const PAIR_STREAMS: usize = 20;

/// Compares replies, one stream after the other.
pub struct Judge {
    memcached: PathBuf,
    pair: Option<Pair>,
    pauses: &'static [Duration],
}

/// Two servers that were sent the same.
struct Pair {
    direct: Server,
    relayed: Server,
    streams: usize,
}

/// What became of a stream: the listed divergences that were met in it.
pub type Outcome = Result<Vec<&'static str>, Box<Difference>>;

/// The divergences of a stream, and what is left of it without them.
type Explained = Result<(Vec<&'static str>, Vec<Vec<u8>>), Box<Difference>>;

/// A difference that no divergence of the table explains.
#[derive(Debug)]
pub struct Difference {
    /// What is wrong.
    pub why: String,
    /// The stream, as far as it matters.
    pub pieces: Vec<Vec<u8>>,
    direct: Reply,
    relayed: Reply,
    trace: Trace,
}

/// Both plays of one stream.
struct Plays {
    direct: Reply,
    relayed: Reply,
    trace: Trace,
}

/// The row of a request, the stream without it, and what became of that; or why there is none.
type Excised = Result<(&'static Divergence, Vec<Vec<u8>>, Plays), String>;

impl Judge {
    /// One that plays to this program.
    pub fn new(memcached: &Path) -> Self {
        Self { memcached: memcached.to_owned(), pair: None, pauses: &PAUSES }
    }

    /// One that would rather see a difference where there is none than wait.
    pub fn hasty(memcached: &Path) -> Self {
        Self { pauses: &PAUSES[..1], ..Self::new(memcached) }
    }

    /// Plays a stream as fast as may be; if the replies are not the same, patiently, to see why.
    ///
    /// # Errors
    /// A difference that is not listed.
    pub fn judge(&mut self, stream: &Stream) -> Outcome {
        let mut pieces = stream.pieces.clone();
        let mut bytes = stream.bytes();
        let protocol = protocol_of(&bytes);
        if protocol == Protocol::Text && !bytes.ends_with(b"\n") {
            // The tail is to be lines of its own.
            pieces.push(b"\n".to_vec());
            bytes.push(b'\n');
        }
        let watches = is_watching(&bytes);
        let sent = cut(&[bytes, tail(protocol)].concat(), stream.seed);
        let cut = match stream.seed % 4 {
            0 => Cut::Whole,
            1 => Cut::Bytewise,
            2 => Cut::Random(stream.seed),
            _ => Cut::Pieces(stream.seed),
        };
        let bare = |why: String| Difference::bare(&why);
        let mut pair = self.take_pair().map_err(bare)?;
        let direct = play(&pair.direct.connect().map_err(bare)?, &sent, Pace::Fast, watches);
        let relay = Relay::open(ALLOW_ALL, pair.relayed.address(), cut).map_err(bare)?;
        let relayed = play(&relay.client, &sent, Pace::Fast, watches);
        let fast = Plays { direct, relayed, trace: Trace::default() };
        // Otherwise the two have another past by now, or a watcher that they have not yet seen go.
        if fast.are_same(protocol) && !watches {
            relay.finish().map_err(bare)?;
            pair.streams += 1;
            self.pair = Some(pair);
            return Ok(Vec::new());
        }
        drop(pair);
        relay.finish().map_err(bare)?;
        if fast.are_same(protocol) {
            return Ok(Vec::new());
        }
        let (met, left) = self.judge_patiently(&pieces)?;
        if watches || left.concat().windows(5).any(|window| window == b"dump ") {
            // What is pipelined before these makes the server refuse them.
            return Ok(met);
        }
        // Without the requests that are listed, it must make no difference either that nobody waits.
        let pieces = self::cut(&[left.concat(), tail(protocol)].concat(), stream.seed);
        let mut fast = self.play(&pieces, Pace::Fast, cut)?;
        for _ in 0..TRIES {
            if fast.are_same(protocol) || fast.lose_the_last(protocol) {
                return Ok(met);
            }
            fast = self.play(&pieces, Pace::Fast, cut)?;
        }
        let Plays { direct, relayed, trace } = fast;
        Err(Box::new(Difference {
            why: "differs only when nobody waits".to_owned(),
            pieces: left,
            direct,
            relayed,
            trace,
        }))
    }

    fn take_pair(&mut self) -> Result<Pair, String> {
        if let Some(pair) = self.pair.take().filter(|pair| pair.streams < PAIR_STREAMS)
            && pair.direct.flush().and_then(|()| pair.relayed.flush()).is_ok()
        {
            return Ok(pair);
        }
        Ok(Pair { direct: Server::start(&self.memcached)?, relayed: Server::start(&self.memcached)?, streams: 0 })
    }

    /// Plays requests one by one, takes out those that the table lists, and compares what is left.
    fn judge_patiently(&self, pieces: &[Vec<u8>]) -> Explained {
        let mut outcome = self.judge_at(pieces.to_vec(), self.pauses[0]);
        for &pause in &self.pauses[1..] {
            if outcome.is_ok() {
                break;
            }
            outcome = self.judge_at(pieces.to_vec(), pause);
        }
        outcome
    }

    fn judge_at(&self, mut pieces: Vec<Vec<u8>>, pause: Duration) -> Explained {
        let protocol = protocol_of(&pieces.concat());
        let mut met = Vec::new();
        let mut plays = self.play_requests(&pieces, protocol, pause)?;
        for _ in 0..MAX_EXCISIONS {
            if plays.are_same(protocol) {
                let left = plays.trace.without_what_depends_on_arrival(protocol, &pieces, &mut met);
                return Ok((met, left));
            }
            if protocol == Protocol::Binary && plays.close_in_tail(pieces.concat().len()) {
                met.push(divergences::MAGIC);
                return Ok((met, pieces));
            }
            match self.excise(&pieces, protocol, &plays, pause)? {
                Ok((divergence, left, without)) => {
                    met.push(divergence.id);
                    (pieces, plays) = (left, without);
                }
                Err(why) => {
                    let Plays { direct, relayed, trace } = plays;
                    return Err(Box::new(Difference { why, pieces, direct, relayed, trace }));
                }
            }
        }
        Err(Difference::bare("more differences than are looked into"))
    }

    /// Takes out of a stream one request whose refusal is listed, and plays what is left.
    fn excise(
        &self,
        pieces: &[Vec<u8>],
        protocol: Protocol,
        plays: &Plays,
        pause: Duration,
    ) -> Result<Excised, Box<Difference>> {
        let bytes = pieces.concat();
        let sent = [&*bytes, &tail(protocol)].concat();
        let mut why = "not listed".to_owned();
        for (nth, refused) in plays.trace.refused.iter().enumerate() {
            let range = refused.start.min(bytes.len())..refused.end.min(bytes.len());
            let rows = divergences::find(protocol, &sent[refused.clone()]);
            if rows.is_empty() || range.is_empty() {
                continue;
            }
            let is_last = nth + 1 == plays.trace.refused.len();
            let ending = match plays.trace.closed {
                Some(_) if is_last => Ending::Closed,
                // The answers to the tail would have been something else than more of it.
                None if is_last && refused.end >= sent.len() => Ending::Swallowed,
                None if refused.end > bytes.len() => Ending::InTail,
                _ => Ending::Open,
            };
            // Empty lines behind it were refused on their own.
            let range = range.start..range.end.min(range.start + divergences::len(protocol, &sent[refused.clone()]));
            let left = without(pieces, if ending == Ending::Open { range } else { range.start..bytes.len() });
            if !left.is_empty() && protocol_of(&left[0]) != protocol {
                continue;
            }
            let after = self.play_requests(&left, protocol, pause)?;
            for row in rows {
                match row.check(&plays.relayed.bytes, &after.relayed.bytes, ending) {
                    Ok(()) => return Ok(Ok((row, left, after))),
                    Err(error) => why = format!("`{}`: {error}", row.id),
                }
            }
        }
        Ok(Err(why))
    }

    fn play_requests(&self, pieces: &[Vec<u8>], protocol: Protocol, pause: Duration) -> Result<Plays, Box<Difference>> {
        let mut requests = cut_requests(pieces, protocol);
        requests.extend(cut_requests(&[tail(protocol)], protocol));
        self.play(&requests, Pace::Patient(pause), Cut::Bytewise)
    }

    fn play(&self, pieces: &[Vec<u8>], pace: Pace, cut: Cut) -> Result<Plays, Box<Difference>> {
        self.try_play(pieces, pace, cut).map_err(|why| Difference::bare(&why))
    }

    fn try_play(&self, pieces: &[Vec<u8>], pace: Pace, cut: Cut) -> Result<Plays, String> {
        let server = Server::start(&self.memcached)?;
        let watches = is_watching(&pieces.concat());
        let direct = play(&server.connect()?, pieces, pace, watches);
        drop(server);
        let server = Server::start(&self.memcached)?;
        let relay = Relay::open(ALLOW_ALL, server.address(), cut)?;
        let relayed = play(&relay.client, pieces, pace, watches);
        // A relay that hangs ends with its server.
        drop(server);
        Ok(Plays { direct, relayed, trace: relay.finish()? })
    }

    /// Takes away of a stream what is not needed for a difference, in so many plays at most.
    pub fn minimise(&self, mut difference: Box<Difference>, plays: usize) -> Box<Difference> {
        let signature = difference.signature();
        let mut left = plays;
        let mut size = difference.pieces.concat().len();
        let mut by_bytes = false;
        let mut step = difference.pieces.len();
        loop {
            let mut at = 0;
            step = (step / 2).max(1);
            loop {
                let total = if by_bytes { difference.pieces.concat().len() } else { difference.pieces.len() };
                if at >= total || left == 0 {
                    break;
                }
                let candidate = if by_bytes {
                    without(&difference.pieces, at..(at + step).min(total))
                } else {
                    [&difference.pieces[..at], difference.pieces.get(at + step..).unwrap_or_default()].concat()
                };
                left -= 1;
                match self.judge_at(candidate, PAUSES[1]) {
                    Err(smaller) if smaller.signature() == signature && !smaller.pieces.is_empty() => {
                        difference = smaller
                    }
                    _ => at += step,
                }
            }
            let now = difference.pieces.concat().len();
            if left == 0 || (step == 1 && by_bytes && now == size) {
                return difference;
            }
            if step == 1 {
                by_bytes = true;
                step = now;
            }
            size = now;
        }
    }
}

impl Plays {
    fn are_same(&self, protocol: Protocol) -> bool {
        !self.direct.hung
            && !self.relayed.hung
            && normalise(protocol, &self.direct.bytes) == normalise(protocol, &self.relayed.bytes)
    }
}

impl Plays {
    /// Whether one side did not get replies at the end that the other got: memcached drops those not yet sent when it closes, or
    /// waits for a value. How many these are depends on how the requests arrived.
    fn lose_the_last(&self, protocol: Protocol) -> bool {
        let (direct, relayed) = (normalise(protocol, &self.direct.bytes), normalise(protocol, &self.relayed.bytes));
        !self.direct.hung && !self.relayed.hung && (direct.starts_with(&relayed) || relayed.starts_with(&direct))
    }

    /// Whether the last request of a stream took part of the tail for its key, so that the rest is no request: memcached then
    /// closes without the reply to it.
    fn close_in_tail(&self, stream_len: usize) -> bool {
        let in_tail = self.trace.refused.last().is_some_and(|last| last.start >= stream_len);
        in_tail && self.trace.closed.is_some() && self.relayed.bytes.starts_with(&self.direct.bytes)
    }
}

impl Trace {
    /// Takes out of a stream those of its refused requests that the server refuses as well, but in a way that depends on what
    /// arrived with them.
    fn without_what_depends_on_arrival(
        &self,
        protocol: Protocol,
        pieces: &[Vec<u8>],
        met: &mut Vec<&'static str>,
    ) -> Vec<Vec<u8>> {
        let bytes = pieces.concat();
        let mut left = pieces.to_vec();
        for (nth, refused) in self.refused.iter().enumerate().rev() {
            let (start, end) = (refused.start.min(bytes.len()), refused.end.min(bytes.len()));
            let rows = divergences::find(protocol, &bytes[start..end]);
            if self.closed.is_some() && nth + 1 == self.refused.len() {
                left = without(&left, start..bytes.len());
            } else if rows.iter().any(|row| row.id == divergences::LONG_KEY) {
                met.push(divergences::LONG_KEY);
                left = without(&left, start..end);
            }
        }
        left
    }
}

/// Whether a stream may end as a watcher, for which memcached does not close a connection when the client does.
fn is_watching(bytes: &[u8]) -> bool {
    bytes.windows(5).any(|window| window == b"watch")
}

/// Pieces without these of their bytes.
fn without(pieces: &[Vec<u8>], range: Range<usize>) -> Vec<Vec<u8>> {
    let mut at = 0;
    let mut left = Vec::new();
    for piece in pieces {
        let kept = piece.iter().enumerate().filter(|(n, _)| !range.contains(&(at + n))).map(|(_, &byte)| byte);
        let kept: Vec<u8> = kept.collect();
        if !kept.is_empty() {
            left.push(kept);
        }
        at += piece.len();
    }
    left
}

impl Difference {
    /// What a smaller stream must show to be the same difference.
    fn signature(&self) -> (String, String, bool, Vec<u8>) {
        let log =
            self.trace.log.last().map_or_else(String::new, |line| format!("{}{}", line["reason"], line["fields"]));
        let same = self.direct.bytes.iter().zip(&self.relayed.bytes).take_while(|(a, b)| a == b).count();
        let differs: Vec<u8> = self.relayed.bytes.iter().skip(same).take(12).copied().collect();
        (self.why.clone(), log, self.trace.closed.is_some(), differs)
    }

    fn bare(why: &str) -> Box<Self> {
        let (direct, relayed) = (Reply::default(), Reply::default());
        Box::new(Self { why: why.to_owned(), pieces: Vec::new(), direct, relayed, trace: Trace::default() })
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// More of a stream nobody reads.
        const SHOWN: usize = 1500;
        let show = |bytes: &[u8]| {
            let shown = bytes.get(..SHOWN).unwrap_or(bytes);
            let more = if shown.len() < bytes.len() { format!("… ({} bytes)", bytes.len()) } else { String::new() };
            format!("{}{more}", shown.escape_ascii())
        };
        let hung = |reply: &Reply| if reply.hung { " (hung)" } else { "" };
        writeln!(f, "{}", self.why)?;
        for piece in &self.pieces {
            writeln!(f, "  sent    {}", show(piece))?;
        }
        writeln!(f, "  direct  {}{}", show(&self.direct.bytes), hung(&self.direct))?;
        writeln!(f, "  through {}{}", show(&self.relayed.bytes), hung(&self.relayed))?;
        writeln!(f, "  refused {:?}, closed {:?}", self.trace.refused, self.trace.closed)?;
        for line in &self.trace.log {
            writeln!(f, "  log     {} {} {}", line["verdict"], line["reason"], line["fields"])?;
        }
        Ok(())
    }
}
