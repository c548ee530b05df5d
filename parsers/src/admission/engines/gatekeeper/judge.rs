//! Judges a review: which constraints are for it, and what their programs say.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use portcullis_rego::{EvalError, Value};

use super::super::super::json;
use super::super::super::review::{Operation, Review};
use super::super::EngineError;
use super::Gatekeeper;
use super::action::{Action, EnforcementPoint};
use super::config::Process;
use super::constraint::Constraint;
use super::expansion::Parent;
use super::input::{Inputs, Judged};
use super::target::{Namespace, Object, Source, Target};
use super::template::Code;

/// What is to be judged.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// A request, or an object alone.
    pub review: Subject<'a>,
    /// The Namespace that it is in, if the caller knows it; else it is looked for in the inventory.
    pub namespace: Option<json::Value<'a>>,
    /// Who asks.
    pub point: EnforcementPoint,
}

/// A request, or an object alone.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// The request of an AdmissionReview.
    Review(&'a Review<'a>),
    /// An object as it is in the cluster.
    Object(json::Value<'a>),
}

/// What is wrong with what was judged.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Whose.
    pub constraint: Arc<Constraint>,
    /// What is done about it where it was asked.
    pub actions: Vec<Action>,
    /// What is wrong, for people. It says so where it is only implied: `[Implied by pods-of-deployments] ...`.
    pub message: String,
    /// What is wrong, for programs; an empty map where the template says nothing.
    pub details: serde_json::Value,
    /// The ExpansionTemplate that brought about what is wrong.
    pub expansion: Option<Arc<str>>,
    /// What it is sorted by first.
    pub(super) enforcement_action: &'static str,
}

/// A constraint that could not be asked.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Which.
    pub constraint: Arc<Constraint>,
    /// What would have been done about a violation.
    pub actions: Vec<Action>,
    /// Why, without values of the review.
    pub message: String,
    /// The name of the object, where it is not known whether the constraint is for it at all.
    pub unmatched: Option<String>,
}

/// What constraints say.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// What is wrong, in the order in which Gatekeeper tells it.
    pub violations: Vec<Violation>,
    /// What nobody knows.
    pub faults: Vec<Fault>,
}

impl Gatekeeper {
    /// What the constraints say that are in force at a point.
    ///
    /// # Errors
    /// One of them cannot be asked. What the others say is lost; see [`Gatekeeper::find`].
    pub fn judge(&self, asked: &Asked<'_>, until: Instant) -> Result<Vec<Violation>, EngineError> {
        let findings = self.find(asked, until)?;
        match findings.faults.first() {
            None => Ok(findings.violations),
            Some(fault) => Err(EngineError(describe_faults(&findings.faults, fault))),
        }
    }

    /// What the constraints say that are in force at a point, and which of them could not be asked.
    ///
    /// # Errors
    /// What is judged cannot be read, so that nobody knows which constraints are for it.
    pub fn find(&self, asked: &Asked<'_>, until: Instant) -> Result<Findings, EngineError> {
        if self.rules.constraints.is_empty() {
            return Ok(Findings::default());
        }
        let unreadable = |why: String| EngineError(format!("the review cannot be judged by constraints: {why}"));
        let mut target = match asked.review {
            Subject::Review(review) => Target::of_review(review),
            Subject::Object(object) => Target::of_object(object),
        }
        .map_err(unreadable)?;
        let mut tape = json::Tape::new();
        let namespace = match (asked.namespace, self.inventory.find_namespace(&target.namespace_name)) {
            (Some(given), _) => Some(given),
            (None, Some(text)) => {
                Some(tape.read(text.as_bytes()).map_err(|error| EngineError(format!("a Namespace: {error}")))?)
            }
            (None, None) => None,
        };
        target.namespace = namespace.map(Namespace::of).transpose().map_err(unreadable)?;
        let mut findings = Findings::default();
        if self.excludes(asked.point, &target) {
            return Ok(findings);
        }
        let operation = match asked.review {
            Subject::Review(review) => Some(review.operation),
            Subject::Object(_) => None,
        };
        let Some(facts) = target.objects.first() else { return Ok(findings) };
        let judged = match asked.review {
            Subject::Review(review) => Judged::Review(review),
            Subject::Object(value) => Judged::Object { value, facts, operation },
        };
        let mut inputs = Inputs::new(judged, namespace);
        let mut run = Run { gatekeeper: self, point: asked.point, operation, until, findings: &mut findings };
        run.ask(&target, &mut inputs, None);
        let implied = self.find_implied(asked, &target, namespace, &mut run);
        let denied = |it: &Violation| asked.point == EnforcementPoint::Webhook && it.actions.contains(&Action::Deny);
        match implied {
            // A denial stands, whatever else could not be asked.
            Err(why) if !findings.violations.iter().any(denied) => return Err(EngineError(why)),
            _ => {}
        }
        findings.violations.sort_by(|one, other| {
            let key = |it| -> (&str, &str, &str, &str) {
                let it: &Violation = it;
                (it.enforcement_action, &it.message, it.constraint.kind(), it.constraint.name())
            };
            key(one).cmp(&key(other))
        });
        Ok(findings)
    }

