//! Policy as a host may hand it over: for one endpoint, ports and peers by their numbers, rules with precedence.

mod index;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use crate::compile::{compile_items, number};
use crate::decide::{Block, Content, RuleInfo, Snapshot};
use crate::l7::{Dialect, Effect, Located, Protocols, RuleId};
use crate::node::{Node, NodeError, Place, list_allowed, shorten};
use crate::problems::{PolicyErrors, Problems};
pub(crate) use index::NumberedIndex;
use index::{Does, Entry, Level, PeerIndex, Side};

/// All that is said of one endpoint. The default says nothing, and so denies everything.
///
/// # Which rule decides
///
/// For a connection, the rules count of all entries whose ports have its destination port, those for every port among
/// them, and of these the rules that name the peer's number or no peer at all. They are looked at from the highest
/// precedence down. On one level, the first row that applies decides; where none does, the next level is looked at.
///
/// | | what there is on the level | outcome |
/// |---|---|---|
/// | 1 | a rule that denies | denied |
/// | 2 | an L7 item that denies the request | denied, whatever on this level allows it |
/// | 3 | a rule that allows and has no L7 part, or one that only denies | allowed |
/// | 4 | an L7 item of the connection's protocol that matches the request | allowed |
/// | 5 | a rule that passes | go on below the precedence that it names |
///
/// What no level decides is denied. An entry without rules allows everything, at precedence 0. A port that is closed is
/// closed whatever other entries say of it.
#[derive(Clone, Debug, Default)]
pub struct NumberedPolicy {
    /// What the policy is called in errors.
    pub name: String,
    /// Of connections towards the endpoint.
    pub ingress: Vec<PortEntry>,
    /// Of connections from the endpoint.
    pub egress: Vec<PortEntry>,
}

/// What is said of some ports. Several entries may speak of one port.
#[derive(Clone, Debug)]
pub struct PortEntry {
    /// What the entry is called: the ids of its rules begin with it.
    pub name: String,
    /// The first and the last port; absent, the entry is about every port.
    pub ports: Option<(u16, u16)>,
    /// Whether nothing may pass, because no protocol here can enforce what is said. A closed entry for every port closes
    /// the ports that no other entry speaks of; on the others its rules count that deny or pass.
    pub closed: bool,
    /// The rules. Without any, everything is allowed.
    pub rules: Vec<NumberedRule>,
}

/// A rule for some peers.
#[derive(Clone, Debug)]
pub struct NumberedRule {
    /// What the rule is called within its entry.
    pub name: String,
    /// Rules of higher precedence are looked at first.
    pub precedence: u32,
    /// The numbers of the peers; without any, the rule is for every peer.
    pub peers: Vec<u32>,
    /// What it does.
    pub verdict: PortVerdict,
}

/// What a [`NumberedRule`] does.
#[derive(Clone, Debug)]
pub enum PortVerdict {
    /// Nothing passes.
    Deny,
    /// Everything passes.
    Allow,
    /// The items of a protocol decide.
    Judge(NumberedItems),
    /// Rules of this precedence and above, up to that of the rule, are not looked at.
    Pass(u32),
    /// Nothing; but its entry is not one without rules.
    Nothing,
}

/// The L7 part of a rule.
#[derive(Clone, Debug, Default)]
pub struct NumberedItems {
    /// The protocol.
    pub l7proto: String,
    /// What may pass; without any, everything may that is not denied. Each with its name within the rule.
    pub allow: Vec<(String, Node)>,
    /// What may not pass.
    pub deny: Vec<(String, Node)>,
}

impl Snapshot {
    /// Compiles the policy of one endpoint, all or nothing. Its items mean what [`Dialect::Cilium`] makes of them.
    ///
    /// # Errors
    /// All that is wrong with it, each with the name of the rule, up to 20.
    pub fn compile_ports(policy: NumberedPolicy, protocols: &dyn Protocols) -> Result<Self, PolicyErrors> {
        let NumberedPolicy { name, ingress, egress } = policy;
        let place = Place::whole(&shorten(&name));
        let mut compiler =
            Compiler { protocols, place, problems: Problems::default(), rules: Vec::new(), blocks: Vec::new() };
        let sides = [ingress, egress].map(|entries| compiler.compile_side(entries));
        let Compiler { problems, rules, blocks, .. } = compiler;
        problems.finish()?;
        let numbered = Some(Box::new(NumberedIndex::new(sides)));
        Ok(Self::new(Content { rules, blocks, numbered, ..Content::default() }))
    }
}

struct Compiler<'a> {
    protocols: &'a dyn Protocols,
    place: Place,
    problems: Problems,
    rules: Vec<RuleInfo>,
    blocks: Vec<Block>,
}

/// Rules with the same key are compiled together.
#[derive(Clone, PartialEq, Eq, Hash)]
struct GroupKey {
    precedence: u32,
    peers: Vec<u32>,
    l7proto: String,
}

