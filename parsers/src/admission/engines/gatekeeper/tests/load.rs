//! Documents that do not fit: each is refused at its place.

use serde_json::json;

use super::{SAY, compile, constraint, denial, lines, pod, refuse, say, template, try_compile};
use crate::admission::engines::gatekeeper::Gatekeeper;

/// A template with this in place of what is sound.
fn changed(from: &str, to: &str) -> String {
    assert!(SAY.contains(from), "{from}");
    SAY.replace(from, to)
}

#[test]
fn templates_that_do_not_fit_are_refused_where_they_do_not() {
    for (from, to, expected) in [
        ("templates.gatekeeper.sh/v1\n", "templates.gatekeeper.sh/v2\n", "0.yaml:2:1: `v2` is not a version"),
        ("{name: say}", "{name: Say}", "0.yaml:4:18: metadata.name: `Say` is not a name"),
        ("{name: say}", "{}", "`metadata.name` is missing"),
        (
            "{name: say}",
            "{name: other}",
            "0.yaml:8:21: ConstraintTemplate/other: spec.crd.spec.names.kind: the name of the template is `other`",
        ),
        ("{kind: Say}", "{}", "`crd.spec.names.kind` is missing"),
        ("{kind: Say}", "{kind: 'S ay'}", "is not a kind"),
        (
            "target: admission.k8s.gatekeeper.sh",
            "target: other.sh",
            "0.yaml:14:15: ConstraintTemplate/say: spec.targets[0].target: `other.sh` is not a target",
        ),
        ("targets:", "targetz:", "`targets` is missing"),
        ("package say", "packag say", "it does not begin with `package`"),
        ("violation[", "violations[", "there is no rule `violation`"),
        (
            "type: object",
            "type: map",
            "0.yaml:11:17: ConstraintTemplate/say: spec.crd.spec.validation.openAPIV3Schema.type: `map` is not a type",
        ),
        ("type: object", "typ: object", "`typ` is not known in a schema"),
        ("type: object", "description: x", "`type` is missing"),
        ("type: string", "type: integer", "properties.say.default: wanted a whole number"),
    ] {
        let found = refuse(&[&changed(from, to)]);
        assert!(found.contains(expected), "{to}: {found}");
    }
}

#[test]
fn faults_of_rego_are_told_with_their_place_in_the_file() {
    let found = refuse(&[&changed("msg := object.get", "msg := := object.get")]);
    assert!(found.starts_with("0.yaml:19:"), "{found}");
    assert!(found.contains("rego_parse_error"), "{found}");
    // In JSON the lines of the text are none of the file.
    let found = refuse(&[&template("Bad", "package bad\n\nviolation[{\"msg\": 1}] {\n  x := := 1\n}")]);
    assert!(found.starts_with("0.yaml:1:") && found.contains("row 4, column "), "{found}");
}

#[test]
fn what_templates_do_not_have_is_refused() {
    let found = refuse(&[&changed("\"no\")", "data.kubernetes.x)")]);
    assert!(found.starts_with("0.yaml:19:54: "), "{found}");
    assert!(found.contains("there is no `data.kubernetes.x`"), "{found}");
    let found = refuse(&[&changed("package say", "package say\n\n        import data.other.lib")]);
    assert!(found.contains("there is no `data.other.lib`"), "{found}");
}

#[test]
fn libraries_are_in_a_package_of_their_own() {
    let with = |lib: &str| {
        SAY.replace(
            "rego: |",
            &format!("libs:\n        - |\n          {lib}\n\n          word(_) = \"lib\" {{ true }}\n      rego: |"),
        )
        .replace("object.get(input.parameters, \"say\", \"no\")", "data.lib.words.word(1)")
    };
    assert_eq!(denial(&compile(&[&with("package lib.words"), &constraint("Say", "it")]), &pod("a", "b")), "[it] lib");
    for (package, name) in
        [("package words", "words"), ("package lib", "lib"), ("package inventory.lib", "inventory.lib")]
    {
        let found = refuse(&[&with(package)]);
        assert!(
            found.contains(&format!(
                "the package of a library must be in `lib`, such as `lib.helpers`, and is `{name}`"
            )),
            "{found}"
        );
        assert!(found.starts_with("0.yaml:17:11: "), "{found}");
    }
    let found = refuse(&[&with("package lib.words\n\n          broken := :=")]);
    assert!(found.starts_with("0.yaml:19:"), "{found}");
}

