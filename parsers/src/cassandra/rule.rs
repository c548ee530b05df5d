//! One `l7` item as it is written.

use std::fmt;

use portcullis_policy::Dialect;
use portcullis_policy::lint::{Outline, Wants};
use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

use super::cql::Action;

/// A rule: actions, and conditions on what they are done to.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "Spec")]
pub struct Rule {
    /// What it is about; everything where nothing is named.
    pub(super) actions: Actions,
    pub(super) objects: Objects,
}

/// What a rule says of objects, in the words of one dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Objects {
    /// Nothing, and no list of actions: both dialects may say so.
    Any,
    /// `query_table`, or nothing of it.
    Cilium {
        table: Option<String>,
    },
    Strict {
        keyspace: Names,
        table: Names,
        roles: Vec<String>,
    },
}

/// Which names a rule is about. All the texts of one kind are alternatives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Names {
    Any,
    Exact(Vec<String>),
    Prefix(Vec<String>),
    Regex(Vec<String>),
}

/// A set of actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Actions(pub(super) u64);

impl Actions {
    pub(super) const NONE: Self = Self(0);
    pub(super) const ALL: Self = Self(u64::MAX);

    pub(super) const fn of(actions: &[Action]) -> Self {
        let mut bits = 0;
        let mut rest = actions;
        while let [first, others @ ..] = rest {
            bits |= 1 << *first as u8;
            rest = others;
        }
        Self(bits)
    }

    pub(super) const fn one(action: Action) -> Self {
        Self(1 << action as u8)
    }

    pub(super) const fn only(self, others: Self) -> Self {
        Self(self.0 & others.0)
    }

    pub(super) const fn contains(self, action: Action) -> bool {
        self.0 & Self::one(action).0 != 0
    }
}

/// The actions that have a table or a keyspace in the documents of Cilium; no other goes with `query_table`.
pub(super) const WITH_TABLE: Actions = Actions::of(&[
    Action::Select,
    Action::Insert,
    Action::Update,
    Action::Delete,
    Action::Use,
    Action::TruncateTable,
    Action::CreateTable,
    Action::AlterTable,
    Action::DropTable,
    Action::CreateKeyspace,
    Action::AlterKeyspace,
    Action::DropKeyspace,
]);

impl Rule {
    /// Whether the rule may stand in an object of that dialect.
    ///
    /// # Errors
    /// What the dialect does not allow.
    pub(super) fn check(&self, dialect: Dialect) -> Result<(), String> {
        match (dialect, &self.objects) {
            (Dialect::Cilium, Objects::Strict { .. }) => Err(
                "`actions`, `keyspace`, `table` and `roles` are for objects of our own kind: write `query_action` and \
                 `query_table`"
                    .to_owned(),
            ),
            (Dialect::Strict, Objects::Cilium { .. }) => Err(
                "`query_action` and `query_table` are for `cilium.io` objects: write `actions`, `keyspace` and `table`"
                    .to_owned(),
            ),
            (Dialect::Strict, Objects::Any) => Err("name at least one of `actions`: nothing is implied".to_owned()),
            _ => Ok(()),
        }
    }

    /// What the rule demands of a statement.
    pub(super) fn outline(&self) -> Outline {
        let (field, name) = match &self.objects {
            Objects::Strict { .. } => ("actions", "table"),
            Objects::Any | Objects::Cilium { .. } => ("query_action", "query_table"),
        };
        let outline = Outline::default().demand("action", field, Wants::Kinds(self.actions.0));
        match &self.objects {
            Objects::Any => outline,
            Objects::Cilium { table } => outline.regex(name, table.as_deref()),
            Objects::Strict { keyspace, table, roles } => {
                let outline = keyspace.demand(outline, ["keyspace", "keyspacePrefix", "keyspaceRegex"]);
                let outline = table.demand(outline, ["table", "tablePrefix", "tableRegex"]);
                if roles.is_empty() { outline } else { outline.demand("roles", "roles", Wants::Exact(roles.clone())) }
            }
        }
    }
}

