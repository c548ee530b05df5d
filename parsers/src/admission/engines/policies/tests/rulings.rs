use serde_json::json;

use super::{binding, bound, denial, judge, policies, request, try_judge};
use crate::admission::engines::{Denial, Engine as _};

/// The denial without what stands before its message.
fn told(lines: &str) -> String {
    let found = denial(&policies(&bound(lines)), &request(json!({})));
    match found.split_once("denied request: ") {
        Some((before, message)) => {
            assert_eq!(before, "ValidatingAdmissionPolicy 'p' with binding 'b' ");
            message.to_owned()
        }
        None => found,
    }
}

#[test]
fn a_message_is_made_or_written_or_the_expression() {
    let cases = [
        ("{expression: ' 1 == 2 '}", "failed expression: 1 == 2"),
        ("{expression: 1 == 2, message: ' written '}", "written"),
        ("{expression: 1 == 2, message: written, messageExpression: \"' made ' + object.metadata.name\"}", "made web"),
        ("{expression: 1 == 2, message: written, messageExpression: \"'  '\"}", "written"),
        ("{expression: 1 == 2, message: written, messageExpression: \"'a\\\\nb'\"}", "written"),
        ("{expression: 1 == 2, message: written, messageExpression: object.absent.name + 'x'}", "written"),
        ("{expression: 1 == 2, messageExpression: \"''\"}", "failed expression: 1 == 2"),
    ];
    for (validation, expected) in cases {
        assert_eq!(told(&format!("validations: [{validation}]")), expected, "{validation}");
    }
    let long = |count: usize| {
        format!(
            "validations: [{{expression: 1 == 2, message: written, messageExpression: \"'{}'\"}}]",
            "x".repeat(count)
        )
    };
    assert_eq!(told(&long(5 * 1024)).len(), 5 * 1024);
    assert_eq!(told(&long(5 * 1024 + 1)), "written");
}

#[test]
fn what_cannot_be_evaluated_is_for_the_failure_policy() {
    let broken = "validations: [{expression: object.absent == 1, message: written}]";
    assert_eq!(told(broken), "expression 'object.absent == 1' resulted in error: no such key: absent");
    assert_eq!(told(&format!("failurePolicy: Ignore\n{broken}")), "");
    let both =
        "failurePolicy: Ignore\nvalidations: [{expression: object.absent == 1}, {expression: 1 == 2, message: second}]";
    assert_eq!(told(both), "second", "what can be evaluated counts");
}

#[test]
fn reason_and_code_are_the_first_ones() {
    let cases = [
        ("", "Invalid", 422),
        ("reason: Invalid", "Invalid", 422),
        ("reason: Forbidden", "Forbidden", 403),
        ("reason: RequestEntityTooLarge", "RequestEntityTooLarge", 413),
    ];
    for (reason, expected, code) in cases {
        let lines = format!(
            "validations: [{{expression: 1 == 2, message: first, {reason}}}, {{expression: 1 == 2, message: second}}]"
        );
        let ruling = judge(&policies(&bound(&lines)), &request(json!({})));
        let message = ["first", "second"]
            .map(|it| format!("ValidatingAdmissionPolicy 'p' with binding 'b' denied request: {it}"))
            .join("\n");
        assert_eq!(ruling.denial, Some(Denial { message, reason: expected.to_owned(), code }));
        assert_eq!(ruling.decided_by, "p/b");
    }
}

#[test]
fn all_policies_and_bindings_are_asked() {
    let one = bound("validations: [{expression: 1 == 2, message: one}]");
    let two = bound("validations: [{expression: 1 == 2, message: two}]")
        .replace("name: p", "name: a")
        .replace("name: b", "name: c")
        .replace("policyName: p", "policyName: a");
    let text = format!("{one}---\n{two}---\n{}", binding("a", "p", "validationActions: [Warn, Audit]"));
    let ruling = judge(&policies(&text), &request(json!({})));
    let message = ruling.denial.unwrap().message;
    let lines: Vec<_> = message.lines().collect();
    assert_eq!(
        lines,
        [
            "ValidatingAdmissionPolicy 'a' with binding 'c' denied request: two",
            "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: one"
        ]
    );
    assert_eq!(ruling.warnings, ["Validation failed for ValidatingAdmissionPolicy 'p' with binding 'a': one"]);
    let failure = json!([{"message": "one", "policy": "p", "binding": "a", "expressionIndex": 0, "validationActions": ["Warn", "Audit"]}]);
    let [(key, value)] = ruling.audit_annotations.as_slice() else { panic!("{:?}", ruling.audit_annotations) };
    assert_eq!((key.as_str(), serde_json::from_str(value).ok()), ("validation_failure", Some(failure)));
    assert_eq!(ruling.decided_by, "a/c, p/b");
}

#[test]
fn a_request_in_order_is_allowed_and_the_log_says_by_whom() {
    let ruling =
        judge(&policies(&bound("validations: [{expression: object.spec.replicas == 3}]")), &request(json!({})));
    assert_eq!((ruling.denial, ruling.warnings, ruling.audit_annotations), (None, vec![], vec![]));
    assert_eq!(ruling.decided_by, "p/b");
}

