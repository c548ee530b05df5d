//! One policy in every language, and reviews of any shape: all must say the same.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use portcullis_parsers::admission::hooks::Admission;
use portcullis_parsers::admission::json::Tape;
use portcullis_parsers::admission::judge::{Judge, Verdict};
use portcullis_parsers::admission::review::Review;
use portcullis_policy::{CompileOptions, Compiled, Documents, Snapshot, Source};
use serde_json::Value;

use super::objects;
use super::respell::respell;

/// Long enough for a machine that does other things as well.
const TIME: Duration = Duration::from_secs(20);

static POLICIES: LazyLock<Compiled> = LazyLock::new(|| {
    let mut sources = vec![Source::new("agreement.yaml", include_bytes!("agreement.yaml"))];
    if cfg!(feature = "javascript") {
        sources.push(Source::new("javascript.yaml", include_bytes!("agreement-javascript.yaml")));
    }
    let compiled = Snapshot::compile(&sources, &portcullis_parsers::REGISTRY, &CompileOptions::default());
    compiled.unwrap_or_else(|errors| panic!("{errors}"))
});

/// Judges an object that is written out, or made of a good one by changes.
pub(in super::super) fn run(data: &[u8]) {
    let object = if data.starts_with(b"{") { data.to_vec() } else { objects::change(data) };
    let mut tape = Tape::new();
    if tape.read(&object).is_err() {
        return;
    }
    let Ok(read) = serde_json::from_slice::<Value>(&object) else { return };
    for object in [respell(&object), object] {
        compare(&object, &read);
    }
}

fn compare(object: &[u8], read: &Value) {
    let mut review = br#"{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "1", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "resource": {"group": "", "version": "v1", "resource": "pods"},
        "name": "web", "namespace": "shop", "operation": "CREATE", "userInfo": {"username": "ann"}, "object": "#
        .to_vec();
    review.extend_from_slice(object);
    review.extend_from_slice(b"}}");
    let mut tape = Tape::new();
    let root = tape.read(&review).expect("the review is JSON");
    let Ok(review) = Review::read(root) else { return };
    let good = is_good(read);
    let admission = POLICIES.snapshot.documents().iter().find_map(Documents::downcast_ref::<Admission>).expect("hooks");
    for hook in admission.hooks.iter() {
        let outcome = hook.judge(&review, Instant::now().checked_add(TIME));
        let told = format!("`{}` says {:?}: {}", hook.name(), outcome.verdict, outcome.message);
        assert_ne!(outcome.decided_by, "not matched", "{told}");
        match outcome.verdict {
            Verdict::Allow => assert!(good, "{told}, of {read}"),
            Verdict::Deny => assert!(!good, "{told}, of {read}"),
            // The time of a judgement is a matter of the machine.
            Verdict::Error if outcome.message.contains("too long") || outcome.message.contains("deadline") => {}
            // Constraints go by the kind, which is a text in all that an API server sends.
            Verdict::Error => {
                assert!(!good || read.get("kind").is_some_and(|kind| !kind.is_string()), "{told}, of {read}")
            }
            Verdict::Watched | Verdict::Excused => panic!("{told}, of {read}"),
        }
    }
}

/// What all policies mean.
fn is_good(object: &Value) -> bool {
    let Value::Object(spec) = &object["spec"] else { return false };
    let some = matches!(spec.get("containers"), Some(Value::Array(items)) if !items.is_empty());
    let lists = ["containers", "initContainers", "ephemeralContainers"].map(|name| spec.get(name));
    some && lists.into_iter().flatten().all(|list| match list {
        Value::Null => true,
        Value::Array(items) => items.iter().all(is_good_container),
        _ => false,
    })
}

fn is_good_container(container: &Value) -> bool {
    let Value::Object(container) = container else { return false };
    let privileged = match container.get("securityContext") {
        None | Some(Value::Null) => None,
        Some(Value::Object(context)) => context.get("privileged"),
        Some(_) => return false,
    };
    let image = container.get("image").and_then(Value::as_str);
    image.is_some_and(|image| image.starts_with("reg.example/"))
        && matches!(privileged, None | Some(Value::Null | Value::Bool(false)))
}
