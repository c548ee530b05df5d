//! Go's character classes and escapes.

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind};

/// A set of runes.
#[derive(Clone, Debug)]
pub(super) struct Runes(ClassUnicode);

impl Runes {
    pub(super) fn none() -> Self {
        Self(ClassUnicode::empty())
    }

    pub(super) fn one(c: char) -> Self {
        let mut runes = Self::none();
        runes.add(c, c);
        runes
    }

    fn add(&mut self, first: char, last: char) {
        self.0.push(ClassUnicodeRange::new(first, last));
    }

    /// Adds a range that may run through the surrogates, which are in no text.
    fn add_range(&mut self, first: u32, last: u32) {
        for (from, to) in [(first, last.min(0xd7ff)), (first.max(0xe000), last)] {
            if let (true, Some(from), Some(to)) = (from <= to, char::from_u32(from), char::from_u32(to)) {
                self.add(from, to);
            }
        }
    }

    fn add_all(&mut self, other: &Self) {
        self.0.union(&other.0);
    }

    pub(super) fn negated(mut self) -> Self {
        self.0.negate();
        self
    }

    /// With all runes that differ only in case, by simple folding as in Go.
    pub(super) fn folded(mut self) -> Self {
        // The tables for it are built in: this does not fail.
        if self.0.try_case_fold_simple().is_err() {
            return Self::none();
        }
        self
    }

    pub(super) fn into_class(self) -> ClassUnicode {
        self.0
    }

    fn signed(self, negative: bool, fold_case: bool) -> Self {
        let runes = if fold_case { self.folded() } else { self };
        if negative { runes.negated() } else { runes }
    }
}

/// `[...]`, from its bracket on.
pub(super) fn parse_brackets(rest: &mut &str, fold_case: bool) -> Result<Runes, String> {
    let start = *rest;
    let unclosed = || format!("missing closing `]` of `{}`", crate::node::shorten(start));
    let mut text = rest.strip_prefix('[').unwrap_or(rest);
    let negative = text.starts_with('^');
    text = text.strip_prefix('^').unwrap_or(text);
    let mut runes = Runes::none();
    let mut first = true;
    loop {
        if let Some(after) = text.strip_prefix(']').filter(|_| !first) {
            *rest = after;
            return Ok(if negative { runes.negated() } else { runes });
        }
        first = false;
        if let Some(named) = parse_posix(&mut text, fold_case)? {
            runes.add_all(&named);
            continue;
        }
        if let Some(escaped) = parse_class_escape(&mut text, fold_case)? {
            runes.add_all(&escaped);
            continue;
        }
        let range = text;
        let low = parse_class_rune(&mut text).ok_or_else(unclosed)??;
        let mut high = low;
        if let Some(after) = text.strip_prefix('-').filter(|after| !after.is_empty() && !after.starts_with(']')) {
            text = after;
            high = parse_class_rune(&mut text).ok_or_else(unclosed)??;
            if high < low {
                let range = range.strip_suffix(text).unwrap_or(range);
                return Err(format!("invalid character class range: `{range}`"));
            }
        }
        let mut added = Runes::none();
        added.add_range(low, high);
        runes.add_all(&if fold_case { added.folded() } else { added });
    }
}

/// A rune in a class, or nothing at the end of the text.
fn parse_class_rune(text: &mut &str) -> Option<Result<u32, String>> {
    let c = text.chars().next()?;
    if c == '\\' {
        return Some(parse_escape(text));
    }
    *text = text.get(c.len_utf8()..).unwrap_or_default();
    Some(Ok(u32::from(c)))
}

/// An escape that stands for one rune, from its backslash on.
pub(super) fn parse_escape(rest: &mut &str) -> Result<u32, String> {
    let mut chars = rest.chars();
    chars.next();
    let Some(c) = chars.next() else { return Err("trailing backslash at end of expression".to_owned()) };
    let invalid = || format!("invalid escape sequence: `\\{c}`");
    let after = chars.as_str();
    let (rune, after) = match c {
        // A single digit would be a reference to a group.
        '1'..='7' if !after.starts_with(is_octal) => return Err(invalid()),
        '0'..='7' => {
            let more = after.chars().take(2).take_while(|c| is_octal(*c)).count();
            let (digits, after) = after.split_at_checked(more).ok_or_else(invalid)?;
            (u32::from_str_radix(&format!("{c}{digits}"), 8).map_err(|_| invalid())?, after)
        }
        'x' => {
            let (digits, after) = match after.strip_prefix('{') {
                Some(braced) => braced.split_once('}').ok_or_else(invalid)?,
                None => after.split_at_checked(2).ok_or_else(invalid)?,
            };
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(invalid());
            }
            let digits = if digits.trim_start_matches('0').is_empty() { "0" } else { digits.trim_start_matches('0') };
            (u32::from_str_radix(digits, 16).ok().filter(|rune| *rune <= 0x10_ffff).ok_or_else(invalid)?, after)
        }
        'a' => (0x07, after),
        'f' => (0x0c, after),
        'n' => (0x0a, after),
        'r' => (0x0d, after),
        't' => (0x09, after),
        'v' => (0x0b, after),
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => (u32::from(c), after),
        _ => return Err(invalid()),
    };
    *rest = after;
    Ok(rune)
}

