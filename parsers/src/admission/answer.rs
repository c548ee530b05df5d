//! The answer to a review, as the API server takes it.

use std::fmt::Write as _;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::judge::{Outcome, Verdict};
use super::review::Version;

/// The longest message, in bytes: some hundred lines. The API server keeps it in the events of controllers, cut at 1 KiB.
pub const MAX_MESSAGE: usize = 16 << 10;

/// The longest reason, in bytes. Those of the API server are one word; the answers of article 000 tell all in it.
pub const MAX_REASON: usize = 4 << 10;

/// From so many characters of warnings on, the API server cuts each at [`MAX_WARNING`], and leaves out what is still too much
/// (apiserver, `endpoints/filters/warning.go`).
pub const MAX_WARNINGS: usize = 4096;

/// How many characters are left of a warning where there are more than [`MAX_WARNINGS`] in all.
pub const MAX_WARNING: usize = 256;

/// How many audit annotations an answer may have.
pub const MAX_AUDIT_ANNOTATIONS: usize = 64;

/// The longest value of an audit annotation, in bytes: as the API server bounds those of its own policies.
pub const MAX_AUDIT_VALUE: usize = 10 << 10;

/// Appends the answer to a review: an AdmissionReview of the same version, with its uid.
///
/// Texts may quote what a client wrote: control characters in them are shown as escapes, and long ones are cut. Audit annotations
/// whose key the API server would refuse are left out, and so is a patch of a denial.
pub fn write(out: &mut Vec<u8>, version: Version, uid: &str, outcome: &Outcome) {
    let allowed = outcome.verdict.allows();
    put(out, r#"{"kind":"AdmissionReview","apiVersion":""#);
    put(out, version.as_str());
    put(out, r#"","response":{"uid":"#);
    quote(out, uid);
    put(out, r#","allowed":"#);
    put(out, if allowed { "true" } else { "false" });
    if !allowed {
        write_status(out, outcome);
    }
    if let Some(patch) = outcome.patch.as_deref().filter(|patch| allowed && !patch.is_empty()) {
        put(out, r#","patchType":"JSONPatch","patch":""#);
        // A patch may be as long as the object, and is encoded in pieces that need no padding.
        for piece in patch.chunks(3 << 8) {
            put(out, &BASE64_STANDARD.encode(piece));
        }
        put(out, "\"");
    }
    write_audit_annotations(out, &outcome.audit_annotations);
    write_warnings(out, &outcome.warnings);
    put(out, "}}");
}

/// Whether the API server takes this as the key of an audit annotation, to which it puts the name of the webhook: the name of
/// a qualified name, at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at each end.
pub fn is_audit_key(key: &str) -> bool {
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = key.as_bytes();
    bytes.len() <= 63
        && ends(bytes.first())
        && ends(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

fn write_status(out: &mut Vec<u8>, outcome: &Outcome) {
    let usual = if outcome.verdict == Verdict::Error { 500 } else { 403 };
    // The API server turns what is no error into 400.
    let code = if (400..600).contains(&outcome.code) { outcome.code } else { usual };
    put(out, r#","status":{"#);
    for (name, text, max) in
        [(r#""message":"#, &outcome.message, MAX_MESSAGE), (r#""reason":"#, &outcome.reason, MAX_REASON)]
    {
        if !text.is_empty() {
            put(out, name);
            quote(out, &show(text, max, Lines::Kept));
            put(out, ",");
        }
    }
    put(out, r#""code":"#);
    put(out, &code.to_string());
    put(out, "}");
}

fn write_audit_annotations(out: &mut Vec<u8>, annotations: &[(String, String)]) {
    let mut written: Vec<&str> = Vec::new();
    for (key, value) in annotations {
        if !is_audit_key(key) || written.contains(&&**key) || written.len() >= MAX_AUDIT_ANNOTATIONS {
            continue;
        }
        put(out, if written.is_empty() { r#","auditAnnotations":{"# } else { "," });
        quote(out, key);
        put(out, ":");
        quote(out, &show(value, MAX_AUDIT_VALUE, Lines::Kept));
        written.push(key);
    }
    if !written.is_empty() {
        put(out, "}");
    }
}

fn write_warnings(out: &mut Vec<u8>, warnings: &[String]) {
    let count = |text: &str| text.chars().count();
    // The API server leaves out warnings with control characters.
    let shown: Vec<_> = warnings
        .iter()
        .filter(|warning| !warning.is_empty())
        .map(|warning| show(warning, MAX_WARNINGS, Lines::Joined))
        .collect();
    let total = shown.iter().fold(0_usize, |total, text| total.saturating_add(count(text)));
    let cut = total > MAX_WARNINGS;
    let mut told = 0_usize;
    for (place, text) in shown.iter().enumerate() {
        put(out, if place == 0 { r#","warnings":["# } else { "," });
        let short: String = text.chars().take(MAX_WARNING.saturating_sub(1)).collect();
        let text = if cut && count(text) > MAX_WARNING { format!("{short}…") } else { text.clone() };
        told = told.saturating_add(count(&text));
        // What says that there were more needs room, too.
        if cut && told > MAX_WARNINGS.saturating_sub(MAX_WARNING) {
            quote(out, &format!("{} more warnings are left out", shown.len().saturating_sub(place)));
            break;
        }
        quote(out, &text);
    }
    if !shown.is_empty() {
        put(out, "]");
    }
}

/// What becomes of the lines of a text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lines {
    Kept,
    Joined,
}

/// A text as a terminal may show it: no control character but line breaks and tabs, no change of the direction of writing; cut
/// after about so many bytes, which is told.
fn show(text: &str, max: usize, lines: Lines) -> String {
    let mut out = String::with_capacity(text.len().min(max));
    for (place, character) in text.char_indices() {
        if out.len() > max {
            let left = text.len().saturating_sub(place);
            let _ = write!(out, "… ({left} bytes more)");
            break;
        }
        match character {
            '\n' | '\t' if lines == Lines::Kept => out.push(character),
            '\n' | '\t' => out.push(' '),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.extend(character.escape_unicode()),
            _ if character.is_control() => out.extend(character.escape_default()),
            _ => out.push(character),
        }
    }
    out
}

/// A text as JSON.
fn quote(out: &mut Vec<u8>, text: &str) {
    put(out, "\"");
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        let (plain, after) = rest.split_at_checked(at).unwrap_or((rest, ""));
        put(out, plain);
        let mut characters = after.chars();
        match characters.next() {
            Some('"') => put(out, "\\\""),
            Some('\\') => put(out, "\\\\"),
            Some('\n') => put(out, "\\n"),
            Some('\t') => put(out, "\\t"),
            Some(other) => put(out, &format!("\\u{:04x}", u32::from(other))),
            None => {}
        }
        rest = characters.as_str();
    }
    put(out, rest);
    put(out, "\"");
}

fn put(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn written(version: Version, uid: &str, outcome: &Outcome) -> Value {
        let mut out = Vec::new();
        write(&mut out, version, uid, outcome);
        serde_json::from_slice(&out).unwrap_or_else(|error| panic!("{}: {error}", out.escape_ascii()))
    }

    fn response(outcome: &Outcome) -> Value {
        written(Version::V1, "u", outcome)["response"].take()
    }

    fn allowed() -> Outcome {
        Outcome { verdict: Verdict::Allow, ..Outcome::default() }
    }

    #[test]
    fn an_answer_is_written_byte_for_byte() {
        let mut out = b"before ".to_vec();
        write(&mut out, Version::V1, "705ab4f5", &allowed());
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"before {"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","response":{"uid":"705ab4f5","allowed":true}}"#
        );
        let mut out = Vec::new();
        let outcome = Outcome {
            message: "no \"latest\"\nno registry".into(),
            reason: "Forbidden".into(),
            warnings: vec!["w".into()],
            audit_annotations: vec![("owner".into(), "portcullis".into())],
            ..Outcome::default()
        };
        write(&mut out, Version::V1beta1, "705ab4f5", &outcome);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1","response":{"uid":"705ab4f5","#,
                r#""allowed":false,"status":{"message":"no \"latest\"\nno registry","reason":"Forbidden","code":403},"#,
                r#""auditAnnotations":{"owner":"portcullis"},"warnings":["w"]}}"#
            )
        );
    }

    #[test]
    fn a_status_is_written_for_each_denial_and_for_nothing_else() {
        for (verdict, code, expected) in [
            (Verdict::Allow, 0, None),
            (Verdict::Watched, 403, None),
            (Verdict::Excused, 500, None),
            (Verdict::Deny, 0, Some(403)),
            (Verdict::Deny, 400, Some(400)),
            (Verdict::Deny, 422, Some(422)),
            (Verdict::Deny, 200, Some(403)),
            (Verdict::Deny, 600, Some(403)),
            (Verdict::Error, 0, Some(500)),
            (Verdict::Error, 504, Some(504)),
        ] {
            let outcome = Outcome { verdict, code, message: "m".into(), reason: "r".into(), ..Outcome::default() };
            let expected = match expected {
                None => json!({"uid": "u", "allowed": true}),
                Some(code) => {
                    json!({"uid": "u", "allowed": false, "status": {"message": "m", "reason": "r", "code": code}})
                }
            };
            assert_eq!(response(&outcome), expected, "{verdict:?} {code}");
        }
        let only_reason = Outcome { reason: "repo not trusted".into(), ..Outcome::default() };
        assert_eq!(response(&only_reason)["status"], json!({"reason": "repo not trusted", "code": 403}));
    }

    #[test]
    fn a_patch_is_written_only_where_the_request_may_go_on() {
        let patch = br#"[{"op":"add","path":"/metadata/labels","value":{}}]"#.repeat(100);
        for verdict in [Verdict::Allow, Verdict::Watched, Verdict::Deny, Verdict::Error, Verdict::Excused] {
            let response = response(&Outcome { verdict, patch: Some(patch.clone()), ..Outcome::default() });
            if verdict.allows() {
                assert_eq!(response["patchType"], "JSONPatch");
                let decoded = BASE64_STANDARD.decode(response["patch"].as_str().unwrap()).unwrap();
                assert_eq!(decoded, patch);
            } else {
                assert!(response.get("patch").is_none() && response.get("patchType").is_none());
            }
        }
        let none = response(&Outcome { patch: Some(Vec::new()), ..allowed() });
        assert_eq!(none, json!({"uid": "u", "allowed": true}));
    }

    #[test]
    fn what_a_client_wrote_cannot_steer_a_terminal() {
        let text = "a\u{1b}[31m\r\u{0}\u{7f}\u{9b}\u{202e}\n\té😀\u{2028}\"\\";
        let outcome = Outcome { message: text.into(), warnings: vec![text.into()], ..Outcome::default() };
        let response = response(&outcome);
        let shown = r#"a\u{1b}[31m\r\u{0}\u{7f}\u{9b}\u{202e}"#;
        assert_eq!(response["status"]["message"], format!("{shown}\n\té😀\u{2028}\"\\"));
        assert_eq!(response["warnings"], json!([format!("{shown}  é😀\u{2028}\"\\")]));
        // The uid is told back as it is.
        for uid in [text, "\u{1}\u{1f}", "\\", "\"", "", "/<>&'", "\u{10ffff}"] {
            assert_eq!(written(Version::V1beta1, uid, &allowed())["response"]["uid"], uid);
        }
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        for text in ["x".repeat(1 << 20), "é".repeat(1 << 20), "\u{1b}".repeat(1 << 20)] {
            let outcome = Outcome { message: text.clone().into(), reason: text.clone().into(), ..Outcome::default() };
            let status = response(&outcome)["status"].take();
            for (name, max) in [("message", MAX_MESSAGE), ("reason", MAX_REASON)] {
                let told = status[name].as_str().unwrap();
                assert!(told.len() < max + 64 && told.ends_with(" bytes more)"), "{}", told.len());
            }
        }
        let whole = "x".repeat(MAX_MESSAGE);
        let outcome = Outcome { message: whole.clone().into(), ..Outcome::default() };
        assert_eq!(response(&outcome)["status"]["message"], whole);
    }

    #[test]
    fn warnings_fit_what_the_api_server_passes_on() {
        let warn = |warnings: Vec<String>| {
            let response = response(&Outcome { warnings, ..allowed() });
            let told: Vec<String> = serde_json::from_value(response["warnings"].clone()).unwrap_or_default();
            assert!(told.iter().map(|text| text.chars().count()).sum::<usize>() <= MAX_WARNINGS);
            told
        };
        assert!(warn(vec![]).is_empty() && warn(vec![String::new()]).is_empty());
        assert_eq!(warn(vec!["a".into(), String::new(), "b".into()]), ["a", "b"]);
        let long = "é".repeat(1000);
        assert_eq!(warn(vec![long.clone(), long.clone()]), [long.clone(), long.clone()]);
        let told = warn(vec![long.clone(); 5]);
        assert_eq!(told, vec![format!("{}…", "é".repeat(MAX_WARNING - 1)); 5]);
        let told = warn(vec![long.clone(); 100]);
        assert_eq!(told.last().unwrap(), "85 more warnings are left out");
        assert_eq!(told.len(), 16);
        assert_eq!(warn(vec!["x".repeat(1 << 20)]), [format!("{}…", "x".repeat(MAX_WARNING - 1))]);
        assert_eq!(warn(vec!["\u{1b}".repeat(4000)])[0].chars().count(), MAX_WARNING);
    }

    #[test]
    fn audit_annotations_have_keys_that_the_api_server_takes() {
        for key in ["a", "owner", "A-b_c.9", &"x".repeat(63)] {
            assert!(is_audit_key(key), "{key}");
        }
        for key in ["", "-a", "a-", ".", "a/b", "a b", "é", "a\n", &"x".repeat(64)] {
            assert!(!is_audit_key(key), "{key}");
        }
        let annotation = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let outcome = Outcome {
            audit_annotations: vec![
                annotation("a/b", "1"),
                annotation("a", "2"),
                annotation("a", "3"),
                annotation("b", "\u{1b}\n"),
                annotation("c", &"x".repeat(1 << 20)),
            ],
            ..allowed()
        };
        let annotations = response(&outcome)["auditAnnotations"].take();
        assert_eq!((&annotations["a"], &annotations["b"]), (&json!("2"), &json!("\\u{1b}\n")));
        assert!(annotations["c"].as_str().unwrap().len() < MAX_AUDIT_VALUE + 64);
        assert_eq!(annotations.as_object().unwrap().len(), 3);
        let many = (0..1000).map(|n| annotation(&format!("k{n}"), "v")).collect();
        let annotations = response(&Outcome { audit_annotations: many, ..allowed() })["auditAnnotations"].take();
        assert_eq!(annotations.as_object().unwrap().len(), MAX_AUDIT_ANNOTATIONS);
        let none = response(&Outcome { audit_annotations: vec![annotation("/", "v")], ..allowed() });
        assert!(none.get("auditAnnotations").is_none());
    }
}
