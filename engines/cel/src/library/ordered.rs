//! What quantities and versions share: their order.

use std::cmp::Ordering;

use super::{quantity, semver};
use crate::error::EvalError;
use crate::function::Style::Receiver;
use crate::function::{Call, Function, Overload, cost};
use crate::types::Type;
use crate::value::Value;

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "isGreaterThan",
        style: Receiver,
        overloads: TRUTH,
        cost: cost::one,
        pattern: None,
        call: |call| Ok(Value::Bool(compare(call)? == Ordering::Greater)),
    },
    Function {
        name: "isLessThan",
        style: Receiver,
        overloads: TRUTH,
        cost: cost::one,
        pattern: None,
        call: |call| Ok(Value::Bool(compare(call)? == Ordering::Less)),
    },
    Function {
        name: "compareTo",
        style: Receiver,
        overloads: &[
            Overload { parameters: &[quantity::KIND, quantity::KIND], result: Type::Int },
            Overload { parameters: &[semver::KIND, semver::KIND], result: Type::Int },
        ],
        cost: cost::one,
        pattern: None,
        call: |call| Ok(Value::Int(compare(call)? as i64)),
    },
];

const TRUTH: &[Overload] = &[
    Overload { parameters: &[quantity::KIND, quantity::KIND], result: Type::Bool },
    Overload { parameters: &[semver::KIND, semver::KIND], result: Type::Bool },
];

fn compare(call: &Call<'_, '_>) -> Result<Ordering, EvalError> {
    match call.argument(0)?.downcast::<quantity::Quantity>() {
        Some(left) => Ok(left.compare(call.opaque(1)?)),
        None => Ok(call.opaque::<semver::Version>(0)?.compare(call.opaque(1)?)),
    }
}
