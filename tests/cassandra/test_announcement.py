"""The announcement's policy on the Python driver: outposts add daily records, and read nothing but what drivers ask when they connect."""

import unittest

import stage
from stage import CANARY, EMPIRE, HEADQUARTERS, OUTPOST, SERVERS, STRICT, Front, wait_for

try:
    from cassandra import Unauthorized
    from cassandra.concurrent import execute_concurrent
    from cassandra.query import BatchStatement
    from python_work import COMBINATIONS, session
except ImportError as missing:
    raise unittest.SkipTest(f"tools/fetch-cassandra-clients could not get the Python driver: {missing}") from missing

# As the announcement has it, with the select that drivers need since; its expressions are not anchored.
VERBATIM = stage.HERE / "announcement.yaml"
INSERT = "INSERT INTO attendance.daily_records (creation, trooper, present) VALUES (now(), ?, ?)"
INSERT_TEXT = f"INSERT INTO attendance.daily_records (creation, trooper, present) VALUES (now(), '{CANARY}', true)"
DENIED = [
    "SELECT * FROM attendance.daily_records",
    "SELECT JSON trooper FROM attendance.daily_records LIMIT 1",
    "select count(*) from /* system.local */ Attendance.\"daily_records\"",
    "UPDATE attendance.daily_records SET present = false WHERE creation = 00000000-0000-1000-0000-000000000000",
    "DELETE FROM attendance.daily_records WHERE creation = 00000000-0000-1000-0000-000000000000",
    "TRUNCATE attendance.daily_records",
    "DROP TABLE attendance.daily_records",
    "ALTER TABLE attendance.daily_records ADD more text",
    "CREATE TABLE attendance.another (id int PRIMARY KEY)",
    "CREATE INDEX ON attendance.daily_records (trooper)",
    "CREATE KEYSPACE rebels WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
    "DROP KEYSPACE attendance",
    "CREATE MATERIALIZED VIEW attendance.by_day AS SELECT * FROM attendance.daily_records WHERE creation IS NOT NULL PRIMARY KEY (creation)",
    "CREATE FUNCTION attendance.f (n int) CALLED ON NULL INPUT RETURNS int LANGUAGE java AS 'return n;'",
    f"INSERT INTO deathstar.plans (id, scroll) VALUES (2, '{CANARY}')",
    "SELECT * FROM deathstar.plans",
    f"CREATE ROLE vader WITH PASSWORD = '{CANARY}'",
    "LIST ROLES",
    "GRANT SELECT ON attendance.daily_records TO vader",
    f"BEGIN BATCH {INSERT_TEXT}; DELETE FROM deathstar.plans WHERE id = 1; APPLY BATCH",
]


