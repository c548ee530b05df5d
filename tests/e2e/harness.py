"""What every end-to-end case stands on: an Envoy with our filter before a real server, and raw sockets to talk through it."""

import contextlib
import ctypes
import json
import os
import socket
import socketserver
import sys
import threading
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SAMPLES = ROOT / "envoy-config"
sys.path.insert(0, str(ROOT / "tools"))

import rig  # noqa: E402  (the path above comes first)
from rig import wait_for  # noqa: E402,F401

# Source addresses on the loopback net, and who they are: as in envoy-config/identities.yaml.
WHO = {"maintenance": "127.0.0.11", "monitoring": "127.0.0.12", "jedi": "127.0.0.13", "world": "127.0.0.1"}
IDENTITIES = {"identities": [
    {"address": "127.0.0.11", "labels": {"function": "fleet-maintenance"}},
    {"address": "127.0.0.12", "labels": {"function": "fleet-monitoring"}},
    {"cidr": "127.0.0.13/32", "labels": {"role": "jedi"}},
]}
FLEET = SAMPLES / "policies" / "rebel-alliance-memcache.yaml"
ALLOW_ALL = SAMPLES / "policies" / "memcache-allow-all.yaml"
DENIED = b"CLIENT_ERROR access denied\r\n"

# Where cases put their files; run.py empties it before a run, and afterwards if all went well.
SCRATCH = ROOT / ".cache" / "e2e"
# Which Envoy; run.py sets it.
ENVOY_VERSION = os.environ.get("PORTCULLIS_E2E_ENVOY", "1.40.0")

TYPE = "type.googleapis.com/"
FILTERS = TYPE + "envoy.extensions.filters.network."


def scratch_folder(name: str) -> Path:
    SCRATCH.mkdir(parents=True, exist_ok=True)
    for number in range(1000):
        folder = SCRATCH / (f"{name}-{number}" if number else name)
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            return folder
    raise rig.RigError(f"`{SCRATCH}` is full of `{name}`")


# ---- bootstraps


def portcullis(config, module: str = "portcullis") -> dict:
    """Our filter; `config` is the JSON as a dictionary, or as raw text for cases about broken text."""
    return {"name": "envoy.filters.network.dynamic_modules", "typed_config": {
        "@type": FILTERS + "dynamic_modules.v3.DynamicModuleNetworkFilter",
        "dynamic_module_config": {"name": module, "do_not_close": True, "metrics_namespace": "portcullis"},
        "filter_name": "portcullis",
        "filter_config": {"@type": TYPE + "google.protobuf.StringValue", "value": config if isinstance(config, str) else json.dumps(config)}}}


def tcp_proxy(log: Path | None = None) -> dict:
    config = {"@type": FILTERS + "tcp_proxy.v3.TcpProxy", "stat_prefix": "e2e", "cluster": "upstream"}
    if log:
        line = ("verdict=%DYNAMIC_METADATA(portcullis:verdict)% rule=%DYNAMIC_METADATA(portcullis:rule)% "
                "details=%CONNECTION_TERMINATION_DETAILS%\n")
        config["access_log"] = [{"name": "envoy.access_loggers.file", "typed_config": {
            "@type": TYPE + "envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": str(log),
            "log_format": {"text_format_source": {"inline_string": line}}}}]
    return {"name": "envoy.filters.network.tcp_proxy", "typed_config": config}


def listener(name: str, filters: list, **more) -> dict:
    return {"name": name, "stat_prefix": name, "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
            "filter_chains": [{"filters": filters}], **more}


def bootstrap(listeners: list, upstream_port: int, lds: Path | None = None, **cluster_options) -> dict:
    whole = {
        "static_resources": {"listeners": listeners, "clusters": [{
            "name": "upstream", "type": "STATIC", "connect_timeout": "5s", **cluster_options,
            "load_assignment": {"cluster_name": "upstream", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {
                "socket_address": {"address": "127.0.0.1", "port_value": upstream_port}}}}]}]}}]},
        "stats_config": {"stats_tags": [
            {"tag_name": "l7proto", "regex": r"^portcullis\.((.+?)\.)(?:[a-z_]+\.requests|[a-z_]+)$"},
            {"tag_name": "verdict", "regex": r"^portcullis\..+\.(([a-z_]+)\.)requests$"}]},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
    }
    if lds:
        whole["node"] = {"id": "e2e", "cluster": "e2e"}
        whole["dynamic_resources"] = {"lds_config": {"path_config_source": {"path": str(lds)}}}
    return whole


