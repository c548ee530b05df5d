//! Bytes as people and logs write them.

/// Text with `\r`, `\n`, `\t`, `\0`, `\\`, `\"` and `\xNN` for bytes.
pub(crate) fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at + 1..];
        let byte = match rest.chars().next() {
            Some('r') => b'\r',
            Some('n') => b'\n',
            Some('t') => b'\t',
            Some('0') => 0,
            Some('\\') => b'\\',
            Some('"') => b'"',
            Some('x') => {
                let hex = rest.get(1..3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
                let byte = hex.ok_or("`\\x` needs two hexadecimal digits, as in `\\x80`")?;
                rest = &rest[2..];
                byte
            }
            _ => return Err("a `\\` stands before one of `r n t 0 \\ \" xNN`; write `\\\\` for itself".to_owned()),
        };
        out.push(byte);
        rest = &rest[1..];
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(out)
}

/// Bytes in hexadecimal digits; spaces, colons and line ends between them do not matter.
pub(crate) fn parse_hex(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<_> = text.chars().filter(|c| !c.is_whitespace() && *c != ':').collect();
    if digits.len() % 2 != 0 {
        return Err(format!("{} hexadecimal digits make no whole bytes", digits.len()));
    }
    let byte = |pair: &[char]| match pair {
        [high, low] => Some(u8::try_from(high.to_digit(16)? * 16 + low.to_digit(16)?).unwrap_or_default()),
        _ => None,
    };
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
    bytes.ok_or_else(|| "these are not hexadecimal digits only: `0-9 a-f`".to_owned())
}

/// A value of the access log: bytes that are no text stand there as `\xNN`. And whether the log has cut it.
pub(crate) fn unescape_log(text: &str) -> (Vec<u8>, bool) {
    /// What the log shows of a value at most, before the dots.
    const MAX_LOGGED: usize = 256;
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("\\x") {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let hex = rest
            .get(at + 2..at + 4)
            .filter(|hex| hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &rest[at + 4..];
            }
            None => {
                out.extend_from_slice(b"\\x");
                rest = &rest[at + 2..];
            }
        }
    }
    out.extend_from_slice(rest.as_bytes());
    let cut = out.len() >= MAX_LOGGED && out.ends_with(b"...");
    if cut {
        out.truncate(out.len() - 3);
    }
    (out, cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_as_they_are_written() {
        assert_eq!(unescape("get a\\r\\n\\x80\\\\é").as_deref(), Ok(&b"get a\r\n\x80\\\xc3\xa9"[..]));
        assert_eq!(parse_hex("80 0a:FF\n00").as_deref(), Ok(&[0x80, 0x0a, 0xff, 0][..]));
        for bad in ["\\", "\\q", "\\x8", "\\xé", "\\xg0"] {
            assert!(unescape(bad).is_err(), "{bad}");
        }
        for bad in ["8", "8g", "é0"] {
            assert!(parse_hex(bad).is_err(), "{bad}");
        }
        assert_eq!(unescape_log("a\\xffb\\xzz"), (b"a\xffb\\xzz".to_vec(), false));
        let long = format!("{}...", "k".repeat(256));
        assert_eq!(unescape_log(&long), ("k".repeat(256).into_bytes(), true));
        assert!(!unescape_log("short...").1);
    }
}
