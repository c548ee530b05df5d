//! A document that is kept.

use crate::value::Node;
use crate::{JsonError, Tape, Value};

/// A document with its own memory, for what is read once and looked at often.
#[derive(Clone, Default)]
pub struct Document {
    text: Box<str>,
    nodes: Box<[Node]>,
}

impl Document {
    /// Reads a whole document.
    ///
    /// # Errors
    /// As [`Tape::read`].
    pub fn read(text: impl Into<Box<str>>) -> Result<Self, JsonError> {
        let text = text.into();
        let mut tape = Tape::new();
        tape.read(text.as_bytes())?;
        Ok(Self { text, nodes: tape.nodes.into() })
    }

    /// What is in it.
    pub fn root(&self) -> Value<'_> {
        Value::new(&self.text, &self.nodes)
    }
}

impl std::fmt::Debug for Document {
    /// As for [`Value`].
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Document of {} bytes", self.text.len())
    }
}

#[cfg(test)]
mod tests {
    use super::Document;

    #[test]
    fn it_is_kept() {
        let document = Document::read(r#"{"a": [1, {"b": "c"}]}"#).expect("JSON");
        let again = document.clone();
        drop(document);
        let found = again.root().pointer("/a/1/b").and_then(crate::Value::text);
        assert!(found.is_some_and(|text| text.is("c")));
        assert!(Document::read("{").is_err());
        assert!(Document::default().root().is_null(), "nothing is null");
    }
}
