"""The Python driver does all its work through us as without us, in every version of the protocol and every compression."""

import unittest

from stage import ALLOW_ALL, CANARY, SERVERS, Front

try:
    from python_work import COMBINATIONS, Work, session
except ImportError as missing:
    raise unittest.SkipTest(f"tools/fetch-cassandra-clients could not get the Python driver: {missing}") from missing


class PythonDriver(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.front = cls.enterClassContext(Front("python-driver", {"all": ALLOW_ALL, "unjudged": None}))

    def check(self, port: int, version: int, compression: str | None) -> None:
        with session(port, version, compression) as connected:
            self.assertEqual(connected.cluster.protocol_version, version)
            self.assertEqual(Work(connected, port, version, compression).do(), Work.WANTED)

    def test_against_the_server_alone(self):
        """What must come of it is true of Cassandra itself."""
        for version in (3, 5):
            with self.subTest(version=version):
                self.check(SERVERS.open().port, version, "lz4")

    def test_through_an_envoy_that_judges_nothing(self):
        self.check(self.front.ports["unjudged"], 4, None)


def add_combination(version: int, compression: str | None) -> None:
    def test(self):
        begun = len(self.front.log("all"))
        self.check(self.front.ports["all"], version, compression)
        refused = [entry for entry in self.front.log("all")[begun:] if entry["verdict"] != "forwarded"]
        # The one statement of the work that is none: nobody can say what it would do.
        self.assertEqual([entry["fields"] for entry in refused], [{"message": "query"}])
        self.assertNotIn(CANARY, self.front.told())
    setattr(PythonDriver, f"test_v{version}_{compression or 'plain'}", test)


for combination in COMBINATIONS:
    add_combination(*combination)


if __name__ == "__main__":
    unittest.main()
