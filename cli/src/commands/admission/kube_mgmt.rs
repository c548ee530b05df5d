//! `portcullis admission check --kube-mgmt-status`: what kube-mgmt writes into the annotation
//! `openpolicyagent.org/kube-mgmt-status` of a ConfigMap with policies.

use std::path::PathBuf;

use anyhow::{anyhow, bail};
use portcullis_parsers::admission::engines::rego::{ModuleStatus, Modules};
use portcullis_policy::{FILE, Node, PolicyErrors, Source, Value};
use serde_json::json;

use super::audit::objects::{find, text};
use super::audit::{documents_of, escape};
use crate::commands::check;
use crate::exit::Exit;
use crate::output::Output;

pub(super) fn run(paths: &[PathBuf], out: &mut Output) -> anyhow::Result<Exit> {
    let sources = Source::load(paths).map_err(|errors| anyhow!("{errors}"))?;
    let documents = match documents_of(&sources) {
        Ok(documents) => documents,
        Err(errors) => return check::refuse(&PolicyErrors { errors, omitted: 0 }, out),
    };
    let modules = Modules::check(&documents);
    let told: Vec<_> = documents.iter().filter_map(|document| tell(document, &modules)).collect();
    if told.is_empty() {
        bail!("there is no module in Rego in these files: ConfigMaps and files whose names end in .rego are");
    }
    if out.is_json() {
        let all: Vec<_> = told.iter().map(|(name, status)| json!({"document": name, "status": status})).collect();
        out.json(&all)?;
    } else {
        for (name, status) in &told {
            out.line(format_args!("{}: {status}", escape(name)))?;
        }
    }
    Ok(Exit::well_if(told.iter().all(|(_, status)| status["status"] == "ok")))
}

/// What a ConfigMap or a file comes to, by its name; nothing for what has no modules and no data of OPA.
fn tell(document: &Node, modules: &[ModuleStatus]) -> Option<(String, serde_json::Value)> {
    let (api_version, kind) = (text(document, &["apiVersion"]), text(document, &["kind"]));
    if (api_version, kind) == (FILE, "rego") {
        let name = document.place.file.to_string();
        let errors = modules.iter().filter(|module| module.module == name).filter_map(error).collect();
        return Some((name, status(errors)));
    }
    if (api_version, kind) != ("v1", "ConfigMap") {
        return None;
    }
    let namespace = Some(text(document, &["metadata", "namespace"])).filter(|namespace| !namespace.is_empty());
    let name = format!("{}/{}", namespace.unwrap_or("default"), text(document, &["metadata", "name"]));
    let is_of = |module: &&ModuleStatus| module.module.rsplit_once('/').is_some_and(|(of, _)| of == name);
    let errors: Vec<_> = modules.iter().filter(is_of).filter_map(error).chain(data_errors(document)).collect();
    let has_data = text(document, &["metadata", "labels", "openpolicyagent.org/data"]) == "opa";
    (has_data || modules.iter().any(|module| is_of(&module))).then(|| (name, status(errors)))
}

/// What is wrong with data for OPA, which kube-mgmt reads before OPA does.
fn data_errors(document: &Node) -> Vec<serde_json::Value> {
    let is_data = text(document, &["metadata", "labels", "openpolicyagent.org/data"]) == "opa"
        && text(document, &["metadata", "labels", "openpolicyagent.org/policy"]) != "rego";
    let Some(Value::Map(entries)) = find(document, &["data"]).map(|data| &data.value).filter(|_| is_data) else {
        return Vec::new();
    };
    let fault = |value: &Value| match value {
        Value::Text(text) => serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text)
            .err()
            .map(|error| error.to_string()),
        _ => Some("wanted text".to_owned()),
    };
    let faults =
        entries.iter().filter_map(|entry| Some(json!(format!("{}: {}", entry.key, fault(&entry.value.value)?))));
    faults.collect()
}

/// One error is told as it is, several as a list, as kube-mgmt does.
fn status(mut errors: Vec<serde_json::Value>) -> serde_json::Value {
    match errors.len() {
        0 => json!({"status": "ok"}),
        1 => json!({"status": "error", "error": errors.pop()}),
        _ => json!({"status": "error", "error": errors}),
    }
}

/// What OPA answers to a module that it cannot compile.
fn error(module: &ModuleStatus) -> Option<serde_json::Value> {
    let errors: Vec<_> = module
        .faults
        .iter()
        .map(|fault| {
            let location = json!({"file": fault.file, "row": fault.row, "col": fault.column});
            json!({"code": fault.code, "message": fault.message, "location": location})
        })
        .collect();
    (!errors.is_empty()).then(|| {
        json!({"code": "invalid_parameter", "message": "error(s) occurred while compiling module(s)", "errors": errors})
    })
}
