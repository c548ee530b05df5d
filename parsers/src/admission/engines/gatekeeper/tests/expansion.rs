//! What an object brings about is judged with it.

use serde_json::{Value as Json, json};

use super::{EnforcementPoint, answer, compile, constraint, denial, fault, messages, refuse, request, template};

const PODS: &str = "
apiVersion: expansion.gatekeeper.sh/v1beta1
kind: ExpansionTemplate
metadata: {name: pods}
spec:
  applyTo:
    - {groups: [apps], versions: [v1], kinds: [Deployment, ReplicaSet]}
    - {groups: [batch], versions: [v1], kinds: [Job]}
  templateSource: spec.template
  generatedGVK: {group: '', version: v1, kind: Pod}
";

const JOBS: &str = "
apiVersion: expansion.gatekeeper.sh/v1alpha1
kind: ExpansionTemplate
metadata: {name: jobs}
spec:
  applyTo: [{groups: [batch], versions: [v1], kinds: [CronJob]}]
  templateSource: spec.jobTemplate
  generatedGVK: {group: batch, version: v1, kind: Job}
";

const NO_ROOT: &str = r#"package noroot
violation[{"msg": msg}] {
  input.review.kind.kind == "Pod"
  container := input.review.object.spec.containers[_]
  container.user == "root"
  msg := sprintf("%v of %v in %v is root, owned by %v, %v", [container.name, input.review.object.metadata.name, input.review.namespace, input.review.object.metadata.ownerReferences[0].name, input.review.operation])
}"#;

fn pod_template() -> Json {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "a", "user": "root"}, {"name": "b"}]}})
}

fn deployment() -> Json {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"template": pod_template()},
    })
}

const MESSAGE: &str = "[it] [Implied by pods] a of web-pod in shop is root, owned by web, CREATE";

#[test]
fn the_pods_of_a_deployment_are_judged_with_it() {
    let gatekeeper = compile(&[&template("NoRoot", NO_ROOT), &constraint("NoRoot", "it"), PODS]);
    assert_eq!(denial(&gatekeeper, &deployment()), MESSAGE);
    // Without a template for it nothing follows.
    let gatekeeper = compile(&[&template("NoRoot", NO_ROOT), &constraint("NoRoot", "it")]);
    assert_eq!(denial(&gatekeeper, &deployment()), "");
}

#[test]
fn what_follows_may_bring_about_more() {
    let cron_job = json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly", "namespace": "shop"},
        "spec": {"jobTemplate": {"spec": {"template": pod_template()}}},
    });
    let gatekeeper = compile(&[&template("NoRoot", NO_ROOT), &constraint("NoRoot", "it"), PODS, JOBS]);
    assert_eq!(
        denial(&gatekeeper, &cron_job),
        "[it] [Implied by pods] a of nightly-job-pod in shop is root, owned by nightly-job, CREATE"
    );
}

#[test]
fn the_template_may_say_what_is_done() {
    for (action, denied, warned) in
        [("warn", false, true), ("dryrun", false, false), ("deny", true, false), ("''", true, false)]
    {
        let pods = format!("{PODS}  enforcementAction: {action}\n");
        let gatekeeper = compile(&[&template("NoRoot", NO_ROOT), &constraint("NoRoot", "it"), &pods]);
        let ruling = answer(&gatekeeper, &deployment());
        assert_eq!((ruling.denial.is_some(), !ruling.warnings.is_empty()), (denied, warned), "{action}");
    }
}

#[test]
fn constraints_may_be_for_what_is_implied_only() {
    let of = |source: &str| {
        let constraint = json!({
            "apiVersion": "constraints.gatekeeper.sh/v1beta1", "kind": "NoRoot", "metadata": {"name": "it"},
            "spec": {"match": {"source": source}},
        });
        compile(&[&template("NoRoot", NO_ROOT), &constraint.to_string(), PODS])
    };
    let mut pod = pod_template();
    pod["apiVersion"] = "v1".into();
    pod["kind"] = "Pod".into();
    pod["metadata"] = json!({"name": "web", "namespace": "shop", "ownerReferences": [{"name": "x"}]});
    for (source, implied, original) in [("All", true, true), ("Generated", true, false), ("Original", false, true)] {
        let gatekeeper = of(source);
        assert_eq!(!denial(&gatekeeper, &deployment()).is_empty(), implied, "{source}");
        assert_eq!(!denial(&gatekeeper, &pod).is_empty(), original, "{source}");
    }
}

#[test]
fn what_is_deleted_and_what_is_audited_is_expanded_as_well() {
    let gatekeeper = compile(&[&template("NoRoot", NO_ROOT), &constraint("NoRoot", "it"), PODS]);
    let request = request("DELETE", &deployment());
    let ruling = super::answer_request(&gatekeeper, &request, super::soon()).expect("a ruling");
    assert_eq!(ruling.denial.expect("a denial").message, MESSAGE.replace("CREATE", "DELETE"));
    assert_eq!(
        messages(&gatekeeper, &deployment(), EnforcementPoint::Audit),
        ["[Implied by pods] a of web-pod in shop is root, owned by web, "]
    );
}

