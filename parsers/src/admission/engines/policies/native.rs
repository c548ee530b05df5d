//! Templates of Gatekeeper in CEL: the engine `K8sNativeValidation`.

use std::time::Instant;

use portcullis_cel::EXPRESSION_LIMIT;
use portcullis_policy::{Node, NodeError};

use super::expressions::Names;
use super::parts::{read_conditions, read_validations, read_variables};
use super::program::{Bindings, Late, Namespace, Program};
use super::read::{check_fields, word};
use super::request::Request;
use crate::admission::engines::EngineError;
use crate::admission::hooks::at::{At, Reader};
use crate::admission::json;
use crate::admission::review::{Operation, Review};

/// The `source` of a template, compiled.
#[derive(Debug)]
pub(in crate::admission) struct Validations {
    program: Program,
}

/// Variables that every template has: Gatekeeper's `BindParams` and `BindObject`.
const GIVEN: [(&str, &str); 2] = [
    ("params", "!has(params.spec) ? null : !has(params.spec.parameters) ? null : params.spec.parameters"),
    ("anyObject", r#"has(request.operation) && request.operation == "DELETE" && object == null ? oldObject : object"#),
];

/// What names of variables may not begin with.
const RESERVED: &str = "gatekeeper_internal_";

impl Validations {
    /// Compiles the `source`, which stands at `path` in its document. Gives warnings too.
    ///
    /// # Errors
    /// All that cannot be used, each with its place.
    pub(in crate::admission) fn compile(source: &Node, path: &str) -> Result<(Self, Vec<NodeError>), Vec<NodeError>> {
        let mut reader = Reader::default();
        let compiled = read(&At { node: source, path: path.to_owned() }, &mut reader);
        match compiled {
            Some(compiled) if reader.faults.errors.is_empty() => Ok((compiled, reader.faults.warnings)),
            _ => Err(reader.faults.errors),
        }
    }

    /// What the template says of a review for a constraint: a message for each violation. What cannot be evaluated is a violation,
    /// too, unless the template's `failurePolicy` is `Ignore`.
    ///
    /// # Errors
    /// Time ran out.
    pub(in crate::admission) fn evaluate(
        &self,
        review: &Review<'_>,
        constraint: json::Value<'_>,
        namespace: Namespace<'_>,
        until: Instant,
    ) -> Result<Vec<String>, EngineError> {
        let request = Request::new(review);
        let bindings = Bindings {
            object: review.object.filter(|_| review.operation != Operation::Delete),
            old_object: review.old_object,
            request: &request,
            params: Some(constraint),
            namespace,
        };
        // Gatekeeper gives all validations of a template what Kubernetes gives to one expression.
        match self.program.judge(&bindings, EXPRESSION_LIMIT, until) {
            Ok(judged) => Ok(judged.denials.into_iter().map(|denied| denied.message).collect()),
            Err(Late) => Err(EngineError("time ran out while a template in CEL was evaluated".to_owned())),
        }
    }
}

fn read(at: &At<'_>, reader: &mut Reader) -> Option<Validations> {
    let fields = ["validations", "failurePolicy", "matchCondition", "matchConditions", "variables", "generateVAP"];
    if !check_fields(at, &fields, reader) {
        return None;
    }
    let failure_policy = word(at, "failurePolicy", &["Fail", "Ignore"], reader);
    let mut program = Program { ignores_failures: failure_policy == Some("Ignore"), ..Program::default() };
    let mut inner = Names::new(true);
    for (name, expression) in GIVEN {
        inner.add(name, at, expression, &mut program, reader);
    }
    let refuse = |name: &str| match name {
        "params" | "anyObject" => Some("it is there already"),
        _ if name.starts_with(RESERVED) => Some("names that begin with `gatekeeper_internal_` are Gatekeeper's"),
        _ => None,
    };
    read_variables(at, &mut inner, &mut program, refuse, reader);
    // "We don't want to have access to parameters for anything other than driver-defined logic"
    let names = inner.without_params();
    if let Some(field) = at.field("matchConditions") {
        reader.warn(
            &field,
            "Gatekeeper knows this as `matchCondition`, and passes over `matchConditions`; here both count",
        );
    }
    program.conditions = ["matchCondition", "matchConditions"]
        .into_iter()
        .flat_map(|list| read_conditions(at, list, &names, true, reader))
        .collect();
    program.validations = read_validations(at, &names, &["expression", "message", "messageExpression"], reader);
    // Whether Gatekeeper makes a ValidatingAdmissionPolicy of the template, too, changes nothing here.
    at.read_field::<bool>("generateVAP", reader);
    Some(Validations { program })
}
