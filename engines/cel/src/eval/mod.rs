//! Evaluates expressions, and counts what they cost as `interpreter/runtimecost.go` of cel-go does.

mod attribute;
mod fold;

use crate::budget::Budget;
use crate::error::EvalError;
use crate::expression::Scope;
use crate::function::{Call, Function};
use crate::node::{Alternative, CallNode, Entry, Item, Member, Node, Operation};
use crate::operators;
use crate::value::{Key, List, Map, Value, compare};

/// `ListCreateBaseCost`.
const LIST_COST: u64 = 10;
/// `MapCreateBaseCost`.
const MAP_COST: u64 = 30;

/// Evaluates an expression.
///
/// # Errors
///
/// It failed, or went beyond its budget.
pub(crate) fn evaluate<'v>(
    node: &'v Node,
    scope: &mut dyn Scope<'v>,
    budget: &mut Budget,
) -> Result<Value<'v>, EvalError> {
    Evaluation { scope, budget, locals: Vec::new() }.eval(node)
}

struct Evaluation<'e, 'v> {
    scope: &'e mut dyn Scope<'v>,
    budget: &'e mut Budget,
    /// The variables of the comprehensions around the node at hand.
    locals: Vec<Value<'v>>,
}

type Outcome<'v> = Result<Value<'v>, EvalError>;

