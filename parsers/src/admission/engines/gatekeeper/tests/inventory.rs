//! Objects of the cluster beside the one that is judged.

use serde_json::{Value as Json, json};

use super::{EnforcementPoint, compile, constraint, denial, documents, messages, refuse, template};
use crate::admission::engines::gatekeeper::Gatekeeper;

const UNIQUE_HOST: &str = r#"package uniquehost

identical(one, other) {
  one.metadata.namespace == other.metadata.namespace
  one.metadata.name == other.metadata.name
}

violation[{"msg": msg, "details": {"host": host}}] {
  host := input.review.object.spec.rules[_].host
  other := data.inventory.namespace[_][version][kind][_]
  startswith(version, "networking.k8s.io/")
  kind == "Ingress"
  other.spec.rules[_].host == host
  not identical(other, input.review.object)
  msg := sprintf("the host <%v> is that of another ingress", [host])
}
"#;

const CONFIG: &str = "
apiVersion: config.gatekeeper.sh/v1alpha1
kind: Config
metadata:
  name: config
  namespace: gatekeeper-system
spec:
  sync:
    syncOnly:
      - {group: networking.k8s.io, version: v1, kind: Ingress}
";

fn ingress(name: &str, namespace: &str, host: &str) -> Json {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"rules": [{"host": host}]},
    })
}

#[test]
fn hosts_of_ingresses_are_unique() {
    let gatekeeper = compile(&[
        &template("UniqueHost", UNIQUE_HOST),
        &constraint("UniqueHost", "it"),
        CONFIG,
        &ingress("one", "shop", "shop.example.com").to_string(),
    ]);
    let message = "[it] the host <shop.example.com> is that of another ingress";
    assert_eq!(denial(&gatekeeper, &ingress("two", "shop", "shop.example.com")), message);
    assert_eq!(denial(&gatekeeper, &ingress("one", "other", "shop.example.com")), message);
    assert_eq!(denial(&gatekeeper, &ingress("one", "shop", "shop.example.com")), "", "itself is no other");
    assert_eq!(denial(&gatekeeper, &ingress("two", "shop", "www.example.com")), "");
}

#[test]
fn only_what_is_named_is_kept() {
    let files = [
        &template("UniqueHost", UNIQUE_HOST),
        &constraint("UniqueHost", "it"),
        &ingress("one", "shop", "shop.example.com").to_string(),
    ];
    assert_eq!(denial(&compile(&files.map(String::as_str)), &ingress("two", "shop", "shop.example.com")), "");
    assert_eq!(Gatekeeper::claims(&documents(&[CONFIG])), [("networking.k8s.io/v1".to_owned(), "Ingress".to_owned())]);
    let sync_set = "
apiVersion: syncset.gatekeeper.sh/v1alpha1
kind: SyncSet
metadata: {name: more}
spec: {gvks: [{version: v1, kind: Pod}, {group: networking.k8s.io, version: v1, kind: Ingress}]}
";
    let claims = Gatekeeper::claims(&documents(&[CONFIG, sync_set]));
    assert_eq!(claims, [("networking.k8s.io/v1".into(), "Ingress".into()), ("v1".to_owned(), "Pod".to_owned())]);
}

#[test]
fn another_inventory_goes_with_the_same_rules() {
    let gatekeeper = compile(&[&template("UniqueHost", UNIQUE_HOST), &constraint("UniqueHost", "it")]);
    let two = ingress("two", "shop", "shop.example.com");
    let with = |objects: &[Json]| gatekeeper.with_inventory(objects).expect("an inventory");
    let full = with(&[ingress("one", "shop", "shop.example.com")]);
    for _ in 0..2 {
        assert_eq!(messages(&full, &two, EnforcementPoint::Audit).len(), 1);
        assert!(messages(&with(&[]), &two, EnforcementPoint::Audit).is_empty());
    }
    assert!(gatekeeper.with_inventory(&[json!({"apiVersion": "v1", "kind": "Pod", "metadata": {}})]).is_err());
}

#[test]
fn what_is_in_no_namespace_is_by_itself() {
    let rego = r#"package count
violation[{"msg": msg}] {
  nodes := [name | data.inventory.cluster["v1"].Node[name]]
  pods := [[ns, name] | data.inventory.namespace[ns]["v1"].Pod[name]]
  msg := json.marshal([nodes, pods])
}"#;
    let gatekeeper = compile(&[&template("Count", rego), &constraint("Count", "it")]);
    let objects = [
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}}),
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "a"}}),
    ];
    let full = gatekeeper.with_inventory(&objects).expect("an inventory");
    assert_eq!(messages(&full, &super::pod("x", "y"), EnforcementPoint::Gator), ["[[\"n1\"],[[\"a\",\"p\"]]]"]);
}

#[test]
fn config_that_does_not_fit_is_refused() {
    for (from, to, expected) in [
        ("name: config\n", "name: other\n", "a Config must have the name `config`"),
        ("kind: Ingress}", "kinds: [Ingress]}", "unknown field `kinds`"),
        ("version: v1, ", "", "Config/config: spec.sync.syncOnly[0]: `version` and `kind` must be there"),
        ("sync:", "sink:", "unknown field `sink`"),
        ("v1alpha1", "v1", "`v1` is not a version of this kind"),
    ] {
        assert!(CONFIG.contains(from));
        let found = refuse(&[&CONFIG.replacen(from, to, 1)]);
        assert!(found.contains(expected), "{to}: {found}");
    }
    let found = refuse(&[CONFIG, "{\"apiVersion\": \"networking.k8s.io/v1\", \"kind\": \"Ingress\"}"]);
    assert!(found.contains("1.yaml:1:1: an object for the inventory has no `metadata.name`"), "{found}");
    assert!(refuse(&[CONFIG, CONFIG]).contains("`config` is there twice"));
}

#[test]
fn namespaces_that_are_left_alone_are_not_judged() {
    let config = "
apiVersion: config.gatekeeper.sh/v1alpha1
kind: Config
metadata: {name: config}
spec:
  match:
    - {processes: [webhook], excludedNamespaces: [kube-*]}
    - {processes: ['*'], excludedNamespaces: [gatekeeper-system]}
    - {processes: [mutation-webhook], excludedNamespaces: ['*']}
";
    let gatekeeper = compile(&[super::SAY, &constraint("Say", "it"), config]);
    let namespace = |name: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    for (object, admitted, audited) in [
        (super::pod("a", "kube-system"), true, false),
        (super::pod("a", "gatekeeper-system"), true, true),
        (super::pod("a", "default"), false, false),
        (namespace("kube-system"), true, false),
        (namespace("default"), false, false),
        (json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "kube-system"}}), false, false),
    ] {
        assert_eq!(denial(&gatekeeper, &object).is_empty(), admitted, "{object}");
        assert_eq!(messages(&gatekeeper, &object, EnforcementPoint::Audit).is_empty(), audited, "{object}");
        assert!(!messages(&gatekeeper, &object, EnforcementPoint::Gator).is_empty());
    }
    let found = refuse(&[&config.replace("[webhook]", "[webhooks]")]);
    assert!(found.contains("`webhooks` is not a process"), "{found}");
}
