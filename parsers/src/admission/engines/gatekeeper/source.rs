//! The Rego of a template: where it stands, and what Gatekeeper asks of it before it is compiled.

use portcullis_policy::{NodeError, Place};
use portcullis_rego::Fault;

use super::read::{At, shorten};

/// A module in a document.
#[derive(Debug)]
pub(super) struct Source<'n> {
    at: At<'n>,
    text: &'n str,
    /// Whether the lines of the text are lines of the file.
    block: bool,
}

impl<'n> Source<'n> {
    /// A text; `line` is the line of what holds it, its key or list.
    pub(super) fn new(at: &At<'n>, text: &'n str, line: u32) -> Self {
        Self { block: at.node.place.line > line, at: at.clone(), text }
    }

    pub(super) fn at(&self) -> &At<'n> {
        &self.at
    }

    pub(super) fn text(&self) -> &'n str {
        self.text
    }

    /// The text as a module of another package. Columns after the package stay as they are where there is room for it.
    ///
    /// # Errors
    /// It has no package.
    pub(super) fn with_package(&self, package: &str, scan: &Scan<'_>) -> Result<String, NodeError> {
        let Some((start, end)) = scan.package_at else { return Err(self.no_package()) };
        let (before, after) = (self.text.get(..start).unwrap_or_default(), self.text.get(end..).unwrap_or_default());
        let width = end.saturating_sub(start);
        Ok(format!("{before}{package:width$}{after}"))
    }

    pub(super) fn no_package(&self) -> NodeError {
        self.at.error("it does not begin with `package` and a name")
    }

    /// An error at a row and a column of the text, from 1.
    pub(super) fn error(&self, row: u32, column: u32, message: &str) -> NodeError {
        let place = &self.at.node.place;
        let blank = self.text.bytes().take_while(|byte| *byte == b'\n').count();
        let line = place.line.saturating_add(row.saturating_sub(1)).saturating_sub(u32::try_from(blank).unwrap_or(0));
        if row == 0 || !self.block {
            let within = if row == 0 { String::new() } else { format!("row {row}, column {column}: ") };
            return self.at.error(format!("{within}{message}"));
        }
        let column = place.column.saturating_add(column.saturating_sub(1));
        NodeError::new(&Place { file: place.file.clone(), line, column }, &self.at.path, message)
    }

    pub(super) fn fault(&self, fault: &Fault) -> NodeError {
        self.error(fault.row, fault.column, &format!("{}: {}", fault.code, fault.message))
    }

    fn error_at(&self, offset: usize, message: &str) -> NodeError {
        let before = self.text.get(..offset).unwrap_or_default();
        let row = before.bytes().filter(|byte| *byte == b'\n').count().saturating_add(1);
        let line = before.rsplit('\n').next().unwrap_or_default();
        let column = line.chars().count().saturating_add(1);
        self.error(u32::try_from(row).unwrap_or(0), u32::try_from(column).unwrap_or(0), message)
    }

    /// What Gatekeeper refuses: documents under `data` that it does not have. A rule that reads one would never hold.
    pub(super) fn check_data(&self, scan: &Scan<'_>, errors: &mut Vec<NodeError>) {
        for (offset, path) in &scan.data {
            if !matches!(path.first(), Some(&("inventory" | "lib"))) {
                let message = format!(
                    "templates have `data.inventory` and their `data.lib`; there is no `data{}{}`",
                    if path.is_empty() { "" } else { "." },
                    shorten(&path.join("."))
                );
                errors.push(self.error_at(*offset, &message));
            }
        }
    }
}

/// What is to be known of a module before it is compiled.
#[derive(Debug, Default)]
pub(super) struct Scan<'t> {
    /// The package: `lib.helpers`.
    pub(super) package: Vec<&'t str>,
    /// Where the package's name stands.
    package_at: Option<(usize, usize)>,
    /// Where `data` is read, and what of it, as far as that is written out.
    data: Vec<(usize, Vec<&'t str>)>,
}

