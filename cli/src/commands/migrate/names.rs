//! A regex about `keyspace.table` as conditions on the keyspace and on the table.
//!
//! Names have letters, digits and underscores, so that exactly one dot is in `keyspace.table`. Whatever in an expression has
//! to be that dot, or can be, is where it is split; all the ways together say what the expression says. What comes out never
//! matches more, whatever names there are: each way is a part of the expression.

use portcullis_policy::matcher::Strict;
use regex_syntax::hir::{Class, ClassUnicodeRange, Hir, HirKind, Look, Repetition};

/// A condition on one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Any,
    Exact(String),
    Prefix(String),
    /// It matches as a whole.
    Regex(String),
}

/// What an expression says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// Of a keyspace with a table: any of these pairs.
    pub(super) tables: Vec<(Name, Name)>,
    /// Of a keyspace by itself: any of these.
    pub(super) keyspaces: Vec<Name>,
}

/// Splits an expression that is searched for.
///
/// # Errors
/// Why that cannot be done.
pub(super) fn split(pattern: &str) -> Result<Names, String> {
    let whole = match Strict::of(pattern)? {
        Strict::Any => return Ok(Names { tables: vec![(Name::Any, Name::Any)], keyspaces: vec![Name::Any] }),
        strict => strict.into_regex(),
    };
    let hir = regex_syntax::parse(&whole).map_err(|_| NOT_SPLIT.to_owned())?;
    let mut names = Names::default();
    for branch in expand(hir)? {
        let pieces = cut_at_dots(strip_ends(branch)?);
        let dots: Vec<_> = pieces.iter().enumerate().filter(|(_, piece)| is_dot(piece)).map(|(at, _)| at).collect();
        match dots.as_slice() {
            [] => {
                add(&mut names.keyspaces, side(&pieces, pattern));
                for (at, piece) in pieces.iter().enumerate().filter(|(_, piece)| can_be_dot(piece)) {
                    let around = around_dot(piece)?;
                    let before: Vec<_> = pieces[..at].iter().cloned().chain(around.clone()).collect();
                    let after: Vec<_> = around.into_iter().chain(pieces[at + 1..].iter().cloned()).collect();
                    add_pair(&mut names.tables, &before, &after, pattern);
                }
            }
            [at] => add_pair(&mut names.tables, &pieces[..*at], &pieces[at + 1..], pattern),
            // No name has two dots.
            _ => {}
        }
    }
    if names.tables.len().max(names.keyspaces.len()) > MAX_WAYS {
        return Err(NOT_SPLIT.to_owned());
    }
    Ok(names)
}

const NOT_SPLIT: &str = "it cannot be said of keyspace and table apart";

/// Rules that one rule may become. More would not be read by anybody.
const MAX_WAYS: usize = 8;

/// The alternatives that differ in where the dot is or in what stands around, each as its parts in a row.
fn expand(hir: Hir) -> Result<Vec<Vec<Hir>>, String> {
    let mut done = Vec::new();
    let mut todo = vec![(Vec::new(), vec![hir])];
    // Parts that are still to be looked at stand in reverse.
    while let Some((mut parts, mut rest)) = todo.pop() {
        if done.len() + todo.len() > MAX_WAYS {
            return Err(NOT_SPLIT.to_owned());
        }
        let Some(next) = rest.pop() else {
            done.push(parts);
            continue;
        };
        let matters = can_be_dot(&next) || !next.properties().look_set().is_empty();
        match next.into_kind() {
            HirKind::Concat(inner) => {
                rest.extend(inner.into_iter().rev());
                todo.push((parts, rest));
            }
            HirKind::Capture(capture) if matters => {
                rest.push(*capture.sub);
                todo.push((parts, rest));
            }
            HirKind::Alternation(choices) if matters => {
                for choice in choices.into_iter().rev() {
                    let rest = rest.iter().cloned().chain([choice]).collect();
                    todo.push((parts.clone(), rest));
                }
            }
            HirKind::Repetition(Repetition { min: 0, max: Some(1), sub, .. })
                if matters && !matches!(sub.kind(), HirKind::Class(_)) =>
            {
                todo.push((parts.clone(), rest.clone()));
                rest.push(*sub);
                todo.push((parts, rest));
            }
            kind => {
                parts.push(build(kind));
                todo.push((parts, rest));
            }
        }
    }
    Ok(done)
}

