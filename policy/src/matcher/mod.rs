//! The leaves that rule sets are made of: keys compared exactly, by prefix, or by regex, for any number of rules.
//!
//! [`KeyMatcher`] answers which rule decides on a key. Exact keys stand in a hash map. Prefixes stand in one hash map for
//! each length that occurs. Regexes are sorted out when they are compiled: what is only a prefix or an exact key in
//! another guise becomes one, and those that begin with a literal are tried only on keys that have that literal. So a
//! decision costs about the same for one rule and for ten thousand.

mod engine;
mod go;
mod literals;
mod regex;
mod regexes;
mod strict;
#[cfg(test)]
mod tests;
mod verdicts;

use std::collections::HashMap;

use rustc_hash::FxBuildHasher;

use crate::l7::{Dialect, Effect, L7Decision, RuleError, RuleId};
pub use regex::{Regex, parse};
pub(crate) use regexes::Shape;
use regexes::{Regexes, RegexesBuilder};
pub use strict::Strict;
use verdicts::{Verdict, Verdicts};

/// What a rule says of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPattern<'p> {
    /// Every key matches.
    Any,
    /// The key is this.
    Exact(&'p [u8]),
    /// The key begins with this.
    Prefix(&'p [u8]),
    /// The key matches this [`Regex`], by the meaning of the dialect.
    Regex(&'p str),
}

/// Collects rules for a [`KeyMatcher`].
#[derive(Debug)]
pub struct KeyMatcherBuilder {
    dialect: Dialect,
    any: Verdicts,
    all: Verdicts,
    exact: ByKey<Verdicts>,
    prefixes: PrefixMap<Verdicts>,
    regexes: RegexesBuilder,
}

// The keys of these maps are the operator's; a peer can only look things up, and cannot make them collide.
type ByKey<T> = HashMap<Box<[u8]>, T, FxBuildHasher>;

impl KeyMatcherBuilder {
    /// Begins with no rule: nothing matches.
    pub fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            any: Verdicts::default(),
            all: Verdicts::default(),
            exact: ByKey::default(),
            prefixes: PrefixMap::default(),
            regexes: RegexesBuilder::default(),
        }
    }

    /// Adds a rule. `classes` is a set of up to 64 kinds of requests (commands, say) for which the rule holds, one bit
    /// for each; [`KeyMatcher::decide`] looks only at rules of the class that it is asked for.
    ///
    /// # Errors
    /// A regex that is refused.
    pub fn add(&mut self, pattern: KeyPattern<'_>, classes: u64, id: RuleId, effect: Effect) -> Result<(), RuleError> {
        let verdict = Verdict { classes, id, effect };
        self.all.add(verdict);
        match pattern {
            KeyPattern::Any => self.any.add(verdict),
            KeyPattern::Exact(key) => self.exact.entry(key.into()).or_default().add(verdict),
            KeyPattern::Prefix(b"") => self.any.add(verdict),
            KeyPattern::Prefix(prefix) => self.prefixes.entry(prefix).add(verdict),
            KeyPattern::Regex(pattern) => {
                let refused = |why: String| RuleError::new(id, regex::describe_fault(pattern, &why));
                let hir = regex::parse(pattern, self.dialect).map_err(refused)?;
                match Shape::of(&hir) {
                    Shape::Any => self.any.add(verdict),
                    Shape::Exact(key) => self.exact.entry(key).or_default().add(verdict),
                    Shape::Prefix(prefix) => self.prefixes.entry(&prefix).add(verdict),
                    Shape::Other => self.regexes.add(hir, verdict).map_err(refused)?,
                }
            }
        }
        Ok(())
    }

    /// Makes the rules ready for use.
    ///
    /// # Errors
    /// Regexes that take too much memory together.
    pub fn build(self) -> Result<KeyMatcher, RuleError> {
        let Self { dialect: _, any, all, mut exact, prefixes, regexes } = self;
        exact.shrink_to_fit();
        let regexes = regexes.build().map_err(|message| RuleError { rule: None, message })?;
        Ok(KeyMatcher { any, all, exact, prefixes, regexes })
    }
}

/// Decides on keys by many rules at once. A decision allocates nothing, but for keys that are not UTF-8 where there are
/// regexes.
#[derive(Debug)]
pub struct KeyMatcher {
    /// Rules that look at no key.
    any: Verdicts,
    /// All rules, for requests without a key.
    all: Verdicts,
    exact: ByKey<Verdicts>,
    prefixes: PrefixMap<Verdicts>,
    regexes: Regexes,
}

impl KeyMatcher {
    /// Which rule decides on a key in a request of this class (one bit, or several if any of them will do). A rule that
    /// denies comes first. Where several rules decide alike, one of them is named.
    pub fn decide(&self, class: u64, key: &[u8]) -> L7Decision {
        let mut decision = L7Decision::NoMatch;
        if self.any.apply(class, &mut decision) {
            return decision;
        }
        if let Some(verdicts) = self.exact.get(key)
            && verdicts.apply(class, &mut decision)
        {
            return decision;
        }
        for (_, verdicts) in self.prefixes.matching(key) {
            if verdicts.apply(class, &mut decision) {
                return decision;
            }
        }
        self.regexes.apply(class, key, &mut decision);
        decision
    }

    /// Which rule decides on a request of this class that has no key: what rules say of keys is not looked at.
    pub fn decide_keyless(&self, class: u64) -> L7Decision {
        let mut decision = L7Decision::NoMatch;
        self.all.apply(class, &mut decision);
        decision
    }
}

/// Values by prefix.
#[derive(Debug)]
struct PrefixMap<T> {
    /// By length, shortest first.
    by_length: Vec<(usize, ByKey<T>)>,
}

impl<T> Default for PrefixMap<T> {
    fn default() -> Self {
        Self { by_length: Vec::new() }
    }
}

impl<T: Default> PrefixMap<T> {
    fn entry(&mut self, prefix: &[u8]) -> &mut T {
        let length = prefix.len();
        let at = self.by_length.partition_point(|(known, _)| *known < length);
        if self.by_length.get(at).is_none_or(|(known, _)| *known != length) {
            self.by_length.insert(at, (length, ByKey::default()));
        }
        #[expect(clippy::indexing_slicing, reason = "the entry was found or inserted at this index")]
        let (_, map) = &mut self.by_length[at];
        map.entry(prefix.into()).or_default()
    }

    /// The values of all prefixes that the key has, shortest first, with the lengths of the prefixes.
    fn matching<'m>(&'m self, key: &'m [u8]) -> impl Iterator<Item = (usize, &'m T)> {
        let candidates = self.by_length.iter().map_while(move |(length, map)| Some((key.get(..*length)?, map)));
        candidates.filter_map(|(prefix, map)| Some((prefix.len(), map.get(prefix)?)))
    }
}
