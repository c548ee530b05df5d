"""The scenario corpus in a real Envoy's V8: what the module has done in the tests of its crate, it does there too.

Those tests play every scenario natively, look at the outcome, and write down what was sent and what went on (`make test-wasm` has them
do it). Here the same is sent through one Envoy, all scenarios at a time, and the same must come out: every byte on either side, every
end, and every line of the access log.
"""

import contextlib
import http.client
import http.server
import json
import socket
import threading
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

import harness
import rig
from harness import bootstrap, difference, listener, scratch_folder, tcp_proxy, wait_for
from stand import BUILT, MODULE, TEST_MODULE, plugin, read_access_log
from test_webhook import manager

TRANSCRIPTS = BUILT / "transcripts"
SOURCE = "127.0.1.1"
# How often in a row the pings must come back with nothing more, once all is there that should be.
QUIET_ROUNDS = 3
# How long what must come may take: one Envoy does all that is asked of it in between.
SETTLED_SECONDS = 5
# What differs from one connection to the next in lines of the log.
OF_CONNECTION = {"time", "connection", "source", "destination"}
# Requests under way at a time. Those that are not whole are answered after a second.
WORKERS = 24


def read_transcript(name: str) -> tuple[list[dict], dict[str, str]]:
    """The plays, and why the other scenarios have none."""
    path = TRANSCRIPTS / f"{name}.jsonl"
    if not path.exists():
        raise rig.RigError(f"`{path}` is not there: run `make test-wasm`")
    lines = [json.loads(line) for line in path.read_text().split("\n")[:-1]]
    return [line for line in lines if "skipped" not in line], {line["scenario"]: line["skipped"] for line in lines if "skipped" in line}


class Connection:
    """A connection of one play, looked at from both ends."""

    def __init__(self, play: dict, port: int, servers: socket.socket):
        self.play, self.events = play, iter(play["events"])
        self.client = socket.create_connection(("127.0.0.1", port), rig.PATIENCE_SECONDS, (SOURCE, 0))
        self.server = servers.accept()[0]
        self.address = "%s:%d" % self.client.getsockname()
        self.ends = {"client": self.client, "server": self.server}
        for end in self.ends.values():
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            end.setblocking(False)
        self.got = {"client": b"", "server": b""}
        self.ended = {"client": False, "server": False}
        self.wanted = {"client": b"", "server": b""}
        self.wanted_end = {"client": False, "server": False}
        self.failure = self.sender = None
        self.left = b""
        self.end_left = False

    def begin(self) -> bool:
        """Begins the next event, if there is one."""
        event = next(self.events, None)
        if event is None or self.failure:
            return False
        self.sender, self.left, self.end_left = event["from"], event["bytes"].encode("latin-1"), event["end"]
        other = other_side(self.sender)
        self.wanted[other] += event["passed"].encode("latin-1")
        self.wanted_end[other] |= event["endPassed"]
        return True

    def move(self) -> bool:
        """Sends and takes what can be; whether anything moved."""
        moved = self.take("client") | self.take("server")
        if self.left or self.end_left:
            try:
                if self.left:
                    self.left = self.left[self.ends[self.sender].send(self.left):]
                if not self.left and self.end_left:
                    self.end_left = False
                    self.ends[self.sender].shutdown(socket.SHUT_WR)
                moved = True
            except BlockingIOError:
                pass
            except OSError:
                # It is closed already: what goes on nonetheless is missed below.
                self.left, self.end_left = b"", False
        return moved

    def take(self, side: str) -> bool:
        parts = []
        try:
            while not self.ended[side]:
                parts.append(self.ends[side].recv(1 << 18))
                self.ended[side] = not parts[-1]
        except BlockingIOError:
            pass
        except ConnectionResetError:
            self.ended[side] = True
        self.got[side] += b"".join(parts)
        return bool(parts)

    def is_settled(self) -> bool:
        """Whether all has come that must."""
        return not self.left and not self.end_left and all(
            len(self.got[side]) >= len(self.wanted[side]) and (self.ended[side] or not self.wanted_end[side]) for side in self.ends)

    def check(self) -> None:
        """Looks at what has come by now."""
        for side in self.ends:
            if self.got[side] != self.wanted[side]:
                self.failure = f"to the {side}: {difference(self.wanted[side], self.got[side])}"
            elif self.wanted_end[side] and not self.ended[side]:
                self.failure = f"the {side} has seen no end"

    def close(self) -> None:
        self.client.close()
        self.server.close()


def other_side(side: str) -> str:
    return "server" if side == "client" else "client"


