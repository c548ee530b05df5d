//! The operators: what they take, and what they do.

use std::cmp::Ordering;

use crate::budget::Budget;
use crate::error::EvalError;
use crate::function::Overload;
use crate::function::cost::tenth;
use crate::types::Type;
use crate::value::{KeyRef, List, Str, Timestamp, Value, compare};

/// An operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Not,
    Negate,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Equals,
    NotEquals,
    Less,
    LessEquals,
    Greater,
    GreaterEquals,
    In,
}

use Type::{Bool, Bytes, Double, Duration, Int, String as Text, Timestamp as Time, UInt};
const A: Type = Type::Param('A');
const B: Type = Type::Param('B');
const LIST: Type = Type::List(&A);

const fn takes(parameters: &'static [Type], result: Type) -> Overload {
    Overload { parameters, result }
}

const NOT: &[Overload] = &[takes(&[Bool], Bool)];
const NEGATE: &[Overload] = &[takes(&[Double], Double), takes(&[Int], Int)];
const ADD: &[Overload] = &[
    takes(&[Bytes, Bytes], Bytes),
    takes(&[Double, Double], Double),
    takes(&[Duration, Duration], Duration),
    takes(&[Duration, Time], Time),
    takes(&[Time, Duration], Time),
    takes(&[Int, Int], Int),
    takes(&[LIST, LIST], LIST),
    takes(&[Text, Text], Text),
    takes(&[UInt, UInt], UInt),
];
const SUBTRACT: &[Overload] = &[
    takes(&[Double, Double], Double),
    takes(&[Duration, Duration], Duration),
    takes(&[Int, Int], Int),
    takes(&[Time, Duration], Time),
    takes(&[Time, Time], Duration),
    takes(&[UInt, UInt], UInt),
];
const MULTIPLY: &[Overload] = &[takes(&[Double, Double], Double), takes(&[Int, Int], Int), takes(&[UInt, UInt], UInt)];
const MODULO: &[Overload] = &[takes(&[Int, Int], Int), takes(&[UInt, UInt], UInt)];
const EQUALS: &[Overload] = &[takes(&[A, A], Bool)];
const ORDER: &[Overload] = &[
    takes(&[Bool, Bool], Bool),
    takes(&[Int, Int], Bool),
    takes(&[Int, Double], Bool),
    takes(&[Int, UInt], Bool),
    takes(&[UInt, UInt], Bool),
    takes(&[UInt, Double], Bool),
    takes(&[UInt, Int], Bool),
    takes(&[Double, Double], Bool),
    takes(&[Double, Int], Bool),
    takes(&[Double, UInt], Bool),
    takes(&[Text, Text], Bool),
    takes(&[Bytes, Bytes], Bool),
    takes(&[Time, Time], Bool),
    takes(&[Duration, Duration], Bool),
];
const IN: &[Overload] = &[takes(&[A, LIST], Bool), takes(&[A, Type::Map(&A, &B)], Bool)];

impl Operator {
    /// By the name that the syntax tree has for it.
    pub(crate) fn find(name: &str) -> Option<Self> {
        Some(match name {
            "!_" => Self::Not,
            "-_" => Self::Negate,
            "_+_" => Self::Add,
            "_-_" => Self::Subtract,
            "_*_" => Self::Multiply,
            "_/_" => Self::Divide,
            "_%_" => Self::Modulo,
            "_==_" => Self::Equals,
            "_!=_" => Self::NotEquals,
            "_<_" => Self::Less,
            "_<=_" => Self::LessEquals,
            "_>_" => Self::Greater,
            "_>=_" => Self::GreaterEquals,
            "@in" => Self::In,
            _ => return None,
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Not => "!_",
            Self::Negate => "-_",
            Self::Add => "_+_",
            Self::Subtract => "_-_",
            Self::Multiply => "_*_",
            Self::Divide => "_/_",
            Self::Modulo => "_%_",
            Self::Equals => "_==_",
            Self::NotEquals => "_!=_",
            Self::Less => "_<_",
            Self::LessEquals => "_<=_",
            Self::Greater => "_>_",
            Self::GreaterEquals => "_>=_",
            Self::In => "@in",
        }
    }

    pub(crate) fn overloads(self) -> &'static [Overload] {
        match self {
            Self::Not => NOT,
            Self::Negate => NEGATE,
            Self::Add => ADD,
            Self::Subtract => SUBTRACT,
            Self::Multiply | Self::Divide => MULTIPLY,
            Self::Modulo => MODULO,
            Self::Equals | Self::NotEquals => EQUALS,
            Self::Less | Self::LessEquals | Self::Greater | Self::GreaterEquals => ORDER,
            Self::In => IN,
        }
    }

