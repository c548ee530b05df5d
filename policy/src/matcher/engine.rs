//! Compiled expressions: a whole automaton where it is small, else one that is made as it is used.

use std::collections::HashMap;
use std::sync::Arc;

use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::{Anchored, Input, meta};
use regex_syntax::hir::Hir;

use super::regex::build;

/// Bytes of a whole automaton, which is faster than one that is made as it is used. Small expressions take about 2 KiB.
const MAX_DENSE_BYTES: usize = 32 << 10;
/// Bytes that the automata of expressions that are searched for together may take.
const MAX_SET_BYTES: usize = 128 << 20;

/// Where a match may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Where {
    /// Where the search begins.
    Here,
    /// There or after it.
    Anywhere,
}

#[derive(Debug)]
pub(super) struct Engine {
    automaton: Automata,
    place: Where,
}

#[derive(Debug)]
enum Automata {
    Dense(Box<dense::DFA<Vec<u32>>>),
    Meta(Box<meta::Regex>),
}

impl Engine {
    pub(super) fn build(hirs: &[Hir], place: Where) -> Result<Self, String> {
        let automaton = match build_dense(hirs, place) {
            Some(dense) => Automata::Dense(Box::new(dense)),
            None => Automata::Meta(Box::new(build(hirs, MAX_SET_BYTES).map_err(|why| match hirs.len() {
                1 => why,
                n => format!("{n} regexes together: {why}"),
            })?)),
        };
        Ok(Self { automaton, place })
    }

    /// One of the expressions that match from `start` on.
    pub(super) fn find(&self, text: &[u8], start: usize) -> Option<usize> {
        let anchored = match self.place {
            Where::Here => Anchored::Yes,
            Where::Anywhere => Anchored::No,
        };
        let input = Input::new(text).range(start..).anchored(anchored).earliest(true);
        let found = match &self.automaton {
            // It fails only on bytes that it was told to give up on, and it was told none.
            Automata::Dense(dfa) => dfa.try_search_fwd(&input).ok().flatten(),
            Automata::Meta(regex) => regex.search_half(&input),
        };
        found.map(|found| found.pattern().as_usize())
    }
}

fn build_dense(hirs: &[Hir], place: Where) -> Option<dense::DFA<Vec<u32>>> {
    let nfa = thompson::Config::new().which_captures(WhichCaptures::None).nfa_size_limit(Some(MAX_DENSE_BYTES));
    let nfa = thompson::Compiler::new().configure(nfa).build_many_from_hir(hirs).ok()?;
    let start = match place {
        Where::Here => StartKind::Anchored,
        Where::Anywhere => StartKind::Unanchored,
    };
    let config = dense::Config::new()
        .start_kind(start)
        .dfa_size_limit(Some(MAX_DENSE_BYTES))
        .determinize_size_limit(Some(8 * MAX_DENSE_BYTES));
    dense::Builder::new().configure(config).build_from_nfa(&nfa).ok()
}

/// Compiles equal expressions once.
#[derive(Default)]
pub(super) struct Engines {
    /// By how they are written, for expressions have no hash.
    known: HashMap<(String, Where), Vec<Known>>,
}

/// Expressions, and what they were compiled to.
type Known = (Vec<Hir>, Arc<Engine>);

impl Engines {
    pub(super) fn get(&mut self, hirs: &[Hir], place: Where) -> Result<Arc<Engine>, String> {
        let written: String = hirs.iter().flat_map(|hir| [hir.to_string(), "\n".to_owned()]).collect();
        let same = self.known.entry((written, place)).or_default();
        if let Some((_, engine)) = same.iter().find(|(known, _)| known == hirs) {
            return Ok(Arc::clone(engine));
        }
        let engine = Arc::new(Engine::build(hirs, place)?);
        same.push((hirs.to_vec(), Arc::clone(&engine)));
        Ok(engine)
    }
}
