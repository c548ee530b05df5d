//! Lists: Kubernetes' own functions, and version 3 of CEL's extension. `indexOf` and `lastIndexOf` are in [`super::position`].

mod measure;
mod order;
#[cfg(test)]
mod tests;

use super::failed;
use crate::budget::EXPRESSION_LIMIT;
use crate::error::EvalError;
use crate::function::Style::{Global, Receiver};
use crate::function::{Call, Function, Overload};
use crate::types::Type;
use crate::value::{List, ListItems, Value};

pub(super) use measure::{elements_cost, product_cost};

/// The overloads of a function for the types that have an order.
macro_rules! comparable {
    ($form:ident) => {
        &[
            $form!(Type::Int),
            $form!(Type::UInt),
            $form!(Type::Double),
            $form!(Type::Bool),
            $form!(Type::Duration),
            $form!(Type::Timestamp),
            $form!(Type::String),
            $form!(Type::Bytes),
        ]
    };
}

macro_rules! pick {
    ($item:expr) => {
        Overload { parameters: &[Type::List(&$item)], result: $item }
    };
}

macro_rules! sorted {
    ($item:expr) => {
        Overload { parameters: &[Type::List(&$item)], result: Type::Bool }
    };
}

macro_rules! same {
    ($item:expr) => {
        Overload { parameters: &[Type::List(&$item)], result: Type::List(&$item) }
    };
}

macro_rules! keyed {
    ($item:expr) => {
        Overload { parameters: &[LIST, Type::List(&$item)], result: LIST }
    };
}

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "includes",
        style: Receiver,
        overloads: &[Overload { parameters: &[Type::Dyn, Type::Dyn], result: Type::Bool }],
        cost: elements_cost,
        pattern: None,
        call: includes,
    },
    Function {
        name: "sum",
        style: Receiver,
        overloads: &[pick!(Type::Int), pick!(Type::UInt), pick!(Type::Double), pick!(Type::Duration)],
        cost: elements_cost,
        pattern: None,
        call: order::sum,
    },
    Function {
        name: "min",
        style: Receiver,
        overloads: comparable!(pick),
        cost: elements_cost,
        pattern: None,
        call: order::min,
    },
    Function {
        name: "max",
        style: Receiver,
        overloads: comparable!(pick),
        cost: elements_cost,
        pattern: None,
        call: order::max,
    },
    Function {
        name: "isSorted",
        style: Receiver,
        overloads: comparable!(sorted),
        cost: elements_cost,
        pattern: None,
        call: order::is_sorted,
    },
    Function {
        name: "sort",
        style: Receiver,
        overloads: comparable!(same),
        cost: |arguments, _| measure::self_compare_cost(arguments, 0),
        pattern: None,
        call: order::sort,
    },
    Function {
        name: "@sortByAssociatedKeys",
        style: Receiver,
        overloads: comparable!(keyed),
        cost: |arguments, _| measure::self_compare_cost(arguments, 1),
        pattern: None,
        call: order::sort_by_keys,
    },
    Function {
        name: "distinct",
        style: Receiver,
        overloads: SAME,
        cost: |arguments, _| measure::self_compare_cost(arguments, 0),
        pattern: None,
        call: distinct,
    },
    Function {
        name: "reverse",
        style: Receiver,
        overloads: SAME,
        cost: measure::result_cost,
        pattern: None,
        call: reverse,
    },
    Function {
        name: "slice",
        style: Receiver,
        overloads: &[Overload { parameters: &[LIST, Type::Int, Type::Int], result: LIST }],
        cost: measure::result_cost,
        pattern: None,
        call: slice,
    },
    Function {
        name: "lists.range",
        style: Global,
        overloads: &[Overload { parameters: &[Type::Int], result: Type::List(&Type::Int) }],
        cost: measure::result_cost,
        pattern: None,
        call: range,
    },
    Function {
        name: "flatten",
        style: Receiver,
        overloads: &[
            Overload { parameters: &[Type::List(&LIST)], result: LIST },
            Overload { parameters: &[Type::List(&Type::Dyn), Type::Int], result: Type::List(&Type::Dyn) },
        ],
        cost: measure::flatten_cost,
        pattern: None,
        call: flatten,
    },
];

const LIST: Type = Type::List(&Type::Param('A'));

const SAME: &[Overload] = &[Overload { parameters: &[LIST], result: LIST }];

