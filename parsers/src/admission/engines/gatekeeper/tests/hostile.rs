//! What authors and clients may send that nothing good comes of.

use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::{
    EnforcementPoint, SAY, Subject, answer_request, compile, constraint, denial, fault, pod, refuse, request, say,
    soon, template,
};
use crate::admission::engines::EngineError;
use crate::admission::engines::gatekeeper::Asked;
use crate::admission::json::Tape;

#[test]
fn results_of_a_wrong_type_are_errors_that_name_the_constraint() {
    for (rego, expected) in [
        ("violation[\"text\"] { true }", "must be an object with a text `msg`"),
        ("violation[7] { true }", "must be an object with a text `msg`"),
        ("violation[{\"message\": \"x\"}] { true }", "has no `msg`"),
        ("violation[{\"msg\": 7}] { true }", "is not a text"),
        ("violation[{\"msg\": null}] { true }", "is not a text"),
        ("violation[{\"msg\": [\"x\"]}] { true }", "is not a text"),
        ("violation = true { true }", "must be a set"),
        ("violation = \"x\" { true }", "must be a set"),
        ("violation[key] = \"x\" { key := \"msg\" }", "must be a set"),
    ] {
        let gatekeeper = compile(&[&template("Odd", &format!("package odd\n\n{rego}\n")), &constraint("Odd", "it")]);
        let why = fault(&gatekeeper, &pod("a", "b"));
        assert!(why.starts_with("constraint `Odd/it`: ") && why.contains(expected), "{rego}: {why}");
    }
}

#[test]
fn messages_that_are_the_same_are_told_once() {
    let rego = "package twice\nviolation[{\"msg\": \"x\", \"other\": n}] { n := [1, 2][_] }";
    assert_eq!(denial(&compile(&[&template("Twice", rego), &constraint("Twice", "it")]), &pod("a", "b")), "[it] x");
}

#[test]
fn a_denial_stands_though_another_constraint_cannot_be_asked() {
    let odd = template("Odd", "package odd\nviolation[7] { true }");
    let gatekeeper = compile(&[SAY, &odd, &constraint("Say", "says"), &constraint("Odd", "odd")]);
    assert_eq!(
        denial(&gatekeeper, &pod("a", "b")),
        "[says] no\n[odd] what its rule gives must be an object with a text `msg`"
    );
}

#[test]
fn what_would_only_warn_does_not_stop_the_answer() {
    let odd = template("Odd", "package odd\nviolation[7] { true }");
    let of = |action: &str| {
        json!({
            "apiVersion": "constraints.gatekeeper.sh/v1beta1", "kind": "Odd", "metadata": {"name": "odd"},
            "spec": {"enforcementAction": action},
        })
        .to_string()
    };
    let ruling = super::answer(&compile(&[&odd, &of("warn")]), &pod("a", "b"));
    assert_eq!(ruling.denial, None);
    assert_eq!(ruling.warnings, ["[odd] what its rule gives must be an object with a text `msg`"]);
    let ruling = super::answer(&compile(&[&odd, &of("dryrun")]), &pod("a", "b"));
    assert_eq!((ruling.denial, ruling.warnings.len()), (None, 0));
    assert_eq!(ruling.decided_by, "dryrun:Odd/odd (failed)");
}

#[test]
fn the_audit_hears_of_each_constraint_that_cannot_be_asked() {
    let odd = template("Odd", "package odd\nviolation[7] { true }");
    let gatekeeper =
        compile(&[SAY, &odd, &constraint("Say", "says"), &constraint("Odd", "one"), &constraint("Odd", "two")]);
    let text = pod("a", "b").to_string();
    let mut tape = Tape::new();
    let review = Subject::Object(tape.read(text.as_bytes()).expect("json"));
    let asked = Asked { review, namespace: None, point: EnforcementPoint::Audit };
    let findings = gatekeeper.find(&asked, soon()).expect("findings");
    assert_eq!((findings.violations.len(), findings.faults.len()), (1, 2));
    let Err(EngineError(why)) = gatekeeper.judge(&asked, soon()) else { panic!("judged") };
    assert!(why.contains("`Odd/one`") && why.ends_with("(and 1 more constraints cannot be asked)"), "{why}");
}

#[test]
fn work_without_end_is_stopped() {
    let rego = r"package slow
violation[{`msg`: `x`}] {
  a := numbers.range(0, 2000)[_]
  b := numbers.range(0, 2000)[_]
  c := numbers.range(0, 2000)[_]
  a + b + c == 7000000
}";
    let gatekeeper =
        compile(&[&template("Slow", &rego.replace('`', "\"")), &constraint("Slow", "a"), &constraint("Slow", "b")]);
    let started = Instant::now();
    let until = started + Duration::from_millis(50);
    let Err(EngineError(why)) = answer_request(&gatekeeper, &request("CREATE", &pod("a", "b")), until) else {
        panic!("answered")
    };
    assert!(why.starts_with("constraint `Slow/a`: ") && why.contains("too long"), "{why}");
    assert!(why.ends_with("(and 1 more constraints cannot be asked)"), "{why}");
    assert!(started.elapsed() < Duration::from_secs(5));
    // When there is no time at all nothing passes either.
    let gatekeeper = compile(&[SAY, &constraint("Say", "it")]);
    assert!(answer_request(&gatekeeper, &request("CREATE", &pod("a", "b")), started).is_err());
}

