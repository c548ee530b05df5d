//! What the tests of this crate share: two small protocols, and short ways to say what a test needs.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot be set up has failed")]

use std::net::IpAddr;

use serde::Deserialize;

use crate::*;

/// `kv`: a command and a key. In the dialect of Cilium, what is empty is not looked at.
pub(crate) struct Kv {
    command: String,
    key_prefix: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct KvSpec {
    #[serde(default)]
    command: String,
    #[serde(default)]
    key_prefix: String,
}

pub(crate) struct KvRequest<'a> {
    pub(crate) command: &'a str,
    pub(crate) key: &'a str,
}

impl Describe for KvRequest<'_> {
    fn describe(&self, fields: &mut dyn Fields) {
        fields.text("command", self.command.as_bytes());
        fields.text("key", self.key.as_bytes());
    }
}

impl ListedRule for Kv {
    type Spec = KvSpec;
    type Request<'a> = KvRequest<'a>;

    fn compile(spec: KvSpec, _: Dialect) -> Result<Self, String> {
        match spec.command.as_str() {
            "" | "get" | "set" => Ok(Self { command: spec.command, key_prefix: spec.key_prefix }),
            other => Err(format!("there is no command `{other}`; allowed are `get`, `set`")),
        }
    }

    fn matches(&self, request: &KvRequest<'_>) -> Result<(), &'static str> {
        if !self.command.is_empty() && self.command != request.command {
            return Err("command");
        }
        if request.key.starts_with(&self.key_prefix) { Ok(()) } else { Err("keyPrefix") }
    }
}

/// `other`: a protocol that the listener does not speak.
pub(crate) struct Other;

impl ListedRule for Other {
    type Spec = std::collections::BTreeMap<String, String>;
    type Request<'a> = KvRequest<'a>;

    fn compile(_: Self::Spec, _: Dialect) -> Result<Self, String> {
        Ok(Self)
    }

    fn matches(&self, _: &KvRequest<'_>) -> Result<(), &'static str> {
        Ok(())
    }
}

pub(crate) struct TestProtocols;

static KV: TypedCompiler<RuleList<Kv>> = TypedCompiler::new();
static OTHER: TypedCompiler<RuleList<Other>> = TypedCompiler::new();

impl Protocols for TestProtocols {
    fn compiler(&self, l7proto: &str) -> Option<&dyn RuleCompiler> {
        match l7proto {
            "kv" | "memcache" => Some(&KV),
            "other" => Some(&OTHER),
            _ => None,
        }
    }

    fn names(&self) -> Vec<&str> {
        vec!["kv", "memcache", "other"]
    }
}

pub(crate) fn try_compile(texts: &[&str], options: &CompileOptions<'_>) -> Result<Compiled, PolicyErrors> {
    let sources: Vec<_> = texts.iter().enumerate().map(|(n, text)| Source::new(format!("{n}.yaml"), *text)).collect();
    Snapshot::compile(&sources, &TestProtocols, options)
}

pub(crate) fn compile(texts: &[&str]) -> Compiled {
    try_compile(texts, &CompileOptions::default()).unwrap_or_else(|errors| panic!("refused:\n{errors}"))
}

pub(crate) fn refusals(text: &str) -> String {
    match try_compile(&[text], &CompileOptions::default()) {
        Ok(_) => panic!("not refused:\n{text}"),
        Err(errors) => errors.to_string(),
    }
}

/// `a=b,k8s:c=d`, or nothing.
pub(crate) fn labels(text: &str) -> Labels {
    let pairs = text.split(',').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    Labels::new(pairs).unwrap()
}

pub(crate) fn peer(text: &str) -> Identity {
    Identity { labels: labels(text), known_by: KnownBy::Address, ..Identity::default() }
}

pub(crate) fn address(text: &str) -> Identity {
    Identity::unknown(Some(text.parse::<IpAddr>().unwrap()))
}

/// A connection and a request on it, judged.
pub(crate) struct Ask<'a> {
    pub(crate) endpoint: &'a str,
    pub(crate) traffic: Traffic,
    pub(crate) port: u16,
    pub(crate) remote: Identity,
}

impl Ask<'_> {
    pub(crate) fn judge(&self, snapshot: &Snapshot, command: &str, key: &str) -> Decision {
        let endpoint = labels(self.endpoint);
        let flow = Flow { traffic: self.traffic, endpoint: &endpoint, port: self.port, remote: &self.remote };
        snapshot.judge::<RuleList<Kv>>(&snapshot.view(&flow), &KvRequest { command, key })
    }

    pub(crate) fn allows(&self, snapshot: &Snapshot, command: &str, key: &str) -> bool {
        self.judge(snapshot, command, key).outcome == Outcome::Allow
    }
}
