//! Whether a condition holds, where what it asks for may be unreadable.

/// Kleene's three values. What cannot be read is neither true nor false, under `not` either: a rule that denies takes it
/// for true and one that allows for false, so that nothing is allowed for being malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::admission) enum Truth {
    No,
    Unreadable,
    Yes,
}

impl Truth {
    pub(super) const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Unreadable, _) | (_, Self::Unreadable) => Self::Unreadable,
            (Self::Yes, Self::Yes) => Self::Yes,
        }
    }

    pub(super) const fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Yes, _) | (_, Self::Yes) => Self::Yes,
            (Self::Unreadable, _) | (_, Self::Unreadable) => Self::Unreadable,
            (Self::No, Self::No) => Self::No,
        }
    }

    pub(super) const fn not(self) -> Self {
        match self {
            Self::No => Self::Yes,
            Self::Unreadable => Self::Unreadable,
            Self::Yes => Self::No,
        }
    }

    /// Whether all are true.
    pub(super) fn all(items: impl IntoIterator<Item = Self>) -> Self {
        let mut truth = Self::Yes;
        for item in items {
            truth = truth.and(item);
            if truth == Self::No {
                break;
            }
        }
        truth
    }

    /// Whether any is true.
    pub(in crate::admission) fn any(items: impl IntoIterator<Item = Self>) -> Self {
        let mut truth = Self::No;
        for item in items {
            truth = truth.or(item);
            if truth == Self::Yes {
                break;
            }
        }
        truth
    }

    /// For what denies: whether it holds, or might.
    pub(super) const fn may_hold(self) -> bool {
        !matches!(self, Self::No)
    }

    /// For what allows: whether it surely holds.
    pub(super) const fn holds(self) -> bool {
        matches!(self, Self::Yes)
    }
}

impl From<bool> for Truth {
    fn from(value: bool) -> Self {
        if value { Self::Yes } else { Self::No }
    }
}

#[cfg(test)]
mod tests {
    use super::Truth::{No, Unreadable, Yes};
    use super::*;

    #[test]
    fn is_kleenes() {
        for (a, b, and, or) in [
            (No, No, No, No),
            (No, Unreadable, No, Unreadable),
            (No, Yes, No, Yes),
            (Unreadable, Unreadable, Unreadable, Unreadable),
            (Unreadable, Yes, Unreadable, Yes),
            (Yes, Yes, Yes, Yes),
        ] {
            assert_eq!((a.and(b), b.and(a)), (and, and), "{a:?} and {b:?}");
            assert_eq!((a.or(b), b.or(a)), (or, or), "{a:?} or {b:?}");
            assert_eq!(a.and(b).not(), a.not().or(b.not()), "de Morgan, {a:?} and {b:?}");
            assert_eq!((Truth::all([a, b]), Truth::any([a, b])), (and, or));
        }
        assert!(Unreadable.may_hold() && !Unreadable.holds(), "denied, and not allowed");
    }
}
