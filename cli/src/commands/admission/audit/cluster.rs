//! Objects of a live API server.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use http_body_util::{BodyExt, Limited};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResource;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::Request;
use kube::core::params::{GetParams, ListParams, Patch, PatchParams};
use kube::{Client, Config};
use portcullis_parsers::admission::json::{MAX_BYTES, Tape};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::objects::{self, Object};

/// How to reach the API server.
#[derive(clap::Args)]
pub(super) struct Reach {
    /// The kubeconfig of the API server. Without it $KUBECONFIG, ~/.kube/config, or in a pod what the cluster gives it.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig, where it is not the current one.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// How many objects the API server is asked for at a time.
    #[arg(long, value_name = "COUNT", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    page_size: u32,
    /// How many seconds the API server may take for an answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
}

/// A connection to an API server.
pub(super) struct Cluster {
    runtime: Runtime,
    client: Client,
    page_size: u32,
    timeout: Duration,
}

/// A kind of objects that can be listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resource {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) kind: String,
    plural: String,
}

/// What an API server has.
#[derive(Default)]
pub(super) struct Discovered {
    pub(super) resources: Vec<Resource>,
    pub(super) problems: Vec<String>,
}

impl Cluster {
    pub(super) fn connect(reach: &Reach) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let timeout = Duration::from_secs(reach.timeout);
        let client = runtime.block_on(async {
            let mut config = configure(reach).await?;
            config.connect_timeout = Some(timeout);
            config.read_timeout = Some(timeout);
            config.write_timeout = Some(timeout);
            config.reset_reader_on_write = true;
            anyhow::Ok(Client::try_from(config)?)
        })?;
        Ok(Self { runtime, client, page_size: reach.page_size, timeout })
    }

    /// All kinds that can be listed, each in the version that its group prefers.
    ///
    /// # Errors
    /// The API server does not say which groups it has. What one group does not say is a problem among the rest.
    pub(super) fn discover(&self) -> anyhow::Result<Discovered> {
        let core = self.wait("discovery", self.client.list_core_api_versions())?;
        let groups = self.wait("discovery", self.client.list_api_groups())?;
        let mut found = Discovered::default();
        if let Some(version) = core.versions.first() {
            let listed = self.wait(version, self.client.list_core_api_resources(version));
            found.add("", version, listed.map(|list| list.resources));
        }
        for group in groups.groups {
            let preferred = group.preferred_version.map(|preferred| preferred.version);
            let others = group.versions.into_iter().map(|version| version.version);
            let mut versions: Vec<String> = preferred.into_iter().collect();
            versions.extend(others.filter(|version| !versions.contains(version)).collect::<Vec<_>>());
            for version in versions {
                let api_version = objects::join(&group.name, &version);
                let listed = self.wait(&api_version, self.client.list_api_group_resources(&api_version));
                found.add(&group.name, &version, listed.map(|list| list.resources));
            }
        }
        Ok(found)
    }

    /// Lists all objects of a kind, page by page. What cannot be read among them is handed over like the rest.
    ///
    /// # Errors
    /// They cannot be listed, or not to the end.
    pub(super) fn list(
        &self,
        resource: &Resource,
        mut take: impl FnMut(Vec<Result<Object, String>>),
    ) -> anyhow::Result<()> {
        let from = resource.to_string();
        let request = Request::new(resource.path());
        let mut params = ListParams { limit: Some(self.page_size), ..ListParams::default() };
        loop {
            let (status, text) = self.ask(request.list(&params)?).with_context(|| from.clone())?;
            if !(200..300).contains(&status) {
                // "the server will respond with a 410 ResourceExpired error together with a continue token" for the rest of
                // the list as it is by now: ListOptions.continue in Kubernetes' API.
                match next_page(&text).filter(|_| status == 410 && params.continue_token.is_some()) {
                    Some(token) if params.continue_token.as_ref() != Some(&token) => {
                        params.continue_token = Some(token);
                        continue;
                    }
                    _ => bail!("{from}: {}", say(status, &text)),
                }
            }
            let next = {
                let mut tape = Tape::new();
                let root = tape.read(&text).map_err(|why| anyhow!("{from}: the list cannot be read: {why}"))?;
                if root.get("items").is_none() {
                    bail!("{from}: the answer is no list");
                }
                take(objects::take(&from, root, Some((&resource.api_version(), &resource.kind))));
                root.pointer("/metadata/continue")
                    .and_then(|token| token.text())
                    .map(|token| token.to_cow().into_owned())
            };
            match next.filter(|token| !token.is_empty()) {
                // As it would go on for ever.
                Some(token) if params.continue_token.as_ref() == Some(&token) => {
                    bail!("{from}: the API server says twice that the same page is the next")
                }
                Some(token) => params.continue_token = Some(token),
                None => return Ok(()),
            }
        }
    }

    /// One object that has no namespace.
    pub(super) fn get(&self, resource: &Resource, name: &str) -> anyhow::Result<Value> {
        let (status, text) = self.ask(Request::new(resource.path()).get(name, &GetParams::default())?)?;
        if status != 200 {
            bail!("{}", say(status, &text));
        }
        Ok(serde_json::from_slice(&text)?)
    }

    /// Changes the status of an object that has no namespace, by a merge patch.
    pub(super) fn patch_status(&self, resource: &Resource, name: &str, patch: &Value) -> anyhow::Result<()> {
        let request = Request::new(resource.path());
        let request = request.patch_subresource("status", name, &PatchParams::default(), &Patch::Merge(patch))?;
        let (status, text) = self.ask(request)?;
        if !(200..300).contains(&status) {
            bail!("{}", say(status, &text));
        }
        Ok(())
    }

    /// The status of an answer, and its body.
    fn ask(&self, request: http::Request<Vec<u8>>) -> anyhow::Result<(u16, Vec<u8>)> {
        self.wait("the API server", async {
            let answer = self.client.send(request.map(Body::from)).await?;
            let status = answer.status().as_u16();
            let body = Limited::new(answer.into_body(), MAX_BYTES).collect().await;
            let body =
                body.map_err(|error| anyhow!("{error} ({MAX_BYTES} bytes at most); `--page-size` makes it less"))?;
            anyhow::Ok((status, body.to_bytes().to_vec()))
        })
    }

    fn wait<T, E: Into<anyhow::Error>>(
        &self,
        what: &str,
        asked: impl Future<Output = Result<T, E>>,
    ) -> anyhow::Result<T> {
        let answer = self.runtime.block_on(async { tokio::time::timeout(self.timeout, asked).await });
        match answer {
            Ok(answer) => answer.map_err(|error| error.into().context(what.to_owned())),
            Err(_) => bail!("{what}: no answer within {} s; `--timeout` gives it more", self.timeout.as_secs()),
        }
    }
}