fn build(kind: HirKind) -> Hir {
    match kind {
        HirKind::Empty => Hir::empty(),
        HirKind::Literal(literal) => Hir::literal(literal.0),
        HirKind::Class(class) => Hir::class(class),
        HirKind::Look(look) => Hir::look(look),
        HirKind::Repetition(repetition) => Hir::repetition(repetition),
        HirKind::Capture(capture) => Hir::capture(capture),
        HirKind::Concat(parts) => Hir::concat(parts),
        HirKind::Alternation(choices) => Hir::alternation(choices),
    }
}

/// The parts without the beginning and the end, which are implied.
fn strip_ends(mut parts: Vec<Hir>) -> Result<Vec<Hir>, String> {
    let is = |part: &Hir, look| matches!(part.kind(), HirKind::Look(found) if *found == look);
    let starts = parts.iter().take_while(|part| is(part, Look::Start)).count();
    parts.drain(..starts);
    while parts.last().is_some_and(|part| is(part, Look::End)) {
        parts.pop();
    }
    if parts.iter().any(|part| !part.properties().look_set().is_empty()) {
        return Err(NOT_SPLIT.to_owned());
    }
    Ok(parts)
}

/// The parts with each dot of a text as a part of its own.
fn cut_at_dots(parts: Vec<Hir>) -> Vec<Hir> {
    parts
        .into_iter()
        .flat_map(|part| match part.kind() {
            HirKind::Literal(literal) => {
                literal.0.split_inclusive(|byte| *byte == b'.').flat_map(cut_last_dot).collect()
            }
            _ => vec![part],
        })
        .collect()
}

fn cut_last_dot(text: &[u8]) -> Vec<Hir> {
    match text.strip_suffix(b".") {
        Some(b"") | None => vec![Hir::literal(text)],
        Some(before) => vec![Hir::literal(before), Hir::literal(*b".")],
    }
}

fn is_dot(part: &Hir) -> bool {
    matches!(part.kind(), HirKind::Literal(literal) if *literal.0 == *b".")
}

