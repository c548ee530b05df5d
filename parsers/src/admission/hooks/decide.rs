//! Rules that decide: the first that allows or denies and holds.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::at::{At, Reader, allowed};
use super::conditions::Condition;
use super::context::Context;
use super::found::Found;
use super::podspec::{Slot, slots};
use super::template::Template;

/// One item of `decide`.
#[derive(Debug)]
pub(super) enum Rule {
    Allow(Condition),
    Deny(Denial),
    Warn(Denial),
    DenyAll { join: String, of: Vec<Denial>, tells: Tells },
    DenyFirst { of: Vec<Denial> },
}

/// A condition, and what is told where it holds.
#[derive(Debug)]
pub(super) struct Denial {
    condition: Condition,
    tells: Tells,
}

/// What a client is told.
#[derive(Clone, Debug, Default)]
pub(super) struct Tells {
    message: Template,
    reason: Template,
    code: Option<u16>,
}

/// What a denial comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) message: String,
    pub(super) reason: String,
    pub(super) code: u16,
}

/// `status.code` of a denial that names none, with its reason.
const FORBIDDEN: (u16, &str) = (403, "Forbidden");
/// `status.code` of a request that does not meet what a hook requires of all.
const BAD_REQUEST: (u16, &str) = (400, "BadRequest");
/// Texts that are told together. The answer is cut off, however many there are.
const MAX_TOLD: usize = 100;
/// Texts that are written for one condition, many of which may be the same. Nobody reads more; a review may have a hundred
/// thousand containers.
const MAX_WRITTEN: usize = 1000;

const TELLS: [&str; 3] = ["message", "reason", "code"];

impl Rule {
    pub(super) fn read(at: &At<'_>, reader: &mut Reader) -> Option<Self> {
        const KINDS: [&str; 5] = ["allow", "deny", "warn", "denyAll", "denyFirst"];
        at.check_fields(&KINDS, reader);
        let entries = at.entries();
        let [(kind, inner)] = entries.as_slice() else {
            reader.refuse(at, format!("wanted one field; {}", allowed(&KINDS)));
            return None;
        };
        Some(match *kind {
            "allow" => Self::Allow(Condition::read(inner, &[], reader)),
            "deny" => Self::Deny(Denial::read(inner, &TELLS, reader)),
            "warn" => {
                let warning = Denial::read(inner, &["message"], reader);
                if warning.tells.message.is_empty() && inner.is_map() {
                    reader.refuse(inner, "the field `message` is missing");
                }
                Self::Warn(warning)
            }
            "denyAll" => {
                inner.check_fields(&["join", "of", "message", "reason", "code"], reader);
                let join = inner.read_field("join", reader).unwrap_or_else(|| "\n".to_owned());
                let (of, tells) = (read_items(inner, reader), Tells::read(inner, reader));
                tells.check_holes(inner, None, reader);
                Self::DenyAll { join, of, tells }
            }
            "denyFirst" => {
                inner.check_fields(&["of"], reader);
                Self::DenyFirst { of: read_items(inner, reader) }
            }
            _ => return None,
        })
    }

    /// Whether nothing after it is reached.
    pub(super) fn is_final(&self) -> bool {
        match self {
            Self::Allow(condition) => condition.holds_always(),
            Self::Deny(denial) => denial.condition.holds_always(),
            Self::Warn(_) => false,
            Self::DenyAll { of, .. } | Self::DenyFirst { of } => {
                of.iter().any(|denial| denial.condition.holds_always())
            }
        }
    }

    /// What it denies with, if it denies.
    pub(super) fn deny(&self, context: &Context<'_, '_>) -> Option<Told> {
        match self {
            Self::Allow(_) | Self::Warn(_) => None,
            Self::Deny(denial) => {
                let found = denial.holds(context)?;
                Some(denial.tells.tell(context, &found, FORBIDDEN))
            }
            Self::DenyFirst { of } => deny_first(context, of),
            Self::DenyAll { join, of, tells } => deny_all(context, of, join, tells),
        }
    }

