"""The audit of a real API server: pages, namespaces' labels, statuses, an inventory; as article 002 of Gatekeeper shows it."""

import base64
import json
import subprocess
import unittest

import objects
import stage
from rig import wait_for
from stage import Cluster, harness

GROUP = "constraints.gatekeeper.sh"
# The article's template and constraint, line breaks restored; the schema's `items: string` is the article's.
TEMPLATE = """
apiVersion: templates.gatekeeper.sh/v1beta1
kind: ConstraintTemplate
metadata:
  name: k8srequiredlabels
spec:
  crd:
    spec:
      names:
        kind: K8sRequiredLabels
        listKind: K8sRequiredLabelsList
        plural: k8srequiredlabels
        singular: k8srequiredlabels
      validation:
        # Schema for the `parameters` field
        openAPIV3Schema:
          properties:
            labels:
              type: array
              items: string
  targets:
    - target: admission.k8s.gatekeeper.sh
      rego: |
        package k8srequiredlabels

        deny[{"msg": msg, "details": {"missing_labels": missing}}] {
          provided := {label | input.review.object.metadata.labels[label]}
          required := {label | label := input.parameters.labels[_]}
          missing := required - provided
          count(missing) > 0
          msg := sprintf("you must provide labels: %v", [missing])
        }
"""


def constraint(name: str, label: str, **match) -> dict:
    match = match or {"kinds": [{"apiGroups": [""], "kinds": ["Namespace"]}]}
    return {"apiVersion": f"{GROUP}/v1beta1", "kind": "K8sRequiredLabels", "metadata": {"name": name},
            "spec": {"match": match, "parameters": {"labels": [label]}}}


