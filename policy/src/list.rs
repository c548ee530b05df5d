//! A plain list of rules, for protocols whose authors need nothing faster.

use serde::de::DeserializeOwned;

use crate::l7::{Describe, Dialect, Effect, L7Decision, Located, Mismatch, RuleError, RuleSet};
use crate::lint::Outline;

/// A rule that can say by itself whether it matches a request.
pub trait ListedRule: Sized + Send + Sync + 'static {
    /// The rule as it is written in a policy.
    type Spec: DeserializeOwned;
    /// A request, borrowing from the wire.
    type Request<'a>: Describe;

    /// Makes the rule ready for use.
    ///
    /// # Errors
    /// A message for the operator if the rule cannot be enforced as written.
    fn compile(spec: Self::Spec, dialect: Dialect) -> Result<Self, String>;

    /// Whether the rule matches, or else the first field that does not.
    ///
    /// # Errors
    /// The name of that field.
    fn matches(&self, request: &Self::Request<'_>) -> Result<(), &'static str>;

    /// What a rule demands, for tools that compare rules; nothing if the protocol does not say.
    fn outline(_spec: &Self::Spec) -> Option<Outline> {
        None
    }
}

/// Rules that are tried one after the other. A decision costs as much as there are rules.
pub struct RuleList<T>(Vec<Located<T>>);

impl<T: ListedRule> RuleSet for RuleList<T> {
    type Rule = T::Spec;
    type Request<'a> = T::Request<'a>;

    fn compile(rules: Vec<Located<T::Spec>>, dialect: Dialect) -> Result<Self, RuleError> {
        let compile = |Located { id, effect, rule }| match T::compile(rule, dialect) {
            Ok(rule) => Ok(Located { id, effect, rule }),
            Err(message) => Err(RuleError::new(id, message)),
        };
        rules.into_iter().map(compile).collect::<Result<_, _>>().map(Self)
    }

    fn decide(&self, request: &T::Request<'_>) -> L7Decision {
        let mut decision = L7Decision::NoMatch;
        for Located { id, effect, rule } in &self.0 {
            if rule.matches(request).is_err() {
                continue;
            }
            match effect {
                Effect::Deny => return L7Decision::Deny(*id),
                Effect::Allow if decision == L7Decision::NoMatch => decision = L7Decision::Allow(*id),
                Effect::Allow => {}
            }
        }
        decision
    }

    fn explain(&self, request: &T::Request<'_>) -> Vec<Mismatch> {
        let miss = |located: &Located<T>| {
            let field = located.rule.matches(request).err()?;
            Some(Mismatch { rule: located.id, field })
        };
        self.0.iter().filter_map(miss).collect()
    }

    fn outline(rule: &T::Spec) -> Option<Outline> {
        T::outline(rule)
    }
}
