//! How long the API server waits for an answer: `?timeout=10s`.

use std::time::Duration;

use super::http::Head;

/// How long a judgement may take, or nothing if the request does not say. A fifth less than the client waits: the answer must
/// get there, too.
///
/// # Errors
/// What is there is no duration.
pub(super) fn read_timeout(head: &Head<'_>) -> Result<Option<Duration>, ()> {
    let Some(text) = head.parameter("timeout") else { return Ok(None) };
    let duration = read_duration(text).ok_or(())?;
    Ok(Some(duration.saturating_sub(duration.checked_div(5).unwrap_or_default())))
}

/// A duration as Go writes it: `1m30s`, `1.5s`, `300ms`. There are none below zero.
fn read_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut nanos = 0_u64;
    if rest.is_empty() || rest.len() > MAX_TEXT {
        return None;
    }
    while !rest.is_empty() {
        let (whole, after) = split_digits(rest);
        let (part, after) = match after.strip_prefix('.') {
            Some(after) => split_digits(after),
            None => ("", after),
        };
        if whole.is_empty() && part.is_empty() {
            return None;
        }
        let units =
            [("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", SECOND), ("m", 60 * SECOND), ("h", 3600 * SECOND)];
        let (unit, scale) = units.into_iter().find(|(unit, _)| after.strip_prefix(unit).is_some())?;
        rest = after.get(unit.len()..)?;
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let mut add = whole.checked_mul(scale)?;
        let mut place = scale;
        for digit in part.bytes() {
            place = place.checked_div(10)?;
            add = add.checked_add(place.checked_mul(u64::from(digit & 0xf))?)?;
        }
        nanos = nanos.checked_add(add)?;
    }
    Some(Duration::from_nanos(nanos))
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

const SECOND: u64 = 1_000_000_000;

/// Bytes of a duration: nobody means more.
const MAX_TEXT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, millis) in [
            ("10s", Some(10_000)),
            ("30s", Some(30_000)),
            ("1m30s", Some(90_000)),
            ("1.5s", Some(1_500)),
            (".5s", Some(500)),
            ("300ms", Some(300)),
            ("2h", Some(7_200_000)),
            ("1000us", Some(1)),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("", None),
            ("10", None),
            ("s", None),
            ("-1s", None),
            ("+1s", None),
            ("1 s", None),
            ("1d", None),
            (".s", None),
            ("99999999999999999999s", None),
            ("9999999999999h", None),
        ] {
            assert_eq!(read_duration(text), millis.map(Duration::from_millis), "{text}");
        }
    }
}
