//! What the rows of the module's table mean, case by case.

use super::*;
use crate::list::RuleList;
use crate::store::PolicyStore;
use crate::testing::{Kv, KvRequest, TestProtocols};
use crate::{Decision, Flow, Identity, Labels, Outcome, Reason, Traffic};

fn rule(precedence: u32, peers: &[u32], verdict: PortVerdict) -> NumberedRule {
    NumberedRule { name: "rule".to_owned(), precedence, peers: peers.to_vec(), verdict }
}

/// Items are keys' prefixes.
fn items(l7proto: &str, allow: &[&str], deny: &[&str]) -> PortVerdict {
    let place = Place::whole("test");
    let node = |prefix: &&str| ((*prefix).to_owned(), Node::from_pairs(&place, [("keyPrefix", *prefix)]));
    let (allow, deny) = (allow.iter().map(node).collect(), deny.iter().map(node).collect());
    PortVerdict::Judge(NumberedItems { l7proto: l7proto.to_owned(), allow, deny })
}

fn kv(allow: &[&str], deny: &[&str]) -> PortVerdict {
    items("kv", allow, deny)
}

fn entry(ports: Option<(u16, u16)>, rules: Vec<NumberedRule>) -> PortEntry {
    let name = ports.map_or("every".to_owned(), |(first, last)| format!("{first}-{last}"));
    PortEntry { name, ports, closed: false, rules }
}

fn port(number: u16, rules: Vec<NumberedRule>) -> PortEntry {
    entry(Some((number, number)), rules)
}

fn every(rules: Vec<NumberedRule>) -> PortEntry {
    entry(None, rules)
}

fn closed(ports: Option<(u16, u16)>, rules: Vec<NumberedRule>) -> PortEntry {
    PortEntry { closed: true, ..entry(ports, rules) }
}

fn compile(ingress: Vec<PortEntry>) -> Snapshot {
    let policy = NumberedPolicy { name: "test".to_owned(), ingress, egress: Vec::new() };
    Snapshot::compile_ports(policy, &TestProtocols).unwrap()
}

fn refusals(ingress: Vec<PortEntry>) -> String {
    let policy = NumberedPolicy { name: "test".to_owned(), ingress, egress: Vec::new() };
    Snapshot::compile_ports(policy, &TestProtocols).map(|_| ()).unwrap_err().to_string()
}

fn decide(snapshot: &Snapshot, traffic: Traffic, port: u16, peer: u32, key: &str) -> Decision {
    let remote = Identity { id: peer, ..Identity::unknown(None) };
    let flow = Flow { traffic, endpoint: &Labels::default(), port, remote: &remote };
    snapshot.judge::<RuleList<Kv>>(&snapshot.view(&flow), &KvRequest { command: "get", key })
}

fn allows(snapshot: &Snapshot, port: u16, peer: u32, key: &str) -> bool {
    decide(snapshot, Traffic::Ingress, port, peer, key).outcome == Outcome::Allow
}

#[test]
fn what_says_nothing_denies() {
    for snapshot in [Snapshot::default(), compile(Vec::new())] {
        assert!(!allows(&snapshot, 80, 7, "a"));
    }
    let snapshot = compile(vec![port(80, Vec::new())]);
    assert!(allows(&snapshot, 80, 7, "a"));
    assert!(!allows(&snapshot, 81, 7, "a"));
    assert_eq!(decide(&snapshot, Traffic::Egress, 80, 7, "a").reason, Reason::NoRule);
}

/// Rules, a peer, a key, and whether it passes at port 80.
type Case = (&'static str, Vec<PortEntry>, u32, &'static str, bool);