/// What an item of a list that is built takes.
pub(super) const ITEM_BYTES: usize = std::mem::size_of::<Value<'static>>();

/// Fails with what a call would fail with after it, were it to be done at all: where the work grows faster than the lists.
pub(super) fn refuse_cost(cost: u64) -> Result<(), EvalError> {
    if cost > EXPRESSION_LIMIT {
        return Err(EvalError::Cost("operation cancelled: actual cost limit exceeded"));
    }
    Ok(())
}

/// The items of a list, once there is room for a copy of it.
pub(super) fn collect<'v>(call: &mut Call<'_, 'v>, list: &List<'v>) -> Result<Vec<Value<'v>>, EvalError> {
    let length = list.len();
    call.allocate(length.saturating_mul(ITEM_BYTES))?;
    call.work(length)?;
    Ok(list.items().collect())
}

fn includes<'v>(call: &mut Call<'_, 'v>) -> Result<Value<'v>, EvalError> {
    let (target, wanted) = (call.argument(0)?, call.argument(1)?);
    let Value::List(list) = target else {
        return Ok(Value::Bool(call.equals(target, wanted)?));
    };
    for item in list.items() {
        call.work(1)?;
        if call.equals(&item, wanted)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn distinct<'v>(call: &mut Call<'_, 'v>) -> Result<Value<'v>, EvalError> {
    let list = call.list(0)?;
    refuse_cost(measure::self_compare_cost(call.arguments(), 0))?;
    call.allocate(list.len().saturating_mul(ITEM_BYTES))?;
    let mut unique: Vec<Value<'v>> = Vec::new();
    'items: for item in list.items() {
        for other in &unique {
            call.work(1)?;
            if call.equals(&item, other)? {
                continue 'items;
            }
        }
        unique.push(item);
    }
    Ok(Value::list(unique))
}

fn reverse<'v>(call: &mut Call<'_, 'v>) -> Result<Value<'v>, EvalError> {
    let list = call.list(0)?;
    let mut items = collect(call, list)?;
    items.reverse();
    Ok(Value::list(items))
}

fn slice<'v>(call: &mut Call<'_, 'v>) -> Result<Value<'v>, EvalError> {
    let (list, from, until) = (call.list(0)?, call.int(1)?, call.int(2)?);
    let fail = |why: &str| Err(failed(format!("cannot slice({from}, {until}), {why}")));
    let (Ok(start), Ok(end)) = (usize::try_from(from), usize::try_from(until)) else {
        return fail("negative indexes not supported");
    };
    if start > end {
        return fail("start index must be less than or equal to end index");
    }
    let length = list.len();
    call.work(length)?;
    if end > length {
        return fail(&format!("list is length {length}"));
    }
    let count = end.saturating_sub(start);
    call.allocate(count.saturating_mul(ITEM_BYTES))?;
    Ok(Value::list(list.items().skip(start).take(count).collect()))
}

fn range<'v>(call: &mut Call<'_, 'v>) -> Result<Value<'v>, EvalError> {
    let size = call.int(0)?;
    let count =
        usize::try_from(size).map_err(|_| failed(format!("lists.range: size must be non-negative, got {size}")))?;
    refuse_cost(count as u64)?;
    call.allocate(count.saturating_mul(ITEM_BYTES))?;
    Ok(Value::list((0..size).map(Value::Int).collect()))
}

/// Goes down without recursion: a document's lists may be a thousand deep.
fn flatten<'v>(call: &mut Call<'_, 'v>) -> Result<Value<'v>, EvalError> {
    let list = call.list(0)?;
    let depth = if call.arguments().len() > 1 { call.int(1)? } else { 1 };
    let depth = usize::try_from(depth).map_err(|_| failed("level must be non-negative"))?;
    refuse_cost(measure::flatten_cost(call.arguments(), &Value::Null))?;
    let mut flat = Vec::new();
    let mut open: Vec<ListItems<'v>> = vec![list.items()];
    while let Some(innermost) = open.last_mut() {
        call.work(1)?;
        match innermost.next() {
            None => drop(open.pop()),
            Some(Value::List(list)) if open.len() <= depth => open.push(list.items()),
            Some(item) => {
                call.allocate(ITEM_BYTES)?;
                flat.push(item);
            }
        }
    }
    Ok(Value::list(flat))
}
