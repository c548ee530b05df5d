//! Regular expressions: `find` and `findAll`. `matches` is a standard function.

use crate::error::EvalError;
use crate::function::Style::Receiver;
use crate::function::{Call, Function, Overload, cost};
use crate::types::Type;
use crate::value::{Str, Value};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "find",
        style: Receiver,
        overloads: &[Overload { parameters: &[Type::String, Type::String], result: Type::String }],
        cost: search_cost,
        pattern: Some(1),
        call: |call| {
            let found = find(call, 1)?.pop();
            Ok(found.unwrap_or_else(|| Value::text("")))
        },
    },
    Function {
        name: "findAll",
        style: Receiver,
        overloads: &[
            Overload { parameters: &[Type::String, Type::String], result: Type::List(&Type::String) },
            Overload { parameters: &[Type::String, Type::String, Type::Int], result: Type::List(&Type::String) },
        ],
        cost: search_cost,
        pattern: Some(1),
        call: |call| {
            let limit = if call.arguments().len() > 2 { call.int(2)? } else { -1 };
            Ok(Value::list(find(call, usize::try_from(limit).unwrap_or(usize::MAX))?))
        },
    },
];

/// "we're making a guess that each expression in a regex is typically at least 4 chars in length."
fn search_cost(arguments: &[Value<'_>], _: &Value<'_>) -> u64 {
    let size = |index: usize| arguments.get(index).map_or(1, Value::cost_size);
    cost::tenth(size(0).saturating_add(1)).saturating_mul(cost::quarter(size(1)))
}

fn find<'v>(call: &mut Call<'_, 'v>, limit: usize) -> Result<Vec<Value<'v>>, EvalError> {
    let regex = call.regex(1)?;
    let Value::Text(text) = call.argument(0)? else { return Err(call.no_such_overload()) };
    call.work(text.len() >> 3)?;
    let mut found = Vec::new();
    for range in regex.find_all_bounded(text)?.take(limit) {
        call.allocate(FOUND_BYTES)?;
        found.push(match text {
            Str::Borrowed(text) => Value::text(text.get(range).unwrap_or_default()),
            Str::Shared(text) => {
                let part = text.get(range).unwrap_or_default();
                call.allocate(part.len())?;
                Value::text(part.to_owned())
            }
        });
    }
    Ok(found)
}

/// What a list takes for a text in it, beside its letters.
const FOUND_BYTES: usize = 64;
