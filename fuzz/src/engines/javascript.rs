//! Scripts.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use portcullis_javascript::{Answer, EvalError, Files, Script};

use super::{BETWEEN, REVIEW, check_told};

/// How long a script may judge.
const TIME: Duration = Duration::from_millis(200);

/// The longest text that a script can make a client read, in bytes: 4096 characters.
const MAX_TEXT: usize = 4 * 4096 + 3;

/// A script that shows that engines are still there.
const GOOD: &str = "export function validate({object}) { return object.spec.containers.length === 2 || 'no' }";

/// Loads a script, asks it twice of a review, and sees that other scripts have not noticed.
pub(in super::super) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (text, review) = text.split_once(BETWEEN).unwrap_or((text, REVIEW));
    match Script::compile("fuzz.js", text, Files::default()) {
        Err(fault) => {
            assert_eq!(fault.file, "fuzz.js");
            check_told(text, fault.line, &fault.message);
            assert!(!fault.message.contains("the engine has failed"), "{fault}");
            assert!(!fault.message.contains("still run"), "{fault}");
        }
        Ok(script) => judge(&script, review),
    }
    thread_local! {
        static OTHER: RefCell<Option<Script>> = const { RefCell::new(None) };
    }
    OTHER.with_borrow_mut(|other| {
        let other = other.get_or_insert_with(|| compile(GOOD));
        let told = other.evaluate(REVIEW.as_bytes(), Instant::now() + Duration::from_secs(10));
        assert_eq!(told, Ok(Answer::default()), "another script is disturbed");
    });
}

fn compile(text: &str) -> Script {
    Script::compile("good.js", text, Files::default()).unwrap_or_else(|fault| panic!("{fault}"))
}

fn judge(script: &Script, review: &str) {
    for warning in script.warnings() {
        assert!(!warning.contains(char::is_control), "not one line: {warning:?}");
    }
    let [first, second] = [(); 2].map(|()| script.evaluate(review.as_bytes(), Instant::now() + TIME));
    for told in [&first, &second] {
        match told {
            Ok(answer) => check_answer(answer),
            Err(EvalError::Failed(why)) => {
                assert!(!why.is_empty() && !why.contains(char::is_control), "not one line: {why:?}");
                assert!(!why.contains("the engine has failed"), "{why}");
            }
            Err(_) => {}
        }
    }
    let spent = |told: &Result<_, _>| matches!(told, Err(EvalError::Deadline | EvalError::Memory | EvalError::Busy));
    if !spent(&first) && !spent(&second) {
        assert_eq!(first, second, "something else the next time");
    }
}

/// What is taken for an answer must be one that the API server takes.
fn check_answer(answer: &Answer) {
    if let Some(denial) = &answer.denial {
        assert!(denial.code == 0 || (400..600).contains(&denial.code), "the code {}", denial.code);
        assert!(denial.message.len() <= MAX_TEXT && denial.reason.len() <= MAX_TEXT, "an endless text");
        assert!(answer.patch.is_none(), "a patch of a denial");
    }
    assert!(answer.warnings.len() <= 100 && answer.warnings.iter().all(|text| text.len() <= MAX_TEXT), "warnings");
    assert!(answer.audit_annotations.iter().all(|(_, text)| text.len() <= MAX_TEXT), "annotations");
    assert!(answer.logged.len() <= 16, "{} lines", answer.logged.len());
    if let Some(patch) = &answer.patch {
        let patch: serde_json::Value = serde_json::from_slice(patch).expect("a patch is JSON");
        assert!(patch.is_array(), "a patch is a list: {patch}");
    }
}
