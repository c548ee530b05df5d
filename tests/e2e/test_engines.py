"""Policies in other languages in a real Envoy: what they say, what they cost others, and what cannot take Envoy down."""

import json
import select
import unittest

import harness
from harness import wait_for
from test_admission import CALLERS, Webhook, hook, request, review

EVERYTHING = {**CALLERS, "spec": {**CALLERS["spec"], "ingress": [
    {"fromEntities": ["all"], "toPorts": [{"ports": [{"port": "8443"}], "rules": {"l7proto": "admission", "l7": [{"pathPrefix": "/"}]}}]}]}}
OWN = hook("own", "/own", decide=[{"deny": {"images": {"registryNotIn": ["good.example"]}, "message": "{{image}} is from elsewhere"}}])

ENDLESS = {
    "rego": {"rego": {"modules": {"m.rego": "package system\n\nmain := {\"allowed\": true} { count([1 | numbers.range(1, 20000)[_]; numbers.range(1, 20000)[_]; numbers.range(1, 20000)[_]]) > 0 }\n"}}},
    "javascript": {"javascript": {"source": "function validate(request) { while (true); }"}},
}
GROWING = {
    "rego": {"rego": {"modules": {"m.rego": "\n".join(
        ["package system", "", 's0 := "0123456789"', *(f"s{n} := concat(\"\", [s{n - 1}, s{n - 1}])" for n in range(1, 40)), 'main := {"allowed": count(s39) > 0}', ""])}}},
    "rego-numbers": {"rego": {"modules": {"m.rego": "package system\n\nmain := {\"allowed\": count(numbers.range(1, 4000000000)) > 0}\n"}}},
    "javascript": {"javascript": {"source": "function validate(request) { let all = []; while (true) all.push('x'.repeat(1000000) + all.length); }"}},
    "javascript-repeat": {"javascript": {"source": "function validate(request) { return 'x'.repeat(1000000000).length > 0; }"}},
    "javascript-deep": {"javascript": {"source": "function validate(request) { const f = n => f(n + 1) + 1; return f(0) > 0; }"}},
}
POLICY = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "costly"}, "spec": {
    "matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["pods"]}]},
    "validations": [{"expression": "object.spec.containers.all(a, object.spec.containers.all(b, object.spec.containers.all(c, a.image + b.image + c.image != '')))"}]}}
BINDING = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": "costly"},
           "spec": {"policyName": "costly", "validationActions": ["Deny"]}}

# What must be refused when it is loaded, each with words that its refusal has.
REFUSED = {
    "recursion": (hook("bad", "/bad", rego={"modules": {"m.rego": "package system\n\nf(x) := f(x)\n\nmain := {\"allowed\": f(1)}\n"}}), "recursi"),
    "brackets": (hook("bad", "/bad", rego={"modules": {"m.rego": "package system\n\nmain := " + "[" * 100_000 + "]" * 100_000 + "\n"}}), "nest"),
    "sum": (hook("bad", "/bad", rego={"modules": {"m.rego": "package system\n\nmain := " + "1+" * 100_000 + "1\n"}}), "m.rego"),
    "builtin": (hook("bad", "/bad", rego={"modules": {"m.rego": "package system\n\nmain := http.send({\"url\": \"http://localhost\"})\n"}}), "http.send"),
    "unknown": (hook("bad", "/bad", rego={"modules": {"m.rego": "package system\n\nmain := no_such_function(1)\n"}}), "no_such_function"),
    "script": (hook("bad", "/bad", javascript={"source": "function validate(request) {"}), "source"),
    "script without end": (hook("bad", "/bad", javascript={"source": "while (true);"}), "source"),
    "template": ({"apiVersion": "templates.gatekeeper.sh/v1", "kind": "ConstraintTemplate", "metadata": {"name": "k8sbad"}, "spec": {
        "crd": {"spec": {"names": {"kind": "K8sBad"}}},
        "targets": [{"target": "admission.k8s.gatekeeper.sh", "rego": "package k8sbad\n\nviolation[{\"msg\": msg}] { msg := f(1) }\n"}]}}, "f"),
    "constraint": ({"apiVersion": "constraints.gatekeeper.sh/v1beta1", "kind": "K8sUnknown", "metadata": {"name": "c"}, "spec": {}}, "K8sUnknown"),
    "expression": ({**POLICY, "spec": {**POLICY["spec"], "validations": [{"expression": "object.spec.replicas <"}]}}, "expression"),
    "long expression": ({**POLICY, "spec": {**POLICY["spec"], "validations": [{"expression": "1" + " + 1" * 100_000 + " > 0"}]}}, "expression"),
    "deep expression": ({**POLICY, "spec": {**POLICY["spec"], "validations": [{"expression": "(" * 100_000 + "true" + ")" * 100_000}]}}, "expression"),
}


