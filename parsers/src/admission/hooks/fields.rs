//! Comparisons of single fields of an object.

use std::fmt;

use serde_json::Value as Literal;

use super::at::{At, Reader, shorten};
use super::context::{Context, Side};
use super::equal::{by_key, equals, same};
use super::quantity::Quantity;
use super::strings::Patterns;
use super::truth::Truth;
use crate::admission::json::{Kind, Text, Value};
use crate::admission::review::Operation;

/// `*` in one path: each multiplies what is looked at.
const MAX_STARS: usize = 4;
/// Segments of a path. The deepest field of a CronJob's containers has 14.
const MAX_SEGMENTS: usize = 32;

/// A JSON pointer (RFC 6901) in which `*` means every entry.
#[derive(Debug)]
pub(super) struct Path(Vec<Segment>);

#[derive(Debug)]
enum Segment {
    Key { key: Box<str>, index: Option<usize> },
    Every,
}

impl Path {
    pub(super) fn read(at: &At<'_>, reader: &mut Reader) -> Self {
        let Some(text) = at.read::<String>(reader) else { return Self(Vec::new()) };
        let mut segments = Vec::new();
        if let Some(rest) = text.strip_prefix('/') {
            for token in rest.split('/') {
                let tilde = token.split('~').skip(1).any(|after| !after.starts_with(['0', '1']));
                if tilde {
                    reader
                        .refuse(at, format!("`{}` has a `~` that is not `~0` (a `~`) or `~1` (a `/`)", shorten(token)));
                }
                let index = token == "0" || token.starts_with(|first: char| matches!(first, '1'..='9'));
                segments.push(match token {
                    "*" => Segment::Every,
                    _ => Segment::Key {
                        index: if index { token.parse().ok() } else { None },
                        key: token.replace("~1", "/").replace("~0", "~").into(),
                    },
                });
            }
        } else if !text.is_empty() {
            let message = format!("`{}` is not a path; it begins with `/`, such as `/spec/replicas`", shorten(&text));
            reader.refuse(at, message);
        }
        let path = Self(segments);
        if path.0.len() > MAX_SEGMENTS || path.stars() > MAX_STARS {
            reader.refuse(at, format!("a path has up to {MAX_SEGMENTS} segments, and `*` up to {MAX_STARS} times"));
        }
        path
    }

    /// Reads the path of a list or map whose entries are meant.
    pub(super) fn read_entries(at: &At<'_>, reader: &mut Reader) -> Self {
        let mut path = Self::read(at, reader);
        if path.stars() == MAX_STARS {
            reader.refuse(at, format!("`*` stands up to {} times in a path whose entries are meant", MAX_STARS - 1));
        }
        path.0.push(Segment::Every);
        path
    }

    /// Whether the first segment is one of these keys.
    pub(super) fn begins_with(&self, keys: &[&str]) -> bool {
        matches!(self.0.first(), Some(Segment::Key { key, .. }) if keys.contains(&&**key))
    }

    pub(super) fn stars(&self) -> usize {
        self.0.iter().filter(|segment| matches!(segment, Segment::Every)).count()
    }

    /// Hands out what the path leads to, with the way there, until told to stop. Returns whether it was.
    pub(super) fn resolve<'h, 'd>(
        &'h self,
        context: &Context<'_, 'd>,
        root: Option<Value<'d>>,
        visit: &mut dyn FnMut(Leaf<'d>, &Trail<'h, 'd>) -> bool,
    ) -> bool {
        let mut trail = Trail { segments: &self.0, stars: [None; MAX_STARS] };
        descend(context, &self.0, root, 0, &mut trail, visit)
    }
}

impl Path {
    /// What a path without `*` leads to.
    fn find<'d>(&self, context: &Context<'_, 'd>, root: Option<Value<'d>>) -> Leaf<'d> {
        let mut found = Leaf::Absent;
        self.resolve(context, root, &mut |leaf, _| {
            found = leaf;
            true
        });
        found
    }
}

