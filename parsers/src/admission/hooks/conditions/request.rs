//! Tests of what a request is for.

use super::super::at::{At, Reader, allowed, shorten};
use crate::admission::review::{Operation, Review};

/// A set of operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Operations(u8);

impl Operations {
    pub(super) fn read(at: &At<'_>, reader: &mut Reader) -> Self {
        let mut set = Self::default();
        for (text, at) in reader.strings(at) {
            match Self::of(&text) {
                Some(Self(more)) => set.0 |= more,
                None => reader.refuse(&at, unknown_operation(&text)),
            }
        }
        set
    }

    /// One operation by its name, or all for `*`.
    pub(in super::super) fn of(name: &str) -> Option<Self> {
        if name == "*" {
            return Some(Self(u8::MAX));
        }
        Operation::ALL.into_iter().find(|known| known.as_str() == name).map(|known| Self(1 << known as u8))
    }

    pub(in super::super) fn add(&mut self, Self(more): Self) {
        self.0 |= more;
    }

    pub(in super::super) fn have(self, operation: Operation) -> bool {
        self.0 & (1 << operation as u8) != 0
    }
}

/// What to say of an operation that there is none of.
pub(in super::super) fn unknown_operation(name: &str) -> String {
    let known: Vec<_> = Operation::ALL.iter().map(|known| known.as_str()).chain(["*"]).collect();
    format!("there is no operation `{}`; {}", shorten(name), allowed(&known))
}

/// A name and a group, either of which may be any.
#[derive(Debug)]
struct Grouped {
    name: Option<Box<str>>,
    group: Option<Box<str>>,
}

impl Grouped {
    /// `Pod`, `Deployment.apps`, `*`, `*.apps`, `Ingress.*`. Without a group the core group is meant.
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self { name: None, group: None });
        }
        let (name, group) = text.split_once('.').unwrap_or((text, ""));
        let valid =
            |part: &str| part == "*" || part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
        let part = |part: &str| (part != "*").then(|| part.into());
        let whole = !name.is_empty() && valid(name) && valid(group) && !text.ends_with('.');
        whole.then(|| Self { name: part(name), group: part(group) })
    }

    fn has(&self, group: &str, name: &str) -> bool {
        self.name.as_ref().is_none_or(|wanted| **wanted == *name)
            && self.group.as_ref().is_none_or(|wanted| **wanted == *group)
    }
}

/// Kinds of objects.
#[derive(Debug)]
pub(super) struct Kinds(Vec<Grouped>);

impl Kinds {
    pub(super) fn read(at: &At<'_>, reader: &mut Reader) -> Self {
        let mut kinds = Vec::new();
        for (text, at) in reader.strings(at) {
            if let Some((_, group)) = KINDS_OF_GROUPS.iter().find(|(kinds, _)| kinds.contains(&text.as_str())) {
                let message =
                    format!("`{text}` without a group is of the core group, which has none; write `{text}.{group}`");
                reader.refuse(&at, message);
            }
            match Grouped::parse(&text).filter(|_| !text.starts_with(|first: char| first.is_ascii_lowercase())) {
                Some(kind) => kinds.push(kind),
                None => {
                    let message = format!("`{}` is not a kind; write `Pod`, `Deployment.apps`, or `*`", shorten(&text));
                    reader.refuse(&at, message);
                }
            }
        }
        Self(kinds)
    }

    pub(super) fn have(&self, group: &str, kind: &str) -> bool {
        self.0.iter().any(|wanted| wanted.has(group, kind))
    }
}

/// Resources, perhaps with a subresource.
#[derive(Debug)]
pub(super) struct Resources(Vec<(Grouped, Option<Box<str>>)>);

