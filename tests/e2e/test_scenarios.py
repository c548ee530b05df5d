"""The scenario corpus on a real Envoy, whole and cut: every file in tests/scenarios, as the core and the mocked host play it too.

One Envoy has a listener for each scenario. The test is client and server at once. After each step it sends a few pings through the
same worker: once they are back, Envoy has done all it will do about the bytes that came before them.
"""

import contextlib
import json
import random
import select
import socket
import unittest
from pathlib import Path

import harness
from harness import ROOT, bootstrap, difference, listener, portcullis, read_json_lines, rig, scratch_folder, tcp_proxy, wait_for, write_json

CORPUS = ROOT / "tests" / "scenarios"
# Members of a scenario that the listener is told, and what its configuration calls them.
PASSED_ON = {"config": "protocolConfig", "limits": "limits", "onParseError": "onParseError"}
KNOWN = {"name", "protocol", "policy", "endpoint", "remote", "port", "egress", "steps", "expect", *PASSED_ON}
CUTS = ["whole", "random-1", "random-2", "bytewise"]
# Scenarios of more bytes than this are not sent one byte at a time: it shows nothing new, and takes long.
BYTEWISE_MAX = 4096
# How often in a row the pings must come back with nothing new. Bytes that do not fit into Envoy's buffers take several rounds.
QUIET_ROUNDS = 3


class Scenario:
    def __init__(self, path: Path):
        self.name = str(path.relative_to(CORPUS).with_suffix("")).replace("/", "-")
        self.spec = json.loads(path.read_text())
        unknown = set(self.spec) - KNOWN
        if unknown:
            raise rig.RigError(f"{path}: the player does not know {unknown}")
        self.protocol = self.spec["protocol"]
        self.module = "portcullis_test" if self.protocol.startswith("test.") else "portcullis"
        self.steps = [(kind, read_bytes(given) if given else b"") for step in self.spec["steps"] for kind, given in step.items()]
        self.expect = {"closed": None, "log": [], **self.spec["expect"]}

    def cuts(self) -> list[str]:
        # What one connection has prepared, the others of the listener know: only the first finds nothing there.
        if self.name.startswith("cassandra-prepared"):
            return CUTS[:1]
        return CUTS if self.size() <= BYTEWISE_MAX else CUTS[:-1]

    def size(self) -> int:
        return sum(len(data) for _, data in self.steps)

    def listener_config(self, folder: Path) -> dict:
        identities = folder / f"{self.name}.identities.json"
        remote = self.spec.get("remote")
        write_json(identities, {"identities": [{"cidr": "127.0.0.0/8", "labels": remote}] if remote else []})
        policy = self.spec["policy"]
        text = "".join(f"---\n{json.dumps(one)}\n" for one in policy) if isinstance(policy, list) else json.dumps(policy)
        config = {
            "protocol": self.protocol, "policy": {"inline": text}, "endpoint": {"labels": self.spec.get("endpoint", {})},
            "direction": "egress" if self.spec.get("egress") else "ingress", "port": self.spec["port"], "identities": str(identities),
            "accessLog": {"path": str(folder / "access.jsonl"), "level": "requests"},
        }
        config |= {ours: self.spec[theirs] for theirs, ours in PASSED_ON.items() if theirs in self.spec}
        return config


def read_bytes(spec) -> bytes:
    """Text whose characters up to U+00FF stand for bytes, or a list of texts and repetitions."""
    parts = [spec] if isinstance(spec, str) else spec
    return b"".join(part.encode("latin-1") if isinstance(part, str) else part["repeat"].encode("latin-1") * part["times"] for part in parts)


