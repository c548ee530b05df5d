//! `portcullis report`.

mod chart;
mod gather;
mod html;
mod page;
mod rules;

use std::path::PathBuf;

use anyhow::Context;
use serde_json::json;

use self::gather::Gathered;
use self::page::Page;
use self::rules::Unused;
use crate::accesslog;
use crate::exit::Exit;
use crate::output::Output;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Policy files, and directories of them: shows which of their rules were never used.
    #[arg(long, value_name = "PATH")]
    policy: Vec<PathBuf>,
    /// Where the page goes. Else it is written to stdout.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// What stands above it.
    #[arg(long, value_name = "TEXT", default_value = "Access report")]
    title: String,
    /// Access logs; `-` is the standard input.
    #[arg(required = true, value_name = "LOG")]
    logs: Vec<PathBuf>,
}

pub(crate) fn run(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    let bar = out.progress(0, "bytes");
    let mut gathered = Gathered::default();
    let mut remarks = Vec::new();
    for log in &args.logs {
        let lines = accesslog::read_file(log, &bar, |record| gathered.add(record))?;
        remarks.extend(lines.remark().map(|remark| format!("{}: {remark}", log.display())));
    }
    bar.finish_and_clear();
    for remark in &remarks {
        out.note(remark);
    }
    if gathered.sums.all() == 0 && gathered.errors == 0 {
        let names: Vec<_> = args.logs.iter().map(|log| log.display().to_string()).collect();
        anyhow::bail!("`{}` has no record of a request: is it an access log of ours?", names.join("`, `"));
    }
    let unused = if args.policy.is_empty() { None } else { Some(Unused::find(&args.policy, &gathered)?) };
    if out.is_json() && args.to.is_none() {
        out.json(&facts(&gathered, unused.as_ref(), &remarks))?;
        return Ok(Exit::Well);
    }
    let page = Page { title: &args.title, gathered: &gathered, unused: unused.as_ref(), remarks: &remarks }.write();
    match &args.to {
        Some(path) => {
            std::fs::write(path, page).with_context(|| format!("`{}` cannot be written", path.display()))?;
            if out.is_json() {
                out.json(&facts(&gathered, unused.as_ref(), &remarks))?;
            } else {
                let requests = super::replay::count(gathered.sums.all(), "request");
                out.line(format!("{}: {requests}, {} denied", path.display(), gathered.sums.denied))?;
            }
        }
        None => out.raw(page.as_bytes())?,
    }
    Ok(Exit::Well)
}

/// The same as the page, for machines.
fn facts(gathered: &Gathered, unused: Option<&Unused>, remarks: &[String]) -> serde_json::Value {
    let text = |id: &gather::Id| gathered.texts.text(*id);
    let mut uses: Vec<_> = gathered.uses.kinds.iter().collect();
    uses.sort_by_key(|((who, protocol, command), _)| (text(who), text(protocol), text(command)));
    let uses = uses.into_iter().map(|((who, protocol, command), sums)| {
        json!({
            "who": text(who), "protocol": text(protocol), "command": text(command),
            "allowed": sums.allowed, "audited": sums.audited, "denied": sums.denied,
        })
    });
    let mut denials: Vec<_> = gathered.denials.kinds.iter().collect();
    denials.sort_by_key(|((who, request, why, watched), count)| {
        (std::cmp::Reverse(**count), text(request), text(who), text(why), *watched)
    });
    let denials = denials.into_iter().map(|((who, request, why, watched), count)| {
        json!({
            "who": text(who), "request": text(request), "why": text(why), "count": count,
            "verdict": if *watched { "audit" } else { "denied" },
        })
    });
    let mut rules: Vec<_> = gathered.rules.kinds.iter().map(|(rule, count)| (text(rule), *count)).collect();
    rules.sort_unstable();
    json!({
        "from": gathered.span.map(|(first, _)| first.to_string()),
        "to": gathered.span.map(|(_, last)| last.to_string()),
        "requests": gathered.sums.all(),
        "allowed": gathered.sums.allowed,
        "audited": gathered.sums.audited,
        "denied": gathered.sums.denied,
        "closed": gathered.errors,
        "uses": uses.collect::<Vec<_>>(),
        "denials": denials.collect::<Vec<_>>(),
        "rules": rules.into_iter().map(|(rule, count)| json!({"rule": rule, "count": count})).collect::<Vec<_>>(),
        "unused": unused.map(|unused| {
            unused.rules.iter().map(|(rule, at)| json!({"rule": rule, "at": at})).collect::<Vec<_>>()
        }),
        "remarks": remarks,
    })
}