    /// Whether Config leaves the namespace alone.
    fn excludes(&self, point: EnforcementPoint, target: &Target<'_>) -> bool {
        let process = match point {
            EnforcementPoint::Webhook => Process::Webhook,
            EnforcementPoint::Audit => Process::Audit,
            EnforcementPoint::Gator => return false,
        };
        target.objects.first().is_some_and(|object| {
            // What an object says of its namespace is not what it is asked for in.
            let namespace = if object.is_namespace() { &object.name } else { &target.namespace_name };
            self.rules.config.excludes(process, namespace)
        })
    }

    /// What is wrong with what the object brings about.
    fn find_implied(
        &self,
        asked: &Asked<'_>,
        target: &Target<'_>,
        namespace: Option<json::Value<'_>>,
        run: &mut Run<'_, '_>,
    ) -> Result<(), String> {
        let Some(facts) = target.objects.first() else { return Ok(()) };
        let parent = match asked.review {
            Subject::Review(review) => review.subject().map(|value| {
                let kind = &review.kind;
                let gvk = (kind.group.to_string(), kind.version.to_string(), kind.kind.to_string());
                Parent { value, gvk, name: facts.name.clone(), namespace: Cow::Borrowed(&*target.namespace_name) }
            }),
            Subject::Object(value) => Some(Parent {
                value,
                gvk: (facts.group.to_string(), facts.version.to_string(), facts.kind.to_string()),
                name: facts.name.clone(),
                namespace: Cow::Borrowed(&*target.namespace_name),
            }),
        };
        let Some(parent) = parent else { return Ok(()) };
        let resultants =
            self.rules.expansions.expand(&parent).map_err(|why| format!("unable to expand object: {why}"))?;
        for resultant in &resultants {
            let mut tape = json::Tape::new();
            let value = tape.read(resultant.document.as_bytes()).map_err(|error| error.to_string())?;
            let implied = Target {
                objects: vec![Object::of(value, None)?],
                namespace_name: target.namespace_name.clone(),
                namespace: target.namespace.clone(),
                source: Source::Generated,
            };
            let Some(facts) = implied.objects.first() else { continue };
            let judged = Judged::Object { value, facts, operation: run.operation };
            let mut inputs = Inputs::new(judged, namespace);
            run.ask(&implied, &mut inputs, Some((&resultant.template, resultant.action)));
        }
        Ok(())
    }
}

/// One question to the constraints.
struct Run<'g, 'f> {
    gatekeeper: &'g Gatekeeper,
    point: EnforcementPoint,
    operation: Option<Operation>,
    until: Instant,
    findings: &'f mut Findings,
}

