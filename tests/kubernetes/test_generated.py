"""What `portcullis admission` makes, used as it is: certificates, the API server's configuration, Envoy's, and what the cluster is told.

The hooks are those that come from the managed clusters' framework: who may touch what, whatever roles say.
"""

import json
import unittest

import objects
import server
import stage
from stage import HOOKS, harness, portcullis, rig, wait_for

CONTROLLER, DEPLOYER = "system:serviceaccount:kube-system:namespace-controller", "system:serviceaccount:shop:deployer"
SRE = "backplane-cluster-admin"


def definition(group: str, version: str, plural: str, kind: str, scope: str = "Cluster") -> dict:
    """A resource of somebody else's, of any shape."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": f"{plural}.{group}"}, "spec": {
        "group": group, "scope": scope, "names": {"plural": plural, "singular": kind.lower(), "kind": kind},
        "versions": [{"name": version, "served": True, "storage": True, "schema": schema}]}}


class Node(unittest.TestCase):
    """Envoy beside the API server, on the machine of a control plane."""

    @classmethod
    def setUpClass(cls):
        cls.folder = harness.scratch_folder("generated")
        cls.port = rig.free_port()
        keys, made = cls.folder / "keys", cls.folder / "made"
        portcullis("admission", "certs", "--dir", keys, "--san", "127.0.0.1")
        hooks = sorted(path for path in HOOKS.glob("*.yaml") if "targets:" in path.read_text())
        portcullis("admission", "manifests", "--layout", "node", "--url", f"https://127.0.0.1:{cls.port}", "--ca-bundle", keys / "ca.crt",
                   "--api-server-dir", keys, "--dir", made, *hooks)
        configuration = next(made.rglob("admission-configuration.yaml"))
        # The machine has it all in its root directory; here it is in ours.
        text = (made / "etc/portcullis/admission.yaml").read_text()
        for old, new in {"/etc/portcullis/tls": keys, "/etc/portcullis": made / "etc/portcullis", "/run/portcullis": cls.folder,
                         "port_value: 9901": "port_value: 0"}.items():
            text = text.replace(old, str(new))
        # The API server was told that it has its keys there.
        (keys / "kubeconfig.yaml").write_bytes(next(made.rglob("kubeconfig.yaml")).read_bytes())
        try:
            cls.cluster = cls.enterClassContext(server.Kubernetes(harness.scratch_folder("generated-cluster"), configuration))
        except rig.RigError as error:
            raise unittest.SkipTest(f"kube-apiserver: {error}") from error
        cls.envoy = rig.Envoy(harness.envoy(), text, cls.folder)
        cls.addClassCleanup(harness.stop_in_good_health, cls.envoy)
        cls.addClassCleanup(cls.find_failures)
        cls.prepare()
        told = cls.cluster.kubectl("apply", "--filename", made / "webhooks.yaml")
        if told.returncode != 0:
            raise AssertionError(told.stderr)
        wait_for("the webhooks to be in force", lambda: "denied" in cls.kubectl("create", "namespace", "com", "--dry-run=server"))

    @classmethod
    def prepare(cls):
        """What the cases are about, made before anybody judges it."""
        subject = {"kind": "ServiceAccount", "name": "operator", "namespace": "openshift-monitoring"}
        binding = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "platform"},
                   "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}, "subjects": [subject]}
        things = [
            objects.namespace("openshift-monitoring"), objects.namespace("shop"), binding,
            binding | {"metadata": {"name": "customers"}, "subjects": [subject | {"namespace": "shop"}]},
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "operator", "namespace": "openshift-monitoring"}},
            {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}},
            definition("config.openshift.io", "v1", "featuregates", "FeatureGate"),
            definition("prometheus.test", "v1", "others", "Other"),
        ]
        told = cls.cluster.kubectl("create", "--filename=-", given=things)
        if told.returncode != 0:
            raise AssertionError(told.stderr)
        cls.cluster.kubectl("wait", "--for=condition=established", "crd/featuregates.config.openshift.io")

    @classmethod
    def find_failures(cls):
        """Hooks that fail would let everything pass, as most of these say `Ignore`."""
        failed = {name: value for name, value in cls.envoy.stats().items() if name.startswith("portcullis.") and name.endswith("errors") and value}
        if failed:
            raise AssertionError(f"{failed}: see {cls.envoy.log_path}")

    @classmethod
    def kubectl(cls, *arguments, user: str = "customer", given=None) -> str:
        """What it complains of."""
        return cls.cluster.kubectl(*arguments, user=user, given=given).stderr

    def check(self, allowed: list[str], denied: list[str], by: str, *arguments, given=None):
        for user in allowed:
            with self.subTest(user, arguments=arguments):
                self.assertEqual(self.kubectl(*arguments, "--dry-run=server", user=user, given=given), "")
        for user in denied:
            with self.subTest(user, arguments=arguments):
                told = self.kubectl(*arguments, "--dry-run=server", user=user, given=given)
                self.assertIn(f'admission webhook "{by}.managed.openshift.io" denied the request: ', told)

    def test_namespaces(self):
        name = "namespace-validation"
        self.check(["sre", SRE, CONTROLLER], ["customer", DEPLOYER], name, "delete", "namespace", "openshift-monitoring")
        self.check(["sre", SRE], ["customer"], name, "label", "namespace", "kube-system", "mine=yes")
        self.check(["sre"], ["customer"], name, "create", "namespace", "io")
        self.check(["customer", "sre"], [], name, "create", "namespace", "mine")
        self.check(["customer"], [], name, "delete", "namespace", "shop")
        self.check(["sre"], ["customer"], name, "label", "namespace", "shop", "managed.openshift.io/storage-pv-quota-exempt=true")
        self.check(["customer"], [], name, "label", "namespace", "shop", "colour=red")

    def test_bindings_and_accounts(self):
        self.check([SRE, CONTROLLER], ["customer"], "clusterrolebindings-validation", "delete", "clusterrolebinding", "platform")
        self.check(["customer"], [], "clusterrolebindings-validation", "delete", "clusterrolebinding", "customers")
        self.check([SRE], ["customer"], "serviceaccount-validation", "delete", "serviceaccount", "--namespace=openshift-monitoring", "operator")

    def test_pods_and_policies_and_nodes(self):
        infra = {"key": "node-role.kubernetes.io/infra", "operator": "Exists", "effect": "NoSchedule"}
        create = ("create", "--filename=-")
        self.check([], ["customer"], "pod-validation", *create, given=objects.pod("infra", "nginx:1", namespace="shop", tolerations=[infra]))
        self.check(["customer"], [], "pod-validation", *create, given=objects.pod("plain", "nginx:1", namespace="shop"))
        policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "none", "namespace": "openshift-monitoring"},
                  "spec": {"podSelector": {}}}
        self.check([SRE], ["customer"], "networkpolicies-validation", *create, given=policy)
        self.check(["customer"], [], "networkpolicies-validation", *create, given=policy | {"metadata": {"name": "none", "namespace": "shop"}})
        self.check([], ["customer"], "node-validation-osd", "delete", "node", "node-1")

    def test_resources_of_the_platform(self):
        gate = {"apiVersion": "config.openshift.io/v1", "kind": "FeatureGate", "metadata": {"name": "cluster"},
                "spec": {"featureSet": "TechPreviewNoUpgrade"}}
        create = ("create", "--filename=-")
        self.check([], ["customer", SRE], "techpreviewnoupgrade-validation", *create, given=gate)
        self.check(["customer"], [], "techpreviewnoupgrade-validation", *create, given=gate | {"spec": {"featureSet": "LatencySensitive"}})
        self.check([SRE], ["customer"], "customresourcedefinitions-validation", *create,
                   given=definition("monitoring.coreos.com", "v1", "prometheuses", "Prometheus", "Namespaced"))
        self.check(["customer"], [], "customresourcedefinitions-validation", "delete", "customresourcedefinition", "others.prometheus.test")

    def test_services_are_changed(self):
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "front", "namespace": "shop"},
                   "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}}
        key = "service.beta.kubernetes.io/aws-load-balancer-additional-resource-tags"
        for before, after in ({}, "red-hat-managed=true"), ({key: "a=b,red-hat-managed=no"}, "red-hat-managed=true,a=b"):
            service["metadata"]["annotations"] = before
            told = self.cluster.kubectl("create", "--filename=-", "--dry-run=server", "--output=json", user="customer", given=service)
            self.assertEqual(json.loads(told.stdout)["metadata"]["annotations"], {key: after})


class Objects(unittest.TestCase):
    def test_the_api_server_takes_what_is_made_for_a_cluster(self):
        cluster = stage.Cluster.start()
        bundle = cluster.authority.path("kubernetes-ca.crt")
        whole = portcullis("admission", "manifests", "--ca-bundle", bundle, HOOKS)
        namespace = portcullis("admission", "manifests", "--only", "namespace", HOOKS)
        self.assertEqual(cluster.kubectl("apply", "--filename=-", given=namespace).stderr, "")
        told = cluster.kubectl("apply", "--dry-run=server", "--filename=-", given=whole)
        self.assertEqual((told.returncode, told.stderr), (0, ""))
        made = {line.split("/")[0] for line in told.stdout.splitlines()}
        self.assertLessEqual({"namespace", "service", "deployment.apps", "configmap", "validatingwebhookconfiguration.admissionregistration.k8s.io",
                              "mutatingwebhookconfiguration.admissionregistration.k8s.io"}, made)


if __name__ == "__main__":
    unittest.main()
