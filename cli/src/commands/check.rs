//! `portcullis check`.

mod fix;

use std::collections::HashSet;
use std::path::PathBuf;

use clap::ValueEnum;
use portcullis_parsers::REGISTRY;
use portcullis_policy::lint::{self, Finding, Host, Lint};
use portcullis_policy::{CompileOptions, NodeError, PolicyErrors, Source};
use serde::Serialize;

use super::replay::count;
use crate::exit::{Exit, Usage};
use crate::judge::{STDIN, load_sources};
use crate::output::{Look, Output};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The protocol of the listener that the policies are for: rules for other protocols are warned of.
    #[arg(long, value_name = "NAME")]
    protocol: Option<String>,
    /// The host that is to enforce the policies: rules that it cannot enforce are warned of.
    #[arg(long, value_name = "HOST")]
    host: Option<HostName>,
    /// Ends with status 1 if there is any warning. Notes do not count.
    #[arg(long)]
    deny_warnings: bool,
    /// Writes the better form into the files, where it is certain: never one that admits more.
    #[arg(long)]
    fix: bool,
    /// Shows what `--fix` would change, and changes nothing.
    #[arg(long, conflicts_with = "fix")]
    diff: bool,
    /// Files, directories whose .yaml, .yml and .json files are read, and for `-` the standard input.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// The hosts that there are.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum HostName {
    /// Stock Envoy, with the dynamic module.
    Envoy,
    /// Cilium's Envoy, with libcilium.so.
    Libcilium,
    /// A proxy-wasm host.
    Wasm,
}

impl HostName {
    const fn traits(self) -> Host {
        match self {
            Self::Envoy => Host { name: "envoy", certificates: true, strict: true, answers: None },
            // Cilium hands over its own objects, with numbers of identities, and nothing of TLS.
            Self::Libcilium => Host { name: "libcilium", certificates: false, strict: false, answers: None },
            // Denials are answered where a request of the protocol can stand in for the denied one, and where the filter is
            // one for HTTP.
            Self::Wasm => Host {
                name: "wasm",
                certificates: true,
                strict: true,
                answers: Some(&["memcache", "cassandra", "admission"]),
            },
        }
    }
}

pub(crate) fn run(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    if let Some(name) = &args.protocol {
        super::find_protocol(name)?;
    }
    let host = args.host.map(HostName::traits);
    let options = CompileOptions { l7proto: args.protocol.as_deref(), ..CompileOptions::default() };
    let check = |sources: &[Source]| lint::check(sources, &REGISTRY, &options, host.as_ref());
    if args.fix && args.paths.iter().any(|path| path.as_os_str() == STDIN) {
        return Err(
            Usage("`--fix` cannot write to the standard input; `--diff` shows what it would do".to_owned()).into()
        );
    }
    let sources = load_sources(&args.paths, out)?;
    let found = match check(&sources) {
        Ok(found) => found,
        Err(errors) => return refuse(&errors, out),
    };
    if args.fix || args.diff {
        let fixes = fix::prepare(&sources, &found, &check);
        return fix::run(&fixes, args.fix, out);
    }
    report(sources.len(), &found, out)?;
    let warned = found.iter().any(|finding| !finding.lint.is_note());
    Ok(Exit::well_if(!(args.deny_warnings && warned)))
}

/// What is wrong, so that no listener would load it.
pub(super) fn refuse(errors: &PolicyErrors, out: &mut Output) -> anyhow::Result<Exit> {
    if out.is_json() {
        let errors: Vec<_> = errors.errors.iter().map(Fault::from).collect();
        out.json(&serde_json::json!({"ok": false, "errors": errors, "findings": []}))?;
    } else {
        for error in &errors.errors {
            out.error(&error.clone().into());
        }
        if errors.omitted > 0 {
            out.note(format!("and {} more errors", errors.omitted));
        }
    }
    Ok(Exit::Found)
}

#[derive(Serialize)]
struct Fault<'a> {
    file: &'a str,
    line: u32,
    column: u32,
    path: &'a str,
    message: &'a str,
}

impl<'a> From<&'a NodeError> for Fault<'a> {
    fn from(NodeError { place, path, message }: &'a NodeError) -> Self {
        Self { file: &place.file, line: place.line, column: place.column, path, message }
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    lint: &'static str,
    level: &'static str,
    file: &'a str,
    line: u32,
    column: u32,
    rule: &'a str,
    message: &'a str,
    why: &'static str,
    better: &'a str,
    fixable: bool,
}

impl<'a> From<&'a Finding> for Shown<'a> {
    fn from(Finding { lint, place, rule, message, better, fix, .. }: &'a Finding) -> Self {
        Self {
            lint: lint.name(),
            level: level(*lint).0,
            file: &place.file,
            line: place.line,
            column: place.column,
            rule,
            message,
            why: lint.why(),
            better,
            fixable: fix.is_some(),
        }
    }
}

const fn level(lint: Lint) -> (&'static str, Look) {
    if lint.is_note() { ("note", Look::Strong) } else { ("warning", Look::Doubtful) }
}

pub(super) fn report(files: usize, found: &[Finding], out: &mut Output) -> anyhow::Result<()> {
    if out.is_json() {
        let findings: Vec<_> = found.iter().map(Shown::from).collect();
        return out.json(&serde_json::json!({"ok": true, "files": files, "errors": [], "findings": findings}));
    }
    let mut explained = HashSet::new();
    for finding in found {
        let (level, look) = level(finding.lint);
        let lint = out.paint(Look::Faint, format_args!("[{}]", finding.lint));
        out.line(format_args!("{}: {finding} {lint}", out.paint(look, level)))?;
        // The message of a protocol's document says it all.
        if finding.lint == Lint::Document {
            continue;
        }
        if explained.insert(finding.lint) {
            out.line(format_args!("    why: {}", finding.lint.why()))?;
        }
        if !finding.better.is_empty() {
            let how = if finding.fix.is_some() { " (`--fix` writes it)" } else { "" };
            out.line(format_args!("    better: {}{how}", finding.better))?;
        }
    }
    let notes = found.iter().filter(|finding| finding.lint.is_note()).count();
    let shown = if notes == 0 { String::new() } else { format!(", {}", count(notes as u64, "note")) };
    let warnings = (found.len() - notes) as u64;
    out.line(format_args!("ok: {}, {}{shown}", count(files as u64, "file"), count(warnings, "warning")))
}
