//! What keeps a parser's panic from taking anything but its own connection.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::parser::ErasedParser;

/// A parser that is gone for good once it has panicked.
///
/// Stack overflow, failed allocation and endless loops are not caught: parsers must not recurse on wire data nor trust a
/// length in it. Where there is no unwinding (wasm), neither are panics.
pub(crate) struct Sandbox(Option<Box<dyn ErasedParser>>);

/// The parser panicked, now or before.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Panicked(pub(crate) String);

impl Sandbox {
    pub(crate) fn new(parser: Box<dyn ErasedParser>) -> Self {
        Self(Some(parser))
    }

    /// Runs `call` on the parser.
    pub(crate) fn enter<T>(&mut self, call: impl FnOnce(&mut dyn ErasedParser) -> T) -> Result<T, Panicked> {
        let Some(parser) = &mut self.0 else { return Err(Panicked("the parser has panicked before".to_owned())) };
        // Unwind safe: what the parser left half done is its own state, which is thrown away, and buffers of ours that stay
        // valid whatever was appended to them.
        match catch_unwind(AssertUnwindSafe(|| call(&mut **parser))) {
            Ok(value) => Ok(value),
            Err(payload) => {
                let text = describe(payload);
                self.discard();
                Err(Panicked(text))
            }
        }
    }

    /// Throws the parser away; a panic of its destructor is caught too. Says what it was.
    pub(crate) fn discard(&mut self) -> Option<Panicked> {
        let parser = self.0.take()?;
        catch_unwind(AssertUnwindSafe(|| drop(parser))).err().map(|payload| Panicked(describe(payload)))
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.discard();
    }
}

/// The text of a panic, if it has any. The payload itself may panic when it is dropped: then it is leaked.
fn describe(payload: Box<dyn Any + Send>) -> String {
    /// Longer texts say nothing more to an operator.
    const MAX_TEXT: usize = 200;
    let text = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text.as_str(),
        (None, None) => "a value that is not text",
    };
    let text = text.chars().take(MAX_TEXT).collect();
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
    text
}
