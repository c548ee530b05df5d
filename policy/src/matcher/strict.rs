//! Expressions of one dialect in the words of the other.

use regex_syntax::hir::print::Printer;
use regex_syntax::hir::{Hir, Look};

use super::go;
use super::regexes::Shape;
use super::{Regex, regex};
use crate::l7::Dialect;

/// What says in the strict dialect what an expression of Cilium's says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strict {
    /// Every text matches.
    Any,
    /// Only this text matches.
    Exact(String),
    /// What begins with this matches.
    Prefix(String),
    /// What matches this as a whole matches.
    Regex(String),
}

impl Strict {
    /// Says it anew. The result matches the same texts.
    ///
    /// # Errors
    /// Why the expression is refused.
    pub fn of(pattern: &str) -> Result<Self, String> {
        let fault = |why: String| regex::describe_fault(pattern, &why);
        let hir = go::parse(pattern).map_err(fault)?;
        let text = |literal: Box<[u8]>| String::from_utf8(literal.into_vec()).ok();
        let plain = match Shape::of(&hir) {
            Shape::Any => Some(Self::Any),
            Shape::Exact(literal) => text(literal).map(Self::Exact),
            Shape::Prefix(literal) => text(literal).map(Self::Prefix),
            Shape::Other => None,
        };
        if let Some(plain) = plain {
            return Ok(plain);
        }
        let written = [write(pattern, &hir), Some(print(&hir)?)].into_iter().flatten();
        let works = |text: &String| Regex::compile(text, Dialect::Strict).is_ok();
        let found = written.map(|body| frame(body, &hir)).find(works);
        found.map(Self::Regex).ok_or_else(|| fault("it cannot be said as a whole match".to_owned()))
    }

    /// The same as an expression, for fields that have no other form.
    pub fn into_regex(self) -> String {
        match self {
            Self::Any => ANYTHING.to_owned(),
            Self::Exact(text) if text.is_empty() => NOTHING.to_owned(),
            Self::Exact(text) => regex_syntax::escape(&text),
            Self::Prefix(text) => format!("{}{ANYTHING}", regex_syntax::escape(&text)),
            Self::Regex(text) => text,
        }
    }
}

/// Whatever there is, line feeds too.
const ANYTHING: &str = "(?s:.*)";

/// The empty text alone.
const NOTHING: &str = "(?:)";

/// The pattern as it was written, if both dialects read it alike.
fn write(pattern: &str, hir: &Hir) -> Option<String> {
    let read = regex_syntax::ParserBuilder::new().build().parse(pattern).ok()?;
    (read == *hir).then(|| pattern.to_owned())
}

/// The expression, written anew.
fn print(hir: &Hir) -> Result<String, String> {
    let mut text = String::new();
    Printer::new().print(hir, &mut text).map_err(|error| error.to_string())?;
    Ok(text)
}

