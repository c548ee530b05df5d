//! Request lines of the text protocol, as memcached's `proto_text.c` (1.6.10 to 1.6.39) and `proto_parser.c` (from 1.6.40)
//! read them. What these read in different ways is refused; see the table in `docs/memcache.md`.

use super::reply::Shape;
use crate::memcache::commands::Commands;
#[cfg(feature = "mutants")]
use crate::memcache::mutants::{self, Mutant};
use crate::memcache::request::{Keys, Request, Words};

/// A line that was understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) request: Request<'a>,
    /// Bytes that follow the line: the value and its CR LF. They belong to the request.
    pub(super) block: u64,
    pub(super) answer: Expect,
}

impl Line<'_> {
    pub(super) fn is_meta(&self) -> bool {
        matches!(self.answer, Expect::Quiet(_) | Expect::Reply(Shape::Meta | Shape::Noop))
    }
}

/// What the server will answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expect {
    /// One reply.
    Reply(Shape),
    /// One reply, or none if there is nothing to tell.
    Quiet(Shape),
    /// Nothing.
    Nothing,
}

/// A line that is not passed on: memcached's own error instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The error; nothing where the server says nothing.
    pub(super) answer: &'static [u8],
    pub(super) then: Then,
}

/// How to go on after a refused line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// With the next line, as every version does.
    GoOn,
    /// After this many bytes, which every version swallows.
    Skip(u64),
    /// Not at all: what comes next would be a guess.
    Close,
}

impl Refusal {
    pub(super) const fn go_on(answer: &'static [u8]) -> Self {
        Self { answer, then: Then::GoOn }
    }

    pub(super) const fn close(answer: &'static [u8]) -> Self {
        Self { answer, then: Then::Close }
    }

    pub(super) const fn skip(answer: &'static [u8], block: u64) -> Self {
        Self { answer, then: Then::Skip(block) }
    }

    /// For a line of the right shape with something wrong in it: with `noreply` every version is silent.
    pub(super) const fn unless(noreply: bool, answer: &'static [u8]) -> Self {
        Self::go_on(if noreply { b"" } else { answer })
    }

    /// For a line with words too many: versions with the older parser answer `ERROR`, the newer ones carry it out, silently if
    /// it ends in `noreply`.
    pub(super) fn excess(words: &[&[u8]]) -> Self {
        if words.last().is_some_and(|&last| last == NOREPLY) { Self::close(ERROR) } else { Self::go_on(ERROR) }
    }
}

type Parsed<'a> = Result<Line<'a>, Refusal>;

/// Reads a line without its end. `scratch` is room for a key that must be decoded.
pub(super) fn parse<'a>(line: &'a [u8], scratch: &'a mut Scratch) -> Parsed<'a> {
    let mut words = Words::new(line);
    let Some(command) = words.next() else { return Err(Refusal::go_on(ERROR)) };
    // The older parser stops at a NUL, the newer one does not; the newer one knows no command after a space.
    if line.first() == Some(&b' ') || memchr::memchr(0, line).is_some() {
        return Err(Refusal::close(ERROR));
    }
    let rest = words.rest();
    #[cfg(feature = "mutants")]
    let command = mutants::command(command);
    match command {
        b"get" => retrieve("get", Commands::GET, rest),
        b"gets" => retrieve("gets", Commands::GET, rest),
        b"gat" => retrieve_and_touch("gat", rest),
        b"gats" => retrieve_and_touch("gats", rest),
        b"set" => store("set", Commands::SET, rest, 4),
        b"add" => store("add", Commands::ADD, rest, 4),
        b"replace" => store("replace", Commands::REPLACE, rest, 4),
        b"append" => store("append", Commands::APPEND, rest, 4),
        b"prepend" => store("prepend", Commands::PREPEND, rest, 4),
        b"cas" => store("cas", Commands::CAS, rest, 5),
        b"incr" => with_number("incr", Commands::INCR, rest, BAD_DELTA, |delta| unsigned(delta, 20).is_some()),
        b"decr" => with_number("decr", Commands::DECR, rest, BAD_DELTA, |delta| unsigned(delta, 20).is_some()),
        b"touch" => with_number("touch", Commands::TOUCH, rest, BAD_EXPTIME, is_i32),
        b"delete" => delete(rest),
        b"mg" | b"ms" | b"md" | b"ma" | b"me" | b"mn" => super::meta::parse(command, rest, scratch),
        _ => super::admin::parse(command, rest),
    }
}

