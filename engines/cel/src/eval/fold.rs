//! Comprehensions.
//!
//! They cost what the macros of cel-go cost when they are expanded: for each item a look at the condition, and a step.

use super::{Evaluation, LIST_COST, Outcome, settle, truth};
use crate::error::EvalError;
use crate::node::{Fold, FoldKind, Node};
use crate::value::{Key, List, ListItems, Map, MapEntries, Str, Value};

/// What is gone over.
enum Range<'v> {
    List(ListItems<'v>, i64),
    Map(MapEntries<'v>),
}

impl<'v> Iterator for Range<'v> {
    type Item = (Value<'v>, Value<'v>);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::List(items, next) => {
                let item = items.next()?;
                let index = *next;
                *next = next.saturating_add(1);
                Some((Value::Int(index), item))
            }
            Self::Map(entries) => entries.next().map(|(key, value)| (key.to_value(), value)),
        }
    }
}

impl<'v> Evaluation<'_, 'v> {
    pub(super) fn eval_fold(&mut self, fold: &'v Fold) -> Outcome<'v> {
        if let FoldKind::Bind { body, wrap, used } = &fold.kind {
            return self.eval_bind(fold, body, *wrap, *used);
        }
        let range = self.eval(&fold.range)?;
        if let FoldKind::Let(body) = &fold.kind {
            self.locals.truncate(fold.slot);
            self.locals.push(range);
            let outcome = self.eval(body);
            self.locals.truncate(fold.slot);
            return outcome;
        }
        let range = match range {
            Value::List(list) => Range::List(list.items(), 0),
            Value::Map(map) => Range::Map(map.entries()),
            other => {
                let kind = go_name(&other);
                return Err(EvalError::failed(if fold.two {
                    format!("unsupported comprehension range type: {kind}")
                } else {
                    format!("got '{kind}', expected iterable type")
                }));
            }
        };
        let outcome = match &fold.kind {
            FoldKind::All(body) => self.eval_quantifier(fold, range, body, false),
            FoldKind::Exists(body) => self.eval_quantifier(fold, range, body, true),
            FoldKind::ExistsOne(body) => self.eval_exists_one(fold, range, body),
            FoldKind::List { filter, body } => self.eval_to_list(fold, range, filter.as_ref(), body),
            FoldKind::Map { filter, body } => self.eval_to_map(fold, range, filter.as_ref(), body, false),
            FoldKind::Entries { filter, body } => self.eval_to_map(fold, range, filter.as_ref(), body, true),
            FoldKind::Let(_) | FoldKind::Bind { .. } => Ok(Value::Null),
        };
        self.locals.truncate(fold.slot);
        outcome
    }

    /// Sets the variables to the next item.
    fn advance(&mut self, fold: &Fold, range: &mut Range<'v>) -> Result<bool, EvalError> {
        self.budget.work(1)?;
        let Some((key, item)) = range.next() else { return Ok(false) };
        if let Value::Text(Str::Shared(text)) = &item {
            self.budget.allocate(text.len())?;
        }
        self.locals.truncate(fold.slot);
        match range {
            _ if fold.two => self.locals.extend([key, item]),
            Range::List(..) => self.locals.push(item),
            Range::Map(_) => self.locals.push(key),
        }
        Ok(true)
    }

    fn eval_quantifier(&mut self, fold: &'v Fold, mut range: Range<'v>, body: &'v Node, decisive: bool) -> Outcome<'v> {
        // `@not_strictly_false(@result)`, and of `exists` `@not_strictly_false(!@result)`.
        let condition = if decisive { 3 } else { 2 };
        let mut result = Ok(!decisive);
        while self.advance(fold, &mut range)? {
            self.budget.charge(condition)?;
            if result == Ok(decisive) {
                break;
            }
            self.budget.charge(1)?;
            match truth(self.attempt(body)?) {
                Ok(value) if value == decisive => result = Ok(decisive),
                other => result = result.and(other),
            }
        }
        self.budget.charge(1)?;
        result.map(Value::Bool)
    }

    fn eval_exists_one(&mut self, fold: &'v Fold, mut range: Range<'v>, body: &'v Node) -> Outcome<'v> {
        let mut result: Result<u64, EvalError> = Ok(0);
        while self.advance(fold, &mut range)? {
            match truth(self.attempt(body)?) {
                Ok(true) => {
                    self.budget.charge(2)?;
                    result = result.map(|count| count.saturating_add(1));
                }
                Ok(false) => {}
                Err(error) => result = Err(error),
            }
        }
        self.budget.charge(2)?;
        result.map(|count| Value::Bool(count == 1))
    }

    /// Whether an item is to be taken. A failure is that of the whole, but the other items are gone over all the same.
    fn passes<T>(&mut self, filter: Option<&'v Node>, result: &mut Result<T, EvalError>) -> Result<bool, EvalError> {
        let Some(filter) = filter else { return Ok(true) };
        match truth(self.attempt(filter)?) {
            Ok(passes) => Ok(passes),
            Err(error) => {
                *result = Err(error);
                Ok(false)
            }
        }
    }

    fn eval_to_list(
        &mut self,
        fold: &'v Fold,
        mut range: Range<'v>,
        filter: Option<&'v Node>,
        body: &'v Node,
    ) -> Outcome<'v> {
        let list = if matches!(body, Node::Fixed(_)) { 0 } else { LIST_COST };
        let mut result = Ok(Vec::new());
        while self.advance(fold, &mut range)? {
            if !self.passes(filter, &mut result)? {
                continue;
            }
            // `@result + [body]`
            self.budget.charge(list.saturating_add(2))?;
            let item = self.attempt(body)?;
            match (&mut result, item) {
                (Ok(items), Ok(item)) => {
                    self.budget.allocate(size_of::<Value<'v>>())?;
                    items.push(item);
                }
                (Ok(_), Err(error)) => result = Err(error),
                (Err(_), _) => {}
            }
        }
        self.budget.charge(1)?;
        List::build(result?).map(Value::List)
    }

    fn eval_to_map(
        &mut self,
        fold: &'v Fold,
        mut range: Range<'v>,
        filter: Option<&'v Node>,
        body: &'v Node,
        whole: bool,
    ) -> Outcome<'v> {
        let mut result: Result<Map<'v>, EvalError> = Ok(Map::default());
        while self.advance(fold, &mut range)? {
            if !self.passes(filter, &mut result)? {
                continue;
            }
            // `cel.@mapInsert(@result, key, body)`, or `cel.@mapInsert(@result, body)`
            self.budget.charge(1)?;
            if result.is_err() && !whole {
                continue;
            }
            let key = self.locals.get(fold.slot).and_then(Key::from_value);
            let value = self.attempt(body)?;
            self.budget.charge(if whole { 1 } else { 2 })?;
            let Ok(map) = &mut result else { continue };
            let added = match (value, key) {
                (Err(error), _) => Err(error),
                (Ok(Value::Map(more)), _) if whole => self.insert_all(map, &more),
                (Ok(_), _) if whole => Err(EvalError::failed("no such overload")),
                (Ok(value), Some(key)) => self.insert(map, key, value),
                (Ok(_), None) => Err(EvalError::failed("no such overload")),
            };
            if let Err(error) = settle_unit(added)? {
                result = Err(error);
            }
        }
        self.budget.charge(1)?;
        result.map(Value::Map)
    }

    fn insert_all(&mut self, map: &mut Map<'v>, more: &Map<'v>) -> Result<(), EvalError> {
        for (key, value) in more.entries() {
            self.insert(map, key, value)?;
        }
        Ok(())
    }

    fn insert(&mut self, map: &mut Map<'v>, key: Key<'v>, value: Value<'v>) -> Result<(), EvalError> {
        self.budget.allocate(size_of::<(Key<'v>, Value<'v>)>().saturating_mul(3))?;
        map.insert(key, value)
    }

    /// `optMap` is `x.hasValue() ? optional.of(body) : optional.none()` with `x.value()` for the variable: the range is written
    /// twice, and paid for twice.
    fn eval_bind(&mut self, fold: &'v Fold, body: &'v Node, wrap: bool, used: bool) -> Outcome<'v> {
        let before = self.budget.cost();
        let range = self.attempt(&fold.range)?;
        let cost = self.budget.cost().saturating_sub(before);
        self.budget.charge(1)?;
        match range? {
            Value::Optional(None) => {
                self.budget.charge(1)?;
                Ok(Value::Optional(None))
            }
            Value::Optional(Some(value)) => {
                if used {
                    self.budget.charge(cost.saturating_add(1))?;
                }
                self.locals.truncate(fold.slot);
                self.locals.push((*value).clone());
                let result = settle(self.eval(body))?;
                self.locals.truncate(fold.slot);
                if !wrap {
                    return result;
                }
                self.budget.charge(1)?;
                result.map(Value::some)
            }
            _ => Err(EvalError::failed("no such overload: hasValue")),
        }
    }
}

fn settle_unit(outcome: Result<(), EvalError>) -> Result<Result<(), EvalError>, EvalError> {
    match outcome {
        Err(error) if error.is_final() => Err(error),
        other => Ok(other),
    }
}

/// What the API server calls the type of a value that cannot be gone over.
fn go_name(value: &Value<'_>) -> &'static str {
    match value {
        Value::Null => "types.Null",
        Value::Bool(_) => "types.Bool",
        Value::Int(_) => "types.Int",
        Value::UInt(_) => "types.Uint",
        Value::Double(_) => "types.Double",
        Value::Text(_) => "types.String",
        Value::Bytes(_) => "types.Bytes",
        Value::Duration(_) => "types.Duration",
        Value::Timestamp(_) => "types.Timestamp",
        Value::Optional(_) => "*types.Optional",
        Value::Type(_) => "*types.Type",
        Value::List(_) | Value::Map(_) | Value::Opaque(_) => "types.Val",
    }
}