impl Compiler<'_> {
    fn compile_side(&mut self, entries: Vec<PortEntry>) -> Side {
        let mut side = Side::default();
        for entry in entries {
            match entry.ports {
                Some((first, last)) if first > last => {
                    let message = format!("the first port, `{first}`, is higher than the last, `{last}`");
                    self.problems.add(NodeError::new(&self.place, entry.name, message));
                }
                ports => {
                    let compiled = self.compile_entry(entry);
                    side.add(ports, compiled);
                }
            }
        }
        side.finish();
        side
    }

    fn compile_entry(&mut self, entry: PortEntry) -> Entry {
        let PortEntry { name, closed, rules, .. } = entry;
        let closed = closed.then(|| self.number(name.clone()));
        let mut peers = PeerIndex::default();
        if rules.is_empty() && closed.is_none() {
            let rule = self.number(name.clone());
            peers.add(&[], Level { precedence: 0, does: Does::Open(rule) });
        }
        self.check_passes(&name, &rules);
        let mut by_key: HashMap<GroupKey, usize> = HashMap::new();
        let mut groups: Vec<(GroupKey, Vec<Located<Node>>)> = Vec::new();
        for NumberedRule { name: rule, precedence, peers: mut numbers, verdict } in rules {
            numbers.sort_unstable();
            numbers.dedup();
            let name = format!("{name}.{rule}");
            let items = match verdict {
                PortVerdict::Deny => {
                    let does = Does::Deny(self.number(name));
                    peers.add(&numbers, Level { precedence, does });
                    continue;
                }
                PortVerdict::Pass(below) => {
                    let does = Does::Pass { below, rule: self.number(name) };
                    peers.add(&numbers, Level { precedence, does });
                    continue;
                }
                // What cannot be enforced grants nothing.
                PortVerdict::Allow | PortVerdict::Judge(_) if closed.is_some() => continue,
                PortVerdict::Nothing => continue,
                PortVerdict::Allow => NumberedItems::default(),
                PortVerdict::Judge(items) => items,
            };
            let NumberedItems { l7proto, allow, deny } = items;
            if allow.is_empty() {
                let does = Does::Open(self.number(name.clone()));
                peers.add(&numbers, Level { precedence, does });
            }
            let deny = deny.into_iter().map(|item| (Effect::Deny, item));
            let items = deny.chain(allow.into_iter().map(|item| (Effect::Allow, item)));
            let located: Vec<_> = items
                .map(|(effect, (item, rule))| Located { id: self.number(format!("{name}.{item}")), effect, rule })
                .collect();
            if located.is_empty() {
                continue;
            }
            let key = GroupKey { precedence, peers: numbers, l7proto };
            match by_key.get(&key).and_then(|at| groups.get_mut(*at)) {
                Some((_, items)) => items.extend(located),
                None => {
                    by_key.insert(key.clone(), groups.len());
                    groups.push((key, located));
                }
            }
        }
        for (GroupKey { precedence, peers: numbers, l7proto }, items) in groups {
            if let Some(block) = self.compile_block(&l7proto, &items) {
                peers.add(&numbers, Level { precedence, does: Does::Judge(block) });
            }
        }
        peers.finish();
        Entry { closed, peers }
    }

    /// Rules that pass must agree where to: what one skips, another must not go into.
    fn check_passes(&mut self, entry: &str, rules: &[NumberedRule]) {
        let passes = rules.iter().filter_map(|rule| match rule.verdict {
            PortVerdict::Pass(below) => Some((rule.precedence, below, &rule.name)),
            _ => None,
        });
        let mut passes: Vec<_> = passes.collect();
        passes.sort_by_key(|(precedence, ..)| std::cmp::Reverse(*precedence));
        let mut skips: Option<(u32, &String)> = None;
        for (precedence, below, name) in passes {
            let path = format!("{entry}.{name}");
            if below > precedence {
                let message = format!("passes to precedence {below}, which is above its own, {precedence}");
                self.problems.add(NodeError::new(&self.place, path, message));
                continue;
            }
            match skips {
                Some((to, other)) if precedence >= to && below != to => {
                    let message =
                        format!("passes to precedence {below}, and `{}` passes by it to {to}", shorten(other));
                    self.problems.add(NodeError::new(&self.place, path, message));
                }
                _ => skips = Some((below, name)),
            }
        }
    }

    fn compile_block(&mut self, l7proto: &str, items: &[Located<Node>]) -> Option<u32> {
        let first = items.first()?.id;
        let Some(compiler) = self.protocols.compiler(l7proto) else {
            let names = list_allowed(&self.protocols.names());
            let message = format!("there is no protocol `{}`; {names}", shorten(l7proto));
            let path = self.rules.get(first.index()).map(|info| info.name.clone()).unwrap_or_default();
            self.problems.add(NodeError::new(&self.place, path, message));
            return None;
        };
        let rules = compile_items(compiler, Dialect::Cilium, first, items, &self.rules, &mut self.problems)?;
        let has_deny = items.iter().any(|item| item.effect == Effect::Deny);
        // There are fewer blocks than rules, whose ids have the same type.
        let index = u32::try_from(self.blocks.len()).unwrap_or(u32::MAX);
        self.blocks.push(Block { rules, has_deny, audit: false });
        Some(index)
    }

    fn number(&mut self, name: String) -> RuleId {
        let info = RuleInfo { name, place: self.place.clone(), audit: false };
        number(&mut self.rules, info, &mut self.problems)
    }
}
