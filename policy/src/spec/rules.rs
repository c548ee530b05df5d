//! Reads what a policy says of some endpoints.

use std::collections::HashMap;

use serde::Deserialize;

use super::at::At;
use super::fields;
use super::leaves::{CidrSet, NamedEntity, NamedPeer, Port};
use super::selector::{Conditions, Selector};
use super::{Item, L7, Peer, PortRule, Ports, Rule, Side, Spec};
use crate::identity::{Cidr, Traffic};
use crate::l7::{Dialect, Effect};
use crate::lint::Lint;
use crate::node::{Entry, Node, Place, Value, shorten};
use crate::order;
use crate::problems::Problems;

/// Reads the specs of one policy.
pub(super) struct Reader<'p> {
    /// The policy's namespace, unless it is clusterwide.
    namespace: Option<&'p str>,
    /// The policy's name.
    policy: &'p str,
    /// The names that its rules have, and where.
    names: HashMap<String, Place>,
}

/// Bytes of a rule's name: as much as a log shows of one.
const MAX_RULE_NAME_BYTES: usize = 128;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EnableDefaultDeny {
    ingress: Option<bool>,
    egress: Option<bool>,
}

impl<'p> Reader<'p> {
    pub(super) fn new(namespace: Option<&'p str>, policy: &'p str) -> Self {
        Self { namespace, policy, names: HashMap::new() }
    }

    pub(super) fn spec(&mut self, at: &At<'_>, problems: &mut Problems) -> Option<Spec> {
        if !at.check_fields(fields::SPEC, problems) {
            return None;
        }
        let subject = match at.field("endpointSelector") {
            Some(selector) => self.subject(&selector, problems),
            None => {
                if at.node.entry("nodeSelector").is_none() {
                    problems.add(at.error("`endpointSelector` is missing; `{}` selects all endpoints"));
                }
                None
            }
        };
        let default_deny: EnableDefaultDeny = at.read_field("enableDefaultDeny", problems).unwrap_or_default();
        let audit = at.is_audit(false, problems);
        let ingress = self.side(at, (Traffic::Ingress, audit), default_deny.ingress, problems);
        let egress = self.side(at, (Traffic::Egress, audit), default_deny.egress, problems);
        if ingress.is_none() && egress.is_none() {
            problems.add(at.error("says nothing; wanted one of `ingress`, `ingressDeny`, `egress`, `egressDeny`"));
        }
        Some(Spec { subject: subject?, ingress, egress })
    }

    fn subject(&self, at: &At<'_>, problems: &mut Problems) -> Option<Selector> {
        let conditions: Conditions = at.read(problems)?;
        problems.note(conditions.for_subject(self.namespace).map_err(|message| at.error(message)))
    }

    fn side(
        &mut self,
        at: &At<'_>,
        (traffic, audit): (Traffic, bool),
        default_deny: Option<bool>,
        problems: &mut Problems,
    ) -> Option<Side> {
        let (allow, deny) = match traffic {
            Traffic::Ingress => ("ingress", "ingressDeny"),
            Traffic::Egress => ("egress", "egressDeny"),
        };
        let (allow, deny) = (at.field(allow), at.field(deny));
        if allow.is_none() && deny.is_none() && default_deny != Some(true) {
            return None;
        }
        let mut rules = Vec::new();
        for (list, effect) in [(allow, Effect::Allow), (deny, Effect::Deny)] {
            for rule in list.map(|list| list.items(problems)).unwrap_or_default() {
                rules.extend(self.rule(&rule, (traffic, audit), effect, problems));
            }
        }
        Some(Side { default_deny: default_deny.unwrap_or(true), audit, rules })
    }

    fn rule(
        &mut self,
        at: &At<'_>,
        (traffic, audit): (Traffic, bool),
        effect: Effect,
        problems: &mut Problems,
    ) -> Option<Rule> {
        let known = match traffic {
            Traffic::Ingress => fields::INGRESS,
            Traffic::Egress => fields::EGRESS,
        };
        if !at.check_fields(known, problems) {
            return None;
        }
        if matches!(&at.node.value, Value::Map(entries) if entries.is_empty()) && effect == Effect::Allow {
            let message = "admits every peer on every port; to admit nothing, write `[]` in place of `[{}]`, \
                           and to admit everybody on purpose name the entity `all`";
            at.doubt(Lint::EmptyRule, message, problems);
        }
        let (peers, requires) = self.peers(at, traffic, problems);
        if effect == Effect::Deny && !requires.is_empty() {
            // In the reference they narrow the denials of other policies, so that one more rule admits more.
            let message = "requirements cannot be enforced in a deny rule: they would weaken other denials; select the peers instead";
            problems.add(at.error(message));
        }
        let audit = at.is_audit(audit, problems);
        let name = self.name(at, problems);
        let ports = match at.field("toPorts") {
            None => vec![PortRule::everything(at)],
            Some(list) => {
                let items = list.items(problems);
                if items.is_empty() && matches!(list.node.value, Value::List(_)) {
                    let message = "`[]` means every port, as if it were left out; leave it out";
                    list.doubt(Lint::EmptyPorts, message, problems);
                    vec![PortRule::everything(at)]
                } else {
                    items.iter().filter_map(|item| self.port_rule(item, (effect, audit), problems)).collect()
                }
            }
        };
        let ports = match name {
            Some(name) => ports.into_iter().map(|port| port.renamed(&at.path, &name)).collect(),
            None => ports,
        };
        if effect == Effect::Allow
            && let Some(mode) = at.field("mode").filter(|_| audit && ports.iter().all(|port| port.l7.is_none()))
        {
            problems.add(mode.error("a rule that allows and has no L7 rules denies nothing that could be watched"));
        }
        Some(Rule { effect, audit, peers, requires, ports })
    }

