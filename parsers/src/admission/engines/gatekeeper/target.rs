//! What constraints are matched against: the objects of a review, and their Namespace.

use std::borrow::Cow;

use super::super::super::json::{Kind, Value};
use super::super::super::review::{GroupVersionKind, Operation, Review};

/// Where an object comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Somebody asked for it.
    Original,
    /// An ExpansionTemplate says that another object will bring it about.
    Generated,
}

/// The labels of an object.
#[derive(Clone, Copy, Debug)]
pub(super) enum Labels<'d> {
    None,
    Json(Value<'d>),
}

impl Labels<'_> {
    /// Whether the value of a label passes a test; `None` where there is no such label.
    pub(super) fn test(self, key: &str, test: impl Fn(&dyn Fn(&str) -> bool) -> bool) -> Option<bool> {
        match self {
            Self::None => None,
            Self::Json(labels) => {
                let text = labels.get(key)?.text()?;
                Some(test(&|wanted| text.is(wanted)))
            }
        }
    }
}

/// The Namespace that an object is in.
#[derive(Clone, Debug)]
pub(super) struct Namespace<'d> {
    pub(super) name: Cow<'d, str>,
    pub(super) labels: Labels<'d>,
}

impl<'d> Namespace<'d> {
    /// The Namespace of a document.
    ///
    /// # Errors
    /// What of it cannot be read.
    pub(super) fn of(value: Value<'d>) -> Result<Self, String> {
        let metadata = read_metadata(value)?;
        Ok(Self { name: text(metadata, "name")?, labels: labels(metadata)? })
    }
}

/// An object, as far as constraints are matched against it.
#[derive(Clone, Debug)]
pub(super) struct Object<'d> {
    pub(super) group: Cow<'d, str>,
    pub(super) version: Cow<'d, str>,
    pub(super) kind: Cow<'d, str>,
    pub(super) name: Cow<'d, str>,
    pub(super) generate_name: Cow<'d, str>,
    pub(super) namespace: Cow<'d, str>,
    pub(super) labels: Labels<'d>,
}

impl<'d> Object<'d> {
    /// Reads an object. What it does not say of its kind is taken from the request.
    ///
    /// # Errors
    /// What of it cannot be read: then nobody knows which constraints it is for.
    pub(super) fn of(value: Value<'d>, requested: Option<&GroupVersionKind<'d>>) -> Result<Self, String> {
        if value.kind() != Kind::Map {
            return Err("the object is not a map".into());
        }
        let api_version = text(Some(value), "apiVersion")?;
        let (group, version) = match (&*api_version, requested) {
            ("", Some(requested)) => (requested.group.clone(), requested.version.clone()),
            ("", None) => return Err("the object has no `apiVersion`".into()),
            (text, _) if text.matches('/').count() > 1 => {
                return Err("the object's `apiVersion` has two slashes".into());
            }
            _ => split_version(&api_version),
        };
        let kind = match (text(Some(value), "kind")?, requested) {
            (kind, Some(requested)) if kind.is_empty() => requested.kind.clone(),
            (kind, None) if kind.is_empty() => return Err("the object has no `kind`".into()),
            (kind, _) => kind,
        };
        let metadata = read_metadata(value)?;
        Ok(Self {
            group,
            version,
            kind,
            name: text(metadata, "name")?,
            generate_name: text(metadata, "generateName")?,
            namespace: text(metadata, "namespace")?,
            labels: labels(metadata)?,
        })
    }

    pub(super) fn is_namespace(&self) -> bool {
        self.kind == "Namespace" && self.group.is_empty()
    }
}

/// What constraints are matched against.
#[derive(Clone, Debug)]
pub(super) struct Target<'d> {
    /// The object as it will be, and as it was.
    pub(super) objects: Vec<Object<'d>>,
    /// The name of the namespace, as the request has it; empty for none.
    pub(super) namespace_name: Cow<'d, str>,
    /// The Namespace itself, where it is known.
    pub(super) namespace: Option<Namespace<'d>>,
    pub(super) source: Source,
}

impl<'d> Target<'d> {
    /// The objects of a request.
    ///
    /// # Errors
    /// What of them cannot be read, or that there is none.
    pub(super) fn of_review(review: &Review<'d>) -> Result<Self, String> {
        let read = |value: Option<Value<'d>>| value.map(|value| Object::of(value, Some(&review.kind))).transpose();
        // Where an object is deleted it is looked at as it was; there is no other.
        let object = if review.operation == Operation::Delete { None } else { review.object };
        let objects: Vec<_> = [read(object)?, read(review.old_object)?].into_iter().flatten().collect();
        if objects.is_empty() {
            return Err("neither object nor old object are defined".into());
        }
        let is_namespace = review.kind.kind == "Namespace" && review.kind.group.is_empty();
        let namespace_name = if is_namespace { Cow::Borrowed("") } else { review.namespace.clone() };
        Ok(Self { objects, namespace_name, namespace: None, source: Source::Original })
    }

    /// An object without a request.
    ///
    /// # Errors
    /// What of it cannot be read.
    pub(super) fn of_object(value: Value<'d>) -> Result<Self, String> {
        let object = Object::of(value, None)?;
        let namespace_name = if object.is_namespace() { Cow::Borrowed("") } else { object.namespace.clone() };
        Ok(Self { objects: vec![object], namespace_name, namespace: None, source: Source::Original })
    }
}

fn split_version<'d>(api_version: &Cow<'d, str>) -> (Cow<'d, str>, Cow<'d, str>) {
    match api_version {
        Cow::Borrowed(text) => {
            let (group, version) = text.rsplit_once('/').unwrap_or(("", text));
            (group.into(), version.into())
        }
        Cow::Owned(text) => {
            let (group, version) = text.rsplit_once('/').unwrap_or(("", text));
            (group.to_owned().into(), version.to_owned().into())
        }
    }
}

fn read_metadata(object: Value<'_>) -> Result<Option<Value<'_>>, String> {
    match object.get("metadata") {
        None => Ok(None),
        Some(it) if it.is_null() => Ok(None),
        Some(it) if it.kind() == Kind::Map => Ok(Some(it)),
        Some(_) => Err("the object's `metadata` is not a map".into()),
    }
}

fn text<'d>(map: Option<Value<'d>>, key: &str) -> Result<Cow<'d, str>, String> {
    match map.and_then(|map| map.get(key)) {
        None => Ok(Cow::Borrowed("")),
        Some(value) if value.is_null() => Ok(Cow::Borrowed("")),
        Some(value) => match value.text() {
            Some(text) => Ok(text.to_cow()),
            None => Err(format!("the object's `{key}` is not a text")),
        },
    }
}

fn labels(metadata: Option<Value<'_>>) -> Result<Labels<'_>, String> {
    let Some(labels) = metadata.and_then(|it| it.get("labels")).filter(|it| !it.is_null()) else {
        return Ok(Labels::None);
    };
    if labels.kind() != Kind::Map || labels.entries().any(|(_, value)| value.text().is_none()) {
        return Err("the object's `metadata.labels` is not a map of texts".into());
    }
    Ok(Labels::Json(labels))
}
