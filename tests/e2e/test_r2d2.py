"""The teaching protocol, before a server that sends every line back."""

import unittest

from harness import SAMPLES, EchoServer, Stand, wait_for, write_json

ERROR = b"ERROR\r\n"


class Droids(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stand = cls.enterClassContext(Stand("r2d2", [SAMPLES / "policies" / "r2d2-droids.yaml"], protocol="r2d2", labels={"app": "r2d2"},
                                                server=EchoServer(), port=4040))
        write_json(cls.stand.identities, {"identities": [{"address": "127.0.0.11", "labels": {"role": "droid"}},
                                                         {"address": "127.0.0.12", "labels": {"role": "bridge"}}]})
        # "maintenance" is 127.0.0.11 and "monitoring" 127.0.0.12: here a droid and the bridge.

        def known():
            with cls.stand.connect("maintenance") as wire:
                return wire.send(b"READ /public/x\r\n").line() == b"READ /public/x\r\n"
        wait_for("the identities of this case", known)

    def test_each_role_may_do_what_its_rules_say(self):
        droid, bridge, stranger = self.stand.connect("maintenance"), self.stand.connect("monitoring"), self.stand.connect("world")
        for line in (b"READ /public/a\r\n", b"READ /public/b\r\n"):
            droid.ask(line, line)
            bridge.ask(line, line)
            stranger.ask(line, ERROR)
        for line in (b"READ /private/a\r\n", b"WRITE /public/a\r\n", b"RESET\r\n", b"READ\r\n", b"nonsense\r\n", b"\r\n"):
            droid.ask(line, ERROR)
            bridge.ask(line, ERROR)
        droid.ask(b"HALT\r\n", ERROR)
        bridge.ask(b"HALT\r\n", b"HALT\r\n")

    def test_pipelined_and_cut_anywhere(self):
        # Denials only, or allowed only: the protocol gives replies no order of their own, but among one kind they keep it.
        for line, reply in ((b"READ /public/a\r\n", b"READ /public/a\r\n"), (b"HALT\r\n", ERROR)):
            wire = self.stand.connect("maintenance")
            stream = line * 200
            for at in range(0, len(stream), 7):
                wire.send(stream[at:at + 7])
            wire.expect(reply * 200)

    def test_half_a_line_and_gone(self):
        self.stand.connect("maintenance").send(b"READ /pub").finish().rest()
        self.stand.hang_up()
        wait_for("downstream_cx_active back to 0", lambda: self.stand.active_connections() == 0)


if __name__ == "__main__":
    unittest.main()