    /// The id that a rule's own name gives it.
    fn name(&mut self, at: &At<'_>, problems: &mut Problems) -> Option<String> {
        let field = at.field("name").filter(|_| at.dialect == Dialect::Strict)?;
        let name: String = field.read(problems)?;
        if name.is_empty() || name.len() > MAX_RULE_NAME_BYTES || name.chars().any(char::is_control) {
            problems.add(
                field.error(format!("a rule's name has 1 to {MAX_RULE_NAME_BYTES} bytes and no control characters")),
            );
            return None;
        }
        if let Some(first) = self.names.get(&name) {
            problems.add(field.error(format!("a rule of this policy at {first} is called `{}`, too", shorten(&name))));
            return None;
        }
        let id = format!("{}/{name}", self.policy);
        self.names.insert(name, field.node.place.clone());
        Some(id)
    }

    fn peers(&self, at: &At<'_>, traffic: Traffic, problems: &mut Problems) -> (Vec<Peer>, Vec<Selector>) {
        let [endpoints, requires, cidr, cidr_set, entities, named] = match traffic {
            Traffic::Ingress => {
                ["fromEndpoints", "fromRequires", "fromCIDR", "fromCIDRSet", "fromEntities", "fromPeers"]
            }
            Traffic::Egress => ["toEndpoints", "toRequires", "toCIDR", "toCIDRSet", "toEntities", "toPeers"],
        };
        let given = [endpoints, cidr, cidr_set, entities, named];
        let given: Vec<_> = given.into_iter().filter(|name| at.field(name).is_some()).collect();
        if let [first, second, ..] = given.as_slice() {
            problems.add(at.error(format!("`{first}` and `{second}` cannot be combined; make two rules of it")));
        }
        let requires: Vec<Conditions> = at.read_field(requires, problems).unwrap_or_default();
        let requires: Vec<_> = requires.into_iter().map(|conditions| conditions.for_peers(self.namespace)).collect();
        if given.is_empty() {
            // Requirements by themselves grant nothing.
            let peers = if requires.is_empty() { vec![Peer::Any] } else { Vec::new() };
            return (peers, requires);
        }
        let mut peers = Vec::new();
        let selectors: Vec<Conditions> = at.read_field(endpoints, problems).unwrap_or_default();
        peers.extend(selectors.into_iter().map(|conditions| Peer::Endpoints(conditions.for_peers(self.namespace))));
        let networks: Vec<Cidr> = at.read_field(cidr, problems).unwrap_or_default();
        let everywhere = at.dialect == Dialect::Strict;
        peers.extend(networks.into_iter().map(|cidr| Peer::Network { cidr, except: Vec::new(), everywhere }));
        let sets: Vec<CidrSet> = at.read_field(cidr_set, problems).unwrap_or_default();
        peers.extend(sets.into_iter().map(|CidrSet { cidr, except }| Peer::Network { cidr, except, everywhere }));
        let entities: Vec<NamedEntity> = at.read_field(entities, problems).unwrap_or_default();
        peers.extend(entities.into_iter().filter_map(|NamedEntity(peer)| peer));
        let named: Vec<NamedPeer> = at.read_field(named, problems).unwrap_or_default();
        peers.extend(named.into_iter().map(|NamedPeer(name)| Peer::Named(name)));
        order::sort(&mut peers);
        peers.dedup();
        if peers.contains(&Peer::Any) {
            peers = vec![Peer::Any];
        }
        (peers, requires)
    }

