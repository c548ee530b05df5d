//! Objects that are made to hurt.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::load;
use super::outcomes::{HEAD, judge, review};
use crate::admission::hooks::Hooks;
use crate::admission::hooks::testing::apply_patch;
use crate::admission::json::Tape;
use crate::admission::judge::{Judge, Outcome, Verdict};
use crate::admission::review::Review;

/// Every condition there is, under rules that only warn, and all changes.
const EVERYTHING: &str = r#"
  decide:
  - warn: {users: [a], userRegex: [a], groups: [a], groupRegex: [a], serviceAccounts: ["*:*"], message: "{{user}}"}
  - warn: {operations: [CREATE], kinds: ["*"], resources: ["*/*"], subResources: ["*"], dryRun: false, message: "{{kind}} {{resource}}"}
  - warn: {names: [web], message: "{{name}}"}
  - warn: {nameRegex: ["."], namespaces: [shop], namespaceRegex: ["."], message: "{{namespace}}"}
  - warn: {labelSelector: {matchLabels: {a: b}}, message: m}
  - warn: {annotationSelector: {matchExpressions: [{key: a, operator: NotIn, values: [b]}]}, message: m}
  - warn: {missingLabels: [a, {key: b, regex: "^x"}], message: "{{missing}}"}
  - warn: {missingAnnotations: [a], message: "{{missing}}"}
  - warn: {labelsChanged: [a, "b*"], message: "{{label}}"}
  - warn: {labelsAdded: ["*"], message: "{{label}}"}
  - warn: {annotationsRemoved: ["*"], message: "{{label}}"}
  - warn: {images: {registryNotIn: [docker.io], tagNotIn: [latest], hasDigest: false, notRegex: x}, message: "{{image}}"}
  - warn: {pod: [{path: "/*/name", regex: a}], message: "{{path}}"}
  - warn: {containers: [{path: "/*", contains: a}], message: "{{container}} {{path}}"}
  - warn: {fields: [{path: "/*/*/*", atLeast: 1}], message: "{{path}}"}
  - warn: {fields: [{path: /spec, changed: true}, {path: /metadata, sameAs: {path: /spec, old: true}}], message: "{{path}}"}
  - warn: {fields: [{path: /spec/a, in: [1, a, null, [1]], notRegex: b, lessThan: 1Gi}], message: "{{path}}"}
  - warn: {entries: [{of: "/spec/containers", fields: [{path: /name, equals: a}]}], message: "{{path}}"}
  - warn: {tolerates: [{key: a, effect: NoSchedule}], message: m}
  - warn: {limits: {missing: [cpu], over: {memory: 1Gi}}, message: "{{container}}"}
  - warn: {not: {any: [{images: {tagIn: [latest]}}, {labelsRemoved: [a]}]}, message: m}
"#;

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("a".to_owned()),
        Just("nginx".to_owned()),
        Just("ghcr.io/x:1".to_owned()),
        Just("1Gi".to_owned()),
        Just("\u{0}\n\"\\é".to_owned()),
        "[ -~]{0,8}",
    ]
}

fn key() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "metadata",
        "spec",
        "labels",
        "annotations",
        "name",
        "generateName",
        "containers",
        "initContainers",
        "volumes",
        "image",
        "reference",
        "template",
        "tolerations",
        "key",
        "effect",
        "resources",
        "limits",
        "cpu",
        "memory",
        "a",
        "b",
        "b~/c",
        "",
    ])
    .prop_map(str::to_owned)
}

/// Any JSON, mostly of the words that conditions ask for.
fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        text().prop_map(Json::from),
    ];
    leaf.prop_recursive(6, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::vec((key(), inner), 0..6).prop_map(|entries| Json::Object(entries.into_iter().collect())),
        ]
    })
}

fn object() -> impl Strategy<Value = Json> {
    prop::collection::vec((key(), json()), 0..5).prop_map(|entries| Json::Object(entries.into_iter().collect()))
}

fn hooks(spec: &str) -> Hooks {
    load(&format!("{HEAD}{spec}")).unwrap_or_else(|errors| panic!("{errors:?}")).0
}

