//! Changes the text of a policy file in place: what is not changed stays as it is, comments and layout included.

mod spans;
pub(crate) mod tree;

use std::collections::BTreeMap;
use std::ops::Range;

use portcullis_policy::Place;
use portcullis_policy::lint::Fix;

use spans::Spans;

/// A text with the places of its values, and the changes to be made.
pub(crate) struct Editor<'t> {
    text: &'t str,
    spans: Spans,
    /// By where they begin and end; they do not overlap.
    edits: BTreeMap<(usize, usize), String>,
}

impl<'t> Editor<'t> {
    /// Begins with a text that the policy loader has read; nothing can be changed in what it cannot read.
    pub(crate) fn new(text: &'t str) -> Option<Self> {
        Some(Self { text, spans: Spans::read(text)?, edits: BTreeMap::new() })
    }

    /// Notes a change. `false` if it cannot be made in this text, or overlaps with one that was noted before.
    pub(crate) fn apply(&mut self, fix: &Fix) -> bool {
        match fix {
            Fix::Replace { place, text } => self.replace(place, text),
            Fix::ReplaceEntry { place, old_key, key, text } => self.replace_entry(place, old_key, key, text),
            Fix::Remove { place } => self.remove_item(place),
            _ => false,
        }
    }

    /// Replaces the text of a scalar, in the style in which it is written.
    pub(crate) fn replace(&mut self, place: &Place, text: &str) -> bool {
        let Some(range) = self.scalar(place) else { return false };
        let Some(written) = write_like(&self.text[range.clone()], text) else { return false };
        self.note(range, written)
    }

    fn replace_entry(&mut self, place: &Place, old_key: &str, key: &str, text: &str) -> bool {
        let Some(range) = self.scalar(place) else { return false };
        let Some(written) = write_like(&self.text[range.clone()], text) else { return false };
        let Some(before) = self.key_before(range.start, old_key) else { return false };
        let between = &self.text[before.end..range.start];
        self.note(before.start..range.end, format!("{key}{between}{written}"))
    }

    /// The name of the key in front of a value, without quotes.
    fn key_before(&self, value: usize, key: &str) -> Option<Range<usize>> {
        let head = self.text[..value].trim_end().strip_suffix(':')?.trim_end();
        let head = head.strip_suffix(['"', '\'']).unwrap_or(head);
        let start = head.strip_suffix(key)?.len();
        Some(start..head.len())
    }

    /// Removes an entry of a map: its key with all that belongs to it.
    pub(crate) fn remove_entry(&mut self, key_place: &Place) -> bool {
        match self.spans.entry(key_place) {
            Some(range) => self.remove_range(range, None),
            None => false,
        }
    }

    /// Removes an item of a list.
    pub(crate) fn remove_item(&mut self, place: &Place) -> bool {
        match self.spans.whole(place) {
            Some(range) => self.remove_range(range, Some('-')),
            None => false,
        }
    }

    /// Removes what stands alone on its lines with the lines, and of a list or map in brackets with its comma.
    fn remove_range(&mut self, range: Range<usize>, dash: Option<char>) -> bool {
        let Range { start, end } = range;
        let line = self.text[..start].rfind('\n').map_or(0, |at| at + 1);
        let before = self.text[line..start].trim();
        let after_line = self.text[end..].find('\n').map_or(self.text.len(), |at| end + at + 1);
        let after = self.text[end..after_line].trim();
        let alone = dash.map_or(before.is_empty(), |dash| before == dash.to_string());
        if alone && (after.is_empty() || after.starts_with('#')) {
            return self.note(line..after_line, String::new());
        }
        if dash.is_none() && before.ends_with('-') && (after.is_empty() || after.starts_with('#')) {
            // The first of a map in a list: the next one takes its place, if there is one.
            let column = start - line;
            let comment = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
            let mut next = after_line;
            while let Some(line) = self.text[next..].split_inclusive('\n').next().filter(|line| comment(line)) {
                next += line.len();
            }
            let indent = self.text[next..].len() - self.text[next..].trim_start_matches(' ').len();
            return indent == column && self.note(start..next + indent, String::new());
        }
        let rest = &self.text[end..];
        let gap = rest.len() - rest.trim_start().len();
        if rest.trim_start().starts_with(',') {
            let comma = end + gap + 1;
            let space = self.text[comma..].len() - self.text[comma..].trim_start_matches(' ').len();
            return self.note(start..comma + space, String::new());
        }
        let head = self.text[..start].trim_end();
        // Spaces that stood in front of a bracket for what goes.
        let end =
            if rest.trim_start().starts_with([']', '}']) && !rest[..gap].contains('\n') { end + gap } else { end };
        if let Some(head) = head.strip_suffix(',') {
            return self.note(head.len()..end, String::new());
        }
        head.ends_with(['[', '{']) && self.note(start..end, String::new())
    }

