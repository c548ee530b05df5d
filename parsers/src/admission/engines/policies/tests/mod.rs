#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod expressions;
mod faults;
mod golden;
mod matches;
mod native;
mod params;
mod rulings;

use std::time::{Duration, Instant};

use portcullis_policy::Node;
use serde_json::{Value as Json, json};

use super::Policies;
use crate::admission::engines::{Engine, EngineError, Ruling};
use crate::admission::json::Tape;
use crate::admission::review::Review;

/// Documents, as a file has them.
fn load(text: &str) -> Vec<Node> {
    Node::load("policies.yaml", text.as_bytes()).unwrap()
}

/// Policies without a fault.
fn policies(text: &str) -> Policies {
    match Policies::compile(&load(text)) {
        Ok((policies, _)) => policies,
        Err(errors) => panic!("{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
    }
}

/// A policy for the creation and change of pods, with these further lines in its `spec`, and a binding that denies.
fn bound(lines: &str) -> String {
    let lines = lines.trim().replace('\n', "\n  ");
    format!(
        "apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {{name: p}}
spec:
  matchConstraints:
    resourceRules: [{{apiGroups: [''], apiVersions: [v1], operations: [CREATE, UPDATE, DELETE], resources: [pods]}}]
  {lines}
---
{}",
        binding("b", "p", "")
    )
}

/// A binding that denies.
fn binding(name: &str, policy: &str, lines: &str) -> String {
    let actions = if lines.contains("validationActions") { "" } else { "validationActions: [Deny]\n  " };
    let lines = lines.trim().replace('\n', "\n  ");
    format!(
        "apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {{name: {name}}}
spec:
  policyName: {policy}
  {actions}{lines}
"
    )
}

/// A request to create the pod `web` in the namespace `shop`, with these fields in place of its own.
fn request(fields: Json) -> Json {
    let mut request = json!({
        "uid": "1",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
        "requestResource": {"group": "", "version": "v1", "resource": "pods"},
        "name": "web",
        "namespace": "shop",
        "operation": "CREATE",
        "userInfo": {"username": "ada", "groups": ["dev"], "extra": {"a": ["b"]}},
        "object": {"metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}}, "spec": {"replicas": 3}},
        "oldObject": null,
        "dryRun": false,
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
    });
    for (name, value) in fields.as_object().unwrap() {
        request[name] = value.clone();
    }
    request
}

fn try_judge(policies: &Policies, request: &Json) -> Result<Ruling, EngineError> {
    let review =
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).to_string();
    let mut tape = Tape::new();
    let review = Review::read(tape.read(review.as_bytes()).unwrap()).unwrap();
    policies.evaluate(&review, Instant::now() + Duration::from_secs(30))
}

fn judge(policies: &Policies, request: &Json) -> Ruling {
    try_judge(policies, request).unwrap()
}

/// The message of the denial; empty if there is none.
fn denial(policies: &Policies, request: &Json) -> String {
    judge(policies, request).denial.map(|denial| denial.message).unwrap_or_default()
}
