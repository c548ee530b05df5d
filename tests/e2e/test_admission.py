"""The filter as a webhook: HTTP clients of all kinds against a real Envoy with nothing behind it."""

import hashlib
import http.client
import json
import random
import shutil
import socket
import subprocess
import types
import unittest
from pathlib import Path

import harness
import rig
from harness import envoy, listener, portcullis, scratch_folder, stop_in_good_health, wait_for, write_json

HERE = Path(__file__).resolve().parent
MEBIBYTE = 1 << 20
TOKEN = "a token of these tests"
LABELS = {"app": "admission"}
CALLERS = {"apiVersion": "portcullis.dev/v1", "kind": "L7Policy", "metadata": {"name": "callers"}, "spec": {
    "endpointSelector": {"matchLabels": LABELS},
    "ingress": [{"fromEntities": ["all"], "toPorts": [{"ports": [{"port": "8443"}], "rules": {
        "l7proto": "admission", "l7": [{"path": "/images"}, {"pathPrefix": "/other/"}]}}]}]}}
TOKENS = {"apiVersion": "portcullis.dev/v1", "kind": "AdmissionCallers", "metadata": {"name": "tokens"}, "spec": {
    "tokens": [{"name": "tester", "sha256": hashlib.sha256(TOKEN.encode()).hexdigest()}]}}


def hook(name: str, uri: str, rules: list | None = None, **spec) -> dict:
    return {"apiVersion": "portcullis.dev/v1", "kind": "AdmissionHook", "metadata": {"name": name}, "spec": {
        "uri": uri, "doc": "A hook of these tests.",
        "rules": rules or [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}], **spec}}


IMAGES = hook("images", "/images", decide=[{"deny": {"images": {"registryNotIn": ["good.example"]}, "message": "{{image}} is from elsewhere"}}])


def review(uid: str, image: str = "good.example/a:1", *, kind: str = "Pod", data: dict | None = None) -> bytes:
    resource = {"Pod": "pods", "Secret": "secrets"}[kind]
    spec = {"spec": {"containers": [{"name": "c", "image": image}]}} if kind == "Pod" else {}
    return json.dumps({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {
        "uid": uid, "kind": {"group": "", "version": "v1", "kind": kind}, "resource": {"group": "", "version": "v1", "resource": resource},
        "name": "p", "namespace": "d", "operation": "CREATE", "userInfo": {"username": "u"},
        "object": {"apiVersion": "v1", "kind": kind, "metadata": {"name": "p"}, **spec, **(data or {})}, "oldObject": None}}).encode()


