//! `portcullis explain`.

mod endpoint;
mod logged;
mod print;

use std::net::IpAddr;
use std::path::PathBuf;

use portcullis_policy::{Identities, Traffic};
use portcullis_proxylib::{ErasedProtocol, Meta};

use crate::exit::{Exit, Usage};
use crate::judge::{self, Conversation, Named, Policies, Verdict, Who, load_sources};
use crate::output::Output;
use crate::request::{self, Asked};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(super) setting: Setting,
    /// The protocol of the listener. Of a line of the access log it is known.
    #[arg(long, value_name = "NAME")]
    protocol: Option<String>,
    /// A field of the request, as the access log names it: `command=get`, `key=a` (again for several), `cmd=READ`.
    #[arg(short, long = "field", value_name = "NAME=VALUE", conflicts_with_all = ["text", "hex", "log"])]
    fields: Vec<String>,
    /// The bytes that the client sends, as text with `\r`, `\n`, `\xNN`.
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["hex", "log"])]
    text: Option<String>,
    /// The bytes that the client sends, in hexadecimal digits.
    #[arg(long, value_name = "DIGITS", conflicts_with = "log")]
    hex: Option<String>,
    /// Lines of the access log, in a file or (`-`) from the standard input: each request of them is judged by the policies.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// How many of the nearest misses are shown.
    #[arg(long, value_name = "N", default_value = "3")]
    nearest: usize,
}

