//! Go's regular expressions (package `regexp/syntax`, as `regexp.Compile` reads them), turned into this engine's.
//!
//! The languages differ in small ways that decide who gets in: `\d` and `\s` are ASCII in Go, `[a&&b]` has an `&` in
//! it, `$` is the end of the text and not of its last line. So Go's syntax is read by a parser of its own and never
//! handed to another one as text. What it accepts means what it means in Go, and what it refuses Go refuses too, but for
//! the limits named here.
//!
//! Go reads text rune by rune, and a byte that is not UTF-8 as U+FFFD. Who searches with the result has to put
//! U+FFFD in the place of each such byte first.

mod class;

use regex_syntax::hir::{Class, Hir, Look, Repetition};

use class::Runes;

/// Bytes of one expression. Written by people; 16 KiB is far beyond what one can read.
pub(super) const MAX_PATTERN_BYTES: usize = 16 << 10;
/// Groups within each other. Go allows 1000, the compiler of this engine recurses for each.
const MAX_GROUPS: usize = 100;
/// "Repetition counts are limited to 1000", also when nested.
const MAX_REPEAT: u32 = 1000;

/// Reads an expression.
///
/// # Errors
/// Why it is not one, in a few words.
pub(super) fn parse(pattern: &str) -> Result<Hir, String> {
    if pattern.len() > MAX_PATTERN_BYTES {
        return Err(format!("it has more than {MAX_PATTERN_BYTES} bytes"));
    }
    Parser { rest: pattern, flags: Flags::default(), open: Vec::new(), group: Group::default(), names: Vec::new() }
        .parse()
}

#[derive(Clone, Copy, Debug, Default)]
struct Flags {
    fold_case: bool,
    multi_line: bool,
    dot_newline: bool,
}

struct Parser<'p> {
    rest: &'p str,
    flags: Flags,
    /// Groups that are open, with the flags to be restored at their ends.
    open: Vec<(Group, Flags)>,
    group: Group,
    names: Vec<&'p str>,
}

/// The alternatives of a group so far.
#[derive(Default)]
struct Group {
    done: Vec<Part>,
    current: Vec<Part>,
}

/// A piece of an expression, with the largest product of the counts of the repetitions within it.
#[derive(Clone)]
struct Part {
    hir: Hir,
    repeats: u32,
}

impl From<Hir> for Part {
    fn from(hir: Hir) -> Self {
        Self { hir, repeats: 1 }
    }
}

impl Group {
    fn end_alternative(&mut self) {
        let parts = std::mem::take(&mut self.current);
        let repeats = repeats_of(&parts);
        self.done.push(Part { hir: Hir::concat(parts.into_iter().map(|part| part.hir).collect()), repeats });
    }

    fn finish(mut self) -> Part {
        self.end_alternative();
        let repeats = repeats_of(&self.done);
        Part { hir: Hir::alternation(self.done.into_iter().map(|part| part.hir).collect()), repeats }
    }
}

fn repeats_of(parts: &[Part]) -> u32 {
    parts.iter().map(|part| part.repeats).max().unwrap_or(1)
}

impl<'p> Parser<'p> {
    fn parse(mut self) -> Result<Hir, String> {
        let mut after_repeat = false;
        while let Some(c) = self.rest.chars().next() {
            let before = self.rest;
            let mut repeated = false;
            match c {
                '(' if self.rest.starts_with("(?") => self.perl_group()?,
                '(' => {
                    self.skip(1);
                    self.open_group(self.flags)?;
                }
                ')' => self.close_group()?,
                '|' => {
                    self.skip(1);
                    self.group.end_alternative();
                }
                '[' => {
                    let runes = class::parse_brackets(&mut self.rest, self.flags.fold_case)?;
                    self.push_runes(runes);
                }
                '.' => {
                    self.skip(1);
                    let newline = if self.flags.dot_newline { Runes::none() } else { Runes::one('\n') };
                    self.push_runes(newline.negated());
                }
                '^' => {
                    self.skip(1);
                    self.push_look(if self.flags.multi_line { Look::StartLF } else { Look::Start });
                }
                '$' => {
                    self.skip(1);
                    self.push_look(if self.flags.multi_line { Look::EndLF } else { Look::End });
                }
                '*' | '+' | '?' => {
                    self.skip(1);
                    let (min, max) = match c {
                        '*' => (0, None),
                        '+' => (1, None),
                        _ => (0, Some(1)),
                    };
                    self.repeat(min, max, before, after_repeat)?;
                    repeated = true;
                }
                '{' => match parse_counts(self.rest)? {
                    None => {
                        self.skip(1);
                        self.push_literal('{');
                    }
                    Some((min, max, rest)) => {
                        self.rest = rest;
                        self.repeat(min, max, before, after_repeat)?;
                        repeated = true;
                    }
                },
                '\\' => self.backslash()?,
                _ => {
                    self.skip(c.len_utf8());
                    self.push_literal(c);
                }
            }
            after_repeat = repeated;
        }
        if self.open.is_empty() { Ok(self.group.finish().hir) } else { Err("missing closing `)`".to_owned()) }
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    fn push_look(&mut self, look: Look) {
        self.group.current.push(Hir::look(look).into());
    }

    fn push_literal(&mut self, c: char) {
        let runes = Runes::one(c);
        self.push_runes(if self.flags.fold_case { runes.folded() } else { runes });
    }

    fn push_runes(&mut self, runes: Runes) {
        self.group.current.push(Hir::class(Class::Unicode(runes.into_class())).into());
    }

    fn open_group(&mut self, restore: Flags) -> Result<(), String> {
        if self.open.len() >= MAX_GROUPS {
            return Err(format!("more than {MAX_GROUPS} groups within each other"));
        }
        self.open.push((std::mem::take(&mut self.group), restore));
        Ok(())
    }

    fn close_group(&mut self) -> Result<(), String> {
        self.skip(1);
        let (outer, flags) = self.open.pop().ok_or("unexpected `)`")?;
        let inner = std::mem::replace(&mut self.group, outer).finish();
        self.group.current.push(inner);
        self.flags = flags;
        Ok(())
    }

    /// `(?flags)`, `(?flags:...)`, `(?P<name>...)` and `(?<name>...)`.
    fn perl_group(&mut self) -> Result<(), String> {
        let start = self.rest;
        let named = start.strip_prefix("(?P<").or_else(|| start.strip_prefix("(?<"));
        if let Some(named) = named.filter(|named| !named.starts_with(['=', '!'])) {
            let (name, rest) = named.split_once('>').ok_or("invalid named capture: `>` is missing")?;
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                return Err(format!("invalid named capture `{name}`"));
            }
            if self.names.contains(&name) {
                return Err(format!("the group name `{name}` stands here twice"));
            }
            self.names.push(name);
            self.rest = rest;
            return self.open_group(self.flags);
        }
        let mut flags = self.flags;
        let (mut on, mut seen) = (true, false);
        for (at, c) in start.char_indices().skip(2) {
            let next = at.saturating_add(c.len_utf8());
            match c {
                'i' => flags.fold_case = on,
                'm' => flags.multi_line = on,
                's' => flags.dot_newline = on,
                // Which of several matches is longest does not matter to whether there is one.
                'U' => {}
                '-' if on => {
                    (on, seen) = (false, false);
                    continue;
                }
                ':' | ')' if on || seen => {
                    self.skip(next);
                    if c == ':' {
                        self.open_group(self.flags)?;
                    }
                    self.flags = flags;
                    return Ok(());
                }
                _ => {
                    return Err(format!(
                        "invalid or unsupported Perl syntax: `{}`",
                        start.get(..next).unwrap_or(start)
                    ));
                }
            }
            seen = true;
        }
        Err("missing closing `)`".to_owned())
    }

