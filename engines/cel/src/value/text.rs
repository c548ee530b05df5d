//! Texts.

use std::borrow::Cow;
use std::ops::Deref;
use std::rc::Rc;

/// A text that is borrowed from a document or an expression, or shared.
#[derive(Clone, Debug)]
pub enum Str<'v> {
    /// From a document or an expression.
    Borrowed(&'v str),
    /// Built while an expression ran.
    Shared(Rc<str>),
}

impl Str<'_> {
    /// How many characters it has.
    pub fn characters(&self) -> usize {
        self.chars().count()
    }
}

impl Deref for Str<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl<'v> From<&'v str> for Str<'v> {
    fn from(text: &'v str) -> Self {
        Self::Borrowed(text)
    }
}

impl From<String> for Str<'_> {
    fn from(text: String) -> Self {
        Self::Shared(text.into())
    }
}

impl<'v> From<Cow<'v, str>> for Str<'v> {
    fn from(text: Cow<'v, str>) -> Self {
        match text {
            Cow::Borrowed(text) => Self::Borrowed(text),
            Cow::Owned(text) => Self::Shared(text.into()),
        }
    }
}
