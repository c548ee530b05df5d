//! Suites as they are written. The schema for editors is made of these types.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail, ensure};
use portcullis_policy::{Dialect, Entry, Identities, Node, Place, PolicyErrors, Source, Value};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::judge::{Verdict, Who, load_identities};

/// What holds for all tests of a file, and the tests.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schemars(title = "PortcullisTests")]
struct Written {
    /// Policy files, and directories of them, from the place of this file.
    policies: Vec<String>,
    /// The identities file, from the place of this file: for sides that are addresses.
    #[serde(default)]
    identities: Option<String>,
    /// What the listener says of the protocol, as in the filter's configuration.
    #[serde(default)]
    config: BTreeMap<String, Plain>,
    /// What holds for each test that does not say otherwise.
    #[serde(default)]
    defaults: Defaults,
    /// The tests.
    tests: Vec<Case>,
}

/// Values of a configuration.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Plain {
    Bool(bool),
    Number(i64),
    Text(String),
    List(Vec<Plain>),
    Map(BTreeMap<String, Plain>),
}

impl From<Plain> for serde_json::Value {
    fn from(plain: Plain) -> Self {
        match plain {
            Plain::Bool(value) => value.into(),
            Plain::Number(value) => value.into(),
            Plain::Text(text) => text.into(),
            Plain::List(values) => Self::Array(values.into_iter().map(Self::from).collect()),
            Plain::Map(values) => Self::Object(values.into_iter().map(|(name, value)| (name, value.into())).collect()),
        }
    }
}

/// What a test may leave out.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Defaults {
    /// The protocol of the listener.
    pub(super) protocol: Option<String>,
    /// Who opens the connection: labels, or an address.
    pub(super) from: Option<Side>,
    /// To whom: labels, or an address.
    pub(super) to: Option<Side>,
    /// The destination port.
    pub(super) port: Option<u16>,
    /// Which of the two sides the policies protect. Default: `ingress`, the one that is connected to.
    pub(super) direction: Option<Way>,
}

/// One side of a connection.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Side {
    /// An address, whose labels the identities file gives; or labels as on a command line: `app=web,env=prod`.
    Text(String),
    /// Labels.
    Labels(BTreeMap<String, String>),
}

/// Which side the policies protect.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Way {
    Ingress,
    Egress,
}

/// One test: a request, by `request`, `text` or `hex`, and what should become of it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Case {
    /// What is shown, in a sentence.
    pub(super) name: String,
    #[serde(default)]
    pub(super) protocol: Option<String>,
    #[serde(default)]
    pub(super) from: Option<Side>,
    #[serde(default)]
    pub(super) to: Option<Side>,
    #[serde(default)]
    pub(super) port: Option<u16>,
    #[serde(default)]
    pub(super) direction: Option<Way>,
    /// The address of the other side, beside its labels.
    #[serde(default)]
    pub(super) address: Option<String>,
    /// The names in the verified certificate of the other side.
    #[serde(default)]
    pub(super) certificate: Option<Certificate>,
    /// The fields of the request, as the access log names them.
    #[serde(default)]
    pub(super) request: Option<BTreeMap<String, Values>>,
    /// What the client sends, as text with `\r`, `\n`, `\xNN`.
    #[serde(default)]
    pub(super) text: Option<String>,
    /// What the client sends, in hexadecimal digits.
    #[serde(default)]
    pub(super) hex: Option<String>,
    /// What becomes of each request: one verdict for all of them, or a list with one for each.
    pub(super) expect: Expect,
    /// The rule that decides.
    #[serde(default)]
    pub(super) rule: Option<String>,
    /// What the client is answered, as text with `\r`, `\n`, `\xNN`.
    #[serde(default)]
    pub(super) reply: Option<String>,
    /// Whether the connection is closed.
    #[serde(default)]
    pub(super) closed: Option<bool>,
}

/// Names in a certificate.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Certificate {
    /// The SPIFFE id.
    pub(super) spiffe: Option<String>,
    /// The DNS names.
    pub(super) dns_names: Vec<String>,
    /// The subject, as RFC 2253 writes it.
    pub(super) subject: Option<String>,
}

/// A value, or several.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Values {
    One(String),
    Many(Vec<String>),
}

/// One verdict, or one for each request.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Expect {
    All(Expected),
    Each(Vec<Expected>),
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Expected {
    /// It passes.
    Allowed,
    /// It is denied.
    Denied,
    /// It passes, and is logged as one that would be denied.
    Audit,
}

impl From<Expected> for Verdict {
    fn from(expected: Expected) -> Self {
        match expected {
            Expected::Allowed => Self::Allowed,
            Expected::Denied => Self::Denied,
            Expected::Audit => Self::Audit,
        }
    }
}

/// A suite, read, with all that it names.
pub(super) struct Suite {
    pub(super) name: String,
    pub(super) sources: Vec<Source>,
    pub(super) identities: Identities,
    pub(super) config: serde_json::Value,
    pub(super) tests: Vec<(Place, Case)>,
}

/// The JSON Schema of the file.
pub(super) fn schema() -> String {
    let schema =
        schemars::SchemaGenerator::new(schemars::generate::SchemaSettings::draft07()).into_root_schema_for::<Written>();
    format!("{:#}\n", schema.to_value())
}

impl Suite {
    pub(super) fn load(path: &Path) -> anyhow::Result<Self> {
        let name = path.to_string_lossy().into_owned();
        ensure!(!path.is_dir(), "`{name}` is a directory; name the suites in it, as `{name}/*.yaml`");
        let text = std::fs::read(path).with_context(|| format!("`{name}` cannot be read"))?;
        let documents = Node::load(&name, &text)?;
        let [document] = documents.as_slice() else {
            bail!("{name}: {} documents; wanted one with `policies` and `tests`", documents.len());
        };
        let places = places(document);
        let Written { policies, identities, config, defaults, tests } = document.read(Dialect::Strict)?;
        let beside = |file: &String| path.parent().unwrap_or(Path::new("")).join(file);
        let identities = match &identities {
            Some(file) => load_identities(&beside(file))?,
            None => Identities::default(),
        };
        let files: Vec<PathBuf> = policies.iter().map(beside).collect();
        let sources = Source::load(&files).map_err(|errors: PolicyErrors| anyhow!("{errors}"))?;
        let config = match config.is_empty() {
            true => serde_json::Value::Null,
            false => Plain::Map(config).into(),
        };
        let tests = places.into_iter().zip(tests.into_iter().map(|case| case.with(&defaults))).collect();
        Ok(Self { name, sources, identities, config, tests })
    }
}

/// Where each test stands.
fn places(document: &Node) -> Vec<Place> {
    let Value::Map(entries) = &document.value else { return Vec::new() };
    let tests = entries.iter().find(|entry: &&Entry| entry.key == "tests").map(|entry| &entry.value.value);
    match tests {
        Some(Value::List(items)) => items.iter().map(|item| item.place.clone()).collect(),
        _ => Vec::new(),
    }
}

impl Case {
    fn with(self, defaults: &Defaults) -> Self {
        let Defaults { protocol, from, to, port, direction } = defaults.clone();
        Self {
            protocol: self.protocol.or(protocol),
            from: self.from.or(from),
            to: self.to.or(to),
            port: self.port.or(port),
            direction: self.direction.or(direction),
            ..self
        }
    }
}

impl Side {
    pub(super) fn who(&self) -> anyhow::Result<Who> {
        match self {
            Self::Text(text) => text.parse().map_err(|why: String| anyhow!("{why}")),
            Self::Labels(labels) => Ok(Who::Labels(labels.clone())),
        }
    }
}