/// Recurses once for each `*` of the path, whatever the object.
fn descend<'h, 'd>(
    context: &Context<'_, 'd>,
    segments: &'h [Segment],
    root: Option<Value<'d>>,
    star: usize,
    trail: &mut Trail<'h, 'd>,
    visit: &mut dyn FnMut(Leaf<'d>, &Trail<'h, 'd>) -> bool,
) -> bool {
    let mut value = root;
    let mut rest = segments;
    while let Some((segment, after)) = rest.split_first() {
        rest = after;
        let Some(here) = value.filter(|value| !value.is_null()) else {
            // Nothing is there that could have entries.
            let has_star = std::iter::once(segment).chain(after).any(|segment| matches!(segment, Segment::Every));
            return !has_star && visit(Leaf::Absent, trail);
        };
        value = match (segment, here.kind()) {
            (Segment::Key { key, .. }, Kind::Map) => here.get(key),
            (Segment::Key { index: Some(index), .. }, Kind::List) => here.items().nth(*index),
            (Segment::Every, Kind::Map) => {
                let last = by_key(context, here);
                return here.entries().any(|(key, value)| {
                    // Of a key that stands twice the last one counts.
                    if last.get(&*key.to_cow()).map(|last| last.raw().as_ptr()) != Some(value.raw().as_ptr()) {
                        return !context.spend();
                    }
                    trail.set(star, Step::Key(key));
                    context.spend() && descend(context, rest, Some(value), star.saturating_add(1), trail, visit)
                });
            }
            (Segment::Every, Kind::List) => {
                return here.items().enumerate().any(|(index, value)| {
                    trail.set(star, Step::Index(index));
                    context.spend() && descend(context, rest, Some(value), star.saturating_add(1), trail, visit)
                });
            }
            _ => return visit(Leaf::Unreadable, trail),
        };
    }
    let leaf = value.filter(|value| !value.is_null()).map_or(Leaf::Absent, Leaf::Found);
    visit(leaf, trail)
}

/// What a path leads to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Leaf<'d> {
    /// Nothing, or null.
    Absent,
    Found(Value<'d>),
    /// Something on the way is not what it ought to be.
    Unreadable,
}

/// The way through the entries of a path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trail<'h, 'd> {
    segments: &'h [Segment],
    stars: [Option<Step<'d>>; MAX_STARS],
}

#[derive(Clone, Copy, Debug)]
enum Step<'d> {
    Index(usize),
    Key(Text<'d>),
}

impl<'d> Trail<'_, 'd> {
    fn set(&mut self, star: usize, step: Step<'d>) {
        if let Some(slot) = self.stars.get_mut(star) {
            *slot = Some(step);
        }
    }
}

impl fmt::Display for Trail<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut stars = self.stars.iter();
        for segment in self.segments {
            f.write_str("/")?;
            let escape = |key: &str| key.replace('~', "~0").replace('/', "~1");
            match segment {
                Segment::Key { key, .. } => f.write_str(&escape(key))?,
                Segment::Every => match stars.next() {
                    Some(Some(Step::Index(index))) => write!(f, "{index}")?,
                    Some(Some(Step::Key(key))) => f.write_str(&escape(&key.to_cow()))?,
                    _ => f.write_str("*")?,
                },
            }
        }
        Ok(())
    }
}

/// What is asked of a field. All comparisons must hold for the same value.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) path: Path,
    old: bool,
    tests: Vec<Test>,
}

#[derive(Debug)]
enum Test {
    Exists(bool),
    Equals(Literal),
    In(Vec<Literal>),
    NotIn(Vec<Literal>),
    Regex(Patterns),
    NotRegex(Patterns),
    Contains(Literal),
    LessThan(Quantity),
    AtMost(Quantity),
    AtLeast(Quantity),
    GreaterThan(Quantity),
    SameAs { path: Path, old: bool },
    Changed(bool),
}

const FIELDS: [&str; 15] = [
    "path",
    "old",
    "exists",
    "equals",
    "in",
    "notIn",
    "regex",
    "notRegex",
    "contains",
    "lessThan",
    "atMost",
    "atLeast",
    "greaterThan",
    "sameAs",
    "changed",
];

