//! The pod spec of an object, and what in it runs an image.

use super::context::Context;
use crate::admission::json::{Items, Kind, Value};
use crate::admission::review::Review;

/// The pod spec of a pod, or of the template of a workload.
#[derive(Clone, Copy, Debug)]
pub(super) enum PodSpec<'d> {
    /// Objects of this kind have none.
    None,
    /// It is not where it ought to be, which is this place.
    Unreadable(&'static str),
    Found(Value<'d>, &'static str),
}

impl<'d> PodSpec<'d> {
    pub(super) fn of(review: &Review<'d>, object: Option<Value<'d>>) -> Self {
        let Some(path) = path_of(&review.kind.group, &review.kind.kind) else { return Self::None };
        match object.and_then(|object| object.pointer(path)) {
            Some(spec) if spec.kind() == Kind::Map => Self::Found(spec, path),
            _ => Self::Unreadable(path),
        }
    }
}

/// Where objects of a kind have their pod spec.
fn path_of(group: &str, kind: &str) -> Option<&'static str> {
    Some(match (group, kind) {
        ("", "Pod") => "/spec",
        ("", "PodTemplate") => "/template/spec",
        // What API servers up to 1.21 take at pods/ephemeralcontainers: of a pod spec this list alone.
        ("", "EphemeralContainers") => "",
        ("", "ReplicationController")
        | ("apps" | "extensions", "Deployment" | "ReplicaSet" | "DaemonSet")
        | ("apps", "StatefulSet")
        | ("batch", "Job") => "/spec/template/spec",
        ("batch", "CronJob") => "/spec/jobTemplate/spec/template/spec",
        _ => return None,
    })
}

/// The lists of a pod spec whose entries run or mount images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    Containers,
    InitContainers,
    EphemeralContainers,
    Volumes,
}

impl Group {
    /// The order in which they are looked at and told of.
    const ALL: [Self; 4] = [Self::Containers, Self::InitContainers, Self::EphemeralContainers, Self::Volumes];

    pub(super) const fn field(self) -> &'static str {
        match self {
            Self::Containers => "containers",
            Self::InitContainers => "initContainers",
            Self::EphemeralContainers => "ephemeralContainers",
            Self::Volumes => "volumes",
        }
    }
}

/// An entry of such a list, or what stands in its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot<'d> {
    /// Where the pod spec is.
    pub(super) pod: &'static str,
    /// Nothing if there is no pod spec.
    pub(super) group: Option<Group>,
    /// Nothing if there is no list.
    pub(super) index: Option<usize>,
    /// The entry; nothing if it is no map.
    pub(super) value: Option<Value<'d>>,
}

impl<'d> Slot<'d> {
    /// Its place in the object.
    pub(super) fn path(&self) -> String {
        let mut path = self.pod.to_owned();
        if let Some(group) = self.group {
            path.push('/');
            path.push_str(group.field());
        }
        if let Some(index) = self.index {
            path.push('/');
            path.push_str(&index.to_string());
        }
        path
    }

    pub(super) fn is_container(&self) -> bool {
        self.group != Some(Group::Volumes)
    }

    /// The field of the entry that names the image.
    pub(super) const fn image_field(&self) -> &'static str {
        match self.group {
            Some(Group::Volumes) => "/image/reference",
            _ => "/image",
        }
    }

    /// The image, where it is text.
    pub(super) fn image(&self) -> Option<crate::admission::json::Text<'d>> {
        let value = match self.group {
            Some(Group::Volumes) => self.value?.get("image")?.get("reference"),
            _ => self.value?.get("image"),
        };
        value?.text()
    }

    /// A volume that is no image.
    fn is_other_volume(&self) -> bool {
        let source = self.value.and_then(|value| value.get("image"));
        self.group == Some(Group::Volumes) && self.value.is_some() && source.is_none_or(Value::is_null)
    }
}

/// What of a review runs an image, in order: containers, init containers, ephemeral containers, and volumes that are images.
/// What cannot be read is among them, without a value.
pub(super) fn slots<'c, 'd>(context: &'c Context<'_, 'd>) -> impl Iterator<Item = Slot<'d>> + use<'c, 'd> {
    let (spec, pod) = match context.pod() {
        PodSpec::None => (None, ""),
        PodSpec::Unreadable(pod) => (Some(None), pod),
        PodSpec::Found(spec, pod) => (Some(Some(spec)), pod),
    };
    let lost = matches!(spec, Some(None)).then_some(Slot { pod, group: None, index: None, value: None });
    let groups = Group::ALL.into_iter().flat_map(move |group| {
        let list = spec.flatten().map(|spec| spec.get(group.field()));
        Slots { pod, group, rest: Rest::of(group, list, pod), next: 0 }
    });
    lost.into_iter().chain(groups).take_while(|_| context.spend()).filter(|slot| !slot.is_other_volume())
}

struct Slots<'d> {
    pod: &'static str,
    group: Group,
    rest: Rest<'d>,
    next: usize,
}

enum Rest<'d> {
    Items(Items<'d>),
    Lost,
    Done,
}

impl<'d> Rest<'d> {
    /// `list` is the field of a pod spec, if there is a pod spec.
    fn of(group: Group, list: Option<Option<Value<'d>>>, pod: &str) -> Self {
        let Some(list) = list else { return Self::Done };
        match list.map(|list| (list.kind(), list)) {
            Some((Kind::List, list)) => Self::Items(list.items()),
            // A pod has containers, whatever else it has.
            None | Some((Kind::Null, _)) if group != Group::Containers || pod.is_empty() => Self::Done,
            _ => Self::Lost,
        }
    }
}

impl<'d> Iterator for Slots<'d> {
    type Item = Slot<'d>;

    fn next(&mut self) -> Option<Slot<'d>> {
        let Self { pod, group, rest, next } = self;
        match rest {
            Rest::Items(items) => {
                let item = items.next()?;
                let index = *next;
                *next = next.saturating_add(1);
                let value = (item.kind() == Kind::Map).then_some(item);
                Some(Slot { pod, group: Some(*group), index: Some(index), value })
            }
            Rest::Lost => {
                *rest = Rest::Done;
                Some(Slot { pod, group: Some(*group), index: None, value: None })
            }
            Rest::Done => None,
        }
    }
}
