//! What rules that match the same keys decide together.

use crate::l7::{Effect, L7Decision, RuleId};

/// A rule, the classes of requests it holds for, and what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) classes: u64,
    pub(super) id: RuleId,
    pub(super) effect: Effect,
}

/// Verdicts of which none is decided already by those before it: at most two for each class.
#[derive(Debug, Default)]
pub(super) enum Verdicts {
    #[default]
    None,
    One(Verdict),
    Many(Vec<Verdict>),
}

impl Verdicts {
    fn as_slice(&self) -> &[Verdict] {
        match self {
            Self::None => &[],
            Self::One(verdict) => std::slice::from_ref(verdict),
            Self::Many(verdicts) => verdicts,
        }
    }

    pub(super) fn add(&mut self, mut verdict: Verdict) {
        let same = self.as_slice().iter().filter(|known| known.effect == verdict.effect);
        verdict.classes &= !same.fold(0, |known, verdict| known | verdict.classes);
        if verdict.classes == 0 {
            return;
        }
        match self {
            Self::None => *self = Self::One(verdict),
            Self::One(first) => *self = Self::Many(vec![*first, verdict]),
            Self::Many(verdicts) => verdicts.push(verdict),
        }
    }

    /// Adds these verdicts to a decision; says whether it is final, which a denial is.
    pub(super) fn apply(&self, class: u64, decision: &mut L7Decision) -> bool {
        self.as_slice().iter().any(|verdict| verdict.apply(class, decision))
    }
}

impl Verdict {
    pub(super) const fn holds_for(&self, class: u64) -> bool {
        self.classes & class != 0
    }

    pub(super) fn apply(&self, class: u64, decision: &mut L7Decision) -> bool {
        if !self.holds_for(class) {
            return false;
        }
        match self.effect {
            Effect::Deny => *decision = L7Decision::Deny(self.id),
            Effect::Allow if *decision == L7Decision::NoMatch => *decision = L7Decision::Allow(self.id),
            Effect::Allow => {}
        }
        self.effect == Effect::Deny
    }
}
