//! Reads objects from trees, finding all faults and not only the first.

use serde::Deserialize;

use super::at::At;
use super::rules::Reader;
use super::selector::default_namespace;
use super::{Kinds, Objects, Policy, fields};
use crate::compile::FILE;
use crate::l7::Dialect;
use crate::node::{Node, Value, shorten};
use crate::problems::Problems;

/// Reads all objects of one document.
pub(crate) fn read_objects(document: &Node, kinds: Kinds<'_>, problems: &mut Problems, found: &mut Objects) {
    read_object(&At { node: document, path: String::new(), dialect: Dialect::Cilium }, kinds, problems, found);
}

/// The namespaces that the objects of a document name, or nothing if one of them is clusterwide or cannot be told. What
/// is wrong with the objects otherwise does not matter.
pub(crate) fn namespaces_of(document: &Node) -> Option<Vec<String>> {
    let text = |node: Option<&Node>| match node.map(|node| &node.value) {
        None | Some(Value::Null) => Some(None),
        Some(Value::Text(text)) => Some(Some(text.clone())),
        Some(_) => None,
    };
    let objects = match document.entry("items").map(|items| &items.value) {
        Some(Value::List(items)) => items.as_slice(),
        Some(_) => return None,
        None => std::slice::from_ref(document),
    };
    let mut namespaces = Vec::new();
    for object in objects {
        let kind = text(object.entry("kind"))??;
        let metadata = object.entry("metadata")?;
        let namespace = text(metadata.entry("namespace"))?.filter(|name| !name.is_empty());
        if (kind != CNP && kind != STRICT_KIND) || !matches!(metadata.value, Value::Map(_)) {
            return None;
        }
        namespaces.push(namespace.unwrap_or_else(|| default_namespace().to_owned()));
    }
    Some(namespaces)
}

const CNP: &str = "CiliumNetworkPolicy";
const CCNP: &str = "CiliumClusterwideNetworkPolicy";
/// The strict kind.
pub(crate) const STRICT_KIND: &str = "L7Policy";
pub(crate) const STRICT_GROUP: &str = "portcullis.dev";
pub(crate) const STRICT_VERSION: &str = "v1";

fn read_object(at: &At<'_>, kinds: Kinds<'_>, problems: &mut Problems, found: &mut Objects) {
    if !matches!(at.node.value, Value::Map(_)) {
        return problems
            .add(at.error(format!("wanted an object with `apiVersion` and `kind`, found {}", at.node.describe())));
    }
    let text = |name| match at.node.entry(name).map(|node| &node.value) {
        Some(Value::Text(text)) => Some(text.as_str()),
        _ => None,
    };
    match (text("apiVersion"), text("kind")) {
        (Some("v1"), Some("List"))
        | (Some("cilium.io/v2"), Some("CiliumNetworkPolicyList" | "CiliumClusterwideNetworkPolicyList")) => {
            if at.check_fields(fields::LIST, problems)
                && let Some(items) = at.field("items")
            {
                for item in items.items(problems) {
                    // A list in a list is nothing that Kubernetes makes, and would recurse.
                    match item.node.entry("items") {
                        Some(_) => problems.add(item.error("a list within a list; write its items out")),
                        None => read_object(&item, kinds, problems, found),
                    }
                }
            }
        }
        (Some("cilium.io/v2"), Some(CNP)) => found.policies.extend(read_policy(at, CNP, problems)),
        (Some("cilium.io/v2"), Some(CCNP)) => found.policies.extend(read_policy(at, CCNP, problems)),
        (Some(api), Some(STRICT_KIND)) if api.split_once('/') == Some((STRICT_GROUP, STRICT_VERSION)) => {
            let strict = At { node: at.node, path: at.path.clone(), dialect: Dialect::Strict };
            found.policies.extend(read_policy(&strict, STRICT_KIND, problems));
        }
        (Some(api), Some(kind)) if kinds.contain(api, kind) => found.documents.push(at.node.clone()),
        (api, kind) => {
            let more = match kinds {
                Kinds::Of(kinds) => {
                    let named = kinds.iter().filter(|(api, kind)| *kind != "*" && *api != FILE);
                    named.map(|(_, kind)| format!("`{kind}`, ")).collect()
                }
                Kinds::Any => String::new(),
            };
            let shown = |text: Option<&str>| shorten(text.unwrap_or_default());
            let error = at.error(format!(
                "apiVersion `{}`, kind `{}` is not a policy; wanted `cilium.io/v2` with `{CNP}` or `{CCNP}`, \
                 `{STRICT_GROUP}/{STRICT_VERSION}` with `{STRICT_KIND}`, {more}or a `List` of them; keep others in other files, or name their kind as data",
                shown(api),
                shown(kind)
            ));
            match (api, kind) {
                (Some(_), Some(_)) => found.others.push((at.node.clone(), error)),
                _ => problems.add(error),
            }
        }
    }
}

