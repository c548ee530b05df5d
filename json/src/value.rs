//! What stands on a tape, and how to look at it.

use std::borrow::Cow;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

/// A place on the tape: a value, a key, the end of a list or map, or an entry of an index.
///
/// A list or map is its own node, what is in it, its index if it has one, and an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Node {
    /// Where it starts in the document; of a text what is within its quotes; of an end where it ends. Of an index the hash.
    at: u32,
    /// A tag in the highest 4 bits, and below a length: in bytes; of a list or map in nodes with its end; of an end the
    /// nodes of the index before it; of an index how far its key is from the map.
    what: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    Null = 0,
    False = 1,
    True = 2,
    Number = 3,
    /// A text without escapes.
    Text = 4,
    /// A text with escapes.
    Escaped = 5,
    List = 6,
    Map = 7,
    End = 8,
    Index = 9,
}

const TAG_SHIFT: u32 = 28;
const LENGTH_MASK: u32 = (1 << TAG_SHIFT) - 1;

/// Keeps a client from making keys of the same hash.
static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);

impl Node {
    #[inline(always)]
    pub(super) const fn new(tag: Tag, at: usize, length: usize) -> Self {
        Self { at: at as u32, what: (tag as u32) << TAG_SHIFT | (length as u32 & LENGTH_MASK) }
    }

    pub(super) const fn new_index(hash: u32, distance: usize) -> Self {
        Self { at: hash, what: (Tag::Index as u32) << TAG_SHIFT | (distance as u32 & LENGTH_MASK) }
    }

    #[inline(always)]
    pub(super) const fn set_length(&mut self, length: usize) {
        self.what = self.what & !LENGTH_MASK | length as u32 & LENGTH_MASK;
    }

    #[inline(always)]
    const fn is(self, tag: Tag) -> bool {
        self.what >> TAG_SHIFT == tag as u32
    }

    #[inline(always)]
    const fn length(self) -> usize {
        (self.what & LENGTH_MASK) as usize
    }

    const fn start(self) -> usize {
        self.at as usize
    }

    const fn is_text(self) -> bool {
        self.is(Tag::Text) || self.is(Tag::Escaped)
    }

    const fn is_container(self) -> bool {
        self.is(Tag::List) || self.is(Tag::Map)
    }

    /// How many nodes the value takes that starts here.
    #[inline(always)]
    pub(super) const fn size(self) -> usize {
        if self.is_container() { self.length() } else { 1 }
    }

    /// The hash of a key.
    pub(super) fn hash(self, document: &[u8]) -> u32 {
        let raw = document.get(self.start()..self.start().wrapping_add(self.length())).unwrap_or_default();
        match std::str::from_utf8(raw) {
            Ok(raw) => hash(&Text { raw, escaped: self.is(Tag::Escaped) }.to_cow()),
            Err(_) => 0,
        }
    }

    fn text(self, document: &str) -> Option<Text<'_>> {
        let raw = document.get(self.start()..self.start().wrapping_add(self.length()))?;
        self.is_text().then_some(Text { raw, escaped: self.is(Tag::Escaped) })
    }
}

fn hash(key: &str) -> u32 {
    SEED.hash_one(key) as u32
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool,
    /// A number of any size.
    Number,
    /// A text.
    Text,
    /// A list.
    List,
    /// A map.
    Map,
}

/// A value in a document that was read.
#[derive(Clone, Copy)]
pub struct Value<'d> {
    document: &'d str,
    /// Its node and all that is in it.
    nodes: &'d [Node],
}

impl<'d> Value<'d> {
    pub(super) const fn new(document: &'d str, nodes: &'d [Node]) -> Self {
        Self { document, nodes }
    }

    #[inline]
    fn node(self) -> Node {
        self.nodes.first().copied().unwrap_or(Node::new(Tag::Null, 0, 0))
    }

