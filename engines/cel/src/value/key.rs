//! Keys of maps.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use super::{Str, Value};

/// A key of a map.
#[derive(Clone, Debug)]
pub enum Key<'v> {
    /// A truth value.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    UInt(u64),
    /// A text.
    Text(Str<'v>),
}

/// A key to look up.
#[derive(Clone, Copy, Debug)]
pub enum KeyRef<'k> {
    /// A truth value.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    UInt(u64),
    /// A text.
    Text(&'k str),
}

/// Keeps the author of a document from making keys of the same hash.
static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);

impl<'v> Key<'v> {
    /// The key that a value is, if it is one.
    pub fn from_value(value: &Value<'v>) -> Option<Self> {
        match value {
            Value::Bool(value) => Some(Self::Bool(*value)),
            Value::Int(value) => Some(Self::Int(*value)),
            Value::UInt(value) => Some(Self::UInt(*value)),
            Value::Text(value) => Some(Self::Text(value.clone())),
            _ => None,
        }
    }

    /// The value that the key is.
    pub fn to_value(&self) -> Value<'v> {
        match self {
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::UInt(value) => Value::UInt(*value),
            Self::Text(value) => Value::Text(value.clone()),
        }
    }

    /// To look another map up with.
    pub fn as_ref(&self) -> KeyRef<'_> {
        match self {
            Self::Bool(value) => KeyRef::Bool(*value),
            Self::Int(value) => KeyRef::Int(*value),
            Self::UInt(value) => KeyRef::UInt(*value),
            Self::Text(value) => KeyRef::Text(value),
        }
    }

    pub(crate) fn quoted(&self) -> String {
        self.as_ref().quoted()
    }
}

impl<'k> KeyRef<'k> {
    /// What a value looks up. A double that is a whole number is that number.
    pub fn from_value(value: &'k Value<'_>) -> Option<Self> {
        match value {
            Value::Bool(value) => Some(Self::Bool(*value)),
            Value::Int(value) => Some(Self::Int(*value)),
            Value::UInt(value) => Some(Self::UInt(*value)),
            Value::Text(value) => Some(Self::Text(value)),
            Value::Double(value) => super::compare::whole(*value),
            _ => None,
        }
    }

    pub(crate) fn same(self, other: KeyRef<'_>) -> bool {
        match (self, other) {
            (Self::Bool(left), KeyRef::Bool(right)) => left == right,
            (Self::Text(left), KeyRef::Text(right)) => left == right,
            (Self::Int(left), KeyRef::Int(right)) => left == right,
            (Self::UInt(left), KeyRef::UInt(right)) => left == right,
            (Self::Int(int), KeyRef::UInt(uint)) | (Self::UInt(uint), KeyRef::Int(int)) => {
                u64::try_from(int) == Ok(uint)
            }
            _ => false,
        }
    }

    pub(super) fn hash(self) -> u64 {
        match self {
            Self::Bool(value) => SEED.hash_one(value),
            Self::Int(value) => SEED.hash_one(value),
            // The same number has the same hash.
            Self::UInt(value) => {
                i64::try_from(value).map_or_else(|_| SEED.hash_one(value), |value| SEED.hash_one(value))
            }
            Self::Text(value) => SEED.hash_one(value),
        }
    }

    pub(crate) fn quoted(self) -> String {
        match self {
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::UInt(value) => value.to_string(),
            Self::Text(value) => value.chars().take(MAX_QUOTED).collect(),
        }
    }
}

/// How many characters of a key a message shows.
const MAX_QUOTED: usize = 64;