impl<'v> Evaluation<'_, 'v> {
    fn eval(&mut self, node: &'v Node) -> Outcome<'v> {
        self.budget.descend()?;
        let outcome = match node {
            Node::Fixed(value) => Ok(value.to_value()),
            Node::Attribute(attribute) => self.eval_attribute(attribute),
            Node::And(terms) => self.eval_logic(terms, false),
            Node::Or(terms) => self.eval_logic(terms, true),
            Node::List(items) => self.eval_list(items),
            Node::Map(entries) => self.eval_map(entries),
            Node::Operation(operation) => self.eval_operation(operation),
            Node::Call(call) => self.eval_call(call),
            Node::Member(member) => self.eval_member(member),
            Node::Fold(fold) => self.eval_fold(fold),
            Node::Alternative(alternative) => self.eval_alternative(alternative),
        };
        self.budget.ascend();
        outcome
    }

    /// Evaluates a part whose failure is not yet that of the whole.
    fn attempt(&mut self, node: &'v Node) -> Result<Outcome<'v>, EvalError> {
        settle(self.eval(node))
    }

    /// `&&` is decided by false, `||` by true; a failure counts only if the other side does not decide.
    fn eval_logic(&mut self, terms: &'v [Node; 2], decisive: bool) -> Outcome<'v> {
        let [left, right] = terms;
        let left = truth(self.attempt(left)?);
        if left == Ok(decisive) {
            return Ok(Value::Bool(decisive));
        }
        let right = truth(self.attempt(right)?);
        if right == Ok(decisive) {
            return Ok(Value::Bool(decisive));
        }
        left.and(right).map(Value::Bool)
    }

    fn eval_operation(&mut self, operation: &'v Operation) -> Outcome<'v> {
        let Operation { operator, operands, sized } = operation;
        match operands.as_slice() {
            [operand] => {
                let operand = self.attempt(operand)?;
                self.budget.charge(1)?;
                operators::apply_one(*operator, &operand?)
            }
            [left, right] => {
                // Both are evaluated, and the operation is paid for, even if one fails.
                let left = self.attempt(left)?;
                let right = self.attempt(right)?;
                let (left, right) = match (left, right) {
                    (Ok(left), Ok(right)) => (left, right),
                    (left, right) => {
                        self.budget.charge(1)?;
                        return left.and(right);
                    }
                };
                if *sized {
                    let operands = [left, right];
                    self.budget.charge(operator.cost(true, &operands))?;
                    let [left, right] = operands;
                    return operators::apply(*operator, &left, &right, self.budget);
                }
                self.budget.charge(1)?;
                operators::apply(*operator, &left, &right, self.budget)
            }
            _ => Err(EvalError::failed("no such overload")),
        }
    }

    fn eval_call(&mut self, call: &'v CallNode) -> Outcome<'v> {
        let mut arguments = Vec::with_capacity(call.arguments.len());
        let mut failure = None;
        for (at, argument) in call.arguments.iter().enumerate() {
            match self.attempt(argument)? {
                Ok(value) => arguments.push(value),
                Err(error) => {
                    // What fails counts as something of size 1. Of more than two arguments those after it are not evaluated, and
                    // then the call costs nothing.
                    failure.get_or_insert(error);
                    arguments.push(Value::Null);
                    if call.arguments.len() > 2 && at.saturating_add(1) < call.arguments.len() {
                        break;
                    }
                }
            }
        }
        if let Some(error) = failure {
            if arguments.len() == call.arguments.len() {
                self.budget.charge(cost_of(call, None, &arguments, &Value::Null))?;
            }
            return Err(error);
        }
        let (function, outcome) = dispatch(call, &arguments, self.budget);
        let outcome = settle(outcome)?;
        let result = outcome.as_ref().unwrap_or(&Value::Null);
        self.budget.charge(cost_of(call, function, &arguments, result))?;
        outcome
    }

    fn eval_list(&mut self, items: &'v [Item]) -> Outcome<'v> {
        let outcome = settle(self.build_list(items))?;
        self.budget.charge(LIST_COST)?;
        outcome
    }

    fn build_list(&mut self, items: &'v [Item]) -> Outcome<'v> {
        self.budget.allocate(size_of_val(items))?;
        let mut values = Vec::with_capacity(items.len());
        for item in items {
            let value = self.eval(&item.value)?;
            match value {
                value if !item.optional => values.push(value),
                Value::Optional(Some(value)) => values.push((*value).clone()),
                Value::Optional(None) => {}
                _ => return Err(EvalError::failed("cannot initialize optional list element from non-optional value")),
            }
        }
        List::build(values).map(Value::List)
    }

    fn eval_map(&mut self, entries: &'v [Entry]) -> Outcome<'v> {
        let outcome = settle(self.build_map(entries))?;
        self.budget.charge(MAP_COST)?;
        outcome
    }

    fn build_map(&mut self, entries: &'v [Entry]) -> Outcome<'v> {
        self.budget.allocate(size_of_val(entries))?;
        let mut values: Vec<(Key<'v>, Value<'v>)> = Vec::with_capacity(entries.len());
        for entry in entries {
            let key = self.eval(&entry.key)?;
            let value = self.eval(&entry.value)?;
            let Some(key) = Key::from_value(&key) else {
                return Err(EvalError::failed(format!("unsupported key type: {}", key.type_name())));
            };
            let value = match value {
                value if !entry.optional => Some(value),
                Value::Optional(value) => value.map(|value| (*value).clone()),
                _ => return Err(EvalError::failed("cannot initialize optional entry from non-optional value")),
            };
            self.budget.work(values.len() as u64)?;
            values.retain(|(other, _)| !other.as_ref().same(key.as_ref()));
            values.extend(value.map(|value| (key, value)));
        }
        Map::build(values).map(Value::Map)
    }

    fn eval_member(&mut self, member: &'v Member) -> Outcome<'v> {
        let value = self.eval(&member.value)?;
        if let Value::Text(text) = &value {
            return Ok(Value::Bool(member.texts.contains(&**text)));
        }
        for other in &member.others {
            self.budget.work(1)?;
            if compare::equals(&value, &other.to_value(), self.budget)? {
                return Ok(Value::Bool(true));
            }
        }
        Ok(Value::Bool(false))
    }

    fn eval_alternative(&mut self, alternative: &'v Alternative) -> Outcome<'v> {
        match self.eval(&alternative.first)? {
            Value::Optional(None) => self.eval(&alternative.second),
            Value::Optional(Some(value)) if alternative.unwrap => Ok((*value).clone()),
            other => Ok(other),
        }
    }
}

/// Lets through what ends the whole evaluation.
fn settle(outcome: Outcome<'_>) -> Result<Outcome<'_>, EvalError> {
    match outcome {
        Err(error) if error.is_final() => Err(error),
        other => Ok(other),
    }
}

fn truth(outcome: Outcome<'_>) -> Result<bool, EvalError> {
    match outcome? {
        Value::Bool(value) => Ok(value),
        _ => Err(EvalError::failed("no such overload")),
    }
}

/// What a call costs.
fn cost_of(call: &CallNode, function: Option<&'static Function>, arguments: &[Value<'_>], result: &Value<'_>) -> u64 {
    match function.or_else(|| call.candidates.first().map(|(function, _)| *function)) {
        Some(function) if !call.flat => (function.cost)(arguments, result),
        _ => 1,
    }
}

/// Calls the function that takes the arguments.
///
/// # Errors
///
/// There is none, or it failed.
pub(crate) fn call_function<'v>(call: &CallNode, arguments: &[Value<'v>], budget: &mut Budget) -> Outcome<'v> {
    dispatch(call, arguments, budget).1
}

fn dispatch<'v>(
    call: &CallNode,
    arguments: &[Value<'v>],
    budget: &mut Budget,
) -> (Option<&'static Function>, Outcome<'v>) {
    for (function, overloads) in &call.candidates {
        let takes = |at: &usize| {
            let parameters = function.overloads.get(*at).map_or(&[][..], |overload| overload.parameters);
            parameters.len() == arguments.len()
                && parameters.iter().zip(arguments).all(|(parameter, argument)| parameter.takes(argument.kind()))
        };
        if let Some(overload) = overloads.iter().copied().find(takes) {
            let pattern = call.pattern.as_ref();
            let mut call = Call { name: function.name, arguments, overload, pattern, budget };
            return (Some(function), (function.call)(&mut call));
        }
    }
    (None, Err(crate::error::no_such_overload(call.name, arguments)))
}
