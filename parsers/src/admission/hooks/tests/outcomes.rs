//! What hooks as a whole decide: order, texts, modes, changes.

use serde_json::{Value as Json, json};

use super::load;
use crate::admission::hooks::testing::apply_patch;
use crate::admission::json::Tape;
use crate::admission::judge::{Judge, Outcome, Verdict};
use crate::admission::review::Review;

pub(super) const HEAD: &str = r#"
apiVersion: portcullis.dev/v1
kind: AdmissionHook
metadata: {name: h}
spec:
  uri: /h
  doc: for tests
  rules: [{operations: ["*"], apiGroups: ["*"], apiVersions: ["*"], resources: ["*/*"]}]
"#;

/// A review, of a pod unless it says otherwise.
pub(super) fn review(request: &Json) -> Vec<u8> {
    let mut whole = json!({
        "uid": "1", "operation": "CREATE", "name": "web", "namespace": "shop",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "userInfo": {"username": "alice"},
        "object": {"metadata": {"name": "web"}, "spec": {"containers": []}},
    });
    for (key, value) in request.as_object().unwrap() {
        whole[key] = value.clone();
    }
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": whole}).to_string().into_bytes()
}

pub(super) fn judge(spec: &str, request: &Json) -> Outcome {
    let (hooks, _) = load(&format!("{HEAD}{spec}")).unwrap_or_else(|errors| panic!("{spec}: {errors:?}"));
    let text = review(request);
    let mut tape = Tape::new();
    let review = Review::read(tape.read(&text).unwrap()).unwrap();
    hooks.find("/h").unwrap().judge(&review, None)
}

fn containers(images: &[&str]) -> Json {
    let containers: Vec<_> = images.iter().map(|image| json!({"name": format!("c-{image}"), "image": image})).collect();
    json!({"object": {"metadata": {"name": "web"}, "spec": {"containers": containers}}})
}

#[test]
fn the_first_rule_decides() {
    let spec = "  decide:\n  - allow: {users: [root]}\n  - warn: {names: [web], message: '{{name}} is old'}\n  - deny: {names: [web], message: no}\n  - allow: {}\n";
    let outcome = judge(spec, &json!({}));
    assert_eq!((outcome.verdict, &*outcome.decided_by), (Verdict::Deny, "decide[2]"));
    assert_eq!((&*outcome.message, &*outcome.reason, outcome.code), ("no", "Forbidden", 403));
    assert_eq!(outcome.warnings, ["web is old"]);
    let outcome = judge(spec, &json!({"userInfo": {"username": "root"}}));
    assert_eq!((outcome.verdict, &*outcome.decided_by), (Verdict::Allow, "decide[0]"));
    assert_eq!(outcome.warnings, [""; 0]);
    let outcome = judge("  decide: [{deny: {users: [root]}}]", &json!({}));
    assert_eq!((outcome.verdict, &*outcome.decided_by), (Verdict::Allow, "default"));
}

#[test]
fn what_is_unreadable_is_denied_and_never_allowed() {
    let odd = json!({"object": {"metadata": {"labels": 7}, "spec": {"containers": null}}});
    for condition in [
        "images: {registryIn: [docker.io]}",
        "images: {registryNotIn: [docker.io]}",
        "labelSelector: {matchLabels: {a: b}}",
        "labelSelector: {matchExpressions: [{key: a, operator: DoesNotExist}]}",
        "containers: [{path: /tty, exists: true}]",
        "fields: [{path: /metadata/labels/a, exists: false}]",
    ] {
        for condition in [format!("{{{condition}}}"), format!("{{not: {{{condition}}}}}")] {
            let outcome = judge(&format!("  decide: [{{deny: {condition}}}]"), &odd);
            assert_eq!(outcome.verdict, Verdict::Deny, "deny {condition}");
            let outcome = judge(&format!("  decide: [{{allow: {condition}}}, {{deny: {{}}}}]"), &odd);
            assert_eq!(outcome.verdict, Verdict::Deny, "allow {condition}");
            let outcome = judge(&format!("  validate: [{{require: {condition}, message: odd}}]"), &odd);
            assert_eq!((outcome.verdict, outcome.code, &*outcome.message), (Verdict::Deny, 400, "odd"));
            assert_eq!((&*outcome.reason, &*outcome.decided_by), ("BadRequest", "validate[0]"));
            let outcome = judge(&format!("  mutate: [{{when: {condition}, setAnnotations: {{a: b}}}}]"), &odd);
            assert_eq!((outcome.verdict, outcome.code, outcome.patch), (Verdict::Error, 500, None));
            assert_eq!(
                outcome.message,
                "the hook `h` cannot judge the request: what `mutate[0].when` asks for cannot be read"
            );
        }
    }
}

