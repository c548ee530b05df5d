//! What is wrong with hooks as a whole, or probably not meant.

use portcullis_policy::NodeError;

use super::at::{At, Reader, shorten};
use super::decide::Rule;
use super::hook::Hook;
use super::rules::NAMESPACE_NAME;
use super::spec::{FailurePolicy, Mode, Scope};
use crate::admission::engines::NAMES;

/// Refuses two hooks of one name or one path.
pub(super) fn check_unique(known: &Hook, hook: &Hook) -> Vec<NodeError> {
    let mut errors = Vec::new();
    if known.name() == hook.name() {
        let message =
            format!("there is a hook `{}` already, at {}; rename one of them", shorten(hook.name()), known.name_place);
        errors.push(NodeError::new(&hook.name_place, "metadata.name", message));
    }
    if known.uri() == hook.uri() {
        let message = format!(
            "the hook `{}` at {} has the path `{}`, too; give one of them another",
            shorten(known.name()),
            known.uri_place,
            shorten(hook.uri())
        );
        errors.push(NodeError::new(&hook.uri_place, format!("{}/spec.uri", shorten(hook.name())), message));
    }
    errors
}

/// Refuses rules after one that always decides.
pub(super) fn check_reachable(items: &[At<'_>], rules: &[Option<Rule>], reader: &mut Reader) {
    let last = rules.iter().position(|rule| rule.as_ref().is_some_and(Rule::is_final));
    if let Some(last) = last
        && let Some(unreached) = items.get(last.saturating_add(1))
    {
        let message = format!(
            "this rule is never reached: `decide[{last}]` holds always; give it a condition, or remove this one"
        );
        reader.refuse(unreached, message);
    }
}

/// The namespace of the cluster's own parts: a webhook that fails must not keep them from starting.
const KUBE_SYSTEM: &str = "kube-system";

/// What is left to say when a hook was read.
pub(super) fn check(hook: &Hook, at: &At<'_>, reader: &mut Reader) {
    let spec = hook.spec();
    let does_nothing = hook.validate.is_empty() && hook.decide.is_empty() && hook.mutate.is_empty();
    let says = |name: &&str| at.field(name).is_some();
    if does_nothing && !["validate", "decide", "mutate"].iter().chain(NAMES.iter().map(|(name, _)| name)).any(says) {
        reader.refuse(at, "the hook does nothing; write `decide`, `validate` or `mutate`, or name an engine");
    }
    if let (Some(field), false) = (at.field("reinvocationPolicy"), spec.mutating) {
        reader.refuse(&field, "`reinvocationPolicy` is for hooks that change objects; leave it out");
    }
    if let (Some(field), true) = (at.field("mutate"), spec.mode != Mode::Enforce) {
        reader.warn(&field, "nothing is changed while `mode` is not `enforce`");
    }
    let namespaced = spec.rules.iter().any(|rule| rule.scope != Scope::Cluster);
    if spec.failure_policy == FailurePolicy::Fail
        && namespaced
        && !hook.namespaces.excludes(NAMESPACE_NAME, KUBE_SYSTEM)
    {
        let message = format!(
            "with `failurePolicy: Fail` nothing starts in `{KUBE_SYSTEM}` while the filter is away; exclude it by a \
             `namespaceSelector` on `{NAMESPACE_NAME}`, or write `failurePolicy: Ignore`"
        );
        reader.warn(at, message);
    }
    if hook.tests.is_empty() && at.field("tests").is_none() {
        reader.warn(at, "the hook has no `tests`");
    }
    let unused: Vec<_> = reader
        .lists
        .iter()
        .filter(|(_, list)| !list.used)
        .map(|(name, list)| (name.clone(), list.place.clone()))
        .collect();
    for (name, place) in unused {
        let warning = NodeError::new(&place, format!("{}.lists.{}", at.path, shorten(&name)), "nothing uses this list");
        reader.faults.warnings.push(warning);
    }
}
