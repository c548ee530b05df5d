"""What an operator sees: access log, dynamic metadata, counters."""

import json
import os
import re
import unittest

from harness import DENIED, FLEET, Stand, wait_for
from test_memcached import store


class AccessLog(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stand = cls.enterClassContext(Stand("access-log", [FLEET]))

    def test_a_denial_says_who_what_and_by_which_rule(self):
        self.stand.connect("monitoring").ask(store("alliance/fleet/told", b"the-value"), DENIED)
        entry = self.stand.entry("denied", command="set", keys=["alliance/fleet/told"])
        self.assertEqual(entry["v"], 1)
        self.assertEqual(entry["protocol"], "memcache")
        self.assertRegex(entry["source"], r"^127\.0\.0\.12:\d+$")
        self.assertEqual(entry["remote"]["labels"], {"function": "fleet-monitoring"})
        self.assertRegex(entry["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")

    def test_what_was_allowed_names_the_rule_that_allowed_it(self):
        self.stand.connect("maintenance").ask(store("alliance/fleet/rule", b"the-value"), b"STORED\r\n")
        entry = self.stand.entry("forwarded", command="set", keys=["alliance/fleet/rule"])
        self.assertIn("secure-rebel-alliance-memcache", entry["rule"])

    def test_values_never_appear_and_keys_are_escaped(self):
        key = b"alliance/fleet/\x1b[31m\xff\"quote"
        wire = self.stand.connect("monitoring")
        wire.ask(b"set " + key + b" 0 0 9\r\nthe-value\r\n", DENIED)
        self.stand.connect("maintenance").ask(b"set " + key + b" 0 0 9\r\nthe-value\r\n", b"STORED\r\n")
        wait_for("both entries", lambda: sum("quote" in json.dumps(entry) for entry in self.stand.access_log()) >= 2)
        raw = self.stand.access_log_path.read_bytes()
        self.assertNotIn(b"\x1b", raw)
        self.assertNotIn(b"the-value", raw)
        raw.decode("utf-8")

    def test_a_long_key_is_cut(self):
        self.stand.connect("monitoring").ask(b"get " + b" ".join(b"k" * 240 for _ in range(8)) + b"\r\n", DENIED)
        entry = wait_for("the entry", lambda: next((entry for entry in self.stand.access_log() if "kkkk" in json.dumps(entry)), None))
        self.assertLess(len(json.dumps(entry)), 4096)

    def test_rotation(self):
        stand = self.enterContext(Stand("rotation", [FLEET], log_level="denied"))
        wire = stand.connect("monitoring")

        def deny(key: str):
            wire.ask(b"get empire/%s\r\n" % key.encode(), DENIED)
            return key in stand.access_log_path.read_text() if stand.access_log_path.exists() else False
        wait_for("entries in the first file", lambda: deny("before"))
        moved = stand.access_log_path.with_suffix(".1")
        os.rename(stand.access_log_path, moved)
        wait_for("a new file under the old name", lambda: deny("after"))
        self.assertIn("before", moved.read_text())
        for path in (moved, stand.access_log_path):
            for line in path.read_text().splitlines():
                json.loads(line)

    def test_no_entry_is_lost_unsaid(self):
        stand = self.enterContext(Stand("log-drops", [FLEET], log_level="denied"))
        wire = stand.connect("monitoring")
        count = 20_000
        for _ in range(count // 1000):
            wire.ask(b"get empire/plans\r\n" * 1000, DENIED * 1000)

        wait_for("every denial is an entry or a counted loss",
                 lambda: len(stand.access_log()) + stand.envoy.stats()["portcullis.memcache.log_lost"] == count)


class Levels(unittest.TestCase):
    def verdicts(self, level: str) -> set[str]:
        stand = self.enterContext(Stand(f"level-{level}", [FLEET], log_level=level))
        wire = stand.connect("maintenance")
        wire.ask(b"get alliance/fleet/none\r\n", b"END\r\n").ask(b"get empire/plans\r\n", DENIED)
        stand.entry("denied")
        return {entry["verdict"] for entry in stand.access_log()}

    def test_denied_tells_denials_only(self):
        self.assertEqual(self.verdicts("denied"), {"denied"})

    def test_requests_tells_what_was_forwarded_too(self):
        self.assertEqual(self.verdicts("requests"), {"denied", "forwarded"})

    def test_responses_tells_replies_too(self):
        stand = self.enterContext(Stand("level-responses", [FLEET], log_level="responses"))
        stand.connect("maintenance").ask(b"get alliance/fleet/none\r\n", b"END\r\n").ask(b"get empire/plans\r\n", DENIED)
        stand.entry("denied")
        self.assertLessEqual({entry["verdict"] for entry in stand.access_log()}, {"denied", "forwarded", "reply"})
        self.assertGreaterEqual(len(stand.access_log()), 2)


class Metadata(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stand = cls.enterClassContext(Stand("metadata", [FLEET]))

    def line_for(self, who: str, *exchanges) -> str:
        before = self.lines()
        with self.stand.connect(who) as wire:
            for request, reply in exchanges:
                wire.ask(request, reply)
        return wait_for("the connection's line in Envoy's access log", lambda: self.lines()[len(before):])[0]

    def lines(self) -> list[str]:
        path = self.stand.connection_log_path
        return path.read_text().splitlines() if path.exists() else []

    def test_a_denial_shows_in_envoys_own_access_log(self):
        line = self.line_for("monitoring", (b"get empire/plans\r\n", DENIED), (b"get alliance/fleet/none\r\n", b"END\r\n"))
        self.assertIn("verdict=denied ", line)
        self.assertNotIn("rule=- ", line)

    def test_no_denial_no_metadata(self):
        self.assertIn("verdict=- rule=- ", self.line_for("monitoring", (b"get alliance/fleet/none\r\n", b"END\r\n")))

    def test_a_parse_error_is_the_reason_of_the_close(self):
        before = self.lines()
        self.stand.connect("jedi").send(b"set x 0 0 many\r\n").rest()
        line = wait_for("the connection's line", lambda: self.lines()[len(before):])[0]
        self.assertRegex(line, r"details=\S*parse", "close_with_details says why")


class Counters(unittest.TestCase):
    def test_prometheus_sees_protocol_and_verdict_as_labels(self):
        stand = self.enterContext(Stand("counters", [FLEET]))
        wire = stand.connect("monitoring")
        for _ in range(3):
            wire.ask(b"get empire/plans\r\n", DENIED)
        for _ in range(2):
            wire.ask(b"get alliance/fleet/none\r\n", b"END\r\n")
        for line in (r'envoy_portcullis_requests\{l7proto="memcache",verdict="denied"\} 3', r'envoy_portcullis_requests\{l7proto="memcache",verdict="forwarded"\} 2',
                     r'envoy_portcullis_policy_generation\{l7proto="memcache"\} [1-9]\d*', r'envoy_portcullis_connections_active\{l7proto="memcache"\} 1'):
            with self.subTest(line=line):
                wait_for(line, lambda: re.search(f"(?m)^{line}$", stand.envoy.admin("/stats/prometheus")), 5)

    def test_parse_errors_are_counted(self):
        stand = self.enterContext(Stand("parse-errors", [FLEET]))
        stand.connect("jedi").send(b"set x 0 0 many\r\n").rest()
        wait_for("one error counted", lambda: stand.envoy.stats()["portcullis.memcache.errors"] == 1)
        self.assertEqual(stand.envoy.stats()["portcullis.memcache.panics"], 0)


if __name__ == "__main__":
    unittest.main()
