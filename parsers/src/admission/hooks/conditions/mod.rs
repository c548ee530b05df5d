//! Conditions of rules: maps of tests that must all hold.

mod images;
mod limits;
mod metadata;
mod request;
#[cfg(test)]
mod tests;
mod tolerations;
mod who;

use portcullis_policy::order;

use super::at::{At, Reader};
use super::context::{Context, Metadata};
use super::fields::{Field, Path, read_fields};
use super::found::{Base, FieldAt, Found};
use super::podspec::{PodSpec, Slot, slots};
use super::strings::{Names, Patterns};
use super::template::Hole;
use super::truth::Truth;
use crate::admission::review::Operation;
use images::Images;
use limits::Limits;
pub(super) use metadata::Missing;
use metadata::{Change, Changed};
use request::{Kinds, Resources};
pub(super) use request::{Operations, group_of, is_core, plural_of, unknown_operation};
use tolerations::Taint;
use who::ServiceAccounts;

/// Conditions within each other. They are written by people, and judging recurses into them.
const MAX_NESTING: usize = 16;

/// A map of tests that must all hold; holds always if it has none.
#[derive(Debug)]
pub(super) struct Condition {
    /// Cheap ones first, so that the others are rarely made.
    tests: Vec<Test>,
    /// Those that are about containers and images one by one.
    slot_tests: Vec<Test>,
}

#[derive(Debug)]
enum Test {
    Operations(Operations),
    DryRun(bool),
    Kinds(Kinds),
    Resources(Resources),
    SubResources(Names),
    Users(Names),
    ServiceAccounts(ServiceAccounts),
    Names(Names),
    Namespaces(Names),
    Groups(Names),
    UserRegex(Patterns),
    NameRegex(Patterns),
    NamespaceRegex(Patterns),
    GroupRegex(Patterns),
    Selector(Metadata, super::selectors::Selector),
    Missing(Missing),
    Changed(Changed),
    Fields(Vec<Field>),
    Entries(Vec<Entries>),
    Pod(Vec<Field>),
    Tolerates(Vec<Taint>),
    Images(Images),
    Containers(Vec<Field>),
    Limits(Limits),
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
}

/// Fields of one and the same entry of a list or map.
#[derive(Debug)]
struct Entries {
    of: Path,
    fields: Vec<Field>,
}

/// The fields of a condition.
pub(super) const FIELDS: [&str; 34] = [
    "users",
    "userRegex",
    "groups",
    "groupRegex",
    "serviceAccounts",
    "operations",
    "kinds",
    "resources",
    "subResources",
    "dryRun",
    "names",
    "nameRegex",
    "namespaces",
    "namespaceRegex",
    "labelSelector",
    "annotationSelector",
    "missingLabels",
    "missingAnnotations",
    "labelsChanged",
    "labelsAdded",
    "labelsRemoved",
    "annotationsChanged",
    "annotationsAdded",
    "annotationsRemoved",
    "images",
    "pod",
    "containers",
    "fields",
    "entries",
    "tolerates",
    "limits",
    "not",
    "any",
    "all",
];

impl Condition {
    /// Reads a condition; `more` are fields beside it that others read.
    pub(super) fn read(at: &At<'_>, more: &[&str], reader: &mut Reader) -> Self {
        Self::read_within(at, more, 0, reader)
    }

    fn read_within(at: &At<'_>, more: &[&str], depth: usize, reader: &mut Reader) -> Self {
        let known: Vec<_> = FIELDS.iter().chain(more).copied().collect();
        if depth > MAX_NESTING {
            reader.refuse(
                at,
                format!("conditions are more than {MAX_NESTING} deep within each other; write them flatter"),
            );
            return Self::always();
        }
        at.check_fields(&known, reader);
        let depth = depth.saturating_add(1);
        let mut tests: Vec<_> =
            at.entries().iter().filter_map(|(name, at)| Test::read(name, at, depth, reader)).collect();
        order::sort_by(&mut tests, &|a: &Test, b| a.cost().cmp(&b.cost()));
        let (slot_tests, tests) = tests.into_iter().partition(Test::is_about_slots);
        Self { tests, slot_tests }
    }

    /// The condition that always holds.
    pub(super) const fn always() -> Self {
        Self { tests: Vec::new(), slot_tests: Vec::new() }
    }

    /// Whether it is sure to hold, whatever the request.
    pub(super) fn holds_always(&self) -> bool {
        self.slot_tests.is_empty() && self.tests.iter().all(Test::holds_always)
    }

