//! Literals that are searched for together.

use aho_corasick::automaton::OverlappingState;
use aho_corasick::{BuildError, MatchKind};

/// A set of literals, known by their places in it.
#[derive(Debug)]
pub(super) struct Literals(Searcher);

impl Literals {
    /// # Errors
    /// There are too many.
    pub(super) fn new(literals: &[Vec<u8>]) -> Result<Self, BuildError> {
        build(literals).map(Self)
    }

    /// Each occurrence in a text, overlapping ones too: which literal, and where it ends.
    pub(super) fn find(&self, text: &[u8]) -> impl Iterator<Item = (usize, usize)> {
        let mut state = OverlappingState::start();
        std::iter::from_fn(move || {
            find_next(&self.0, text, &mut state);
            state.get_match().map(|found| (found.pattern().as_usize(), found.end()))
        })
    }
}

#[cfg(not(target_family = "wasm"))]
type Searcher = aho_corasick::AhoCorasick;

#[cfg(not(target_family = "wasm"))]
fn build(literals: &[Vec<u8>]) -> Result<Searcher, BuildError> {
    let kind = (dfa_bytes(literals) <= MAX_DFA_BYTES).then_some(aho_corasick::AhoCorasickKind::DFA);
    aho_corasick::AhoCorasick::builder().match_kind(MatchKind::Standard).kind(kind).build(literals)
}

#[cfg(not(target_family = "wasm"))]
fn find_next(searcher: &Searcher, text: &[u8], state: &mut OverlappingState) {
    searcher.find_overlapping(text, state);
}

/// Bytes that a table of all literals may take: with one, a search costs one look for each byte of a key.
#[cfg(not(target_family = "wasm"))]
const MAX_DFA_BYTES: usize = 32 << 20;

/// How large the table of some literals is at most: a state for each of their bytes, in it a number of four bytes for each
/// byte that occurs, and one for all others, rounded up to a power of two.
#[cfg(not(target_family = "wasm"))]
fn dfa_bytes(literals: &[Vec<u8>]) -> usize {
    let occurring: std::collections::HashSet<u8> = literals.iter().flatten().copied().collect();
    let stride = occurring.len().saturating_add(1).next_power_of_two();
    let states = literals.iter().map(Vec::len).fold(2, usize::saturating_add);
    states.saturating_mul(stride).saturating_mul(4)
}

/// One kind alone, as the others would be compiled with it: it takes little memory, and a search costs a few looks.
#[cfg(target_family = "wasm")]
type Searcher = aho_corasick::nfa::contiguous::NFA;

#[cfg(target_family = "wasm")]
fn build(literals: &[Vec<u8>]) -> Result<Searcher, BuildError> {
    aho_corasick::nfa::contiguous::Builder::new().match_kind(MatchKind::Standard).prefilter(false).build(literals)
}

#[cfg(target_family = "wasm")]
fn find_next(searcher: &Searcher, text: &[u8], state: &mut OverlappingState) {
    use aho_corasick::automaton::Automaton;
    // It fails only for searches that it was not built for; those that begin anywhere are not among them.
    let _ = searcher.try_find_overlapping(&text.into(), state);
}