impl Run<'_, '_> {
    fn ask(&mut self, target: &Target<'_>, inputs: &mut Inputs<'_, '_>, implied: Option<(&Arc<str>, Option<Action>)>) {
        let rules = &*self.gatekeeper.rules;
        for n in rules.candidates(target) {
            let Some(constraint) = rules.constraints.get(n) else { continue };
            let Some(template) = rules.templates.get(constraint.template) else { continue };
            if self.point == EnforcementPoint::Webhook
                && self.operation.is_some_and(|operation| !template.is_for(operation))
            {
                continue;
            }
            if !constraint.actions.is_at(self.point) {
                continue;
            }
            let matched = constraint.matching.matches(target);
            let unmatched = matched.is_err();
            let outcome = match matched {
                Ok(false) => continue,
                Ok(true) => self.evaluate(constraint, inputs),
                Err(why) => Err(why),
            };
            let overridden = implied.and_then(|(_, action)| action);
            let actions = overridden.map_or_else(|| constraint.actions.at(self.point), |action| vec![action]);
            match outcome {
                Ok(found) => {
                    let enforcement_action = overridden.map_or(constraint.enforcement_action(), Action::as_str);
                    self.findings.violations.extend(found.into_iter().map(|(message, details)| Violation {
                        constraint: Arc::clone(constraint),
                        actions: actions.clone(),
                        message: match implied {
                            Some((name, _)) => format!("[Implied by {name}] {message}"),
                            None => message,
                        },
                        details,
                        expansion: implied.map(|(name, _)| Arc::clone(name)),
                        enforcement_action,
                    }));
                }
                Err(message) => {
                    let name = target.objects.first().map(|object| object.name.to_string()).unwrap_or_default();
                    let unmatched = unmatched.then_some(name);
                    self.findings.faults.push(Fault {
                        constraint: Arc::clone(constraint),
                        actions,
                        message,
                        unmatched,
                    });
                }
            }
        }
    }

    /// What a constraint says: messages with details.
    fn evaluate(
        &self,
        constraint: &Constraint,
        inputs: &mut Inputs<'_, '_>,
    ) -> Result<Vec<(String, serde_json::Value)>, String> {
        let missing = || "its template is not there".to_owned();
        let template = self.gatekeeper.rules.templates.get(constraint.template).ok_or_else(missing)?;
        if Instant::now() >= self.until {
            return Err(EvalError::Deadline.to_string());
        }
        match &template.code {
            Code::Rego(code) => {
                let program = self.gatekeeper.programs.get(constraint.template).and_then(Option::as_ref);
                let input = inputs.of(code.reads_managed_fields, &constraint.parameters)?;
                let value = program.ok_or_else(missing)?.evaluate(code.rule, &input, self.until);
                read_results(value.map_err(|error| error.to_string())?)
            }
            #[cfg(feature = "cel")]
            Code::Native(code) => super::native::evaluate(code, constraint, inputs, self.until),
        }
    }
}

/// Reads what a rule gives: a set of `{"msg": text, "details": any}`. What is not so is no violation that could be told, and so
/// an error.
fn read_results(value: Option<Value>) -> Result<Vec<(String, serde_json::Value)>, String> {
    let items: Box<dyn Iterator<Item = &Value>> = match &value {
        None => return Ok(Vec::new()),
        Some(Value::Set(items)) => Box::new(items.iter()),
        Some(Value::Array(items)) => Box::new(items.iter()),
        Some(_) => return Err("its rule must be a set: `violation[{\"msg\": msg}] { ... }`".into()),
    };
    let mut found: Vec<(String, serde_json::Value)> = Vec::new();
    let (msg, details) = (Value::from("msg"), Value::from("details"));
    for item in items {
        let Value::Object(fields) = item else {
            return Err("what its rule gives must be an object with a text `msg`".into());
        };
        let message = match fields.get(&msg) {
            Some(Value::String(message)) => message.to_string(),
            Some(_) => return Err("the `msg` that its rule gives is not a text".into()),
            None => return Err("what its rule gives has no `msg`".into()),
        };
        let details = match fields.get(&details) {
            Some(details) => {
                serde_json::to_value(details).map_err(|error| format!("the `details` that its rule gives: {error}"))?
            }
            None => serde_json::Value::Object(serde_json::Map::new()),
        };
        found.push((message, details));
    }
    // Items that differ elsewhere say the same.
    if found.len() > 1 {
        let mut seen = BTreeSet::new();
        found.retain(|(message, details)| seen.insert((message.clone(), details.to_string())));
    }
    Ok(found)
}

/// What to tell of constraints that could not be asked.
pub(super) fn describe_faults(faults: &[Fault], first: &Fault) -> String {
    let others = faults.len().saturating_sub(1);
    let more = if others == 0 { String::new() } else { format!(" (and {others} more constraints cannot be asked)") };
    format!("constraint `{}`: {}{more}", first.constraint.label(), shorten_fault(&first.message))
}

/// Errors of an engine may quote what they are about.
pub(super) fn shorten_fault(message: &str) -> String {
    const MAX: usize = 400;
    if message.chars().nth(MAX).is_none() {
        return message.to_owned();
    }
    let mut out: String = message.chars().take(MAX).collect();
    out.push('…');
    out
}
