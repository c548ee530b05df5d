//! The rules of this project's own parsers, as maps of texts.

use std::sync::Arc;

use portcullis_libcilium::npds::Npds;
use portcullis_libcilium::npds::wire::{L7NetworkPolicyRule, PortNetworkPolicyRule};
use portcullis_libcilium::policies::Policies;
use portcullis_libcilium::testing::Agent;

use crate::kv::{judge, port};
use crate::{ports, reason};

fn item(pairs: &[(&str, &str)]) -> L7NetworkPolicyRule {
    let rule = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    L7NetworkPolicyRule { rule, ..L7NetworkPolicyRule::default() }
}

/// A protocol, a rule for it, and what is wrong with it.
type Case = (&'static str, &'static [(&'static str, &'static str)], Option<&'static str>);

#[test]
fn what_a_parser_can_enforce_is_accepted_and_the_rest_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("xds.sock");
    let agent = Agent::start(&path);
    let policies = Arc::new(Policies::new());
    let npds = Npds::start(path.to_str().unwrap(), "node", policies, &portcullis_parsers::REGISTRY).unwrap();
    agent.next_request();
    let cases: &[Case] = &[
        ("r2d2", &[], None),
        ("r2d2", &[("cmd", "READ"), ("file", "s.*")], None),
        ("r2d2", &[("cmd", "")], None),
        ("r2d2", &[("cmd", "HALT")], None),
        ("r2d2", &[("cmd", "HALT"), ("file", "x")], Some("file")),
        ("r2d2", &[("cmd", "JUMP")], Some("JUMP")),
        ("r2d2", &[("file", "(")], Some("(")),
        ("r2d2", &[("fil", "x")], Some("fil")),
        ("memcache", &[], None),
        ("memcache", &[("command", "get"), ("keyPrefix", "a/")], None),
        ("memcache", &[("command", "get"), ("keyRegex", "[")], Some("[")),
        ("memcache", &[("command", "gte")], Some("gte")),
        ("memcache", &[("keyExact", "a")], Some("command")),
        ("memcache", &[("command", "get"), ("keyExact", "a"), ("keyPrefix", "b")], Some("keyPrefix")),
        ("cassandra", &[("query_action", "select"), ("query_table", "^system\\.")], None),
        ("cassandra", &[("query_action", "selct")], Some("selct")),
        ("cassandra", &[("query_action", "create-role"), ("query_table", "x")], Some("query_table")),
        ("cassandra", &[("query_table", "(")], Some("(")),
    ];
    for (n, (l7_proto, pairs, refused)) in cases.iter().enumerate() {
        let version = n.to_string();
        let rule: PortNetworkPolicyRule = judge(l7_proto, [item(pairs)], []);
        let answer = agent.respond(ports(&version, vec![port(80, vec![rule])]));
        let reason = reason(&answer);
        match refused {
            None => assert_eq!(reason, "", "{l7_proto} {pairs:?}"),
            Some(word) => {
                assert!(reason.contains("endpoint 42 (10.0.0.1): ingress.80.rules[0].l7_allow_rules[0]"), "{reason}");
                assert!(reason.contains(word), "{l7_proto} {pairs:?}: {reason}");
            }
        }
    }
    assert_eq!(npds.status().unenforceable_ports, 0);
}
