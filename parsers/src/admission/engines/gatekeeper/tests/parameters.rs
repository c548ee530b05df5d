//! Parameters, and the schema that the template has for them.

use serde_json::{Value as Json, json};

use super::{compile, denial, lines, pod, refuse, try_compile};

/// A template of a version that says its parameters, with this schema.
fn template(version: &str, validation: &Json) -> String {
    let mut spec = json!({"names": {"kind": "Tell"}});
    if !validation.is_null() {
        spec["validation"] = validation.clone();
    }
    json!({
        "apiVersion": format!("templates.gatekeeper.sh/{version}"),
        "kind": "ConstraintTemplate",
        "metadata": {"name": "tell"},
        "spec": {
            "crd": {"spec": spec},
            "targets": [{
                "target": "admission.k8s.gatekeeper.sh",
                "rego": "package tell\n\nviolation[{\"msg\": msg}] {\n  msg := json.marshal(input.parameters)\n}\n",
            }],
        },
    })
    .to_string()
}

fn constraint(spec: &Json) -> String {
    json!({"apiVersion": "constraints.gatekeeper.sh/v1beta1", "kind": "Tell", "metadata": {"name": "it"}, "spec": spec})
        .to_string()
}

fn told(schema: &Json, spec: &Json) -> String {
    let validation = json!({"openAPIV3Schema": schema});
    denial(&compile(&[&template("v1", &validation), &constraint(spec)]), &pod("a", "b"))
}

fn refused(schema: &Json, parameters: &Json) -> String {
    let validation = json!({"openAPIV3Schema": schema});
    refuse(&[&template("v1", &validation), &constraint(&json!({"parameters": parameters}))])
}

#[test]
fn parameters_reach_rego_as_they_are_written() {
    let schema = json!({"type": "object", "properties": {
        "text": {"type": "string"}, "number": {"type": "number"}, "list": {"type": "array", "items": {"type": "integer"}},
        "map": {"type": "object", "additionalProperties": {"type": "boolean"}},
    }});
    let parameters = json!({"text": "a\"b", "number": 1.5, "list": [1, -2], "map": {"x": true}});
    let message = told(&schema, &json!({"parameters": parameters}));
    let told: Json = serde_json::from_str(message.strip_prefix("[it] ").expect("a message")).expect("json");
    assert_eq!(told, parameters);
}

#[test]
fn no_parameters_are_an_empty_map() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string", "default": "x"}}});
    assert_eq!(told(&schema, &json!({})), "[it] {}");
    assert_eq!(told(&schema, &json!({"parameters": {}})), "[it] {\"a\":\"x\"}");
}

#[test]
fn defaults_are_filled_in_at_every_depth() {
    let schema = json!({"type": "object", "default": {}, "properties": {
        "a": {"type": "string", "default": "x"},
        "b": {"type": "object", "default": {}, "properties": {"c": {"type": "integer", "default": 7}}},
        "d": {"type": "array", "items": {"type": "object", "properties": {"e": {"type": "boolean", "default": false}}}},
        "f": {"type": "object", "additionalProperties": {"type": "object", "properties": {"g": {"type": "string", "default": ""}}}},
    }});
    assert_eq!(told(&schema, &json!({})), "[it] {\"a\":\"x\",\"b\":{\"c\":7}}");
    assert_eq!(
        told(&schema, &json!({"parameters": {"a": "y", "b": {}, "d": [{}, {"e": true}], "f": {"k": {}}}})),
        "[it] {\"a\":\"y\",\"b\":{\"c\":7},\"d\":[{\"e\":false},{\"e\":true}],\"f\":{\"k\":{\"g\":\"\"}}}"
    );
}

