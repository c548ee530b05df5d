//! Loose modules in Rego, as OPA has them beside kube-mgmt: files, and ConfigMaps with policies and data.
//!
//! All modules and data are one program, and a hook asks one rule of it. `input` is the whole review.
//!
//! | document | what becomes of it |
//! |---|---|
//! | file `*.rego` | a module |
//! | ConfigMap with the label `openpolicyagent.org/policy: rego` | each entry is a module |
//! | ConfigMap with the label `openpolicyagent.org/data: opa` | each entry is JSON, at `data.<namespace>.<name>.<key>` |
//! | any other ConfigMap | entries that end in `.rego` are modules; all but `.js`, where nothing else speaks of ConfigMaps |
//! | objects of kinds that a Config or SyncSet syncs | at `data.kubernetes.<resource>.<namespace>.<name>` |

mod answer;
mod documents;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use portcullis_policy::{Node, NodeError, Place};
use portcullis_rego::{Dialect, EvalError, Fault, Input, ManagedFields, Module, Program, Value, read_json};

pub(in crate::admission) use documents::place_within;

use super::{Engine, EngineError, Named, Ruling};
use crate::admission::hooks::at::{At, Faults, Reader};
use crate::admission::review::Review;

/// The rule that is asked where a hook does not say which.
const MAIN: &str = "data.system.main";

/// All loose modules, compiled.
#[derive(Debug, Default)]
pub struct Modules {
    program: Option<Program>,
    /// Where the first of them stands.
    first: Option<Place>,
    is_named: AtomicBool,
}

/// What a module comes to, as kube-mgmt tells it.
#[derive(Debug)]
pub struct ModuleStatus {
    /// The file, and in it the entry of a ConfigMap.
    pub module: String,
    /// What is wrong with it.
    pub faults: Vec<Fault>,
}

impl Modules {
    /// Compiles the modules of documents, with their data. `claims` are the kinds that other documents speak of.
    pub(super) fn compile(documents: &[Node], claims: &[(String, String)], faults: &mut Faults) -> Self {
        let found = documents::find(documents, claims, faults);
        if found.modules.is_empty() {
            return Self::default();
        }
        match compile(found.modules.iter().map(documents::Found::module)) {
            Ok(program) => {
                let program = program.with_data(&found.data);
                faults.warnings.extend(program.open_imports().map(|fault| found.locate(fault)));
                Self {
                    program: Some(program),
                    first: found.modules.first().map(|module| module.text.place.clone()),
                    is_named: AtomicBool::new(false),
                }
            }
            Err(wrong) => {
                faults.errors.extend(wrong.iter().map(|fault| found.locate(fault)));
                Self::default()
            }
        }
    }

    /// What each module of the documents comes to.
    pub fn check(documents: &[Node]) -> Vec<ModuleStatus> {
        let found = documents::find(documents, &[], &mut Faults::default());
        let faults = compile(found.modules.iter().map(documents::Found::module)).err().unwrap_or_default();
        let status = |module: &documents::Found| ModuleStatus {
            module: module.name.clone(),
            faults: faults.iter().filter(|fault| fault.file == module.name).cloned().collect(),
        };
        found.modules.iter().map(status).collect()
    }

    /// Whether there is the rule that OPA asks by default.
    pub(super) fn has_main(&self) -> bool {
        self.program.as_ref().is_some_and(|program| program.has_rule(MAIN))
    }

    /// What is told where no hook asks a rule of the modules: they judge nothing.
    pub(super) fn unnamed(&self) -> Option<NodeError> {
        let place = self.first.as_ref().filter(|_| !self.is_named.load(Ordering::Relaxed))?;
        let message =
            "no hook asks this module or those beside it: add one with `rego: {query: data.<package>.<rule>}`";
        let default =
            if self.has_main() { "" } else { "; by itself only a rule `main` of the package `system` is asked" };
        Some(NodeError::new(place, "", format!("{message}{default}")))
    }

