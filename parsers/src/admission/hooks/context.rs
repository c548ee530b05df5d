//! One review as conditions see it: what many of them ask for is found once, and what all of them cost is bounded.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};

use super::podspec::PodSpec;
use crate::admission::json::{Kind, Value};
use crate::admission::review::{Operation, Review};

/// Entries of lists and maps that the conditions of a hook may look at in one review: a millisecond or few. The largest
/// hooks shipped look at some hundreds.
const MAX_STEPS: u32 = 200_000;

/// A review that is being judged.
pub(super) struct Context<'r, 'd> {
    pub(super) review: &'r Review<'d>,
    /// What conditions speak of: the object, or the old one where it is deleted.
    pub(super) object: Option<Value<'d>>,
    pod: OnceCell<PodSpec<'d>>,
    steps: Cell<u32>,
}

impl<'r, 'd> Context<'r, 'd> {
    pub(super) fn new(review: &'r Review<'d>) -> Self {
        Self { review, object: review.subject(), pod: OnceCell::new(), steps: Cell::new(MAX_STEPS) }
    }

    pub(super) fn pod(&self) -> PodSpec<'d> {
        *self.pod.get_or_init(|| PodSpec::of(self.review, self.object))
    }

    /// Pays for looking at one more entry. Says whether it may be looked at.
    pub(super) fn spend(&self) -> bool {
        let left = self.steps.get();
        self.steps.set(left.saturating_sub(1));
        left > 0
    }

    /// Whether there was more to look at than is looked at.
    pub(super) fn is_exhausted(&self) -> bool {
        self.steps.get() == 0
    }

    /// The object before and after the request.
    pub(super) fn side(&self, side: Side) -> Option<Value<'d>> {
        match (side, self.review.operation) {
            (Side::New, Operation::Delete) => None,
            (Side::New, _) => self.review.object,
            (Side::Old, _) => self.review.old_object,
            (Side::Subject, _) => self.object,
        }
    }

    /// The name: that of the review, else the object's, else what it is to begin with. Nothing if it cannot be read.
    pub(super) fn name(&self) -> Option<Cow<'d, str>> {
        if !self.review.name.is_empty() {
            return Some(self.review.name.clone());
        }
        let Some(metadata) =
            self.object.and_then(|object| object.get("metadata")).filter(|metadata| !metadata.is_null())
        else {
            return Some("".into());
        };
        if metadata.kind() != Kind::Map {
            return None;
        }
        for field in ["name", "generateName"] {
            match metadata.get(field) {
                None => {}
                Some(value) if value.is_null() => {}
                Some(value) => {
                    let name = value.text()?.to_cow();
                    if !name.is_empty() {
                        return Some(name);
                    }
                }
            }
        }
        Some("".into())
    }

    /// The namespace; of a namespace its name; empty for what has none. Nothing if it cannot be read.
    pub(super) fn namespace(&self) -> Option<Cow<'d, str>> {
        if self.is_namespace() {
            return self.name();
        }
        Some(self.review.namespace.clone())
    }

    /// Whether it is about a Namespace itself.
    pub(super) fn is_namespace(&self) -> bool {
        self.review.resource.resource == "namespaces" && self.review.resource.group.is_empty()
    }

    /// Labels or annotations.
    pub(super) fn metadata(&self, side: Side, field: Metadata) -> Keyed<'d> {
        Keyed::of(self.side(side), field)
    }
}

/// Which object is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// As it will be; none where it is deleted.
    New,
    /// As it is; none where it is created.
    Old,
    /// As it will be, or as it is where it is deleted.
    Subject,
}

/// A map of texts in the metadata of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::admission) enum Metadata {
    Labels,
    Annotations,
}

impl Metadata {
    pub(super) const fn field(self) -> &'static str {
        match self {
            Self::Labels => "labels",
            Self::Annotations => "annotations",
        }
    }

    pub(super) const fn singular(self) -> &'static str {
        match self {
            Self::Labels => "label",
            Self::Annotations => "annotation",
        }
    }
}

/// Labels or annotations of an object.
#[derive(Clone, Copy, Debug)]
pub(in crate::admission) enum Keyed<'d> {
    /// There are none.
    Absent,
    Map(Value<'d>),
    Unreadable,
}

impl<'d> Keyed<'d> {
    pub(in crate::admission) fn of(object: Option<Value<'d>>, field: Metadata) -> Self {
        let Some(metadata) = object.and_then(|object| object.get("metadata")) else { return Self::Absent };
        match metadata.kind() {
            Kind::Null => return Self::Absent,
            Kind::Map => {}
            _ => return Self::Unreadable,
        }
        match metadata.get(field.field()) {
            None => Self::Absent,
            Some(value) => match value.kind() {
                Kind::Null => Self::Absent,
                Kind::Map => Self::Map(value),
                _ => Self::Unreadable,
            },
        }
    }

    /// What a key stands for.
    pub(in crate::admission) fn get(&self, key: &str) -> Entry<'d> {
        match self {
            Self::Absent => Entry::Absent,
            Self::Unreadable => Entry::Unreadable,
            Self::Map(map) => match map.get(key) {
                None => Entry::Absent,
                Some(value) => Entry::of(value),
            },
        }
    }
}

/// The value of a label or annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::admission) enum Entry<'d> {
    Absent,
    Text(Cow<'d, str>),
    Unreadable,
}

impl<'d> Entry<'d> {
    pub(super) fn of(value: Value<'d>) -> Self {
        value.text().map_or(Self::Unreadable, |text| Self::Text(text.to_cow()))
    }
}
