//! Expressions: how they are compiled and evaluated.

use crate::budget::Budget;
use crate::check;
use crate::environment::{Environment, TypeHint};
use crate::error::{EvalError, Fault};
use crate::estimate;
use crate::eval;
use crate::node::Node;
use crate::parse;
use crate::value::Value;

/// An expression that may be evaluated, any number of times and by any number of threads.
#[derive(Debug)]
pub struct Expression {
    root: Node,
    ty: TypeHint,
}

/// Where an expression finds its variables.
pub trait Scope<'v> {
    /// The value of a variable, asked for each time that the expression mentions it. `None` if it is not there.
    fn resolve(&mut self, name: &str, budget: &mut Budget) -> Option<Result<Value<'v>, EvalError>>;
}

impl Expression {
    /// Compiles an expression.
    ///
    /// # Errors
    ///
    /// It is no expression; refers to what is not there; has types that do not fit; or is too long, too deep or too costly.
    pub fn compile(source: &str, environment: &Environment) -> Result<Self, Fault> {
        parse::read(source, |tree, source| {
            let (root, ty) = check::check(tree, source, environment)?;
            if estimate::least(&root) > crate::EXPRESSION_LIMIT {
                let message =
                    "the expression costs more than an expression may, whatever it is given; make its lists shorter";
                return Err(source.fault(tree.id, message));
            }
            Ok(Self { root, ty: TypeHint(ty) })
        })
    }

    /// What is known of the type of its result.
    pub fn result_type(&self) -> &TypeHint {
        &self.ty
    }

    /// Evaluates it.
    ///
    /// # Errors
    ///
    /// It failed, or went beyond its budget.
    pub fn evaluate<'v>(&'v self, scope: &mut dyn Scope<'v>, budget: &mut Budget) -> Result<Value<'v>, EvalError> {
        let outer = budget.enter();
        let result = eval::evaluate(&self.root, scope, budget);
        budget.leave(outer)?;
        result
    }
}
