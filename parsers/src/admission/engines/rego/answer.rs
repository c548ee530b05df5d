//! What a rule answers: a response of an AdmissionReview, or what it denies with.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use portcullis_rego::Value;

use crate::admission::engines::{Denial, Ruling};

/// Reads an answer. Denials that are told together are in the order of OPA's sets, and joined as the policies of its
/// documentation join them.
///
/// | value | meaning |
/// |---|---|
/// | an AdmissionReview with a `response`, or a response: `{allowed, status, patch, …}` | as the API server takes it |
/// | a set or list of texts, or of `{msg}` | denied with all of them; allowed if there is none |
/// | `true`, `false` | allowed, denied |
///
/// # Errors
/// Anything else.
pub(super) fn read(value: &Value) -> Result<Ruling, String> {
    match value {
        Value::Bool(true) => Ok(Ruling::default()),
        Value::Bool(false) => Ok(deny(Denial::default())),
        Value::Array(_) | Value::Set(_) => Ok(match read_messages(value)? {
            messages if messages.is_empty() => Ruling::default(),
            messages => {
                deny(Denial { message: messages.join(", "), reason: "Forbidden".to_owned(), ..Denial::default() })
            }
        }),
        Value::Object(_) => match field(value, "response") {
            Some(response) => read_response(response),
            None => read_response(value),
        },
        _ => Err("wanted an AdmissionReview, a set of messages or a boolean".to_owned()),
    }
}

fn deny(denial: Denial) -> Ruling {
    Ruling { denial: Some(denial), ..Ruling::default() }
}

fn read_messages(list: &Value) -> Result<Vec<String>, String> {
    let read = |item: &Value| match item {
        Value::String(text) => Ok(text.to_string()),
        item => match field(item, "msg") {
            Some(Value::String(text)) => Ok(text.to_string()),
            _ => Err("a denial is neither a text nor has it a text as `msg`".to_owned()),
        },
    };
    match list {
        Value::Array(items) => items.iter().map(read).collect(),
        Value::Set(items) => items.iter().map(read).collect(),
        _ => Ok(Vec::new()),
    }
}

fn read_response(response: &Value) -> Result<Ruling, String> {
    let Some(Value::Bool(allowed)) = field(response, "allowed") else {
        return Err("the response has no `allowed` that is a boolean".to_owned());
    };
    let mut ruling = Ruling::default();
    let status = field(response, "status");
    if let Some(status) = status.filter(|status| !matches!(status, Value::Object(_))) {
        return Err(format!("`status` is no object but {}", name(status)));
    }
    if !allowed {
        let code = match status.and_then(|status| field(status, "code")) {
            None => 0,
            Some(code) => code.as_u16().map_err(|_| "`status.code` is no status of HTTP".to_owned())?,
        };
        let text = |name| status.map_or(Ok(None), |status| read_text(status, name)).map(Option::unwrap_or_default);
        ruling.denial = Some(Denial { message: text("message")?, reason: text("reason")?, code });
    }
    match read_text(response, "patch")? {
        Some(patch) if !patch.is_empty() => {
            if read_text(response, "patchType")?.is_some_and(|kind| kind != "JSONPatch") {
                return Err("the `patchType` is not `JSONPatch`".to_owned());
            }
            let patch = BASE64_STANDARD.decode(patch).map_err(|_| "the `patch` is no base64".to_owned())?;
            if !matches!(serde_json::from_slice(&patch), Ok(serde_json::Value::Array(_))) {
                return Err("the `patch` is no JSON Patch".to_owned());
            }
            ruling.patch = Some(patch);
        }
        _ => {}
    }
    if let Some(warnings) = field(response, "warnings") {
        ruling.warnings = read_messages(warnings)?;
    }
    if let Some(annotations) = field(response, "auditAnnotations") {
        let Value::Object(entries) = annotations else {
            return Err(format!("`auditAnnotations` is no object but {}", name(annotations)));
        };
        for (key, value) in entries.iter() {
            match (key, value) {
                (Value::String(key), Value::String(value)) => {
                    ruling.audit_annotations.push((key.to_string(), value.to_string()));
                }
                _ => return Err("`auditAnnotations` are no texts".to_owned()),
            }
        }
    }
    Ok(ruling)
}

fn read_text(object: &Value, key: &str) -> Result<Option<String>, String> {
    match field(object, key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.to_string())),
        Some(other) => Err(format!("`{key}` is no text but {}", name(other))),
    }
}

fn field<'v>(object: &'v Value, key: &str) -> Option<&'v Value> {
    match object {
        Value::Object(entries) => entries.get(&Value::from(key)),
        _ => None,
    }
}

fn name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Set(_) => "a set",
        Value::Object(_) => "an object",
        _ => "undefined",
    }
}
