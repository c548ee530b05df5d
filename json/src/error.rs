//! What is wrong with a document, and where.

use std::borrow::Cow;
use std::fmt;

/// Why a document cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// What is wrong there. Never quotes the document.
    pub message: Cow<'static, str>,
    /// The byte at fault, from 0; the length of the document where it ends too early.
    pub offset: usize,
    /// The line of that byte, from 1.
    pub line: u32,
    /// The character of that byte in its line, from 1.
    pub column: u32,
}

impl JsonError {
    pub(super) fn new(bytes: &[u8], offset: usize, message: impl Into<Cow<'static, str>>) -> Self {
        let before = bytes.get(..offset).unwrap_or(bytes);
        let lines = memchr::memchr_iter(b'\n', before).count();
        let line_start = memchr::memrchr(b'\n', before).map_or(0, |at| at.saturating_add(1));
        let in_line = before.get(line_start..).unwrap_or_default();
        // Of a character of several bytes the first one counts.
        let characters = in_line.iter().filter(|&&byte| byte & 0xc0 != 0x80).count();
        let count = |number: usize| u32::try_from(number.saturating_add(1)).unwrap_or(u32::MAX);
        Self { message: message.into(), offset, line: count(lines), column: count(characters) }
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {} (line {}, column {})", self.message, self.offset, self.line, self.column)
    }
}

impl std::error::Error for JsonError {}