#[test]
fn parameters_outside_the_schema_are_refused() {
    let string = json!({"type": "string"});
    let of = |schema: Json| json!({"type": "object", "properties": {"a": schema}});
    for (schema, parameters, expected) in [
        (of(string.clone()), json!([]), "Tell/it: spec.parameters: wanted a map (object), found a list"),
        (of(string.clone()), json!({"a": 1}), "spec.parameters.a: wanted a text (string), found the number `1`"),
        (of(string.clone()), json!({"b": "x"}), "spec.parameters.b: unknown field `b`; allowed is `a`"),
        (of(string.clone()), json!({"a": null}), "spec.parameters.a: it is null"),
        (of(json!({"type": "integer"})), json!({"a": 1.5}), "wanted a whole number"),
        (of(json!({"type": "integer"})), json!({"a": "1"}), "wanted a whole number"),
        (of(json!({"type": "boolean"})), json!({"a": "true"}), "wanted `true` or `false`"),
        (of(json!({"type": "array", "items": string})), json!({"a": "x"}), "wanted a list (array)"),
        (of(json!({"type": "array", "items": string})), json!({"a": ["x", 2]}), "spec.parameters.a[1]: wanted a text"),
        (of(json!({"type": "object", "properties": {}})), json!({"a": {"x": 1}}), "spec.parameters.a.x: unknown field"),
        (of(json!({"type": "object"})), json!({"a": {"x": 1}}), "unknown field `x`; there is none"),
        (of(json!({"type": "object", "additionalProperties": string})), json!({"a": {"x": 1}}), "a.x: wanted a text"),
        (of(json!({"type": "object", "additionalProperties": false})), json!({"a": {"x": 1}}), "unknown field `x`"),
        (of(json!({"type": "string", "enum": ["x", "y"]})), json!({"a": "z"}), "the text `z` is not allowed"),
        (of(json!({"type": "string", "pattern": "^[a-z]+$"})), json!({"a": "A"}), "`A` does not match"),
        (
            of(json!({"type": "string", "minLength": 2})),
            json!({"a": "x"}),
            "it has 1 characters, and may have at least 2",
        ),
        (of(json!({"type": "string", "maxLength": 2})), json!({"a": "xxx"}), "at most 2"),
        (of(json!({"type": "integer", "minimum": 2})), json!({"a": 1}), "1 is too small; allowed is at least 2"),
        (of(json!({"type": "integer", "maximum": 2})), json!({"a": 3}), "3 is too large"),
        (of(json!({"type": "integer", "minimum": 2, "exclusiveMinimum": true})), json!({"a": 2}), "more than 2"),
        (of(json!({"exclusiveMaximum": true, "maximum": 2, "type": "integer"})), json!({"a": 2}), "less than 2"),
        (of(json!({"type": "integer", "multipleOf": 5})), json!({"a": 7}), "7 is not a multiple of 5"),
        (of(json!({"type": "integer", "format": "int32"})), json!({"a": 3_000_000_000_i64}), "no number of 32 bits"),
        (of(json!({"type": "array", "items": string, "minItems": 1})), json!({"a": []}), "it has 0 items"),
        (of(json!({"type": "array", "items": string, "maxItems": 1})), json!({"a": ["x", "y"]}), "it has 2 items"),
        (
            of(json!({"type": "array", "items": string, "x-kubernetes-list-type": "set"})),
            json!({"a": ["x", "x"]}),
            "it stands there twice",
        ),
        (of(json!({"x-kubernetes-int-or-string": true})), json!({"a": true}), "wanted a whole number or a text"),
        (
            json!({"type": "object", "required": ["a"], "properties": {"a": string}}),
            json!({}),
            "the field `a` is missing",
        ),
        (json!({"type": "object", "minProperties": 1, "properties": {"a": string}}), json!({}), "it has 0 fields"),
        (of(json!({"type": "string", "anyOf": [{"enum": ["x"]}, {"pattern": "^y"}]})), json!({"a": "z"}), "`anyOf`"),
        (of(json!({"type": "string", "oneOf": [{"pattern": "x"}, {"pattern": "y"}]})), json!({"a": "xy"}), "`oneOf`"),
        (
            of(json!({"type": "string", "allOf": [{"pattern": "x"}, {"pattern": "y"}]})),
            json!({"a": "x"}),
            "does not match `y`",
        ),
        (of(json!({"type": "string", "not": {"enum": ["x"]}})), json!({"a": "x"}), "`not`"),
    ] {
        let found = refused(&schema, &parameters);
        assert!(found.contains(expected), "{schema} {parameters}: {found}");
        assert_eq!(found.lines().count(), 1, "{found}");
    }
}

#[test]
fn parameters_within_the_schema_are_taken() {
    let of = |schema: Json| json!({"type": "object", "properties": {"a": schema}});
    for (schema, parameters) in [
        (of(json!({"type": "number"})), json!({"a": 1})),
        (of(json!({"type": "integer"})), json!({"a": 2.0})),
        (of(json!({"type": "string", "nullable": true})), json!({"a": null})),
        (of(json!({"x-kubernetes-int-or-string": true})), json!({"a": "1"})),
        (of(json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})), json!({"a": {"x": [1]}})),
        (of(json!({"type": "object", "additionalProperties": true})), json!({"a": {"x": 1}})),
        (of(json!({"type": "array", "items": {"type": "string"}, "maxItems": 2})), json!({"a": ["x", "y"]})),
        (of(json!({"type": "string", "oneOf": [{"pattern": "x"}, {"pattern": "y"}]})), json!({"a": "x"})),
        (
            json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "string", "default": "x"}}}),
            json!({}),
        ),
    ] {
        let message = told(&schema, &json!({"parameters": parameters}));
        assert!(message.starts_with("[it] {"), "{schema}: {message}");
    }
}

