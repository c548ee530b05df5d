//! `portcullis learn`.

mod lesson;
mod observe;
mod patterns;
mod write;

use std::io::Read;
use std::path::{Path, PathBuf};

use portcullis_parsers::REGISTRY;
use portcullis_policy::{CompileOptions, Snapshot, Source};
use serde_json::json;

use self::lesson::Lesson;
use self::observe::{Observed, label_map};
use super::replay::follow::{Followed, Heard};
use super::replay::setting::{Setting, parse_labels};
use super::replay::{Reading, count};
use crate::accesslog::{self, Verdict};
use crate::exit::{Exit, Usage};
use crate::output::Output;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The protocol. May be left out for a log that has only one.
    #[arg(long, value_name = "NAME")]
    protocol: Option<String>,
    #[command(flatten)]
    setting: Setting,
    /// Names side by side at most: where there are more, they become the prefix that they share.
    #[arg(long, value_name = "N", default_value_t = 10)]
    prefix_at: usize,
    /// The name of the policy.
    #[arg(long, value_name = "NAME", default_value = "learned")]
    name: String,
    /// An access log of allowed requests (`level: requests`), or a capture; `-` is the standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(crate) fn run(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    if args.prefix_at == 0 {
        return Err(Usage("`--prefix-at 0` leaves no name: 1 at least".to_owned()).into());
    }
    if let Some(name) = &args.protocol {
        super::find_protocol(name)?;
        find_lesson(name)?;
    }
    let (observed, remarks, broken) = if args.setting.format.is_none() && begins_like_a_log(&args.file)? {
        learn_from_log(args, out)?
    } else {
        learn_from_capture(args, out)?
    };
    let (lesson, observed) = observed;
    let policy = if observed.requests == 0 {
        None
    } else {
        let head = head(args, &observed, lesson);
        Some(write::write(&observed, lesson, &args.name, &head))
    };
    for remark in &remarks {
        out.note(remark);
    }
    if out.is_json() {
        out.json(&json!({
            "file": args.file.display().to_string(),
            "protocol": lesson.protocol,
            "requests": observed.requests,
            "leftOut": observed.left_out,
            "nameless": observed.nameless,
            "keysNotShown": observed.not_shown,
            "unclear": observed.unclear,
            "remarks": remarks,
            "policy": policy,
        }))?;
    } else if let Some(policy) = &policy {
        out.raw(policy.as_bytes())?;
    }
    if let Some(broken) = broken {
        anyhow::bail!("`{}` {broken}; the policy is of what was read before", args.file.display());
    }
    if policy.is_none() {
        anyhow::bail!("`{}` has no request to learn from: {}", args.file.display(), HINT);
    }
    Ok(Exit::Well)
}

const HINT: &str =
    "a log must have been written with `level: requests`; of a capture, look at `--port` and `--protocol`";

