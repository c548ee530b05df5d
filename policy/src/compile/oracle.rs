//! Any set of policies against a small evaluator that is slow and obviously right: it looks at every rule of every
//! policy, one after the other, and knows nothing of groups, indexes and merged rules.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::net::IpAddr;

use proptest::prelude::*;

use crate::testing::{Ask, address, compile, peer};
use crate::{Identity, KnownBy, Outcome, Reason, Snapshot, Traffic};

#[derive(Clone, Debug)]
struct Policy {
    /// The value of `app` that it selects, or every endpoint.
    subject: Option<&'static str>,
    traffic: Traffic,
    default_deny: Option<bool>,
    allow: Option<Vec<Rule>>,
    deny: Option<Vec<Rule>>,
}

#[derive(Clone, Debug)]
struct Rule {
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
}

#[derive(Clone, Debug)]
struct Ports {
    ranges: Vec<(u16, u16)>,
    l7: Option<Vec<(&'static str, &'static str)>>,
}

/// Addresses and networks as `(first, last)` of their last octet, in 192.0.2.0/24.
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
        }
    }

    fn write(&self, side: &str) -> String {
        match self {
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

impl Policy {
    fn selects(&self, app: &str, traffic: Traffic) -> bool {
        self.traffic == traffic && self.subject.is_none_or(|subject| subject == app)
    }

    fn write(&self, n: usize) -> String {
        let subject = self.subject.map(|app| format!("matchLabels: {{app: {app}}}")).unwrap_or_default();
        let (name, side) = match self.traffic {
            Traffic::Ingress => ("ingress", "from"),
            Traffic::Egress => ("egress", "to"),
        };
        let mut spec = format!("endpointSelector: {{{subject}}}, ");
        if let Some(default_deny) = self.default_deny {
            spec += &format!("enableDefaultDeny: {{{name}: {default_deny}}}, ");
        }
        for (rules, suffix) in [(&self.allow, ""), (&self.deny, "Deny")] {
            let Some(rules) = rules else { continue };
            let rules: Vec<_> = rules.iter().map(|rule| format!("{{{}}}", rule.write(side))).collect();
            spec += &format!("{name}{suffix}: [{}], ", rules.join(", "));
        }
        format!("{{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {{name: p{n}}}, spec: {{{spec}}}}}")
    }
}

impl Rule {
    fn write(&self, side: &str) -> String {
        let mut out = self.peers.write(side);
        if let Some(value) = self.requires {
            out += &format!("{side}Requires: [{{matchLabels: {{env: {value}}}}}], ");
        }
        let Some(ports) = &self.ports else { return out };
        let ports = ports.iter().map(|Ports { ranges, l7 }| {
            let ranges = ranges.iter().map(|(first, last)| match (first, last) {
                (0, _) => "{port: '0'}".to_owned(),
                (first, last) if first == last => format!("{{port: '{first}'}}"),
                (first, last) => format!("{{port: '{first}', endPort: {last}, protocol: TCP}}"),
            });
            let mut out = format!("ports: [{}]", ranges.collect::<Vec<_>>().join(", "));
            if let Some(items) = l7 {
                let items =
                    items.iter().map(|(command, prefix)| format!("{{command: '{command}', keyPrefix: '{prefix}'}}"));
                out += &format!(", rules: {{l7proto: kv, l7: [{}]}}", items.collect::<Vec<_>>().join(", "));
            }
            format!("{{{out}}}")
        });
        out + &format!("toPorts: [{}]", ports.collect::<Vec<_>>().join(", "))
    }

    /// Whether the rule speaks of this request; without a request, whether it does at L3 and L4 alone.
    fn matches(&self, port: u16, remote: &Identity, required: bool, request: (&str, &str)) -> bool {
        if matches!(self.peers, Peers::Absent) && self.requires.is_some() || !self.peers.admit(remote, required) {
            return false;
        }
        let Some(ports) = self.ports.as_ref().filter(|ports| !ports.is_empty()) else { return true };
        ports.iter().any(|Ports { ranges, l7 }| {
            let here = ranges.is_empty() || ranges.iter().any(|(first, last)| (*first..=*last).contains(&port));
            let fits = |(command, prefix): &(&str, &str)| {
                (command.is_empty() || *command == request.0) && request.1.starts_with(prefix)
            };
            here && l7.as_ref().is_none_or(|items| items.is_empty() || items.iter().any(fits))
        })
    }
}

fn evaluate(policies: &[Policy], ask: &Ask<'_>, app: &str, request: (&str, &str)) -> bool {
    let selecting: Vec<_> = policies.iter().filter(|policy| policy.selects(app, ask.traffic)).collect();
    let env = |value: &str| ask.remote.labels.iter().any(|label| label.key == "env" && label.value == value);
    // A requirement speaks of the policy's own namespace, as all selectors of peers do.
    let keeps = |rules: &[&Rule]| rules.iter().filter_map(|rule| rule.requires).all(env);
    let allow: Vec<_> = selecting.iter().flat_map(|policy| policy.allow.iter().flatten()).collect();
    let deny: Vec<_> = selecting.iter().flat_map(|policy| policy.deny.iter().flatten()).collect();
    let kept = keeps(&allow);
    if deny.iter().any(|rule| rule.matches(ask.port, &ask.remote, true, request)) {
        return false;
    }
    let default_allow = !selecting.is_empty() && selecting.iter().all(|policy| policy.default_deny == Some(false));
    default_allow || allow.iter().any(|rule| rule.matches(ask.port, &ask.remote, kept, request))
}

fn ports(l7: bool) -> impl Strategy<Value = Ports> {
    let range = prop_oneof![Just((0, u16::MAX)), Just((80, 80)), Just((81, 81)), Just((79, 80)), Just((80, 90))];
    let item =
        (prop_oneof![Just(""), Just("get"), Just("set")], prop_oneof![Just(""), Just("a"), Just("ab"), Just("b")]);
    let items = proptest::option::of(proptest::collection::vec(item, 0..3)).prop_map(move |items| items.filter(|_| l7));
    (proptest::collection::vec(range, 0..3), items).prop_map(|(ranges, l7)| Ports { ranges, l7 })
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
    ];
    let requires = proptest::option::weighted(0.1, prop_oneof![Just("p"), Just("q")]);
    let ports = proptest::option::weighted(0.8, proptest::collection::vec(ports(l7), 0..3));
    (peers, requires, ports).prop_map(move |(peers, requires, ports)| {
        // Deny rules have neither.
        Rule { peers, requires: requires.filter(|_| l7), ports }
    })
}

fn policy() -> impl Strategy<Value = Policy> {
    let subject = proptest::option::weighted(0.7, prop_oneof![Just("a"), Just("b")]);
    let traffic = prop_oneof![3 => Just(Traffic::Ingress), 1 => Just(Traffic::Egress)];
    let default_deny = proptest::option::weighted(0.2, any::<bool>());
    let allow = proptest::option::weighted(0.9, proptest::collection::vec(rule(true), 0..4));
    let deny = proptest::option::weighted(0.2, proptest::collection::vec(rule(false), 0..2));
    (subject, traffic, default_deny, allow, deny).prop_map(|(subject, traffic, default_deny, allow, deny)| Policy {
        subject,
        traffic,
        default_deny,
        allow: if deny.is_none() { Some(allow.unwrap_or_default()) } else { allow },
        deny,
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
        address("192.0.2.200"),
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
            assert_eq!(decision.outcome == Outcome::Allow, wanted, "{app} {:?} {} {:?} {request:?}: {decision:?}", ask.traffic, ask.port, ask.remote);
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
}