/// Whether a text that it matches may have a dot.
fn can_be_dot(part: &Hir) -> bool {
    match part.kind() {
        HirKind::Empty | HirKind::Look(_) => false,
        HirKind::Literal(literal) => literal.0.contains(&b'.'),
        HirKind::Class(class) => has_dot(class),
        HirKind::Repetition(repetition) => repetition.max != Some(0) && can_be_dot(&repetition.sub),
        HirKind::Capture(capture) => can_be_dot(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().any(can_be_dot),
    }
}

fn has_dot(class: &Class) -> bool {
    match class {
        Class::Unicode(class) => class.iter().any(|range| (range.start()..=range.end()).contains(&'.')),
        Class::Bytes(class) => class.iter().any(|range| (range.start()..=range.end()).contains(&b'.')),
    }
}

/// What may stand before the dot in a part, and after it.
fn around_dot(part: &Hir) -> Result<Option<Hir>, String> {
    match part.kind() {
        HirKind::Class(_) => Ok(None),
        HirKind::Repetition(Repetition { min: 0, max: Some(1), sub, .. })
            if matches!(sub.kind(), HirKind::Class(_)) =>
        {
            Ok(None)
        }
        HirKind::Repetition(all @ Repetition { min: 0 | 1, max: None, sub, .. })
            if matches!(sub.kind(), HirKind::Class(_)) =>
        {
            Ok(Some(Hir::repetition(Repetition { min: 0, ..all.clone() })))
        }
        _ => Err(NOT_SPLIT.to_owned()),
    }
}

fn add<T: PartialEq>(list: &mut Vec<T>, one: T) {
    if !list.contains(&one) {
        list.push(one);
    }
}

fn add_pair(pairs: &mut Vec<(Name, Name)>, keyspace: &[Hir], table: &[Hir], pattern: &str) {
    let pair = (side(keyspace, pattern), side(table, pattern));
    let nothing = Name::Exact(String::new());
    if pair.0 != nothing && pair.1 != nothing {
        add(pairs, pair);
    }
}

/// What the parts of one side say of its name.
fn side(parts: &[Hir], pattern: &str) -> Name {
    let mut parts: Vec<&Hir> = parts.iter().collect();
    // Beside whatever there is, what may be nothing says nothing.
    let may_be_nothing = |part: &Hir| matches!(part.kind(), HirKind::Repetition(repetition) if repetition.min == 0);
    while let [.., other, last] = parts.as_slice()
        && is_anything(last)
        && may_be_nothing(other)
    {
        parts.remove(parts.len() - 2);
    }
    while let [first, other, ..] = parts.as_slice()
        && is_anything(first)
        && may_be_nothing(other)
    {
        parts.remove(1);
    }
    let hir = Hir::concat(parts.into_iter().cloned().collect());
    let text = |hir: &Hir| match hir.kind() {
        HirKind::Empty => Some(String::new()),
        HirKind::Literal(literal) => String::from_utf8(literal.0.to_vec()).ok(),
        _ => None,
    };
    if is_anything(&hir) {
        return Name::Any;
    }
    if let Some(text) = text(&hir) {
        return Name::Exact(text);
    }
    if let HirKind::Concat(parts) = hir.kind()
        && let [literal, rest] = parts.as_slice()
        && is_anything(rest)
        && let Some(text) = text(literal)
    {
        return Name::Prefix(text);
    }
    Name::Regex(write(&hir, pattern))
}

/// Whether it matches every text.
fn is_anything(part: &Hir) -> bool {
    let all = |class: &Class| match class {
        Class::Unicode(class) => class.iter().eq([&ClassUnicodeRange::new('\0', char::MAX)]),
        Class::Bytes(_) => false,
    };
    matches!(
        part.kind(),
        HirKind::Repetition(Repetition { min: 0, max: None, sub, .. })
            if matches!(sub.kind(), HirKind::Class(class) if all(class))
    )
}

/// The expression in the words in which it was written, if these can be found, or anew.
fn write(hir: &Hir, pattern: &str) -> String {
    let body = pattern.strip_prefix('^').unwrap_or(pattern);
    let body = body.strip_suffix('$').filter(|body| !body.ends_with('\\')).unwrap_or(body);
    let dots = body.match_indices("\\.").chain(body.match_indices("[.]"));
    let halves = dots.flat_map(|(at, dot)| [&body[..at], &body[at + dot.len()..]]);
    let plain = without_groups(hir);
    let same = |text: &&str| regex_syntax::parse(text).is_ok_and(|read| without_groups(&read) == plain);
    halves.chain([body]).find(same).map_or_else(|| print(&plain), str::to_owned)
}

/// The expression, written anew: its texts and what matches anything as people write them.
fn print(hir: &Hir) -> String {
    let print = |part: &Hir| match part.kind() {
        HirKind::Literal(literal) => std::str::from_utf8(&literal.0).map(regex_syntax::escape).ok(),
        _ => None,
    };
    let rest = |part: &Hir| {
        let text = part.to_string();
        let text = text.replace("[\0-\u{10ffff}]", "(?s:.)").replace("[\0-\t\u{b}-\u{10ffff}]", ".");
        text.replace("(?s:.)*", "(?s:.*)").replace('\0', "\\x00")
    };
    let parts = match hir.kind() {
        HirKind::Concat(parts) => parts.as_slice(),
        _ => std::slice::from_ref(hir),
    };
    parts.iter().map(|part| print(part).unwrap_or_else(|| rest(part))).collect()
}

/// The same without groups that only catch what they match: who reads Go's syntax leaves them out.
fn without_groups(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Capture(capture) => without_groups(&capture.sub),
        HirKind::Repetition(repetition) => {
            Hir::repetition(Repetition { sub: Box::new(without_groups(&repetition.sub)), ..repetition.clone() })
        }
        HirKind::Concat(parts) => Hir::concat(parts.iter().map(without_groups).collect()),
        HirKind::Alternation(choices) => Hir::alternation(choices.iter().map(without_groups).collect()),
        _ => hir.clone(),
    }
}