/// Reads a list of fields. Those of a whole object may look at the old one, too.
pub(super) fn read_fields(at: &At<'_>, of_object: bool, reader: &mut Reader) -> Vec<Field> {
    at.items(reader).iter().filter_map(|item| Field::read(item, of_object, reader)).collect()
}

impl Field {
    fn read(at: &At<'_>, of_object: bool, reader: &mut Reader) -> Option<Self> {
        if !at.check_fields(&FIELDS, reader) {
            return None;
        }
        let Some(path) = at.field("path") else {
            reader.refuse(at, "the field `path` is missing");
            return None;
        };
        let path = Path::read(&path, reader);
        for name in ["old", "sameAs", "changed"] {
            if let (false, Some(field)) = (of_object, at.field(name)) {
                reader.refuse(&field, format!("`{name}` is only for `fields`, whose paths begin at the object"));
            }
        }
        let tests = at.entries().into_iter().filter_map(|(name, at)| Test::read(name, &at, &path, reader)).collect();
        let field = Self { path, old: at.read_field("old", reader).unwrap_or(false), tests };
        if field.tests.is_empty() {
            let message = format!("nothing is asked of the field; write one of `{}`", FIELDS.get(2..)?.join("`, `"));
            reader.refuse(at, message);
        }
        Some(field)
    }

    /// Whether it holds for the object, and where.
    pub(super) fn test<'h, 'd>(
        &'h self,
        context: &Context<'_, 'd>,
        root: Option<Value<'d>>,
    ) -> (Truth, Option<Trail<'h, 'd>>) {
        let root = if self.old { context.side(Side::Old) } else { root };
        let mut truth = Truth::No;
        let mut at = None;
        self.path.resolve(context, root, &mut |leaf, trail| {
            let one = Truth::all(self.tests.iter().map(|test| test.test(context, &self.path, leaf)));
            if one.may_hold() && (at.is_none() || one == Truth::Yes) {
                at = Some(*trail);
            }
            truth = truth.or(one);
            truth == Truth::Yes
        });
        (truth, at)
    }
}

impl Test {
    fn read(name: &str, at: &At<'_>, path: &Path, reader: &mut Reader) -> Option<Self> {
        let quantity = |reader: &mut Reader| {
            let text = match at.read::<Literal>(reader)? {
                Literal::String(text) => text,
                Literal::Number(number) => number.to_string(),
                _ => String::new(),
            };
            let quantity = Quantity::parse(&text);
            if quantity.is_none() {
                reader.refuse(at, "wanted a number, or a quantity such as `500m` or `1Gi`");
            }
            quantity
        };
        let many = |reader: &mut Reader| -> Option<Vec<Literal>> {
            if at.is_map() {
                return Some(reader.strings(at).into_iter().map(|(text, _)| Literal::String(text)).collect());
            }
            let mut literals = Vec::new();
            for item in at.items(reader) {
                match item.entries().as_slice() {
                    [("list", _)] => {
                        literals.extend(reader.strings(&item).into_iter().map(|(text, _)| Literal::String(text)));
                    }
                    _ => literals.extend(item.read::<Literal>(reader)),
                }
            }
            Some(literals)
        };
        let no_star = |path: &Path, reader: &mut Reader| {
            if path.stars() > 0 {
                reader.refuse(at, format!("`{name}` compares one field with one other: its paths have no `*`"));
            }
        };
        Some(match name {
            "exists" => Self::Exists(at.read(reader)?),
            "equals" => Self::Equals(at.read(reader)?),
            "in" => Self::In(many(reader)?),
            "notIn" => Self::NotIn(many(reader)?),
            "regex" => Self::Regex(Patterns::read_one_or_more(at, reader)),
            "notRegex" => Self::NotRegex(Patterns::read_one_or_more(at, reader)),
            "contains" => Self::Contains(at.read(reader)?),
            "lessThan" => Self::LessThan(quantity(reader)?),
            "atMost" => Self::AtMost(quantity(reader)?),
            "atLeast" => Self::AtLeast(quantity(reader)?),
            "greaterThan" => Self::GreaterThan(quantity(reader)?),
            "sameAs" => {
                at.check_fields(&["path", "old"], reader);
                let Some(other) = at.field("path") else {
                    reader.refuse(at, "the field `path` is missing");
                    return None;
                };
                let other = Path::read(&other, reader);
                no_star(path, reader);
                no_star(&other, reader);
                Self::SameAs { path: other, old: at.read_field("old", reader).unwrap_or(false) }
            }
            "changed" => {
                no_star(path, reader);
                Self::Changed(at.read(reader)?)
            }
            _ => return None,
        })
    }