const fn is_octal(c: char) -> bool {
    matches!(c, '0'..='7')
}

/// `\d`, `\pL` and the like, from the backslash on; nothing if it is another escape.
pub(super) fn parse_class_escape<'t>(rest: &mut &'t str, fold_case: bool) -> Result<Option<Runes>, String> {
    let text: &'t str = rest;
    let mut chars = text.chars();
    let (Some('\\'), Some(c)) = (chars.next(), chars.next()) else { return Ok(None) };
    if matches!(c, 'p' | 'P') {
        let after = chars.as_str();
        return parse_property(rest, after, c == 'P', fold_case).map(Some);
    }
    let Some(ranges) = perl_class(c.to_ascii_lowercase()) else { return Ok(None) };
    *rest = chars.as_str();
    Ok(Some(from_ranges(ranges).signed(c.is_ascii_uppercase(), fold_case)))
}

type Ranges = &'static [(char, char)];

fn from_ranges(ranges: Ranges) -> Runes {
    let mut runes = Runes::none();
    ranges.iter().for_each(|(first, last)| runes.add(*first, *last));
    runes
}

const fn perl_class(name: char) -> Option<Ranges> {
    Some(match name {
        'd' => &[('0', '9')],
        's' => &[('\t', '\n'), ('\x0c', '\r'), (' ', ' ')],
        'w' => WORD,
        _ => return None,
    })
}

const WORD: Ranges = &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')];

/// `[:alpha:]` and the like; what has no end is no such thing.
fn parse_posix(text: &mut &str, fold_case: bool) -> Result<Option<Runes>, String> {
    let Some((name, after)) = text.strip_prefix("[:").and_then(|inside| inside.split_once(":]")) else {
        return Ok(None);
    };
    let (negative, plain) = name.strip_prefix('^').map_or((false, name), |plain| (true, plain));
    let ranges: Ranges = match plain {
        "alnum" => &[('0', '9'), ('A', 'Z'), ('a', 'z')],
        "alpha" => &[('A', 'Z'), ('a', 'z')],
        "ascii" => &[('\0', '\x7f')],
        "blank" => &[('\t', '\t'), (' ', ' ')],
        "cntrl" => &[('\0', '\x1f'), ('\x7f', '\x7f')],
        "digit" => &[('0', '9')],
        "graph" => &[('!', '~')],
        "lower" => &[('a', 'z')],
        "print" => &[(' ', '~')],
        "punct" => &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
        "space" => &[('\t', '\r'), (' ', ' ')],
        "upper" => &[('A', 'Z')],
        "word" => WORD,
        "xdigit" => &[('0', '9'), ('A', 'F'), ('a', 'f')],
        _ => return Err(format!("invalid character class range: `[:{}:]`", crate::node::shorten(name))),
    };
    *text = after;
    Ok(Some(from_ranges(ranges).signed(negative, fold_case)))
}

/// Scripts with names of four letters, to tell them from the four-letter codes of scripts, which Go does not know.
const SHORT_SCRIPTS: &[&str] =
    &["ahom", "cham", "kawi", "lisu", "miao", "modi", "newa", "thai", "toto", "garay", "nko", "vai", "yi", "mro"];

/// The name of a category or a script, after `\p` or `\P`.
fn parse_property<'t>(rest: &mut &'t str, after: &'t str, negative: bool, fold_case: bool) -> Result<Runes, String> {
    let invalid = |name: &str| format!("invalid character class range: `\\p{{{}}}`", crate::node::shorten(name));
    let (name, after) = match after.strip_prefix('{') {
        Some(braced) => braced.split_once('}').ok_or_else(|| invalid(""))?,
        None => after.split_at_checked(1).ok_or_else(|| invalid(""))?,
    };
    let (negative, plain) = match name.strip_prefix('^') {
        Some(plain) => (!negative, plain),
        None => (negative, name),
    };
    let simple: String =
        plain.chars().filter(|c| !matches!(c, ' ' | '_' | '-')).collect::<String>().to_ascii_lowercase();
    if simple.is_empty() || !simple.bytes().all(|b| b.is_ascii_alphabetic()) || simple.starts_with("is") {
        return Err(invalid(plain));
    }
    let query = |kind: &str| {
        let hir = regex_syntax::Parser::new().parse(&format!("\\p{{{kind}={simple}}}")).ok()?;
        match hir.into_kind() {
            HirKind::Class(Class::Unicode(class)) => Some(Runes(class)),
            // A class of one rune is simplified.
            HirKind::Literal(literal) => std::str::from_utf8(&literal.0).ok()?.chars().next().map(Runes::one),
            _ => None,
        }
    };
    let script = || query("sc").filter(|_| simple.len() != 4 || SHORT_SCRIPTS.contains(&simple.as_str()));
    let runes = query("gc").or_else(script).ok_or_else(|| invalid(plain))?;
    *rest = after;
    Ok(runes.signed(negative, fold_case))
}
