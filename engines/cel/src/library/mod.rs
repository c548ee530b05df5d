//! The functions that Kubernetes adds to the standard ones, for admission policies: those of the environment of version 1.37.
//!
//! What it does not have there is not here either, whatever CEL's own extensions have: `math`, `base64`, `reverse` of texts.

mod addresses;
mod format;
mod lists;
mod named;
mod ordered;
mod patterns;
mod position;
mod quantity;
mod quote;
mod semver;
mod sets;
mod strings;
#[cfg(test)]
mod testing;
mod urls;

use std::borrow::Cow;

use crate::error::EvalError;
use crate::function::Function;

/// All of them.
pub(crate) const FUNCTIONS: &[&[Function]] = &[
    addresses::FUNCTIONS,
    format::FUNCTIONS,
    lists::FUNCTIONS,
    named::FUNCTIONS,
    ordered::FUNCTIONS,
    patterns::FUNCTIONS,
    position::FUNCTIONS,
    quantity::FUNCTIONS,
    semver::FUNCTIONS,
    sets::FUNCTIONS,
    strings::FUNCTIONS,
    urls::FUNCTIONS,
];

/// Why a name that other environments know is refused, for a message that says what to do.
pub(crate) fn explain_missing(name: &str) -> Option<&'static str> {
    Some(match name.split('.').next().unwrap_or(name) {
        "authorizer" => {
            "`authorizer` needs the API server's own authorizer: keep this policy in the API server, or write it without the check"
        }
        "math" => "Kubernetes has no `math` functions in admission policies",
        "base64" => {
            "Kubernetes has no `base64` functions in admission policies: `bytes(x)` and `string(x)` do not decode either"
        }
        "jsonpatch" | "JSONPatch" | "Object" => "it is for policies that change objects, which are not judged here",
        _ => return None,
    })
}

fn failed(message: impl Into<Cow<'static, str>>) -> EvalError {
    EvalError::failed(message)
}
