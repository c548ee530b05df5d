//! What the tests of the libraries share.

use super::FUNCTIONS;
use crate::budget::{Budget, POLICY_LIMIT};
use crate::error::EvalError;
use crate::function::{Call, Function, Style};
use crate::regex::Regex;
use crate::value::Value;

/// Calls a function by its name. It is a global one if its name starts with a `:`, which is not part of it.
pub(super) fn call<'v>(name: &str, arguments: &[Value<'v>]) -> Result<Value<'v>, EvalError> {
    let mut budget = Budget::new(POLICY_LIMIT, None);
    let (function, overload) = find(name, arguments);
    let pattern = function.pattern.and_then(|at| Regex::compile(arguments[at].as_text()?).ok()).map(Into::into);
    let mut call = Call { name: function.name, arguments, overload, pattern: pattern.as_ref(), budget: &mut budget };
    (function.call)(&mut call)
}

/// What the call costs.
pub(super) fn cost<'v>(name: &str, arguments: &[Value<'v>]) -> u64 {
    let result = call(name, arguments).unwrap();
    (find(name, arguments).0.cost)(arguments, &result)
}

fn find(name: &str, arguments: &[Value<'_>]) -> (&'static Function, usize) {
    let (style, name) = name.strip_prefix(':').map_or((Style::Receiver, name), |name| (Style::Global, name));
    let functions =
        FUNCTIONS.iter().flat_map(|table| *table).filter(|function| function.name == name && function.style == style);
    let fits = |function: &Function| {
        function.overloads.iter().position(|overload| {
            overload.parameters.len() == arguments.len()
                && overload
                    .parameters
                    .iter()
                    .zip(arguments)
                    .all(|(parameter, argument)| parameter.takes(argument.kind()))
        })
    };
    functions
        .into_iter()
        .find_map(|function| Some((function, fits(function)?)))
        .unwrap_or_else(|| panic!("no function {name}"))
}
