//! Reads objects from trees, finding all faults and not only the first.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::fields::{self, Field};
use super::leaves::{CidrSet, NamedEntity, Port};
use super::selector::{Conditions, Selector, default_namespace};
use super::{Item, L7, Peer, Policy, PortRule, Ports, Rule, Side, Spec};
use crate::identity::{Cidr, Traffic};
use crate::l7::{Dialect, Effect};
use crate::node::{Node, NodeError, Value, shorten};
use crate::problems::Problems;

/// Reads all objects of one document.
pub(crate) fn read_policies(document: &Node, problems: &mut Problems) -> Vec<Policy> {
    let mut policies = Vec::new();
    read_object(&At { node: document, path: String::new(), dialect: Dialect::Cilium }, problems, &mut policies);
    policies
}

/// A node and the way to it.
struct At<'n> {
    node: &'n Node,
    path: String,
    dialect: Dialect,
}

impl<'n> At<'n> {
    fn error(&self, message: impl Into<String>) -> NodeError {
        NodeError::new(&self.node.place, &self.path, message)
    }

    /// A field that is there; a null is as good as absent.
    fn field(&self, name: &str) -> Option<At<'n>> {
        let node = self.node.entry(name).filter(|node| !matches!(node.value, Value::Null))?;
        // The name of the object ends with a slash: what is in it follows without a dot.
        let dot = if self.path.is_empty() || self.path.ends_with('/') { "" } else { "." };
        Some(At { node, path: format!("{}{dot}{name}", self.path), dialect: self.dialect })
    }

    /// What works in one dialect and is probably not meant, and is refused in the other.
    fn doubt(&self, message: &str, problems: &mut Problems) {
        match self.dialect {
            Dialect::Cilium => problems.warn(self.error(message)),
            Dialect::Strict => problems.add(self.error(message)),
        }
    }

    fn items(&self, problems: &mut Problems) -> Vec<At<'n>> {
        let Value::List(items) = &self.node.value else {
            problems.add(self.error(format!("wanted a list, found {}", self.node.describe())));
            return Vec::new();
        };
        let at = |(n, node)| At { node, path: format!("{}[{n}]", self.path), dialect: self.dialect };
        items.iter().enumerate().map(at).collect()
    }

    fn read<T: DeserializeOwned>(&self, problems: &mut Problems) -> Option<T> {
        problems.note(self.node.read(self.dialect).map_err(|error| error.within(&self.path)))
    }

    fn read_field<T: DeserializeOwned>(&self, name: &str, problems: &mut Problems) -> Option<T> {
        self.field(name)?.read(problems)
    }

    /// Checks that this is a map of known fields. What is refused is reported, too; other fields can still be read.
    fn check_fields(&self, known: &[Field], problems: &mut Problems) -> bool {
        let Value::Map(entries) = &self.node.value else {
            problems.add(self.error(format!("wanted a map, found {}", self.node.describe())));
            return false;
        };
        for entry in entries {
            let message = match known.iter().find(|(name, _)| *name == entry.key) {
                Some((name, None)) => {
                    if matches!(entry.value.value, Value::Null) {
                        let fault = |message: String| NodeError::new(&entry.place, &self.path, message);
                        match self.dialect {
                            Dialect::Cilium => {
                                problems.warn(fault(format!("`{name}` is null, which counts as if it were left out")));
                            }
                            Dialect::Strict => problems.add(fault(format!("`{name}` is null; leave it out"))),
                        }
                    }
                    continue;
                }
                Some((name, Some(instead))) => format!("`{name}` cannot be enforced: {instead}"),
                None => {
                    let allowed: Vec<_> =
                        known.iter().filter(|(_, why)| why.is_none()).map(|(name, _)| *name).collect();
                    let allowed = crate::node::list_allowed(&allowed);
                    format!("unknown field `{}`; {allowed}", shorten(&entry.key))
                }
            };
            problems.add(NodeError::new(&entry.place, &self.path, message));
        }
        true
    }
}

const CNP: &str = "CiliumNetworkPolicy";
const CCNP: &str = "CiliumClusterwideNetworkPolicy";
const STRICT: &str = "L7Policy";