class Hostile(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.good = [EVERYTHING, OWN]
        for name, engine in {**{f"endless-{name}": engine for name, engine in ENDLESS.items()}, **{f"growing-{name}": engine for name, engine in GROWING.items()}}.items():
            cls.good.append(hook(name, f"/{name}", **engine))
        cls.good += [hook("costly", "/costly", validatingAdmissionPolicies={}), POLICY, BINDING]
        cls.webhook = Webhook(cls, "engines", cls.good)

    def ask(self, path: str, body: bytes) -> dict:
        client = self.webhook.connect()
        self.addCleanup(client.close)
        status, _, answer = client.ask(body, path)
        self.assertEqual(status, 200, answer)
        return json.loads(answer)["response"]

    def fails(self, path: str, body: bytes = review("u")) -> str:
        told = self.ask(path, body)
        self.assertEqual((told["uid"], told["allowed"], told["status"]["code"]), ("u", False, 500), told)
        return told["status"]["message"]

    def test_work_without_end_is_stopped_and_holds_up_nobody_else(self):
        for name in ENDLESS:
            with self.subTest(name):
                slow, other = self.webhook.connect(), self.webhook.connect()
                self.addCleanup(slow.close)
                self.addCleanup(other.close)
                slow.send_raw(request(review("slow"), f"/endless-{name}"))
                # There is one worker: it serves these while the policy runs on.
                for number in range(20):
                    self.assertEqual(json.loads(other.ask(review(f"u{number}"), "/own")[2])["response"], {"uid": f"u{number}", "allowed": True})
                self.assertEqual(select.select([slow.sock], [], [], 0)[0], [], "the endless policy was done before")
                status, _, answer = slow.answer()
                told = json.loads(answer)["response"]
                self.assertEqual((status, told["uid"], told["allowed"], told["status"]["code"]), (200, "slow", False, 500), told)

    def test_growth_without_end_is_stopped(self):
        before = self.webhook.envoy.resident_kib()
        for name in GROWING:
            with self.subTest(name):
                self.fails(f"/growing-{name}")
        self.assertLess(self.webhook.envoy.resident_kib() - before, 512 << 10)

    def test_an_expression_beyond_its_budget_is_an_error(self):
        containers = [{"name": f"c{n}", "image": "good.example/a:1"} for n in range(300)]
        body = json.loads(review("u"))
        body["request"]["object"]["spec"]["containers"] = containers
        told = self.ask("/costly", json.dumps(body).encode())
        self.assertFalse(told["allowed"])
        self.assertIn("cost", told["status"]["message"])
        self.assertTrue(self.ask("/costly", review("u"))["allowed"])

    def test_deep_objects_are_judged_or_refused(self):
        deep = json.loads(review("u"))
        text = json.dumps(deep).replace('"spec"', '"deep": ' + "[" * 900 + "]" * 900 + ', "spec"', 1)
        for path in ("/own", "/costly", *(f"/endless-{name}" for name in ENDLESS)):
            with self.subTest(path):
                self.assertEqual(self.ask(path, text.encode())["uid"], "u")

    def test_what_cannot_be_used_is_refused_whole_and_the_last_good_one_stays(self):
        for name, (document, words) in REFUSED.items():
            with self.subTest(name):
                seen = len(self.webhook.envoy.log())
                before = self.webhook.envoy.stats()["portcullis.admission.policy_errors"]
                # Another good hook beside it, which must not come into force.
                self.webhook.put([*self.good, hook("new", "/new", decide=[{"allow": {}}]), document])
                wait_for("the policy to be refused", lambda: self.webhook.envoy.stats()["portcullis.admission.policy_errors"] > before, 20)
                refusal = self.webhook.envoy.log()[seen:]
                self.assertIn(words, refusal)
                self.assertIn("all.json:", refusal)
                self.assertTrue(self.ask("/own", review("u"))["allowed"])
                client = self.webhook.connect()
                self.addCleanup(client.close)
                self.assertEqual(client.ask(review("u"), "/new")[0], 404)
        self.webhook.put(self.good)


class LanguagesAnswer(unittest.TestCase):
    """The files of the articles, dropped into the directory as they are."""

    def test_files_come_into_force_when_they_are_dropped(self):
        samples = harness.SAMPLES / "admission"
        webhook = Webhook(self, "dropped", [EVERYTHING, OWN])
        client = webhook.connect()
        self.addCleanup(client.close)
        for folder, path in (("opa", "/"), ("gatekeeper", "/v1/admit"), ("pipy", "/pipy")):
            with self.subTest(folder):
                self.assertEqual(client.ask(review("u"), path)[0], 404)
                for file in (samples / folder).iterdir():
                    if file.name != "hook.yaml" and file.suffix != ".md":
                        (webhook.policies / file.name).write_text(file.read_text())
                if folder == "pipy":
                    webhook.put([EVERYTHING, OWN, hook("pipy", path, javascript={"file": "pipy-rule.js"})])
                wait_for(f"{folder} to answer", lambda: client.ask(review("u"), path)[0] == 200, 10)
        denied = json.loads(client.ask(review("u", "nginx:latest"), "/")[2])["response"]
        self.assertEqual(denied["status"]["reason"], "Image 'nginx:latest' comes from untrusted registry, Image 'nginx:latest' used latest image")
        denied = json.loads(client.ask(review("u", "nginx:latest"), "/pipy")[2])["response"]
        self.assertEqual(denied["status"]["reason"], "nginx:latest repo not start with 192.168.64.1")
        body = json.loads(review("u"))
        body["request"].update(kind={"group": "", "version": "v1", "kind": "Namespace"}, resource={"group": "", "version": "v1", "resource": "namespaces"},
                               object={"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bare"}})
        denied = json.loads(client.ask(json.dumps(body).encode(), "/v1/admit")[2])["response"]
        self.assertEqual(denied["status"]["message"].splitlines(), [
            '[ns-must-have-finance] you must provide labels: {"finance"}', '[ns-must-have-hr] you must provide labels: {"hr"}'])
        self.assertEqual((denied["status"]["code"], denied["status"]["reason"]), (403, "Forbidden"))


if __name__ == "__main__":
    unittest.main()
