//! Values that stand in an expression itself.

use std::sync::Arc;

use super::{Key, KeyRef, List, Map, Str, Timestamp, Value};

/// A value that is known when an expression is compiled.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fixed {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Double(f64),
    Text(String),
    Bytes(Arc<[u8]>),
    List(Vec<Fixed>),
    Map(FixedMap),
    Duration(i64),
    Timestamp(Timestamp),
    Type(&'static str),
}

/// A map that is known when an expression is compiled.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FixedMap(Vec<(Fixed, Fixed)>);

impl FixedMap {
    /// A map of these; of a key that stands twice the last one counts. `None` if one is no key.
    pub(crate) fn new(entries: Vec<(Fixed, Fixed)>) -> Option<Self> {
        let mut kept: Vec<(Fixed, Fixed)> = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let name = key.as_key()?;
            let same = kept.iter().position(|(other, _)| other.as_key().is_some_and(|other| other.same(name)));
            match same.and_then(|at| kept.get_mut(at)) {
                Some(entry) => entry.1 = value,
                None => kept.push((key, value)),
            }
        }
        Some(Self(kept))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, key: KeyRef<'_>) -> Option<&Fixed> {
        self.0.iter().find(|(name, _)| name.as_key().is_some_and(|name| name.same(key))).map(|(_, value)| value)
    }

    pub(super) fn entry(&self, index: usize) -> Option<(Key<'_>, Value<'_>)> {
        let (key, value) = self.0.get(index)?;
        Some((Key::from_value(&key.to_value())?, value.to_value()))
    }
}

impl Fixed {
    pub(crate) fn to_value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::UInt(value) => Value::UInt(*value),
            Self::Double(value) => Value::Double(*value),
            Self::Text(text) => Value::Text(Str::Borrowed(text)),
            Self::Bytes(bytes) => Value::Bytes(Arc::clone(bytes)),
            Self::List(items) => Value::List(List::from_fixed(items)),
            Self::Map(map) => Value::Map(Map::from_fixed(map)),
            Self::Duration(value) => Value::Duration(*value),
            Self::Timestamp(value) => Value::Timestamp(*value),
            Self::Type(name) => Value::Type(name),
        }
    }

    /// What a conversion of such a value came to.
    pub(crate) fn from_value(value: &Value<'_>) -> Option<Self> {
        Some(match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(value) => Self::Int(*value),
            Value::UInt(value) => Self::UInt(*value),
            Value::Double(value) => Self::Double(*value),
            Value::Text(text) => Self::Text(text.to_string()),
            Value::Bytes(bytes) => Self::Bytes(Arc::clone(bytes)),
            Value::Duration(value) => Self::Duration(*value),
            Value::Timestamp(value) => Self::Timestamp(*value),
            Value::Type(name) => Self::Type(name),
            _ => return None,
        })
    }

    pub(crate) fn as_key(&self) -> Option<KeyRef<'_>> {
        Some(match self {
            Self::Bool(value) => KeyRef::Bool(*value),
            Self::Int(value) => KeyRef::Int(*value),
            Self::UInt(value) => KeyRef::UInt(*value),
            Self::Text(text) => KeyRef::Text(text),
            _ => return None,
        })
    }
}
