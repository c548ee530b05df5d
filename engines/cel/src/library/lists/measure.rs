//! What the functions of lists cost.

use crate::budget::EXPRESSION_LIMIT;
use crate::function::cost;
use crate::value::Value;

/// "these O(n) operations all cost roughly the cost of a single traversal": a tenth of each text's bytes, 1 for any other scalar.
pub(in crate::library) fn elements_cost(arguments: &[Value<'_>], _: &Value<'_>) -> u64 {
    let Some(target) = arguments.first() else { return 0 };
    let mut sum = 0u64;
    let mut steps = 0u64;
    let mut left = vec![target.clone()];
    while let Some(value) = left.pop() {
        steps = steps.saturating_add(1);
        // The same list may stand in another many times over: what is above the limit is not counted to its end.
        if sum > EXPRESSION_LIMIT || steps > MAX_STEPS {
            return sum.max(EXPRESSION_LIMIT.saturating_add(1));
        }
        match &value {
            Value::Text(text) => sum = sum.saturating_add(text.len() as u64 / 10),
            Value::Bytes(bytes) => sum = sum.saturating_add(bytes.len() as u64 / 10),
            Value::List(list) => left.extend(list.items()),
            Value::Map(map) => {
                for (key, value) in map.entries() {
                    left.push(key.to_value());
                    left.push(value);
                }
            }
            _ => sum = sum.saturating_add(1),
        }
    }
    sum
}

/// 2 for each pair of items, and a tenth more if they are texts, as of what compares each with each.
pub(super) fn self_compare_cost(arguments: &[Value<'_>], index: usize) -> u64 {
    let Some(Value::List(list)) = arguments.get(index) else { return LIST_COST };
    let size = list.len() as u64;
    let pairs = size.saturating_mul(size);
    let tenths = match list.items().next() {
        Some(Value::Text(_) | Value::Bytes(_)) => 21,
        _ => 20,
    };
    (pairs.saturating_mul(tenths) / 10).saturating_add(LIST_COST)
}

/// 1 for each item of the result.
pub(super) fn result_cost(_: &[Value<'_>], result: &Value<'_>) -> u64 {
    result.cost_size().saturating_add(LIST_COST)
}

/// The depth for each item of the list.
pub(super) fn flatten_cost(arguments: &[Value<'_>], _: &Value<'_>) -> u64 {
    let size = arguments.first().map_or(0, Value::cost_size);
    let depth = match arguments.get(1) {
        Some(Value::Int(depth)) => u64::try_from(*depth).unwrap_or(1),
        _ => 1,
    };
    size.saturating_mul(depth).saturating_add(LIST_COST)
}

/// The cost of two lists whose items are compared each with each, some number of times.
pub(in crate::library) fn product_cost(arguments: &[Value<'_>], times: u64) -> u64 {
    let size = |index: usize| arguments.get(index).map_or(0, Value::cost_size);
    cost::one(arguments, &Value::Null).saturating_add(size(0).saturating_mul(size(1)).saturating_mul(times))
}

/// A call, and "ListCreateBaseCost".
const LIST_COST: u64 = 11;

/// More values than any review has, whose size is 6 MiB at most.
const MAX_STEPS: u64 = 8 << 20;
