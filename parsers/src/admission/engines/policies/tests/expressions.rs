use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::{Policies, bound, denial, load, policies, request};
use crate::admission::engines::Engine;
use crate::admission::json::Tape;
use crate::admission::review::Review;

/// Whether an expression holds, as the validation of a policy.
fn holds(expression: &str, fields: Json) -> bool {
    told(expression, "", fields).is_empty()
}

fn told(expression: &str, more: &str, fields: Json) -> String {
    let expression = Json::from(expression);
    let text = bound(&format!("{more}validations: [{{expression: {expression}, message: does not hold}}]"));
    denial(&policies(&text), &request(fields))
}

#[test]
fn names_are_the_request() {
    for expression in [
        "object.metadata.name == 'web' && oldObject == null",
        "request.kind.kind == 'Pod' && request.kind.group == '' && request.kind.version == 'v1'",
        "request.resource.resource == 'pods' && request.requestKind.kind == 'Pod' && request.requestResource.resource == 'pods'",
        "!has(request.subResource) && !has(request.requestSubResource)",
        "request.name == 'web' && request.namespace == 'shop' && request.operation == 'CREATE' && request.dryRun == false",
        "request.userInfo.username == 'ada' && request.userInfo.groups == ['dev'] && request.userInfo.extra == {'a': ['b']}",
        "!has(request.userInfo.uid) && request.options.kind == 'CreateOptions'",
    ] {
        assert!(holds(expression, json!({})), "{expression}");
    }
    let cluster = json!({"namespace": "", "userInfo": {}, "dryRun": true, "options": null, "operation": "UPDATE", "oldObject": {"a": 1}, "subResource": "status", "requestSubResource": "status"});
    for expression in [
        "!has(request.namespace) && request.dryRun && request.options == null && !has(request.userInfo.extra)",
        "oldObject.a == 1 && namespaceObject == null",
    ] {
        let text = bound(&format!("validations: [{{expression: {}}}]", Json::from(expression)))
            .replace("[pods]", "[pods/status]");
        assert_eq!(denial(&policies(&text), &request(cluster.clone())), "", "{expression}");
    }
    assert!(holds(
        "object == null && oldObject.a == 1",
        json!({"operation": "DELETE", "oldObject": {"a": 1}, "object": {"a": 2}})
    ));
}

#[test]
fn what_a_request_may_be_without_is_asked_for() {
    let bare = json!({"name": "", "namespace": "", "userInfo": {}, "options": null});
    for expression in [
        "!has(request.name) && !has(request.namespace) && has(request.dryRun) && has(request.operation)",
        "!has(request.userInfo.username) && !has(request.userInfo.groups) && has(request.userInfo)",
        "request.?name.orValue('none') == 'none' && !request.userInfo.?extra.hasValue()",
        "has(request.kind.group) && request.kind.kind == 'Pod' && request.operation == 'CREATE'",
        "[{'nope': 1}].all(request, has(request.nope) && request.nope == 1)",
    ] {
        assert!(holds(expression, bare.clone()), "{expression}");
    }
    let found = told("request.name == ''", "", bare);
    assert!(found.contains("no such key: name"), "{found}");
}