    /// Whether it allows.
    pub(super) fn allows(&self, context: &Context<'_, '_>) -> bool {
        matches!(self, Self::Allow(condition) if condition.test(context, &mut Found::default()).holds())
    }

    /// What it warns of, if it does.
    pub(super) fn warn(&self, context: &Context<'_, '_>) -> Option<String> {
        let Self::Warn(warning) = self else { return None };
        let found = warning.holds(context)?;
        Some(warning.tells.message.render(context, &found))
    }
}

fn read_items(at: &At<'_>, reader: &mut Reader) -> Vec<Denial> {
    match at.field("of") {
        Some(of) => of.items(reader).iter().map(|item| Denial::read(item, &TELLS, reader)).collect(),
        None => {
            reader.refuse(at, "the field `of` is missing");
            Vec::new()
        }
    }
}

/// The first that holds, by image and container in the order of the object.
fn deny_first<'d>(context: &Context<'_, 'd>, of: &[Denial]) -> Option<Told> {
    let rests: Vec<_> = of.iter().map(|denial| denial.rest_holds(context)).collect();
    let first = |slot: Option<Slot<'d>>| {
        of.iter().zip(&rests).find_map(|(denial, rest)| {
            let rest = (*rest)?;
            let found = if denial.condition.is_about_slots() { denial.holds_for(context, slot?, rest)? } else { rest };
            Some(denial.tells.tell(context, &found, FORBIDDEN))
        })
    };
    let mut slots = slots(context).peekable();
    if slots.peek().is_none() {
        return first(None);
    }
    slots.find_map(|slot| first(Some(slot)))
}

/// All that hold, each text once, in order.
fn deny_all<'d>(context: &Context<'_, 'd>, of: &[Denial], join: &str, tells: &Tells) -> Option<Told> {
    let mut messages = BTreeSet::new();
    let mut reasons = BTreeSet::new();
    let mut first: Option<(Told, &Tells)> = None;
    for denial in of {
        let mut tell = |found: Found<'_, 'd>| {
            let told = denial.tells.tell(context, &found, FORBIDDEN);
            for (texts, text, given) in [
                (&mut messages, &told.message, &denial.tells.message),
                (&mut reasons, &told.reason, &denial.tells.reason),
            ] {
                if texts.len() < MAX_TOLD && !given.is_empty() {
                    texts.insert(text.clone());
                }
            }
            first.get_or_insert((told, &denial.tells));
        };
        let Some(rest) = denial.rest_holds(context) else { continue };
        if denial.condition.is_about_slots() {
            let held = slots(context).filter_map(|slot| denial.holds_for(context, slot, rest));
            held.take(MAX_WRITTEN).for_each(&mut tell);
        } else {
            tell(rest);
        }
    }
    let (mut told, first) = first?;
    let joined = |texts: BTreeSet<String>| texts.into_iter().collect::<Vec<_>>().join(join);
    told.message = joined(messages);
    if !first.reason.is_empty() {
        told.reason = joined(reasons);
    }
    let whole = tells.tell(context, &Found::default(), FORBIDDEN);
    if !tells.message.is_empty() {
        told.message = whole.message;
    }
    if !tells.reason.is_empty() {
        told.reason = whole.reason;
    }
    told.code = tells.code.unwrap_or(told.code);
    Some(told)
}

impl Denial {
    fn read(at: &At<'_>, more: &[&str], reader: &mut Reader) -> Self {
        let condition = Condition::read(at, more, reader);
        let tells = Tells::read(at, reader);
        tells.check_holes(at, Some(&condition), reader);
        Self { condition, tells }
    }

    /// What made it hold, if it does or may.
    fn holds<'h, 'd>(&'h self, context: &Context<'_, 'd>) -> Option<Found<'h, 'd>> {
        let mut found = Found::default();
        self.condition.test(context, &mut found).may_hold().then_some(found)
    }

    /// What made that of it hold which is not about containers and images one by one: asked once, however many they are.
    fn rest_holds<'h, 'd>(&'h self, context: &Context<'_, 'd>) -> Option<Found<'h, 'd>> {
        let mut found = Found::default();
        self.condition.test_rest(context, &mut found).may_hold().then_some(found)
    }