# What Gatekeeper makes of a template: the kind of its constraints, whose status is a subresource.
KIND = {
    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": f"k8srequiredlabels.{GROUP}"},
    "spec": {"group": GROUP, "scope": "Cluster",
             "names": {"kind": "K8sRequiredLabels", "listKind": "K8sRequiredLabelsList", "plural": "k8srequiredlabels", "singular": "k8srequiredlabels"},
             "versions": [{"name": "v1beta1", "served": True, "storage": True, "subresources": {"status": {}},
                           "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}]}}


class Audit(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster.start()
        cls.folder = harness.scratch_folder("audit")
        cls.policies = cls.folder / "policies"
        cls.policies.mkdir()
        (cls.policies / "template.yaml").write_text(TEMPLATE)
        authority = base64.b64encode(open(cls.cluster.authority.path("kubernetes-ca.crt"), "rb").read()).decode()
        cls.kubeconfig = cls.folder / "kubeconfig"
        cls.kubeconfig.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "clusters": [{"name": "here", "cluster": {"server": f"https://127.0.0.1:{cls.cluster.port}", "certificate-authority-data": authority}}],
            "users": [{"name": "admin", "user": {"token": "admin"}}], "contexts": [{"name": "here", "context": {"cluster": "here", "user": "admin"}}]}))
        cls.namespaces = [f"audit-{number:02}" for number in range(23)]
        made = [KIND, *(objects.namespace(name, audited="yes", **({"hr": "yes"} if number % 2 else {})) for number, name in enumerate(cls.namespaces))]
        told = cls.cluster.kubectl("create", "--filename=-", given=made)
        if told.returncode != 0:
            raise AssertionError(told.stderr)
        wait_for("the kind of constraints", lambda: cls.cluster.kubectl("get", f"k8srequiredlabels.{GROUP}").returncode == 0)

    @classmethod
    def tearDownClass(cls):
        cls.cluster.kubectl("delete", "crd", KIND["metadata"]["name"])
        cls.cluster.kubectl("delete", "--wait=false", "namespace", *cls.namespaces)

    def put(self, *constraints: dict) -> None:
        """In force here, and in the cluster."""
        (self.policies / "constraints.yaml").write_text("---\n".join(json.dumps(each) + "\n" for each in constraints))
        told = self.cluster.kubectl("apply", "--filename=-", given=list(constraints))
        self.assertEqual(told.returncode, 0, told.stderr)

    def audit(self, *arguments: str) -> subprocess.CompletedProcess:
        if not stage.PROGRAM.exists():
            self.skipTest(f"`{stage.PROGRAM}` is not there: run `cargo build -p portcullis-cli` first")
        command = [stage.PROGRAM, "admission", "audit", "--kubeconfig", self.kubeconfig, *arguments, self.policies]
        return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120)

    def assert_violations(self, told: subprocess.CompletedProcess) -> None:
        """And no error. What the article's template leaves out of its schema is noted."""
        self.assertEqual(told.returncode, 1, told.stderr)
        self.assertNotIn("error:", told.stderr)

    def status(self, name: str) -> dict:
        return json.loads(self.cluster.kubectl("get", f"k8srequiredlabels.{GROUP}", name, "--output=json").stdout).get("status", {})

    def test_pages_come_to_the_same(self):
        self.put(constraint("ns-must-have-hr", "hr"))
        found = []
        for size in ("1", "7", "500"):
            told = self.audit("--page-size", size, "--output", "json", "--limit", "1000")
            self.assert_violations(told)
            found.append({each["name"] for each in json.loads(told.stdout)["constraints"][0]["violations"]})
        self.assertEqual(found[0], found[1])
        self.assertEqual(found[1], found[2])
        self.assertLessEqual({name for number, name in enumerate(self.namespaces) if not number % 2} | {"default", "kube-system", "kube-public"}, found[0])
        self.assertFalse({name for number, name in enumerate(self.namespaces) if number % 2} & found[0])

    def test_statuses_are_as_the_article_shows_them(self):
        self.put(constraint("ns-must-have-hr", "hr"), constraint("ns-must-have-audited", "audited", kinds=[{"apiGroups": [""], "kinds": ["Namespace"]}],
                                                                 labelSelector={"matchLabels": {"audited": "yes"}}))
        told = self.audit("--write-status", "--id", "auditor-0", "--limit", "4")
        self.assert_violations(told)
        status = self.status("ns-must-have-hr")
        self.assertEqual(status["byPod"], [{"enforced": True, "id": "auditor-0"}])
        self.assertRegex(status["auditTimestamp"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertEqual(len(status["violations"]), 4)
        self.assertGreaterEqual(status["totalViolations"], 15)
        self.assertEqual(status["violations"][0], {"enforcementAction": "deny", "group": "", "version": "v1", "kind": "Namespace", "name": "audit-00",
                                                   "message": 'you must provide labels: {"hr"}'})
        nothing = self.status("ns-must-have-audited")
        self.assertEqual((nothing["totalViolations"], "violations" in nothing), (0, False))
        # Once nothing is wrong any more, nothing is said.
        self.put(constraint("ns-must-have-hr", "kubernetes.io/metadata.name", kinds=[{"apiGroups": ["none"], "kinds": ["Nothing"]}]))
        told = self.audit("--write-status", "--id", "auditor-1")
        self.assertEqual(told.returncode, 0, told.stderr)
        self.assertIn("speaks of Nothing", told.stderr)
        status = self.status("ns-must-have-hr")
        self.assertEqual((status["totalViolations"], "violations" in status), (0, False))
        self.assertEqual([pod["id"] for pod in status["byPod"]], ["auditor-0", "auditor-1"])

    def test_labels_of_namespaces_are_known(self):
        self.put(constraint("maps", "owner", kinds=[{"apiGroups": [""], "kinds": ["ConfigMap"]}], namespaceSelector={"matchLabels": {"hr": "yes"}}))
        for namespace in self.namespaces[:2]:
            told = self.cluster.kubectl("create", "--filename=-", given=objects.config_map("of-the-audit", namespace, key="value"))
            self.assertEqual(told.returncode, 0, told.stderr)
        told = self.audit("--output", "json")
        self.assertEqual(told.returncode, 1, told.stderr)
        found = json.loads(told.stdout)["constraints"][0]["violations"]
        self.assertIn((self.namespaces[1], "of-the-audit"), [(each["namespace"], each["name"]) for each in found])
        self.assertNotIn(self.namespaces[0], [each["namespace"] for each in found])

    def test_what_config_wants_becomes_the_inventory(self):
        self.put(constraint("ns-must-have-hr", "hr"))
        config = self.policies / "config.yaml"
        config.write_text(json.dumps({"apiVersion": "config.gatekeeper.sh/v1alpha1", "kind": "Config", "metadata": {"name": "config", "namespace": "gatekeeper-system"},
                                      "spec": {"sync": {"syncOnly": [{"group": "", "version": "v1", "kind": "Namespace"}]}}}))
        self.addCleanup(config.unlink)
        told = self.audit("--write-inventory", str(self.folder / "inventory"))
        self.assertEqual(told.returncode, 1, told.stderr)
        files = sorted((self.folder / "inventory").iterdir())
        items = [item for file in files for item in json.loads(file.read_text())["items"]]
        self.assertLessEqual(set(self.namespaces), {item["metadata"]["name"] for item in items})
        self.assertEqual({(item["apiVersion"], item["kind"]) for item in items}, {("v1", "Namespace")})
        stage.portcullis("admission", "check", self.policies, self.folder / "inventory")

    def test_who_may_not_is_told(self):
        self.put(constraint("ns-must-have-hr", "hr"))
        other = self.folder / "nobody.kubeconfig"
        other.write_text(self.kubeconfig.read_text().replace('"token": "admin"', '"token": "of-nobody"'))
        command = [stage.PROGRAM, "admission", "audit", "--kubeconfig", other, self.policies]
        told = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120)
        self.assertEqual((told.returncode, told.stdout), (3, ""))
        self.assertIn("Unauthorized", told.stderr)
        self.assertNotIn("of-nobody", told.stderr)
