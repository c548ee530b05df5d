//! `portcullis admission manifests`.

mod api_server;
mod cluster;
mod config_maps;
mod envoy;
mod node;
mod webhooks;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use clap::ValueEnum;
use portcullis_parsers::admission::hooks::spec::Spec;
use portcullis_policy::Source;
use serde_json::{Value, json};

use self::webhooks::{Reach, Webhooks};
use super::load::{Loaded, load};
use super::yaml;
use crate::exit::{Exit, Usage};
use crate::output::Output;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where Envoy runs: in pods behind a service, or beside the API server on the machines of the control plane.
    #[arg(long, value_name = "WHERE", default_value = "cluster")]
    layout: Layout,
    /// Only these parts. Without it: all objects for kubectl; with --dir, the files of machines, too.
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    only: Vec<Part>,
    /// Writes each part into a file of its own below this directory, and nothing to stdout.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Only hooks for this group of clusters: those that name it in `targets`, or none.
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// The name of the service, the deployment and the configurations of webhooks.
    #[arg(long, value_name = "NAME", default_value = super::SERVICE)]
    name: String,
    /// The namespace of all of it. Its own requests are never judged: see --judge-own-namespace.
    #[arg(long, value_name = "NAME", default_value = super::NAMESPACE)]
    namespace: String,
    /// The port of the service.
    #[arg(long, value_name = "PORT", default_value = "443", value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Where the API server finds Envoy, without a path: with --layout node, or instead of the service.
    #[arg(long, value_name = "URL", default_value_if("layout", "node", "https://127.0.0.1:8443"))]
    url: Option<String>,
    /// Webhooks are named HOOK.SUFFIX where a hook gives no `webhookName`.
    #[arg(long, value_name = "SUFFIX", default_value = "admission.portcullis.dev")]
    suffix: String,
    /// The certificate of the authority that issued Envoy's: ca.crt of `portcullis admission certs`.
    #[arg(long, value_name = "FILE")]
    ca_bundle: Option<PathBuf>,
    /// An annotation of the configurations of webhooks, such as cert-manager.io/inject-ca-from=NAMESPACE/CERTIFICATE.
    #[arg(long, value_name = "KEY=VALUE")]
    annotation: Vec<String>,
    /// Namespaces that no hook is asked about, such as kube-system.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    exclude_namespace: Vec<String>,
    /// Namespaces with this label, whatever its value or with this one, are not asked about. Who may set the label escapes.
    #[arg(long, value_name = "KEY[=VALUE]")]
    exclude_label: Vec<String>,
    /// Asks about the namespace of the webhook, too: its pods may then wait for themselves.
    #[arg(long)]
    judge_own_namespace: bool,
    /// An image of Envoy 1.38 or newer with libportcullis.so in /usr/lib/portcullis.
    #[arg(long, value_name = "IMAGE", default_value = "portcullis-envoy:latest")]
    image: String,
    /// How many pods.
    #[arg(long, value_name = "N", default_value = "2")]
    replicas: u16,
    /// The Secret with tls.crt, tls.key and callers-ca.crt.
    #[arg(long, value_name = "NAME", default_value = "portcullis-admission-tls")]
    tls_secret: String,
    /// Who may call: whoever shows a certificate or a token, or anybody.
    #[arg(long, value_name = "WHO", default_value = "authenticated")]
    callers: Callers,
    /// The name in the API server's certificate.
    #[arg(long, value_name = "NAME", default_value = super::CALLER)]
    client_name: String,
    /// Where kubeconfig.yaml, client.crt and client.key are on the machines of the API server, as it sees them.
    #[arg(long, value_name = "DIR", default_value = "/etc/kubernetes/pki/portcullis")]
    api_server_dir: String,
    /// A file with a bearer token, by its whole path as the API server sees it: sent in place of a certificate. Its digest
    /// belongs into a document of the kind AdmissionCallers.
    #[arg(long, value_name = "FILE")]
    token_file: Option<String>,
    /// Hooks, and policies beside them: files, and directories whose .yaml, .yml and .json files are read.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

