//! Gatekeeper as its users know it.

mod actions;
mod article;
mod expansion;
mod hostile;
mod inventory;
mod load;
mod matching;
mod own;
mod parameters;
mod review;

use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_policy::{Node, NodeError};
use serde_json::{Value as Json, json};

use super::{Asked, EnforcementPoint, Gatekeeper, Subject};
use crate::admission::engines::{Engine, EngineError, Ruling};
use crate::admission::json::Tape;
use crate::admission::review::Review;

/// The documents of some files.
fn documents(files: &[&str]) -> Vec<Node> {
    let load = |(n, text): (usize, &&str)| Node::load(&format!("{n}.yaml"), text.as_bytes()).expect("documents");
    files.iter().enumerate().flat_map(load).collect()
}

fn try_compile(files: &[&str]) -> Result<(Arc<Gatekeeper>, Vec<NodeError>), Vec<NodeError>> {
    Gatekeeper::compile(&documents(files))
}

fn compile(files: &[&str]) -> Arc<Gatekeeper> {
    match try_compile(files) {
        Ok((gatekeeper, _)) => gatekeeper,
        Err(errors) => panic!("{}", lines(&errors)),
    }
}

/// What is wrong with some files, a line each.
fn refuse(files: &[&str]) -> String {
    match try_compile(files) {
        Ok(_) => panic!("compiled"),
        Err(errors) => lines(&errors),
    }
}

fn lines(errors: &[NodeError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// A request as the API server sends it.
fn request(operation: &str, object: &Json) -> Json {
    let text = |path: &str| object.pointer(path).and_then(Json::as_str).unwrap_or_default();
    let (group, version) = text("/apiVersion").rsplit_once('/').unwrap_or(("", text("/apiVersion")));
    let (object_now, old) =
        if operation == "DELETE" { (Json::Null, object.clone()) } else { (object.clone(), Json::Null) };
    json!({
        "uid": "1",
        "kind": {"group": group, "version": version, "kind": text("/kind")},
        "resource": {"group": group, "version": version, "resource": format!("{}s", text("/kind").to_lowercase())},
        "name": text("/metadata/name"),
        "namespace": text("/metadata/namespace"),
        "operation": operation,
        "userInfo": {"username": "alice", "groups": ["staff"]},
        "object": object_now,
        "oldObject": old,
    })
}

fn answer_request(gatekeeper: &Gatekeeper, request: &Json, until: Instant) -> Result<Ruling, EngineError> {
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
    let text = review.to_string();
    let mut tape = Tape::new();
    let root = tape.read(text.as_bytes()).expect("json");
    gatekeeper.evaluate(&Review::read(root).expect("a review"), until)
}

fn answer(gatekeeper: &Gatekeeper, object: &Json) -> Ruling {
    answer_request(gatekeeper, &request("CREATE", object), soon()).expect("a ruling")
}

/// The message of a denial; empty where there is none.
fn denial(gatekeeper: &Gatekeeper, object: &Json) -> String {
    answer(gatekeeper, object).denial.map(|denial| denial.message).unwrap_or_default()
}

fn fault(gatekeeper: &Gatekeeper, object: &Json) -> String {
    match answer_request(gatekeeper, &request("CREATE", object), soon()) {
        Err(EngineError(message)) => message,
        Ok(ruling) => panic!("{ruling:?}"),
    }
}

/// The messages of an object at a point, sorted as they are told.
fn messages(gatekeeper: &Gatekeeper, object: &Json, point: EnforcementPoint) -> Vec<String> {
    let text = object.to_string();
    let mut tape = Tape::new();
    let value = tape.read(text.as_bytes()).expect("json");
    let asked = Asked { review: Subject::Object(value), namespace: None, point };
    gatekeeper.judge(&asked, soon()).expect("violations").into_iter().map(|violation| violation.message).collect()
}

/// A template of a kind `Say`, which says what its parameter `say` is of everything that it is asked of.
const SAY: &str = r#"
apiVersion: templates.gatekeeper.sh/v1
kind: ConstraintTemplate
metadata: {name: say}
spec:
  crd:
    spec:
      names: {kind: Say}
      validation:
        openAPIV3Schema:
          type: object
          properties: {say: {type: string, default: no}}
  targets:
    - target: admission.k8s.gatekeeper.sh
      rego: |
        package say

        violation[{"msg": msg}] {
          msg := object.get(input.parameters, "say", "no")
        }
"#;

/// A constraint of the kind `Say`.
fn say(name: &str, spec: &Json) -> String {
    json!({
        "apiVersion": "constraints.gatekeeper.sh/v1beta1",
        "kind": "Say",
        "metadata": {"name": name},
        "spec": spec,
    })
    .to_string()
}

/// A template of a kind with this Rego.
fn template(kind: &str, rego: &str) -> String {
    json!({
        "apiVersion": "templates.gatekeeper.sh/v1",
        "kind": "ConstraintTemplate",
        "metadata": {"name": kind.to_lowercase()},
        "spec": {
            "crd": {"spec": {"names": {"kind": kind}}},
            "targets": [{"target": "admission.k8s.gatekeeper.sh", "rego": rego}],
        },
    })
    .to_string()
}

/// A constraint without anything in it.
fn constraint(kind: &str, name: &str) -> String {
    json!({"apiVersion": "constraints.gatekeeper.sh/v1beta1", "kind": kind, "metadata": {"name": name}}).to_string()
}

fn pod(name: &str, namespace: &str) -> Json {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}})
}
