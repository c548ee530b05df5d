#!/usr/bin/env python3
"""Records what a real API server sends to webhooks into tests/kubernetes/corpus: bodies as they are, and one head.

    python3 tests/kubernetes/record.py [FOLDER]

Bodies carry times and identifiers that are others each time. Nothing in them is anybody's: every name and secret is made up here.
"""

import base64
import sys
import tempfile
from pathlib import Path

import objects
import server
from standin import StandIn

CORPUS = Path(__file__).resolve().parent / "corpus"
EVICTION = {"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": "web-server", "namespace": "shop"}}
CUSTOM = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "droids.portcullis.test"}, "spec": {
    "group": "portcullis.test", "scope": "Namespaced", "names": {"plural": "droids", "singular": "droid", "kind": "Droid"},
    "versions": [{"name": "v1", "served": True, "storage": True,
                  "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}]}}


class Recorder:
    def __init__(self, folder: Path, cluster: server.Kubernetes, hook: StandIn):
        self.folder, self.cluster, self.hook = folder, cluster, hook

    def take(self, name: str, operation: str, resource: str, act, sub_resource: str = "") -> None:
        """Lets `act` happen, and keeps the one request that it is about; what else the API server asks meanwhile is of no interest."""
        self.hook.calls.clear()
        act()
        def wanted(call):
            asked = call.review
            return asked["operation"] == operation and asked["resource"]["resource"] == resource and asked.get("subResource", "") == sub_resource
        found = [call for call in list(self.hook.calls) if wanted(call)]
        if not found:
            raise SystemExit(f"{name}: nobody was asked about {operation} {resource}/{sub_resource}, but about "
                             f"{[(call.review['operation'], call.review['resource']['resource'], call.review.get('subResource')) for call in self.hook.calls]}")
        (self.folder / f"{name}.json").write_bytes(found[0].body)
        if name == "pod-create-ok":
            (self.folder / f"{name}.http").write_bytes(found[0].head + found[0].body)
        print(f"{len(found[0].body):8} {name}  {found[0].path}")

    def kubectl(self, *arguments, user: str = "customer", given=None, fails: bool = False):
        def act():
            told = self.cluster.kubectl(*arguments, user=user, given=given)
            if (told.returncode != 0) != fails:
                raise SystemExit(f"kubectl {arguments}: {told.stdout}{told.stderr}")
        return act

    def ask(self, *arguments, **more):
        def act():
            try:
                self.cluster.ask(*arguments, **more)
            except server.urllib.error.HTTPError as refusal:
                print(f"         {arguments[:2]}: {refusal.code} {server.reason_of(refusal).get('message')}")
        return act


def record(recorder: Recorder) -> None:
    take, kubectl, ask = recorder.take, recorder.kubectl, recorder.ask
    apply = ("apply", "--filename=-")
    take("namespace-create", "CREATE", "namespaces", kubectl(*apply, given=objects.namespace("shop", hr="ann")))
    take("namespace-update", "UPDATE", "namespaces", kubectl("label", "namespace", "shop", "finance=bob"))
    take("pod-create-bad-repo", "CREATE", "pods", kubectl(*apply, given=objects.pod("bad-repo", "nginx:1.21.1", namespace="shop")))
    take("pod-create-bad-tag", "CREATE", "pods", kubectl(*apply, given=objects.pod("bad-tag", "192.168.64.1:5000/nginx:latest", namespace="shop")))
    take("pod-create-ok", "CREATE", "pods", kubectl(*apply, given=objects.pod("web-server", "192.168.64.1:5000/nginx:1.21.1", namespace="shop")))
    take("pod-create-generate-name", "CREATE", "pods", kubectl("create", "--filename=-", given=generated_pod()))
    take("pod-create-dry-run", "CREATE", "pods", kubectl(*apply, "--dry-run=server", given=objects.pod("dry", "nginx:1.21.1", namespace="shop")))
    take("pod-create-server-side-apply", "CREATE", "pods", kubectl(*apply, "--server-side", given=server_side_pod()))
    take("pod-create-large", "CREATE", "pods", kubectl("create", "--filename=-", given=large_pod()))
    take("pod-update", "UPDATE", "pods", kubectl("set", "image", "--namespace=shop", "pod/web-server", "web-server=nginx:latest"))
    take("pod-exec", "CONNECT", "pods", kubectl("exec", "--namespace=shop", "web-server", "--", "id", fails=True), "exec")
    take("pod-eviction", "CREATE", "pods", ask("POST", "/api/v1/namespaces/shop/pods/web-server/eviction", EVICTION, user="customer"), "eviction")
    take("pod-delete", "DELETE", "pods", kubectl("delete", "--namespace=shop", "--wait=false", "pod", "bad-tag"))
    take("pod-delete-collection", "DELETE", "pods", ask("DELETE", "/api/v1/namespaces/shop/pods?labelSelector=run=web-server", user="customer"))
    take("deployment-create", "CREATE", "deployments", kubectl(*apply, given=objects.deployment("shop", "nginx:1.21.1", namespace="shop")))
    take("deployment-update", "UPDATE", "deployments", kubectl("set", "image", "--namespace=shop", "deployment/shop", "shop=nginx:latest"))
    take("deployment-scale", "UPDATE", "deployments", kubectl("scale", "--namespace=shop", "deployment/shop", "--replicas=3"), "scale")
    status = {"status": {"observedGeneration": 1, "replicas": 3}}
    take("deployment-status", "UPDATE", "deployments",
         ask("PATCH", "/apis/apps/v1/namespaces/shop/deployments/shop/status", status, kind="application/merge-patch+json"), "status")
    take("cron-job-create", "CREATE", "cronjobs", kubectl("create", "cronjob", "--namespace=shop", "sweep", "--image=nginx", "--schedule=0 1 * * *"))
    take("secret-create", "CREATE", "secrets", kubectl("create", "secret", "generic", "--namespace=shop", "door", "--from-literal=password=canary7c4"))
    take("service-account-token", "CREATE", "serviceaccounts", token_of(recorder), "token")
    kubectl("create", "clusterrolebinding", "cluster-admin", "--clusterrole=cluster-admin", "--group=system:masters")()
    take("cluster-role-binding-delete", "DELETE", "clusterrolebindings", kubectl("delete", "clusterrolebinding", "cluster-admin"))
    take("custom-resource-definition-create", "CREATE", "customresourcedefinitions", kubectl("create", "--filename=-", given=CUSTOM, user="admin"))
    recorder.kubectl("wait", "--for=condition=established", "crd/droids.portcullis.test")()
    droid = {"apiVersion": "portcullis.test/v1", "kind": "Droid", "metadata": {"name": "c3po", "namespace": "shop"}, "spec": {"languages": 6_000_000}}
    take("custom-resource-create", "CREATE", "droids", kubectl("create", "--filename=-", given=droid))
    take("namespace-delete", "DELETE", "namespaces", kubectl("delete", "--wait=false", "namespace", "shop"))


def generated_pod() -> dict:
    pod = objects.pod("", "nginx", namespace="shop")
    del pod["metadata"]["name"]
    return pod | {"metadata": pod["metadata"] | {"generateName": "batch-"}}


def server_side_pod() -> dict:
    """Fields without a value are not for it."""
    pod = objects.pod("server-side", "nginx:1.21.1", namespace="shop")
    return {key: value for key, value in pod.items() if key != "status"} | {"metadata": {"name": "server-side", "namespace": "shop"}}


def large_pod() -> dict:
    """As operators write them: environments, probes, volumes, affinities."""
    pod = objects.pod("large", "192.168.64.1:5000/nginx:1.21.1", "192.168.64.1:5000/proxy:2.4.0", namespace="shop",
                      initContainers=[{"name": "prepare", "image": "192.168.64.1:5000/tools:7"}],
                      volumes=[{"name": f"volume-{number}", "configMap": {"name": f"settings-{number}"}} for number in range(8)],
                      tolerations=[{"key": "dedicated", "operator": "Equal", "value": "web", "effect": "NoSchedule"}])
    for container in pod["spec"]["containers"]:
        container["env"] = [{"name": f"SETTING_{number}", "value": f"a value of some length, number {number}"} for number in range(16)]
        container["volumeMounts"] = [{"name": f"volume-{number}", "mountPath": f"/etc/settings/{number}"} for number in range(8)]
        container["resources"] = {"limits": {"cpu": "500m", "memory": "256Mi"}, "requests": {"cpu": "100m", "memory": "64Mi"}}
        container["livenessProbe"] = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10}
    return pod


def token_of(recorder: Recorder):
    recorder.kubectl("create", "serviceaccount", "--namespace=shop", "deployer")()
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": ["portcullis.test"]}}
    return recorder.ask("POST", "/api/v1/namespaces/shop/serviceaccounts/deployer/token", request, user="customer")


def main() -> int:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else CORPUS
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, server.Kubernetes(Path(scratch)) as cluster:
        authority = Path(cluster.authority.path("kubernetes-ca.crt")).read_bytes()
        with StandIn(certificate=cluster.authority.issue("webhook", "IP:127.0.0.1")) as hook:
            whole = everything(f"https://127.0.0.1:{hook.port}/everything", authority)
            register(cluster, hook, whole)
            record(Recorder(folder, cluster, hook))
            cluster.kubectl("delete", "--filename=-", given=whole)
            whole["webhooks"][0]["admissionReviewVersions"] = ["v1beta1"]
            hook.calls.clear()
            register(cluster, hook, whole)
            recorder = Recorder(folder, cluster, hook)
            recorder.take("pod-create-v1beta1", "CREATE", "pods", recorder.kubectl("apply", "--filename=-", given=objects.pod("old", "nginx:1.21.1")))
    return 0


def everything(url: str, authority: bytes) -> dict:
    rules = [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}]
    webhook = {"name": "everything.portcullis.test", "clientConfig": {"url": url, "caBundle": base64.b64encode(authority).decode()}, "rules": rules,
               "failurePolicy": "Fail", "sideEffects": "None", "admissionReviewVersions": ["v1"]}
    return {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": {"name": "everything"},
            "webhooks": [webhook]}


def register(cluster: server.Kubernetes, hook: StandIn, configuration: dict) -> None:
    """The API server takes a moment to see it."""
    told = cluster.kubectl("create", "--filename=-", given=configuration)
    if told.returncode != 0:
        raise SystemExit(told.stderr)

    def asked():
        cluster.kubectl("create", "--dry-run=server", "--filename=-", given=objects.config_map("probe"))
        return hook.calls
    server.rig.wait_for("the API server to ask the webhook", asked)


if __name__ == "__main__":
    sys.exit(main())
