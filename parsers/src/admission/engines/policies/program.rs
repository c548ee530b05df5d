//! The expressions of a policy, and how they are evaluated for one binding and one parameter.

use std::collections::HashMap;
use std::time::Instant;

use portcullis_cel::{Budget, CONDITIONS_LIMIT, EvalError, Expression, Scope, Value};

use crate::admission::json;

use super::request::Request;

/// Bytes of a message that an expression makes: Kubernetes' `MaxEvaluatedMessageExpressionSizeBytes`.
const MAX_MESSAGE: usize = 5 * 1024;

/// The variable with the others in it, as it is written before their names.
pub(super) const VARIABLES: &str = "variables.";

/// An expression with its text.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) text: Box<str>,
    pub(super) expression: Expression,
}

/// The expressions of a policy.
#[derive(Debug, Default)]
pub(super) struct Program {
    /// Each speaks of earlier ones alone.
    pub(super) variables: Vec<(Box<str>, Compiled)>,
    /// Where each variable is, by its name.
    pub(super) places: HashMap<Box<str>, usize>,
    pub(super) conditions: Vec<Compiled>,
    pub(super) validations: Vec<Validation>,
    pub(super) annotations: Vec<(Box<str>, Compiled)>,
    /// Whether what cannot be evaluated is passed over (`failurePolicy: Ignore`).
    pub(super) ignores_failures: bool,
}

/// One of the `validations`.
#[derive(Debug)]
pub(super) struct Validation {
    pub(super) expression: Compiled,
    /// Empty for none.
    pub(super) message: Box<str>,
    pub(super) message_expression: Option<Compiled>,
    pub(super) reason: Reason,
}

/// The reason of a denial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Reason {
    #[default]
    Invalid,
    Forbidden,
    RequestEntityTooLarge,
}

impl Reason {
    /// `Invalid` first: it is what is meant where nothing is said.
    pub(super) const ALL: [Self; 3] = [Self::Invalid, Self::Forbidden, Self::RequestEntityTooLarge];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "Invalid",
            Self::Forbidden => "Forbidden",
            Self::RequestEntityTooLarge => "RequestEntityTooLarge",
        }
    }

    pub(super) const fn code(self) -> u16 {
        match self {
            Self::Invalid => 422,
            Self::Forbidden => 403,
            Self::RequestEntityTooLarge => 413,
        }
    }
}

/// The namespace of what is judged.
#[derive(Clone, Copy, Debug)]
pub(in crate::admission) enum Namespace<'v> {
    /// It is in none: `namespaceObject` is null.
    None,
    /// Its object.
    Known(json::Value<'v>),
    /// It is in one that nobody knows: what asks for it cannot be evaluated.
    Unknown,
}

/// What expressions speak of.
pub(super) struct Bindings<'v> {
    pub(super) object: Option<json::Value<'v>>,
    pub(super) old_object: Option<json::Value<'v>>,
    pub(super) request: &'v Request<'v, 'v>,
    pub(super) params: Option<json::Value<'v>>,
    pub(super) namespace: Namespace<'v>,
}

/// What the expressions came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) denials: Vec<Denied>,
    /// Keys and values for the audit log.
    pub(super) annotations: Vec<(String, String)>,
    /// Annotations that cannot be made, and deny whatever the binding's actions are.
    pub(super) failures: Vec<String>,
}

/// A validation that does not hold, or cannot be evaluated.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Denied {
    /// The place of the validation among them.
    pub(super) index: usize,
    pub(super) message: String,
    pub(super) reason: Reason,
}

/// It got too late to evaluate any more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Late;

/// Why a group of expressions ended early.
enum Stop {
    Late,
    Spent,
}

/// As the API server words it.
const SPENT: &str = "validation failed due to running out of cost budget, no further validation rules will be run";

/// What expressions of a group came to; nothing where there is none. An error is as the API server words it.
type Results<'v> = Vec<Option<Result<Value<'v>, String>>>;

