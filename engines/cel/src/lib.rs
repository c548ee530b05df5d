//! CEL as Kubernetes means it, within its cost budgets.
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

mod budget;
mod check;
mod environment;
mod error;
mod estimate;
mod eval;
mod expression;
mod function;
mod library;
mod limits;
mod node;
mod operators;
mod parse;
mod regex;
mod standard;
mod types;
mod value;

pub use budget::{Budget, CONDITIONS_LIMIT, EXPRESSION_LIMIT, MAX_MEMORY, POLICY_LIMIT};
pub use environment::{Environment, TypeHint};
pub use error::{EvalError, Fault};
pub use expression::{Expression, Scope};
pub use function::{Call, Cost, Function, Overload, Style, cost};
pub use regex::Regex;
pub use types::Type;
pub use value::{Key, KeyRef, List, ListItems, Map, MapEntries, Opaque, Str, Timestamp, Value};