class Announcement(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        stage.build_empire(SERVERS.open())
        cls.front = cls.enterClassContext(Front("announcement", {
            "verbatim": (VERBATIM, OUTPOST), "anchored": (EMPIRE, OUTPOST), "strict": (STRICT, OUTPOST), "hq": (EMPIRE, HEADQUARTERS),
            "strict-hq": (STRICT, HEADQUARTERS), "nobody": EMPIRE}))

    def refuses(self, work) -> None:
        with self.assertRaises(Unauthorized) as caught:
            work()
        self.assertIn("code=2100", str(caught.exception))

    def check_outpost(self, place: str, version: int, compression: str | None) -> None:
        server = SERVERS.open()
        before, (_, audit) = stage.count_records(server), stage.read_audit(server)
        with session(self.front.ports[place], version, compression) as outpost:
            self.assertEqual(outpost.cluster.protocol_version, version)
            self.assertIn("daily_records", outpost.cluster.metadata.keyspaces["attendance"].tables, "schema discovery")
            made = self.front.connections(place)
            insert = outpost.prepare(INSERT)
            outpost.execute(INSERT_TEXT)
            outpost.execute(insert, (CANARY, True))
            for statement in DENIED:
                with self.subTest(statement):
                    self.refuses(lambda: outpost.execute(statement))
                    self.refuses(lambda: outpost.prepare(statement))
            outpost.execute(insert, (None, None))

            good, bad = BatchStatement(), BatchStatement()
            for batch in (good, bad):
                batch.add(insert, (CANARY, None))
                batch.add(INSERT_TEXT)
            outpost.execute(good)
            bad.add("DELETE FROM deathstar.plans WHERE id = 1")
            self.refuses(lambda: outpost.execute(bad))

            mixed = [(INSERT_TEXT, ()), (insert, (CANARY, True)), (DENIED[0], ())] * 100
            results = execute_concurrent(outpost, mixed, concurrency=300, raise_on_first_error=False)
            for number, (success, result) in enumerate(results):
                self.assertEqual(success, number % 3 != 2, result)
                if not success:
                    self.assertIsInstance(result, Unauthorized)
            outpost.execute(insert, (CANARY, True))
            self.assertEqual(self.front.connections(place), made, "no connection was lost over denials")
        self.assertEqual(stage.count_records(server) - before, 1 + 1 + 1 + 2 + 200 + 1)
        done = stage.read_audit(server, audit)[0]
        self.assertEqual({(one.keyspace, one.scope) for one in done if one.keyspace and not one.keyspace.startswith("system") and not one.failed
                          and not one.statement.startswith("SELECT count(*)")},
                         {("attendance", "daily_records")}, "nothing but the inserts was done")
        self.check_log(place)

    def check_log(self, place: str) -> None:
        wait_for("the access log", lambda: len(self.front.log(place)) > 300)
        self.assertNotIn(CANARY, self.front.told())
        log = self.front.log(place)
        inserts = [entry for entry in log if entry["fields"].get("query_action") == "insert" and entry["verdict"] == "forwarded"]
        self.assertTrue(inserts)
        for entry in inserts:
            self.assertEqual(entry["fields"]["query_table"], "attendance.daily_records")
            self.assertIn("secure-empire", entry["rule"]) if place != "strict" else self.assertTrue(entry["rule"])
        read = [entry["fields"]["query_table"] for entry in log if entry["fields"].get("query_action") == "select" and entry["verdict"] == "forwarded"]
        self.assertLessEqual({table.split(".")[0] for table in read}, {"system", "system_schema", "system_virtual_schema"})

    def test_a_strict_policy_says_the_same(self):
        for version in (4, 5):
            with self.subTest(version=version):
                self.check_outpost("strict", version, "lz4")

    def test_headquarters_may_do_anything(self):
        with session(self.front.ports["hq"]) as headquarters:
            self.assertEqual(headquarters.execute("SELECT scroll FROM deathstar.plans WHERE id = 1").one().scroll, CANARY)

    def test_headquarters_by_the_strict_policy(self):
        with session(self.front.ports["strict-hq"], keyspace="attendance") as headquarters:
            self.assertIsNotNone(headquarters.execute("SELECT count(*) FROM daily_records").one())
            self.refuses(lambda: headquarters.execute("SELECT * FROM deathstar.plans"))
            self.refuses(lambda: headquarters.execute("USE deathstar"))
            self.assertIsNotNone(headquarters.execute("SELECT count(*) FROM daily_records").one())

    def test_nobody_else_may_do_anything(self):
        """Not even what a driver asks when it connects: so it does not come up, and says why."""
        from cassandra.cluster import NoHostAvailable
        with self.assertRaises(NoHostAvailable) as caught, session(self.front.ports["nobody"]):
            pass
        self.assertIn("Unauthorized", repr(caught.exception.errors))


def add_combination(version: int, compression: str | None) -> None:
    def test(self):
        self.check_outpost("verbatim" if version == 4 else "anchored", version, compression)
    setattr(Announcement, f"test_v{version}_{compression or 'plain'}", test)


for combination in COMBINATIONS:
    add_combination(*combination)


if __name__ == "__main__":
    unittest.main()
