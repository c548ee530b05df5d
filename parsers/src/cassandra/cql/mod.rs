//! What a CQL text does, and to which objects: read as Cassandra reads it, or not at all.
//!
//! The grammar is that of Cassandra 5.0 (`Lexer.g` and `Parser.g`), with what is new in the version after it. What versions
//! since 3.11 read differently, and what this reader cannot place with certainty, is refused. It is a whole grammar:
//! nothing is skipped that could name an object, and nothing is nested that is read by recursion.

mod action;
mod data;
mod expression;
mod lexer;
#[cfg(feature = "mutants")]
pub mod mutants;
mod natives;
mod reader;
mod roles;
mod schema;
mod script;
mod statement;
mod tables;
#[cfg(test)]
mod tests;
mod token;
mod types;

use std::fmt;

pub use self::action::{Action, Kind};
pub use self::script::{Object, Script, Statement};

/// Why a text was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// The reason, which holds nothing of the text.
    pub reason: &'static str,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason)
    }
}

impl std::error::Error for SyntaxError {}

/// Objects of one text. A batch of so many statements is far beyond what Cassandra advises (`batch_size_fail_threshold`
/// is 50 KiB by default), and everything is judged before any of it passes.
const MAX_OBJECTS: usize = 4096;

/// Brackets inside each other. Cassandra's own parser recurses, and takes time that doubles with some of them.
const MAX_NESTING: usize = 64;
