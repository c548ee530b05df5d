//! Tests of labels and annotations.

use std::collections::HashMap;

use super::super::at::{At, Reader};
use super::super::context::{Context, Entry, Keyed, Metadata, Side};
use super::super::equal::by_key;
use super::super::found::{Found, Label};
use super::super::strings::{Keys, Patterns};
use super::super::truth::Truth;

/// Keys that must be there: holds if one is not, or its value does not match.
#[derive(Debug)]
pub(in super::super) struct Missing {
    field: Metadata,
    keys: Vec<(Box<str>, Option<Patterns>)>,
}

impl Missing {
    pub(super) fn read(at: &At<'_>, field: Metadata, reader: &mut Reader) -> Self {
        // A named list in the place of the whole; in an item, `list` and `key` tell maps apart.
        if at.is_map() {
            let keys = reader.strings(at).into_iter().map(|(key, at)| checked(key, &at, reader)).collect();
            return Self { field, keys };
        }
        let mut keys = Vec::new();
        for item in at.items(reader) {
            if !item.is_map() {
                keys.extend(item.read(reader).map(|key: String| checked(key, &item, reader)));
            } else if item.field("list").is_some() {
                keys.extend(reader.strings(&item).into_iter().map(|(key, at)| checked(key, &at, reader)));
            } else {
                item.check_fields(&["key", "regex"], reader);
                let regex = item.field("regex").map(|at| Patterns::read_one_or_more(&at, reader));
                keys.extend(item.need("key", reader).map(|key: String| (checked(key, &item, reader).0, regex)));
            }
        }
        Self { field, keys }
    }

    fn is_missing(keyed: &Keyed<'_>, key: &str, patterns: Option<&Patterns>) -> Truth {
        match keyed.get(key) {
            Entry::Absent => Truth::Yes,
            Entry::Unreadable => Truth::Unreadable,
            Entry::Text(text) => patterns.is_some_and(|patterns| !patterns.is_match(&text)).into(),
        }
    }

    pub(super) fn test<'h, 'd>(&'h self, context: &Context<'_, 'd>, found: &mut Found<'h, 'd>) -> Truth {
        let keyed = context.metadata(Side::Subject, self.field);
        let truth =
            Truth::any(self.keys.iter().map(|(key, patterns)| Self::is_missing(&keyed, key, patterns.as_ref())));
        if truth.may_hold() {
            found.missing = Some(self);
        }
        truth
    }

    /// The keys that are missing, or cannot be read.
    pub(in super::super) fn of<'h>(&'h self, context: &Context<'_, '_>) -> impl Iterator<Item = &'h str> {
        let keyed = context.metadata(Side::Subject, self.field);
        let missing =
            self.keys.iter().filter(move |(key, patterns)| Self::is_missing(&keyed, key, patterns.as_ref()).may_hold());
        missing.map(|(key, _)| &**key)
    }
}

fn checked(key: String, at: &At<'_>, reader: &mut Reader) -> (Box<str>, Option<Patterns>) {
    if let Err(why) = super::super::selectors::check_key(&key) {
        reader.refuse(at, why);
    }
    (key.into(), None)
}

/// What is to have become of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Any,
    Added,
    Removed,
}

/// Keys of which one must have changed.
#[derive(Debug)]
pub(super) struct Changed {
    field: Metadata,
    change: Change,
    keys: Keys,
}

impl Changed {
    pub(super) fn read(at: &At<'_>, field: Metadata, change: Change, reader: &mut Reader) -> Self {
        Self { field, change, keys: Keys::read(at, reader) }
    }

    pub(super) fn test<'h, 'd>(&'h self, context: &Context<'_, 'd>, found: &mut Found<'h, 'd>) -> Truth {
        let [old, new] = [Side::Old, Side::New].map(|side| context.metadata(side, self.field));
        if matches!(old, Keyed::Unreadable) || matches!(new, Keyed::Unreadable) {
            return Truth::Unreadable;
        }
        let mut truth = Truth::No;
        for key in &self.keys.exact {
            let one = self.has_changed(old.get(key), new.get(key));
            if one.may_hold() && !truth.may_hold() {
                found.label = Some(Label::Rule(key));
            }
            truth = truth.or(one);
        }
        if self.keys.prefixes.is_empty() || truth.holds() {
            return truth;
        }
        let maps = [old, new].map(|keyed| match keyed {
            Keyed::Map(map) => by_key(context, map),
            _ => HashMap::new(),
        });
        for keyed in [old, new] {
            let Keyed::Map(map) = keyed else { continue };
            for (text, _) in map.entries() {
                if truth.holds() || !context.spend() {
                    return truth;
                }
                let key = text.to_cow();
                if self.keys.has_prefix_of(&key) {
                    let [old, new] = maps.each_ref().map(|map| map.get(&key).copied().map_or(Entry::Absent, Entry::of));
                    let one = self.has_changed(old, new);
                    if one.may_hold() && !truth.may_hold() {
                        found.label = Some(Label::Object(text));
                    }
                    truth = truth.or(one);
                }
            }
        }
        truth
    }

    fn has_changed(&self, old: Entry<'_>, new: Entry<'_>) -> Truth {
        match (old, new) {
            (Entry::Unreadable, _) | (_, Entry::Unreadable) => Truth::Unreadable,
            (Entry::Absent, Entry::Absent) => Truth::No,
            (Entry::Absent, Entry::Text(_)) => (self.change != Change::Removed).into(),
            (Entry::Text(_), Entry::Absent) => (self.change != Change::Added).into(),
            (Entry::Text(old), Entry::Text(new)) => (self.change == Change::Any && old != new).into(),
        }
    }
}