#[test]
fn code_may_be_written_by_engine() {
    let code = |code: serde_json::Value| {
        json!({
            "apiVersion": "templates.gatekeeper.sh/v1",
            "kind": "ConstraintTemplate",
            "metadata": {"name": "say"},
            "spec": {
                "crd": {"spec": {"names": {"kind": "Say"}}},
                "targets": [{"target": "admission.k8s.gatekeeper.sh", "code": code}],
            },
        })
        .to_string()
    };
    let v0 = json!({"engine": "Rego", "source": {"rego": "package say\nviolation[{\"msg\": \"v0\"}] { true }"}});
    let v1 = json!({"engine": "Rego", "source": {"version": "v1", "rego": "package say\nviolation contains {\"msg\": \"v1\"} if { true }"}});
    let cel = json!({"engine": "K8sNativeValidation", "source": {"validations": [{"expression": "false"}]}});
    let said = |code: &str| denial(&compile(&[code, &constraint("Say", "it")]), &pod("a", "b"));
    assert_eq!(said(&code(json!([v0]))), "[it] v0");
    assert_eq!(said(&code(json!([cel, v1]))), "[it] v1");
    for (code, expected) in [
        (code(json!([{"engine": "Other", "source": {}}])), "templates in `Other` are not judged by this build"),
        (code(json!([])), "there is neither `rego` nor `code`"),
        (code(json!([{"engine": "Rego"}])), "`source` is missing"),
        (code(json!([{"engine": "Rego", "source": {}}])), "`rego` is missing"),
        (
            code(json!([{"engine": "Rego", "source": {"version": "v2", "rego": "package a"}}])),
            "`v2` is not a version of Rego",
        ),
        (code(json!([{"engine": "Rego", "source": {"lib": [], "rego": "package a"}}])), "unknown field `lib`"),
    ] {
        let found = refuse(&[&code]);
        assert!(found.contains(expected), "{found}");
    }
}

#[cfg(feature = "cel")]
#[test]
fn templates_may_be_in_cel_alone() {
    let template = |expression: &str| {
        json!({
            "apiVersion": "templates.gatekeeper.sh/v1",
            "kind": "ConstraintTemplate",
            "metadata": {"name": "named"},
            "spec": {
                "crd": {"spec": {"names": {"kind": "Named"}, "validation": {"openAPIV3Schema": {
                    "type": "object", "properties": {"name": {"type": "string", "default": "sound"}},
                }}}},
                "targets": [{"target": "admission.k8s.gatekeeper.sh", "code": [{"engine": "K8sNativeValidation", "source": {
                    "validations": [{
                        "expression": expression,
                        "messageExpression": "'not called ' + variables.params.name",
                    }],
                }}]}],
            },
        })
        .to_string()
    };
    let constraint = json!({
        "apiVersion": "constraints.gatekeeper.sh/v1beta1", "kind": "Named", "metadata": {"name": "it"},
        "spec": {"parameters": {}},
    })
    .to_string();
    let gatekeeper = compile(&[&template("variables.anyObject.metadata.name == variables.params.name"), &constraint]);
    assert_eq!(denial(&gatekeeper, &pod("a", "b")), "[it] not called sound");
    assert_eq!(denial(&gatekeeper, &pod("sound", "b")), "");
    let point = crate::admission::engines::gatekeeper::EnforcementPoint::Audit;
    assert_eq!(super::messages(&gatekeeper, &pod("a", "b"), point), ["not called sound"]);
    let found = refuse(&[&template("nothing.like.it()")]);
    assert!(found.starts_with("0.yaml:1:") && found.contains("spec.targets[0].code[0].source"), "{found}");
}

