//! The one pass over a document.

use std::borrow::Cow;

use super::value::{Node, Tag};
use super::{MAX_DEPTH, MAX_NODES};

/// From so many entries on a map has an index of its keys. Below, comparing lengths of keys in a row is faster.
pub(super) const INDEX_FROM: usize = 512;

/// What is wrong, and with which byte.
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) what: What,
}

#[derive(Clone, Copy)]
pub(super) enum What {
    Empty,
    Ended,
    Value,
    Key,
    Colon,
    CommaOrBracket,
    CommaOrBrace,
    After,
    Literal,
    Number,
    Control,
    Escape,
    Surrogate,
    Depth,
    Nodes,
}

impl What {
    pub(super) fn message(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Empty => "the document is empty",
            Self::Ended => "the document ends too early",
            Self::Value => "expected a value",
            Self::Key => "expected a key in quotes",
            Self::Colon => "expected `:` after a key",
            Self::CommaOrBracket => "expected `,` or `]`",
            Self::CommaOrBrace => "expected `,` or `}`",
            Self::After => "expected the end of the document",
            Self::Literal => "expected `true`, `false` or `null`",
            Self::Number => "expected a digit of a number",
            Self::Control => "a control character in a text; write it as an escape",
            Self::Escape => "no such escape in a text",
            Self::Surrogate => "half a surrogate pair in a text",
            Self::Depth => return Cow::Owned(format!("nested deeper than {MAX_DEPTH} levels")),
            Self::Nodes => return Cow::Owned(format!("more than {MAX_NODES} values, keys and ends of lists and maps")),
        })
    }
}

/// Puts a document of at most [`super::MAX_BYTES`] bytes of UTF-8 on an empty tape. `open` is memory for what is not closed yet.
pub(super) fn read(bytes: &[u8], nodes: &mut Vec<Node>, open: &mut Vec<u32>) -> Result<(), Fault> {
    let mut at = 0_usize;
    // The innermost container: the place of its node, and whether it is a map. What holds it is in `open`.
    let mut outer = OUTERMOST;
    let mut is_map = false;
    if peek(bytes, &mut at).is_none() {
        return Err(Fault { at, what: What::Empty });
    }
    loop {
        let Some(first) = peek(bytes, &mut at) else { return ended(bytes) };
        // One value may add a key, itself, and the end of what it closes; the last is seen with the next value.
        if nodes.len() >= MAX_NODES {
            return Err(Fault { at, what: What::Nodes });
        }
        match first {
            b'"' => at = text(bytes, at, nodes)?,
            b'{' | b'[' => {
                if open.len() >= MAX_DEPTH {
                    return Err(Fault { at, what: What::Depth });
                }
                open.push(outer);
                outer = u32::try_from(nodes.len()).unwrap_or(OUTERMOST) | if is_map { WAS_MAP } else { 0 };
                is_map = first == b'{';
                nodes.push(Node::new(if is_map { Tag::Map } else { Tag::List }, at, 0));
                at = at.wrapping_add(1);
                match peek(bytes, &mut at) {
                    Some(b'"') if is_map => {
                        at = key(bytes, at, nodes)?;
                        continue;
                    }
                    Some(b'}') if is_map => {}
                    Some(b']') if !is_map => {}
                    None => return ended(bytes),
                    Some(_) if is_map => return Err(Fault { at, what: What::Key }),
                    Some(_) => continue,
                }
            }
            b'-' | b'0'..=b'9' => at = number(bytes, at, nodes)?,
            b't' => at = literal(bytes, at, nodes, b"true", Tag::True)?,
            b'f' => at = literal(bytes, at, nodes, b"false", Tag::False)?,
            b'n' => at = literal(bytes, at, nodes, b"null", Tag::Null)?,
            _ => return Err(Fault { at, what: What::Value }),
        }
        // A value is complete, or a container is empty: close what ends here, up to the next comma.
        loop {
            let next = peek(bytes, &mut at);
            if outer == OUTERMOST {
                return match next {
                    None => Ok(()),
                    Some(_) => Err(Fault { at, what: What::After }),
                };
            }
            let Some(next) = next else { return ended(bytes) };
            match (next, is_map) {
                (b',', false) => {
                    at = at.wrapping_add(1);
                    break;
                }
                (b',', true) => {
                    at = at.wrapping_add(1);
                    match peek(bytes, &mut at) {
                        Some(b'"') => at = key(bytes, at, nodes)?,
                        Some(_) => return Err(Fault { at, what: What::Key }),
                        None => return ended(bytes),
                    }
                    break;
                }
                (b'}', true) | (b']', false) => {
                    at = at.wrapping_add(1);
                    close(bytes, nodes, (outer & !WAS_MAP) as usize, at, is_map);
                    is_map = outer & WAS_MAP != 0;
                    outer = open.pop().unwrap_or(OUTERMOST);
                }
                (_, true) => return Err(Fault { at, what: What::CommaOrBrace }),
                (_, false) => return Err(Fault { at, what: What::CommaOrBracket }),
            }
        }
    }
}

