"""Who is behind an address and who may do what: changed files count without a restart."""

import os
import re
import unittest

from harness import ALLOW_ALL, DENIED, FLEET, IDENTITIES, Stand, scratch_folder, wait_for, write_json

FLEET_GET, FLEET_SET = b"get alliance/fleet/none\r\n", b"set alliance/fleet/a 0 0 1\r\n1\r\n"


class Identities(unittest.TestCase):
    def setUp(self):
        self.stand = self.enterContext(Stand(self._testMethodName.replace("test_", "identities-"), [FLEET]))

    def answer(self, who: str, request: bytes) -> bytes:
        with self.stand.connect(who) as wire:
            return wire.send(request).line()

    def test_a_replaced_file_counts_for_new_connections(self):
        self.assertEqual(self.answer("monitoring", FLEET_SET), DENIED)
        write_json(self.stand.identities, {"identities": [{"address": "127.0.0.12", "labels": {"function": "fleet-maintenance"}}]})
        wait_for("127.0.0.12 is maintenance now", lambda: self.answer("monitoring", FLEET_SET) == b"STORED\r\n")
        self.assertEqual(self.answer("maintenance", FLEET_GET), DENIED, "127.0.0.11 is nobody now")

    def test_a_file_written_in_place_counts_too(self):
        self.assertEqual(self.answer("world", FLEET_GET), DENIED)
        with open(self.stand.identities, "w") as file:
            file.write('identities:\n- cidr: 127.0.0.0/8\n  labels: {function: fleet-monitoring}\n')
            file.flush()
            os.fsync(file.fileno())
        wait_for("127.0.0.0/8 is monitoring now", lambda: self.answer("world", FLEET_GET) == b"END\r\n")

    def test_a_broken_file_changes_nothing_and_is_said(self):
        self.stand.identities.write_text("identities:\n- address: nowhere\n  labels: {}\n")
        wait_for("our log names the broken file", lambda: "identities.yaml" in self.stand.envoy.log() and "nowhere" in self.stand.envoy.log())
        self.assertEqual(self.answer("monitoring", FLEET_GET), b"END\r\n")
        self.assertEqual(self.answer("world", FLEET_GET), DENIED)
        changed = {"identities": IDENTITIES["identities"] + [{"address": "127.0.0.1", "labels": {"role": "jedi"}}]}
        write_json(self.stand.identities, changed)
        wait_for("a mended file counts again", lambda: self.answer("world", FLEET_GET) == b"END\r\n")

    def test_a_file_that_is_gone_changes_nothing(self):
        self.stand.identities.unlink()
        for _ in range(20):
            self.assertEqual(self.answer("monitoring", FLEET_GET), b"END\r\n")
        write_json(self.stand.identities, {"identities": []})
        wait_for("nobody is anybody", lambda: self.answer("monitoring", FLEET_GET) == DENIED)

    def test_the_longest_prefix_counts(self):
        write_json(self.stand.identities, {"identities": [
            {"cidr": "127.0.0.13/32", "labels": {"role": "sith"}},
            {"cidr": "127.0.0.0/24", "labels": {"role": "jedi"}},
            {"cidr": "0.0.0.0/0", "labels": {"role": "nobody"}}]})
        wait_for("127.0.0.1 is a jedi", lambda: self.answer("world", b"get temple\r\n") == b"END\r\n")
        self.assertEqual(self.answer("jedi", b"get temple\r\n"), DENIED)


class Policies(unittest.TestCase):
    """A changed policy counts on open connections; a mistake in it leaves the one in force."""

    def setUp(self):
        name = self._testMethodName.replace("test_", "policies-")
        self.directory = scratch_folder(name + "-files")
        self.policy = self.directory / "policy.yaml"
        self.policy.write_text(FLEET.read_text())
        self.stand = self.enterContext(Stand(name, [], policy={"directory": str(self.directory)}))
        self.wire = self.stand.connect("monitoring")

    def becomes(self, reply: bytes) -> None:
        """Waits until the connection opened at the start gets this reply to a write."""
        def now():
            return self.wire.send(FLEET_SET).line() == reply
        wait_for(f"the write is answered {reply!r}", now)

    def test_a_changed_file_counts_on_open_connections(self):
        self.becomes(DENIED)
        self.policy.write_text(ALLOW_ALL.read_text())
        self.becomes(b"STORED\r\n")
        self.policy.write_text(FLEET.read_text())
        self.becomes(DENIED)

    def test_a_new_file_in_the_directory_counts(self):
        (self.directory / "more.yaml").write_text(ALLOW_ALL.read_text())
        self.becomes(b"STORED\r\n")
        (self.directory / "more.yaml").unlink()
        self.becomes(DENIED)

    def test_a_mistake_changes_nothing_and_is_said(self):
        self.policy.write_text(ALLOW_ALL.read_text().replace("- {}", "- comand: get"))
        wait_for("our log names the mistake", lambda: re.search(r"policy\.yaml.*`comand`", self.stand.envoy.log()))
        for _ in range(20):
            self.wire.ask(FLEET_SET, DENIED)
            self.wire.ask(FLEET_GET, b"END\r\n")
        self.policy.write_text(ALLOW_ALL.read_text())
        self.becomes(b"STORED\r\n")

    def test_the_last_policy_gone_denies_and_is_said(self):
        self.policy.unlink()
        wait_for("reads are denied, too", lambda: self.wire.send(FLEET_GET).line() == DENIED)
        wait_for("our log says so", lambda: re.search(r"no policy|no policies|selects", self.stand.envoy.log()), 5)


if __name__ == "__main__":
    unittest.main()
