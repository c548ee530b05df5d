//! Where we refuse what memcached takes: the tables of `docs/memcache.md`, in words that a test can check.

use super::normalise::normalise;
use super::streams::{Protocol, alive};

/// A row of the tables.
#[derive(Debug)]
pub struct Divergence {
    /// Its name in the table.
    pub id: &'static str,
    protocol: Protocol,
    /// Whether a refused request is of this kind.
    is_one: fn(&Refused<'_>) -> bool,
    /// What the client may be answered instead.
    answers: &'static [&'static str],
    then: Then,
}

/// How we go on after such a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    GoOn,
    Close,
    Either,
    /// With the next request, if there were one: all that came was the value.
    Swallow,
    /// Not at all, or as with `Swallow`.
    Unfinished,
}

/// How a connection stood after a refused request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// More requests were read.
    Open,
    /// We closed it.
    Closed,
    /// All that followed was the request's value.
    Swallowed,
    /// Part of the tail was the request's value; then more requests were read.
    InTail,
}

/// A request that did not reach the server.
struct Refused<'a> {
    line: &'a [u8],
    /// Bytes after the line that were refused with it.
    rest: usize,
    words: Vec<&'a [u8]>,
}

/// The rows that a refused request may belong to.
pub(super) fn find(protocol: Protocol, request: &[u8]) -> Vec<&'static Divergence> {
    let line = request.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let rest = request.len().saturating_sub(line.len() + 1);
    let words = line.strip_suffix(b"\r").unwrap_or(line);
    let words = words.split(|&byte| byte == b' ').filter(|word| !word.is_empty()).collect();
    let line = if protocol == Protocol::Text { line } else { request };
    let refused = Refused { line, rest, words };
    DIVERGENCES.iter().filter(|row| row.protocol == protocol && (row.is_one)(&refused)).collect()
}

/// Bytes of a refused request, without those that were refused after it.
pub(super) fn len(protocol: Protocol, request: &[u8]) -> usize {
    let Some(line) = request.iter().position(|&byte| byte == b'\n').filter(|_| protocol == Protocol::Text) else {
        return request.len();
    };
    let words: Vec<&[u8]> = request[..line].split(|&byte| byte == b' ').filter(|word| !word.is_empty()).collect();
    let value = match words[..] {
        [b"ms", _, len, ..] if line + 1 < request.len() => value_of(len.strip_suffix(b"\r").unwrap_or(len)),
        _ => None,
    };
    line + 1 + value.and_then(|len| usize::try_from(len + 2).ok()).unwrap_or(0)
}

impl Divergence {
    /// Checks what the client gets: with the request in its stream what it gets without it, and one of the answers.
    pub(super) fn check(&self, with: &[u8], without: &[u8], ending: Ending) -> Result<(), String> {
        let allowed = match self.then {
            Then::GoOn => matches!(ending, Ending::Open | Ending::InTail),
            Then::Close => ending == Ending::Closed,
            Then::Either => ending != Ending::Swallowed,
            Then::Swallow => ending == Ending::Swallowed,
            Then::Unfinished => matches!(ending, Ending::Closed | Ending::Swallowed),
        };
        if !allowed {
            return Err(format!("wanted {:?}, and it is {ending:?}", self.then));
        }
        let (with, without) = (normalise(self.protocol, with), normalise(self.protocol, without));
        let is_answer = |answered: &[u8]| {
            self.answers.iter().any(|answer| match self.protocol {
                Protocol::Text => answered == normalise(Protocol::Text, answer.as_bytes()),
                Protocol::Binary => {
                    answered.get(24..) == Some(answer.as_bytes()) || (answered.is_empty() && answer.is_empty())
                }
            })
        };
        if ending != Ending::Open {
            let alive = alive(self.protocol);
            let before = without.strip_suffix(&*alive).ok_or("without the request the connection does not live on")?;
            let answered =
                with.strip_prefix(before).ok_or("closed, the replies before are not those without the request")?;
            let is_answer = match ending {
                Ending::InTail => {
                    self.answers.iter().any(|answer| answered.starts_with(&normalise(self.protocol, answer.as_bytes())))
                }
                _ => is_answer(answered),
            };
            return if is_answer { Ok(()) } else { Err(format!("answered `{}`", answered.escape_ascii())) };
        }
        let more =
            with.len().checked_sub(without.len()).ok_or("there are fewer replies with the request than without it")?;
        let same = with.iter().zip(&without).take_while(|(a, b)| a == b).count();
        // Equal bytes before the answer may also be its first ones.
        let places = (0..=same).filter(|&at| with[at + more..] == without[at..]);
        let answers: Vec<&[u8]> = places.map(|at| &with[at..at + more]).collect();
        match answers.first() {
            None => Err("the other replies are not the same with the request and without it".to_owned()),
            Some(_) if answers.iter().any(|answered| is_answer(answered)) => Ok(()),
            Some(answered) => Err(format!("answered `{}`", answered.escape_ascii())),
        }
    }
}