    /// Whether what makes it hold may fill a hole of a text.
    pub(super) fn fills(&self, hole: Hole) -> bool {
        self.tests.iter().chain(&self.slot_tests).any(|test| test.fills(hole))
    }

    /// Whether it is about containers and images one by one.
    pub(super) fn is_about_slots(&self) -> bool {
        !self.slot_tests.is_empty()
    }

    /// Whether it holds.
    pub(super) fn test<'h, 'd>(&'h self, context: &Context<'_, 'd>, found: &mut Found<'h, 'd>) -> Truth {
        Truth::all(self.tests.iter().chain(&self.slot_tests).map(|test| test.test(context, None, found)))
    }

    /// Whether that holds which is not about containers and images one by one.
    pub(super) fn test_rest<'h, 'd>(&'h self, context: &Context<'_, 'd>, found: &mut Found<'h, 'd>) -> Truth {
        Truth::all(self.tests.iter().map(|test| test.test(context, None, found)))
    }

    /// Whether that holds for one of them which is about them.
    pub(super) fn test_slot<'h, 'd>(
        &'h self,
        context: &Context<'_, 'd>,
        slot: Slot<'d>,
        found: &mut Found<'h, 'd>,
    ) -> Truth {
        Truth::all(self.slot_tests.iter().map(|test| test.test(context, Some(slot), found)))
    }
}

fn read_conditions(at: &At<'_>, depth: usize, reader: &mut Reader) -> Vec<Condition> {
    at.items(reader).iter().map(|item| Condition::read_within(item, &[], depth, reader)).collect()
}

impl Test {
    fn read(name: &str, at: &At<'_>, depth: usize, reader: &mut Reader) -> Option<Self> {
        use Metadata::{Annotations, Labels};
        Some(match name {
            "users" => Self::Users(Names::read(at, reader)),
            "userRegex" => Self::UserRegex(Patterns::read(at, reader)),
            "groups" => Self::Groups(Names::read(at, reader)),
            "groupRegex" => Self::GroupRegex(Patterns::read(at, reader)),
            "serviceAccounts" => Self::ServiceAccounts(ServiceAccounts::read(at, reader)),
            "operations" => Self::Operations(Operations::read(at, reader)),
            "kinds" => Self::Kinds(Kinds::read(at, reader)),
            "resources" => Self::Resources(Resources::read(at, reader)),
            "subResources" => Self::SubResources(Names::read_all(at, reader)),
            "dryRun" => Self::DryRun(at.read(reader)?),
            "names" => Self::Names(Names::read(at, reader)),
            "nameRegex" => Self::NameRegex(Patterns::read(at, reader)),
            "namespaces" => Self::Namespaces(Names::read(at, reader)),
            "namespaceRegex" => Self::NamespaceRegex(Patterns::read(at, reader)),
            "labelSelector" => Self::Selector(Labels, super::selectors::Selector::read(at, reader)?.1),
            "annotationSelector" => Self::Selector(Annotations, super::selectors::Selector::read(at, reader)?.1),
            "missingLabels" => Self::Missing(Missing::read(at, Labels, reader)),
            "missingAnnotations" => Self::Missing(Missing::read(at, Annotations, reader)),
            "labelsChanged" => Self::Changed(Changed::read(at, Labels, Change::Any, reader)),
            "labelsAdded" => Self::Changed(Changed::read(at, Labels, Change::Added, reader)),
            "labelsRemoved" => Self::Changed(Changed::read(at, Labels, Change::Removed, reader)),
            "annotationsChanged" => Self::Changed(Changed::read(at, Annotations, Change::Any, reader)),
            "annotationsAdded" => Self::Changed(Changed::read(at, Annotations, Change::Added, reader)),
            "annotationsRemoved" => Self::Changed(Changed::read(at, Annotations, Change::Removed, reader)),
            "images" => Self::Images(Images::read(at, reader)),
            "pod" => Self::Pod(read_pod_fields(at, "the pod spec", reader)),
            "containers" => Self::Containers(read_pod_fields(at, "each container", reader)),
            "fields" => Self::Fields(read_fields(at, true, reader)),
            "entries" => {
                Self::Entries(at.items(reader).iter().filter_map(|item| Entries::read(item, reader)).collect())
            }
            "tolerates" => {
                Self::Tolerates(at.items(reader).iter().filter_map(|item| Taint::read(item, reader)).collect())
            }
            "limits" => Self::Limits(Limits::read(at, reader)),
            "not" => {
                let inner = Condition::read_within(at, &[], depth, reader);
                if inner.holds_always() {
                    reader.warn(at, "what stands in this `not` holds always, and so `not` never does");
                }
                Self::Not(Box::new(inner))
            }
            "any" => Self::Any(read_conditions(at, depth, reader)),
            "all" => Self::All(read_conditions(at, depth, reader)),
            _ => return None,
        })
    }

