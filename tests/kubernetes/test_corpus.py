"""Everything that a real API server sent once, sent again: each review is answered under its own identifier, however it comes in pieces."""

import json
import subprocess
import time
import unittest

import stage
from stage import CORPUS, Raw, Webhook, rig

EVERYTHING = [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}]
POLICY = stage.hook("everything", EVERYTHING, decide=[{"deny": {"names": ["denied"], "message": "no"}}])


class Corpus(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.front = cls.enterClassContext(Webhook("corpus", [POLICY]))

    def test_every_review_is_answered(self):
        client = self.front.connect()
        for path in sorted(CORPUS.glob("*.json")):
            with self.subTest(path.name):
                body = path.read_bytes()
                asked = json.loads(body)
                status, headers, answer = client.send("POST", "/everything?timeout=10s", body)
                told = json.loads(answer)
                self.assertEqual((status, headers["content-type"], int(headers["content-length"])), (200, "application/json", len(answer)))
                self.assertEqual((told["apiVersion"], told["kind"]), (asked["apiVersion"], "AdmissionReview"))
                self.assertEqual((told["response"]["uid"], told["response"]["allowed"]), (asked["request"]["uid"], True))

    def test_a_request_in_two_pieces_at_every_byte(self):
        request = (CORPUS / "pod-create-ok.http").read_bytes()
        uid = json.loads(request.partition(b"\r\n\r\n")[2])["request"]["uid"].encode()
        wire = self.enterContext(Raw(self.front))
        for cut in range(1, len(request)):
            wire.send(request[:cut])
            # Long enough, most times, for Envoy to read it by itself.
            time.sleep(0.0003)
            wire.send(request[cut:])
            self.assertIn(b'"uid":"%s"' % uid, wire.receive()[2], cut)

    def test_requests_one_after_the_other_in_one_piece(self):
        request = (CORPUS / "pod-create-ok.http").read_bytes()
        uid = json.loads(request.partition(b"\r\n\r\n")[2])["request"]["uid"].encode()
        uids = [b"%08d" % number + uid[8:] for number in range(100)]
        wire = self.enterContext(Raw(self.front))
        wire.send(b"".join(request.replace(uid, each) for each in uids))
        for each in uids:
            self.assertIn(b'"uid":"%s"' % each, wire.receive()[2])

    def test_curl_with_what_it_likes_to_do(self):
        if not rig.command_exists("curl"):
            raise unittest.SkipTest("this needs the command `curl`")
        large = json.loads((CORPUS / "pod-create-ok.json").read_bytes())
        large["request"]["object"]["metadata"]["annotations"] = {f"text-{number}": "all work and no play " * 500 for number in range(200)}
        path = self.front.folder / "large.json"
        path.write_text(json.dumps(large))
        self.assertGreater(path.stat().st_size, 2_000_000)
        cluster = self.front.cluster
        for options in (["--http2"], ["--http1.1"], ["--header", "Transfer-Encoding: chunked"], ["--header", "Expect: 100-continue"]):
            with self.subTest(options):
                told = subprocess.run(["curl", "--silent", "--show-error", *options, "--cacert", cluster.authority.path("kubernetes-ca.crt"),
                                       "--cert", cluster.caller_certificate, "--key", cluster.caller_key, "--header", "Content-Type: application/json",
                                       "--data-binary", f"@{path}", self.front.url("/everything")], capture_output=True, text=True, timeout=60)
                self.assertEqual(told.returncode, 0, told.stderr)
                self.assertEqual(json.loads(told.stdout)["response"], {"uid": large["request"]["uid"], "allowed": True})


if __name__ == "__main__":
    unittest.main()