/// No container is open. No place of a node, as there are at most [`MAX_NODES`] and then some.
const OUTERMOST: u32 = u32::MAX;

/// Set in the place of an open container that itself stands in a map.
const WAS_MAP: u32 = 1 << 31;

/// The next byte that is no white space.
#[inline(always)]
fn peek(bytes: &[u8], at: &mut usize) -> Option<u8> {
    loop {
        let byte = *bytes.get(*at)?;
        if byte > b' ' || !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            return Some(byte);
        }
        *at = at.wrapping_add(1);
    }
}

#[cold]
fn ended(bytes: &[u8]) -> Result<(), Fault> {
    Err(Fault { at: bytes.len(), what: What::Ended })
}

/// Ends the container at `start`, whose last byte is before `at`.
#[inline(always)]
fn close(bytes: &[u8], nodes: &mut Vec<Node>, start: usize, at: usize, is_map: bool) {
    let count = nodes.len().wrapping_sub(start);
    let indexed = if is_map && count > 2 * INDEX_FROM { index(bytes, nodes, start) } else { 0 };
    nodes.push(Node::new(Tag::End, at, indexed));
    let count = nodes.len().wrapping_sub(start);
    if let Some(node) = nodes.get_mut(start) {
        node.set_length(count);
    }
}

/// Adds an index of the keys of the map at `start` if it has many. Returns how many nodes that took.
///
/// Over a document this costs one visit of each entry, and a sort where there is an index.
#[cold]
fn index(bytes: &[u8], nodes: &mut Vec<Node>, start: usize) -> usize {
    let end = nodes.len();
    let keys = |nodes: &[Node]| {
        let mut count = 0_usize;
        let mut place = start.wrapping_add(1);
        while let Some(value) = nodes.get(place.wrapping_add(1)).filter(|_| place < end) {
            count = count.wrapping_add(1);
            place = place.wrapping_add(1).wrapping_add(value.size());
        }
        count
    };
    if keys(nodes) < INDEX_FROM {
        return 0;
    }
    let mut place = start.wrapping_add(1);
    while place < end
        && let (Some(&key), Some(size)) = (nodes.get(place), nodes.get(place.wrapping_add(1)).map(|value| value.size()))
    {
        nodes.push(Node::new_index(key.hash(bytes), place.wrapping_sub(start)));
        place = place.wrapping_add(1).wrapping_add(size);
    }
    if let Some(index) = nodes.get_mut(end..) {
        index.sort_unstable();
    }
    nodes.len().wrapping_sub(end)
}

/// A key and its colon.
#[inline(always)]
fn key(bytes: &[u8], at: usize, nodes: &mut Vec<Node>) -> Result<usize, Fault> {
    let mut at = text(bytes, at, nodes)?;
    match peek(bytes, &mut at) {
        Some(b':') => Ok(at.wrapping_add(1)),
        Some(_) => Err(Fault { at, what: What::Colon }),
        None => Err(Fault { at, what: What::Ended }),
    }
}

/// A text, from its first quote to after its last.
#[inline(always)]
fn text(bytes: &[u8], at: usize, nodes: &mut Vec<Node>) -> Result<usize, Fault> {
    let start = at.wrapping_add(1);
    let end = find_special(bytes, start);
    let (end, tag) = match bytes.get(end) {
        Some(b'"') => (end, Tag::Text),
        _ => (skip_escapes(bytes, end)?, Tag::Escaped),
    };
    nodes.push(Node::new(tag, start, end.wrapping_sub(start)));
    Ok(end.wrapping_add(1))
}

/// The place of the first byte that is a quote, a backslash or a control character.
#[inline(always)]
fn find_special(bytes: &[u8], mut at: usize) -> usize {
    const LOW: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    const QUOTE: u64 = u64::from_ne_bytes([b'"'; 8]);
    const BACKSLASH: u64 = u64::from_ne_bytes([b'\\'; 8]);
    const SPACE: u64 = u64::from_ne_bytes([b' '; 8]);
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk);
        let (quote, backslash) = (word ^ QUOTE, word ^ BACKSLASH);
        // A byte that is less than another one borrows, which shows in its highest bit. What is above the first such byte
        // may be wrong, but only the first one is asked for.
        let found = ((quote.wrapping_sub(LOW) & !quote)
            | (backslash.wrapping_sub(LOW) & !backslash)
            | (word.wrapping_sub(SPACE) & !word))
            & HIGH;
        if found != 0 {
            return at.wrapping_add((found.trailing_zeros() >> 3) as usize);
        }
        at = at.wrapping_add(8);
    }
    while let Some(&byte) = bytes.get(at) {
        if byte < b' ' || byte == b'"' || byte == b'\\' {
            break;
        }
        at = at.wrapping_add(1);
    }
    at
}

