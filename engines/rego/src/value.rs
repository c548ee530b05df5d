//! Values of Rego: from JSON, and documents that are shared.

use std::collections::BTreeMap;
use std::sync::Arc;

use portcullis_json as json;
use regorus::Value;

use crate::EvalError;
use crate::machine::{Indexes, measure};

/// Whether the managed fields of an object go with it. They are often a third of a Pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManagedFields {
    /// `metadata.managedFields` stays where it is.
    Keep,
    /// `metadata.managedFields` of each object that is reached through `object` or `oldObject` is left out.
    Omit,
}

/// The `input` document of a review. It is built once, and used for many programs.
#[derive(Clone, Debug)]
pub struct Input {
    value: Value,
    depth: u32,
}

impl Input {
    /// An input without anything in it.
    pub fn new() -> Self {
        Self { value: Value::new_object(), depth: 1 }
    }

    /// A whole document as input.
    ///
    /// # Errors
    ///
    /// As [`read_json`].
    pub fn from_json(value: json::Value<'_>, managed_fields: ManagedFields) -> Result<Self, EvalError> {
        read_json(value, managed_fields).map(Self::from_value)
    }

    /// A value as input.
    pub fn from_value(value: Value) -> Self {
        let depth = measure(&value);
        Self { value, depth }
    }

    /// The same input, but for the value of a key at its top. It costs a reference to each of the other keys.
    #[must_use]
    pub fn with(&self, key: &str, value: Value) -> Self {
        let depth = self.depth.max(measure(&value).saturating_add(1));
        let key = Value::from(key);
        let Value::Object(entries) = &self.value else {
            return Self { value: Value::from(BTreeMap::from([(key, value)])), depth };
        };
        let mut changed = (**entries).clone();
        // Where the key is there already the entries keep their place.
        match changed.get_mut(&key) {
            Some(place) => *place = value,
            None => {
                changed.insert(key, value);
            }
        }
        Self { value: changed.into_value(), depth }
    }

    /// The whole document.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// How deep it is nested, at most.
    pub(crate) fn depth(&self) -> u32 {
        self.depth
    }
}

impl Default for Input {
    fn default() -> Self {
        Self::new()
    }
}

/// The documents under `data` that are not rules. What two of them have in common they share.
#[derive(Clone, Debug)]
pub struct Data {
    value: Value,
    depth: u32,
    /// Those over this value: what changes it takes others.
    indexes: Arc<Indexes>,
}

impl Data {
    /// No documents.
    pub fn new() -> Self {
        Self { value: Value::new_object(), depth: 1, indexes: Arc::default() }
    }

    /// The documents of an object.
    pub fn from_value(value: Value) -> Self {
        match value {
            Value::Object(_) => Self { depth: measure(&value), value, indexes: Arc::default() },
            _ => Self::new(),
        }
    }

    /// Puts a document at a path, replacing what is there. Where no other [`Data`] shares a part of the path, nothing is copied.
    pub fn insert(&mut self, path: &[&str], value: Value) {
        let depth = measure(&value).saturating_add(u32::try_from(path.len()).unwrap_or(u32::MAX));
        self.depth = self.depth.max(depth);
        self.indexes = Arc::default();
        let mut at = &mut self.value;
        for key in path {
            if !matches!(at, Value::Object(_)) {
                *at = Value::new_object();
            }
            let Value::Object(entries) = at else { return };
            at = Arc::make_mut(entries).get_or_insert_with(Value::from(*key), Value::new_object);
        }
        *at = value;
    }

    /// Takes a document away. Objects that it leaves empty stay.
    pub fn remove(&mut self, path: &[&str]) {
        self.indexes = Arc::default();
        let Some((last, parents)) = path.split_last() else {
            self.value = Value::new_object();
            return;
        };
        let mut at = &mut self.value;
        for key in parents {
            let Value::Object(entries) = at else { return };
            let Some(next) = Arc::make_mut(entries).get_mut(&Value::from(*key)) else { return };
            at = next;
        }
        if let Value::Object(entries) = at {
            Arc::make_mut(entries).remove(&Value::from(*last));
        }
    }

