use serde_json::{Value as Other, json};

use super::super::json::Tape;
use super::*;

/// A review that the API server might send.
fn pod_review() -> Other {
    json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "705ab4f5",
            "kind": {"group": "apps", "version": "v1", "kind": "Deployment"},
            "resource": {"group": "apps", "version": "v1", "resource": "deployments"},
            "subResource": "scale",
            "requestKind": {"group": "apps", "version": "v1beta1", "kind": "Deployment"},
            "requestResource": {"group": "apps", "version": "v1beta1", "resource": "deployments"},
            "requestSubResource": "scale",
            "name": "web",
            "namespace": "default",
            "operation": "UPDATE",
            "userInfo": {
                "username": "admin",
                "uid": "7",
                "groups": ["system:masters", "dev"],
                "extra": {"scopes": ["a", "b"]},
            },
            "object": {"new": true},
            "oldObject": {"old": true},
            "dryRun": true,
            "options": {"kind": "UpdateOptions"},
        },
    })
}

/// The same with changes: each a pointer to a field, and what it is to be; nothing takes it out.
fn changed(changes: &[(&str, Option<Other>)]) -> String {
    let mut review = pod_review();
    for (pointer, value) in changes {
        let (map, key) = pointer.rsplit_once('/').unwrap();
        let map = review.pointer_mut(map).unwrap().as_object_mut().unwrap();
        match value {
            Some(value) => drop(map.insert(key.to_owned(), value.clone())),
            None => drop(map.remove(key)),
        }
    }
    review.to_string()
}

