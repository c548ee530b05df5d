use portcullis_policy::Node;
use serde_json::{Value as Json, json};

use super::super::at::{At, Reader};
use super::super::context::Context;
use super::super::found::Found;
use super::super::truth::Truth::{self, No, Unreadable, Yes};
use super::Condition;
use crate::admission::json::Tape;
use crate::admission::review::Review;

/// A review: a pod that `alice` creates, but for what is given.
fn review(request: &Json) -> Vec<u8> {
    let mut whole = json!({
        "uid": "1", "operation": "CREATE", "name": "web", "namespace": "shop",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "userInfo": {"username": "alice", "groups": ["dev", "system:authenticated"]},
        "object": {"metadata": {"name": "web"}, "spec": {"containers": []}},
    });
    for (key, value) in request.as_object().unwrap() {
        whole[key] = value.clone();
    }
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": whole}).to_string().into_bytes()
}

/// Whether a condition holds, and under `not` too.
fn test(condition: &str, request: &Json) -> Truth {
    let mut tape = Tape::new();
    let text = review(request);
    let review = Review::read(tape.read(&text).unwrap()).unwrap();
    let hold = |condition: &str| {
        let nodes = Node::load("c", condition.as_bytes()).unwrap();
        let mut reader = Reader::default();
        let condition = Condition::read(&At { node: &nodes[0], path: String::new() }, &[], &mut reader);
        assert_eq!(reader.faults.errors, [], "{condition:?}");
        condition.test(&Context::new(&review), &mut Found::default())
    };
    let truth = hold(condition);
    assert_eq!(hold(&format!("{{not: {condition}}}")), truth.not(), "not {condition}");
    assert_eq!(hold(&format!("{{any: [{condition}]}}")), truth, "any {condition}");
    assert_eq!(hold(&format!("{{all: [{condition}, {{}}]}}")), truth, "all {condition}");
    truth
}

fn check(cases: &[(&str, Json, Truth)]) {
    for (condition, request, truth) in cases {
        assert_eq!(test(condition, request), *truth, "{condition} of {request}");
    }
}

fn user(name: &str) -> Json {
    json!({"userInfo": {"username": name, "groups": []}})
}

#[test]
fn who_it_is() {
    check(&[
        ("{}", json!({}), Yes),
        ("{users: [alice]}", json!({}), Yes),
        ("{users: [Alice, alice.]}", json!({}), No),
        ("{users: [alice], groups: [ops]}", json!({}), No),
        ("{userRegex: ['^ali']}", json!({}), Yes),
        ("{userRegex: [lic]}", json!({}), Yes),
        ("{userRegex: ['^lic', '^bob$']}", json!({}), No),
        ("{groups: [ops, dev]}", json!({}), Yes),
        ("{groupRegex: ['^system:']}", json!({}), Yes),
        ("{groupRegex: ['^system:$']}", json!({}), No),
        ("{groups: [dev]}", json!({"userInfo": {"username": "x"}}), No),
        ("{userRegex: ['^$']}", json!({"userInfo": {}}), Yes),
        ("{serviceAccounts: ['shop:robot']}", user("system:serviceaccount:shop:robot"), Yes),
        ("{serviceAccounts: ['*:robot']}", user("system:serviceaccount:shop:robot"), Yes),
        ("{serviceAccounts: ['shop:*']}", user("system:serviceaccount:shop:robot"), Yes),
        ("{serviceAccounts: ['*:*']}", user("system:serviceaccount::"), No),
        ("{serviceAccounts: ['shop:robot']}", user("system:serviceaccount:shop:robot2"), No),
        ("{serviceAccounts: ['shop:robot']}", user("xsystem:serviceaccount:shop:robot"), No),
        ("{serviceAccounts: ['*:*']}", user("alice"), No),
    ]);
}

