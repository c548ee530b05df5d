//! `spec.match`, by tables.

use serde_json::{Value as Json, json};

use super::{
    EnforcementPoint, SAY, Subject, answer_request, compile, denial, fault, messages, pod, request, say, soon,
};
use crate::admission::engines::gatekeeper::{Asked, Gatekeeper};
use crate::admission::json::Tape;

fn with(spec: Json) -> std::sync::Arc<Gatekeeper> {
    compile(&[SAY, &say("it", &json!({"match": spec}))])
}

/// Whether a constraint is for an object of a request.
fn is_for(spec: &Json, object: &Json) -> bool {
    denial(&with(spec.clone()), object) == "[it] no"
}

fn object(group_version: &str, kind: &str, name: &str, namespace: &str) -> Json {
    let mut metadata = json!({"name": name});
    if !namespace.is_empty() {
        metadata["namespace"] = namespace.into();
    }
    json!({"apiVersion": group_version, "kind": kind, "metadata": metadata})
}

#[test]
fn kinds() {
    let deployment = object("apps/v1", "Deployment", "a", "b");
    let pod = object("v1", "Pod", "a", "b");
    for (kinds, deployment_is, pod_is) in [
        (json!([]), true, true),
        (json!([{}]), true, true),
        (json!([{"apiGroups": ["*"], "kinds": ["*"]}]), true, true),
        (json!([{"apiGroups": [""], "kinds": ["Pod"]}]), false, true),
        (json!([{"apiGroups": ["apps"], "kinds": ["Pod"]}]), false, false),
        (json!([{"apiGroups": ["apps"]}]), true, false),
        (json!([{"apiGroups": ["apps"], "kinds": []}]), true, false),
        (json!([{"apiGroups": [], "kinds": ["Deployment"]}]), true, false),
        (json!([{"kinds": ["Deployment"]}]), true, false),
        (json!([{"apiGroups": ["apps"], "kinds": ["*"]}]), true, false),
        (json!([{"apiGroups": ["*"], "kinds": ["pod", "deployment"]}]), false, false),
        (json!([{"apiGroups": ["batch"], "kinds": ["Job"]}, {"apiGroups": [""], "kinds": ["Pod"]}]), false, true),
        (
            json!([{"apiGroups": ["apps"], "kinds": ["Job"]}, {"apiGroups": ["batch"], "kinds": ["Deployment"]}]),
            false,
            false,
        ),
    ] {
        let spec = json!({"kinds": kinds});
        assert_eq!((is_for(&spec, &deployment), is_for(&spec, &pod)), (deployment_is, pod_is), "{spec}");
    }
}

#[test]
fn namespaces_and_scope() {
    let inside = object("v1", "Pod", "a", "kube-system");
    let outside = object("v1", "Node", "kube-system", "");
    let namespace = object("v1", "Namespace", "kube-system", "");
    // A kind of another group that only has the name.
    let other = object("example.com/v1", "Namespace", "kube-system", "");
    for (spec, inside_is, outside_is, namespace_is, other_is) in [
        (json!({}), true, true, true, true),
        (json!({"namespaces": ["kube-system"]}), true, true, true, true),
        (json!({"namespaces": ["kube-*"]}), true, true, true, true),
        (json!({"namespaces": ["*-system"]}), true, true, true, true),
        (json!({"namespaces": ["*-sys*"]}), true, true, true, true),
        (json!({"namespaces": ["default", "kube-public"]}), false, true, false, true),
        (json!({"namespaces": ["kube"]}), false, true, false, true),
        (json!({"namespaces": []}), true, true, true, true),
        (json!({"excludedNamespaces": ["kube-system"]}), false, true, false, true),
        (json!({"excludedNamespaces": ["kube-*"]}), false, true, false, true),
        (json!({"excludedNamespaces": ["*"]}), false, true, false, true),
        (json!({"excludedNamespaces": ["default"]}), true, true, true, true),
        (json!({"namespaces": ["kube-*"], "excludedNamespaces": ["kube-system"]}), false, true, false, true),
        (json!({"scope": "*"}), true, true, true, true),
        (json!({"scope": "Cluster"}), false, true, true, true),
        (json!({"scope": "Namespaced"}), true, false, false, false),
        (json!({"scope": "cluster"}), true, true, true, true),
    ] {
        let found = [&inside, &outside, &namespace, &other].map(|object| is_for(&spec, object));
        assert_eq!(found, [inside_is, outside_is, namespace_is, other_is], "{spec}");
    }
}

