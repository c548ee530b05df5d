"""A real Cassandra behind the module: what the Python driver does, and what it is denied, in every version."""

import json
import subprocess
import sys
import unittest
from pathlib import Path

import harness
from harness import rig
from stand import Stand, config, plugin

HERE = Path(__file__).resolve().parent
# Drivers read tables of the system when they connect.
READ_ONLY = {
    "apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy", "metadata": {"name": "read"}, "spec": {
        "endpointSelector": {}, "ingress": [{"toPorts": [{"ports": [{"port": "9042"}], "rules": {"l7proto": "cassandra", "l7": [
            {"query_action": "select", "query_table": "^system\\."}, {"query_action": "select", "query_table": "^system_schema\\."},
            {"query_action": "select", "query_table": "^system_virtual_schema\\."}]}}]}]}}
PATIENCE_SECONDS = 120


class PythonDriver(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        try:
            cls.python = rig.fetch("fetch-cassandra-clients", "python")
            sys.path.append(str(HERE.parent / "cassandra"))
            from server import Cassandra
            server = Cassandra(harness.scratch_folder("wasm-cassandra-server"))
        except rig.RigError as error:
            raise unittest.SkipTest(f"Cassandra or its driver: {error}") from error
        allow = config([harness.SAMPLES / "policies" / "cassandra-allow-all.yaml"], "cassandra", 9042, {"app": "cass-server"})
        narrow = {**config([], "cassandra", 9042), "policy": {"inline": json.dumps(READ_ONLY)}}
        cls.stand = cls.enterClassContext(Stand("wasm-cassandra", {"all": plugin(allow), "read": plugin(narrow)}, server=server))

    def run_client(self, what: str, front: str, version: int, compression: str) -> None:
        command = [self.python, HERE / "cassandra_client.py", what, str(self.stand.envoy.port_of(front)), str(version), compression]
        told = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
        self.assertIn("well done", told.stdout, told.stderr[-3000:])

    def test_all_that_it_does(self):
        for version, compression in ((3, "plain"), (4, "lz4"), (5, "plain"), (5, "lz4")):
            with self.subTest(version=version, compression=compression):
                self.run_client("work", "all", version, compression)

    def test_what_it_is_denied(self):
        for version, compression in ((3, "plain"), (4, "lz4"), (5, "plain"), (5, "lz4")):
            with self.subTest(version=version, compression=compression):
                self.run_client("denied", "read", version, compression)


if __name__ == "__main__":
    unittest.main()