/// Who talks to whom, by which policies.
#[derive(clap::Args)]
pub(crate) struct Setting {
    /// Policy files, and directories of them.
    #[arg(short, long = "policy", value_name = "PATH", required = true)]
    policies: Vec<PathBuf>,
    /// Who opens the connection: labels (`app=web,env=prod`) or an address.
    #[arg(long, value_name = "WHO")]
    from: Option<Who>,
    /// To whom it is opened: labels or an address.
    #[arg(long, value_name = "WHO")]
    to: Option<Who>,
    /// The destination port.
    #[arg(long, value_name = "NUMBER")]
    port: Option<u16>,
    /// Which of the two sides the policies protect: with `ingress` the one that is connected to.
    #[arg(long, value_name = "WAY", default_value = "ingress")]
    direction: Way,
    /// The identities file, for addresses.
    #[arg(long, value_name = "FILE")]
    identities: Option<PathBuf>,
    /// The address of the other side, beside its labels: for rules about networks.
    #[arg(long, value_name = "ADDRESS")]
    address: Option<IpAddr>,
    /// The SPIFFE id in the verified certificate of the other side.
    #[arg(long, value_name = "ID")]
    spiffe: Option<String>,
    /// A DNS name in that certificate.
    #[arg(long, value_name = "NAME")]
    dns_name: Vec<String>,
    /// The subject of that certificate.
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// What the listener says of the protocol, as in the filter's configuration.
    #[arg(long, value_name = "JSON")]
    config: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Way {
    /// Towards the endpoint that the policies protect.
    Ingress,
    /// From it.
    Egress,
}

/// One request, or several, on one connection.
struct Question {
    protocol: &'static dyn ErasedProtocol,
    meta: Meta,
    conversation: Conversation,
    /// What should be known of the question besides.
    notes: Vec<String>,
    /// What became of it then.
    was: Option<Verdict>,
}

pub(crate) fn run(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    let sources = load_sources(&args.setting.policies, out)?;
    let identities = match &args.setting.identities {
        Some(path) => judge::load_identities(path)?,
        None => Identities::default(),
    };
    let config = match &args.setting.config {
        Some(text) => serde_json::from_str(text).map_err(|error| Usage(format!("`--config` is not JSON: {error}")))?,
        None => serde_json::Value::Null,
    };
    let questions = match &args.log {
        Some(path) => logged::read(path, args, &sources, &identities)?,
        None => vec![args.question(&identities)?],
    };
    let mut all_pass = true;
    let mut shown = Vec::new();
    for Question { protocol, meta, conversation, mut notes, was } in questions {
        let policies = Policies::compile(sources.clone(), protocol.name())?;
        let answer = judge::play(&policies, protocol, &config, meta.clone(), &conversation)?;
        if answer.judged.is_empty() {
            let why = answer.closed.as_deref().unwrap_or("they are not all of it");
            return Err(Usage(format!("the bytes hold no request of `{}`: {why}", protocol.name())).into());
        }
        if let (Some(was), [judged]) = (was, answer.judged.as_slice())
            && was != judged.verdict
        {
            notes.push(format!(
                "the log says `{}`: then other policies were in force, or something of the above is not as it was",
                was.as_str()
            ));
        }
        for judged in &answer.judged {
            all_pass &= judged.verdict != Verdict::Denied;
            let near = match judged.verdict {
                Verdict::Allowed => Vec::new(),
                _ => judge::find_nearest(&policies, &meta.flow(), protocol.name(), judged, args.nearest)?,
            };
            let explained = print::Explained::new(protocol.name(), &meta, judged, near, &notes);
            if out.is_json() {
                shown.push(serde_json::to_value(&explained)?);
            } else {
                explained.print(out)?;
            }
        }
        if let Some(why) = answer.closed.as_ref().filter(|_| !out.is_json()) {
            out.line(format_args!("then the connection is closed: {why}"))?;
        }
    }
    if out.is_json() {
        out.json(&serde_json::json!({"requests": shown}))?;
    }
    Ok(Exit::well_if(all_pass))
}

impl Args {
    fn question(&self, identities: &Identities) -> anyhow::Result<Question> {
        let name = self
            .protocol
            .as_deref()
            .ok_or_else(|| Usage("`--protocol` is missing: what the listener speaks".to_owned()))?;
        let protocol = super::find_protocol(name)?;
        let conversation = match (&self.text, &self.hex) {
            (Some(text), _) => request::sent(request::unescape(text).map_err(Usage)?),
            (None, Some(hex)) => request::sent(request::parse_hex(hex).map_err(Usage)?),
            (None, None) if self.fields.is_empty() => {
                return Err(Usage(
                    "no request: give it by `--field`, `--text`, `--hex`, or lines of the log by `--log`".to_owned(),
                )
                .into());
            }
            (None, None) => {
                let mut asked = Asked::default();
                for field in &self.fields {
                    let (name, value) = field
                        .split_once('=')
                        .ok_or_else(|| Usage(format!("`--field {field}` has no `=`; write `--field name=value`")))?;
                    asked.add(name, value);
                }
                request::compose(name, &asked).map_err(Usage)?
            }
        };
        let port =
            self.setting.port.ok_or_else(|| Usage("`--port` is missing: the port that is connected to".to_owned()))?;
        Ok(Question {
            protocol,
            meta: self.setting.meta(port, identities)?,
            conversation,
            notes: Vec::new(),
            was: None,
        })
    }
}

impl Setting {
    fn meta(&self, port: u16, identities: &Identities) -> anyhow::Result<Meta> {
        let (endpoint, other, option) = match self.direction {
            Way::Ingress => (&self.to, &self.from, "--to"),
            Way::Egress => (&self.from, &self.to, "--from"),
        };
        let endpoint = endpoint.as_ref().ok_or_else(|| {
            Usage(format!(
                "`{option}` is missing: the endpoint that the policies protect, as in `{option} app=memcached`"
            ))
        })?;
        let named =
            Named { spiffe: self.spiffe.clone(), dns_names: self.dns_name.clone(), subject: self.subject.clone() };
        Ok(Meta {
            id: 0,
            traffic: match self.direction {
                Way::Ingress => Traffic::Ingress,
                Way::Egress => Traffic::Egress,
            },
            endpoint: endpoint.labels(identities)?,
            endpoint_id: 0,
            remote: judge::remote(other.as_ref(), self.address, &named, identities)?,
            port,
            source: None,
            destination: None,
        })
    }
}
