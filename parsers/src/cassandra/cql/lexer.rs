//! Cuts a text into tokens where Cassandra's lexer does.
//!
//! That lexer decides by looking ahead which rule a token is of, and where the token does not keep to that rule the whole
//! text is refused. What looks like the beginning of a literal and is none is therefore refused here, too.

use memchr::{memchr, memchr2, memmem};

use super::token::{Tok, pack};

/// A token, and where it is.
#[derive(Clone, Copy)]
pub(super) struct Token {
    pub(super) tok: Tok,
    pub(super) start: u32,
    pub(super) end: u32,
}

/// What is left of a text.
pub(super) struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Lexer<'a> {
    /// A text that is not longer than positions reach, as the limit of a text ensures.
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// The next token; after the last one [`Tok::End`], for ever. Nothing is read beyond a [`Tok::Bad`].
    pub(super) fn take(&mut self) -> Token {
        loop {
            let start = self.at;
            let rest = self.text.get(start..).unwrap_or_default();
            let Some((&first, after)) = rest.split_first() else { return self.token(Tok::End, 0) };
            let second = after.first().copied();
            let (tok, len) = match first {
                b'a'..=b'z' | b'A'..=b'Z' => word(rest, first),
                b' ' | b'\t' | b'\n' | b'\r' => {
                    self.at = start.saturating_add(1);
                    continue;
                }
                b',' => (Tok::Comma, 1),
                b'.' if second == Some(b'.') => (Tok::Range, 2),
                b'.' => (Tok::Dot, 1),
                b'=' => (Tok::Equal, 1),
                b'?' => (Tok::Question, 1),
                b'*' => (Tok::Star, 1),
                b'(' => (Tok::Open, 1),
                b')' => (Tok::Close, 1),
                b'0'..=b'9' => number(rest, 0),
                b'-' | b'/' if second == Some(first) => match line_end(rest) {
                    Some(end) => {
                        self.at = start.saturating_add(end).saturating_add(1);
                        continue;
                    }
                    // The line must end: a comment that reaches the end of the text is an error.
                    None => BAD,
                },
                b'/' if second == Some(b'*') => match comment_end(rest) {
                    Some(end) => {
                        self.at = start.saturating_add(end);
                        continue;
                    }
                    None => BAD,
                },
                _ => sign(first, after, rest),
            };
            return self.token(tok, len);
        }
    }

    fn token(&mut self, tok: Tok, len: usize) -> Token {
        let start = self.at;
        self.at = start.saturating_add(len).min(self.text.len());
        Token { tok, start: position(start), end: position(self.at) }
    }
}

/// A literal in quotes, or a sign.
fn sign(first: u8, after: &[u8], rest: &[u8]) -> (Tok, usize) {
    let second = after.first().copied();
    match first {
        b'-' => match second {
            Some(b'0'..=b'9') => number(rest, 1),
            Some(b'=') => (Tok::MinusEqual, 2),
            Some(b'n' | b'N' | b'i' | b'I' | b'P') => negative(after),
            _ => (Tok::Minus, 1),
        },
        b'\'' => quoted(after, b'\'', Tok::String),
        b'"' => match quoted(after, b'"', Tok::Quoted) {
            (Tok::Quoted, 2) => (Tok::EmptyQuoted, 2),
            found => found,
        },
        b'$' if second == Some(b'$') => match memmem::find(after.get(1..).unwrap_or_default(), b"$$") {
            Some(end) => (Tok::String, end.saturating_add(4)),
            None => BAD,
        },
        b'[' => (Tok::OpenSquare, 1),
        b']' => (Tok::CloseSquare, 1),
        b'{' => (Tok::OpenBrace, 1),
        b'}' => (Tok::CloseBrace, 1),
        b';' => (Tok::Semicolon, 1),
        b':' => (Tok::Colon, 1),
        b'/' => (Tok::Slash, 1),
        b'%' => (Tok::Percent, 1),
        b'+' if second == Some(b'=') => (Tok::PlusEqual, 2),
        b'+' => (Tok::Plus, 1),
        b'<' if second == Some(b'=') => (Tok::LessEqual, 2),
        b'<' => (Tok::Less, 1),
        b'>' if second == Some(b'=') => (Tok::GreaterEqual, 2),
        b'>' => (Tok::Greater, 1),
        b'!' if second == Some(b'=') => (Tok::NotEqual, 2),
        _ => BAD,
    }
}

/// The length of a comment that begins with `/*`.
fn comment_end(text: &[u8]) -> Option<usize> {
    let inner = text.get(2..)?;
    #[cfg(feature = "mutants")]
    let inner = if super::mutants::is(super::mutants::Mutant::CommentStart) { text.get(1..)? } else { inner };
    let skipped = text.len().saturating_sub(inner.len());
    Some(memmem::find(inner, b"*/")?.saturating_add(skipped).saturating_add(2))
}

