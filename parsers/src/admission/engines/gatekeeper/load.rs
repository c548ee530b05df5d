//! Documents on their way to rules: sorted by kind, each name once.

use std::collections::HashMap;
use std::sync::Arc;

use portcullis_policy::{Node, NodeError, Place};

use super::config::{CONFIG, Config, SYNC_SET};
use super::constraint::{self, Constraint, Templates};
use super::expansion::{self, EXPANSION, Expansions};
use super::inventory::Inventory;
use super::read::{At, Faults, shorten, to_json};
use super::template::{self, Template};
use super::{Gatekeeper, Rules};

/// What a document is to Gatekeeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Role {
    Template,
    Constraint,
    Config,
    SyncSet,
    Expansion,
    Other,
}

pub(super) fn is_among(documents: &[Node]) -> bool {
    documents.iter().any(|node| matches!(role(node), Role::Template | Role::Constraint))
}

pub(super) fn claims(documents: &[Node]) -> Vec<(String, String)> {
    read_config(documents, &mut Faults::default()).kept
}

pub(super) fn compile(documents: &[Node]) -> Result<(Arc<Gatekeeper>, Vec<NodeError>), Vec<NodeError>> {
    let mut faults = Faults::default();
    check_names(documents, &mut faults);
    let of = |wanted| documents.iter().filter(move |node| role(node) == wanted);

    let config = read_config(documents, &mut faults);
    let mut broken = Vec::new();
    let mut templates = Vec::new();
    for node in of(Role::Template) {
        match Template::read(node, &mut faults) {
            Some(template) => templates.push(template),
            None => broken.extend(text(node, &["metadata", "name"]).map(str::to_ascii_lowercase)),
        }
    }
    let constraints: Vec<_> = {
        let templates = Templates::new(&templates, broken);
        of(Role::Constraint).filter_map(|node| Constraint::read(node, &templates, &mut faults)).collect()
    };
    let expansions = of(Role::Expansion).filter_map(|node| expansion::Template::read(node, &mut faults)).collect();
    let (expansions, circle) = Expansions::new(expansions);
    if let Some(name) = circle {
        let node = of(Role::Expansion).find(|node| text(node, &["metadata", "name"]) == Some(&name));
        let place = node.map_or_else(|| Place::whole(""), |node| node.place.clone());
        let message = "it and others generate what they apply to, in a circle";
        faults.errors.push(NodeError::new(&place, format!("ExpansionTemplate/{name}"), message));
    }
    let inventory = read_inventory(documents, &config, &mut faults);
    for template in
        templates.iter().filter(|it| it.rego().is_some_and(|code| code.reads_inventory) && config.kept.is_empty())
    {
        let message = "it reads `data.inventory`, which is empty: neither Config nor a SyncSet names objects to keep";
        faults.warnings.push(NodeError::new(&template.place, format!("ConstraintTemplate/{}", template.name), message));
    }
    if !faults.errors.is_empty() {
        return Err(faults.errors);
    }
    let rules = Arc::new(Rules::new(templates, constraints, config, expansions));
    Ok((Arc::new(Gatekeeper::new(rules, inventory)), faults.warnings))
}

fn text<'n>(node: &'n Node, path: &[&str]) -> Option<&'n str> {
    At::whole(node).descend(path).and_then(|at| at.text())
}

fn role(node: &Node) -> Role {
    let (Some(api_version), Some(kind)) = (text(node, &["apiVersion"]), text(node, &["kind"])) else {
        return Role::Other;
    };
    let Some((group, _)) = api_version.rsplit_once('/') else { return Role::Other };
    match (group, kind) {
        (template::GROUP, "ConstraintTemplate") => Role::Template,
        (constraint::GROUP, _) => Role::Constraint,
        it if it == CONFIG => Role::Config,
        it if it == SYNC_SET => Role::SyncSet,
        it if it == EXPANSION => Role::Expansion,
        _ => Role::Other,
    }
}

/// Refuses a second document of a name: which one would be in force is a matter of chance.
fn check_names(documents: &[Node], faults: &mut Faults) {
    let mut seen: HashMap<(Role, String, String), &Place> = HashMap::new();
    for node in documents {
        let role = role(node);
        if role == Role::Other {
            continue;
        }
        let [kind, name] = [&["kind"][..], &["metadata", "name"]].map(|path| text(node, path).unwrap_or_default());
        if let Some(first) = seen.insert((role, kind.to_owned(), name.to_owned()), &node.place) {
            let message = format!("`{}` is there twice; the first is at {first}", shorten(name));
            faults.errors.push(NodeError::new(&node.place, format!("{}/{}", shorten(kind), shorten(name)), message));
        }
    }
}

fn read_config(documents: &[Node], faults: &mut Faults) -> Config {
    let mut config = Config::default();
    for node in documents {
        match role(node) {
            Role::Config => config.read_config(node, faults),
            Role::SyncSet => config.read_sync_set(node, faults),
            _ => {}
        }
    }
    config.kept.sort_unstable();
    config.kept.dedup();
    config
}

fn read_inventory(documents: &[Node], config: &Config, faults: &mut Faults) -> Inventory {
    let mut inventory = Inventory::default();
    if config.kept.is_empty() {
        return inventory;
    }
    for node in documents.iter().filter(|node| role(node) == Role::Other) {
        let (Some(api_version), Some(kind)) = (text(node, &["apiVersion"]), text(node, &["kind"])) else { continue };
        let kept = config.kept.iter().any(|(version, wanted)| version == api_version && wanted == kind);
        if kept && let Err(why) = inventory.add(&to_json(node), config) {
            faults.errors.push(NodeError::new(&node.place, "", why));
        }
    }
    inventory
}
