//! Values of Rego from few bytes.

use portcullis_rego::Value;

/// How deep values are nested.
const MAX_DEPTH: u32 = 5;

/// Texts that mean something to some function.
const TEXTS: [&str; 64] = [
    "",
    "a",
    "ab",
    "abc",
    "b",
    ".",
    "*",
    "/",
    ":",
    ",",
    "%",
    "%v",
    "%d",
    "%5.2f|%-8s|%+d",
    "%[2]*.[1]*f",
    "é",
    "\u{301}",
    "İ",
    "ß",
    "\u{1f600}",
    "\u{feff}",
    "\u{2028}",
    " a ",
    "\n",
    "\0",
    "a.b.c",
    "*.b.*",
    "{a,b}",
    "[a-c]",
    "[!a]",
    "\\",
    "(",
    "(a*)*b",
    "(?i)A",
    "^a$",
    "\\pL+",
    "$0",
    "${1}x",
    "10.0.0.0/8",
    "10.1.2.3",
    "::/0",
    "fe80::1/64",
    "1.2.3",
    "1.2.3-rc.1+b",
    "v1.0",
    "1h2m3.5s",
    "2024-02-29T12:34:56.789Z",
    "0001-01-01T00:00:00Z",
    "2006-01-02",
    "UTC",
    "Asia/Kathmandu",
    "500m",
    "1Gi",
    "1e3",
    "-0",
    "1e400",
    "0x1F",
    "YQ==",
    "_-8",
    "4a4B",
    "a=b&c=%20&a",
    "{\"a\": [1, {\"b\": null}]}",
    "a: [1, *x]\nb: &x 2",
    "/a/0/b~1c",
];

/// Numbers at the ends of what there is.
const NUMBERS: [&str; 24] = [
    "0",
    "-0",
    "1",
    "-1",
    "2",
    "10",
    "0.1",
    "0.5",
    "-1.5",
    "1e3",
    "255",
    "256",
    "65536",
    "2147483648",
    "9007199254740993",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "123456789012345678901234567890",
    "1e-9",
    "1e300",
    "1.7976931348623157e308",
    "0.1000000000000000055511151231257827",
];

/// Reads values one after the other; null once there are no bytes.
pub(super) struct Values<'d> {
    rest: &'d [u8],
}

impl<'d> Values<'d> {
    pub(super) fn new(rest: &'d [u8]) -> Self {
        Self { rest }
    }

    pub(super) fn byte(&mut self) -> u8 {
        match self.rest.split_first() {
            Some((first, rest)) => {
                self.rest = rest;
                *first
            }
            None => 0,
        }
    }

    fn take(&mut self, len: usize) -> &'d [u8] {
        let (taken, rest) = self.rest.split_at(len.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    pub(super) fn next(&mut self) -> Value {
        self.value(0)
    }

    fn value(&mut self, depth: u32) -> Value {
        let tag = self.byte();
        let count = usize::from(tag >> 4);
        let items = if depth < MAX_DEPTH { count } else { 0 };
        match tag & 15 {
            0 => Value::Null,
            1 => Value::Bool(count % 2 == 1),
            2 => Value::from(i64::from(self.byte().cast_signed())),
            3 => {
                let bytes = self.take(8).iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
                Value::from(bytes.cast_signed())
            }
            4 => {
                let bytes = self.take(8).iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
                let number = f64::from_bits(bytes);
                if number.is_finite() { Value::from(number) } else { Value::Null }
            }
            5 | 6 => number(NUMBERS[usize::from(self.byte()) % NUMBERS.len()]),
            7..=9 => Value::from(TEXTS[usize::from(self.byte()) % TEXTS.len()]),
            10 => Value::from(&*String::from_utf8_lossy(self.take(count))),
            11 => {
                let repeated = TEXTS[usize::from(self.byte()) % TEXTS.len()];
                Value::from(repeated.repeat(count * count))
            }
            12 => Value::from((0..items).map(|_| self.value(depth + 1)).collect::<Vec<_>>()),
            13 => Value::from((0..items).map(|_| self.value(depth + 1)).collect::<std::collections::BTreeSet<_>>()),
            14 => {
                let entries = (0..items).map(|_| (self.value(depth + 1), self.value(depth + 1)));
                Value::from(entries.collect::<std::collections::BTreeMap<_, _>>())
            }
            _ => {
                let entries = (0..items).map(|_| {
                    let key = TEXTS[usize::from(self.byte()) % TEXTS.len()];
                    (Value::from(key), self.value(depth + 1))
                });
                Value::from(entries.collect::<std::collections::BTreeMap<_, _>>())
            }
        }
    }
}

fn number(text: &str) -> Value {
    Value::from_numeric_string(text).expect("it is a number")
}

/// Whether a value is what JSON can tell: no sets, and texts as keys.
pub(super) fn is_json(value: &Value) -> bool {
    match value {
        Value::Set(_) | Value::Undefined => false,
        Value::Array(items) => items.iter().all(is_json),
        Value::Object(entries) => entries.iter().all(|(key, value)| matches!(key, Value::String(_)) && is_json(value)),
        _ => true,
    }
}