impl Program {
    /// Evaluates everything, as the API server's `Validate` does: match conditions, validations, messages, annotations, each group
    /// with its variables evaluated anew. `limit` is what validations and messages together may cost.
    pub(super) fn judge(&self, bindings: &Bindings<'_>, limit: u64, until: Instant) -> Result<Judged, Late> {
        if !self.conditions.is_empty() {
            match self.check_conditions(bindings, until)? {
                Ok(true) => {}
                Ok(false) => return Ok(Judged::default()),
                Err(message) => return Ok(self.fail(message)),
            }
        }
        let mut budget = Budget::new(limit, Some(until));
        let expressions = self.validations.iter().map(|validation| Some(&validation.expression));
        let results = match self.run(expressions, bindings, true, limit, &mut budget) {
            Ok(results) => results,
            Err(Stop::Late) => return Err(Late),
            Err(Stop::Spent) => return Ok(self.fail(SPENT.to_owned())),
        };
        let rest = limit.saturating_sub(budget.spent());
        let mut budget = Budget::new(rest, Some(until));
        let expressions = self.validations.iter().map(|validation| validation.message_expression.as_ref());
        let messages = match self.run(expressions, bindings, true, rest, &mut budget) {
            Ok(messages) => Some(messages),
            Err(Stop::Late) => return Err(Late),
            Err(Stop::Spent) => None,
        };
        let mut judged = Judged { denials: self.decide(results, messages), ..Judged::default() };
        self.annotate(bindings, limit, until, &mut judged)?;
        Ok(judged)
    }

    /// Whether all match conditions hold. One that does not counts more than one that cannot be evaluated.
    fn check_conditions(&self, bindings: &Bindings<'_>, until: Instant) -> Result<Result<bool, String>, Late> {
        let failed = |message: String| if self.ignores_failures { Ok(false) } else { Err(message) };
        let mut budget = Budget::new(CONDITIONS_LIMIT, Some(until));
        let results = match self.run(self.conditions.iter().map(Some), bindings, false, CONDITIONS_LIMIT, &mut budget) {
            Ok(results) => results,
            Err(Stop::Late) => return Err(Late),
            Err(Stop::Spent) => return Ok(failed(SPENT.to_owned())),
        };
        let results: Vec<_> = results.into_iter().flatten().collect();
        if results.iter().any(|result| matches!(result, Ok(Value::Bool(false)))) {
            return Ok(Ok(false));
        }
        let mut errors: Vec<String> = Vec::new();
        for error in results.into_iter().filter_map(Result::err) {
            if !errors.contains(&error) {
                errors.push(error);
            }
        }
        Ok(match errors.as_slice() {
            [] => Ok(true),
            [one] => failed(one.clone()),
            more => failed(format!("[{}]", more.join(", "))),
        })
    }

    fn decide(&self, results: Results<'_>, messages: Option<Results<'_>>) -> Vec<Denied> {
        let mut denials = Vec::new();
        for (index, (validation, result)) in self.validations.iter().zip(results).enumerate() {
            let failed = match (result, &messages) {
                (Some(Err(error)), _) => Some(error),
                (_, None) => Some(format!("failed messageExpression: {SPENT}")),
                (Some(Ok(Value::Bool(true))), _) => continue,
                _ => None,
            };
            match failed {
                Some(_) if self.ignores_failures => {}
                Some(message) => denials.push(Denied { index, message, reason: Reason::default() }),
                None => {
                    let made = messages.as_ref().and_then(|messages| messages.get(index)?.as_ref());
                    denials.push(Denied { index, message: validation.tell(made), reason: validation.reason });
                }
            }
        }
        denials
    }

    fn annotate(&self, bindings: &Bindings<'_>, limit: u64, until: Instant, judged: &mut Judged) -> Result<(), Late> {
        let mut budget = Budget::new(limit, Some(until));
        let expressions = self.annotations.iter().map(|(_, expression)| Some(expression));
        let results = match self.run(expressions, bindings, true, limit, &mut budget) {
            Ok(results) => results,
            Err(Stop::Late) => return Err(Late),
            Err(Stop::Spent) => {
                judged.denials.extend(self.fail(SPENT.to_owned()).denials);
                return Ok(());
            }
        };
        for ((key, expression), result) in self.annotations.iter().zip(results) {
            match result {
                Some(Ok(Value::Text(text))) => match text.trim() {
                    "" => {}
                    value => judged.annotations.push((key.to_string(), value.to_owned())),
                },
                None | Some(Ok(Value::Null)) => {}
                Some(Ok(other)) => judged.failures.push(format!(
                    "valueExpression '{}' resulted in unsupported return type: {}. Return type must be either string or null.",
                    expression.text,
                    other.type_name()
                )),
                Some(Err(_)) if self.ignores_failures => {}
                Some(Err(error)) => judged.failures.push(error),
            }
        }
        Ok(())
    }

