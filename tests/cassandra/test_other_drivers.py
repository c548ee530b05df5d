"""The npm driver, the Rust driver and cqlsh do their work through us as without us, and say what a denial is."""

import json
import os
import subprocess
import unittest

import stage
from stage import ALLOW_ALL, CANARY, EMPIRE, HERE, OUTPOST, SERVERS, Front, unique

BATCHES = [[2, CANARY], [3, None], [4, "four"], [5, "five"]]
# What an outpost may do and may not, in the words of whichever driver. Six of its inserts are one row each, batches two.
DENIALS = {
    "insert": "ok", "prepared insert": "ok", "select": "Unauthorized", "prepared select": "Unauthorized", "another keyspace": "Unauthorized",
    "batch": "ok", "batch with a delete": "Unauthorized", "drop": "Unauthorized", "in flight": {"ok": 100, "Unauthorized": 100}, "then": "ok",
}
RECORDS = 1 + 1 + 2 + 100 + 1


class OtherDrivers(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        stage.build_empire(SERVERS.open())
        cls.front = cls.enterClassContext(Front("other-drivers", {"all": ALLOW_ALL, "outpost": (EMPIRE, OUTPOST)}))

    def run_client(self, command: list, **environment) -> str:
        told = subprocess.run([str(part) for part in command], env=dict(os.environ, **environment), capture_output=True, text=True, timeout=120)
        self.assertEqual(told.returncode, 0, told.stdout + told.stderr)
        return told.stdout

    def check_work(self, run, wanted: dict) -> None:
        for way, port in (("directly", SERVERS.open().port), ("through us", self.front.ports["all"])):
            with self.subTest(way):
                self.assertEqual(run(port, "work"), wanted)
        self.assertNotIn(CANARY, self.front.told())

    def check_denials(self, run) -> None:
        before = stage.count_records(SERVERS.open())
        self.assertEqual(run(self.front.ports["outpost"], "outpost"), DENIALS)
        self.assertEqual(stage.count_records(SERVERS.open()) - before, RECORDS)
        self.assertNotIn(CANARY, self.front.told())

    def node(self, port: int, what: str) -> dict:
        modules = stage.harness.cached("npm driver", lambda: stage.rig.fetch("fetch-cassandra-clients", "node"))
        return json.loads(self.run_client(["node", HERE / "node" / "driver.js", port, what, unique("node")], NODE_PATH=str(modules)))

    def test_node_works(self):
        self.check_work(self.node, {
            "protocol": 4, "metadata": ["id", "name"], "prepared": CANARY, "batches": BATCHES, "concurrent": 500, "paging": [504, 9], "large": True,
            "use": "inside", "lwt": False, "traced": True, "syntax": "ResponseError 8192"})

    def test_node_is_denied(self):
        self.check_denials(self.node)

    def scylla(self, compression: str):
        program = stage.harness.cached("Rust driver", lambda: stage.rig.fetch("fetch-cassandra-clients", "scylla"))
        return lambda port, what: json.loads(self.run_client([program, port, what, unique("scylla"), compression]))

    def test_scylla_works(self):
        for compression in ("none", "lz4", "snappy"):
            with self.subTest(compression):
                self.check_work(self.scylla(compression), {
                    "columns": 2, "batch": [[1, "one"], *BATCHES], "concurrent": 500, "paging": 505, "large": True, "use": "inside", "tracing": True})

    def test_scylla_is_denied(self):
        for compression in ("none", "lz4", "snappy"):
            with self.subTest(compression):
                self.check_denials(self.scylla(compression))


class Shell(unittest.TestCase):
    """cqlsh, for a person."""

    @classmethod
    def setUpClass(cls):
        stage.build_empire(SERVERS.open())
        cls.front = cls.enterClassContext(Front("cqlsh", {"all": ALLOW_ALL, "outpost": (EMPIRE, OUTPOST)}))

    def cqlsh(self, port: int, typed: str, *options) -> tuple[str, str]:
        """What it prints, and what it complains of, of lines that a person types."""
        program = stage.client_python().parent / "cqlsh"
        folder = stage.harness.scratch_folder("cqlsh-home")
        told = subprocess.run([program, "--no-color", "--request-timeout=60", "--connect-timeout=30", *options, "127.0.0.1", str(port)], input=typed,
                              capture_output=True, text=True, timeout=120, env=dict(os.environ, HOME=str(folder), CQL_HISTORY=str(folder / "history")))
        return told.stdout, told.stderr

    def session(self, port: int) -> tuple[str, str]:
        keyspace = unique("shell")
        folder = stage.harness.scratch_folder("cqlsh-copy")
        (folder / "in.csv").write_text("7,seven\n8,eight\n")
        out, complaints = self.cqlsh(port, f"""
            CREATE KEYSPACE {keyspace} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}};
            USE {keyspace};
            CREATE TABLE things (id int PRIMARY KEY, name text); -- a comment; with a semicolon
            INSERT INTO things (id, name) VALUES (1, 'o''ne; $$');
            BEGIN BATCH
              INSERT INTO things (id, name) VALUES (2, $$two$$);
              INSERT INTO "things" (id, name) VALUES (3, null);
            APPLY BATCH;
            CONSISTENCY LOCAL_ONE
            COPY things FROM '{folder}/in.csv';
            PAGING 2
            SELECT * FROM things;
            TRACING ON
            SELECT name FROM {keyspace}.things WHERE id = 8;
            TRACING OFF
            DESCRIBE TABLE things
            DESCRIBE KEYSPACES
            SOURCE '{folder}/more.cql'
            DROP KEYSPACE {keyspace};
            SHOW VERSION
            """)
        return out, complaints

    def test_a_person_works(self):
        for way, port in (("directly", SERVERS.open().port), ("through us", self.front.ports["all"])):
            with self.subTest(way):
                out, complaints = self.session(port)
                for wanted in ("o'ne; $$", "two", "null", "seven", "eight", "Tracing session", "CREATE TABLE shell_", "system_schema",
                               "2 rows imported", "(5 rows)", "Cassandra 5.0.8"):
                    self.assertIn(wanted, out + complaints)
                self.assertIn("Could not open", complaints)
                self.assertNotIn("rror from server", out + complaints)

    def test_an_outpost_is_told_no(self):
        out, complaints = self.cqlsh(self.front.ports["outpost"], f"""
            INSERT INTO attendance.daily_records (creation, trooper) VALUES (now(), '{CANARY}');
            SELECT * FROM attendance.daily_records;
            SELECT release_version FROM system.local;
            TRUNCATE attendance.daily_records;
            INSERT INTO attendance.daily_records (creation, trooper) VALUES (now(), '{CANARY}');
            """)
        self.assertEqual(complaints.count("code=2100 [Unauthorized]"), 2, complaints)
        self.assertIn("5.0.8", out)
        self.assertNotIn(CANARY, self.front.told())


if __name__ == "__main__":
    unittest.main()
