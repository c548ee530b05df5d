//! Gatekeeper: ConstraintTemplates in Rego, and constraints that ask for what they say.
//!
//! ```text
//! documents -> template (schema, Rego) -> constraint (match, actions, parameters) -> Rules, with an index by kind
//!              config, sync sets       -> inventory -> data.inventory of every program
//!              expansion templates     -> what an object brings about is judged with it
//!
//! review -> target -> constraints of its kind -> match -> input (once) -> program -> violations -> ruling
//! ```
//!
//! The meaning is that of Gatekeeper 3 and of its constraint framework. What they would pass over in silence is an error here: a
//! rule that gives no `msg`, an action or an enforcement point that nobody knows.

mod action;
mod answer;
mod config;
mod constraint;
mod expansion;
mod glob;
mod input;
mod inventory;
mod judge;
mod load;
mod matching;
#[cfg(feature = "cel")]
mod native;
mod own;
mod read;
mod schema;
mod selector;
mod source;
mod target;
mod template;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use portcullis_policy::{Node, NodeError};
use portcullis_rego::Program;

pub use self::action::{Action, EnforcementPoint};
pub use self::constraint::Constraint;
pub use self::judge::{Asked, Fault, Findings, Subject, Violation};

use self::config::Config;
use self::expansion::Expansions;
use self::inventory::Inventory;
use self::target::Target;
use self::template::Template;

/// Templates, constraints, and what else documents say to Gatekeeper.
pub struct Gatekeeper {
    rules: Arc<Rules>,
    /// The program of each template, over the inventory.
    programs: Vec<Option<Program>>,
    inventory: Inventory,
}

/// What does not change with the inventory.
#[derive(Debug)]
struct Rules {
    templates: Vec<Template>,
    /// Sorted by kind and name.
    constraints: Vec<Arc<Constraint>>,
    /// The constraints that are for a kind, and those that may be for any.
    by_kind: HashMap<Box<str>, Vec<usize>>,
    for_any: Vec<usize>,
    config: Config,
    expansions: Expansions,
}

impl Gatekeeper {
    /// Compiles all documents that are Gatekeeper's, and takes those that Config and SyncSets name into the inventory. Others are
    /// passed over. Beside it there are warnings.
    ///
    /// # Errors
    /// All that is wrong, each with its place.
    pub fn compile(documents: &[Node]) -> Result<(Arc<Self>, Vec<NodeError>), Vec<NodeError>> {
        load::compile(documents)
    }

    /// The kinds of objects that Config and SyncSets want in the inventory, each as `apiVersion` and `kind`.
    pub fn claims(documents: &[Node]) -> Vec<(String, String)> {
        load::claims(documents)
    }

    /// Whether there is anything of Gatekeeper's among documents that would judge: a template or a constraint.
    pub fn is_among(documents: &[Node]) -> bool {
        load::is_among(documents)
    }

    /// The same rules over another inventory: objects of the cluster, whatever Config says of their kinds.
    ///
    /// # Errors
    /// An object without `apiVersion`, `kind` or name.
    pub fn with_inventory<'o>(
        &self,
        objects: impl IntoIterator<Item = &'o serde_json::Value>,
    ) -> Result<Arc<Self>, String> {
        let mut inventory = Inventory::default();
        for object in objects {
            inventory.add(object, &self.rules.config)?;
        }
        Ok(Arc::new(Self::new(Arc::clone(&self.rules), inventory)))
    }

    /// The kinds of objects that belong in the inventory, each as `apiVersion` and `kind`.
    pub fn kept_kinds(&self) -> &[(String, String)] {
        &self.rules.config.kept
    }

    /// Whether any template reads the inventory.
    pub fn reads_inventory(&self) -> bool {
        self.rules.templates.iter().filter_map(Template::rego).any(|code| code.reads_inventory)
    }

    /// The constraints, sorted by kind and name.
    pub fn constraints(&self) -> impl Iterator<Item = &Arc<Constraint>> {
        self.rules.constraints.iter()
    }

    /// The names of the templates, in the order of the documents.
    pub fn templates(&self) -> impl Iterator<Item = &str> {
        self.rules.templates.iter().map(|template| &*template.name)
    }

    fn new(rules: Arc<Rules>, inventory: Inventory) -> Self {
        let program = |template: &Template| {
            let code = template.rego()?;
            Some(if code.reads_inventory { code.program.with_data(&inventory.data) } else { code.program.clone() })
        };
        let programs = rules.templates.iter().map(program).collect();
        Self { rules, programs, inventory }
    }
}

impl fmt::Debug for Gatekeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gatekeeper")
            .field("templates", &self.rules.templates.len())
            .field("constraints", &self.rules.constraints.len())
            .finish_non_exhaustive()
    }
}

impl Rules {
    fn new(templates: Vec<Template>, mut constraints: Vec<Constraint>, config: Config, expansions: Expansions) -> Self {
        constraints.sort_by(|one, other| (one.kind(), one.name()).cmp(&(other.kind(), other.name())));
        let mut by_kind: HashMap<Box<str>, Vec<usize>> = HashMap::new();
        let mut for_any = Vec::new();
        for (n, constraint) in constraints.iter().enumerate() {
            match constraint.matching.kinds() {
                None => for_any.push(n),
                Some(kinds) => {
                    for kind in kinds {
                        let list = by_kind.entry(kind.into()).or_default();
                        if list.last() != Some(&n) {
                            list.push(n);
                        }
                    }
                }
            }
        }
        let constraints = constraints.into_iter().map(Arc::new).collect();
        Self { templates, constraints, by_kind, for_any, config, expansions }
    }

    /// The constraints that may be for a target, by their kinds; in order, each once.
    fn candidates(&self, target: &Target<'_>) -> Vec<usize> {
        let mut found = self.for_any.clone();
        for object in &target.objects {
            found.extend(self.by_kind.get(&*object.kind).into_iter().flatten());
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}
