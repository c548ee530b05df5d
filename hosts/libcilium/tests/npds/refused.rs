//! What is refused, and what only closes its port.

use std::collections::BTreeMap;

use portcullis_libcilium::npds::wire::port_network_policy_rule::L7;
use portcullis_libcilium::npds::wire::{L7NetworkPolicyRule, NetworkPolicy, PortNetworkPolicy, PortNetworkPolicyRule};
use portcullis_libcilium::testing::response;

use crate::kv::{deny, endpoint, item, judge, kv, pass, plain, port};
use crate::{Node, ports, reason};

fn range(first: u32, last: u32) -> PortNetworkPolicy {
    PortNetworkPolicy { end_port: last, ..port(first, vec![]) }
}

fn of_protocol(protocol: i32, entry: PortNetworkPolicy) -> PortNetworkPolicy {
    PortNetworkPolicy { protocol, ..entry }
}

fn named(name: &str, rule: PortNetworkPolicyRule) -> PortNetworkPolicyRule {
    PortNetworkPolicyRule { name: name.to_owned(), ..rule }
}

fn at(precedence: u32, rule: PortNetworkPolicyRule) -> PortNetworkPolicyRule {
    PortNetworkPolicyRule { precedence, ..rule }
}

#[test]
fn malformed_ports_and_rules_are_refused_by_name() {
    let (node, agent, _) = Node::with_agent();
    agent.respond(ports("1", vec![port(80, vec![])]));
    let cases = [
        (vec![port(65536, vec![])], "ingress.65536: `port` 65536 is above 65535"),
        (vec![range(80, 65536)], "ingress.80-65536: `end_port` 65536 is above 65535"),
        (vec![range(80, 79)], "ingress.80-79: `end_port` is below `port`"),
        (vec![range(0, 79)], "ingress.0-79: a range may not begin with port 0"),
        (vec![of_protocol(2, port(80, vec![]))], "ingress.80: protocol 2 is neither TCP nor UDP"),
        (vec![of_protocol(-1, port(80, vec![]))], "ingress.80: protocol -1 is neither"),
        (vec![of_protocol(1, port(65536, vec![]))], "ingress.65536: `port` 65536 is above"),
        (vec![port(80, vec![]), port(80, vec![])], "ingress.80: there is another entry for this port"),
        (vec![port(0, vec![]), port(0, vec![])], "ingress.*: there is another entry for this port"),
        (vec![port(80, vec![]), range(80, 80)], "ingress.80-80: there is another entry for this port"),
        (
            vec![port(80, vec![kv(&[], &[]), judge("kv2", [], [])])],
            "ingress.80.rules[1]: `l7_proto` is `kv2`, and a rule before it says `kv`",
        ),
        (vec![port(80, vec![judge("kv", [item("nope", "")], [])])], "rules[0].l7_allow_rules[0]: unknown key `nope`"),
        (vec![port(80, vec![judge("kv", [], [item("nope", "")])])], "rules[0].l7_deny_rules[0]: unknown key `nope`"),
        (
            vec![port(80, vec![plain(&[]), named("front\nend", judge("kv", [item("nope", "")], []))])],
            "ingress.80.rules[1](front\\nend).l7_allow_rules[0]: unknown key",
        ),
        (vec![port(80, vec![pass(1, 2)])], "ingress.80.rules[0]: passes to precedence 2, which is above its own, 1"),
        (vec![port(80, vec![pass(9, 5), pass(6, 4)])], "ingress.80.rules[1]: passes to precedence 4"),
    ];
    let count = cases.len() as u64;
    for (entries, expected) in cases {
        let answer = agent.respond(ports("2", entries));
        let expected =
            if expected.starts_with("rules") { format!("ingress.80.{expected}") } else { expected.to_owned() };
        let expected = format!("invalid policy on {}: endpoint 42 (10.0.0.1): {expected}", node.path.display());
        assert!(reason(&answer).contains(&expected), "{}\n{expected}", reason(&answer));
        assert_eq!(answer.version_info, "1");
    }
    assert_eq!(node.npds.status().refused, count);
    assert!(node.allows("10.0.0.1", 80, "a"));
}

#[test]
fn malformed_addresses_are_refused() {
    let (_node, agent, _) = Node::with_agent();
    for (addresses, expected) in [
        (&[][..], "endpoint 7 (): `endpoint_ips` is empty"),
        (&["a", "b", "c"], "endpoint 7 (a, b): `endpoint_ips` has 3 addresses"),
        (&[""], "endpoint 7 (): `endpoint_ips` has an empty address"),
        (&["a", ""], "endpoint 7 (a, ): `endpoint_ips` has an empty address"),
    ] {
        let endpoint_ips = addresses.iter().map(|address| (*address).to_owned()).collect();
        let policy = NetworkPolicy { endpoint_ips, endpoint_id: 7, ..NetworkPolicy::default() };
        let answer = agent.respond(response("1", &[policy]));
        assert!(reason(&answer).contains(expected), "{}", reason(&answer));
    }
}

#[test]
fn an_egress_port_is_named_as_such() {
    let (_node, agent, _) = Node::with_agent();
    let policy = NetworkPolicy { egress_per_port_policies: vec![port(70000, vec![])], ..endpoint("10.0.0.1", vec![]) };
    assert!(reason(&agent.respond(response("1", &[policy]))).contains("(10.0.0.1): egress.70000: "));
}

fn with(l7_proto: &str, l7: Option<L7>) -> PortNetworkPolicyRule {
    PortNetworkPolicyRule { l7_proto: l7_proto.to_owned(), l7, ..plain(&[]) }
}

