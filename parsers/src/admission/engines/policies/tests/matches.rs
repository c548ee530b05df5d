use serde_json::{Value as Json, json};

use super::{binding, bound, denial, judge, policies, request};

/// Policies that deny all that they speak of, with these rules.
fn rules(constraints: &str) -> String {
    let text = bound("validations: [{expression: 'false', message: spoken of}]");
    let (before, rest) = text.split_once("    resourceRules:").unwrap();
    let (_, after) = rest.split_once('\n').unwrap();
    format!("{before}    {}\n{after}", constraints.replace('\n', "\n    "))
}

fn rule(fields: &str) -> String {
    format!("resourceRules: [{{apiGroups: [''], apiVersions: [v1], operations: ['*'], resources: [pods], {fields}}}]")
}

/// Whether the policies speak of a request.
fn speaks_of(text: &str, request: &Json) -> bool {
    let found = denial(&policies(text), request);
    assert!(found.is_empty() || found.ends_with("spoken of"), "{found}");
    !found.is_empty()
}

fn resource(group: &str, version: &str, name: &str) -> Json {
    json!({"group": group, "version": version, "resource": name})
}

#[test]
fn a_rule_speaks_of_what_it_names() {
    let pods = request(json!({}));
    let deletion = request(json!({"operation": "DELETE", "object": null, "oldObject": {"metadata": {"name": "web"}}}));
    let exec = request(
        json!({"operation": "CONNECT", "subResource": "exec", "requestSubResource": "exec", "object": {"kind": "PodExecOptions"}}),
    );
    let nodes = request(
        json!({"resource": resource("", "v1", "nodes"), "requestResource": resource("", "v1", "nodes"), "namespace": ""}),
    );
    let namespace = request(
        json!({"resource": resource("", "v1", "namespaces"), "requestResource": resource("", "v1", "namespaces"), "namespace": "web"}),
    );
    let cases = [
        ("", &pods, true),
        ("", &deletion, true),
        ("", &exec, false),
        ("", &nodes, false),
        ("operations: [UPDATE]", &pods, false),
        ("operations: [DELETE, UPDATE]", &deletion, true),
        ("apiGroups: [apps]", &pods, false),
        ("apiGroups: ['*']", &pods, true),
        ("apiVersions: ['*']", &pods, true),
        ("resources: [pods/exec]", &exec, true),
        ("resources: [pods/exec]", &pods, false),
        ("resources: ['pods/*']", &exec, true),
        ("resources: ['*/exec']", &exec, true),
        ("resources: ['*']", &exec, false),
        ("resources: ['*']", &nodes, true),
        ("resources: ['*/*']", &exec, true),
        ("resourceNames: [web]", &pods, true),
        ("resourceNames: [web2, we]", &pods, false),
        ("scope: Namespaced", &pods, true),
        ("scope: Cluster", &pods, false),
        ("resources: ['*'], scope: Cluster", &nodes, true),
        ("resources: ['*'], scope: Namespaced", &nodes, false),
        ("resources: ['*'], scope: Cluster", &namespace, true),
        ("resources: ['*'], scope: Namespaced", &namespace, false),
    ];
    for (fields, request, expected) in cases {
        // A field that is given twice is the later one.
        let mut all =
            vec![("apiGroups", "['']"), ("apiVersions", "[v1]"), ("operations", "['*']"), ("resources", "[pods]")];
        all.retain(|(name, _)| !fields.contains(name));
        let rest: Vec<_> =
            all.iter().map(|(name, value)| format!("{name}: {value}")).chain([fields.to_owned()]).collect();
        let rest: Vec<_> = rest.into_iter().filter(|part| !part.is_empty()).collect();
        let text = rules(&format!("resourceRules: [{{{}}}]", rest.join(", ")));
        assert_eq!(speaks_of(&text, request), expected, "{fields}: {request}");
    }
}

#[test]
fn what_is_excluded_is_not_spoken_of() {
    let text = rules(&format!(
        "{}\nexcludeResourceRules: [{{apiGroups: ['*'], apiVersions: ['*'], operations: [CREATE], resources: ['*'], resourceNames: [web]}}]",
        rule("")
    ));
    assert!(!speaks_of(&text, &request(json!({}))));
    assert!(speaks_of(&text, &request(json!({"name": "other"}))));
    assert!(speaks_of(&text, &request(json!({"operation": "UPDATE", "oldObject": {}}))));
}

