//! Percent-encoding, by the rules of Go's `net/url`.

use crate::library::quote::quote;

/// Where in a URL something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Host,
    Zone,
    User,
    Path,
    Query,
    Fragment,
}

/// What cannot stand there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum EscapeError {
    Escape(String),
    Host(String),
}

impl EscapeError {
    pub(super) fn message(self) -> String {
        match self {
            Self::Escape(text) => format!("invalid URL escape {}", quote(&text)),
            Self::Host(text) => format!("invalid character {} in host name", quote(&text)),
        }
    }
}

/// Puts the bytes in place of their escapes.
pub(super) fn unescape(text: &str, part: Part) -> Result<Vec<u8>, EscapeError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, tail) {
            (b'%', [high, low, tail @ ..]) => {
                let value = hexadecimal(*high).zip(hexadecimal(*low)).map(|(high, low)| (high << 4) | low);
                let value = value
                    .filter(|value| may_be_escaped(*value, part))
                    .ok_or_else(|| bad_escape(&[byte, *high, *low]))?;
                bytes.push(value);
                rest = tail;
            }
            (b'%', _) => return Err(bad_escape(&[&[byte], tail].concat())),
            (b'+', _) if part == Part::Query => bytes.push(b' '),
            _ if byte.is_ascii() && matches!(part, Part::Host | Part::Zone) && needs_escape(byte, part) => {
                return Err(EscapeError::Host(char::from(byte).to_string()));
            }
            _ => bytes.push(byte),
        }
    }
    Ok(bytes)
}

/// Escapes what cannot stand there as it is.
pub(super) fn escape(bytes: &[u8], part: Part) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        if needs_escape(*byte, part) {
            text.push_str(&format!("%{byte:02X}"));
        } else {
            text.push(char::from(*byte));
        }
    }
    text
}

/// Whether a text is escaped as far as it needs to be.
pub(super) fn is_valid(text: &str, part: Part) -> bool {
    text.bytes().all(|byte| b"!$&'()*+,;=:@[]%".contains(&byte) || !needs_escape(byte, part))
}

/// "in the host component %-encoding can only be used for non-ASCII bytes", and `%25` before a zone.
fn may_be_escaped(value: u8, part: Part) -> bool {
    match part {
        Part::Host => !value.is_ascii() || value == b'%',
        Part::Zone => value == b'%' || value == b' ' || !needs_escape(value, Part::Host),
        _ => true,
    }
}

fn needs_escape(byte: u8, part: Part) -> bool {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => false,
        b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'[' | b']' | b'<'
        | b'>' | b'"'
            if matches!(part, Part::Host | Part::Zone) =>
        {
            false
        }
        b'$' | b'&' | b'+' | b',' | b'/' | b':' | b';' | b'=' | b'?' | b'@' => match part {
            Part::Path => byte == b'?',
            Part::User => matches!(byte, b'@' | b'/' | b'?' | b':'),
            Part::Fragment => false,
            Part::Query | Part::Host | Part::Zone => true,
        },
        b'!' | b'(' | b')' | b'*' => part != Part::Fragment,
        _ => true,
    }
}

fn bad_escape(bytes: &[u8]) -> EscapeError {
    EscapeError::Escape(String::from_utf8_lossy(bytes.get(..3).unwrap_or(bytes)).into_owned())
}

fn hexadecimal(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
