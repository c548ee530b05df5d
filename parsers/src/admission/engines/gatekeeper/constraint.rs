//! Constraints: what a template asks of which objects, with which parameters.

use std::collections::HashMap;

use portcullis_policy::{Node, Place};
use portcullis_rego::{Value, read_serde};

use super::action::{Action, Actions, EnforcementPoint};
use super::matching::Match;
use super::read::{At, Faults, allowed, shorten, to_json};
use super::template::{Template, read_name};

/// The group of constraints, and the versions of it.
pub(super) const GROUP: &str = "constraints.gatekeeper.sh";
const VERSIONS: [&str; 2] = ["v1beta1", "v1alpha1"];
/// Bytes of a name: Gatekeeper's schema of constraints.
pub(super) const MAX_NAME: usize = 63;

/// A constraint that is in force.
#[derive(Debug)]
pub struct Constraint {
    kind: Box<str>,
    name: Box<str>,
    place: Place,
    pub(super) actions: Actions,
    pub(super) matching: Match,
    pub(super) parameters: Value,
    /// As JSON, with its defaults: what templates in CEL see of it. Empty where there is no need of it.
    pub(super) document: Box<str>,
    /// The place of its template in the list of them.
    pub(super) template: usize,
}

impl Constraint {
    /// Its kind: that of its template.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it stands.
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// `spec.enforcementAction`: `deny`, `warn`, `dryrun` or `scoped`.
    pub const fn enforcement_action(&self) -> &'static str {
        self.actions.as_str()
    }

    /// What is done about violations at a point; nothing where the constraint is not in force there.
    pub fn actions(&self, point: EnforcementPoint) -> Vec<Action> {
        self.actions.at(point)
    }

    /// As the log and errors name it: `K8sRequiredLabels/ns-must-have-hr`.
    pub fn label(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }

    /// Reads a constraint of one of these templates.
    pub(super) fn read(node: &Node, templates: &Templates<'_>, faults: &mut Faults) -> Option<Self> {
        let errors = faults.errors.len();
        let whole = At::whole(node);
        let text = |name| whole.field(name).and_then(|at| at.text()).unwrap_or_default();
        let (version, kind) = (text("apiVersion"), text("kind"));
        let name = read_name(&whole, faults)?;
        let at = At { node, path: format!("{}/{}", shorten(kind), shorten(name)) };
        let version = version.rsplit_once('/').map_or("", |(_, version)| version);
        if !VERSIONS.contains(&version) {
            let message = format!("`{}` is not a version of constraints; {}", shorten(version), allowed(&VERSIONS));
            faults.refuse(&at, message);
        }
        if name.len() > MAX_NAME {
            faults.refuse(&at, format!("its name has {} bytes, and may have {MAX_NAME}", name.len()));
        }
        let Some((index, template)) = templates.find(kind) else {
            let message = format!(
                "there is no ConstraintTemplate `{}` for the kind `{}`{}",
                shorten(&kind.to_ascii_lowercase()),
                shorten(kind),
                templates.describe_broken(kind)
            );
            faults.refuse(&at, message);
            return None;
        };
        if *template.kind != *kind {
            faults.refuse(&at, format!("its kind is `{}`, and the template's `{}`", shorten(kind), template.kind));
        }
        faults.errors.extend(at.unknown(&["apiVersion", "kind", "metadata", "spec", "status"]));
        let spec = at.any_field("spec");
        let spec = spec.filter(|spec| spec.check_fields(&FIELDS, faults));
        let matching = spec.as_ref().and_then(|spec| spec.field("match")).map(|at| Match::read(&at, faults));
        let actions = match &spec {
            Some(spec) => Actions::read(spec, faults),
            None => Actions::Everywhere(Action::Deny),
        };
        let parameters = spec.as_ref().and_then(|spec| spec.any_field("parameters"));
        let parameters = match (&template.parameters, parameters) {
            (Some(schema), parameters) => schema.apply(parameters.as_ref(), faults),
            (None, Some(at)) => {
                faults.refuse(&at, "unknown field `parameters`; the template has no schema for any");
                return None;
            }
            (None, None) => serde_json::Value::Null,
        };
        let document = match template.rego() {
            Some(_) => String::new(),
            None => write(node, &parameters),
        };
        let parameters = match parameters {
            // As for Gatekeeper, so that Rego need not.
            serde_json::Value::Null => Value::new_object(),
            other => read_serde(&other),
        };
        if faults.errors.len() > errors {
            return None;
        }
        Some(Self {
            kind: kind.into(),
            name: name.into(),
            place: node.place.clone(),
            actions,
            matching: matching.unwrap_or_default(),
            parameters,
            document: document.into(),
            template: index,
        })
    }
}

/// The constraint with these parameters.
fn write(node: &Node, parameters: &serde_json::Value) -> String {
    let mut document = to_json(node);
    if let (Some(spec), false) = (document.pointer_mut("/spec"), parameters.is_null())
        && let Some(spec) = spec.as_object_mut()
    {
        spec.insert("parameters".to_owned(), parameters.clone());
    }
    document.to_string()
}

const FIELDS: [&str; 4] = ["match", "enforcementAction", "scopedEnforcementActions", "parameters"];

/// Templates by the names of their kinds in lower case.
#[derive(Debug, Default)]
pub(super) struct Templates<'t> {
    by_kind: HashMap<String, (usize, &'t Template)>,
    /// Those that are there, and cannot be used.
    broken: Vec<String>,
}

impl<'t> Templates<'t> {
    pub(super) fn new(templates: &'t [Template], broken: Vec<String>) -> Self {
        let entry = |(n, template): (usize, &'t Template)| (template.kind.to_ascii_lowercase(), (n, template));
        Self { by_kind: templates.iter().enumerate().map(entry).collect(), broken }
    }

    fn find(&self, kind: &str) -> Option<(usize, &'t Template)> {
        self.by_kind.get(&kind.to_ascii_lowercase()).copied()
    }

    fn describe_broken(&self, kind: &str) -> &'static str {
        let kind = kind.to_ascii_lowercase();
        if self.broken.contains(&kind) { " that can be used; see what is said of it" } else { "; put it beside" }
    }
}
