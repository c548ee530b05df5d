"""The clients that people use do all their work through the filter as without it, and understand a denial.

Each client's work and what it must come to are beside each other: python_clients.py, and node/*.js with the tables here.
"""

import json
import os
import subprocess
import sys
import unittest
from pathlib import Path

import python_clients
from harness import ALLOW_ALL, Stand, cached, rig, wait_for
from python_clients import shown

HERE = Path(__file__).resolve().parent
SOME_KEYS = HERE / "some-keys.yaml"
BMEMCACHED = "python-binary-memcached==0.33.0"


class BothWays(unittest.TestCase):
    """What a class below says of its client, against the server alone and through Envoy."""

    maxDiff = None

    def check_work(self, work, wanted: dict) -> None:
        stand = self.enterContext(Stand(type(self).__name__, [ALLOW_ALL]))
        for way, port in (("directly", stand.server.port), ("through us", stand.port)):
            with self.subTest(way):
                self.assertEqual(work(port), wanted)
        # All was allowed, and by a rule.
        self.assertEqual({entry["verdict"] for entry in stand.access_log() if entry["type"] == "request"}, {"forwarded"})

    def check_denied(self, denied, wanted: dict) -> None:
        stand = self.enterContext(Stand(f"{type(self).__name__}-denied", [SOME_KEYS]))
        stand.direct().ask(b"set secret/a 0 0 1\r\n1\r\n", b"STORED\r\n")
        did = denied(stand.port)
        did["connections"] = stand.envoy.stats()["listener.front.downstream_cx_total"]
        self.assertEqual(did, wanted)
        stand.direct().ask(b"get secret/a\r\n", b"VALUE secret/a 0 1\r\n1\r\nEND\r\n")


class PythonClient(BothWays):
    client: type

    def do(self, port: int, what: str) -> dict:
        client = self.client(port)
        try:
            return getattr(client, what)()
        finally:
            client.close()

    def check(self, client: type) -> None:
        self.client = client
        self.check_work(lambda port: self.do(port, "work"), client.WORK)
        self.check_denied(lambda port: self.do(port, "denied"), client.DENIED)


class Pymemcache(PythonClient):
    def test_text(self):
        library("pymemcache")
        self.check(python_clients.Pymemcache)


class Pylibmc(PythonClient):
    def test_text(self):
        library("pylibmc")
        self.check(python_clients.Pylibmc)

    def test_binary(self):
        library("pylibmc")
        self.check(python_clients.PylibmcBinary)

    def test_binary_takes_the_server_for_dead_without_us_too(self):
        """Why the table of PylibmcBinary says what it says; and after its two seconds the client goes on."""
        library("pylibmc")
        stand = self.enterContext(Stand("pylibmc-dead", [SOME_KEYS]))
        client = python_clients.PylibmcBinary(stand.server.port).client
        client.set("open/a", "no number")
        self.assertEqual(shown(lambda: client.incr("open/a")), "UnknownReadFailure: 1 keys failed")
        self.assertEqual(shown(lambda: client.get("open/a")), python_clients.PylibmcBinary.DOWN)
        client = python_clients.PylibmcBinary(stand.port).client
        self.assertEqual(shown(lambda: client.get("secret/a")), "None")
        wait_for("the client asks again", lambda: shown(lambda: client.get("open/a")) == "'no number'")


class Bmemcached(PythonClient):
    def test_binary(self):
        fetch_bmemcached()
        library("bmemcached")
        self.check(python_clients.Bmemcached)


class NodeClient(BothWays):
    def do(self, script: str, port: int, what: str) -> dict:
        told = subprocess.run(["node", HERE / "node" / script, str(port), what], env=dict(os.environ, NODE_PATH=str(self.modules)),
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(told.returncode, 0, told.stderr)
        return json.loads(told.stdout)

    def check(self, script: str, work: dict, denied: dict) -> None:
        self.modules = cached("npm clients", lambda: rig.fetch("fetch-node-clients"))
        self.check_work(lambda port: self.do(script, port, "work"), work)
        self.check_denied(lambda port: self.do(script, port, "denied"), denied)

    def test_memcached_in_text(self):
        denied = "Error: access denied"
        self.check("memcached.js", {
            "set": True, "add what is there": "Error: Item is not stored", "replace": True, "incr": 15, "decr": 14,
            "append, prepend": "<mid>", "miss": None, "cas": True, "cas again": False, "touch": True, "delete": True, "delete again": False,
            "1 MiB": True, "200 pipelined": True, "10,000 keys": 200, "stats": 202, "version": "1.6.18", "flush_all": True,
            "after flush_all": None,
        }, {
            "get": denied, "get one of two": "Error: Error: access denied", "set": denied, "incr": denied, "delete": denied,
            "one of three in flight": [1, denied, 1], "then": 1, "connections": 1,
        })

    def test_memjs_in_binary(self):
        self.check("memjs.js", {
            # Its prepend appends.
            "set": True, "add what is there": False, "replace": True, "incr": 15, "decr": 14, "append, prepend": "14><", "miss": None,
            "touch": True, "delete": True, "delete again": False, "1 MiB": True, "200 pipelined": True, "10,000 keys": 200,
            "stats": "201", "version": "1.6.18", "flush_all": True, "after flush_all": None,
        }, {
            # Its own words for status 8.
            **{name.lower(): f"Error: MemJS {name}: Authentication error" for name in ("GET", "SET", "DELETE")},
            "incr": "Error: MemJS INCREMENT: Authentication error",
            "one of three in flight": ["1", "Error: MemJS GET: Authentication error", "1"], "then": "1", "connections": 1,
        })


def library(name: str):
    try:
        return __import__(name)
    except ImportError as error:
        raise unittest.SkipTest(f"could not get {name}: {error}") from error


def fetch_bmemcached() -> None:
    """Into a folder of its own, for it is pure Python."""
    folder = rig.ROOT / ".cache" / "conformance" / "python"
    if not (folder / "bmemcached").is_dir():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:",
               "--target", folder, BMEMCACHED]
        if subprocess.run(pip, stdout=sys.stderr).returncode != 0:
            raise unittest.SkipTest(f"pip could not install {BMEMCACHED}, see above")
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


if __name__ == "__main__":
    unittest.main()
