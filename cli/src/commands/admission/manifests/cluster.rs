//! Envoy in pods, behind a service.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::envoy::{self, Places};
use super::webhooks::NAME_LABEL;
use super::{Made, Part, Plan, api_server, config_maps};

/// Where the ConfigMap with Envoy's configuration is mounted.
const CONFIG_DIR: &str = "/etc/portcullis/config";
const STATUS_DIR: &str = "/run/portcullis";
/// Envoy's own user in its images.
const USER: u32 = 101;

pub(super) fn make(plan: &Plan<'_>) -> anyhow::Result<Vec<Made>> {
    let args = plan.args;
    let callers = format!("{CONFIG_DIR}/admission-callers.yaml");
    let status = format!("{STATUS_DIR}/status.json");
    let places = Places { address: "0.0.0.0", port: envoy::PORT, callers: &callers, status: &status };
    let bootstrap = envoy::configure(plan, &places)?;
    let hash: String = Sha256::digest(&bootstrap).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let config = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": plan.metadata(&args.name),
        "data": {"envoy.yaml": bootstrap, "admission-callers.yaml": envoy::callers(plan)},
    });
    let hooks = config_maps::pack(&plan.sources(), &|nth| plan.metadata(&format!("{}-hooks-{nth}", args.name)))?;
    let names: Vec<Value> = hooks.iter().map(|map| map["metadata"]["name"].clone()).collect();
    let mut maps = vec![config];
    maps.extend(hooks);
    let mut made = vec![
        Made::objects(Part::Namespace, "10-namespace.yaml", vec![namespace(plan)]),
        Made::objects(Part::ConfigMaps, "20-config-maps.yaml", maps),
        Made::objects(Part::Service, "30-service.yaml", vec![service(plan)]),
        Made::objects(Part::Deployment, "40-deployment.yaml", vec![deployment(plan, &hash, &names)]),
        // Last: from here on the API server asks.
        plan.webhooks("50-webhooks.yaml")?,
    ];
    made.extend(api_server::make(plan, "api-server"));
    Ok(made)
}

/// The API server sets the label itself from 1.21 on; before, it is not there unless somebody sets it.
fn namespace(plan: &Plan<'_>) -> Value {
    let mut labels = plan.labels.clone();
    labels.insert(NAME_LABEL.to_owned(), plan.args.namespace.clone());
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": plan.args.namespace, "labels": labels}})
}

fn service(plan: &Plan<'_>) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": plan.metadata(&plan.args.name),
        "spec": {
            "selector": selector(plan),
            "ports": [{"name": "https", "port": plan.args.port, "protocol": "TCP", "targetPort": "https"}],
        },
    })
}

fn selector(plan: &Plan<'_>) -> Value {
    json!({"app.kubernetes.io/name": plan.args.name})
}

fn deployment(plan: &Plan<'_>, hash: &str, hooks: &[Value]) -> Value {
    let args = plan.args;
    let sources: Vec<Value> = hooks.iter().map(|name| json!({"configMap": {"name": name}})).collect();
    let spread = json!({"weight": 100, "podAffinityTerm": {
        "topologyKey": "kubernetes.io/hostname",
        "labelSelector": {"matchLabels": selector(plan)},
    }});
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": plan.metadata(&args.name),
        "spec": {
            "replicas": args.replicas,
            "selector": {"matchLabels": selector(plan)},
            // Never fewer than there should be: hooks may be `failurePolicy: Fail`.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {
                // Envoy reads its configuration once, at the start; hooks that change need no new pods.
                "metadata": {"labels": plan.labels, "annotations": {"portcullis.dev/envoy-config": hash}},
                "spec": {
                    "automountServiceAccountToken": false,
                    "priorityClassName": "system-cluster-critical",
                    "securityContext": {
                        "runAsNonRoot": true,
                        "runAsUser": USER,
                        "runAsGroup": USER,
                        "fsGroup": USER,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [spread]}},
                    "containers": [container(plan, &format!("{CONFIG_DIR}/envoy.yaml"), envoy::PORT, &[
                        ("config", CONFIG_DIR, true),
                        ("hooks", "/etc/portcullis/hooks", true),
                        ("tls", "/etc/portcullis/tls", true),
                        ("run", STATUS_DIR, false),
                    ])],
                    "volumes": [
                        {"name": "config", "configMap": {"name": args.name}},
                        {"name": "hooks", "projected": {"sources": sources}},
                        {"name": "tls", "secret": {"secretName": args.tls_secret}},
                        {"name": "run", "emptyDir": {}},
                    ],
                },
            },
        },
    })
}

/// Envoy. `mounts` are volumes, where they are, and whether they are only read.
pub(super) fn container(plan: &Plan<'_>, config: &str, port: u16, mounts: &[(&str, &str, bool)]) -> Value {
    let mount = |(name, path, read_only): &(&str, &str, bool)| match read_only {
        true => json!({"name": name, "mountPath": path, "readOnly": true}),
        false => json!({"name": name, "mountPath": path}),
    };
    let mounts: Vec<Value> = mounts.iter().map(mount).collect();
    let probe = |path: &str| json!({"httpGet": {"path": path, "port": port, "scheme": "HTTPS"}, "periodSeconds": 5});
    json!({
        "name": "envoy",
        "image": plan.args.image,
        // Two Envoys with hot restart on one machine's network would be in each other's way.
        "command": ["envoy", "-c", config, "--log-level", "warning", "--disable-hot-restart"],
        "env": [{"name": "ENVOY_DYNAMIC_MODULES_SEARCH_PATH", "value": "/usr/lib/portcullis"}],
        "ports": [{"name": "https", "containerPort": port, "protocol": "TCP"}],
        "readinessProbe": probe("/readyz"),
        "livenessProbe": probe("/healthz"),
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    })
}
