//! What made a condition hold: what messages tell.

use std::borrow::Cow;

use super::conditions::Missing;
use super::context::Context;
use super::fields::Trail;
use super::podspec::Slot;

/// The first of each kind that was found. Costs nothing until it is told.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found<'h, 'd> {
    pub(super) image: Option<Slot<'d>>,
    pub(super) container: Option<Slot<'d>>,
    pub(super) missing: Option<&'h Missing>,
    pub(super) label: Option<Label<'h, 'd>>,
    pub(super) field: Option<FieldAt<'h, 'd>>,
}

/// The key of a label or annotation.
#[derive(Clone, Copy, Debug)]
pub(super) enum Label<'h, 'd> {
    Rule(&'h str),
    Object(crate::admission::json::Text<'d>),
}

/// A field of an object.
#[derive(Clone, Copy, Debug)]
pub(super) struct FieldAt<'h, 'd> {
    /// What the path of the field starts from: the pod spec, a container, an entry.
    pub(super) base: Base<'h, 'd>,
    pub(super) trail: Trail<'h, 'd>,
}

/// What the path of a field starts from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Base<'h, 'd> {
    Object,
    Pod(&'static str),
    Slot(Slot<'d>),
    Entry(Trail<'h, 'd>),
}

impl<'h, 'd> Found<'h, 'd> {
    /// The image as it is written, or the place where there ought to be one.
    pub(super) fn image(&self) -> Cow<'d, str> {
        let Some(slot) = self.image else { return "".into() };
        match slot.image().filter(|image| !image.is("")) {
            Some(image) => image.to_cow(),
            None if slot.value.is_some() => format!("{}{}", slot.path(), slot.image_field()).into(),
            None => slot.path().into(),
        }
    }

    /// The name of the container, or the place where there ought to be one.
    pub(super) fn container(&self) -> Cow<'d, str> {
        let Some(slot) = self.container else { return "".into() };
        let name = slot.value.and_then(|value| value.get("name")).and_then(|name| name.text());
        name.map_or_else(|| slot.path().into(), |name| name.to_cow())
    }

    /// The keys that are missing, as a set is written in Rego.
    pub(super) fn missing(&self, context: &Context<'_, 'd>) -> String {
        let Some(missing) = self.missing else { return String::new() };
        let mut keys: Vec<String> = missing.of(context).map(|key| format!("{key:?}")).collect();
        keys.sort_unstable();
        keys.dedup();
        format!("{{{}}}", keys.join(", "))
    }

    pub(super) fn label(&self) -> Cow<'d, str> {
        match self.label {
            None => "".into(),
            Some(Label::Rule(key)) => key.to_owned().into(),
            Some(Label::Object(key)) => key.to_cow(),
        }
    }

    /// The place of the field in the object, as a JSON pointer.
    pub(super) fn path(&self) -> String {
        let Some(FieldAt { base, trail }) = &self.field else { return String::new() };
        let mut path = match base {
            Base::Object => String::new(),
            Base::Pod(path) => (*path).to_owned(),
            Base::Slot(slot) => slot.path(),
            Base::Entry(trail) => trail.to_string(),
        };
        path.push_str(&trail.to_string());
        path
    }
}
