//! Positions in texts: counted in characters, as CEL does.

/// The byte at which a character starts; the end is one too.
pub(super) fn byte_of(text: &str, character: i64) -> Option<usize> {
    let character = usize::try_from(character).ok()?;
    text.char_indices().map(|(at, _)| at).chain(std::iter::once(text.len())).nth(character)
}

/// Where a text stands in another, from a character on; -1 if it does not.
pub(in crate::library) fn find(text: &str, part: &str, from: i64) -> Option<i64> {
    if from < 0 {
        return None;
    }
    let start = byte_of(text, from);
    if part.is_empty() {
        return Some(start.map_or_else(|| count(text), |_| from));
    }
    let found = start.and_then(|start| text.get(start..)).and_then(|rest| Some((rest, rest.find(part)?)));
    Some(found.map_or(-1, |(rest, at)| from.saturating_add(count(rest.get(..at).unwrap_or_default()))))
}

/// Where a text stands last in another; -1 if it does not.
pub(in crate::library) fn find_last(text: &str, part: &str) -> i64 {
    text.rfind(part).map_or(-1, |at| count(text.get(..at).unwrap_or_default()))
}

/// Where a text stands last in another, up to a character; -1 if it does not.
pub(in crate::library) fn find_last_until(text: &str, part: &str, until: i64) -> Option<i64> {
    if until < 0 {
        return None;
    }
    let Some(last) = byte_of(text, until) else {
        return Some(if part.is_empty() { count(text) } else { -1 });
    };
    if part.is_empty() {
        return Some(until);
    }
    if last == text.len() {
        return Some(-1);
    }
    let mut end = last.saturating_add(part.len()).min(text.len());
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    Some(find_last(text.get(..end).unwrap_or_default(), part))
}

/// How many characters there are.
pub(super) fn count(text: &str) -> i64 {
    i64::try_from(text.chars().count()).unwrap_or(i64::MAX)
}

/// Quotes as CEL's `strings.quote` does.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len().saturating_add(2));
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '\x07' => quoted.push_str("\\a"),
            '\x08' => quoted.push_str("\\b"),
            '\x0c' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\x0b' => quoted.push_str("\\v"),
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            _ => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}
