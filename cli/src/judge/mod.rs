//! Asks policy about requests the way a host does: the bytes go through the protocol's own parser, so that what is told here
//! is what would be enforced.

mod nearest;
mod sources;
mod who;

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, anyhow};
use portcullis_parsers::REGISTRY;
use portcullis_policy::{
    CompileOptions, Describe, Fields, Mismatch, PolicyErrors, PolicyStore, RuleInfo, Snapshot, Source,
};
use portcullis_proxylib::{
    Asked, Budget, Datapath, Direction, ErasedProtocol, Instance, Level, Limits, Log, Meta, OnParseError, Sink, Status,
    Time,
};
use serde::Serialize;

pub(crate) use nearest::{Near, find_nearest};
pub(crate) use sources::{STDIN, load_sources};
pub(crate) use who::{Named, Who, load_identities, remote};

/// What is sent over a connection, in order.
pub(crate) type Conversation = Vec<(Direction, Vec<u8>)>;

/// Policies, compiled, with their texts.
pub(crate) struct Policies {
    pub(crate) sources: Vec<Source>,
    store: Arc<PolicyStore>,
}

impl Policies {
    /// Compiles policies for a listener.
    pub(crate) fn compile(sources: Vec<Source>, protocol: &str) -> Result<Self, PolicyErrors> {
        let options = CompileOptions { l7proto: Some(protocol), ..CompileOptions::default() };
        let compiled = Snapshot::compile(&sources, &REGISTRY, &options)?;
        let store = Arc::new(PolicyStore::default());
        store.store(compiled.snapshot);
        Ok(Self { sources, store })
    }
}

/// What became of one request.
#[derive(Clone, Debug)]
pub(crate) struct Judged {
    pub(crate) verdict: Verdict,
    pub(crate) reason: String,
    pub(crate) rule: Option<RuleInfo>,
    pub(crate) fields: Vec<(String, Vec<String>)>,
    /// Why the rules of the protocol do not match, whether they bear on the connection or not; nothing if policy was not asked.
    pub(crate) misses: Option<Vec<Mismatch>>,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Allowed,
    /// It would be denied, and is only watched: it passes.
    Audit,
    Denied,
}

impl Verdict {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Audit => "audit",
            Self::Denied => "denied",
        }
    }
}

/// What was seen of a connection.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) judged: Vec<Judged>,
    /// What the client received.
    pub(crate) to_client: Vec<u8>,
    /// What the server received.
    pub(crate) to_server: Vec<u8>,
    /// Why the connection was closed, for operators.
    pub(crate) closed: Option<String>,
}

/// Plays a conversation on a connection, and tells what became of its requests.
pub(crate) fn play(
    policies: &Policies,
    protocol: &'static dyn ErasedProtocol,
    config: &serde_json::Value,
    meta: Meta,
    conversation: &Conversation,
) -> anyhow::Result<Answer> {
    let limits = Limits::default();
    let witness = Arc::new(Witness { store: Arc::clone(&policies.store), seen: Mutex::default() });
    let instance = Arc::new(Instance {
        protocol: protocol.listen(config).with_context(|| format!("the configuration of `{}`", protocol.name()))?,
        policy: Arc::clone(&policies.store),
        log: Log::new(protocol.name(), Level::Requests, Arc::<Witness>::clone(&witness)),
        on_parse_error: OnParseError::Close,
        limits,
        budget: Budget::new(limits.held_bytes),
        clock: None,
        executor: None,
    });
    let connection = instance.open(meta).map_err(|refused| anyhow!("{refused}"))?;
    let mut datapath = Datapath::new(connection);
    let mut answer = Answer::default();
    for (direction, bytes) in conversation {
        let pieces: &[&[u8]] = &[bytes];
        let mut effects = datapath.receive(*direction, pieces, false, Time(0));
        let mut passed = bytes.get(..effects.passed).unwrap_or_default();
        loop {
            match direction {
                Direction::Orig => answer.to_server.extend_from_slice(passed),
                Direction::Reply => answer.to_client.extend_from_slice(passed),
            }
            answer.to_server.extend_from_slice(effects.to_server);
            answer.to_client.extend_from_slice(effects.to_client);
            let closed = effects.close.is_some();
            if closed || !effects.resume {
                break;
            }
            passed = b"";
            effects = datapath.resume(Time(0));
        }
    }
    datapath.close();
    let seen = std::mem::take(&mut *witness.seen.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(Answer { judged: seen.judged, closed: seen.error, ..answer })
}

/// The access log of a connection that is only looked at.
struct Witness {
    store: Arc<PolicyStore>,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    judged: Vec<Judged>,
    error: Option<String>,
}

impl Sink for Witness {
    fn record(&self, entry: &portcullis_proxylib::Entry<'_>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let verdict = match entry.status {
            Status::Forwarded => Verdict::Allowed,
            Status::Audited => Verdict::Audit,
            Status::Denied => Verdict::Denied,
            Status::Error => {
                seen.error.get_or_insert_with(|| entry.reason.to_owned());
                return;
            }
            Status::Reply => return,
        };
        let fields = entry.fields.map(read_fields).unwrap_or_default();
        let (rule, reason) = (entry.rule.cloned(), entry.reason.to_owned());
        seen.judged.push(Judged { verdict, reason, rule, fields, misses: None });
    }

    fn asked(&self, request: &dyn Asked) {
        let snapshot = self.store.load();
        let misses = request.explain(&snapshot, &snapshot.whole_view());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = seen.judged.last_mut() {
            last.misses = Some(misses);
        }
    }
}

fn read_fields(described: &dyn Describe) -> Vec<(String, Vec<String>)> {
    let mut fields = Collected::default();
    described.describe(&mut fields);
    fields.0
}

#[derive(Default)]
struct Collected(Vec<(String, Vec<String>)>);

impl Fields for Collected {
    fn text(&mut self, name: &'static str, value: &[u8]) {
        self.0.push((name.to_owned(), vec![show(value)]));
    }

    fn list(&mut self, name: &'static str, values: &mut dyn Iterator<Item = &[u8]>) {
        self.0.push((name.to_owned(), values.map(show).collect()));
    }
}

/// Bytes of a request for people: cut, and what is no plain text is escaped.
fn show(value: &[u8]) -> String {
    /// A key of memcached has 250.
    const MAX_SHOWN: usize = 256;
    let mut out = String::new();
    for chunk in value.get(..MAX_SHOWN).unwrap_or(value).utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                ' '..='~' => out.push(c),
                c => out.extend(c.escape_default()),
            }
        }
        chunk.invalid().iter().for_each(|byte| out.push_str(&format!("\\x{byte:02x}")));
    }
    if value.len() > MAX_SHOWN {
        out.push('…');
    }
    out
}