/// Where a line ends.
fn line_end(text: &[u8]) -> Option<usize> {
    #[cfg(feature = "mutants")]
    if super::mutants::is(super::mutants::Mutant::LineEnd) {
        return memchr(b'\n', text);
    }
    memchr2(b'\n', b'\r', text)
}

/// A position in a text.
fn position(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// Bytes of the word that a text begins with.
fn word_len(text: &[u8]) -> usize {
    text.iter().position(|&byte| !is_word(byte)).unwrap_or(text.len())
}

fn is_word(byte: u8) -> bool {
    WORD.get(usize::from(byte)).is_some_and(|is_word| *is_word)
}

/// What begins with a letter: a keyword, a name, or a literal that looks like one.
fn word(rest: &[u8], first: u8) -> (Tok, usize) {
    let mut len = 0_usize;
    let mut packed = 0;
    let mut behind = 0;
    for &byte in rest {
        if !is_word(byte) {
            behind = byte;
            break;
        }
        packed = pack(packed, byte);
        len = len.saturating_add(1);
    }
    let word = rest.get(..len).unwrap_or_default();
    let found = match (first, behind) {
        (b'e', b'(') if word == b"expr" => Some((Tok::Expr, 5)),
        (b'P', _) => period(rest, word),
        (_, b'-') if len == 8 && is_hex(word) => Some(uuid(rest)),
        _ => None,
    };
    found.unwrap_or_else(|| (Tok::of_word(word, packed), len))
}

/// What begins with a digit, or with a sign and a digit.
fn number(rest: &[u8], sign: usize) -> (Tok, usize) {
    let digits = rest.get(sign..).unwrap_or_default();
    let run = word_len(digits);
    let (word, after) = digits.split_at_checked(run).unwrap_or((digits, &[]));
    let whole = |tok, len: usize| (tok, len.saturating_add(sign));
    if run == 8 && sign == 0 && after.first() == Some(&b'-') && is_hex(word) {
        return uuid(rest);
    }
    if let [b'0', b'x' | b'X', hex @ ..] = word {
        return if sign == 0 && is_hex(hex) { (Tok::Hex, run) } else { BAD };
    }
    let count = digit_len(word);
    if count < run || after.starts_with(b"\xc2\xb5") {
        // `1e5`, or `1h30m`, or nothing.
        return match exponent(digits.get(count..).unwrap_or_default()) {
            Some(len) => ends(digits, Tok::Float, count.saturating_add(len), sign),
            None => duration(digits).map_or(BAD, |len| ends(digits, Tok::Duration, len, sign)),
        };
    }
    match after {
        // `1...2` begins with `1.`, and `1..2` with `1`.
        [b'.', b'.', b'.', ..] => whole(Tok::Float, run.saturating_add(1)),
        [b'.', b'.', ..] => whole(Tok::Integer, run),
        [b'.', fraction @ ..] => {
            let fraction_len = digit_len(fraction);
            let tail = fraction.get(fraction_len..).unwrap_or_default();
            let len = run.saturating_add(1).saturating_add(fraction_len).saturating_add(exponent(tail).unwrap_or(0));
            ends(digits, Tok::Float, len, sign)
        }
        _ => whole(Tok::Integer, run),
    }
}

/// A literal of this length, unless a word goes on behind it.
fn ends(text: &[u8], tok: Tok, len: usize, sign: usize) -> (Tok, usize) {
    match text.get(len) {
        Some(&byte) if is_word(byte) || !byte.is_ascii() => BAD,
        _ => (tok, len.saturating_add(sign)),
    }
}

/// What begins with a minus and a letter that a literal may begin with: that lexer then looks for nothing else.
fn negative(after: &[u8]) -> (Tok, usize) {
    let len = word_len(after);
    let word = after.get(..len).unwrap_or_default();
    let (tok, len) = match word {
        _ if word.eq_ignore_ascii_case(b"nan") => (Tok::NegativeNan, len),
        _ if word.eq_ignore_ascii_case(b"infinity") => (Tok::NegativeInfinity, len),
        [b'P', ..] => match period(after, word) {
            Some((Tok::Duration, len)) => (Tok::Duration, len),
            _ => return BAD,
        },
        _ => return BAD,
    };
    (tok, len.saturating_add(1))
}

/// The length of an exponent, if there is one here.
fn exponent(text: &[u8]) -> Option<usize> {
    let (sign, digits) = match text {
        [b'e' | b'E', b'+' | b'-', digits @ ..] => (2, digits),
        [b'e' | b'E', digits @ ..] => (1, digits),
        _ => return None,
    };
    let len = digit_len(digits);
    (len > 0).then(|| len.saturating_add(sign))
}

fn digit_len(text: &[u8]) -> usize {
    text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len())
}

