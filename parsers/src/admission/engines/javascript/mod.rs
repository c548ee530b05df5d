//! Rules in JavaScript.
//!
//! A hook names a file, one that stands beside it or is an entry of a ConfigMap, or has the script itself:
//!
//! ```yaml
//! javascript: {file: pipy-rule.js}
//! ```

mod found;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use portcullis_javascript::{Fault, Files, Script};
use portcullis_policy::{Node, NodeError, Place, Value};

pub use found::Scripts;

use super::{Denial, Engine, EngineError, Named, Ruling};
use crate::admission::hooks::at::{At, Reader, shorten};
use crate::admission::review::Review;

impl Scripts {
    /// The engine of a hook: `{file, source, files, mutating}`.
    pub(super) fn engine(&self, at: &At<'_>, reader: &mut Reader) -> Option<Named> {
        if !at.check_fields(&["file", "source", "files", "mutating"], reader) {
            return None;
        }
        let mutating = at.read_field("mutating", reader).unwrap_or_default();
        let files: BTreeMap<String, String> = at.read_field("files", reader).unwrap_or_default();
        let files = files.into_iter().collect();
        let (name, text) = match (at.field("file"), at.field("source")) {
            (Some(file), None) => {
                let name: String = file.read(reader)?;
                match self.find_one(&name) {
                    Ok(text) => (name, text.clone()),
                    Err(why) => {
                        reader.refuse(&file, why);
                        return None;
                    }
                }
            }
            (None, Some(source)) => ("source".to_owned(), source.node.clone()),
            _ => {
                reader.refuse(at, "write either `file: NAME.js` or `source: |` with the script");
                return None;
            }
        };
        match compile(&name, &text, files) {
            Ok(script) => {
                for warning in script.warnings() {
                    reader.faults.warnings.push(NodeError::new(&text.place, "", warning));
                }
                Some(Named { engine: Arc::new(Rule { name: shorten(&name).into(), script }), mutating })
            }
            Err(fault) => {
                reader.faults.errors.push(NodeError::new(&place(&text, &fault), "", describe(&text, &fault)));
                None
            }
        }
    }
}

fn compile(name: &str, text: &Node, files: Files) -> Result<Script, Fault> {
    let text = match &text.value {
        Value::Text(text) => text.as_str(),
        _ => "",
    };
    Script::compile(name, text, files)
}

/// The place of a fault: of a file that is all script exactly, of a script in YAML where it begins.
fn place(text: &Node, fault: &Fault) -> Place {
    match text.place.line {
        0 => Place { line: fault.line, column: fault.column, ..text.place.clone() },
        _ => text.place.clone(),
    }
}

fn describe(text: &Node, fault: &Fault) -> String {
    match text.place.line {
        0 => fault.message.clone(),
        _ => format!("{} (line {}, column {} of `{}`)", fault.message, fault.line, fault.column, shorten(&fault.file)),
    }
}

/// A script behind a hook.
#[derive(Debug)]
struct Rule {
    name: Arc<str>,
    script: Script,
}

impl Engine for Rule {
    fn evaluate(&self, review: &Review<'_>, until: Instant) -> Result<Ruling, EngineError> {
        let failed = |error| EngineError(format!("`{}`: {error}", self.name));
        let request = review.request.raw();
        let head = format!(r#"{{"kind":"AdmissionReview","apiVersion":"{}","request":"#, review.version.as_str());
        let review = [head.as_bytes(), request, b"}"].concat();
        let answer = self.script.evaluate(&review, until).map_err(failed)?;
        let deny = |told: portcullis_javascript::Denial| {
            // The client should know at least who has denied.
            let is_told = !told.message.is_empty() || !told.reason.is_empty();
            let message = if is_told { told.message } else { format!("denied by `{}`", self.name) };
            Denial { message, reason: told.reason, code: told.code }
        };
        Ok(Ruling {
            denial: answer.denial.map(deny),
            warnings: answer.warnings,
            audit_annotations: answer.audit_annotations,
            patch: answer.patch,
            decided_by: self.name.to_string().into(),
        })
    }
}
