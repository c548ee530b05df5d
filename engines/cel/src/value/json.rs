//! What stands in a document, as a value.

use portcullis_json as json;

use super::{List, Map, Str, Value};

impl<'v> From<json::Value<'v>> for Value<'v> {
    /// Whole numbers that fit are integers, all others are doubles, as in Kubernetes' unstructured objects.
    fn from(value: json::Value<'v>) -> Self {
        match value.kind() {
            json::Kind::Null => Self::Null,
            json::Kind::Bool => Self::Bool(value.bool().unwrap_or_default()),
            json::Kind::Number => number(value.number().unwrap_or_default()),
            json::Kind::Text => match value.text() {
                Some(text) => Self::Text(Str::from(text.to_cow())),
                None => Self::Null,
            },
            json::Kind::List => Self::List(List::from_json(value)),
            json::Kind::Map => Self::Map(Map::from_json(value)),
        }
    }
}

fn number<'v>(text: &str) -> Value<'v> {
    match text.parse() {
        Ok(value) => Value::Int(value),
        // A grammatical number that is too large becomes infinite: greater than every limit.
        Err(_) => Value::Double(text.parse().unwrap_or(f64::NAN)),
    }
}
