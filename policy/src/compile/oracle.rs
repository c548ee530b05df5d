//! Any set of policies against a small evaluator that is slow and obviously right: it looks at every rule of every
//! policy, one after the other, and knows nothing of groups, indexes and merged rules.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::net::IpAddr;

use proptest::prelude::*;

use crate::testing::{Ask, address, compile, peer};
use crate::{Certificate, Identity, KnownBy, Outcome, Reason, Snapshot, Traffic};

#[derive(Clone, Debug)]
struct Policy {
    /// Of the strict kind.
    strict: bool,
    audit: bool,
    /// The value of `app` that it selects, or every endpoint.
    subject: Option<&'static str>,
    traffic: Traffic,
    default_deny: Option<bool>,
    allow: Option<Vec<Rule>>,
    deny: Option<Vec<Rule>>,
}

#[derive(Clone, Debug)]
struct Rule {
    audit: Option<bool>,
    peers: Peers,
    requires: Option<&'static str>,
    /// Absent: every port.
    ports: Option<Vec<Ports>>,
}

#[derive(Clone, Debug)]
enum Peers {
    Absent,
    Labels(Vec<Option<&'static str>>),
    Networks(Vec<(&'static str, Option<&'static str>)>),
    Entities(Vec<&'static str>),
    Names(Vec<(&'static str, &'static str)>),
}

#[derive(Clone, Debug)]
struct Ports {
    ranges: Vec<(u16, u16)>,
    l7: Option<Vec<Item>>,
    /// With their own modes.
    deny: Vec<(Item, Option<bool>)>,
}

/// A command and a prefix of keys.
type Item = (&'static str, &'static str);

/// Addresses and networks as `(first, last)` of their last octet, in 192.0.2.0/24.
const NAMES: [(&str, &str); 5] = [
    ("spiffe", "spiffe://td/a/x"),
    ("spiffe", "spiffe://td/a/*"),
    ("dnsName", "a.example"),
    ("dnsName", "*.example"),
    ("subject", "CN=x"),
];

const NETWORKS: [(&str, u8, u8); 3] = [("192.0.2.0/24", 0, 255), ("192.0.2.0/25", 0, 127), ("192.0.2.1", 1, 1)];

impl Peers {
    fn admit(&self, remote: &Identity, required: bool) -> bool {
        let has = |key: &str, value: &str| remote.labels.iter().any(|label| label.key == key && label.value == value);
        let world = has("world", "");
        match self {
            Self::Absent => true,
            Self::Labels(values) => {
                required && !world && values.iter().any(|value| value.is_none_or(|value| has("role", value)))
            }
            Self::Networks(networks) => networks.iter().any(|(network, except)| {
                let inside = |name: &str| {
                    let (_, first, last) = NETWORKS.iter().find(|(known, ..)| *known == name).unwrap();
                    matches!(remote.address, Some(IpAddr::V4(v4)) if (*first..=*last).contains(&v4.octets()[3]))
                };
                inside(network) && !except.is_some_and(inside)
            }),
            Self::Entities(entities) => entities.iter().any(|entity| match *entity {
                "all" => true,
                "world" => world,
                "cluster" => !world,
                _ => false,
            }),
            Self::Names(names) => names.iter().any(|(kind, name)| {
                let Some(certificate) = remote.certificate() else { return false };
                match *kind {
                    "spiffe" => certificate.spiffe().is_some_and(|id| match name.strip_suffix('*') {
                        Some(above) => id.starts_with(above),
                        None => id == *name,
                    }),
                    "dnsName" => certificate.dns_names().iter().any(|dns| match name.strip_prefix('*') {
                        Some(parent) => dns.find('.').is_some_and(|dot| &dns[dot..] == parent),
                        None => dns == name,
                    }),
                    _ => certificate.subject() == Some(name),
                }
            }),
        }
    }

    fn write(&self, side: &str) -> String {
        match self {
            Self::Names(names) => {
                let names = names.iter().map(|(kind, name)| format!("{{{kind}: '{name}'}}"));
                format!("{side}Peers: [{}], ", names.collect::<Vec<_>>().join(", "))
            }
            Self::Absent => String::new(),
            Self::Labels(values) => {
                let selectors = values.iter().map(|value| match value {
                    None => "{}".to_owned(),
                    Some(value) => format!("{{matchLabels: {{role: {value}}}}}"),
                });
                format!("{side}Endpoints: [{}], ", selectors.collect::<Vec<_>>().join(", "))
            }
            Self::Networks(networks) => {
                let sets = networks.iter().map(|(network, except)| match except {
                    None => format!("{{cidr: {network}}}"),
                    Some(except) => format!("{{cidr: {network}, except: [{except}]}}"),
                });
                format!("{side}CIDRSet: [{}], ", sets.collect::<Vec<_>>().join(", "))
            }
            Self::Entities(entities) => format!("{side}Entities: [{}], ", entities.join(", ")),
        }
    }
}

fn mode(audit: Option<bool>) -> &'static str {
    match audit {
        None => "",
        Some(true) => "mode: audit, ",
        Some(false) => "mode: enforce, ",
    }
}

impl Policy {
    /// Without what its kind does not have, or refuses.
    fn proper(mut self) -> Self {
        self.audit &= self.strict;
        for rule in self.allow.iter_mut().chain(&mut self.deny).flatten() {
            rule.be_proper(self.strict);
        }
        for rule in self.allow.iter_mut().flatten() {
            let watches = rule.ports.iter().flatten().any(|ports| ports.l7.is_some() || !ports.deny.is_empty());
            rule.audit = rule.audit.filter(|_| watches);
        }
        self
    }

