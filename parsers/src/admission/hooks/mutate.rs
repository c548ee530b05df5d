//! Changes of objects, as a JSON Patch (RFC 6902) that has only what really changes.

use std::collections::BTreeMap;

use super::at::{At, Reader, shorten};
use super::conditions::Condition;
use super::context::{Context, Metadata, Side};
use super::found::Found;
use super::images::{Reference, Registry};
use super::items::Items;
use super::podspec::slots;
use super::selectors::{check_key, check_label_value};
use super::truth::Truth;
use crate::admission::json::Kind;

/// One item of `mutate`.
#[derive(Debug)]
pub(super) struct Mutation {
    when: Condition,
    edits: Vec<(Metadata, Edit)>,
    rewrites: Vec<(Registry, Registry)>,
}

#[derive(Debug)]
enum Edit {
    Set(String, String),
    Add(String, String),
    Remove(String),
    Items(Items),
}

impl Edit {
    fn key(&self) -> &str {
        match self {
            Self::Set(key, _) | Self::Add(key, _) | Self::Remove(key) => key,
            Self::Items(items) => items.key(),
        }
    }
}

/// The object cannot be changed as it ought to be: this place of it is not what it ought to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lost(pub(super) String);

const FIELDS: [&str; 9] = [
    "when",
    "setLabels",
    "addLabels",
    "removeLabels",
    "setAnnotations",
    "addAnnotations",
    "removeAnnotations",
    "annotationItems",
    "rewriteRegistry",
];

impl Mutation {
    pub(super) fn read(at: &At<'_>, reader: &mut Reader) -> Option<Self> {
        if !at.check_fields(&FIELDS, reader) {
            return None;
        }
        let when = match at.field("when") {
            Some(when) => Condition::read(&when, &[], reader),
            None => Condition::always(),
        };
        let mut edits = Vec::new();
        for (field, set, add, remove) in [
            (Metadata::Labels, "setLabels", "addLabels", "removeLabels"),
            (Metadata::Annotations, "setAnnotations", "addAnnotations", "removeAnnotations"),
        ] {
            edits.extend(read_texts(at, remove, reader).into_iter().map(|key| (field, Edit::Remove(key))));
            for (name, edit) in [(set, Edit::Set as fn(String, String) -> Edit), (add, Edit::Add)] {
                for (key, value) in read_map(at, name, field, reader) {
                    edits.push((field, edit(key, value)));
                }
            }
        }
        if let Some(items) = at.field("annotationItems") {
            let items = items.items(reader);
            let items = items.iter().filter_map(|item| Items::read(item, reader));
            edits.extend(items.map(|items| (Metadata::Annotations, Edit::Items(items))));
        }
        for (n, (field, edit)) in edits.iter().enumerate() {
            if edits.iter().take(n).any(|(other, before)| other == field && before.key() == edit.key()) {
                let message = format!(
                    "the {} `{}` is changed twice by one item: removed, then set, then added; write one of them",
                    field.singular(),
                    shorten(edit.key())
                );
                reader.warn(at, message);
            }
        }
        let rewrites: Vec<_> = match at.field("rewriteRegistry") {
            Some(list) => list.items(reader).iter().filter_map(|item| read_rewrite(item, reader)).collect(),
            None => Vec::new(),
        };
        if edits.is_empty() && rewrites.is_empty() {
            let others = FIELDS.get(1..).unwrap_or_default().join("`, `");
            reader.refuse(at, format!("nothing is changed; write one of `{others}`"));
        }
        Some(Self { when, edits, rewrites })
    }
}

fn read_texts(at: &At<'_>, name: &str, reader: &mut Reader) -> Vec<String> {
    let texts = at.field(name).map(|list| reader.strings(&list)).unwrap_or_default();
    let check = |(key, at): (String, At<'_>)| {
        reader.note(check_key(&key).map_err(|why| at.error(why)));
        key
    };
    texts.into_iter().map(check).collect()
}

