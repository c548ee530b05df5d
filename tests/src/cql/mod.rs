//! CQL texts, as Cassandra's own parser reads them and as ours does.

pub mod corpus;
pub mod oracle;
pub mod texts;

use std::collections::BTreeSet;

use portcullis_parsers::cassandra::cql::{Kind, Script};

/// What a text does, as one of the two parsers says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Whether it is a batch.
    pub is_batch: bool,
    /// What each statement of it does.
    pub statements: Vec<Act>,
}

/// What a statement does, and every object that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// The action. Cassandra's parser does not tell users from roles, so that they are called roles here.
    pub action: String,
    /// The objects.
    pub objects: BTreeSet<Named>,
}

/// An object: kind, keyspace, name.
pub type Named = (String, Option<String>, Option<String>);

impl Reading {
    /// What our reader says; none if it refuses.
    pub fn ours(script: &mut Script, text: &[u8]) -> Option<Self> {
        script.read(text).ok()?;
        let statements = script.statements().map(|statement| Act {
            action: match statement.action.name() {
                "create-user" => "create-role",
                "alter-user" => "alter-role",
                "drop-user" => "drop-role",
                other => other,
            }
            .to_owned(),
            objects: statement
                .objects()
                .map(|object| {
                    (kind_name(object.kind), object.keyspace.map(str::to_owned), object.name.map(str::to_owned))
                })
                .collect(),
        });
        Some(Self { is_batch: script.is_batch(), statements: statements.collect() })
    }

    /// Whether ours is what Cassandra's parser says. What `DESCRIBE` is asked for has no kind there.
    pub fn agrees(&self, cassandra: &Self) -> bool {
        let is_element = |act: &Act| act.objects.iter().any(|(kind, ..)| kind == "element");
        let same = |(ours, theirs): (&Act, &Act)| {
            let mut objects = ours.objects.clone();
            if is_element(theirs) {
                objects = objects
                    .into_iter()
                    .map(|(kind, keyspace, name)| {
                        let hidden =
                            ["table", "index", "view", "type", "function", "aggregate"].contains(&kind.as_str());
                        (if hidden { "element".to_owned() } else { kind }, keyspace, name)
                    })
                    .collect();
            }
            // Cassandra takes `ALTER column TYPE type` to say that it does so no longer, and forgets the type.
            if ours.action.starts_with("alter-t") {
                objects.retain(|object| {
                    object.0 != "type" && object.0 != "custom-type" || theirs.objects.contains(object)
                });
            }
            ours.action == theirs.action && objects == theirs.objects
        };
        self.is_batch == cassandra.is_batch
            && self.statements.len() == cassandra.statements.len()
            && self.statements.iter().zip(&cassandra.statements).all(same)
    }

    /// Whether ours names functions or types besides those that Cassandra's parser keeps: of two fields with one name it
    /// keeps the last.
    pub fn names_more(&self, cassandra: &Self) -> bool {
        let mut ours = self.clone();
        for (act, theirs) in ours.statements.iter_mut().zip(&cassandra.statements) {
            let is_known = |object: &Named| !["function", "type", "custom-type"].contains(&object.0.as_str());
            act.objects.retain(|object| is_known(object) || theirs.objects.contains(object));
        }
        ours.agrees(cassandra)
    }

    /// Whether a name in it means something else in another keyspace.
    pub fn needs_keyspace(&self) -> bool {
        let qualified =
            ["table", "index", "view", "type", "function", "aggregate", "trigger", "any", "element"].map(str::to_owned);
        self.statements.iter().flat_map(|act| &act.objects).any(|(kind, keyspace, name)| {
            keyspace.is_none() && (qualified.contains(kind) || (kind == "keyspace" && name.is_none()))
        })
    }
}

/// The name of a kind in lower case with dashes, as the oracle has it.
fn kind_name(kind: Kind) -> String {
    let mut name = String::new();
    for letter in format!("{kind:?}").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}
