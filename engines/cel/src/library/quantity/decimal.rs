//! Decimal numbers of any size, for the quantities that 64 bits do not hold.

use std::cmp::Ordering;

/// A number: the digits times ten to the power of the exponent.
///
/// It is compared without writing out its zeros, so that `1e999999999` costs no more than `1`.
#[derive(Clone, Debug)]
pub(super) struct Decimal {
    negative: bool,
    /// Without leading zeros, values 0 to 9; empty is zero.
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    /// A number of 64 bits times ten to the power of the exponent.
    pub(super) fn new(value: i64, exponent: i64) -> Self {
        Self::from_text(value < 0, &value.unsigned_abs().to_string(), exponent)
    }

    /// Digits, times ten to the power of the exponent. Anything that is no digit is skipped.
    pub(super) fn from_text(negative: bool, text: &str, exponent: i64) -> Self {
        let digits =
            text.bytes().filter(u8::is_ascii_digit).map(|digit| digit & 0x0f).skip_while(|digit| *digit == 0).collect();
        Self { negative, digits, exponent }
    }

    pub(super) fn sign(&self) -> Ordering {
        match (self.digits.is_empty(), self.negative) {
            (true, _) => Ordering::Equal,
            (false, true) => Ordering::Less,
            (false, false) => Ordering::Greater,
        }
    }

    pub(super) fn negate(mut self) -> Self {
        self.negative = !self.negative;
        self
    }

    /// Multiplies by two to the power of `bits`, 60 at most.
    pub(super) fn shift_left(&mut self, bits: u32) {
        let mut carry = 0u128;
        for digit in self.digits.iter_mut().rev() {
            carry = carry.saturating_add(u128::from(*digit) << bits.min(60));
            *digit = last_digit(&mut carry);
        }
        let mut high = Vec::new();
        while carry > 0 {
            high.push(last_digit(&mut carry));
        }
        high.reverse();
        self.digits.splice(0..0, high);
    }

    /// Away from zero, to a multiple of ten to the power of the exponent.
    pub(super) fn round_up(&mut self, exponent: i64) {
        let surplus = exponent.saturating_sub(self.exponent);
        if surplus <= 0 || self.digits.is_empty() {
            return;
        }
        let keep = usize::try_from(surplus).map_or(0, |surplus| self.digits.len().saturating_sub(surplus));
        let inexact = self.digits.drain(keep..).any(|digit| digit != 0);
        self.exponent = exponent;
        if inexact {
            self.increment();
        }
    }

    /// How many digits there are from the first to the place of the exponent `place`, or of its own if that is lower.
    pub(super) fn width_to(&self, place: i64) -> i64 {
        self.top().saturating_sub(self.exponent.min(place))
    }

    pub(super) fn exponent(&self) -> i64 {
        self.exponent
    }

    /// The sum. It has as many digits as there are places from the highest to the lowest digit of both: the caller bounds that.
    pub(super) fn add(&self, other: &Self) -> Self {
        let exponent = self.exponent.min(other.exponent);
        let (mut left, mut right) = (self.aligned(exponent), other.aligned(exponent));
        let length = left.len().max(right.len()).saturating_add(1);
        left.resize(length, 0);
        right.resize(length, 0);
        let (negative, mut digits) = if self.negative == other.negative {
            (self.negative, sum(&left, &right))
        } else {
            match left.iter().rev().cmp(right.iter().rev()) {
                Ordering::Less => (other.negative, difference(&right, &left)),
                _ => (self.negative, difference(&left, &right)),
            }
        };
        while digits.last() == Some(&0) {
            digits.pop();
        }
        digits.reverse();
        Self { negative, digits, exponent }
    }

    pub(super) fn compare(&self, other: &Self) -> Ordering {
        let (left, right) = (self.sign(), other.sign());
        match left.cmp(&right) {
            Ordering::Equal if left == Ordering::Less => other.compare_magnitude(self),
            Ordering::Equal if left == Ordering::Greater => self.compare_magnitude(other),
            order => order,
        }
    }

    /// The number nearest to it that, times ten to the power of `scale`, gives this.
    pub(super) fn unscaled_float(&self, scale: i64) -> f64 {
        let mut text = String::with_capacity(self.digits.len().saturating_add(24));
        if self.sign() == Ordering::Less {
            text.push('-');
        }
        text.push('0');
        text.extend(self.digits.iter().map(|digit| char::from(digit | b'0')));
        text.push_str(&format!("e{}", self.exponent.saturating_sub(scale)));
        text.parse().unwrap_or(f64::NAN)
    }

    fn compare_magnitude(&self, other: &Self) -> Ordering {
        let length = self.digits.len().max(other.digits.len());
        let (left, right) = (padded(&self.digits, length), padded(&other.digits, length));
        self.top().cmp(&other.top()).then_with(|| left.cmp(right))
    }

    /// The place above the first digit.
    fn top(&self) -> i64 {
        i64::try_from(self.digits.len()).unwrap_or(i64::MAX).saturating_add(self.exponent)
    }

    /// The digits down to the place of the exponent, the lowest first.
    fn aligned(&self, exponent: i64) -> Vec<u8> {
        let zeros = usize::try_from(self.exponent.saturating_sub(exponent)).unwrap_or(0);
        let zeros = if self.digits.is_empty() { 0 } else { zeros };
        std::iter::repeat_n(0, zeros).chain(self.digits.iter().rev().copied()).collect()
    }

    fn increment(&mut self) {
        for digit in self.digits.iter_mut().rev() {
            if *digit < 9 {
                *digit = digit.saturating_add(1);
                return;
            }
            *digit = 0;
        }
        self.digits.insert(0, 1);
    }
}

fn padded(digits: &[u8], length: usize) -> impl Iterator<Item = u8> + '_ {
    digits.iter().copied().chain(std::iter::repeat(0)).take(length)
}

fn last_digit(carry: &mut u128) -> u8 {
    let digit = u8::try_from(*carry % 10).unwrap_or(0);
    *carry /= 10;
    digit
}

/// Both the lowest digit first and of the same length, with a zero at the top.
fn sum(left: &[u8], right: &[u8]) -> Vec<u8> {
    let mut carry = 0u8;
    let add = |(left, right): (&u8, &u8)| {
        let digit = left.saturating_add(*right).saturating_add(carry);
        carry = digit / 10;
        digit % 10
    };
    left.iter().zip(right).map(add).collect()
}

/// As [`sum`]; the left is not the smaller.
fn difference(left: &[u8], right: &[u8]) -> Vec<u8> {
    let mut borrow = 0u8;
    let subtract = |(left, right): (&u8, &u8)| {
        let digit = left.saturating_add(10).saturating_sub(*right).saturating_sub(borrow);
        borrow = u8::from(digit < 10);
        digit % 10
    };
    left.iter().zip(right).map(subtract).collect()
}
