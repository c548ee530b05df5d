#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use super::fields;
use super::selector::{Conditions, Selector};
use crate::l7::Dialect;
use crate::node::Node;
use crate::testing::{labels, refusals};

fn conditions(text: &str) -> Result<Conditions, String> {
    let node = Node::load("s", text.as_bytes()).unwrap().remove(0);
    node.read(Dialect::Cilium).map_err(|error| error.to_string())
}

fn selects(selector: &str, who: &str) -> bool {
    let selector: Selector = conditions(selector).unwrap().for_peers(Some("blue"));
    selector.matches(&labels(who))
}

#[test]
fn selectors_know_sources_and_operators() {
    const BLUE: &str = ",k8s:io.kubernetes.pod.namespace=blue";
    let rows = [
        ("{}", "app=a", true),
        ("{matchLabels: {app: a}}", "app=a", true),
        ("{matchLabels: {'any:app': a}}", "container:app=a", true),
        ("{matchLabels: {'k8s:app': a}}", "app=a", true),
        ("{matchLabels: {'k8s:app': a}}", "container:app=a", false),
        ("{matchLabels: {app: }}", "app", true),
        ("{matchExpressions: [{key: app, operator: In, values: [a, b]}]}", "app=b", true),
        ("{matchExpressions: [{key: app, operator: In, values: [a, b]}]}", "app=c", false),
        ("{matchExpressions: [{key: app, operator: NotIn, values: [a, b]}]}", "app=c", true),
        ("{matchExpressions: [{key: app, operator: NotIn, values: [a, b]}]}", "role=c", true),
        ("{matchExpressions: [{key: app, operator: NotIn, values: [a, b]}]}", "app=a", false),
        ("{matchExpressions: [{key: app, operator: Exists}]}", "app=a", true),
        ("{matchExpressions: [{key: app, operator: Exists}]}", "role=a", false),
        ("{matchExpressions: [{key: app, operator: DoesNotExist}]}", "role=a", true),
        ("{matchExpressions: [{key: app, operator: DoesNotExist}], matchLabels: {role: b}}", "role=a", false),
    ];
    for (selector, who, wanted) in rows {
        assert_eq!(selects(selector, &format!("{who}{BLUE}")), wanted, "{selector} {who}");
        assert!(!selects(selector, &format!("{who},k8s:io.kubernetes.pod.namespace=red")), "{selector} {who}");
    }
    assert!(selects("{matchLabels: {'reserved:world': ''}}", "reserved:world"));
    assert!(!selects("{}", "reserved:world"));
    assert!(selects(
        "{matchLabels: {'k8s:io.cilium.k8s.namespace.labels.team': x}}",
        "k8s:io.cilium.k8s.namespace.labels.team=x,k8s:io.kubernetes.pod.namespace=red"
    ));
    for bad in [
        "{matchLabel: {}}",
        "{matchLabels: {'': a}}",
        "{matchLabels: {'k8s:': a}}",
        "{matchLabels: [a]}",
        "{matchLabels: {a: 1}}",
        "{matchExpressions: [{key: a, operator: In}]}",
        "{matchExpressions: [{key: a, operator: in, values: [b]}]}",
        "{matchExpressions: [{key: a, operator: Exists, values: [b]}]}",
    ] {
        assert!(conditions(bad).is_err(), "{bad}");
    }
}

/// The tables that schemas are made of have the fields that the readers of the smallest parts have.
#[test]
fn tables_and_readers_have_the_same_fields() {
    fn check<T: serde::de::DeserializeOwned>(table: &[fields::Field], inside: &str) {
        let text = inside.replace('$', "{zzz: 1}");
        let node = Node::load("t", text.as_bytes()).unwrap().remove(0);
        let error = node.read::<T>(Dialect::Strict).map(drop).unwrap_err().to_string();
        let allowed = error.split("allowed are ").nth(1).unwrap_or(&error).to_owned();
        let mut known: Vec<_> = allowed.split(", ").map(|name| name.trim_matches('`')).collect();
        let mut names: Vec<_> = table.iter().map(|field| field.name).collect();
        known.sort_unstable();
        names.sort_unstable();
        assert_eq!(known, names, "{text}");
    }
    check::<super::leaves::Port>(fields::PORT, "$");
    check::<super::leaves::CidrSet>(fields::CIDR_SET, "$");
    check::<super::leaves::NamedPeer>(fields::PEER, "$");
    check::<super::rules::EnableDefaultDeny>(fields::DEFAULT_DENY, "$");
    check::<Conditions>(fields::CONDITIONS, "$");
    check::<Conditions>(fields::EXPRESSION, "{matchExpressions: [$]}");
    let load = |text: &str| Node::load("t", text.as_bytes()).unwrap().remove(0);
    for entity in fields::ENTITIES {
        assert!(load(entity).read::<super::leaves::NamedEntity>(Dialect::Strict).is_ok(), "{entity}");
    }
    for mode in fields::MODES {
        assert!(load(mode).read::<super::leaves::Mode>(Dialect::Strict).is_ok(), "{mode}");
    }
    for protocol in fields::PROTOCOLS {
        let port = load(&format!("{{port: '1', protocol: {protocol}}}"));
        assert!(port.read::<super::leaves::Port>(Dialect::Strict).is_ok(), "{protocol}");
    }
}

