"""Objects that some users may touch and others may not, whatever their roles allow; and what is done to them through subresources."""

import unittest
import urllib.error

import objects
import server
import stage
from stage import Webhook, is_refused, registered

PROTECTED = stage.hook("protected-namespaces", stage.NAMESPACES, webhookName="protected.portcullis.test", decide=[
    {"allow": {"users": ["admin"]}},
    {"allow": {"groups": ["cluster-admins"]}},
    {"allow": {"serviceAccounts": ["kube-system:*"]}},
    {"deny": {"nameRegex": ["^kube-", "^openshift-", "^default$"], "message": "{{user}} may not {{operation}} the managed namespace {{name}}"}},
    {"deny": {"labelsChanged": ["portcullis.test/quota-exempt"], "message": "the label {{label}} is not yours"}},
])
CONTROLLER, DEPLOYER = "system:serviceaccount:kube-system:namespace-controller", "system:serviceaccount:shop:deployer"


class ProtectedNamespaces(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.front = cls.enterClassContext(Webhook("protected", [PROTECTED]))
        cls.cluster = cls.enterClassContext(registered(cls.front, is_refused(objects.namespace("kube-probe"))))

        # Deleting kube-system and the like is refused by the API server itself.
        made = cls.cluster.kubectl("create", "namespace", "openshift-monitoring")
        assert made.returncode == 0, made.stderr

    def delete(self, name: str, user: str) -> str:
        return self.cluster.kubectl("delete", "namespace", name, "--dry-run=server", user=user).stderr

    def test_who_may_touch_what(self):
        denied = ('Error from server (Forbidden): admission webhook "protected.portcullis.test" denied the request: '
                  "{} may not {} the managed namespace {}\n")
        for user in ("admin", "sre", CONTROLLER):
            self.assertNotIn("denied", self.delete("openshift-monitoring", user), user)
        for user in ("customer", DEPLOYER):
            self.assertEqual(self.delete("openshift-monitoring", user), denied.format(user, "DELETE", "openshift-monitoring"))
        labelled = self.cluster.kubectl("label", "namespace", "kube-system", "mine=yes", user="customer")
        self.assertIn("customer may not UPDATE the managed namespace kube-system", labelled.stderr)

        mine = self.cluster.kubectl("create", "namespace", "mine", user="customer")
        self.assertEqual((mine.returncode, mine.stderr), (0, ""))
        self.assertEqual(self.delete("mine", "customer"), "")

    def test_a_label_that_only_some_may_set(self):
        self.assertEqual(self.cluster.kubectl("create", "namespace", "quota", user="customer").returncode, 0)
        label = ("label", "--overwrite", "namespace", "quota")
        self.assertEqual(self.cluster.kubectl(*label, "colour=red", user="customer").returncode, 0)
        told = self.cluster.kubectl(*label, "portcullis.test/quota-exempt=true", user="customer")
        self.assertIn("the label portcullis.test/quota-exempt is not yours", told.stderr)
        self.assertEqual(self.cluster.kubectl(*label, "portcullis.test/quota-exempt=true", user="sre").returncode, 0)
        self.assertEqual(self.cluster.kubectl(*label, "colour=green", user="customer").returncode, 0, "it was there before")
        told = self.cluster.kubectl(*label, "portcullis.test/quota-exempt-", user="customer")
        self.assertIn("is not yours", told.stderr)

    def test_the_log_tells_of_each_decision(self):
        self.cluster.kubectl("delete", "namespace", "openshift-monitoring", "--dry-run=server", user="customer")
        entry = self.front.entry(name="openshift-monitoring", operation="DELETE", user="customer")
        fields = entry["fields"]
        self.assertEqual(entry["verdict"], "denied")
        self.assertEqual((fields["hook"], fields["kind"], fields["verdict"]), ("protected-namespaces", "Namespace", "denied"))
        self.assertEqual(fields["caller"], next(iter(self.front.tokens)), "the API server shows both, and its token is what we gave it")
        self.assertRegex(fields["uid"], r"^[0-9a-f-]{36}$")


# Each about what is not the object itself: a subresource has a kind of its own, and a deletion of many no name.
SUBRESOURCES = stage.hook("subresources", [
    stage.rule(["pods/exec"], ["CONNECT"]), stage.rule(["pods/eviction"], ["CREATE"]), stage.rule(["configmaps"], ["DELETE"]),
    stage.rule(["deployments/scale"], ["UPDATE"], ["apps"]),
], decide=[
    {"allow": {"users": ["admin"]}},
    {"deny": {"operations": ["CONNECT"], "resources": ["pods/exec"], "message": "{{user}} may not look into {{namespace}}/{{name}}"}},
    {"deny": {"resources": ["pods/eviction"], "names": ["kept"], "message": "{{name}} stays"}},
    {"deny": {"resources": ["*/scale"], "fields": [{"path": "/spec/replicas", "greaterThan": 5}], "message": "no more than 5"}},
    {"deny": {"operations": ["DELETE"], "nameRegex": ["^kept-"], "message": "{{name}} stays"}},
])


class Subresources(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.front = cls.enterClassContext(Webhook("subresources", [SUBRESOURCES]))
        cluster = stage.Cluster.start()
        cls.space = "subresources"
        things = [objects.namespace(cls.space), objects.pod("kept", "nginx:1", namespace=cls.space), objects.pod("other", "nginx:1", namespace=cls.space),
                  objects.deployment("web", "nginx:1", namespace=cls.space), objects.config_map("kept-1", cls.space), objects.config_map("other-1", cls.space)]
        made = cluster.kubectl("create", "--filename=-", given=things)
        assert made.returncode == 0, made.stderr
        in_force = lambda: "no more than 5" in cls.kubectl("scale", "deployment/web", "--replicas=6")
        cls.cluster = cls.enterClassContext(registered(cls.front, in_force))

    @classmethod
    def kubectl(cls, *arguments, user: str = "customer") -> str:
        return stage.Cluster.start().kubectl(f"--namespace={cls.space}", *arguments, user=user).stderr

    def ask(self, method: str, path: str, body=None) -> str:
        try:
            self.cluster.ask(method, f"/api/v1/namespaces/{self.space}/{path}", body, "customer")
        except urllib.error.HTTPError as refusal:
            return server.reason_of(refusal)["message"]
        return ""

    def test_exec(self):
        self.assertIn("customer may not look into subresources/kept", self.kubectl("exec", "kept", "--", "id"))
        self.assertIn("does not have a host assigned", self.kubectl("exec", "kept", "--", "id", user="admin"), "that far only who is let through comes")

    def test_scale(self):
        self.assertEqual(self.kubectl("scale", "deployment/web", "--replicas=5"), "")
        self.assertIn("no more than 5", self.kubectl("scale", "deployment/web", "--replicas=50"))

    def test_eviction(self):
        eviction = lambda name: {"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": name, "namespace": self.space}}
        self.assertIn("kept stays", self.ask("POST", "pods/kept/eviction?dryRun=All", eviction("kept")))
        self.assertEqual(self.ask("POST", "pods/other/eviction?dryRun=All", eviction("other")), "")

    def test_a_deletion_of_many_does_not_get_round_the_names(self):
        self.assertIn("kept-1 stays", self.ask("DELETE", "configmaps"))
        self.assertIn("configmap/kept-1", self.cluster.kubectl("get", "configmaps", f"--namespace={self.space}", "--output=name").stdout)


if __name__ == "__main__":
    unittest.main()