#[test]
fn schemas_that_cannot_be_read_are_refused() {
    let of = |schema: Json| json!({"type": "object", "properties": {"a": schema}});
    for (schema, expected) in [
        (json!([]), "wanted a map"),
        (json!({"properties": {}}), "openAPIV3Schema: `type` is missing"),
        (of(json!({})), "properties.a: `type` is missing"),
        (of(json!("string")), "properties.a: wanted a map, found the text `string`"),
        (of(json!({"type": "array"})), "properties.a: `items` is missing"),
        (of(json!({"type": "array", "items": "string"})), "items: wanted a map"),
        (of(json!({"type": "array", "items": [{"type": "string"}]})), "items: wanted a map, found a list"),
        (of(json!({"type": ["string", "null"]})), "wanted a text, found a list"),
        (of(json!({"type": "text"})), "`text` is not a type"),
        (of(json!({"$ref": "#/definitions/x"})), "`$ref` is not known in a schema"),
        (
            of(json!({"type": "string", "x-kubernetes-validations": [{"rule": "false"}]})),
            "`x-kubernetes-validations` is not known",
        ),
        (of(json!({"type": "string", "pattern": "("})), "the regex `(` is refused"),
        (of(json!({"type": "string", "enum": "x"})), "wanted a list"),
        (of(json!({"type": "integer", "minimum": "1"})), "wanted a number"),
        (of(json!({"type": "string", "maxLength": -1})), "wanted a whole number from 0"),
        (of(json!({"type": "string", "nullable": "yes"})), "wanted `true` or `false`"),
        (of(json!({"type": "string", "default": 1})), "default: wanted a text (string)"),
        (of(json!({"type": "string", "enum": ["x"], "default": "y"})), "default: the text `y` is not allowed"),
    ] {
        let found = refuse(&[&template("v1", &json!({"openAPIV3Schema": schema}))]);
        assert!(found.contains(expected), "{schema}: {found}");
    }
    let schema = of(json!({"type": "string", "x-origin": {"any": ["thing"]}}));
    compile(&[&template("v1", &json!({"openAPIV3Schema": schema}))]);
}

#[test]
fn what_is_not_described_is_as_the_version_has_it() {
    let some = json!({"parameters": {"any": [{"thing": 1}]}});
    // Nothing is said of parameters.
    for version in ["v1beta1", "v1alpha1"] {
        compile(&[&template(version, &Json::Null), &constraint(&some)]);
    }
    let found = refuse(&[&template("v1", &Json::Null), &constraint(&some)]);
    assert!(found.contains("unknown field `parameters`; the template has no schema for any"), "{found}");
    compile(&[&template("v1", &Json::Null), &constraint(&json!({}))]);
    compile(&[&template("v1", &json!({"legacySchema": true})), &constraint(&some)]);
    let found = refuse(&[&template("v1beta1", &json!({"legacySchema": false})), &constraint(&some)]);
    assert!(found.contains("unknown field `parameters`"), "{found}");
    // A part of them is described.
    let loose = json!({"openAPIV3Schema": {"properties": {"a": {"type": "array", "items": "string"}}}});
    let taken = |parameters: Json| [template("v1beta1", &loose), constraint(&json!({"parameters": parameters}))];
    let [one, other] = taken(json!({"a": ["x"], "other": {"b": 1}}));
    let Ok((_, warnings)) = try_compile(&[&one, &other]) else { panic!("refused") };
    assert!(
        lines(&warnings).contains("items: a schema is a map; `string` is taken for `type: string`"),
        "{}",
        lines(&warnings)
    );
    let [one, other] = taken(json!({"a": [1]}));
    assert!(refuse(&[&one, &other]).contains("spec.parameters.a[0]: wanted a text (string)"));
}

#[test]
fn a_schema_may_be_deep_and_wide_without_harm() {
    let mut schema = json!({"type": "string"});
    for _ in 0..12 {
        schema = json!({"type": "object", "properties": {"a": schema}, "anyOf": [{"not": {"enum": [1]}}, {"minProperties": 1}]});
    }
    let mut parameters = json!("x");
    for _ in 0..12 {
        parameters = json!({"a": parameters});
    }
    assert!(told(&schema, &json!({"parameters": parameters})).starts_with("[it] {"));
}