    /// The document at a path.
    pub fn find(&self, path: &[&str]) -> Option<&Value> {
        path.iter().try_fold(&self.value, |at, key| match at {
            Value::Object(entries) => entries.get(&Value::from(*key)),
            _ => None,
        })
    }

    /// The whole tree.
    pub fn value(&self) -> &Value {
        &self.value
    }

    pub(crate) fn indexes(&self) -> &Indexes {
        &self.indexes
    }

    /// How deep it is nested, at most.
    pub(crate) fn depth(&self) -> u32 {
        self.depth
    }
}

impl Default for Data {
    fn default() -> Self {
        Self::new()
    }
}

/// The value of a JSON document. It recurses no deeper than [`json::MAX_DEPTH`].
///
/// # Errors
///
/// A number that is beyond what Rego computes with, such as `1e4000`.
pub fn read_json(value: json::Value<'_>, managed_fields: ManagedFields) -> Result<Value, EvalError> {
    convert(value, if managed_fields == ManagedFields::Omit { Place::Review } else { Place::Other })
}

/// The value of a tree of `serde_json`, for what does not come from the wire.
pub fn read_serde(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(it) => Value::Bool(*it),
        serde_json::Value::Number(it) => number(&it.to_string()).unwrap_or(Value::Null),
        serde_json::Value::String(it) => Value::from(it.as_str()),
        serde_json::Value::Array(items) => Value::from(items.iter().map(read_serde).collect::<Vec<_>>()),
        serde_json::Value::Object(entries) => Value::from(
            entries
                .iter()
                .map(|(key, value)| (Value::from(key.as_str()), read_serde(value)))
                .collect::<BTreeMap<_, _>>(),
        ),
    }
}

/// Where a value stands, as far as managed fields are concerned.
#[derive(Clone, Copy)]
enum Place {
    /// The review, its request, and what holds them.
    Review,
    Object,
    Metadata,
    Other,
}

fn convert(value: json::Value<'_>, place: Place) -> Result<Value, EvalError> {
    Ok(match value.kind() {
        json::Kind::Null => Value::Null,
        json::Kind::Bool => Value::Bool(value.bool().unwrap_or(false)),
        json::Kind::Number => {
            let text = value.number().unwrap_or_default();
            number(text).ok_or_else(|| {
                EvalError::Failed(format!("the number `{:.40}` is beyond what rego computes with", text))
            })?
        }
        json::Kind::Text => match value.text() {
            Some(text) => Value::from(&*text.to_cow()),
            None => Value::Null,
        },
        json::Kind::List => {
            let items: Result<Vec<_>, _> = value.items().map(|item| convert(item, Place::Other)).collect();
            Value::from(items?)
        }
        json::Kind::Map => {
            let mut entries = Vec::new();
            for (key, value) in value.entries() {
                let key = key.to_cow();
                let place = match (place, &*key) {
                    (Place::Metadata, "managedFields") => continue,
                    (Place::Object, "metadata") => Place::Metadata,
                    (Place::Review, "object" | "oldObject") => Place::Object,
                    (Place::Review, "request" | "review") => Place::Review,
                    _ => Place::Other,
                };
                entries.push((Value::from(&*key), convert(value, place)?));
            }
            Value::from(entries.into_iter().collect::<BTreeMap<_, _>>())
        }
    })
}

/// A number as it is written, unless it is too large: digits take memory by the exponent.
pub(crate) fn number(text: &str) -> Option<Value> {
    const MAX_DIGITS: usize = 1024;
    const MAX_EXPONENT: u32 = 400;
    if text.len() <= 15 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse::<u64>().ok().map(Value::from);
    }
    if text.len() > MAX_DIGITS {
        return None;
    }
    if let Some((_, exponent)) = text.split_once(['e', 'E'])
        && exponent.trim_start_matches(['+', '-']).parse::<u32>().ok()? > MAX_EXPONENT
    {
        return None;
    }
    Value::from_numeric_string(text).ok()
}
