//! What the API server is told, so that it shows who it is to the webhooks: it is anonymous else.

use serde_json::{Value, json};

use super::{Callers, Made, Part, Plan};

/// Two files; none where anybody may call. `dir` is where they stand among the files that are made.
pub(super) fn make(plan: &Plan<'_>, dir: &str) -> Vec<Made> {
    if plan.args.callers == Callers::Anonymous {
        return Vec::new();
    }
    let (configuration, kubeconfig) = (configuration(plan), kubeconfig(plan));
    let file = |name: &str| format!("{dir}/{name}");
    vec![
        Made::objects(Part::AdmissionConfiguration, &file("admission-configuration.yaml"), vec![configuration]),
        Made::objects(Part::Kubeconfig, &file("kubeconfig.yaml"), vec![kubeconfig]),
    ]
}

fn configuration(plan: &Plan<'_>) -> Value {
    let plugin = |name: &str| {
        json!({
            "name": name,
            "configuration": {
                "apiVersion": "apiserver.config.k8s.io/v1",
                "kind": "WebhookAdmissionConfiguration",
                "kubeConfigFile": in_dir(plan, "kubeconfig.yaml"),
            },
        })
    };
    json!({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AdmissionConfiguration",
        "plugins": [plugin("MutatingAdmissionWebhook"), plugin("ValidatingAdmissionWebhook")],
    })
}

fn kubeconfig(plan: &Plan<'_>) -> Value {
    let user = match &plan.args.token_file {
        Some(file) => json!({"tokenFile": file}),
        None => {
            json!({"client-certificate": in_dir(plan, "client.crt"), "client-key": in_dir(plan, "client.key")})
        }
    };
    json!({"apiVersion": "v1", "kind": "Config", "users": [{"name": plan.reach.user(), "user": user}]})
}

fn in_dir(plan: &Plan<'_>, file: &str) -> String {
    format!("{}/{file}", plan.args.api_server_dir.trim_end_matches('/'))
}