/// Each field that the schema has and that cannot be enforced is refused by its name, and says what to do.
#[test]
fn what_cannot_be_enforced_is_refused_by_name() {
    let object = |spec: String| {
        format!(
            "apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata: {{name: p}}\nspec: {{{spec}}}\n"
        )
    };
    let rule = |side: &str, field: &str| object(format!("endpointSelector: {{}}, {side}: [{{{field}: []}}]"));
    let port = |field: &str| object(format!("endpointSelector: {{}}, ingress: [{{toPorts: [{{{field}: []}}]}}]"));
    let l7 =
        |field: &str| object(format!("endpointSelector: {{}}, ingress: [{{toPorts: [{{rules: {{{field}: []}}}}]}}]"));
    let refused = |table: &[fields::Field]| -> Vec<&'static str> {
        let instead = |field: &&fields::Field| matches!(field.reading, fields::Reading::Refused(_));
        table.iter().filter(instead).map(|field| field.name).collect()
    };
    let mut texts = vec![("nodeSelector", object("nodeSelector: {}, ingress: []".to_owned()))];
    texts.extend(refused(fields::INGRESS).into_iter().map(|field| (field, rule("ingress", field))));
    texts.extend(refused(fields::EGRESS).into_iter().map(|field| (field, rule("egress", field))));
    texts.extend(refused(fields::PORT_RULE).into_iter().map(|field| (field, port(field))));
    texts.extend(refused(fields::L7_RULES).into_iter().map(|field| (field, l7(field))));
    assert_eq!(texts.len(), 18);
    for (field, text) in texts {
        let errors = refusals(&text);
        assert!(
            errors.contains(&format!("`{field}` cannot be enforced: ")) && errors.starts_with("0.yaml:4:"),
            "{field}: {errors}"
        );
    }
    for (rest, wanted) in [
        ("ingress: [{fromCIDRSet: [{cidrGroupRef: g}]}]", "`cidrGroupRef` cannot be enforced"),
        ("ingress: [{fromEntities: [moon]}]", "there is no entity `moon`"),
        ("ingress: [{fromCIDR: [10.0.0.0/8], fromEntities: [all]}]", "cannot be combined"),
        ("ingressDeny: [{toPorts: [{rules: {l7proto: kv, l7: [{}]}}]}]", "deny rules carry no L7 rules"),
        ("ingress: [{toPorts: [{rules: {l7: [{}]}}]}]", "`l7` without `l7proto`"),
        ("ingress: [{toPorts: [{ports: [{port: '99999'}]}]}]", "larger than 65535"),
        ("ingress: [{toPorts: [{ports: [{port: '9', endPort: 8}]}]}]", "is not between `9` and 65535"),
        ("ingress: [{toPorts: [{ports: [{port: '9', protocol: ICMP}]}]}]", "`ICMP` is not known here"),
        ("ingress: [{toPorts: [{ports: [{port: 9}]}]}]", "put it in quotes"),
        ("ingressDeny: [{fromRequires: [{}]}]", "requirements cannot be enforced in a deny rule"),
        ("description: nothing", "says nothing"),
        ("ingress: {}", "wanted a list, found a map"),
    ] {
        let errors = refusals(&object(format!("endpointSelector: {{}}, {rest}")));
        assert!(errors.contains(wanted), "{rest}: {errors}");
    }
    assert!(refusals(&object("ingress: []".to_owned())).contains("`endpointSelector` is missing"));
    let outside =
        object("endpointSelector: {matchLabels: {'k8s:io.kubernetes.pod.namespace': b}}, ingress: []".to_owned())
            .replace("Clusterwide", "")
            .replace("{name: p}", "{name: p, namespace: a}");
    assert!(refusals(&outside).contains("outside of the policy's namespace `a`"));
}

#[test]
fn the_page_for_operators_has_every_field() {
    let page = include_str!("../../../docs/policy.md");
    let tables = [
        fields::OBJECT,
        fields::METADATA,
        fields::SPEC,
        fields::DEFAULT_DENY,
        fields::CONDITIONS,
        fields::EXPRESSION,
        fields::INGRESS,
        fields::EGRESS,
        fields::CIDR_SET,
        fields::PORT_RULE,
        fields::PORT,
        fields::L7_RULES,
        fields::ITEM,
    ];
    for field in tables.into_iter().flatten() {
        assert!(page.contains(&format!("`{}`", field.name)), "`{}` is not in docs/policy.md", field.name);
    }
    for word in fields::ENTITIES.iter().copied().chain(fields::PEER.iter().map(|field| field.name)) {
        assert!(page.contains(word), "{word} is not in docs/policy.md");
    }
}
