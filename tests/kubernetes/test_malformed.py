"""What no API server sends, sent through TLS: each gets a clear answer, and nobody else's connection suffers for it."""

import contextlib
import json
import unittest

import stage
from stage import HOOKS, Raw, Webhook, wait_for

POLICY = stage.hook("policy", stage.PODS + [stage.rule(["pods"], ["DELETE"])], decide=[{"deny": {"names": ["denied"], "message": "no"}}])
HEAD = b"POST /policy HTTP/1.1\r\nHost: webhook.test\r\n"
JSON = b"Content-Type: application/json\r\n"


def post(body: bytes, *, head: bytes = HEAD, fields: bytes = JSON) -> bytes:
    return head + fields + b"Content-Length: %d\r\n\r\n" % len(body) + body


def review(**changes) -> bytes:
    """A good one, with other fields in its request; `None` leaves one out."""
    asked = stage.review("pod-create-ok")
    for name, value in changes.items():
        asked["request"][name] = value
        if value is None:
            del asked["request"][name]
    return json.dumps(asked).encode()


def envelope(**changes) -> bytes:
    return json.dumps(stage.review("pod-create-ok") | changes).encode()


GOOD = review()
# What is sent, the status, words of the answer, and whether the connection ends with it.
REFUSED = {
    "another method": (b"GET /policy HTTP/1.1\r\nHost: webhook.test\r\n\r\n", 405, b"", False),
    "another path": (post(GOOD, head=HEAD.replace(b"/policy", b"/other")), 404, b"/policy", False),
    "the path with a slash": (post(GOOD, head=HEAD.replace(b"/policy", b"/policy/")), 404, b"/policy", False),
    "no content type": (post(GOOD, fields=b""), 415, b"", False),
    "another content type": (post(GOOD, fields=b"Content-Type: text/plain\r\n"), 415, b"", False),
    "a compressed body": (post(GOOD, fields=JSON + b"Content-Encoding: gzip\r\n"), 415, b"", False),
    "an empty body": (post(b""), 400, b"request body is empty", False),
    "two framings": (post(GOOD, fields=JSON + b"Transfer-Encoding: chunked\r\n"), 400, b"", True),
    "two lengths": (post(GOOD, fields=JSON + b"Content-Length: 1\r\n"), 400, b"", True),
    "a length with a sign": (HEAD + JSON + b"Content-Length: +2\r\n\r\n{}", 400, b"", True),
    "a folded line": (post(GOOD, fields=JSON + b"X-A: b\r\n c\r\n"), 400, b"", True),
    "a bare carriage return": (post(GOOD, fields=JSON + b"X-A: b\rX-B: c\r\n"), 400, b"", True),
    "a blank before the colon": (post(GOOD, fields=JSON + b"X-A : b\r\n"), 400, b"", True),
    "a bad chunk": (HEAD + JSON + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, b"", True),
    "a coding that nobody knows": (HEAD + JSON + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, b"", True),
    "a head without an end": (HEAD + b"X-A: " + b"a" * (80 << 10), 431, b"", True),
    "a body beyond the limit": (post(bytes(9 << 20)), 413, b"", True),
    "no JSON": (post(b'{"kind": nonsense}'), 400, b"byte", False),
    "no UTF-8": (post(GOOD.replace(b"web-server", b"web\xff\xfeserver")), 400, b"byte", False),
    "a lone surrogate": (post(GOOD.replace(b"web-server", b"web\\ud800server")), 400, b"byte", False),
    "20,000 levels": (post(GOOD[:-2] + b', "deep": ' + b"[" * 20_000 + b"]" * 20_000 + b"}}"), 400, b"1000", False),
    "another kind": (post(envelope(kind="Pod")), 400, b"Pod", False),
    "another version": (post(envelope(apiVersion="admission.k8s.io/v7")), 400, b"admission.k8s.io/v7", False),
    "no request": (post(envelope(request=None)), 400, b"", False),
    "an answer": (post(b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"x","allowed":true}}'), 400, b"", False),
    "a list": (post(b"[" + GOOD + b"]"), 400, b"", False),
    "no identifier": (post(review(uid=None)), 400, b"uid", False),
}
# What is sent is a review whose identifier is known: it is denied under it.
DENIED = {
    "an unknown operation": (review(operation="PATCH"), "operation"),
    "a deletion of nothing": (review(operation="DELETE", object=None, oldObject=None), "oldObject cannot be nil for DELETE operations"),
    "a creation of nothing": (review(object=None), "object"),
}


