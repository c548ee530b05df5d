//! The `rules` of a webhook: which requests the API server asks about. A hook asks again, for nobody knows how its webhook is
//! configured.

use super::at::{At, Reader, shorten};
use super::conditions::{Operations, group_of, is_core as is_core_resource, plural_of, unknown_operation};
use super::context::{Context, Entry, Keyed, Metadata, Side};
use super::selectors::Selector;
use super::spec::{Scope, WebhookRule};
use super::truth::Truth;
use crate::admission::json::Kind;
use crate::admission::review::Operation;

/// One rule, compiled.
#[derive(Debug)]
pub(super) struct Rule {
    operations: Operations,
    groups: Choice,
    versions: Choice,
    resources: Vec<(Choice, Choice)>,
    scope: Scope,
}

/// Some names, or all.
#[derive(Debug)]
struct Choice(Option<Vec<Box<str>>>);

impl Choice {
    fn new(names: &[String]) -> Self {
        let all = names.iter().any(|name| name == "*");
        Self((!all).then(|| names.iter().map(|name| name.as_str().into()).collect()))
    }

    fn has(&self, name: &str) -> bool {
        self.0.as_ref().is_none_or(|names| names.iter().any(|known| **known == *name))
    }
}

/// Groups of Kubernetes without a dot in them.
const BARE_GROUPS: [&str; 6] = ["", "apps", "batch", "autoscaling", "policy", "extensions"];

impl Rule {
    /// Reads a rule as it is written, and compiles it.
    pub(super) fn read(at: &At<'_>, reader: &mut Reader) -> Option<(WebhookRule, Self)> {
        at.check_fields(&["operations", "apiGroups", "apiVersions", "resources", "scope"], reader);
        let mut list = |name| match at.field(name) {
            Some(list) => reader.strings(&list),
            None => {
                reader.refuse(at, format!("the field `{name}` is missing"));
                Vec::new()
            }
        };
        let [operations, groups, versions, resources] =
            ["operations", "apiGroups", "apiVersions", "resources"].map(&mut list);
        let scope = at.read_field("scope", reader).unwrap_or_default();

        let mut set = Operations::default();
        for (name, at) in &operations {
            match Operations::of(name) {
                Some(operation) => set.add(operation),
                None => reader.refuse(at, unknown_operation(name)),
            }
        }
        for names in [&operations, &groups, &versions] {
            check_alone(names, "*", reader);
        }
        check_alone(&resources, "*/*", reader);
        for (name, at) in &groups {
            check_group(name, at, reader);
        }
        for (name, at) in &versions {
            if name != "*" && !is_version(name) {
                reader.refuse(at, format!("`{}` is not a version; write one such as `v1`, or `*`", shorten(name)));
            }
        }
        check_resources(&resources, reader);
        check_belonging(&resources, &groups, reader);

        let names = |list: Vec<(String, At<'_>)>| list.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        let written = WebhookRule {
            operations: names(operations),
            api_groups: names(groups),
            api_versions: names(versions),
            resources: names(resources),
            scope,
        };
        let one = |name: &str| Choice::new(&[name.to_owned()]);
        let resources = written.resources.iter().map(|name| {
            let (resource, sub) = name.split_once('/').unwrap_or((name, ""));
            (one(resource), one(sub))
        });
        let rule = Self {
            operations: set,
            groups: Choice::new(&written.api_groups),
            versions: Choice::new(&written.api_versions),
            resources: resources.collect(),
            scope,
        };
        Some((written, rule))
    }

    /// Whether it speaks of a request (`k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/rules`).
    pub(super) fn speaks_of(&self, context: &Context<'_, '_>) -> bool {
        let review = context.review;
        let scope = match self.scope {
            Scope::All => true,
            Scope::Namespaced => !context.is_namespace() && !review.namespace.is_empty(),
            Scope::Cluster => context.is_namespace() || review.namespace.is_empty(),
        };
        scope
            && self.operations.have(review.operation)
            && self.groups.has(&review.resource.group)
            && self.versions.has(&review.resource.version)
            && self
                .resources
                .iter()
                .any(|(resource, sub)| resource.has(&review.resource.resource) && sub.has(&review.sub_resource))
    }
}