fn read_object(at: &At<'_>, problems: &mut Problems, policies: &mut Vec<Policy>) {
    if !matches!(at.node.value, Value::Map(_)) {
        return problems
            .add(at.error(format!("wanted an object with `apiVersion` and `kind`, found {}", at.node.describe())));
    }
    let text = |name| match at.node.entry(name).map(|node| &node.value) {
        Some(Value::Text(text)) => Some(text.as_str()),
        _ => None,
    };
    match (text("apiVersion"), text("kind")) {
        (Some("v1"), Some("List"))
        | (Some("cilium.io/v2"), Some("CiliumNetworkPolicyList" | "CiliumClusterwideNetworkPolicyList")) => {
            if at.check_fields(fields::LIST, problems)
                && let Some(items) = at.field("items")
            {
                for item in items.items(problems) {
                    // A list in a list is nothing that Kubernetes makes, and would recurse.
                    match item.node.entry("items") {
                        Some(_) => problems.add(item.error("a list within a list; write its items out")),
                        None => read_object(&item, problems, policies),
                    }
                }
            }
        }
        (Some("cilium.io/v2"), Some(CNP)) => policies.extend(read_policy(at, CNP, problems)),
        (Some("cilium.io/v2"), Some(CCNP)) => policies.extend(read_policy(at, CCNP, problems)),
        (Some("portcullis.dev/v1"), Some(STRICT)) => {
            let strict = At { node: at.node, path: at.path.clone(), dialect: Dialect::Strict };
            policies.extend(read_policy(&strict, STRICT, problems));
        }
        (api, kind) => {
            let shown = |text: Option<&str>| shorten(text.unwrap_or_default());
            problems.add(at.error(format!(
                "apiVersion `{}`, kind `{}` is not a policy; wanted `cilium.io/v2` with `{CNP}` or `{CCNP}`, \
                 `portcullis.dev/v1` with `{STRICT}`, or a `List` of them; keep other objects in other files",
                shown(api),
                shown(kind)
            )));
        }
    }
}

/// Bytes of a name in Kubernetes: a DNS subdomain, RFC 1123.
const MAX_NAME_BYTES: usize = 253;

/// Of the metadata only these bear on policy; the rest is Kubernetes' own.
#[derive(Deserialize)]
struct Metadata {
    name: String,
    namespace: Option<String>,
}

fn read_policy(at: &At<'_>, kind: &'static str, problems: &mut Problems) -> Option<Policy> {
    at.check_fields(fields::OBJECT, problems);
    let Some(metadata) = at.field("metadata") else {
        problems.add(at.error("`metadata` with a `name` is missing"));
        return None;
    };
    let Metadata { name, namespace } = metadata.read(problems)?;
    if name.is_empty()
        || name.len() > MAX_NAME_BYTES
        || namespace.as_ref().is_some_and(|name| name.len() > MAX_NAME_BYTES)
    {
        problems.add(metadata.error(format!("`name` and `namespace` have 1 to {MAX_NAME_BYTES} bytes")));
        return None;
    }
    if kind == CCNP && namespace.is_some() {
        problems.add(metadata.error(format!("a {CCNP} has no `namespace`; leave it out, or make it a {CNP}")));
    }
    let shown = namespace.as_deref().filter(|namespace| !namespace.is_empty());
    let namespace = (kind != CCNP).then(|| shown.unwrap_or(default_namespace()).to_owned());
    let full = shown.map_or_else(|| name.clone(), |namespace| format!("{namespace}/{name}"));
    let full = full.escape_debug().to_string();

    let inner = At { node: at.node, path: format!("{full}/"), dialect: at.dialect };
    let mut specs: Vec<_> = inner.field("spec").into_iter().collect();
    if let Some(more) = inner.field("specs") {
        specs.extend(more.items(problems));
    }
    if specs.is_empty() {
        problems.add(inner.error("neither `spec` nor `specs` says anything"));
    }
    let read = |spec: &At<'_>| Reader { namespace: namespace.as_deref() }.spec(spec, problems);
    let specs = specs.iter().filter_map(read).collect();
    let key = (kind, namespace.unwrap_or_default(), name);
    Some(Policy { name: full, key, place: at.node.place.clone(), dialect: at.dialect, specs })
}

struct Reader<'p> {
    /// The policy's namespace, unless it is clusterwide.
    namespace: Option<&'p str>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct EnableDefaultDeny {
    ingress: Option<bool>,
    egress: Option<bool>,
}

