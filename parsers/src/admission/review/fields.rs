//! Fields of the envelope: each there once, and of the type that it should have.

use std::borrow::Cow;

use super::super::json::{Kind, Text, Value};

/// How many characters of a client's text an error quotes.
const MAX_QUOTED: usize = 80;

/// The values of some fields of a map.
///
/// # Errors
///
/// One of them that stands there twice, or in another capitalisation.
pub(super) fn fields<'d, const N: usize>(
    map: Value<'d>,
    path: &str,
    names: [&str; N],
) -> Result<[Option<Value<'d>>; N], String> {
    match collect(map, names) {
        (values, None) => Ok(values),
        (_, Some(ambiguity)) => Err(ambiguity.describe(path, &names)),
    }
}

/// A field that can be read in two ways.
pub(super) struct Ambiguity<'d> {
    /// The place of its name.
    pub(super) field: usize,
    /// How else it is spelled; not at all where it stands there twice.
    spelled: Option<Text<'d>>,
}

impl Ambiguity<'_> {
    pub(super) fn describe(&self, path: &str, names: &[&str]) -> String {
        let path = join(path, names.get(self.field).copied().unwrap_or_default());
        match self.spelled {
            None => format!("`{path}` stands there twice"),
            Some(key) => format!("{} is not how `{path}` is spelled", quote_text(key)),
        }
    }
}

/// The values of some fields of a map, and what is ambiguous: of several the first by name.
pub(super) fn collect<'d, const N: usize>(
    map: Value<'d>,
    names: [&str; N],
) -> ([Option<Value<'d>>; N], Option<Ambiguity<'d>>) {
    let mut values = [None; N];
    let mut worst: Option<Ambiguity<'d>> = None;
    let mut next = 0_usize;
    for (key, value) in map.entries() {
        // The API server writes the fields in the order of `names`, so that the first guess is right.
        let exact = match names.get(next) {
            Some(name) if key.is(name) => Some(next),
            _ => names.iter().position(|name| key.is(name)),
        };
        let ambiguity = if let Some(field) = exact {
            next = field.wrapping_add(1);
            let twice = values.get_mut(field).is_some_and(|slot| slot.replace(value).is_some());
            twice.then_some(Ambiguity { field, spelled: None })
        } else {
            let field = names.iter().position(|name| is_folded(key, name));
            field.map(|field| Ambiguity { field, spelled: Some(key) })
        };
        if let Some(ambiguity) = ambiguity
            && worst.as_ref().is_none_or(|worst| ambiguity.field < worst.field)
        {
            worst = Some(ambiguity);
        }
    }
    (values, worst)
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Whether decoders in Go take a key for this name, which is of ASCII letters, though it is not the same.
fn is_folded(key: Text<'_>, name: &str) -> bool {
    let fold = |character: char| match character {
        'ſ' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    key.chars().map(fold).eq(name.chars().map(fold))
}

/// A kind or a resource: a group, and two fields that cannot be empty.
pub(super) fn read_triple<'d>(
    value: Option<Value<'d>>,
    path: &str,
    names: [&str; 3],
) -> Result<Option<[Cow<'d, str>; 3]>, String> {
    let Some(map) = read_map(value, path)? else { return Ok(None) };
    let [group, version, last] = fields(map, path, names)?;
    let [group_name, version_name, last_name] = names;
    let triple = [
        read_text(group, path, group_name)?,
        read_text(version, path, version_name)?,
        read_text(last, path, last_name)?,
    ];
    match triple.iter().zip(names).skip(1).find(|(text, _)| text.is_empty()) {
        Some((_, name)) => Err(format!("`{path}.{name}` is missing or empty")),
        None => Ok(Some(triple)),
    }
}

/// A text; empty where it is absent or null, as for the API server.
pub(super) fn read_text<'d>(value: Option<Value<'d>>, path: &str, name: &str) -> Result<Cow<'d, str>, String> {
    match value.filter(|value| !value.is_null()) {
        None => Ok(Cow::Borrowed("")),
        Some(value) => {
            value.text().map(|text| text.to_cow()).ok_or_else(|| wrong_type(value, &join(path, name), "a text"))
        }
    }
}

pub(super) fn read_map<'d>(value: Option<Value<'d>>, path: &str) -> Result<Option<Value<'d>>, String> {
    match value.filter(|value| !value.is_null()) {
        Some(value) if value.kind() != Kind::Map => Err(wrong_type(value, path, "a map")),
        value => Ok(value),
    }
}

pub(super) fn read_texts<'d>(value: Option<Value<'d>>, path: &str) -> Result<Option<Value<'d>>, String> {
    match value.filter(|value| !value.is_null()) {
        Some(value) if value.kind() != Kind::List => Err(wrong_type(value, path, "a list of texts")),
        value => match value.into_iter().flat_map(Value::items).find(|item| item.kind() != Kind::Text) {
            Some(item) => Err(format!("`{path}` must be a list of texts, and has {} in it", name_kind(item.kind()))),
            None => Ok(value),
        },
    }
}

pub(super) fn read_bool(value: Option<Value<'_>>, path: &str) -> Result<bool, String> {
    match value.filter(|value| !value.is_null()) {
        None => Ok(false),
        Some(value) => value.bool().ok_or_else(|| wrong_type(value, path, "true or false")),
    }
}

fn wrong_type(value: Value<'_>, path: &str, expected: &str) -> String {
    format!("`{path}` must be {expected}, not {}", name_kind(value.kind()))
}

pub(super) const fn name_kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Null => "null",
        Kind::Bool => "true or false",
        Kind::Number => "a number",
        Kind::Text => "a text",
        Kind::List => "a list",
        Kind::Map => "a map",
    }
}

/// A value as it may stand in a message: a text cut and escaped, of others only what they are.
pub(super) fn quote(value: Option<Value<'_>>) -> String {
    match value {
        None => "nothing".into(),
        Some(value) => value.text().map_or_else(|| name_kind(value.kind()).to_owned(), quote_text),
    }
}

fn quote_text(text: Text<'_>) -> String {
    let mut characters = text.chars();
    let mut out = String::from("`");
    out.extend(characters.by_ref().take(MAX_QUOTED).flat_map(char::escape_debug));
    if characters.next().is_some() {
        out.push('…');
    }
    out.push('`');
    out
}