impl Kinds<'_> {
    fn contain(self, api_version: &str, kind: &str) -> bool {
        match self {
            Self::Of(kinds) => kinds.iter().any(|wanted| is_of(*wanted, api_version, kind)),
            Self::Any => true,
        }
    }
}

/// Whether a kind is wanted, by itself or by a pattern.
pub(crate) fn is_of((wanted_api, wanted_kind): (&str, &str), api_version: &str, kind: &str) -> bool {
    let group = |api: &str| api.split_once('/').map(|(group, _)| group.to_owned());
    let api_fits = match wanted_api.strip_suffix("/*") {
        Some(wanted) => group(api_version).is_some_and(|group| group == wanted),
        None => wanted_api == api_version,
    };
    api_fits && (wanted_kind == "*" || wanted_kind == kind)
}

/// Bytes of a name in Kubernetes: a DNS subdomain, RFC 1123.
const MAX_NAME_BYTES: usize = 253;

/// Of the metadata only these bear on policy; the rest is Kubernetes' own.
#[derive(Deserialize)]
struct Metadata {
    name: String,
    namespace: Option<String>,
}

fn read_policy(at: &At<'_>, kind: &'static str, problems: &mut Problems) -> Option<Policy> {
    at.check_fields(fields::OBJECT, problems);
    let Some(metadata) = at.field("metadata") else {
        problems.add(at.error("`metadata` with a `name` is missing"));
        return None;
    };
    let Metadata { name, namespace } = metadata.read(problems)?;
    if name.is_empty()
        || name.len() > MAX_NAME_BYTES
        || namespace.as_ref().is_some_and(|name| name.len() > MAX_NAME_BYTES)
    {
        problems.add(metadata.error(format!("`name` and `namespace` have 1 to {MAX_NAME_BYTES} bytes")));
        return None;
    }
    if kind == CCNP && namespace.is_some() {
        problems.add(metadata.error(format!("a {CCNP} has no `namespace`; leave it out, or make it a {CNP}")));
    }
    let shown = namespace.as_deref().filter(|namespace| !namespace.is_empty());
    let namespace = (kind != CCNP).then(|| shown.unwrap_or(default_namespace()).to_owned());
    let full = shown.map_or_else(|| name.clone(), |namespace| format!("{namespace}/{name}"));
    let full = full.escape_debug().to_string();

    let inner = At { node: at.node, path: format!("{full}/"), dialect: at.dialect };
    let mut specs: Vec<_> = inner.field("spec").into_iter().collect();
    if let Some(more) = inner.field("specs") {
        specs.extend(more.items(problems));
    }
    if specs.is_empty() {
        problems.add(inner.error("neither `spec` nor `specs` says anything"));
    }
    let mut reader = Reader::new(namespace.as_deref(), &full);
    let specs = specs.iter().filter_map(|spec| reader.spec(spec, problems)).collect();
    let key = (kind, namespace.unwrap_or_default(), name);
    Some(Policy { name: full, key, place: at.node.place.clone(), dialect: at.dialect, specs })
}
