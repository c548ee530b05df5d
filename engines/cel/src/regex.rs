//! Regular expressions as Go and RE2 read them.

use std::ops::Range;
use std::sync::Arc;

use portcullis_policy::Dialect;
use portcullis_policy::matcher::parse;
use regex_automata::nfa::thompson::{self, NFA, WhichCaptures};
use regex_automata::{Input, hybrid, meta};

use crate::error::EvalError;

/// Bytes that an expression may take when compiled: a hundred times that of common ones, and done within a millisecond or two.
const MAX_COMPILED_BYTES: usize = 1 << 20;
/// Bytes that a search may use to remember what it has seen of the automaton.
const SEARCH_CACHE_BYTES: usize = 1 << 20;

/// Bytes of a text times states of an expression that are searched without a look at the clock: a state takes some 10 ns for a
/// byte at the worst.
const MAX_UNWATCHED: usize = 1 << 22;
/// The same beyond which no place is searched for: a second at the worst.
const MAX_FOUND: usize = 1 << 27;
/// Bytes between two looks at the clock. Each may take a step for each state.
const WATCHED_BYTES: usize = 64;

/// As the API server says it of what costs too much.
const TOO_LARGE: &str =
    "operation cancelled: the text is too large to find this regular expression in it; use a shorter one, or `matches`";

/// A regular expression. It has Go's syntax and meaning.
#[derive(Clone, Debug)]
pub struct Regex {
    whole: meta::Regex,
    /// For searches that are to be watched.
    nfa: NFA,
}

impl Regex {
    /// Compiles an expression.
    ///
    /// # Errors
    ///
    /// Why it is refused.
    pub fn compile(pattern: &str) -> Result<Self, String> {
        let hir = parse(pattern, Dialect::Cilium)?;
        let config = meta::Config::new()
            .nfa_size_limit(Some(MAX_COMPILED_BYTES))
            .onepass_size_limit(Some(MAX_COMPILED_BYTES))
            .dfa(false)
            .hybrid_cache_capacity(SEARCH_CACHE_BYTES);
        let regex = meta::Builder::new().configure(config).build_from_hir(&hir);
        let regex = regex.map_err(|error| match error.size_limit() {
            Some(limit) => format!("it takes more than {limit} bytes when compiled; make it smaller"),
            None => "it cannot be compiled".to_owned(),
        })?;
        let config =
            thompson::Config::new().which_captures(WhichCaptures::None).nfa_size_limit(Some(MAX_COMPILED_BYTES));
        let nfa = thompson::Compiler::new().configure(config).build_from_hir(&hir);
        let nfa = nfa.map_err(|_| "it cannot be compiled".to_owned())?;
        Ok(Self { whole: regex, nfa })
    }

    /// Whether it matches anywhere.
    pub fn is_match(&self, text: &str) -> bool {
        self.whole.is_match(text)
    }

    /// The same for a text of any size: `look` is asked again and again whether to go on.
    ///
    /// # Errors
    ///
    /// What `look` says.
    pub(crate) fn is_match_watched(
        &self,
        text: &str,
        mut look: impl FnMut() -> Result<(), EvalError>,
    ) -> Result<bool, EvalError> {
        if self.work(text) <= MAX_UNWATCHED {
            return Ok(self.is_match(text));
        }
        let config = hybrid::dfa::Config::new().cache_capacity(SEARCH_CACHE_BYTES).skip_cache_capacity_check(true);
        let dfa = hybrid::dfa::Builder::new().configure(config).build_from_nfa(self.nfa.clone());
        let failed = |_| EvalError::Cost(TOO_LARGE);
        let dfa = dfa.map_err(|_| EvalError::Cost(TOO_LARGE))?;
        let mut cache = dfa.create_cache();
        let start = dfa.start_state_forward(&mut cache, &Input::new(text));
        let mut state = start.map_err(|_| EvalError::Cost(TOO_LARGE))?;
        for bytes in text.as_bytes().chunks(WATCHED_BYTES) {
            look()?;
            for byte in bytes {
                state = dfa.next_state(&mut cache, state, *byte).map_err(failed)?;
                if state.is_match() {
                    return Ok(true);
                }
                if state.is_dead() {
                    return Ok(false);
                }
                if state.is_quit() {
                    return Err(EvalError::Cost(TOO_LARGE));
                }
            }
        }
        Ok(dfa.next_eoi_state(&mut cache, state).map_err(failed)?.is_match())
    }

    /// Where it matches, one after the other.
    pub fn find_all<'t>(&'t self, text: &'t str) -> impl Iterator<Item = Range<usize>> + 't {
        self.whole.find_iter(text).map(|found| found.range())
    }

    /// The same for a text of any size.
    ///
    /// # Errors
    ///
    /// It is too large for this expression.
    pub(crate) fn find_all_bounded<'t>(
        &'t self,
        text: &'t str,
    ) -> Result<impl Iterator<Item = Range<usize>> + 't, EvalError> {
        if self.work(text) > MAX_FOUND {
            return Err(EvalError::Cost(TOO_LARGE));
        }
        Ok(self.find_all(text))
    }

    fn work(&self, text: &str) -> usize {
        text.len().saturating_mul(self.nfa.states().len())
    }
}

/// The expressions that were compiled while an expression ran.
#[derive(Debug, Default)]
pub(crate) struct Cache(Vec<(String, Arc<Regex>)>);

/// How many of them are kept.
const MAX_KEPT: usize = 16;

impl Cache {
    pub(crate) fn find(&self, pattern: &str) -> Option<Arc<Regex>> {
        self.0.iter().find(|(text, _)| text == pattern).map(|(_, regex)| Arc::clone(regex))
    }

    pub(crate) fn add(&mut self, pattern: &str, regex: &Arc<Regex>) {
        if self.0.len() >= MAX_KEPT {
            self.0.remove(0);
        }
        self.0.push((pattern.to_owned(), Arc::clone(regex)));
    }
}
