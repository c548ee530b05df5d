//! What Rego sees: `input.review` and `input.parameters`.

use serde_json::{Value as Json, json};

use super::{EnforcementPoint, answer_request, compile, constraint, messages, pod, request, soon, template};
use crate::admission::engines::gatekeeper::Gatekeeper;

fn show(path: &str) -> std::sync::Arc<Gatekeeper> {
    let rego = format!("package show\nviolation[{{\"msg\": msg}}] {{ msg := json.marshal({path}) }}");
    compile(&[&template("Show", &rego), &constraint("Show", "it")])
}

fn seen(path: &str, request: &Json) -> Json {
    let ruling = answer_request(&show(path), request, soon()).expect("a ruling");
    let message = ruling.denial.expect("a denial").message;
    serde_json::from_str(message.strip_prefix("[it] ").expect("a message")).expect("json")
}

#[test]
fn a_request_is_seen_whole() {
    let mut request = request("UPDATE", &pod("a", "b"));
    request["subResource"] = "status".into();
    request["requestKind"] = json!({"group": "", "version": "v1", "kind": "Pod"});
    request["oldObject"] = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "old": true});
    request["options"] = json!({"kind": "UpdateOptions"});
    request["dryRun"] = true.into();
    request["userInfo"] = json!({"username": "alice", "uid": "u", "groups": ["staff"], "extra": {"k": ["v"]}});
    let mut expected = request.clone();
    expected["namespaceObject"] = json!({});
    assert_eq!(seen("input.review", &request), expected);
    assert_eq!(seen("input.parameters", &request), json!({}));
}

#[test]
fn what_is_deleted_is_seen_as_object() {
    let request = request("DELETE", &pod("a", "b"));
    assert_eq!(seen("input.review.object", &request), pod("a", "b"));
    assert_eq!(seen("input.review.oldObject", &request), pod("a", "b"));
}

#[test]
fn a_namespace_is_in_none() {
    let mut request = request("CREATE", &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}));
    request["namespace"] = "a".into();
    assert_eq!(seen("object.get(input.review, \"namespace\", \"none\")", &request), json!("none"));
}

#[test]
fn an_object_alone_is_seen_as_the_audit_has_it() {
    let found = messages(&show("input.review"), &pod("a", "b"), EnforcementPoint::Audit);
    let found: Json = serde_json::from_str(found.first().expect("a message")).expect("json");
    assert_eq!(
        found,
        json!({
            "uid": "", "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "", "resource": ""}, "name": "a", "namespace": "b", "operation": "",
            "userInfo": {}, "object": pod("a", "b"), "oldObject": null, "options": null, "namespaceObject": {},
        })
    );
}

#[test]
fn the_namespace_is_seen_where_it_is_known() {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "b", "labels": {"x": "y"}}});
    let gatekeeper =
        show("[input.review.namespaceObject.metadata.labels, input.review._unstable.namespace.metadata.name]");
    let gatekeeper = gatekeeper.with_inventory([&namespace]).expect("an inventory");
    assert_eq!(messages(&gatekeeper, &pod("a", "b"), EnforcementPoint::Audit), ["[{\"x\":\"y\"},\"b\"]"]);
    assert!(messages(&gatekeeper, &pod("a", "c"), EnforcementPoint::Audit).is_empty());
}

#[test]
fn managed_fields_are_there_for_who_asks() {
    let mut object = pod("a", "b");
    object["metadata"]["managedFields"] = json!([{"manager": "kubectl"}]);
    let asks = seen("input.review.object.metadata.managedFields[0].manager", &request("CREATE", &object));
    assert_eq!(asks, json!("kubectl"));
}

#[test]
fn templates_may_be_for_some_operations() {
    let of = |operations: Json| {
        let mut text: Json =
            serde_json::from_str(&template("Op", "package op\nviolation[{\"msg\": \"x\"}] { true }")).expect("json");
        text["spec"]["targets"][0]["operations"] = operations;
        text.to_string()
    };
    for (operations, created, deleted) in [
        (json!([]), true, true),
        (json!(["*"]), true, true),
        (json!(["CREATE"]), true, false),
        (json!(["UPDATE", "DELETE"]), false, true),
    ] {
        let gatekeeper = compile(&[&of(operations.clone()), &constraint("Op", "it")]);
        let is = |operation| {
            answer_request(&gatekeeper, &request(operation, &pod("a", "b")), soon()).expect("a ruling").denial.is_some()
        };
        assert_eq!((is("CREATE"), is("DELETE")), (created, deleted), "{operations}");
        assert_eq!(messages(&gatekeeper, &pod("a", "b"), EnforcementPoint::Audit).len(), 1, "for admission alone");
    }
    assert!(super::refuse(&[&of(json!(["PATCH"]))]).contains("`PATCH` is not an operation"));
    assert!(super::refuse(&[&of(json!(["*", "CREATE"]))]).contains("no other operation"));
}
