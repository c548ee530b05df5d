//! Loose modules as the articles have them.

use std::time::Instant;

use portcullis_policy::{DocumentCompiler, Documents, Node, Source};
use serde_json::{Value, json};

use crate::admission::hooks::{Admission, COMPILER};
use crate::admission::json::Tape;
use crate::admission::judge::{Judge, Outcome, Verdict};
use crate::admission::review::Review;

/// The main rule of the article on OPA, as it is printed there.
const MAIN: &str = include_str!("../../../../../envoy-config/admission/opa/opa-default-system-main.yaml");

/// Its policy.
const IMAGES: &str = include_str!("../../../../../envoy-config/admission/opa/image-policy.rego");

fn load(sources: &[(&str, &str)]) -> Result<(Documents, Vec<String>), Vec<String>> {
    let mut documents = Vec::new();
    for (name, text) in sources {
        documents.extend(if name.ends_with(".yaml") {
            Node::load(name, text.as_bytes()).unwrap()
        } else {
            let pairs = [("apiVersion", portcullis_policy::FILE), ("kind", "rego"), ("name", *name), ("text", *text)];
            vec![Node::from_pairs(&portcullis_policy::Place::whole(name), pairs)]
        });
    }
    let lines = |errors: &[portcullis_policy::NodeError]| errors.iter().map(ToString::to_string).collect::<Vec<_>>();
    let compiled = COMPILER.compile(&documents).map_err(|errors| lines(&errors))?;
    let warnings = lines(compiled.warnings());
    Ok((compiled, warnings))
}

fn review(images: &[&str]) -> Value {
    let containers: Vec<_> = images.iter().map(|image| json!({"name": "c", "image": image})).collect();
    json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {
        "uid": "u", "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "name": "p", "namespace": "default", "operation": "CREATE", "userInfo": {"username": "luke", "groups": ["g"]},
        "object": {"metadata": {"name": "p", "managedFields": [{"manager": "m"}]}, "spec": {"containers": containers}},
        "oldObject": null,
    }})
}

fn ask(documents: &Documents, path: &str, review: &Value) -> Outcome {
    let admission: &Admission = documents.downcast_ref().unwrap();
    let text = review.to_string();
    let mut tape = Tape::new();
    let review = Review::read(tape.read(text.as_bytes()).unwrap()).unwrap();
    let hook = admission.hooks.find(path).unwrap();
    assert!(hook.takes_long());
    hook.judge(&review, None)
}

#[test]
fn the_policies_of_the_article_answer_as_printed() {
    let (documents, warnings) = load(&[("main.yaml", MAIN), ("image-policy.rego", IMAGES)]).unwrap();
    assert_eq!(warnings, [""; 0]);
    let images = |images: &[&str]| ask(&documents, "/", &review(images));
    let outcome = images(&["nginx:latest"]);
    assert_eq!(
        (outcome.verdict, &*outcome.reason, &*outcome.message),
        (
            Verdict::Deny,
            "Image 'nginx:latest' comes from untrusted registry, Image 'nginx:latest' used latest image",
            ""
        )
    );
    assert_eq!(outcome.decided_by, "data.system.main");
    let outcome = images(&["192.168.64.1:5000/nginx:latest"]);
    assert_eq!(outcome.reason, "Image '192.168.64.1:5000/nginx:latest' used latest image");
    assert_eq!(images(&["192.168.64.1:5000/nginx"]).verdict, Verdict::Allow);
}

#[test]
fn modules_that_no_hook_asks_are_told_of() {
    let own = "apiVersion: portcullis.dev/v1\nkind: AdmissionHook\nmetadata: {name: own}\nspec:\n  uri: /own\n  doc: Own.\n  \
               failurePolicy: Ignore\n  rules: [{operations: [CREATE], apiGroups: [\"\"], apiVersions: [v1], resources: [pods]}]\n  \
               rego: {modules: {m: \"package system\\nmain = true\"}}\n";
    let (_, warnings) = load(&[("image-policy.rego", IMAGES)]).unwrap();
    let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
    assert!(warning.starts_with("image-policy.rego: no hook asks this module"), "{warning}");
    assert!(warning.contains("a rule `main` of the package `system`"), "{warning}");
    // A hook with modules of its own takes the place of the one that is there by default.
    let (_, warnings) = load(&[("main.yaml", MAIN), ("own.yaml", own)]).unwrap();
    assert!(warnings.iter().any(|warning| warning.contains("no hook asks this module")), "{warnings:?}");
}