    /// The same, with nothing that is only watched.
    fn enforced(mut self) -> Self {
        self.audit = false;
        for rule in self.allow.iter_mut().chain(&mut self.deny).flatten() {
            rule.audit = rule.audit.map(|_| false);
            let deny = rule.ports.iter_mut().flatten().flat_map(|ports| &mut ports.deny);
            deny.for_each(|(_, audit)| *audit = audit.map(|_| false));
        }
        self
    }

    fn selects(&self, app: &str, traffic: Traffic) -> bool {
        self.traffic == traffic && self.subject.is_none_or(|subject| subject == app)
    }

    fn write(&self, n: usize) -> String {
        let subject = self.subject.map(|app| format!("matchLabels: {{app: {app}}}")).unwrap_or_default();
        let (name, side) = match self.traffic {
            Traffic::Ingress => ("ingress", "from"),
            Traffic::Egress => ("egress", "to"),
        };
        let mut spec = format!("endpointSelector: {{{subject}}}, {}", mode(self.audit.then_some(true)));
        if let Some(default_deny) = self.default_deny {
            spec += &format!("enableDefaultDeny: {{{name}: {default_deny}}}, ");
        }
        for (rules, suffix) in [(&self.allow, ""), (&self.deny, "Deny")] {
            let Some(rules) = rules else { continue };
            let rules: Vec<_> = rules.iter().map(|rule| format!("{{{}}}", rule.write(side))).collect();
            spec += &format!("{name}{suffix}: [{}], ", rules.join(", "));
        }
        let kind = match self.strict {
            true => "apiVersion: portcullis.dev/v1, kind: L7Policy",
            false => "apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy",
        };
        format!("{{{kind}, metadata: {{name: p{n}}}, spec: {{{spec}}}}}")
    }
}

impl Rule {
    fn be_proper(&mut self, strict: bool) {
        self.audit = self.audit.filter(|_| strict);
        for ports in self.ports.iter_mut().flatten() {
            if strict {
                let demands = |(command, prefix): &Item| !command.is_empty() || !prefix.is_empty();
                ports.deny.retain(|(item, _)| demands(item));
                ports.l7.iter_mut().for_each(|items| items.retain(demands));
                ports.l7 = ports.l7.take().filter(|items| !items.is_empty());
            } else {
                ports.deny.clear();
            }
        }
        if strict {
            self.ports = self.ports.take().filter(|ports| !ports.is_empty());
            if self.ports.is_none() && matches!(self.peers, Peers::Absent) {
                self.peers = Peers::Entities(vec!["all"]);
            }
        } else if let Peers::Names(_) = self.peers {
            self.peers = Peers::Labels(Vec::new());
        }
    }

