//! Rego as OPA means it, within limits.
//!
//! A [`Program`] is compiled from [`Module`]s once, and evaluated with an [`Input`] as often as needed, by any thread. The crate
//! regorus gives the values, the numbers, and those functions that it has as OPA does (times, YAML, JSON patches, units). The
//! compiler and the evaluation are our own: they take the steps of OPA's compiler in its order, so that what OPA refuses is
//! refused at load, with its codes, and what is undefined there is undefined here.
//!
//! # Limits
//!
//! A module has at most 1 MiB; brackets are nested at most 128 deep, and operators, `else` and bodies stand at most 256 in a
//! row. Rules and functions that depend on themselves are refused. The compiler has a thread with a stack of its own.
//!
//! An evaluation ends at its deadline, and where it has more than 64 MiB in use, as the host tells by [`set_memory_gauge`]. Where
//! no host tells, it may make 256 MiB in all. What a function returns is counted before it is made. It uses at most 1 MiB
//! of the stack, and makes no value that is nested deeper than 2,000. Functions that could run for long look at the clock
//! meanwhile. A search for a regular expression that cannot be stopped, and could need a second, fails.
//!
//! What asks other systems (`http.send`, `external_data`, `net.lookup_ip_addr`) and what is not there (`io.jwt.*`, most of
//! `crypto.*`, `graphql.*`, schemas of JSON, `future.keywords.not`, `and` and `or`) is refused at load.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

mod ast;
mod builtins;
mod code;
mod compile;
mod lexer;
mod machine;
mod parser;
mod program;
mod value;

use std::fmt;
use std::sync::OnceLock;

pub use program::Program;
pub use regorus::Value;
pub use value::{Data, Input, ManagedFields, read_json, read_serde};

/// A file of Rego.
#[derive(Clone, Copy, Debug)]
pub struct Module<'a> {
    /// What faults call the file.
    pub name: &'a str,
    /// Its text.
    pub text: &'a str,
}

/// Which Rego modules are written in that do not say so with `import rego.v1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Before OPA 1.0, and Gatekeeper's templates: `deny[msg] { ... }`.
    V0,
    /// Since OPA 1.0: `deny contains msg if { ... }`.
    V1,
}

/// Why a program does not compile, as OPA says it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Fault {
    /// The name of the module.
    pub file: String,
    /// The line, from 1; 0 where the whole file is meant.
    pub row: u32,
    /// The column in bytes, from 1.
    pub column: u32,
    /// OPA's code: `rego_parse_error`, `rego_compile_error`, `rego_unsafe_var_error`, `rego_type_error`, `rego_recursion_error`.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}: {}", self.file, self.row, self.column, self.code, self.message)
    }
}

/// Why an evaluation has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// The time is up.
    #[error("the policy takes too long")]
    Deadline,
    /// It takes more memory than there may be.
    #[error("the policy takes too much memory")]
    Memory,
    /// What OPA calls an error: conflicting values, a builtin that stops the evaluation.
    #[error("{0}")]
    Failed(String),
}

static MEMORY_GAUGE: OnceLock<fn() -> u64> = OnceLock::new();

/// Says how to learn how many bytes this thread has in use: allocated, and not freed. The first call counts.
pub fn set_memory_gauge(gauge: fn() -> u64) {
    let _ = MEMORY_GAUGE.set(gauge);
}
