//! Indexes over documents: where in a collection a value stands, so that a policy that looks for it need not go through all.
//!
//! An index is made when it is first asked for, and belongs to a version of the documents. All threads share it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use regorus::Value;

use super::references::find;
use super::{ELEMENT, Evaluated, Limits};

/// How many elements an index may have, and how many values: some 20 MiB at most. A cluster of 5,000 nodes may have 150,000 Pods
/// (Kubernetes, "Considerations for large clusters"). What has more is gone through as if there were no index.
const MAX_ENTRIES: usize = 1 << 18;

/// How many indexes there may be over a version of the documents. Gatekeeper's library has one template that needs one.
const MAX_INDEXES: usize = 64;

/// What an index is of: the keys that lead to an element, and from there to values. Where there is no key it may be any.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Shape {
    pub(crate) base: Vec<Option<Value>>,
    pub(crate) inner: Vec<Option<Value>>,
}

/// The indexes over a version of the documents.
#[derive(Debug, Default)]
pub(crate) struct Indexes {
    /// Nothing for what cannot be indexed.
    known: RwLock<BTreeMap<Shape, Option<Arc<Index>>>>,
}

impl Indexes {
    /// The index of a shape. It is made while nobody is held up: of two threads that miss it both make it.
    pub(super) fn find(&self, shape: &Shape, data: &Value, limits: &mut Limits) -> Evaluated<Option<Arc<Index>>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = known.get(shape) {
            return Ok(index.clone());
        }
        if known.len() >= MAX_INDEXES {
            return Ok(None);
        }
        drop(known);
        let made = Maker { limits, index: Index::default() }.make(shape, data)?.map(Arc::new);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        Ok(known.entry(shape.clone()).or_insert(made).clone())
    }
}

#[derive(Debug, Default)]
pub(super) struct Index {
    /// In the order in which they are gone through.
    elements: Vec<Element>,
    /// Which value is in which element, in order.
    entries: Vec<(Value, u32)>,
}

#[derive(Debug)]
pub(super) struct Element {
    /// The keys that the shape leaves open.
    pub(super) names: Box<[Value]>,
    pub(super) value: Value,
}

impl Index {
    /// Where the entries of a value are: its elements, in order.
    pub(super) fn range(&self, wanted: &Value) -> Range<usize> {
        let start = self.entries.partition_point(|(value, _)| value < wanted);
        let rest = self.entries.get(start..).unwrap_or_default();
        let count = rest.partition_point(|(value, _)| value == wanted);
        start..start.saturating_add(count)
    }

    /// The element of an entry.
    pub(super) fn element(&self, entry: usize) -> Option<&Element> {
        let (_, at) = self.entries.get(entry)?;
        self.elements.get(usize::try_from(*at).ok()?)
    }
}

/// Whether a value may be looked for. Others take more than a few steps to compare.
pub(super) fn is_scalar(value: &Value) -> bool {
    matches!(value, Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_))
}

/// Makes an index, within the limits of the evaluation that needs it first.
struct Maker<'l> {
    limits: &'l mut Limits,
    index: Index,
}

/// There are too many entries.
struct Full;

impl Maker<'_> {
    fn make(mut self, shape: &Shape, data: &Value) -> Evaluated<Option<Index>> {
        let leading = shape.base.iter().take_while(|key| key.is_some()).count();
        let (leading, open) = shape.base.split_at(leading);
        let mut at = data;
        for key in leading.iter().flatten() {
            // A list here has keys of other rules.
            let Value::Object(entries) = at else { return Ok(None) };
            let Some(next) = entries.get(key) else { return Ok(Some(self.index)) };
            at = next;
        }
        match self.elements(at, open, &mut Vec::new(), &shape.inner)? {
            Err(Full) => Ok(None),
            Ok(()) => {
                self.limits.look()?;
                self.index.entries.sort_unstable();
                self.index.entries.dedup();
                self.index.entries.shrink_to_fit();
                self.index.elements.shrink_to_fit();
                Ok(Some(self.index))
            }
        }
    }

    fn elements(
        &mut self,
        at: &Value,
        keys: &[Option<Value>],
        names: &mut Vec<Value>,
        inner: &[Option<Value>],
    ) -> Evaluated<Result<(), Full>> {
        self.limits.step()?;
        let Some((key, rest)) = keys.split_first() else { return self.element(at, names, inner) };
        if let Some(key) = key {
            return match find(at, key) {
                Some(next) => self.elements(next, rest, names, inner),
                None => Ok(Ok(())),
            };
        }
        each(at, |name, next| {
            names.push(name);
            let made = self.elements(next, rest, names, inner);
            names.pop();
            made
        })
    }

    fn element(&mut self, at: &Value, names: &[Value], inner: &[Option<Value>]) -> Evaluated<Result<(), Full>> {
        let before = self.index.entries.len();
        if let Err(full) = self.values(at, inner)? {
            return Ok(Err(full));
        }
        // What has no value there is never looked for.
        if self.index.entries.len() > before {
            self.limits.allocate(ELEMENT.saturating_mul(names.len().saturating_add(1)))?;
            self.index.elements.push(Element { names: names.into(), value: at.clone() });
        }
        Ok(Ok(()))
    }

    fn values(&mut self, at: &Value, keys: &[Option<Value>]) -> Evaluated<Result<(), Full>> {
        self.limits.step()?;
        match keys.split_first() {
            Some((Some(key), rest)) => match find(at, key) {
                Some(next) => self.values(next, rest),
                None => Ok(Ok(())),
            },
            Some((None, rest)) => each(at, |_, next| self.values(next, rest)),
            None if is_scalar(at) => {
                let element = u32::try_from(self.index.elements.len()).unwrap_or(u32::MAX);
                if self.index.entries.len() >= MAX_ENTRIES {
                    return Ok(Err(Full));
                }
                self.limits.allocate(ELEMENT)?;
                self.index.entries.push((at.clone(), element));
                Ok(Ok(()))
            }
            None => Ok(Ok(())),
        }
    }
}

/// Each key of a collection with its value, in the order in which it is gone through.
fn each(
    value: &Value,
    mut visit: impl FnMut(Value, &Value) -> Evaluated<Result<(), Full>>,
) -> Evaluated<Result<(), Full>> {
    let mut go = |name: Value, item: &Value| visit(name, item);
    match value {
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                if let Err(full) = go(Value::from(at), item)? {
                    return Ok(Err(full));
                }
            }
        }
        Value::Object(entries) => {
            for (name, item) in entries.iter() {
                if let Err(full) = go(name.clone(), item)? {
                    return Ok(Err(full));
                }
            }
        }
        Value::Set(items) => {
            for item in items.iter() {
                if let Err(full) = go(item.clone(), item)? {
                    return Ok(Err(full));
                }
            }
        }
        _ => {}
    }
    Ok(Ok(()))
}
