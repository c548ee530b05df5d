//! The article on Gatekeeper 3.0: its template and its constraints as they are printed there.

use serde_json::json;

use super::{answer, compile, messages, request};
use crate::admission::engines::gatekeeper::EnforcementPoint;

const TEMPLATE: &str = r#"
apiVersion: templates.gatekeeper.sh/v1beta1
kind: ConstraintTemplate
metadata:
  name: k8srequiredlabels
spec:
  crd:
    spec:
      names:
        kind: K8sRequiredLabels
        listKind: K8sRequiredLabelsList
        plural: k8srequiredlabels
        singular: k8srequiredlabels
      validation:
        # Schema for the `parameters` field
        openAPIV3Schema:
          properties:
            labels:
              type: array
              items: string
  targets:
    - target: admission.k8s.gatekeeper.sh
      rego: |
        package k8srequiredlabels

        deny[{"msg": msg, "details": {"missing_labels": missing}}] {
          provided := {label | input.review.object.metadata.labels[label]}
          required := {label | label := input.parameters.labels[_]}
          missing := required - provided
          count(missing) > 0
          msg := sprintf("you must provide labels: %v", [missing])
        }
"#;

const HR: &str = r#"
apiVersion: constraints.gatekeeper.sh/v1beta1
kind: K8sRequiredLabels
metadata:
  name: ns-must-have-hr
spec:
  match:
    kinds:
      - apiGroups: [""]
        kinds: ["Namespace"]
  parameters:
    labels: ["hr"]
"#;

const FINANCE: &str = r#"
apiVersion: constraints.gatekeeper.sh/v1beta1
kind: K8sRequiredLabels
metadata:
  name: ns-must-have-finance
spec:
  match:
    kinds:
      - apiGroups: [""]
        kinds: ["Namespace"]
  parameters:
    labels: ["finance"]
status:
  auditTimestamp: "2019-08-06T01:46:13Z"
"#;

#[test]
fn two_constraints_of_one_template_are_told_both() {
    let gatekeeper = compile(&[TEMPLATE, HR, FINANCE]);
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}});
    let ruling = answer(&gatekeeper, &namespace);
    let denial = ruling.denial.expect("a denial");
    assert_eq!(
        denial.message,
        "[ns-must-have-finance] you must provide labels: {\"finance\"}\n[ns-must-have-hr] you must provide labels: {\"hr\"}"
    );
    assert_eq!((denial.code, &*denial.reason), (403, "Forbidden"));
    assert_eq!(ruling.decided_by, "K8sRequiredLabels/ns-must-have-finance, K8sRequiredLabels/ns-must-have-hr");
    assert!(ruling.warnings.is_empty() && ruling.patch.is_none());
}

#[test]
fn labels_that_are_there_are_not_asked_for() {
    let gatekeeper = compile(&[TEMPLATE, HR, FINANCE]);
    let labelled =
        |labels| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a", "labels": labels}});
    assert_eq!(answer(&gatekeeper, &labelled(json!({"hr": "x", "finance": ""}))).denial, None);
    let message = answer(&gatekeeper, &labelled(json!({"hr": "x"}))).denial.expect("a denial").message;
    assert_eq!(message, "[ns-must-have-finance] you must provide labels: {\"finance\"}");
    // The constraints are for Namespaces.
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}});
    assert_eq!(answer(&gatekeeper, &pod).denial, None);
}

#[test]
fn the_audit_tells_the_message_alone_with_its_details() {
    let gatekeeper = compile(&[TEMPLATE, HR]);
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system"}});
    assert_eq!(messages(&gatekeeper, &namespace, EnforcementPoint::Audit), ["you must provide labels: {\"hr\"}"]);
    let text = namespace.to_string();
    let mut tape = crate::admission::json::Tape::new();
    let asked = super::Asked {
        review: super::Subject::Object(tape.read(text.as_bytes()).expect("json")),
        namespace: None,
        point: EnforcementPoint::Audit,
    };
    let violations = gatekeeper.judge(&asked, super::soon()).expect("violations");
    let [violation] = violations.as_slice() else { panic!("{violations:?}") };
    assert_eq!(violation.details, json!({"missing_labels": ["hr"]}));
    assert_eq!((violation.constraint.kind(), violation.constraint.name()), ("K8sRequiredLabels", "ns-must-have-hr"));
    assert_eq!(violation.constraint.place().to_string(), "1.yaml:2:1");
}

#[test]
fn what_is_deleted_is_judged_as_it_was() {
    let gatekeeper = compile(&[TEMPLATE, HR]);
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}});
    let ruling = super::answer_request(&gatekeeper, &request("DELETE", &namespace), super::soon()).expect("a ruling");
    assert_eq!(ruling.denial.expect("a denial").message, "[ns-must-have-hr] you must provide labels: {\"hr\"}");
}