    fn fills(&self, hole: Hole) -> bool {
        match self {
            Self::All(conditions) | Self::Any(conditions) => conditions.iter().any(|condition| condition.fills(hole)),
            Self::Images(_) => hole == Hole::Image,
            Self::Limits(_) => hole == Hole::Container,
            Self::Containers(_) => matches!(hole, Hole::Container | Hole::Path),
            Self::Missing(_) => hole == Hole::Missing,
            Self::Changed(_) => hole == Hole::Label,
            Self::Fields(_) | Self::Entries(_) | Self::Pod(_) => hole == Hole::Path,
            _ => false,
        }
    }

    fn is_about_slots(&self) -> bool {
        matches!(self, Self::Images(_) | Self::Containers(_) | Self::Limits(_))
    }

    fn holds_always(&self) -> bool {
        match self {
            Self::Operations(operations) => Operation::ALL.into_iter().all(|operation| operations.have(operation)),
            Self::All(conditions) => conditions.iter().all(Condition::holds_always),
            Self::Any(conditions) => conditions.iter().any(Condition::holds_always),
            _ => false,
        }
    }

    /// Where it stands among others: in the order of the variants.
    fn cost(&self) -> u8 {
        match self {
            Self::Operations(_) | Self::DryRun(_) | Self::Kinds(_) | Self::Resources(_) | Self::SubResources(_) => 0,
            Self::Users(_) | Self::ServiceAccounts(_) | Self::Names(_) | Self::Namespaces(_) => 1,
            Self::Groups(_) | Self::UserRegex(_) | Self::NameRegex(_) | Self::NamespaceRegex(_) => 2,
            Self::GroupRegex(_) | Self::Selector(..) | Self::Missing(_) => 3,
            Self::Changed(_) | Self::Fields(_) | Self::Entries(_) | Self::Pod(_) | Self::Tolerates(_) => 4,
            Self::Images(_) | Self::Containers(_) | Self::Limits(_) => 5,
            Self::All(_) | Self::Any(_) | Self::Not(_) => 6,
        }
    }

    fn test<'h, 'd>(&'h self, context: &Context<'_, 'd>, focus: Option<Slot<'d>>, found: &mut Found<'h, 'd>) -> Truth {
        let review = context.review;
        match self {
            Self::Operations(operations) => operations.have(review.operation).into(),
            Self::DryRun(wanted) => (review.dry_run == *wanted).into(),
            Self::Kinds(kinds) => kinds.have(&review.kind.group, &review.kind.kind).into(),
            Self::Resources(resources) => resources.have(review).into(),
            Self::SubResources(names) => {
                (names.has(&review.sub_resource) || (!review.sub_resource.is_empty() && names.has("*"))).into()
            }
            Self::Users(names) => names.has(&review.user.username).into(),
            Self::UserRegex(patterns) => patterns.is_match(&review.user.username).into(),
            Self::Groups(names) => has_group(context, |group| names.has(group)),
            Self::GroupRegex(patterns) => has_group(context, |group| patterns.is_match(group)),
            Self::ServiceAccounts(accounts) => accounts.have(&review.user.username).into(),
            Self::Names(names) => name_holds(context.name(), |name| names.has(name)),
            Self::NameRegex(patterns) => name_holds(context.name(), |name| patterns.is_match(name)),
            Self::Namespaces(names) => name_holds(context.namespace(), |name| names.has(name)),
            Self::NamespaceRegex(patterns) => name_holds(context.namespace(), |name| patterns.is_match(name)),
            Self::Selector(field, selector) => selector.test(&context.metadata(super::context::Side::Subject, *field)),
            Self::Missing(missing) => missing.test(context, found),
            Self::Changed(changed) => changed.test(context, found),
            Self::Fields(fields) => test_fields(context, fields, context.object, Base::Object, found),
            Self::Entries(entries) => Truth::any(entries.iter().map(|entries| entries.test(context, found))),
            Self::Pod(fields) => match context.pod() {
                PodSpec::None => Truth::No,
                PodSpec::Unreadable(_) => Truth::Unreadable,
                PodSpec::Found(spec, path) => test_fields(context, fields, Some(spec), Base::Pod(path), found),
            },
            Self::Tolerates(taints) => tolerations::test(context, taints),
            Self::Images(images) => any_slot(context, focus, |slot| {
                let truth = images.test(&slot);
                note(&mut found.image, truth, slot);
                truth
            }),
            Self::Containers(fields) => any_slot(context, focus, |slot| {
                if !slot.is_container() {
                    return Truth::No;
                }
                let truth = match slot.value {
                    Some(value) => test_fields(context, fields, Some(value), Base::Slot(slot), found),
                    None => Truth::Unreadable,
                };
                note(&mut found.container, truth, slot);
                truth
            }),
            Self::Limits(limits) => any_slot(context, focus, |slot| {
                let truth = limits.test(&slot);
                note(&mut found.container, truth, slot);
                truth
            }),
            Self::All(conditions) => Truth::all(conditions.iter().map(|condition| condition.test(context, found))),
            Self::Any(conditions) => Truth::any(conditions.iter().map(|condition| {
                let mut inner = *found;
                let truth = condition.test(context, &mut inner);
                if truth.may_hold() {
                    *found = inner;
                }
                truth
            })),
            // What makes the inner condition hold does not make this one hold.
            Self::Not(condition) => condition.test(context, &mut Found::default()).not(),
        }
    }
}

