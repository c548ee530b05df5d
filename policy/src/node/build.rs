//! Builds trees from events, within limits.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Entry, Node, NodeError, Place, Value};

/// Bytes of one file. Ten thousand policies of one item take about 5 MB.
pub(crate) const MAX_FILE_BYTES: usize = 16 << 20;
/// Lists and maps within each other. A policy has 12; the readers of trees may recurse this deep.
pub(super) const MAX_DEPTH: usize = 64;
/// Values of one file. A node takes about 130 bytes with its key; ten thousand policies of one item have 400,000.
pub(super) const MAX_NODES: usize = 1_000_000;
/// Characters of one `[...]` or `{...}` or one text in YAML. The YAML scanner holds a flow collection as tokens (about
/// 150 bytes for each byte of text) until it knows that it is not a key. Larger ones must be JSON or block style.
pub(super) const MAX_FLOW_CHARS: usize = 256 << 10;

/// Checks what holds for any text, before a parser sees it.
pub(super) fn check_text<'t>(file: &Arc<str>, text: &'t [u8]) -> Result<&'t str, NodeError> {
    if text.len() > MAX_FILE_BYTES {
        let message = format!("the file has {} bytes, more than {MAX_FILE_BYTES}; split it", text.len());
        return Err(NodeError::new(&Place::whole(file), "", message));
    }
    let valid = match std::str::from_utf8(text) {
        Ok(text) => text,
        Err(error) => {
            let before = text.get(..error.valid_up_to()).unwrap_or_default();
            return Err(NodeError::new(&place_after(file, before), "", "invalid UTF-8; save the file as UTF-8"));
        }
    };
    if let Some(at) = memchr::memchr(0, text) {
        let before = text.get(..at).unwrap_or_default();
        return Err(NodeError::new(&place_after(file, before), "", "a NUL byte; remove it"));
    }
    Ok(valid.strip_prefix('\u{feff}').unwrap_or(valid))
}

fn place_after(file: &Arc<str>, before: &[u8]) -> Place {
    let line = memchr::memchr_iter(b'\n', before).count();
    let start = memchr::memrchr(b'\n', before).map_or(0, |at| at.saturating_add(1));
    let column = String::from_utf8_lossy(before.get(start..).unwrap_or_default()).chars().count();
    Place { file: Arc::clone(file), line: count(line).saturating_add(1), column: count(column).saturating_add(1) }
}

/// A line or a column: [`MAX_FILE_BYTES`] keeps both far below the limit of the type.
pub(super) fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Puts a tree together from events.
#[derive(Default)]
pub(super) struct Builder {
    open: Vec<Frame>,
    done: Option<Node>,
    nodes: usize,
}

struct Frame {
    place: Place,
    holds: Holds,
}

enum Holds {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, key: Option<(String, Place)> },
}

impl Builder {
    /// The document that was built since the last call.
    pub(super) fn take(&mut self) -> Option<Node> {
        self.done.take()
    }

    /// Whether the next scalar is a key.
    pub(super) fn wants_key(&self) -> bool {
        matches!(self.open.last(), Some(Frame { holds: Holds::Map { key: None, .. }, .. }))
    }

    pub(super) fn begin_list(&mut self, place: Place) -> Result<(), NodeError> {
        self.begin(place, Holds::List(Vec::new()))
    }

    pub(super) fn begin_map(&mut self, place: Place) -> Result<(), NodeError> {
        self.begin(place, Holds::Map { entries: Vec::new(), key: None })
    }

    fn begin(&mut self, place: Place, holds: Holds) -> Result<(), NodeError> {
        if self.wants_key() {
            return Err(NodeError::new(&place, "", "a key must be text, not a list or a map"));
        }
        if self.open.len() >= MAX_DEPTH {
            let message = format!("more than {MAX_DEPTH} lists and maps within each other");
            return Err(NodeError::new(&place, "", message));
        }
        self.open.push(Frame { place, holds });
        Ok(())
    }

    pub(super) fn key(&mut self, place: Place, text: String) -> Result<(), NodeError> {
        if text == "<<" {
            return Err(NodeError::new(&place, "", "merge keys (`<<`) are not supported; write the fields out"));
        }
        if let Some(Frame { holds: Holds::Map { key, .. }, .. }) = self.open.last_mut() {
            *key = Some((text, place));
        }
        Ok(())
    }

    /// Closes the innermost list or map.
    pub(super) fn end(&mut self) -> Result<(), NodeError> {
        let Some(Frame { place, holds }) = self.open.pop() else { return Ok(()) };
        let value = match holds {
            Holds::List(nodes) => Value::List(nodes),
            Holds::Map { entries, .. } => {
                check_unique(&entries)?;
                Value::Map(entries)
            }
        };
        self.add(Node { place, value })
    }

    /// Adds a whole value.
    pub(super) fn add(&mut self, node: Node) -> Result<(), NodeError> {
        self.nodes = self.nodes.saturating_add(1);
        if self.nodes > MAX_NODES {
            return Err(NodeError::new(
                &node.place,
                "",
                format!("the file has more than {MAX_NODES} values; split it"),
            ));
        }
        if let Value::Text(text) = &node.value
            && text.contains('\0')
        {
            return Err(NodeError::new(&node.place, "", "the text holds a NUL; remove it"));
        }
        match self.open.last_mut().map(|frame| &mut frame.holds) {
            None => self.done = Some(node),
            Some(Holds::List(nodes)) => nodes.push(node),
            Some(Holds::Map { entries, key }) => {
                if let Some((key, place)) = key.take() {
                    entries.push(Entry { key, place, value: node });
                }
            }
        }
        Ok(())
    }
}

fn check_unique(entries: &[Entry]) -> Result<(), NodeError> {
    let mut seen = HashSet::with_capacity(entries.len());
    match entries.iter().find(|entry| !seen.insert(entry.key.as_str())) {
        None => Ok(()),
        Some(twice) => {
            let message = format!("the key `{}` stands here a second time; remove one", super::shorten(&twice.key));
            Err(NodeError::new(&twice.place, "", message))
        }
    }
}
