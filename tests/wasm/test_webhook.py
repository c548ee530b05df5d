"""The HTTP filter as a webhook: HTTP clients of all kinds against a real Envoy whose V8 judges the reviews."""

import contextlib
import hashlib
import http.client
import http.server
import json
import re
import shutil
import ssl
import subprocess
import textwrap
import threading
import unittest

import harness
import rig
from harness import FILTERS, SAMPLES, TYPE, listener, scratch_folder, wait_for
from stand import ADMISSION, read_access_log
from test_admission import IMAGES, LABELS, TOKEN, Asker, hook, review
from test_copied import block
from test_identity import Authority

MEBIBYTE = 1 << 20
CALLERS = {"apiVersion": "portcullis.dev/v1", "kind": "L7Policy", "metadata": {"name": "callers"}, "spec": {
    "endpointSelector": {"matchLabels": LABELS},
    "ingress": [{"toPorts": [{"ports": [{"port": "8443"}], "rules": {
        "l7proto": "admission", "l7": [{"path": "/images"}, {"pathPrefix": "/other/"}]}}]}]}}
TOKENS = {"apiVersion": "portcullis.dev/v1", "kind": "AdmissionCallers", "metadata": {"name": "tokens"}, "spec": {
    "tokens": [{"name": "tester", "sha256": hashlib.sha256(TOKEN.encode()).hexdigest()}]}}
LABEL = hook("label", "/other/label", mutate=[{"setLabels": {"seen": "yes"}}])


def config(documents: list, **more) -> dict:
    return {"protocol": "admission", "protocolConfig": {"callers": "anonymous"}, "policy": {"inline": "\n---\n".join(map(json.dumps, documents))},
            "endpoint": {"labels": LABELS}, "direction": "ingress", "port": 8443, "accessLog": {"level": "requests"}, **more}


def manager(plugin: dict, upstream: bool = False, stops: bool = True, module=ADMISSION) -> dict:
    """Envoy's connection manager with our filter, before an upstream or nothing."""
    route = {"route": {"cluster": "upstream"}} if upstream else {"direct_response": {"status": 503}}
    wasm = {"name": "portcullis", "root_id": "portcullis", "failure_policy": "FAIL_CLOSED", "allow_on_headers_stop_iteration": stops,
            "configuration": {"@type": TYPE + "google.protobuf.StringValue", "value": json.dumps(plugin)},
            "vm_config": {"vm_id": "admission", "runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": str(module)}}}}
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": {
        "@type": FILTERS + "http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "admission", "codec_type": "AUTO",
        "http_protocol_options": {"enable_trailers": True}, "http2_protocol_options": {"allow_connect": True}, "upgrade_configs": [{"upgrade_type": "websocket"}],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, **route}]}]},
        "http_filters": [
            {"name": "envoy.filters.http.wasm", "typed_config": {
                "@type": TYPE + "envoy.extensions.filters.http.wasm.v3.Wasm", "config": wasm}},
            {"name": "envoy.filters.http.router", "typed_config": {
                "@type": TYPE + "envoy.extensions.filters.http.router.v3.Router"}}]}}


FRONT = """
static_resources:
  listeners:
  - name: front
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: front
          http_filters:
%s
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
          route_config:
            virtual_hosts:
            - name: nothing
              domains: ["*"]
              routes:
              - match: {prefix: /}
                direct_response: {status: 503}
admin:
  address: {socket_address: {address: 127.0.0.1, port_value: 0}}
"""


class Webhook(contextlib.ExitStack):
    """Listeners by their names, each with a connection manager."""

    def __init__(self, name: str, fronts: dict[str, dict], upstream: int = 1, **options):
        super().__init__()
        self.folder = scratch_folder(name)
        listeners = [listener(name, [one], **options) for name, one in fronts.items()]
        self.envoy = self.enter_context(rig.Envoy(harness.envoy(), harness.bootstrap(listeners, upstream), self.folder))

    def connect(self, front: str = "front") -> Asker:
        return Asker(self.envoy.port_of(front))

    def access_log(self) -> list[dict]:
        return read_access_log(self.envoy)


def response(body: bytes) -> dict:
    return json.loads(body)["response"]


