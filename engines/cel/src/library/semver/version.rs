//! Semantic versions, by the rules of the library that Kubernetes reads them with.

use std::borrow::Cow;
use std::cmp::Ordering;

/// A semantic version. What stands behind a `+` is checked and does not count.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    /// Major, minor, patch.
    pub(crate) numbers: [u64; 3],
    pre: Vec<Identifier>,
}

/// A part of what stands behind a `-`. Numbers are less than words: the order of the variants says so.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Identifier {
    Number(u64),
    Word(Box<str>),
}

impl Version {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// It is none: what is wrong, as Kubernetes says it, without the text itself.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("Version string empty");
        }
        let mut parts = text.splitn(3, '.');
        let (Some(major), Some(minor), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
            return Err("No Major.Minor.Patch elements found");
        };
        let (rest, build) = rest.split_once('+').map_or((rest, None), |(rest, build)| (rest, Some(build)));
        let (patch, pre) = rest.split_once('-').map_or((rest, None), |(patch, pre)| (patch, Some(pre)));
        let numbers = [
            read_number(
                major,
                "Invalid character(s) found in major number",
                "Major number must not contain leading zeroes",
            )?,
            read_number(
                minor,
                "Invalid character(s) found in minor number",
                "Minor number must not contain leading zeroes",
            )?,
            read_number(
                patch,
                "Invalid character(s) found in patch number",
                "Patch number must not contain leading zeroes",
            )?,
        ];
        let pre = pre.map_or(Ok(Vec::new()), |pre| pre.split('.').map(Identifier::parse).collect())?;
        for part in build.into_iter().flat_map(|build| build.split('.')) {
            if part.is_empty() {
                return Err("Build meta data is empty");
            }
            if !part.bytes().all(is_identifier) {
                return Err("Invalid character(s) found in build meta data");
            }
        }
        Ok(Self { numbers, pre })
    }

    /// Reads one after putting it in order: `v1.2` is `1.2.0`, `01.1.0` is `1.1.0`.
    ///
    /// # Errors
    ///
    /// As of [`parse`](Self::parse).
    pub(crate) fn parse_normalized(text: &str) -> Result<Self, &'static str> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let mut parts: Vec<Cow<'_, str>> = text.splitn(3, '.').map(strip_zeros).collect();
        if parts.len() < 3 {
            if parts.last().is_some_and(|last| last.contains(['+', '-'])) {
                return Err("short version cannot contain PreRelease/Build meta data");
            }
            parts.resize(3, Cow::Borrowed("0"));
        }
        Self::parse(&parts.join("."))
    }

    /// Which comes later.
    pub(crate) fn compare(&self, other: &Self) -> Ordering {
        // A version without a pre-release is later than one with it.
        self.numbers
            .cmp(&other.numbers)
            .then_with(|| self.pre.is_empty().cmp(&other.pre.is_empty()))
            .then_with(|| self.pre.cmp(&other.pre))
    }
}

impl Identifier {
    fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("Prerelease is empty");
        }
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            let valid = text.bytes().all(is_identifier);
            return if valid { Ok(Self::Word(text.into())) } else { Err("Invalid character(s) found in prerelease") };
        }
        let number = read_number(text, "", "Numeric PreRelease version must not contain leading zeroes")?;
        Ok(Self::Number(number))
    }
}

fn read_number(text: &str, foreign: &'static str, zeros: &'static str) -> Result<u64, &'static str> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(foreign);
    }
    if text.len() > 1 && text.starts_with('0') {
        return Err(zeros);
    }
    text.parse().map_err(|_| if text.is_empty() { "invalid syntax" } else { "value out of range" })
}

fn strip_zeros(part: &str) -> Cow<'_, str> {
    if part.len() < 2 {
        return Cow::Borrowed(part);
    }
    let rest = part.trim_start_matches('0');
    if rest.starts_with(|first: char| first.is_ascii_digit()) {
        return Cow::Borrowed(rest);
    }
    Cow::Owned(["0", rest].concat())
}

fn is_identifier(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}