    fn test<'d>(&self, context: &Context<'_, 'd>, path: &Path, leaf: Leaf<'d>) -> Truth {
        match self {
            Self::SameAs { path, old } => {
                let root = if *old { context.side(Side::Old) } else { context.object };
                return compare(context, leaf, path.find(context, root));
            }
            Self::Changed(wanted) => {
                let [old, new] = [Side::Old, Side::New].map(|side| path.find(context, context.side(side)));
                let changed = match context.review.operation {
                    Operation::Connect => Truth::No,
                    _ => compare(context, old, new).not(),
                };
                return if *wanted { changed } else { changed.not() };
            }
            _ => {}
        }
        match (self, leaf) {
            (_, Leaf::Unreadable) => Truth::Unreadable,
            (Self::Exists(wanted), leaf) => (*wanted == matches!(leaf, Leaf::Found(_))).into(),
            (_, Leaf::Absent) => Truth::No,
            (test, Leaf::Found(value)) => test.test_value(context, value),
        }
    }

    /// What is asked of a value that is there.
    fn test_value(&self, context: &Context<'_, '_>, value: Value<'_>) -> Truth {
        let matches = |patterns: &Patterns| value.text().map(|text| patterns.is_match(&text.to_cow()));
        let size = |test: &dyn Fn(Quantity) -> bool| {
            let text = match value.number() {
                Some(number) => Some(number.into()),
                None => value.text().map(|text| text.to_cow()),
            };
            text.and_then(|text| Quantity::parse(&text)).map(test)
        };
        let known = match self {
            Self::Equals(literal) => Some(equals(value, literal)),
            Self::In(literals) => Some(literals.iter().any(|literal| equals(value, literal))),
            Self::NotIn(literals) => Some(!literals.iter().any(|literal| equals(value, literal))),
            Self::Regex(patterns) => matches(patterns),
            Self::NotRegex(patterns) => matches(patterns).map(|matches| !matches),
            Self::Contains(literal) => contains(context, value, literal),
            Self::LessThan(bound) => size(&|size| size < *bound),
            Self::AtMost(bound) => size(&|size| size <= *bound),
            Self::AtLeast(bound) => size(&|size| size >= *bound),
            Self::GreaterThan(bound) => size(&|size| size > *bound),
            Self::Exists(_) | Self::SameAs { .. } | Self::Changed(_) => None,
        };
        known.map_or(Truth::Unreadable, Truth::from)
    }
}

/// Whether a list has an item, a map a key, a text a part.
fn contains(context: &Context<'_, '_>, value: Value<'_>, literal: &Literal) -> Option<bool> {
    match (value.kind(), literal) {
        (Kind::List, literal) => Some(value.items().any(|item| context.spend() && equals(item, literal))),
        (Kind::Text, Literal::String(part)) => Some(value.text()?.to_cow().contains(part.as_str())),
        (Kind::Map, Literal::String(key)) => Some(value.get(key).is_some_and(|value| !value.is_null())),
        _ => None,
    }
}

/// Whether two fields are the same. Two that are not there are.
fn compare<'d>(context: &Context<'_, 'd>, one: Leaf<'d>, other: Leaf<'d>) -> Truth {
    match (one, other) {
        (Leaf::Unreadable, _) | (_, Leaf::Unreadable) => Truth::Unreadable,
        (Leaf::Absent, Leaf::Absent) => Truth::Yes,
        (Leaf::Found(one), Leaf::Found(other)) => same(context, one, other),
        _ => Truth::No,
    }
}