class Clients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        documents = [CALLERS, IMAGES, LABEL]
        cls.webhook = cls.enterClassContext(Webhook("wasm-webhook", {
            "front": manager(config(documents)),
            "small": manager(config(documents, protocolConfig={"callers": "anonymous", "maxBodyBytes": 2000})),
            "known": manager(config([*documents, TOKENS], protocolConfig={"callers": "authenticated"})),
            "stalled": manager(config(documents, limits={"frameTimeoutSeconds": 1}), stops=False),
        }, per_connection_buffer_limit_bytes=32_768))

    def test_reviews_on_one_connection(self):
        asker = self.webhook.connect()
        for number in range(20):
            for image, allowed in (("good.example/a:1", True), ("bad.example/a:1", False)):
                status, fields, body = asker.ask(review(f"u-{number}", image), "/images?timeout=5s")
                answer = response(body)
                self.assertEqual((status, fields["content-type"]), (200, "application/json"))
                self.assertEqual((answer["uid"], answer["allowed"]), (f"u-{number}", allowed))
        self.assertEqual(answer["status"], {"message": "bad.example/a:1 is from elsewhere", "reason": "Forbidden", "code": 403})
        log = [entry for entry in self.webhook.access_log() if entry.get("fields", {}).get("uid") == "u-19"]
        self.assertEqual([(entry["verdict"], entry["fields"]["hook"]) for entry in log], [("forwarded", "images"), ("denied", "images")])

    def test_a_patch(self):
        _, _, body = self.webhook.connect().ask(review("u"), "/other/label")
        self.assertEqual(response(body)["patchType"], "JSONPatch")

    def test_a_body_larger_than_envoys_buffers(self):
        asker = self.webhook.connect()
        for size in (MEBIBYTE, 7 * MEBIBYTE):
            status, _, body = asker.ask(review("u") + b" " * size)
            self.assertEqual((status, response(body)["allowed"]), (200, True))
        asker.send_raw(b"POST /images HTTP/1.1\r\nHost: w\r\nContent-Type: application/json\r\nContent-Length: 8388609\r\n\r\n")
        self.assertEqual(asker.answer()[::2], (413, b"the body is too large\n"))

    def test_what_is_no_review(self):
        for path, fields, body, status, text in (
            ("/other/nowhere", ["Content-Type: application/json"], b"{}", 404, "no hook at `/other/nowhere`; there are: /images /other/label /healthz /readyz"),
            ("/images", ["Content-Type: text/plain"], b"{}", 415, "a Content-Type other than `application/json` in UTF-8"),
            ("/images", ["Content-Type: application/json", "Content-Encoding: gzip"], b"{}", 415, "a body with a Content-Encoding: send it as it is"),
            ("/images", [], b"{}", 415, "no Content-Type: `application/json` is needed"),
            ("/images", ["Content-Type: application/json"], b"", 400, "request body is empty"),
            ("/images", ["Content-Type: application/json"], b"{", 400, "the document ends too early at byte 1 (line 1, column 2)"),
            ("/images?timeout=soon", ["Content-Type: application/json"], b"{}", 400, "a `timeout` that is no duration, such as `10s`"),
            ("//images", ["Content-Type: application/json"], b"{}", 403, "the policy does not allow this caller to call this hook"),
        ):
            with self.subTest(path=path, fields=fields):
                # Envoy ends a connection with some of the answers.
                asker = self.webhook.connect()
                lines = [f"POST {path} HTTP/1.1", "Host: webhook", f"Content-Length: {len(body)}", *fields]
                asker.send_raw("\r\n".join([*lines, "", ""]).encode() + body)
                got, got_fields, told = asker.answer()
                self.assertEqual(got, status)
                self.assertIn(text, told.decode())
                self.assertTrue(got_fields["content-type"].startswith("text/plain"))

    def test_other_methods(self):
        asker = self.webhook.connect()
        for method, path, status, body in (("GET", "/healthz", 200, b"ok\n"), ("GET", "/readyz", 200, b"ok\n"), ("HEAD", "/healthz", 200, b""),
                                           ("PUT", "/healthz", 405, None), ("GET", "/images", 405, None), ("HEAD", "/images", 405, b"")):
            with self.subTest(method=method, path=path):
                asker.send_raw(f"{method} {path} HTTP/1.1\r\nHost: webhook\r\nContent-Length: 0\r\n\r\n".encode())
                got, fields, told = asker.answer(method)
                self.assertEqual(got, status)
                self.assertIn(body, (None, told))
                if status == 405:
                    self.assertEqual(fields["allow"], "GET, HEAD" if path == "/healthz" else "POST")

    def test_a_body_over_the_limit(self):
        for chunked in (False, True):
            body = review("u") + b" " * 2000
            framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if chunked else body
            asker = self.webhook.connect("small")
            asker.send_raw(f"POST /images HTTP/1.1\r\nHost: w\r\nContent-Type: application/json\r\n{framing}\r\n\r\n".encode() + body)
            self.assertEqual(asker.answer()[::2], (413, b"the body is too large\n"))

    def test_chunks_and_trailers(self):
        body, asker = review("u"), self.webhook.connect()
        for trailers in (b"", b"X-Checked: yes\r\n"):
            asker.send_raw(b"POST /images HTTP/1.1\r\nHost: w\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
            for at in range(0, len(body), 50):
                piece = body[at:at + 50]
                asker.send_raw(b"%x\r\n%s\r\n" % (len(piece), piece))
            asker.send_raw(b"0\r\n" + trailers + b"\r\n")
            status, _, told = asker.answer()
            self.assertEqual((status, response(told)["allowed"]), (200, True))

    def test_a_token(self):
        asker = self.webhook.connect("known")
        for token, status in ((TOKEN, 200), (TOKEN + "x", 401), ("", 401)):
            got, fields, _ = asker.ask(review("u"), "/images", *([f"Authorization: Bearer {token}"] if token else []))
            self.assertEqual((got, fields.get("www-authenticate")), (status, "Bearer" if status == 401 else None))

    def test_an_upgrade_gets_no_further(self):
        asker = self.webhook.connect()
        asker.send_raw(b"GET /images HTTP/1.1\r\nHost: w\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        self.assertIn(asker.answer()[0], (400, 405))

    def test_http_2(self):
        if not shutil.which("curl"):
            self.skipTest("there is no curl")
        path = self.webhook.folder / "body.json"
        for image, allowed in (("good.example/a:1", True), ("bad.example/a:1", False)):
            path.write_bytes(review("u-2", image) + b" " * 3 * MEBIBYTE)
            done = subprocess.run(["curl", "-sS", "--max-time", "30", "--http2-prior-knowledge", "-H", "Content-Type: application/json", "--data-binary",
                                   f"@{path}", "-w", "%{http_version}", f"http://127.0.0.1:{self.webhook.envoy.port_of('front')}/images"],
                                  capture_output=True, text=True, check=True)
            self.assertEqual(done.stdout[-1], "2")
            self.assertEqual(json.loads(done.stdout[:-1])["response"]["allowed"], allowed)

    def test_100_continue(self):
        asker = self.webhook.connect()
        body = review("u")
        asker.send_raw(f"POST /images HTTP/1.1\r\nHost: w\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        self.assertTrue(asker.answers.readline().startswith(b"HTTP/1.1 100"))
        self.assertEqual(asker.answers.readline(), b"\r\n")
        asker.send_raw(body)
        self.assertEqual(asker.answer()[0], 200)

    def test_an_envoy_that_keeps_bodies_back_is_told_of(self):
        asker = self.webhook.connect("stalled")
        status, _, _ = asker.ask(review("u"))
        self.assertEqual(status, 408)
        self.assertIn("allow_on_headers_stop_iteration", self.webhook.envoy.log())

    def test_metrics(self):
        before = self.webhook.envoy.stats()
        self.webhook.connect().ask(review("u", "bad.example/a:1"))
        name = "wasmcustom.portcullis.admission.judged.images.denied"
        wait_for("the count", lambda: self.webhook.envoy.stats().get(name, 0) > before.get(name, 0))


class Upstream(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.bodies.append(body)
        told = json.dumps({"response": {"uid": "u", "allowed": True}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, *_):
        pass


class Engines(unittest.TestCase):
    def test_a_hook_with_an_engine_is_refused_by_name(self):
        for name, said in (("rego", {"query": "data.system.main"}), ("gatekeeper", {}), ("validatingAdmissionPolicies", {}), ("javascript", {"source": "1"})):
            with self.subTest(name), self.assertRaises(rig.RigError) as raised:
                Webhook("wasm-engine", {"front": manager(config([CALLERS, hook("other", "/other/engine", **{name: said})]))}).close()
            self.assertRegex(str(raised.exception), f"wasm log .*other/spec.*`{name}`")


class BeforeAnother(unittest.TestCase):
    """`guard` and `shadow`: another webhook stands behind."""

    @classmethod
    def setUpClass(cls):
        cls.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
        cls.server.bodies = []
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()
        cls.addClassCleanup(cls.server.shutdown)
        modes = {mode: manager(config([CALLERS, IMAGES], protocolConfig={"callers": "anonymous", "mode": mode}), upstream=True) for mode in ("guard", "shadow")}
        cls.webhook = cls.enterClassContext(Webhook("wasm-guard", modes, cls.server.server_address[1]))

    def test_guard(self):
        asker = self.webhook.connect("guard")
        good = review("u") + b" " * 300_000
        self.assertEqual(response(asker.ask(good)[2]), {"uid": "u", "allowed": True})
        self.assertEqual(self.server.bodies[-1], good)
        before = len(self.server.bodies)
        self.assertFalse(response(asker.ask(review("u", "bad.example/a:1"))[2])["allowed"])
        self.assertEqual(len(self.server.bodies), before)
        # Neither is what goes on bounded by Envoy's buffers.
        large = review("u") + b" " * 7 * MEBIBYTE
        self.assertEqual((asker.ask(large)[0], self.server.bodies[-1]), (200, large))
        asker.send_raw(b"POST /images HTTP/1.1\r\nHost: w\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        asker.send_raw(b"%x\r\n%s\r\n0\r\nX-Checked: yes\r\n\r\n" % (len(good), good))
        self.assertEqual(asker.answer()[::2], (400, b"fields behind the body are not passed on\n"))

    def test_shadow(self):
        asker = self.webhook.connect("shadow")
        for image in ("good.example/a:1", "bad.example/a:1"):
            self.assertTrue(response(asker.ask(review("u", image))[2])["allowed"])
        def audits():
            return [entry["reason"] for entry in self.webhook.access_log() if entry["verdict"] == "audit"]
        wait_for("the difference", audits)
        self.assertEqual(audits(), ["shadow: the upstream decides otherwise"])


class Sample(unittest.TestCase):
    """The sample `wasm-admission.yaml`, with nothing changed but ports and paths."""

    def test_a_caller_with_a_certificate(self):
        if not rig.command_exists("openssl"):
            raise unittest.SkipTest("certificates need the command `openssl`")
        folder = scratch_folder("wasm-admission-sample")
        authority = Authority(folder, "callers-ca")
        certificate, key = authority.issue("server", "DNS:webhook.example")
        text = rig.fill_in(SAMPLES / "wasm-admission.yaml", {
            "/usr/lib/portcullis/portcullis-admission.wasm": str(ADMISSION), "port_value: 8443": "port_value: 0", "port_value: 9901": "port_value: 0",
            "/etc/portcullis/tls/tls.crt": certificate, "/etc/portcullis/tls/tls.key": key,
            "/etc/portcullis/tls/callers-ca.crt": authority.path("callers-ca.crt")})
        shown = authority.issue("api", "URI:spiffe://cluster.example/api,DNS:api.example")
        with rig.Envoy(harness.envoy(), text, folder) as envoy:
            for caller, privileged, expected in ((shown, False, True), (shown, True, False), (None, False, None)):
                context = ssl.create_default_context(cafile=authority.path("callers-ca.crt"))
                if caller:
                    context.load_cert_chain(*caller)
                context.check_hostname = False
                asker = http.client.HTTPSConnection("127.0.0.1", envoy.port_of("admission"), context=context, timeout=30)
                container = {"name": "c", "image": "a", "securityContext": {"privileged": privileged}}
                asker.request("POST", "/no-privileged-pods", review("u", data={"spec": {"containers": [container]}}), {"Content-Type": "application/json"})
                got = asker.getresponse()
                body = got.read()
                self.assertEqual(got.status, 401 if expected is None else 200, body)
                if expected is not None:
                    self.assertEqual(response(body)["allowed"], expected)
            entries = read_access_log(envoy)
            self.assertEqual(entries[0]["fields"]["caller"], "spiffe://cluster.example/api")

    def test_that_of_istio_is_taken_by_a_stock_envoy_too(self):
        one = block((SAMPLES / "wasm-admission-istio.yaml").read_text(), "name: envoy.filters.http.wasm")
        one = re.sub(r"filename: \S+/portcullis-admission\.wasm", f"filename: {ADMISSION}", one)
        folder = scratch_folder("wasm-admission-istio")
        with rig.Envoy(harness.envoy(), FRONT % textwrap.indent("- " + textwrap.indent(one, "  ").lstrip(), " " * 10), folder) as envoy:
            # Nobody here comes from the network of the API servers.
            self.assertEqual(Asker(envoy.port_of("front")).ask(review("u"), "/no-privileged-pods")[0], 403)


class Changes(unittest.TestCase):
    def test_a_changed_configuration_is_judged_by(self):
        folder = scratch_folder("wasm-admission-change")
        lds = folder / "lds.json"
        names = ["good.example", "other.example"]

        def put(name: str) -> None:
            images = hook("images", "/images", decide=[{"deny": {"images": {"registryNotIn": [name]}, "message": "{{image}} is from elsewhere"}}])
            one = listener("front", [manager(config([CALLERS, images]))])
            part = folder / "part.json"
            part.write_text(json.dumps({"resources": [{"@type": TYPE + "envoy.config.listener.v3.Listener", **one}]}))
            part.rename(lds)

        put(names[0])
        with rig.Envoy(harness.envoy(), harness.bootstrap([], 1, lds), folder) as envoy:
            wait_for("the listener", lambda: "front" in envoy.admin("/listeners"))

            def allows(image: str) -> bool:
                return response(Asker(envoy.port_of("front")).ask(review("u", image))[2])["allowed"]

            self.assertTrue(allows("good.example/a:1"))
            put(names[1])
            wait_for("the change", lambda: not allows("good.example/a:1"))
            self.assertTrue(allows("other.example/a:1"))


if __name__ == "__main__":
    unittest.main()
