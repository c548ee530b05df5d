//! The named formats, and what Kubernetes says of a text that has another.

use crate::library::urls;

/// A name as a DNS label: `my-name`.
pub(super) fn dns_1123_label(text: &[u8]) -> Vec<String> {
    let mut errors = too_long(text, 63, "characters");
    if !is_label(text) {
        // "It was a valid subdomain and not a valid label. Since we already checked length, it must be dots."
        errors.push(if is_subdomain(text) {
            "must not contain dots".to_owned()
        } else {
            format!(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with \
                 an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{LABEL}')"
            )
        });
    }
    errors
}

/// A name as a DNS subdomain: `example.com`.
pub(super) fn dns_1123_subdomain(text: &[u8]) -> Vec<String> {
    subdomain(text, "characters")
}

/// A name as a DNS label of old: `my-name`, and not `1name`.
pub(super) fn dns_1035_label(text: &[u8]) -> Vec<String> {
    let mut errors = too_long(text, 63, "characters");
    if !is_label(text) || !text.first().is_some_and(u8::is_ascii_lowercase) {
        errors.push(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and \
             end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is \
             '[a-z]([-a-z0-9]*[a-z0-9])?')"
                .to_owned(),
        );
    }
    errors
}

/// The same for a name that something is going to be appended to: a dash at its end is fine.
pub(super) fn masked(text: &str) -> Vec<u8> {
    match text.as_bytes() {
        [start @ .., _, b'-'] => [start, b"a"].concat(),
        whole => whole.to_vec(),
    }
}

/// The key of a label: `example.com/MyName`.
pub(super) fn qualified_name(text: &str) -> Vec<String> {
    let rule = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character \
                (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
                '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
    let mut errors = Vec::new();
    let mut parts = text.split('/');
    let name = match (parts.next(), parts.next(), parts.next()) {
        (Some(prefix), Some(name), None) => {
            let faults = if prefix.is_empty() { vec![EMPTY.to_owned()] } else { subdomain(prefix.as_bytes(), "bytes") };
            errors.extend(faults.into_iter().map(|fault| format!("prefix part {fault}")));
            name
        }
        (Some(name), None, _) => name,
        _ => {
            return vec![format!(
                "a valid label key {rule} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        errors.push(format!("name part {EMPTY}"));
    }
    errors.extend(too_long(name.as_bytes(), 63, "bytes").into_iter().map(|fault| format!("name part {fault}")));
    if !is_name(name.as_bytes()) {
        errors.push(format!("name part {rule}"));
    }
    errors
}

/// The value of a label.
pub(super) fn label_value(text: &str) -> Vec<String> {
    let mut errors = too_long(text.as_bytes(), 63, "bytes");
    if !text.is_empty() && !is_name(text.as_bytes()) {
        errors.push(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end \
             with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is \
             '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
                .to_owned(),
        );
    }
    errors
}

pub(super) fn uri(text: &str) -> Vec<String> {
    urls::check(text).err().map(|reason| urls::explain(text, &reason)).into_iter().collect()
}

/// `123e4567-e89b-12d3-a456-426614174000`, with or without each dash.
pub(super) fn uuid(text: &str) -> Vec<String> {
    let mut rest = text;
    for (at, length) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        if at > 0 {
            rest = rest.strip_prefix('-').unwrap_or(rest);
        }
        match rest.split_at_checked(length) {
            Some((digits, tail)) if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => rest = tail,
            _ => return vec!["does not match the UUID format".to_owned()],
        }
    }
    only_if(!rest.is_empty(), "does not match the UUID format")
}

/// Base64 with its padding, and not nothing.
pub(super) fn byte(text: &str) -> Vec<String> {
    let digits = text.strip_suffix("==").or_else(|| text.strip_suffix('=')).unwrap_or(text);
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let whole = !digits.is_empty() && text.len().is_multiple_of(4);
    only_if(!whole || !digits.bytes().all(is_digit), "invalid base64")
}

/// `2021-02-28`.
pub(super) fn date(text: &str) -> Vec<String> {
    only_if(!is_date(text.as_bytes()), "invalid date")
}

/// A date and a time, as loosely as Kubernetes reads them: what stands behind a second `t` is not looked at.
pub(super) fn datetime(text: &str) -> Vec<String> {
    let lower = text.to_ascii_lowercase();
    let mut parts = lower.split('t');
    let valid = match (parts.next(), parts.next()) {
        (Some(date), Some(time)) => is_date(date.as_bytes()) && is_time(time),
        _ => false,
    };
    only_if(!valid, "invalid datetime")
}

fn is_date(text: &[u8]) -> bool {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = text else { return false };
    let Some(year) = number(&[*y1, *y2, *y3, *y4]) else { return false };
    let (Some(month), Some(day)) = (number(&[*m1, *m2]), number(&[*d1, *d2])) else { return false };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => 0,
    };
    (1..=days).contains(&day)
}

/// `12:34:56.789+01:00`; any character may stand before the fraction, and the offset is not looked at.
fn is_time(text: &str) -> bool {
    let Some(([h1, h2, b':', m1, m2, b':', s1, s2], rest)) = text.as_bytes().split_first_chunk() else { return false };
    let (Some(hour), Some(minute), Some(second)) = (number(&[*h1, *h2]), number(&[*m1, *m2]), number(&[*s1, *s2]))
    else {
        return false;
    };
    let rest = std::str::from_utf8(rest).unwrap_or_default();
    let mut letters = rest.chars();
    let fraction = match letters.next() {
        Some('\n') | None => rest,
        Some(_) => {
            let after = letters.as_str().trim_start_matches(|digit: char| digit.is_ascii_digit());
            if after.len() < letters.as_str().len() { after } else { rest }
        }
    };
    // What could be a fraction could be the start of an offset too.
    let ends = is_offset(rest) || is_offset(fraction);
    hour <= 23 && minute <= 59 && second <= 59 && ends
}

fn is_offset(text: &str) -> bool {
    match text.as_bytes() {
        b"z" => true,
        [b'+' | b'-', h1, h2, b':', m1, m2] => [h1, h2, m1, m2].into_iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().all(u8::is_ascii_digit).then(|| std::str::from_utf8(digits).ok()?.parse().ok()).flatten()
}

fn subdomain(text: &[u8], unit: &str) -> Vec<String> {
    let mut errors = too_long(text, 253, unit);
    if !is_subdomain(text) {
        errors.push(format!(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end \
             with an alphanumeric character (e.g. 'example.com', regex used for validation is '{LABEL}(\\.{LABEL})*')"
        ));
    }
    errors
}

fn too_long(text: &[u8], limit: usize, unit: &str) -> Vec<String> {
    if text.len() > limit { vec![format!("must be no more than {limit} {unit}")] } else { Vec::new() }
}

fn only_if(wrong: bool, message: &str) -> Vec<String> {
    wrong.then(|| message.to_owned()).into_iter().collect()
}

fn is_label(text: &[u8]) -> bool {
    let is_end = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.iter().all(|byte| is_end(byte) || *byte == b'-')
        && text.first().is_some_and(is_end)
        && text.last().is_some_and(is_end)
}

fn is_subdomain(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'.').all(is_label)
}

fn is_name(text: &[u8]) -> bool {
    let is_end = u8::is_ascii_alphanumeric;
    text.iter().all(|byte| is_end(byte) || matches!(byte, b'-' | b'_' | b'.'))
        && text.first().is_some_and(is_end)
        && text.last().is_some_and(is_end)
}

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";

const EMPTY: &str = "must be non-empty";
