//! What a quantity is, by the grammar and the arithmetic of Kubernetes' `resource.Quantity`.

use std::cmp::Ordering;

use super::decimal::Decimal;

/// An amount of a resource: `100m`, `1.5Gi`, `2e3`.
#[derive(Clone, Debug)]
pub(crate) struct Quantity(Amount);

/// A quantity has two forms, and they can be told apart: [`Quantity::as_integer`] knows the small one only, as in Kubernetes.
#[derive(Clone, Debug)]
enum Amount {
    /// The value times ten to the power of the scale.
    Small { value: i64, scale: i64 },
    /// The scale is what the number counts as having been written with; it decides how [`Quantity::as_float`] rounds.
    Large { number: Decimal, scale: i64 },
}

/// Why a text is no quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QuantityError {
    /// It does not look like one.
    Format,
    /// The number before the suffix is none.
    Number,
    /// There is no such suffix.
    Suffix,
    /// It is one, with more digits than [`MAX_DIGITS`].
    Digits,
}

impl Quantity {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// It is none, or too long a one.
    pub(crate) fn parse(text: &str) -> Result<Self, QuantityError> {
        if text.is_empty() {
            return Err(QuantityError::Format);
        }
        let parts = Parts::split(text)?;
        let suffix = Suffix::parse(parts.suffix)?;
        if parts.numerator.len().saturating_add(parts.fraction.len()) > MAX_DIGITS {
            return Err(QuantityError::Digits);
        }
        match parts.small(suffix) {
            Some(amount) => Ok(Self(amount)),
            None => parts.large(suffix).map(Self),
        }
    }

    /// -1, 0 or 1.
    pub(crate) fn sign(&self) -> i64 {
        match &self.0 {
            Amount::Small { value, .. } => value.signum(),
            Amount::Large { number, .. } => number.sign() as i64,
        }
    }

    /// Which is more.
    pub(crate) fn compare(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            (Amount::Small { value: left, scale: one }, Amount::Small { value: right, scale: two }) if one == two => {
                left.cmp(right)
            }
            _ => self.decimal().compare(&other.decimal()),
        }
    }

    /// The whole number that it is, if it is one that Kubernetes sees as such: not where it went through its long form.
    pub(crate) fn as_integer(&self) -> Option<i64> {
        match self.0 {
            Amount::Small { value, scale } => shift(value, scale),
            Amount::Large { .. } => None,
        }
    }

    /// About what it is. Infinity where that is more than a double holds.
    pub(crate) fn as_float(&self) -> f64 {
        let (base, scale) = match &self.0 {
            Amount::Small { value, scale } => (*value as f64, *scale),
            Amount::Large { number, scale } => (number.unscaled_float(*scale), *scale),
        };
        if scale == 0 { base } else { base * power_of_ten(scale) }
    }

    /// The sum.
    ///
    /// # Errors
    ///
    /// It has more digits than [`MAX_DIGITS`].
    pub(crate) fn add(&self, other: &Self) -> Result<Self, QuantityError> {
        if let (Amount::Small { value: left, scale: one }, Amount::Small { value: right, scale: two }) =
            (&self.0, &other.0)
            && let Some((value, scale)) = add_small((*left, *one), (*right, *two))
        {
            return Ok(Self(Amount::Small { value, scale }));
        }
        self.add_large(other.decimal(), other.scale())
    }

    /// The difference.
    ///
    /// # Errors
    ///
    /// It has more digits than [`MAX_DIGITS`].
    pub(crate) fn subtract(&self, other: &Self) -> Result<Self, QuantityError> {
        match other.0 {
            Amount::Small { value, scale } if value != i64::MIN => {
                self.add(&Self(Amount::Small { value: value.saturating_neg(), scale }))
            }
            _ => self.add_large(other.decimal().negate(), other.scale()),
        }
    }

    fn add_large(&self, other: Decimal, scale: i64) -> Result<Self, QuantityError> {
        let number = self.decimal();
        let lowest = number.exponent().min(other.exponent());
        let limit = i64::try_from(MAX_DIGITS).unwrap_or(i64::MAX);
        if number.width_to(lowest).max(other.width_to(lowest)) > limit {
            return Err(QuantityError::Digits);
        }
        Ok(Self(Amount::Large { number: number.add(&other), scale: self.scale().min(scale) }))
    }

    fn decimal(&self) -> Decimal {
        match &self.0 {
            Amount::Small { value, scale } => Decimal::new(*value, *scale),
            Amount::Large { number, .. } => number.clone(),
        }
    }

    fn scale(&self) -> i64 {
        match self.0 {
            Amount::Small { scale, .. } | Amount::Large { scale, .. } => scale,
        }
    }
}

