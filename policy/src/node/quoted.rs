//! Quoted texts whose further lines stand no further in than their key.
//!
//! YAML wants them further in (1.2.2, section 7.3.1, `s-flow-line-prefix`), and the parser keeps to it. What kubectl and
//! Gatekeeper read YAML with does not, so that such files are in use. "Leading and trailing white space characters on each line are excluded
//! from the content", section 7.3.1 goes on, so that blanks before a line change nothing but where it stands.

use std::borrow::Cow;

use super::NodeError;

/// What the parser says of such a text; the place is that of its first quote.
const FAULT: &str = "not YAML: invalid indentation in quoted scalar";

/// Bytes that may be read again for the sake of such texts: as many as the largest file has. So reading stays linear.
const MAX_AGAIN: usize = super::MAX_FILE_BYTES;

/// A text that is put right where the parser finds fault with it.
pub(super) struct Quoted<'t> {
    text: Cow<'t, str>,
    again: usize,
}

impl<'t> Quoted<'t> {
    pub(super) const fn new(text: &'t str) -> Self {
        Self { text: Cow::Borrowed(text), again: 0 }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Puts blanks before the lines of the quoted text at the place of an error. False if the error is another one, or stays.
    pub(super) fn indent(&mut self, error: &NodeError) -> bool {
        self.again = self.again.saturating_add(self.text.len());
        if error.message != FAULT || self.again > MAX_AGAIN {
            return false;
        }
        match indent(&self.text, error.place.line, error.place.column) {
            Some(text) => {
                self.text = Cow::Owned(text);
                true
            }
            None => false,
        }
    }
}

/// The text with the lines of one quoted text further in than the quote that it begins with.
fn indent(text: &str, line: u32, column: u32) -> Option<String> {
    let line = usize::try_from(line).ok()?.checked_sub(1)?;
    let column = usize::try_from(column).ok()?.checked_sub(1)?;
    let before: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let begins = before.checked_add(text.get(before..)?.chars().take(column).map(char::len_utf8).sum())?;
    let (head, quoted) = text.split_at_checked(begins)?;
    let mut characters = quoted.char_indices();
    let (_, quote) = characters.next().filter(|(_, quote)| matches!(quote, '"' | '\''))?;
    let mut out = head.to_owned();
    let mut done = 0;
    let mut is_escaped = false;
    for (at, character) in characters {
        match character {
            '\n' => {
                let (lines, rest) = quoted.split_at_checked(at.checked_add(1)?)?;
                // These end a document, and so are no part of a text.
                if rest.starts_with("---") || rest.starts_with("...") {
                    return None;
                }
                out.push_str(lines.get(done..)?);
                out.extend(std::iter::repeat_n(' ', column.checked_add(1)?));
                done = lines.len();
                is_escaped = false;
            }
            '\\' if quote == '"' => is_escaped = !is_escaped,
            end if end == quote && !is_escaped => {
                let ends = at.checked_add(1)?;
                // Two of them are one in the text: the second does not end it.
                if quote == '\'' && quoted.get(ends..)?.starts_with('\'') {
                    is_escaped = true;
                    continue;
                }
                out.push_str(quoted.get(done..)?);
                return (done > 0).then_some(out);
            }
            _ => is_escaped = false,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::{Node, Value};

    fn texts(yaml: &str) -> Result<Vec<String>, String> {
        fn add(node: &Node, texts: &mut Vec<String>) {
            match &node.value {
                Value::Map(entries) => entries.iter().for_each(|entry| add(&entry.value, texts)),
                Value::List(items) => items.iter().for_each(|item| add(item, texts)),
                Value::Text(text) => texts.push(text.clone()),
                _ => texts.push("another".to_owned()),
            }
        }
        let documents = Node::load("a.yaml", yaml.as_bytes()).map_err(|error| error.to_string())?;
        let mut texts = Vec::new();
        documents.iter().for_each(|document| add(document, &mut texts));
        Ok(texts)
    }

    #[test]
    fn lines_under_their_key_are_read_as_go_reads_them() {
        for (yaml, wanted) in [
            ("a:\n  b: \"one\n  two\"\n  c: d\n", &["one two", "d"][..]),
            ("a:\n  b: 'it''s\n  two'\n  c: d\n", &["it's two", "d"]),
            ("a:\n  b: \"say \\\"x\\\"\n  two\\\\\"\n", &["say \"x\" two\\"]),
            ("a:\n  b: \"one\n\n  two\n  three\"\n", &["one\ntwo three"]),
            ("a:\n  b: \"one\\\n  two\"\n", &["onetwo"]),
            ("a:\n  - \"\u{fc}ber\n  zwei\"\n  - x\n", &["\u{fc}ber zwei", "x"]),
            ("a:\n  b: \"one\n  two\"\n  c: 'three\n  four'\n---\nd: e\n", &["one two", "three four", "e"]),
        ] {
            assert_eq!(
                texts(yaml).as_deref(),
                Ok(wanted.iter().map(|&text| text.to_owned()).collect::<Vec<_>>().as_slice()),
                "{yaml}"
            );
        }
    }

    #[test]
    fn what_has_no_end_stays_refused() {
        for yaml in ["a:\n  b: \"one\n  two\n", "a:\n  b: \"one\n---\n  two\"\n", "a:\n  b: \"one\n...\n  two\"\n"] {
            assert!(texts(yaml).is_err(), "{yaml}");
        }
    }

    /// Each such text makes the rest be read again, so that many of them in a large file are refused.
    #[test]
    fn it_does_not_take_long() {
        let many = (0..2000).map(|n| format!("  k{n}: \"one\n  two\"\n")).collect::<String>();
        assert!(texts(&format!("a:\n{many}")).is_err());
        let some = (0..200).map(|n| format!("  k{n}: \"one\n  two\"\n")).collect::<String>();
        assert_eq!(texts(&format!("a:\n{some}")).map(|texts| texts.len()), Ok(200));
    }
}
