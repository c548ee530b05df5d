#![expect(clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use portcullis_parsers::REGISTRY;
use portcullis_policy::{Identities, Node, Source, Traffic};
use portcullis_proxylib::{Direction, Meta};
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
    let cassandra = |item: &str| {
        format!(
            "{HEAD}  ingress: [{{toPorts: [{{ports: [{{port: '1'}}], rules: {{l7proto: cassandra, l7: [{item}]}}}}]}}]\n"
        )
    };
    for (text, why) in [
        (
            format!("{HEAD}  ingress: [{{{rule}}}]\n").replace("kind: Cilium", "kind: CiliumClusterwide"),
            "does not select endpoints of one namespace",
        ),
        (cassandra("{query_action: select, query_table: ^ks$}"), "fits nothing that these actions name"),
        (cassandra("{query_table: '\\bks'}"), "cannot be said of keyspace and table apart"),
        (
            format!("{HEAD}  ingress: [{{{rule}}}]\n  egress: [{{toFQDNs: [{{matchName: a}}]}}]\n"),
            "`toFQDNs` cannot be enforced",
        ),
    ] {
        let Rewritten { found, text: after } = migrate(&text);
        assert!(after.is_none() && !found[0].rewritten, "{found:?}");
        assert!(found[0].notes[0].contains(why), "{found:?}");
    }
    let Rewritten { found, text } = migrate(&cassandra("{query_action: drop-keyspace, query_table: ^ks}"));
    assert!(text.is_some() && found[0].notes[0].contains("looks at the name alone"), "{found:?}");
    let Rewritten { found, text } = migrate(&format!("{HEAD}  ingress: [{{fromCIDR: [10.0.0.0/8], {rule}}}]\n"));
    assert!(text.is_some() && found[0].notes[0].contains("means more than before"), "{found:?}");
    for untouched in
        [format!("{HEAD}  ingress: [{{fromEntities: [all]}}]\n"), "apiVersion: v1\nkind: ConfigMap\n".to_owned()]
    {
        assert!(migrate(&untouched).found.is_empty());
    }
}

#[test]
fn cassandra_gets_its_own_words() {
    let before = format!(
        "{HEAD}  ingress:\n  - toPorts:\n    - ports: [{{port: \"9042\"}}]\n      rules:\n        l7proto: cassandra\n        l7: # all of it\n        \
         # what drivers read\n        - query_action: select # reads\n          query_table: ^system(_schema|_traces)?\\.\n        \
         - query_action: insert\n          query_table: '^shop\\.orders$' # one table\n        - query_action: list-roles\n        \
         - query_table: ^scratch\\.\n        - {{query_action: , query_table: ^tmp}}\n        \
         - query_action: delete\n          query_table: ^(shop\\.a|shop\\.b)$\n"
    );
    let Rewritten { found, text } = migrate(&before);
    let table_actions = "select, insert, update, delete, truncate-table, create-table, alter-table, drop-table";
    let wanted = before
        .replace("cilium.io/v2", "portcullis.dev/v1")
        .replace("CiliumNetworkPolicy", "L7Policy")
        .replace("l7: # all of it\n", "l7: # all of it\n        - actions: use # was never denied\n")
        .replace("query_action: list", "actions: list")
        .replace(
            "query_action: delete\n          query_table: ^(shop\\.a|shop\\.b)$",
            "actions: delete\n          keyspace: shop\n          table: b",
        )
        .replace(
            "        - actions: delete",
            "        - {actions: delete, keyspace: shop, table: a}\n        - actions: delete",
        )
        .replace("query_action: select", "actions: select")
        .replace("query_action: insert", "actions: insert")
        .replace("query_table: ^system(_schema|_traces)?\\.", "keyspaceRegex: 'system(_schema|_traces)?'")
        .replace("query_table: '^shop\\.orders$'", "keyspace: shop\n          table: orders")
        .replace("query_table: ^scratch\\.", &format!("actions: [{table_actions}]\n          keyspace: scratch"))
        .replace(
            "{query_action: , query_table: ^tmp}",
            &format!(
                "{{actions: [{table_actions}, create-keyspace, alter-keyspace, drop-keyspace], keyspacePrefix: tmp}}"
            ),
        );
    assert_eq!(text.unwrap_or_else(|| panic!("{found:?}")), wanted);
    let before = "{\"apiVersion\":\"cilium.io/v2\",\"kind\":\"CiliumNetworkPolicy\",\"metadata\":{\"name\":\"p\"},\"spec\":{\"endpointSelector\":{},\"ingress\":[{\"toPorts\":[{\"rules\":{\"l7proto\":\"cassandra\",\"l7\":[{\"query_action\":\"select\",\"query_table\":\"^a\\\\.b$\"}]}}]}]}}";
    let Rewritten { found, text } = migrate(before);
    let wanted =
        before.replace("cilium.io/v2", "portcullis.dev/v1").replace("CiliumNetworkPolicy", "L7Policy").replace(
            "{\"query_action\":\"select\",\"query_table\":\"^a\\\\.b$\"}",
            "{\"actions\": \"use\"}, {\"actions\":\"select\",\"keyspace\": \"a\", \"table\": \"b\"}",
        );
    assert_eq!(text.unwrap_or_else(|| panic!("{found:?}")), wanted);
}