#[test]
fn what_it_is_for() {
    let scale = json!({
        "kind": {"group": "autoscaling", "version": "v1", "kind": "Scale"}, "subResource": "scale",
        "resource": {"group": "apps", "version": "v1", "resource": "deployments"},
    });
    check(&[
        ("{operations: [CREATE]}", json!({}), Yes),
        ("{operations: [UPDATE, DELETE]}", json!({}), No),
        ("{operations: ['*']}", json!({}), Yes),
        ("{kinds: [Pod]}", json!({}), Yes),
        ("{kinds: [Pod.metrics.k8s.io, Deployment.apps]}", json!({}), No),
        ("{kinds: ['*.apps']}", json!({}), No),
        ("{kinds: ['Pod.*']}", json!({}), Yes),
        ("{kinds: ['*']}", scale.clone(), Yes),
        ("{kinds: [Pod]}", json!({"kind": {"group": "metrics.k8s.io", "version": "v1", "kind": "Pod"}}), No),
        ("{resources: [pods]}", json!({}), Yes),
        ("{resources: [pods]}", json!({"subResource": "status"}), No),
        ("{resources: ['pods/*']}", json!({"subResource": "status"}), Yes),
        ("{resources: ['pods/*']}", json!({}), Yes),
        ("{resources: ['*/scale']}", scale.clone(), Yes),
        ("{resources: [deployments.apps/scale]}", scale.clone(), Yes),
        ("{resources: [deployments.apps, '*']}", scale.clone(), No),
        ("{subResources: [scale]}", scale.clone(), Yes),
        ("{subResources: ['*']}", scale, Yes),
        ("{subResources: ['*']}", json!({}), No),
        ("{subResources: ['']}", json!({}), Yes),
        ("{dryRun: true}", json!({"dryRun": true}), Yes),
        ("{dryRun: false}", json!({}), Yes),
    ]);
}

#[test]
fn which_object_it_is() {
    let made_up = json!({"name": "", "object": {"metadata": {"generateName": "kube-"}}});
    let namespace = json!({
        "name": "prod", "namespace": "", "resource": {"group": "", "version": "v1", "resource": "namespaces"},
        "kind": {"group": "", "version": "v1", "kind": "Namespace"},
    });
    let other = json!({"namespace": "", "resource": {"group": "x.io", "version": "v1", "resource": "namespaces"}});
    check(&[
        ("{names: [web]}", json!({}), Yes),
        ("{names: [Web, web.]}", json!({}), No),
        ("{nameRegex: ['^kube-']}", made_up.clone(), Yes),
        ("{names: [kube-]}", made_up, Yes),
        ("{nameRegex: ['.*']}", json!({"name": "", "object": {"metadata": {}}}), No),
        ("{nameRegex: ['.*']}", json!({"name": "", "object": {"metadata": {"name": 7}}}), Unreadable),
        ("{names: [x]}", json!({"name": "", "object": {"metadata": {"name": "", "generateName": ["x"]}}}), Unreadable),
        ("{names: [x]}", json!({"name": "", "object": {"metadata": ["x"]}}), Unreadable),
        ("{names: [x]}", json!({"name": "", "object": {"metadata": Json::Null}}), No),
        (
            "{names: [old]}",
            json!({"name": "", "operation": "DELETE", "object": null, "oldObject": {"metadata": {"name": "old"}}}),
            Yes,
        ),
        ("{namespaces: [shop]}", json!({}), Yes),
        ("{namespaces: [shop]}", json!({"namespace": ""}), No),
        ("{namespaceRegex: ['.*']}", json!({"namespace": ""}), No),
        ("{namespaces: [prod]}", namespace, Yes),
        ("{namespaces: [web]}", other, No),
    ]);
}

fn labels(labels: &Json) -> Json {
    json!({"object": {"metadata": {"labels": labels, "annotations": labels}}})
}

