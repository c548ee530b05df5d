//! The types that functions declare, and that are known of values while an expression is checked.

use std::fmt;

/// A type. [`Type::Dyn`] is one that is known only at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// Known at run time only.
    Dyn,
    /// `null`.
    Null,
    /// Truth values.
    Bool,
    /// Signed integers.
    Int,
    /// Unsigned integers.
    UInt,
    /// Floating-point numbers.
    Double,
    /// Texts.
    String,
    /// Bytes.
    Bytes,
    /// Spans of time.
    Duration,
    /// Points in time.
    Timestamp,
    /// Types.
    Type,
    /// Lists, and of what.
    List(&'static Type),
    /// Maps, and from what to what.
    Map(&'static Type, &'static Type),
    /// Optionals, and of what.
    Optional(&'static Type),
    /// A library's values, by the name that `type(x)` gives.
    Opaque(&'static str),
    /// Maps whose fields are declared, by the name that the API server has for them; see
    /// [`Environment::declare_field`](crate::Environment::declare_field).
    Object(&'static str),
    /// A type variable of a function's signature: the same letter is the same type throughout the signature.
    Param(char),
}

impl Type {
    /// What `type(x)` calls it.
    pub fn run_time_name(self) -> &'static str {
        match self {
            Self::Dyn | Self::Param(_) => "dyn",
            Self::Null => "null_type",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::UInt => "uint",
            Self::Double => "double",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Duration => "google.protobuf.Duration",
            Self::Timestamp => "google.protobuf.Timestamp",
            Self::Type => "type",
            Self::List(_) => "list",
            Self::Map(..) => "map",
            Self::Optional(_) => "optional_type",
            Self::Opaque(name) | Self::Object(name) => name,
        }
    }

    /// Whether a value of this run-time kind may stand for the type; what is in lists, maps and optionals is not looked at.
    pub(crate) fn takes(self, kind: Type) -> bool {
        match (self, kind) {
            (Self::Dyn | Self::Param(_), _) => true,
            (Self::List(_), Self::List(_))
            | (Self::Map(..), Self::Map(..))
            | (Self::Optional(_), Self::Optional(_)) => true,
            _ => self == kind,
        }
    }
}

impl fmt::Display for Type {
    /// As the messages of the API server write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(item) => write!(f, "list({item})"),
            Self::Map(key, value) => write!(f, "map({key}, {value})"),
            Self::Optional(value) => write!(f, "optional_type({value})"),
            Self::Param(letter) => write!(f, "{letter}"),
            Self::Null => f.write_str("null"),
            _ => f.write_str(self.run_time_name()),
        }
    }
}
