//! Policies for the engines: our own samples, what the engines are tested with, and what else there is in each language.

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde_json::Value;

use super::write;

const BETWEEN: &str = "\n=====\n";

const NAMESPACE: &str = r#"{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "n", "kind": {"group": "", "version": "v1", "kind": "Namespace"}, "resource": {"group": "", "version": "v1", "resource": "namespaces"}, "name": "shop", "operation": "UPDATE", "userInfo": {"username": "bob"}, "object": {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"hr": "x"}}}, "oldObject": {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}}}"#;

const DELETED: &str = r#"{"apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview", "request": {"uid": "d", "kind": {"group": "apps", "version": "v1", "kind": "Deployment"}, "resource": {"group": "apps", "version": "v1", "resource": "deployments"}, "name": "web", "namespace": "shop", "operation": "DELETE", "userInfo": {"username": "bob"}, "oldObject": {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": {"app": "web"}}, "spec": {"replicas": 9, "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "a", "image": "nginx"}]}}}}}}"#;

/// Lines of the `spec` of a policy, beside which there is a binding.
const POLICIES: &[(&str, &str)] = &[
    ("plain", "validations: [{expression: object.spec.replicas <= 5, message: m, reason: Forbidden}]"),
    ("message", "validations: [{expression: 1 == 2, messageExpression: \"'not ' + string(object.spec.replicas)\"}]"),
    (
        "variables",
        "variables: [{name: c, expression: object.spec.containers}, {name: n, expression: size(variables.c)}]\n  validations: [{expression: variables.n > 5}]",
    ),
    (
        "conditions",
        "matchConditions: [{name: web, expression: \"request.name == 'web' && 'dev' in request.userInfo.groups\"}]\n  validations: [{expression: has(object.metadata.labels) && object.metadata.labels.app != 'web'}]",
    ),
    (
        "annotations",
        "auditAnnotations: [{key: k, valueExpression: \"request.operation + ' ' + object.metadata.name\"}]\n  failurePolicy: Ignore",
    ),
    (
        "ignored",
        "failurePolicy: Ignore\n  validations: [{expression: object.absent == 1}, {expression: object.spec.containers.all(c, c.image.startsWith('reg'))}]",
    ),
    (
        "params",
        "paramKind: {apiVersion: v1, kind: ConfigMap}\n  validations: [{expression: 'params == null || int(params.data.max) > object.spec.replicas'}]",
    ),
    ("namespace", "validations: [{expression: \"namespaceObject.metadata.labels['team'] == 'a'\"}]"),
    (
        "quantities",
        "validations: [{expression: \"object.spec.containers.all(c, !has(c.resources) || quantity(c.resources.limits.memory).isLessThan(quantity('2Gi')))\"}]",
    ),
    ("old", "validations: [{expression: 'oldObject == null || oldObject.spec.replicas == object.spec.replicas'}]"),
];

const JAVASCRIPT: &[&str] = &[
    "export function validate({object}) { return true }",
    "export default {validate: r => ({allowed: false, message: r.name, reason: 'Invalid', code: 422, warnings: ['w'], auditAnnotations: {a: 'b'}})}",
    "module.exports = r => ({allowed: true, patch: [{op: 'add', path: '/metadata/labels/a', value: 'b'}]})",
    "exports.validate = ({object: {spec}}) => spec.containers.every(({image}) => /^reg\\.example\\//.test(image)) || 'no'",
    "function validate(r) { return r.object.spec.containers.map(c => c.image).filter(i => i.endsWith(':latest')).join() || true }",
    "const seen = new Map(); function validate(r) { seen.set(r.uid, 1); console.log(seen.size, r); return seen.size === 1 }",
    "class R { *[Symbol.iterator]() { yield* [1, 2] } } function validate() { return [...new R()].length === 2 }",
    "function validate() { try { null.x } catch (e) { return `${e}` } finally { } }",
    "function validate() { label: for (const k in {a: 1}) { switch (k) { case 'a': continue label; default: break } } return false }",
    "const {a = 1, ...rest} = {b: 2}; function validate({dryRun: d = a ?? 2}) { return d?.x === undefined && rest.b ** 2 === 4 }",
    "async function f() { await 1 } function validate() { f(); return true }",
    "function validate() { return JSON.parse(JSON.stringify({allowed: true, warnings: [String.raw`\\u`]})) }",
    "pipy().listen(1).decodeHttpRequest().replaceMessage(m => new Message(JSON.encode({response: {allowed: true}}))).encodeHttpResponse()",
];

/// Changes of a Pod, three bytes each.
const CHANGES: &[&[u8]] = &[
    b"",
    b"\x05\x00\x01",
    b"\x08\x00\x0f\x04\x04\x00",
    b"\x01\x05\x60\x02\x07\x08\x03\x01\x04",
    b"\x06\x02\x00\x07\x03\x05",
    b"\x02\x06\x04\x01\x08\x00",
];

const OBJECTS: &[&str] = &[
    r#"{"spec": {"containers": [{"image": "reg.example/a"}], "containers": [{"image": "nginx"}]}}"#,
    r#"{"spec": {"containers": [{"image": "nginx", "image": "reg.example/a"}], "initContainers": null}}"#,
    r#"{"spec": {"containers": {"a": {"image": "reg.example/a"}}}}"#,
    r#"{"spec": {"containers": [{"image": "reg.example/a", "securityContext": {"privileged": "false"}}]}}"#,
    r#"{"spec": {"containers": [{"image": "reg.example/a", "securityContext": []}], "ephemeralContainers": {}}}"#,
    r#"{"kind": "Deployment", "spec": {"template": {"spec": {"containers": [{"image": "nginx"}]}}}}"#,
    r#"{"spec": {"containers": [{"\u0069mage": "reg.example\u002fa", "__proto__": {"securityContext": {"privileged": true}}}]}}"#,
];