#[test]
fn which_labels_it_has() {
    let have = labels(&json!({"app": "web", "tier": ""}));
    check(&[
        ("{labelSelector: {matchLabels: {app: web}}}", have.clone(), Yes),
        ("{annotationSelector: {matchLabels: {app: web}}}", have.clone(), Yes),
        ("{labelSelector: {matchLabels: {app: Web}}}", have.clone(), No),
        ("{labelSelector: {}}", json!({}), Yes),
        ("{labelSelector: {matchExpressions: [{key: app, operator: In, values: [a, web]}]}}", have.clone(), Yes),
        ("{labelSelector: {matchExpressions: [{key: app, operator: NotIn, values: [web]}]}}", have.clone(), No),
        ("{labelSelector: {matchExpressions: [{key: nope, operator: NotIn, values: [web]}]}}", have.clone(), Yes),
        ("{labelSelector: {matchExpressions: [{key: tier, operator: Exists}]}}", have.clone(), Yes),
        ("{labelSelector: {matchExpressions: [{key: tier, operator: DoesNotExist}]}}", json!({}), Yes),
        ("{labelSelector: {matchLabels: {app: web}}}", labels(&Json::Null), No),
        ("{labelSelector: {matchLabels: {app: web}}}", labels(&json!(["app"])), Unreadable),
        ("{labelSelector: {matchLabels: {app: web}}}", labels(&json!({"app": 1})), Unreadable),
        ("{labelSelector: {matchLabels: {app: web}}}", json!({"object": {"metadata": []}}), Unreadable),
        (
            "{labelSelector: {matchExpressions: [{key: app, operator: DoesNotExist}]}}",
            labels(&json!({"app": 1})),
            Unreadable,
        ),
        ("{missingLabels: [app, tier]}", have.clone(), No),
        ("{missingLabels: [app, team]}", have.clone(), Yes),
        ("{missingLabels: [{key: app, regex: '^w.b$'}]}", have.clone(), No),
        ("{missingLabels: [{key: app, regex: '^$'}]}", have.clone(), Yes),
        ("{missingAnnotations: [owner]}", have, Yes),
        ("{missingAnnotations: [owner]}", labels(&json!({"owner": 12})), Unreadable),
        ("{missingLabels: [owner]}", labels(&json!("none")), Unreadable),
        (
            "{missingLabels: [owner]}",
            json!({"operation": "DELETE", "object": null, "oldObject": {"metadata": {"labels": {"owner": "x"}}}}),
            No,
        ),
    ]);
}

#[test]
fn which_labels_it_changes() {
    let update = |old: Json, new: Json| {
        json!({"operation": "UPDATE", "oldObject": {"metadata": {"labels": old, "annotations": old}},
            "object": {"metadata": {"labels": new, "annotations": new}}})
    };
    let delete = json!({"operation": "DELETE", "object": null, "oldObject": {"metadata": {"labels": {"a": "1"}}}});
    let (one, two, none) = (json!({"a": "1", "x/b": "2"}), json!({"a": "2", "x/b": "2"}), json!({}));
    check(&[
        ("{labelsChanged: [a]}", update(one.clone(), two.clone()), Yes),
        ("{labelsChanged: [x/b, c]}", update(one.clone(), two.clone()), No),
        ("{labelsChanged: ['x/*']}", update(one.clone(), two.clone()), No),
        ("{labelsChanged: ['*']}", update(one.clone(), two.clone()), Yes),
        ("{labelsAdded: [a]}", update(one.clone(), two), No),
        ("{labelsAdded: [a]}", update(none.clone(), one.clone()), Yes),
        ("{labelsAdded: ['x/*']}", update(none.clone(), one.clone()), Yes),
        ("{labelsRemoved: [a]}", update(none.clone(), one.clone()), No),
        ("{labelsRemoved: ['x/*']}", update(one.clone(), none.clone()), Yes),
        ("{labelsChanged: ['x/*']}", update(one.clone(), Json::Null), Yes),
        ("{annotationsChanged: [a]}", update(one.clone(), none.clone()), Yes),
        ("{annotationsAdded: [a]}", update(none.clone(), one.clone()), Yes),
        ("{annotationsRemoved: [a]}", update(one.clone(), none), Yes),
        ("{labelsAdded: [a]}", labels(&one), Yes),
        ("{labelsChanged: [a]}", labels(&one), Yes),
        ("{labelsRemoved: [a]}", delete.clone(), Yes),
        ("{labelsAdded: [a]}", delete, No),
        ("{labelsChanged: [a]}", update(one.clone(), json!({"a": 1})), Unreadable),
        ("{labelsChanged: ['*']}", update(one.clone(), json!([])), Unreadable),
        ("{labelsChanged: [x/b]}", update(one, json!({"a": 1, "x/b": "2"})), No),
    ]);
}

