//! Two small protocols, and short ways to write a policy for them and to ask what it allows.

use std::collections::BTreeMap;
use std::sync::Arc;

use portcullis_libcilium::npds::wire::port_network_policy_rule::{L7, Verdict};
use portcullis_libcilium::npds::wire::{
    L7NetworkPolicyRule, L7NetworkPolicyRules, NetworkPolicy, PortNetworkPolicy, PortNetworkPolicyRule,
};
use portcullis_policy::{
    Describe, Dialect, Fields, Flow, Identity, Labels, ListedRule, Outcome, PolicyStore, RuleCompiler, RuleList,
    Traffic, TypedCompiler,
};
use portcullis_proxylib::{ErasedProtocol, Listen, Registry};

/// Requests are keys; a rule is `{prefix: "…"}`. A rule `{panic: …}` makes the compiler panic.
pub(crate) struct Rule(String);

/// A key.
pub(crate) struct Key<'a>(pub(crate) &'a str);

impl Describe for Key<'_> {
    fn describe(&self, fields: &mut dyn Fields) {
        fields.text("key", self.0.as_bytes());
    }
}

impl ListedRule for Rule {
    type Spec = BTreeMap<String, String>;
    type Request<'a> = Key<'a>;

    fn compile(spec: Self::Spec, dialect: Dialect) -> Result<Self, String> {
        assert_eq!(dialect, Dialect::Cilium);
        match spec.iter().next() {
            None => Ok(Self(String::new())),
            Some((key, prefix)) if key == "prefix" && spec.len() == 1 => Ok(Self(prefix.clone())),
            Some((key, _)) if key == "panic" => panic!("as the rule says"),
            Some((key, _)) => Err(format!("unknown key `{key}`")),
        }
    }

    fn matches(&self, request: &Key<'_>) -> Result<(), &'static str> {
        if request.0.starts_with(&self.0) { Ok(()) } else { Err("prefix") }
    }
}

/// A protocol of that name.
struct Kv(&'static str);

static COMPILER: TypedCompiler<RuleList<Rule>> = TypedCompiler::new();

impl ErasedProtocol for Kv {
    fn name(&self) -> &'static str {
        self.0
    }

    fn rules(&self) -> &dyn RuleCompiler {
        &COMPILER
    }

    fn listen(&'static self, _: &serde_json::Value) -> Result<Box<dyn Listen>, serde_json::Error> {
        Err(serde::de::Error::custom("only its rules are tested"))
    }
}

/// `kv` and `kv2`.
pub(crate) static REGISTRY: Registry = Registry::new(&[&Kv("kv"), &Kv("kv2")]);

/// The policy of an endpoint, for ingress.
pub(crate) fn endpoint(address: &str, ports: Vec<PortNetworkPolicy>) -> NetworkPolicy {
    NetworkPolicy {
        endpoint_ips: vec![address.to_owned()],
        endpoint_id: 42,
        ingress_per_port_policies: ports,
        ..NetworkPolicy::default()
    }
}

pub(crate) fn port(port: u32, rules: Vec<PortNetworkPolicyRule>) -> PortNetworkPolicy {
    PortNetworkPolicy { port, rules, ..PortNetworkPolicy::default() }
}

/// A rule for peers that allows everything.
pub(crate) fn plain(peers: &[u32]) -> PortNetworkPolicyRule {
    PortNetworkPolicyRule { remote_policies: peers.to_vec(), ..PortNetworkPolicyRule::default() }
}

pub(crate) fn deny(peers: &[u32]) -> PortNetworkPolicyRule {
    PortNetworkPolicyRule { verdict: Some(Verdict::Deny(true)), ..plain(peers) }
}

pub(crate) fn pass(precedence: u32, below: u32) -> PortNetworkPolicyRule {
    PortNetworkPolicyRule { precedence, verdict: Some(Verdict::PassPrecedence(below)), ..plain(&[]) }
}

/// A rule for everybody with prefixes of keys that pass, and that do not.
pub(crate) fn kv(allow: &[&str], deny: &[&str]) -> PortNetworkPolicyRule {
    judge("kv", allow.iter().map(|prefix| item("prefix", prefix)), deny.iter().map(|prefix| item("prefix", prefix)))
}

pub(crate) fn judge(
    l7_proto: &str,
    allow: impl IntoIterator<Item = L7NetworkPolicyRule>,
    deny: impl IntoIterator<Item = L7NetworkPolicyRule>,
) -> PortNetworkPolicyRule {
    let rules =
        L7NetworkPolicyRules { l7_allow_rules: allow.into_iter().collect(), l7_deny_rules: deny.into_iter().collect() };
    PortNetworkPolicyRule { l7_proto: l7_proto.to_owned(), l7: Some(L7::L7Rules(rules)), ..plain(&[]) }
}

pub(crate) fn item(key: &str, value: &str) -> L7NetworkPolicyRule {
    let rule = BTreeMap::from([(key.to_owned(), value.to_owned())]);
    L7NetworkPolicyRule { rule, ..L7NetworkPolicyRule::default() }
}

/// Whether a request of the protocol passes on a connection of that peer to that port.
pub(crate) fn allows(store: &Arc<PolicyStore>, traffic: Traffic, port: u16, peer: u32, key: &str) -> bool {
    let snapshot = store.load();
    let remote = Identity { id: peer, ..Identity::default() };
    let flow = Flow { traffic, endpoint: &Labels::default(), port, remote: &remote };
    snapshot.judge::<RuleList<Rule>>(&snapshot.view(&flow), &Key(key)).outcome == Outcome::Allow
}
