"""Who is behind an address and who may do what: changed files count without a restart."""

import datetime
import json
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


class Operated(unittest.TestCase):
    """What an operator has besides the policies: how it stands, the glass to break, a bad file that holds back itself alone."""

    def setUp(self):
        name = self._testMethodName.replace("test_", "operated-")
        self.directory = scratch_folder(name + "-files")
        self.policy = self.directory / "policy.yaml"
        self.policy.write_text(FLEET.read_text())
        self.status, self.glass = self.directory / "status.txt", self.directory / "glass"
        self.options: dict = {"statusFile": str(self.status), "breakGlass": str(self.glass)}
        self.name = name

    def start(self, **policy) -> Stand:
        return self.enterContext(Stand(self.name, [], policy={"directory": str(self.directory), **policy}, **self.options))

    def wait_for_status(self, **wanted) -> dict:
        def look():
            told = json.loads(self.status.read_text()) if self.status.exists() else {}
            return told if wanted.items() <= told.items() else None
        return wait_for(f"the status file says {wanted}", look)

    def wait_for_metric(self, stand: Stand, name: str) -> None:
        def look():
            # Envoy 1.38 has no metrics without a connection that comes or goes.
            stand.connect("world").close()
            return stand.envoy.stats()[f"portcullis.memcache.{name}"] == 1
        wait_for(f"the metric {name}", look)

    def test_the_status_file_says_ok_or_why_not(self):
        stand = self.start()
        good = self.wait_for_status(status="ok", generation=1)
        self.policy.write_text(ALLOW_ALL.read_text().replace("- {}", "- comand: get"))
        bad = self.wait_for_status(status="error", generation=1, hash=good["hash"])
        self.assertRegex(bad["error"], r"policy\.yaml.*`comand`")
        self.wait_for_metric(stand, "policy_bad")
        self.policy.write_text(ALLOW_ALL.read_text())
        mended = self.wait_for_status(status="ok", generation=2)
        self.assertNotEqual(mended["hash"], good["hash"])

    def test_broken_glass_lets_denials_pass_until_its_time(self):
        stand = self.start()
        wire = stand.connect("monitoring").ask(FLEET_SET, DENIED)
        until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=8)
        self.glass.write_text(f"mode: audit\nuntil: {until:%Y-%m-%dT%H:%M:%SZ}\nreason: drill 7\n")
        wait_for("the write passes", lambda: wire.send(FLEET_SET).line() == b"STORED\r\n")
        self.assertRegex(stand.envoy.log(), r"\[error\].*portcullis: AUDIT.*drill 7")
        stand.entry("audit", command="set")
        self.assertIn("breakGlass", self.wait_for_status(status="ok"))
        self.wait_for_metric(stand, "break_glass")
        wait_for("the write is denied again", lambda: wire.send(FLEET_SET).line() == DENIED)
        self.assertGreaterEqual(datetime.datetime.now(datetime.timezone.utc), until.replace(microsecond=0))
        self.assertTrue(self.glass.exists())
        wait_for("our log says so", lambda: "the glass is mended" in stand.envoy.log())

    def test_a_bad_file_holds_back_its_own_namespace_alone(self):
        stand = self.start(isolate="namespace")
        wire = stand.connect("monitoring").ask(FLEET_SET, DENIED)
        broken = ALLOW_ALL.read_text().replace("- {}", "- comand: get").replace("  name: ", "  namespace: other\n  name: ")
        (self.directory / "other.yaml").write_text(broken)
        self.policy.write_text(ALLOW_ALL.read_text())
        wait_for("the good file counts", lambda: wire.send(FLEET_SET).line() == b"STORED\r\n")
        wait_for("the bad one is named", lambda: re.search(r"namespaces `other`.*other\.yaml.*`comand`", stand.envoy.log()))
        self.wait_for_status(status="error", held=["other"])

    def test_a_listener_may_start_closed(self):
        self.policy.write_text("kind: Nonsense\n")
        stand = self.start(start="deny")
        wire = stand.connect("jedi").ask(FLEET_GET, DENIED)
        self.assertRegex(stand.envoy.log(), r"\[error\].*nothing passes until this is mended.*policy\.yaml")
        self.wait_for_status(status="error", generation=0)
        self.policy.write_text(FLEET.read_text())
        wait_for("it opens", lambda: wire.send(FLEET_GET).line() == b"END\r\n")


if __name__ == "__main__":
    unittest.main()