fn pod(spec: &Json) -> Json {
    json!({"object": {"metadata": {}, "spec": spec}})
}

fn image(image: &Json) -> Json {
    pod(&json!({"containers": [{"name": "a", "image": "ok.example/x:1"}, {"name": "b", "image": image}]}))
}

#[test]
fn which_images_it_runs() {
    let bad = "{images: {registryNotIn: [ok.example]}}";
    let template = |group: &str, kind: &str, path: &str| {
        let mut object = json!({"containers": [{"image": "evil/x"}]});
        for field in path.rsplit('/') {
            object = json!({ field: object });
        }
        json!({"kind": {"group": group, "version": "v1", "kind": kind}, "object": object})
    };
    check(&[
        (bad, image(&json!("ok.example/y")), No),
        (bad, image(&json!("nginx")), Yes),
        (bad, image(&json!(7)), Unreadable),
        (bad, image(&json!("not an image")), Unreadable),
        (bad, image(&Json::Null), Unreadable),
        (bad, pod(&json!({"containers": Json::Null})), Unreadable),
        (bad, pod(&json!({})), Unreadable),
        (bad, pod(&json!({"containers": {}})), Unreadable),
        (bad, pod(&json!({"containers": []})), No),
        (bad, pod(&json!({"containers": ["nginx"]})), Unreadable),
        (bad, pod(&json!([])), Unreadable),
        (bad, pod(&json!({"containers": [], "initContainers": [{"image": "nginx"}]})), Yes),
        (bad, pod(&json!({"containers": [], "initContainers": 1})), Unreadable),
        (bad, pod(&json!({"containers": [], "ephemeralContainers": [{"image": "nginx"}]})), Yes),
        (bad, pod(&json!({"containers": [], "volumes": [{"name": "v", "image": {"reference": "nginx"}}]})), Yes),
        (bad, pod(&json!({"containers": [], "volumes": [{"name": "v", "emptyDir": {}}]})), No),
        (bad, template("apps", "Deployment", "spec/template/spec"), Yes),
        (bad, template("apps", "ReplicaSet", "spec/template/spec"), Yes),
        (bad, template("apps", "StatefulSet", "spec/template/spec"), Yes),
        (bad, template("apps", "DaemonSet", "spec/template/spec"), Yes),
        (bad, template("batch", "Job", "spec/template/spec"), Yes),
        (bad, template("batch", "CronJob", "spec/jobTemplate/spec/template/spec"), Yes),
        (bad, template("", "ReplicationController", "spec/template/spec"), Yes),
        (bad, template("", "PodTemplate", "template/spec"), Yes),
        (bad, template("apps", "Deployment", "spec"), Unreadable),
        (bad, template("", "ConfigMap", "spec"), No),
        ("{images: {tagIn: [latest]}}", image(&json!("nginx")), Yes),
        ("{images: {tagIn: [latest]}}", image(&json!("nginx:Latest")), No),
        ("{images: {tagNotIn: ['1']}}", image(&json!("x:1")), No),
        ("{images: {tagNotIn: ['1']}}", image(&json!("x")), Yes),
        ("{images: {hasDigest: true}}", image(&json!(format!("x@sha256:{}", "a".repeat(64)))), Yes),
        ("{images: {tagIn: [latest], hasDigest: false}}", image(&json!(format!("x@sha256:{}", "a".repeat(64)))), No),
        ("{images: {hasDigest: false}}", image(&json!("x")), Yes),
        ("{images: {registryIn: [docker.io], tagIn: [latest]}}", image(&json!("nginx:1")), No),
        ("{images: {regex: '^evil/'}}", image(&json!("evil/x")), Yes),
        ("{images: {notRegex: [example, '^evil/']}}", image(&json!("evil/x")), No),
        ("{images: {}}", pod(&json!({"containers": []})), No),
    ]);
}