impl<'t> Scan<'t> {
    /// Looks through a module, past texts and comments. What is no Rego is for the compiler to refuse.
    pub(super) fn of(text: &'t str) -> Self {
        let mut scan = Self::default();
        let mut words = Words { text, at: 0 };
        let mut before = Word::End;
        loop {
            let start = words.skip();
            let word = words.next();
            match word {
                Word::End => return scan,
                Word::Name("package") if before == Word::End => {
                    let start = words.skip();
                    if let Word::Name(first) = words.next() {
                        scan.package = vec![first];
                        scan.package.extend(words.path());
                        scan.package_at = Some((start, words.at));
                    }
                }
                Word::Name("data") if before != Word::Other(b'.') => scan.data.push((start, words.path())),
                _ => {}
            }
            before = word;
        }
    }

    pub(super) fn reads_inventory(&self) -> bool {
        self.data.iter().any(|(_, path)| path.first() == Some(&"inventory"))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word<'t> {
    End,
    Name(&'t str),
    Text(&'t str),
    Other(u8),
}

struct Words<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Words<'t> {
    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at.saturating_add(ahead)).copied()
    }

    fn step(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes).min(self.text.len());
    }

    /// Passes over space and comments, and says where the next word begins.
    fn skip(&mut self) -> usize {
        while let Some(byte) = self.byte(0) {
            match byte {
                b'#' => {
                    while self.byte(0).is_some_and(|byte| byte != b'\n') {
                        self.step(1);
                    }
                }
                byte if byte.is_ascii_whitespace() => self.step(1),
                _ => break,
            }
        }
        self.at
    }

    fn next(&mut self) -> Word<'t> {
        let start = self.skip();
        let Some(byte) = self.byte(0) else { return Word::End };
        match byte {
            b'"' | b'`' => {
                self.step(1);
                while let Some(next) = self.byte(0).filter(|next| *next != byte) {
                    self.step(if next == b'\\' && byte == b'"' { 2 } else { 1 });
                }
                let inner = self.text.get(start.saturating_add(1)..self.at).unwrap_or_default();
                self.step(1);
                Word::Text(inner)
            }
            byte if is_name(byte) => {
                while self.byte(0).is_some_and(is_name) {
                    self.step(1);
                }
                Word::Name(self.text.get(start..self.at).unwrap_or_default())
            }
            other => {
                self.step(1);
                Word::Other(other)
            }
        }
    }

    /// What follows of a path: `.name` and `["name"]`, without space between.
    fn path(&mut self) -> Vec<&'t str> {
        let mut path = Vec::new();
        loop {
            let before = self.at;
            let found = match self.byte(0) {
                Some(b'.') if self.byte(1).is_some_and(is_name) => {
                    self.step(1);
                    match self.next() {
                        Word::Name(name) => Some(name),
                        _ => None,
                    }
                }
                Some(b'[') if matches!(self.byte(1), Some(b'"' | b'`')) => {
                    self.step(1);
                    match (self.next(), self.byte(0)) {
                        (Word::Text(text), Some(b']')) => {
                            self.step(1);
                            Some(text)
                        }
                        _ => None,
                    }
                }
                _ => None,
            };
            match found {
                Some(name) => path.push(name),
                None => {
                    self.at = before;
                    return path;
                }
            }
        }
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::Scan;

    #[test]
    fn data_is_found_where_it_is_read() {
        let scan = Scan::of(
            "# data.comment\npackage a.b[\"c\"]\nimport data.lib.x\nr { \"data.text\"; x.data.y; data.inventory.cluster[_]\n data[\"inventory\"].z; `\ndata.raw`; data[k] }",
        );
        assert_eq!(scan.package, ["a", "b", "c"]);
        let paths: Vec<_> = scan.data.iter().map(|(_, path)| path.join(".")).collect();
        assert_eq!(paths, ["lib.x", "inventory.cluster", "inventory.z", ""]);
        assert!(scan.reads_inventory());
    }

    #[test]
    fn what_is_no_rego_ends() {
        for text in ["", "package", "package \"x\"", "\"", "`", "\"\\", "data", "data.", "data[\"", "\u{e9}data", "# x"]
        {
            let scan = Scan::of(text);
            assert!(scan.package.is_empty(), "{text}");
        }
    }
}
