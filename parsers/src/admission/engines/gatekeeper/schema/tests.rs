use portcullis_policy::Node;

use super::super::read::{At, Faults};
use super::{Schema, Strictness};

#[test]
fn legacy_schemas_allow_what_they_do_not_describe() {
    let text = b"properties: {a: {type: object, properties: {b: {type: string}}}, c: {type: array}}";
    let nodes = Node::load("schema.yaml", text).expect("yaml");
    let mut faults = Faults::default();
    let schema = Schema::read(&At::whole(nodes.first().expect("a schema")), Strictness::Legacy, &mut faults);
    assert!(faults.errors.is_empty(), "{:?}", faults.errors);
    for (parameters, sound) in [
        ("{a: {b: x, other: 1}, more: [2]}", true),
        ("{a: {b: 1}}", false),
        ("{c: [1, x, {y: z}]}", true),
        ("{c: {}}", false),
        ("5", true),
    ] {
        let nodes = Node::load("parameters.yaml", parameters.as_bytes()).expect("yaml");
        let mut faults = Faults::default();
        schema.apply(Some(&At::whole(nodes.first().expect("parameters"))), &mut faults);
        assert_eq!(faults.errors.is_empty(), sound, "{parameters}: {:?}", faults.errors);
        // They are told of all the same: a parameter that is misspelt would never be asked for.
        let told = faults.warnings.iter().filter(|warning| warning.message.contains("unknown field")).count();
        assert_eq!(told, parameters.matches("other").count() + parameters.matches("more").count(), "{parameters}");
    }
}