/// Whether a review can be read, and if not whether its uid is told back, and what is said.
fn read(text: &str) -> Result<(), (bool, String)> {
    let mut tape = Tape::new();
    let root = tape.read(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
    match Review::read(root) {
        Ok(_) => Ok(()),
        Err(ReviewError::Unreadable { message }) => Err((false, message)),
        Err(ReviewError::Refused { uid, message, code, .. }) => {
            assert_eq!((&*uid, code), ("705ab4f5", 400));
            Err((true, message))
        }
    }
}

fn unreadable(text: &str, message: &str) {
    assert_eq!(read(text), Err((false, message.to_owned())), "{text}");
}

fn refused(text: &str, message: &str) {
    assert_eq!(read(text), Err((true, message.to_owned())), "{text}");
}

#[test]
fn every_field_is_read() {
    let text = pod_review().to_string();
    let mut tape = Tape::new();
    let review = Review::read(tape.read(text.as_bytes()).unwrap()).unwrap();
    assert_eq!((review.version, &*review.uid, review.operation), (Version::V1, "705ab4f5", Operation::Update));
    assert_eq!((&*review.kind.group, &*review.kind.version, &*review.kind.kind), ("apps", "v1", "Deployment"));
    assert_eq!(
        (&*review.resource.group, &*review.resource.version, &*review.resource.resource),
        ("apps", "v1", "deployments")
    );
    assert_eq!(review.request_kind.as_ref().unwrap().version, "v1beta1");
    assert_eq!(review.request_resource.as_ref().unwrap().version, "v1beta1");
    assert_eq!((&*review.sub_resource, &*review.request_sub_resource), ("scale", "scale"));
    assert_eq!((&*review.name, &*review.namespace), ("web", "default"));
    assert_eq!((&*review.user.username, &*review.user.uid), ("admin", "7"));
    let groups: Vec<_> = review.user.groups().map(|group| group.to_cow().into_owned()).collect();
    assert_eq!(groups, ["system:masters", "dev"]);
    assert_eq!(review.user.extra.unwrap().get("scopes").unwrap().items().count(), 2);
    assert_eq!(review.object.unwrap().raw(), br#"{"new":true}"#);
    assert_eq!(review.old_object.unwrap().raw(), br#"{"old":true}"#);
    assert_eq!(review.options.unwrap().raw(), br#"{"kind":"UpdateOptions"}"#);
    assert!(review.dry_run);
    assert_eq!(review.subject().unwrap().raw(), br#"{"new":true}"#);
}

#[test]
fn what_may_be_absent_may_be_null_too() {
    let optional = [
        "subResource",
        "requestKind",
        "requestResource",
        "requestSubResource",
        "name",
        "namespace",
        "userInfo",
        "oldObject",
        "options",
        "dryRun",
    ];
    for value in [None, Some(Other::Null)] {
        let pointers: Vec<_> = optional.iter().map(|name| format!("/request/{name}")).collect();
        let changes: Vec<_> = pointers.iter().map(|pointer| (&**pointer, value.clone())).collect();
        let text = changed(&changes);
        let mut tape = Tape::new();
        let review = Review::read(tape.read(text.as_bytes()).unwrap()).unwrap();
        assert_eq!((&*review.name, &*review.namespace, &*review.user.username), ("", "", ""));
        assert!(review.request_kind.is_none() && review.old_object.is_none() && review.options.is_none());
        assert_eq!(review.user.groups().count(), 0);
        assert!(!review.dry_run);
    }
    for name in ["username", "uid", "groups", "extra"] {
        let pointer = format!("/request/userInfo/{name}");
        assert_eq!(read(&changed(&[(&pointer, None)])), Ok(()));
        assert_eq!(read(&changed(&[(&pointer, Some(Other::Null))])), Ok(()));
    }
    for (pointer, value) in
        [("/response", Other::Null), ("/request/newInSomeVersion", json!([{}])), ("/extra", json!(1))]
    {
        assert_eq!(read(&changed(&[(pointer, Some(value))])), Ok(()));
    }
}

#[test]
fn what_is_no_review_is_unreadable() {
    for (text, message) in [
        ("[]", "a list of reviews; send them one by one"),
        ("null", "expected an AdmissionReview, not null"),
        ("\"AdmissionReview\"", "expected an AdmissionReview, not a text"),
    ] {
        unreadable(text, message);
    }
    let expected =
        "expected kind `AdmissionReview` of apiVersion `admission.k8s.io/v1` or `admission.k8s.io/v1beta1`, not kind ";
    let long = "x".repeat(1000);
    let cut = format!("`{}…` of apiVersion `admission.k8s.io/v1`", "x".repeat(80));
    for (pointer, value, found) in [
        ("/kind", Some(json!("Pod")), "`Pod` of apiVersion `admission.k8s.io/v1`"),
        ("/kind", Some(json!("admissionreview")), "`admissionreview` of apiVersion `admission.k8s.io/v1`"),
        ("/kind", Some(json!(1)), "a number of apiVersion `admission.k8s.io/v1`"),
        ("/kind", None, "nothing of apiVersion `admission.k8s.io/v1`"),
        ("/kind", Some(json!("a\u{1b}[31m`\u{202e}")), r"`a\u{1b}[31m`\u{202e}` of apiVersion `admission.k8s.io/v1`"),
        ("/kind", Some(json!(long)), &cut),
        ("/apiVersion", Some(json!("admission.k8s.io/v2")), "`AdmissionReview` of apiVersion `admission.k8s.io/v2`"),
        ("/apiVersion", Some(json!("v1")), "`AdmissionReview` of apiVersion `v1`"),
        ("/apiVersion", None, "`AdmissionReview` of apiVersion nothing"),
    ] {
        unreadable(&changed(&[(pointer, value)]), &format!("{expected}{found}"));
    }
    unreadable("{}", &format!("{expected}nothing of apiVersion nothing"));
    let response = Some(json!({"uid": "705ab4f5", "allowed": true}));
    unreadable(&changed(&[("/request", None), ("/response", response)]), "the review has a response, and no request");
    unreadable(&changed(&[("/request", None)]), "`request` is missing");
    unreadable(&changed(&[("/request", Some(Other::Null))]), "`request` is null");
    unreadable(&changed(&[("/request", Some(json!([])))]), "`request` must be a map, not a list");
    unreadable(&changed(&[("/request", Some(json!("x")))]), "`request` must be a map, not a text");
}

#[test]
fn without_a_uid_there_is_no_answer() {
    let v1beta1 = ("/apiVersion", Some(json!("admission.k8s.io/v1beta1")));
    for value in [None, Some(Other::Null), Some(json!(""))] {
        unreadable(&changed(&[("/request/uid", value.clone())]), "`request.uid` is missing or empty");
        let text = changed(&[("/request/uid", value), v1beta1.clone()]);
        let mut tape = Tape::new();
        let review = Review::read(tape.read(text.as_bytes()).unwrap()).unwrap();
        assert_eq!((review.version, &*review.uid), (Version::V1beta1, ""));
    }
    unreadable(&changed(&[("/request/uid", Some(json!(7)))]), "`request.uid` must be a text, not a number");
    let long = Some(json!("u".repeat(MAX_UID + 1)));
    unreadable(&changed(&[("/request/uid", long)]), "`request.uid` is longer than 256 bytes");
    let text = changed(&[("/request/uid", Some(json!("u".repeat(MAX_UID))))]);
    assert!(Review::read(Tape::new().read(text.as_bytes()).unwrap()).is_ok());
}

#[test]
fn wrong_types_are_refused_with_the_uid() {
    for (field, value, message) in [
        ("name", json!(7), "`request.name` must be a text, not a number"),
        ("namespace", json!({}), "`request.namespace` must be a text, not a map"),
        ("subResource", json!(["x"]), "`request.subResource` must be a text, not a list"),
        ("operation", json!(1), "`request.operation` must be CREATE, UPDATE, DELETE or CONNECT, not a number"),
        ("operation", json!("PATCH"), "`request.operation` must be CREATE, UPDATE, DELETE or CONNECT, not `PATCH`"),
        ("operation", json!("create"), "`request.operation` must be CREATE, UPDATE, DELETE or CONNECT, not `create`"),
        ("operation", Other::Null, "`request.operation` must be CREATE, UPDATE, DELETE or CONNECT, not null"),
        ("kind", json!("Pod"), "`request.kind` must be a map, not a text"),
        ("kind", Other::Null, "`request.kind` and `request.resource` must be there"),
        ("kind", json!({"group": "", "version": "v1"}), "`request.kind.kind` is missing or empty"),
        ("kind", json!({"version": "v1", "kind": 1}), "`request.kind.kind` must be a text, not a number"),
        ("resource", json!({"resource": "pods"}), "`request.resource.version` is missing or empty"),
        ("resource", Other::Null, "`request.kind` and `request.resource` must be there"),
        ("requestKind", json!([]), "`request.requestKind` must be a map, not a list"),
        ("requestResource", json!({"version": "v1"}), "`request.requestResource.resource` is missing or empty"),
        ("userInfo", json!("admin"), "`request.userInfo` must be a map, not a text"),
        ("userInfo", json!({"username": ["admin"]}), "`request.userInfo.username` must be a text, not a list"),
        ("userInfo", json!({"groups": "admins"}), "`request.userInfo.groups` must be a list of texts, not a text"),
        (
            "userInfo",
            json!({"groups": ["a", null]}),
            "`request.userInfo.groups` must be a list of texts, and has null in it",
        ),
        ("userInfo", json!({"groups": {"a": "b"}}), "`request.userInfo.groups` must be a list of texts, not a map"),
        ("userInfo", json!({"extra": []}), "`request.userInfo.extra` must be a map, not a list"),
        ("userInfo", json!({"extra": {"a": "b"}}), "`request.userInfo.extra` must be a list of texts, not a text"),
        ("object", json!([]), "`request.object` must be a map, not a list"),
        ("object", json!("{}"), "`request.object` must be a map, not a text"),
        ("oldObject", json!(false), "`request.oldObject` must be a map, not true or false"),
        ("options", json!(1), "`request.options` must be a map, not a number"),
        ("dryRun", json!("true"), "`request.dryRun` must be true or false, not a text"),
        ("dryRun", json!(1), "`request.dryRun` must be true or false, not a number"),
    ] {
        refused(&changed(&[(&format!("/request/{field}"), Some(value))]), message);
    }
}

#[test]
fn what_an_operation_needs_must_be_there() {
    for (operation, object, old, message) in [
        ("CREATE", true, false, None),
        ("CREATE", false, false, Some("object cannot be nil for CREATE operations")),
        ("CREATE", false, true, Some("object cannot be nil for CREATE operations")),
        ("UPDATE", true, true, None),
        ("UPDATE", true, false, None),
        ("UPDATE", false, true, Some("object cannot be nil for UPDATE operations")),
        ("DELETE", false, true, None),
        ("DELETE", true, false, Some("oldObject cannot be nil for DELETE operations")),
        ("DELETE", false, false, Some("oldObject cannot be nil for DELETE operations")),
        ("CONNECT", true, false, None),
        ("CONNECT", false, false, None),
    ] {
        for absent in [None, Some(Other::Null)] {
            let there = |is: bool| if is { Some(json!({"a": 1})) } else { absent.clone() };
            let text = changed(&[
                ("/request/operation", Some(json!(operation))),
                ("/request/object", there(object)),
                ("/request/oldObject", there(old)),
            ]);
            match message {
                Some(message) => refused(&text, message),
                None => assert_eq!(read(&text), Ok(()), "{text}"),
            }
        }
    }
    let mut tape = Tape::new();
    let text = changed(&[("/request/operation", Some(json!("DELETE"))), ("/request/object", None)]);
    let review = Review::read(tape.read(text.as_bytes()).unwrap()).unwrap();
    assert_eq!(review.subject().unwrap().raw(), br#"{"old":true}"#);
}

/// What another reader of the same bytes may take for something else.
#[test]
fn what_can_be_read_in_two_ways_is_refused() {
    let insert = |before: &str, what: &str| {
        let text = pod_review().to_string();
        let place = text.find(before).unwrap_or_else(|| panic!("no {before}"));
        format!("{}{what},{}", &text[..place], &text[place..])
    };
    for (before, what, message) in [
        ("\"apiVersion\":\"adm", r#""kind":"AdmissionReview""#, "`kind` stands there twice"),
        ("\"apiVersion\":\"adm", r#""apiVersion":"admission.k8s.io/v1beta1""#, "`apiVersion` stands there twice"),
        ("\"apiVersion\":\"adm", r#""\u0061piVersion":"x""#, "`apiVersion` stands there twice"),
        ("\"apiVersion\":\"adm", r#""request":{}"#, "`request` stands there twice"),
        ("\"apiVersion\":\"adm", r#""Request":{}"#, "`Request` is not how `request` is spelled"),
        ("\"apiVersion\":\"adm", r#""reque\u017ft":{}"#, "`requeſt` is not how `request` is spelled"),
        ("\"apiVersion\":\"adm", "\"\u{212a}ind\":1", "`\u{212a}ind` is not how `kind` is spelled"),
        ("\"dryRun\"", r#""uid":"other""#, "`request.uid` stands there twice"),
        ("\"dryRun\"", r#""UID":"other""#, "`UID` is not how `request.uid` is spelled"),
        ("\"dryRun\"", r#""name":"a","NAME":"b","Uid":"other""#, "`Uid` is not how `request.uid` is spelled"),
    ] {
        unreadable(&insert(before, what), message);
    }
    for (before, what, message) in [
        ("\"dryRun\"", r#""object":{}"#, "`request.object` stands there twice"),
        ("\"dryRun\"", r#""Object":{}"#, "`Object` is not how `request.object` is spelled"),
        ("\"dryRun\"", r#""oldobject":{}"#, "`oldobject` is not how `request.oldObject` is spelled"),
        ("\"dryRun\"", r#""dryRun":null"#, "`request.dryRun` stands there twice"),
        ("\"dryRun\"", r#""userinfo":{}"#, "`userinfo` is not how `request.userInfo` is spelled"),
        ("\"username\"", r#""username":"root""#, "`request.userInfo.username` stands there twice"),
        ("\"username\"", r#""Groups":["system:masters"]"#, "`Groups` is not how `request.userInfo.groups` is spelled"),
        ("\"version\":\"v1\"}", r#""version":"v2""#, "`request.kind.version` stands there twice"),
    ] {
        refused(&insert(before, what), message);
    }
    // In the objects the last one counts, as everywhere.
    assert_eq!(read(&insert("\"new\"", r#""new":1,"New":2"#)), Ok(()));
}