/// Room for a decoded key.
pub(super) type Scratch = [u8; MAX_KEY];

fn retrieve<'a>(name: &'static str, needs: Commands, keys: &'a [u8]) -> Parsed<'a> {
    let mut words = Words::new(keys).peekable();
    if words.peek().is_none() {
        return Err(Refusal::go_on(ERROR));
    }
    if words.any(|key| key.len() > MAX_KEY) {
        return Err(Refusal::go_on(BAD_FORMAT));
    }
    let request = Request { name, needs, keys: Keys::List(keys) };
    Ok(Line { request, block: 0, answer: Expect::Reply(Shape::Values) })
}

fn retrieve_and_touch<'a>(name: &'static str, rest: &'a [u8]) -> Parsed<'a> {
    let mut words = Words::new(rest);
    let Some(exptime) = words.next() else { return Err(Refusal::go_on(ERROR)) };
    if Words::new(words.rest()).next().is_none() {
        return Err(Refusal::go_on(ERROR));
    }
    if !is_i32(exptime) {
        return Err(Refusal::go_on(BAD_EXPTIME));
    }
    retrieve(name, Commands::GAT, words.rest())
}

/// `<key> <flags> <exptime> <bytes> [<cas unique>] [noreply]`, of which `fixed` must be there.
fn store<'a>(name: &'static str, needs: Commands, rest: &'a [u8], fixed: usize) -> Parsed<'a> {
    let words = Few::read(rest);
    let words = words.all();
    let &[key, flags, exptime, bytes, ..] = words else {
        return Err(Refusal::go_on(ERROR));
    };
    let noreply = words.last().is_some_and(|&last| last == NOREPLY);
    let length = match read_length(bytes) {
        Length::Good(length) => length,
        // All versions read on after the line; but those from 1.6.40 answer even with `noreply`.
        Length::Refused if !noreply => return Err(Refusal::go_on(BAD_FORMAT)),
        Length::Refused | Length::Doubtful => return Err(Refusal::close(BAD_FORMAT)),
    };
    // From here on the older parser leaves the value to be read as commands, while the newer one swallows it.
    let (_, tail) = words.split_at_checked(fixed).ok_or(Refusal::close(ERROR))?;
    let noreply = match tail {
        [] => false,
        &[NOREPLY] => true,
        #[cfg(feature = "mutants")]
        [_] if mutants::is(Mutant::Noreply) => true,
        _ => return Err(Refusal::close(ERROR)),
    };
    let unique = fixed == 4 || words.get(4).is_some_and(|unique| unsigned(unique, 20).is_some());
    let too_long = key.len() > MAX_KEY;
    #[cfg(feature = "mutants")]
    let too_long = too_long && !mutants::is(Mutant::KeyLength);
    if too_long || unsigned(flags, 18).is_none() || signed(exptime, 18).is_none() || !unique {
        return Err(Refusal::close(BAD_FORMAT));
    }
    let answer = if noreply { Expect::Nothing } else { Expect::Reply(Shape::Line) };
    Ok(Line { request: Request { name, needs, keys: Keys::One(key) }, block: block(length), answer })
}

/// `<key> <number> [noreply]`
fn with_number<'a>(
    name: &'static str,
    needs: Commands,
    rest: &'a [u8],
    bad_number: &'static [u8],
    is_good: impl Fn(&[u8]) -> bool,
) -> Parsed<'a> {
    let words = Few::read(rest);
    let (key, number, noreply) = match *words.all() {
        [] | [_] => return Err(Refusal::go_on(ERROR)),
        [key, number] => (key, number, false),
        [key, number, NOREPLY] => (key, number, true),
        ref words => return Err(Refusal::excess(words)),
    };
    // Only the place of `noreply` in the line counts for the server, not what the word stands for.
    let silent = noreply || number == NOREPLY;
    if key.len() > MAX_KEY {
        return Err(Refusal::unless(silent, BAD_FORMAT));
    }
    if !is_good(number) {
        return Err(Refusal::unless(silent, bad_number));
    }
    Ok(single(name, needs, key, noreply))
}

/// `<key> [0] [noreply]`
fn delete(rest: &[u8]) -> Parsed<'_> {
    let words = Few::read(rest);
    let (key, noreply) = match *words.all() {
        [] => return Err(Refusal::go_on(ERROR)),
        [key] | [key, b"0"] => (key, false),
        [key, NOREPLY] | [key, b"0", NOREPLY] => (key, true),
        // Refused by the older parser, carried out by the newer one: silently by both.
        [_, _, NOREPLY] => return Err(Refusal::go_on(b"")),
        [_, _] | [_, _, _] => return Err(Refusal::go_on(BAD_DELETE)),
        ref words => return Err(Refusal::excess(words)),
    };
    if key.len() > MAX_KEY {
        return Err(Refusal::unless(noreply, BAD_FORMAT));
    }
    Ok(single("delete", Commands::DELETE, key, noreply))
}