async fn configure(reach: &Reach) -> anyhow::Result<Config> {
    let options = KubeConfigOptions { context: reach.context.clone(), ..KubeConfigOptions::default() };
    Ok(match (&reach.kubeconfig, &reach.context) {
        (Some(path), _) => {
            let shown = path.display();
            let kubeconfig = Kubeconfig::read_from(path).with_context(|| format!("`{shown}` is no kubeconfig"))?;
            Config::from_custom_kubeconfig(kubeconfig, &options).await.with_context(|| format!("`{shown}`"))?
        }
        (None, Some(_)) => Config::from_kubeconfig(&options).await?,
        (None, None) => Config::infer().await?,
    })
}

impl Discovered {
    /// What a version of a group has, where no version before it has that kind.
    fn add(&mut self, group: &str, version: &str, listed: anyhow::Result<Vec<APIResource>>) {
        let listed = match listed {
            Ok(listed) => listed,
            Err(error) => {
                let name = objects::join(group, version);
                return self.problems.push(format!("the kinds of `{name}` are not known: {error:#}"));
            }
        };
        let known: Vec<String> =
            self.resources.iter().filter(|known| known.group == group).map(|known| known.plural.clone()).collect();
        for resource in listed {
            let is_listed = resource.verbs.iter().any(|verb| verb == "list");
            if is_listed && !resource.name.contains('/') && !known.contains(&resource.name) {
                self.resources.push(Resource {
                    group: group.to_owned(),
                    version: version.to_owned(),
                    kind: resource.kind,
                    plural: resource.name,
                });
            }
        }
    }
}

impl Resource {
    fn path(&self) -> String {
        let Self { group, version, plural, .. } = self;
        if group.is_empty() { format!("/api/{version}/{plural}") } else { format!("/apis/{group}/{version}/{plural}") }
    }

    pub(super) fn api_version(&self) -> String {
        objects::join(&self.group, &self.version)
    }
}

impl std::fmt::Display for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.group.as_str() {
            "" => f.write_str(&self.plural),
            group => write!(f, "{}.{group}", self.plural),
        }
    }
}

/// Where the next page of a list begins.
fn next_page(text: &[u8]) -> Option<String> {
    let mut tape = Tape::new();
    let token = tape.read(text).ok()?.pointer("/metadata/continue")?.text()?.to_cow().into_owned();
    (!token.is_empty()).then_some(token)
}

/// Why the API server refuses something, in its own words.
fn say(status: u16, text: &[u8]) -> String {
    let mut tape = Tape::new();
    let message = tape.read(text).ok().and_then(|root| root.get("message")?.text()).map(|message| message.to_cow());
    match message {
        Some(message) => format!("the API server answers {status}: {message}"),
        None => format!("the API server answers {status}"),
    }
}