impl Names {
    /// Adds what is demanded of a name; the fields are those for exact names, prefixes and regexes.
    fn demand(&self, outline: Outline, [exact, prefix, regex]: [&'static str; 3]) -> Outline {
        let (field, wants) = match self.clone() {
            Self::Any => return outline,
            Self::Exact(texts) => (exact, Wants::Exact(texts)),
            Self::Prefix(texts) => (prefix, Wants::Prefix(texts)),
            Self::Regex(texts) => (regex, Wants::Regex { texts, exact: Some(exact), prefix: Some(prefix) }),
        };
        outline.demand(exact, field, wants)
    }
}

/// The rule before it is known to be one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    query_action: Option<String>,
    query_table: Option<String>,
    #[serde(default)]
    actions: Texts,
    #[serde(default)]
    keyspace: Texts,
    #[serde(default, rename = "keyspacePrefix")]
    keyspace_prefix: Texts,
    #[serde(default, rename = "keyspaceRegex")]
    keyspace_regex: Texts,
    #[serde(default)]
    table: Texts,
    #[serde(default, rename = "tablePrefix")]
    table_prefix: Texts,
    #[serde(default, rename = "tableRegex")]
    table_regex: Texts,
    #[serde(default)]
    roles: Texts,
}

impl TryFrom<Spec> for Rule {
    type Error = String;

    fn try_from(spec: Spec) -> Result<Self, String> {
        let is_cilium = spec.query_action.is_some() || spec.query_table.is_some();
        let keyspace = names(
            ["keyspace", "keyspacePrefix", "keyspaceRegex"],
            [spec.keyspace, spec.keyspace_prefix, spec.keyspace_regex],
        )?;
        let table = names(["table", "tablePrefix", "tableRegex"], [spec.table, spec.table_prefix, spec.table_regex])?;
        let roles = spec.roles.given("roles")?;
        let actions = spec.actions.given("actions")?;
        let is_strict = actions.is_some() || roles.is_some() || keyspace != Names::Any || table != Names::Any;
        match (is_cilium, is_strict) {
            (true, true) => Err("words of `cilium.io` objects and of our own kind in one rule: use either".to_owned()),
            (true, false) => cilium(spec.query_action.unwrap_or_default(), spec.query_table.unwrap_or_default()),
            (false, true) => strict(&actions.unwrap_or_default(), keyspace, table, roles.unwrap_or_default()),
            (false, false) => Ok(Self { actions: Actions::ALL, objects: Objects::Any }),
        }
    }
}

fn cilium(action: String, table: String) -> Result<Rule, String> {
    let table = Some(table).filter(|table| !table.is_empty());
    let actions = match &*action {
        "" => Actions::ALL,
        name => read_action("query_action", name)?,
    };
    let actions = if table.is_some() { actions.only(WITH_TABLE) } else { actions };
    if actions == Actions::NONE {
        return Err(format!("`query_table` with `query_action: {action}`, which has no table: leave it out"));
    }
    Ok(Rule { actions, objects: Objects::Cilium { table } })
}

fn strict(names: &[String], keyspace: Names, table: Names, roles: Vec<String>) -> Result<Rule, String> {
    let mut actions = Actions::NONE;
    for name in names {
        actions = Actions(actions.0 | read_action("actions", name)?.0);
    }
    if actions == Actions::NONE {
        return Err("no `actions`: name at least one, nothing is implied".to_owned());
    }
    let pointless = |has: bool, about: Actions| has && actions.only(about) == Actions::NONE;
    if pointless(table != Names::Any, NAMING_TABLES) {
        return Err("a `table` for `actions` that name none: the rule would match nothing".to_owned());
    }
    if pointless(keyspace != Names::Any, NAMING_KEYSPACES) {
        return Err("a `keyspace` for `actions` that name nothing in one: the rule would match nothing".to_owned());
    }
    if pointless(!roles.is_empty(), NAMING_ROLES) {
        return Err("`roles` for `actions` that name none: the rule would match nothing".to_owned());
    }
    Ok(Rule { actions, objects: Objects::Strict { keyspace, table, roles } })
}