impl Resources {
    pub(super) fn read(at: &At<'_>, reader: &mut Reader) -> Self {
        let mut resources = Vec::new();
        for (text, at) in reader.strings(at) {
            let (resource, sub) = text.split_once('/').unwrap_or((&text, ""));
            let name = resource.split_once('.').map_or(resource, |(name, _)| name);
            if let Some(plural) = plural_of(name) {
                reader.refuse(&at, format!("`{name}` is no resource, but a kind's name; write `{plural}`"));
            }
            if let Some(group) = group_of(resource) {
                let message = format!(
                    "`{resource}` without a group is of the core group, which has none; write `{resource}.{group}`"
                );
                reader.refuse(&at, message);
            }
            let slash = text.contains('/') && (sub.is_empty() || sub.contains('/'));
            match Grouped::parse(resource).filter(|_| !slash && !resource.contains(|c: char| c.is_ascii_uppercase())) {
                Some(resource) => resources.push((resource, (sub != "*").then(|| sub.into()))),
                None => {
                    let message = format!(
                        "`{}` is not a resource; write `pods`, `deployments.apps`, `pods/exec`, `*/scale`, or `*`",
                        shorten(&text)
                    );
                    reader.refuse(&at, message);
                }
            }
        }
        Self(resources)
    }

    /// As in the rules of webhooks: without a subresource the resource itself is meant; `/*` is that and all subresources.
    pub(super) fn have(&self, review: &Review<'_>) -> bool {
        self.0.iter().any(|(wanted, sub)| {
            wanted.has(&review.resource.group, &review.resource.resource)
                && sub.as_ref().is_none_or(|sub| **sub == *review.sub_resource)
        })
    }
}

/// The group of a resource that is known to be in one, and not in the core group.
pub(in super::super) fn group_of(resource: &str) -> Option<&'static str> {
    RESOURCES_OF_GROUPS.iter().find(|(names, _)| names.contains(&resource)).map(|(_, group)| *group)
}

/// Whether a resource is known to be in the core group.
pub(in super::super) fn is_core(resource: &str) -> bool {
    CORE_RESOURCES.contains(&resource)
}

/// The resource that is meant by the name of one object of it.
pub(in super::super) fn plural_of(name: &str) -> Option<&'static str> {
    let mut known = RESOURCES_OF_GROUPS.iter().flat_map(|(names, _)| *names).chain(CORE_RESOURCES).copied();
    known.find(|plural| {
        plural.strip_suffix('s') == Some(name)
            || plural.strip_suffix("es") == Some(name)
            || plural.strip_suffix("ies").zip(name.strip_suffix('y')).is_some_and(|(plural, one)| plural == one)
    })
}

/// Resources of the core group.
const CORE_RESOURCES: &[&str] = &[
    "pods",
    "services",
    "namespaces",
    "nodes",
    "secrets",
    "configmaps",
    "serviceaccounts",
    "persistentvolumes",
    "persistentvolumeclaims",
    "replicationcontrollers",
    "podtemplates",
    "resourcequotas",
    "limitranges",
];

/// Kinds that are known to be in a group: without it, a condition would never hold.
const KINDS_OF_GROUPS: &[(&[&str], &str)] = &[
    (&["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "ControllerRevision"], "apps"),
    (&["Job", "CronJob"], "batch"),
    (&["Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"], "rbac.authorization.k8s.io"),
    (&["Ingress", "IngressClass", "NetworkPolicy"], "networking.k8s.io"),
    (&["CustomResourceDefinition"], "apiextensions.k8s.io"),
    (&["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"], "admissionregistration.k8s.io"),
    (&["PodDisruptionBudget"], "policy"),
    (&["HorizontalPodAutoscaler"], "autoscaling"),
    (&["StorageClass", "CSIDriver", "VolumeAttachment"], "storage.k8s.io"),
    (&["PriorityClass"], "scheduling.k8s.io"),
];

/// The same for resources.
const RESOURCES_OF_GROUPS: &[(&[&str], &str)] = &[
    (&["deployments", "replicasets", "statefulsets", "daemonsets", "controllerrevisions"], "apps"),
    (&["jobs", "cronjobs"], "batch"),
    (&["roles", "rolebindings", "clusterroles", "clusterrolebindings"], "rbac.authorization.k8s.io"),
    (&["ingresses", "ingressclasses", "networkpolicies"], "networking.k8s.io"),
    (&["customresourcedefinitions"], "apiextensions.k8s.io"),
    (&["validatingwebhookconfigurations", "mutatingwebhookconfigurations"], "admissionregistration.k8s.io"),
    (&["poddisruptionbudgets"], "policy"),
    (&["horizontalpodautoscalers"], "autoscaling"),
    (&["storageclasses", "csidrivers", "volumeattachments"], "storage.k8s.io"),
    (&["priorityclasses"], "scheduling.k8s.io"),
];
