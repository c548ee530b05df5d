use std::time::{Duration, Instant};

use portcullis_policy::NodeError;
use serde_json::{Value as Json, json};

use super::{load, request};
use crate::admission::engines::policies::Namespace;
use crate::admission::engines::policies::native::Validations;
use crate::admission::json::{Document, Tape};
use crate::admission::review::Review;

fn compile(source: &str) -> Result<(Validations, Vec<NodeError>), Vec<NodeError>> {
    Validations::compile(&load(source)[0], "K8sTest: spec.targets[0].code[0].source")
}

/// What a source says of a request for a constraint.
fn violations(source: &str, constraint: Json, fields: Json) -> Vec<String> {
    let (validations, _) = compile(source).unwrap_or_else(|errors| panic!("{errors:?}"));
    let review =
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request(fields)}).to_string();
    let mut tape = Tape::new();
    let review = Review::read(tape.read(review.as_bytes()).unwrap()).unwrap();
    let constraint = Document::read(constraint.to_string()).unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    validations.evaluate(&review, constraint.root(), Namespace::Unknown, until).unwrap()
}

const LABELS: &str = "
variables:
- {name: missing, expression: 'variables.params.labels.filter(l, !(l in variables.anyObject.metadata.labels))'}
validations:
- expression: size(variables.missing) == 0
  messageExpression: '\"missing: \" + variables.missing.join(\", \")'
";

#[test]
fn parameters_and_the_object_are_variables() {
    let constraint = json!({"spec": {"parameters": {"labels": ["app", "team", "owner"]}}});
    assert_eq!(violations(LABELS, constraint.clone(), json!({})), ["missing: team, owner"]);
    let deletion = json!({"operation": "DELETE", "object": null, "oldObject": {"metadata": {"labels": {"team": "x"}}}});
    assert_eq!(violations(LABELS, constraint, deletion), ["missing: app, owner"]);
    let none = violations("validations: [{expression: variables.params == null}]", json!({"spec": {}}), json!({}));
    assert_eq!(none, [""; 0]);
    assert_eq!(violations("validations: [{expression: variables.params == null}]", json!({}), json!({})), [""; 0]);
}

#[test]
fn what_fails_is_a_violation_unless_it_is_ignored() {
    let source = "validations: [{expression: object.absent == 1, message: told}]";
    let found = violations(source, json!({}), json!({}));
    assert_eq!(found, ["expression 'object.absent == 1' resulted in error: no such key: absent"]);
    assert_eq!(violations(&format!("failurePolicy: Ignore\n{source}"), json!({}), json!({})), [""; 0]);
}

#[test]
fn conditions_count_by_either_name() {
    for name in ["matchCondition", "matchConditions"] {
        let source = format!("{name}: [{{name: a, expression: variables.params.on}}]\nvalidations: [{{expression: 'false', message: told}}]").replace("params.on", "params.on == true");
        let on = |on: bool| violations(&source, json!({"spec": {"parameters": {"on": on}}}), json!({}));
        assert_eq!((on(true).len(), on(false).len()), (1, 0), "{name}");
    }
    let (_, warnings) =
        compile("matchConditions: [{name: a, expression: 'true'}]\nvalidations: [{expression: 'true'}]").unwrap();
    assert!(warnings[0].message.contains("`matchCondition`"), "{warnings:?}");
}

#[test]
fn what_a_template_may_not_do_is_refused() {
    let cases = [
        ("validations: [{expression: params.a == 1}]", "params"),
        ("variables: [{name: params, expression: '1'}]", "`params` cannot be a variable"),
        ("variables: [{name: anyObject, expression: '1'}]", "`anyObject` cannot be a variable"),
        ("variables: [{name: gatekeeper_internal_x, expression: '1'}]", "`gatekeeper_internal_x` cannot be a variable"),
        ("failurePolicy: fail", "`fail` is not known"),
        ("rego: x", "unknown field `rego`"),
        ("validations: [{expression: 'true', reason: Invalid}]", "unknown field `reason`"),
        (
            "validations: [{expression: '1 +'}]",
            "K8sTest: spec.targets[0].code[0].source.validations[0].expression: line 1",
        ),
    ];
    for (source, expected) in cases {
        let errors = compile(source).map(|_| String::new()).unwrap_or_else(|errors| errors[0].to_string());
        assert!(errors.contains(expected), "{source}\n-> {errors}");
    }
    assert!(compile("generateVAP: true\nvalidations: [{expression: 'true'}]").is_ok());
    assert!(compile("generateVAP: maybe\nvalidations: [{expression: 'true'}]").is_err());
}
