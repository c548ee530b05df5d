"""What else an answer can do: change objects, warn, leave a note in the audit log; and that a dry run leaves nothing."""

import json
import unittest

import objects
import stage
from stage import CANARY, Webhook, is_refused, registered, wait_for

MUTATE = stage.hook("defaults", stage.PODS, reinvocationPolicy="IfNeeded", mutate=[
    {"setLabels": {"team": "unknown"}, "when": {"missingLabels": ["team"]}},
    {"setAnnotations": {"portcullis.test/seen-by": "us"}},
    {"rewriteRegistry": [{"from": "docker.io", "to": "mirror.test:5000"}]},
])
JUDGE = stage.hook("judge", [stage.rule(["pods", "secrets", "configmaps"])], auditAnnotations={"owner": "portcullis"}, decide=[
    {"deny": {"names": ["denied"], "message": "no"}},
    {"warn": {"kinds": ["Pod"], "images": {"tagIn": ["latest"]}, "message": "{{image}} may be another one tomorrow"}},
])
WARN = stage.hook("warn", [stage.rule(["configmaps"])], mode="warn", decide=[{"deny": {"names": ["watched"], "message": "watched is not a good name"}}])
AUDIT = stage.hook("audit", [stage.rule(["configmaps"])], mode="audit", decide=[{"deny": {"names": ["watched"], "message": "watched is not a good name"}}])


class Mutation(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.front = cls.enterClassContext(Webhook("mutation", [MUTATE]))
        cls.cluster = cls.enterClassContext(registered(cls.front, cls.changed))

    @classmethod
    def changed(cls) -> bool:
        return "team" in cls.create("probe", "--dry-run=server")["metadata"]["labels"]

    @classmethod
    def create(cls, name: str, *options: str, **more) -> dict:
        pod = objects.pod(name, "nginx:1.21.1", "mirror.test:5000/a:1") | more
        told = stage.Cluster.start().kubectl("create", "--filename=-", "--output=json", *options, user="customer", given=pod)
        return json.loads(told.stdout)

    def test_the_object_is_changed_as_the_hook_says(self):
        made = self.create("mutated")
        self.assertEqual(made["metadata"]["labels"], {"run": "web-server", "team": "unknown"})
        self.assertEqual(made["metadata"]["annotations"], {"portcullis.test/seen-by": "us"})
        images = [container["image"] for container in made["spec"]["containers"]]
        self.assertEqual(images, ["mirror.test:5000/library/nginx:1.21.1", "mirror.test:5000/a:1"])
        kept = json.loads(self.cluster.kubectl("get", "pod", "mutated", "--output=json").stdout)
        self.assertEqual(kept["metadata"]["labels"], made["metadata"]["labels"], "and it is kept that way")

    def test_what_needs_no_change_is_left_alone(self):
        made = self.create("own-team", metadata={"name": "own-team", "labels": {"team": "fleet"}})
        self.assertEqual(made["metadata"]["labels"], {"team": "fleet"})

    def test_a_dry_run_shows_the_change_and_keeps_nothing(self):
        self.assertEqual(self.create("dry", "--dry-run=server")["metadata"]["labels"]["team"], "unknown")
        self.assertIn("NotFound", self.cluster.kubectl("get", "pod", "dry").stderr)


class Effects(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.front = cls.enterClassContext(Webhook("effects", [JUDGE, WARN, AUDIT]))
        cls.cluster = cls.enterClassContext(registered(cls.front, is_refused(objects.config_map("denied"))))

    def create(self, thing: dict, *options: str):
        told = self.cluster.kubectl("create", "--filename=-", *options, user="customer", given=thing)
        return told.returncode, told.stderr

    def test_kubectl_shows_warnings(self):
        self.assertEqual(self.create(objects.pod("warned", "nginx:latest")), (0, "Warning: nginx:latest may be another one tomorrow\n"))
        self.assertEqual(self.create(objects.pod("not-warned", "nginx:1")), (0, ""))

    def test_a_hook_that_only_watches(self):
        code, told = self.create(objects.config_map("watched"))
        self.assertEqual(code, 0)
        self.assertEqual(told.count("watched is not a good name"), 1, "the one in the mode `warn` warns, the one in the mode `audit` does not")
        for hook in ("warn", "audit"):
            self.assertEqual(self.front.entry(hook=hook, name="watched")["verdict"], "audit")

    def test_a_dry_run_is_judged_and_keeps_nothing(self):
        self.assertEqual(self.create(objects.config_map("dry"), "--dry-run=server"), (0, ""))
        code, told = self.create(objects.config_map("denied"), "--dry-run=server")
        self.assertEqual((code, "denied the request: no" in told), (1, True))
        self.assertIn("NotFound", self.cluster.kubectl("get", "configmap", "dry").stderr)

    def test_the_audit_log_of_the_api_server_has_our_annotations(self):
        self.create(objects.config_map("annotated"))

        def annotations():
            for line in self.cluster.audit_path.read_text().splitlines():
                event = json.loads(line)
                if event.get("objectRef", {}).get("name") == "annotated" or '"annotated"' in line:
                    return event["annotations"]
        self.assertEqual(wait_for("the line in the audit log", annotations).get("judge.portcullis.test/owner"), "portcullis")

    def test_secrets_are_in_no_log(self):
        self.assertEqual(self.cluster.kubectl("create", "secret", "generic", "door", f"--from-literal=key={CANARY}", user="customer").returncode, 0)
        self.front.entry(kind="Secret", name="door")
        told = self.front.log_path.read_text() + self.front.envoy.log()
        self.assertNotIn(CANARY, told)
        self.assertNotIn("Y2FuYXJ5N2M0", told, "nor in base64")


if __name__ == "__main__":
    unittest.main()
