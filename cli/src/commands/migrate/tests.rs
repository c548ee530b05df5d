#![expect(clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use portcullis_parsers::REGISTRY;
use portcullis_policy::{Identities, Node, Source, Traffic};
use portcullis_proxylib::Meta;
use proptest::prelude::*;

use super::rewrite::{Rewritten, rewrite};
use crate::judge::{self, Named, Policies, Verdict};
use crate::request::{self, Asked};

fn migrate(text: &str) -> Rewritten {
    let documents = Node::load("p.yaml", text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"));
    rewrite("p.yaml", text, &documents)
}

const HEAD: &str = "# Who may use the cache.\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: p}\nspec:\n  endpointSelector: {matchLabels: {app: c}}\n";

#[test]
fn comments_and_layout_stay() {
    let before = format!(
        "{HEAD}  ingress:\n  # the web\n  - fromEndpoints: [{{matchLabels: {{app: web}}}}]   # all of it\n    toPorts:\n    \
         - ports: [{{port: \"11211\"}}]\n      rules:\n        l7proto: memcache\n        l7:\n        - command: get   # reads\n          \
         keyRegex: ^session/ # of sessions\n        - {{command: get, keyRegex: \"a|b\"}}\n        - {{command: set, keyExact: }}\n"
    );
    let Rewritten { found, text } = migrate(&before);
    assert!(found[0].rewritten, "{found:?}");
    let wanted = before
        .replace("cilium.io/v2", "portcullis.dev/v1")
        .replace("CiliumNetworkPolicy", "L7Policy")
        .replace("keyRegex: ^session/ #", "keyPrefix: session/ #")
        .replace("\"a|b\"", "\"(?s:.*)(?:a|b)(?s:.*)\"")
        .replace(", keyExact: }", "}");
    assert_eq!(text.expect("rewritten"), wanted);
}

#[test]
fn what_admits_everything_says_so() {
    for (before, after) in [
        (
            "  ingress:\n  - {}\n  - toPorts: [{rules: {l7proto: r2d2, l7: [{cmd: READ}]}}]\n",
            "  ingress:\n  - {fromEntities: [all]}\n  - toPorts: [{rules: {l7proto: r2d2, l7: [{cmd: READ}]}}]\n",
        ),
        (
            "  ingress:\n  - fromEndpoints: [{}]\n    toPorts:\n    - ports: [{port: \"4\"}]\n      rules: # all\n        l7proto: r2d2\n        l7: [{}]\n",
            "  ingress:\n  - fromEndpoints: [{}]\n    toPorts:\n    - ports: [{port: \"4\"}]\n",
        ),
        (
            "  ingress:\n  - fromEndpoints: [{matchLabels: {a: }}]\n    toPorts: [{ports: [{port: \"4\"}], rules: {l7proto: r2d2, l7: [{cmd: READ, file: }]}}]\n",
            "  ingress:\n  - fromEndpoints: [{matchLabels: {a: '' }}]\n    toPorts: [{ports: [{port: \"4\"}], rules: {l7proto: r2d2, l7: [{cmd: READ}]}}]\n",
        ),
        (
            "  ingress:\n  - fromEndpoints:\n    toPorts:\n    - rules: {l7proto: r2d2, l7: []}\n",
            "  ingress:\n  - toPorts:\n    - {}\n",
        ),
    ] {
        let Rewritten { found, text } = migrate(&format!("{HEAD}{before}"));
        let head = HEAD.replace("cilium.io/v2", "portcullis.dev/v1").replace("CiliumNetworkPolicy", "L7Policy");
        assert_eq!(text.unwrap_or_else(|| panic!("{found:?}\n{before}")), format!("{head}{after}"));
    }
}

#[test]
fn what_cannot_be_carried_over_is_said_and_left() {
    let rule = "toPorts: [{ports: [{port: '1'}], rules: {l7proto: r2d2, l7: [{cmd: READ}]}}]";
    for (text, why) in [
        (
            format!("{HEAD}  ingress: [{{{rule}}}]\n").replace("kind: Cilium", "kind: CiliumClusterwide"),
            "no clusterwide",
        ),
        (
            format!("{HEAD}  ingress: [{{{rule}}}]\n  egress: [{{toFQDNs: [{{matchName: a}}]}}]\n"),
            "`toFQDNs` cannot be enforced",
        ),
    ] {
        let Rewritten { found, text: after } = migrate(&text);
        assert!(after.is_none() && !found[0].rewritten, "{found:?}");
        assert!(found[0].notes[0].contains(why), "{found:?}");
    }
    let Rewritten { found, text } = migrate(&format!("{HEAD}  ingress: [{{fromCIDR: [10.0.0.0/8], {rule}}}]\n"));
    assert!(text.is_some() && found[0].notes[0].contains("means more than before"), "{found:?}");
    for untouched in
        [format!("{HEAD}  ingress: [{{fromEntities: [all]}}]\n"), "apiVersion: v1\nkind: ConfigMap\n".to_owned()]
    {
        assert!(migrate(&untouched).found.is_empty());
    }
}

/// An item of a rule, in the forms that people write.
fn item() -> impl Strategy<Value = String> {
    let regex = prop_oneof![
        Just("a"),
        Just("^a"),
        Just("^a$"),
        Just("a|b"),
        Just("^(a|b)"),
        Just("a.b"),
        Just(".*"),
        Just("a.*"),
        Just("^a[0-9]+$"),
        Just("(?i)A"),
        Just("b$"),
        Just("\\\\."),
        Just("^$"),
        Just("\\\\d")
    ];
    let command = prop_oneof![Just("get"), Just("set"), Just("writeGroup"), Just("storage")];
    prop_oneof![
        8 => (command.clone(), regex).prop_map(|(command, regex)| format!("{{command: {command}, keyRegex: \"{regex}\"}}")),
        2 => command.clone().prop_map(|command| format!("{{command: {command}, keyPrefix: }}")),
        2 => (command, prop_oneof![Just("keyExact"), Just("keyPrefix")], "[ab1.]{1,3}")
            .prop_map(|(command, field, key)| format!("{{command: {command}, {field}: \"{key}\"}}")),
        1 => Just("{command: version}".to_owned()),
        1 => Just("{}".to_owned()),
    ]
}

fn rule() -> impl Strategy<Value = String> {
    let peers = prop_oneof![
        Just("fromEndpoints: [{matchLabels: {app: web}}]"),
        Just("fromEndpoints: [{}]"),
        Just("fromEndpoints: [{matchLabels: {app: }}]"),
        Just("fromEntities: [world]"),
        Just("fromEndpoints: "),
        Just("fromEndpoints: []"),
    ];
    let l7 = proptest::collection::vec(item(), 0..4).prop_map(|items| {
        let items: Vec<_> = items.iter().map(|item| format!("        - {item}\n")).collect();
        let l7 =
            if items.is_empty() { "        l7: []\n".to_owned() } else { format!("        l7:\n{}", items.concat()) };
        format!("    toPorts:\n    - ports: [{{port: \"1\"}}]\n      rules:\n        l7proto: memcache\n{l7}")
    });
    let rest = prop_oneof![8 => l7, 1 => Just("    toPorts: [{ports: [{port: \"2\"}]}]\n".to_owned())];
    (peers, rest).prop_map(|(peers, rest)| format!("  - {peers}\n{rest}"))
}

fn decide(policies: &Policies, who: &str, port: u16, command: &str, key: &str) -> (Verdict, String) {
    let mut asked = Asked::default();
    asked.add("command", command);
    if command != "version" {
        asked.add("key", key);
    }
    let conversation = request::compose("memcache", &asked).expect("a request");
    let nobody = Identities::default();
    let who: judge::Who = who.parse().expect("labels");
    let endpoint: judge::Who = "app=c".parse().expect("labels");
    let meta = Meta {
        id: 0,
        traffic: Traffic::Ingress,
        endpoint: endpoint.labels(&nobody).expect("labels"),
        endpoint_id: 0,
        remote: judge::remote(Some(&who), None, &Named::default(), &nobody).expect("a peer"),
        port,
        source: None,
        destination: None,
    };
    let protocol = REGISTRY.find("memcache").expect("there");
    let answer = judge::play(policies, protocol, &serde_json::Value::Null, meta, &conversation).expect("played");
    let judged = answer.judged.first().expect("judged");
    (judged.verdict, judged.reason.clone())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Old and new decide alike, and the new one passes `check` as strictly as any.
    #[test]
    fn old_and_new_decide_alike(rules in proptest::collection::vec(rule(), 1..4)) {
        let before = format!("{HEAD}  ingress:\n{}", rules.concat());
        let Rewritten { found, text } = migrate(&before);
        prop_assume!(!found.is_empty());
        let after = text.unwrap_or_else(|| panic!("{found:?}\n{before}"));
        let old = Policies::compile(vec![Source::new("old.yaml", before.as_str())], "memcache").expect("compiles");
        let new = Policies::compile(vec![Source::new("new.yaml", after.as_str())], "memcache").expect("compiles");
        for who in ["app=web", "app=x", "app=", "reserved:world"] {
            for (port, command) in [(1, "get"), (1, "set"), (1, "delete"), (1, "incr"), (1, "version"), (2, "get")] {
                for key in ["a", "b", "ab", "ba", "a1", "a.b", "A", "a\\.", "1"] {
                    let (was, is) = (decide(&old, who, port, command, key), decide(&new, who, port, command, key));
                    prop_assert_eq!(was.0, is.0, "{} {} {} {}\n{}\n{}", who, port, command, key, before, after);
                }
            }
        }
    }
}
