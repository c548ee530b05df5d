//! What an expression costs at the least, as far as it can be told before it runs.

use crate::node::{Attribute, Fold, FoldKind, Node, Root};
use crate::value::Fixed;

/// A cost that the node has whatever its variables are. Lists that stand in the expression are what it is about.
pub(crate) fn least(node: &Node) -> u64 {
    match node {
        Node::Fixed(_) => 0,
        Node::Attribute(attribute) => of_attribute(attribute),
        Node::And(terms) | Node::Or(terms) => terms.first().map_or(0, least),
        Node::List(items) => sum(items.iter().map(|item| &item.value)),
        Node::Map(entries) => sum(entries.iter().flat_map(|entry| [&entry.key, &entry.value])),
        Node::Operation(operation) => sum(operation.operands.iter()),
        Node::Call(call) => sum(call.arguments.iter()),
        Node::Member(member) => least(&member.value),
        Node::Alternative(alternative) => least(&alternative.first),
        Node::Fold(fold) => of_fold(fold),
    }
}

fn sum<'n>(nodes: impl Iterator<Item = &'n Node>) -> u64 {
    nodes.map(least).fold(0, u64::saturating_add)
}

fn of_attribute(attribute: &Attribute) -> u64 {
    let root = match &attribute.root {
        Root::Variable { .. } | Root::Local(_) => 1,
        Root::Value(node) => least(node),
        Root::Choice(parts) => parts.first().map_or(0, least),
    };
    sum(attribute.qualifiers.iter().map(|qualifier| &qualifier.key)).saturating_add(root)
}

fn of_fold(fold: &Fold) -> u64 {
    let items = match &fold.range {
        Node::Fixed(Fixed::List(items)) => items.len() as u64,
        _ => 0,
    };
    let each = match &fold.kind {
        // They may end with the first item.
        FoldKind::All(body) | FoldKind::Exists(body) => return if items > 0 { least(body) } else { 0 },
        FoldKind::ExistsOne(body) => least(body),
        FoldKind::List { filter, body } | FoldKind::Map { filter, body } | FoldKind::Entries { filter, body } => {
            least(filter.as_ref().unwrap_or(body))
        }
        FoldKind::Let(body) => return least(body).saturating_add(least(&fold.range)),
        FoldKind::Bind { .. } => 0,
    };
    items.saturating_mul(each).saturating_add(least(&fold.range))
}
