//! Ways past filters of memcached, as such filters had them, put back one at a time: whatever claims to find such ways must
//! find these. Only for tests; the feature `mutants` is off in every build that is shipped.

use std::sync::atomic::{AtomicU8, Ordering};

use super::commands::Commands;
use super::request::{Keys, Request, Words};

/// One way past the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mutant {
    /// A line ends only at CR LF.
    LineFeed = 1,
    /// A tab separates words, too.
    Tab,
    /// A negative length is none.
    NegativeLength,
    /// A length is what digits it begins with.
    LengthPrefix,
    /// The value of a key that is too long is taken for one.
    KeyLength,
    /// Any word in the place of `noreply` is one.
    Noreply,
    /// What begins like a command is that command.
    CommandPrefix,
    /// Values in replies end at `END`, whatever their length says.
    EndInValue,
    /// Keys in base64 are judged as they stand.
    Base64,
    /// Quiet binary commands are not judged.
    QuietBinary,
    /// Of several keys only the first is judged.
    FirstKey,
    /// What follows the key of a binary command is its value, whether or not the command has one.
    ValueAfterKey,
    /// The value of a refused `ms` is not skipped.
    RefusedValue,
    /// Denials are sent at once, and not in their turn.
    OutOfTurn,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::LineFeed,
        Self::Tab,
        Self::NegativeLength,
        Self::LengthPrefix,
        Self::KeyLength,
        Self::Noreply,
        Self::CommandPrefix,
        Self::EndInValue,
        Self::Base64,
        Self::QuietBinary,
        Self::FirstKey,
        Self::ValueAfterKey,
        Self::RefusedValue,
        Self::OutOfTurn,
    ];
}

static ACTIVE: AtomicU8 = AtomicU8::new(0);

/// Puts one back, in the whole process, and takes away any other.
pub fn activate(mutant: Option<Mutant>) {
    ACTIVE.store(mutant.map_or(0, |mutant| mutant as u8), Ordering::SeqCst);
}

pub(super) fn is(mutant: Mutant) -> bool {
    ACTIVE.load(Ordering::SeqCst) == mutant as u8
}

/// Where a line ends.
pub(super) fn line_end(input: &[u8], end: Option<usize>) -> Option<usize> {
    if is(Mutant::LineFeed) {
        return input.windows(2).position(|pair| pair == b"\r\n").map(|at| at.saturating_add(1));
    }
    end
}

/// The next word, where a tab separates words.
pub(super) fn next_word<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let (_, word) = rest.split_at_checked(rest.iter().position(|byte| !is_space(byte))?)?;
    let (word, left) = word.split_at_checked(word.iter().position(is_space).unwrap_or(word.len()))?;
    *rest = left;
    Some(word)
}

/// The length that a word stands for, where it is read loosely.
pub(super) fn length(word: &[u8]) -> Option<u32> {
    let digits = word.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if is(Mutant::NegativeLength) && word.starts_with(b"-") {
        return Some(0);
    }
    let digits = std::str::from_utf8(word.get(..digits)?).ok()?;
    is(Mutant::LengthPrefix).then(|| digits.parse().unwrap_or(0))
}

/// The command that a word is taken for.
pub(super) fn command(word: &[u8]) -> &[u8] {
    let known: [&[u8]; 6] = [b"get", b"set", b"add", b"replace", b"append", b"incr"];
    let prefix = known.into_iter().find(|known| word.starts_with(known) && word != b"gets");
    prefix.filter(|_| is(Mutant::CommandPrefix)).unwrap_or(word)
}

/// The keys that are judged.
pub(super) fn keys(list: &[u8]) -> &[u8] {
    if is(Mutant::FirstKey) { Words::new(list).next().unwrap_or_default() } else { list }
}

/// What a binary command is judged as.
pub(super) fn judged(request: Request<'_>, quiet: bool) -> Request<'_> {
    let unjudged = quiet && is(Mutant::QuietBinary);
    if unjudged { Request { needs: Commands::NOOP, keys: Keys::None, ..request } } else { request }
}
