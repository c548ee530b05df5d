//! Mistakes that readers of CQL make, put back one at a time: whatever claims to find such mistakes must find these. Only
//! for tests; the feature `mutants` is off in every build that is shipped.

use std::sync::atomic::{AtomicU8, Ordering};

/// One mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mutant {
    /// Names are not folded.
    Case = 1,
    /// Quoted names are folded, too.
    QuotedCase,
    /// The names of users are folded like others.
    UserCase,
    /// What is doubled inside of quotes stays doubled.
    DoubledQuote,
    /// A backslash escapes a quote.
    Backslash,
    /// A comment ends with a line feed, and not with a carriage return.
    LineEnd,
    /// `/*/` is a whole comment.
    CommentStart,
    /// Functions in terms and selectors are not seen.
    Functions,
    /// A keyword that names a function is folded.
    KeywordCase,
    /// The types of casts are not seen.
    Casts,
    /// What is named without a keyspace is in that of the connection, and not in that of the statement.
    Home,
    /// Of the statements of a batch only the first is judged.
    FirstOfBatch,
    /// The table of a view is not told.
    BaseTable,
    /// After `ON`, `ROLE` is never the name of a table.
    RoleWord,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Case,
        Self::QuotedCase,
        Self::UserCase,
        Self::DoubledQuote,
        Self::Backslash,
        Self::LineEnd,
        Self::CommentStart,
        Self::Functions,
        Self::KeywordCase,
        Self::Casts,
        Self::Home,
        Self::FirstOfBatch,
        Self::BaseTable,
        Self::RoleWord,
    ];
}

static ACTIVE: AtomicU8 = AtomicU8::new(0);

/// Puts one back, in the whole process, and takes away any other.
pub fn activate(mutant: Option<Mutant>) {
    ACTIVE.store(mutant.map_or(0, |mutant| mutant as u8), Ordering::SeqCst);
}

pub(super) fn is(mutant: Mutant) -> bool {
    ACTIVE.load(Ordering::SeqCst) == mutant as u8
}
