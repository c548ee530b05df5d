//! Tests of images.

use super::super::at::{At, Reader, allowed, shorten};
use super::super::images::{Reference, Registry, is_tag};
use super::super::podspec::Slot;
use super::super::strings::{Names, Patterns};
use super::super::truth::Truth;

/// What one image must fulfil altogether.
#[derive(Debug)]
pub(super) struct Images {
    tests: Vec<Test>,
}

#[derive(Debug)]
enum Test {
    RegistryIn(Vec<Registry>),
    RegistryNotIn(Vec<Registry>),
    TagIn(Names),
    TagNotIn(Names),
    HasDigest(bool),
    Regex(Patterns),
    NotRegex(Patterns),
}

const FIELDS: [&str; 7] = ["registryIn", "registryNotIn", "tagIn", "tagNotIn", "hasDigest", "regex", "notRegex"];

impl Images {
    pub(super) fn read(at: &At<'_>, reader: &mut Reader) -> Self {
        at.check_fields(&FIELDS, reader);
        if at.is_map() && at.entries().is_empty() {
            reader.warn(at, format!("nothing is asked of the images, and each will do; {}", allowed(&FIELDS)));
        }
        let test = |(name, at): (&str, At<'_>)| {
            Some(match name {
                "registryIn" => Test::RegistryIn(read_registries(&at, reader)),
                "registryNotIn" => Test::RegistryNotIn(read_registries(&at, reader)),
                "tagIn" => Test::TagIn(read_tags(&at, reader)),
                "tagNotIn" => Test::TagNotIn(read_tags(&at, reader)),
                "hasDigest" => Test::HasDigest(at.read(reader)?),
                "regex" => Test::Regex(Patterns::read_one_or_more(&at, reader)),
                "notRegex" => Test::NotRegex(Patterns::read_one_or_more(&at, reader)),
                _ => return None,
            })
        };
        Self { tests: at.entries().into_iter().filter_map(test).collect() }
    }

    /// Whether this image does.
    pub(super) fn test(&self, slot: &Slot<'_>) -> Truth {
        let Some(text) = slot.image() else { return Truth::Unreadable };
        let text = text.to_cow();
        let Some(image) = Reference::parse(&text) else { return Truth::Unreadable };
        Truth::all(self.tests.iter().map(|test| {
            Truth::from(match test {
                Test::RegistryIn(registries) => registries.iter().any(|registry| registry.has(&image)),
                Test::RegistryNotIn(registries) => !registries.iter().any(|registry| registry.has(&image)),
                Test::TagIn(tags) => image.tag().is_some_and(|tag| tags.has(tag)),
                Test::TagNotIn(tags) => !image.tag().is_some_and(|tag| tags.has(tag)),
                Test::HasDigest(wanted) => image.has_digest() == *wanted,
                Test::Regex(patterns) => patterns.is_match(&text),
                Test::NotRegex(patterns) => !patterns.is_match(&text),
            })
        }))
    }
}

fn read_tags(at: &At<'_>, reader: &mut Reader) -> Names {
    let mut tags = Vec::new();
    for (tag, at) in reader.strings(at) {
        if !is_tag(&tag) {
            reader.refuse(&at, format!("`{}` is not a tag; write it as it is, without a colon", shorten(&tag)));
        }
        tags.push(tag);
    }
    Names::new(tags)
}

/// Reads a list of registries.
fn read_registries(at: &At<'_>, reader: &mut Reader) -> Vec<Registry> {
    let mut registries = Vec::new();
    for (entry, at) in reader.strings(at) {
        registries.extend(reader.note(Registry::parse(&entry).map_err(|why| at.error(why))));
    }
    registries
}
