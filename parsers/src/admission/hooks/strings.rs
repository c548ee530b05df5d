//! Sets of texts and of regexes, compiled once.

use std::collections::HashSet;

use portcullis_policy::matcher::{KeyMatcher, KeyMatcherBuilder, KeyPattern};
use portcullis_policy::{Dialect, Effect, L7Decision, RuleId};

use super::at::{At, Reader, shorten};
use super::selectors::check_key;

/// Texts that are compared exactly.
#[derive(Debug)]
pub(super) enum Names {
    Few(Vec<Box<str>>),
    Many(HashSet<Box<str>>),
}

/// Up to here looking through a list is as fast as hashing.
const FEW: usize = 8;

impl Names {
    pub(super) fn new(names: impl IntoIterator<Item = String>) -> Self {
        let names: Vec<Box<str>> = names.into_iter().map(String::into_boxed_str).collect();
        if names.len() <= FEW { Self::Few(names) } else { Self::Many(names.into_iter().collect()) }
    }

    /// Reads texts that are names of something. Those that look like patterns are warned of.
    pub(super) fn read(at: &At<'_>, reader: &mut Reader) -> Self {
        let mut names = Vec::new();
        for (name, at) in reader.strings(at) {
            if name.is_empty() {
                reader.refuse(&at, "an empty text is the name of nothing; write a name, or leave it out");
            } else if name.contains(['*', '^', '$', '\\']) {
                let message = format!(
                    "`{}` is compared as it is written, and looks like a pattern; for patterns there are the fields that end in `Regex`",
                    shorten(&name)
                );
                reader.warn(&at, message);
            }
            names.push(name);
        }
        Self::new(names)
    }

    /// Reads texts that may be empty.
    pub(super) fn read_all(at: &At<'_>, reader: &mut Reader) -> Self {
        Self::new(reader.strings(at).into_iter().map(|(text, _)| text))
    }

    pub(super) fn has(&self, text: &str) -> bool {
        match self {
            Self::Few(names) => names.iter().any(|name| **name == *text),
            Self::Many(names) => names.contains(text),
        }
    }
}

/// Regexes in Go's syntax that are searched for together.
#[derive(Debug)]
pub(super) struct Patterns(Option<KeyMatcher>);

impl Patterns {
    pub(super) fn read(at: &At<'_>, reader: &mut Reader) -> Self {
        let patterns = reader.strings(at);
        Self::compile(at, &patterns, reader)
    }

    /// One regex, or a list of them.
    pub(super) fn read_one_or_more(at: &At<'_>, reader: &mut Reader) -> Self {
        match at.node.value {
            portcullis_policy::Value::Text(_) => {
                let pattern: Vec<_> = at.read(reader).map(|text: String| (text, at.clone())).into_iter().collect();
                Self::compile(at, &pattern, reader)
            }
            _ => Self::read(at, reader),
        }
    }

    fn compile(at: &At<'_>, patterns: &[(String, At<'_>)], reader: &mut Reader) -> Self {
        let mut builder = KeyMatcherBuilder::new(Dialect::Cilium);
        for (pattern, at) in patterns {
            if pattern.is_empty() {
                reader.warn(at, "an empty regex matches everything; write `.` if that is meant, or what is");
            }
            if let Err(error) = builder.add(KeyPattern::Regex(pattern), CLASS, RuleId::nth(0), Effect::Allow) {
                reader.refuse(at, error.message);
            }
        }
        Self(reader.note(builder.build().map_err(|error| at.error(error.message))))
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        self.0.as_ref().is_some_and(|matcher| matcher.decide(CLASS, text.as_bytes()) != L7Decision::NoMatch)
    }
}

/// The matcher tells requests of several classes apart; here is only one.
const CLASS: u64 = 1;

/// Keys of labels or annotations. One that ends in `*` means all that begin so.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) exact: Vec<Box<str>>,
    pub(super) prefixes: Vec<Box<str>>,
}

impl Keys {
    pub(super) fn read(at: &At<'_>, reader: &mut Reader) -> Self {
        let (mut exact, mut prefixes) = (Vec::new(), Vec::new());
        for (key, at) in reader.strings(at) {
            match key.strip_suffix('*') {
                Some(prefix) if prefix.contains('*') => {
                    reader.refuse(&at, "`*` may stand only at the end of a key, and means whatever follows");
                }
                Some(prefix) => prefixes.push(prefix.into()),
                None if key.contains('*') => {
                    reader.refuse(&at, "`*` may stand only at the end of a key, and means whatever follows");
                }
                None => {
                    reader.note(check_key(&key).map_err(|why| at.error(why)));
                    exact.push(key.into_boxed_str());
                }
            }
        }
        Self { exact, prefixes }
    }

    pub(super) fn has_prefix_of(&self, key: &str) -> bool {
        self.prefixes.iter().any(|prefix| key.starts_with(&**prefix))
    }
}
