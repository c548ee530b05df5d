//! What the fields mean. How rules with precedence decide is tested with the engine; here, that they get there.

use portcullis_libcilium::npds::wire::port_network_policy_rule::Verdict;
use portcullis_libcilium::npds::wire::{NetworkPolicy, PortNetworkPolicy, PortNetworkPolicyRule};
use portcullis_libcilium::testing::response;
use portcullis_policy::Traffic;

use crate::kv::{self, deny, endpoint, judge, kv, pass, plain, port};
use crate::{Node, ports, reason};

fn at(precedence: u32, rule: PortNetworkPolicyRule) -> PortNetworkPolicyRule {
    PortNetworkPolicyRule { precedence, ..rule }
}

fn to(peers: &[u32], rule: PortNetworkPolicyRule) -> PortNetworkPolicyRule {
    PortNetworkPolicyRule { remote_policies: peers.to_vec(), ..rule }
}

fn for_listener(rule: PortNetworkPolicyRule) -> PortNetworkPolicyRule {
    PortNetworkPolicyRule { proxy_id: 12345, ..rule }
}

fn range(first: u32, last: u32, rules: Vec<PortNetworkPolicyRule>) -> PortNetworkPolicy {
    PortNetworkPolicy { end_port: last, ..port(first, rules) }
}

fn udp(entry: PortNetworkPolicy) -> PortNetworkPolicy {
    PortNetworkPolicy { protocol: 1, ..entry }
}

/// Entries, and whether the peer 7 may ask for `a` at port 80.
type Case = (&'static str, Vec<PortNetworkPolicy>, bool);

fn cases() -> Vec<Case> {
    let one = |rule| vec![port(80, vec![rule])];
    vec![
        ("no entry", vec![], false),
        ("an entry without rules", vec![port(80, vec![])], true),
        ("every port", vec![port(0, vec![])], true),
        ("another port", vec![port(8080, vec![])], false),
        ("a range", vec![range(79, 81, vec![])], true),
        ("a range beside it", vec![range(81, 90, vec![])], false),
        ("the end of a range", vec![range(1, 80, vec![])], true),
        ("a range of all ports", vec![range(1, 65535, vec![])], true),
        ("UDP alone", vec![udp(port(80, vec![]))], false),
        ("UDP does not close TCP", vec![udp(port(80, vec![deny(&[])])), port(80, vec![])], true),
        (
            "rules of UDP are not read",
            vec![udp(port(80, vec![judge("kv", [kv::item("x", "")], [])])), port(80, vec![])],
            true,
        ),
        ("the peer", one(plain(&[1, 7])), true),
        ("other peers", one(plain(&[1, 8])), false),
        ("our parser without rules", one(PortNetworkPolicyRule { l7_proto: "kv".to_owned(), ..plain(&[]) }), true),
        ("an empty list of rules", one(kv(&[], &[])), true),
        ("an empty rule", one(kv(&[""], &[])), true),
        ("a rule that matches", one(kv(&["x", "a"], &[])), true),
        ("rules that do not", one(kv(&["x", "y"], &[])), false),
        ("l7_deny_rules", one(kv(&[], &["a"])), false),
        ("l7_deny_rules that do not match", one(kv(&[], &["b"])), true),
        ("l7_deny_rules beat l7_allow_rules", one(kv(&["a"], &["a"])), false),
        ("l7_deny_rules beat a rule without L7", vec![port(80, vec![plain(&[]), kv(&["x"], &["a"])])], false),
        (
            "l7_deny_rules of a lower precedence do not",
            vec![port(80, vec![at(1, plain(&[])), kv(&["x"], &["a"])])],
            true,
        ),
        ("deny", one(deny(&[])), false),
        ("deny: false", one(PortNetworkPolicyRule { verdict: Some(Verdict::Deny(false)), ..plain(&[]) }), true),
        ("deny for others", vec![port(80, vec![plain(&[]), deny(&[8])])], true),
        ("deny beats allow", vec![port(80, vec![plain(&[]), deny(&[7])])], false),
        ("but not of higher precedence", vec![port(80, vec![at(1, plain(&[])), deny(&[7])])], true),
        ("deny at the port, allow at every port", vec![port(80, vec![deny(&[7])]), port(0, vec![plain(&[])])], false),
        ("allow at the port, deny at every port", vec![port(80, vec![plain(&[])]), port(0, vec![deny(&[7])])], false),
        ("the same with precedence", vec![port(80, vec![at(1, plain(&[]))]), port(0, vec![deny(&[7])])], true),
        (
            "the same with precedence at every port",
            vec![port(80, vec![deny(&[7])]), port(0, vec![at(1, plain(&[]))])],
            true,
        ),
        ("deny in a range, allow at the port", vec![range(79, 81, vec![deny(&[7])]), port(80, vec![])], false),
        (
            "rules at the port and at every port add up",
            vec![port(80, vec![kv(&["x"], &[])]), port(0, vec![kv(&["a"], &[])])],
            true,
        ),
        ("pass", vec![port(80, vec![pass(9, 5), at(5, deny(&[])), at(4, kv(&["a"], &[]))])], true),
        ("pass for others", vec![port(80, vec![to(&[8], pass(9, 5)), at(5, deny(&[])), at(4, plain(&[]))])], false),
        ("pass over an allow", vec![port(80, vec![pass(9, 5), at(7, plain(&[])), at(4, kv(&["x"], &[]))])], false),
        ("pass over everything", vec![port(80, vec![pass(9, 0), plain(&[])])], false),
        ("pass at every port", vec![port(80, vec![at(7, deny(&[])), plain(&[])]), port(0, vec![pass(9, 5)])], true),
        ("pass alone", vec![port(80, vec![pass(9, 5)])], false),
        ("a listener of its own without L7", one(for_listener(plain(&[]))), false),
        ("a listener of its own with what matches", one(for_listener(kv(&["a"], &[]))), true),
        ("a listener of its own with a parser only", one(for_listener(kv(&[], &[]))), false),
        ("a listener of its own that denies items", one(for_listener(kv(&[], &["b"]))), false),
        ("a listener of its own that denies", vec![port(80, vec![plain(&[]), for_listener(deny(&[]))])], false),
        ("a listener of its own that passes", vec![port(80, vec![for_listener(pass(9, 5)), plain(&[])])], false),
    ]
}

#[test]
fn fields_mean_what_the_table_says() {
    let (node, agent, _) = Node::with_agent();
    for (name, entries, expected) in cases() {
        let policy = NetworkPolicy { egress_per_port_policies: entries.clone(), ..endpoint("10.0.0.1", entries) };
        let answer = agent.respond(response("1", &[policy]));
        assert_eq!(reason(&answer), "", "{name}");
        for traffic in [Traffic::Ingress, Traffic::Egress] {
            assert_eq!(kv::allows(&node.store("10.0.0.1"), traffic, 80, 7, "a"), expected, "{name}, {traffic:?}");
        }
        assert_eq!(node.npds.status().unenforceable_ports, 0, "{name}");
    }
}

#[test]
fn directions_are_apart() {
    let (node, agent, _) = Node::with_agent();
    agent.respond(ports("1", vec![port(80, vec![])]));
    assert!(kv::allows(&node.store("10.0.0.1"), Traffic::Ingress, 80, 7, "a"));
    assert!(!kv::allows(&node.store("10.0.0.1"), Traffic::Egress, 80, 7, "a"));
}