class Stage(contextlib.ExitStack):
    """An Envoy with a listener for each play, one for pings, and a server behind each of the two kinds."""

    def __init__(self, plays: list[dict]):
        super().__init__()
        self.folder = scratch_folder("wasm-corpus")
        self.servers = self.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64))
        self.ping_servers = self.enter_context(socket.create_server(("127.0.0.1", 0)))
        fronts = [listener(str(number), [self.plugin(number, play), tcp_proxy()]) for number, play in enumerate(plays)]
        pings = tcp_proxy()
        pings["typed_config"]["cluster"] = "pings"
        whole = bootstrap([listener("pings", [pings]), *fronts], self.servers.getsockname()[1])
        clusters = whole["static_resources"]["clusters"]
        clusters += bootstrap([], self.ping_servers.getsockname()[1])["static_resources"]["clusters"]
        clusters[1]["name"] = "pings"
        self.envoy = self.enter_context(rig.Envoy(harness.envoy(), whole, self.folder))
        self.ports = ports_of(self.envoy)
        self.ping_client = self.enter_context(socket.create_connection(("127.0.0.1", self.ports["pings"]), rig.PATIENCE_SECONDS))
        self.ping_server = self.enter_context(self.ping_servers.accept()[0])
        self.connections = [Connection(play, self.ports[str(number)], self.servers) for number, play in enumerate(plays)]
        for connection in self.connections:
            self.callback(connection.close)

    @staticmethod
    def plugin(number: int, play: dict) -> dict:
        is_test = json.loads(play["configuration"])["protocol"].startswith("test.")
        whole = plugin(play["configuration"], *((TEST_MODULE, "test") if is_test else (MODULE, "portcullis")))
        # Envoy has one root context for equal configurations, and with it what connections of a listener share.
        whole["typed_config"]["config"]["root_id"] = f"play-{number}"
        return whole

    def ping(self) -> None:
        """Once this is back, Envoy has done all that it will do about what came before."""
        for _ in range(2):
            self.ping_client.sendall(b".")
            self.ping_server.recv(1)
            self.ping_server.sendall(b".")
            self.ping_client.recv(1)

    def play(self) -> None:
        """All plays, an event of each at a time."""
        while under_way := [connection for connection in self.connections if connection.begin()]:
            self.settle(under_way)
        # Closes come with the next tick, and what should not come may take its time.
        closing = [connection for connection in self.connections if connection.play["closed"]]
        patience = time.monotonic() + rig.PATIENCE_SECONDS
        while time.monotonic() < patience and not all(connection.ended["client"] for connection in closing):
            for connection in closing:
                connection.move()
            time.sleep(0.02)
        self.settle(self.connections)

    def settle(self, connections: list[Connection]) -> None:
        quiet, patience = 0, time.monotonic() + SETTLED_SECONDS
        while quiet < QUIET_ROUNDS and time.monotonic() < patience:
            self.ping()
            moved = [connection.move() for connection in connections]
            waits = not all(connection.is_settled() for connection in connections)
            quiet = 0 if any(moved) or waits else quiet + 1
        for connection in connections:
            connection.check()


class Connections(unittest.TestCase):
    """The network filter."""

    def test_all_that_was_played_natively(self):
        plays, skipped = read_transcript("connections")
        for cut in sorted({play["cut"] for play in plays}):
            with Stage([play for play in plays if play["cut"] == cut]) as stage:
                stage.play()
                stage.envoy.stop()
                log = log_by_source(stage.envoy)
            for connection in stage.connections:
                with self.subTest(connection.play["scenario"], cut=cut):
                    self.assertIsNone(connection.failure)
                    is_closed = bool(connection.play["closed"]) or connection.wanted_end["client"]
                    self.assertEqual(connection.ended["client"], is_closed, "whether the client has seen an end")
                    self.assertEqual(shown(log.get(connection.address, [])), shown(connection.play["log"]))
        tell(plays, skipped)


