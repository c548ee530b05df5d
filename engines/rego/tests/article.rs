//! The image policy that OPA's users know, as it is printed: chained bodies, `=` for values, and `else =`.

use std::time::{Duration, Instant};

use portcullis_rego::{Dialect, Input, Module, Program, read_serde};
use serde_json::{Value as Json, json};

const MAIN: &str = r#"package system

import data.kubernetes.validating.images

main = {
  "apiVersion": "admission.k8s.io/v1beta1",
  "kind": "AdmissionReview",
  "response": response,
}

default uid = ""

uid = input.request.uid

response = {
    "allowed": false,
    "uid": uid,
    "status": {
        "reason": reason,
    },
} {
    reason = concat(", ", images.deny)
    reason != ""
}
else = {"allowed": true, "uid": uid}
"#;

const IMAGES: &str = r#"package kubernetes.validating.images

deny[msg] {
    some i
    input.request.kind.kind == "Pod"
    image := input.request.object.spec.containers[i].image
    endswith(image, ":latest")
    msg := sprintf("Image '%v' used latest image", [image])
} {
    some i
    input.request.kind.kind == "Pod"
    image := input.request.object.spec.containers[i].image
    not startswith(image, "192.168.64.1:5000")
    msg := sprintf("Image '%v' comes from untrusted registry", [image])
}
"#;

fn respond(input: Json) -> Json {
    let modules = [Module { name: "main", text: MAIN }, Module { name: "image-policy.rego", text: IMAGES }];
    let program = Program::compile(&modules, Dialect::V0).unwrap();
    assert!(!program.mentions_managed_fields());
    let until = Instant::now() + Duration::from_secs(10);
    let value = program.evaluate("data.system.main", &Input::from_value(read_serde(&input)), until).unwrap().unwrap();
    serde_json::to_value(&value).unwrap()["response"].clone()
}

fn review(image: &str) -> Json {
    json!({"request": {"uid": "u", "kind": {"kind": "Pod"}, "object": {"spec": {"containers": [{"image": image}]}}}})
}

#[test]
fn reasons_are_joined_in_the_order_of_a_set() {
    assert_eq!(
        respond(review("nginx:latest"))["status"]["reason"],
        "Image 'nginx:latest' comes from untrusted registry, Image 'nginx:latest' used latest image"
    );
    assert_eq!(
        respond(review("192.168.64.1:5000/nginx:latest")),
        json!({"allowed": false, "uid": "u", "status": {"reason": "Image '192.168.64.1:5000/nginx:latest' used latest image"}})
    );
    assert_eq!(respond(review("192.168.64.1:5000/nginx:1.21.1")), json!({"allowed": true, "uid": "u"}));
}

#[test]
fn an_empty_review_is_answered() {
    assert_eq!(respond(json!({})), json!({"allowed": true, "uid": ""}));
}
