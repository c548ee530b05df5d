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
use divergences::Divergence;
use normalise::normalise;
use relay::{Relay, Trace};
use server::Server;
use streams::{Protocol, Stream, cut, cut_requests, protocol_of, tail};

pub use server::find_memcached;

/// Admits everything.
const ALLOW_ALL: &str = "[{}]";

/// How long each request of a patient play is waited for. A difference that a busy machine made goes away with more patience.
const PAUSES: [Duration; 3] = [Duration::from_millis(4), Duration::from_millis(25), Duration::from_millis(100)];

/// Differences of one stream that are looked into, one after the other.
const MAX_EXCISIONS: usize = 40;

/// Compares replies.
pub struct Judge {
    memcached: PathBuf,
}

/// What became of a stream: the listed divergences that were met in it.
pub type Outcome = Result<Vec<&'static str>, Box<Difference>>;

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

impl Judge {
    /// One that plays to this program.
    pub fn new(memcached: &Path) -> Self {
        Self { memcached: memcached.to_owned() }
    }

    /// Plays a stream as fast as may be; if the replies are not the same, patiently, to see why.
    pub fn judge(&self, stream: &Stream) -> Outcome {
        let bytes = stream.bytes();
        let protocol = protocol_of(&bytes);
        let pieces = cut(&[bytes, tail(protocol)].concat(), stream.seed);
        let cut = match stream.seed % 4 {
            0 => Cut::Whole,
            1 => Cut::Bytewise,
            2 => Cut::Random(stream.seed),
            _ => Cut::Pieces(stream.seed),
        };
        let fast = self.play(&pieces, Pace::Fast, cut)?;
        if fast.are_same(protocol) { Ok(Vec::new()) } else { self.judge_patiently(&stream.pieces) }
    }

    /// Plays requests one by one, takes out those that the table lists, and compares what is left.
    ///
    /// # Errors
    /// The difference that is not listed.
    pub fn judge_patiently(&self, pieces: &[Vec<u8>]) -> Outcome {
        let mut outcome = Ok(Vec::new());
        for pause in PAUSES {
            outcome = self.judge_at(pieces.to_vec(), pause);
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    fn judge_at(&self, mut pieces: Vec<Vec<u8>>, pause: Duration) -> Outcome {
        let mut met = Vec::new();
        let mut before: Option<(Plays, &'static Divergence, bool, Vec<Vec<u8>>)> = None;
        let protocol = protocol_of(&pieces.concat());
        for _ in 0..MAX_EXCISIONS {
            let bytes = pieces.concat();
            let mut requests = cut_requests(&pieces, protocol);
            requests.extend(cut_requests(&[tail(protocol)], protocol));
            let plays = self.play(&requests, Pace::Patient(pause), Cut::Bytewise)?;
            let fail = |why: String, plays: Plays, pieces: Vec<Vec<u8>>| {
                let Plays { direct, relayed, trace } = plays;
                Err(Box::new(Difference { why, pieces, direct, relayed, trace }))
            };
            if let Some((with, divergence, closed, pieces)) = before.take()
                && let Err(why) = divergence.check(&with.relayed.bytes, &plays.relayed.bytes, closed)
            {
                return fail(format!("`{}`: {why}", divergence.id), with, pieces);
            }
            if plays.are_same(protocol) {
                return Ok(met);
            }
            if bytes.is_empty() {
                return fail("nothing is left of the stream".to_owned(), plays, pieces);
            }
            let refused = plays.trace.refused.iter().find_map(|range| {
                let range = range.start..range.end.min(bytes.len());
                divergences::find(protocol, bytes.get(range.clone())?).map(|divergence| (divergence, range))
            });
            let Some((divergence, range)) = refused else {
                return fail("not listed".to_owned(), plays, pieces);
            };
            met.push(divergence.id);
            let is_last = plays.trace.closed.is_some() && plays.trace.refused.last().is_some_and(|last| last.start == range.start);
            let left = without(&pieces, if is_last { range.start..bytes.len() } else { range });
            before = Some((plays, divergence, is_last, std::mem::replace(&mut pieces, left)));
        }
        Err(Difference::bare("more differences than are looked into"))
    }

    fn play(&self, pieces: &[Vec<u8>], pace: Pace, cut: Cut) -> Result<Plays, Box<Difference>> {
        self.try_play(pieces, pace, cut).map_err(|why| Difference::bare(&why))
    }

    fn try_play(&self, pieces: &[Vec<u8>], pace: Pace, cut: Cut) -> Result<Plays, String> {
        let server = Server::start(&self.memcached)?;
        let direct = play(&server.connect()?, pieces, pace);
        drop(server);
        let server = Server::start(&self.memcached)?;
        let relay = Relay::open(ALLOW_ALL, server.address(), cut)?;
        let relayed = play(&relay.client, pieces, pace);
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
                    Err(smaller) if smaller.signature() == signature && !smaller.pieces.is_empty() => difference = smaller,
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
        let log = self.trace.log.last().map_or_else(String::new, |line| format!("{}{}", line["reason"], line["fields"]));
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
