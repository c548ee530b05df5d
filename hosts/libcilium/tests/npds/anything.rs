//! Whatever an agent sends, the client answers it and goes on.

use portcullis_libcilium::npds::wire::port_network_policy_rule::{L7, Verdict};
use portcullis_libcilium::npds::wire::{
    Any, DiscoveryResponse, L7NetworkPolicyRule, NetworkPolicy, PortNetworkPolicy, PortNetworkPolicyRule,
};
use portcullis_libcilium::testing::{resource, response};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use prost::Message;

use crate::kv::judge;
use crate::{Node, ports, reason};

fn any_item() -> impl Strategy<Value = L7NetworkPolicyRule> {
    let key = prop_oneof![Just("prefix".to_owned()), ".*"];
    (proptest::collection::btree_map(key, ".*", 0..3), ".*", any::<bool>()).prop_map(|(rule, name, metadata)| {
        L7NetworkPolicyRule { name, rule, metadata_rule: if metadata { vec![vec![1]] } else { vec![] } }
    })
}

fn any_rule() -> impl Strategy<Value = PortNetworkPolicyRule> {
    let items = || proptest::collection::vec(any_item(), 0..3);
    let l7_proto = prop_oneof![Just("kv".to_owned()), Just("kv2".to_owned()), Just(String::new()), ".*"];
    let l7 = (l7_proto, items(), items(), any::<[bool; 2]>()).prop_map(|(l7_proto, allow, deny, [some, kafka])| {
        let rule = judge(&l7_proto, allow, deny);
        let l7 = if kafka { Some(L7::KafkaRules(vec![])) } else { rule.l7.clone() };
        PortNetworkPolicyRule { l7: l7.filter(|_| some), ..rule }
    });
    let verdict = prop_oneof![
        Just(None),
        any::<bool>().prop_map(|deny| Some(Verdict::Deny(deny))),
        any::<u32>().prop_map(|below| Some(Verdict::PassPrecedence(below))),
    ];
    (l7, verdict, proptest::collection::vec(any::<u32>(), 0..4), any::<u32>(), any::<u32>(), ".*").prop_map(
        |(rule, verdict, remote_policies, precedence, proxy_id, name)| PortNetworkPolicyRule {
            verdict,
            remote_policies,
            precedence,
            proxy_id,
            name,
            ..rule
        },
    )
}

fn any_policy() -> impl Strategy<Value = NetworkPolicy> {
    let number = || prop_oneof![3 => 0..70_000_u32, 1 => any::<u32>(), 2 => Just(0)];
    let entry =
        (number(), number(), prop_oneof![3 => Just(0), 1 => any::<i32>()], proptest::collection::vec(any_rule(), 0..3))
            .prop_map(|(port, end_port, protocol, rules)| PortNetworkPolicy { port, end_port, protocol, rules });
    let entries = proptest::collection::vec(entry, 0..3);
    (proptest::collection::vec(".*", 0..4), any::<u64>(), entries).prop_map(|(endpoint_ips, endpoint_id, entries)| {
        NetworkPolicy { endpoint_ips, endpoint_id, ingress_per_port_policies: entries, ..NetworkPolicy::default() }
    })
}

fn any_resource() -> impl Strategy<Value = Any> {
    let mutilated =
        (any_policy(), any::<prop::sample::Index>(), any::<u8>(), any::<bool>()).prop_map(|(policy, at, byte, cut)| {
            let mut bytes = policy.encode_to_vec();
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                if cut { bytes.truncate(at) } else { bytes[at] = byte }
            }
            resource(bytes)
        });
    prop_oneof![
        1 => proptest::collection::vec(any::<u8>(), 0..200).prop_map(resource),
        2 => mutilated,
        2 => any_policy().prop_map(|policy| resource(policy.encode_to_vec())),
        1 => (".*", proptest::collection::vec(any::<u8>(), 0..20)).prop_map(|(type_url, value)| Any { type_url, value: value.into() }),
    ]
}

#[test]
fn each_response_is_answered() {
    let (node, agent, _) = Node::with_agent();
    let mut runner = TestRunner::new(ProptestConfig::with_cases(2000));
    let any = (proptest::collection::vec(any_resource(), 0..3), ".*", ".*");
    let checked = runner.run(&any, |(resources, version_info, nonce)| {
        let sent = DiscoveryResponse { resources, version_info, nonce: nonce.clone(), ..response("", &[]) };
        let answer = agent.respond(sent);
        prop_assert_eq!(&answer.response_nonce, &nonce);
        let reason = reason(&answer);
        prop_assert!(reason.len() < 20_000 && !reason.contains(['\n', '\0', '\r']), "{}", reason);
        Ok(())
    });
    checked.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(reason(&agent.respond(ports("last", vec![]))), "");
    let status = node.npds.status();
    assert_eq!((status.panics, status.lost), (0, 0));
    assert!(status.accepted > 10 && status.refused > 10, "{status:?}");
}
