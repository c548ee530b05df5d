//! `portcullis admission docs`: what hooks do, for people (Markdown) and machines (JSON).

use std::fmt::Write;
use std::path::PathBuf;

use portcullis_parsers::admission::hooks::spec::{LabelSelector, Requirement, SelectorOperator, Spec, WebhookRule};
use serde_json::{Value, json};

use super::load;
use crate::commands::check;
use crate::exit::Exit;
use crate::output::Output;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Without the rules and selectors.
    #[arg(long)]
    short: bool,
    /// Only hooks for this group of clusters: those that name it in `targets`, or none.
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// Hooks: files, and directories whose .yaml, .yml and .json files are read.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

pub(crate) fn run(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    let loaded = match load::load(&args.paths)? {
        Ok(loaded) => loaded,
        Err(errors) => return check::refuse(&errors, out),
    };
    if let Some(missed) = loaded.miss_hooks(&args.paths) {
        out.note(missed);
    }
    let is_wanted = |spec: &&Spec| args.target.as_ref().is_none_or(|target| spec.is_for(target));
    let specs: Vec<&Spec> = loaded.specs().filter(is_wanted).collect();
    if out.is_json() {
        let described: Vec<Value> = specs.iter().map(|spec| describe(spec, args.short)).collect();
        out.json(&described)?;
    } else {
        out.raw(write(&specs, args.short).as_bytes())?;
    }
    Ok(Exit::Well)
}

/// What the hook says of itself.
fn describe(spec: &Spec, short: bool) -> Value {
    let mut described = json!(spec);
    if let (true, Value::Object(fields)) = (short, &mut described) {
        for field in ["rules", "namespaceSelector", "objectSelector"] {
            fields.remove(field);
        }
    }
    described
}

/// One section for each hook, after a list of them.
fn write(specs: &[&Spec], short: bool) -> String {
    let mut text =
        "# Admission hooks\n\nWritten by `portcullis admission docs`; change the hooks instead.\n".to_owned();
    for spec in specs {
        let _ = write_hook(&mut text, spec, short);
    }
    text
}

fn write_hook(text: &mut String, spec: &Spec, short: bool) -> std::fmt::Result {
    writeln!(text, "\n## {}\n\n{}\n", escape(&spec.name), escape(spec.doc.trim()))?;
    writeln!(text, "| | |\n|---|---|")?;
    let kind = if spec.mutating { "mutating" } else { "validating" };
    let mut row = |name: &str, value: &str| writeln!(text, "| {name} | {} |", value.replace('|', "\\|"));
    row("URI", &code(&spec.uri))?;
    row("kind", kind)?;
    if let Some(name) = &spec.webhook_name {
        row("webhook", &code(name))?;
    }
    for (name, value) in [
        ("failure policy", json!(spec.failure_policy)),
        ("match policy", json!(spec.match_policy)),
        ("side effects", json!(spec.side_effects)),
        ("mode", json!(spec.mode)),
        ("on error", json!(spec.on_error)),
    ] {
        row(name, value.as_str().unwrap_or_default())?;
    }
    row("timeout", &format!("{} s", spec.timeout_seconds))?;
    if let Some(policy) = spec.reinvocation_policy {
        row("reinvocation policy", json!(policy).as_str().unwrap_or_default())?;
    }
    if !spec.targets.is_empty() {
        row("targets", &codes(&spec.targets))?;
    }
    if short {
        return Ok(());
    }
    for rule in &spec.rules {
        row("rule", &say_rule(rule))?;
    }
    for (name, selector) in [("namespaces", &spec.namespace_selector), ("objects", &spec.object_selector)] {
        if let Some(selector) = selector.as_ref().filter(|selector| **selector != LabelSelector::default()) {
            row(name, &code(&say_selector(selector)))?;
        }
    }
    Ok(())
}

fn say_rule(rule: &WebhookRule) -> String {
    let groups: Vec<String> =
        rule.api_groups.iter().map(|group| if group.is_empty() { "core".to_owned() } else { group.clone() }).collect();
    let scope = match json!(rule.scope).as_str() {
        Some("*") | None => String::new(),
        Some(scope) => format!(", scope {scope}"),
    };
    format!(
        "{} of {} ({} {}){scope}",
        rule.operations.join(", ").replace('*', "\\*"),
        codes(&rule.resources),
        codes(&groups),
        codes(&rule.api_versions)
    )
}

/// As kubectl takes it.
fn say_selector(selector: &LabelSelector) -> String {
    let labels = selector.match_labels.iter().map(|(key, value)| format!("{key}={value}"));
    let requirement = |Requirement { key, operator, values }: &Requirement| match operator {
        SelectorOperator::In => format!("{key} in ({})", values.join(",")),
        SelectorOperator::NotIn => format!("{key} notin ({})", values.join(",")),
        SelectorOperator::Exists => key.clone(),
        SelectorOperator::DoesNotExist => format!("!{key}"),
    };
    labels.chain(selector.match_expressions.iter().map(requirement)).collect::<Vec<_>>().join(",")
}

fn codes(texts: &[String]) -> String {
    texts.iter().map(|text| code(text)).collect::<Vec<_>>().join(", ")
}

/// Text between backticks, however many it has itself.
fn code(text: &str) -> String {
    if text.contains('`') { format!("`` {text} ``") } else { format!("`{text}`") }
}

/// Text in which nothing is markup but what the authors of hooks use: backticks stay. Regexes of lists are full of `*` and `_`.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_code = false;
    for character in text.chars() {
        match character {
            '`' => in_code = !in_code,
            '*' | '_' | '[' | ']' | '<' | '>' | '\\' | '#' | '|' if !in_code => out.push('\\'),
            _ => {}
        }
        out.push(character);
    }
    out
}
