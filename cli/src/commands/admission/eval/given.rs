//! The review that is given: as it is, or made of an object.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use portcullis_parsers::admission::hooks::testing::write_review;
use portcullis_parsers::admission::json::Tape;
use portcullis_parsers::admission::review::Operation;
use portcullis_policy::{Entry, Node, Value};

use crate::exit::Usage;

/// What a review says, where it is made of an object.
#[derive(clap::Args)]
pub(super) struct Request {
    /// CREATE, UPDATE, DELETE or CONNECT.
    #[arg(long, value_name = "OPERATION", value_parser = parse_operation)]
    operation: Option<String>,
    /// Who asks.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// A group of who asks.
    #[arg(long, value_name = "NAME")]
    group: Vec<String>,
    /// The object as it was, for UPDATE: a file.
    #[arg(long, value_name = "FILE")]
    old: Option<PathBuf>,
    /// The resource, such as ingresses.networking.k8s.io, where it is not what the kind tells.
    #[arg(long, value_name = "RESOURCE")]
    resource: Option<String>,
    /// The subresource, such as status or exec.
    #[arg(long, value_name = "NAME")]
    sub_resource: Option<String>,
    /// The namespace, where the object names none.
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// A dry run.
    #[arg(long)]
    dry_run: bool,
}

fn parse_operation(text: &str) -> Result<String, String> {
    let all = Operation::ALL.map(Operation::as_str);
    match all.contains(&text) {
        true => Ok(text.to_owned()),
        false => Err(format!("write one of `{}`, in upper case", all.join("`, `"))),
    }
}

impl Request {
    fn is_described(&self) -> bool {
        let Self { operation, user, group, old, resource, sub_resource, namespace, dry_run } = self;
        let texts = [operation, user, resource, sub_resource, namespace];
        texts.into_iter().any(Option::is_some) || !group.is_empty() || old.is_some() || *dry_run
    }

    /// The review of an object, as the API server would send it.
    fn review(&self, object: &Node, old: Option<&Node>) -> anyhow::Result<Vec<u8>> {
        let place = &object.place;
        for given in [Some(object), old].into_iter().flatten() {
            if !matches!(given.value, Value::Map(_)) {
                bail!("{}: this is no object: an object has fields, such as `apiVersion` and `kind`", given.place);
            }
        }
        if kind(object).is_none_or(str::is_empty) {
            bail!("{place}: the object has no `kind`: write it, such as `kind: Pod`");
        }
        let text = |text: &String| Node { place: place.clone(), value: Value::Text(text.clone()) };
        let mut entries = Vec::new();
        let mut add = |key: &str, value: Option<Node>| {
            entries.extend(value.map(|value| Entry { key: key.to_owned(), place: place.clone(), value }));
        };
        add("operation", self.operation.as_ref().map(text));
        add("user", self.user.as_ref().map(text));
        let groups: Vec<Node> = self.group.iter().map(text).collect();
        let groups = (!groups.is_empty()).then(|| Node { place: place.clone(), value: Value::List(groups) });
        add("groups", groups);
        add("resource", self.resource.as_ref().map(text));
        add("subResource", self.sub_resource.as_ref().map(text));
        let namespace = self.namespace.clone().or_else(|| default_namespace(object));
        add("namespace", namespace.as_ref().map(text));
        add("dryRun", Some(Node { place: place.clone(), value: Value::Bool(self.dry_run) }));
        add("object", Some(object.clone()));
        add("oldObject", old.cloned());
        let request = Node { place: place.clone(), value: Value::Map(entries) };
        write_review(&request).map_err(|errors| {
            let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
            anyhow!("{}", errors.join("\n"))
        })
    }
}

