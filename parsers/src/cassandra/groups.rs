//! Rules by name, some of which look at no name.

use portcullis_policy::matcher::{KeyMatcher, KeyMatcherBuilder, KeyPattern};
use portcullis_policy::{Dialect, Effect, L7Decision, RuleError, RuleId};

use super::cql::Action;
use super::rule::{Actions, Names};

/// The rules that look at no name, and those that do.
#[derive(Debug)]
pub(super) struct Group {
    bare: KeyMatcher,
    named: Option<KeyMatcher>,
}

impl Group {
    /// What the rules say of an action on that name.
    pub(super) fn named(&self, action: Action, name: &[u8]) -> L7Decision {
        let named = self.named.as_ref().map_or(L7Decision::NoMatch, |named| named.decide(class(action), name));
        either(self.nameless(action), named)
    }

    /// What the rules say of an action on something that has no such name.
    pub(super) fn nameless(&self, action: Action) -> L7Decision {
        self.bare.decide_keyless(class(action))
    }
}

const fn class(action: Action) -> u64 {
    Actions::one(action).0
}

/// One of two decisions on the same object: what is denied is denied.
pub(super) const fn either(one: L7Decision, other: L7Decision) -> L7Decision {
    match (one, other) {
        (L7Decision::Deny(_), _) => one,
        (_, L7Decision::Deny(_)) | (L7Decision::NoMatch, _) => other,
        _ => one,
    }
}

/// Collects rules for a [`Group`].
#[derive(Debug)]
pub(super) struct GroupBuilder {
    bare: KeyMatcherBuilder,
    named: Option<KeyMatcherBuilder>,
    dialect: Dialect,
}

impl GroupBuilder {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self { bare: KeyMatcherBuilder::new(dialect), named: None, dialect }
    }

    /// Adds a rule that looks at no name.
    pub(super) fn add_bare(&mut self, actions: Actions, id: RuleId, effect: Effect) -> Result<(), RuleError> {
        self.bare.add(KeyPattern::Any, actions.0, id, effect)
    }

    /// Adds a rule for the names that match a regex.
    pub(super) fn add_regex(
        &mut self,
        pattern: &str,
        actions: Actions,
        id: RuleId,
        effect: Effect,
    ) -> Result<(), RuleError> {
        self.named().add(KeyPattern::Regex(pattern), actions.0, id, effect)
    }

    /// Adds a rule.
    pub(super) fn add(&mut self, names: &Names, actions: Actions, id: RuleId, effect: Effect) -> Result<(), RuleError> {
        let (texts, pattern): (_, fn(&str) -> KeyPattern<'_>) = match names {
            Names::Any => return self.add_bare(actions, id, effect),
            Names::Exact(texts) => (texts, |text| KeyPattern::Exact(text.as_bytes())),
            Names::Prefix(texts) => (texts, |text| KeyPattern::Prefix(text.as_bytes())),
            Names::Regex(texts) => (texts, |text| KeyPattern::Regex(text)),
        };
        texts.iter().try_for_each(|text| self.named().add(pattern(text), actions.0, id, effect))
    }

    fn named(&mut self) -> &mut KeyMatcherBuilder {
        self.named.get_or_insert_with(|| KeyMatcherBuilder::new(self.dialect))
    }

    pub(super) fn build(self) -> Result<Group, RuleError> {
        let named = self.named.map(KeyMatcherBuilder::build).transpose()?;
        Ok(Group { bare: self.bare.build()?, named })
    }
}