fn cases() -> Vec<Case> {
    use PortVerdict::{Allow, Deny, Pass};
    let one = |verdict| vec![port(80, vec![rule(0, &[7], verdict)])];
    vec![
        ("a rule names its peers", one(Allow), 7, "a", true),
        ("and no others", one(Allow), 8, "a", false),
        ("nobody has number 0 unless it is named", one(Allow), 0, "a", false),
        ("0 is a number like others", vec![port(80, vec![rule(0, &[0], Allow)])], 0, "a", true),
        ("no peers are all peers", vec![port(80, vec![rule(0, &[], Allow)])], 8, "a", true),
        ("an item that matches", one(kv(&["a"], &[])), 7, "ab", true),
        ("no item that matches", one(kv(&["a"], &[])), 7, "b", false),
        ("no items are all requests", one(kv(&[], &[])), 7, "b", true),
        ("an item that denies", one(kv(&[], &["b"])), 7, "b", false),
        ("what no item denies, where none allows", one(kv(&[], &["b"])), 7, "a", true),
        ("an item that denies and one that allows", one(kv(&["a"], &["ab"])), 7, "ab", false),
        ("neither", one(kv(&["a"], &["b"])), 7, "c", false),
        (
            "deny beats allow, whichever is first",
            vec![port(80, vec![rule(0, &[], Allow), rule(0, &[7], Deny)])],
            7,
            "a",
            false,
        ),
        ("and is for its peers only", vec![port(80, vec![rule(0, &[], Allow), rule(0, &[7], Deny)])], 8, "a", true),
        ("precedence beats deny", vec![port(80, vec![rule(0, &[], Deny), rule(1, &[7], Allow)])], 7, "a", true),
        ("precedence beats allow", vec![port(80, vec![rule(9, &[], Deny), rule(1, &[7], Allow)])], 7, "a", false),
        (
            "a higher rule without a match leaves it to the lower one",
            vec![port(80, vec![rule(2, &[], kv(&["a"], &[])), rule(1, &[], kv(&["b"], &[]))])],
            7,
            "b",
            true,
        ),
        ("even if that denies", vec![port(80, vec![rule(2, &[], kv(&["a"], &[])), rule(1, &[], Deny)])], 7, "b", false),
        (
            "a higher rule that matches decides",
            vec![port(80, vec![rule(2, &[], kv(&["a"], &[])), rule(1, &[], Deny)])],
            7,
            "a",
            true,
        ),
        (
            "a higher item that denies decides",
            vec![port(80, vec![rule(2, &[], kv(&["x"], &["a"])), rule(1, &[], Allow)])],
            7,
            "a",
            false,
        ),
        (
            "what is open above is not asked about below",
            vec![port(80, vec![rule(2, &[], Allow), rule(1, &[], kv(&["x"], &["a"]))])],
            7,
            "a",
            true,
        ),
        (
            "an item that denies beats a plain rule of its level",
            vec![port(80, vec![rule(2, &[], Allow), rule(2, &[], kv(&["x"], &["a"]))])],
            7,
            "a",
            false,
        ),
        (
            "deny for every port beats allow for the port",
            vec![port(80, vec![rule(0, &[], Allow)]), every(vec![rule(0, &[7], Deny)])],
            7,
            "a",
            false,
        ),
        (
            "allow for every port does not beat deny for the port",
            vec![port(80, vec![rule(0, &[7], Deny)]), every(vec![rule(0, &[], Allow)])],
            7,
            "a",
            false,
        ),
        (
            "unless it has precedence",
            vec![port(80, vec![rule(0, &[7], Deny)]), every(vec![rule(1, &[], Allow)])],
            7,
            "a",
            true,
        ),
        (
            "what is said of the port and of every port adds up",
            vec![port(80, vec![rule(0, &[], kv(&["a"], &[]))]), every(vec![rule(0, &[7], kv(&["b"], &[]))])],
            7,
            "b",
            true,
        ),
        (
            "an entry without rules counts at precedence 0",
            vec![port(80, vec![rule(1, &[], Deny)]), every(vec![])],
            7,
            "a",
            false,
        ),
        ("and adds to the others", vec![port(80, vec![rule(0, &[7], kv(&["x"], &[]))]), every(vec![])], 7, "a", true),
        ("a rule that does nothing", one(PortVerdict::Nothing), 7, "a", false),
        ("a range", vec![entry(Some((79, 80)), vec![rule(0, &[], Allow)])], 7, "a", true),
        ("a range that ends before", vec![entry(Some((1, 79)), vec![rule(0, &[], Allow)])], 7, "a", false),
        ("a range that begins after", vec![entry(Some((81, 65535)), vec![rule(0, &[], Allow)])], 7, "a", false),
        (
            "ranges that overlap add up",
            vec![entry(Some((1, 80)), vec![rule(0, &[], Allow)]), entry(Some((80, 90)), vec![rule(0, &[7], Deny)])],
            7,
            "a",
            false,
        ),
        (
            "a rule that passes skips down to its mark",
            vec![port(80, vec![rule(9, &[7], Pass(5)), rule(5, &[], Deny), rule(4, &[], Allow)])],
            7,
            "a",
            true,
        ),
        (
            "for its peers",
            vec![port(80, vec![rule(9, &[8], Pass(5)), rule(5, &[], Deny), rule(4, &[], Allow)])],
            7,
            "a",
            false,
        ),
        (
            "and only skips what is below it",
            vec![port(80, vec![rule(9, &[7], Pass(5)), rule(9, &[], Deny), rule(4, &[], Allow)])],
            7,
            "a",
            false,
        ),
        (
            "an allow of its level comes first",
            vec![port(80, vec![rule(9, &[7], Pass(5)), rule(9, &[], kv(&["a"], &[])), rule(4, &[], Deny)])],
            7,
            "a",
            true,
        ),
        (
            "allows are skipped as well",
            vec![port(80, vec![rule(9, &[7], Pass(5)), rule(6, &[], Allow), rule(4, &[], kv(&["b"], &[]))])],
            7,
            "a",
            false,
        ),
        ("passing alone allows nothing", vec![port(80, vec![rule(9, &[], Pass(5))])], 7, "a", false),
        (
            "passing to the end allows nothing",
            vec![port(80, vec![rule(9, &[], Pass(0)), rule(0, &[], Allow)])],
            7,
            "a",
            false,
        ),
        (
            "two that pass to different places are not followed",
            vec![port(80, vec![rule(9, &[7], Pass(5)), rule(4, &[], Allow)]), every(vec![rule(9, &[7], Pass(6))])],
            7,
            "a",
            false,
        ),
        ("rules of another protocol admit nothing", one(items("other", &["a"], &[])), 7, "a", false),
        (
            "nor do they keep others from it",
            vec![port(80, vec![rule(0, &[], items("other", &["a"], &[])), rule(0, &[], kv(&["a"], &[]))])],
            7,
            "a",
            true,
        ),
        (
            "what they deny cannot be told",
            vec![port(80, vec![rule(1, &[], items("other", &[], &["a"])), rule(0, &[], kv(&["a"], &[]))])],
            7,
            "a",
            false,
        ),
        (
            "a closed port stays closed",
            vec![closed(Some((80, 80)), vec![]), every(vec![rule(9, &[], Allow)])],
            7,
            "a",
            false,
        ),
        (
            "a closed entry for every port leaves ports that others speak of",
            vec![closed(None, vec![]), port(80, vec![rule(0, &[], Allow)])],
            7,
            "a",
            true,
        ),
        ("and closes the rest", vec![closed(None, vec![]), port(81, vec![rule(0, &[], Allow)])], 7, "a", false),
        (
            "where what it denies is denied",
            vec![closed(None, vec![rule(0, &[7], Deny)]), port(80, vec![rule(0, &[], Allow)])],
            7,
            "a",
            false,
        ),
        (
            "and what it allows is not allowed",
            vec![closed(None, vec![rule(9, &[7], Allow)]), port(80, vec![rule(0, &[], kv(&["x"], &[]))])],
            7,
            "a",
            false,
        ),
    ]
}