    fn write(&self, side: &str) -> String {
        let mut out = mode(self.audit).to_owned() + &self.peers.write(side);
        if let Some(value) = self.requires {
            out += &format!("{side}Requires: [{{matchLabels: {{env: {value}}}}}], ");
        }
        let Some(ports) = &self.ports else { return out };
        let ports = ports.iter().map(|Ports { ranges, l7, deny }| {
            let ranges = ranges.iter().map(|(first, last)| match (first, last) {
                (0, _) => "{port: '0'}".to_owned(),
                (first, last) if first == last => format!("{{port: '{first}'}}"),
                (first, last) => format!("{{port: '{first}', endPort: {last}, protocol: TCP}}"),
            });
            let mut out = format!("ports: [{}]", ranges.collect::<Vec<_>>().join(", "));
            let item = |(command, prefix): &Item, mode: &str| {
                // Of what is empty the strict kind says nothing.
                let fields = [("command", command), ("keyPrefix", prefix)];
                let fields = fields.iter().filter(|(_, value)| !value.is_empty());
                let fields: Vec<_> = fields.map(|(name, value)| format!("{name}: '{value}'")).collect();
                format!("{{{mode}{}}}", fields.join(", "))
            };
            let mut lists = String::new();
            if let Some(items) = l7 {
                let items: Vec<_> = items.iter().map(|fields| item(fields, "")).collect();
                lists += &format!(", l7: [{}]", items.join(", "));
            }
            if !deny.is_empty() {
                let items: Vec<_> = deny.iter().map(|(fields, audit)| item(fields, mode(*audit))).collect();
                lists += &format!(", deny: [{}]", items.join(", "));
            }
            if !lists.is_empty() {
                out += &format!(", rules: {{l7proto: kv{lists}}}");
            }
            format!("{{{out}}}")
        });
        out + &format!("toPorts: [{}]", ports.collect::<Vec<_>>().join(", "))
    }