fn single<'a>(name: &'static str, needs: Commands, key: &'a [u8], noreply: bool) -> Line<'a> {
    let answer = if noreply { Expect::Nothing } else { Expect::Reply(Shape::Line) };
    Line { request: Request { name, needs, keys: Keys::One(key) }, block: 0, answer }
}

/// The words after the command, of a line that may have only so many.
pub(super) struct Few<'a> {
    words: [&'a [u8]; MAX_WORDS],
    count: usize,
}

impl<'a> Few<'a> {
    /// Reads the first words, and one that stands for all that are too many: the last.
    pub(super) fn read(rest: &'a [u8]) -> Self {
        let mut few = Self { words: [b""; MAX_WORDS], count: 0 };
        for word in Words::new(rest) {
            if few.count < MAX_WORDS {
                few.count = few.count.saturating_add(1);
            }
            if let Some(place) = few.words.get_mut(few.count.saturating_sub(1)) {
                *place = word;
            }
        }
        few
    }

    pub(super) fn all(&self) -> &[&'a [u8]] {
        self.words.get(..self.count).unwrap_or_default()
    }
}

/// How many bytes a value has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    Good(u32),
    /// Every version refuses it and goes on with the next line.
    Refused,
    /// Versions differ: signs, spaces other than the space, too many digits, numbers that wrap round to small ones.
    Doubtful,
}

/// Reads the length of a value: 0 to `INT_MAX - 2`.
pub(super) fn read_length(word: &[u8]) -> Length {
    #[cfg(feature = "mutants")]
    if let Some(length) = mutants::length(word) {
        return Length::Good(length);
    }
    match (unsigned(word, 10), signed(word, 11)) {
        (Some(length), _) if length <= MAX_VALUE => u32::try_from(length).map_or(Length::Doubtful, Length::Good),
        // As a C `int` these are negative, or the two that leave no room for CR LF.
        (Some(length), _) if length <= u64::from(u32::MAX) => Length::Refused,
        (None, Some(length)) if (i64::from(i32::MIN)..0).contains(&length) => Length::Refused,
        _ => Length::Doubtful,
    }
}

/// A value with its CR LF.
pub(super) fn block(length: u32) -> u64 {
    u64::from(length).saturating_add(2)
}

/// Digits, `most` of them at most, and nothing else.
pub(super) fn unsigned(word: &[u8], most: usize) -> Option<u64> {
    if word.is_empty() || word.len() > most {
        return None;
    }
    word.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        sum.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// Digits with or without a minus before them, `most` characters at most.
pub(super) fn signed(word: &[u8], most: usize) -> Option<i64> {
    let digits = word.strip_prefix(b"-").unwrap_or(word);
    let size = i64::try_from(unsigned(digits, most)?).ok()?;
    if word.len() > most {
        return None;
    }
    if digits.len() < word.len() { size.checked_neg() } else { Some(size) }
}

pub(super) fn is_i32(word: &[u8]) -> bool {
    signed(word, 11).is_some_and(|number| i32::try_from(number).is_ok())
}

/// Bytes of a key at most (`KEY_MAX_LENGTH`).
pub(super) const MAX_KEY: usize = 250;

/// Bytes of a value at most: `INT_MAX - 2`, so that its CR LF still fits.
const MAX_VALUE: u64 = 2_147_483_645;

/// Words after the command that are told apart. The longest lines, of meta commands, may have 18 (`MFLAG_MAX_OPT_LENGTH` is
/// 20, with the command and an end mark).
const MAX_WORDS: usize = 20;

pub(super) const NOREPLY: &[u8] = b"noreply";

pub(super) const ERROR: &[u8] = b"ERROR\r\n";
pub(super) const BAD_FORMAT: &[u8] = b"CLIENT_ERROR bad command line format\r\n";
pub(super) const BAD_EXPTIME: &[u8] = b"CLIENT_ERROR invalid exptime argument\r\n";
const BAD_DELTA: &[u8] = b"CLIENT_ERROR invalid numeric delta argument\r\n";
const BAD_DELETE: &[u8] = b"CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n";