def request(body: bytes, path: str = "/images", *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: webhook", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Webhook:
    """An Envoy that is a webhook and has nothing behind it."""

    def __init__(self, case: unittest.TestCase | type, name: str, documents: list, *, protocol_config=None, **listener_options):
        self.folder = scratch_folder(name)
        self.policies = self.folder / "policies"
        self.policies.mkdir()
        self.put(documents)
        self.log_path = self.folder / "access.jsonl"
        last = portcullis({
            "protocol": "admission", "protocolConfig": {"callers": "anonymous"} if protocol_config is None else protocol_config, "policy": {"directory": str(self.policies)},
            "endpoint": {"labels": LABELS}, "direction": "ingress", "port": 8443,
            "accessLog": {"path": str(self.log_path), "level": "requests"}})
        last["typed_config"]["terminal_filter"] = True
        bootstrap = harness.bootstrap([listener("front", [last], **listener_options)], 1)
        bootstrap["static_resources"].pop("clusters")
        self.envoy = rig.Envoy(envoy(), bootstrap, self.folder)
        (case.addClassCleanup if isinstance(case, type) else case.addCleanup)(stop_in_good_health, self.envoy)
        self.port = self.envoy.port_of("front")
        self.url = f"http://127.0.0.1:{self.port}"

    def put(self, documents: list) -> None:
        write_json(self.policies / "all.json", {"apiVersion": "v1", "kind": "List", "items": documents})

    def connect(self) -> "Asker":
        return Asker(self.port)

    def log(self) -> list[dict]:
        return harness.read_json_lines(self.log_path)


class Asker(http.client.HTTPConnection):
    def __init__(self, port: int):
        super().__init__("127.0.0.1", port, timeout=30)
        self.connect()
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # One reader for all answers: what is read ahead of one belongs to the next.
        self.answers = self.sock.makefile("rb")
        self.reader = types.SimpleNamespace(makefile=lambda _mode: Shared(self.answers))

    def send_raw(self, data: bytes) -> None:
        self.sock.sendall(data)

    def answer(self, method: str = "POST") -> tuple[int, dict, bytes]:
        response = http.client.HTTPResponse(self.reader, method=method)
        response.begin()
        return response.status, dict(response.getheaders()), response.read()

    def ask(self, body: bytes, path: str = "/images", *headers: str) -> tuple[int, dict, bytes]:
        self.send_raw(request(body, path, *headers))
        return self.answer()


class Shared:
    """A file that whoever reads one answer from it does not close."""

    def __init__(self, file):
        self.read, self.readinto, self.readline, self.peek, self.flush = file.read, file.readinto, file.readline, file.peek, lambda: None

    def close(self) -> None:
        pass


class Clients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # A buffer far below the bodies that pass.
        cls.webhook = Webhook(cls, "admission-clients", [CALLERS, IMAGES], per_connection_buffer_limit_bytes=32_768)

    def curl(self, *arguments: str, status: int = 0) -> str:
        if not shutil.which("curl"):
            self.skipTest("there is no curl")
        done = subprocess.run(["curl", "-sS", "--max-time", "30", *arguments], capture_output=True, text=True)
        self.assertEqual(done.returncode, status, done.stderr)
        return done.stdout

    def post(self, *arguments: str, image: str = "good.example/a:1", padding: int = 0) -> dict:
        body = self.webhook.folder / "body.json"
        body.write_bytes(review("u-1", image) + b" " * padding)
        text = self.curl("-H", "Content-Type: application/json", "--data-binary", f"@{body}", *arguments, self.webhook.url + "/images?timeout=5s")
        return json.loads(text)["response"]

    def test_curl(self):
        self.assertEqual(self.post(), {"uid": "u-1", "allowed": True})
        denied = self.post(image="bad.example/a:1")
        self.assertEqual(denied["status"]["message"], "bad.example/a:1 is from elsewhere")
        self.assertEqual((denied["allowed"], denied["status"]["code"]), (False, 403))

    def test_curl_in_chunks(self):
        self.assertTrue(self.post("-H", "Transfer-Encoding: chunked", padding=MEBIBYTE)["allowed"])

    def test_curl_waits_for_100_continue(self):
        self.assertTrue(self.post("-H", "Expect: 100-continue", "--expect100-timeout", "20", padding=3 * MEBIBYTE)["allowed"])

    def test_curl_of_http_1_0(self):
        self.assertTrue(self.post("--http1.0")["allowed"])

    def test_curl_asks_for_a_close(self):
        self.assertTrue(self.post("-H", "Connection: close")["allowed"])

    def test_health(self):
        for path in ("/healthz", "/readyz"):
            self.assertEqual(self.curl("-w", "%{http_code}", "-o", "/dev/null", self.webhook.url + path), "200")
            self.assertIn("200", self.curl("-I", self.webhook.url + path).splitlines()[0])

    def test_http_2_is_told_apart(self):
        done = subprocess.run(["curl", "-sS", "--max-time", "30", "--http2-prior-knowledge", self.webhook.url + "/healthz"], capture_output=True)
        self.assertNotEqual(done.returncode, 0)
        wait_for("the log to name HTTP/2", lambda: any("HTTP/2" in entry.get("reason", "") for entry in self.webhook.log()), 10)

    def test_python(self):
        asker = self.webhook.connect()
        for number in range(200):
            image = ["good.example/a:1", "bad.example/a"][number % 2]
            status, headers, body = asker.ask(review(f"u-{number}", image))
            answer = json.loads(body)
            self.assertEqual((status, headers["Content-Type"], headers["Content-Length"]), (200, "application/json", str(len(body))))
            self.assertEqual((answer["apiVersion"], answer["kind"]), ("admission.k8s.io/v1", "AdmissionReview"))
            self.assertEqual((answer["response"]["uid"], answer["response"]["allowed"]), (f"u-{number}", number % 2 == 0))
        asker.close()

    def test_python_in_chunks(self):
        asker = http.client.HTTPConnection("127.0.0.1", self.webhook.port, timeout=30)
        for number in range(20):
            text = review(f"u-{number}")
            pieces = [text[at:at + number + 1] for at in range(0, len(text), number + 1)]
            asker.request("POST", "/images", iter(pieces), {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}, encode_chunked=True)
            self.assertEqual(json.loads(asker.getresponse().read())["response"]["uid"], f"u-{number}")
        asker.close()

    def test_go(self):
        if not shutil.which("go"):
            self.skipTest("there is no go")
        done = subprocess.run(["go", "run", str(HERE / "clients/admission.go"), self.webhook.url + "/images"], capture_output=True, text=True,
                              timeout=300, env={**__import__("os").environ, "GOFLAGS": "-mod=mod", "GO111MODULE": "off"})
        self.assertEqual((done.returncode, done.stdout.strip()), (0, "500 answers, all right"), done.stderr)

    def test_any_cut(self):
        chance = random.Random(1)
        asker = self.webhook.connect()
        for number in range(30):
            text = request(review(f"u-{number}"))
            cuts = sorted(chance.sample(range(1, len(text)), 1 + number % 9)) if number else range(1, len(text))
            for begin, end in zip([0, *cuts], [*cuts, len(text)]):
                asker.send_raw(text[begin:end])
            self.assertEqual(json.loads(asker.answer()[2])["response"]["uid"], f"u-{number}")
        asker.close()

    def test_pipelined(self):
        asker = self.webhook.connect()
        asker.send_raw(b"".join(request(review(f"u-{number}")) for number in range(100)))
        for number in range(100):
            self.assertEqual(json.loads(asker.answer()[2])["response"]["uid"], f"u-{number}")
        asker.close()

    def test_large_bodies(self):
        padding = 8 * MEBIBYTE - len(review("u"))
        asker = self.webhook.connect()
        status, _, body = asker.ask(review("u") + b" " * padding)
        self.assertEqual((status, json.loads(body)["response"]["uid"]), (200, "u"))
        asker.close()
        asker = self.webhook.connect()
        asker.send_raw(request(review("u") + b" " * (padding + 1))[:4096])
        self.assertEqual(asker.answer()[0], 413)
        self.assertEqual(asker.sock.recv(1), b"", "the connection stays open")
        asker.close()

    def test_a_refusal_that_ends_the_connection_waits_for_no_body(self):
        for lines in (["Content-Length: 9000"], ["Transfer-Encoding: chunked"]):
            asker = self.webhook.connect()
            asker.send_raw("\r\n".join(["POST /other/x HTTP/1.1", "Host: h", "Connection: close", *lines, "", "9"]).encode())
            self.assertEqual(asker.answer()[0], 404)
            self.assertEqual(asker.sock.recv(1), b"", "the connection stays open")
            asker.close()

    def test_who_ends_its_side_gets_every_answer(self):
        asker = self.webhook.connect()
        asker.send_raw(b"".join(request(review(f"u-{number}")) for number in range(50)))
        asker.sock.shutdown(socket.SHUT_WR)
        for number in range(50):
            self.assertEqual(json.loads(asker.answer()[2])["response"]["uid"], f"u-{number}")
        self.assertEqual(asker.sock.recv(1), b"")
        asker.close()

    def test_who_ends_its_side_in_a_refused_body_is_not_waited_for(self):
        active = lambda: self.webhook.envoy.stats()["listener.front.downstream_cx_active"]  # noqa: E731
        before = active()
        askers = [self.webhook.connect() for _ in range(10)]
        for asker in askers:
            asker.send_raw(request(review("u"), "/other/x")[:-9])
            self.assertEqual(asker.answer()[0], 404)
            asker.sock.shutdown(socket.SHUT_WR)
        wait_for("the connections to end", lambda: active() == before, 10)
        for asker in askers:
            asker.close()

    def test_two_lengths_are_no_request(self):
        for lines in (["Content-Length: 5"], ["Transfer-Encoding: chunked"]):
            asker = self.webhook.connect()
            self.assertEqual(asker.ask(review("u"), "/images", *lines)[0], 400)
            self.assertEqual(asker.sock.recv(1), b"")
            asker.close()

    def test_unknown_path(self):
        asker = self.webhook.connect()
        self.assertEqual(asker.ask(review("u"), "/other/x")[0], 404)
        asker.close()

    def test_metrics_and_log(self):
        asker = self.webhook.connect()
        before = self.webhook.envoy.stats()
        secret = review("u-secret", kind="Secret", data={"data": {"password": "aHVudGVyMg=="}})
        asker.ask(secret)
        asker.ask(review("u-denied", "bad.example/x"))
        entry = wait_for("the log", lambda: next((e for e in self.webhook.log() if e.get("fields", {}).get("uid") == "u-denied"), None), 10)
        self.assertEqual((entry["verdict"], entry["fields"]["hook"], entry["fields"]["user"]), ("denied", "images", "u"))
        self.assertNotIn("aHVudGVyMg", self.webhook.log_path.read_text())
        asker.close()

        def counted() -> bool:
            after = self.webhook.envoy.stats()
            return all(after.get(name, 0) - before.get(name, 0) == 1 for name in names)
        names = [f"portcullis.admission.judged.images.{what}" for what in ("forwarded", "denied")]
        wait_for("the metrics of the hook", counted, 10)


class Callers(unittest.TestCase):
    def test_who_may_call(self):
        webhook = Webhook(self, "admission-callers", [CALLERS, TOKENS, IMAGES, hook("hidden", "/hidden", decide=[{"allow": {}}])], protocol_config={})
        asker = webhook.connect()
        status, headers, _ = asker.ask(review("u"))
        self.assertEqual((status, headers.get("WWW-Authenticate")), (401, "Bearer"))
        self.assertEqual(asker.ask(review("u"), "/images", "Authorization: Bearer another")[0], 401)
        self.assertEqual(asker.ask(review("u"), "/images", f"Authorization: Bearer {TOKEN}")[0], 200)
        self.assertEqual(asker.ask(review("u"), "/hidden", f"Authorization: Bearer {TOKEN}")[0], 403)
        asker.close()
        self.assertNotIn(TOKEN, webhook.log_path.read_text())


class Swaps(unittest.TestCase):
    def test_a_new_hook_counts_on_open_connections(self):
        webhook = Webhook(self, "admission-swaps", [CALLERS, IMAGES])
        asker = webhook.connect()
        allowed = lambda: json.loads(asker.ask(review("u", "bad.example/x"))[2])["response"]["allowed"]  # noqa: E731
        self.assertFalse(allowed())
        webhook.put([CALLERS, {**IMAGES, "spec": {**IMAGES["spec"], "decide": [{"allow": {}}]}}])
        wait_for("the new hook", allowed, 5)
        # A bad file changes nothing.
        webhook.put([CALLERS, {**IMAGES, "spec": {**IMAGES["spec"], "decide": [{"deny": {"imagez": {}}}]}}])
        wait_for("the refusal", lambda: "imagez" in webhook.envoy.log(), 5)
        self.assertTrue(allowed())
        asker.close()
