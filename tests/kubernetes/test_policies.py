"""ValidatingAdmissionPolicies: what a real API server makes of them, and what Envoy makes of the same documents.

Each object is sent to the API server twice, as a dry run: once with the policies bound in the cluster, and once with Envoy as its webhook, which
has the same documents in a directory. Status, reason, message, warnings and the notes in the audit log must be the same.
"""

import json
import random
import re
import ssl
import unittest
import urllib.error
import urllib.request

import harness
import objects
import rig
import server
import stage
from stage import wait_for

# The first that an etcd of its time is built for, and that has all libraries which policies may use today.
VERSION = "1.34.1"
NAMES = {"shop": {"tier": "gold", "portcullis.test/checked": "yes"}, "lab": {"tier": "none"}, "free": {}}
OBJECTS = 200


def policy(name: str, resources: list[dict], validations: list, **spec) -> dict:
    constraints = {"resourceRules": resources, **spec.pop("matching", {})}
    return {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
            "spec": {"matchConstraints": constraints, "validations": validations, **spec}}


def binding(name: str, policy_name: str, *actions: str, **spec) -> dict:
    return {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name},
            "spec": {"policyName": policy_name, "validationActions": list(actions), **spec}}


# Every library has its part, and some expressions fail for some objects.
RULES = policy(
    "rules", [stage.rule(["pods"])],
    [
        {"expression": "variables.images.all(i, i.find('^[^/]+') in ['registry.test', 'mirror.test:5000'])",
         "messageExpression": "'images from elsewhere: ' + variables.images.filter(i, !(i.find('^[^/]+') in ['registry.test', 'mirror.test:5000'])).join(', ')",
         "reason": "Forbidden"},
        {"expression": "variables.containers.all(c, quantity(c.resources.limits['cpu']).compareTo(quantity('2')) <= 0)",
         "message": "no more than two processors"},
        {"expression": "variables.containers.all(c, c.?resources.limits.memory.hasValue() && isQuantity(c.resources.limits.memory) && "
                       "!quantity(c.resources.limits.memory).isGreaterThan(quantity('1Gi')))",
         "messageExpression": "'memory: ' + variables.containers.map(c, c.?resources.limits.memory.orValue('none')).join('/')"},
        {"expression": "sets.contains(object.metadata.labels.map(k, k), ['team'])", "message": "a team must be named"},
        {"expression": "object.metadata.labels.all(k, v, k.size() < 20 && v.lowerAscii() == v)",
         "messageExpression": "'labels: ' + object.metadata.labels.transformList(k, v, k.size() >= 20 || v.lowerAscii() != v, k + '=' + v).join(' ')"},
        {"expression": "!has(object.metadata.annotations) || !('docs' in object.metadata.annotations) || "
                       "(isURL(object.metadata.annotations.docs) && url(object.metadata.annotations.docs).getScheme() == 'https')",
         "message": "docs must be an address that begins with https"},
        {"expression": "!has(object.metadata.annotations) || !('peer' in object.metadata.annotations) || "
                       "cidr('10.0.0.0/8').containsIP(ip(object.metadata.annotations.peer))",
         "messageExpression": "'peer ' + object.metadata.annotations.peer + ' is outside of 10.0.0.0/8'", "reason": "RequestEntityTooLarge"},
        {"expression": "semver(object.metadata.labels['release']).isGreaterThan(semver('1.2.0'))", "message": "too old a release",
         "reason": "Invalid"},
        {"expression": "!format.dns1123Label().validate(object.metadata.?labels.?team.orValue('none')).hasValue()",
         "messageExpression": "format.dns1123Label().validate(object.metadata.labels.team).value()[0]"},
        {"expression": "variables.names.isSorted() && variables.names.all(i, n, variables.names.indexOf(n) == i)",
         "messageExpression": "'names are ' + variables.names.join(' > ') + ', the last ' + variables.names.max()"},
        {"expression": "duration(string(object.spec.?terminationGracePeriodSeconds.orValue(30)) + 's') <= duration('5m')",
         "messageExpression": "'waits %d s before it ends'.format([object.spec.terminationGracePeriodSeconds])"},
        {"expression": "namespaceObject.metadata.labels.?tier.orValue('') != 'none' || request.userInfo.username == 'nobody'",
         "messageExpression": "'not in ' + request.namespace + ', says ' + request.userInfo.username + ' of ' + request.resource.resource"},
    ],
    variables=[
        {"name": "containers", "expression": "object.spec.containers + object.spec.?initContainers.orValue([])"},
        {"name": "images", "expression": "variables.containers.map(c, c.image)"},
        {"name": "names", "expression": "object.spec.containers.map(c, c.name)"},
    ],
    matchConditions=[{"name": "not-exempt", "expression": "!(object.metadata.?labels.?exempt.orValue('no') == 'yes')"}],
    auditAnnotations=[
        {"key": "images", "valueExpression": "variables.images.size() > 1 ? variables.images.join(' ') : ''"},
        {"key": "team", "valueExpression": "'team ' + object.metadata.?labels.?team.orValue('none')"},
    ])