pub(super) fn write_all(folder: &Path) -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    write_rego(folder, &root)?;
    for function in 0..=126_u8 {
        let arguments: &[&[u8]] = &[
            b"\x17\x03\x17\x04\x17\x02\x17\x00",
            b"\x02\x05\x02\x03\x02\x02\x02\x01",
            b"\x3c\x17\x03\x02\x07\x00\x2d\x02\x03\x17\x02\x02\x01",
        ];
        for (n, arguments) in arguments.iter().enumerate() {
            write(folder, "rego_values", &format!("seed-{function}-{n}"), &[&[function], *arguments].concat())?;
        }
    }
    for text in 0..64_u8 {
        write(
            folder,
            "rego_values",
            &format!("text-{text}"),
            &[text.wrapping_mul(5), 0x17, text, 0x17, text / 2, 0x17, text],
        )?;
    }
    for (n, line) in fs::read_to_string(root.join("engines/cel/tests/golden/expressions.jsonl"))?.lines().enumerate() {
        let case: Value = serde_json::from_str(line)?;
        write(folder, "cel", &format!("golden-{n}"), case["e"].as_str().unwrap_or_default().as_bytes())?;
    }
    write_documents(folder, &root)?;
    let hostile = fs::read_to_string(root.join("engines/javascript/src/tests/hostile.rs"))?;
    let bodies = hostile.lines().filter_map(|line| serde_json::from_str::<String>(line.trim().strip_suffix(',')?).ok());
    let bodies = bodies.map(|body| format!("function validate(request) {{ {body}; return true }}"));
    for (n, text) in JAVASCRIPT.iter().map(ToString::to_string).chain(bodies).enumerate() {
        write(folder, "javascript", &format!("seed-{n}"), text.as_bytes())?;
    }
    write(folder, "javascript", "pipy", &fs::read(root.join("envoy-config/admission/pipy/pipy-rule.js"))?)?;
    for (n, seed) in CHANGES.iter().copied().chain(OBJECTS.iter().map(|text| text.as_bytes())).enumerate() {
        write(folder, "review_in_engines", &format!("seed-{n}"), seed)?;
    }
    Ok(())
}

fn write_rego(folder: &Path, root: &Path) -> io::Result<()> {
    for file in ["programs.jsonl", "more.jsonl"] {
        for (n, line) in fs::read_to_string(root.join("engines/rego/tests/opa").join(file))?.lines().enumerate() {
            let case: Value = serde_json::from_str(line)?;
            let modules: Vec<_> =
                case["modules"].as_object().into_iter().flatten().filter_map(|(_, text)| text.as_str()).collect();
            write(folder, "rego", &format!("{file}-{n}"), modules.join(BETWEEN).as_bytes())?;
        }
    }
    let article = fs::read(root.join("envoy-config/admission/opa/image-policy.rego"))?;
    write(folder, "rego", "article", &article)?;
    write(folder, "rego", "laws", &fs::read(root.join("fuzz/src/engines/laws.rego"))?)
}

fn write_documents(folder: &Path, root: &Path) -> io::Result<()> {
    let mut gatekeeper: Vec<PathBuf> = vec![root.join("envoy-config/admission/gatekeeper")];
    for entry in fs::read_dir(root.join("tests/gatekeeper"))? {
        gatekeeper.push(entry?.path());
    }
    for path in gatekeeper.iter().filter(|path| path.is_dir()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut documents = Vec::new();
        for entry in fs::read_dir(path)? {
            let file = entry?.path();
            let text = fs::read_to_string(&file).unwrap_or_default();
            let invalid = file.to_string_lossy().contains("invalid") || file.to_string_lossy().contains("typo");
            if invalid && file.is_file() {
                write(folder, "template", &format!("{name}-invalid"), text.as_bytes())?;
            } else if file.is_file() && !file.ends_with("suite.yaml") {
                documents.push(text);
            }
        }
        let documents = documents.join("\n---\n");
        for (review, text) in [("pod", None), ("namespace", Some(NAMESPACE)), ("deleted", Some(DELETED))] {
            let seed = [&*documents].into_iter().chain(text).collect::<Vec<_>>().join(BETWEEN);
            write(folder, "template", &format!("{name}-{review}"), seed.as_bytes())?;
        }
    }
    for (name, lines) in POLICIES {
        for (review, text) in [("pod", None), ("deleted", Some(DELETED))] {
            let policy = format!(
                "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\nmetadata: {{name: p}}\nspec:\n  \
                 matchConstraints: {{resourceRules: [{{apiGroups: ['*'], apiVersions: ['*'], operations: ['*'], resources: ['*']}}]}}\n  \
                 {lines}\n---\napiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicyBinding\nmetadata: {{name: b}}\n\
                 spec: {{policyName: p, validationActions: [{}]}}\n",
                if name.len() % 2 == 0 { "Deny" } else { "Warn, Audit" }
            );
            let seed = [&*policy].into_iter().chain(text).collect::<Vec<_>>().join(BETWEEN);
            write(folder, "policies", &format!("{name}-{review}"), seed.as_bytes())?;
        }
    }
    write(folder, "policies", "agreement", &fs::read(root.join("fuzz/src/engines/agreement.yaml"))?)
}