    fn port_rule(&mut self, at: &At<'_>, does: (Effect, bool), problems: &mut Problems) -> Option<PortRule> {
        if !at.check_fields(fields::PORT_RULE, problems) {
            return None;
        }
        let written: Option<Vec<Port>> = match at.field("ports") {
            Some(ports) => Some(ports.read(problems)?),
            None => None,
        };
        let (name, place) = (at.path.clone(), at.node.place.clone());
        let l7 = at.field("rules").map(|rules| self.l7(&rules, does, problems));
        let l7 = match l7 {
            Some(Err(NotReadable)) => return None,
            Some(Ok(l7)) => l7,
            None => None,
        };
        let Some(written) = written.filter(|ports| !ports.is_empty()) else {
            return Some(PortRule { name, place, ports: Ports::all(), l7 });
        };
        let tcp: Vec<_> = written.iter().filter(|port| port.tcp).map(|port| port.range).collect();
        if tcp.is_empty() {
            if l7.is_some() {
                problems.add(at.error("L7 rules need a port with the protocol `TCP` or `ANY`"));
            }
            let message = "speaks of UDP or SCTP alone; only TCP is carried here, so that it has no effect";
            problems.warn(Lint::NotTcp, at.error(message));
            return None;
        }
        Some(PortRule { name, place, ports: Ports::new(tcp), l7 })
    }

    fn l7(
        &mut self,
        at: &At<'_>,
        (effect, audit): (Effect, bool),
        problems: &mut Problems,
    ) -> Result<Option<L7>, NotReadable> {
        if !at.check_fields(fields::L7_RULES, problems) {
            return Err(NotReadable);
        }
        let l7 = at.field("l7");
        let Some(l7proto) = at.field("l7proto") else {
            if l7.is_some() || at.field("deny").is_some() {
                problems.add(at.error("`l7` without `l7proto`: name the protocol of the items"));
            } else {
                at.doubt(Lint::EmptyRules, "says nothing: every request passes; leave it out", problems);
            }
            return Ok(None);
        };
        if effect == Effect::Deny {
            problems.add(at.error("deny rules carry no L7 rules; leave `rules` out, or allow what may pass instead"));
            return Err(NotReadable);
        }
        let name: String = l7proto.read(problems).ok_or(NotReadable)?;
        let mut items = Vec::new();
        for (list, effect) in [(l7, Effect::Allow), (at.field("deny"), Effect::Deny)] {
            for item in list.map(|list| list.items(problems)).unwrap_or_default() {
                let read = self.item(&item, (effect, audit), problems);
                if admits_all(&read.node) {
                    let message = "demands nothing: it speaks of every request; to say so, leave out `rules`";
                    item.doubt(Lint::EmptyItem, message, problems);
                }
                items.push(read);
            }
        }
        if items.is_empty() {
            let message = "no `l7` items: every request passes; to say so on purpose, leave out `rules`";
            at.doubt(Lint::NoItems, message, problems);
            return Ok(None);
        }
        Ok(Some(L7 { l7proto: name, place: l7proto.node.place.clone(), items }))
    }

    /// One item. In the strict kind its name and its mode are not the protocol's business.
    fn item(&mut self, at: &At<'_>, (effect, audit): (Effect, bool), problems: &mut Problems) -> Item {
        let mut node = at.node.clone();
        let (mut name, mut audit) = (None, audit);
        if at.dialect == Dialect::Strict {
            name = self.name(at, problems);
            audit = at.is_audit(audit, problems);
            if effect == Effect::Allow
                && let Some(mode) = at.field("mode")
            {
                problems
                    .add(mode.error("an `l7` item denies nothing that could be watched; set the `mode` of its rule"));
            }
            if let Value::Map(entries) = &mut node.value {
                // A null is left for the protocol to refuse.
                let null = |entry: &Entry| matches!(entry.value.value, Value::Null);
                entries.retain(|entry| null(entry) || !fields::ITEM.iter().any(|field| field.name == entry.key));
            }
        }
        Item { effect, audit, name: name.unwrap_or_else(|| at.path.clone()), node }
    }
}

/// The fault is among the problems already.
struct NotReadable;

impl PortRule {
    /// Every port, without an L7 part.
    fn everything(at: &At<'_>) -> Self {
        Self { name: at.path.clone(), place: at.node.place.clone(), ports: Ports::all(), l7: None }
    }

    /// The same, of a rule at this path that has a name: ports without an L7 part have its name, items begin with it.
    fn renamed(mut self, path: &str, name: &str) -> Self {
        match &mut self.l7 {
            None => name.clone_into(&mut self.name),
            Some(l7) => {
                for item in &mut l7.items {
                    if let Some(rest) = item.name.strip_prefix(path) {
                        item.name = format!("{name}{rest}");
                    }
                }
            }
        }
        self
    }
}

/// Whether nothing in the item demands anything.
fn admits_all(item: &Node) -> bool {
    let empty = |node: &Node| match &node.value {
        Value::Null => true,
        Value::Text(text) => text.is_empty(),
        _ => false,
    };
    match &item.value {
        Value::Map(entries) => entries.iter().all(|entry| empty(&entry.value)),
        _ => false,
    }
}