#[test]
fn rules_decide_as_the_table_says() {
    for (name, entries, peer, key, expected) in cases() {
        assert_eq!(allows(&compile(entries), 80, peer, key), expected, "{name}");
    }
}

#[test]
fn the_deciding_rule_is_named() {
    let named = |name: &str, rule: NumberedRule| NumberedRule { name: name.to_owned(), ..rule };
    let snapshot = compile(vec![port(
        80,
        vec![
            named("rules[0]", rule(2, &[7], PortVerdict::Deny)),
            named("rules[1]", rule(1, &[], kv(&["a", "b"], &["secret"]))),
            named("rules[2]", rule(0, &[9], PortVerdict::Allow)),
        ],
    )]);
    let name = |peer, key| {
        let decision = decide(&snapshot, Traffic::Ingress, 80, peer, key);
        let rule = decision.rule.and_then(|id| snapshot.rule(id)).map(|info| info.name.clone());
        (decision.outcome, rule.unwrap_or_default())
    };
    for (peer, key, outcome, rule) in [
        (7, "a", Outcome::Deny, "80-80.rules[0]"),
        (8, "b", Outcome::Allow, "80-80.rules[1].b"),
        (8, "secret", Outcome::Deny, "80-80.rules[1].secret"),
        (8, "x", Outcome::Deny, ""),
        (9, "x", Outcome::Allow, "80-80.rules[2]"),
    ] {
        assert_eq!(name(peer, key), (outcome, rule.to_owned()), "{peer} {key}");
    }
    let snapshot = compile(vec![closed(Some((80, 80)), vec![])]);
    let decision = decide(&snapshot, Traffic::Ingress, 80, 7, "a");
    assert_eq!((decision.reason, decision.rule), (Reason::ForeignRules, Some(RuleId(0))));
}

