//! A connection as data: what is sent each way, and what must be seen.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Deserialize;
use serde_json::Value;

use crate::instance::OnParseError;
use crate::limits::Limits;

/// One connection: policy, bytes each way, and what must come of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[non_exhaustive]
pub struct Scenario {
    /// What is shown, in a sentence.
    pub name: String,
    /// The protocol's name.
    pub protocol: String,
    /// What the listener says of the protocol.
    #[serde(default)]
    pub config: Value,
    /// One policy object, or a list of them.
    pub policy: Value,
    /// The labels of the endpoint that the policy protects.
    #[serde(default)]
    pub endpoint: BTreeMap<String, String>,
    /// The labels of the other side.
    #[serde(default)]
    pub remote: BTreeMap<String, String>,
    /// The destination port.
    pub port: u16,
    /// Whether the endpoint opened the connection itself.
    #[serde(default)]
    pub egress: bool,
    /// What becomes of the connection when its bytes cannot be framed.
    #[serde(default)]
    pub on_parse_error: OnParseError,
    /// Bounds other than the defaults.
    #[serde(default)]
    pub limits: Limits,
    /// What happens, in order.
    pub steps: Vec<Step>,
    /// What must be seen.
    pub expect: Expect,
}

/// One thing that happens.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub enum Step {
    /// The client sends.
    Client(Bytes),
    /// The server sends.
    Server(Bytes),
    /// The client closes its side.
    ClientEnd(()),
    /// The server closes its side.
    ServerEnd(()),
}

/// Bytes: text whose characters up to U+00FF stand for bytes, or a list of texts and repetitions.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(try_from = "BytesSpec")]
pub struct Bytes(pub Vec<u8>);

#[derive(Deserialize)]
#[serde(untagged)]
enum BytesSpec {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Part {
    Text(String),
    Repeat { repeat: String, times: usize },
}

impl TryFrom<BytesSpec> for Bytes {
    type Error = String;

    fn try_from(spec: BytesSpec) -> Result<Self, String> {
        let parts = match spec {
            BytesSpec::Text(text) => vec![Part::Text(text)],
            BytesSpec::Parts(parts) => parts,
        };
        let mut bytes = Vec::new();
        for part in parts {
            match part {
                Part::Text(text) => bytes.extend(latin1(&text)?),
                Part::Repeat { repeat, times } => bytes.extend(latin1(&repeat)?.repeat(times)),
            }
        }
        Ok(Self(bytes))
    }
}

fn latin1(text: &str) -> Result<Vec<u8>, String> {
    let byte = |c: char| u8::try_from(u32::from(c)).map_err(|_| format!("`{c}` is no byte: use U+0000 to U+00FF"));
    text.chars().map(byte).collect()
}

/// What must be seen from outside.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[non_exhaustive]
pub struct Expect {
    /// What the server receives in all.
    pub to_server: Bytes,
    /// What the client receives in all.
    pub to_client: Bytes,
    /// Why the connection is closed by us, or nothing if it is not.
    pub closed: Option<String>,
    /// The denials and errors in the access log, in order; with `logRequests` also what passes.
    pub log: Vec<LogLine>,
    /// Whether `log` also lists the requests that pass.
    pub log_requests: bool,
    /// Whether the access log is not looked at.
    pub ignore_log: bool,
}

/// One line of the access log, as far as a scenario looks at it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[non_exhaustive]
pub struct LogLine {
    /// `forwarded`, `denied`, `audit` or `error`.
    pub verdict: String,
    /// The rule, where the scenario names one.
    #[serde(default)]
    pub rule: Option<String>,
    /// The reason, where the scenario names one.
    #[serde(default)]
    pub reason: Option<String>,
    /// The fields that the scenario names; others may be there.
    #[serde(default)]
    pub fields: BTreeMap<String, Value>,
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// What the server received.
    pub to_server: Vec<u8>,
    /// What the client received.
    pub to_client: Vec<u8>,
    /// Why the host closed the connection, if it did.
    pub closed: Option<String>,
    /// The lines of the access log, as JSON.
    pub log: Vec<Value>,
}

/// How the bytes of each step reach the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// In one piece.
    Whole,
    /// One byte an event.
    Bytewise,
    /// In several events, cut at random from a seed.
    Random(u64),
    /// In several events of several pieces, cut at random from a seed.
    Pieces(u64),
}

