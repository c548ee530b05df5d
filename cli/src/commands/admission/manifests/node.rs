//! Envoy in a static pod beside the API server: files for the machine, by where they belong.

use anyhow::bail;
use serde_json::json;

use super::envoy::{self, Places};
use super::webhooks::Reach;
use super::{Made, Part, Plan, api_server, cluster, config_maps};
use crate::commands::admission::yaml;
use crate::exit::Usage;

/// Where the machine has it all.
const DIR: &str = "etc/portcullis";

pub(super) fn make(plan: &Plan<'_>) -> anyhow::Result<Vec<Made>> {
    let Reach::Url { host, port } = &plan.reach else {
        bail!(Usage("on a control-plane node there is no service: give `--url https://127.0.0.1:8443`".to_owned()));
    };
    let is_loopback = host == "localhost" || host.starts_with("127.") || host == "[::1]";
    let address = match host.as_str() {
        "[::1]" => "::1",
        _ if is_loopback => "127.0.0.1",
        _ => "0.0.0.0",
    };
    let callers = format!("/{DIR}/admission-callers.yaml");
    let places = Places { address, port: *port, callers: &callers, status: "/run/portcullis/status.json" };
    let bootstrap = envoy::configure(plan, &places)?;
    let file = |name: &str| format!("{DIR}/{name}");
    let mut made = vec![
        Made::text(
            Part::StaticPod,
            format!("etc/kubernetes/manifests/{}.yaml", plan.args.name),
            yaml::write(&static_pod(plan, *port, address)),
        ),
        Made::text(Part::Envoy, file("admission.yaml"), bootstrap),
        Made::text(Part::Callers, file("admission-callers.yaml"), envoy::callers(plan)),
    ];
    for (name, text) in config_maps::files(&plan.sources())? {
        made.push(Made::text(Part::Hooks, file(&format!("hooks/{name}")), text));
    }
    made.extend(api_server::make(plan, plan.args.api_server_dir.trim_matches('/')));
    made.push(plan.webhooks("webhooks.yaml")?);
    Ok(made)
}

fn static_pod(plan: &Plan<'_>, port: u16, address: &str) -> serde_json::Value {
    let config = format!("/{DIR}/admission.yaml");
    let mounts = [("portcullis", "/etc/portcullis", true), ("run", "/run/portcullis", false)];
    let mut container = cluster::container(plan, &config, port, &mounts);
    for probe in ["readinessProbe", "livenessProbe"] {
        // On the loopback address nobody but the machine itself reaches it, and the pod's address is that of the machine.
        container[probe]["httpGet"]["host"] = if address == "0.0.0.0" { "127.0.0.1" } else { address }.into();
    }
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": plan_metadata(plan),
        "spec": {
            "hostNetwork": true,
            "priorityClassName": "system-node-critical",
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
            "volumes": [
                {"name": "portcullis", "hostPath": {"path": format!("/{DIR}"), "type": "Directory"}},
                {"name": "run", "emptyDir": {}},
            ],
        },
    })
}

/// Static pods are of the namespace of the control plane.
fn plan_metadata(plan: &Plan<'_>) -> serde_json::Value {
    json!({"name": plan.args.name, "namespace": "kube-system", "labels": plan.labels})
}
