//! What a hook says of itself to the API server and to people: what manifests and documentation are made of.

use serde::{Deserialize, Serialize};

/// A hook as its document describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// The name: a DNS label, unique.
    pub name: String,
    /// The exact path that reviews are posted to, unique.
    pub uri: String,
    /// The name of the webhook in manifests, where the document gives one: at least three labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook_name: Option<String>,
    /// What it does and why, with the lists filled in.
    pub doc: String,
    /// What becomes of a request where the filter cannot be reached.
    pub failure_policy: FailurePolicy,
    /// Whether rules speak of other versions of the same objects, too.
    pub match_policy: MatchPolicy,
    /// Whether judging changes anything elsewhere.
    pub side_effects: SideEffects,
    /// How long the API server waits, 1 to 30.
    pub timeout_seconds: u8,
    /// Whether it is asked again where later webhooks change the object; only of hooks that change objects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reinvocation_policy: Option<ReinvocationPolicy>,
    /// Which requests it speaks of.
    pub rules: Vec<WebhookRule>,
    /// Of which namespaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// Of which objects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object_selector: Option<LabelSelector>,
    /// The groups of clusters it is meant for; all if there is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<String>,
    /// Whether denials are enforced.
    pub mode: Mode,
    /// What becomes of a request that cannot be judged.
    pub on_error: OnError,
    /// Whether it changes objects, and belongs into a MutatingWebhookConfiguration.
    pub mutating: bool,
    /// The engine that judges instead of its own rules: `gatekeeper`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<&'static str>,
}

impl Spec {
    /// Whether it is meant for a group of clusters.
    pub fn is_for(&self, target: &str) -> bool {
        self.targets.is_empty() || self.targets.iter().any(|known| known == target)
    }
}

/// One of the `rules` of a webhook (`admissionregistration.k8s.io/v1`, RuleWithOperations).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookRule {
    /// `CREATE`, `UPDATE`, `DELETE`, `CONNECT`, or `*` alone.
    pub operations: Vec<String>,
    /// API groups, or `*` alone.
    pub api_groups: Vec<String>,
    /// Versions, or `*` alone.
    pub api_versions: Vec<String>,
    /// Resources: `pods`, `pods/exec`, `pods/*`, `*/scale`, `*`, `*/*`.
    pub resources: Vec<String>,
    /// Whether objects in namespaces or others.
    pub scope: Scope,
}

/// Objects in namespaces, outside of them, or both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// Objects in namespaces.
    Namespaced,
    /// Objects in no namespace; namespaces are such.
    Cluster,
    /// Both.
    #[default]
    #[serde(rename = "*")]
    All,
}

/// What the API server does where a webhook cannot be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailurePolicy {
    /// It refuses the request.
    #[default]
    Fail,
    /// It goes on.
    Ignore,
}

/// Whether a webhook is asked about other versions of the objects that its rules name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MatchPolicy {
    /// It is, and gets them in the version of the rules.
    #[default]
    Equivalent,
    /// It is not.
    Exact,
}

/// Whether judging changes anything elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SideEffects {
    /// Never.
    #[default]
    None,
    /// Not for dry runs.
    NoneOnDryRun,
}

/// Whether a webhook is asked again after later ones changed the object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReinvocationPolicy {
    /// Never.
    #[default]
    Never,
    /// Where they did.
    IfNeeded,
}

/// Whether denials are enforced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// They are.
    #[default]
    Enforce,
    /// The client is warned, and the request goes on.
    Warn,
    /// It is written into the audit log, and the request goes on.
    Audit,
}

/// What becomes of a request that cannot be judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OnError {
    /// It is denied.
    #[default]
    Deny,
    /// It goes on.
    Allow,
    /// Where there is an upstream webhook, that one decides; else it goes on.
    Pass,
}

/// A `metav1.LabelSelector` as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelSelector {
    /// Labels that must be there with these values.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub match_labels: std::collections::BTreeMap<String, String>,
    /// Requirements that must all be met.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<Requirement>,
}

/// One requirement of a [`LabelSelector`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// The key of the label.
    pub key: String,
    /// What is asked.
    pub operator: SelectorOperator,
    /// The values for `In` and `NotIn`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// What a [`Requirement`] asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SelectorOperator {
    /// The label has one of the values.
    In,
    /// It has none of them, or is not there.
    NotIn,
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
}
