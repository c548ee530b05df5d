//! All rules of a block, compiled together.

use portcullis_policy::lint::Outline;
use portcullis_policy::{Dialect, Effect, L7Decision, Located, Mismatch, RuleError, RuleId, RuleSet};

use super::cql::Action;
use super::groups::{Group, GroupBuilder, either};
use super::request::{Request, Target};
use super::rule::{Names, Objects, Rule, WITH_TABLE};
use super::strict::{Strict, StrictBuilder};

/// The compiled rules.
pub struct Rules {
    compiled: Compiled,
    /// The rules as they were written, for `explain`.
    written: Vec<Located<Rule>>,
    dialect: Dialect,
}

enum Compiled {
    /// By `keyspace.table`. USE is admitted by the first rule that allows anything.
    Cilium { tables: Box<Group>, first: Option<RuleId> },
    /// By role, then by keyspace, then by table.
    Strict(Box<Strict>),
}

impl RuleSet for Rules {
    type Rule = Rule;
    type Request<'a> = Request<'a>;

    fn compile(rules: Vec<Located<Rule>>, dialect: Dialect) -> Result<Self, RuleError> {
        for located in &rules {
            located.rule.check(dialect).map_err(|message| RuleError::new(located.id, message))?;
        }
        Ok(Self { compiled: compile(&rules, dialect)?, written: rules, dialect })
    }

    fn decide(&self, request: &Request<'_>) -> L7Decision {
        self.compiled.decide(request)
    }

    fn outline(rule: &Rule) -> Option<Outline> {
        Some(rule.outline())
    }

    fn explain(&self, request: &Request<'_>) -> Vec<Mismatch> {
        let mut misses: Vec<Mismatch> = self.written.iter().filter_map(|rule| self.miss(rule, request)).collect();
        misses.sort_by_key(|miss| matches!(miss.field, "query_action" | "actions"));
        misses
    }
}

impl Rules {
    /// The field of one rule that keeps it from applying to a request, if one does.
    fn miss(&self, located: &Located<Rule>, request: &Request<'_>) -> Option<Mismatch> {
        let Located { id, rule, .. } = located;
        let alone = Located { id: *id, effect: Effect::Allow, rule: rule.clone() };
        let alone = compile(std::slice::from_ref(&alone), self.dialect).ok()?;
        if alone.decide(request) != L7Decision::NoMatch {
            return None;
        }
        let has_action = rule.actions.contains(request.action());
        let field = match &rule.objects {
            Objects::Any => "actions",
            Objects::Cilium { table: Some(_) } if has_action => "query_table",
            Objects::Cilium { .. } => "query_action",
            Objects::Strict { .. } if !has_action => "actions",
            Objects::Strict { roles, keyspace, table } => match (&**roles, keyspace, table) {
                ([], Names::Any, _) => "table",
                ([], _, Names::Any) => "keyspace",
                (_, Names::Any, Names::Any) => "roles",
                _ => "keyspace",
            },
        };
        Some(Mismatch { rule: *id, field })
    }
}

fn compile(rules: &[Located<Rule>], dialect: Dialect) -> Result<Compiled, RuleError> {
    match dialect {
        Dialect::Cilium => {
            let mut tables = GroupBuilder::new(dialect);
            for Located { id, effect, rule } in rules {
                match &rule.objects {
                    Objects::Cilium { table: Some(table) } => tables.add_regex(table, rule.actions, *id, *effect)?,
                    _ => tables.add_bare(rule.actions, *id, *effect)?,
                }
            }
            let first = rules.iter().find(|located| located.effect == Effect::Allow).map(|located| located.id);
            Ok(Compiled::Cilium { tables: Box::new(tables.build()?), first })
        }
        Dialect::Strict => {
            let mut strict = StrictBuilder::new(dialect);
            rules.iter().try_for_each(|located| strict.add(located))?;
            Ok(Compiled::Strict(Box::new(strict.build()?)))
        }
    }
}

impl Compiled {
    /// Every object must be admitted, each by whichever rule that has the action; the rule of the last one stands for all.
    /// What any rule denies is denied.
    fn decide(&self, request: &Request<'_>) -> L7Decision {
        match self {
            Self::Cilium { first: Some(first), .. } if request.action() == Action::Use => L7Decision::Allow(*first),
            Self::Cilium { tables, .. } => {
                let action = request.action();
                let decisions = request.targets().map(|target| cilium(tables, action, target));
                all(decisions).unwrap_or_else(|| tables.nameless(action))
            }
            Self::Strict(strict) => strict.decide(request),
        }
    }
}

/// What the rules of Cilium's objects say of one object.
fn cilium(tables: &Group, action: Action, target: Target<'_>) -> L7Decision {
    if !WITH_TABLE.contains(action) {
        return tables.nameless(action);
    }
    match target {
        Target::Table(keyspace, name) | Target::InKeyspace(keyspace, name) | Target::OfTable(keyspace, name) => {
            Target::with_name(keyspace, name, |joined| tables.named(action, joined))
        }
        Target::Keyspace(name, current) => {
            // The reference puts the current keyspace in front of a keyspace's name, too.
            let qualified = Target::with_name(current, name, |joined| tables.named(action, joined));
            either(tables.named(action, name.as_bytes()), qualified)
        }
        Target::Either(..) | Target::AllIn(_) | Target::Role(_) | Target::Whole => tables.nameless(action),
    }
}

/// What is said of all objects together, if there is any.
pub(super) fn all(decisions: impl Iterator<Item = L7Decision>) -> Option<L7Decision> {
    decisions.reduce(|sum, one| match (sum, one) {
        (L7Decision::Deny(_), _) | (L7Decision::NoMatch, L7Decision::Allow(_)) => sum,
        _ => one,
    })
}
