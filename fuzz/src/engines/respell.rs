//! The same JSON, spelled otherwise.

/// Other spelling that every reader of JSON must take for the same: with spaces, and with escapes for letters. The text must be
/// JSON.
pub(super) fn respell(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() * 3);
    let mut quoted = false;
    let mut bytes = json.iter().enumerate().peekable();
    while let Some((at, &byte)) = bytes.next() {
        match byte {
            b'"' => quoted = !quoted,
            b'\\' if quoted => {
                out.push(byte);
                if let Some((_, &escaped)) = bytes.next() {
                    out.push(escaped);
                    if escaped == b'u' {
                        out.extend(bytes.by_ref().take(4).map(|(_, digit)| digit));
                    }
                }
                continue;
            }
            // Not all of them: where one is found by its first letter, the rest is to be compared, too.
            b'a'..=b'z' | b'A'..=b'Z' | b'/' | b'.' if quoted && at % 3 == 0 => {
                out.extend(format!("\\u{byte:04X}").bytes());
                continue;
            }
            b'{' | b'[' | b',' | b':' if !quoted => {
                out.push(byte);
                out.extend(b" \n\t");
                continue;
            }
            _ => {}
        }
        out.push(byte);
    }
    out
}