#[test]
fn imports_of_what_is_nowhere_are_told_of() {
    let main = "package system\nimport data.lib.images\nimport data.opa.m.users as users\nimport data.lib.ports.low\n\
                main = {\"response\": {\"allowed\": images.ok}}\n";
    let lib = "package lib\nports = {\"low\": 1}\n";
    let data = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m, namespace: opa, labels: {openpolicyagent.org/data: opa}}\n\
                data: {users: '[]'}\n";
    let (_, warnings) = load(&[("main.rego", main), ("lib.rego", lib), ("data.yaml", data)]).unwrap();
    let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
    assert!(warning.starts_with("main.rego:2:1: ") && warning.contains("nothing is at `data.lib.images`"), "{warning}");
    let (_, warnings) = load(&[("main.rego", main), ("lib.rego", lib)]).unwrap();
    assert!(warnings.iter().any(|warning| warning.contains("`data.opa.m.users`")), "{warnings:?}");
}

#[test]
fn config_maps_are_policies_and_data_as_kube_mgmt_has_them() {
    let config_map = |label: &str, data: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m, namespace: opa, labels: {{{label}}}}}\ndata:\n{data}"
        )
    };
    let policy = config_map(
        "openpolicyagent.org/policy: rego",
        "  p: |\n    package p\n    deny[msg] { not data.opa.m.users.ok[input.request.userInfo.username]; msg := \"no\" }\n",
    );
    let data = config_map("openpolicyagent.org/data: opa", "  users: '{\"ok\": {\"luke\": true}}'\n");
    let hook = "apiVersion: portcullis.dev/v1\nkind: AdmissionHook\nmetadata: {name: h}\nspec:\n  uri: /h\n  doc: d\n  failurePolicy: Ignore\n  rules: [{operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*/*']}]\n  rego: {query: data.p.deny}\n";
    let (documents, _) = load(&[("p.yaml", &policy), ("d.yaml", &data), ("h.yaml", hook)]).unwrap();
    assert_eq!(ask(&documents, "/h", &review(&[])).verdict, Verdict::Allow);
    let (documents, _) = load(&[("p.yaml", &policy), ("h.yaml", hook)]).unwrap();
    let outcome = ask(&documents, "/h", &review(&[]));
    assert_eq!((outcome.verdict, &*outcome.message, &*outcome.reason), (Verdict::Deny, "no", "Forbidden"));
    let bad = config_map("openpolicyagent.org/data: opa", "  users: |\n    {\"ok\":\n    ]}\n");
    let errors = load(&[("p.yaml", &policy), ("d.yaml", &bad), ("h.yaml", hook)]).unwrap_err();
    assert!(errors[0].starts_with("d.yaml:7:5: ") && errors[0].contains("data.users: wanted JSON"), "{errors:?}");
}

