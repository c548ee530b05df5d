"""Who a client is where its address does not say it: by its certificate, or by what a load balancer tells of it."""

import ssl
import subprocess
import unittest

import harness
from harness import DENIED, FLEET, SAMPLES, Stand, Wire, rig, scratch_folder, wait_for
from test_memcached import store

SPIFFE = "URI:spiffe://alliance.example/"
GET = b"get alliance/fleet/none\r\n"


class Authority:
    """Issues certificates into a folder, as somebody who runs a small one does: with openssl."""

    def __init__(self, folder, name: str):
        self.folder, self.name = folder, name
        self.openssl("req", "-x509", *self.key(name), "-out", self.path(f"{name}.crt"), "-days", "2", "-subj", f"/CN={name}")

    def issue(self, name: str, names: str) -> tuple[str, str]:
        """The certificate of a subject with alternative names, and its key."""
        (self.folder / f"{name}.ext").write_text(f"subjectAltName={names}\n" if names else "keyUsage=digitalSignature\n")
        self.openssl("req", *self.key(name), "-out", self.path(f"{name}.csr"), "-subj", f"/O=Alliance/CN={name}")
        self.openssl("x509", "-req", "-in", self.path(f"{name}.csr"), "-CA", self.path(f"{self.name}.crt"), "-CAkey", self.path(f"{self.name}.key"),
                     "-CAcreateserial", "-out", self.path(f"{name}.crt"), "-days", "2", "-extfile", self.path(f"{name}.ext"))
        return self.path(f"{name}.crt"), self.path(f"{name}.key")

    def key(self, name: str) -> list[str]:
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.path(f"{name}.key")]

    def path(self, name: str) -> str:
        return str(self.folder / name)

    @staticmethod
    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=True)


class Certificates(unittest.TestCase):
    """The sample `mtls.yaml`, with nothing changed but ports and paths."""

    @classmethod
    def setUpClass(cls):
        if not rig.command_exists("openssl"):
            raise unittest.SkipTest("certificates need the command `openssl`")
        cls.folder = scratch_folder("mtls")
        cls.authority = Authority(cls.folder, "clients-ca")
        certificate, key = cls.authority.issue("server", "DNS:memcached.example")
        server = cls.enterClassContext(rig.Memcached(harness.memcached(), cls.folder))
        cls.log = cls.folder / "access.jsonl"
        cls.status = cls.folder / "status.json"
        text = rig.fill_in(SAMPLES / "mtls.yaml", {
            "/etc/portcullis/policies": str(SAMPLES / "policies"), "/var/log/portcullis.jsonl": str(cls.log), "port_value: 9901": "port_value: 0",
            "/etc/portcullis/break-glass.yaml": str(cls.folder / "break-glass.yaml"), "/run/portcullis-status.json": str(cls.status),
            "/etc/portcullis/tls/server.crt": certificate, "/etc/portcullis/tls/server.key": key,
            "/etc/portcullis/tls/clients-ca.crt": cls.authority.path("clients-ca.crt"),
            "port_value: 11211": "port_value: 0", "port_value: 11212": f"port_value: {server.port}"})
        cls.envoy = rig.Envoy(harness.envoy(), text, cls.folder)
        cls.addClassCleanup(harness.stop_in_good_health, cls.envoy)
        cls.port = cls.envoy.port_of("memcached")

    def connect(self, certificate=None) -> Wire:
        wire = self.enterContext(Wire(self.port, "world"))
        context = ssl.create_default_context(cafile=self.authority.path("clients-ca.crt"))
        if certificate:
            context.load_cert_chain(*certificate)
        wire.socket = context.wrap_socket(wire.socket, server_hostname="memcached.example")
        return wire

    def client(self, name: str, names: str) -> Wire:
        return self.connect(self.authority.issue(name, names))

    def test_the_certificate_says_who_may_do_what(self):
        maintenance = self.client("maintenance", SPIFFE + "fleet/maintenance")
        maintenance.ask(store("alliance/fleet/a", b"1"), b"STORED\r\n").ask(b"get empire/plans\r\n", DENIED)
        monitoring = self.client("monitoring", SPIFFE + "fleet/monitoring")
        monitoring.ask(GET, b"END\r\n").ask(store("alliance/fleet/a", b"2"), DENIED)
        self.client("by-dns", "DNS:xwing.fleet.alliance.example").ask(GET, b"END\r\n").ask(store("alliance/fleet/a", b"2"), DENIED)
        self.client("other", SPIFFE + "kitchen").ask(GET, DENIED)
        self.client("two-ids", f"{SPIFFE}fleet/maintenance,{SPIFFE}fleet/monitoring").ask(GET, DENIED)
        self.client("no-names", "").ask(GET, DENIED)

        def entry():
            return next((entry for entry in harness.read_json_lines(self.log) if entry.get("fields", {}).get("command") == "set"), None)
        remote = wait_for("the denial in the access log", entry)["remote"]
        self.assertEqual((remote["knownBy"], remote["name"]), ("tls", "spiffe://alliance.example/fleet/monitoring"))

    def test_no_certificate_and_a_strangers_get_nowhere(self):
        stranger = Authority(scratch_folder("mtls-stranger"), "strangers-ca").issue("maintenance", SPIFFE + "fleet/maintenance")
        for certificate in (None, stranger):
            with self.subTest(certificate=certificate):
                with self.assertRaises((ssl.SSLError, ConnectionError)):
                    got = self.connect(certificate).send(GET).rest()
                    self.assertEqual(got, b"")
                    raise ConnectionError("closed without an answer")

    def test_the_status_file_is_there(self):
        wait_for("the status file", lambda: self.status.exists() and '"status":"ok"' in self.status.read_text())


class NotVerified(unittest.TestCase):
    """`tlsIdentity` on a listener that asks for no certificate, or speaks no TLS."""

    def test_nobody_gets_through(self):
        stand = self.enterContext(Stand("no-tls", [FLEET], tlsIdentity=True))
        stand.connect("jedi").send(b"get temple\r\n").expect_close()
        entry = stand.entry("error")
        self.assertIn("no certificate", entry["reason"])
        wait_for("the reason in Envoy's log", lambda: "portcullis_no_certificate" in stand.connection_log_path.read_text())


class ProxyProtocol(unittest.TestCase):
    def test_the_address_that_the_load_balancer_tells_counts(self):
        stand = self.enterContext(Stand("proxy-protocol", [FLEET], listener_options={"listener_filters": [{
            "name": "envoy.filters.listener.proxy_protocol",
            "typed_config": {"@type": harness.TYPE + "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol"}}]}))
        with stand.connect("world") as wire:
            wire.send(b"PROXY TCP4 127.0.0.12 10.0.0.1 5555 11211\r\n").ask(GET, b"END\r\n").ask(store("alliance/fleet/a", b"1"), DENIED)
        with stand.connect("jedi") as wire:
            wire.send(b"PROXY TCP4 192.0.2.1 10.0.0.1 5555 11211\r\n").ask(GET, DENIED)
        entry = stand.entry("denied", command="set")
        self.assertEqual((entry["source"], entry["remote"]["labels"]), ("127.0.0.12:5555", {"function": "fleet-monitoring"}))
        self.assertEqual(entry["remote"]["knownBy"], "address")


if __name__ == "__main__":
    unittest.main()
