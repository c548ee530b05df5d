//! Regular expressions with the meaning of a dialect, over bytes.

use std::borrow::Cow;
use std::fmt;

use regex_automata::meta;
use regex_automata::util::syntax;
use regex_automata::{Input, nfa::thompson::WhichCaptures};
use regex_syntax::hir::{Hir, Look};

use super::go;
use crate::l7::Dialect;
use crate::node::shorten;

/// Bytes that the automata of one expression may take: as much as the `regex` crate allows by itself.
const MAX_REGEX_BYTES: usize = 10 << 20;
/// Bytes that a search may use for each thread and set to remember what it has seen of the automaton.
const SEARCH_CACHE_BYTES: usize = 4 << 20;

/// A regular expression. In [`Dialect::Cilium`] it has Go's syntax and meaning and is searched for anywhere; in
/// [`Dialect::Strict`] it has the syntax of the `regex` crate and must match the whole.
///
/// As in Go, a byte that is not UTF-8 counts as U+FFFD, in both dialects: `.` matches it.
pub struct Regex {
    engine: meta::Regex,
    pattern: String,
}

impl Regex {
    /// Compiles an expression.
    ///
    /// # Errors
    /// Why it is refused: it is not one, or takes more memory than 10 MiB.
    pub fn compile(pattern: &str, dialect: Dialect) -> Result<Self, String> {
        let fault = |why: &str| describe_fault(pattern, why);
        let hir = parse(pattern, dialect).map_err(|why| fault(&why))?;
        let engine = build(std::slice::from_ref(&hir), MAX_REGEX_BYTES).map_err(|why| fault(&why))?;
        Ok(Self { engine, pattern: pattern.to_owned() })
    }

    /// Whether it matches. Linear in the length of the text; allocates only if the text is not UTF-8.
    pub fn is_match(&self, text: &[u8]) -> bool {
        self.engine.is_match(Input::new(&*as_runes(text)).earliest(true))
    }

    /// The expression as it was written.
    pub fn as_str(&self) -> &str {
        &self.pattern
    }
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Regex").field(&self.pattern).finish()
    }
}

pub(super) fn describe_fault(pattern: &str, why: &str) -> String {
    format!("the regex `{}` is refused: {why}", shorten(pattern))
}

/// Reads an expression; what it gives is to be searched for.
///
/// # Errors
/// Why it is not one, in a few words.
pub fn parse(pattern: &str, dialect: Dialect) -> Result<Hir, String> {
    match dialect {
        Dialect::Cilium => go::parse(pattern),
        Dialect::Strict => {
            if pattern.len() > go::MAX_PATTERN_BYTES {
                return Err(format!("it has more than {} bytes", go::MAX_PATTERN_BYTES));
            }
            let config = syntax::Config::new().nest_limit(MAX_NESTING);
            let hir = syntax::parse_with(pattern, &config).map_err(|error| one_line(&error.to_string()))?;
            Ok(Hir::concat(vec![Hir::look(Look::Start), hir, Hir::look(Look::End)]))
        }
    }
}

/// Groups and repetitions within each other: the compiler recurses.
const MAX_NESTING: u32 = 100;

/// The last line of a message of the parser says what is wrong; the ones before draw a picture.
fn one_line(message: &str) -> String {
    let line = message.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or(message).trim();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

/// Compiles expressions that are searched for together.
pub(super) fn build(hirs: &[Hir], max_bytes: usize) -> Result<meta::Regex, String> {
    let config = meta::Config::new()
        // Without any, `search_half` finds nothing, whatever matches.
        .which_captures(WhichCaptures::Implicit)
        .nfa_size_limit(Some(max_bytes))
        .hybrid_cache_capacity(SEARCH_CACHE_BYTES);
    meta::Builder::new().configure(config).build_many_from_hir(hirs).map_err(|error| match error.size_limit() {
        Some(limit) => format!("it takes more than {limit} bytes when compiled; make it smaller"),
        None => one_line(&error.to_string()),
    })
}

/// The text as Go reads it: U+FFFD in the place of each byte that is not part of a rune.
pub(super) fn as_runes(text: &[u8]) -> Cow<'_, [u8]> {
    if std::str::from_utf8(text).is_ok() {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len().saturating_mul(3));
    for chunk in text.utf8_chunks() {
        out.extend_from_slice(chunk.valid().as_bytes());
        for _ in chunk.invalid() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    Cow::Owned(out)
}