#[test]
fn what_is_wrong_with_a_module_has_its_place() {
    for (sources, words) in [
        (vec![("a.rego", "package a\n\ndeny[msg] {\n  msg := missing(1)\n}\n")], ["a.rego:4:", "missing"]),
        (
            vec![(
                "m.yaml",
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata:\n  main: |\n    package a\n    deny[x] {\n",
            )],
            ["m.yaml:", "data.main"],
        ),
        (vec![("a.rego", "package a\nf(x) := f(x)\n")], ["a.rego:2:", "recursive"]),
        (vec![("a.rego", "{{{")], ["a.rego:1:", "rego_parse_error"]),
    ] {
        let errors = load(&sources).unwrap_err();
        for word in words {
            assert!(errors[0].contains(word), "{errors:?}");
        }
    }
}

#[test]
fn a_hook_names_a_rule_that_is_there_or_is_refused() {
    let hook = |rego: &str| {
        format!(
            "apiVersion: portcullis.dev/v1\nkind: AdmissionHook\nmetadata: {{name: h}}\nspec:\n  uri: /h\n  doc: d\n  failurePolicy: Ignore\n  rules: [{{operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*/*']}}]\n  rego: {rego}\n"
        )
    };
    for (rego, words) in [
        ("{}", "there is no module"),
        ("{queries: a}", "unknown field"),
        ("{modules: {a: 'package a'}}", "there is no rule `data.system.main`"),
        ("{query: data.a.b, modules: {a: 'package a\n\n    c = 1'}}", "there is no rule `data.a.b`"),
        ("{query: data.a, modules: {a: 'x'}}", "rego_parse_error"),
        ("{}\n  decide: [{deny: {}}]", "`decide` would never be asked"),
        ("{}\n  gatekeeper: {}", "one engine"),
    ] {
        let errors = load(&[("h.yaml", &hook(rego))]).unwrap_err().join("\n");
        assert!(errors.contains(words), "{rego}: {errors}");
    }
}

#[test]
fn an_answer_of_another_shape_is_an_error_and_never_an_allowance() {
    let judge = |value: &str| {
        let module = format!("package system\n\nmain = x {{ x := {value} }}\n");
        let (documents, _) = load(&[("m.rego", &module)]).unwrap();
        ask(&documents, "/", &review(&[]))
    };
    for value in [
        "1",
        "null",
        "\"allowed\"",
        "{}",
        "{\"response\": {}}",
        "{\"response\": {\"allowed\": \"true\"}}",
        "{\"response\": true}",
        "{\"allowed\": false, \"status\": []}",
        "{\"allowed\": false, \"status\": {\"reason\": 1}}",
        "{\"allowed\": false, \"status\": {\"code\": 70000}}",
        "[1]",
        "{1, 2}",
        "[{\"message\": \"m\"}]",
        "{\"allowed\": true, \"patch\": \"!\"}",
        "{\"allowed\": true, \"patch\": \"e30=\"}",
        "{\"allowed\": true, \"warnings\": [1]}",
        "{\"allowed\": true, \"auditAnnotations\": []}",
        "{\"allowed\": true, \"patch\": \"W10=\", \"patchType\": \"Merge\"}",
        // It says nothing of `mutating`.
        "{\"allowed\": true, \"patch\": \"W10=\", \"patchType\": \"JSONPatch\"}",
        // Undefined.
        "input.nothing",
        "1 / 0",
    ] {
        let outcome = judge(value);
        assert_eq!((outcome.verdict, outcome.code), (Verdict::Error, 500), "{value}: {outcome:?}");
    }
    for (value, verdict, told) in [
        ("{\"allowed\": true}", Verdict::Allow, ""),
        ("{\"response\": {\"allowed\": false, \"status\": {\"message\": \"m\", \"code\": 422}}}", Verdict::Deny, "m"),
        ("{\"b\", \"a\"}", Verdict::Deny, "a, b"),
        ("[{\"msg\": \"b\"}, \"a\"]", Verdict::Deny, "b, a"),
        ("[]", Verdict::Allow, ""),
        ("true", Verdict::Allow, ""),
        ("false", Verdict::Deny, "denied by the hook `rego`"),
    ] {
        let outcome = judge(value);
        assert_eq!((outcome.verdict, &*outcome.message), (verdict, told), "{value}");
    }
}

#[test]
fn work_without_end_is_stopped_and_an_error() {
    let module = "package system\n\nmain = x { x := count([1 | numbers.range(1, 3000)[_]; numbers.range(1, 3000)[_]; numbers.range(1, 3000)[_]]) }\n";
    let (documents, _) = load(&[("m.rego", module)]).unwrap();
    let admission: &Admission = documents.downcast_ref().unwrap();
    let text = review(&[]).to_string();
    let mut tape = Tape::new();
    let review = Review::read(tape.read(text.as_bytes()).unwrap()).unwrap();
    let outcome = admission.hooks.find("/").unwrap().judge(&review, Some(Instant::now()));
    assert_eq!(outcome.verdict, Verdict::Error, "{outcome:?}");
}

#[test]
fn files_and_documents_of_a_directory_are_one_set() {
    let sources = [Source::new("d/main.yaml", MAIN), Source::new("d/images.rego", IMAGES)];
    let compiled = portcullis_policy::Snapshot::compile(&sources, &crate::REGISTRY, &Default::default()).unwrap();
    assert!(compiled.snapshot.documents().iter().any(|documents| documents.downcast_ref::<Admission>().is_some()));
}