    /// What it is.
    pub fn kind(self) -> Kind {
        let node = self.node();
        if node.is_text() {
            Kind::Text
        } else if node.is(Tag::Map) {
            Kind::Map
        } else if node.is(Tag::List) {
            Kind::List
        } else if node.is(Tag::Number) {
            Kind::Number
        } else if node.is(Tag::Null) {
            Kind::Null
        } else {
            Kind::Bool
        }
    }

    /// Its bytes in the document, quotes included.
    pub fn raw(self) -> &'d [u8] {
        let node = self.node();
        let (start, end) = match self.nodes.last() {
            Some(end) if node.is_container() => (node.start(), end.start()),
            _ if node.is_text() => {
                (node.start().saturating_sub(1), node.start().wrapping_add(node.length()).wrapping_add(1))
            }
            _ => (node.start(), node.start().wrapping_add(node.length())),
        };
        self.document.as_bytes().get(start..end).unwrap_or_default()
    }

    /// The value of a key of a map; the last one where the key stands there twice. The key is compared as decoded.
    pub fn get(self, key: &str) -> Option<Self> {
        let (last, rest) = self.nodes.split_last()?;
        if !self.node().is(Tag::Map) {
            return None;
        }
        if last.length() > 0 {
            let index = rest.get(rest.len().checked_sub(last.length())?..)?;
            return self.find(index, key);
        }
        let mut found = None;
        let mut rest = self.nodes.get(1..)?;
        while let [name, after @ ..] = rest
            && name.is_text()
        {
            let size = after.first()?.size();
            let (value, next) = after.split_at_checked(size)?;
            // The length tells most keys apart without a look at the document.
            if (name.is(Tag::Escaped) || name.length() == key.len())
                && name.text(self.document).is_some_and(|name| name.is(key))
            {
                found = Some(value);
            }
            rest = next;
        }
        found.map(|nodes| Self { nodes, ..self })
    }

    /// The value of a key of a map with an index. The last one is found first, so that a key that stands there a million
    /// times costs no more than another.
    #[cold]
    fn find(self, index: &[Node], key: &str) -> Option<Self> {
        let hash = hash(key);
        let same = index.get(..index.partition_point(|entry| entry.at <= hash))?;
        same.iter().rev().take_while(|entry| entry.at == hash).find_map(|entry| {
            let [name, after @ ..] = self.nodes.get(entry.length()..)? else { return None };
            let nodes = after.get(..after.first()?.size())?;
            name.text(self.document).filter(|name| name.is(key)).map(|_| Self { nodes, ..self })
        })
    }

    /// The entries of a map as they stand there; none if it is no map.
    pub fn entries(self) -> Entries<'d> {
        Entries(self.inner(Tag::Map))
    }

    /// The items of a list; none if it is no list.
    pub fn items(self) -> Items<'d> {
        Items(self.inner(Tag::List))
    }

    fn inner(self, tag: Tag) -> Self {
        let nodes = if self.node().is(tag) { self.nodes.get(1..).unwrap_or_default() } else { &[] };
        Self { nodes, ..self }
    }

    /// The text, if it is one.
    #[inline]
    pub fn text(self) -> Option<Text<'d>> {
        self.node().text(self.document)
    }

    /// The truth value, if it is one.
    pub fn bool(self) -> Option<bool> {
        let node = self.node();
        (node.is(Tag::True) || node.is(Tag::False)).then_some(node.is(Tag::True))
    }

    /// Whether it is `null`.
    pub fn is_null(self) -> bool {
        self.node().is(Tag::Null)
    }

    /// The number as it is written, if it is one.
    pub fn number(self) -> Option<&'d str> {
        let node = self.node();
        if !node.is(Tag::Number) {
            return None;
        }
        self.document.get(node.start()..node.start().wrapping_add(node.length()))
    }

    /// The number, if it is one that is not too large. Digits past the 17th are lost.
    pub fn f64(self) -> Option<f64> {
        self.number()?.parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// What a JSON pointer (RFC 6901) points at: `/spec/containers/0/image`. Empty is the value itself.
    pub fn pointer(self, pointer: &str) -> Option<Self> {
        if pointer.is_empty() {
            return Some(self);
        }
        pointer.strip_prefix('/')?.split('/').try_fold(self, |value, token| match value.kind() {
            Kind::Map if token.contains('~') => value.get(&token.replace("~1", "/").replace("~0", "~")),
            Kind::Map => value.get(token),
            // "digits without leading zeros" (section 4).
            Kind::List if token == "0" || token.starts_with(|first: char| matches!(first, '1'..='9')) => {
                value.items().nth(token.parse().ok()?)
            }
            _ => None,
        })
    }
}

