//! Collects what is wrong with policies, within bounds.

use std::fmt;

use crate::lint::Lint;
use crate::node::NodeError;

/// Errors that are shown of one load: enough to mend a file in one go, few enough to read.
const MAX_ERRORS: usize = 20;
/// Warnings that are shown of one load.
const MAX_WARNINGS: usize = 100;

/// Something in a policy that works, and is probably not what was meant. Shown like an error.
pub type Warning = NodeError;

/// All that is wrong with some policies; none of them was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyErrors {
    /// The errors, in the order of the files. The `Display` of each is one line.
    pub errors: Vec<NodeError>,
    /// How many more there are.
    pub omitted: usize,
}

impl fmt::Display for PolicyErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, error) in self.errors.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        if self.omitted > 0 {
            write!(f, "\nand {} more errors", self.omitted)?;
        }
        Ok(())
    }
}

impl std::error::Error for PolicyErrors {}

impl From<NodeError> for PolicyErrors {
    fn from(error: NodeError) -> Self {
        Self { errors: vec![error], omitted: 0 }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Problems {
    errors: Vec<NodeError>,
    omitted: usize,
    warnings: Vec<(Lint, Warning)>,
    /// Whether warnings are kept however many there are.
    keeps_all: bool,
}

impl Problems {
    pub(crate) fn add(&mut self, error: NodeError) {
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(error);
        } else {
            self.omitted = self.omitted.saturating_add(1);
        }
    }

    /// Keeps the value, or the error.
    pub(crate) fn note<T>(&mut self, result: Result<T, NodeError>) -> Option<T> {
        result.map_err(|error| self.add(error)).ok()
    }

    pub(crate) fn warn(&mut self, lint: Lint, warning: Warning) {
        if self.keeps_all || self.warnings.len() < MAX_WARNINGS {
            self.warnings.push((lint, warning));
        }
    }

    /// For those who look at policies, and not for a listener that loads them.
    pub(crate) fn keeping_all_warnings() -> Self {
        Self { keeps_all: true, ..Self::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    /// Adds the errors of another part.
    pub(crate) fn extend(&mut self, other: Self) {
        self.omitted = self.omitted.saturating_add(other.omitted);
        other.errors.into_iter().for_each(|error| self.add(error));
    }

    pub(crate) fn take_warnings(&mut self) -> Vec<(Lint, Warning)> {
        std::mem::take(&mut self.warnings)
    }

    pub(crate) fn finish(self) -> Result<(), PolicyErrors> {
        if self.errors.is_empty() { Ok(()) } else { Err(PolicyErrors { errors: self.errors, omitted: self.omitted }) }
    }
}
