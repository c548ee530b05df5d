//! What is done about violations, and where.

use super::read::{At, Faults, allowed, shorten};

/// What is done about a violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// The request is denied.
    Deny,
    /// It is only written to the log.
    Dryrun,
    /// The client is warned.
    Warn,
}

/// Who asks about violations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnforcementPoint {
    /// Admission: `validation.gatekeeper.sh`.
    Webhook,
    /// The audit of what is there: `audit.gatekeeper.sh`.
    Audit,
    /// Tests: `gator.gatekeeper.sh`.
    Gator,
}

impl Action {
    /// Its name in a constraint.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Dryrun => "dryrun",
            Self::Warn => "warn",
        }
    }

    pub(super) fn of(name: &str) -> Option<Self> {
        [Self::Deny, Self::Dryrun, Self::Warn].into_iter().find(|action| action.as_str() == name)
    }
}

impl EnforcementPoint {
    /// Its name in a constraint.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "validation.gatekeeper.sh",
            Self::Audit => "audit.gatekeeper.sh",
            Self::Gator => "gator.gatekeeper.sh",
        }
    }
}

/// Points that a constraint may name. The last but one is a ValidatingAdmissionPolicy, which the API server asks by itself.
const POINTS: [&str; 5] = ["validation.gatekeeper.sh", "audit.gatekeeper.sh", "gator.gatekeeper.sh", "vap.k8s.io", "*"];

/// What a constraint does about violations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Actions {
    /// The same everywhere.
    Everywhere(Action),
    /// `scoped`: each action with the points where it is done.
    Scoped(Vec<(Action, Vec<Box<str>>)>),
}

impl Actions {
    /// Reads `enforcementAction` and `scopedEnforcementActions`. What Gatekeeper does not know it would pass over, and the
    /// constraint would do nothing: it is refused.
    pub(super) fn read(spec: &At<'_>, faults: &mut Faults) -> Self {
        let scoped = spec.field("scopedEnforcementActions");
        let Some(at) = spec.field("enforcementAction") else {
            warn_of_unused(scoped.as_ref(), faults);
            return Self::Everywhere(Action::Deny);
        };
        let name = at.need_text(faults).unwrap_or_default();
        if name == "scoped" {
            let Some(list) = scoped else {
                faults.refuse(&at, "`scoped` needs `scopedEnforcementActions`; write them beside it");
                return Self::Everywhere(Action::Deny);
            };
            return Self::Scoped(list.need_items(faults).iter().filter_map(|at| read_scoped(at, faults)).collect());
        }
        warn_of_unused(scoped.as_ref(), faults);
        match Action::of(name) {
            Some(action) => Self::Everywhere(action),
            None if name.is_empty() => Self::Everywhere(Action::Deny),
            None => {
                let message =
                    format!("`{}` is not an action; allowed are `deny`, `warn`, `dryrun`, `scoped`", shorten(name));
                faults.refuse(&at, message);
                Self::Everywhere(Action::Deny)
            }
        }
    }

    /// Whether anything is done at a point.
    pub(super) fn is_at(&self, point: EnforcementPoint) -> bool {
        match self {
            Self::Everywhere(_) => true,
            Self::Scoped(scoped) => scoped.iter().any(|(_, points)| names(points, point)),
        }
    }

    /// What is done at a point: nothing where the constraint is not in force there.
    pub(super) fn at(&self, point: EnforcementPoint) -> Vec<Action> {
        match self {
            Self::Everywhere(action) => vec![*action],
            Self::Scoped(scoped) => {
                let mut actions: Vec<_> =
                    scoped.iter().filter(|(_, points)| names(points, point)).map(|(action, _)| *action).collect();
                actions.sort_unstable();
                actions.dedup();
                actions
            }
        }
    }

    /// As `spec.enforcementAction` says it.
    pub(super) const fn as_str(&self) -> &'static str {
        match self {
            Self::Everywhere(action) => action.as_str(),
            Self::Scoped(_) => "scoped",
        }
    }
}

fn names(points: &[Box<str>], point: EnforcementPoint) -> bool {
    points.iter().any(|it| **it == *"*" || **it == *point.as_str())
}

fn warn_of_unused(scoped: Option<&At<'_>>, faults: &mut Faults) {
    if let Some(at) = scoped {
        faults.warn(at, "it is only asked where `enforcementAction` is `scoped`");
    }
}

fn read_scoped(at: &At<'_>, faults: &mut Faults) -> Option<(Action, Vec<Box<str>>)> {
    if !at.check_fields(&["action", "enforcementPoints"], faults) {
        return None;
    }
    let name = at.text_field("action", faults);
    let action = Action::of(name);
    if action.is_none() {
        let message = format!("`{}` is not an action; allowed are `deny`, `warn`, `dryrun`", shorten(name));
        faults.refuse(&at.field("action").unwrap_or_else(|| at.clone()), message);
    }
    let items = at.field("enforcementPoints").map(|list| list.need_items(faults)).unwrap_or_default();
    if items.is_empty() {
        faults.refuse(at, format!("it names no `enforcementPoints`; {}", allowed(&POINTS)));
    }
    let mut points = Vec::new();
    for item in &items {
        if !item.check_fields(&["name"], faults) {
            continue;
        }
        let name = item.text_field("name", faults);
        if !POINTS.contains(&name) {
            faults.refuse(item, format!("`{}` is not an enforcement point; {}", shorten(name), allowed(&POINTS)));
        }
        points.push(name.into());
    }
    Some((action?, points))
}