    /// What becomes of a policy that cannot be evaluated at all.
    fn fail(&self, message: String) -> Judged {
        let denied = (!self.ignores_failures).then(|| Denied { index: 0, message, reason: Reason::default() });
        Judged { denials: denied.into_iter().collect(), ..Judged::default() }
    }

    /// Evaluates some expressions one after the other, with variables that are evaluated once at most.
    fn run<'v>(
        &'v self,
        expressions: impl Iterator<Item = Option<&'v Compiled>>,
        bindings: &'v Bindings<'v>,
        knows_namespace: bool,
        limit: u64,
        budget: &mut Budget,
    ) -> Result<Results<'v>, Stop> {
        let mut frame = Frame { program: self, bindings, knows_namespace, variables: vec![None; self.variables.len()] };
        let mut results = Vec::new();
        for expression in expressions {
            let Some(Compiled { text, expression }) = expression else {
                results.push(None);
                continue;
            };
            let result = expression.evaluate(&mut frame, budget);
            if budget.spent() > limit {
                return Err(Stop::Spent);
            }
            let result = match result {
                Err(EvalError::Deadline) => return Err(Stop::Late),
                result => result.map_err(|error| format!("expression '{text}' resulted in error: {error}")),
            };
            results.push(Some(result));
        }
        Ok(results)
    }
}

impl Validation {
    /// What is told of it where it does not hold: what its expression makes if that is fit, else its text, else the expression.
    fn tell(&self, made: Option<&Result<Value<'_>, String>>) -> String {
        let made = match made {
            Some(Ok(Value::Text(text))) => text.trim(),
            _ => "",
        };
        if !made.is_empty() && made.len() <= MAX_MESSAGE && !made.contains('\n') {
            return made.to_owned();
        }
        match self.message.trim() {
            "" => format!("failed expression: {}", self.expression.text.trim()),
            message => message.to_owned(),
        }
    }
}

/// What names mean while a group of expressions is evaluated.
struct Frame<'v> {
    program: &'v Program,
    bindings: &'v Bindings<'v>,
    /// Match conditions are evaluated without: `namespaceObject` is null in them.
    knows_namespace: bool,
    variables: Vec<Option<Result<Value<'v>, EvalError>>>,
}

impl<'v> Frame<'v> {
    fn variable(&mut self, name: &str, budget: &mut Budget) -> Option<Result<Value<'v>, EvalError>> {
        let place = *self.program.places.get(name)?;
        if let Some(known) = self.variables.get(place)? {
            return Some(known.clone());
        }
        let (_, compiled) = self.program.variables.get(place)?;
        let result = compiled.expression.evaluate(self, budget).map_err(|error| match error {
            EvalError::Deadline | EvalError::Memory => error,
            error => EvalError::failed(format!("composited variable \"{name}\" fails to evaluate: {error}")),
        });
        if let Some(slot) = self.variables.get_mut(place) {
            *slot = Some(result.clone());
        }
        Some(result)
    }
}

impl<'v> Scope<'v> for Frame<'v> {
    fn resolve(&mut self, name: &str, budget: &mut Budget) -> Option<Result<Value<'v>, EvalError>> {
        let value = |value: Option<json::Value<'v>>| Some(Ok(value.map_or(Value::Null, Value::from)));
        let bindings = self.bindings;
        match name {
            "object" => value(bindings.object),
            "oldObject" => value(bindings.old_object),
            "request" => value(Some(bindings.request.value())),
            "params" => value(bindings.params),
            "namespaceObject" => match bindings.namespace {
                _ if !self.knows_namespace => value(None),
                Namespace::None => value(None),
                Namespace::Known(namespace) => value(Some(namespace)),
                Namespace::Unknown => Some(Err(EvalError::failed(
                    "the namespace of the request is not known; give its Namespace object among the documents",
                ))),
            },
            _ => self.variable(name.strip_prefix(VARIABLES)?, budget),
        }
    }
}
