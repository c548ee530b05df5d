//! What policy sees of a request, borrowing from the wire.

use portcullis_policy::{Describe, Fields};

use super::commands::Commands;

/// A request as rules see it, borrowing from the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The command as it stands on the wire.
    pub(super) name: &'static str,
    /// Every command that it can perform: all of them must be admitted.
    pub(super) needs: Commands,
    pub(super) keys: Keys<'a>,
}

/// The keys of a request, where they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keys<'a> {
    None,
    One(&'a [u8]),
    /// One key that versions of memcached read in two ways: both must be admitted.
    Either(&'a [u8], &'a [u8]),
    /// Keys with spaces between them.
    List(&'a [u8]),
}

impl<'a> Keys<'a> {
    pub(super) fn iter(self) -> impl Iterator<Item = &'a [u8]> + Clone {
        let (first, list): ([Option<&[u8]>; 2], &[u8]) = match self {
            Self::None => ([None, None], b""),
            Self::One(key) => ([Some(key), None], b""),
            Self::Either(one, other) => ([Some(one), Some(other)], b""),
            Self::List(list) => ([None, None], list),
        };
        #[cfg(feature = "mutants")]
        let list = super::mutants::keys(list);
        first.into_iter().flatten().chain(Words::new(list))
    }
}

/// The words of a line: what stands between spaces. Nothing else separates them.
#[derive(Clone, Debug)]
pub(super) struct Words<'a>(&'a [u8]);

impl<'a> Words<'a> {
    pub(super) const fn new(line: &'a [u8]) -> Self {
        Self(line)
    }

    /// What has not been read yet, from the end of the last word.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.0
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        #[cfg(feature = "mutants")]
        if super::mutants::is(super::mutants::Mutant::Tab) {
            return super::mutants::next_word(&mut self.0);
        }
        let start = self.0.iter().position(|&byte| byte != b' ')?;
        let (_, word) = self.0.split_at_checked(start)?;
        let end = memchr::memchr(b' ', word).unwrap_or(word.len());
        let (word, rest) = word.split_at_checked(end)?;
        self.0 = rest;
        Some(word)
    }
}

impl Describe for Request<'_> {
    fn describe(&self, fields: &mut dyn Fields) {
        fields.text("command", self.name.as_bytes());
        if self.keys != Keys::None {
            fields.list("keys", &mut self.keys.iter());
        }
    }
}