#[test]
fn what_cannot_be_enforced_is_refused_by_name() {
    let bad = NumberedItems {
        l7proto: "kv".to_owned(),
        allow: vec![("item".to_owned(), Node::from_pairs(&Place::whole("test"), [("command", "frobnicate")]))],
        deny: Vec::new(),
    };
    let unknown = NumberedItems {
        l7proto: "kv".to_owned(),
        allow: Vec::new(),
        deny: vec![("item".to_owned(), Node::from_pairs(&Place::whole("test"), [("cmd", "get")]))],
    };
    let pass = |precedence, below| rule(precedence, &[], PortVerdict::Pass(below));
    for (entries, expected) in [
        (
            vec![port(80, vec![rule(0, &[], PortVerdict::Judge(bad))])],
            "test: 80-80.rule.item: there is no command `frobnicate`",
        ),
        (vec![port(80, vec![rule(0, &[], PortVerdict::Judge(unknown))])], "test: 80-80.rule.item: unknown field `cmd`"),
        (
            vec![port(80, vec![rule(0, &[], items("nope", &["a"], &[]))])],
            "test: 80-80.rule.a: there is no protocol `nope`",
        ),
        (vec![entry(Some((81, 80)), Vec::new())], "test: 81-80: the first port, `81`, is higher"),
        (vec![port(80, vec![pass(1, 2)])], "test: 80-80.rule: passes to precedence 2, which is above its own, 1"),
        (
            vec![port(80, vec![pass(9, 5), pass(7, 4)])],
            "test: 80-80.rule: passes to precedence 4, and `rule` passes by it to 5",
        ),
        (
            vec![port(80, vec![pass(5, 4), pass(9, 5)])],
            "test: 80-80.rule: passes to precedence 4, and `rule` passes by it to 5",
        ),
    ] {
        let refused = refusals(entries);
        assert!(refused.contains(expected), "{refused}\n{expected}");
    }
    compile(vec![port(80, vec![pass(9, 5), pass(9, 5), pass(4, 4)])]);
}

#[test]
fn rules_for_the_same_peers_are_one_block() {
    let many = |n: u32| (0..n).map(|at| rule(0, &[9, 7], kv(&[format!("k{at}").as_str()], &[]))).collect();
    let snapshot = compile(vec![port(80, many(1000))]);
    assert_eq!(snapshot.content().blocks.len(), 1);
    assert!(allows(&snapshot, 80, 9, "k999"));
    assert!(!allows(&snapshot, 80, 8, "k999"));
}

#[test]
fn a_view_does_not_grow_with_rules_for_others_nor_with_repeated_ones() {
    let rules = (0..1000).map(|peer| rule(0, &[peer], kv(&["a"], &[])));
    let open = (0..1000).map(|_| rule(0, &[], PortVerdict::Pass(0)));
    let snapshot = compile(vec![port(80, rules.chain(open).collect())]);
    let remote = Identity { id: 5, ..Identity::unknown(None) };
    let flow = Flow { traffic: Traffic::Ingress, endpoint: &Labels::default(), port: 80, remote: &remote };
    let view = snapshot.view(&flow);
    assert_eq!((view.blocks.len(), view.higher.is_some()), (1, false));
}

#[test]
fn a_view_of_an_older_policy_denies() {
    let store = PolicyStore::default();
    store.store(compile(vec![port(80, Vec::new())]));
    let old = store.load().clone();
    let flow =
        Flow { traffic: Traffic::Ingress, endpoint: &Labels::default(), port: 80, remote: &Identity::unknown(None) };
    let view = old.view(&flow);
    store.store(compile(vec![port(80, Vec::new())]));
    let request = KvRequest { command: "get", key: "a" };
    assert_eq!(old.judge::<RuleList<Kv>>(&view, &request).outcome, Outcome::Allow);
    assert_eq!(store.load().judge::<RuleList<Kv>>(&view, &request).reason, Reason::StaleView);
}
