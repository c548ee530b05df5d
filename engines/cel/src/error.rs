//! What goes wrong.

use std::borrow::Cow;
use std::fmt;

use crate::value::Value;

/// Why an expression was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for Fault {}

/// Why an expression came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EvalError {
    /// The expression, or all of a policy's, did more than its budget allows.
    Cost(&'static str),
    /// It is too late.
    Deadline,
    /// It built more than [`MAX_MEMORY`](crate::MAX_MEMORY).
    Memory,
    /// It is nested too deep, with the expressions that it needs.
    Depth,
    /// It failed; as the API server words it.
    Failed(Cow<'static, str>),
}

impl EvalError {
    /// An error of an expression, which `||` and `&&` may overcome.
    pub fn failed(message: impl Into<Cow<'static, str>>) -> Self {
        Self::Failed(message.into())
    }

    /// Whether the evaluation is over, whatever stands around this.
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Failed(_))
    }
}

impl fmt::Display for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cost(message) => f.write_str(message),
            Self::Deadline => f.write_str("operation interrupted: the deadline has passed"),
            Self::Memory => f.write_str("operation cancelled: memory limit exceeded"),
            Self::Depth => f.write_str("operation cancelled: the expressions that need one another are too many"),
            Self::Failed(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for EvalError {}

/// As the API server says that no signature fits.
pub(crate) fn no_such_overload(name: &str, arguments: &[Value<'_>]) -> EvalError {
    let kinds: Vec<&str> = arguments.iter().map(Value::type_name).collect();
    EvalError::failed(format!("no such overload: {name}({})", kinds.join(", ")))
}
