//! Reads typed values from trees: a serde deserializer whose errors know where they stand.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, Expected, IntoDeserializer, Unexpected, Visitor};

use super::{Entry, Node, NodeError, Place, Value, shorten};
use crate::l7::Dialect;

/// An error on its way out: each level that it passes adds its part of the path.
#[derive(Debug)]
pub(super) struct ReadError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    place: Option<Place>,
    path: String,
    message: String,
}

impl ReadError {
    fn new(message: String) -> Self {
        Self(Box::new(Inner { place: None, path: String::new(), message }))
    }

    fn at(mut self, place: &Place) -> Self {
        self.0.place.get_or_insert_with(|| place.clone());
        self
    }

    fn in_field(mut self, key: &str) -> Self {
        let dot = if self.0.path.is_empty() || self.0.path.starts_with('[') { "" } else { "." };
        self.0.path = format!("{}{dot}{}", shorten(key), self.0.path);
        self
    }

    fn in_item(mut self, index: usize) -> Self {
        let dot = if self.0.path.is_empty() || self.0.path.starts_with('[') { "" } else { "." };
        self.0.path = format!("[{index}]{dot}{}", self.0.path);
        self
    }

    pub(super) fn finish(self, root: &Node) -> NodeError {
        let Inner { place, path, message } = *self.0;
        NodeError { place: place.unwrap_or_else(|| root.place.clone()), path, message }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for ReadError {}

impl de::Error for ReadError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::new(format!("wanted {wanted}, found {}", describe(found)))
    }

    fn invalid_value(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::invalid_type(found, wanted)
    }

    fn unknown_field(field: &str, allowed: &'static [&'static str]) -> Self {
        Self::new(format!("unknown field `{}`; {}", shorten(field), list_allowed(allowed)))
    }

    fn unknown_variant(variant: &str, allowed: &'static [&'static str]) -> Self {
        Self::new(format!("`{}` is not known here; {}", shorten(variant), list_allowed(allowed)))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(format!("the field `{field}` is missing"))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(format!("the field `{field}` stands here twice"))
    }
}

fn describe(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Str(text) => format!("the text `{}`", shorten(text)),
        Unexpected::Unit => "nothing (null)".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a map".to_owned(),
        other => other.to_string(),
    }
}

/// What would be right, for a message.
pub(crate) fn list_allowed(allowed: &[&str]) -> String {
    match allowed {
        [] => "there is none".to_owned(),
        [one] => format!("allowed is `{one}`"),
        more => format!("allowed are `{}`", more.join("`, `")),
    }
}

#[derive(Clone, Copy)]
pub(super) struct Reader<'n> {
    node: &'n Node,
    dialect: Dialect,
}

impl<'n> Reader<'n> {
    pub(super) const fn new(node: &'n Node, dialect: Dialect) -> Self {
        Self { node, dialect }
    }

    fn is_null(self) -> bool {
        matches!(self.node.value, Value::Null)
    }

    fn any<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let result = match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Integer(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::List(items) => visitor.visit_seq(Items { rest: items.iter().enumerate(), reader: self }),
            Value::Map(entries) => visitor.visit_map(Fields { rest: entries.iter(), current: None, reader: self }),
        };
        result.map_err(|error| error.at(&self.node.place))
    }

    fn list<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let found = self.node.describe();
        let better = match &self.node.value {
            Value::List(_) => return self.any(visitor),
            Value::Null => "",
            Value::Map(_) => "; put `- ` before it, or brackets around it",
            _ => "; put brackets around it",
        };
        Err(ReadError::new(format!("wanted a list, found {found}{better}")).at(&self.node.place))
    }

    /// A list would be read as the fields in their order, which nobody means.
    fn map<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let found = self.node.describe();
        let better = match &self.node.value {
            Value::Map(_) => return self.any(visitor),
            Value::List(_) => "; leave out the `-` or the brackets around it",
            _ => "",
        };
        Err(ReadError::new(format!("wanted a map, found {found}{better}")).at(&self.node.place))
    }

    fn text<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::Null if self.dialect == Dialect::Cilium => visitor.visit_borrowed_str(""),
            Value::Bool(_) | Value::Integer(_) | Value::Float(_) => {
                Err(ReadError::new(format!("wanted text, found {}; put it in quotes", self.node.describe())))
            }
            _ => self.any(visitor),
        }
        .map_err(|error| error.at(&self.node.place))
    }
}

macro_rules! forward_to_text {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, ReadError> {
            self.text(visitor)
        }
    )*};
}

impl<'n> Deserializer<'n> for Reader<'n> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.any(visitor)
    }

    forward_to_text! { deserialize_str deserialize_string deserialize_char deserialize_identifier }

    fn deserialize_option<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, ReadError> {
        if !self.is_null() {
            visitor.visit_some(self)
        } else if self.dialect == Dialect::Cilium {
            visitor.visit_none()
        } else {
            Err(ReadError::new("a null; write a value, or leave the field out".to_owned()))
        }
        .map_err(|error| error.at(&self.node.place))
    }

    fn deserialize_newtype_struct<V: Visitor<'n>>(self, _: &'static str, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self).map_err(|error| error.at(&self.node.place))
    }

    fn deserialize_enum<V: Visitor<'n>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match &self.node.value {
            Value::Text(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            Value::Map(entries) if entries.len() == 1 => {
                let fields = Fields { rest: entries.iter(), current: None, reader: self };
                visitor.visit_enum(de::value::MapAccessDeserializer::new(fields))
            }
            _ => Err(ReadError::new(format!("wanted one of some names, found {}", self.node.describe()))),
        }
        .map_err(|error| error.at(&self.node.place))
    }

    fn deserialize_seq<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.list(visitor)
    }

    fn deserialize_map<V: Visitor<'n>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.map(visitor)
    }

    fn deserialize_struct<V: Visitor<'n>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.map(visitor)
    }

    serde::forward_to_deserialize_any! {
        <V: Visitor<'n>>
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 bytes byte_buf unit unit_struct tuple tuple_struct
        ignored_any
    }
}

struct Items<'n> {
    rest: std::iter::Enumerate<std::slice::Iter<'n, Node>>,
    reader: Reader<'n>,
}

impl<'n> de::SeqAccess<'n> for Items<'n> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'n>>(&mut self, seed: T) -> Result<Option<T::Value>, ReadError> {
        let Some((index, node)) = self.rest.next() else { return Ok(None) };
        let item = seed.deserialize(Reader { node, ..self.reader });
        item.map(Some).map_err(|error| error.at(&node.place).in_item(index))
    }
}

struct Fields<'n> {
    rest: std::slice::Iter<'n, Entry>,
    current: Option<&'n Entry>,
    reader: Reader<'n>,
}

impl<'n> de::MapAccess<'n> for Fields<'n> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'n>>(&mut self, seed: K) -> Result<Option<K::Value>, ReadError> {
        self.current = self.rest.next();
        let Some(entry) = self.current else { return Ok(None) };
        let key = de::value::BorrowedStrDeserializer::new(&entry.key);
        seed.deserialize(key).map(Some).map_err(|error: ReadError| error.at(&entry.place))
    }

    fn next_value_seed<T: DeserializeSeed<'n>>(&mut self, seed: T) -> Result<T::Value, ReadError> {
        let Some(entry) = self.current else { return Err(ReadError::new("a value without a key".to_owned())) };
        let value = seed.deserialize(Reader { node: &entry.value, ..self.reader });
        value.map_err(|error| error.at(&entry.value.place).in_field(&entry.key))
    }
}