impl<'a> Refused<'a> {
    fn command(&self) -> &'a [u8] {
        self.words.first().copied().unwrap_or_default()
    }

    fn is(&self, commands: &[&str]) -> bool {
        commands.iter().any(|command| command.as_bytes() == self.command())
    }

    fn word(&self, nth: usize) -> &'a [u8] {
        self.words.get(nth).copied().unwrap_or_default()
    }

    fn is_storage(&self) -> bool {
        self.is(&["set", "add", "replace", "append", "prepend", "cas"]) && self.words.len() > 4
    }

    /// The words of a storage command without its value's length, if that is good.
    fn fixed(&self) -> usize {
        if self.is(&["cas"]) { 6 } else { 5 }
    }

    fn last_is_noreply(&self) -> bool {
        self.words.last().is_some_and(|last| last == b"noreply")
    }

    fn length(&self) -> Option<&'a [u8]> {
        if self.is_storage() {
            Some(self.word(4))
        } else {
            (self.is(&["ms"]) && self.words.len() > 2).then(|| self.word(2))
        }
    }

    /// Where the key of a packet ends, as its header has it.
    fn key_end(&self) -> usize {
        let byte = |nth: usize| self.line.get(nth).map_or(0, |&byte| usize::from(byte));
        24 + (byte(2) << 8) + byte(3) + byte(4)
    }

    fn opcode(&self) -> u8 {
        self.line.get(1).copied().unwrap_or(0)
    }

    fn body(&self) -> usize {
        self.line.get(8..12).map_or(0, |body| body.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte)))
    }

    /// Whether all of the value was refused with the line.
    fn has_value(&self) -> bool {
        !self.is(&["ms"]) || self.length().and_then(value_of).is_some_and(|len| self.rest as i128 >= len + 2)
    }

    fn meta_flags(&self) -> &[&'a [u8]] {
        let first = if self.is(&["ms"]) { 3 } else { 2 };
        if self.is(&["mg", "ms", "md", "ma", "me"]) { self.words.get(first..).unwrap_or_default() } else { &[] }
    }
}

/// Digits, as people write numbers, of no more than so many.
fn is_plain(word: &[u8], most: usize) -> bool {
    !word.is_empty() && word.len() <= most && word.iter().all(u8::is_ascii_digit)
}

fn is_plain_signed(word: &[u8], most: usize) -> bool {
    is_plain(word, most) || word.strip_prefix(b"-").is_some_and(|digits| is_plain(digits, most))
}

fn value_of(word: &[u8]) -> Option<i128> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

fn is_i32(word: &[u8]) -> bool {
    is_plain_signed(word, 10) && value_of(word).is_some_and(|n| i32::try_from(n).is_ok())
}

fn is_u32(word: &[u8]) -> bool {
    is_plain(word, 10) && value_of(word).is_some_and(|n| u32::try_from(n).is_ok())
}

/// Whether versions may read a flag in different ways.
fn is_odd_flag(flag: &[u8]) -> bool {
    let Some((&letter, argument)) = flag.split_first() else { return false };
    match letter {
        b'N' | b'T' | b'R' => !is_i32(argument),
        b'C' | b'E' | b'J' | b'D' => {
            !is_plain(argument, 20) || value_of(argument).is_none_or(|n| u64::try_from(n).is_err())
        }
        b'F' => !is_u32(argument),
        b'O' | b'M' | b'P' | b'L' | b'S' => false,
        _ => !letter.is_ascii_alphanumeric() || !argument.is_empty(),
    }
}

fn is_base64(key: &[u8]) -> bool {
    let digits = key.strip_suffix(b"==").or(key.strip_suffix(b"=")).unwrap_or(key);
    key.len().is_multiple_of(4) && digits.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(byte))
}