/// Goes on to the end of a text from a byte in it that is no quote.
#[inline(never)]
fn skip_escapes(bytes: &[u8], mut at: usize) -> Result<usize, Fault> {
    loop {
        match bytes.get(at) {
            Some(b'"') => return Ok(at),
            Some(b'\\') => at = skip_escape(bytes, at)?,
            Some(_) => return Err(Fault { at, what: What::Control }),
            None => return Err(Fault { at: bytes.len(), what: What::Ended }),
        }
        at = find_special(bytes, at);
    }
}

/// The place after an escape.
fn skip_escape(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    let kind = at.wrapping_add(1);
    match bytes.get(kind) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => return Ok(at.wrapping_add(2)),
        Some(b'u') => {}
        Some(_) => return Err(Fault { at, what: What::Escape }),
        None => return Err(Fault { at: kind, what: What::Ended }),
    }
    let after = at.wrapping_add(6);
    match unit(bytes, at)? {
        0xd800..=0xdbff => {
            let low = (bytes.get(after) == Some(&b'\\') && bytes.get(after.wrapping_add(1)) == Some(&b'u'))
                .then(|| unit(bytes, after))
                .transpose()?;
            match low {
                Some(0xdc00..=0xdfff) => Ok(after.wrapping_add(6)),
                _ => Err(Fault { at, what: What::Surrogate }),
            }
        }
        0xdc00..=0xdfff => Err(Fault { at, what: What::Surrogate }),
        _ => Ok(after),
    }
}

/// The number of an escape at a place: `\u` and four hexadecimal digits.
fn unit(bytes: &[u8], at: usize) -> Result<u16, Fault> {
    let mut number = 0_u16;
    for place in 2..6 {
        let place = at.wrapping_add(place);
        let Some(&byte) = bytes.get(place) else { return Err(Fault { at: place, what: What::Ended }) };
        let Some(digit) = char::from(byte).to_digit(16) else { return Err(Fault { at, what: What::Escape }) };
        number = number << 4 | u16::try_from(digit).unwrap_or_default();
    }
    Ok(number)
}

/// `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?`
#[inline]
fn number(bytes: &[u8], start: usize, nodes: &mut Vec<Node>) -> Result<usize, Fault> {
    let mut end = start;
    if bytes.get(end) == Some(&b'-') {
        end = end.wrapping_add(1);
    }
    if bytes.get(end) == Some(&b'0') {
        end = end.wrapping_add(1);
    } else {
        end = digits(bytes, end)?;
    }
    if bytes.get(end) == Some(&b'.') {
        end = digits(bytes, end.wrapping_add(1))?;
    }
    if let Some(b'e' | b'E') = bytes.get(end) {
        end = end.wrapping_add(1);
        if let Some(b'+' | b'-') = bytes.get(end) {
            end = end.wrapping_add(1);
        }
        end = digits(bytes, end)?;
    }
    nodes.push(Node::new(Tag::Number, start, end.wrapping_sub(start)));
    Ok(end)
}

/// The place after one digit or more.
#[inline]
fn digits(bytes: &[u8], start: usize) -> Result<usize, Fault> {
    let mut at = start;
    while let Some(b'0'..=b'9') = bytes.get(at) {
        at = at.wrapping_add(1);
    }
    match bytes.get(at) {
        None if at == start => Err(Fault { at, what: What::Ended }),
        Some(_) if at == start => Err(Fault { at, what: What::Number }),
        _ => Ok(at),
    }
}

#[inline]
fn literal(bytes: &[u8], at: usize, nodes: &mut Vec<Node>, word: &[u8], tag: Tag) -> Result<usize, Fault> {
    let end = at.wrapping_add(word.len());
    if bytes.get(at..end) == Some(word) {
        nodes.push(Node::new(tag, at, word.len()));
        return Ok(end);
    }
    if word.starts_with(bytes.get(at..).unwrap_or_default()) {
        return Err(Fault { at: bytes.len(), what: What::Ended });
    }
    Err(Fault { at, what: What::Literal })
}