#[test]
fn texts_are_filled_in() {
    let told = |deny: &str, request: &Json| {
        let outcome = judge(&format!("  lists: {{ok: [a.b, c.d]}}\n  decide: [{{deny: {deny}}}]"), request);
        assert_eq!(outcome.verdict, Verdict::Deny, "{deny}");
        outcome.message.into_owned()
    };
    let all = "{message: '{{user}} {{operation}} {{kind}} {{resource}} {{name}} {{namespace}} {{ lists.ok }}|{{image}}{{container}}{{missing}}{{label}}{{path}}|', any: [{}, {images: {hasDigest: true}, missingLabels: [a], labelsAdded: [a], containers: [{path: /a, exists: true}]}]}";
    let exec = json!({"subResource": "exec", "operation": "CONNECT", "resource": {"group": "x.io", "version": "v1", "resource": "pods"}});
    assert_eq!(told(all, &exec), "alice CONNECT Pod pods.x.io/exec web shop a.b, c.d||");
    assert_eq!(
        told(
            "{images: {registryNotIn: {list: ok}}, message: '{{image}}'}",
            &containers(&["a.b/x", "c.d/y:1", "nginx:1", "z"])
        ),
        "nginx:1"
    );
    let odd = |spec: Json| json!({"object": {"metadata": {}, "spec": spec}});
    for (spec, path) in [
        (json!({"containers": null}), "/spec/containers"),
        (json!({"containers": [{"image": "a.b/x"}, {"image": 7}]}), "/spec/containers/1/image"),
        (json!({"containers": [{"image": "a.b/x"}, 7]}), "/spec/containers/1"),
        (json!({"containers": [], "initContainers": "x"}), "/spec/initContainers"),
        (json!({"containers": [], "volumes": [{"image": {"reference": ""}}]}), "/spec/volumes/0/image/reference"),
        (json!({"containers": [], "volumes": [{"image": 3}]}), "/spec/volumes/0/image/reference"),
        (json!("x"), "/spec"),
    ] {
        assert_eq!(told("{images: {registryNotIn: {list: ok}}, message: '{{image}}'}", &odd(spec)), path);
    }
    let privileged =
        "{containers: [{path: /securityContext/privileged, equals: true}], message: '{{container}} {{path}}'}";
    let pod = odd(json!({"containers": [{"name": "a"}, {"name": "b", "securityContext": {"privileged": true}}]}));
    assert_eq!(told(privileged, &pod), "b /spec/containers/1/securityContext/privileged");
    let labels = json!({"object": {"metadata": {"labels": {"x/b": "1", "c": 7}}}});
    assert_eq!(told("{missingLabels: [d, a, x/b, c], message: '{{missing}}'}", &labels), r#"{"a", "c", "d"}"#);
    assert_eq!(told("{labelsAdded: [q, 'x/*'], message: '{{label}}'}", &labels), "x/b");
    let list = json!({"object": {"a": [{"k": 1}, {"k": {"~/": 2}}]}});
    assert_eq!(told("{fields: [{path: '/a/*/k/*', equals: 2}], message: '{{path}}'}", &list), "/a/1/k/~0~1");
    assert_eq!(told("{entries: [{of: /a, fields: [{path: /k, equals: 1}]}], message: '{{path}}'}", &list), "/a/0/k");
    assert_eq!(
        told(
            "{any: [{not: {images: {registryIn: [a.b]}}}, {images: {registryIn: [a.b]}}], message: 'x{{image}}'}",
            &containers(&["nginx"])
        ),
        "x"
    );
    let long = json!({"userInfo": {"username": format!("\u{1b}[2J\u{202e}{}", "x".repeat(9000))}});
    let told = told("{message: '{{user}}'}", &long);
    assert!(told.starts_with(r"\u{1b}[2J\u{202e}xxx") && told.len() < 600, "{told}");
}

#[test]
fn reasons_and_codes_are_told() {
    let outcome = judge("  decide: [{deny: {reason: 'no {{name}}'}}]", &json!({}));
    assert_eq!((&*outcome.message, &*outcome.reason, outcome.code), ("", "no web", 403));
    let outcome = judge("  decide: [{deny: {message: m, reason: R, code: 418}}]", &json!({}));
    assert_eq!((&*outcome.message, &*outcome.reason, outcome.code), ("m", "R", 418));
    let outcome = judge("  decide: [{deny: {}}]", &json!({}));
    assert_eq!((&*outcome.message, &*outcome.reason, outcome.code), ("denied by the hook `h`", "Forbidden", 403));
}

#[test]
fn all_that_is_wrong_is_told_once_and_in_order() {
    let spec = "  decide:\n  - denyAll:\n      join: '; '\n      of:\n      - {images: {registryNotIn: [a.b]}, message: 'from {{image}}'}\n      - {images: {tagIn: [latest]}, message: 'latest {{image}}'}\n      - {missingLabels: [x], message: 'needs {{missing}}'}\n";
    let outcome = judge(spec, &containers(&["z", "a.b/x:1", "nginx:1", "z"]));
    assert_eq!(outcome.message, r#"from nginx:1; from z; latest z; needs {"x"}"#);
    assert_eq!(judge("  decide: [{denyAll: {of: [{users: [x]}]}}]", &json!({})).verdict, Verdict::Allow);
    let reasons = "  decide: [{denyAll: {join: ', ', of: [{images: {registryNotIn: [a.b]}, reason: 'b {{image}}'}, {images: {tagIn: [latest]}, reason: 'a {{image}}'}]}}]";
    let outcome = judge(reasons, &containers(&["z"]));
    assert_eq!((&*outcome.message, &*outcome.reason), ("", "a z, b z"));
    let many: Vec<_> = (0..5000).map(|n| format!("i{n}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    assert_eq!(judge(spec, &containers(&many)).message.split("; ").count(), 100);
}

#[test]
fn the_first_image_that_is_wrong_is_told() {
    let spec = "  decide:\n  - denyFirst:\n      of:\n      - {images: {registryNotIn: [a.b]}, reason: 'from {{image}}'}\n      - {images: {tagIn: [latest]}, reason: 'latest {{image}}', code: 422}\n      - {users: [mallory], reason: '{{user}}'}\n";
    for (images, reason) in [
        (&["nginx"][..], "from nginx"),
        (&["a.b/x:1", "a.b/y", "nginx"], "latest a.b/y"),
        (&["a.b/x:1", "nginx:1", "a.b/y"], "from nginx:1"),
    ] {
        assert_eq!(judge(spec, &containers(images)).reason, reason);
    }
    assert_eq!(judge(spec, &containers(&["a.b/x:1"])).verdict, Verdict::Allow);
    let mallory =
        json!({"kind": {"group": "", "version": "v1", "kind": "Service"}, "userInfo": {"username": "mallory"}});
    assert_eq!(judge(spec, &mallory).reason, "mallory", "where there is no image");
}

#[test]
fn modes_watch() {
    let spec = |mode: &str| {
        format!("  mode: {mode}\n  auditAnnotations: {{owner: me}}\n  decide: [{{deny: {{message: no}}}}]")
    };
    let owner = ("owner".to_owned(), "me".to_owned());
    let outcome = judge(&spec("warn"), &json!({}));
    assert_eq!((outcome.verdict, outcome.warnings), (Verdict::Watched, vec!["no".to_owned()]));
    assert_eq!(outcome.audit_annotations, std::slice::from_ref(&owner));
    let outcome = judge(&spec("audit"), &json!({}));
    assert_eq!((outcome.verdict, outcome.warnings), (Verdict::Watched, Vec::new()));
    assert_eq!(outcome.audit_annotations, [owner, ("wouldDeny".to_owned(), "no".to_owned())]);
    let changes = "  mode: audit\n  mutate: [{setLabels: {a: b}}]";
    assert_eq!(judge(changes, &json!({})).patch, None);
}

#[test]
fn errors_go_where_the_hook_says() {
    for (on_error, verdict) in [("deny", Verdict::Error), ("allow", Verdict::Excused), ("pass", Verdict::Excused)] {
        let spec = format!("  onError: {on_error}\n  mutate: [{{setLabels: {{a: b}}}}]");
        let outcome = judge(&spec, &json!({"object": {"metadata": {"labels": []}}}));
        assert_eq!((outcome.verdict, outcome.code, outcome.patch), (verdict, 500, None));
        assert_eq!(outcome.message, "the hook `h` cannot judge the request: `/metadata/labels` cannot be read");
    }
    let watching = "  mode: audit\n  mutate: [{setLabels: {a: b}}]";
    assert!(judge(watching, &json!({"object": {"metadata": {"labels": []}}})).verdict.allows());
}

#[test]
fn rules_and_selectors_say_what_is_spoken_of() {
    let head = HEAD.lines().filter(|line| !line.contains("rules:")).collect::<Vec<_>>().join("\n");
    let matched = |spec: &str, request: &Json| {
        let (hooks, _) =
            load(&format!("{head}\n{spec}\n  decide: [{{deny: {{}}}}]")).unwrap_or_else(|errors| panic!("{errors:?}"));
        let text = review(request);
        let mut tape = Tape::new();
        let outcome = hooks.find("/h").unwrap().judge(&Review::read(tape.read(&text).unwrap()).unwrap(), None);
        assert_eq!(outcome.verdict == Verdict::Allow, outcome.decided_by == "not matched");
        outcome.verdict == Verdict::Deny
    };
    let rule = |rest: &str| format!("  rules: [{{operations: [CREATE, DELETE], {rest}}}]");
    let pods = rule("apiGroups: [''], apiVersions: [v1], resources: [pods, pods/exec, nodes/*]");
    let resource = |resource: &str| json!({"resource": {"group": "", "version": "v1", "resource": resource}});
    assert!(matched(&pods, &json!({})));
    assert!(!matched(&pods, &json!({"operation": "UPDATE", "oldObject": {}})));
    assert!(!matched(&pods, &json!({"subResource": "status"})));
    assert!(matched(&pods, &json!({"subResource": "exec"})));
    assert!(matched(&pods, &resource("nodes")) && !matched(&pods, &resource("services")));
    assert!(!matched(&pods, &json!({"resource": {"group": "", "version": "v2", "resource": "pods"}})));
    assert!(!matched(&pods, &json!({"resource": {"group": "x", "version": "v1", "resource": "pods"}})));
    let any = "apiGroups: ['*'], apiVersions: ['*'], resources: ['*']";
    assert!(!matched(&rule(any), &json!({"subResource": "exec"})));
    let namespace = json!({"resource": {"group": "", "version": "v1", "resource": "namespaces"}, "namespace": "web"});
    let scoped = |scope: &str| rule(&format!("{any}, scope: {scope}"));
    assert!(matched(&scoped("Namespaced"), &json!({})) && !matched(&scoped("Cluster"), &json!({})));
    assert!(!matched(&scoped("Namespaced"), &namespace) && matched(&scoped("Cluster"), &namespace));
    assert!(matched(&scoped("Cluster"), &json!({"namespace": ""})) && matched(&scoped("'*'"), &namespace));

    let objects = format!("{}\n  objectSelector: {{matchLabels: {{a: b}}}}", rule(any).replace("CREATE", "UPDATE"));
    let (with, without) = (json!({"metadata": {"labels": {"a": "b"}}}), json!({"metadata": {}}));
    for (old, new, spoken) in [(&with, &without, true), (&without, &with, true), (&without, &without, false)] {
        assert_eq!(matched(&objects, &json!({"operation": "UPDATE", "oldObject": old, "object": new})), spoken);
    }
    assert!(matched(&objects, &json!({"operation": "UPDATE", "oldObject": {}, "object": {"metadata": {"labels": 1}}})));
    let not = format!("{}\n  objectSelector: {{matchExpressions: [{{key: a, operator: DoesNotExist}}]}}", rule(any));
    assert!(!matched(&not, &json!({"object": {"spec": {}}})), "what has no metadata is not selected");
    assert!(matched(&not, &json!({"object": {"metadata": {}}})));

    let ignore = format!(
        "{}\n  namespaceSelector: {{matchExpressions: [{{key: p, operator: NotIn, values: [ignore]}}, {{key: kubernetes.io/metadata.name, operator: NotIn, values: [kube-system]}}]}}",
        rule(any)
    );
    let named = |name: &str, labels: Json| json!({"name": name, "resource": {"group": "", "version": "v1", "resource": "namespaces"}, "object": {"metadata": {"labels": labels}}});
    assert!(matched(&ignore, &named("shop", json!({}))) && !matched(&ignore, &named("shop", json!({"p": "ignore"}))));
    assert!(!matched(&ignore, &named("kube-system", json!({}))));
    assert!(matched(&ignore, &json!({})) && !matched(&ignore, &json!({"namespace": "kube-system"})));
    assert!(matched(&ignore, &json!({"namespace": ""})), "what is in no namespace is selected always");
}

fn change(mutate: &str, object: &Json) -> Option<(String, Json)> {
    let outcome = judge(&format!("  mutate: [{mutate}]"), &json!({ "object": object }));
    assert_eq!(outcome.verdict, Verdict::Allow, "{mutate} {object} {}", outcome.message);
    let patch = String::from_utf8(outcome.patch?).unwrap();
    let after = apply_patch(object, patch.as_bytes()).unwrap_or_else(|why| panic!("{patch}: {why}"));
    assert_eq!(judge(&format!("  mutate: [{mutate}]"), &json!({ "object": after })).patch, None, "again: {patch}");
    Some((patch, after))
}

#[test]
fn objects_are_changed() {
    let pod = |metadata: Json| json!({"metadata": metadata, "spec": {"containers": []}});
    let cases = [
        (
            "{setLabels: {a: b}}",
            json!({"labels": {"a": "c"}}),
            r#"[{"op":"replace","path":"/metadata/labels/a","value":"b"}]"#,
        ),
        ("{setLabels: {a: b}}", json!({"labels": {}}), r#"[{"op":"add","path":"/metadata/labels/a","value":"b"}]"#),
        ("{setLabels: {a: b}}", json!({}), r#"[{"op":"add","path":"/metadata/labels","value":{"a":"b"}}]"#),
        (
            "{setLabels: {a: b}}",
            json!({"labels": null}),
            r#"[{"op":"add","path":"/metadata/labels","value":{"a":"b"}}]"#,
        ),
        ("{setLabels: {a: b}}", json!({"labels": {"a": "b"}}), ""),
        (
            "{setLabels: {a: b}}",
            json!({"labels": {"a": 7}}),
            r#"[{"op":"replace","path":"/metadata/labels/a","value":"b"}]"#,
        ),
        ("{addLabels: {a: b}}", json!({"labels": {"a": "c"}}), ""),
        (
            "{addLabels: {x/y: b}}",
            json!({"labels": {"a": "c"}}),
            r#"[{"op":"add","path":"/metadata/labels/x~1y","value":"b"}]"#,
        ),
        ("{removeLabels: [a, z]}", json!({"labels": {"a": "c"}}), r#"[{"op":"remove","path":"/metadata/labels/a"}]"#),
        ("{removeLabels: [a]}", json!({}), ""),
        (
            "{setAnnotations: {a: \"q\\\"\\n\"}}",
            json!({"annotations": {}}),
            r#"[{"op":"add","path":"/metadata/annotations/a","value":"q\"\n"}]"#,
        ),
        ("{setLabels: {a: b}}, {setLabels: {a: c}}, {removeLabels: [a]}", json!({"labels": {}}), ""),
        (
            "{setLabels: {a: b}, setAnnotations: {c: d}}",
            json!({}),
            r#"[{"op":"add","path":"/metadata/labels","value":{"a":"b"}},{"op":"add","path":"/metadata/annotations","value":{"c":"d"}}]"#,
        ),
        ("{when: {users: [bob]}, setLabels: {a: b}}", json!({}), ""),
        (
            "{annotationItems: [{key: t, ensure: [m=1]}]}",
            json!({"annotations": {"t": "x=1,m=2"}}),
            r#"[{"op":"replace","path":"/metadata/annotations/t","value":"m=1,x=1"}]"#,
        ),
    ];
    for (mutate, metadata, patch) in cases {
        let got = change(mutate, &pod(metadata.clone())).map(|(patch, _)| patch).unwrap_or_default();
        assert_eq!(got, patch, "{mutate} {metadata}");
    }
    let (patch, after) = change("{setLabels: {a: b}}", &json!({"spec": {"containers": []}})).unwrap();
    assert_eq!(after["metadata"]["labels"]["a"], "b", "{patch}");
    let images = json!({"spec": {"containers": [{"image": "nginx"}, {"image": "ghcr.io/x:1"}], "initContainers": [{"image": "docker.io/a/b:2"}],
        "volumes": [{"emptyDir": {}}, {"image": {"reference": "c"}}]}});
    let (_, after) = change("{rewriteRegistry: [{from: docker.io, to: 'm:5000/hub'}]}", &images).unwrap();
    let spec = &after["spec"];
    assert_eq!(spec["containers"], json!([{"image": "m:5000/hub/library/nginx"}, {"image": "ghcr.io/x:1"}]));
    assert_eq!(spec["initContainers"][0]["image"], "m:5000/hub/a/b:2");
    assert_eq!(spec["volumes"][1]["image"]["reference"], "m:5000/hub/library/c");
}

#[test]
fn only_what_is_allowed_and_will_be_is_changed() {
    let spec = "  decide: [{deny: {users: [mallory]}}]\n  mutate: [{setLabels: {a: b}}]";
    assert!(judge(spec, &json!({})).patch.is_some());
    let outcome = judge(spec, &json!({"userInfo": {"username": "mallory"}}));
    assert_eq!((outcome.verdict, outcome.patch), (Verdict::Deny, None));
    let delete = json!({"operation": "DELETE", "object": null, "oldObject": {"metadata": {}}});
    assert_eq!(judge(spec, &delete).patch, None);
    assert_eq!(judge(spec, &json!({"operation": "CONNECT", "object": null})).patch, None);
}