    /// Whether it costs more for larger operands of the types of this overload: "O(n) functions", "O(min(m, n)) functions"
    /// and "O(m+n) functions" of `runtimecost.go`.
    pub(crate) fn is_sized(self, overload: &Overload) -> bool {
        let text = matches!(overload.parameters, [Type::String | Type::Bytes, Type::String | Type::Bytes]);
        match self {
            Self::Equals | Self::NotEquals => true,
            Self::Add | Self::Less | Self::LessEquals | Self::Greater | Self::GreaterEquals => text,
            Self::In => matches!(overload.parameters, [_, Type::List(_)]),
            _ => false,
        }
    }

    /// What it costs. An operand that failed counts 1.
    pub(crate) fn cost(self, sized: bool, operands: &[Value<'_>]) -> u64 {
        let (Some(left), Some(right), true) = (operands.first(), operands.get(1), sized) else { return 1 };
        match self {
            Self::Equals if matches!(left, Value::Opaque(_)) => 1,
            Self::Add => tenth(left.cost_size().saturating_add(right.cost_size())),
            Self::In => right.cost_size(),
            _ => tenth(left.cost_size().min(right.cost_size())),
        }
    }

    fn no_such_overload(self) -> EvalError {
        EvalError::failed(format!("no such overload: {}", self.name()))
    }
}

/// Applies an operator of one operand.
pub(crate) fn apply_one<'v>(operator: Operator, operand: &Value<'v>) -> Result<Value<'v>, EvalError> {
    match (operator, operand) {
        (Operator::Not, Value::Bool(value)) => Ok(Value::Bool(!value)),
        (Operator::Not, _) => Err(EvalError::failed("no such overload")),
        (Operator::Negate, Value::Int(value)) => value.checked_neg().map(Value::Int).ok_or_else(int_overflow),
        (Operator::Negate, Value::Double(value)) => Ok(Value::Double(-value)),
        (Operator::Negate, Value::Duration(value)) => value.checked_neg().map(Value::Duration).ok_or_else(int_overflow),
        _ => Err(operator.no_such_overload()),
    }
}

/// Applies an operator of two operands.
pub(crate) fn apply<'v>(
    operator: Operator,
    left: &Value<'v>,
    right: &Value<'v>,
    budget: &mut Budget,
) -> Result<Value<'v>, EvalError> {
    match operator {
        // What a library makes can be compared with its like and with null alone; but it is other than all else.
        Operator::Equals if matches!(left, Value::Opaque(_)) && !matches!(right, Value::Opaque(_) | Value::Null) => {
            Err(EvalError::failed("no such overload"))
        }
        Operator::Equals => compare::equals(left, right, budget).map(Value::Bool),
        Operator::NotEquals => compare::equals(left, right, budget).map(|equal| Value::Bool(!equal)),
        Operator::Less | Operator::LessEquals | Operator::Greater | Operator::GreaterEquals => {
            let order = match (left, right) {
                (
                    Value::Null
                    | Value::List(_)
                    | Value::Map(_)
                    | Value::Type(_)
                    | Value::Optional(_)
                    | Value::Opaque(_),
                    _,
                ) => {
                    return Err(operator.no_such_overload());
                }
                _ => compare::order(left, right)?,
            };
            let order = order.ok_or_else(|| EvalError::failed("NaN values cannot be ordered"))?;
            Ok(Value::Bool(match operator {
                Operator::Less => order == Ordering::Less,
                Operator::LessEquals => order != Ordering::Greater,
                Operator::Greater => order == Ordering::Greater,
                _ => order != Ordering::Less,
            }))
        }
        Operator::In => contains(right, left, budget).map(Value::Bool),
        _ => calculate(operator, left, right, budget),
    }
}

