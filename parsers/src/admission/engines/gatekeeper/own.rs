//! Reviews of Gatekeeper's own resources: what would not load is denied before it is stored.

use portcullis_policy::Node;

use super::super::super::review::{Operation, Review};
use super::super::Denial;
use super::config::{CONFIG, Config};
use super::constraint::{self, Constraint, MAX_NAME, Templates};
use super::expansion::{self, EXPANSION};
use super::read::Faults;
use super::{Gatekeeper, template};

/// Groups whose resources must have short names.
const GROUPS: [&str; 6] = [
    "templates.gatekeeper.sh",
    "constraints.gatekeeper.sh",
    "mutations.gatekeeper.sh",
    "config.gatekeeper.sh",
    "externaldata.gatekeeper.sh",
    "expansion.gatekeeper.sh",
];

/// The denial of a resource that would not load. One that is deleted may go.
pub(super) fn check(gatekeeper: &Gatekeeper, review: &Review<'_>) -> Option<Denial> {
    let group = &*review.kind.group;
    if !GROUPS.contains(&group)
        || !matches!(review.operation, Operation::Create | Operation::Update)
        || !review.sub_resource.is_empty()
    {
        return None;
    }
    if review.name.len() > MAX_NAME {
        let message =
            format!("resource cannot have metadata.name larger than {MAX_NAME} char; length: {}", review.name.len());
        return Some(Denial { message, reason: String::new(), code: 500 });
    }
    let object = review.object?;
    let kind = &*review.kind.kind;
    let deny = |message: String| Some(Denial { message, reason: String::new(), code: 422 });
    let nodes = match Node::load("request.object", object.raw()) {
        Ok(nodes) => nodes,
        Err(error) => return deny(error.to_string()),
    };
    let node = nodes.first()?;
    let mut faults = Faults::default();
    if (group, kind) == (template::GROUP, "ConstraintTemplate") {
        template::Template::read(node, &mut faults);
    } else if group == constraint::GROUP {
        Constraint::read(node, &Templates::new(&gatekeeper.rules.templates, Vec::new()), &mut faults);
    } else if (group, kind) == CONFIG {
        Config::default().read_config(node, &mut faults);
    } else if (group, kind) == EXPANSION {
        expansion::Template::read(node, &mut faults);
    }
    if faults.errors.is_empty() {
        return None;
    }
    let lines: Vec<_> = faults.errors.iter().take(MAX_ERRORS).map(ToString::to_string).collect();
    deny(lines.iter().map(|line| shorten_line(line)).collect::<Vec<_>>().join("\n"))
}

/// Errors that a denial tells.
const MAX_ERRORS: usize = 10;

fn shorten_line(line: &str) -> String {
    /// Characters of an error in a denial.
    const MAX: usize = 400;
    if line.chars().nth(MAX).is_none() { line.to_owned() } else { line.chars().take(MAX).chain(['…']).collect() }
}