#[test]
fn what_is_clusterwide_and_speaks_of_one_namespace_goes_there() {
    let rule = |peers: &str| format!("  - {peers}\n    toPorts: [{{rules: {{l7proto: r2d2, l7: [{{cmd: READ}}]}}}}]\n");
    let any = "{key: io.kubernetes.pod.namespace, operator: Exists}";
    for (before, after) in [
        ("fromEndpoints: [{}]", format!("fromEndpoints: [{{matchExpressions: [{any}]}}]")),
        (
            "fromEndpoints:\n    - matchLabels: {app: web}",
            format!("fromEndpoints:\n    - matchExpressions: [{any}]\n      matchLabels: {{app: web}}"),
        ),
        (
            "fromEndpoints: [{matchExpressions: [{key: app, operator: Exists}]}]",
            format!("fromEndpoints: [{{matchExpressions: [{any}, {{key: app, operator: Exists}}]}}]"),
        ),
        (
            "fromEndpoints: [{matchLabels: {reserved:host: ''}}]",
            "fromEndpoints: [{matchLabels: {reserved:host: ''}}]".to_owned(),
        ),
        ("fromEntities: [world]", "fromEntities: [world]".to_owned()),
    ] {
        let head = HEAD
            .replace("kind: Cilium", "kind: CiliumClusterwide")
            .replace("app: c", "io.kubernetes.pod.namespace: blue");
        let old = format!("{head}  ingress:\n{}", rule(before));
        let Rewritten { found, text } = migrate(&old);
        let text = text.unwrap_or_else(|| panic!("{found:?}\n{old}"));
        let head = head
            .replace("cilium.io/v2", "portcullis.dev/v1")
            .replace("CiliumClusterwideNetworkPolicy", "L7Policy")
            .replace("{name: p}", "{namespace: blue, name: p}");
        assert_eq!(text, format!("{head}  ingress:\n{}", rule(&after)));
        let [old, new] =
            [old, text].map(|text| Policies::compile(vec![Source::new("p.yaml", text)], "r2d2").expect("compiles"));
        for who in
            ["app=web", "app=x", "app=web,k8s:io.kubernetes.pod.namespace=red", "reserved:host", "reserved:world"]
        {
            for endpoint in ["k8s:io.kubernetes.pod.namespace=blue", "k8s:io.kubernetes.pod.namespace=red", "app=c"] {
                let asked =
                    |policies| ask(policies, "r2d2", (who, endpoint, 1), &[("cmd", "READ"), ("file", "f")], None);
                assert_eq!(asked(&old).0, asked(&new).0, "{who} {endpoint} {before}");
            }
        }
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
    let fields = [("command", command), ("key", key)];
    let fields = if command == "version" { &fields[..1] } else { &fields };
    ask(policies, "memcache", (who, "app=c", port), fields, None)
}

/// What becomes of a request; of Cassandra in a keyspace, where one is given.
fn ask(
    policies: &Policies,
    protocol: &str,
    (who, endpoint, port): (&str, &str, u16),
    fields: &[(&str, &str)],
    keyspace: Option<&str>,
) -> (Verdict, String) {
    let mut asked = Asked::default();
    fields.iter().for_each(|(name, value)| asked.add(name, *value));
    let mut conversation = request::compose(protocol, &asked).expect("a request");
    if let Some(keyspace) = keyspace {
        let mut change = Asked::default();
        change.add("query", format!("USE {keyspace}"));
        let (way, bytes) = request::compose(protocol, &change).expect("a request").pop().expect("three");
        // "3: Set_keyspace" (native_protocol_v4.spec, section 4.2.5.3), to stream 1.
        let name = [&[0, 0, 0, 3, 0, u8::try_from(keyspace.len()).expect("short")], keyspace.as_bytes()].concat();
        let length = u8::try_from(name.len()).expect("short");
        let reply = [&[0x84, 0, 0, 1, 0x08, 0, 0, 0, length], name.as_slice()].concat();
        let last = conversation.pop().expect("three");
        conversation.extend([(way, bytes), (Direction::Reply, reply), last]);
    }
    let nobody = Identities::default();
    let who: judge::Who = who.parse().expect("labels");
    let endpoint: judge::Who = endpoint.parse().expect("labels");
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
    let protocol = REGISTRY.find(protocol).expect("there");
    let answer = judge::play(policies, protocol, &serde_json::Value::Null, meta, &conversation).expect("played");
    let judged = answer.judged.last().expect("judged");
    (judged.verdict, judged.reason.clone())
}

/// An item of Cassandra's rules, in the forms that people write.
fn cassandra_item() -> impl Strategy<Value = String> {
    let table = prop_oneof![
        Just("^ks\\\\.t$"),
        Just("^ks\\\\."),
        Just("^ks.t$"),
        Just("^ks"),
        Just("ks"),
        Just("t$"),
        Just("^(ks|os)\\\\.(t|u)$"),
        Just("\\\\.t"),
        Just(".*"),
        Just("^(ks\\\\.t|os\\\\.u)$"),
        Just("^ks[.]t[0-9]*$"),
        Just("^o?s\\\\..*$"),
        Just("^ks(\\\\.t)?$"),
        Just("s.+u"),
    ];
    let action = prop_oneof![
        3 => Just("select"), 3 => Just("insert"), 1 => Just("create-table"), 1 => Just("drop-keyspace"), 1 => Just("use"), 1 => Just("list-roles"),
        1 => Just("truncate-table"),
    ];
    let with_table = action.clone().prop_filter("has no table", |action| *action != "list-roles");
    prop_oneof![
        4 => (with_table, table.clone()).prop_map(|(action, table)| format!("{{query_action: {action}, query_table: \"{table}\"}}")),
        2 => table.prop_map(|table| format!("{{query_table: \"{table}\"}}")),
        2 => action.prop_map(|action| format!("query_action: {action}")),
    ]
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

    /// The same of Cassandra; but a keyspace that was joined to the current one is judged by its own name now, and that is said.
    #[test]
    fn old_and_new_decide_alike_for_cassandra(items in proptest::collection::vec(cassandra_item(), 1..4)) {
        let items: String = items.iter().map(|item| format!("        - {item}\n")).collect();
        let before = format!(
            "{HEAD}  ingress:\n  - toPorts:\n    - ports: [{{port: \"1\"}}]\n      rules:\n        l7proto: cassandra\n        l7:\n{items}"
        );
        let Rewritten { found, text } = migrate(&before);
        let Some(after) = text else {
            prop_assert!(found[0].notes[0].contains("fits nothing"), "{found:?}\n{before}");
            return Ok(());
        };
        let old = Policies::compile(vec![Source::new("old.yaml", before.as_str())], "cassandra").expect("compiles");
        let new = Policies::compile(vec![Source::new("new.yaml", after.as_str())], "cassandra").expect("compiles");
        for keyspace in [None, Some("ks"), Some("os")] {
            for query in [
                "SELECT * FROM ks.t", "SELECT * FROM os.u", "SELECT * FROM t", "SELECT ks.f(a) FROM os.t", "INSERT INTO ks.t1 (k) VALUES (1)",
                "CREATE TABLE ks.t (k int PRIMARY KEY)", "TRUNCATE os.u", "DELETE FROM ks.u WHERE k = 1", "USE ks", "USE other", "DROP KEYSPACE ks",
                "DROP KEYSPACE t", "DROP KEYSPACE os", "LIST ROLES", "GRANT SELECT ON ks.t TO clerk", "CREATE ROLE clerk",
                "BEGIN BATCH INSERT INTO ks.t (k) VALUES (1); INSERT INTO os.u (k) VALUES (1); APPLY BATCH",
            ] {
                let asked = |policies| ask(policies, "cassandra", ("app=web", "app=c", 1), &[("query", query)], keyspace);
                let (was, is) = (asked(&old).0, asked(&new).0);
                let narrower = query.starts_with("DROP KEYSPACE") && !found[0].notes.is_empty();
                prop_assert!(was == is || narrower && is == Verdict::Denied, "{:?} {} {:?} {:?}\n{}\n{}", keyspace, query, was, is, before, after);
            }
        }
    }
}
