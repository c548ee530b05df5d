//! What a script says of a review.
//!
//! Nothing that cannot be understood is an allowance: `undefined`, a number, an empty text, a map without `allowed` or with a
//! key that means nothing are errors.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::fault::tidy;

/// What a script says of a review.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The denial, if it is one.
    pub denial: Option<Denial>,
    /// What the client is warned of.
    pub warnings: Vec<String>,
    /// What the audit log gets.
    pub audit_annotations: Vec<(String, String)>,
    /// The changes, as a JSON Patch (RFC 6902), if the request is allowed.
    pub patch: Option<Vec<u8>>,
    /// What the script has written to `console`, up to 16 lines of 512 characters. It may hold anything that the review holds.
    pub logged: Vec<String>,
}

/// What a denial tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Denial {
    /// `status.message`; empty is none.
    pub message: String,
    /// `status.reason`; empty is none.
    pub reason: String,
    /// `status.code`, 400 to 599; 0 is none.
    pub code: u16,
}

impl Answer {
    /// Nothing is said but whether the request may go on.
    pub(crate) fn plain(allowed: bool) -> Self {
        Self { denial: (!allowed).then(Denial::default), ..Self::default() }
    }

    /// The request is denied, with a text for the client.
    pub(crate) fn deny(message: String) -> Result<Self, String> {
        if message.is_empty() {
            return Err("`validate` has returned an empty text: return `true` to allow".to_owned());
        }
        let denial = Denial { message: cut(message), ..Denial::default() };
        Ok(Self { denial: Some(denial), ..Self::default() })
    }

    /// What `validate` has returned, as JSON.
    pub(crate) fn read(json: &str) -> Result<Self, String> {
        let told: Told = parse(json, "what `validate` has returned")?;
        let status = Status { message: told.message, reason: told.reason, code: told.code };
        let patch = told.patch.map(|patch| read_patch(&patch)).transpose()?;
        answer(told.allowed, status, told.warnings, told.audit_annotations, patch)
    }

    /// The body of an HTTP response, which must be an AdmissionReview.
    pub(crate) fn read_review(body: &str, uid: &str) -> Result<Self, String> {
        let review: Review = parse(body, "the body of the response")?;
        let Map(response) =
            review.response.ok_or("the body of the response is no AdmissionReview with a `response`")?;
        if response.uid.is_some_and(|other| other != uid) {
            return Err("the response has the `uid` of another review".to_owned());
        }
        let patch = match response.patch {
            None => None,
            Some(_) if response.patch_type.as_deref() != Some("JSONPatch") => {
                return Err("a response with a `patch` needs the `patchType` `JSONPatch`".to_owned());
            }
            Some(patch) => {
                let patch = STANDARD.decode(patch).map_err(|_| "the `patch` of the response is no base64")?;
                let patch =
                    serde_json::from_slice(&patch).map_err(|_| "the `patch` of the response is no JSON Patch")?;
                Some(read_patch(&patch)?)
            }
        };
        let status = response.status.map(|Map(status)| status).unwrap_or_default();
        answer(response.allowed, status, response.warnings, response.audit_annotations, patch)
    }
}

fn answer(
    allowed: bool,
    status: Status,
    warnings: Option<Vec<String>>,
    audit_annotations: Option<BTreeMap<String, String>>,
    patch: Option<Vec<u8>>,
) -> Result<Answer, String> {
    let warnings = warnings.unwrap_or_default();
    if warnings.len() > MAX_WARNINGS {
        return Err(format!("there are {} warnings: {MAX_WARNINGS} are the most", warnings.len()));
    }
    let denial = if allowed { None } else { Some(deny(status)?) };
    Ok(Answer {
        patch: patch.filter(|_| denial.is_none()),
        denial,
        warnings: warnings.into_iter().map(cut).collect(),
        audit_annotations: audit_annotations
            .unwrap_or_default()
            .into_iter()
            .map(|(key, value)| (key, cut(value)))
            .collect(),
        logged: Vec::new(),
    })
}

fn deny(status: Status) -> Result<Denial, String> {
    let code = match status.code {
        None => 0,
        Some(code @ 400..=599) => code,
        Some(code) => return Err(format!("the code of a denial is {code}: it must be 400 to 599")),
    };
    Ok(Denial {
        message: cut(status.message.unwrap_or_default()),
        reason: cut(status.reason.unwrap_or_default()),
        code,
    })
}

/// Whether it is a list of operations (RFC 6902, section 4), written anew.
fn read_patch(patch: &Value) -> Result<Vec<u8>, String> {
    let operations = patch.as_array().ok_or("`patch` must be a list of operations of JSON Patch")?;
    for (at, operation) in operations.iter().enumerate() {
        let pointer =
            |key| operation.get(key).and_then(Value::as_str).filter(|at| at.is_empty() || at.starts_with('/'));
        let needed = match operation.get("op").and_then(Value::as_str) {
            Some("add" | "replace" | "test") => operation.get("value").is_some(),
            Some("move" | "copy") => pointer("from").is_some(),
            Some("remove") => true,
            _ => false,
        };
        if !needed || pointer("path").is_none() {
            return Err(format!("`patch[{at}]` is no operation of JSON Patch"));
        }
    }
    Ok(patch.to_string().into_bytes())
}

fn parse<'t, T: Deserialize<'t>>(json: &'t str, what: &str) -> Result<T, String> {
    if json.len() > MAX_ANSWER {
        return Err(format!("{what} is too long: {MAX_ANSWER} bytes are the most"));
    }
    serde_json::from_str(json).map(|Map(value)| value).map_err(|error| {
        // The message may quote a value of any length.
        let text = error.to_string();
        let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
        tidy(&format!("{what} is no answer: {text}"))
    })
}

