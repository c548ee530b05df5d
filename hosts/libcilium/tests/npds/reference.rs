//! Any policy against the evaluator of Cilium's Envoy, ported from `cilium/network_policy.cc` function by function: lists of
//! rules that are merged, sorted and walked. Here nothing passes that is denied there. Where the two are meant to agree, they
//! do: `l7_deny_rules`, ports that nobody enforces and rules for one listener are where we deny more.

use portcullis_libcilium::npds::wire::port_network_policy_rule::{L7, Verdict};
use portcullis_libcilium::npds::wire::{PortNetworkPolicy, PortNetworkPolicyRule};
use portcullis_policy::Traffic;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::kv::{self, item, judge, plain};
use crate::{Node, ports, reason};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Word {
    None,
    Pass,
    Allow,
    Deny,
}

/// `PortNetworkPolicyRule`, and where it passes to once the list is in order.
#[derive(Clone, Debug)]
struct Rule {
    config: PortNetworkPolicyRule,
    pass_index: usize,
}

impl Rule {
    fn new(config: &PortNetworkPolicyRule) -> Self {
        Self { config: config.clone(), pass_index: 0 }
    }

    fn tier_last(&self) -> u32 {
        match self.config.verdict {
            Some(Verdict::PassPrecedence(below)) => below,
            _ => 0,
        }
    }

    fn verdict(&self) -> Word {
        match self.config.verdict {
            Some(Verdict::PassPrecedence(below)) if below != 0 => Word::Pass,
            Some(Verdict::Deny(true)) => Word::Deny,
            _ => Word::Allow,
        }
    }

    /// `getVerdict` with metadata.
    fn says(&self, peer: u32, key: &str) -> Word {
        let peers = &self.config.remote_policies;
        if !peers.is_empty() && !peers.contains(&peer) {
            return Word::None;
        }
        let verdict = self.verdict();
        let (Word::Allow, Some(L7::L7Rules(rules)), false) =
            (verdict, &self.config.l7, self.config.l7_proto.is_empty())
        else {
            return verdict;
        };
        let matches = |rule: &portcullis_libcilium::npds::wire::L7NetworkPolicyRule| {
            rule.rule.values().all(|prefix| key.starts_with(prefix.as_str()))
        };
        if rules.l7_deny_rules.iter().any(matches) {
            return Word::Deny;
        }
        if rules.l7_allow_rules.is_empty() || rules.l7_allow_rules.iter().any(matches) {
            return Word::Allow;
        }
        Word::None
    }
}

/// The rules of a port as the constructor of `PortNetworkPolicy` merges them; nothing where no entry speaks of it.
fn rules_of(entries: &[PortNetworkPolicy], port: u32) -> Option<Vec<Rule>> {
    let mut merged: Option<Vec<Rule>> = None;
    let mut add = |more: &[PortNetworkPolicyRule], front: bool| {
        let initialized = merged.is_some();
        let rules = merged.get_or_insert_default();
        if initialized && more.is_empty() != rules.is_empty() {
            let everything = Rule::new(&PortNetworkPolicyRule::default());
            if front { rules.insert(0, everything) } else { rules.push(everything) }
        }
        for rule in more {
            if front { rules.insert(0, Rule::new(rule)) } else { rules.push(Rule::new(rule)) }
        }
    };
    for entry in entries.iter().filter(|entry| entry.protocol == 0 && entry.port != 0) {
        let end = entry.end_port.max(entry.port);
        if entry.port <= port && port <= end {
            add(&entry.rules, entry.port == end);
        }
    }
    for entry in entries.iter().filter(|entry| entry.protocol == 0 && entry.port == 0) {
        add(&entry.rules, false);
    }
    merged
}

/// What becomes of a request; nothing where that side refuses the policy.
fn evaluate(entries: &[PortNetworkPolicy], port: u32, peer: u32, key: &str) -> Option<bool> {
    let Some(mut rules) = rules_of(entries, port) else { return Some(false) };
    // `sort`
    rules.sort_by_key(|rule| std::cmp::Reverse((rule.config.precedence, rule.verdict())));
    // `prepareRuntimePasses`
    let mut pass_precedence = 0;
    for at in 0..rules.len() {
        let (tier_last, precedence) = (rules[at].tier_last(), rules[at].config.precedence);
        if tier_last > precedence {
            return None;
        }
        if tier_last == 0 {
            continue;
        }
        if pass_precedence != 0 && precedence < pass_precedence {
            pass_precedence = 0;
        }
        if pass_precedence != 0 && tier_last != pass_precedence {
            return None;
        }
        pass_precedence = tier_last;
        let skipped = rules[at + 1..].iter().take_while(|rule| rule.config.precedence >= pass_precedence).count();
        rules[at].pass_index = at + 1 + skipped;
    }
    // `hasOnlyPassRules`
    if !rules.is_empty() && rules.iter().all(|rule| rule.pass_index != 0) {
        return Some(false);
    }
    // `forEachRule`, which stops at the first that allows or denies.
    if rules.is_empty() {
        return Some(true);
    }
    let mut at = 0;
    while let Some(rule) = rules.get(at) {
        match rule.says(peer, key) {
            Word::Deny => return Some(false),
            Word::Allow => return Some(true),
            Word::Pass => at = rule.pass_index,
            Word::None => at += 1,
        }
    }
    Some(false)
}