    fn repeat(&mut self, min: u32, max: Option<u32>, before: &str, after_repeat: bool) -> Result<(), String> {
        if self.rest.starts_with('?') {
            self.skip(1);
        }
        let operator = before.strip_suffix(self.rest).unwrap_or(before);
        if after_repeat {
            return Err(format!("invalid nested repetition operator before `{operator}`"));
        }
        let Part { hir, repeats } =
            self.group.current.pop().ok_or_else(|| format!("missing argument to repetition operator: `{operator}`"))?;
        // A count of 0 or 1 multiplies nothing, and neither do `*`, `+` and `?`.
        let counted = operator.starts_with('{');
        let factor = if counted { max.unwrap_or(min).max(1) } else { 1 };
        let repeats = if counted && max == Some(0) { 1 } else { repeats.saturating_mul(factor) };
        if repeats > MAX_REPEAT {
            return Err(format!("invalid repeat count: `{operator}`"));
        }
        let hir = Hir::repetition(Repetition { min, max, greedy: true, sub: Box::new(hir) });
        self.group.current.push(Part { hir, repeats });
        Ok(())
    }

    fn backslash(&mut self) -> Result<(), String> {
        let mut after = self.rest.chars();
        after.next();
        let look = match after.next() {
            Some('A') => Some(Look::Start),
            Some('z') => Some(Look::End),
            Some('b') => Some(Look::WordAscii),
            Some('B') => Some(Look::WordAsciiNegate),
            Some('Q') => {
                self.skip(2);
                let (quoted, rest) = self.rest.split_once("\\E").unwrap_or((self.rest, ""));
                quoted.chars().for_each(|c| self.push_literal(c));
                self.rest = rest;
                return Ok(());
            }
            _ => None,
        };
        if let Some(look) = look {
            self.skip(2);
            self.push_look(look);
        } else if let Some(runes) = class::parse_class_escape(&mut self.rest, self.flags.fold_case)? {
            self.push_runes(runes);
        } else {
            match char::from_u32(class::parse_escape(&mut self.rest)?) {
                Some(c) => self.push_literal(c),
                // A surrogate is no rune of any text.
                None => self.push_runes(Runes::none()),
            }
        }
        Ok(())
    }
}

/// The counts of a repetition, and what follows it.
type Counts<'p> = (u32, Option<u32>, &'p str);

/// `{n}`, `{n,}` or `{n,m}`; whatever else follows a brace, the brace is only a brace.
fn parse_counts(text: &str) -> Result<Option<Counts<'_>>, String> {
    let Some((inside, rest)) = text.strip_prefix('{').and_then(|inside| inside.split_once('}')) else {
        return Ok(None);
    };
    let (min, max) = inside.split_once(',').unwrap_or((inside, inside));
    let is_count = |text: &str| {
        let leading_zero = text.len() > 1 && text.starts_with('0');
        !text.is_empty() && !leading_zero && text.bytes().all(|b| b.is_ascii_digit())
    };
    if !is_count(min) || !(max.is_empty() || is_count(max)) {
        return Ok(None);
    }
    let fault = || format!("invalid repeat count: `{{{inside}}}`");
    let count = |text: &str| text.parse().ok().filter(|count: &u32| *count <= MAX_REPEAT).ok_or_else(fault);
    let min = count(min)?;
    let max = if max.is_empty() { None } else { Some(count(max)?) };
    if max.is_some_and(|max| max < min) { Err(fault()) } else { Ok(Some((min, max, rest))) }
}