    /// What made it hold for one of them, where the rest holds.
    fn holds_for<'h, 'd>(
        &'h self,
        context: &Context<'_, 'd>,
        slot: Slot<'d>,
        rest: Found<'h, 'd>,
    ) -> Option<Found<'h, 'd>> {
        let mut found = Found::default();
        self.condition.test_slot(context, slot, &mut found).may_hold().then(|| Found {
            image: found.image.or(rest.image),
            container: found.container.or(rest.container),
            field: found.field.or(rest.field),
            ..rest
        })
    }
}

impl Tells {
    fn read(at: &At<'_>, reader: &mut Reader) -> Self {
        let mut template = |name| at.field(name).map(|at| Template::read(&at, reader)).unwrap_or_default();
        let (message, reason) = (template("message"), template("reason"));
        let code = at.read_field("code", reader);
        if code.is_some_and(|code| !(400..600).contains(&code)) {
            reader.refuse(at, "`code` is the status of a denial: 400 to 599");
        }
        Self { message, reason, code }
    }

    /// Warns of holes that the condition never fills.
    fn check_holes(&self, at: &At<'_>, condition: Option<&Condition>, reader: &mut Reader) {
        for (name, template) in [("message", &self.message), ("reason", &self.reason)] {
            for (hole, _) in
                template.asked_of_conditions().filter(|(_, hole)| !condition.is_some_and(|it| it.fills(*hole)))
            {
                let at = at.field(name).unwrap_or_else(|| at.clone());
                let what = match hole {
                    "image" => "`images`",
                    "container" => "`containers` or `limits`",
                    "missing" => "`missingLabels` or `missingAnnotations`",
                    "label" => "changes of labels or annotations",
                    _ => "`fields`, `entries`, `pod` or `containers`",
                };
                let message =
                    format!("nothing fills `{{{{{hole}}}}}` here: that is for conditions on {what}, outside of `not`");
                reader.warn(&at, message);
            }
        }
    }

    /// With a reason alone, there is no message: that is what the client shows then.
    fn tell<'d>(&self, context: &Context<'_, 'd>, found: &Found<'_, 'd>, (code, reason): (u16, &str)) -> Told {
        let message = self.message.render(context, found);
        let reason = if self.reason.is_empty() { reason.to_owned() } else { self.reason.render(context, found) };
        Told { message, reason, code: self.code.unwrap_or(code) }
    }
}

/// One item of `validate`.
#[derive(Debug)]
pub(super) struct Requirement {
    condition: Condition,
    tells: Tells,
}

impl Requirement {
    pub(super) fn read(at: &At<'_>, reader: &mut Reader) -> Option<Self> {
        at.check_fields(&["require", "message"], reader);
        let (Some(condition), Some(_)) = (at.field("require"), at.field("message")) else {
            reader.refuse(at, "wanted `require`, a condition, and the `message` where it does not hold");
            return None;
        };
        let (condition, tells) = (Condition::read(&condition, &[], reader), Tells::read(at, reader));
        tells.check_holes(at, None, reader);
        Some(Self { condition, tells })
    }

    /// What is told of a request that does not meet it.
    pub(super) fn refuse(&self, context: &Context<'_, '_>) -> Option<Told> {
        let mut found = Found::default();
        let met = self.condition.test(context, &mut found).holds();
        (!met).then(|| self.tells.tell(context, &Found::default(), BAD_REQUEST))
    }
}

/// The names of the first rules, so that allowing allocates nothing.
const NAMES: [&str; 16] = [
    "decide[0]",
    "decide[1]",
    "decide[2]",
    "decide[3]",
    "decide[4]",
    "decide[5]",
    "decide[6]",
    "decide[7]",
    "decide[8]",
    "decide[9]",
    "decide[10]",
    "decide[11]",
    "decide[12]",
    "decide[13]",
    "decide[14]",
    "decide[15]",
];

/// How the log names a rule.
pub(super) fn name_rule(index: usize) -> Cow<'static, str> {
    NAMES.get(index).map_or_else(|| format!("decide[{index}]").into(), |name| (*name).into())
}