    /// Gives a key with nothing behind it a value.
    pub(crate) fn fill(&mut self, key: &Place, value: &Place, text: &str) -> bool {
        if let Some(range) = self.scalar(value).filter(|range| !range.is_empty()) {
            return self.note(range, text.to_owned());
        }
        let Some(range) = self.scalar(key) else { return false };
        let Some(colon) = self.text[range.end..].find(':') else { return false };
        let at = range.end + colon + 1;
        self.note(at..at, format!(" {text}"))
    }

    /// Replaces an entry of a map, its key with all that belongs to it, by others.
    pub(crate) fn replace_entry_by(&mut self, key: &Place, entries: &[(&str, Words)]) -> bool {
        let Some(range) = self.spans.entry(key) else { return false };
        let text = self.write_entries(range.start, entries);
        self.note(range, text)
    }

    /// Puts entries in front of one of a map.
    pub(crate) fn insert_entries(&mut self, key: &Place, entries: &[(&str, Words)]) -> bool {
        let Some(Range { start, .. }) = self.spans.entry(key) else { return false };
        let text = self.write_entries(start, entries);
        let gap = self.gap(start);
        self.note(start..start, format!("{text}{gap}"))
    }

    /// Puts items that are maps in front of one of a list.
    pub(crate) fn insert_items(&mut self, item: &Place, items: &[Vec<(&str, Words)>]) -> bool {
        let Some(Range { start, .. }) = self.spans.whole(item) else { return false };
        let line = self.line_of(start);
        let head = &self.text[line..start];
        // Where the list is in brackets items are, too; JSON has its keys in quotes.
        let json = self.text[start..].trim_start_matches('{').trim_start().starts_with('"');
        let write = |item: &Vec<(&str, Words)>| format!("{{{}}}", join(item, json, ", "));
        let dash = head.len() - head.trim_start().len();
        let (at, before, gap) = match head.trim() {
            "-" => (line + dash, "- ", format!("\n{}", &head[..dash])),
            _ => (start, "", ", ".to_owned()),
        };
        let text: String = items.iter().map(|item| format!("{before}{}{gap}", write(item))).collect();
        self.note(at..at, text)
    }

    /// Puts an item in front of all others of a list that is the value of a key: below the key's line, in front of what is said of
    /// the others, or in the brackets. `why` becomes a comment where there is room for one.
    pub(crate) fn insert_first(&mut self, key: &Place, first: &Place, item: Vec<(&str, Words)>, why: &str) -> bool {
        let Some(key) = self.scalar(key) else { return false };
        let Some(Range { start, .. }) = self.spans.whole(first) else { return false };
        let line = self.line_of(start);
        let head = &self.text[line..start];
        if line <= key.start || head.trim() != "-" {
            return self.insert_items(first, &[item]);
        }
        let indent = &head[..head.len() - head.trim_start().len()];
        let end = self.text[key.end..].find('\n').map_or(self.text.len(), |at| key.end + at);
        let end = if self.text[..end].ends_with('\r') { end - 1 } else { end };
        let text = format!("\n{indent}- {} # {why}", join(&item, false, ", "));
        self.note(end..end, text)
    }