fn read_map(at: &At<'_>, name: &str, field: Metadata, reader: &mut Reader) -> Vec<(String, String)> {
    let Some(map) = at.field(name) else { return Vec::new() };
    let entries = map.entries();
    map.check_fields(&entries.iter().map(|(key, _)| *key).collect::<Vec<_>>(), reader);
    let mut out = Vec::new();
    for (key, at) in entries {
        let Some(value) = at.read::<String>(reader) else { continue };
        let value_fits = if field == Metadata::Labels { check_label_value(&value) } else { Ok(()) };
        reader.note(check_key(key).and(value_fits).map_err(|why| at.error(why)));
        out.push((key.to_owned(), value));
    }
    out
}

fn read_rewrite(at: &At<'_>, reader: &mut Reader) -> Option<(Registry, Registry)> {
    at.check_fields(&["from", "to"], reader);
    let mut registry = |name| {
        let text: String = at.need(name, reader)?;
        reader.note(Registry::parse(&text).map_err(|why| at.error(why)))
    };
    let (from, to) = (registry("from")?, registry("to")?);
    if from.contains(&to) {
        reader.refuse(at, "`to` is a part of `from`: an image would be rewritten again and again; choose another");
    }
    Some((from, to))
}

/// The changes of all items whose conditions hold for the object as it came, one after the other; nothing if there are
/// none.
///
/// # Errors
/// The object is not what it ought to be where it is to be changed, or where a condition asks.
pub(super) fn patch(mutations: &[Mutation], context: &Context<'_, '_>) -> Result<Option<Vec<u8>>, Lost> {
    let Some(object) = context.side(Side::New) else { return Ok(None) };
    let mut applying = Vec::new();
    for (index, mutation) in mutations.iter().enumerate() {
        match mutation.when.test(context, &mut Found::default()) {
            Truth::Yes => applying.push(mutation),
            Truth::No => {}
            Truth::Unreadable => return Err(Lost(format!("what `mutate[{index}].when` asks for"))),
        }
    }
    let mut patch = Patch::default();
    if !applying.is_empty() {
        let has_metadata = match object.get("metadata").map(|metadata| metadata.kind()) {
            None | Some(Kind::Null) => false,
            Some(Kind::Map) => true,
            Some(_) => return Err(Lost("`/metadata`".to_owned())),
        };
        let labels = Changes::of(&applying, Metadata::Labels, context)?;
        let annotations = Changes::of(&applying, Metadata::Annotations, context)?;
        if !has_metadata && (labels.adds() || annotations.adds()) {
            patch.operation("add", "/metadata", Some("{}"));
        }
        labels.write(&mut patch);
        annotations.write(&mut patch);
        rewrite_images(&applying, context, &mut patch)?;
    }
    Ok(patch.finish())
}

/// What becomes of labels or annotations.
struct Changes {
    field: Metadata,
    /// Whether the map is there.
    exists: bool,
    /// What keys are to have that have something else: whether they are there, and their value.
    entries: Vec<(String, (bool, Option<String>))>,
}

