//! How a decision is told.

use portcullis_policy::{Labels, Traffic};
use portcullis_proxylib::Meta;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::judge::{Judged, Near, Verdict};
use crate::output::{Look, Output};

/// A decision with all that is to be told of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Explained<'a> {
    verdict: Verdict,
    protocol: &'a str,
    request: Map<String, Value>,
    direction: &'static str,
    endpoint: String,
    remote: String,
    port: u16,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<Rule<'a>>,
    nearest: Vec<Near>,
    notes: &'a [String],
}

#[derive(Serialize)]
struct Rule<'a> {
    name: &'a str,
    at: String,
    audit: bool,
}

impl<'a> Explained<'a> {
    pub(crate) fn new(
        protocol: &'a str,
        meta: &Meta,
        judged: &'a Judged,
        nearest: Vec<Near>,
        notes: &'a [String],
    ) -> Self {
        let field = |(name, values): &(String, Vec<String>)| {
            let value = match values.as_slice() {
                [one] => json!(one),
                many => json!(many),
            };
            (name.clone(), value)
        };
        let remote = match (meta.remote.certificate(), meta.remote.address) {
            (Some(certificate), _) => format!("{} with the certificate {certificate}", labels(&meta.remote.labels)),
            (None, Some(address)) => format!("{} at {address}", labels(&meta.remote.labels)),
            (None, None) => labels(&meta.remote.labels),
        };
        Self {
            verdict: judged.verdict,
            protocol,
            request: judged.fields.iter().map(field).collect(),
            direction: match meta.traffic {
                Traffic::Ingress => "ingress",
                Traffic::Egress => "egress",
            },
            endpoint: labels(&meta.endpoint),
            remote,
            port: meta.port,
            reason: &judged.reason,
            rule: judged.rule.as_ref().map(|rule| Rule {
                name: &rule.name,
                at: rule.place.to_string(),
                audit: rule.audit,
            }),
            nearest,
            notes,
        }
    }

    pub(crate) fn print(&self, out: &mut Output) -> anyhow::Result<()> {
        let look = match self.verdict {
            Verdict::Allowed => Look::Good,
            Verdict::Audit => Look::Doubtful,
            Verdict::Denied => Look::Bad,
        };
        let fields: Vec<_> = self.request.iter().map(|(name, value)| format!("{name}={}", plain(value))).collect();
        let verdict = out.paint(look, self.verdict.as_str());
        out.line(format_args!("{verdict}: {} {}", self.protocol, fields.join(" ")))?;
        let (from, to) = match self.direction {
            "ingress" => (&self.remote, &self.endpoint),
            _ => (&self.endpoint, &self.remote),
        };
        out.line(format_args!("  from {from} to {to}, port {} ({})", self.port, self.direction))?;
        match &self.rule {
            Some(Rule { name, at, audit }) => {
                let watched = if *audit { ", which is only watched" } else { "" };
                out.line(format_args!("  by the rule {name} at {at}{watched}"))?;
            }
            None => out.line(format_args!("  because {}", self.reason))?,
        }
        if !self.nearest.is_empty() {
            out.line("  nearest rules:")?;
        }
        for near in &self.nearest {
            out.line(format_args!("    {} {}", near.at, out.paint(Look::Faint, &near.rule)))?;
            for miss in &near.misses {
                let has = self.asked(&miss.field);
                out.line(format_args!("      {}: wants {}{has}", out.paint(Look::Strong, &miss.field), miss.wanted))?;
            }
        }
        for note in self.notes {
            out.line(format_args!("  note: {note}"))?;
        }
        Ok(())
    }

    /// What the request has where a rule wants something else, where that is plain to see.
    fn asked(&self, field: &str) -> String {
        let has = match field {
            "ports" => self.port.to_string(),
            "endpointSelector" => self.endpoint.clone(),
            "l7proto" => self.protocol.to_owned(),
            peers if peers.starts_with("from") || peers.starts_with("to") => self.remote.clone(),
            name => match self.request.get(name).or_else(|| self.similar(name)) {
                Some(value) => plain(value),
                None => return String::new(),
            },
        };
        format!(", and it is {has}")
    }

    /// `keyPrefix` is about `keys`.
    fn similar(&self, name: &str) -> Option<&Value> {
        let begins = |known: &&String| name.starts_with(known.trim_end_matches('s'));
        self.request.iter().find(|(known, _)| begins(known)).map(|(_, value)| value)
    }
}

fn labels(labels: &Labels) -> String {
    if labels.is_empty() { "reserved:world".to_owned() } else { labels.to_string() }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}
