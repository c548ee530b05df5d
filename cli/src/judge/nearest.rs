//! The rules that came nearest to admitting a request, and what of each does not fit.

use std::collections::HashMap;

use portcullis_policy::{Effect, Flow, Node, RuleId, Surveyed, Value, survey};
use serde::Serialize;

use super::{Judged, Policies};

/// A rule that does not match.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Near {
    pub(crate) rule: String,
    pub(crate) at: String,
    pub(crate) misses: Vec<Missed>,
}

/// A field that does not fit.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Missed {
    pub(crate) field: String,
    pub(crate) wanted: String,
}

/// The rules that admit something, the nearest first: those with the fewest fields that do not fit, and of these those whose
/// request, then whose peer, then whose port, then whose endpoint is another one.
pub(crate) fn find_nearest(
    policies: &Policies,
    flow: &Flow<'_>,
    protocol: &str,
    judged: &Judged,
    most: usize,
) -> anyhow::Result<Vec<Near>> {
    // What was judged without policy no rule can change.
    let Some(misses) = &judged.misses else { return Ok(Vec::new()) };
    let by_rule: HashMap<RuleId, (usize, &str)> =
        misses.iter().enumerate().map(|(n, miss)| (miss.rule, (n, miss.field))).collect();
    let mut near = Vec::new();
    for Surveyed { id, name, place, effect, item, misses } in survey(&policies.sources, flow)? {
        if effect == Effect::Deny {
            continue;
        }
        let mut found: Vec<_> =
            misses.into_iter().map(|miss| Missed { field: miss.field.to_owned(), wanted: miss.wanted }).collect();
        let mut weight: usize = found.iter().map(|miss| weigh(&miss.field)).sum();
        let mut order = 0;
        match &item {
            Some((theirs, _)) if theirs != protocol => {
                found.insert(0, Missed { field: "l7proto".to_owned(), wanted: theirs.clone() });
                weight += weigh("l7proto");
            }
            Some((_, node)) => {
                if let Some((n, field)) = by_rule.get(&id) {
                    found.insert(0, Missed { field: (*field).to_owned(), wanted: write(node, field) });
                    weight += 1;
                    order = *n;
                }
            }
            None => {}
        }
        if !found.is_empty() {
            near.push((found.len(), weight, order, Near { rule: name, at: place.to_string(), misses: found }));
        }
    }
    near.sort_by_key(|(count, weight, order, _)| (*count, *weight, *order));
    near.truncate(most);
    Ok(near.into_iter().map(|(.., near)| near).collect())
}

fn weigh(field: &str) -> usize {
    match field {
        "endpointSelector" => 8,
        "l7proto" => 6,
        "ports" => 4,
        _ => 2,
    }
}

/// What an item says in a field.
fn write(item: &Node, field: &str) -> String {
    let Value::Map(entries) = &item.value else { return String::new() };
    entries.iter().find(|entry| entry.key == field).map(|entry| write_value(&entry.value)).unwrap_or_default()
}

fn write_value(node: &Node) -> String {
    match &node.value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Text(text) => text.escape_debug().to_string().replace("\\\\", "\\"),
        Value::List(items) => format!("[{}]", items.iter().map(write_value).collect::<Vec<_>>().join(", ")),
        Value::Map(_) => "{…}".to_owned(),
    }
}
