"""What every case stands on: a real Cassandra, an Envoy before it with a listener for each policy, and what each of them writes down."""

import contextlib
import json
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
for folder in (HERE, ROOT / "tools", ROOT / "tests" / "e2e"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

import harness  # noqa: E402  (the path above comes first)
import rig  # noqa: E402
from rig import wait_for  # noqa: E402,F401  (cases take it from here)
from server import Cassandra  # noqa: E402

POLICIES = ROOT / "envoy-config" / "policies"
ALLOW_ALL = POLICIES / "cassandra-allow-all.yaml"
# The policy of the announcement, and who its peers are.
EMPIRE = POLICIES / "empire-cassandra.yaml"
OUTPOST, HEADQUARTERS = {"app": "empire-outpost"}, {"app": "empire-hq"}
# The same rights in the strict kind.
STRICT = POLICIES / "cassandra-by-table.yaml"

# In every literal, bound value and password of the tests: no log of ours may ever hold it.
CANARY = "canary7c4"


class Servers:
    """The Cassandras of this run: each is started when it is first asked for, and lives until the end."""

    def __init__(self):
        self.running: dict[str, Cassandra] = {}
        self.missing: dict[str, str] = {}

    def open(self) -> Cassandra:
        """Anybody may do anything."""
        return self.start("open")

    def guarded(self) -> Cassandra:
        """Asks for passwords; `cassandra` with password `cassandra` may do anything."""
        return self.start("guarded", auth=True)

    def start(self, name: str, **options) -> Cassandra:
        if name in self.missing:
            raise unittest.SkipTest(self.missing[name])
        if name not in self.running:
            try:
                self.running[name] = Cassandra(harness.scratch_folder(f"cassandra-{name}"), **options)
            except rig.RigError as error:
                self.missing[name] = f"Cassandra: {error}"
                raise unittest.SkipTest(self.missing[name]) from error
        return self.running[name]

    def stop(self, *names: str) -> None:
        """Those, or all."""
        for name in names or list(self.running):
            self.running.pop(name).stop()


SERVERS = Servers()


class Front(contextlib.ExitStack):
    """An Envoy before a Cassandra.

    `places` gives each listener a policy file, or one with the labels of who comes from 127.0.0.1, or of who comes from each address;
    None judges nothing.
    """

    def __init__(self, name: str, places: dict, server: Cassandra | None = None, **config):
        super().__init__()
        self.server = server or SERVERS.open()
        self.folder = harness.scratch_folder(name)
        self.logs: dict[str, tuple[int, list[dict]]] = {}
        listeners = []
        for place, policy in places.items():
            filters = [harness.tcp_proxy()]
            if policy is not None:
                path, labels = policy if isinstance(policy, tuple) else (policy, {})
                filters.insert(0, harness.portcullis(self.config(place, path, labels, config)))
            listeners.append(harness.listener(place, filters))
        try:
            self.envoy = rig.Envoy(harness.envoy(), harness.bootstrap(listeners, self.server.port), self.folder)
            self.callback(harness.stop_in_good_health, self.envoy)
        except BaseException:
            self.close()
            raise
        self.ports = {place: self.envoy.port_of(place) for place in places}

    def config(self, place: str, policy: Path, labels: dict, more: dict) -> dict:
        identities = self.folder / f"{place}-identities.yaml"
        known = labels if all(isinstance(each, dict) for each in labels.values()) else {"127.0.0.1": labels}
        harness.write_json(identities, {"identities": [{"address": address, "labels": each} for address, each in known.items()]})
        return {
            "protocol": "cassandra",
            "policy": {"files": [str(policy)]},
            "endpoint": {"labels": {"app": "cass-server"}},
            "direction": "ingress",
            "port": 9042,
            "identities": str(identities),
            "accessLog": {"path": str(self.log_path(place)), "level": "requests"},
            **more,
        }

    def log_path(self, place: str) -> Path:
        return self.folder / f"{place}.jsonl"

    def log(self, place: str) -> list[dict]:
        """The requests in the access log, in order. It is written in time, not at once. What was read before is not read again."""
        read, entries = self.logs.setdefault(place, (0, []))
        if self.log_path(place).exists():
            with open(self.log_path(place), "rb") as file:
                file.seek(read)
                fresh = file.read()
            whole = fresh[:fresh.rfind(b"\n") + 1]
            entries += [entry for entry in map(json.loads, whole.splitlines()) if entry["type"] == "request"]
            self.logs[place] = read + len(whole), entries
        return entries

    def connections(self, place: str) -> int:
        """How many were ever made to this listener."""
        return self.envoy.stats()[f"listener.{place}.downstream_cx_total"]

    def told(self) -> str:
        """Everything that we and Envoy ever wrote about the traffic."""
        return self.envoy.log() + "".join(path.read_text() for path in self.folder.glob("*.jsonl"))


class Executed:
    """One line of Cassandra's audit log: what really was done."""

    # What the audit log calls statements, and we.
    ACTIONS = {"USE_KEYSPACE": "use", "CREATE_VIEW": "create-materialized-view", "DROP_VIEW": "drop-materialized-view",
               "ALTER_VIEW": "alter-materialized-view", "TRUNCATE": "truncate-table", "GRANT": "grant-permission", "REVOKE": "revoke-permission"}

    def __init__(self, line: str):
        head, _, self.statement = line.partition("|operation:")
        fields = dict(part.split(":", 1) for part in head.split("|") if ":" in part)
        self.type, self.user, self.port = fields["type"], fields["user"], int(fields["port"])
        self.keyspace, self.scope = fields.get("ks"), fields.get("scope")
        self.in_batch = "batch" in fields

    @property
    def failed(self) -> bool:
        return self.type in ("REQUEST_FAILURE", "UNAUTHORIZED_ATTEMPT", "LOGIN_ERROR")

    @property
    def action(self) -> str:
        return self.ACTIONS.get(self.type, self.type.lower().replace("_", "-"))

    def __repr__(self) -> str:
        return f"<{self.type} {self.keyspace}.{self.scope}: {self.statement[:120]}>"


def read_audit(server: Cassandra, start: int = 0) -> tuple[list[Executed], int]:
    """What the server did since the audit log was `start` bytes long, and how long it is now."""
    with open(server.audit_path, "rb") as file:
        file.seek(start)
        fresh = file.read()
    whole = fresh[:fresh.rfind(b"\n") + 1]
    return [Executed(line) for line in whole.decode().split("\n") if line.startswith("user:")], start + len(whole)


def client_python() -> Path:
    return harness.cached("Python driver", lambda: rig.fetch("fetch-cassandra-clients", "python"))


def unique(prefix: str, _count=[0]) -> str:
    """A name that nothing on the servers has yet."""
    _count[0] += 1
    return f"{prefix}_{_count[0]}"


def build_empire(server: Cassandra) -> None:
    """The tables of the announcement's story, straight on the server."""
    import wire
    with wire.Wire(server.port) as direct:
        for statement in (
            "CREATE KEYSPACE IF NOT EXISTS attendance WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
            "CREATE TABLE IF NOT EXISTS attendance.daily_records (creation timeuuid PRIMARY KEY, trooper text, present boolean)",
            "CREATE KEYSPACE IF NOT EXISTS deathstar WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
            "CREATE TABLE IF NOT EXISTS deathstar.plans (id int PRIMARY KEY, scroll text)",
            f"INSERT INTO deathstar.plans (id, scroll) VALUES (1, '{CANARY}')",
        ):
            reply = direct.query(statement)
            if reply.opcode != wire.RESULT:
                raise rig.RigError(f"`{statement}`: {reply}")


def count_records(server: Cassandra) -> int:
    import wire
    with wire.Wire(server.port) as direct:
        return int.from_bytes(direct.query("SELECT count(*) FROM attendance.daily_records").rows[0][0], "big")
