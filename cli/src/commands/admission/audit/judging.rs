//! The constraints in force, as the program asks them.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, anyhow, bail};
use portcullis_parsers::admission::engines::gatekeeper::{
    self, Action, Asked, EnforcementPoint, Findings, Gatekeeper, Subject,
};
use portcullis_parsers::admission::json::Value as Json;
use portcullis_parsers::admission::review::{Review, ReviewError};
use portcullis_policy::Node;

use super::objects;

/// Templates and constraints, ready to judge.
pub(crate) struct Constraints {
    gatekeeper: Arc<Gatekeeper>,
    /// The inventory that documents bring along.
    inventory: Vec<serde_json::Value>,
}

/// What a constraint is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Constraint {
    pub(crate) kind: String,
    pub(crate) name: String,
}

/// What a constraint says against an object.
pub(crate) struct Violation {
    pub(crate) constraint: Constraint,
    /// deny, warn, dryrun, scoped.
    pub(crate) action: String,
    /// Where that is `scoped`: what is done here.
    pub(crate) actions: Vec<String>,
    pub(crate) message: String,
}

impl Violation {
    fn new(constraint: &gatekeeper::Constraint, actions: &[Action], message: String) -> Self {
        let mut actions = actions.iter().map(|action| action.as_str().to_owned());
        let (action, actions) = match constraint.enforcement_action() {
            "scoped" => ("scoped".to_owned(), actions.collect()),
            action => (actions.next_back().unwrap_or_else(|| action.to_owned()), Vec::new()),
        };
        let constraint = Constraint { kind: constraint.kind().to_owned(), name: constraint.name().to_owned() };
        Self { constraint, action, actions, message }
    }

    pub(crate) fn is_denied(&self) -> bool {
        let deny = Action::Deny.as_str();
        self.action == deny || self.actions.iter().any(|action| action == deny)
    }
}

/// What constraints say of an object.
#[derive(Default)]
pub(crate) struct Judged {
    pub(crate) violations: Vec<Violation>,
    /// Why some of them could not be asked.
    pub(crate) faults: Vec<String>,
}

impl Constraints {
    /// Those of the documents of a listener, with their inventory.
    pub(crate) fn compile(documents: &[Node]) -> Result<Self, Vec<String>> {
        let compiled = Gatekeeper::compile(documents);
        let (gatekeeper, _) = compiled.map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        let kept = gatekeeper.kept_kinds();
        let is_kept = |node: &&Node| {
            let (api_version, kind) = (objects::text(node, &["apiVersion"]), objects::text(node, &["kind"]));
            kept.iter().any(|(kept_version, kept_kind)| kept_version == api_version && kept_kind == kind)
        };
        let inventory = documents.iter().filter(is_kept).map(objects::to_json).collect();
        Ok(Self { gatekeeper, inventory })
    }

    /// The kinds of the inventory, as `apiVersion` and `kind`.
    pub(crate) fn kept_kinds(&self) -> &[(String, String)] {
        self.gatekeeper.kept_kinds()
    }

    /// Whether any of them asks what else there is.
    pub(crate) fn ask_for_inventory(&self) -> bool {
        self.gatekeeper.reads_inventory()
    }

    /// How many constraints there are.
    pub(crate) fn count(&self) -> usize {
        self.gatekeeper.constraints().count()
    }

    /// The constraints that are in force at a point.
    pub(crate) fn at(&self, point: EnforcementPoint) -> Vec<Constraint> {
        let there = self.gatekeeper.constraints().filter(|constraint| !constraint.actions(point).is_empty());
        there.map(|one| Constraint { kind: one.kind().to_owned(), name: one.name().to_owned() }).collect()
    }

    /// The same with more objects in the inventory. Those that are there already are replaced.
    ///
    /// # Errors
    /// What is no object.
    pub(crate) fn with_inventory(&self, objects: &[&[u8]]) -> anyhow::Result<Self> {
        let mut inventory = self.inventory.clone();
        for object in objects {
            let mut object: serde_json::Value =
                serde_json::from_slice(object).context("an object of the inventory cannot be read")?;
            // `/v1` is `v1`, for Kubernetes' own parser.
            if let Some(version) = object["apiVersion"].as_str().and_then(|version| version.strip_prefix('/')) {
                object["apiVersion"] = version.into();
            }
            inventory.push(object);
        }
        let gatekeeper = self.gatekeeper.with_inventory(&inventory).map_err(|why| anyhow!("{why}"))?;
        Ok(Self { gatekeeper, inventory })
    }

    /// What they say of an object. Its Namespace is looked for in the inventory where it is not given.
    ///
    /// # Errors
    /// It cannot be judged at all.
    pub(crate) fn judge(
        &self,
        object: Json<'_>,
        namespace: Option<Json<'_>>,
        point: EnforcementPoint,
        until: Instant,
    ) -> anyhow::Result<Judged> {
        self.ask(&Asked { review: Subject::Object(object), namespace, point }, until)
    }

    /// What they say of an AdmissionReview, to those who test them.
    ///
    /// # Errors
    /// It is none, or cannot be judged at all.
    pub(crate) fn judge_review(&self, root: Json<'_>, until: Instant) -> anyhow::Result<Judged> {
        let review = match Review::read(root) {
            Ok(review) => review,
            Err(ReviewError::Unreadable { message } | ReviewError::Refused { message, .. }) => bail!("{message}"),
        };
        self.ask(&Asked { review: Subject::Review(&review), namespace: None, point: EnforcementPoint::Gator }, until)
    }

    fn ask(&self, asked: &Asked<'_>, until: Instant) -> anyhow::Result<Judged> {
        let Findings { violations, faults } = self.gatekeeper.find(asked, until).map_err(|error| anyhow!("{error}"))?;
        let mut judged = Judged::default();
        for found in violations {
            judged.violations.push(Violation::new(&found.constraint, &found.actions, found.message));
        }
        for fault in faults {
            match fault.unmatched {
                // What `gator` does: who tests a constraint is told of it as of a violation.
                Some(name) if asked.point == EnforcementPoint::Gator => {
                    let message = format!("{UNMATCHED} {name} :failed to run Match criteria: {NO_NAMESPACE}");
                    judged.violations.push(Violation::new(&fault.constraint, &fault.actions, message));
                }
                _ => judged.faults.push(format!("{}: {}", fault.constraint.label(), fault.message)),
            }
        }
        Ok(judged)
    }
}

const UNMATCHED: &str = "unable to match constraints: error matching the requested object:";
const NO_NAMESPACE: &str = "namespace selector for namespace-scoped object but missing Namespace";