#[test]
fn the_namespace_is_that_of_the_request() {
    // As for a subresource, whose object says nothing of it.
    let gatekeeper = with(json!({"namespaces": ["prod"]}));
    let mut request = request("CREATE", &object("v1", "Eviction", "a", ""));
    request["namespace"] = "prod".into();
    let ruling = super::answer_request(&gatekeeper, &request, soon()).expect("a ruling");
    assert!(ruling.denial.is_some());
    request["namespace"] = "test".into();
    let ruling = super::answer_request(&gatekeeper, &request, soon()).expect("a ruling");
    assert!(ruling.denial.is_none());
}

#[test]
fn names() {
    let named = object("v1", "Pod", "web-1", "b");
    let unnamed = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "web-", "namespace": "b"}});
    for (name, named_is, unnamed_is) in [
        ("", true, true),
        ("web-1", true, false),
        ("web-*", true, true),
        ("*-1", true, false),
        ("*b-*", true, true),
        ("web-", false, false),
        ("db-*", false, false),
    ] {
        let spec = json!({"name": name});
        assert_eq!((is_for(&spec, &named), is_for(&spec, &unnamed)), (named_is, unnamed_is), "{name}");
    }
}

#[test]
fn label_selectors() {
    let mut labelled = object("v1", "Pod", "a", "b");
    labelled["metadata"]["labels"] = json!({"app": "web", "empty": "", "e\u{65}scaped": "\u{e9}"});
    let bare = object("v1", "Pod", "a", "b");
    let expression = |key, operator, values: Json| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
    for (selector, labelled_is, bare_is) in [
        (json!({}), true, true),
        (json!({"matchLabels": {"app": "web"}}), true, false),
        (json!({"matchLabels": {"app": "db"}}), false, false),
        (json!({"matchLabels": {"app": "web", "other": "x"}}), false, false),
        (json!({"matchLabels": {"empty": ""}}), true, false),
        (expression("app", "In", json!(["db", "web"])), true, false),
        (expression("app", "NotIn", json!(["web"])), false, true),
        (expression("app", "NotIn", json!(["db"])), true, true),
        (expression("app", "Exists", json!([])), true, false),
        (expression("app", "DoesNotExist", json!([])), false, true),
        (
            json!({"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "x", "operator": "Exists"}]}),
            false,
            false,
        ),
    ] {
        let spec = json!({"labelSelector": selector});
        assert_eq!((is_for(&spec, &labelled), is_for(&spec, &bare)), (labelled_is, bare_is), "{spec}");
    }
}

const NAMESPACES: &str = "
apiVersion: config.gatekeeper.sh/v1alpha1
kind: Config
metadata: {name: config, namespace: gatekeeper-system}
spec: {sync: {syncOnly: [{group: '', version: v1, kind: Namespace}]}}
---
apiVersion: v1
kind: Namespace
metadata: {name: prod, labels: {stage: prod}}
---
apiVersion: v1
kind: Namespace
metadata: {name: bare}
";

#[test]
fn namespace_selectors() {
    let selector = json!({"match": {"namespaceSelector": {"matchLabels": {"stage": "prod"}}}});
    let gatekeeper = compile(&[SAY, &say("it", &selector), NAMESPACES]);
    let is_for = |object: &Json| denial(&gatekeeper, object) == "[it] no";
    assert!(is_for(&pod("a", "prod")));
    assert!(!is_for(&pod("a", "bare")));
    assert!(is_for(&object("v1", "Node", "a", "")), "what is in no namespace is always selected");
    let mut namespace = object("v1", "Namespace", "new", "");
    assert!(!is_for(&namespace), "a Namespace is selected by its own labels");
    namespace["metadata"]["labels"] = json!({"stage": "prod"});
    assert!(is_for(&namespace));
    // Not known: there is no answer, rather than a silent pass.
    let why = fault(&gatekeeper, &pod("a", "unknown"));
    assert!(why.contains("constraint `Say/it`") && why.contains("the Namespace `unknown`"), "{why}");
}

#[test]
fn a_namespace_that_is_not_known_matters_only_where_all_else_fits() {
    for spec in [
        json!({"kinds": [{"apiGroups": [""], "kinds": ["Service"]}]}),
        json!({"name": "other"}),
        json!({"source": "Generated"}),
        json!({"namespaces": ["other"]}),
    ] {
        let mut spec = spec;
        spec["namespaceSelector"] = json!({"matchLabels": {"stage": "prod"}});
        assert!(!is_for(&spec, &pod("a", "unknown")), "{spec}");
    }
}

#[test]
fn the_caller_may_know_the_namespace() {
    let gatekeeper = with(json!({"namespaceSelector": {"matchLabels": {"stage": "prod"}}, "namespaces": ["prod"]}));
    let (object, namespace) =
        (pod("a", "prod").to_string(), r#"{"metadata": {"name": "prod", "labels": {"stage": "prod"}}}"#);
    let (mut one, mut other) = (Tape::new(), Tape::new());
    let asked = Asked {
        review: Subject::Object(one.read(object.as_bytes()).expect("json")),
        namespace: Some(other.read(namespace.as_bytes()).expect("json")),
        point: EnforcementPoint::Audit,
    };
    assert_eq!(gatekeeper.judge(&asked, soon()).expect("violations").len(), 1);
}

#[test]
fn sources() {
    for (source, expected) in [("All", true), ("Original", true), ("Generated", false)] {
        assert_eq!(is_for(&json!({"source": source}), &pod("a", "b")), expected, "{source}");
    }
    for source in ["", "original"] {
        let found = super::refuse(&[SAY, &say("it", &json!({"match": {"source": source}}))]);
        assert!(found.contains("is not a source"), "{found}");
    }
}

#[test]
fn the_object_as_it_was_counts_as_well() {
    let gatekeeper = with(json!({"labelSelector": {"matchLabels": {"app": "web"}}}));
    let labelled = |value: &str| {
        let mut object = pod("a", "b");
        object["metadata"]["labels"] = json!({"app": value});
        object
    };
    for (old, new, expected) in [("web", "db", true), ("db", "web", true), ("web", "web", true), ("db", "db", false)] {
        let mut request = request("UPDATE", &labelled(new));
        request["oldObject"] = labelled(old);
        let ruling = super::answer_request(&gatekeeper, &request, soon()).expect("a ruling");
        assert_eq!(ruling.denial.is_some(), expected, "{old} {new}");
    }
}

#[test]
fn each_constraint_is_asked_once_and_told_in_order() {
    let constraints: Vec<_> = (0..300)
        .map(|n| {
            let kinds = if n % 3 == 0 { json!(["Pod", "Pod", "*"]) } else { json!(["Pod", "Service"]) };
            say(&format!("c-{n:03}"), &json!({"match": {"kinds": [{"apiGroups": ["*"], "kinds": kinds}, {"kinds": ["Pod"]}]}, "parameters": {"say": format!("{:03}", 299 - n)}}))
        })
        .collect();
    let mut files = vec![SAY];
    files.extend(constraints.iter().map(String::as_str));
    let gatekeeper = compile(&files);
    let found = messages(&gatekeeper, &pod("a", "b"), EnforcementPoint::Gator);
    assert_eq!(found, (0..300).map(|n| format!("{n:03}")).collect::<Vec<_>>());
    assert_eq!(messages(&gatekeeper, &object("v1", "Node", "a", ""), EnforcementPoint::Gator).len(), 100);
}

#[test]
fn what_an_object_says_of_its_namespace_does_not_leave_it_alone() {
    let config = "
apiVersion: config.gatekeeper.sh/v1alpha1
kind: Config
metadata: {name: config, namespace: gatekeeper-system}
spec: {match: [{processes: [webhook], excludedNamespaces: [kube-*]}]}
";
    let gatekeeper = compile(&[SAY, &say("it", &json!({})), config]);
    let pod = pod("a", "kube-system");
    assert_eq!(denial(&gatekeeper, &pod), "");
    for namespace in ["", "shop"] {
        let mut request = request("CREATE", &pod);
        request["namespace"] = json!(namespace);
        let ruling = answer_request(&gatekeeper, &request, soon()).expect("a ruling");
        assert!(ruling.denial.is_some(), "asked for in `{namespace}`");
    }
    let namespace = object("v1", "Namespace", "kube-public", "");
    assert_eq!(denial(&gatekeeper, &namespace), "", "a Namespace is left alone by its name");
}