/// Which of several errors is told differs.
const META_ERROR: &str = "CLIENT_ERROR invalid flag\r\n";
const ERROR: &str = "ERROR\r\n";
const BAD_FORMAT: &str = "CLIENT_ERROR bad command line format\r\n";
const BAD_EXPTIME: &str = "CLIENT_ERROR invalid exptime argument\r\n";
const BAD_DELTA: &str = "CLIENT_ERROR invalid numeric delta argument\r\n";
const BAD_DELETE: &str = "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n";

const fn text(
    id: &'static str,
    is_one: fn(&Refused<'_>) -> bool,
    answers: &'static [&'static str],
    then: Then,
) -> Divergence {
    Divergence { id, protocol: Protocol::Text, is_one, answers, then }
}

const fn binary(
    id: &'static str,
    is_one: fn(&Refused<'_>) -> bool,
    answers: &'static [&'static str],
    then: Then,
) -> Divergence {
    Divergence { id, protocol: Protocol::Binary, is_one, answers, then }
}

/// Of a key that is too long among those of a retrieval.
pub(super) const LONG_KEY: &str = "get-long-key";

/// Of a request that does not begin with 0x80.
pub(super) const MAGIC: &str = "binary-magic";

/// All rows, the more special before the more general.
pub const DIVERGENCES: &[Divergence] = &[
    text("leading-space", |r| r.line.starts_with(b" ") && !r.words.is_empty(), &[ERROR], Then::Close),
    text("nul", |r| r.line.contains(&0), &[ERROR], Then::Close),
    text("http", |r| r.words.last().is_some_and(|last| last.starts_with(b"HTTP/")), &[""], Then::Close),
    text(
        "line-length",
        |r| r.line.len() > 2048 && !r.line.starts_with(b"get ") && !r.line.starts_with(b"gets "),
        &[ERROR],
        Then::Close,
    ),
    text(
        "length-form",
        |r| {
            r.length().is_some_and(|word| {
                !is_plain_signed(word, 10) || word == b"-0" || value_of(word).is_some_and(|n| n < i128::from(i32::MIN))
            })
        },
        &[BAD_FORMAT],
        Then::Close,
    ),
    text(
        "length-wraps",
        |r| r.length().and_then(value_of).is_some_and(|n| n > i128::from(u32::MAX)),
        &[BAD_FORMAT],
        Then::Close,
    ),
    text(
        "length-refused",
        |r| {
            r.length().and_then(value_of).is_some_and(|n| !(0..=2_147_483_645).contains(&n))
                && r.is_storage()
                && (r.last_is_noreply() || r.words.len() != r.fixed())
        },
        &[BAD_FORMAT],
        Then::Either,
    ),
    text("cas-without-unique", |r| r.is(&["cas"]) && r.words.len() == 5, &[ERROR], Then::Close),
    text(
        "storage-words",
        |r| {
            r.is_storage()
                && (r.words.len() > r.fixed() + 1 || (r.words.len() == r.fixed() + 1 && !r.last_is_noreply()))
        },
        &[ERROR],
        Then::Close,
    ),
    text(
        "storage-arguments",
        |r| {
            let unique = r.is(&["cas"])
                && !(is_plain(r.word(5), 20) && value_of(r.word(5)).is_some_and(|n| u64::try_from(n).is_ok()));
            r.is_storage()
                && (r.word(1).len() > 250 || !is_plain(r.word(2), 18) || !is_plain_signed(r.word(3), 18) || unique)
        },
        &[BAD_FORMAT],
        Then::Close,
    ),
    text("delete-time", |r| r.is(&["delete"]) && matches!(r.words.len(), 3 | 4), &[BAD_DELETE, ""], Then::GoOn),
    text(
        "number-form",
        |r| {
            let numbers =
                |word: &[u8]| !(is_plain(word, 20) && value_of(word).is_some_and(|n| u64::try_from(n).is_ok()));
            (r.is(&["incr", "decr"]) && matches!(r.words.len(), 3 | 4) && numbers(r.word(2)))
                || (r.is(&["touch"]) && matches!(r.words.len(), 3 | 4) && !is_i32(r.word(2)))
                || (r.is(&["gat", "gats"]) && r.words.len() > 2 && !is_i32(r.word(1)))
                || (r.is(&["flush_all"]) && matches!(r.words.len(), 2 | 3) && !is_i32(r.word(1)))
                || (r.is(&["verbosity", "cache_memlimit"]) && matches!(r.words.len(), 2 | 3) && !is_u32(r.word(1)))
        },
        &[BAD_DELTA, BAD_EXPTIME, BAD_FORMAT, ERROR, ""],
        Then::Either,
    ),
    text("gat-without-key", |r| r.is(&["gat", "gats"]) && r.words.len() == 2, &[ERROR], Then::GoOn),
    text(
        "ms-refused",
        |r| r.is(&["ms"]) && r.words.len() > 2 && (r.word(1).len() > 250 || r.meta_flags().len() > 16),
        &[BAD_FORMAT],
        Then::Close,
    ),
    text("ms-words", |r| r.is(&["ms"]) && r.words.len() < 3, &[BAD_FORMAT], Then::GoOn),
    text("ms-early", |r| r.is(&["ms"]) && !r.has_value(), &[META_ERROR], Then::Swallow),
    text(
        "ms-odd-flag",
        |r| r.is(&["ms"]) && r.meta_flags().iter().any(|flag| !flag[0].is_ascii_alphanumeric()),
        &[BAD_FORMAT],
        Then::Close,
    ),
    text(
        "meta-flag-form",
        |r| r.has_value() && r.meta_flags().iter().any(|flag| is_odd_flag(flag)),
        &[META_ERROR],
        Then::GoOn,
    ),
    text(
        "base64",
        |r| r.has_value() && r.meta_flags().iter().any(|flag| flag[0] == b'b') && !is_base64(r.word(1)),
        &[META_ERROR],
        Then::GoOn,
    ),
    text(
        LONG_KEY,
        |r| r.is(&["get", "gets", "gat", "gats"]) && r.words.iter().any(|word| word.len() > 250),
        &[BAD_FORMAT],
        Then::GoOn,
    ),
    text("bget", |r| r.is(&["bget"]), &[ERROR], Then::GoOn),
    text(
        "words-too-many",
        |r| {
            let most = match r.command() {
                b"incr" | b"decr" | b"touch" | b"delete" => 4,
                b"quit" | b"misbehave" | b"refresh_certs" | b"mn" => 1,
                b"flush_all" | b"verbosity" | b"cache_memlimit" => 3,
                b"shutdown" => 2,
                _ => return false,
            };
            r.words.len() > most || (r.words.len() == most && most > 2 && !r.last_is_noreply())
        },
        &[ERROR],
        Then::Either,
    ),
    text(
        "admin-noreply",
        |r| {
            r.is(&[
                "stats",
                "slabs",
                "lru",
                "lru_crawler",
                "watch",
                "extstore",
                "misbehave",
                "shutdown",
                "refresh_certs",
                "quit",
            ]) && r.last_is_noreply()
        },
        &[ERROR],
        Then::Either,
    ),
    text(
        "admin-words",
        |r| r.is(&["stats", "slabs", "lru", "lru_crawler", "watch", "extstore", "cache_memlimit", "shutdown"]),
        &[ERROR, BAD_FORMAT],
        Then::GoOn,
    ),
    text("unknown-noreply", |r| !r.is(KNOWN) && r.last_is_noreply() && r.words.len() > 1, &[ERROR], Then::Close),
    binary(MAGIC, |r| !r.line.starts_with(b"\x80"), &[""], Then::Close),
    binary(
        "binary-value-left",
        |r| matches!(r.opcode(), 0x10 | 0x1c..=0x1e | 0x23 | 0x24) && r.body() > r.key_end() - 24,
        &["Invalid arguments"],
        Then::Close,
    ),
    binary(
        "binary-unknown",
        |r| matches!(r.opcode(), 0x1b | 0x1f | 0x25..) && r.key_end() > 24,
        &["Unknown command"],
        Then::Close,
    ),
    binary("binary-body", |r| r.body() > 1 << 30, &["Invalid arguments"], Then::Close),
    binary(
        "binary-early",
        |r| r.line.len() < r.key_end().max(24 + r.body()),
        &["Unknown command", "Invalid arguments"],
        Then::Unfinished,
    ),
];

/// The commands of memcached.
const KNOWN: &[&str] = &[
    "get",
    "gets",
    "gat",
    "gats",
    "set",
    "add",
    "replace",
    "append",
    "prepend",
    "cas",
    "incr",
    "decr",
    "touch",
    "delete",
    "mg",
    "ms",
    "md",
    "ma",
    "me",
    "mn",
    "version",
    "quit",
    "verbosity",
    "flush_all",
    "stats",
    "cache_memlimit",
    "slabs",
    "lru",
    "lru_crawler",
    "watch",
    "extstore",
    "misbehave",
    "shutdown",
    "refresh_certs",
    "bget",
];