#[cfg(test)]
#[expect(clippy::expect_used, reason = "tests fail by panicking")]
mod tests {
    use portcullis_policy::Dialect;
    use portcullis_policy::matcher::Regex;
    use proptest::prelude::*;

    use super::*;

    fn show(pattern: &str) -> String {
        let name = |name: &Name| match name {
            Name::Any => "*".to_owned(),
            Name::Exact(text) => text.clone(),
            Name::Prefix(text) => format!("{text}*"),
            Name::Regex(text) => format!("/{text}/"),
        };
        let Names { tables, keyspaces } = match split(pattern) {
            Ok(names) => names,
            Err(why) => return why,
        };
        let tables: Vec<_> = tables.iter().map(|(k, t)| format!("{} {}", name(k), name(t))).collect();
        let keyspaces: Vec<_> = keyspaces.iter().map(name).collect();
        format!("{}; {}", tables.join(", "), keyspaces.join(", "))
    }

    #[test]
    fn expressions_are_split_where_the_dot_is() {
        for (pattern, wanted) in [
            ("^ks\\.t$", "ks t; "),
            ("^ks[.]t$", "ks t; "),
            ("^ks.t$", "ks t; /ks.t/"),
            ("^ks\\.", "ks *; "),
            ("^ks\\..*", "ks *; "),
            ("^ks\\.t", "ks t*; "),
            ("^ks", "ks* *; ks*"),
            (".*", "* *; *"),
            ("^system(_schema|_virtual_schema)?\\.", "/system(_schema|_virtual_schema)?/ *; "),
            ("^ks\\.(a|b)$", "ks /(a|b)/; "),
            ("^(ks\\.a|os\\.b)$", "ks a, os b; "),
            ("^ks(\\.t)?$", "ks t; ks"),
            ("\\.t$", "* t; "),
            ("^.*\\.t$", "/.*/ t; "),
            ("clerk", "* /(?s:.*)clerk(?s:.*)/, /(?s:.*)clerk(?s:.*)/ *; /(?s:.*)clerk(?s:.*)/"),
            ("^ks$", "; ks"),
            ("^a\\.b\\.c$", "; "),
            ("^(a.){2}$", NOT_SPLIT),
            ("\\bks\\.t\\b", NOT_SPLIT),
        ] {
            assert_eq!(show(pattern), wanted, "{pattern}");
        }
    }

    fn fits(name: &Name, text: &str) -> bool {
        match name {
            Name::Any => true,
            Name::Exact(exact) => exact == text,
            Name::Prefix(prefix) => text.starts_with(prefix),
            Name::Regex(regex) => Regex::compile(regex, Dialect::Strict).expect("a regex").is_match(text.as_bytes()),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Both say the same of names, and what was split never more of anything.
        #[test]
        fn whole_and_parts_say_the_same(
            pattern in "(\\^|)([ab]|\\.|\\\\\\.|\\[\\^a\\]|\\(a\\|b\\)|\\(a\\\\\\.|b\\)|[ab][*+?]|\\.[*+?]|\\(\\.b\\)[?]|\\|){0,6}(\\$|)",
            keyspace in "[ab.]{0,3}", table in "[ab.]{1,3}",
        ) {
            let Ok(whole) = Regex::compile(&pattern, Dialect::Cilium) else { return Ok(()) };
            let Ok(names) = split(&pattern) else { return Ok(()) };
            let split = names.tables.iter().any(|(k, t)| fits(k, &keyspace) && fits(t, &table));
            let was = whole.is_match(format!("{keyspace}.{table}").as_bytes());
            prop_assert!(was || !split, "{pattern} {keyspace} {table} {names:?}");
            if !keyspace.is_empty() && !keyspace.contains('.') && !table.contains('.') {
                prop_assert_eq!(was, split, "{} {} {} {:?}", &pattern, keyspace, table, names);
            }
            let alone = names.keyspaces.iter().any(|k| fits(k, &table));
            let was = whole.is_match(table.as_bytes());
            prop_assert!(was || !alone, "{pattern} {table} {names:?}");
            if !table.contains('.') {
                prop_assert_eq!(was, alone, "{} {} {:?}", pattern, table, names);
            }
        }
    }
}