class Play:
    """One scenario on one connection, and what was seen of it."""

    def __init__(self, scenario: Scenario, cut: str, addresses: tuple[str, str]):
        self.scenario, self.cut, self.addresses = scenario, cut, addresses
        self.to_server = self.to_client = b""
        # The client saw a reset instead of an end, or waited for an end in vain.
        self.reset = self.open = False
        # The client saw an end before it went away itself.
        self.ended = False

    def check(self, entries: list[dict], details: str | None) -> None:
        expect = self.scenario.expect
        for side, got in (("toServer", self.to_server), ("toClient", self.to_client)):
            wanted = read_bytes(expect.get(side, ""))
            assert got == wanted, f"{side}: {difference(wanted, got)}"
        assert not self.reset, "the client saw a reset"
        assert not self.open, "the client saw no end"
        closed = details if details != "-" else None
        # A webhook ends a connection in order when its client goes away, as this one does after the last step.
        told = any("serverEnd" in step for step in self.scenario.spec["steps"])
        if closed == "portcullis_finished" and expect["closed"] is None and (told or not self.ended):
            closed = None
        assert closed == expect["closed"], f"closed with {closed}, expected {expect['closed']}"
        if expect.get("ignoreLog"):
            return
        seen = [entry for entry in entries if entry["verdict"] != "reply" and (expect.get("logRequests") or entry["verdict"] != "forwarded")]
        assert len(seen) == len(expect["log"]), f"{len(seen)} log lines, expected {len(expect['log'])}: {seen}"
        for entry, wanted in zip(seen, expect["log"]):
            for key, member in wanted.items():
                got = {name: entry.get("fields", {}).get(name) for name in member} if key == "fields" else entry.get(key)
                assert got == member, f"log: `{key}` is {got}, expected {member} in {entry}"


class Stage:
    """An Envoy with a listener for each scenario, one for pings, and the servers behind them."""

    def __init__(self, scenarios: list[Scenario], stack: contextlib.ExitStack):
        self.folder = scratch_folder("scenarios")
        self.servers = {name: stack.enter_context(socket.create_server(("127.0.0.1", 0))) for name in ["ping", *(s.name for s in scenarios)]}
        listeners = [listener("ping", [proxy_to("ping", self.folder)])]
        listeners += [listener(s.name, [portcullis(s.listener_config(self.folder), s.module), proxy_to(s.name, self.folder)]) for s in scenarios]
        whole = bootstrap(listeners, 9)
        template = whole["static_resources"]["clusters"].pop()
        for name, server in self.servers.items():
            cluster = json.loads(json.dumps(template).replace('"upstream"', json.dumps(name)))
            address = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
            address["port_value"] = server.getsockname()[1]
            whole["static_resources"]["clusters"].append(cluster)
        self.envoy = stack.enter_context(rig.Envoy(harness.envoy(), whole, self.folder))
        statuses = json.loads(self.envoy.admin("/listeners?format=json"))["listener_statuses"]
        self.ports = {status["name"]: status["local_address"]["socket_address"]["port_value"] for status in statuses}
        self.ping_client = stack.enter_context(socket.create_connection(("127.0.0.1", self.ports["ping"]), rig.PATIENCE_SECONDS))
        self.ping_server = stack.enter_context(self.servers["ping"].accept()[0])
        self.ping_server.settimeout(rig.PATIENCE_SECONDS)

    def ping(self) -> None:
        for _ in range(2):
            self.ping_client.sendall(b".")
            self.ping_server.recv(1)
            self.ping_server.sendall(b".")
            self.ping_client.recv(1)

    def play(self, scenario: Scenario, cut: str) -> Play:
        with contextlib.ExitStack() as stack:
            # Each cut has a source address of its own, so that no two connections to a listener can look the same.
            source = (f"127.0.1.{CUTS.index(cut) + 1}", 0)
            client = stack.enter_context(socket.create_connection(("127.0.0.1", self.ports[scenario.name]), rig.PATIENCE_SECONDS, source))
            server = stack.enter_context(self.servers[scenario.name].accept()[0])
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                end.setblocking(False)
            connection = Connection(self, Play(scenario, cut, (show(client.getsockname()), show(client.getpeername()))), client, server)
            for kind, data in scenario.steps:
                for piece in pieces(data, cut, scenario.name):
                    connection.step(kind, piece)
                connection.settle()
            if scenario.expect["closed"]:
                connection.wait_for_close()
            connection.play.ended = connection.client_ended
            return connection.play

    def results(self) -> tuple[dict, dict]:
        """The entries of the access log and Envoy's reasons of ends, both by the two addresses of the connection."""
        self.envoy.stop()
        entries = {}
        for entry in read_json_lines(self.folder / "access.jsonl"):
            entries.setdefault((entry["source"], entry["destination"]), []).append(entry)
        endings = {}
        for line in (self.folder / "endings.log").read_text().splitlines():
            source, destination, why = line.split()
            endings[source, destination] = why
        return entries, endings