    /// The parts for this port, if the rule speaks of this peer. Without any, `None` stands for all ports.
    fn parts(&self, port: u16, remote: &Identity, required: bool) -> Vec<Option<&Ports>> {
        if matches!(self.peers, Peers::Absent) && self.requires.is_some() || !self.peers.admit(remote, required) {
            return Vec::new();
        }
        let Some(ports) = self.ports.as_ref().filter(|ports| !ports.is_empty()) else { return vec![None] };
        let here = |ports: &&Ports| {
            ports.ranges.is_empty() || ports.ranges.iter().any(|(first, last)| (*first..=*last).contains(&port))
        };
        ports.iter().filter(here).map(Some).collect()
    }
}

impl Ports {
    fn admits(&self, request: (&str, &str)) -> bool {
        match &self.l7 {
            None => self.deny.is_empty(),
            Some(items) => items.is_empty() || items.iter().any(|item| fits(item, request)),
        }
    }
}

fn fits((command, prefix): &Item, request: (&str, &str)) -> bool {
    (command.is_empty() || *command == request.0) && request.1.starts_with(prefix)
}

/// What becomes of a request by the table in the documentation of the crate.
fn evaluate(policies: &[Policy], ask: &Ask<'_>, app: &str, request: (&str, &str)) -> Outcome {
    let selecting: Vec<_> = policies.iter().filter(|policy| policy.selects(app, ask.traffic)).collect();
    if selecting.is_empty() {
        return Outcome::Deny;
    }
    let env = |value: &str| ask.remote.labels.iter().any(|label| label.key == "env" && label.value == value);
    // A requirement speaks of the policy's own namespace, as all selectors of peers do.
    let kept =
        selecting.iter().flat_map(|policy| policy.allow.iter().flatten()).filter_map(|rule| rule.requires).all(env);

    let (mut denied, mut denied_in_audit, mut allowed, mut watched) = (false, false, false, false);
    let mut deny = |audit: bool| if audit { denied_in_audit = true } else { denied = true };
    for policy in &selecting {
        for rule in policy.deny.iter().flatten() {
            if !rule.parts(ask.port, &ask.remote, true).is_empty() {
                deny(rule.audit.unwrap_or(policy.audit));
            }
        }
        for rule in policy.allow.iter().flatten() {
            let audit = rule.audit.unwrap_or(policy.audit);
            for part in rule.parts(ask.port, &ask.remote, kept) {
                allowed |= part.is_none_or(|ports| ports.admits(request));
                let items = part.and_then(|ports| ports.l7.as_ref());
                watched |= audit && items.is_some_and(|items| !items.is_empty());
            }
            // A requirement narrows what is allowed, never what is denied.
            for ports in rule.parts(ask.port, &ask.remote, true).into_iter().flatten() {
                for (item, own) in &ports.deny {
                    if fits(item, request) {
                        deny(own.unwrap_or(audit));
                    }
                }
            }
        }
    }
    let denies = |policy: &&&Policy| policy.default_deny != Some(false);
    allowed |= !selecting.iter().any(|policy| denies(&policy));
    watched |= !selecting.iter().any(|policy| denies(&policy) && !policy.audit);
    match (denied, allowed, denied_in_audit, watched) {
        (true, ..) | (false, false, _, false) => Outcome::Deny,
        (false, true, false, _) => Outcome::Allow,
        (false, true, true, _) | (false, false, _, true) => Outcome::Audit,
    }
}

fn ports(l7: bool) -> impl Strategy<Value = Ports> {
    let range = prop_oneof![Just((0, u16::MAX)), Just((80, 80)), Just((81, 81)), Just((79, 80)), Just((80, 90))];
    let item =
        (prop_oneof![Just(""), Just("get"), Just("set")], prop_oneof![Just(""), Just("a"), Just("ab"), Just("b")]);
    let items =
        proptest::option::of(proptest::collection::vec(item.clone(), 0..3)).prop_map(move |items| items.filter(|_| l7));
    let deny = proptest::collection::vec((item, proptest::option::weighted(0.3, any::<bool>())), 0..2);
    let deny = proptest::option::weighted(0.2, deny).prop_map(move |deny| deny.filter(|_| l7).unwrap_or_default());
    (proptest::collection::vec(range, 0..3), items, deny).prop_map(|(ranges, l7, deny)| Ports { ranges, l7, deny })
}

fn rule(l7: bool) -> impl Strategy<Value = Rule> {
    let role = proptest::option::weighted(0.8, prop_oneof![Just("x"), Just("y")]);
    let network = prop_oneof![
        Just((NETWORKS[0].0, None)),
        Just((NETWORKS[0].0, Some(NETWORKS[1].0))),
        Just((NETWORKS[1].0, Some(NETWORKS[2].0))),
        Just((NETWORKS[2].0, None)),
    ];
    let entity = prop_oneof![Just("all"), Just("world"), Just("cluster"), Just("none"), Just("host")];
    let peers = prop_oneof![
        1 => Just(Peers::Absent),
        4 => proptest::collection::vec(role, 0..3).prop_map(Peers::Labels),
        2 => proptest::collection::vec(network, 0..3).prop_map(Peers::Networks),
        2 => proptest::collection::vec(entity, 0..3).prop_map(Peers::Entities),
        2 => proptest::collection::vec(proptest::sample::select(NAMES.to_vec()), 0..3).prop_map(Peers::Names),
    ];
    let requires = proptest::option::weighted(0.1, prop_oneof![Just("p"), Just("q")]);
    let ports = proptest::option::weighted(0.8, proptest::collection::vec(ports(l7), 0..3));
    let audit = proptest::option::weighted(0.3, any::<bool>());
    (audit, peers, requires, ports).prop_map(move |(audit, peers, requires, ports)| {
        // Deny rules have neither.
        Rule { audit, peers, requires: requires.filter(|_| l7), ports }
    })
}

fn policy() -> impl Strategy<Value = Policy> {
    let subject = proptest::option::weighted(0.7, prop_oneof![Just("a"), Just("b")]);
    let traffic = prop_oneof![3 => Just(Traffic::Ingress), 1 => Just(Traffic::Egress)];
    let default_deny = proptest::option::weighted(0.2, any::<bool>());
    let allow = proptest::option::weighted(0.9, proptest::collection::vec(rule(true), 0..4));
    let deny = proptest::option::weighted(0.2, proptest::collection::vec(rule(false), 0..2));
    let kind = (any::<bool>(), proptest::bool::weighted(0.4));
    let parts = (kind, subject, traffic, default_deny, allow, deny);
    parts.prop_map(|((strict, audit), subject, traffic, default_deny, allow, deny)| {
        let allow = if deny.is_none() { Some(allow.unwrap_or_default()) } else { allow };
        Policy { strict, audit, subject, traffic, default_deny, allow, deny }.proper()
    })
}

fn compiled(policies: &[Policy]) -> Snapshot {
    let texts: Vec<_> = policies.iter().enumerate().map(|(n, policy)| policy.write(n)).collect();
    compile(&texts.iter().map(String::as_str).collect::<Vec<_>>()).snapshot
}

fn remotes() -> Vec<Identity> {
    let at = |who: &str, ip: &str| Identity { address: ip.parse().ok(), known_by: KnownBy::Address, ..peer(who) };
    vec![
        peer("role=x"),
        peer("role=y,env=p"),
        at("role=x,env=q", "192.0.2.1"),
        at("k8s:role=y", "192.0.2.7"),
        address("192.0.2.1"),
        address("192.0.2.1").with_certificate(Certificate::new(["spiffe://td/a/x"], [], None)),
        peer("role=x").with_certificate(Certificate::new(["spiffe://td/b"], ["A.example", "b.example"], None)),
        address("192.0.2.200").with_certificate(Certificate::new([""; 0], ["example"], Some("CN=x".to_owned()))),
        Identity::default(),
    ]
}

/// Each endpoint, direction, port, peer and request there is in these tests.
fn for_each_ask(mut test: impl FnMut(&Ask<'_>, &str, (&str, &str))) {
    for (endpoint, app) in [("app=a", "a"), ("app=b,role=x", "b"), ("", "")] {
        for traffic in [Traffic::Ingress, Traffic::Egress] {
            for port in [79, 80, 81] {
                for mut remote in remotes() {
                    if remote.labels.is_empty() {
                        remote.labels = crate::Labels::world();
                    }
                    let ask = Ask { endpoint, traffic, port, remote };
                    for request in [("get", "a"), ("get", "ab"), ("set", "b"), ("set", "c")] {
                        test(&ask, app, request);
                    }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn snapshots_decide_as_the_evaluator(policies in proptest::collection::vec(policy(), 0..6)) {
        let snapshot = compiled(&policies);
        for_each_ask(|ask, app, request| {
            let decision = ask.judge(&snapshot, request.0, request.1);
            let wanted = evaluate(&policies, ask, app, request);
            assert_eq!(decision.outcome, wanted, "{app} {:?} {} {:?} {request:?}: {decision:?}", ask.traffic, ask.port, ask.remote);
            if decision.reason == Reason::Rule {
                assert!(decision.rule.and_then(|id| snapshot.rule(id)).is_some(), "{decision:?} names no rule");
            }
        });
    }

    #[test]
    fn a_policy_for_another_endpoint_changes_nothing(
        policies in proptest::collection::vec(policy(), 0..4),
        other in policy(),
    ) {
        let other = Policy { subject: Some("elsewhere"), ..other };
        let (alone, both) = (compiled(&policies), compiled(&[policies.as_slice(), &[other]].concat()));
        for_each_ask(|ask, _, (command, key)| {
            assert_eq!(ask.judge(&alone, command, key), ask.judge(&both, command, key));
        });
    }

    #[test]
    fn two_policies_admit_no_more_than_their_union(one in policy(), two in policy()) {
        // Where a policy speaks of the endpoint at all: else the default verdict holds, which is to deny.
        let (first, second) = (compiled(std::slice::from_ref(&one)), compiled(std::slice::from_ref(&two)));
        let both = compiled(&[one.clone(), two.clone()]);
        for_each_ask(|ask, _, (command, key)| {
            let either = ask.allows(&first, command, key) || ask.allows(&second, command, key);
            assert!(either || !ask.allows(&both, command, key));
        });
    }

    #[test]
    fn audit_only_lets_pass_what_would_be_denied(policies in proptest::collection::vec(policy(), 0..5)) {
        let enforced: Vec<_> = policies.iter().cloned().map(Policy::enforced).collect();
        let (watched, enforced) = (compiled(&policies), compiled(&enforced));
        for_each_ask(|ask, _, (command, key)| {
            let (watched, enforced) = (ask.judge(&watched, command, key), ask.judge(&enforced, command, key));
            assert_eq!(watched.outcome == Outcome::Allow, enforced.outcome == Outcome::Allow, "{watched:?} {enforced:?}");
            assert_ne!(enforced.outcome, Outcome::Audit);
        });
    }

    #[test]
    fn where_all_is_watched_nothing_is_denied(policies in proptest::collection::vec(policy(), 1..5)) {
        let watch = |mut policy: Policy| {
            (policy.strict, policy.audit) = (true, true);
            for rule in policy.allow.iter_mut().chain(&mut policy.deny).flatten() {
                rule.audit = None;
                let deny = rule.ports.iter_mut().flatten().flat_map(|ports| &mut ports.deny);
                deny.for_each(|(_, audit)| *audit = None);
            }
            policy.proper()
        };
        let policies: Vec<_> = policies.into_iter().map(watch).collect();
        let snapshot = compiled(&policies);
        for_each_ask(|ask, app, (command, key)| {
            let decision = ask.judge(&snapshot, command, key);
            let selected = policies.iter().any(|policy| policy.selects(app, ask.traffic));
            assert_eq!(decision.outcome == Outcome::Deny, !selected, "{decision:?}");
        });
    }
}
