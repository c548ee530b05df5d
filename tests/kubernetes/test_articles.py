"""What the articles on admission show, with the hooks that we ship: their pods, their commands, and what kubectl told them."""

import json
import unittest

import objects
from stage import HOOKS, Webhook, is_refused, registered

# The articles' files.
BAD_REPO = ("pod-bad-repo.yaml", objects.pod("web-server", "nginx:1.21.1"))
BAD_TAG = ("pod-bad-tag.yaml", objects.pod("web-server", "192.168.64.1:5000/nginx:latest"))
OK = ("pod-ok.yaml", objects.pod("web-server", "192.168.64.1:5000/nginx:1.21.1"))


class ImagePolicy:
    """Both articles apply the same three pods; what differs is the webhook's name and what it says."""

    hook: str
    webhook: str
    bad_repo: str
    bad_tag: str

    @classmethod
    def setUpClass(cls):
        cls.front = cls.enterClassContext(Webhook(cls.hook, [HOOKS / f"{cls.hook}.yaml"]))
        cls.cluster = cls.enterClassContext(registered(cls.front, is_refused(BAD_REPO[1])))
        cls.addClassCleanup(cls.cluster.kubectl, "delete", "pod", "web-server", "--ignore-not-found", "--wait=false", "--grace-period=0", "--force")

    def apply(self, file: str, thing: dict):
        (self.front.folder / file).write_text(json.dumps(thing))
        told = self.cluster.kubectl("apply", "-f", file, folder=self.front.folder)
        return told.returncode, told.stdout + told.stderr

    def denied(self, file: str, reason: str):
        """kubectl prints a reason without a message in parentheses and as the message."""
        return 1, f'Error from server ({reason}): error when creating "{file}": admission webhook "{self.webhook}" denied the request: {reason}\n'

    def test_the_three_pods_give_what_the_article_shows(self):
        self.assertEqual(self.apply(*BAD_REPO), self.denied(BAD_REPO[0], self.bad_repo))
        self.assertEqual(self.apply(*BAD_TAG), self.denied(BAD_TAG[0], self.bad_tag))
        self.assertEqual(self.apply(*OK), (0, "pod/web-server created\n"))

    def test_what_the_article_leaves_open_is_closed(self):
        good = "192.168.64.1:5000/nginx:1.21.1"
        for what, thing in {
            "the second container": objects.pod("x", good, "nginx:1.21.1"),
            "an init container": objects.pod("x", good, initContainers=[{"name": "init", "image": "busybox:1"}]),
            "no tag at all": objects.pod("x", "192.168.64.1:5000/nginx"),
            "a port that begins like ours": objects.pod("x", "192.168.64.1:50001/nginx:1.21.1"),
            "a deployment's template": objects.deployment("x", "nginx:1.21.1"),
        }.items():
            with self.subTest(what):
                self.assertTrue(is_refused(thing)())
        digest = objects.pod("x", f"192.168.64.1:5000/nginx@sha256:{'5' * 64}")
        for what, thing in {"a deployment": objects.deployment("x", good), "a digest": digest}.items():
            with self.subTest(what):
                told = self.cluster.kubectl("create", "--dry-run=server", "--filename=-", given=thing)
                self.assertEqual(told.returncode, 0, told.stderr)


class Pipy(ImagePolicy, unittest.TestCase):
    hook = "pipy-image-policy"
    webhook = "validating-webhook.pipy.flomesh-io.cn"
    bad_repo = "nginx:1.21.1 repo not start with 192.168.64.1"
    bad_tag = "192.168.64.1:5000/nginx:latest tag end with :latest"


class OpenPolicyAgent(ImagePolicy, unittest.TestCase):
    hook = "opa-image-policy"
    webhook = "validating-webhook.openpolicyagent.org"
    bad_repo = "Image 'nginx:1.21.1' comes from untrusted registry"
    bad_tag = "Image '192.168.64.1:5000/nginx:latest' used latest image"

    def test_both_reasons_in_order(self):
        code, told = self.apply("pod-both.yaml", objects.pod("web-server-2", "nginx:latest"))
        both = "Image 'nginx:latest' comes from untrusted registry, Image 'nginx:latest' used latest image"
        self.assertEqual((code, told), self.denied("pod-both.yaml", both))


class Gatekeeper(unittest.TestCase):
    """Namespaces must have the labels `hr` and `finance`, each by a constraint of its own."""

    # No controller is there to remove a namespace: each class makes its own.
    whole = "whole"

    def start(self, is_in_force):
        front = self.enterContext(Webhook("required-labels", [HOOKS / "required-labels.yaml"]))
        return front, self.enterContext(registered(front, is_in_force))

    def test_namespaces_without_their_labels(self):
        _, cluster = self.start(is_refused(objects.namespace("bare")))
        hr, finance = ('[ns-must-have-hr] you must provide labels: {"hr"}', '[ns-must-have-finance] you must provide labels: {"finance"}')
        denied = 'admission webhook "validation.gatekeeper.sh" denied the request: {}\n'

        def create(name: str, **labels: str) -> str:
            return cluster.kubectl("create", "--filename=-", user="customer", given=objects.namespace(name, **labels)).stderr
        self.assertEqual(create("bare"), 'Error from server (Forbidden): error when creating "STDIN": ' + denied.format(finance + "\n" + hr))
        self.assertIn(denied.format(finance), create("half", hr="ann"))
        self.assertEqual(create(self.whole, hr="ann", finance="bob"), "")
        taken = cluster.kubectl("label", "namespace", self.whole, "hr-", user="customer")
        self.assertIn(denied.format(hr), taken.stderr)
        self.assertEqual(cluster.kubectl("delete", "namespace", self.whole, "--dry-run=server", user="customer").returncode, 0)


if __name__ == "__main__":
    unittest.main()