#[test]
fn constraints_that_do_not_fit_are_refused_where_they_do_not() {
    let text = "apiVersion: constraints.gatekeeper.sh/v1beta1\nkind: Say\nmetadata: {name: it}\nspec:\n  match: {}\n";
    for (from, to, expected) in [
        (
            "kind: Say",
            "kind: Unsaid",
            "1.yaml:1:1: Unsaid/it: there is no ConstraintTemplate `unsaid` for the kind `Unsaid`",
        ),
        ("kind: Say", "kind: SAY", "1.yaml:1:1: SAY/it: its kind is `SAY`, and the template's `Say`"),
        ("v1beta1", "v1", "`v1` is not a version of constraints"),
        ("{name: it}", "{name: It}", "`It` is not a name"),
        ("{name: it}", "{name: 7}", "1.yaml:3:18: metadata.name: wanted a text, found the number `7`"),
        ("spec:", "spek:", "1.yaml:4:1: Say/it: unknown field `spek`"),
        ("match:", "matches:", "1.yaml:5:3: Say/it: spec: unknown field `matches`"),
        ("match: {}", "match:", "spec.match: it is null"),
        ("match: {}", "match: []", "spec.match: wanted a map, found a list"),
        ("match: {}", "match: {kind: []}", "unknown field `kind`"),
        ("match: {}", "match: {kinds: Pod}", "spec.match.kinds: wanted a list"),
        ("match: {}", "match: {kinds: [Pod]}", "spec.match.kinds[0]: wanted a map"),
        ("match: {}", "match: {kinds: [{kinds: [1]}]}", "wanted a text, found the number `1`"),
        ("match: {}", "match: {namespaces: ['a*b']}", "`a*b` is not a name with a pattern"),
        ("match: {}", "match: {excludedNamespaces: [Kube]}", "`Kube` is not a name with a pattern"),
        ("match: {}", "match: {source: Both}", "`Both` is not a source"),
        ("match: {}", "match: {labelSelector: {app: web}}", "unknown field `app`"),
        ("match: {}", "match: {labelSelector: {matchLabels: {app: 1}}}", "matchLabels.app: wanted a text"),
        ("match: {}", "match: {labelSelector: {matchLabels: {'a b': x}}}", "`a b` is not the key of a label"),
        (
            "match: {}",
            "match: {namespaceSelector: {matchExpressions: [{key: a, operator: Has}]}}",
            "`Has` is not an operator",
        ),
        ("match: {}", "match: {namespaceSelector: {matchExpressions: [{key: a, operator: In}]}}", "need `values`"),
        (
            "match: {}",
            "match: {namespaceSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}}",
            "take no `values`",
        ),
    ] {
        assert!(text.contains(from));
        let found = refuse(&[SAY, &text.replace(from, to)]);
        assert!(found.contains(expected), "{to}: {found}");
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let found = refuse(&[
        &changed("msg := object.get", "msg := := object.get"),
        &constraint("Say", "it"),
        &say("other", &json!({"enforcementAction": "block"})),
        &constraint("Unsaid", "it"),
    ]);
    assert_eq!(found.lines().count(), 4, "{found}");
    assert!(
        found.contains("1.yaml:1:1: Say/it: there is no ConstraintTemplate `say` for the kind `Say` that can be used"),
        "{found}"
    );
}

#[test]
fn names_are_unique() {
    let found = refuse(&[SAY, SAY]);
    assert!(
        found.contains("1.yaml:2:1: ConstraintTemplate/say: `say` is there twice; the first is at 0.yaml:2:1"),
        "{found}"
    );
    let found = refuse(&[SAY, &constraint("Say", "it"), &constraint("Say", "it")]);
    assert!(found.contains("2.yaml:1:1: Say/it: `it` is there twice"), "{found}");
    // Of another kind it is another constraint.
    let other = template("Other", "package x\nviolation[{\"msg\": \"x\"}] { true }");
    compile(&[SAY, &other, &constraint("Say", "it"), &constraint("Other", "it")]);
}

#[test]
fn what_is_probably_not_meant_is_warned_of() {
    let scope = say("it", &json!({"match": {"scope": "cluster"}, "scopedEnforcementActions": []}));
    let unknown = changed("  targets:", "  status: {}\n  targets:");
    let reads = template("Reads", "package x\nviolation[{\"msg\": \"x\"}] { data.inventory.cluster[_] }");
    let Ok((_, warnings)) = try_compile(&[&unknown, &scope, &reads]) else { panic!("refused") };
    let warnings = lines(&warnings);
    for expected in [
        "`cluster` is not a scope, and so means any",
        "it is only asked where `enforcementAction` is `scoped`",
        "unknown field `status`",
        "it reads `data.inventory`, which is empty",
    ] {
        assert!(warnings.contains(expected), "{expected}: {warnings}");
    }
}

#[test]
fn without_documents_there_is_nothing_to_say() {
    let gatekeeper = compile(&[]);
    assert_eq!(denial(&gatekeeper, &pod("a", "b")), "");
    assert!(!Gatekeeper::is_among(&[]));
    assert!(Gatekeeper::is_among(&super::documents(&[SAY])));
    assert!(!Gatekeeper::is_among(&super::documents(&["apiVersion: v1\nkind: ConfigMap\n"])));
}
