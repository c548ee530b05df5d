//! `spec.match` of a constraint: which objects it is for. Judged on the review itself, before anything is converted.

use std::borrow::Cow;

use super::glob::{self, Glob};
use super::read::{At, Faults, shorten};
use super::selector::Selector;
use super::target::{Object, Source, Target};

/// Which objects a constraint is for. What is not said is for all.
#[derive(Clone, Debug, Default)]
pub(super) struct Match {
    kinds: Vec<Kinds>,
    scope: Scope,
    namespaces: Vec<Glob>,
    excluded_namespaces: Vec<Glob>,
    labels: Option<Selector>,
    namespace_labels: Option<Selector>,
    name: Option<Glob>,
    source: Option<Source>,
}

/// Groups and kinds; where there are none, any.
#[derive(Clone, Debug)]
struct Kinds {
    groups: Vec<Box<str>>,
    kinds: Vec<Box<str>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Scope {
    #[default]
    Any,
    Cluster,
    Namespaced,
}

const FIELDS: [&str; 8] =
    ["source", "kinds", "scope", "namespaces", "excludedNamespaces", "labelSelector", "namespaceSelector", "name"];

impl Match {
    pub(super) fn read(at: &At<'_>, faults: &mut Faults) -> Self {
        if !at.check_fields(&FIELDS, faults) {
            return Self::default();
        }
        let kinds = at.field("kinds").map(|list| list.need_items(faults)).unwrap_or_default();
        let name = at.field("name").and_then(|at| read_glob(&at, faults));
        Self {
            kinds: kinds.iter().map(|at| Kinds::read(at, faults)).collect(),
            scope: read_scope(at, faults),
            namespaces: read_globs(at, "namespaces", faults),
            excluded_namespaces: read_globs(at, "excludedNamespaces", faults),
            labels: at.field("labelSelector").map(|at| Selector::read(&at, faults)),
            namespace_labels: at.field("namespaceSelector").map(|at| Selector::read(&at, faults)),
            // "A blank string … means any name."
            name: name.filter(|glob| *glob != Glob::Exact("".into())),
            source: read_source(at, faults),
        }
    }

    /// The kinds that it is for; `None` where it may be for any.
    pub(super) fn kinds(&self) -> Option<impl Iterator<Item = &str>> {
        let any = self.kinds.is_empty() || self.kinds.iter().any(|it| is_any(&it.kinds));
        (!any).then(|| self.kinds.iter().flat_map(|it| it.kinds.iter().map(|kind| &**kind)))
    }