fn contains(all: &Value<'_>, one: &Value<'_>, budget: &mut Budget) -> Result<bool, EvalError> {
    match all {
        Value::List(list) => {
            for item in list.items() {
                budget.work(1)?;
                if compare::equals(&item, one, budget)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Value::Map(map) => Ok(KeyRef::from_value(one).is_some_and(|key| map.contains(key))),
        _ => Err(EvalError::failed("no such overload")),
    }
}

#[expect(clippy::arithmetic_side_effects, reason = "floating-point numbers do not overflow")]
fn calculate<'v>(
    operator: Operator,
    left: &Value<'v>,
    right: &Value<'v>,
    budget: &mut Budget,
) -> Result<Value<'v>, EvalError> {
    use Operator::{Add, Divide, Modulo, Multiply, Subtract};
    match (operator, left, right) {
        (_, Value::Int(left), Value::Int(right)) => {
            let result = match operator {
                Add => left.checked_add(*right),
                Subtract => left.checked_sub(*right),
                Multiply => left.checked_mul(*right),
                Divide if *right == 0 => return Err(EvalError::failed("division by zero")),
                Divide => left.checked_div(*right),
                _ if *right == 0 => return Err(EvalError::failed("modulus by zero")),
                _ => left.checked_rem(*right),
            };
            result.map(Value::Int).ok_or_else(int_overflow)
        }
        (_, Value::UInt(left), Value::UInt(right)) => {
            let result = match operator {
                Add => left.checked_add(*right),
                Subtract => left.checked_sub(*right),
                Multiply => left.checked_mul(*right),
                Divide if *right == 0 => return Err(EvalError::failed("division by zero")),
                Divide => left.checked_div(*right),
                _ if *right == 0 => return Err(EvalError::failed("modulus by zero")),
                _ => left.checked_rem(*right),
            };
            result.map(Value::UInt).ok_or_else(|| EvalError::failed("unsigned integer overflow"))
        }
        (Add, Value::Double(left), Value::Double(right)) => Ok(Value::Double(left + right)),
        (Subtract, Value::Double(left), Value::Double(right)) => Ok(Value::Double(left - right)),
        (Multiply, Value::Double(left), Value::Double(right)) => Ok(Value::Double(left * right)),
        (Divide, Value::Double(left), Value::Double(right)) => Ok(Value::Double(left / right)),
        (Add, Value::Text(left), Value::Text(right)) => {
            budget.allocate(left.len().saturating_add(right.len()))?;
            let mut text = String::with_capacity(left.len().saturating_add(right.len()));
            text.push_str(left);
            text.push_str(right);
            Ok(Value::Text(Str::from(text)))
        }
        (Add, Value::Bytes(left), Value::Bytes(right)) => {
            budget.allocate(left.len().saturating_add(right.len()))?;
            Ok(Value::Bytes([&**left, &**right].concat().into()))
        }
        (Add, Value::List(left), Value::List(right)) => {
            if left.is_empty() {
                return Ok(Value::List(right.clone()));
            }
            if right.is_empty() {
                return Ok(Value::List(left.clone()));
            }
            let length = left.len().saturating_add(right.len());
            budget.allocate(length.saturating_mul(size_of::<Value<'_>>()))?;
            let mut items = Vec::with_capacity(length);
            items.extend(left.items());
            items.extend(right.items());
            List::build(items).map(Value::List)
        }
        (Add, Value::Duration(left), Value::Duration(right)) => {
            left.checked_add(*right).map(Value::Duration).ok_or_else(int_overflow)
        }
        (Subtract, Value::Duration(left), Value::Duration(right)) => {
            left.checked_sub(*right).map(Value::Duration).ok_or_else(int_overflow)
        }
        (Add, Value::Duration(span), Value::Timestamp(time)) | (Add, Value::Timestamp(time), Value::Duration(span)) => {
            shift(*time, i128::from(*span))
        }
        (Subtract, Value::Timestamp(time), Value::Duration(span)) => shift(*time, -i128::from(*span)),
        (Subtract, Value::Timestamp(left), Value::Timestamp(right)) => {
            let nanos = left.nanos().checked_sub(right.nanos()).and_then(|nanos| i64::try_from(nanos).ok());
            nanos.map(Value::Duration).ok_or_else(int_overflow)
        }
        (Modulo | Add | Subtract | Multiply | Divide, ..) => Err(match left {
            // As the API server words it for operands that the operator is there for.
            Value::Int(_) | Value::UInt(_) | Value::Double(_) | Value::Text(_) | Value::Bytes(_) | Value::List(_)
                if !(operator == Modulo && matches!(left, Value::Double(_))) =>
            {
                EvalError::failed("no such overload")
            }
            _ => operator.no_such_overload(),
        }),
        _ => Err(operator.no_such_overload()),
    }
}

fn shift<'v>(time: Timestamp, nanos: i128) -> Result<Value<'v>, EvalError> {
    let sum = time.nanos().checked_add(nanos);
    sum.and_then(Timestamp::from_nanos).map(Value::Timestamp).ok_or_else(|| EvalError::failed("timestamp overflow"))
}

fn int_overflow() -> EvalError {
    EvalError::failed("integer overflow")
}
