//! ValidatingWebhookConfiguration and MutatingWebhookConfiguration (`admissionregistration.k8s.io/v1`): one webhook for each hook.

use std::collections::BTreeMap;

use anyhow::bail;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use portcullis_parsers::admission::hooks::spec::{LabelSelector, Requirement, SelectorOperator, Spec};
use serde_json::{Map, Value, json};

/// What holds for all webhooks.
pub(super) struct Webhooks<'a> {
    /// The name of the objects.
    pub(super) name: &'a str,
    /// What makes a webhook's name of a hook's.
    pub(super) suffix: &'a str,
    /// Where the API server finds them.
    pub(super) reach: &'a Reach,
    /// Whom the API server trusts, as PEM.
    pub(super) ca_bundle: Option<&'a [u8]>,
    /// What else the namespaces must meet.
    pub(super) namespaces: Vec<Requirement>,
    pub(super) labels: &'a BTreeMap<String, String>,
    pub(super) annotations: &'a BTreeMap<String, String>,
}

/// Where the API server finds the webhooks.
pub(super) enum Reach {
    /// A service of the cluster.
    Service { namespace: String, name: String, port: u16 },
    /// `https://HOST:PORT`.
    Url { host: String, port: u16 },
}

impl Reach {
    /// What the API server looks for in its configuration of credentials.
    pub(super) fn user(&self) -> String {
        match self {
            Self::Service { namespace, name, port: 443 } => format!("{name}.{namespace}.svc"),
            Self::Service { namespace, name, port } => format!("{name}.{namespace}.svc:{port}"),
            Self::Url { host, port } => format!("{host}:{port}"),
        }
    }

    fn client_config(&self, path: &str) -> Value {
        match self {
            Self::Service { namespace, name, port } => {
                json!({"service": {"namespace": namespace, "name": name, "port": port, "path": path}})
            }
            Self::Url { host, port } => json!({"url": format!("https://{host}:{port}{path}")}),
        }
    }
}

impl Webhooks<'_> {
    /// The objects: none for hooks that there are none of.
    pub(super) fn objects(&self, hooks: &[&Spec]) -> anyhow::Result<Vec<Value>> {
        let mut named = BTreeMap::new();
        for hook in hooks {
            let name = self.name_of(hook)?;
            if let Some(other) = named.insert(name.clone(), *hook) {
                bail!("the hooks `{}` and `{}` have one name, `{name}`: change a `webhookName`", other.name, hook.name);
            }
        }
        let mut objects = Vec::new();
        for (kind, mutating) in [("MutatingWebhookConfiguration", true), ("ValidatingWebhookConfiguration", false)] {
            let of_kind = named.iter().filter(|(_, hook)| hook.mutating == mutating);
            let webhooks: Vec<Value> = of_kind.map(|(name, hook)| self.webhook(name, hook)).collect();
            if webhooks.is_empty() {
                continue;
            }
            let mut metadata = json!({"name": self.name, "labels": self.labels});
            if !self.annotations.is_empty() {
                set(&mut metadata, "annotations", json!(self.annotations));
            }
            objects.push(json!({
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": kind,
                "metadata": metadata,
                "webhooks": webhooks,
            }));
        }
        Ok(objects)
    }

    fn name_of(&self, hook: &Spec) -> anyhow::Result<String> {
        let name = hook.webhook_name.clone().unwrap_or_else(|| format!("{}.{}", hook.name, self.suffix));
        super::check_subdomain(&name)?;
        if name.split('.').count() < 3 {
            bail!(
                "the webhook of `{}` would be `{name}`: Kubernetes wants three labels at least, so `--suffix example.com`",
                hook.name
            );
        }
        Ok(name)
    }

    fn webhook(&self, name: &str, hook: &Spec) -> Value {
        let mut client_config = self.reach.client_config(&hook.uri);
        if let Some(bundle) = self.ca_bundle {
            set(&mut client_config, "caBundle", BASE64_STANDARD.encode(bundle).into());
        }
        let mut webhook = json!({
            "name": name,
            "admissionReviewVersions": ["v1", "v1beta1"],
            "clientConfig": client_config,
            "failurePolicy": hook.failure_policy,
            "matchPolicy": hook.match_policy,
            "rules": hook.rules,
            "sideEffects": hook.side_effects,
            "timeoutSeconds": hook.timeout_seconds,
        });
        let namespaces = self.namespaces_of(hook);
        if namespaces != LabelSelector::default() {
            set(&mut webhook, "namespaceSelector", json!(namespaces));
        }
        if let Some(selector) = hook.object_selector.as_ref().filter(|selector| **selector != LabelSelector::default())
        {
            set(&mut webhook, "objectSelector", json!(selector));
        }
        if let Some(policy) = hook.reinvocation_policy.filter(|_| hook.mutating) {
            set(&mut webhook, "reinvocationPolicy", json!(policy));
        }
        webhook
    }

    /// The hook's own selector, and what is asked of all.
    fn namespaces_of(&self, hook: &Spec) -> LabelSelector {
        let mut selector = hook.namespace_selector.clone().unwrap_or_default();
        let more = self
            .namespaces
            .iter()
            .filter(|more| !hook.namespace_selector.as_ref().is_some_and(|own| own.match_expressions.contains(more)));
        selector.match_expressions.extend(more.cloned());
        selector
    }
}

/// What keeps the API server from asking about these namespaces: by the label that it gives each of them (from 1.21).
pub(super) fn exclude_namespaces(names: Vec<String>) -> Option<Requirement> {
    let requirement = |values| Requirement { key: NAME_LABEL.to_owned(), operator: SelectorOperator::NotIn, values };
    (!names.is_empty()).then(|| requirement(names))
}

/// The same by a label: `key=value`, or `key` with whatever value.
pub(super) fn exclude_label(label: &str) -> Requirement {
    let (key, operator, values) = match label.split_once('=') {
        Some((key, value)) => (key, SelectorOperator::NotIn, vec![value.to_owned()]),
        None => (label, SelectorOperator::DoesNotExist, Vec::new()),
    };
    Requirement { key: key.to_owned(), operator, values }
}

/// "The Kubernetes API server sets this label on all namespaces": nobody can take it off.
pub(super) const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Sets a field of an object.
pub(super) fn set(object: &mut Value, field: &str, value: Value) {
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    object[field] = value;
}