/// One of the three kinds of conditions, at most.
fn names(fields: [&str; 3], texts: [Texts; 3]) -> Result<Names, String> {
    let [exact, prefix, regex] = fields;
    let [exact_texts, prefix_texts, regex_texts] = texts;
    let mut found: Option<(&str, Names)> = None;
    for (field, texts, kind) in [
        (exact, exact_texts, Names::Exact as fn(Vec<String>) -> Names),
        (prefix, prefix_texts, Names::Prefix),
        (regex, regex_texts, Names::Regex),
    ] {
        let Some(texts) = texts.given(field)? else { continue };
        if let Some((first, _)) = found {
            return Err(format!("`{first}` and `{field}` in one rule: only one of them may be given"));
        }
        found = Some((field, kind(texts)));
    }
    Ok(found.map_or(Names::Any, |(_, names)| names))
}

fn read_action(field: &str, name: &str) -> Result<Actions, String> {
    if let Some(action) = Action::from_name(name) {
        return Ok(Actions::one(action));
    }
    let likely = name.to_ascii_lowercase().replace(['_', ' '], "-");
    let likely = likely.as_str();
    let likely = match likely {
        "truncate" => "truncate-table",
        "create-view" => "create-materialized-view",
        "alter-view" => "alter-materialized-view",
        "drop-view" => "drop-materialized-view",
        "grant" => "grant-permission",
        "revoke" => "revoke-permission",
        _ => likely,
    };
    Err(match Action::from_name(likely) {
        Some(action) => format!("`{field}: {name}`: write `{}`", action.name()),
        None => format!("`{field}: {name}` is no action: see docs/cassandra.md for their names"),
    })
}

/// One text or a list of them. A null is nothing.
#[derive(Default)]
struct Texts(Option<Vec<String>>);

impl Texts {
    /// The texts, if the field was given.
    fn given(self, field: &str) -> Result<Option<Vec<String>>, String> {
        match self.0 {
            Some(texts) if texts.is_empty() || texts.iter().any(String::is_empty) => {
                Err(format!("`{field}` is empty: leave it out, or say what it is"))
            }
            texts => Ok(texts),
        }
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Texts, E> {
                Ok(Texts(Some(vec![text.to_owned()])))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Texts, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = seq.next_element()? {
                    texts.push(text);
                }
                Ok(Texts(Some(texts)))
            }
        }

        deserializer.deserialize_any(OneOrMany)
    }
}

/// The actions whose statements name something in a keyspace: tables, views, indexes, types, functions.
const NAMING_TABLES: Actions = Actions::of(&[
    Action::Select,
    Action::Insert,
    Action::Update,
    Action::Delete,
    Action::TruncateTable,
    Action::CreateTable,
    Action::AlterTable,
    Action::DropTable,
    Action::CreateIndex,
    Action::DropIndex,
    Action::CreateMaterializedView,
    Action::AlterMaterializedView,
    Action::DropMaterializedView,
    Action::CreateType,
    Action::AlterType,
    Action::DropType,
    Action::CreateFunction,
    Action::DropFunction,
    Action::CreateAggregate,
    Action::DropAggregate,
    Action::CreateTrigger,
    Action::DropTrigger,
    Action::GrantPermission,
    Action::RevokePermission,
    Action::ListPermissions,
    Action::Describe,
]);

/// The actions whose statements name keyspaces, or something in them.
const NAMING_KEYSPACES: Actions = Actions(
    NAMING_TABLES.0
        | Actions::of(&[Action::Use, Action::CreateKeyspace, Action::AlterKeyspace, Action::DropKeyspace]).0,
);

/// The actions whose statements name roles or users.
const NAMING_ROLES: Actions = Actions::of(&[
    Action::CreateRole,
    Action::AlterRole,
    Action::DropRole,
    Action::ListRoles,
    Action::GrantRole,
    Action::RevokeRole,
    Action::GrantPermission,
    Action::RevokePermission,
    Action::ListPermissions,
    Action::CreateUser,
    Action::AlterUser,
    Action::DropUser,
    Action::AddIdentity,
    Action::DropIdentity,
]);