#[test]
fn without_the_source_there_is_no_answer() {
    let gatekeeper = compile(&[&template("NoRoot", NO_ROOT), &constraint("NoRoot", "it"), PODS]);
    for spec in [json!({}), json!({"template": null}), json!({"template": []}), json!({"template": {"metadata": 1}})] {
        let mut object = deployment();
        object["spec"] = spec;
        let why = fault(&gatekeeper, &object);
        assert!(why.starts_with("unable to expand object: "), "{why}");
    }
}

#[test]
fn what_is_written_in_the_template_of_a_pod_stays_as_it_is() {
    let rego = "package all\nviolation[{\"msg\": msg}] { input.review.kind.kind == \"Pod\"; msg := json.marshal(input.review.object) }";
    let gatekeeper = compile(&[&template("All", rego), &constraint("All", "it"), PODS]);
    let mut object = deployment();
    object["spec"]["template"] = json!({
        "kind": "Other", "metadata": {"name": "own", "namespace": "own", "annotations": {"a\"b": "\u{e9}\n"}, "ownerReferences": [{"name": "first"}]},
        "spec": {"x": [1, {"y": null}]},
    });
    let message = denial(&gatekeeper, &object);
    let found: Json =
        serde_json::from_str(message.strip_prefix("[it] [Implied by pods] ").expect("a message")).expect("json");
    assert_eq!(
        found,
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "web-pod", "namespace": "shop", "annotations": {"a\"b": "\u{e9}\n"},
                "ownerReferences": [{"name": "first"}, {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": ""}],
            },
            "spec": {"x": [1, {"y": null}]},
        })
    );
}

#[test]
fn templates_that_do_not_fit_are_refused() {
    for (from, to, expected) in [
        ("templateSource: spec.template", "x: y", "unknown field `x`"),
        ("spec.template", "''", "`templateSource` is missing"),
        ("version: v1, kind: Pod", "kind: Pod", "`generatedGVK` must have a `version` and a `kind`"),
        (
            "{group: '', version: v1, kind: Pod}",
            "{group: batch, version: v1, kind: Job}",
            "of a kind that it applies to",
        ),
        ("kinds: [Job]", "kinds: Job", "wanted a list"),
        ("kinds: [Deployment, ReplicaSet]}", "kinds: []}", ""),
        ("v1beta1", "v2", "`v2` is not a version"),
    ] {
        assert!(PODS.contains(from), "{from}");
        let changed = PODS.replace(from, to);
        if expected.is_empty() {
            compile(&[&changed]);
            continue;
        }
        let found = refuse(&[&changed]);
        assert!(found.contains(expected), "{to}: {found}");
    }
    let found = refuse(&[&format!("{PODS}  enforcementAction: scoped\n")]);
    assert!(found.contains("`scoped` is not an action"), "{found}");
    let back = PODS
        .replace("name: pods", "name: back")
        .replace("[Deployment, ReplicaSet]", "[Pod]")
        .replace("[apps]", "['']")
        .replace("{group: '', version: v1, kind: Pod}", "{group: apps, version: v1, kind: ReplicaSet}");
    let found = refuse(&[PODS, &back]);
    assert!(found.contains("in a circle"), "{found}");
}

#[test]
fn what_comes_of_one_object_is_bounded() {
    // Each of ten templates brings about two for the next.
    let mut files = Vec::new();
    for layer in 0..10 {
        for side in ["a", "b"] {
            files.push(json!({
                "apiVersion": "expansion.gatekeeper.sh/v1beta1", "kind": "ExpansionTemplate", "metadata": {"name": format!("t{layer}{side}")},
                "spec": {
                    "applyTo": [{"groups": [""], "versions": ["v1"], "kinds": [format!("K{layer}")]}],
                    "templateSource": "spec", "generatedGVK": {"version": "v1", "kind": format!("K{}", layer + 1)},
                },
            }).to_string());
        }
    }
    let mut spec = json!({});
    for _ in 0..10 {
        spec = json!({"spec": spec});
    }
    // What denies the object itself would stand.
    let elsewhere = super::say("it", &json!({"match": {"kinds": [{"kinds": ["Elsewhere"]}]}}));
    files.extend([super::SAY.to_owned(), elsewhere]);
    let gatekeeper = compile(&files.iter().map(String::as_str).collect::<Vec<_>>());
    let why = fault(&gatekeeper, &json!({"apiVersion": "v1", "kind": "K0", "metadata": {"name": "a"}, "spec": spec}));
    assert!(why.contains("more than 64 objects"), "{why}");
}

#[test]
fn a_denial_stands_where_what_follows_cannot_be_told() {
    let gatekeeper = compile(&[
        &template("Never", "package never\nviolation[{\"msg\": \"no\"}] { true }"),
        &constraint("Never", "it"),
        PODS,
    ]);
    let broken = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {}});
    assert_eq!(denial(&gatekeeper, &broken), "[it] no");
    let gatekeeper = compile(&[&template("NoRoot", NO_ROOT), &constraint("NoRoot", "it"), PODS]);
    assert!(fault(&gatekeeper, &broken).contains("unable to expand object"));
}
