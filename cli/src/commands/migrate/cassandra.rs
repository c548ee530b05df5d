//! Rules of Cassandra in the words of the strict kind, which names keyspaces and tables apart, and actions in a list.

use portcullis_policy::Node;

use super::names::{self, Name, Names};
use crate::edit::Words;
use crate::edit::tree::{entries, get, is_empty, text};

/// An item of the strict kind: its fields in their order.
pub(super) type Item = Vec<(&'static str, Words)>;

/// What becomes of an item.
pub(super) struct Rewritten {
    /// Those that stand for it; the last one takes its place. None if it says no more than that USE passes.
    pub(super) items: Vec<Item>,
    /// What it admitted besides, that cannot be said.
    pub(super) lost: Option<String>,
}

/// What stands for an item. That any rule lets USE pass is not in it: see [`let_use_pass`].
///
/// # Errors
/// Why there is nothing.
pub(super) fn rewrite(item: &Node) -> Result<Rewritten, String> {
    let field = |name| text(get(item, name)).filter(|text| !text.is_empty());
    let known = |name: &str| ["query_action", "query_table"].contains(&name);
    if let Some(other) = entries(item).iter().find(|entry| !known(&entry.key) && !is_empty(&entry.value)) {
        return Err(format!("{}: `{}` is unknown here", other.place, other.key));
    }
    let (action, table) = (field("query_action"), field("query_table"));
    let Some(table) = table.filter(|_| action != Some("use")) else {
        let action = action.map(|action| vec![("actions", Words::One(action.to_owned()))]);
        return Ok(Rewritten { items: action.into_iter().collect(), lost: None });
    };
    let place = get(item, "query_table").map(|node| node.place.to_string()).unwrap_or_default();
    let Names { tables, keyspaces } =
        names::split(table).map_err(|why| format!("{place}: `query_table`: {why}; write the rule by hand"))?;
    let of = |all: &[&'static str]| -> Vec<&'static str> {
        all.iter().copied().filter(|one| action.is_none_or(|action| action == *one)).collect()
    };
    let (on_tables, on_keyspaces) = (of(&ON_TABLES), of(&ON_KEYSPACES));
    let mut rules: Vec<(Vec<&str>, Name, Name)> = Vec::new();
    if !on_tables.is_empty() {
        rules.extend(tables.iter().map(|(keyspace, table)| (on_tables.clone(), keyspace.clone(), table.clone())));
    }
    for keyspace in keyspaces.into_iter().filter(|_| !on_keyspaces.is_empty()) {
        match rules.iter_mut().find(|(_, other, table)| *other == keyspace && *table == Name::Any) {
            Some((actions, ..)) => actions.extend(&on_keyspaces),
            None => rules.push((on_keyspaces.clone(), keyspace, Name::Any)),
        }
    }
    if rules.is_empty() {
        return Err(format!(
            "{place}: `query_table` fits nothing that these actions name: a table is `keyspace.table`, a keyspace has no dot; \
             write what is meant by hand"
        ));
    }
    let everything = rules.iter().any(|(_, keyspace, table)| (keyspace, table) == (&Name::Any, &Name::Any));
    let joined = !on_keyspaces.is_empty() && !tables.is_empty() && !everything;
    let lost = joined.then(|| {
        format!(
            "{place}: `{}` also passed where the name of the keyspace fits with the current one and a dot in front; an L7Policy looks at \
             the name alone",
            on_keyspaces.join("`, `")
        )
    });
    let items = rules.into_iter().map(|(actions, keyspace, table)| {
        let mut actions: Vec<_> = actions.into_iter().map(str::to_owned).collect();
        let actions = if actions.len() == 1 { Words::One(actions.remove(0)) } else { Words::Some(actions) };
        let names = [
            (["keyspace", "keyspacePrefix", "keyspaceRegex"], keyspace),
            (["table", "tablePrefix", "tableRegex"], table),
        ];
        std::iter::once(("actions", actions)).chain(names.into_iter().filter_map(condition)).collect()
    });
    Ok(Rewritten { items: items.collect(), lost })
}

fn condition(([exact, prefix, regex], name): ([&'static str; 3], Name)) -> Option<(&'static str, Words)> {
    match name {
        Name::Any => None,
        Name::Exact(text) => Some((exact, Words::One(text))),
        Name::Prefix(text) => Some((prefix, Words::One(text))),
        Name::Regex(text) => Some((regex, Words::One(text))),
    }
}

/// The item that says what any rule of a block implied, unless one says so itself.
pub(super) fn let_use_pass(items: &[Node]) -> Option<Item> {
    let says = |item: &Node| text(get(item, "query_action")) == Some("use");
    (!items.iter().any(says)).then(|| vec![("actions", Words::One("use".to_owned()))])
}

/// The actions on tables that go with `query_table`.
const ON_TABLES: [&str; 8] =
    ["select", "insert", "update", "delete", "truncate-table", "create-table", "alter-table", "drop-table"];

/// The actions on keyspaces that do, but for USE, which is never denied.
const ON_KEYSPACES: [&str; 3] = ["create-keyspace", "alter-keyspace", "drop-keyspace"];