LIMITS = policy(
    "limits", [stage.rule(["deployments"], groups=("apps",))],
    [{"expression": "object.spec.replicas <= int(params.data['replicas'])",
      "messageExpression": "object.metadata.name + ' has ' + string(object.spec.replicas) + ' replicas, of ' + params.data.replicas + ' in ' + params.metadata.name"},
     {"expression": "params.metadata.namespace == object.metadata.namespace", "message": "not its own limit"}],
    paramKind={"apiVersion": "v1", "kind": "ConfigMap"})
CAREFREE = policy(
    "carefree", [stage.rule(["configmaps"], operations=("CREATE",))],
    [{"expression": "object.data['a'].matches('^[a-z]+$')", "message": "a has other characters"}, {"expression": "int(object.data['n']) % 2 == 0", "message": "n is odd"}],
    failurePolicy="Ignore", matching={"namespaceSelector": {"matchExpressions": [{"key": "portcullis.test/checked", "operator": "Exists"}]}})
POLICIES = [
    RULES, LIMITS, CAREFREE,
    binding("rules-deny", "rules", "Deny"), binding("rules-log", "rules", "Audit"),
    binding("rules-warn", "rules", "Warn", matchResources={"objectSelector": {"matchLabels": {"team": "fleet"}}}),
    binding("limits-here", "limits", "Deny", "Audit", paramRef={"selector": {"matchLabels": {"limits": "replicas"}}, "parameterNotFoundAction": "Allow"}),
    binding("limits-lab", "limits", "Deny", paramRef={"name": "small", "namespace": "lab", "parameterNotFoundAction": "Deny"},
            matchResources={"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "lab"}}}),
    binding("limits-free", "limits", "Deny", paramRef={"name": "none", "parameterNotFoundAction": "Deny"},
            matchResources={"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "free"}}}),
    binding("carefree-deny", "carefree", "Deny"),
]
PARAMS = [
    {**objects.config_map("large", "shop", replicas="5"), "metadata": {"name": "large", "namespace": "shop", "labels": {"limits": "replicas"}}},
    {**objects.config_map("larger", "shop", replicas="7"), "metadata": {"name": "larger", "namespace": "shop", "labels": {"limits": "replicas"}}},
    objects.config_map("small", "lab", replicas="1"),
]
HOOK = stage.hook("policies", [stage.rule(["pods", "deployments", "configmaps"], groups=("*",))], validatingAdmissionPolicies={})


def pod(chance: random.Random, name: str) -> dict:
    """Mostly in order: of two dozen choices one or two are not."""
    def mostly(usual, *others, share: float = 0.93):
        return usual if chance.random() < share else chance.choice(others)

    def container(name: str) -> dict:
        resources = mostly({"limits": {"cpu": mostly("500m", "2", "2001m", "3", "1.5"), "memory": mostly("256Mi", "1Gi", "1073741825", "2G", "1e9")}},
                           {}, {"limits": {"cpu": "1"}}, {"limits": {"memory": "64Mi"}})
        image = mostly("registry.test/shop/web:1.4", "mirror.test:5000/nginx", "nginx:1.21", "docker.io/library/nginx", "mirror.test:50001/x")
        return {"name": name, "image": image, "resources": resources}

    labels = {"team": mostly("fleet", "Fleet", "a.b", "shop", "a_b"), "release": mostly("1.4.0", "1.2.0", "1.10.0-rc.1", "v1.3", "latest")}
    labels |= mostly({}, {"exempt": "yes"}, {"some-very-long-label-name": "x"}, {"Upper": "Case"})
    for gone in mostly((), ("team",), ("release",), ("team", "release")):
        del labels[gone]
    annotations = mostly({"docs": "https://docs.test/a"}, {"docs": "http://docs.test"}, {"docs": "nowhere"}, {"peer": "10.1.2.3"}, {"peer": "192.168.0.1"},
                         {"peer": "10.0.0.256"}, {"peer": "fd00::1"}, {}, share=0.7)
    names = mostly(("a", "b"), ("b", "a"), ("web",), ("a", "b", "c"))
    spec = {"containers": [container(name) for name in names], "initContainers": [container("setup")] if chance.random() < 0.2 else []}
    spec |= mostly({}, {"terminationGracePeriodSeconds": 300}, {"terminationGracePeriodSeconds": 301}, {"terminationGracePeriodSeconds": 0}, share=0.8)
    return {"apiVersion": "v1", "kind": "Pod", "spec": spec,
            "metadata": {"name": name, "namespace": mostly("shop", "lab", "free"), "labels": labels, "annotations": annotations}}


def config_map(chance: random.Random, name: str) -> dict:
    data = chance.choice([{"a": "abc", "n": "2"}, {"a": "abc", "n": "3"}, {"a": "A", "n": "2"}, {"a": "A"}, {"n": "1"}, {"n": "x"}, {}])
    return objects.config_map(name, chance.choice(["shop", "shop", "lab", "free"]), **data)


def make_objects() -> list[dict]:
    """The same at each run."""
    chance, made = random.Random(42), []
    for number in range(OBJECTS):
        name = f"object-{number:03}"
        if number % 10 == 8:
            made.append(objects.deployment(name, "registry.test/a:1", chance.choice(list(NAMES)), chance.choice([0, 1, 2, 5, 6, 8])))
        elif number % 10 == 9:
            made.append(config_map(chance, name))
        else:
            made.append(pod(chance, name))
    return made


PLACES = {"Pod": "/api/v1/namespaces/{}/pods", "Deployment": "/apis/apps/v1/namespaces/{}/deployments", "ConfigMap": "/api/v1/namespaces/{}/configmaps"}


class Newer:
    """An API server that has policies, without anything of the other one."""

    def __init__(self):
        try:
            self.server = server.Kubernetes(harness.scratch_folder("newer-cluster"), version=VERSION)
        except rig.RigError as error:
            raise unittest.SkipTest(f"kube-apiserver {VERSION}: {error}") from None
        self.trusted = ssl.create_default_context(cafile=self.server.authority.path("kubernetes-ca.crt"))

    def try_out(self, thing: dict) -> dict:
        """What becomes of an object, and what is told: its creation is a dry run."""
        path = PLACES[thing["kind"]].format(thing["metadata"]["namespace"])
        request = urllib.request.Request(f"https://127.0.0.1:{self.server.port}{path}?dryRun=All", method="POST", data=json.dumps(thing).encode(),
                                         headers={"Authorization": "Bearer customer", "Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60, context=self.trusted) as answer:
                return self.told(answer, {})
        except urllib.error.HTTPError as refusal:
            return self.told(refusal, json.loads(refusal.read()))

    @staticmethod
    def told(answer, status: dict) -> dict:
        warnings = [warning.removeprefix("299 - ") for warning in answer.headers.get_all("Warning") or []]
        return {"code": answer.status, "reason": status.get("reason"), "message": status.get("message", ""), "warnings": warnings, "audit": answer.headers["Audit-Id"]}

    def annotations(self, ids: list[str]) -> dict[str, dict]:
        """The notes in the audit log of some requests, each of which must be there."""
        def look():
            entries = {entry["auditID"]: entry.get("annotations", {}) for entry in harness.read_json_lines(self.server.audit_path)}
            return entries if set(ids) <= entries.keys() else None
        return wait_for("the audit log", look)

    def apply(self, verb: str, documents: list[dict]) -> None:
        told = self.server.kubectl(verb, "--filename=-", given=documents)
        if told.returncode != 0:
            raise AssertionError(told.stderr)


def denials(message: str) -> list[str]:
    """Without what stands before them: the name of the object, or that of the webhook. Of several the API server tells one, of params that
    are chosen by a label any one: it goes through them as a map of Go has them."""
    before, found, rest = message.partition("ValidatingAdmissionPolicy '")
    return [cut(line) for line in (found + rest).split("\n")] if found else [cut(message)]


def cut(message: str) -> str:
    """Without what Go's own library says of an address that is none: it quotes the address, and Envoy does not."""
    return re.sub(r"(resulted in error: IP Address ).*", r"\1", message)


def notes(annotations: dict, webhook: str | None) -> dict:
    """By policy and key. The API server writes `POLICY/KEY`; of a webhook `WEBHOOK/POLICY.KEY`."""
    found = {}
    for key, value in annotations.items():
        prefix, _, rest = key.partition("/")
        if webhook and prefix == webhook:
            found[rest] = value
        elif not webhook and prefix in ("rules", "limits", "carefree"):
            found[f"{prefix}.{rest}"] = value
        elif not webhook and key == "validation.policy.admission.k8s.io/validation_failure":
            found["validation_failure"] = value
    return found


class Policies(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.newer = Newer()
        cls.addClassCleanup(cls.newer.server.stop)
        cls.newer.apply("create", [objects.namespace(name, **labels) for name, labels in NAMES.items()])
        cls.newer.apply("create", PARAMS)
        cls.objects = make_objects()

    def judge(self, probe: dict, wanted) -> list[dict]:
        wait_for("policies to come into force", lambda: wanted(self.newer.try_out(probe)["message"]), 30)
        return [self.newer.try_out(thing) for thing in self.objects]

    def test_they_are_judged_as_the_api_server_judges_them(self):
        probe = next(thing for thing in self.objects if "nginx:1.21" in json.dumps(thing) and thing["metadata"]["namespace"] == "shop")
        self.newer.apply("create", POLICIES)
        theirs = self.judge(probe, lambda message: "with binding" in message)
        self.newer.apply("delete", POLICIES)
        wait_for("policies to be forgotten", lambda: self.newer.try_out(probe)["code"] == 201, 30)

        namespaces = [objects.namespace(name, **labels) for name, labels in NAMES.items()]
        front = self.enterContext(stage.Webhook("policies", [HOOK, *POLICIES, *PARAMS, *namespaces], cluster=self.newer.server))
        manifests = front.manifests()
        self.newer.apply("create", manifests)
        self.addCleanup(self.newer.apply, "delete", manifests)
        ours = self.judge(probe, lambda message: "webhook" in message)

        logged = self.newer.annotations([told["audit"] for told in theirs + ours])
        webhook = manifests[0]["webhooks"][0]["name"]
        denied = 0
        for thing, their, our in zip(self.objects, theirs, ours, strict=True):
            with self.subTest(json.dumps(thing)):
                denied += their["code"] != 201
                self.assertEqual((our["code"], our["reason"]), (their["code"], their["reason"]), our["message"])
                self.assertIn(denials(their["message"])[0], denials(our["message"]))
                self.assertEqual(sorted(map(cut, our["warnings"])), sorted(map(cut, their["warnings"])))
                our_notes, their_notes = notes(logged[our["audit"]], webhook), notes(logged[their["audit"]], None)
                # This version of the API server notes only the first failure; later ones note all, as Envoy does.
                our_failures, their_failures = ([{**failure, "message": cut(failure["message"])} for failure in json.loads(found.pop("validation_failure", "[]"))] for found in (our_notes, their_notes))
                self.assertEqual([failure for failure in our_failures if failure in their_failures], their_failures)
                self.assertEqual(bool(our_failures), bool(their_failures))
                self.assertEqual(our_notes, their_notes)
        self.assertTrue(OBJECTS // 5 < denied < OBJECTS - OBJECTS // 5, f"{denied} of {OBJECTS} were denied: too few or too many to tell")
