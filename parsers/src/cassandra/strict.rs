//! The rules of objects of our own kind: by role, then by keyspace, then by table.

use std::collections::{BTreeMap, HashMap};

use portcullis_policy::matcher::Regex;
use portcullis_policy::{Dialect, L7Decision, Located, RuleError};

use super::cql::Action;
use super::groups::{Group, GroupBuilder, either};
use super::request::{Request, Target};
use super::rule::{Names, Objects, Rule};
use super::rules::all;

/// The compiled rules.
pub(super) struct Strict {
    /// Those that name no role, and so are about each and about none.
    any_role: Keyspaces,
    by_role: HashMap<Box<str>, Keyspaces>,
}

impl Strict {
    /// Each role of a request is judged together with each other object, by one rule for both.
    pub(super) fn decide(&self, request: &Request<'_>) -> L7Decision {
        let action = request.action();
        let roles = request.targets().filter_map(|target| match target {
            Target::Role(role) => Some(role),
            _ => None,
        });
        let with_role = |role| self.decide_with(role, action, request);
        all(roles.map(|role| with_role(Some(role)))).unwrap_or_else(|| with_role(None))
    }

    fn decide_with(&self, role: Option<&str>, action: Action, request: &Request<'_>) -> L7Decision {
        let of_role = role.and_then(|role| self.by_role.get(role));
        let decide = |target| {
            let own = of_role.map_or(L7Decision::NoMatch, |keyspaces| keyspaces.decide(action, target));
            either(self.any_role.decide(action, target), own)
        };
        let objects = request.targets().filter(|target| match target {
            Target::Role(_) => false,
            // An index or a trigger is part of its table.
            Target::OfTable(keyspace, _) => {
                !request.targets().any(|other| matches!(other, Target::Table(of, _) if of == *keyspace))
            }
            _ => true,
        });
        all(objects.map(decide)).unwrap_or_else(|| decide(Target::Whole))
    }
}

type ByName<T> = HashMap<Box<[u8]>, T>;

/// Rules by keyspace. What applies to a name is found without looking at what does not.
struct Keyspaces {
    /// Those that name no keyspace.
    any: Group,
    exact: ByName<Group>,
    /// By length.
    prefixes: Vec<(usize, ByName<Group>)>,
    regexes: Vec<(Regex, Group)>,
}

impl Keyspaces {
    fn decide(&self, action: Action, target: Target<'_>) -> L7Decision {
        match target {
            Target::Table(keyspace, name) | Target::OfTable(keyspace, name) | Target::InKeyspace(keyspace, name) => {
                self.each(keyspace, |group| group.named(action, name.as_bytes()))
            }
            Target::Keyspace(keyspace, _) | Target::AllIn(keyspace) => {
                self.each(keyspace, |group| group.nameless(action))
            }
            Target::Either(keyspace, name) => {
                let within = self.decide(action, Target::InKeyspace(keyspace, name));
                all([self.decide(action, Target::Keyspace(name, "")), within].into_iter()).unwrap_or(within)
            }
            Target::Role(_) | Target::Whole => self.any.nameless(action),
        }
    }

    /// What the groups say that a keyspace is in.
    fn each(&self, keyspace: &str, decide: impl Fn(&Group) -> L7Decision) -> L7Decision {
        let keyspace = keyspace.as_bytes();
        let prefixes = self.prefixes.iter().map_while(|(length, groups)| Some(groups.get(keyspace.get(..*length)?)));
        let regexes = self.regexes.iter().filter(|(regex, _)| regex.is_match(keyspace)).map(|(_, group)| group);
        let some = self.exact.get(keyspace).into_iter().chain(prefixes.flatten()).chain(regexes);
        some.fold(decide(&self.any), |sum, group| either(sum, decide(group)))
    }
}

/// Collects rules.
pub(super) struct StrictBuilder {
    any_role: KeyspacesBuilder,
    by_role: HashMap<Box<str>, KeyspacesBuilder>,
    dialect: Dialect,
}

struct KeyspacesBuilder {
    any: GroupBuilder,
    exact: ByName<GroupBuilder>,
    prefixes: ByName<GroupBuilder>,
    regexes: BTreeMap<String, (Regex, GroupBuilder)>,
    dialect: Dialect,
}

impl StrictBuilder {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self { any_role: KeyspacesBuilder::new(dialect), by_role: HashMap::new(), dialect }
    }

    pub(super) fn add(&mut self, located: &Located<Rule>) -> Result<(), RuleError> {
        let Objects::Strict { keyspace, table, roles } = &located.rule.objects else {
            return Err(RuleError::new(located.id, "no `actions`: name at least one"));
        };
        if roles.is_empty() {
            return self.any_role.add(located, keyspace, table);
        }
        roles.iter().try_for_each(|role| {
            let keyspaces = self.by_role.entry(role.as_str().into());
            keyspaces.or_insert_with(|| KeyspacesBuilder::new(self.dialect)).add(located, keyspace, table)
        })
    }

    pub(super) fn build(self) -> Result<Strict, RuleError> {
        let by_role = self.by_role.into_iter().map(|(role, keyspaces)| Ok((role, keyspaces.build()?)));
        Ok(Strict { any_role: self.any_role.build()?, by_role: by_role.collect::<Result<_, _>>()? })
    }
}

impl KeyspacesBuilder {
    fn new(dialect: Dialect) -> Self {
        Self {
            any: GroupBuilder::new(dialect),
            exact: HashMap::new(),
            prefixes: HashMap::new(),
            regexes: BTreeMap::new(),
            dialect,
        }
    }

    fn add(&mut self, located: &Located<Rule>, keyspace: &Names, table: &Names) -> Result<(), RuleError> {
        let Self { any, exact, prefixes, regexes, dialect } = self;
        let new = || GroupBuilder::new(*dialect);
        let add = |group: &mut GroupBuilder| group.add(table, located.rule.actions, located.id, located.effect);
        match keyspace {
            Names::Any => add(any),
            Names::Exact(names) => {
                names.iter().try_for_each(|name| add(exact.entry(name.as_bytes().into()).or_insert_with(new)))
            }
            Names::Prefix(names) => {
                names.iter().try_for_each(|name| add(prefixes.entry(name.as_bytes().into()).or_insert_with(new)))
            }
            Names::Regex(patterns) => patterns.iter().try_for_each(|pattern| {
                if !regexes.contains_key(pattern) {
                    let refused = |why: String| RuleError::new(located.id, why);
                    let regex = Regex::compile(pattern, *dialect).map_err(refused)?;
                    regexes.insert(pattern.clone(), (regex, new()));
                }
                regexes.get_mut(pattern).map_or(Ok(()), |(_, group)| add(group))
            }),
        }
    }

    fn build(self) -> Result<Keyspaces, RuleError> {
        let mut by_length: HashMap<usize, ByName<Group>> = HashMap::new();
        for (prefix, group) in self.prefixes {
            by_length.entry(prefix.len()).or_default().insert(prefix, group.build()?);
        }
        let mut prefixes: Vec<_> = by_length.into_iter().collect();
        prefixes.sort_by_key(|(length, _)| *length);
        let exact = self.exact.into_iter().map(|(name, group)| Ok((name, group.build()?)));
        let regexes = self.regexes.into_values().map(|(regex, group)| Ok((regex, group.build()?)));
        Ok(Keyspaces {
            any: self.any.build()?,
            exact: exact.collect::<Result<_, RuleError>>()?,
            prefixes,
            regexes: regexes.collect::<Result<_, RuleError>>()?,
        })
    }
}