class Malformed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.front = cls.enterClassContext(Webhook("malformed", [POLICY, HOOKS / "opa-image-policy.yaml", HOOKS / "no-privileged-pods.yaml"]))
        cls.bystander = cls.front.connect()

    def tearDown(self):
        self.assertTrue(self.bystander.ask("/policy", GOOD)["allowed"])

    def test_what_is_refused(self):
        for what, (sent, status, words, closes) in REFUSED.items():
            with self.subTest(what), Raw(self.front) as wire:
                with contextlib.suppress(OSError):
                    # It may be closed before all is sent.
                    wire.send(sent)
                got, _, body = wire.receive()
                self.assertEqual(got, status, body)
                self.assertIn(words, body)
                if closes:
                    self.assertTrue(wire.closed())
                else:
                    wire.send(post(GOOD))
                    self.assertEqual(wire.receive()[0], 200, "the next request")

    def test_what_is_denied_under_its_identifier(self):
        uid = stage.review("pod-create-ok")["request"]["uid"]
        for what, (body, words) in DENIED.items():
            with self.subTest(what), Raw(self.front) as wire:
                wire.send(post(body))
                status, _, answer = wire.receive()
                response = json.loads(answer)["response"]
                self.assertEqual((status, response["uid"], response["allowed"], response["status"]["code"]), (200, uid, False, 400))
                self.assertIn(words, response["status"]["message"])

    def test_what_is_fine(self):
        chunks = b"".join(b"%x;a=b\r\n%s\r\n" % (len(part), part) for part in (GOOD[:1], GOOD[1:2000], GOOD[2000:])) + b"0\r\nX-Trailer: a\r\n\r\n"
        deep = GOOD[:-2] + b', "deep": ' + b"[" * 600 + b"]" * 600 + b"}}"
        for what, sent in {
            "a charset": post(GOOD, fields=b"content-type: Application/JSON; Charset=UTF-8\r\n"),
            "chunks": HEAD + JSON + b"Transfer-Encoding: chunked\r\n\r\n" + chunks,
            "a number beyond all floats": post(GOOD[:-2] + b', "n": 1e400}}'),
            "600 levels": post(deep),
            "HTTP/1.0": post(GOOD, head=HEAD.replace(b"1.1", b"1.0")),
        }.items():
            with self.subTest(what), Raw(self.front) as wire:
                wire.send(sent)
                status, _, body = wire.receive()
                self.assertEqual(status, 200, body)
                self.assertTrue(json.loads(body)["response"]["allowed"])

    def test_who_asks_before_sending_a_body_is_told_to_go_on(self):
        with Raw(self.front) as wire:
            wire.send(post(GOOD, fields=JSON + b"Expect: 100-continue\r\n")[:-len(GOOD)])
            self.assertEqual(wire.receive()[0], 100)
            wire.send(GOOD)
            self.assertEqual(wire.receive()[0], 200)

    def test_http_2_gets_nowhere_and_the_log_says_why(self):
        with Raw(self.front) as wire:
            wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))
            self.assertEqual(wire.receive()[0], 505)
            self.assertTrue(wire.closed())
        wait_for("the log to tell of it", lambda: "HTTP/2" in self.front.log_path.read_text())

    def test_a_body_that_ends_early(self):
        with Raw(self.front) as wire:
            wire.send(post(GOOD)[:-1])
            wire.socket.unwrap()
            self.assertTrue(wire.closed())

    def test_half_a_request_is_not_waited_for_for_ever(self):
        with Webhook("slow", [POLICY], changes={'"tlsIdentity": "optional",': '"tlsIdentity": "optional", "limits": {"frameTimeoutSeconds": 1},'}) as front:
            for part in (HEAD[:10], HEAD, post(GOOD)[:-5]):
                with self.subTest(part[:20]), Raw(front) as wire:
                    wire.send(part)
                    self.assertTrue(wire.closed())
            with Raw(front) as idle:
                idle.send(post(GOOD))
                self.assertEqual(idle.receive()[0], 200)

    def test_shapes_that_no_pod_has(self):
        """Whatever they are made of, the image policy and the one on privileges deny them, and live."""
        for what, containers in {"null": None, "a text": "nginx", "a number": 7, "an object": {"image": "nginx"}, "numbers": [7],
                                 "no image": [{"name": "a"}],
                                 "an image that is a list": [{"name": "a", "image": ["192.168.64.1:5000/a:1"]}],
                                 "a context that is a text": [{"name": "a", "image": "192.168.64.1:5000/a:1", "securityContext": "privileged"}]}.items():
            asked = stage.review("pod-create-ok")
            asked["request"]["object"]["spec"]["containers"] = containers
            denied = [not self.bystander.ask(path, asked)["allowed"] for path in ("/opa-image-policy", "/no-privileged-pods")]
            with self.subTest(what):
                self.assertTrue(any(denied), "at least one of them has something to say")


class Operations(unittest.TestCase):
    def test_health_needs_no_certificate(self):
        front = self.enterContext(Webhook("health", [POLICY]))
        client = front.connect(certificate=False)
        for path in ("/healthz", "/readyz"):
            self.assertEqual(client.send("GET", path)[0], 200)
        self.assertEqual(client.send("HEAD", "/readyz")[2], b"")

    def test_what_prometheus_sees(self):
        front = self.enterContext(Webhook("metrics", [POLICY]))
        client = front.connect()
        client.ask("/policy", GOOD)
        client.ask("/policy", review(name="denied", object=stage.review("pod-create-ok")["request"]["object"] | {"metadata": {"name": "denied"}}))
        for line in ('envoy_portcullis_requests{l7proto="admission",verdict="denied"} 1',
                     'envoy_portcullis_judged{l7proto="admission",hook="policy",outcome="denied"} 1',
                     'envoy_portcullis_judged{l7proto="admission",hook="policy",outcome="forwarded"} 1',
                     'envoy_portcullis_judged_microseconds_count{l7proto="admission",hook="policy"} 2'):
            wait_for(line, lambda: line in front.envoy.admin("/stats/prometheus").splitlines())


if __name__ == "__main__":
    unittest.main()
