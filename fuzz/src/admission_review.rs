//! Reviews as text, and the answers to them.

use portcullis_parsers::admission::answer;
use portcullis_parsers::admission::json::{Kind, Tape, Value};
use portcullis_parsers::admission::judge::{Outcome, Verdict};
use portcullis_parsers::admission::review::{Review, ReviewError, Version};
use serde_json::Value as Other;

/// What `serde_json` reads without being told otherwise; deeper documents are ours alone.
const OTHERS_DEPTH: usize = 120;

/// The longest error: what is expected, and two quotations of 80 characters that are all escapes.
const MAX_MESSAGE: usize = 2048;

/// Reads a document and a review, and answers it.
pub(super) fn read(data: &[u8]) {
    let mut tape = Tape::new();
    // What the tape held before must not matter.
    let _ = tape.read(br#"[{"a":[1,2,{"b":"\n"}]},"#);
    let other = serde_json::from_slice::<Other>(data);
    match tape.read(data) {
        Err(error) => {
            assert!(other.is_err(), "refused: {error}");
            assert!(error.offset <= data.len() && error.line > 0 && error.column > 0, "{error:?}");
        }
        Ok(root) => {
            match other {
                Ok(other) => assert_eq!(convert(root), other),
                Err(error) => {
                    let known = error.to_string().starts_with("number out of range");
                    assert!(known || depth(data) > OTHERS_DEPTH, "accepted, though: {error}");
                }
            }
            review(root);
        }
    }
}

fn review(root: Value<'_>) {
    match Review::read(root) {
        Ok(review) => {
            let request = root.get("request").expect("it was read");
            let same = |name: &str, text: &str| match request.get(name).and_then(Value::text) {
                Some(there) => assert!(there.is(text), "`{name}` was read as something else"),
                None => assert!(text.is_empty(), "`{name}` was made up"),
            };
            same("uid", &review.uid);
            same("name", &review.name);
            same("namespace", &review.namespace);
            same("operation", review.operation.as_str());
            assert!(review.subject().is_none_or(|subject| subject.kind() == Kind::Map));
            let outcome = Outcome {
                message: review.name.to_string().into(),
                reason: review.namespace.to_string().into(),
                warnings: review.user.groups().map(|group| group.to_cow().into_owned()).collect(),
                audit_annotations: vec![(review.user.username.to_string(), review.user.uid.to_string())],
                patch: review.object.map(|object| object.raw().to_vec()),
                ..Outcome::default()
            };
            for verdict in [Verdict::Allow, Verdict::Deny, Verdict::Error] {
                check_answer(review.version, &review.uid, &Outcome { verdict, ..outcome.clone() });
            }
        }
        Err(ReviewError::Refused { version, uid, message, code }) => {
            check_message(&message);
            assert_eq!(code, 400);
            check_answer(version, &uid, &Outcome { message: message.into(), code, ..Outcome::default() });
        }
        Err(ReviewError::Unreadable { message }) => check_message(&message),
    }
}

/// What is said must fit one line of a log.
fn check_message(message: &str) {
    assert!(message.len() <= MAX_MESSAGE, "{} bytes", message.len());
    assert!(!message.contains(char::is_control), "`{}`", message.escape_debug());
}

/// The API server must understand the answer, and nobody's terminal be steered by it.
pub(super) fn check_answer(version: Version, uid: &str, outcome: &Outcome) {
    let mut out = Vec::new();
    answer::write(&mut out, version, uid, outcome);
    let answer: Other = serde_json::from_slice(&out).expect("the answer is JSON");
    assert_eq!(answer["kind"], "AdmissionReview");
    assert_eq!(answer["apiVersion"], version.as_str());
    let response = &answer["response"];
    assert_eq!(response["uid"], uid);
    let allowed = outcome.verdict.allows();
    assert_eq!(response["allowed"], allowed);
    assert_eq!(response.get("status").is_some(), !allowed);
    assert!(allowed || response["status"]["code"].as_u64().is_some_and(|code| code >= 400));
    assert!(allowed || response.get("patch").is_none());
    assert_eq!(response.get("patch").is_some(), response.get("patchType").is_some());
    let texts = ["message", "reason"].into_iter().filter_map(|name| response["status"][name].as_str());
    let warnings = response["warnings"].as_array().into_iter().flatten().filter_map(Other::as_str);
    for text in texts.chain(warnings.clone()) {
        assert!(!text.contains(|character: char| character.is_control() && !matches!(character, '\n' | '\t')));
    }
    assert!(warnings.map(|warning| warning.chars().count()).sum::<usize>() <= answer::MAX_WARNINGS);
    for (key, _) in response["auditAnnotations"].as_object().into_iter().flatten() {
        assert!(answer::is_audit_key(key), "`{key}`");
    }
}

/// A value as `serde_json` has it, through all that a value can be asked. No deeper than what that reads.
fn convert(value: Value<'_>) -> Other {
    match value.kind() {
        Kind::Null => Other::Null,
        Kind::Bool => Other::Bool(value.bool().expect("it is one")),
        Kind::Number => serde_json::from_str(value.number().expect("it is one")).expect("it is a number"),
        Kind::Text => Other::String(value.text().expect("it is one").to_cow().into_owned()),
        Kind::List => Other::Array(value.items().map(convert).collect()),
        Kind::Map => {
            let mut map = serde_json::Map::new();
            for (key, value) in value.entries() {
                map.insert(key.to_cow().into_owned(), convert(value));
            }
            for (key, expected) in &map {
                let found = value.get(key).expect("the key is there");
                assert_eq!(&serde_json::from_slice::<Other>(found.raw()).expect("it was read"), expected);
            }
            Other::Object(map)
        }
    }
}

/// How many lists and maps are open at most, or more.
fn depth(data: &[u8]) -> usize {
    let step = |(open, most): (usize, usize), byte: &u8| match byte {
        b'[' | b'{' => (open + 1, most.max(open + 1)),
        b']' | b'}' => (open.saturating_sub(1), most),
        _ => (open, most),
    };
    data.iter().fold((0, 0), step).1
}