/// Where kubectl puts an object that names no namespace, unless its kind is known to be in none.
fn default_namespace(object: &Node) -> Option<String> {
    /// Kinds of Kubernetes itself that are in no namespace.
    const CLUSTER: [&str; 20] = [
        "APIService",
        "CSIDriver",
        "CSINode",
        "CertificateSigningRequest",
        "ClusterRole",
        "ClusterRoleBinding",
        "ComponentStatus",
        "CustomResourceDefinition",
        "FlowSchema",
        "IngressClass",
        "MutatingWebhookConfiguration",
        "Namespace",
        "Node",
        "PersistentVolume",
        "PriorityClass",
        "PriorityLevelConfiguration",
        "RuntimeClass",
        "StorageClass",
        "ValidatingWebhookConfiguration",
        "VolumeAttachment",
    ];
    /// Groups of Kubernetes whose other kinds are in namespaces.
    const GROUPS: [&str; 6] =
        ["apps", "batch", "autoscaling", "policy", "networking.k8s.io", "rbac.authorization.k8s.io"];
    let field = |node: &Node, name: &str| match &node.value {
        Value::Map(entries) => entries.iter().find(|entry| entry.key == name).map(|entry| entry.value.clone()),
        _ => None,
    };
    let text = |node: Option<Node>| match node.map(|node| node.value) {
        Some(Value::Text(text)) => Some(text),
        _ => None,
    };
    let named = field(object, "metadata").and_then(|metadata| text(field(&metadata, "namespace")));
    let api_version = text(field(object, "apiVersion")).unwrap_or_default();
    let is_known = api_version.split_once('/').map_or(api_version == "v1", |(group, _)| GROUPS.contains(&group));
    let is_namespaced = is_known && kind(object).is_some_and(|kind| !CLUSTER.contains(&kind));
    (named.is_none() && is_namespaced).then(|| "default".to_owned())
}

/// The reviews of a file: one for each object in it.
pub(super) fn read(path: &Path, request: &Request) -> anyhow::Result<Vec<Vec<u8>>> {
    let (name, bytes) = read_file(path)?;
    if is_review(&bytes) {
        refuse_description(request)?;
        return Ok(vec![bytes]);
    }
    let documents = Node::load(&name, &bytes)?;
    let old = match &request.old {
        Some(path) => {
            let (name, bytes) = read_file(path)?;
            Some(one(&name, Node::load(&name, &bytes)?)?)
        }
        None => None,
    };
    if old.is_some() && documents.len() > 1 {
        bail!(Usage(format!("`--old` is of one object, and {name} holds {}", documents.len())));
    }
    let mut reviews = Vec::new();
    for document in &documents {
        if kind(document) == Some("AdmissionReview") {
            refuse_description(request)?;
            reviews.push(serde_json::to_vec(&json(document))?);
        } else {
            reviews.push(request.review(document, old.as_ref())?);
        }
    }
    if reviews.is_empty() {
        bail!("{name} is empty; wanted an AdmissionReview, or an object");
    }
    Ok(reviews)
}

fn refuse_description(request: &Request) -> anyhow::Result<()> {
    if request.is_described() {
        let message =
            "an AdmissionReview says itself who asks for what; leave out `--operation`, `--user` and the like";
        bail!(Usage(message.to_owned()));
    }
    Ok(())
}

fn read_file(path: &Path) -> anyhow::Result<(String, Vec<u8>)> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).context("the standard input cannot be read")?;
        return Ok(("standard input".to_owned(), bytes));
    }
    let name = path.display().to_string();
    let bytes = std::fs::read(path).with_context(|| format!("`{name}` cannot be read"))?;
    Ok((name, bytes))
}

/// Read as the filter reads it, so that what it refuses is refused here, too.
fn is_review(bytes: &[u8]) -> bool {
    let mut tape = Tape::new();
    let root = tape.read(bytes).ok();
    root.and_then(|root| root.get("kind")?.text()).is_some_and(|kind| kind.is("AdmissionReview"))
}

fn one(name: &str, documents: Vec<Node>) -> anyhow::Result<Node> {
    match <[Node; 1]>::try_from(documents) {
        Ok([document]) => Ok(document),
        Err(documents) => bail!("{name} holds {} objects; wanted one", documents.len()),
    }
}

fn kind(document: &Node) -> Option<&str> {
    let Value::Map(entries) = &document.value else { return None };
    match &entries.iter().find(|entry| entry.key == "kind")?.value.value {
        Value::Text(kind) => Some(kind),
        _ => None,
    }
}

fn json(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Integer(value) => (*value).into(),
        Value::Float(value) => (*value).into(),
        Value::Text(text) => text.as_str().into(),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(entries) => {
            serde_json::Value::Object(entries.iter().map(|entry| (entry.key.clone(), json(&entry.value))).collect())
        }
    }
}
