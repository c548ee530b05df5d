//! Documents of engines, and a review that is judged by what they say.

use std::time::Instant;

use portcullis_parsers::admission::hooks::{Admission, Hook};
use portcullis_parsers::admission::json::Tape;
use portcullis_parsers::admission::judge::{Judge, Outcome, Verdict};
use portcullis_parsers::admission::review::Review;
use portcullis_policy::{CompileOptions, Compiled, Documents, Snapshot, Source};

use super::super::{admission_review, policy};
use super::respell::respell;
use super::{BETWEEN, REVIEW, forgive_caught_panics, gauge, on_a_small_stack, until};

/// The stack of the threads on which Envoy judges.
const STACK: usize = 16 << 20;

/// Loads documents, twice, and judges the review that follows them, or else one that is always the same.
pub(in super::super) fn run(data: &[u8]) {
    portcullis_rego::set_memory_gauge(gauge);
    forgive_caught_panics();
    let between = data.windows(BETWEEN.len()).position(|part| part == BETWEEN.as_bytes());
    let (documents, review) = match between {
        Some(at) => (&data[..at], &data[at + BETWEEN.len()..]),
        None => (data, REVIEW.as_bytes()),
    };
    let sources = [Source::new("fuzz.yaml", documents)];
    let [first, second] =
        [(); 2].map(|()| Snapshot::compile(&sources, &portcullis_parsers::REGISTRY, &CompileOptions::default()));
    match (first, second) {
        (Ok(first), Ok(second)) => {
            policy::check_lines(documents, &first.warnings);
            on_a_small_stack(STACK, || judge(&first, &second, review));
        }
        (Err(first), Err(second)) => {
            assert_eq!(first, second, "errors differ from one time to the next");
            policy::check_errors(documents, &first);
        }
        (first, second) => panic!("compiles, or does not, as it happens: {:?} {:?}", first.err(), second.err()),
    }
}

/// What hooks of documents say of a review, and of the same in another spelling, and when it is too late.
fn judge(first: &Compiled, second: &Compiled, review: &[u8]) {
    let mut tape = Tape::new();
    let Ok(root) = tape.read(review) else { return };
    let Ok(read) = Review::read(root) else { return };
    let respelled = respell(review);
    let mut other_tape = Tape::new();
    let other = other_tape.read(&respelled).expect("another spelling is JSON, too");
    let other = Review::read(other).expect("another spelling is a review, too");
    for hook in hooks(first) {
        let outcome = hook.judge(&read, Some(until()));
        admission_review::check_answer(read.version, &read.uid, &outcome);
        check(hook, &outcome);
        let late = hook.judge(&read, Some(Instant::now()));
        assert!(is_fault(&late) || late == outcome, "too late, and {late:?} in place of {outcome:?}");
        let same = hooks(second).find(|same| same.name() == hook.name()).expect("the same hooks");
        for again in [same.judge(&read, Some(until())), same.judge(&other, Some(until()))] {
            if is_spent(&outcome) || is_spent(&again) {
                continue;
            }
            assert_eq!(outcome.verdict, again.verdict, "{outcome:?} and {again:?}");
            assert_eq!(outcome.message, again.message, "another message");
            assert_eq!(outcome.warnings, again.warnings, "other warnings");
            assert_eq!(outcome.audit_annotations, again.audit_annotations, "other annotations");
        }
    }
}

fn hooks(compiled: &Compiled) -> impl Iterator<Item = &Hook> {
    let admission = compiled.snapshot.documents().iter().find_map(Documents::downcast_ref::<Admission>);
    admission.into_iter().flat_map(|admission| admission.hooks.iter()).map(|hook| &**hook)
}

/// Who may go on, and who not, must be told why.
fn check(hook: &Hook, outcome: &Outcome) {
    assert!(!outcome.decided_by.is_empty(), "`{}` does not say who decided: {outcome:?}", hook.name());
    if !outcome.verdict.allows() {
        assert!(!outcome.message.is_empty() || !outcome.reason.is_empty(), "denied without a word: {outcome:?}");
    }
    if is_fault(outcome) {
        assert!(outcome.message.starts_with("the hook `"), "{outcome:?}");
    } else {
        assert_ne!(outcome.decided_by, "error", "not judged, and {:?}", outcome.verdict);
    }
}

fn is_fault(outcome: &Outcome) -> bool {
    matches!(outcome.verdict, Verdict::Error | Verdict::Excused)
}

/// Whether it was not judged for want of time or memory, which is another each time; or in part.
fn is_spent(outcome: &Outcome) -> bool {
    let texts = std::iter::once(&*outcome.message).chain(outcome.warnings.iter().map(String::as_str));
    let texts = texts.chain(outcome.audit_annotations.iter().map(|(_, text)| text.as_str()));
    let mut texts = texts.filter(|text| {
        ["too long", "too much memory", "deadline", "memory limit"].iter().any(|part| text.contains(part))
    });
    texts.next().is_some()
}