/// Fields of what has none by the names that paths from the object go through.
fn read_pod_fields(at: &At<'_>, root: &str, reader: &mut Reader) -> Vec<Field> {
    let fields = read_fields(at, false, reader);
    if fields.iter().any(|field| field.path.begins_with(&["spec", "metadata", "template"])) {
        reader.refuse(at, format!("the paths begin at {root}, not at the object; leave out what leads there"));
    }
    fields
}

/// Keeps the first that surely holds, or else the first that might.
fn note<'d>(kept: &mut Option<Slot<'d>>, truth: Truth, slot: Slot<'d>) {
    if truth.holds() || (truth.may_hold() && kept.is_none()) {
        *kept = Some(slot);
    }
}

fn any_slot<'d>(context: &Context<'_, 'd>, focus: Option<Slot<'d>>, mut test: impl FnMut(Slot<'d>) -> Truth) -> Truth {
    match focus {
        Some(slot) => test(slot),
        None => Truth::any(slots(context).map(test)),
    }
}

/// Whether all fields hold for one root.
fn test_fields<'h, 'd>(
    context: &Context<'_, 'd>,
    fields: &'h [Field],
    root: Option<crate::admission::json::Value<'d>>,
    base: Base<'h, 'd>,
    found: &mut Found<'h, 'd>,
) -> Truth {
    let mut at = None;
    let truth = Truth::all(fields.iter().map(|field| {
        let (truth, trail) = field.test(context, root);
        at = at.or(trail);
        truth
    }));
    if truth.may_hold()
        && let Some(trail) = at
    {
        found.field = Some(FieldAt { base, trail });
    }
    truth
}

/// Whether a name holds that may not be readable. What has none fulfils no demand on it.
fn name_holds(name: Option<std::borrow::Cow<'_, str>>, holds: impl Fn(&str) -> bool) -> Truth {
    name.map_or(Truth::Unreadable, |name| (!name.is_empty() && holds(&name)).into())
}

fn has_group(context: &Context<'_, '_>, holds: impl Fn(&str) -> bool) -> Truth {
    context.review.user.groups().any(|group| context.spend() && holds(&group.to_cow())).into()
}

impl Entries {
    fn read(at: &At<'_>, reader: &mut Reader) -> Option<Self> {
        at.check_fields(&["of", "fields"], reader);
        let (Some(of), Some(fields)) = (at.field("of"), at.field("fields")) else {
            reader.refuse(at, "wanted `of`, the path of a list, and `fields` of one of its entries");
            return None;
        };
        Some(Self { of: Path::read_entries(&of, reader), fields: read_fields(&fields, false, reader) })
    }

    fn test<'h, 'd>(&'h self, context: &Context<'_, 'd>, found: &mut Found<'h, 'd>) -> Truth {
        let mut truth = Truth::No;
        self.of.resolve(context, context.object, &mut |leaf, trail| {
            let one = match leaf {
                super::fields::Leaf::Found(entry) => {
                    let mut inner = *found;
                    let one = test_fields(context, &self.fields, Some(entry), Base::Entry(*trail), &mut inner);
                    if one.holds() || (one.may_hold() && !truth.may_hold()) {
                        *found = inner;
                    }
                    one
                }
                super::fields::Leaf::Absent => Truth::No,
                super::fields::Leaf::Unreadable => Truth::Unreadable,
            };
            truth = truth.or(one);
            truth.holds()
        });
        truth
    }
}