#[test]
fn what_its_containers_are() {
    let privileged = "{containers: [{path: /securityContext/privileged, equals: true}]}";
    let both = "{containers: [{path: /name, equals: a}, {path: /tty, equals: true}]}";
    let containers = |list: Json| pod(&json!({ "containers": list }));
    check(&[
        (privileged, containers(json!([{"securityContext": {"privileged": true}}])), Yes),
        (privileged, containers(json!([{"securityContext": {"privileged": "true"}}])), No),
        (privileged, containers(json!([{"securityContext": []}])), Unreadable),
        (privileged, containers(json!([{"securityContext": Json::Null}, {}])), No),
        (privileged, containers(json!([7])), Unreadable),
        (
            privileged,
            pod(&json!({"containers": [], "volumes": [{"securityContext": {"privileged": true}, "image": {}}]})),
            No,
        ),
        (both, containers(json!([{"name": "a"}, {"name": "b", "tty": true}])), No),
        (both, containers(json!([{"name": "b"}, {"name": "a", "tty": true}])), Yes),
        ("{pod: [{path: /hostNetwork, equals: true}]}", pod(&json!({"hostNetwork": true})), Yes),
        ("{pod: [{path: /hostNetwork, equals: true}]}", pod(&json!("x")), Unreadable),
        ("{limits: {missing: [cpu]}}", containers(json!([{"resources": {"limits": {"memory": 1}}}])), Yes),
        ("{limits: {missing: [cpu]}}", containers(json!([{"resources": {"limits": {"cpu": 1}}}])), No),
        ("{limits: {missing: [cpu]}}", containers(json!([{"resources": {"limits": {"cpu": Json::Null}}}])), Yes),
        ("{limits: {missing: [cpu]}}", containers(json!([{"resources": {"limits": {"cpu": "1n"}}}])), No),
        ("{limits: {missing: [cpu]}}", containers(json!([{"resources": {"limits": {"cpu": 0}}}])), Yes),
        ("{limits: {missing: [cpu]}}", containers(json!([{"resources": {"limits": {"cpu": "0.000"}}}])), Yes),
        ("{limits: {missing: [cpu]}}", containers(json!([{"resources": {"limits": {"cpu": "-1"}}}])), Yes),
        ("{limits: {missing: [cpu]}}", containers(json!([{"resources": {"limits": {"cpu": "lots"}}}])), Unreadable),
        (
            "{limits: {missing: [cpu]}}",
            pod(&json!({"containers": [], "ephemeralContainers": [{"resources": {"limits": {"cpu": 0}}}]})),
            No,
        ),
        ("{limits: {missing: [cpu]}}", containers(json!([{"resources": 1}])), Unreadable),
        ("{limits: {missing: [cpu]}}", containers(json!([{}])), Yes),
        ("{limits: {missing: [cpu]}}", pod(&json!({"containers": [], "ephemeralContainers": [{}]})), No),
        ("{limits: {over: {memory: 1Gi}}}", containers(json!([{"resources": {"limits": {"memory": "1024Mi"}}}])), No),
        ("{limits: {over: {memory: 1Gi}}}", containers(json!([{"resources": {"limits": {"memory": "1025Mi"}}}])), Yes),
        ("{limits: {over: {cpu: 2}}}", containers(json!([{"resources": {"limits": {"cpu": 2.5}}}])), Yes),
        ("{limits: {over: {cpu: 2}}}", containers(json!([{"resources": {"limits": {"cpu": "lots"}}}])), Unreadable),
        ("{limits: {over: {cpu: 2}}}", containers(json!([{"resources": {"limits": {"cpu": []}}}])), Unreadable),
        ("{limits: {over: {cpu: 2}}}", containers(json!([{}])), No),
    ]);
}

