//! Any policy by numbers against the evaluator of Cilium's Envoy, written down rule by rule: one sorted list for each port,
//! walked for each request. It knows nothing of entries, indexes, blocks and tiers.

use proptest::prelude::*;

use super::*;
use crate::list::RuleList;
use crate::testing::{Kv, KvRequest, TestProtocols};
use crate::{Flow, Identity, Labels, Outcome, Traffic};

#[derive(Clone, Debug)]
struct Entry {
    ports: Option<(u16, u16)>,
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    precedence: u32,
    peers: Vec<u32>,
    verdict: Verdict,
}

#[derive(Clone, Debug)]
enum Verdict {
    Deny,
    Pass(u32),
    /// Prefixes of keys that pass, and that do not.
    Allow(Vec<&'static str>, Vec<&'static str>),
}

/// What one rule says, in the order in which the rules of one precedence are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Said {
    Nothing,
    Pass(u32),
    Allow,
    Deny,
}

impl Rule {
    fn says(&self, peer: u32, key: &str) -> Said {
        if !self.peers.is_empty() && !self.peers.contains(&peer) {
            return Said::Nothing;
        }
        match &self.verdict {
            Verdict::Deny => Said::Deny,
            Verdict::Pass(below) => Said::Pass(*below),
            Verdict::Allow(_, deny) if deny.iter().any(|prefix| key.starts_with(prefix)) => Said::Deny,
            Verdict::Allow(allow, _) if allow.is_empty() || allow.iter().any(|prefix| key.starts_with(prefix)) => {
                Said::Allow
            }
            Verdict::Allow(..) => Said::Nothing,
        }
    }
}

/// The rules of the port, then those of every port; `None` where nothing is said of it.
fn rules_of(entries: &[Entry], port: u16) -> Option<Vec<Rule>> {
    let covering = entries.iter().filter(|entry| entry.ports.is_none_or(|(first, last)| first <= port && port <= last));
    let covering: Vec<_> = covering.collect();
    let everything = Rule { precedence: 0, peers: Vec::new(), verdict: Verdict::Allow(Vec::new(), Vec::new()) };
    let lists = covering.iter().map(|entry| match entry.rules.as_slice() {
        [] => vec![everything.clone()],
        rules => rules.to_vec(),
    });
    let rules: Vec<_> = lists.flatten().collect();
    (!covering.is_empty()).then_some(rules)
}

/// Walks the rules from the highest precedence down; a rule that passes jumps. On one precedence deny comes before allow
/// and allow before pass, also where a rule's items deny: that is where this project is stricter than the order of a list.
fn evaluate(entries: &[Entry], port: u16, peer: u32, key: &str) -> bool {
    let Some(mut rules) = rules_of(entries, port) else { return false };
    rules.sort_by_key(|rule| std::cmp::Reverse((rule.precedence, rule.says(peer, key))));
    let mut at = 0;
    while let Some(rule) = rules.get(at) {
        at += 1;
        match rule.says(peer, key) {
            Said::Deny => return false,
            Said::Allow => return true,
            Said::Nothing => {}
            Said::Pass(below) => {
                let unlike = |other: &Rule| match other.says(peer, key) {
                    Said::Pass(to) => other.precedence == rule.precedence && to != below,
                    _ => false,
                };
                if rules.iter().any(unlike) {
                    return false;
                }
                while rules.get(at).is_some_and(|rule| rule.precedence >= below) {
                    at += 1;
                }
            }
        }
    }
    false
}

fn compile(entries: &[Entry]) -> Option<Snapshot> {
    let place = Place::whole("test");
    let node = |prefix: &&str| ((*prefix).to_owned(), Node::from_pairs(&place, [("keyPrefix", *prefix)]));
    let ingress = entries.iter().map(|entry| {
        let rules = entry.rules.iter().map(|rule| {
            let verdict = match &rule.verdict {
                Verdict::Deny => PortVerdict::Deny,
                Verdict::Pass(below) => PortVerdict::Pass(*below),
                Verdict::Allow(allow, deny) => PortVerdict::Judge(NumberedItems {
                    l7proto: "kv".to_owned(),
                    allow: allow.iter().map(node).collect(),
                    deny: deny.iter().map(node).collect(),
                }),
            };
            NumberedRule { name: "rule".to_owned(), precedence: rule.precedence, peers: rule.peers.clone(), verdict }
        });
        PortEntry { name: "port".to_owned(), ports: entry.ports, closed: false, rules: rules.collect() }
    });
    let policy = NumberedPolicy { name: "test".to_owned(), ingress: ingress.collect(), egress: Vec::new() };
    Snapshot::compile_ports(policy, &TestProtocols).ok()
}

const KEYS: [&str; 4] = ["a", "ab", "b", "c"];

fn any_rule() -> impl Strategy<Value = Rule> {
    let prefixes = || proptest::sample::subsequence(vec!["a", "ab", "b"], 0..=2);
    let verdict = prop_oneof![
        2 => Just(Verdict::Deny),
        2 => (0_u32..5).prop_map(Verdict::Pass),
        5 => (prefixes(), prefixes()).prop_map(|(allow, deny)| Verdict::Allow(allow, deny)),
        2 => Just(Verdict::Allow(Vec::new(), Vec::new())),
    ];
    (0_u32..6, proptest::collection::vec(0_u32..4, 0..3), verdict).prop_map(|(precedence, peers, verdict)| {
        let verdict = match verdict {
            Verdict::Pass(below) => Verdict::Pass(below.min(precedence)),
            other => other,
        };
        Rule { precedence, peers, verdict }
    })
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let ports = prop_oneof![
        1 => Just(None),
        3 => (1_u16..5).prop_map(|port| Some((port, port))),
        2 => (1_u16..5, 0_u16..3).prop_map(|(first, more)| Some((first, first + more))),
    ];
    (ports, proptest::collection::vec(any_rule(), 0..5)).prop_map(|(ports, rules)| Entry { ports, rules })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn decides_as_a_walk_over_all_rules_does(entries in proptest::collection::vec(any_entry(), 0..5)) {
        let Some(snapshot) = compile(&entries) else { return Ok(()) };
        for port in 1..6 {
            for peer in 0..4 {
                let remote = Identity { id: peer, ..Identity::unknown(None) };
                let flow = Flow { traffic: Traffic::Ingress, endpoint: &Labels::default(), port, remote: &remote };
                let view = snapshot.view(&flow);
                for key in KEYS {
                    let decision = snapshot.judge::<RuleList<Kv>>(&view, &KvRequest { command: "get", key });
                    let expected = evaluate(&entries, port, peer, key);
                    prop_assert_eq!(decision.outcome == Outcome::Allow, expected, "port {} peer {} key {}", port, peer, key);
                }
            }
        }
    }
}