#[test]
fn a_version_that_the_review_does_not_hold_is_no_excuse() {
    let deployments = |held: &str, asked: &str| {
        request(
            json!({"resource": resource("apps", held, "deployments"), "requestResource": resource("apps", asked, "deployments")}),
        )
    };
    let text = |policy: &str, versions: &str| {
        rules(&format!(
            "matchPolicy: {policy}\nresourceRules: [{{apiGroups: [apps], apiVersions: [{versions}], operations: ['*'], resources: [deployments]}}]"
        ))
    };
    let converted = "it asks for another version of `deployments` than the review holds";
    let cases = [
        ("Equivalent", "v1", "v1", "v1", "spoken of"),
        ("Equivalent", "v1", "v1", "v1beta1", "spoken of"),
        ("Equivalent", "v1beta1", "v1", "v1", converted),
        ("Equivalent", "v1beta1", "v1", "v1beta1", converted),
        ("Exact", "v1", "v1", "v1", "spoken of"),
        ("Exact", "v1", "v1", "v1beta1", ""),
        ("Exact", "v1beta1", "v1", "v1beta1", converted),
        ("Exact", "v1beta1", "v1", "v1", ""),
        ("Exact", "'*'", "v1", "v1beta1", "spoken of"),
    ];
    for (policy, versions, held, asked, expected) in cases {
        let found = denial(&policies(&text(policy, versions)), &deployments(held, asked));
        assert!(
            found.contains(expected) && found.is_empty() == expected.is_empty(),
            "{policy} {versions} {held} {asked}: {found}"
        );
    }
    let ignored = text("Equivalent", "v1beta1").replace("  validations", "  failurePolicy: Ignore\n  validations");
    assert_eq!(denial(&policies(&ignored), &deployments("v1", "v1")), "");
    let events = rules(
        "resourceRules: [{apiGroups: [events.k8s.io], apiVersions: [v1], operations: ['*'], resources: [events]}]",
    );
    let core =
        request(json!({"resource": resource("", "v1", "events"), "requestResource": resource("", "v1", "events")}));
    assert!(denial(&policies(&events), &core).contains("another version of `events`"));
}

#[test]
fn an_object_is_selected_before_or_after() {
    let text = rules(&format!("{}\nobjectSelector: {{matchLabels: {{app: web}}}}", rule("")));
    let other = json!({"metadata": {"labels": {"app": "other"}}});
    let cases = [
        (json!({}), true),
        (json!({"object": other}), false),
        (json!({"operation": "UPDATE", "object": other, "oldObject": {"metadata": {"labels": {"app": "web"}}}}), true),
        (json!({"operation": "DELETE", "object": {"metadata": {"labels": {"app": "web"}}}, "oldObject": other}), false),
        (json!({"object": {"kind": "PodExecOptions"}}), false),
        (json!({"object": {"metadata": {}}}), false),
    ];
    for (fields, expected) in cases {
        assert_eq!(speaks_of(&text, &request(fields.clone())), expected, "{fields}");
    }
    let found = denial(&policies(&text), &request(json!({"object": {"metadata": {"labels": {"app": 1}}}})));
    assert!(found.contains("failed to configure policy: the labels of the object cannot be read"), "{found}");
    let absent =
        rules(&format!("{}\nobjectSelector: {{matchExpressions: [{{key: app, operator: DoesNotExist}}]}}", rule("")));
    assert!(speaks_of(&absent, &request(json!({"object": {"metadata": {}}}))));
    assert!(!speaks_of(&absent, &request(json!({"object": {}}))), "what has no metadata is not selected");
}

const SHOP: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {tier: gold}}\n";

#[test]
fn a_namespace_is_selected_by_labels_that_are_known() {
    let selecting = |selector: &str| rules(&format!("{}\nnamespaceSelector: {selector}", rule("")));
    let known = |selector: &str| format!("{}\n---\n{SHOP}", selecting(selector));
    let pod = request(json!({}));
    assert!(speaks_of(&known("{matchLabels: {tier: gold}}"), &pod));
    assert!(!speaks_of(&known("{matchLabels: {tier: none}}"), &pod));
    assert!(
        speaks_of(&known("{matchLabels: {kubernetes.io/metadata.name: shop}}"), &pod),
        "each namespace has this label"
    );
    let by_name = "{matchLabels: {kubernetes.io/metadata.name: shop}}";
    assert!(speaks_of(&selecting(by_name), &pod), "the name is known of any");
    assert!(!speaks_of(&selecting(by_name), &request(json!({"namespace": "lab"}))));
    let found = denial(&policies(&selecting("{matchLabels: {tier: none}}")), &pod);
    assert!(
        found.contains(
            "'p' denied request: failed to configure policy: the labels of the namespace `shop` are not known"
        ),
        "{found}"
    );
    assert!(
        !speaks_of(
            &selecting("{matchLabels: {tier: none}}"),
            &request(
                json!({"resource": resource("", "v1", "services"), "requestResource": resource("", "v1", "services")})
            )
        ),
        "not asked"
    );
    let both = "{matchLabels: {tier: gold, kubernetes.io/metadata.name: lab}}";
    assert!(!speaks_of(&selecting(both), &pod), "what is known is enough to tell");
}