type Learned = ((&'static Lesson, Observed), Vec<String>, Option<String>);

fn find_lesson(name: &str) -> anyhow::Result<&'static Lesson> {
    Ok(Lesson::of(name).ok_or_else(|| Usage(format!("`{name}` cannot be learned yet; `{}` can", Lesson::names())))?)
}

fn begins_like_a_log(path: &Path) -> anyhow::Result<bool> {
    // The standard input cannot be looked at and then read: a log is what is mostly sent there.
    if path.as_os_str() == "-" {
        return Ok(true);
    }
    let mut head = Vec::new();
    if let Ok(file) = std::fs::File::open(path) {
        // What cannot be read is told of when all of it is to be.
        let _ = file.take(4096).read_to_end(&mut head);
    }
    Ok(accesslog::is_log(&head))
}

fn learn_from_log(args: &Args, out: &Output) -> anyhow::Result<Learned> {
    let Some(endpoint) = &args.setting.endpoint else {
        let message = "a log does not name the endpoint that was protected: give its labels with `--endpoint`";
        return Err(Usage(message.to_owned()).into());
    };
    let endpoint = label_map(&parse_labels(endpoint)?);
    let bar = out.progress(0, "bytes");
    let mut observed: Option<(&'static Lesson, Observed)> = None;
    let mut others: Vec<String> = Vec::new();
    let mut unknown = None;
    let mut left_out = 0_u64;
    let lines = accesslog::read_file(&args.file, &bar, |record| {
        if args.protocol.as_ref().is_some_and(|wanted| **wanted != *record.protocol)
            || !matches!(record.verdict, Verdict::Forwarded | Verdict::Audit | Verdict::Denied)
            || (args.setting.port.is_some_and(|port| port != record.port))
        {
            return;
        }
        if record.verdict == Verdict::Denied {
            left_out = left_out.saturating_add(1);
            return;
        }
        if observed.is_none() {
            match find_lesson(&record.protocol) {
                Ok(lesson) => observed = Some((lesson, Observed::new(lesson, args.prefix_at))),
                Err(error) => {
                    unknown.get_or_insert(error);
                    return;
                }
            }
        }
        let Some((lesson, observed)) = &mut observed else { return };
        if lesson.protocol == &*record.protocol {
            observed.record(record, &endpoint);
        } else if others.len() < 8 && !others.iter().any(|other| **other == *record.protocol) {
            others.push(record.protocol.to_string());
        }
    })?;
    bar.finish_and_clear();
    if let Some(error) = unknown {
        return Err(error);
    }
    let Some((lesson, mut observed)) = observed else {
        anyhow::bail!("`{}` has no request to learn from: {HINT}", args.file.display());
    };
    if let Some(other) = others.first() {
        let message =
            format!("the log has `{}` and `{}`: choose one with `--protocol`", lesson.protocol, shorten(other));
        return Err(Usage(message).into());
    }
    observed.left_out = left_out;
    let mut remarks: Vec<_> = lines.remark().into_iter().collect();
    if observed.not_shown > 0 {
        remarks.push(format!(
            "of {} the log does not show all keys: the policy may deny them; a capture has them",
            count(observed.not_shown, "request")
        ));
    }
    if observed.unclear > 0 {
        remarks.push(format!(
            "of {} the log does not tell what the command did: the policy admits all that it may do; a capture tells",
            count(observed.unclear, "request")
        ));
    }
    Ok(((lesson, observed), remarks, None))
}

fn learn_from_capture(args: &Args, out: &Output) -> anyhow::Result<Learned> {
    let Some(name) = &args.protocol else {
        return Err(Usage("name the protocol of the capture with `--protocol`".to_owned()).into());
    };
    let lesson = find_lesson(name)?;
    let mut observed = Observed::new(lesson, args.prefix_at);
    observed.probes = probes(lesson)?;
    let policies = observed.probes.iter().map(|(_, probe)| probe.clone()).collect();
    let heard = Heard::new(observed);
    let reading = Reading { setting: &args.setting, protocol: lesson.protocol, file: &args.file };
    let closed = std::rc::Rc::new(std::cell::Cell::new((0_u64, 0_u64)));
    let theirs = std::rc::Rc::clone(&closed);
    let on_end = move |followed: Followed| {
        let (closes, unread) = theirs.get();
        let closes = closes.saturating_add(u64::from(followed.closes.is_some()));
        theirs.set((closes, unread.saturating_add(followed.counts.unread)));
    };
    let watched = Snapshot::default().with_glass(true);
    let (stats, broken) = reading.follow(watched, policies, &heard, on_end, out)?;
    let observed = heard.with(|observed| std::mem::replace(observed, Observed::new(lesson, args.prefix_at)));
    let mut remarks: Vec<_> = stats.losses().map(|(number, text)| format!("{number} {text}")).collect();
    if stats.packets > 0 && stats.segments == 0 {
        remarks.push("no packet is to or from that port".to_owned());
    }
    if let Some(place) =
        observed.seen.keys().find(|place| place.endpoint.keys().any(|key| key.starts_with("reserved:")))
    {
        let labels: Vec<_> = place.endpoint.keys().cloned().collect();
        let message = format!(
            "an endpoint is `{}`, which no policy selects: give its labels with `--endpoint`, or its address in the identities",
            labels.join(",")
        );
        return Err(Usage(message).into());
    }
    if observed.left_out > 0 {
        let left_out = count(observed.left_out, "request");
        remarks.push(format!("{left_out} that the parser itself refuses were left out: no policy admits them"));
    }
    let (closes, unread) = closed.get();
    if closes > 0 {
        remarks.push(format!("{} would be closed for bytes that are not of the protocol", count(closes, "connection")));
    }
    if unread > 0 {
        remarks.push(format!("{} of clients were not read as requests", count(unread, "byte")));
    }
    Ok(((lesson, observed), remarks, broken.map(|broken| broken.to_string())))
}

/// For each word that a command may need or not, a policy that lacks just that word among them.
fn probes(lesson: &Lesson) -> anyhow::Result<Vec<(&'static str, Snapshot)>> {
    let mut words: Vec<_> = ["mg", "ms", "md", "ma"].into_iter().flat_map(lesson.needs).collect();
    words.sort_unstable();
    words.dedup();
    let probe = |lacking: &&'static str| {
        let items: Vec<_> = words.iter().filter(|word| *word != lacking).map(|word| json!({"command": word})).collect();
        let rule = json!({"toPorts": [{"rules": {"l7proto": lesson.protocol, "l7": items}}]});
        let policy = json!({
            "apiVersion": "cilium.io/v2",
            "kind": "CiliumClusterwideNetworkPolicy",
            "metadata": {"name": "probe"},
            "spec": {"endpointSelector": {}, "ingress": [rule], "egress": [rule]},
        });
        let source = Source::new("probe", policy.to_string());
        let compiled = Snapshot::compile(&[source], &REGISTRY, &CompileOptions::default())?;
        Ok((*lacking, compiled.snapshot))
    };
    words.iter().map(probe).collect()
}

/// What stands above the policy.
fn head(args: &Args, observed: &Observed, lesson: &Lesson) -> Vec<String> {
    let file = args.file.file_name().unwrap_or_default().to_string_lossy();
    let mut head = vec![format!(
        "Learned from {}: {} of {}. More than {} names side by side became a prefix.",
        file.escape_default(),
        count(observed.requests, "request"),
        lesson.protocol,
        args.prefix_at
    )];
    if observed.left_out > 0 {
        head.push(format!("{} that were denied or refused were left out.", count(observed.left_out, "request")));
    }
    if observed.nameless > 0 {
        head.push(format!("{} of nobody that a rule could name were left out.", count(observed.nameless, "request")));
    }
    head.push("It admits what was seen, wanted or not: read it before you put it in force.".to_owned());
    head
}

fn shorten(text: &str) -> String {
    text.chars().take(40).flat_map(char::escape_default).collect()
}