#[test]
fn which_taints_it_tolerates() {
    let tolerations = |list: Json| pod(&json!({"containers": [], "tolerations": list}));
    let infra = "{tolerates: [{key: infra, effect: NoSchedule}]}";
    check(&[
        (infra, tolerations(json!([{"key": "infra", "operator": "Exists"}])), Yes),
        (infra, tolerations(json!([{"key": "infra", "value": "x", "effect": "NoSchedule"}])), Yes),
        (infra, tolerations(json!([{"key": "infra", "effect": "NoExecute"}])), No),
        (infra, tolerations(json!([{"key": "other"}])), No),
        (infra, tolerations(json!([{"operator": "Exists"}])), Yes),
        (infra, tolerations(json!([{"operator": "Exists", "key": "", "effect": ""}])), Yes),
        (infra, tolerations(json!([{"operator": "Exists", "effect": "NoExecute"}])), No),
        ("{tolerates: [{key: infra}]}", tolerations(json!([{"key": "infra", "effect": "NoExecute"}])), Yes),
        (infra, tolerations(json!([{"key": 1}])), Unreadable),
        (infra, tolerations(json!(["infra"])), Unreadable),
        (infra, tolerations(json!({})), Unreadable),
        (infra, tolerations(Json::Null), No),
        (infra, json!({"kind": {"group": "", "version": "v1", "kind": "Service"}}), No),
    ]);
}

#[test]
fn what_its_fields_are() {
    let spec = |spec: Json| json!({"object": { "spec": spec }});
    let change = |old: Json, new: Json| json!({"operation": "UPDATE", "oldObject": {"spec": old, "x": 1}, "object": {"spec": new}});
    let field = |comparison: &str| format!("{{fields: [{{path: /spec/a, {comparison}}}]}}");
    let cases = [
        ("exists: true", spec(json!({"a": 0})), Yes),
        ("exists: true", spec(json!({"a": null})), No),
        ("exists: false", spec(json!({})), Yes),
        ("exists: false", spec(json!([])), Unreadable),
        ("exists: false", spec(json!(7)), Unreadable),
        ("equals: 1", spec(json!({"a": 1.0})), Yes),
        ("equals: 1", spec(json!({"a": "1"})), No),
        ("equals: '1'", spec(json!({"a": "1"})), Yes),
        ("equals: {x: [1, {y: z}]}", spec(json!({"a": {"x": [1, {"y": "z"}]}})), Yes),
        ("equals: {x: 1}", spec(json!({"a": {"x": 1, "y": 2}})), No),
        ("equals: [1]", spec(json!({"a": [1, 2]})), No),
        ("in: [x, 2, true]", spec(json!({"a": true})), Yes),
        ("in: [x]", spec(json!({})), No),
        ("notIn: [x]", spec(json!({})), No),
        ("notIn: [false]", spec(json!({"a": "no"})), Yes),
        ("notIn: [false]", spec(json!({"a": false})), No),
        ("regex: '^x'", spec(json!({"a": "xy"})), Yes),
        ("regex: '^x'", spec(json!({"a": 7})), Unreadable),
        ("regex: '^x'", spec(json!({})), No),
        ("notRegex: '^x'", spec(json!({"a": "y"})), Yes),
        ("notRegex: '^x'", spec(json!({"a": ["y"]})), Unreadable),
        ("regex: '^x', notIn: [xx]", spec(json!({"a": "xx"})), No),
        ("lessThan: 5", spec(json!({"a": 4})), Yes),
        ("lessThan: 5", spec(json!({"a": 5})), No),
        ("atMost: 5", spec(json!({"a": 5})), Yes),
        ("atLeast: 500m", spec(json!({"a": "0.5"})), Yes),
        ("greaterThan: 1Gi", spec(json!({"a": "1Gi"})), No),
        ("greaterThan: 1Gi", spec(json!({"a": 2e9})), Yes),
        ("greaterThan: 3", spec(json!({"a": "many"})), Unreadable),
        ("greaterThan: 3", spec(json!({"a": true})), Unreadable),
        ("greaterThan: 3", spec(json!({})), No),
        ("contains: x", spec(json!({"a": ["y", "x"]})), Yes),
        ("contains: x", spec(json!({"a": "axe"})), Yes),
        ("contains: x", spec(json!({"a": {"x": 0}})), Yes),
        ("contains: {b: 1}", spec(json!({"a": [{"b": 1}]})), Yes),
        ("contains: 1", spec(json!({"a": "1"})), Unreadable),
        ("contains: x", spec(json!({})), No),
        ("changed: true", change(json!({"a": {"x": 1, "y": [1]}}), json!({"a": {"y": [1.0], "x": 1}})), No),
        ("changed: true", change(json!({"a": {"x": 1}}), json!({"a": {"x": 1, "y": 2}})), Yes),
        ("changed: true", change(json!({"a": {"x": 1, "y": 2}}), json!({"a": {"x": 1}})), Yes),
        ("changed: true", change(json!({"a": [1, 2]}), json!({"a": [1]})), Yes),
        ("changed: true", change(json!({"a": null}), json!({})), No),
        ("changed: false", change(json!({"a": 1}), json!({"a": 1})), Yes),
        ("changed: true", change(json!({"a": 1}), json!([])), Unreadable),
        ("changed: true", spec(json!({"a": 1})), Yes),
        ("changed: true", spec(json!({})), No),
        ("old: true, equals: 1", change(json!({"a": 1}), json!({"a": 2})), Yes),
        ("old: true, exists: true", spec(json!({"a": 1})), No),
        ("sameAs: {path: /spec/b}", spec(json!({"a": [1], "b": [1]})), Yes),
        ("sameAs: {path: /spec/b}", spec(json!({"a": 1})), No),
        ("sameAs: {path: /spec/b}", spec(json!({})), Yes),
        ("sameAs: {path: /x, old: true}", change(json!({}), json!({"a": 1})), Yes),
    ];
    for (comparison, request, truth) in cases {
        assert_eq!(test(&field(comparison), &request), truth, "{comparison} of {request}");
    }
}