    /// Whether one of the objects is meant.
    ///
    /// # Errors
    /// It depends on a Namespace that is not known.
    pub(super) fn matches(&self, target: &Target<'_>) -> Result<bool, String> {
        for object in &target.objects {
            if self.matches_object(object, target)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn matches_object(&self, object: &Object<'_>, target: &Target<'_>) -> Result<bool, String> {
        let namespace = namespace_of(object, target);
        let among = |globs: &[Glob]| globs.iter().any(|glob| glob.matches(&namespace));
        let plain = self.matches_kind(object)
            && self.scope.has(object, &namespace)
            && (self.namespaces.is_empty() || namespace.is_empty() || among(&self.namespaces))
            && (namespace.is_empty() || !among(&self.excluded_namespaces))
            && self.labels.as_ref().is_none_or(|selector| selector.matches(object.labels))
            && self.matches_name(object)
            && self.source.is_none_or(|source| source == target.source);
        // Last, since only this may not be known.
        Ok(plain && self.matches_namespace_labels(object, target, &namespace)?)
    }

    fn matches_kind(&self, object: &Object<'_>) -> bool {
        let has = |list: &[Box<str>], name: &str| is_any(list) || list.iter().any(|it| **it == *name);
        self.kinds.is_empty()
            || self.kinds.iter().any(|it| has(&it.kinds, &object.kind) && has(&it.groups, &object.group))
    }

    fn matches_namespace_labels(
        &self,
        object: &Object<'_>,
        target: &Target<'_>,
        namespace: &str,
    ) -> Result<bool, String> {
        let Some(selector) = &self.namespace_labels else { return Ok(true) };
        if object.is_namespace() {
            return Ok(selector.matches(object.labels));
        }
        match &target.namespace {
            Some(namespace) => Ok(selector.matches(namespace.labels)),
            None if namespace.is_empty() => Ok(true),
            None => Err(format!(
                "`namespaceSelector` asks for labels of the Namespace `{}`, which is not known; \
                 let a Config or SyncSet name Namespaces, and put it beside the policies",
                shorten(namespace)
            )),
        }
    }

    fn matches_name(&self, object: &Object<'_>) -> bool {
        self.name
            .as_ref()
            .is_none_or(|glob| glob.matches(&object.name) || glob.matches_generated(&object.generate_name))
    }
}

impl Scope {
    fn has(self, object: &Object<'_>, namespace: &str) -> bool {
        let namespaced = !object.is_namespace() && !namespace.is_empty();
        match self {
            Self::Any => true,
            Self::Cluster => !namespaced,
            Self::Namespaced => namespaced,
        }
    }
}

/// The namespace that an object is in; itself if it is one; empty for none.
fn namespace_of<'t>(object: &'t Object<'_>, target: &'t Target<'_>) -> Cow<'t, str> {
    let name = match &target.namespace {
        _ if object.is_namespace() => &object.name,
        Some(namespace) => &namespace.name,
        None if !target.namespace_name.is_empty() => &target.namespace_name,
        None => &object.namespace,
    };
    Cow::Borrowed(name)
}

fn is_any(list: &[Box<str>]) -> bool {
    list.is_empty() || list.iter().any(|name| **name == *"*")
}

impl Kinds {
    fn read(at: &At<'_>, faults: &mut Faults) -> Self {
        let empty = Self { groups: Vec::new(), kinds: Vec::new() };
        if !at.check_fields(&["apiGroups", "kinds"], faults) {
            return empty;
        }
        let names = |name: &str, faults: &mut Faults| -> Vec<Box<str>> {
            let texts = at.field(name).map(|list| list.need_texts(faults)).unwrap_or_default();
            texts.into_iter().map(|(text, _)| text.into()).collect()
        };
        Self { groups: names("apiGroups", faults), kinds: names("kinds", faults) }
    }
}

fn read_glob(at: &At<'_>, faults: &mut Faults) -> Option<Glob> {
    let text = at.need_text(faults)?;
    let glob = Glob::read(text);
    if glob.is_none() {
        faults.refuse(at, format!("`{}` is not a name with a pattern: {}", shorten(text), glob::ALLOWED));
    }
    glob
}

pub(super) fn read_globs(at: &At<'_>, name: &str, faults: &mut Faults) -> Vec<Glob> {
    let items = at.field(name).map(|list| list.need_items(faults)).unwrap_or_default();
    items.iter().filter_map(|at| read_glob(at, faults)).collect()
}

fn read_scope(at: &At<'_>, faults: &mut Faults) -> Scope {
    match at.text_field("scope", faults) {
        "Cluster" => Scope::Cluster,
        "Namespaced" => Scope::Namespaced,
        "" | "*" => Scope::Any,
        other => {
            // As for Gatekeeper: "This includes invalid scopes, such as typos".
            let message =
                format!("`{}` is not a scope, and so means any; write `Cluster`, `Namespaced` or `*`", shorten(other));
            faults.warn(&at.field("scope").unwrap_or_else(|| at.clone()), message);
            Scope::Any
        }
    }
}

fn read_source(at: &At<'_>, faults: &mut Faults) -> Option<Source> {
    let source = at.field("source")?;
    match source.need_text(faults)? {
        "All" => None,
        "Original" => Some(Source::Original),
        "Generated" => Some(Source::Generated),
        other => {
            let message = format!("`{}` is not a source; allowed are `All`, `Original`, `Generated`", shorten(other));
            faults.refuse(&source, message);
            None
        }
    }
}