/// Makes of an expression that is searched for one that matches the whole.
fn frame(body: String, hir: &Hir) -> String {
    let properties = hir.properties();
    let starts = properties.look_set_prefix().contains(Look::Start);
    let ends = properties.look_set_suffix().contains(Look::End);
    // What is plain is written plainly: whether groups and alternatives are in the way is not looked at closely.
    let simple = !body.contains(['|', '(', ')', '\\', '[']);
    let mut inner = body.as_str();
    if simple && starts {
        inner = inner.strip_prefix('^').unwrap_or(inner);
    } else if simple && inner.strip_prefix(".*").is_some_and(|rest| !rest.starts_with(['?', '+', '*', '{'])) {
        inner = inner.strip_prefix(".*").unwrap_or(inner);
    }
    if ends && !body.contains(['|', '(', '\\', '[']) {
        inner = inner.strip_suffix('$').unwrap_or(inner);
    } else if simple {
        inner = inner.strip_suffix(".*").unwrap_or(inner);
    }
    let group = body.contains('|') || body.contains("(?");
    let inner = if group { format!("(?:{inner})") } else { inner.to_owned() };
    let before = if starts { "" } else { ANYTHING };
    let after = if ends { "" } else { ANYTHING };
    let framed = format!("{before}{inner}{after}");
    // An empty expression is none in most rules, which then admit everything.
    if framed.is_empty() { NOTHING.to_owned() } else { framed }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_expressions_stay_readable() {
        for (cilium, strict) in [
            ("^session/", "session/(?s:.*)"),
            ("^motd$", "motd"),
            (".*", "(?s:.*)"),
            ("/public/", "(?s:.*)/public/(?s:.*)"),
            ("/public/.*", "(?s:.*)/public/(?s:.*)"),
            ("^/a.b/", "/a.b/(?s:.*)"),
            ("^user/[0-9]+$", "^user/[0-9]+$"),
            ("^a|b$", "(?s:.*)(?:^a|b$)(?s:.*)"),
            ("^(?:a|b)$", "(?:^(?:a|b)$)"),
        ] {
            assert_eq!(Strict::of(cilium).unwrap().into_regex(), strict, "{cilium}");
        }
        assert_eq!(Strict::of("^a\\.b$"), Ok(Strict::Exact("a.b".to_owned())));
        assert_eq!(Strict::of("^a/"), Ok(Strict::Prefix("a/".to_owned())));
        assert!(Strict::of("(").is_err());
    }

    fn same(pattern: &str, text: &[u8]) -> Result<(), TestCaseError> {
        let Ok(cilium) = Regex::compile(pattern, Dialect::Cilium) else { return Ok(()) };
        let strict = Strict::of(pattern).unwrap_or_else(|why| panic!("{pattern}: {why}"));
        let regex = Regex::compile(&strict.clone().into_regex(), Dialect::Strict).unwrap();
        prop_assert_eq!(cilium.is_match(text), regex.is_match(text), "{} as {:?} on {:?}", pattern, strict, text);
        let plain = match &strict {
            Strict::Any => true,
            Strict::Exact(wanted) => text == wanted.as_bytes(),
            Strict::Prefix(wanted) => text.starts_with(wanted.as_bytes()),
            Strict::Regex(_) => cilium.is_match(text),
        };
        prop_assert_eq!(cilium.is_match(text), plain, "{} as {:?} on {:?}", pattern, strict, text);
        Ok(())
    }

    #[test]
    fn hard_expressions_match_the_same() {
        let patterns = [
            "^a|b",
            "a|^b",
            "(^a|^b)c",
            "(?i)aB",
            "(?i)a|b",
            "(?m)^a$",
            "(?s)a.b",
            "a.b",
            "\\d",
            "\\s",
            "[a&&b]",
            "a$",
            "$a",
            "\\Aa\\z",
            "\\.",
            "a\\.*",
            "a.*?",
            ".*?a",
            "^.*$",
            "^.+$",
            "",
            "^",
            "$",
            "^$",
            "\\Qa.b\\E",
            "[[:alpha:]]",
            "a{2,3}",
            "x*",
            ".*a|b.*",
            "a.*|b",
            "^a.*",
            "^a.*$",
            "\\pL",
            "\\x{e9}",
            "[^a]",
            "\\bab\\b",
            "(a)(b)?$",
            "^(a|b)*$",
        ];
        let texts: [&[u8]; 17] = [
            b"",
            b"a",
            b"b",
            b"ab",
            b"aB",
            b"ba",
            b"c\na\nb",
            b"a\nb",
            b"1",
            b"\xd9\xa1",
            b".",
            b"a.b",
            b"\xff",
            b"ac",
            b"aab",
            b"a b",
            "é".as_bytes(),
        ];
        for pattern in patterns {
            for text in texts {
                same(pattern, text).unwrap_or_else(|error| panic!("{error}"));
            }
        }
    }

    proptest! {
        #[test]
        fn both_match_the_same(
            pattern in "(\\^|\\(\\?[ims]\\)|)([ab.]|\\\\[dswb.]|\\[\\^?ab\\]|\\(a\\|b\\)|[ab][*+?]|\\.\\*|\\||\\$|\\^|\n){0,6}(\\$|\\.\\*|)",
            text in proptest::collection::vec(prop_oneof![Just(b'a'), Just(b'b'), Just(b'.'), Just(b'\n'), Just(b'1'), Just(0xff)], 0..6),
        ) {
            same(&pattern, &text)?;
        }
    }
}