impl From<i64> for Quantity {
    fn from(value: i64) -> Self {
        Self(Amount::Small { value, scale: 0 })
    }
}

impl QuantityError {
    /// As Kubernetes words it.
    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::Format => {
                "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
            }
            Self::Number => "unable to parse numeric part of quantity",
            Self::Suffix => "unable to parse quantity's suffix",
            Self::Digits => "quantity of more than 1024 digits: write it with a suffix",
        }
    }
}

/// A quantity taken apart, as Kubernetes' scanner does it.
struct Parts<'t> {
    negative: bool,
    /// Whether there is any digit before the suffix.
    counted: bool,
    /// Without leading zeros; `0` if that leaves none.
    numerator: &'t str,
    fraction: &'t str,
    suffix: &'t str,
}

impl<'t> Parts<'t> {
    fn split(text: &'t str) -> Result<Self, QuantityError> {
        let negative = text.starts_with('-');
        let rest = text.strip_prefix(['-', '+']).unwrap_or(text);
        let rest = rest.trim_start_matches('0');
        let (numerator, rest) = split_digits(rest);
        // Where only zeros stand before the point or the end, that is a zero.
        let numerator = if numerator.is_empty() { "0" } else { numerator };
        let (fraction, rest) = rest.strip_prefix('.').map_or(("", rest), split_digits);
        let suffix = rest;
        let number = text.get(..text.len().saturating_sub(suffix.len())).unwrap_or_default();
        let counted = number.contains(|letter: char| letter.is_ascii_digit());
        let rest = rest.trim_start_matches(|letter| SUFFIX_LETTERS.contains(letter));
        let rest = rest.strip_prefix(['-', '+']).unwrap_or(rest);
        if !split_digits(rest).1.is_empty() {
            return Err(QuantityError::Format);
        }
        Ok(Self { negative, counted, numerator, fraction, suffix })
    }

    /// The short form, where Kubernetes takes it.
    fn small(&self, suffix: Suffix) -> Option<Amount> {
        let digits = self.numerator.len().saturating_add(self.fraction.len());
        let (scale, mantissa) = match suffix {
            Suffix::Decimal(exponent) if digits <= 18 => (i64::from(exponent), 1i64),
            // "1Mi (2^20) has ~6 digits of decimal precision, so exponent*3/10 -1 is roughly the precision"
            Suffix::Binary(bits)
                if self.fraction.is_empty() && digits.saturating_add((bits as usize).saturating_mul(3) / 10) <= 14 =>
            {
                (0, 1i64.checked_shl(bits)?)
            }
            _ => return None,
        };
        let scale = scale.saturating_sub(i64::try_from(self.fraction.len()).ok()?);
        if scale < NANO {
            return None;
        }
        let value: i64 = [self.numerator, self.fraction].concat().parse().ok()?;
        let value = value.checked_mul(mantissa)?;
        Some(Amount::Small { value: if self.negative { value.saturating_neg() } else { value }, scale })
    }