#[test]
fn match_conditions_decide_whether_validations_are_asked() {
    let deny = "validations: [{expression: 'false', message: asked}]";
    let cases = [
        ("{name: a, expression: 'true'}", "asked"),
        ("{name: a, expression: 'true'}, {name: b, expression: 'false'}", ""),
        ("{name: a, expression: object.absent == 1}, {name: b, expression: 'false'}", ""),
        (
            "{name: a, expression: object.absent == 1}",
            "expression 'object.absent == 1' resulted in error: no such key: absent",
        ),
        (
            "{name: a, expression: object.absent == 1}, {name: b, expression: object.none == 1}",
            "[expression 'object.absent == 1' resulted in error: no such key: absent, expression 'object.none == 1' resulted in error: no such key: none]",
        ),
        ("{name: a, expression: namespaceObject == null}", "asked"),
    ];
    for (conditions, expected) in cases {
        assert_eq!(told(&format!("matchConditions: [{conditions}]\n{deny}")), expected, "{conditions}");
        let ignoring = told(&format!("failurePolicy: Ignore\nmatchConditions: [{conditions}]\n{deny}"));
        assert_eq!(ignoring, if expected == "asked" { "asked" } else { "" }, "{conditions}");
    }
}

#[test]
fn annotations_are_told_unless_they_are_empty() {
    let annotations =
        |list: &str| judge(&policies(&bound(&format!("auditAnnotations: [{list}]"))), &request(json!({})));
    let ruling = annotations(
        "{key: a, valueExpression: \"' ' + object.metadata.name + ' '\"}, {key: b, valueExpression: \"''\"}, {key: c, valueExpression: 'null'}",
    );
    assert_eq!(ruling.audit_annotations, [("p.a".to_owned(), "web".to_owned())]);
    assert_eq!(ruling.denial, None);
    let broken = annotations("{key: a, valueExpression: object.absent + 'x'}");
    let message = broken.denial.unwrap().message;
    assert!(
        message.contains("denied request: expression 'object.absent + 'x'' resulted in error: no such key: absent"),
        "{message}"
    );
    let ignoring = bound("failurePolicy: Ignore\nauditAnnotations: [{key: a, valueExpression: object.absent + 'x'}]");
    assert_eq!(judge(&policies(&ignoring), &request(json!({}))).denial, None);
    let twice = format!("{}---\n{}---\n{}", bound("paramKind: {apiVersion: v1, kind: ConfigMap}\nauditAnnotations: [{key: a, valueExpression: params.metadata.name + ''}]"),
        binding("c", "p", "paramRef: {selector: {}, parameterNotFoundAction: Allow}"),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: shop}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: y, namespace: shop}\n")
        .replace("policyName: p\n  validationActions: [Deny]\n  \n", "policyName: p\n  validationActions: [Deny]\n  paramRef: {name: x, parameterNotFoundAction: Allow}\n");
    assert_eq!(
        judge(&policies(&twice), &request(json!({}))).audit_annotations,
        [("p.a".to_owned(), "x, y".to_owned())]
    );
    let large = bound("auditAnnotations: [{key: a, valueExpression: object.big + ''}]");
    let ruling = judge(&policies(&large), &request(json!({"object": {"big": "é".repeat(6000)}})));
    assert_eq!(ruling.audit_annotations.first().map(|(_, value)| value.len()), Some(10 * 1024));
}

#[test]
fn what_is_denied_stays_denied_where_time_runs_out() {
    let text = format!(
        "{}---\n{}",
        bound("validations: [{expression: 1 == 2, message: one}]")
            .replace("name: p}", "name: a}")
            .replace("policyName: p", "policyName: a")
            .replace("name: b}", "name: a}"),
        bound("validations: [{expression: '[1,2,3,4,5,6,7,8].all(a, [1,2,3,4,5,6,7,8].all(b, true))'}]")
    );
    // The first policy is asked in time or not at all: either way nothing is allowed.
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request(json!({}))})
        .to_string();
    let mut tape = crate::admission::json::Tape::new();
    let review = crate::admission::review::Review::read(tape.read(review.as_bytes()).unwrap()).unwrap();
    let late = policies(&text).evaluate(&review, std::time::Instant::now());
    assert!(late.is_err_and(|error| error.0.starts_with("time ran out while the policy `a` was evaluated")));
    assert!(try_judge(&policies(&text), &request(json!({}))).unwrap().denial.is_some());
}

#[test]
fn many_denials_are_told_in_few_lines() {
    let validations: Vec<_> = (0..60).map(|n| format!("{{expression: 1 == 2, message: m{n}}}")).collect();
    let found = denial(&policies(&bound(&format!("validations: [{}]", validations.join(", ")))), &request(json!({})));
    assert_eq!(found.lines().count(), 51);
    assert!(found.ends_with("\nand 10 more"), "{found}");
}
