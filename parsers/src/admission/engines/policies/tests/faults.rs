use super::{binding, bound, load};
use crate::admission::engines::policies::Policies;

/// The errors of documents, each on a line.
fn errors(text: &str) -> String {
    let errors = Policies::compile(&load(text)).map(|_| Vec::new()).unwrap_or_else(|errors| errors);
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn warnings(text: &str) -> String {
    let (_, warnings) = Policies::compile(&load(text)).unwrap();
    warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

const VALID: &str = "validations: [{expression: 'true'}]";

#[test]
fn what_the_api_server_refuses_is_refused_with_its_place() {
    let long = "x".repeat(6000);
    let cases = [
        ("validations: []", "policies.yaml:5:3: p/spec: there are neither `validations` nor `auditAnnotations`"),
        ("validation: []", "policies.yaml:7:3: p/spec: unknown field `validation`"),
        ("validations: [{}]", "validations[0]: the field `expression` is missing"),
        ("validations: [{expression: ' '}]", "`expression` is blank"),
        ("validations: [{expression: 'true', message: ' '}]", "`message` is blank"),
        ("validations: [{expression: 'true', message: \"a\\nb\"}]", "`message` has line breaks"),
        ("validations: [{expression: 'true', messageExpression: ' '}]", "`messageExpression` is blank"),
        ("validations: [{expression: 'true', messageExpression: '1'}]", "must come to string, not int"),
        ("validations: [{expression: 'true', reason: NotFound}]", "`NotFound` is not a reason"),
        ("validations: [{expression: 'true', if: x}]", "unknown field `if`"),
        (
            "validations: [{expression: '1'}]",
            "policies.yaml:7:30: p/spec.validations[0].expression: the expression must come to bool, not int",
        ),
        ("validations: [{expression: object.a}]", "must come to bool, not dyn"),
        (
            "validations: [{expression: 'object.a =='}]",
            "policies.yaml:7:30: p/spec.validations[0].expression: line 1, column",
        ),
        ("validations: [{expression: params.a == 1}]", "params"),
        ("validations: [{expression: variables.a}]", "a"),
        ("validations: [{expression: authorizer.path('/x').check('get').allowed()}]", "authorizer"),
        (
            "failurePolicy: fail\nvalidations: [{expression: 'true'}]",
            "`fail` is not known; allowed are `Fail`, `Ignore`",
        ),
        ("paramKind: {apiVersion: v1}\nvalidations: [{expression: 'true'}]", "paramKind: the field `kind` is missing"),
        (
            "paramKind: {apiVersion: a/b/c, kind: X}\nvalidations: [{expression: 'true'}]",
            "`a/b/c` is not an apiVersion",
        ),
        ("paramKind: {apiVersion: v1, kind: 'x y'}\nvalidations: [{expression: 'true'}]", "`x y` is not a kind"),
        ("matchConditions: [{expression: 'true'}]\nvalidations: [{expression: 'true'}]", "the field `name` is missing"),
        (
            "matchConditions: [{name: 'a b', expression: 'true'}]\nvalidations: [{expression: 'true'}]",
            "`a b` is not a key",
        ),
        (
            "matchConditions: [{name: a, expression: 'true'}, {name: a, expression: 'true'}]\nvalidations: [{expression: 'true'}]",
            "there is a match condition `a` already",
        ),
        (
            "variables: [{name: a, expression: 'true'}]\nmatchConditions: [{name: a, expression: variables.a}]\nvalidations: [{expression: 'true'}]",
            "matchConditions[0].expression: line 1, column",
        ),
        (
            "variables: [{name: a-b, expression: 'true'}]\nvalidations: [{expression: 'true'}]",
            "`a-b` is not an identifier",
        ),
        (
            "variables: [{name: in, expression: 'true'}]\nvalidations: [{expression: 'true'}]",
            "`in` is not an identifier",
        ),
        (
            "variables: [{name: a, expression: variables.b}, {name: b, expression: '1'}]\nvalidations: [{expression: 'true'}]",
            "variables[0].expression: line 1, column",
        ),
        ("auditAnnotations: [{key: a/b, valueExpression: \"'x'\"}]", "`a/b` is not a key"),
        ("auditAnnotations: [{key: a}]", "the field `valueExpression` is missing"),
        ("auditAnnotations: [{key: a, valueExpression: '1'}]", "must come to string or null, not int"),
        (
            "auditAnnotations: [{key: a, valueExpression: \"'x'\"}, {key: a, valueExpression: \"'x'\"}]",
            "there is a key `a` already",
        ),
        (&format!("auditAnnotations: [{{key: a, valueExpression: \"'{long}'\"}}]"), "longer than 5120 bytes"),
    ];
    for (lines, expected) in cases {
        let errors = errors(&bound(lines));
        assert!(errors.contains(expected), "{lines}\n-> {errors}\nnot {expected}");
    }
}

#[test]
fn a_limit_counts_what_is_there() {
    let many =
        |count: usize, item: &str| (0..count).map(|n| item.replace('#', &n.to_string())).collect::<Vec<_>>().join(", ");
    let condition = "{name: a#, expression: 'true'}";
    let annotation = "{key: a#, valueExpression: \"'x'\"}";
    let cases = [
        (format!("matchConditions: [{}]\n{VALID}", many(64, condition)), ""),
        (format!("matchConditions: [{}]\n{VALID}", many(65, condition)), "more than 64 match conditions"),
        (format!("auditAnnotations: [{}]", many(20, annotation)), ""),
        (format!("auditAnnotations: [{}]", many(21, annotation)), "more than 20 audit annotations"),
    ];
    for (lines, expected) in cases {
        let errors = errors(&bound(&lines));
        assert!(errors.contains(expected) && errors.is_empty() == expected.is_empty(), "{errors}");
    }
}

#[test]
fn a_chain_of_variables_is_bounded() {
    let chain = |count: usize| {
        let first = "{name: a0, expression: '1'}".to_owned();
        let rest = (1..count).map(|n| format!("{{name: a{n}, expression: 'variables.a{} + 1'}}", n - 1));
        let all: Vec<_> = std::iter::once(first).chain(rest).collect();
        bound(&format!(
            "variables: [{}]\nvalidations: [{{expression: 'variables.a{} == {count}'}}]",
            all.join(", "),
            count - 1
        ))
    };
    assert_eq!(errors(&chain(16)), "");
    assert!(errors(&chain(17)).contains("variables are built one on the other"), "{}", errors(&chain(17)));
}

#[test]
fn the_rules_are_checked() {
    let rule = |fields: &str| {
        bound(VALID).replace(
            "{apiGroups: [''], apiVersions: [v1], operations: [CREATE, UPDATE, DELETE], resources: [pods]}",
            fields,
        )
    };
    let cases = [
        ("{apiVersions: [v1], operations: [CREATE], resources: [pods]}", "the field `apiGroups` is missing"),
        (
            "{apiGroups: ['*', apps], apiVersions: [v1], operations: [CREATE], resources: [pods]}",
            "`*` stands beside others",
        ),
        ("{apiGroups: [''], apiVersions: [v1], operations: [PATCH], resources: [pods]}", "`PATCH` is no operation"),
        ("{apiGroups: [''], apiVersions: [''], operations: [CREATE], resources: [pods]}", "`` is not a version"),
        (
            "{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: ['*/*', pods]}",
            "`*/*` stands beside others",
        ),
        (
            "{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: ['*', pods]}",
            "`pods` stands beside `*`",
        ),
        (
            "{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: ['pods/*', pods/exec]}",
            "`pods/exec` stands beside one",
        ),
        (
            "{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods], scope: All}",
            "`All` is not known",
        ),
        (
            "{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods], resourceNames: [a, a]}",
            "stands there twice",
        ),
        (
            "{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods], resourceNames: [a/b]}",
            "`a/b` is not a name",
        ),
        (
            "{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods], names: [a]}",
            "unknown field `names`",
        ),
    ];
    for (fields, expected) in cases {
        let errors = errors(&rule(fields));
        assert!(errors.contains(expected), "{fields}\n-> {errors}\nnot {expected}");
    }
    let selector = "namespaceSelector: {matchLabels: {a: 'b c'}}\n    resourceRules:";
    let errors = errors(&bound(VALID).replace("resourceRules:", selector));
    assert!(errors.contains("`b c` is not a value for a label"), "{errors}");
}

#[test]
fn what_the_api_server_takes_is_taken() {
    let exported = bound(VALID).replace(
        "metadata: {name: p}",
        "metadata: {name: p, creationTimestamp: null, generation: 1, uid: x, resourceVersion: '1', managedFields: []}\nstatus: {observedGeneration: 1}",
    );
    let empty = exported.replace(
        "resourceRules:",
        "excludeResourceRules: []\n    namespaceSelector: {}\n    objectSelector: null\n    resourceRules:",
    );
    for text in [exported, empty.clone(), empty.replace("/v1\n", "/v1beta1\n"), empty.replace("/v1\n", "/v1alpha1\n")] {
        assert_eq!(errors(&text), "", "{text}");
    }
}

#[test]
fn bindings_are_checked() {
    let cases = [
        ("validationActions: []", "there are no `validationActions`"),
        ("validationActions: [Deny, Deny]", "`Deny` stands there twice"),
        ("validationActions: [Deny, Warn]", "`Deny` and `Warn` would tell the same twice"),
        ("validationActions: [deny]", "`deny` is not an action"),
        ("paramRef: {}", "give `name`, or `selector`"),
        ("paramRef: {name: a}", "the field `parameterNotFoundAction` is missing"),
        ("paramRef: {name: a, parameterNotFoundAction: Ignore}", "`Ignore` is not known"),
        ("paramRef: {name: a, selector: {}, parameterNotFoundAction: Deny}", "exclude each other"),
        ("paramRef: {name: a/b, parameterNotFoundAction: Deny}", "`a/b` is not a name"),
        ("matchResources: {rules: []}", "unknown field `rules`"),
        ("policy: p", "unknown field `policy`"),
    ];
    for (lines, expected) in cases {
        let text = format!("{}\n---\n{}", bound(VALID), binding("c", "p", lines));
        let errors = errors(&text);
        assert!(errors.contains(expected), "{lines}\n-> {errors}\nnot {expected}");
    }
    let alpha = binding("c", "p", "paramRef: {name: a}").replace("/v1\n", "/v1alpha1\n");
    assert_eq!(errors(&format!("{}\n---\n{alpha}", bound(VALID))), "");
}

#[test]
fn names_are_unique_and_versions_known() {
    let twice = format!("{}\n---\n{}", bound(VALID), bound(VALID));
    let errors_of_twice = errors(&twice);
    assert!(
        errors_of_twice.contains("a ValidatingAdmissionPolicy of this name stands at policies.yaml:1:1"),
        "{errors_of_twice}"
    );
    assert!(errors_of_twice.contains("a ValidatingAdmissionPolicyBinding of this name stands at"), "{errors_of_twice}");
    assert!(errors(&bound(VALID).replace("/v1\n", "/v2\n")).contains("write `admissionregistration.k8s.io/v1`"));
    assert!(errors(&bound(VALID).replace("{name: p}", "{name: P}")).contains("`P` is not a name"));
    assert!(errors(&bound(VALID).replace("{name: p}", "{name: p, namespace: n}")).contains("in no namespace"));
    assert!(errors(&bound(VALID).replace("{name: p}", "{labels: {}}")).contains("the field `name` is missing"));
}

#[test]
fn what_does_nothing_is_warned_of() {
    let text = bound(VALID).replace("policyName: p", "policyName: q");
    let warnings = warnings(&text);
    assert!(warnings.contains("p: no ValidatingAdmissionPolicyBinding has this policy"), "{warnings}");
    assert!(warnings.contains("b: there is no policy `q`"), "{warnings}");
}

#[test]
fn kinds_are_claimed_that_are_asked_for() {
    let claims = |text: &str| Policies::claims(&load(text));
    assert_eq!(claims(&bound(VALID)), []);
    let pair = |api: &str, kind: &str| (api.to_owned(), kind.to_owned());
    assert_eq!(
        claims(&bound(&format!("paramKind: {{apiVersion: rules.example.com/v1, kind: Limit}}\n{VALID}"))),
        [pair("rules.example.com/v1", "Limit")]
    );
    assert_eq!(claims(&bound("validations: [{expression: namespaceObject != null}]")), [pair("v1", "Namespace")]);
    let selected = bound(VALID)
        .replace("policyName: p", "policyName: p\n  matchResources: {namespaceSelector: {matchLabels: {a: b}}}");
    assert_eq!(claims(&selected), [pair("v1", "Namespace")]);
}