# ---- one Envoy before one server


class Stand(contextlib.ExitStack):
    """An Envoy with our filter before a server, with policy files, identities and logs in a folder of their own."""

    def __init__(self, name: str, policies: list[Path], *, protocol="memcache", labels=None, server=None, log_level="requests",
                 module="portcullis", listener_options=None, cluster_options=None, envoy_options=(), **config):
        super().__init__()
        self.wires: list[Wire] = []
        self.callback(self.hang_up)
        self.folder = scratch_folder(name)
        self.identities = self.folder / "identities.yaml"
        self.access_log_path = self.folder / "access.jsonl"
        self.connection_log_path = self.folder / "connections.log"
        write_json(self.identities, IDENTITIES)
        self.config = {
            "protocol": protocol,
            "policy": {"files": [str(path) for path in policies]},
            "endpoint": {"labels": labels or {"app": "memcached"}},
            "direction": "ingress",
            "port": 11211,
            "identities": str(self.identities),
            **({"accessLog": {"path": str(self.access_log_path), "level": log_level}} if log_level else {}),
            **config,
        }
        try:
            self.server = self.enter_context(server or rig.Memcached(memcached(), self.folder))
            front = listener("front", [portcullis(self.config, module), tcp_proxy(self.connection_log_path)], **(listener_options or {}))
            self.envoy = rig.Envoy(envoy(), bootstrap([front], self.server.port, **(cluster_options or {})), self.folder, options=envoy_options)
            self.callback(stop_in_good_health, self.envoy)
        except BaseException:
            self.close()
            raise
        self.port = self.envoy.port_of("front")

    def connect(self, who: str = "jedi", **options) -> "Wire":
        self.wires.append(Wire(self.port, who, **options))
        return self.wires[-1]

    def direct(self) -> "Wire":
        """Past the filter, straight to the server."""
        self.wires.append(Wire(self.server.port, "world"))
        return self.wires[-1]

    def hang_up(self) -> None:
        """Closes every connection made here."""
        while self.wires:
            self.wires.pop().close()

    def active_connections(self) -> int:
        return self.envoy.stats()["listener.front.downstream_cx_active"]

    def access_log(self) -> list[dict]:
        return read_json_lines(self.access_log_path)

    def entry(self, verdict: str, **fields) -> dict:
        """Waits for an entry of the access log with this verdict and at least these fields of the protocol."""
        def look():
            return next((entry for entry in self.access_log()
                         if entry["verdict"] == verdict and fields.items() <= entry.get("fields", {}).items()), None)
        return wait_for(f"an entry in {self.access_log_path} with verdict {verdict} and {fields}", look, 10)


def stop_in_good_health(envoy: rig.Envoy) -> None:
    """Whatever a case did to it, Envoy lives until it is told to go, and then goes in order."""
    alive, status = envoy.alive(), envoy.stop()
    if not alive or status != 0:
        raise AssertionError(f"Envoy {'did not end well' if alive else 'was gone before the end'}, status {status}: see {envoy.log_path}")
    bad = [line for line in envoy.log().splitlines() if "[critical]" in line or "assert failure" in line]
    if bad:
        raise AssertionError(f"Envoy says: {bad[:5]}")


