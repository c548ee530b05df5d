//! What reading a text comes to.

use super::reader::Reader;
use super::{Action, Kind, SyntaxError};

/// What one CQL text does, statement by statement.
///
/// Names are copied into one place, folded as Cassandra folds them, so that a prepared statement is a clone of it. Its
/// memory is kept from text to text.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// What each statement does, and where its objects end.
    pub(super) statements: Vec<(Action, u32)>,
    pub(super) objects: Vec<Record>,
    pub(super) names: String,
    pub(super) needs_keyspace: bool,
    pub(super) is_batch: bool,
}

/// An object, its names in the script's memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) kind: Kind,
    pub(super) keyspace: Option<Span>,
    pub(super) name: Option<Span>,
    /// Whether it is in the keyspace of the statement's main object, if it does not say another one.
    pub(super) is_at_home: bool,
}

/// A part of the script's names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// Names are not longer than the text that they are in, which is limited.
    pub(super) fn new(start: usize, end: usize) -> Self {
        let position = |at| u32::try_from(at).unwrap_or(u32::MAX);
        Self { start: position(start), end: position(end) }
    }
}

impl Script {
    /// Reads a whole text. On error the script is empty.
    ///
    /// # Errors
    ///
    /// What Cassandra refuses, what its versions read differently, and what is beyond the limits.
    pub fn read(&mut self, text: &[u8]) -> Result<(), SyntaxError> {
        self.clear();
        let read = self.read_text(text);
        if read.is_err() {
            self.clear();
        }
        read
    }

    fn read_text(&mut self, text: &[u8]) -> Result<(), SyntaxError> {
        if text.len() > MAX_TEXT {
            return Err(SyntaxError { reason: "longer than a frame" });
        }
        // Cassandra refuses it, too.
        let text = std::str::from_utf8(text).map_err(|_| SyntaxError { reason: "not UTF-8" })?;
        Reader::new(text, self).read()
    }

    fn clear(&mut self) {
        self.statements.clear();
        self.objects.clear();
        self.names.clear();
        if self.objects.capacity() > KEPT_OBJECTS || self.names.capacity() > KEPT_NAMES {
            *self = Self::default();
        }
        self.needs_keyspace = false;
        self.is_batch = false;
    }

    /// A batch in text has one for each statement in it; every other text has one.
    pub fn statements(&self) -> impl Iterator<Item = Statement<'_>> + Clone {
        let mut start = 0;
        self.statements.iter().map(move |&(action, end)| {
            let objects = self.objects.get(start as usize..end as usize).unwrap_or_default();
            start = end;
            Statement { action, objects, names: &self.names }
        })
    }

    /// Whether any object is named without its keyspace, and so depends on the connection's.
    pub fn needs_keyspace(&self) -> bool {
        self.needs_keyspace
    }

    /// How many objects its statements name.
    pub fn object_count(&self) -> usize {
        self.objects.len()
    }

    /// Bytes that a clone of it takes besides itself.
    pub fn footprint(&self) -> usize {
        size_of_val(self.statements.as_slice())
            .saturating_add(size_of_val(self.objects.as_slice()))
            .saturating_add(self.names.len())
    }

    /// Whether the text is a batch.
    pub fn is_batch(&self) -> bool {
        self.is_batch
    }
}

/// One statement.
#[derive(Clone, Copy, Debug)]
pub struct Statement<'a> {
    /// What it does.
    pub action: Action,
    objects: &'a [Record],
    names: &'a str,
}

impl<'a> Statement<'a> {
    /// Every object it names, the one that it is about first.
    pub fn objects(&self) -> impl Iterator<Item = Object<'a>> + Clone + use<'a> {
        let names = self.names;
        let text = move |span: Span| names.get(span.start as usize..span.end as usize);
        self.objects.iter().map(move |record| Object {
            kind: record.kind,
            keyspace: record.keyspace.and_then(text),
            name: record.name.and_then(text),
        })
    }
}

/// An object that a statement names, as Cassandra resolves the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object<'a> {
    /// What it is.
    pub kind: Kind,
    /// The keyspace it is in, where the text says so. What a statement names beside its main object, and without a
    /// keyspace, is in that of the main one.
    pub keyspace: Option<&'a str>,
    /// Its name, where it has one.
    pub name: Option<&'a str>,
}

/// Bytes of a text: what `native_transport_max_frame_size` may be set to, at most.
const MAX_TEXT: usize = 256 << 20;

/// Objects whose memory is kept for the next text, and that of the statements with it, of which there are no more.
const KEPT_OBJECTS: usize = 512;

/// Bytes of names whose memory is kept for the next text.
const KEPT_NAMES: usize = 16 << 10;