#[test]
fn paths_have_stars() {
    let ports = json!({"object": {"spec": {"a/b": 1, "m~": 2, "ports": [{"port": 80}, {"port": 443, "x": true}], "map": {"one": 1, "two": 2}}}});
    let none = json!({"object": {"spec": {"ports": []}}});
    let list = json!({"object": {"subjects": [{"kind": "User", "ns": "x"}, {"kind": "SA", "ns": "y"}, 7]}});
    let entry = |kind: &str, ns: &str| {
        format!(
            "{{entries: [{{of: /subjects, fields: [{{path: /kind, equals: {kind}}}, {{path: /ns, equals: {ns}}}]}}]}}"
        )
    };
    check(&[
        ("{fields: [{path: /spec/ports/*/port, equals: 443}]}", ports.clone(), Yes),
        ("{fields: [{path: /spec/ports/*/port, equals: 8080}]}", ports.clone(), No),
        ("{fields: [{path: /spec/ports/*/port, equals: 80, notIn: [80]}]}", ports.clone(), No),
        ("{fields: [{path: /spec/ports/*/x, exists: false}]}", ports.clone(), Yes),
        ("{fields: [{path: /spec/ports/*/port, exists: false}]}", ports.clone(), No),
        ("{fields: [{path: /spec/ports/*/port, exists: false}]}", none.clone(), No),
        ("{fields: [{path: /spec/nothing/*/port, exists: true}]}", none.clone(), No),
        ("{fields: [{path: /spec/ports/1/port, equals: 443}]}", ports.clone(), Yes),
        ("{fields: [{path: /spec/ports/01/port, equals: 443}]}", ports.clone(), Unreadable),
        ("{fields: [{path: /spec/ports/port, equals: 443}]}", ports.clone(), Unreadable),
        ("{fields: [{path: /spec/map/*, equals: 2}]}", ports.clone(), Yes),
        ("{fields: [{path: /*/ports/*/port, equals: 80}]}", ports.clone(), Yes),
        ("{fields: [{path: /spec/a~1b, equals: 1}, {path: /spec/m~0, equals: 2}]}", ports.clone(), Yes),
        ("{fields: [{path: '', exists: true}]}", ports, Yes),
    ]);
    assert_eq!(test(&entry("SA", "y"), &list), Yes);
    assert_eq!(test(&entry("SA", "x"), &list), Unreadable, "what is no map might be anything");
    assert_eq!(test(&entry("SA", "x"), &json!({"object": {"subjects": [{"kind": "SA", "ns": "y"}]}})), No);
    assert_eq!(test(&entry("SA", "x"), &json!({"object": {"subjects": {}}})), No);
    assert_eq!(test(&entry("SA", "x"), &json!({"object": {"subjects": "x"}})), Unreadable);
}