#[test]
fn rego_that_would_hurt_is_refused_when_it_is_loaded() {
    let deep =
        format!("package p\nviolation[{{\"msg\": \"x\"}}] {{ x := {}{} }}", "[".repeat(100_000), "]".repeat(100_000));
    for rego in [
        "package p\nf(x) = y { y := f(x) }\nviolation[{\"msg\": \"x\"}] { f(1) }",
        "package p\na { b }\nb { a }\nviolation[{\"msg\": \"x\"}] { a }",
        "package p\nviolation[{\"msg\": \"x\"}] { nothing.like.it(1) }",
        "package p\nviolation[{\"msg\": \"x\"}] { undeclared }",
        &deep,
        "package",
        "package p",
    ] {
        let found = refuse(&[&template("P", rego)]);
        assert!(found.contains("ConstraintTemplate/p: spec.targets[0].rego"), "{:.80}: {found:.200}", rego);
    }
    assert!(refuse(&[&template("P", "")]).contains("there is neither `rego` nor `code`"));
}

#[test]
fn objects_of_every_malformed_kind_are_no_silent_pass() {
    let selector = json!({"match": {"labelSelector": {"matchLabels": {"a": "b"}}}});
    let gatekeeper = compile(&[SAY, &say("it", &selector)]);
    for (object, expected) in [
        (json!({"apiVersion": 1, "kind": "Pod"}), "`apiVersion` is not a text"),
        (json!({"apiVersion": "a/b/c", "kind": "Pod"}), "has two slashes"),
        (json!({"apiVersion": "v1", "kind": []}), "`kind` is not a text"),
        (json!({"apiVersion": "v1", "kind": "Pod", "metadata": "x"}), "`metadata` is not a map"),
        (json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": 1}}), "`name` is not a text"),
        (json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": {}}}), "`namespace` is not a text"),
        (
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": []}}),
            "`metadata.labels` is not a map of texts",
        ),
        (
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {"a": 1}}}),
            "`metadata.labels` is not a map of texts",
        ),
    ] {
        let mut request = request("CREATE", &pod("a", "b"));
        request["object"] = object.clone();
        let Err(EngineError(why)) = answer_request(&gatekeeper, &request, soon()) else { panic!("{object}") };
        assert!(why.contains(expected), "{object}: {why}");
    }
    for object in [json!({}), json!({"metadata": null}), json!({"apiVersion": "", "kind": ""})] {
        let mut request = request("CREATE", &pod("a", "b"));
        request["object"] = object;
        assert!(answer_request(&gatekeeper, &request, soon()).is_ok(), "the request says what it is");
    }
    // What is there alone must say it.
    let mut tape = Tape::new();
    for text in ["{}", "[]", "7", "{\"kind\": \"Pod\"}", "{\"apiVersion\": \"v1\"}"] {
        let review = Subject::Object(tape.read(text.as_bytes()).expect("json"));
        let asked = Asked { review, namespace: None, point: EnforcementPoint::Audit };
        assert!(gatekeeper.judge(&asked, soon()).is_err(), "{text}");
    }
}

#[test]
fn a_request_without_an_object_is_no_silent_pass() {
    let gatekeeper = compile(&[SAY, &constraint("Say", "it")]);
    let mut connect = request("CONNECT", &pod("a", "b"));
    connect["object"] = Json::Null;
    let Err(EngineError(why)) = answer_request(&gatekeeper, &connect, soon()) else { panic!("answered") };
    assert!(why.contains("neither object nor old object are defined"), "{why}");
}

#[test]
fn numbers_and_depths_of_clients_are_no_harm() {
    let rego = "package p\nviolation[{\"msg\": \"deep\"}] { input.review.object.a }";
    let gatekeeper = compile(&[&template("P", rego), &constraint("P", "it")]);
    for value in ["1e400", "-0.0", "18446744073709551616", "1e-400", "123456789012345678901234567890.5"] {
        let text = format!(r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{}},"a":{value}}}"#);
        let mut tape = Tape::new();
        let review = Subject::Object(tape.read(text.as_bytes()).expect("json"));
        let asked = Asked { review, namespace: None, point: EnforcementPoint::Audit };
        // Said, or refused: never passed over.
        assert!(gatekeeper.judge(&asked, soon()).map_or(1, |found| found.len()) == 1, "{value}");
    }
    let text = format!(r#"{{"apiVersion":"v1","kind":"Pod","a":{}1{}}}"#, "[".repeat(900), "]".repeat(900));
    let mut tape = Tape::new();
    let review = Subject::Object(tape.read(text.as_bytes()).expect("json"));
    let asked = Asked { review, namespace: None, point: EnforcementPoint::Audit };
    assert!(gatekeeper.judge(&asked, soon()).map_or(1, |found| found.len()) == 1);
}

#[test]
fn a_denial_of_many_words_is_cut_and_stays_one() {
    let rego = "package p\nviolation[{\"msg\": msg}] { n := input.review.object.n[_]; msg := sprintf(\"%v %v\", [n, input.review.object.text]) }";
    let gatekeeper = compile(&[&template("P", rego), &constraint("P", "it")]);
    let mut object = pod("a", "b");
    object["n"] = (0..100).collect();
    object["text"] = "\u{e9}".repeat(1000).into();
    let message = denial(&gatekeeper, &object);
    assert!(message.len() < 70_000 && message.lines().count() > 20, "{}", message.len());
    assert!(message.ends_with(" more"), "{:.40}", message.lines().last().unwrap_or_default());
    object["text"] = "\u{e9}".repeat(100_000).into();
    assert!(denial(&gatekeeper, &object).len() < 70_000);
}
