//! The standard functions, and how functions are found.

mod conversions;
mod optionals;
mod texts;
mod times;
mod zones;

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::function::{Cost, Function, Overload, Style};
use crate::library;
use crate::types::Type;
use crate::value::Value;
use crate::{Call, EvalError};

const STANDARD: &[&[Function]] = &[texts::FUNCTIONS, conversions::FUNCTIONS, times::FUNCTIONS, optionals::FUNCTIONS];

/// The functions of a name, those called as `f(x)` and those called as `x.f()`.
#[derive(Default)]
struct Named {
    global: Vec<&'static Function>,
    receiver: Vec<&'static Function>,
}

static BY_NAME: LazyLock<HashMap<&'static str, Named>> = LazyLock::new(|| {
    let mut by_name: HashMap<&'static str, Named> = HashMap::new();
    for function in STANDARD.iter().chain(library::FUNCTIONS).flat_map(|functions| functions.iter()) {
        let named = by_name.entry(function.name).or_default();
        match function.style {
            Style::Global => named.global.push(function),
            Style::Receiver => named.receiver.push(function),
        }
    }
    by_name
});

/// The functions of a name.
pub(crate) fn find(name: &str, style: Style) -> &'static [&'static Function] {
    match (BY_NAME.get(name), style) {
        (Some(named), Style::Global) => &named.global,
        (Some(named), Style::Receiver) => &named.receiver,
        (None, _) => &[],
    }
}

/// Whether a function is one of the standard ones, whose costs depend on which overload is meant.
pub(crate) fn is_standard(name: &str) -> bool {
    STANDARD.iter().any(|functions| functions.iter().any(|function| function.name == name))
}

type Body = for<'v> fn(&mut Call<'_, 'v>) -> Result<Value<'v>, EvalError>;

const fn global(name: &'static str, overloads: &'static [Overload], cost: Cost, call: Body) -> Function {
    Function { name, style: Style::Global, overloads, cost, pattern: None, call }
}

const fn receiver(name: &'static str, overloads: &'static [Overload], cost: Cost, call: Body) -> Function {
    Function { name, style: Style::Receiver, overloads, cost, pattern: None, call }
}

const fn takes(parameters: &'static [Type], result: Type) -> Overload {
    Overload { parameters, result }
}