impl Reader<'_> {
    fn spec(&self, at: &At<'_>, problems: &mut Problems) -> Option<Spec> {
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
        let ingress = self.side(at, Traffic::Ingress, default_deny.ingress, problems);
        let egress = self.side(at, Traffic::Egress, default_deny.egress, problems);
        if ingress.is_none() && egress.is_none() {
            problems.add(at.error("says nothing; wanted one of `ingress`, `ingressDeny`, `egress`, `egressDeny`"));
        }
        Some(Spec { subject: subject?, ingress, egress })
    }

    fn subject(&self, at: &At<'_>, problems: &mut Problems) -> Option<Selector> {
        let conditions: Conditions = at.read(problems)?;
        problems.note(conditions.for_subject(self.namespace).map_err(|message| at.error(message)))
    }

    fn side(&self, at: &At<'_>, traffic: Traffic, default_deny: Option<bool>, problems: &mut Problems) -> Option<Side> {
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
                rules.extend(self.rule(&rule, traffic, effect, problems));
            }
        }
        Some(Side { default_deny: default_deny.unwrap_or(true), rules })
    }

    fn rule(&self, at: &At<'_>, traffic: Traffic, effect: Effect, problems: &mut Problems) -> Option<Rule> {
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
            at.doubt(message, problems);
        }
        let (peers, requires) = self.peers(at, traffic, problems);
        if effect == Effect::Deny && !requires.is_empty() {
            // In the reference they narrow the denials of other policies, so that one more rule admits more.
            let message = "requirements cannot be enforced in a deny rule: they would weaken other denials; select the peers instead";
            problems.add(at.error(message));
        }
        let ports = match at.field("toPorts") {
            None => vec![PortRule::everything(at)],
            Some(list) => {
                let items = list.items(problems);
                if items.is_empty() && matches!(list.node.value, Value::List(_)) {
                    list.doubt("`[]` means every port, as if it were left out; leave it out", problems);
                    vec![PortRule::everything(at)]
                } else {
                    items.iter().filter_map(|item| read_port_rule(item, effect, problems)).collect()
                }
            }
        };
        Some(Rule { effect, peers, requires, ports })
    }

    fn peers(&self, at: &At<'_>, traffic: Traffic, problems: &mut Problems) -> (Vec<Peer>, Vec<Selector>) {
        let [endpoints, requires, cidr, cidr_set, entities] = match traffic {
            Traffic::Ingress => ["fromEndpoints", "fromRequires", "fromCIDR", "fromCIDRSet", "fromEntities"],
            Traffic::Egress => ["toEndpoints", "toRequires", "toCIDR", "toCIDRSet", "toEntities"],
        };
        let given: Vec<_> =
            [endpoints, cidr, cidr_set, entities].into_iter().filter(|name| at.field(name).is_some()).collect();
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
        peers.sort();
        peers.dedup();
        if peers.contains(&Peer::Any) {
            peers = vec![Peer::Any];
        }
        (peers, requires)
    }
}

impl PortRule {
    /// Every port, without an L7 part.
    fn everything(at: &At<'_>) -> Self {
        Self { name: at.path.clone(), place: at.node.place.clone(), ports: Ports::all(), l7: None }
    }
}

fn read_port_rule(at: &At<'_>, effect: Effect, problems: &mut Problems) -> Option<PortRule> {
    if !at.check_fields(fields::PORT_RULE, problems) {
        return None;
    }
    let written: Option<Vec<Port>> = match at.field("ports") {
        Some(ports) => Some(ports.read(problems)?),
        None => None,
    };
    let (name, place) = (at.path.clone(), at.node.place.clone());
    let l7 = at.field("rules").map(|rules| read_l7(&rules, effect, problems));
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
        problems.warn(at.error("speaks of UDP or SCTP alone; only TCP is carried here, so that it has no effect"));
        return None;
    }
    Some(PortRule { name, place, ports: Ports::new(tcp), l7 })
}

/// The fault is among the problems already.
struct NotReadable;

fn read_l7(at: &At<'_>, effect: Effect, problems: &mut Problems) -> Result<Option<L7>, NotReadable> {
    let known = if at.dialect == Dialect::Strict { fields::STRICT_L7_RULES } else { fields::L7_RULES };
    if !at.check_fields(known, problems) {
        return Err(NotReadable);
    }
    let l7 = at.field("l7");
    let Some(l7proto) = at.field("l7proto") else {
        if l7.is_some() || at.field("deny").is_some() {
            problems.add(at.error("`l7` without `l7proto`: name the protocol of the items"));
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
            if admits_all(item.node) {
                item.doubt("demands nothing: it speaks of every request; to say so, leave out `rules`", problems);
            }
            items.push(Item { effect, name: item.path, node: item.node.clone() });
        }
    }
    if items.is_empty() {
        at.doubt("no `l7` items: every request passes; to say so on purpose, leave out `rules`", problems);
        return Ok(None);
    }
    Ok(Some(L7 { l7proto: name, place: l7proto.node.place.clone(), items }))
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