/// Where Envoy runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Layout {
    /// In pods, behind a service.
    Cluster,
    /// In a static pod beside the API server.
    Node,
}

/// Who may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Callers {
    /// Whoever shows a certificate or a token that is known.
    Authenticated,
    /// Anybody: for clusters whose API server cannot be given either.
    Anonymous,
}

/// What there is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The Namespace.
    Namespace,
    /// ConfigMaps: Envoy's configuration, and the hooks.
    ConfigMaps,
    /// The Service.
    Service,
    /// The Deployment.
    Deployment,
    /// ValidatingWebhookConfiguration and MutatingWebhookConfiguration.
    Webhooks,
    /// The static pod of a control-plane node.
    StaticPod,
    /// Envoy's configuration as a file.
    Envoy,
    /// Who may call, as a file: a policy.
    Callers,
    /// The hooks as files.
    Hooks,
    /// The API server's AdmissionConfiguration: a file for --admission-control-config-file.
    AdmissionConfiguration,
    /// The credentials that it names.
    Kubeconfig,
}

impl Part {
    /// Whether kubectl applies it; else it is a file on a machine.
    const fn is_applied(self) -> bool {
        matches!(self, Self::Namespace | Self::ConfigMaps | Self::Service | Self::Deployment | Self::Webhooks)
    }
}

/// One file.
struct Made {
    part: Part,
    /// Its name below the directory.
    file: String,
    body: Body,
}

enum Body {
    Objects(Vec<Value>),
    Text(String),
}

impl Made {
    fn objects(part: Part, file: &str, objects: Vec<Value>) -> Self {
        Self { part, file: file.to_owned(), body: Body::Objects(objects) }
    }

    fn text(part: Part, file: String, text: String) -> Self {
        Self { part, file, body: Body::Text(text) }
    }

    fn write(&self) -> String {
        match &self.body {
            Body::Objects(objects) => yaml::write_all(objects),
            Body::Text(text) => text.clone(),
        }
    }
}

/// All that the parts are made of.
struct Plan<'a> {
    args: &'a Args,
    loaded: &'a Loaded,
    reach: Reach,
    labels: BTreeMap<String, String>,
}

pub(crate) fn run(args: &Args, out: &mut Output) -> anyhow::Result<Exit> {
    check_arguments(args)?;
    let loaded = match load(&args.paths)? {
        Ok(loaded) => loaded,
        Err(errors) => return crate::commands::check::refuse(&errors, out),
    };
    loaded.note_warnings(out);
    let plan = Plan { args, loaded: &loaded, reach: reach(args)?, labels: labels(&args.name) };
    plan.check()?;
    let made = match args.layout {
        Layout::Cluster => cluster::make(&plan)?,
        Layout::Node => node::make(&plan)?,
    };
    let there: Vec<Part> = made.iter().map(|made| made.part).collect();
    if let Some(part) = args.only.iter().find(|part| !there.contains(part)) {
        let name = |part: Part| part.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let all: Vec<_> = there.iter().copied().map(name).collect();
        bail!(Usage(format!("there is no part `{}` in this layout; there are `{}`", name(*part), all.join("`, `"))));
    }
    let is_wanted = |part| match args.only.is_empty() {
        true => args.dir.is_some() || Part::is_applied(part),
        false => args.only.contains(&part),
    };
    let wanted: Vec<Made> = made.into_iter().filter(|made| is_wanted(made.part)).collect();
    match &args.dir {
        Some(dir) => write_files(dir, &wanted, out),
        None => print(&wanted, out),
    }
}