/// Where we mean to be stricter.
fn is_stricter(entries: &[PortNetworkPolicy]) -> bool {
    entries.iter().flat_map(|entry| &entry.rules).any(|rule| {
        let denies_items = matches!(&rule.l7, Some(L7::L7Rules(rules)) if !rules.l7_deny_rules.is_empty());
        let ours = matches!(rule.l7_proto.as_str(), "" | "kv");
        let enforced = matches!((&rule.l7, rule.l7_proto.as_str()), (None, _) | (Some(L7::L7Rules(_)), "kv"));
        let nowhere = matches!(rule.verdict, Some(Verdict::PassPrecedence(0)));
        denies_items || !ours || !enforced || rule.proxy_id != 0 || nowhere
    })
}

const KEYS: [&str; 4] = ["a", "ab", "b", "c"];

fn any_rule() -> impl Strategy<Value = PortNetworkPolicyRule> {
    let prefixes = || proptest::sample::subsequence(vec!["", "a", "ab", "b"], 0..=2);
    let denied = prop_oneof![4 => Just(Vec::new()), 1 => prefixes()];
    let items = |prefixes: Vec<&str>| prefixes.into_iter().map(|prefix| item("prefix", prefix)).collect::<Vec<_>>();
    let l7 = prop_oneof![
        4 => Just(plain(&[])),
        8 => (prefixes(), denied).prop_map(move |(allow, deny)| judge("kv", items(allow), items(deny))),
        1 => (prefixes(), prefixes()).prop_map(move |(allow, deny)| judge("unknown", items(allow), items(deny))),
    ];
    let l7 = prop_oneof![
        30 => l7,
        1 => Just(PortNetworkPolicyRule { l7: Some(L7::HttpRules(vec![])), ..plain(&[]) }),
        1 => Just(PortNetworkPolicyRule { l7: Some(L7::KafkaRules(vec![])), ..plain(&[]) }),
    ];
    let verdict = prop_oneof![
        8 => Just(None),
        3 => Just(Some(Verdict::Deny(true))),
        3 => Just(Some(Verdict::PassPrecedence(3))),
        1 => (0_u32..6).prop_map(|below| Some(Verdict::PassPrecedence(below))),
    ];
    let peers = proptest::collection::vec(0_u32..4, 0..3);
    (l7, verdict, peers, 0_u32..6, 0_u8..20).prop_map(|(rule, verdict, remote_policies, precedence, own)| {
        PortNetworkPolicyRule { precedence, verdict, remote_policies, proxy_id: u32::from(own == 0), ..rule }
    })
}

fn any_entry() -> impl Strategy<Value = PortNetworkPolicy> {
    let ports = prop_oneof![
        1 => Just((0, 0)),
        4 => (1_u32..5).prop_map(|port| (port, 0)),
        2 => (1_u32..5, 1_u32..3).prop_map(|(port, more)| (port, port + more)),
    ];
    (ports, proptest::collection::vec(any_rule(), 0..4), 0_i32..10).prop_map(|((port, end_port), rules, protocol)| {
        PortNetworkPolicy { port, end_port, rules, protocol: i32::from(protocol == 0) }
    })
}

#[test]
fn nothing_passes_that_is_denied_there() {
    let (node, agent, _) = Node::with_agent();
    let store = node.store("10.0.0.1");
    let mut runner = TestRunner::new(ProptestConfig::with_cases(3000));
    let (mut compared, mut equal) = (0_u32, 0_u32);
    let any = proptest::collection::vec(any_entry(), 0..4);
    let check = std::cell::RefCell::new(|entries: Vec<PortNetworkPolicy>| {
        let answer = agent.respond(ports("1", entries.clone()));
        if !reason(&answer).is_empty() {
            prop_assert!(!reason(&answer).contains("panic"), "{}", reason(&answer));
            return Ok(());
        }
        let stricter = is_stricter(&entries);
        for port in 1..6_u16 {
            for peer in 0..4 {
                for key in KEYS {
                    let here = kv::allows(&store, Traffic::Ingress, port, peer, key);
                    let Some(there) = evaluate(&entries, port.into(), peer, key) else { continue };
                    prop_assert!(there || !here, "allowed here only: port {port} peer {peer} key {key}");
                    compared += 1;
                    if !stricter {
                        prop_assert_eq!(here, there, "port {} peer {} key {}", port, peer, key);
                        equal += 1;
                    }
                }
            }
        }
        Ok(())
    });
    runner.run(&any, |entries| (check.borrow_mut())(entries)).unwrap_or_else(|error| panic!("{error}"));
    assert!(compared > 50_000 && equal > 20_000, "compared {compared}, {equal} of them for equality");
    assert_eq!(node.npds.status().panics, 0);
}
