//! Envoy's configuration and who may call: the sample of the repository, with the places of the layout.

use anyhow::bail;
use serde_json::{Value, json};

use super::{Callers, Plan};
use crate::commands::admission::yaml;

/// The sample, which the tests run as it is.
const SAMPLE: &str = include_str!("../../../../../envoy-config/admission.yaml");

/// The port that Envoy listens on in pods.
pub(super) const PORT: u16 = 8443;

/// The label by which policies name whoever the listener stands for.
const ENDPOINT: &str = "portcullis-admission";

/// What differs from one layout to another.
pub(super) struct Places<'a> {
    pub(super) address: &'a str,
    pub(super) port: u16,
    /// The policy that says who may call.
    pub(super) callers: &'a str,
    /// The status file.
    pub(super) status: &'a str,
}

/// The configuration. The access log goes to stderr, where containers have theirs.
pub(super) fn configure(plan: &Plan<'_>, places: &Places<'_>) -> anyhow::Result<String> {
    let callers = match plan.args.callers {
        Callers::Authenticated => "authenticated",
        Callers::Anonymous => "anonymous",
    };
    let mut text = from_first_key(SAMPLE).to_owned();
    for (from, to) in [
        (
            "address: 0.0.0.0, port_value: 8443",
            format!("address: {}, port_value: {}", json!(places.address), places.port),
        ),
        ("\"callers\": \"authenticated\"", format!("\"callers\": \"{callers}\"")),
        ("\"/etc/portcullis/admission-callers.yaml\"", json!(places.callers).to_string()),
        ("\"/run/portcullis-status.json\"", json!(places.status).to_string()),
        ("\"path\": \"/var/log/portcullis.jsonl\"", "\"path\": \"stderr\"".to_owned()),
    ] {
        if text.matches(from).count() != 1 {
            bail!("the sample has `{from}` not once: it and this program are of different versions");
        }
        text = text.replace(from, &to);
    }
    Ok(text)
}

/// Without what the sample says of itself.
fn from_first_key(text: &str) -> &str {
    let begins = |line: &str| !line.starts_with('#') && !line.trim().is_empty();
    let skipped: usize = text.split_inclusive('\n').take_while(|line| !begins(line)).map(str::len).sum();
    text.get(skipped..).unwrap_or(text)
}

/// The policy that lets the API server call, and nobody else.
pub(super) fn callers(plan: &Plan<'_>) -> String {
    let (name, from) = match (plan.args.callers, &plan.args.token_file) {
        (Callers::Authenticated, None) => {
            ("the API server, by its certificate", json!({"fromPeers": [{"dnsName": plan.args.client_name}]}))
        }
        // Tokens are known to the filter, not to policy: who has none is refused before.
        (Callers::Authenticated, Some(_)) => ("whoever has a token", json!({"fromEntities": ["all"]})),
        (Callers::Anonymous, _) => ("anybody", json!({"fromEntities": ["all"]})),
    };
    let mut rule = json!({
        "name": name,
        "toPorts": [{
            "ports": [{"port": PORT.to_string(), "protocol": "TCP"}],
            "rules": {"l7proto": "admission", "l7": [{"pathPrefix": "/"}]},
        }],
    });
    if let (Value::Object(rule), Value::Object(from)) = (&mut rule, from) {
        rule.extend(from);
    }
    yaml::write(&json!({
        "apiVersion": "portcullis.dev/v1",
        "kind": "L7Policy",
        "metadata": {"name": "admission-callers"},
        "spec": {"endpointSelector": {"matchLabels": {"app": ENDPOINT}}, "ingress": [rule]},
    }))
}