fn print(wanted: &[Made], out: &mut Output) -> anyhow::Result<Exit> {
    if out.is_json() {
        let mut items = Vec::new();
        for made in wanted {
            match &made.body {
                Body::Objects(objects) => items.extend(objects.iter()),
                Body::Text(_) => bail!(Usage("files cannot be written as JSON; leave out `-o json`".to_owned())),
            }
        }
        out.json(&json!({"apiVersion": "v1", "kind": "List", "items": items}))?;
        return Ok(Exit::Well);
    }
    let texts: Vec<String> = wanted.iter().map(Made::write).filter(|text| !text.is_empty()).collect();
    out.raw(texts.join("---\n").as_bytes())?;
    Ok(Exit::Well)
}

fn write_files(dir: &Path, wanted: &[Made], out: &mut Output) -> anyhow::Result<Exit> {
    let mut written = Vec::new();
    for made in wanted {
        let path = dir.join(&made.file);
        let write = || {
            std::fs::create_dir_all(path.parent().unwrap_or(dir))?;
            std::fs::write(&path, made.write())
        };
        write().with_context(|| format!("`{}` cannot be written", path.display()))?;
        written.push(path.display().to_string());
    }
    if out.is_json() {
        out.json(&json!({ "written": written }))?;
    } else {
        for path in &written {
            out.line(format_args!("wrote {path}"))?;
        }
    }
    Ok(Exit::Well)
}

impl Plan<'_> {
    /// The hooks of the target.
    fn hooks(&self) -> Vec<&Spec> {
        self.loaded.specs().filter(|spec| self.is_wanted(spec)).collect()
    }

    fn is_wanted(&self, spec: &Spec) -> bool {
        self.args.target.as_ref().is_none_or(|target| spec.is_for(target))
    }

    /// The files, without those that have nothing but hooks for others.
    fn sources(&self) -> Vec<&Source> {
        let is_needed = |source: &&Source| {
            let mut of_file = self.loaded.hooks().iter().filter(|hook| *hook.place().file == *source.name).peekable();
            of_file.peek().is_none() || of_file.any(|hook| self.is_wanted(hook.spec()))
        };
        self.loaded.sources.iter().filter(is_needed).collect()
    }

    /// Loads what Envoy will find, all of it together.
    fn check(&self) -> anyhow::Result<()> {
        let mut sources = self.loaded.sources.clone();
        sources.push(Source::new("admission-callers.yaml (who may call, written here)", envoy::callers(self)));
        Loaded::compile(sources)
            .map(drop)
            .map_err(|errors| anyhow!("what is in these files and who may call do not go together:\n{errors}"))?;
        // Of files that are left out for the target, Envoy knows no tokens.
        let sources = || self.sources().into_iter().cloned().collect();
        if self.args.callers == Callers::Authenticated
            && self.args.token_file.is_some()
            && !Loaded::compile(sources())?.has_tokens()
        {
            bail!(
                "`--token-file`: Envoy would know no token, and answer everybody with 401: write a document of kind `AdmissionCallers` beside the hooks, with the token's digest in `spec.tokens` (`printf %s TOKEN | sha256sum`)"
            );
        }
        Ok(())
    }

    fn metadata(&self, name: &str) -> Value {
        json!({"name": name, "namespace": self.args.namespace, "labels": self.labels})
    }

    fn webhooks(&self, file: &str) -> anyhow::Result<Made> {
        let args = self.args;
        let annotations = pairs(&args.annotation)?;
        let bundle = args.ca_bundle.as_deref().map(read_bundle).transpose()?;
        if bundle.is_none() && annotations.is_empty() && self.wants(Part::Webhooks) {
            let message =
                "whom shall the API server trust? `--ca-bundle FILE`, or `--annotation` for whoever fills it in";
            bail!(Usage(message.to_owned()));
        }
        let mut excluded: Vec<String> = args.exclude_namespace.clone();
        if args.layout == Layout::Cluster && !args.judge_own_namespace {
            excluded.push(args.namespace.clone());
        }
        excluded.sort();
        excluded.dedup();
        let labels = args.exclude_label.iter().map(|label| webhooks::exclude_label(label));
        let namespaces = webhooks::exclude_namespaces(excluded).into_iter().chain(labels).collect();
        let webhooks = Webhooks {
            name: &args.name,
            suffix: &args.suffix,
            reach: &self.reach,
            ca_bundle: bundle.as_deref(),
            namespaces,
            labels: &self.labels,
            annotations: &annotations,
        };
        let objects = webhooks.objects(&self.hooks())?;
        if objects.is_empty() && self.wants(Part::Webhooks) {
            match &args.target {
                Some(target) => bail!("no hook is for `{target}`: name it in `targets`"),
                None => bail!("there are no hooks in these files: documents of kind `AdmissionHook` are"),
            }
        }
        Ok(Made::objects(Part::Webhooks, file, objects))
    }

    fn wants(&self, part: Part) -> bool {
        self.args.only.is_empty() || self.args.only.contains(&part)
    }
}

