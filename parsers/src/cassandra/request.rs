//! What policy sees of a statement, borrowing from the wire.

use std::cell::RefCell;

use portcullis_policy::{Describe, Fields};

use super::cql::{Action, Kind, Object, Statement};

/// A statement as rules see it.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    pub(super) statement: Statement<'a>,
    /// The keyspace in which names without one are.
    pub(super) keyspace: Option<&'a str>,
    pub(super) message: &'static str,
    /// Whether it was prepared before.
    pub(super) prepared: bool,
    /// Whether it stands in a batch, of either kind.
    pub(super) batch: bool,
}

impl<'a> Request<'a> {
    pub(super) const fn action(&self) -> Action {
        self.statement.action
    }

    /// Every object that it names, resolved.
    pub(super) fn targets(&self) -> impl Iterator<Item = Target<'a>> + Clone + use<'a> {
        let current = self.keyspace.unwrap_or_default();
        self.statement.objects().map(move |object| Target::of(object, current))
    }
}

/// What an object is to rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target<'a> {
    /// A keyspace; with the current one, by which the reference qualifies it.
    Keyspace(&'a str, &'a str),
    /// A table or a view.
    Table(&'a str, &'a str),
    /// An index or a trigger: part of its table, where that is named.
    OfTable(&'a str, &'a str),
    /// Something else of a keyspace, by its name.
    InKeyspace(&'a str, &'a str),
    /// Everything of some sort in a keyspace.
    AllIn(&'a str),
    /// A keyspace of that name, or something of that name in the current one.
    Either(&'a str, &'a str),
    Role(&'a str),
    /// What only a rule without conditions is about.
    Whole,
}

impl<'a> Target<'a> {
    fn of(object: Object<'a>, current: &'a str) -> Self {
        let keyspace = object.keyspace.unwrap_or(current);
        let name = object.name.unwrap_or_default();
        match object.kind {
            Kind::Keyspace => Self::Keyspace(object.name.unwrap_or(current), current),
            Kind::Table | Kind::View => Self::Table(keyspace, name),
            Kind::Index | Kind::Trigger => Self::OfTable(keyspace, name),
            Kind::Type | Kind::Function | Kind::Aggregate => Self::InKeyspace(keyspace, name),
            Kind::AllTables => Self::AllIn(keyspace),
            Kind::AllFunctions => object.keyspace.map_or(Self::Whole, Self::AllIn),
            Kind::Any if object.keyspace.is_some() => Self::InKeyspace(keyspace, name),
            Kind::Any => Self::Either(current, name),
            Kind::Role => Self::Role(name),
            Kind::CustomType | Kind::Identity | Kind::MBean | Kind::AllKeyspaces | Kind::AllRoles | Kind::AllMBeans => {
                Self::Whole
            }
        }
    }

    /// Calls `read` with `keyspace.name`, as logs and the reference's rules have it.
    pub(super) fn with_name<T>(keyspace: &str, name: &str, read: impl FnOnce(&[u8]) -> T) -> T {
        thread_local! {
            static NAME: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        let mut joined = NAME.take();
        joined.clear();
        joined.extend_from_slice(keyspace.as_bytes());
        joined.push(b'.');
        joined.extend_from_slice(name.as_bytes());
        let result = read(&joined);
        if joined.capacity() <= KEEP {
            NAME.set(joined);
        }
        result
    }
}

/// Bytes of a joined name that stay allocated: names in Cassandra have 222 at most.
const KEEP: usize = 1024;

/// Objects of one statement that the access log names.
const MAX_LOGGED: usize = 16;

impl Describe for Request<'_> {
    fn describe(&self, fields: &mut dyn Fields) {
        fields.text("query_action", self.action().name().as_bytes());
        let tables = self.targets().flat_map(|target| {
            let (one, other) = match target {
                Target::Keyspace(name, _) => (Some((name, None)), None),
                Target::Table(keyspace, name)
                | Target::InKeyspace(keyspace, name)
                | Target::OfTable(keyspace, name) => (Some((keyspace, Some(name))), None),
                Target::AllIn(keyspace) => (Some((keyspace, Some("*"))), None),
                Target::Either(keyspace, name) => (Some((name, None)), Some((keyspace, Some(name)))),
                Target::Role(_) | Target::Whole => (None, None),
            };
            one.into_iter().chain(other)
        });
        describe(fields, "query_table", tables);
        let roles = self.targets().filter_map(|target| match target {
            Target::Role(name) => Some((name, None)),
            _ => None,
        });
        describe(fields, "query_role", roles);
        fields.text("message", self.message.as_bytes());
        if self.prepared {
            fields.text("prepared", b"true");
        }
        if self.batch {
            fields.text("batch", b"true");
        }
    }
}

/// One name as a text, several as a list.
fn describe<'a>(
    fields: &mut dyn Fields,
    field: &'static str,
    names: impl Iterator<Item = (&'a str, Option<&'a str>)> + Clone,
) {
    let mut rest = names.clone();
    match (rest.next(), rest.next()) {
        (None, _) => {}
        (Some((name, None)), None) => fields.text(field, name.as_bytes()),
        (Some((keyspace, Some(name))), None) => {
            Target::with_name(keyspace, name, |joined| fields.text(field, joined));
        }
        (Some(_), Some(_)) => {
            let joined = |(keyspace, name): (&str, Option<&str>)| match name {
                None => keyspace.to_owned(),
                Some(name) => format!("{keyspace}.{name}"),
            };
            let more = names.clone().skip(MAX_LOGGED).count();
            let mut joined: Vec<String> = names.take(MAX_LOGGED).map(joined).collect();
            if more > 0 {
                joined.push(format!("and {more} more"));
            }
            fields.list(field, &mut joined.iter().map(|name| name.as_bytes()));
        }
    }
}

/// A request of which only the kind is known, as the access log shows it.
pub(super) struct Named(pub(super) &'static str);

impl Describe for Named {
    fn describe(&self, fields: &mut dyn Fields) {
        fields.text("message", self.0.as_bytes());
    }
}
