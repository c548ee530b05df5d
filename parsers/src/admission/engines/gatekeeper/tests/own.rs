//! Reviews of Gatekeeper's own resources.

use serde_json::{Value as Json, json};

use super::{SAY, answer_request, compile, constraint, documents, request, soon, template};
use crate::admission::engines::gatekeeper::read::to_json;

fn code(request: &Json) -> (u16, String) {
    let gatekeeper = compile(&[SAY]);
    let ruling = answer_request(&gatekeeper, request, soon()).expect("a ruling");
    ruling.denial.map_or((200, String::new()), |denial| (denial.code, denial.message))
}

fn parse(text: &str) -> Json {
    to_json(documents(&[text]).first().expect("a document"))
}

#[test]
fn what_would_not_load_is_denied_before_it_is_stored() {
    let sound = [parse(SAY), parse(&constraint("Say", "it"))];
    for object in &sound {
        assert_eq!(code(&request("CREATE", object)), (200, String::new()), "{object}");
    }
    for (text, expected) in [
        (template("Bad", "package bad\nviolation[{\"msg\": 1}] { x := := 1 }"), "rego_parse_error"),
        (template("Bad", "package bad\nother { true }"), "there is no rule `violation`"),
        (constraint("Unsaid", "it"), "there is no ConstraintTemplate `unsaid`"),
        (
            json!({"apiVersion": "constraints.gatekeeper.sh/v1beta1", "kind": "Say", "metadata": {"name": "it"}, "spec": {"parameters": {"say": 1}}}).to_string(),
            "spec.parameters.say: wanted a text (string)",
        ),
        (
            json!({"apiVersion": "config.gatekeeper.sh/v1alpha1", "kind": "Config", "metadata": {"name": "other"}}).to_string(),
            "must have the name `config`",
        ),
        (
            json!({"apiVersion": "expansion.gatekeeper.sh/v1beta1", "kind": "ExpansionTemplate", "metadata": {"name": "x"}, "spec": {}}).to_string(),
            "`applyTo` names no kind",
        ),
    ] {
        let (code, message) = code(&request("CREATE", &parse(&text)));
        assert_eq!(code, 422, "{text}");
        assert!(message.starts_with("request.object:1:") && message.contains(expected), "{message}");
    }
}

#[test]
fn what_is_there_may_be_deleted() {
    let bad = parse(&template("Bad", "package bad"));
    assert_eq!(code(&request("UPDATE", &bad)).0, 422);
    assert_eq!(code(&request("DELETE", &bad)).0, 200);
}

#[test]
fn names_are_short() {
    let long = "a".repeat(64);
    let object = json!({"apiVersion": "mutations.gatekeeper.sh/v1", "kind": "Assign", "metadata": {"name": long}});
    let (code, message) = code(&request("CREATE", &object));
    assert_eq!((code, &*message), (500, "resource cannot have metadata.name larger than 63 char; length: 64"));
}
