//! Scripts behind hooks, as documents have them.

use portcullis_policy::{DocumentCompiler, Documents, FILE, Node, Place};
use serde_json::{Value, json};

use crate::admission::hooks::{Admission, COMPILER};
use crate::admission::json::Tape;
use crate::admission::judge::{Judge, Outcome, Verdict};
use crate::admission::review::Review;

/// The rule of the article on Pipy, as it is printed there.
const PIPY: &str = include_str!("../../../../../envoy-config/admission/pipy/pipy-rule.js");

fn hook(spec: &str) -> String {
    format!(
        "apiVersion: portcullis.dev/v1\nkind: AdmissionHook\nmetadata: {{name: pipy}}\nspec:\n  uri: /\n  onError: deny\n  doc: Judges by a script.\n  \
         rules: [{{operations: ['*'], apiGroups: ['*'], apiVersions: ['*'], resources: ['*'], scope: '*'}}]\n  {spec}\n"
    )
}

fn load(spec: &str, files: &[(&str, &str)]) -> Result<(Documents, Vec<String>), Vec<String>> {
    let mut documents = Node::load("hook.yaml", hook(spec).as_bytes()).unwrap();
    for (name, text) in files {
        if name.ends_with(".js") {
            let pairs = [("apiVersion", FILE), ("kind", "js"), ("name", *name), ("text", *text)];
            documents.push(Node::from_pairs(&Place::whole(name), pairs));
        } else {
            documents.extend(Node::load(name, text.as_bytes()).unwrap());
        }
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
        "object": {"metadata": {"name": "p"}, "spec": {"containers": containers}},
        "oldObject": null,
    }})
}

fn ask(documents: &Documents, images: &[&str]) -> Outcome {
    let admission: &Admission = documents.downcast_ref().unwrap();
    let text = review(images).to_string();
    let mut tape = Tape::new();
    let review = Review::read(tape.read(text.as_bytes()).unwrap()).unwrap();
    let hook = admission.hooks.find("/").unwrap();
    assert!(hook.takes_long());
    hook.judge(&review, None)
}

fn refused(spec: &str, files: &[(&str, &str)]) -> String {
    load(spec, files).map(|_| ()).unwrap_err().join("\n")
}

#[test]
fn the_rule_of_the_article_answers_as_printed() {
    let config_map = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: pipy-rule}}\ndata:\n  pipy-rule.js: |\n    {}\n",
        PIPY.trim_end().replace('\n', "\n    ")
    );
    // A ConfigMap may be one with Rego as well, and is read only where that is there.
    let config_map = cfg!(feature = "rego").then_some(("map.yaml", config_map.as_str()));
    for file in [("pipy-rule.js", PIPY)].into_iter().chain(config_map) {
        let (documents, warnings) = load("javascript: {file: pipy-rule.js}", &[file]).unwrap();
        assert!(warnings.iter().any(|warning| warning.contains("`listen(6443)`: Envoy listens")), "{warnings:?}");
        let outcome = ask(&documents, &["nginx:1.21.1"]);
        assert_eq!(
            (outcome.verdict, &*outcome.reason, &*outcome.message),
            (Verdict::Deny, "nginx:1.21.1 repo not start with 192.168.64.1", "")
        );
        assert_eq!(outcome.decided_by, "pipy-rule.js");
        let outcome = ask(&documents, &["192.168.64.1:5000/nginx:latest", "nginx"]);
        assert_eq!(outcome.reason, "192.168.64.1:5000/nginx:latest tag end with :latest");
        assert_eq!(ask(&documents, &["192.168.64.1:5000/nginx:1.21.1"]).verdict, Verdict::Allow);
    }
}

#[test]
fn a_script_may_stand_in_the_hook() {
    let spec = "javascript:\n    files: {/list: [nginx]}\n    source: |\n      export const validate = () => true";
    assert!(refused(spec, &[]).contains("hook.yaml:"), "{}", refused(spec, &[]));
    let spec = "javascript:\n    files: {/list: nginx}\n    source: |\n      const bad = `${os.readFile('/list')}`\n      \
                export const validate = ({object}) => !object.spec.containers.some(({image}) => image === bad)";
    let (documents, _) = load(spec, &[]).unwrap();
    let outcome = ask(&documents, &["nginx"]);
    assert_eq!((outcome.verdict, &*outcome.message), (Verdict::Deny, "denied by `source`"));
    assert_eq!(ask(&documents, &["other"]).verdict, Verdict::Allow);
}

#[test]
fn a_script_that_no_hook_names_is_told() {
    let valid = "function validate() { return true }";
    let (_, warnings) = load("javascript: {file: a.js}", &[("a.js", valid), ("b.js", "not even read")]).unwrap();
    let told: Vec<_> = warnings.iter().filter(|warning| warning.contains("no hook names the script")).collect();
    let [warning] = told.as_slice() else { panic!("{warnings:?}") };
    assert!(warning.starts_with("b.js") && warning.contains("`b.js`"), "{warning}");
}

#[test]
fn what_a_script_cannot_judge_is_for_on_error() {
    for body in
        ["for (;;);", "return undefined", "throw new Error('x')", "const a = []; for (;;) a.push({})", "return f()"]
    {
        let script = format!("function f() {{ return f() + 1 }} function validate() {{ {body} }}");
        let (documents, _) = load("javascript: {file: a.js}", &[("a.js", &script)]).unwrap();
        assert_eq!(ask(&documents, &[]).verdict, Verdict::Error, "{body}");
    }
}

#[test]
fn a_script_that_cannot_be_loaded_is_refused_at_its_place() {
    let one = "javascript: {file: a.js}";
    let valid = "function validate() { return true }";
    for (spec, files, message) in [
        (one, &[][..], "there is no script `a.js` beside the hook"),
        (one, &[("b.js", valid)], "there is no script `a.js`; there are `b.js`"),
        (one, &[("a.js", valid), ("a.js", valid)], "two scripts `a.js`"),
        (one, &[("a.js", "\n\n  nothing()")], "a.js:3:3: ReferenceError"),
        (one, &[("a.js", "for (;;);")], "a.js:1:1: the script takes more than a second"),
        ("javascript: {}", &[], "write either"),
        ("javascript: {file: a.js, source: x}", &[("a.js", valid)], "write either"),
        ("javascript: {file: a.js, sauce: x}", &[("a.js", valid)], "unknown field `sauce`"),
        ("javascript: {source: '('}", &[], "(line 1, column"),
    ] {
        let told = refused(spec, files);
        assert!(told.contains(message), "{spec} {files:?}: {told}");
    }
}
