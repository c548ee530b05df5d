//! Texts as Go quotes them, for what shows them in messages and in `format`.

use std::sync::LazyLock;

use crate::regex::Regex;

/// As Go's `strconv.Quote`: in double quotes, with what cannot be printed escaped.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len().saturating_add(2));
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\x07' => quoted.push_str("\\a"),
            '\x08' => quoted.push_str("\\b"),
            '\x0c' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\x0b' => quoted.push_str("\\v"),
            ' '..='~' => quoted.push(letter),
            '\0'..='\x7f' => quoted.push_str(&format!("\\x{:02x}", u32::from(letter))),
            _ if is_printable(letter) => quoted.push(letter),
            '\u{10000}'.. => quoted.push_str(&format!("\\U{:08x}", u32::from(letter))),
            _ => quoted.push_str(&format!("\\u{:04x}", u32::from(letter))),
        }
    }
    quoted.push('"');
    quoted
}

/// How much longer than the text the quoted one may be: `\U0010ffff` stands for four bytes, `\x00` for one.
pub(super) const GROWTH: usize = 4;

/// Go's `unicode.IsPrint`, for what is not ASCII.
fn is_printable(letter: char) -> bool {
    static PRINTABLE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::compile(r"^[\pL\pM\pN\pP\pS]$").ok());
    PRINTABLE.as_ref().is_some_and(|printable| printable.is_match(letter.encode_utf8(&mut [0; 4])))
}
