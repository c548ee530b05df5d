//! Numbers as `format` writes them: Go's forms, and those of American English where CEL takes them from there.

/// As Go's `strconv.FormatFloat(value, 'g', -1, 64)`: the shortest that is read as the same number.
pub(super) fn shortest(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let text = format!("{value:e}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    match exponent.parse::<i32>() {
        Ok(exponent) if value != 0.0 && !(-4..6).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
        }
        _ => format!("{value}"),
    }
}

/// `%f` of a finite number, with commas between the thousands, or what English has for the others.
pub(super) fn fixed(value: f64, decimals: usize) -> String {
    if let Some(text) = special(value) {
        return text.to_owned();
    }
    // Zero has no sign there, but what is rounded to it has.
    let value = if value == 0.0 { 0.0 } else { value };
    let text = format!("{value:.decimals$}");
    let (sign, text) = text.strip_prefix('-').map_or(("", text.as_str()), |text| ("-", text));
    let (whole, fraction) = text.find('.').and_then(|point| text.split_at_checked(point)).unwrap_or((text, ""));
    let mut grouped = String::with_capacity(text.len().saturating_add(text.len() / 3));
    grouped.push_str(sign);
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && whole.len().saturating_sub(at) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped.push_str(fraction);
    grouped
}

/// `%e`: six decimals, and the power of ten written out; filled up to the width with blanks.
///
/// What CEL means as precision ends up as the width.
pub(super) fn scientific(value: f64, width: usize) -> String {
    if let Some(text) = special(value) {
        return fill(text, width);
    }
    let value = if value == 0.0 { 0.0 } else { value };
    let text = format!("{value:.6e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(("", exponent), |exponent| ("⁻", exponent));
    let exponent: String = format!("{exponent:0>2}").chars().map(raise).collect();
    fill(&format!("{digits}×10{sign}{exponent}"), width)
}

/// Puts blanks before a text. `format!` panics at widths above 65,535.
fn fill(text: &str, width: usize) -> String {
    let blanks = width.saturating_sub(text.chars().count());
    [" ".repeat(blanks).as_str(), text].concat()
}

fn special(value: f64) -> Option<&'static str> {
    match value {
        _ if value.is_nan() => Some("NaN"),
        f64::INFINITY => Some("∞"),
        f64::NEG_INFINITY => Some("-∞"),
        _ => None,
    }
}

fn raise(digit: char) -> char {
    match digit {
        '0' => '⁰',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        '4' => '⁴',
        '5' => '⁵',
        '6' => '⁶',
        '7' => '⁷',
        '8' => '⁸',
        _ => '⁹',
    }
}

/// An integer in another base, with a sign before it.
pub(super) fn in_base(negative: bool, magnitude: u64, clause: Base) -> String {
    let digits = match clause {
        Base::Binary => format!("{magnitude:b}"),
        Base::Octal => format!("{magnitude:o}"),
        Base::Hex { upper: false } => format!("{magnitude:x}"),
        Base::Hex { upper: true } => format!("{magnitude:X}"),
    };
    if negative { format!("-{digits}") } else { digits }
}

/// `%b`, `%o`, `%x`, `%X`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    Binary,
    Octal,
    Hex { upper: bool },
}