    fn line_of(&self, at: usize) -> usize {
        self.text[..at].rfind('\n').map_or(0, |at| at + 1)
    }

    fn write_entries(&self, start: usize, entries: &[(&str, Words)]) -> String {
        join(entries, self.text[start..].starts_with('"'), &self.gap(start))
    }

    /// What stands between two entries of a map, one of which begins there.
    fn gap(&self, start: usize) -> String {
        let line = self.line_of(start);
        let head = &self.text[line..start];
        // In block style only spaces, dashes and what else begins a line stand before a key.
        if head.chars().all(|c| matches!(c, ' ' | '-')) {
            let brackets = self.spans.in_brackets(start);
            if !brackets {
                return format!("\n{}", " ".repeat(head.len()));
            }
        }
        ", ".to_owned()
    }

    /// Replaces a whole value, list or map by other text.
    pub(crate) fn replace_whole(&mut self, place: &Place, text: &str) -> bool {
        match self.spans.whole(place) {
            Some(range) => self.note(range, text.to_owned()),
            None => false,
        }
    }

    fn scalar(&self, place: &Place) -> Option<Range<usize>> {
        self.spans.scalar(place)
    }

    fn note(&mut self, range: Range<usize>, text: String) -> bool {
        let before = self.edits.range(..(range.start, usize::MAX)).next_back();
        let after = self.edits.range((range.start, 0)..).next();
        let free = before.is_none_or(|((_, end), _)| *end <= range.start)
            && after.is_none_or(|((start, _), _)| range.end <= *start)
            && !self.edits.contains_key(&(range.start, range.end));
        if free {
            self.edits.insert((range.start, range.end), text);
        }
        free
    }

    /// The text with all changes.
    pub(crate) fn finish(self) -> String {
        let mut out = String::with_capacity(self.text.len());
        let mut at = 0;
        for ((start, end), text) in self.edits {
            out.push_str(&self.text[at..start]);
            out.push_str(&text);
            at = end;
        }
        out.push_str(&self.text[at..]);
        out
    }
}

