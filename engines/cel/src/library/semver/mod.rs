//! `semver`: semantic versions.

#[cfg(test)]
mod tests;
mod version;

use std::any::Any;
use std::cmp::Ordering;

pub(super) use version::Version;

use super::failed;
use crate::error::EvalError;
use crate::function::Style::{Global, Receiver};
use crate::function::{Call, Function, Overload, cost};
use crate::types::Type;
use crate::value::{Opaque, Value};

/// The functions that only versions have; what they share with quantities is in [`super::ordered`].
pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "semver",
        style: Global,
        overloads: &[
            Overload { parameters: &[Type::String], result: KIND },
            Overload { parameters: &[Type::String, Type::Bool], result: KIND },
        ],
        cost: cost::traverse,
        pattern: None,
        call: |call| Ok(Value::opaque(read(call)?.map_err(failed)?)),
    },
    Function {
        name: "isSemver",
        style: Global,
        overloads: &[
            Overload { parameters: &[Type::String], result: Type::Bool },
            Overload { parameters: &[Type::String, Type::Bool], result: Type::Bool },
        ],
        cost: cost::traverse,
        pattern: None,
        call: |call| Ok(Value::Bool(read(call)?.is_ok())),
    },
    Function {
        name: "major",
        style: Receiver,
        overloads: NUMBER,
        cost: cost::one,
        pattern: None,
        call: |call| number(call, |[major, _, _]| major),
    },
    Function {
        name: "minor",
        style: Receiver,
        overloads: NUMBER,
        cost: cost::one,
        pattern: None,
        call: |call| number(call, |[_, minor, _]| minor),
    },
    Function {
        name: "patch",
        style: Receiver,
        overloads: NUMBER,
        cost: cost::one,
        pattern: None,
        call: |call| number(call, |[_, _, patch]| patch),
    },
];

/// What `type(semver('1.0.0'))` is.
pub(super) const KIND: Type = Type::Opaque("kubernetes.Semver");

const NUMBER: &[Overload] = &[Overload { parameters: &[KIND], result: Type::Int }];

fn read(call: &Call<'_, '_>) -> Result<Result<Version, &'static str>, EvalError> {
    let text = call.text(0)?;
    Ok(match call.arguments().get(1) {
        None | Some(Value::Bool(false)) => Version::parse(text),
        Some(Value::Bool(true)) => Version::parse_normalized(text),
        Some(_) => return Err(call.no_such_overload()),
    })
}

fn number<'v>(call: &Call<'_, 'v>, part: fn(&[u64; 3]) -> &u64) -> Result<Value<'v>, EvalError> {
    let number = *part(&call.opaque::<Version>(0)?.numbers);
    // Kubernetes would make a negative number of it.
    Ok(Value::Int(i64::try_from(number).map_err(|_| failed("version number out of range"))?))
}

impl Opaque for Version {
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