fn check_arguments(args: &Args) -> anyhow::Result<()> {
    for name in [&args.name, &args.namespace] {
        let is_label = !name.contains('.') && name.len() <= 63;
        if !is_label || check_subdomain(name).is_err() {
            bail!(Usage(format!("`{name}` is no name for it: write lower-case letters, digits and `-`, 63 at most")));
        }
    }
    check_subdomain(&args.suffix).map_err(|error| Usage(error.to_string()))?;
    for (option, path) in [("--token-file", args.token_file.as_ref()), ("--api-server-dir", Some(&args.api_server_dir))]
    {
        if let Some(path) = path.filter(|path| !path.starts_with('/')) {
            bail!(Usage(format!(
                "`{option} {path}` is relative, and the API server starts from a directory of its own: write the whole path on its machine, from `/` on"
            )));
        }
    }
    Ok(())
}

/// RFC 1123, as Kubernetes wants it of names: lower case.
fn check_subdomain(name: &str) -> anyhow::Result<()> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    if name.len() <= 253 && name.split('.').all(label) {
        return Ok(());
    }
    bail!(
        "`{name}` is no name: write lower-case letters, digits and `-`, with dots between, such as `hooks.example.com`"
    )
}

fn reach(args: &Args) -> anyhow::Result<Reach> {
    let Some(url) = &args.url else {
        return Ok(Reach::Service { namespace: args.namespace.clone(), name: args.name.clone(), port: args.port });
    };
    let wrong = || Usage(format!("`{url}` is no place for webhooks: write `https://HOST:PORT`, without a path"));
    let rest = url.strip_prefix("https://").ok_or_else(wrong)?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            (host, port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?)
        }
        _ => (rest, 443),
    };
    let in_brackets = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = match in_brackets {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b)),
    };
    if !is_host {
        bail!(wrong());
    }
    Ok(Reach::Url { host: host.to_owned(), port })
}

fn labels(name: &str) -> BTreeMap<String, String> {
    [("app.kubernetes.io/name", name), ("app.kubernetes.io/managed-by", "portcullis")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

fn pairs(texts: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
    let pair = |text: &String| {
        let (key, value) = text.split_once('=').filter(|(key, _)| !key.is_empty())?;
        Some((key.to_owned(), value.to_owned()))
    };
    let wrong = |text: &String| Usage(format!("`{text}` is no annotation: write `KEY=VALUE`"));
    texts.iter().map(|text| pair(text).ok_or_else(|| wrong(text).into())).collect()
}

/// The certificates, and nothing else: what is around them is left out.
fn read_bundle(path: &Path) -> anyhow::Result<Vec<u8>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("`{}` cannot be read", path.display()))?;
    if text.contains("PRIVATE KEY-----") {
        bail!("`{}` holds a private key: give the certificate of the authority alone", path.display());
    }
    super::certs::check_authorities(path)?;
    Ok(text.into_bytes())
}