    /// The engine of a hook: `{query, modules, mutating}`.
    pub(super) fn engine(&self, at: &At<'_>, reader: &mut Reader) -> Option<Named> {
        if !at.check_fields(&["query", "modules", "mutating"], reader) {
            return None;
        }
        let query = at.read_field("query", reader).unwrap_or_else(|| MAIN.to_owned());
        let mutating = at.read_field("mutating", reader).unwrap_or_default();
        let program = match at.field("modules") {
            Some(own) => own_modules(&own, reader)?,
            None => match &self.program {
                Some(program) => {
                    self.is_named.store(true, Ordering::Relaxed);
                    program.clone()
                }
                None => {
                    reader.refuse(at, "there is no module in Rego beside the hook; add a file `*.rego` or a ConfigMap with one, or write `modules`");
                    return None;
                }
            },
        };
        if !program.has_rule(&query) {
            let at = at.field("query").unwrap_or_else(|| at.clone());
            reader.refuse(
                &at,
                format!("there is no rule `{query}` in the modules; write `query: data.<package>.<rule>`"),
            );
            return None;
        }
        let keep = if program.mentions_managed_fields() { ManagedFields::Keep } else { ManagedFields::Omit };
        Some(Named { engine: Arc::new(Query { program, rule: query, keep }), mutating })
    }
}

/// Modules as OPA before 1.0 reads them, or else as OPA 1.0 does.
fn compile<'m>(modules: impl Iterator<Item = Module<'m>>) -> Result<Program, Vec<Fault>> {
    let modules: Vec<_> = modules.collect();
    Program::compile(&modules, Dialect::V0)
        .or_else(|faults| Program::compile(&modules, Dialect::V1).map_err(|_| faults))
}

/// The modules that stand in a hook: texts by their names.
fn own_modules(at: &At<'_>, reader: &mut Reader) -> Option<Program> {
    let texts: BTreeMap<String, String> = at.read(reader)?;
    let modules = texts.iter().map(|(name, text)| Module { name, text });
    match compile(modules) {
        Ok(program) => Some(program),
        Err(faults) => {
            for fault in faults {
                let field = at.field(&fault.file).unwrap_or_else(|| at.clone());
                let place = place_within(field.node, fault.row, fault.column);
                reader.faults.errors.push(NodeError::new(&place, &field.path, describe(&fault)));
            }
            None
        }
    }
}

/// A fault for operators, who have its place already.
pub(in crate::admission) fn describe(fault: &Fault) -> String {
    match fault.row {
        0 => format!("{}: {}", fault.code, fault.message),
        row => format!("{}: {} (row {row}, column {} of `{}`)", fault.code, fault.message, fault.column, fault.file),
    }
}

/// One rule of a program.
#[derive(Debug)]
struct Query {
    program: Program,
    rule: String,
    keep: ManagedFields,
}

impl Engine for Query {
    fn evaluate(&self, review: &Review<'_>, until: Instant) -> Result<Ruling, EngineError> {
        let failed = |error: EvalError| EngineError(format!("`{}`: {error}", self.rule));
        let request = read_json(review.request, self.keep).map_err(failed)?;
        let input = Input::new()
            .with("apiVersion", Value::from(review.version.as_str()))
            .with("kind", Value::from("AdmissionReview"))
            .with("request", request);
        let answer = self.program.evaluate(&self.rule, &input, until).map_err(failed)?;
        let answer = answer.ok_or_else(|| EngineError(format!("`{}` is undefined", self.rule)))?;
        let ruling = answer::read(&answer).map_err(|why| EngineError(format!("`{}`: {why}", self.rule)))?;
        Ok(Ruling { decided_by: self.rule.clone().into(), ..ruling })
    }
}

impl documents::Loose {
    /// A fault with the place in the file that it stands in.
    fn locate(&self, fault: &Fault) -> NodeError {
        match self.modules.iter().find(|module| module.name == fault.file) {
            Some(module) => {
                NodeError::new(&place_within(&module.text, fault.row, fault.column), &module.path, describe(fault))
            }
            None => NodeError::new(&Place::whole(&fault.file), "", describe(fault)),
        }
    }
}
