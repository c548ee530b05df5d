//! Quantities of resources as Kubernetes writes them (`k8s.io/apimachinery/pkg/api/resource`): `2`, `500m`, `1Gi`, `1e3`.

/// A quantity in billionths. What is larger than any that can be meant counts as the largest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Quantity(i128);

/// More digits than this in a row are beyond all resources.
const MAX_DIGITS: usize = 30;

impl Quantity {
    pub(super) const ZERO: Self = Self(0);

    /// Reads a quantity, or nothing if it is none. Parts smaller than a billionth are rounded up, as Kubernetes does.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (negative, unsigned) = match text.as_bytes().first()? {
            b'-' => (true, text.get(1..)?),
            b'+' => (false, text.get(1..)?),
            _ => (false, text),
        };
        let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at_checked(end)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
            return None;
        }
        let (exponent, shift) = scale(suffix)?;
        let size = magnitude(whole, fraction, exponent, shift);
        Some(Self(if negative { size.saturating_neg() } else { size }))
    }
}

/// The power of ten and the power of two that a suffix means.
fn scale(suffix: &str) -> Option<(i32, u32)> {
    Some(match suffix {
        "" => (0, 0),
        "n" => (-9, 0),
        "u" => (-6, 0),
        "m" => (-3, 0),
        "k" => (3, 0),
        "M" => (6, 0),
        "G" => (9, 0),
        "T" => (12, 0),
        "P" => (15, 0),
        "E" => (18, 0),
        "Ki" => (0, 10),
        "Mi" => (0, 20),
        "Gi" => (0, 30),
        "Ti" => (0, 40),
        "Pi" => (0, 50),
        "Ei" => (0, 60),
        _ => {
            let digits = suffix.strip_prefix(['e', 'E'])?;
            let bare = digits.strip_prefix(['+', '-']).unwrap_or(digits);
            if bare.is_empty() || bare.bytes().any(|byte| !byte.is_ascii_digit()) {
                return None;
            }
            let far = if digits.starts_with('-') { i32::MIN / 2 } else { i32::MAX / 2 };
            (digits.parse().unwrap_or(far).clamp(i32::MIN / 2, i32::MAX / 2), 0)
        }
    })
}

fn magnitude(whole: &str, fraction: &str, exponent: i32, shift: u32) -> i128 {
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    if whole.is_empty() && fraction.is_empty() {
        return 0;
    }
    if whole.len() > MAX_DIGITS {
        return if exponent < 0 { with_point(whole, fraction, exponent) } else { i128::MAX };
    }
    // What is cut off is smaller than what is rounded up to.
    let (kept, cut) = fraction.split_at_checked(MAX_DIGITS).unwrap_or((fraction, ""));
    let digits = |text: &str, start: i128| {
        text.bytes()
            .fold(start, |sum, digit| sum.saturating_mul(10).saturating_add(i128::from(digit.saturating_sub(b'0'))))
    };
    let number = digits(kept, digits(whole, 0));
    let number = if number == i128::MAX { return i128::MAX } else { number };
    let number = if cut.is_empty() { number } else { number.saturating_add(1) };
    let Some(shifted) = number.checked_mul(1_i128.checked_shl(shift).unwrap_or(i128::MAX)) else { return i128::MAX };
    let places = i32::try_from(kept.len()).unwrap_or(i32::MAX);
    let power = exponent.saturating_add(9).saturating_sub(places);
    let ten = 10_i128.checked_pow(power.unsigned_abs());
    match ten {
        Some(ten) if power >= 0 => shifted.saturating_mul(ten),
        None if power >= 0 => i128::MAX,
        Some(ten) => shifted.saturating_add(ten.saturating_sub(1)).checked_div(ten).unwrap_or(1),
        None => 1,
    }
}

/// The size of a long number whose negative exponent puts the point among its digits, or before them.
fn with_point(whole: &str, fraction: &str, exponent: i32) -> i128 {
    let places = usize::try_from(exponent.unsigned_abs()).unwrap_or(usize::MAX);
    let point = whole.len().saturating_sub(places);
    let (whole, after) = whole.split_at_checked(point).unwrap_or((whole, ""));
    if whole.len() > MAX_DIGITS {
        return i128::MAX;
    }
    let moved = i32::try_from(after.len()).unwrap_or(i32::MAX);
    magnitude(whole, &format!("{after}{fraction}"), exponent.saturating_add(moved), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_compared_as_kubernetes_does() {
        let same = [
            ("1", "1000m"),
            ("0.5", "500m"),
            ("1Ki", "1024"),
            ("1k", "1000"),
            ("1e3", "1000"),
            ("1E3", "1k"),
            ("1E", "1000P"),
            ("1.5Gi", "1610612736"),
            ("100n", "0.1u"),
            ("-1", "-1000m"),
            ("+2", "2"),
            (".5", "0.5"),
            ("5.", "5"),
            ("0.0000000001", "1n"),
            ("0e99999999999", "0"),
            ("00012", "12"),
            ("9000000000000000000000000000000000e-33", "9"),
            ("1234567890123456789012345678901234.5e-32", "12.345678902"),
            ("1000000000000000000000000000000000e-40", "100n"),
            ("1000000000000000000000000000000000e-99", "1n"),
        ];
        for (a, b) in same {
            assert!(Quantity::parse(a).is_some(), "{a}");
            assert_eq!(Quantity::parse(a), Quantity::parse(b), "{a} and {b}");
        }
        let ordered =
            ["-1e400", "-1Gi", "-1m", "0", "1n", "1m", "999m", "1", "1k", "1Ki", "1M", "1Mi", "1G", "1Gi", "1Ei"];
        for pair in ordered.windows(2) {
            assert!(Quantity::parse(pair[0]).unwrap() < Quantity::parse(pair[1]).unwrap(), "{pair:?}");
        }
        assert!(Quantity::parse("1e400") > Quantity::parse("1Ei"));
        assert!(Quantity::parse(&"9".repeat(100_000)) > Quantity::parse("1Ei"));
    }

    #[test]
    fn refuses_what_is_none() {
        for text in ["", "-", ".", "1.2.3", "1 Gi", "1gi", "Gi", "1e", "1e+", "0x10", "1GiB", "NaN", "inf", "١"] {
            assert_eq!(Quantity::parse(text), None, "{text}");
        }
    }
}