/// The length of a duration such as `1h30m`.
fn duration(text: &[u8]) -> Option<usize> {
    let mut rest = text;
    loop {
        let (_, unit) = rest.split_at_checked(digit_len(rest)).filter(|(digits, _)| !digits.is_empty())?;
        let len = match unit {
            [b'm' | b'M', b'o' | b'O' | b's' | b'S', ..] => 2,
            [b'u' | b'U' | b'n' | b'N', b's' | b'S', ..] => 2,
            [0xc2, 0xb5, b's' | b'S', ..] => 3,
            [b'y' | b'Y' | b'w' | b'W' | b'd' | b'D' | b'h' | b'H' | b'm' | b'M' | b's' | b'S', ..] => 1,
            _ => return None,
        };
        rest = unit.get(len..)?;
        if !rest.first().is_some_and(u8::is_ascii_digit) {
            return text.len().checked_sub(rest.len());
        }
    }
}

/// A duration as of ISO 8601, if a word that begins with `P` is one, or breaks off where one has dashes.
fn period(rest: &[u8], word: &[u8]) -> Option<(Tok, usize)> {
    let begins = |text: &[u8]| text.first().is_some_and(u8::is_ascii_digit);
    let body = word.get(1..)?;
    if digit_len(body) == 4 && body.len() == 4 && rest.get(5) == Some(&b'-') {
        // `P0001-02-03T04:05:06`.
        let found = rest.get(..ALTERNATIVE.len()).is_some_and(|text| {
            text.iter().zip(ALTERNATIVE).all(|(byte, form)| match form {
                b'0' => byte.is_ascii_digit(),
                _ => byte == form,
            })
        });
        return Some(if found { ends(rest, Tok::Duration, ALTERNATIVE.len(), 0) } else { BAD });
    }
    let (date, time) = match body.iter().position(|&byte| byte == b'T') {
        Some(at) => (body.get(..at)?, body.get(at..)?.get(1..)),
        None => (body, None),
    };
    if !(begins(date) || date.is_empty() && time.is_some_and(begins)) {
        return None;
    }
    let is_week = date.split_last().is_some_and(|(&last, digits)| last == b'W' && digit_len(digits) == digits.len());
    let dates = date.is_empty() || designators(date, b"YMD");
    let found = (is_week && time.is_none()) || (dates && time.is_none_or(|time| designators(time, b"HMS")));
    found.then_some((Tok::Duration, word.len()))
}

/// Numbers that are each followed by one of these letters, in their order, and at least one of them.
fn designators(mut text: &[u8], mut letters: &[u8]) -> bool {
    let mut found = false;
    while !text.is_empty() {
        let Some((digits, [letter, rest @ ..])) = text.split_at_checked(digit_len(text)) else { return false };
        let Some(at) = letters.iter().position(|other| other == letter) else { return false };
        if digits.is_empty() {
            return false;
        }
        letters = letters.get(at..).and_then(|letters| letters.get(1..)).unwrap_or_default();
        text = rest;
        found = true;
    }
    found
}

fn is_hex(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_hexdigit)
}

/// Eight hexadecimal digits and a dash are the beginning of a UUID, or nothing.
fn uuid(rest: &[u8]) -> (Tok, usize) {
    let found = rest.get(..UUID.len()).is_some_and(|text| {
        text.iter().zip(UUID).all(|(byte, form)| match form {
            b'0' => byte.is_ascii_hexdigit(),
            _ => byte == form,
        })
    });
    if found { ends(rest, Tok::Uuid, UUID.len(), 0) } else { BAD }
}

/// What is between quotes, which are doubled inside: the text after the first quote, and the length with both.
fn quoted(after: &[u8], quote: u8, tok: Tok) -> (Tok, usize) {
    let mut at = 0_usize;
    loop {
        let rest = after.get(at..).unwrap_or_default();
        let Some(found) = memchr(quote, rest) else { return BAD };
        at = at.saturating_add(found).saturating_add(1);
        #[cfg(feature = "mutants")]
        if super::mutants::is(super::mutants::Mutant::Backslash)
            && found > 0
            && rest.get(found.wrapping_sub(1)) == Some(&b'\\')
        {
            continue;
        }
        if after.get(at) != Some(&quote) {
            return (tok, at.saturating_add(1));
        }
        at = at.saturating_add(1);
    }
}

/// Which bytes words are made of.
#[cfg_attr(
    not(test),
    expect(clippy::indexing_slicing, reason = "filled while compiling: a mistake here does not build")
)]
static WORD: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = (byte as u8).is_ascii_alphanumeric() || byte as u8 == b'_';
        byte += 1;
    }
    table
};

const BAD: (Tok, usize) = (Tok::Bad, 0);
const UUID: &[u8; 36] = b"00000000-0000-0000-0000-000000000000";
const ALTERNATIVE: &[u8; 20] = b"P0000-00-00T00:00:00";