fn ask(hooks: &Hooks, request: &Json) -> Outcome {
    let text = review(request);
    let mut tape = Tape::new();
    let review = Review::read(tape.read(&text).unwrap()).unwrap();
    hooks.find("/h").unwrap().judge(&review, None)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_object_breaks_a_condition(old in object(), new in object(), name in text(), update in any::<bool>(), deployment in any::<bool>()) {
        let hooks = hooks(EVERYTHING);
        let mut request = json!({"name": name, "object": new});
        if update {
            request["operation"] = json!("UPDATE");
            request["oldObject"] = old;
        }
        if deployment {
            request["kind"] = json!({"group": "apps", "version": "v1", "kind": "Deployment"});
        }
        prop_assert_eq!(ask(&hooks, &request).verdict, Verdict::Allow);
    }

    #[test]
    fn what_is_set_is_set(mut object in object(), labels in json(), annotations in json()) {
        if let (Some(metadata), true) = (object["metadata"].as_object_mut(), true) {
            metadata.insert("labels".into(), labels);
            metadata.insert("annotations".into(), annotations);
        }
        let hooks = hooks("  mutate: [{setLabels: {a: set}, addLabels: {b: added}, removeAnnotations: [a], setAnnotations: {b~: \"x\"}}]".replace("b~", "b").as_str());
        let outcome = ask(&hooks, &json!({"kind": {"group": "", "version": "v1", "kind": "Service"}, "object": object}));
        let patch = match outcome.verdict {
            Verdict::Allow => outcome.patch.unwrap_or_else(|| b"[]".to_vec()),
            verdict => {
                prop_assert_eq!(verdict, Verdict::Error);
                prop_assert_eq!(outcome.patch, None);
                return Ok(());
            }
        };
        let after = apply_patch(&object, &patch).map_err(|why| TestCaseError::fail(format!("{why} {object}")))?;
        let metadata = &after["metadata"];
        prop_assert_eq!(&metadata["labels"]["a"], "set");
        prop_assert_eq!(&metadata["annotations"]["b"], "x");
        prop_assert!(metadata["labels"]["b"].is_string() && metadata["annotations"].get("a").is_none());
        // Nothing else is touched.
        let mut before = object.clone();
        let mut rest = after.clone();
        for value in [&mut before, &mut rest] {
            if let Some(map) = value.as_object_mut() {
                map.remove("metadata");
            }
        }
        prop_assert_eq!(before, rest);
    }

    #[test]
    fn a_deployment_that_cannot_be_read_is_not_allowed(spec in json()) {
        let hooks = hooks("  decide: [{deny: {images: {registryNotIn: [ghcr.io]}}}, {deny: {not: {kinds: [Deployment.apps]}}}]");
        let request = json!({"kind": {"group": "apps", "version": "v1", "kind": "Deployment"}, "object": {"spec": {"template": {"spec": spec}}}});
        let allowed = ask(&hooks, &request).verdict.allows();
        let lists = ["containers", "initContainers", "ephemeralContainers"].map(|field| spec.get(field).cloned().unwrap_or_default());
        let good = spec.is_object()
            && lists[0].is_array()
            && lists.iter().all(|list| list.is_null() || list.as_array().is_some_and(|list| {
                list.iter().all(|container| container["image"].as_str().is_some_and(|image| image.starts_with("ghcr.io/")))
            }));
        prop_assert!(good || !allowed, "{spec}");
    }
}

/// Conditions of all kinds, a hundred times each.
fn many_conditions() -> String {
    let one = "  - deny: {labelSelector: {matchLabels: {nope: x}}, missingLabels: [l7], images: {tagIn: [nope]}, fields: [{path: /metadata/labels/nope, equals: 1}], containers: [{path: /nope, equals: 1}]}\n  - deny: {images: {regex: nope}}\n  - deny: {labelSelector: {matchLabels: {l99999: y}}}\n";
    format!("  decide:\n{}", one.repeat(100))
}

#[test]
fn large_objects_cost_what_they_are_large() {
    let labels: serde_json::Map<_, _> = (0..100_000).map(|n| (format!("l{n}"), json!("x"))).collect();
    let request = json!({"object": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "nginx:1"}]}}});
    assert_eq!(judge(&many_conditions(), &request).verdict, Verdict::Allow);
    let glob = "  decide:\n".to_owned() + &"  - deny: {labelsRemoved: ['l*']}\n".repeat(100);
    let outcome = judge(&glob, &request);
    assert_eq!((outcome.verdict, outcome.code), (Verdict::Error, 500));
    assert_eq!(
        outcome.message,
        "the hook `h` cannot judge the request: the object has more entries than are looked at"
    );
    let containers: Vec<_> = (0..100_000).map(|n| json!({"name": format!("c{n}"), "image": "nginx:1"})).collect();
    let outcome = judge(&many_conditions(), &json!({"object": {"metadata": {}, "spec": {"containers": containers}}}));
    assert_eq!(outcome.verdict, Verdict::Error);
    let outcome = judge(
        "  decide: [{deny: {images: {tagIn: [latest]}}}]",
        &json!({"object": {"spec": {"containers": containers}}}),
    );
    assert_eq!(outcome.verdict, Verdict::Allow, "a hundred thousand are looked at once");
}