fn metadata() -> L7NetworkPolicyRule {
    L7NetworkPolicyRule { rule: BTreeMap::new(), metadata_rule: vec![vec![]], ..L7NetworkPolicyRule::default() }
}

/// What closes a port, and whether that is because nobody can enforce it.
fn closing() -> Vec<(&'static str, PortNetworkPolicyRule, bool)> {
    let of = |rule: PortNetworkPolicyRule| rule.l7;
    vec![
        ("an unknown parser", with("nope", None), true),
        ("an unknown parser with rules", judge("nope", [item("prefix", "a")], []), true),
        ("a parser in capitals", judge("KV", [item("prefix", "a")], []), true),
        ("kafka", with("", Some(L7::KafkaRules(vec![]))), true),
        ("kafka by name", with("kafka", Some(L7::KafkaRules(vec![10, 2, 8, 1]))), true),
        ("kafka rules for our parser", with("kv", Some(L7::KafkaRules(vec![]))), true),
        ("http rules for our parser", with("kv", Some(L7::HttpRules(vec![]))), true),
        ("rules without a parser", with("", of(kv(&["a"], &[]))), true),
        ("metadata for our parser", judge("kv", [metadata()], []), true),
        ("metadata that denies", judge("kv", [item("prefix", "a")], [metadata()]), true),
        ("http", with("", Some(L7::HttpRules(vec![]))), false),
        ("a filter of Envoy's", judge("envoy.filters.network.mongo_proxy", [metadata()], []), false),
    ]
}

#[test]
fn what_nobody_here_enforces_closes_its_port_and_only_that() {
    let (node, agent, _) = Node::with_agent();
    for (name, rule, counted) in closing() {
        let every = port(0, vec![plain(&[])]);
        let bad = port(9092, vec![at(9, plain(&[])), rule.clone()]);
        let answer = agent.respond(ports("1", vec![port(80, vec![kv(&["a"], &[])]), bad, every]));
        assert_eq!(reason(&answer), "", "{name}");
        assert!(!node.allows("10.0.0.1", 9092, "a"), "{name}");
        assert!(node.allows("10.0.0.1", 80, "a") && node.allows("10.0.0.1", 9093, "a"), "{name}");
        assert_eq!(node.npds.status().unenforceable_ports, u64::from(counted), "{name}");
        // Beside our own rules it closes the port as well, whatever its peers and its place.
        let beside = PortNetworkPolicyRule { remote_policies: vec![1], ..rule.clone() };
        for rules in [vec![beside.clone(), kv(&[], &[])], vec![kv(&[], &[]), beside]] {
            assert_eq!(reason(&agent.respond(ports("2", vec![port(80, rules)]))), "", "{name}");
            assert!(!node.allows("10.0.0.1", 80, "a"), "{name}");
            assert_eq!(node.npds.status().unenforceable_ports, 1, "{name}");
        }
        // For every port, it closes those that nobody else speaks of.
        let entries =
            vec![port(0, vec![rule, deny(&[7])]), port(80, vec![kv(&[], &[])]), port(81, vec![at(1, plain(&[]))])];
        assert_eq!(reason(&agent.respond(ports("3", entries))), "", "{name}");
        assert!(!node.allows("10.0.0.1", 9092, "a"), "{name}");
        assert!(!node.allows("10.0.0.1", 80, "a"), "{name}: what it denies is denied");
        assert!(node.allows("10.0.0.1", 81, "a"), "{name}");
    }
}

#[test]
fn rules_that_deny_or_pass_have_no_use_for_a_parser() {
    let (node, agent, _) = Node::with_agent();
    let denies =
        PortNetworkPolicyRule { verdict: deny(&[]).verdict, remote_policies: vec![8], ..judge("nope", [], []) };
    let passes =
        PortNetworkPolicyRule { verdict: pass(5, 5).verdict, precedence: 5, ..with("", Some(L7::KafkaRules(vec![]))) };
    agent.respond(ports("1", vec![port(80, vec![denies, passes, kv(&["a"], &[])])]));
    assert!(node.allows("10.0.0.1", 80, "a"));
    assert_eq!(node.npds.status().unenforceable_ports, 0);
}

#[test]
fn what_others_enforce_is_no_ground_for_a_refusal() {
    let (node, agent, _) = Node::with_agent();
    // TLS contexts, server_names with a pattern that nobody knows, and a field of times to come.
    let raw: &[(u32, &[u8])] = &[(3, b"\x0a\x02ca"), (4, b""), (6, b"..*bad*.."), (77, b"new")];
    let mut bytes = prost::Message::encode_to_vec(&kv(&["a"], &[]));
    for (tag, value) in raw {
        prost::encoding::encode_key(*tag, prost::encoding::WireType::LengthDelimited, &mut bytes);
        prost::encoding::encode_varint(value.len() as u64, &mut bytes);
        bytes.extend_from_slice(value);
    }
    let mut entry = vec![8, 80];
    prost::encoding::encode_key(3, prost::encoding::WireType::LengthDelimited, &mut entry);
    prost::encoding::encode_varint(bytes.len() as u64, &mut entry);
    entry.extend(bytes);
    let mut policy = prost::Message::encode_to_vec(&endpoint("10.0.0.1", vec![]));
    prost::encoding::encode_key(3, prost::encoding::WireType::LengthDelimited, &mut policy);
    prost::encoding::encode_varint(entry.len() as u64, &mut policy);
    policy.extend(entry);
    let mut update = response("1", &[]);
    update.resources.push(portcullis_libcilium::testing::resource(policy));
    assert_eq!(reason(&agent.respond(update)), "");
    assert!(node.allows("10.0.0.1", 80, "a") && !node.allows("10.0.0.1", 80, "b"));
}
