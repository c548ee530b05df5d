"""Who may ask: the API server, by its certificate or by its token, and nobody else."""

import ssl
import subprocess
import unittest

import objects
import server
import stage
from stage import Webhook, harness, is_refused, registered, rig

POLICY = stage.hook("policy", stage.PODS, decide=[{"deny": {"names": ["denied"], "message": "no"}}])
ASKED = stage.review("pod-create-ok")
DENIED = objects.pod("denied", "nginx:1")


class Callers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.front = cls.enterClassContext(Webhook("callers", [POLICY]))

    def refusals(self) -> int:
        return self.front.envoy.stats()["portcullis.admission.denied.requests"]

    def test_with_the_certificate(self):
        self.assertTrue(self.front.connect().ask("/policy", ASKED)["allowed"])

    def test_with_the_token_alone(self):
        client = self.front.connect(certificate=False)
        self.assertTrue(client.ask("/policy", ASKED, Authorization=f"Bearer {server.CALLER_TOKEN}")["allowed"])

    def test_with_neither(self):
        before = self.refusals()
        status, headers, body = self.front.connect(certificate=False).send("POST", "/policy", b"{}")
        self.assertIn(status, (401, 403))
        self.assertNotIn(b"allowed", body)
        stage.wait_for("the refusal to be counted", lambda: self.refusals() > before)

    def test_with_a_wrong_token(self):
        for given in ("Bearer wrong", "Bearer ", f"Bearer {server.CALLER_TOKEN}x", f"Basic {server.CALLER_TOKEN}", server.CALLER_TOKEN):
            with self.subTest(given):
                status, _, _ = self.front.connect(certificate=False).send("POST", "/policy", b"{}", Authorization=given)
                self.assertIn(status, (401, 403))
        self.assertNotIn(server.CALLER_TOKEN, self.front.log_path.read_text() + self.front.envoy.log())

    def test_with_a_strangers_certificate(self):
        stranger = server.Authority(harness.scratch_folder("strangers"), "strangers-ca").issue("caller", f"DNS:{server.CALLER}")
        with self.assertRaises((ssl.SSLError, ConnectionError, OSError)):
            self.front.connect(certificate=stranger).send("POST", "/policy", b"{}", Authorization=f"Bearer {server.CALLER_TOKEN}")

    def test_curl(self):
        """As the articles' readers would try it."""
        if not rig.command_exists("curl"):
            raise unittest.SkipTest("this needs the command `curl`")
        cluster = self.front.cluster
        curl = ["curl", "--silent", "--show-error", "--cacert", cluster.authority.path("kubernetes-ca.crt"), "--header", "Content-Type: application/json",
                "--data-binary", f"@{stage.CORPUS / 'pod-create-ok.json'}", "--output", "-", "--write-out", "\n%{http_code}", self.front.url("/policy")]
        identity = ["--cert", cluster.caller_certificate, "--key", cluster.caller_key]
        anonymous = subprocess.run(curl, capture_output=True, text=True, timeout=60)
        self.assertIn(anonymous.stdout.splitlines()[-1], ("401", "403"))
        known = subprocess.run([*curl, *identity], capture_output=True, text=True, timeout=60)
        self.assertEqual(known.stdout.splitlines()[-1], "200", known.stderr)
        self.assertIn('"allowed":true', known.stdout)


class ApiServer(unittest.TestCase):
    """It shows what its own configuration says: the certificate where it is asked for one, and its token to everybody."""

    def test_it_is_let_in_by_its_certificate(self):
        front = self.enterContext(Webhook("by-certificate", [POLICY], tokens=()))
        self.enterContext(registered(front, is_refused(DENIED)))

    def test_it_is_let_in_by_its_token(self):
        """This Envoy asks for no certificate."""
        authority = stage.Cluster.start().authority.path("kubernetes-ca.crt")
        front = self.enterContext(Webhook("by-token", [POLICY], changes={
            f"trusted_ca: {{filename: {authority}}}": "{}", '"tlsIdentity": "optional"': '"tlsIdentity": false'}))
        self.enterContext(registered(front, is_refused(DENIED)))

    def test_one_that_shows_nothing_is_refused(self):
        """And what it asked about fails, as the configuration of the webhook says."""
        cluster = stage.Cluster.start()
        front = self.enterContext(Webhook("anonymous-server", [POLICY], port=cluster.anonymous_port))
        harmless = objects.pod("harmless", "nginx:1")
        self.enterContext(registered(front, is_refused(harmless)))
        told = cluster.kubectl("create", "--dry-run=server", "--filename=-", given=harmless)
        self.assertIn('failed calling webhook "policy.portcullis.test"', told.stderr)

    def test_where_anonymous_callers_are_welcome(self):
        front = self.enterContext(Webhook("anonymous", [POLICY], port=stage.Cluster.start().anonymous_port,
                                          changes={'"callers": "authenticated"': '"callers": "anonymous"'}))
        self.enterContext(registered(front, is_refused(DENIED)))
        self.assertTrue(front.connect(certificate=False).ask("/policy", ASKED)["allowed"])


if __name__ == "__main__":
    unittest.main()
