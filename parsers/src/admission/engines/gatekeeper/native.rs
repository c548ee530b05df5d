//! Templates in CEL: the engine `K8sNativeValidation`.

use std::time::Instant;

use serde_json::{Map, Value as Json};

use super::super::super::json;
use super::super::super::review::{Operation, Review};
use super::super::policies::Namespace;
pub(super) use super::super::policies::native::Validations;
use super::constraint::Constraint;
use super::input::{Inputs, Judged};
use super::read::{At, Faults};
use super::target::Object;

/// Compiles the `source` of a template.
pub(super) fn compile(source: &At<'_>, faults: &mut Faults) -> Option<Validations> {
    match Validations::compile(source.node, &source.path) {
        Ok((validations, warnings)) => {
            faults.warnings.extend(warnings);
            Some(validations)
        }
        Err(errors) => {
            faults.errors.extend(errors);
            None
        }
    }
}

/// What a template in CEL says for a constraint: messages, which have no details.
pub(super) fn evaluate(
    code: &Validations,
    constraint: &Constraint,
    inputs: &Inputs<'_, '_>,
    until: Instant,
) -> Result<Vec<(String, Json)>, String> {
    let mut tape = json::Tape::new();
    let document = tape.read(constraint.document.as_bytes()).map_err(|error| error.to_string())?;
    let made;
    let review = match &inputs.judged {
        Judged::Review(review) => *review,
        Judged::Object { value, facts, operation } => {
            let written = match inputs.made.get() {
                Some(written) => written,
                None => {
                    let text = write_review(*value, facts, operation.unwrap_or(Operation::Create));
                    let written = json::Document::read(text).map_err(|error| error.to_string())?;
                    inputs.made.get_or_init(|| written)
                }
            };
            made = Review::read(written.root()).map_err(|_| "the object cannot be reviewed".to_owned())?;
            &made
        }
    };
    let namespace = match inputs.namespace {
        Some(known) => Namespace::Known(known),
        None if review.namespace.is_empty() || review.kind.kind == "Namespace" && review.kind.group.is_empty() => {
            Namespace::None
        }
        None => Namespace::Unknown,
    };
    let messages = code.evaluate(review, document, namespace, until).map_err(|error| error.0)?;
    Ok(messages.into_iter().map(|message| (message, Json::Object(Map::new()))).collect())
}

/// The review of an object of which nobody asks anything: as if somebody created it.
fn write_review(value: json::Value<'_>, facts: &Object<'_>, operation: Operation) -> String {
    let (group, version, kind) = (&*facts.group, &*facts.version, &*facts.kind);
    let request = serde_json::json!({
        "kind": {"group": group, "version": version, "kind": kind},
        "resource": {"group": group, "version": version, "resource": kind.to_lowercase()},
        "name": facts.name,
        "namespace": facts.namespace,
        "operation": operation.as_str(),
    });
    let request = request.to_string();
    let field = if operation == Operation::Delete { "oldObject" } else { "object" };
    format!(
        r#"{{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview","request":{},"{field}":{}}}}}"#,
        request.strip_suffix('}').unwrap_or("{"),
        String::from_utf8_lossy(value.raw())
    )
}