fn check_alone(names: &[(String, At<'_>)], all: &str, reader: &mut Reader) {
    if names.len() > 1
        && let Some((_, at)) = names.iter().find(|(name, _)| name == all)
    {
        reader.refuse(at, format!("`{all}` stands beside others; it means them all: leave one or the others out"));
    }
}

fn check_group(name: &str, at: &At<'_>, reader: &mut Reader) {
    let shown = shorten(name);
    let why = if name == "*" || BARE_GROUPS.contains(&name) {
        return;
    } else if is_version(name) {
        format!(
            "`{shown}` is a version, and not an API group: the group of `v1` is `\"\"`, that of `apps/v1` is `apps`"
        )
    } else if !super::selectors::is_subdomain(name) {
        format!(
            "`{shown}` is not an API group; write the part of `apiVersion` before the slash, or `\"\"` where there is none"
        )
    } else if !name.contains('.') {
        format!(
            "there is no API group `{shown}`; those without a dot are `\"\"`, `{}`",
            BARE_GROUPS.get(1..).unwrap_or_default().join("`, `")
        )
    } else {
        return;
    };
    reader.refuse(at, why);
}

/// `v1`, `v2beta1`: as `k8s.io/apimachinery/pkg/version` has it.
fn is_version(name: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some(rest) = name.strip_prefix('v') else { return false };
    let split = |mark| rest.split_once(mark).map(|(major, minor)| number(major) && number(minor));
    number(rest) || split("alpha") == Some(true) || split("beta") == Some(true)
}

fn check_resources(resources: &[(String, At<'_>)], reader: &mut Reader) {
    let everything = resources.iter().any(|(name, _)| name == "*");
    for (name, at) in resources {
        let (resource, sub) = name.split_once('/').unwrap_or((name, "*"));
        let part = |part: &str| part == "*" || super::selectors::is_subdomain(part);
        let shown = shorten(name);
        if !part(resource) || !part(sub) {
            let message =
                format!("`{shown}` is not a resource; write `pods`, `pods/exec`, `pods/*`, `*/scale`, `*` or `*/*`");
            reader.refuse(at, message);
        } else if everything && name != "*" && !name.contains('/') {
            reader.refuse(at, format!("`{shown}` stands beside `*`, which means it, too; leave one of them out"));
        }
    }
}

/// What is known not to be in any of the groups is never asked about.
fn check_belonging(resources: &[(String, At<'_>)], groups: &[(String, At<'_>)], reader: &mut Reader) {
    let is_core = groups.iter().all(|(group, _)| group.is_empty());
    let is_bare =
        groups.iter().all(|(group, _)| BARE_GROUPS.get(1..).is_some_and(|bare| bare.contains(&group.as_str())));
    for (name, at) in resources {
        let resource = name.split_once('/').map_or(name.as_str(), |(resource, _)| resource);
        if let Some(plural) = plural_of(resource) {
            reader.refuse(at, format!("`{}` is no resource, but a kind's name; write `{plural}`", shorten(name)));
        } else if let Some(group) = group_of(resource).filter(|_| is_core && !groups.is_empty()) {
            let message =
                format!("`{}` is not of the core group; write a rule with `apiGroups: [{group}]`", shorten(name));
            reader.refuse(at, message);
        } else if is_bare && !groups.is_empty() && is_core_resource(resource) {
            let message = format!("`{}` is of the core group; write a rule with `apiGroups: [\"\"]`", shorten(name));
            reader.refuse(at, message);
        }
    }
}

/// Whether the selectors of a webhook speak of a request, as far as can be told without the API server. What cannot be
/// read is spoken of: it is to be judged.
pub(super) fn is_selected(context: &Context<'_, '_>, objects: &Selector, namespaces: &Selector) -> bool {
    // "evaluated against both the oldObject and newObject [...] and is considered to match if either object matches"
    let object = objects.is_empty()
        || [Side::New, Side::Old].into_iter().any(|side| {
            let object = context.side(side).filter(|object| {
                // What has no metadata cannot have labels, and is not selected.
                object.get("metadata").is_some_and(|metadata| metadata.kind() != Kind::Null)
            });
            object.is_some() && objects.test(&context.metadata(side, Metadata::Labels)).may_hold()
        });
    object && (namespaces.is_empty() || is_namespace_selected(context, namespaces).may_hold())
}

/// The label that each namespace has, whoever made it: its name.
pub(super) const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// The labels of namespaces are known only where the object is one: as they will be where the request is for the namespace
/// itself, and else as they are.
fn is_namespace_selected(context: &Context<'_, '_>, namespaces: &Selector) -> Truth {
    let sides = match context.review.operation {
        _ if !context.is_namespace() => return is_name_selected(context, namespaces),
        _ if !context.review.sub_resource.is_empty() => [Side::Old, Side::New],
        Operation::Create | Operation::Update => [Side::New, Side::New],
        Operation::Delete | Operation::Connect => [Side::Old, Side::Old],
    };
    let Some(side) = sides.into_iter().find(|side| context.side(*side).is_some()) else { return Truth::Yes };
    let keyed: Keyed<'_> = context.metadata(side, Metadata::Labels);
    namespaces.test_with(|key| match keyed.get(key) {
        Entry::Absent if key == NAMESPACE_NAME => context.name().map_or(Entry::Unreadable, Entry::Text),
        entry => entry,
    })
}

/// Of the namespace that an object is in only the name is known. Objects in none are selected always.
fn is_name_selected(context: &Context<'_, '_>, namespaces: &Selector) -> Truth {
    let namespace = &context.review.namespace;
    (namespace.is_empty() || !namespaces.excludes(NAMESPACE_NAME, namespace)).into()
}