#[test]
fn what_is_in_no_namespace_is_selected_and_a_namespace_by_its_own_labels() {
    let text = rules(
        "namespaceSelector: {matchLabels: {tier: gold}}\nresourceRules: [{apiGroups: [''], apiVersions: [v1], operations: ['*'], resources: [nodes, namespaces]}]",
    );
    let nodes = request(
        json!({"resource": resource("", "v1", "nodes"), "requestResource": resource("", "v1", "nodes"), "namespace": ""}),
    );
    assert!(speaks_of(&text, &nodes));
    let namespace = |operation: &str, object: Json, old: Json| {
        let kind = json!({"group": "", "version": "v1", "kind": "Namespace"});
        request(
            json!({"kind": kind, "requestKind": kind, "resource": resource("", "v1", "namespaces"), "requestResource": resource("", "v1", "namespaces"),
            "namespace": "web", "operation": operation, "object": object, "oldObject": old}),
        )
    };
    let (gold, none) = (json!({"metadata": {"labels": {"tier": "gold"}}}), json!({"metadata": {"labels": {}}}));
    assert!(speaks_of(&text, &namespace("CREATE", gold.clone(), json!(null))));
    assert!(!speaks_of(&text, &namespace("UPDATE", none.clone(), gold.clone())));
    assert!(speaks_of(&text, &namespace("DELETE", json!(null), gold)));
    assert!(!speaks_of(&text, &namespace("DELETE", json!(null), none)));
}

#[test]
fn a_binding_narrows_what_the_policy_speaks_of() {
    let text = rules(&rule("")).replace(
        "policyName: p",
        "policyName: p\n  matchResources: {objectSelector: {matchLabels: {app: web}}, matchPolicy: Exact}",
    );
    assert!(speaks_of(&text, &request(json!({}))));
    assert!(!speaks_of(&text, &request(json!({"object": {"metadata": {}}}))));
    let unknown = rules(&rule(""))
        .replace("policyName: p", "policyName: p\n  matchResources: {namespaceSelector: {matchLabels: {a: b}}}");
    let found = denial(&policies(&unknown), &request(json!({})));
    assert!(
        found.contains("'p' with binding 'b' denied request: failed to configure binding: the labels of the namespace"),
        "{found}"
    );
}

#[test]
fn nobody_is_locked_out() {
    let text = rules("resourceRules: [{apiGroups: ['*'], apiVersions: ['*'], operations: ['*'], resources: ['*']}]");
    let asked = |group: &str, name: &str| {
        request(
            json!({"resource": resource(group, "v1", name), "requestResource": resource(group, "v1", name), "namespace": ""}),
        )
    };
    for (group, name, expected) in [
        ("admissionregistration.k8s.io", "validatingadmissionpolicies", false),
        ("admissionregistration.k8s.io", "validatingadmissionpolicybindings", false),
        ("admissionregistration.k8s.io", "validatingwebhookconfigurations", true),
        ("authentication.k8s.io", "tokenreviews", false),
        ("authorization.k8s.io", "subjectaccessreviews", false),
        ("apps", "validatingadmissionpolicies", true),
    ] {
        assert_eq!(speaks_of(&text, &asked(group, name)), expected, "{group}/{name}");
    }
    assert_eq!(judge(&policies(&text), &asked("authentication.k8s.io", "tokenreviews")).decided_by, "not matched");
}

#[test]
fn a_policy_without_a_binding_is_not_in_force() {
    let text = rules(&rule(""));
    let (alone, _) = text.split_once("---").unwrap();
    assert!(!speaks_of(alone, &request(json!({}))));
    assert!(speaks_of(&format!("{alone}---\n{}", binding("other", "p", "")), &request(json!({}))));
}
