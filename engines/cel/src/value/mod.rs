//! What an expression works on and comes to.

mod collections;
pub(crate) mod compare;
mod fixed;
mod json;
mod key;
mod text;
mod timestamp;

pub use collections::{List, ListItems, Map, MapEntries};
pub(crate) use fixed::{Fixed, FixedMap};
pub use key::{Key, KeyRef};
pub use text::Str;
pub use timestamp::Timestamp;

use std::any::Any;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use crate::types::Type;

/// A value. Clones are cheap: what is large is borrowed or shared.
///
/// Scalars of a JSON document are Null, Bool, Int, Double and Text from the moment they are looked at; its lists and maps stay
/// where they are, see [`List`] and [`Map`].
#[derive(Clone, Debug)]
pub enum Value<'v> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// An unsigned integer, `1u`.
    UInt(u64),
    /// A floating-point number.
    Double(f64),
    /// A string.
    Text(Str<'v>),
    /// Bytes, `b'x'`.
    Bytes(Arc<[u8]>),
    /// A list.
    List(List<'v>),
    /// A map.
    Map(Map<'v>),
    /// A span of time, in nanoseconds.
    Duration(i64),
    /// A point in time.
    Timestamp(Timestamp),
    /// An optional value.
    Optional(Option<Rc<Value<'v>>>),
    /// A type, as `type(x)` gives it; what it is called.
    Type(&'static str),
    /// A value of a library: a quantity, an address, and such.
    Opaque(Rc<dyn Opaque>),
}

/// A value of a kind that a library brings along. Such values are opaque: they are compared, and handed to functions.
pub trait Opaque: fmt::Debug {
    /// Its type, always [`Type::Opaque`].
    fn kind(&self) -> Type;
    /// Whether the other is the same. It may be of another kind.
    fn equals(&self, other: &dyn Opaque) -> bool;
    /// For downcasts.
    fn as_any(&self) -> &dyn Any;
}

impl<'v> Value<'v> {
    /// A text that is shared.
    pub fn text(text: impl Into<Str<'v>>) -> Self {
        Self::Text(text.into())
    }

    /// A list of these.
    pub fn list(items: Vec<Value<'v>>) -> Self {
        Self::List(List::from(items))
    }

    /// A value of a library.
    pub fn opaque(value: impl Opaque + 'static) -> Self {
        Self::Opaque(Rc::new(value))
    }

    /// An optional with a value.
    pub fn some(value: Value<'v>) -> Self {
        Self::Optional(Some(Rc::new(value)))
    }

    /// What it holds, if it is a library's value of this type.
    pub fn downcast<T: 'static>(&self) -> Option<&T> {
        match self {
            Self::Opaque(opaque) => opaque.as_any().downcast_ref(),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The truth value, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// Its type, as far as it can be told without a look at what is in it.
    pub fn kind(&self) -> Type {
        match self {
            Self::Null => Type::Null,
            Self::Bool(_) => Type::Bool,
            Self::Int(_) => Type::Int,
            Self::UInt(_) => Type::UInt,
            Self::Double(_) => Type::Double,
            Self::Text(_) => Type::String,
            Self::Bytes(_) => Type::Bytes,
            Self::List(_) => Type::List(&Type::Dyn),
            Self::Map(_) => Type::Map(&Type::Dyn, &Type::Dyn),
            Self::Duration(_) => Type::Duration,
            Self::Timestamp(_) => Type::Timestamp,
            Self::Optional(_) => Type::Optional(&Type::Dyn),
            Self::Type(_) => Type::Type,
            Self::Opaque(opaque) => opaque.kind(),
        }
    }

    /// What `type(x)` calls its type: `int`, `list`, `google.protobuf.Duration`.
    pub fn type_name(&self) -> &'static str {
        self.kind().run_time_name()
    }

    /// What Kubernetes' cost rules take as its size: characters of a text, bytes, items, entries; 1 of anything else.
    pub fn cost_size(&self) -> u64 {
        match self {
            Self::Text(text) => text.characters() as u64,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::List(list) => list.len() as u64,
            Self::Map(map) => map.len() as u64,
            Self::Optional(Some(value)) => value.cost_size(),
            _ => 1,
        }
    }

    /// How deep lists, maps and optionals that an expression built are nested in it.
    pub(crate) fn depth(&self) -> u32 {
        match self {
            Self::List(list) => list.depth(),
            Self::Map(map) => map.depth(),
            Self::Optional(Some(value)) => value.depth().saturating_add(1),
            _ => 0,
        }
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}