    fn large(&self, suffix: Suffix) -> Result<Amount, QuantityError> {
        if !self.counted {
            return Err(QuantityError::Number);
        }
        let fraction = i64::try_from(self.fraction.len()).map_err(|_| QuantityError::Number)?;
        let text = [self.numerator, self.fraction].concat();
        let exponent = match suffix {
            Suffix::Decimal(exponent) => i64::from(exponent).saturating_sub(fraction),
            Suffix::Binary(_) => fraction.saturating_neg(),
        };
        let mut number = Decimal::from_text(false, &text, exponent);
        if let Suffix::Binary(bits) = suffix {
            number.shift_left(bits);
        }
        // "This rounds non-zero values up to the minimum representable value".
        number.round_up(NANO);
        let cap = Decimal::new(i64::MAX, 0);
        if matches!(suffix, Suffix::Binary(_)) && number.compare(&cap) == Ordering::Greater {
            return Ok(Amount::Large { number: if self.negative { cap.negate() } else { cap }, scale: 0 });
        }
        Ok(Amount::Large { number: if self.negative { number.negate() } else { number }, scale: NANO })
    }
}

#[derive(Clone, Copy)]
enum Suffix {
    /// Ten to the power of this.
    Decimal(i32),
    /// Two to the power of this.
    Binary(u32),
}

impl Suffix {
    fn parse(text: &str) -> Result<Self, QuantityError> {
        Ok(match text {
            "n" => Self::Decimal(-9),
            "u" => Self::Decimal(-6),
            "m" => Self::Decimal(-3),
            "" => Self::Decimal(0),
            "k" => Self::Decimal(3),
            "M" => Self::Decimal(6),
            "G" => Self::Decimal(9),
            "T" => Self::Decimal(12),
            "P" => Self::Decimal(15),
            "E" => Self::Decimal(18),
            "Ki" => Self::Binary(10),
            "Mi" => Self::Binary(20),
            "Gi" => Self::Binary(30),
            "Ti" => Self::Binary(40),
            "Pi" => Self::Binary(50),
            "Ei" => Self::Binary(60),
            _ => {
                let exponent = text.strip_prefix(['e', 'E']).and_then(|exponent| exponent.parse::<i64>().ok());
                // Kubernetes keeps the low 32 bits of it.
                Self::Decimal(exponent.ok_or(QuantityError::Suffix)? as i32)
            }
        })
    }
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// The value times ten to the power of the scale, where that is whole and fits.
fn shift(value: i64, scale: i64) -> Option<i64> {
    if value == 0 {
        return (scale >= 0).then_some(0);
    }
    let scale = u32::try_from(scale).ok()?;
    value.checked_mul(10i64.checked_pow(scale)?)
}

fn add_small(left: (i64, i64), right: (i64, i64)) -> Option<(i64, i64)> {
    if right.0 == 0 {
        return Some(left);
    }
    if left.0 == 0 {
        return Some(right);
    }
    let scale = left.1.min(right.1);
    let sum = shift(left.0, left.1.checked_sub(scale)?)?.checked_add(shift(right.0, right.1.checked_sub(scale)?)?)?;
    Some((sum, scale))
}

/// As Go's `math.Pow10`, which is not always the nearest double.
fn power_of_ten(exponent: i64) -> f64 {
    let power = |exponent: u64| -> f64 { format!("1e{exponent}").parse().unwrap_or(f64::INFINITY) };
    let inverse = |exponent: u64| -> f64 { format!("1e-{exponent}").parse().unwrap_or(0.0) };
    let size = exponent.unsigned_abs();
    match exponent {
        0..=308 => power((size / 32).saturating_mul(32)) * power(size % 32),
        -323..0 => inverse((size / 32).saturating_mul(32)) / power(size % 32),
        309.. => f64::INFINITY,
        _ => 0.0,
    }
}

/// What is smaller than this power of ten is rounded up to it.
const NANO: i64 = -9;

const SUFFIX_LETTERS: &str = "eEinumkKMGTP";

/// More digits than any resource has, and few enough that arithmetic on them, which Kubernetes counts as 1 of cost, is cheap.
const MAX_DIGITS: usize = 1024;
