//! Regular expressions as Go and RE2 read them.

use std::ops::Range;
use std::sync::Arc;

use portcullis_policy::Dialect;
use portcullis_policy::matcher::parse;
use regex_automata::meta;

/// Bytes that an expression may take when compiled: a hundred times that of common ones, and done within a millisecond or two.
const MAX_COMPILED_BYTES: usize = 1 << 20;
/// Bytes that a search may use to remember what it has seen of the automaton.
const SEARCH_CACHE_BYTES: usize = 1 << 20;

/// A regular expression. It has Go's syntax and meaning.
#[derive(Clone, Debug)]
pub struct Regex(meta::Regex);

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
        Ok(Self(regex))
    }

    /// Whether it matches anywhere.
    pub fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// Where it matches, one after the other.
    pub fn find_all<'t>(&'t self, text: &'t str) -> impl Iterator<Item = Range<usize>> + 't {
        self.0.find_iter(text).map(|found| found.range())
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