def read_json_lines(path: Path) -> list[dict]:
    """The whole lines of a log that may be growing."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]]


def write_json(path: Path, value) -> None:
    """Replaces a file in one step, as a configuration manager does. JSON is YAML too."""
    fresh = path.with_suffix(".fresh")
    fresh.write_text(json.dumps(value, indent=1) + "\n")
    os.replace(fresh, path)


def envoy() -> Path:
    return cached("envoy", lambda: rig.fetch("fetch-envoy", ENVOY_VERSION))


def memcached() -> Path:
    return cached("memcached", lambda: rig.fetch("fetch-memcached"))


def cached(name: str, fetch, _got={}):
    """Fetches once in a run; what cannot be had skips the case, and the runner says so."""
    if name not in _got:
        try:
            _got[name] = fetch()
        except rig.RigError as error:
            _got[name] = error
    if isinstance(_got[name], rig.RigError):
        raise unittest.SkipTest(f"{name}: {_got[name]}")
    return _got[name]


# ---- talking


class Wire:
    """A raw connection from one of the source addresses."""

    def __init__(self, port: int, who: str, address: str = "127.0.0.1", small_buffers: bool = False):
        self.socket = socket.socket()
        if small_buffers:
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                self.socket.setsockopt(socket.SOL_SOCKET, option, 16 * 1024)
        self.socket.settimeout(rig.PATIENCE_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if who:
            self.socket.bind((WHO.get(who, who), 0))
        self.socket.connect((address, port))

    def send(self, data: bytes) -> "Wire":
        self.socket.sendall(data)
        return self

    def finish(self) -> "Wire":
        """No more from us; the other direction stays open."""
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def take(self, count: int) -> bytes:
        """The next `count` bytes, or fewer if the other side ends or falls silent."""
        parts, missing = [], count
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            while missing and (part := self.socket.recv(min(missing, 1 << 20))):
                parts.append(part)
                missing -= len(part)
        return b"".join(parts)

    def line(self) -> bytes:
        """The next line, or what there is of it when the other side ends."""
        line = b""
        while not line.endswith(b"\r\n") and (more := self.take(1)):
            line += more
        return line

    def rest(self) -> bytes:
        """Everything until the other side closes; a reset counts as a failure."""
        parts = []
        while part := self.socket.recv(1 << 20):
            parts.append(part)
        return b"".join(parts)

    def expect(self, wanted: bytes) -> "Wire":
        got = self.take(len(wanted))
        if got != wanted:
            raise AssertionError(difference(wanted, got))
        return self

    def ask(self, request: bytes, reply: bytes) -> "Wire":
        return self.send(request).expect(reply)

    def expect_close(self, last_words: bytes = b"") -> None:
        got = self.rest()
        if got != last_words:
            raise AssertionError("before the close, " + difference(last_words, got))

    def close(self) -> None:
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def difference(wanted: bytes, got: bytes) -> str:
    at = next((index for index, pair in enumerate(zip(wanted, got)) if pair[0] != pair[1]), min(len(wanted), len(got)))
    near = slice(max(0, at - 40), at + 80)
    return f"at byte {at}: expected {wanted[near]!r} ({len(wanted)} bytes in all), got {got[near]!r} ({len(got)} bytes)"


class ServerGone:
    """Stands in for a server that is not there: its port is nobody's."""

    def __enter__(self):
        self.port = rig.free_port()
        return self

    def __exit__(self, *_):
        pass


SERVER_GONE = ServerGone()


class EchoServer:
    """Sends back what it is sent. It stands in for a droid: the r2d2 protocol answers every line with a line."""

    def __init__(self):
        class Echo(socketserver.BaseRequestHandler):
            def handle(self):
                with contextlib.suppress(OSError):
                    while data := self.request.recv(1 << 16):
                        self.request.sendall(data)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            # Connections that wait to be accepted: with the default of 5 the kernel lets some wait for seconds.
            request_queue_size = 256
            block_on_close = False

        self.server = Server(("127.0.0.1", 0), Echo)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


@contextlib.contextmanager
def network_namespace(name: str):
    """Sockets and children made by this thread inside the block belong to the named network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)

    def enter(path: str) -> None:
        clone_newnet = 0x40000000
        with open(path) as namespace:
            if libc.setns(namespace.fileno(), clone_newnet) != 0:
                raise OSError(ctypes.get_errno(), f"cannot enter the network namespace `{path}`")

    with open("/proc/thread-self/ns/net") as home:
        enter(f"/run/netns/{name}")
        try:
            yield
        finally:
            enter(f"/proc/self/fd/{home.fileno()}")