impl Changes {
    fn of(applying: &[&Mutation], field: Metadata, context: &Context<'_, '_>) -> Result<Self, Lost> {
        use super::context::{Entry, Keyed};
        let keyed = context.metadata(Side::New, field);
        let edits = applying.iter().flat_map(|mutation| &mutation.edits);
        let edits = edits.filter(|(edited, _)| *edited == field).map(|(_, edit)| edit);
        let mut state: BTreeMap<&str, Option<String>> = BTreeMap::new();
        for edit in edits {
            if matches!(keyed, Keyed::Unreadable) {
                return Err(Lost(format!("`/metadata/{}`", field.field())));
            }
            let before = |key: &str, state: &BTreeMap<&str, Option<String>>| match state.get(key) {
                Some(value) => Ok(value.clone()),
                None => match keyed.get(key) {
                    Entry::Absent => Ok(None),
                    Entry::Text(text) => Ok(Some(text.into_owned())),
                    Entry::Unreadable => Err(Lost(format!("`/metadata/{}/{}`", field.field(), escape(key)))),
                },
            };
            match edit {
                Edit::Set(key, value) => {
                    state.insert(key, Some(value.clone()));
                }
                Edit::Remove(key) => {
                    state.insert(key, None);
                }
                Edit::Add(key, value) => {
                    let kept = before(key, &state)?.unwrap_or_else(|| value.clone());
                    state.insert(key, Some(kept));
                }
                Edit::Items(items) => {
                    let value = before(items.key(), &state)?;
                    state.insert(items.key(), Some(items.ensure(value.as_deref())));
                }
            }
        }
        let entries = state.into_iter().filter_map(|(key, value)| {
            let (is_there, is_same) = match keyed.get(key) {
                Entry::Absent => (false, value.is_none()),
                Entry::Text(text) => (true, value.as_deref() == Some(&*text)),
                Entry::Unreadable => (true, false),
            };
            (!is_same).then(|| (key.to_owned(), (is_there, value)))
        });
        Ok(Self { field, exists: matches!(keyed, Keyed::Map(_)), entries: entries.collect() })
    }

    fn adds(&self) -> bool {
        !self.exists && !self.entries.is_empty()
    }

    fn write(self, patch: &mut Patch) {
        let parent = format!("/metadata/{}", self.field.field());
        if !self.exists {
            let mut values = BTreeMap::new();
            values.extend(self.entries.into_iter().filter_map(|(key, (_, value))| Some((key, value?))));
            if !values.is_empty() {
                patch.operation("add", &parent, Some(&write_json(&values)));
            }
            return;
        }
        for (key, (is_there, value)) in self.entries {
            let path = format!("{parent}/{}", escape(&key));
            match value {
                None => patch.operation("remove", &path, None),
                Some(value) => {
                    patch.operation(if is_there { "replace" } else { "add" }, &path, Some(&write_json(&value)));
                }
            }
        }
    }
}

fn rewrite_images(applying: &[&Mutation], context: &Context<'_, '_>, patch: &mut Patch) -> Result<(), Lost> {
    if applying.iter().all(|mutation| mutation.rewrites.is_empty()) {
        return Ok(());
    }
    for slot in slots(context) {
        let path = || match slot.value {
            Some(_) => format!("{}{}", slot.path(), slot.image_field()),
            None => slot.path(),
        };
        let lost = || Lost(format!("`{}`", path()));
        let image = slot.image().ok_or_else(lost)?.to_cow();
        let mut renamed: Option<String> = None;
        for mutation in applying {
            let now = renamed.as_deref().unwrap_or(&image);
            let reference = Reference::parse(now).ok_or_else(lost)?;
            let next = mutation.rewrites.iter().find_map(|(from, to)| from.rename(&reference, to));
            if next.as_deref().is_some_and(|next| Reference::parse(next).is_none()) {
                return Err(lost());
            }
            renamed = next.or(renamed);
        }
        if let Some(renamed) = renamed.filter(|renamed| *renamed != *image) {
            patch.operation("replace", &path(), Some(&write_json(&renamed)));
        }
    }
    Ok(())
}

/// A key as a part of a JSON pointer.
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn write_json<T: serde::Serialize>(value: &T) -> String {
    // Texts, and maps of texts, have no reason to fail.
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

/// The text of a patch.
#[derive(Default)]
struct Patch(String);

impl Patch {
    /// `value` is JSON.
    fn operation(&mut self, operation: &str, path: &str, value: Option<&str>) {
        self.0.push(if self.0.is_empty() { '[' } else { ',' });
        self.0.push_str(&format!(r#"{{"op":"{operation}","path":{}"#, write_json(&path)));
        if let Some(value) = value {
            self.0.push_str(r#","value":"#);
            self.0.push_str(value);
        }
        self.0.push('}');
    }

    fn finish(mut self) -> Option<Vec<u8>> {
        (!self.0.is_empty()).then(|| {
            self.0.push(']');
            self.0.into_bytes()
        })
    }
}