class Connection:
    def __init__(self, stage: Stage, play: Play, client: socket.socket, server: socket.socket):
        self.stage, self.play, self.client, self.server = stage, play, client, server
        self.client_ended = self.server_ended = False

    def step(self, kind: str, data: bytes) -> None:
        """Sends one piece, reading both ends meanwhile, and lets Envoy look at it."""
        sender = self.client if kind.startswith("client") else self.server
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while data and not self.client_ended:
                select.select([self.client, self.server], [sender], [], 1)
                with contextlib.suppress(BlockingIOError):
                    data = data[sender.send(data):]
                self.read()
        if kind.endswith("End") and not self.client_ended:
            with contextlib.suppress(OSError):
                sender.shutdown(socket.SHUT_WR)
        self.stage.ping()
        self.read()

    def settle(self) -> None:
        quiet = 0
        while quiet < QUIET_ROUNDS:
            self.stage.ping()
            quiet = 0 if self.read() else quiet + 1

    def wait_for_close(self) -> None:
        """Until the client sees the end. A server that is told of the end closes, too, as real ones do."""
        def ended():
            self.read()
            if self.server_ended:
                with contextlib.suppress(OSError):
                    self.server.shutdown(socket.SHUT_WR)
            return self.client_ended
        with contextlib.suppress(rig.RigError):
            wait_for("the connection closed by the filter", ended)
        self.play.open = not self.client_ended

    def read(self) -> bool:
        """Takes what there is at both ends; whether there was anything."""
        to_client, self.client_ended = self.take(self.client, self.client_ended)
        to_server, self.server_ended = self.take(self.server, self.server_ended)
        self.play.to_client += to_client
        self.play.to_server += to_server
        return bool(to_client or to_server)

    def take(self, end: socket.socket, ended: bool) -> tuple[bytes, bool]:
        parts = []
        with contextlib.suppress(BlockingIOError):
            try:
                while not ended:
                    parts.append(end.recv(1 << 18))
                    ended = not parts[-1]
            except ConnectionResetError:
                ended = True
                self.play.reset |= end is self.client
        return b"".join(parts), ended


def pieces(data: bytes, cut: str, seed: str) -> list[bytes]:
    if cut == "whole" or not data:
        return [data]
    if cut == "bytewise":
        return [data[at:at + 1] for at in range(len(data))]
    dice, at, parts = random.Random(cut + seed), 0, []
    while at < len(data):
        size = dice.randint(1, len(data) // 16 + 8)
        parts.append(data[at:at + size])
        at += size
    return parts


def show(address: tuple[str, int]) -> str:
    return "%s:%d" % address


def proxy_to(cluster: str, folder: Path) -> dict:
    proxy = tcp_proxy(folder / "endings.log")
    proxy["typed_config"]["cluster"] = cluster
    line = "%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %CONNECTION_TERMINATION_DETAILS%\n"
    proxy["typed_config"]["access_log"][0]["typed_config"]["log_format"] = {"text_format_source": {"inline_string": line}}
    return proxy


class Corpus(unittest.TestCase):
    """One case per file of the corpus, made below; they are all played before the first is checked."""

    @classmethod
    def setUpClass(cls):
        for module in {scenario.module for scenario in SCENARIOS}:
            if not (rig.LIBRARY_DIR / f"lib{module}.so").exists():
                raise rig.RigError(f"`lib{module}.so` is not built: run `make module test-modules`")
        # What all listeners of a process share must be the same for all scenarios of an Envoy.
        kinds = {}
        for scenario in SCENARIOS:
            kinds.setdefault(scenario.spec.get("limits", {}).get("heldBytes"), []).append(scenario)
        cls.outcomes = {}
        for alike in kinds.values():
            cls.play(alike)

    @classmethod
    def play(cls, scenarios: list[Scenario]) -> None:
        plays = []
        with contextlib.ExitStack() as stack:
            stage = Stage(scenarios, stack)
            for scenario in scenarios:
                for cut in scenario.cuts():
                    plays.append(stage.play(scenario, cut))
            entries, endings = stage.results()
        for play in plays:
            outcome = (play, entries.get(play.addresses, []), endings.get(play.addresses))
            cls.outcomes.setdefault(play.scenario.name, []).append(outcome)

    def check(self, scenario: Scenario) -> None:
        for play, entries, details in self.outcomes[scenario.name]:
            with self.subTest(cut=play.cut):
                play.check(entries, details)


def make_case(scenario: Scenario):
    return lambda self: self.check(scenario)


SCENARIOS = [Scenario(path) for path in sorted(CORPUS.glob("**/*.json"))]
for scenario in SCENARIOS:
    setattr(Corpus, "test_" + scenario.name.replace("-", "_"), make_case(scenario))


if __name__ == "__main__":
    unittest.main()
