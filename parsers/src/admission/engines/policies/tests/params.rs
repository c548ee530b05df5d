use serde_json::json;

use super::{binding, bound, denial, judge, policies, request};

const KIND: &str = "paramKind: {apiVersion: v1, kind: ConfigMap}\n";

/// A policy that denies with what it finds, and one binding with this `paramRef`.
fn with(reference: &str, objects: &[&str]) -> String {
    let policy = bound(&format!(
        "{KIND}validations: [{{expression: 'false', messageExpression: \"params == null ? 'null' : params.metadata.namespace + '/' + params.metadata.name\"}}]"
    ));
    let (policy, _) = policy.split_once("---").unwrap();
    let objects = objects
        .iter()
        .map(|object| format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{{object}}}\n"))
        .collect::<String>();
    format!("{policy}---\n{}{objects}", binding("b", "p", reference))
}

/// What the validations found, one after the other.
fn found(text: &str, fields: serde_json::Value) -> Vec<String> {
    let denial = denial(&policies(text), &request(fields));
    denial.lines().map(|line| line.split_once("denied request: ").unwrap().1.to_owned()).collect()
}

const OBJECTS: [&str; 5] = [
    "name: a, namespace: shop, labels: {use: x}",
    "name: b, namespace: shop, labels: {use: x}",
    "name: a, namespace: lab, labels: {use: x}",
    "name: c, labels: {use: x}",
    "name: d, namespace: shop",
];

#[test]
fn parameters_are_found_by_name_or_labels() {
    let none = "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction";
    let cases: [(&str, &[&str]); 10] = [
        ("paramRef: {name: a, parameterNotFoundAction: Deny}", &["shop/a"]),
        ("paramRef: {name: a, namespace: lab, parameterNotFoundAction: Deny}", &["lab/a"]),
        ("paramRef: {name: c, namespace: default, parameterNotFoundAction: Deny}", &["default/c"]),
        ("paramRef: {name: c, parameterNotFoundAction: Deny}", &[none]),
        ("paramRef: {name: c, parameterNotFoundAction: Allow}", &[]),
        ("paramRef: {selector: {matchLabels: {use: x}}, parameterNotFoundAction: Deny}", &["shop/a", "shop/b"]),
        ("paramRef: {selector: {}, parameterNotFoundAction: Deny}", &["shop/a", "shop/b", "shop/d"]),
        ("paramRef: {selector: {matchLabels: {use: y}}, parameterNotFoundAction: Allow}", &[]),
        ("paramRef: {selector: {matchLabels: {use: y}}, parameterNotFoundAction: Deny}", &[none]),
        ("", &["null"]),
    ];
    for (reference, expected) in cases {
        assert_eq!(found(&with(reference, &OBJECTS), json!({})), expected, "{reference}");
    }
}

#[test]
fn without_any_object_of_the_kind_there_are_none() {
    assert!(
        found(&with("paramRef: {name: a, parameterNotFoundAction: Deny}", &[]), json!({}))[0]
            .contains("no params found")
    );
    assert_eq!(found(&with("paramRef: {name: a, parameterNotFoundAction: Allow}", &[]), json!({})), [""; 0]);
}

#[test]
fn what_is_in_no_namespace_has_no_parameters_in_one() {
    let text = with("paramRef: {name: a, parameterNotFoundAction: Allow}", &OBJECTS);
    let found = found(&text, json!({"namespace": ""}));
    assert_eq!(
        found,
        [
            "failed to configure binding: cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
        ]
    );
}

/// A policy with a parameter of a kind that is not Kubernetes' own.
fn custom(reference: &str, object: &str) -> String {
    let policy = bound(
        "paramKind: {apiVersion: rules.example.com/v1, kind: Limit}\nvalidations: [{expression: object.spec.replicas <= params.max, message: too many}]",
    );
    let (policy, _) = policy.split_once("---").unwrap();
    format!("{policy}---\n{}---\napiVersion: rules.example.com/v1\nkind: Limit\n{object}", binding("b", "p", reference))
}

#[test]
fn a_kind_is_in_namespaces_if_its_objects_are() {
    let reference = "paramRef: {name: low, parameterNotFoundAction: Deny}";
    assert_eq!(found(&custom(reference, "metadata: {name: low}\nmax: 2\n"), json!({})), ["too many"]);
    assert_eq!(found(&custom(reference, "metadata: {name: low}\nmax: 2\n"), json!({"namespace": ""})), ["too many"]);
    assert_eq!(found(&custom(reference, "metadata: {name: low}\nmax: 3\n"), json!({})), [""; 0]);
    assert_eq!(found(&custom(reference, "metadata: {name: low, namespace: shop}\nmax: 2\n"), json!({})), ["too many"]);
    assert!(
        found(&custom(reference, "metadata: {name: low, namespace: lab}\nmax: 2\n"), json!({}))[0]
            .contains("no params found")
    );
    let elsewhere = "paramRef: {name: low, namespace: lab, parameterNotFoundAction: Deny}";
    assert_eq!(
        found(&custom(elsewhere, "metadata: {name: low}\nmax: 2\n"), json!({})),
        ["failed to configure binding: paramRef.namespace must not be provided for a cluster-scoped `paramKind`"]
    );
}

#[test]
fn objects_without_a_name_and_second_ones_are_refused() {
    let reference = "paramRef: {name: low, parameterNotFoundAction: Deny}";
    let errors = |object: &str| {
        let documents = super::load(&custom(reference, object));
        let errors = crate::admission::engines::policies::Policies::compile(&documents).err().unwrap();
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let found = errors("max: 2\n");
    assert!(found.starts_with("policies.yaml:18:1: Limit: `metadata` with a `name` is missing"), "{found}");
    assert!(errors("metadata: {labels: {}}\n").contains("the field `name` is missing"));
    let twice = "metadata: {name: low}\n---\napiVersion: rules.example.com/v1\nkind: Limit\nmetadata: {name: low}\n";
    assert!(errors(twice).contains("there is a `Limit` `low` already"));
}

#[test]
fn whoever_wants_no_parameter_gets_none() {
    let policy = bound("validations: [{expression: 'false', message: told}]");
    let (policy, _) = policy.split_once("---").unwrap();
    let text = format!("{policy}---\n{}", binding("b", "p", "paramRef: {name: a, parameterNotFoundAction: Deny}"));
    assert_eq!(found(&text, json!({})), ["told"], "without a paramKind a paramRef means nothing");
    assert_eq!(judge(&policies(&text), &request(json!({}))).decided_by, "p/b");
}