/// What is not about containers is asked once, and not for each of them: a thousand times a thousand would be too much.
#[test]
fn conditions_beside_those_on_containers_are_asked_once() {
    let containers: Vec<_> = (0..1000).map(|n| json!({"name": format!("c{n}"), "image": "nginx"})).collect();
    let list: Vec<_> = (0..1000).collect();
    let request = json!({"object": {"spec": {"containers": containers, "list": list}}});
    for (spec, decided_by, message) in [
        ("denyFirst: {of: [{fields: [{path: /spec/list/*, equals: 1000}]}, {images: {tagIn: [v1]}}]}", "default", ""),
        (
            "denyFirst: {of: [{fields: [{path: /spec/list/*, equals: 1000}]}, {containers: [{path: /name, equals: c999}], message: '{{container}}'}]}",
            "decide[0]",
            "c999",
        ),
        (
            "denyAll: {of: [{fields: [{path: /spec/list/*, equals: 999}], containers: [{path: /name, regex: '^c99[89]$'}], message: '{{container}}'}]}",
            "decide[0]",
            "c998\nc999",
        ),
        (
            "denyAll: {of: [{any: [{images: {tagIn: [v1]}}, {images: {tagIn: [latest]}}], images: {regex: n}, message: '{{image}}'}]}",
            "decide[0]",
            "nginx",
        ),
    ] {
        let outcome = judge(&format!("  decide: [{{{spec}}}]"), &request);
        assert_eq!((&*outcome.decided_by, &*outcome.message), (decided_by, message), "{spec}");
    }
}

/// Keys that are alike up to their ends, in a map that has no index: each is looked at once, not compared with all others.
#[test]
fn maps_of_long_keys_are_joined() {
    let map = |last: u32| {
        let key = |n: u32| format!("<{}{n}", "a".repeat(5000));
        (0..500).map(|n| (key(n), json!(if n == 499 { last } else { 0 }))).collect::<serde_json::Map<_, _>>()
    };
    let request = |last: u32| json!({"operation": "UPDATE", "oldObject": {"spec": map(1), "metadata": {"labels": {}}}, "object": {"spec": map(last)}});
    let changed = "  decide: [{deny: {fields: [{path: /spec, changed: true}]}}]";
    assert_eq!(judge(changed, &request(2)).verdict, Verdict::Deny);
    // One key more on either side is a change, too.
    for (old, new) in [(json!({"a": 1}), json!({"a": 1, "b": 1})), (json!({"a": 1, "b": 1}), json!({"a": 1}))] {
        let request = json!({"operation": "UPDATE", "oldObject": {"spec": old}, "object": {"spec": new}});
        assert_eq!(judge(changed, &request).verdict, Verdict::Deny);
    }
    let any = "  decide: [{deny: {fields: [{path: '/spec/*', equals: 2}]}}]";
    assert_eq!(judge(any, &request(2)).verdict, Verdict::Deny);
    assert_eq!(judge(any, &request(1)).verdict, Verdict::Allow);
}

#[test]
fn deep_objects_are_compared() {
    let deep = |leaf: Json| {
        let mut value = leaf;
        for _ in 0..120 {
            value = json!([{"a": value, "b": 1}]);
        }
        json!({ "spec": value })
    };
    let spec = "  decide: [{deny: {fields: [{path: /spec, changed: true}]}}]";
    let request = |leaf: Json| json!({"operation": "UPDATE", "oldObject": deep(json!(1)), "object": deep(leaf)});
    assert_eq!(judge(spec, &request(json!(1.0))).verdict, Verdict::Allow);
    assert_eq!(judge(spec, &request(json!(2))).verdict, Verdict::Deny);
}

#[test]
fn of_a_key_that_stands_twice_the_last_one_counts() {
    let hooks = hooks(
        "  decide:\n  - deny: {fields: [{path: '/spec/m/*', equals: 1}]}\n  - deny: {labelSelector: {matchLabels: {a: old}}}\n  - deny: {labelsAdded: ['x*']}\n",
    );
    let ask = |object: &str| {
        let text = String::from_utf8(review(&json!({"object": {"here": 1}}))).unwrap();
        let text = text.replace(r#"{"here":1}"#, object);
        let mut tape = Tape::new();
        let review = Review::read(tape.read(text.as_bytes()).unwrap()).unwrap();
        hooks.find("/h").unwrap().judge(&review, None).decided_by.into_owned()
    };
    assert_eq!(ask(r#"{"spec":{"m":{"a":1,"a":2}}}"#), "default");
    assert_eq!(ask(r#"{"spec":{"m":{"a":2,"\u0061":1}}}"#), "decide[0]");
    assert_eq!(ask(r#"{"metadata":{"labels":{"a":"old","a":"new"}}}"#), "default");
    assert_eq!(ask(r#"{"metadata":{"labels":{"a":"new","a":"o\u006cd"}}}"#), "decide[1]");
    assert_eq!(ask(r#"{"metadata":{"labels":{"\u0078y":"1"}}}"#), "decide[2]");
}
