//! A ValidatingAdmissionPolicy and its bindings, read and checked as the API server does.

use portcullis_policy::{Node, Value};

use crate::admission::hooks::at::{At, Reader, shorten};
use crate::admission::hooks::selectors::is_subdomain;

use super::expressions::Names;
use super::matching::Matching;
use super::params::{ParamKind, ParamRef};
use super::parts::{read_annotations, read_conditions, read_validations, read_variables};
use super::program::Program;
use super::read::{check_fields, items, need_text, open, word};

/// The group of policies and bindings.
const GROUP: &str = "admissionregistration.k8s.io";
/// Its versions that have them.
const VERSIONS: [&str; 3] = ["v1", "v1beta1", "v1alpha1"];

/// A policy, with the bindings that put it in force.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) name: String,
    pub(super) param_kind: Option<ParamKind>,
    pub(super) matching: Matching,
    pub(super) program: Program,
    /// By name.
    pub(super) bindings: Vec<Binding>,
}

const FIELDS: [&str; 7] = [
    "paramKind",
    "matchConstraints",
    "validations",
    "failurePolicy",
    "auditAnnotations",
    "matchConditions",
    "variables",
];

impl Policy {
    /// Reads a policy. What is wrong is added to the faults; then it is not to be used.
    pub(super) fn read(document: &Node, reader: &mut Reader) -> Option<Self> {
        check_version(document, reader);
        let (name, _, spec) = open(document, reader)?;
        if !check_fields(&spec, &FIELDS, reader) {
            return None;
        }
        let param_kind = spec.field("paramKind").and_then(|at| ParamKind::read(&at, reader));
        let matching = match spec.field("matchConstraints") {
            Some(at) => {
                let matching = Matching::read(&at, reader);
                if at.field("resourceRules").is_none_or(|rules| is_empty(&rules)) {
                    reader.refuse(&at, "there are no `resourceRules`; say which requests the policy speaks of");
                }
                matching
            }
            None => {
                reader.refuse(&spec, "there are no `matchConstraints`; say which requests the policy speaks of");
                Matching::default()
            }
        };
        let failure_policy = word(&spec, "failurePolicy", &["Fail", "Ignore"], reader);
        let mut program = Program { ignores_failures: failure_policy == Some("Ignore"), ..Program::default() };
        let mut names = Names::new(spec.field("paramKind").is_some());
        program.conditions = read_conditions(&spec, "matchConditions", &names, false, reader);
        read_variables(&spec, &mut names, &mut program, |_| None, reader);
        program.validations =
            read_validations(&spec, &names, &["expression", "message", "messageExpression", "reason"], reader);
        program.annotations = read_annotations(&spec, &name, &names, reader);
        if ["validations", "auditAnnotations"].iter().all(|name| spec.field(name).is_none_or(|list| is_empty(&list))) {
            reader.refuse(&spec, "there are neither `validations` nor `auditAnnotations`; write at least one");
        }
        Some(Self { name, param_kind, matching, program, bindings: Vec::new() })
    }
}

fn is_empty(list: &At<'_>) -> bool {
    matches!(&list.node.value, Value::List(items) if items.is_empty())
}

/// Says whether the version is the first one, v1alpha1.
fn check_version(document: &Node, reader: &mut Reader) -> bool {
    let whole = At { node: document, path: String::new() };
    let Some(field) = whole.field("apiVersion") else { return false };
    let version: String = field.read(reader).unwrap_or_default();
    let version = version.strip_prefix(GROUP).and_then(|rest| rest.strip_prefix('/')).unwrap_or_default();
    if !VERSIONS.contains(&version) {
        let message = format!("there is no such version; write `{GROUP}/v1`");
        reader.refuse(&field, message);
    }
    version == "v1alpha1"
}

/// What puts a policy in force.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) name: String,
    pub(super) policy: String,
    /// Everything that the policy speaks of, if nothing is said.
    pub(super) matching: Option<Matching>,
    pub(super) params: Option<ParamRef>,
    /// As they are written.
    pub(super) actions: Vec<Action>,
}

/// What becomes of a request that a validation does not hold for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Deny,
    Warn,
    Audit,
}

impl Action {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Deny => "Deny",
            Self::Warn => "Warn",
            Self::Audit => "Audit",
        }
    }
}

impl Binding {
    /// Reads a binding. What is wrong is added to the faults; then it is not to be used.
    pub(super) fn read(document: &Node, reader: &mut Reader) -> Option<Self> {
        let is_alpha = check_version(document, reader);
        let (name, _, spec) = open(document, reader)?;
        if !check_fields(&spec, &["policyName", "paramRef", "matchResources", "validationActions"], reader) {
            return None;
        }
        let policy = need_text(&spec, "policyName", reader);
        if let Some((policy, field)) = policy.as_ref().filter(|(policy, _)| !is_subdomain(policy)) {
            reader.refuse(field, format!("`{}` is not a name; one is a DNS subdomain in lower case", shorten(policy)));
        }
        let params = spec.field("paramRef").and_then(|at| ParamRef::read(&at, is_alpha, reader));
        let matching = spec.field("matchResources").map(|at| Matching::read(&at, reader));
        let actions = read_actions(&spec, reader);
        Some(Self { name, policy: policy?.0, matching, params, actions })
    }
}

fn read_actions(spec: &At<'_>, reader: &mut Reader) -> Vec<Action> {
    let mut actions = Vec::new();
    for item in items(spec, "validationActions", reader) {
        let Some(text) = item.read::<String>(reader) else { continue };
        let known = [Action::Deny, Action::Warn, Action::Audit];
        match known.into_iter().find(|action| action.as_str() == text) {
            Some(action) if actions.contains(&action) => {
                reader.refuse(&item, format!("`{text}` stands there twice"));
            }
            Some(action) => actions.push(action),
            None => reader
                .refuse(&item, format!("`{}` is not an action; allowed are `Deny`, `Warn`, `Audit`", shorten(&text))),
        }
    }
    if actions.contains(&Action::Deny) && actions.contains(&Action::Warn) {
        reader
            .refuse(spec, "`Deny` and `Warn` would tell the same twice; leave one of them out of `validationActions`");
    }
    if spec.field("validationActions").is_none_or(|list| is_empty(&list)) {
        reader.refuse(spec, "there are no `validationActions`; write at least one of `Deny`, `Warn`, `Audit`");
    }
    actions
}