class Upstream(http.server.BaseHTTPRequestHandler):
    """What stands behind the HTTP filter: it notes what reaches it, and answers as the play says."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])) if "content-length" in self.headers else b"".join(self.chunks())
        play = self.server.plays[int(self.headers["x-play"])]
        play["arrived"].append((self.command, self.path, body.decode("latin-1")))
        reply = play["replies"].pop(0) if play["replies"] else None
        if reply is None:
            # The client goes away.
            self.rfile.read(1)
            return
        status, fields, text = reply
        self.send_response_only(int(status))
        for name, value in fields:
            if name not in OF_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode("latin-1"))

    do_GET = do_HEAD = do_PUT = do_POST

    def chunks(self):
        if self.headers.get("transfer-encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()

    def log_message(self, *_):
        pass


class Exchanges(unittest.TestCase):
    """The HTTP filter."""

    def test_all_that_was_played_natively(self):
        plays, skipped = read_transcript("exchanges")
        with contextlib.ExitStack() as stack:
            folder = scratch_folder("wasm-corpus-http")
            upstream = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
            upstream.plays = plays
            threading.Thread(target=upstream.serve_forever, daemon=True).start()
            stack.callback(upstream.shutdown)
            fronts = [listener(str(number), [self.manager(number, play)]) for number, play in enumerate(plays)]
            envoy = stack.enter_context(rig.Envoy(harness.envoy(), bootstrap(fronts, upstream.server_address[1]), folder))
            ports = ports_of(envoy)
            with ThreadPoolExecutor(WORKERS) as workers:
                outcomes = list(workers.map(lambda numbered: self.play(ports[str(numbered[0])], numbered[1]), enumerate(plays)))
            envoy.stop()
            log = log_by_source(envoy)
        for play, (failure, sources) in zip(plays, outcomes):
            with self.subTest(play["scenario"], chunks=[exchange["chunks"] for exchange in play["exchanges"][:1]]):
                self.assertIsNone(failure)
                self.assertEqual(shown([entry for source in sources for entry in log.get(source, [])]), shown(play["log"]))
        tell(plays, skipped)

    @staticmethod
    def manager(number: int, play: dict) -> dict:
        whole = manager(json.loads(play["configuration"]), upstream=True)
        host = whole["typed_config"]["route_config"]["virtual_hosts"][0]
        # Behind our filter: it does not see this.
        host["request_headers_to_add"] = [{"header": {"key": "x-play", "value": str(number)}}]
        return whole

    @staticmethod
    def play(port: int, play: dict) -> tuple[str | None, list[str]]:
        """What went wrong, and the addresses of the connections that there were."""
        play["arrived"], play["replies"] = [], [exchange["passed"] for exchange in play["exchanges"] if "passed" in exchange]
        sources, failure, client = [], None, None
        for number, exchange in enumerate(play["exchanges"]):
            if client is None:
                client = socket.create_connection(("127.0.0.1", port), rig.PATIENCE_SECONDS, (SOURCE, 0))
                sources.append("%s:%d" % client.getsockname())
            try:
                failure, goes_on = ask(client, exchange)
            except (OSError, http.client.HTTPException) as error:
                failure, goes_on = f"{type(error).__name__}: {error}", False
            if not failure and exchange.get("passed", 0) is None:
                # Nobody answers that.
                wait_for("the upstream has got it", lambda: len(play["arrived"]) > sum("passed" in one for one in play["exchanges"][:number]))
            if not goes_on:
                client.close()
                client = None
            if failure:
                failure = f"exchange {number}: {failure}"
                break
        if client:
            client.close()
        passed = [(*exchange["first"].split(" ")[:2], exchange["body"]) for exchange in play["exchanges"] if "passed" in exchange]
        if not failure and play["arrived"] != passed:
            failure = f"the upstream got {play['arrived']}, expected {passed}"
        return failure, sources


# Fields that a proxy writes for itself.
OF_HOP = {"content-length", "connection", "transfer-encoding"}


def ask(client: socket.socket, exchange: dict) -> tuple[str | None, bool]:
    """Sends one request. Returns what was wrong about the answer, and whether the connection goes on."""
    fields, body = list(exchange["fields"]), exchange["body"].encode("latin-1")
    if exchange["chunks"] and exchange["isWhole"] and body:
        fields = [field for field in fields if field[0] not in ("content-length", "transfer-encoding")] + [["transfer-encoding", "chunked"]]
    if any(name == "transfer-encoding" for name, _ in fields):
        body = (b"%x\r\n%s\r\n" % (len(body), body) if body else b"") + (b"0\r\n\r\n" if exchange["isWhole"] else b"")
    lines = [exchange["first"], *(f"{name}: {value}" for name, value in fields)]
    client.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
    wanted = exchange["answered"] if "answered" in exchange else exchange.get("passed")
    if wanted is None:
        return None, False
    status, wanted_fields, text = wanted
    method = exchange["first"].split(" ")[0]
    answer = http.client.HTTPResponse(client, method=method)
    answer.begin()
    got = [(name.lower(), value) for name, value in answer.getheaders()]
    told = answer.read()
    if answer.status != int(status):
        return f"status {answer.status}, expected {status}: {told[:200]}", False
    missing = [(name, value) for name, value in wanted_fields if name not in OF_HOP and (name, value) not in got]
    if missing:
        return f"without {missing}: {got}", False
    if method != "HEAD" and told != text.encode("latin-1"):
        return f"the body: {difference(text.encode('latin-1'), told)}", False
    return None, not answer.will_close and exchange["isWhole"]


def ports_of(envoy: rig.Envoy) -> dict[str, int]:
    statuses = json.loads(envoy.admin("/listeners?format=json"))["listener_statuses"]
    return {status["name"]: status["local_address"]["socket_address"]["port_value"] for status in statuses}


def log_by_source(envoy: rig.Envoy) -> dict[str, list[dict]]:
    log = {}
    for entry in read_access_log(envoy):
        log.setdefault(entry["source"], []).append(entry)
    return log


def shown(entries: list[dict]) -> list[dict]:
    """What does not differ from one connection to the next, nor with the time that a judgement takes."""
    def fields(entry):
        return {name: value for name, value in entry.get("fields", {}).items() if name != "micros"}
    return [{**{name: value for name, value in entry.items() if name not in OF_CONNECTION}, "fields": fields(entry)} for entry in entries]


def tell(plays: list[dict], skipped: dict[str, str]) -> None:
    print(f"         {len(plays)} plays of {len({play['scenario'] for play in plays})} scenarios")
    for why in sorted(set(skipped.values())):
        print(f"         {sum(one == why for one in skipped.values())} not played: {why}")


if __name__ == "__main__":
    unittest.main()
