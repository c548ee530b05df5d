//! Policies with what the API server's own packages make of them: refused or taken, and the verdict on requests.
//!
//! `golden.jsonl`, but for its first line, was written by the packages of Kubernetes 1.35.0 that validate and judge ValidatingAdmissionPolicies. `GOLDEN`
//! names another file of the same form to compare with.

use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Policies, load, try_judge};

#[derive(Deserialize)]
struct Case {
    #[serde(default)]
    name: String,
    docs: Vec<Json>,
    #[serde(default)]
    requests: Vec<Json>,
    /// What the API server says of documents that it refuses.
    #[serde(default)]
    refused: Vec<String>,
    #[serde(default)]
    verdicts: Vec<Verdict>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
struct Verdict {
    allowed: bool,
    #[serde(default)]
    message: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    code: u16,
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// What stands in the first line: a request of which others tell what is different, and documents that others name.
#[derive(Default, Deserialize)]
struct Base {
    #[serde(default)]
    request: Json,
    #[serde(default)]
    namespace: Json,
    #[serde(default)]
    binding: Json,
    /// The `matchConstraints` of policies that are written `{"policy": spec}`.
    #[serde(default)]
    constraints: Json,
}

impl Base {
    fn document(&self, short: Json) -> Json {
        match short.as_str() {
            Some("namespace") => self.namespace.clone(),
            Some("binding") => self.binding.clone(),
            _ => match short.get("policy") {
                Some(spec) => {
                    let mut spec = spec.clone();
                    spec["matchConstraints"] = self.constraints.clone();
                    json!({
                        "apiVersion": "admissionregistration.k8s.io/v1",
                        "kind": "ValidatingAdmissionPolicy",
                        "metadata": {"name": "p"},
                        "spec": spec,
                    })
                }
                None => short,
            },
        }
    }

    fn request(&self, fields: Json) -> Json {
        let mut request = self.request.clone();
        if request.is_null() {
            return fields;
        }
        for (name, value) in fields.as_object().unwrap() {
            request[name] = value.clone();
        }
        request
    }
}

/// The verdict as the API server's own policies give it: the first denial, and only the first failure in the audit log.
fn judge(policies: &Policies, request: &Json) -> Verdict {
    let ruling = match try_judge(policies, request) {
        Ok(ruling) => ruling,
        Err(error) => return Verdict { message: format!("error: {error:?}"), ..Verdict::default() },
    };
    let mut annotations = BTreeMap::new();
    for (key, value) in ruling.audit_annotations {
        if key == "validation_failure" {
            let failures: Vec<Json> = serde_json::from_str(&value).unwrap();
            annotations.insert(key, failures[0].to_string());
        } else {
            annotations.insert(key, value);
        }
    }
    let mut verdict =
        Verdict { allowed: ruling.denial.is_none(), warnings: ruling.warnings, annotations, ..Verdict::default() };
    if let Some(denial) = ruling.denial {
        verdict.message = denial.message.lines().next().unwrap_or_default().to_owned();
        (verdict.reason, verdict.code) = (denial.reason, denial.code);
    }
    verdict
}

/// The keys as webhooks may give them.
fn translate(verdict: Verdict) -> Verdict {
    let annotations = verdict.annotations.into_iter().map(|(key, value)| {
        if key == "validation.policy.admission.k8s.io/validation_failure" {
            let failures: Vec<Json> = serde_json::from_str(&value).unwrap();
            ("validation_failure".to_owned(), failures[0].to_string())
        } else {
            (key.replacen('/', ".", 1), value)
        }
    });
    Verdict {
        annotations: annotations.collect(),
        message: verdict.message.lines().next().unwrap_or_default().to_owned(),
        ..verdict
    }
}

#[test]
fn everything_is_as_the_api_server_has_it() {
    let file = std::env::var("GOLDEN").unwrap_or_else(|_| {
        concat!(env!("CARGO_MANIFEST_DIR"), "/src/admission/engines/policies/tests/golden.jsonl").to_owned()
    });
    let mut differences = String::new();
    let mut count = (0, 0);
    let mut base = Base::default();
    for line in std::fs::read_to_string(&file).unwrap().lines() {
        let line: Json = serde_json::from_str(line).unwrap();
        if line["name"] == "base" {
            base = serde_json::from_value(line).unwrap();
            continue;
        }
        let mut case: Case = serde_json::from_value(line).unwrap();
        case.docs = case.docs.into_iter().map(|short| base.document(short)).collect();
        case.requests = case.requests.into_iter().map(|fields| base.request(fields)).collect();
        count.0 += 1;
        let found = compare(case);
        count.1 += usize::from(!found.is_empty());
        differences.push_str(&found);
    }
    assert!(differences.is_empty(), "{} of {} differ:\n{differences}", count.1, count.0);
}

fn compare(case: Case) -> String {
    let text: Vec<String> = case.docs.iter().map(Json::to_string).collect();
    let compiled = Policies::compile(&load(&text.join("\n---\n")));
    let policies = match (compiled, case.refused.as_slice()) {
        (Err(_), [_, ..]) => return String::new(),
        (Ok(_), [refused, ..]) => return format!("{}: taken, wanted refused: {refused}\n", case.name),
        (Err(errors), []) => {
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            return format!("{}: refused, wanted taken: {}\n", case.name, errors.join("\n    "));
        }
        (Ok((policies, _)), []) => policies,
    };
    let mut differences = String::new();
    for (at, (request, wanted)) in case.requests.iter().zip(case.verdicts).enumerate() {
        let (seen, wanted) = (judge(&policies, request), translate(wanted));
        if seen != wanted {
            let name = &case.name;
            writeln!(differences, "{name}, request {at}\n    seen   {seen:?}\n    wanted {wanted:?}").unwrap();
        }
    }
    differences
}