impl Scenario {
    /// Reads a scenario from JSON.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(json: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json)
    }

    /// The policy as text that the policy loader reads.
    pub fn policy_text(&self) -> String {
        match &self.policy {
            Value::Array(objects) => {
                objects.iter().fold(String::new(), |text, object| text + "---\n" + &object.to_string() + "\n")
            }
            object => object.to_string(),
        }
    }

    /// Compares what was seen with what is expected.
    ///
    /// # Errors
    /// The first difference.
    pub fn check(&self, seen: &Observed) -> Result<(), String> {
        let expect = &self.expect;
        compare("the server received", &seen.to_server, &expect.to_server.0)?;
        compare("the client received", &seen.to_client, &expect.to_client.0)?;
        if seen.closed != expect.closed {
            return Err(format!("closed with {:?}, expected {:?}", seen.closed, expect.closed));
        }
        if expect.ignore_log {
            return Ok(());
        }
        let looked_at = |line: &&Value| {
            let verdict = line["verdict"].as_str().unwrap_or_default();
            verdict != "reply" && (expect.log_requests || verdict != "forwarded")
        };
        let seen: Vec<_> = seen.log.iter().filter(looked_at).collect();
        if seen.len() != expect.log.len() {
            return Err(format!("{} log lines, expected {}: {seen:?}", seen.len(), expect.log.len()));
        }
        for (line, wanted) in seen.into_iter().zip(&expect.log) {
            wanted.check(line)?;
        }
        Ok(())
    }
}

impl LogLine {
    fn check(&self, line: &Value) -> Result<(), String> {
        let differs = |name: &str, wanted: &Value| {
            let found = if name == "fields" { &line["fields"] } else { &line[name] };
            (found != wanted).then(|| format!("log: `{name}` is {found}, expected {wanted} in {line}"))
        };
        let text = |text: &String| Value::from(text.as_str());
        let rule = self.rule.as_ref().and_then(|rule| differs("rule", &text(rule)));
        let reason = self.reason.as_ref().and_then(|reason| differs("reason", &text(reason)));
        let field = self.fields.iter().find_map(|(name, wanted)| {
            let found = &line["fields"][name];
            (found != wanted).then(|| format!("log: field `{name}` is {found}, expected {wanted} in {line}"))
        });
        match differs("verdict", &text(&self.verdict)).or(rule).or(reason).or(field) {
            Some(difference) => Err(difference),
            None => Ok(()),
        }
    }
}

impl Cut {
    /// Cuts bytes into events of pieces.
    pub fn apply(self, bytes: &[u8]) -> Vec<Vec<&[u8]>> {
        match self {
            Self::Whole => vec![vec![bytes]],
            // An event without bytes is one all the same.
            _ if bytes.is_empty() => vec![vec![bytes]],
            Self::Bytewise => bytes.chunks(1).map(|byte| vec![byte]).collect(),
            Self::Random(seed) => split(bytes, &mut Dice(seed)).into_iter().map(|event| vec![event]).collect(),
            Self::Pieces(seed) => {
                let mut dice = Dice(seed.wrapping_add(0x5eed));
                split(bytes, &mut dice).into_iter().map(|event| split(event, &mut dice)).collect()
            }
        }
    }
}

fn split<'a>(mut bytes: &'a [u8], dice: &mut Dice) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    // Mostly small parts, some large ones; and never so many that a large value takes for ever.
    let scale = bytes.len() / 64 + 8;
    while !bytes.is_empty() {
        let most = if dice.roll(4) == 0 { scale * 8 } else { scale };
        let (part, rest) = bytes.split_at((1 + dice.roll(most)).min(bytes.len()));
        parts.push(part);
        bytes = rest;
    }
    parts
}

/// SplitMix64 (Steele, Lea, Flood 2014): repeatable from its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % sides as u64) as usize
    }
}

fn compare(what: &str, seen: &[u8], expected: &[u8]) -> Result<(), String> {
    if seen == expected {
        return Ok(());
    }
    let at = seen.iter().zip(expected).take_while(|(a, b)| a == b).count();
    let show = |bytes: &[u8]| {
        let from = at.saturating_sub(20).min(bytes.len());
        let mut text = String::new();
        for byte in bytes[from..].iter().take(60) {
            let _ = write!(text, "{}", byte.escape_ascii());
        }
        text
    };
    Err(format!(
        "{what} {} bytes, expected {}; at byte {at}: `{}`, expected `{}`",
        seen.len(),
        expected.len(),
        show(seen),
        show(expected)
    ))
}
