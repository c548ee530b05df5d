//! How a function is declared, and what it is handed.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::regex::Regex;

use crate::budget::Budget;
use crate::error::EvalError;
use crate::types::Type;
use crate::value::{List, Map, Value, compare};

/// A function of a library.
///
/// Which values an overload takes is checked before the function is called: a function may rely on the kinds of its arguments
/// being those of [`Call::overload`], but for what is in lists, maps and optionals.
#[derive(Debug)]
pub struct Function {
    /// `indexOf`; with its namespace if it has one and is global: `math.greatest`, `ip.isCanonical`.
    pub name: &'static str,
    /// How it is called.
    pub style: Style,
    /// What it takes, the receiver first.
    pub overloads: &'static [Overload],
    /// What a call costs; see [`cost`].
    pub cost: Cost,
    /// Which argument is a regular expression, if one is: where that is a literal it is compiled with the expression.
    pub pattern: Option<usize>,
    /// What it does.
    pub call: for<'v> fn(&mut Call<'_, 'v>) -> Result<Value<'v>, EvalError>,
}

/// How a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Style {
    /// `f(x)`.
    Global,
    /// `x.f()`.
    Receiver,
}

/// One signature of a function.
#[derive(Debug)]
pub struct Overload {
    /// The receiver, if there is one, and the arguments.
    pub parameters: &'static [Type],
    /// What it gives.
    pub result: Type,
}

/// The cost of a call, from its arguments (the receiver first) and its result.
pub type Cost = for<'v> fn(&[Value<'v>], &Value<'v>) -> u64;

/// One call of a function.
#[derive(Debug)]
pub struct Call<'c, 'v> {
    pub(crate) name: &'static str,
    pub(crate) arguments: &'c [Value<'v>],
    pub(crate) overload: usize,
    pub(crate) pattern: Option<&'c Arc<Regex>>,
    pub(crate) budget: &'c mut Budget,
}

impl<'c, 'v> Call<'c, 'v> {
    /// Which of the function's overloads takes the arguments.
    pub fn overload(&self) -> usize {
        self.overload
    }

    /// The arguments, the receiver first.
    pub fn arguments(&self) -> &'c [Value<'v>] {
        self.arguments
    }

    /// An argument.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn argument(&self, index: usize) -> Result<&'c Value<'v>, EvalError> {
        self.arguments.get(index).ok_or_else(|| self.no_such_overload())
    }

    /// An argument that is a text.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn text(&self, index: usize) -> Result<&'c str, EvalError> {
        match self.argument(index)? {
            Value::Text(text) => Ok(text),
            _ => Err(self.no_such_overload()),
        }
    }

    /// An argument that is an integer.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn int(&self, index: usize) -> Result<i64, EvalError> {
        match self.argument(index)? {
            Value::Int(value) => Ok(*value),
            _ => Err(self.no_such_overload()),
        }
    }

    /// An argument that is a list.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn list(&self, index: usize) -> Result<&'c List<'v>, EvalError> {
        match self.argument(index)? {
            Value::List(list) => Ok(list),
            _ => Err(self.no_such_overload()),
        }
    }

    /// An argument that is a map.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn map(&self, index: usize) -> Result<&'c Map<'v>, EvalError> {
        match self.argument(index)? {
            Value::Map(map) => Ok(map),
            _ => Err(self.no_such_overload()),
        }
    }

    /// An argument that is a library's value of this type.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn opaque<T: 'static>(&self, index: usize) -> Result<&'c T, EvalError> {
        self.argument(index)?.downcast().ok_or_else(|| self.no_such_overload())
    }

    /// The regular expression (RE2) that an argument is.
    ///
    /// # Errors
    ///
    /// It is no text, no regular expression, or one that is too large.
    pub fn regex(&mut self, index: usize) -> Result<Arc<Regex>, EvalError> {
        if let Some(pattern) = self.pattern {
            return Ok(Arc::clone(pattern));
        }
        let pattern = self.text(index)?;
        self.budget.regex(pattern)
    }

    /// Whether two values are equal, as `==` has it.
    ///
    /// # Errors
    ///
    /// It is too late.
    pub fn equals(&mut self, left: &Value<'v>, right: &Value<'v>) -> Result<bool, EvalError> {
        compare::equals(left, right, self.budget)
    }

    /// The order of two values, as `<` has it.
    ///
    /// # Errors
    ///
    /// They have none.
    pub fn compare(&self, left: &Value<'v>, right: &Value<'v>) -> Result<Ordering, EvalError> {
        compare::order(left, right)?.ok_or_else(|| EvalError::failed("NaN values cannot be ordered"))
    }

    /// Says that so many bytes are about to be built. To be called before they are, by every function whose result may be larger than its arguments
    /// or that collects what it is given.
    ///
    /// # Errors
    ///
    /// There is no memory left for them.
    pub fn allocate(&mut self, bytes: usize) -> Result<(), EvalError> {
        self.budget.allocate(bytes)
    }

    /// Says that so many items, or bytes/64 or so, are about to be looked at, so that a deadline is kept in loops that cost nothing.
    ///
    /// # Errors
    ///
    /// It is too late.
    pub fn work(&mut self, steps: usize) -> Result<(), EvalError> {
        self.budget.work(steps as u64)
    }

    /// What to answer arguments of the wrong kinds with.
    pub fn no_such_overload(&self) -> EvalError {
        crate::error::no_such_overload(self.name, self.arguments)
    }
}

/// Rules of cost.
pub mod cost {
    use super::Value;

    /// 1, whatever it is given.
    pub fn one(_: &[Value<'_>], _: &Value<'_>) -> u64 {
        1
    }

    /// A tenth of the size of the first argument, as for what reads a text once.
    pub fn traverse(arguments: &[Value<'_>], _: &Value<'_>) -> u64 {
        arguments.first().map_or(1, |text| tenth(text.cost_size()))
    }

    /// The size times 0.1, rounded up: "StringTraversalCostFactor".
    pub fn tenth(size: u64) -> u64 {
        size.div_ceil(10)
    }

    /// The size of a regular expression times 0.25, rounded up: "RegexStringLengthCostFactor".
    pub fn quarter(size: u64) -> u64 {
        size.div_ceil(4)
    }
}
