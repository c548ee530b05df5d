//! Requests from lines of the access log.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, anyhow};
use portcullis_policy::{Certificate, Identities, Identity, KnownBy, Labels, Source, Traffic};
use portcullis_proxylib::Meta;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Args, Question, endpoint};
use crate::commands::find_protocol;
use crate::exit::Usage;
use crate::judge::Verdict;
use crate::request::{self, Asked};

/// Bytes of a log at most: to look at some lines, not to go through a day. `report` and `learn` read more.
const MAX_LOG_BYTES: u64 = 64 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    #[serde(rename = "type")]
    kind: String,
    verdict: String,
    protocol: String,
    direction: String,
    #[serde(default)]
    source: Option<SocketAddr>,
    #[serde(default)]
    destination: Option<SocketAddr>,
    port: u16,
    remote: Remote,
    #[serde(default)]
    fields: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Remote {
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    name: Option<String>,
}

/// The requests of all lines.
pub(super) fn read(
    path: &Path,
    args: &Args,
    sources: &[Source],
    identities: &Identities,
) -> anyhow::Result<Vec<Question>> {
    anyhow::ensure!(!path.is_dir(), "`{}` is a directory; name one file", path.display());
    let mut text = String::new();
    let shown = path.display();
    let read = |mut from: Box<dyn Read>, text: &mut String| from.read_to_string(text);
    let from: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin().take(MAX_LOG_BYTES))
    } else {
        Box::new(std::fs::File::open(path).with_context(|| format!("`{shown}` cannot be read"))?.take(MAX_LOG_BYTES))
    };
    read(from, &mut text).with_context(|| format!("`{shown}` cannot be read"))?;
    let mut questions = Vec::new();
    for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let at = || format!("{shown}:{}", n + 1);
        let line: Line =
            serde_json::from_str(line).map_err(|error| anyhow!("{}: not a line of the access log: {error}", at()))?;
        if line.kind == "request" {
            questions.push(line.question(args, sources, identities).with_context(at)?);
        }
    }
    if questions.is_empty() {
        return Err(Usage(format!("`{shown}` has no line about a request")).into());
    }
    Ok(questions)
}

impl Line {
    fn question(&self, args: &Args, sources: &[Source], identities: &Identities) -> anyhow::Result<Question> {
        let (traffic, ours, theirs) = match self.direction.as_str() {
            "egress" => (Traffic::Egress, self.source, self.destination),
            _ => (Traffic::Ingress, self.destination, self.source),
        };
        let protocol = find_protocol(&self.protocol)?;
        let mut notes = Vec::new();
        let mut asked = Asked::default();
        for (name, value) in &self.fields {
            match value {
                Value::String(text) => add(&mut asked, name, text, &mut notes),
                Value::Array(values) => {
                    values.iter().filter_map(Value::as_str).for_each(|text| add(&mut asked, name, text, &mut notes));
                }
                Value::Number(_) if name.ends_with("NotShown") => {
                    notes.push(format!("the log has left out some values ({name}): they are not judged here"));
                }
                _ => {}
            }
        }
        let conversation = request::compose(protocol.name(), &asked).map_err(|why| anyhow!("{why}"))?;
        // The log does not name the labels of the endpoint: it is the listener's own.
        let (option, given) = match traffic {
            Traffic::Egress => ("--from", &args.setting.from),
            Traffic::Ingress => ("--to", &args.setting.to),
        };
        let endpoint = match (given, ours) {
            (Some(who), _) => who.labels(identities)?,
            (None, Some(address)) if !identities.is_empty() => identities.identify(address.ip()).labels,
            _ => {
                let who = endpoint::guess(sources).map_err(|found| Usage(missing(option, &found)))?;
                notes.push(format!(
                    "the log does not have the labels of whom the listener protects: those that the policies select are taken; \
                     `{option}` gives others"
                ));
                who.labels(identities)?
            }
        };
        let labels = Labels::new(&self.remote.labels)?;
        let address = theirs.map(|address| address.ip());
        let mut remote = Identity { labels, address, known_by: KnownBy::Address, ..Identity::default() };
        if let Some(name) = &self.remote.name {
            remote = remote.with_certificate(certificate(name));
        }
        if remote.labels.is_empty() && self.remote.name.is_none() {
            notes.push(
                "the log has no labels of the other side: rules that select peers by labels cannot fit".to_owned(),
            );
        }
        let (source, destination) = (self.source, self.destination);
        let meta = Meta { id: 0, traffic, endpoint, endpoint_id: 0, remote, port: self.port, source, destination };
        let was = match self.verdict.as_str() {
            "forwarded" => Some(Verdict::Allowed),
            "audit" => Some(Verdict::Audit),
            "denied" => Some(Verdict::Denied),
            _ => None,
        };
        Ok(Question { protocol, meta, conversation, notes, was })
    }
}

/// What to say where the endpoint is not known.
fn missing(option: &str, found: &[String]) -> String {
    let likely: Vec<_> =
        found.iter().filter(|labels| !labels.is_empty()).map(|labels| format!("`{option} {labels}`")).collect();
    let likely = match likely.as_slice() {
        [] => format!("`{option} app=…` with its labels"),
        likely => likely.iter().take(MAX_LIKELY).cloned().collect::<Vec<_>>().join(" or "),
    };
    format!(
        "the log does not have the labels of whom the listener protects, and the policies speak of several: add {likely}, or \
         `--identities FILE` where its address is known"
    )
}

/// Selectors of policies that are proposed.
const MAX_LIKELY: usize = 4;

fn add(asked: &mut Asked, name: &str, text: &str, notes: &mut Vec<String>) {
    let (value, cut) = request::unescape_log(text);
    if cut {
        notes.push(format!("the log has cut `{name}`: what follows is not judged here"));
    }
    asked.add(name, value);
}

/// The certificate by the one name that the log has of it.
fn certificate(name: &str) -> Certificate {
    let none: Option<&str> = None;
    if name.starts_with("spiffe://") {
        Certificate::new(Some(name), none, None)
    } else if name.contains('=') {
        Certificate::new(none, none, Some(name.to_owned()))
    } else {
        Certificate::new(none, Some(name), None)
    }
}