fn cut(text: String) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((at, _)) => text.get(..at).unwrap_or_default().to_owned(),
        None => text,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Told {
    allowed: bool,
    message: Option<String>,
    reason: Option<String>,
    code: Option<u16>,
    warnings: Option<Vec<String>>,
    audit_annotations: Option<BTreeMap<String, String>>,
    patch: Option<Value>,
}

/// What must be written as a map. What derives `Deserialize` would also be taken from a list of its fields.
struct Map<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Map<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfMap<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for OfMap<T> {
            type Value = T;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }
        deserializer.deserialize_map(OfMap(PhantomData)).map(Self)
    }
}

#[derive(Deserialize)]
struct Review {
    response: Option<Map<Response>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    uid: Option<String>,
    allowed: bool,
    status: Option<Map<Status>>,
    warnings: Option<Vec<String>>,
    audit_annotations: Option<BTreeMap<String, String>>,
    patch: Option<String>,
    patch_type: Option<String>,
}

#[derive(Default, Deserialize)]
struct Status {
    message: Option<String>,
    reason: Option<String>,
    code: Option<u16>,
}

/// The longest answer of a script, in bytes: as long as the largest object that the API server takes, which a patch may replace.
const MAX_ANSWER: usize = 3 << 20;

/// Characters of a text for the client or the audit log. The API server cuts warnings at 4096 in all.
const MAX_TEXT: usize = 4096;

/// Warnings of one answer.
const MAX_WARNINGS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_whole_or_not_at_all() {
        assert_eq!(Answer::read(r#"{"allowed":true,"message":"not shown","code":200}"#), Ok(Answer::plain(true)));
        assert_eq!(Answer::read(r#"{"allowed":false,"message":null}"#), Ok(Answer::plain(false)));
        for json in [
            "{}",
            "[]",
            "[true,null,null,null,null,null,null]",
            r#"{"allow":true}"#,
            r#"{"allowed":1}"#,
            r#"{"allowed":"true"}"#,
            r#"{"allowed":true,"warning":"x"}"#,
            r#"{"allowed":true,"warnings":"x"}"#,
            r#"{"allowed":false,"code":200}"#,
            r#"{"allowed":false,"code":403.5}"#,
            r#"{"allowed":false,"code":-1}"#,
            r#"{"allowed":false,"message":1}"#,
            r#"{"allowed":true,"auditAnnotations":{"a":1}}"#,
            r#"{"allowed":true,"patch":{}}"#,
            r#"{"allowed":true,"patch":[{}]}"#,
            r#"{"allowed":true,"patch":[{"op":"add","path":"/a"}]}"#,
            r#"{"allowed":true,"patch":[{"op":"move","path":"/a"}]}"#,
            r#"{"allowed":true,"patch":[{"op":"remove","path":"a"}]}"#,
            r#"{"allowed":true,"patch":[{"op":"eval","path":"/a"}]}"#,
        ] {
            assert!(Answer::read(json).is_err(), "{json}");
        }
        let deep = format!(r#"{{"allowed":true,"patch":{}1{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
        assert!(Answer::read(&deep).is_err());
        let long = format!(r#"{{"allowed":false,"message":"{}"}}"#, "x".repeat(MAX_ANSWER));
        assert!(Answer::read(&long).unwrap_err().contains("too long"));
    }

    #[test]
    fn a_patch_is_for_what_is_allowed() {
        let patch = r#"[{"op":"add","path":"/metadata/labels/a","value":"b"}]"#;
        let read = |allowed| Answer::read(&format!(r#"{{"allowed":{allowed},"patch":{patch}}}"#)).unwrap().patch;
        assert_eq!(read(true), Some(patch.as_bytes().to_vec()));
        assert_eq!(read(false), None);
    }

    #[test]
    fn a_response_is_an_admission_review() {
        let read = |body: &str| Answer::read_review(body, "u1");
        assert_eq!(read(r#"{"response":{"allowed":true,"uid":"u1"}}"#), Ok(Answer::plain(true)));
        assert_eq!(read(r#"{"response":{"allowed":true}}"#), Ok(Answer::plain(true)));
        let denial = read(r#"{"response":{"allowed":false,"status":{"reason":"r","code":422}}}"#).unwrap().denial;
        assert_eq!(denial, Some(Denial { message: String::new(), reason: "r".to_owned(), code: 422 }));
        for body in [
            "",
            "ok",
            "{}",
            r#"{"response":null}"#,
            r#"[{"allowed":true}]"#,
            r#"{"response":[null,true,null,null,null,null,null]}"#,
            r#"{"response":{"allowed":false,"status":["m","r",422]}}"#,
            r#"{"response":{"allowed":false,"allowed":true}}"#,
            r#"{"response":{}}"#,
            r#"{"response":{"allowed":"yes"}}"#,
            r#"{"response":{"allowed":true,"uid":"u2"}}"#,
            r#"{"response":{"allowed":true,"patch":"W10="}}"#,
            r#"{"response":{"allowed":true,"patchType":"JSONPatch","patch":"!"}}"#,
            r#"{"response":{"allowed":true,"patchType":"JSONPatch","patch":"e30="}}"#,
        ] {
            assert!(read(body).is_err(), "{body}");
        }
        let patched = read(r#"{"response":{"allowed":true,"patchType":"JSONPatch","patch":"W10="}}"#).unwrap();
        assert_eq!(patched.patch, Some(b"[]".to_vec()));
    }
}
