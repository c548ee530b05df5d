"""Modules of outside authors, and parsers that panic: each in an Envoy, before a server that sends every line back."""

import unittest

from harness import EchoServer, Stand, rig, scratch_folder, wait_for

# Built by `make test-modules`.
OUTSIDE_MODULE = "c3po"
# A module whose registry has upstream's test parsers and the one that panics.
TEST_MODULE = "portcullis_test"

POLICY = """\
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: lines}
spec:
  endpointSelector: {matchLabels: {app: lines}}
  ingress:
  - toPorts:
    - ports: [{port: "4040", protocol: TCP}]
      rules: RULES
"""


def stand_with(name: str, module: str, protocol: str, rules: str) -> Stand:
    if not (rig.LIBRARY_DIR / f"lib{module}.so").exists():
        raise unittest.SkipTest(f"`{rig.LIBRARY_DIR}/lib{module}.so` is not built")
    policy = scratch_folder(name + "-policy") / "policy.yaml"
    policy.write_text(POLICY.replace("RULES", rules))
    return Stand(name, [policy], protocol=protocol, labels={"app": "lines"}, server=EchoServer(), port=4040, module=module)


class OutsideAuthor(unittest.TestCase):
    """The announcement's parser, in a crate of its own: requests about C-3PO are dropped without an answer."""

    @classmethod
    def setUpClass(cls):
        cls.stand = cls.enterClassContext(stand_with("c3po", OUTSIDE_MODULE, "c3po", "{l7proto: c3po, l7: [{prefix: READ}]}"))

    def test_requests_about_c3po_never_arrive(self):
        wire = self.stand.connect()
        wire.ask(b"READ plans\r\nREAD C-3PO\r\nWRITE plans\r\nREAD more\r\n", b"READ plans\r\nREAD more\r\n")
        self.assertEqual(self.stand.entry("denied", line="READ C-3PO")["protocol"], "c3po")
        self.stand.entry("denied", line="WRITE plans")

    def test_cut_anywhere(self):
        wire = self.stand.connect()
        for byte in b"READ a\r\nREAD C-3PO\r\nREAD b\r\n":
            wire.send(bytes([byte]))
        wire.expect(b"READ a\r\nREAD b\r\n")


class Sandbox(unittest.TestCase):
    """A parser that panics takes its own connection with it and nothing else, though all are on one worker."""

    def setUp(self):
        self.stand = self.enterContext(stand_with(self._testMethodName, TEST_MODULE, "test.panicker", "{l7proto: test.panicker, l7: []}"))
        self.neighbour = self.stand.connect().ask(b"hello\r\n", b"hello\r\n")

    def expect_all_well_elsewhere(self, panics: int) -> None:
        wait_for("the panics are counted", lambda: self.stand.envoy.stats()["portcullis.test.panicker.panics"] == panics)
        def errors():
            return [entry for entry in self.stand.access_log() if entry["verdict"] == "error"]
        wait_for("the panics are in the access log", lambda: len(errors()) == panics)
        for entry in errors():
            self.assertIn("told to", entry["reason"])
        self.neighbour.ask(b"still there\r\n", b"still there\r\n")
        self.stand.connect().ask(b"and others\r\n", b"and others\r\n")

    def test_a_panic_in_on_data(self):
        for number in range(1, 4):
            wire = self.stand.connect().ask(b"before\r\n", b"before\r\n")
            self.assertEqual(wire.send(b"PANIC\r\nafter\r\n").take(100), b"")
            self.expect_all_well_elsewhere(number)

    def test_a_panic_in_drop(self):
        self.stand.connect().ask(b"PANIC-ON-DROP\r\n", b"PANIC-ON-DROP\r\n").close()
        self.expect_all_well_elsewhere(1)

    def test_a_panic_in_both(self):
        wire = self.stand.connect().ask(b"PANIC-ON-DROP\r\n", b"PANIC-ON-DROP\r\n")
        self.assertEqual(wire.send(b"PANIC\r\n").take(100), b"")
        wait_for("a panic is counted", lambda: self.stand.envoy.stats()["portcullis.test.panicker.panics"] >= 1)
        self.neighbour.ask(b"still there\r\n", b"still there\r\n")

    def test_nothing_leaks(self):
        for _ in range(200):
            self.stand.connect().send(b"PANIC\r\n").take(100)
        self.stand.hang_up()
        wait_for("downstream_cx_active back to 0", lambda: self.stand.active_connections() == 0)


if __name__ == "__main__":
    unittest.main()
