//! `quantity`: amounts of resources.

mod decimal;
mod number;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::cmp::Ordering;

pub(super) use number::Quantity;
use number::QuantityError;

use super::failed;
use crate::error::EvalError;
use crate::function::Style::{Global, Receiver};
use crate::function::{Call, Function, Overload, cost};
use crate::types::Type;
use crate::value::{Opaque, Value};

/// The functions that only quantities have; what they share with versions is in [`super::ordered`].
pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "quantity",
        style: Global,
        overloads: &[Overload { parameters: &[Type::String], result: KIND }],
        cost: cost::traverse,
        pattern: None,
        call: |call| Ok(Value::opaque(Quantity::parse(call.text(0)?).map_err(refuse)?)),
    },
    Function {
        name: "isQuantity",
        style: Global,
        overloads: &[Overload { parameters: &[Type::String], result: Type::Bool }],
        cost: cost::traverse,
        pattern: None,
        // One that is too long is one still: who asks whether it is none must not be told so.
        call: |call| Ok(Value::Bool(matches!(Quantity::parse(call.text(0)?), Ok(_) | Err(QuantityError::Digits)))),
    },
    Function {
        name: "sign",
        style: Global,
        overloads: &[Overload { parameters: &[KIND], result: Type::Int }],
        cost: cost::one,
        pattern: None,
        call: |call| Ok(Value::Int(call.opaque::<Quantity>(0)?.sign())),
    },
    Function {
        name: "isInteger",
        style: Receiver,
        overloads: &[Overload { parameters: &[KIND], result: Type::Bool }],
        cost: cost::one,
        pattern: None,
        call: |call| Ok(Value::Bool(call.opaque::<Quantity>(0)?.as_integer().is_some())),
    },
    Function {
        name: "asInteger",
        style: Receiver,
        overloads: &[Overload { parameters: &[KIND], result: Type::Int }],
        cost: cost::one,
        pattern: None,
        call: |call| {
            let value = call.opaque::<Quantity>(0)?.as_integer();
            Ok(Value::Int(value.ok_or_else(|| failed("cannot convert value to integer"))?))
        },
    },
    Function {
        name: "asApproximateFloat",
        style: Receiver,
        overloads: &[Overload { parameters: &[KIND], result: Type::Double }],
        cost: cost::one,
        pattern: None,
        call: |call| Ok(Value::Double(call.opaque::<Quantity>(0)?.as_float())),
    },
    Function {
        name: "add",
        style: Receiver,
        overloads: ARITHMETIC,
        cost: cost::one,
        pattern: None,
        call: |call| calculate(call, Quantity::add),
    },
    Function {
        name: "sub",
        style: Receiver,
        overloads: ARITHMETIC,
        cost: cost::one,
        pattern: None,
        call: |call| calculate(call, Quantity::subtract),
    },
];

/// What `type(quantity('1'))` is.
pub(super) const KIND: Type = Type::Opaque("kubernetes.Quantity");

const ARITHMETIC: &[Overload] =
    &[Overload { parameters: &[KIND, KIND], result: KIND }, Overload { parameters: &[KIND, Type::Int], result: KIND }];

fn calculate<'v>(
    call: &mut Call<'_, 'v>,
    operation: fn(&Quantity, &Quantity) -> Result<Quantity, QuantityError>,
) -> Result<Value<'v>, EvalError> {
    let left = call.opaque::<Quantity>(0)?;
    let result = match call.argument(1)? {
        Value::Int(right) => operation(left, &Quantity::from(*right)),
        _ => operation(left, call.opaque(1)?),
    };
    Ok(Value::opaque(result.map_err(refuse)?))
}

fn refuse(error: QuantityError) -> EvalError {
    failed(error.message())
}

impl Opaque for Quantity {
    fn kind(&self) -> Type {
        KIND
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        other.as_any().downcast_ref::<Self>().is_some_and(|other| self.compare(other) == Ordering::Equal)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