#[test]
fn a_field_that_no_request_has_is_refused() {
    let why = |expression: &str| {
        let text = bound(&format!("validations: [{{expression: {}}}]", Json::from(expression)));
        let errors = Policies::compile(&load(&text)).unwrap_err();
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    for expression in [
        "request.nope == 'a'",
        "has(request.nope)",
        "!has(request.object)",
        "request.?nope.hasValue()",
        "request.uid != ''",
        "request.userInfo.name == 'ada'",
        "has(request.userInfo.nope)",
        "has(request.kind.resource)",
        "request.requestResource.kind == 'Pod'",
        "request.kind.nope.x == 'Pod'",
        "has(request.nope.x)",
    ] {
        let found = why(expression);
        assert!(found.contains("undefined field '"), "{expression}: {found}");
    }
    for (expression, wanted) in [
        ("request.name == 1", "no matching overload"),
        ("request.userInfo.groups == 'dev'", "no matching overload"),
        ("request.userInfo.groups.exists(group, group == 1)", "no matching overload"),
        ("request.name", "must come to bool"),
    ] {
        let found = why(expression);
        assert!(found.contains(wanted), "{expression}: {found}");
    }
}

#[test]
fn a_key_that_stands_twice_is_seen_once_however_large_its_map_is() {
    for count in [3_usize, 15, 16, 600, 1023, 1024, 1025, 3000] {
        let entries: Vec<_> = (1..count).map(|n| format!(r#""k{n}": 1"#)).collect();
        let object = format!(r#"{{"\u006b1": 0, {}, "k2": 0, "k1": 2}}"#, entries.join(", "));
        let expression =
            format!("object.size() == {0} && object.k1 == 2 && object.map(k, object[k]).sum() == {0}", count - 1);
        let text = bound(&format!("validations: [{{expression: {}}}]", Json::from(expression.as_str())));
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request(json!({"object": "HERE"}))});
        let review = review.to_string().replace("\"HERE\"", &object);
        let mut tape = Tape::new();
        let review = Review::read(tape.read(review.as_bytes()).unwrap()).unwrap();
        let ruling = policies(&text).evaluate(&review, Instant::now() + Duration::from_secs(30)).unwrap();
        assert_eq!(ruling.denial, None, "{count}");
    }
}

#[test]
fn texts_of_clients_are_what_they_are() {
    let odd = "a\"b\\c\n\u{1F600}";
    let expression = format!(
        "request.userInfo.username == {0} && request.userInfo.groups == [{0}] && request.userInfo.extra == {{{0}: [{0}]}}",
        Json::from(odd)
    );
    assert!(holds(&expression, json!({"userInfo": {"username": odd, "groups": [odd], "extra": {odd: [odd]}}})));
}

#[test]
fn an_unknown_namespace_is_an_error_and_never_null() {
    let found = told("namespaceObject == null", "", json!({}));
    assert!(found.contains("the namespace of the request is not known"), "{found}");
    assert_eq!(told("namespaceObject == null", "failurePolicy: Ignore\n", json!({})), "");
    assert!(holds("true || namespaceObject == null", json!({})), "what is not asked for need not be known");
    let namespace = json!({"kind": {"group": "", "version": "v1", "kind": "Namespace"}});
    assert!(holds("namespaceObject == null", namespace));
    let known = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {tier: gold}, managedFields: [{manager: x}]}\nspec: {finalizers: [kubernetes]}\n";
    let expression = "namespaceObject.metadata.labels.tier == 'gold' && namespaceObject.metadata.name == 'shop' && namespaceObject.spec.finalizers == ['kubernetes'] && namespaceObject.metadata.labels['kubernetes.io/metadata.name'] == 'shop'";
    let text = format!("{}---\n{known}", bound(&format!("validations: [{{expression: {}}}]", Json::from(expression))));
    assert_eq!(denial(&policies(&text), &request(json!({}))), "");
}

#[test]
fn variables_are_evaluated_where_they_are_used() {
    let variables = "variables: [{name: n, expression: object.spec.replicas}, {name: broken, expression: object.absent}, {name: m, expression: 'variables.n + 1'}]\n";
    assert_eq!(told("variables.n == 3 && variables.m == 4", variables, json!({})), "");
    assert_eq!(told("true || variables.broken == 1", variables, json!({})), "");
    let found = told("variables.broken == 1", variables, json!({}));
    assert!(
        found.ends_with("resulted in error: composited variable \"broken\" fails to evaluate: no such key: absent"),
        "{found}"
    );
}

#[test]
fn a_policy_has_a_budget_for_all_it_asks() {
    let work = "[0,1,2,3,4,5,6,7,8,9].all(a, [0,1,2,3,4,5,6,7,8,9].all(b, [0,1,2,3,4,5,6,7,8,9].all(c, [0,1,2,3,4,5,6,7,8,9].all(d, [0,1,2,3,4,5,6,7,8,9].all(e, a + b + c + d + e < 100)))))";
    let found = told(work, "", json!({}));
    assert!(found.contains("resulted in error: operation cancelled: actual cost limit exceeded"), "{found}");
    let half = work.replace(
        "[0,1,2,3,4,5,6,7,8,9].all(e, a + b + c + d + e < 100)",
        "a + b + c + d < 100 && a + b + c + d < 101 && a + b + c + d < 102",
    );
    assert_eq!(told(&half, "", json!({})), "", "this much is allowed");
    let many: Vec<_> = (0..200).map(|_| format!("{{expression: {}}}", Json::from(half.as_str()))).collect();
    let found = denial(&policies(&bound(&format!("validations: [{}]", many.join(", ")))), &request(json!({})));
    assert!(found.ends_with("denied request: validation failed due to running out of cost budget, no further validation rules will be run"), "{found}");
}