impl std::fmt::Debug for Value<'_> {
    /// The document belongs to a client, and may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} of {} bytes", self.kind(), self.raw().len())
    }
}

/// The entries of a map, keys and values.
#[derive(Clone, Copy, Debug)]
pub struct Entries<'d>(Value<'d>);

impl<'d> Iterator for Entries<'d> {
    type Item = (Text<'d>, Value<'d>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (name, after) = self.0.nodes.split_first()?;
        let name = name.text(self.0.document)?;
        let (nodes, rest) = after.split_at_checked(after.first()?.size())?;
        self.0.nodes = rest;
        Some((name, Value { nodes, ..self.0 }))
    }
}

/// The items of a list.
#[derive(Clone, Copy, Debug)]
pub struct Items<'d>(Value<'d>);

impl<'d> Iterator for Items<'d> {
    type Item = Value<'d>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let first = self.0.nodes.first().filter(|node| !node.is(Tag::End))?;
        let (nodes, rest) = self.0.nodes.split_at_checked(first.size())?;
        self.0.nodes = rest;
        Some(Value { nodes, ..self.0 })
    }
}

/// A text as it stands in the document, perhaps with escapes.
#[derive(Clone, Copy)]
pub struct Text<'d> {
    raw: &'d str,
    escaped: bool,
}

impl<'d> Text<'d> {
    /// Whether it is this, decoded.
    #[inline]
    pub fn is(&self, other: &str) -> bool {
        if self.escaped { self.chars().eq(other.chars()) } else { self.raw == other }
    }

    /// The text, decoded. Owned only if it has escapes.
    #[inline]
    pub fn to_cow(&self) -> Cow<'d, str> {
        if self.escaped { Cow::Owned(self.chars().collect()) } else { Cow::Borrowed(self.raw) }
    }

    /// The characters, decoded.
    pub fn chars(&self) -> impl Iterator<Item = char> + use<'d> {
        let mut rest = self.raw.chars();
        let escaped = self.escaped;
        std::iter::from_fn(move || match rest.next()? {
            '\\' if escaped => Some(decode(&mut rest)),
            character => Some(character),
        })
    }
}

impl std::fmt::Debug for Text<'_> {
    /// As for [`Value`].
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Text of {} bytes", self.raw.len())
    }
}

/// The character of an escape, from after its backslash. It was checked when the document was read.
fn decode(rest: &mut std::str::Chars<'_>) -> char {
    match rest.next() {
        Some('b') => '\u{8}',
        Some('f') => '\u{c}',
        Some('n') => '\n',
        Some('r') => '\r',
        Some('t') => '\t',
        Some('u') => {
            let first = unit(rest);
            let second = (first >> 10 == 0xd800 >> 10).then(|| {
                rest.next();
                rest.next();
                unit(rest)
            });
            let mut characters = char::decode_utf16([first].into_iter().chain(second));
            characters.next().and_then(Result::ok).unwrap_or(char::REPLACEMENT_CHARACTER)
        }
        Some(character) => character,
        None => char::REPLACEMENT_CHARACTER,
    }
}

fn unit(rest: &mut std::str::Chars<'_>) -> u16 {
    rest.take(4).fold(0, |number, digit| number << 4 | digit.to_digit(16).unwrap_or_default() as u16)
}
