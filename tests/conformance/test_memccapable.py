"""memccapable, libmemcached's test of a server: 27 cases in binary and 27 in text."""

import re
import subprocess
import unittest

from harness import ALLOW_ALL, Stand, cached, rig

# It gives up on a reply after this many seconds.
TIMEOUT_SECONDS = "20"


class Memccapable(unittest.TestCase):
    def test_54_of_54_as_without_us(self):
        program = cached("memccapable", lambda: rig.fetch("fetch-memcached-tests", "memccapable"))
        stand = self.enterContext(Stand("memccapable", [ALLOW_ALL]))
        direct, through = (self.results(program, port) for port in (stand.server.port, stand.port))
        self.assertEqual(through, direct)
        self.assertEqual({case: result for case, result in direct.items() if result != "pass"}, {})
        self.assertEqual(len(direct), 54)
        # Something of it must have been ours to judge.
        self.assertGreater(sum(entry["verdict"] == "forwarded" for entry in stand.access_log()), 100)

    def results(self, program, port: int) -> dict[str, str]:
        told = subprocess.run([program, "-h", "127.0.0.1", "-p", str(port), "-t", TIMEOUT_SECONDS],
                              capture_output=True, text=True, errors="replace", timeout=120)
        return dict(re.findall(r"^(ascii .*?|binary .*?)\s+\[(\w+)\]", told.stdout, re.MULTILINE))


if __name__ == "__main__":
    unittest.main()