/// One text, or a list of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Words {
    One(String),
    Some(Vec<String>),
    /// A list of one map.
    Map(Vec<(&'static str, String)>),
}

/// Entries of a map, one after the other.
fn join(entries: &[(&str, Words)], json: bool, gap: &str) -> String {
    let write = |text: &str| match json {
        true => serde_json::to_string(text).unwrap_or_default(),
        false if is_plain(text) => text.to_owned(),
        false => quote(text),
    };
    let colon = |(key, text): (&str, String)| format!("{}: {text}", if json { write(key) } else { key.to_owned() });
    let entries = entries.iter().map(|(key, words)| {
        let text = match words {
            Words::One(text) => write(text),
            Words::Some(texts) => format!("[{}]", texts.iter().map(|text| write(text)).collect::<Vec<_>>().join(", ")),
            Words::Map(entries) => {
                let entries: Vec<_> = entries.iter().map(|(key, text)| colon((key, write(text)))).collect();
                format!("[{{{}}}]", entries.join(", "))
            }
        };
        colon((key, text))
    });
    entries.collect::<Vec<_>>().join(gap)
}

/// Text as a scalar in the style of another one.
fn write_like(old: &str, new: &str) -> Option<String> {
    match old.chars().next() {
        Some('"') => serde_json::to_string(new).ok(),
        Some('\'') => Some(quote(new)),
        Some('|' | '>') => None,
        _ if is_plain(new) => Some(new.to_owned()),
        _ => Some(quote(new)),
    }
}

/// Text in quotes, the simplest that will do.
pub(crate) fn quote(text: &str) -> String {
    if text.chars().any(|c| c.is_control() || c == '\u{feff}' || c == '\u{2028}' || c == '\u{2029}') {
        return serde_json::to_string(text).unwrap_or_default();
    }
    format!("'{}'", text.replace('\'', "''"))
}

/// Whether a text needs no quotes, wherever it stands. Rather too few do than too many.
fn is_plain(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-^$*+()\\".contains(c);
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '^');
    let word = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    begins && text.chars().all(plain) && !word.contains(&text.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_policy::Node;
    use portcullis_policy::Value;

    fn place(text: &str, way: &[&str]) -> Place {
        let mut node = &Node::load("t", text.as_bytes()).expect("readable")[0];
        for step in way {
            node = match &node.value {
                Value::Map(entries) => &entries.iter().find(|entry| entry.key == *step).expect("there").value,
                Value::List(items) => &items[step.parse::<usize>().expect("a number")],
                _ => panic!("no {step}"),
            };
        }
        node.place.clone()
    }

    #[test]
    fn texts_are_replaced_in_their_own_style() {
        for (text, new, wanted) in [
            ("a: x.y # why\nb: 1\n", "x\\.y", "a: x\\.y # why\nb: 1\n"),
            ("a: 'x.y'   # why\n", "it's", "a: 'it''s'   # why\n"),
            ("a: \"x.y\"\n", "x\\.y", "a: \"x\\\\.y\"\n"),
            ("{a: x.y, b: 2}\n", "x: y", "{a: 'x: y', b: 2}\n"),
            ("{\"a\":\"x.y\"}", "x\\.y", "{\"a\":\"x\\\\.y\"}"),
            ("# ünïcode ✓\na: x.y\n", "z", "# ünïcode ✓\na: z\n"),
            ("\u{feff}a: x.y\n", "z", "\u{feff}a: z\n"),
            ("a: x.y\r\nb: 1\r\n", "z", "a: z\r\nb: 1\r\n"),
            ("a:\n  x.y\n", "true", "a:\n  'true'\n"),
        ] {
            let mut editor = Editor::new(text).expect("readable");
            assert!(editor.apply(&Fix::Replace { place: place(text, &["a"]), text: new.to_owned() }), "{text}");
            assert_eq!(editor.finish(), wanted);
        }
        let text = "a: |\n  x.y\n";
        let mut editor = Editor::new(text).expect("readable");
        assert!(!editor.replace(&place(text, &["a"]), "z"));
    }

    #[test]
    fn entries_and_items_go_with_what_belongs_to_them() {
        for (text, way, wanted) in [
            ("a:\n- b: 1\n- b: 2 # two\n- b: 3\n", ["a", "1"], "a:\n- b: 1\n- b: 3\n"),
            ("a:\n  - b: 1\n  - b: 2\n    c: 3\n# end\n", ["a", "1"], "a:\n  - b: 1\n# end\n"),
            ("a: [{b: 1}, {b: 2}, {b: 3}]\n", ["a", "1"], "a: [{b: 1}, {b: 3}]\n"),
            ("a: [{b: 1}, {b: 2}]\n", ["a", "1"], "a: [{b: 1}]\n"),
            ("a: [x, y]\n", ["a", "0"], "a: [y]\n"),
            ("{\"a\": [\n {\"b\": 1},\n {\"b\": 1}\n]}", ["a", "1"], "{\"a\": [\n {\"b\": 1}\n]}"),
        ] {
            let mut editor = Editor::new(text).expect("readable");
            assert!(editor.apply(&Fix::Remove { place: place(text, &way) }), "{text}");
            assert_eq!(editor.finish(), wanted);
        }
    }

    #[test]
    fn an_entry_gets_another_name_with_its_text() {
        for (text, wanted) in [
            ("a:\n- command: get\n  keyRegex: ^x$ # why\n", "a:\n- command: get\n  keyExact: x # why\n"),
            ("a: [{\"keyRegex\": \"^x$\"}]\n", "a: [{\"keyExact\": \"x\"}]\n"),
        ] {
            let mut editor = Editor::new(text).expect("readable");
            let place = place(text, &["a", "0", "keyRegex"]);
            let fix = Fix::ReplaceEntry { place, old_key: "keyRegex", key: "keyExact", text: "x".to_owned() };
            assert!(editor.apply(&fix));
            assert!(!editor.apply(&fix), "overlaps");
            assert_eq!(editor.finish(), wanted);
        }
    }
}
