#!/usr/bin/env python3
"""The rebels' memcached behind a real Envoy with Portcullis: who asks for what, and what comes of it.

Run it with `make demo`, which builds the library first. Ends with status 0 only if every answer was the expected one.
"""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import rig  # noqa: E402  (the path above comes first)

SAMPLES = ROOT / "envoy-config"
POLICY = SAMPLES / "policies" / "rebel-alliance-memcache.yaml"
# As in envoy-config/identities.yaml.
CLIENTS = {"maintenance": "127.0.0.11", "monitoring": "127.0.0.12", "jedi": "127.0.0.13", "a stranger": "127.0.0.1"}
DENIED = "CLIENT_ERROR access denied"
# How long an answer may take before it counts as none.
ANSWER_SECONDS = 10

PLAY = [
    ("The fleet's maintenance reads and writes what begins with alliance/fleet/", "maintenance", [
        ("set alliance/fleet/xwing ready", "STORED"),
        ("get alliance/fleet/xwing", "ready"),
        ("set empire/deathstar rebuilt", DENIED),
        ("get temple/holocron", DENIED),
    ]),
    ("Its monitoring reads there, and does not write", "monitoring", [
        ("get alliance/fleet/xwing", "ready"),
        ("set alliance/fleet/xwing lost", DENIED),
        ("delete alliance/fleet/xwing", DENIED),
        ("get temple/holocron", DENIED),
    ]),
    ("Jedi do everything", "jedi", [
        ("set temple/holocron wisdom", "STORED"),
        ("get temple/holocron", "wisdom"),
        ("get alliance/fleet/xwing", "ready"),
        ("delete temple/holocron", "DELETED"),
    ]),
    ("Whoever has no name in the identities gets nothing", "a stranger", [
        ("get alliance/fleet/xwing", DENIED),
    ]),
]
PIPELINED = ("Six requests in one write: each denial comes in its turn, between the answers of memcached", "monitoring", [
    ("get alliance/fleet/xwing", "ready"),
    ("set alliance/fleet/xwing lost", DENIED),
    ("get alliance/fleet/ywing", "(not there)"),
    ("get empire/deathstar", DENIED),
    ("delete alliance/fleet/xwing", DENIED),
    ("get alliance/fleet/xwing", "ready"),
])
AFTERWARDS = ("After all that, on the connections opened at the start", None, [
    ("maintenance", "get alliance/fleet/xwing", "ready"),
    ("monitoring", "get alliance/fleet/xwing", "ready"),
    ("jedi", "get alliance/fleet/xwing", "ready"),
    ("a stranger", "get alliance/fleet/xwing", DENIED),
])


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with contextlib.ExitStack() as stack:
            return play(stack)
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    except rig.RigError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1


def play(stack: contextlib.ExitStack) -> int:
    if not rig.LIBRARY.exists():
        raise rig.RigError(f"`{rig.LIBRARY}` is not built; `make demo` builds it and comes back here")
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="portcullis-demo-")))
    envoy_binary = rig.fetch("fetch-envoy")
    server_command, server_name = memcached()

    server_port = rig.free_port()
    policies = folder / "policies"
    policies.mkdir()
    (policies / POLICY.name).write_bytes(POLICY.read_bytes())
    access_log = folder / "access.jsonl"
    bootstrap = rig.fill_in(SAMPLES / "sidecar.yaml", {
        "address: 0.0.0.0, port_value: 11211": "address: 127.0.0.1, port_value: 0",
        "port_value: 11212": f"port_value: {server_port}",
        "port_value: 9901": "port_value: 0",
        "/etc/portcullis/policies": str(policies),
        "/etc/portcullis/identities.yaml": str(SAMPLES / "identities.yaml"),
        "/var/log/portcullis.jsonl": str(access_log),
    })

    envoy = stack.enter_context(rig.Envoy(envoy_binary, bootstrap, folder))
    port = envoy.port_of("memcached")
    version = json.loads(envoy.admin("/server_info"))["version"].split("/")[1]
    print(f"Envoy {version} with {rig.LIBRARY.name} listens on 127.0.0.1:{port} (envoy-config/sidecar.yaml)")
    server = stack.enter_context(rig.Process("server", server_command(server_port), folder))
    server.wait_until("it listened", lambda: rig.listening(server_port))
    print(f"{server_name} listens behind it on 127.0.0.1:{server_port}")
    print(f"policy: {POLICY.relative_to(ROOT)}")

    table = Table()
    clients = {who: stack.enter_context(Client(port, address)) for who, address in CLIENTS.items()}
    for title, who, exchanges in PLAY:
        table.title(title)
        for request, expected in exchanges:
            clients[who].send(request)
            table.row(who, request, expected, clients[who].receive(request))
    title, who, exchanges = PIPELINED
    table.title(title)
    clients[who].send(*(request for request, _ in exchanges))
    for request, expected in exchanges:
        table.row(who, request, expected, clients[who].receive(request))
    title, _, exchanges = AFTERWARDS
    table.title(title)
    for who, request, expected in exchanges:
        clients[who].send(request)
        table.row(who, request, expected, clients[who].receive(request))

    logged = show_access_log(access_log, table.denials)
    counted = show_counters(envoy)
    print()
    table.check(logged == table.denials, f"{table.denials} denials came back, {logged} are in the access log")
    table.check(counted == table.denials, f"{table.denials} denials came back, {counted} were counted")
    if table.wrong:
        print(paint("31", f"{table.wrong} of {table.checks} checks failed."))
        print(f"The end of Envoy's log:\n{envoy.log()[-2000:]}", file=sys.stderr)
    else:
        print(paint("32", f"All {table.checks} checks as expected: {table.denials} requests were denied, and every connection lives on."))
    return 1 if table.wrong else 0


def memcached():
    """How to start memcached on a port, and its name; the stand-in where there is none."""
    try:
        binary = rig.fetch("fetch-memcached")
    except rig.RigError:
        print("NOTE: there is no memcached here; a small stand-in (demo/standin.py) plays its part.", file=sys.stderr)
        return lambda port: [sys.executable, ROOT / "demo" / "standin.py", port], "a stand-in for memcached"
    version = subprocess.run([binary, "--version"], capture_output=True, text=True).stdout.strip()
    return lambda port: rig.memcached_command(binary, "127.0.0.1", port), version


class Client:
    """One connection for the whole play, from an address of its own."""

    def __init__(self, port: int, address: str):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS, source_address=(address, 0))
        self.replies = self.socket.makefile("rb")

    def send(self, *requests: str) -> None:
        """Sends all in one write."""
        with contextlib.suppress(OSError):
            self.socket.sendall(b"".join(encode(request) for request in requests))

    def receive(self, request: str) -> str:
        """What came back, in the words of the table; whatever is not an answer is said in brackets."""
        try:
            line = self.line()
            if not request.startswith("get ") or not line.startswith("VALUE "):
                return "(not there)" if line == "END" else line
            value = self.replies.read(int(line.split()[3]) + 2)[:-2].decode(errors="replace")
            end = self.line()
            return value if end == "END" else f"({value}, and then {end!r})"
        except EOFError:
            return "(connection closed)"
        except OSError as error:
            return f"({error})"

    def line(self) -> str:
        line = self.replies.readline()
        if not line.endswith(b"\r\n"):
            raise EOFError
        return line[:-2].decode(errors="replace")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def encode(request: str) -> bytes:
    """`set key value` as memcached's protocol writes it; the others are written that way already."""
    words = request.split()
    if words[0] == "set":
        return f"set {words[1]} 0 0 {len(words[2])}\r\n{words[2]}\r\n".encode()
    return f"{request}\r\n".encode()


class Table:
    """Prints the rows and keeps count."""

    COLUMNS = "  {:<12} {:<31} {:<27} {:<27} {}"

    def __init__(self):
        self.checks = self.wrong = self.denials = 0
        print()
        print(paint("1", self.COLUMNS.format("who", "command", "expected", "got", "")))

    def title(self, text: str) -> None:
        print(paint("2", f"  -- {text}"))

    def row(self, who: str, command: str, expected: str, got: str) -> None:
        self.denials += got == DENIED
        ok = self.count(expected == got)
        print(self.COLUMNS.format(who, command, expected, got, paint("32", "ok") if ok else paint("31", "WRONG")), flush=True)

    def check(self, as_expected: bool, text: str) -> None:
        if not self.count(as_expected):
            print(paint("31", f"WRONG: {text}"))

    def count(self, as_expected: bool) -> bool:
        self.checks += 1
        self.wrong += not as_expected
        return as_expected


def show_access_log(path: Path, expected: int) -> int:
    """Prints the denials and returns how many there are; the log is written behind the traffic, so it gets a moment to come."""
    def read():
        return [json.loads(line) for line in path.read_text().split("\n")[:-1]] if path.exists() else []
    with contextlib.suppress(rig.RigError):
        rig.wait_for("every denial in the access log", lambda: len(read()) >= expected, 5)
    print()
    print(paint("1", "The access log, which was told to keep denials (one JSON object a line; here in short)"))
    entries = read()
    for entry in entries:
        fields = entry.get("fields", {})
        keys = fields.get("keys", "")
        keys = keys if isinstance(keys, str) else " ".join(keys)
        labels = ",".join(f"{key}={value}".rstrip("=") for key, value in entry["remote"]["labels"].items())
        print(f"  {entry['time'][11:]}  {labels:<28} {entry['verdict']} {fields.get('command', ''):<7}{keys:<21} {entry.get('rule') or entry.get('reason', '')}")
    return sum(entry["verdict"] == "denied" for entry in entries)


def show_counters(envoy: rig.Envoy) -> int:
    """Prints our counters and returns how many denials they count."""
    print()
    print(paint("1", "Envoy's counters, as Prometheus reads them (/stats/prometheus)"))
    denied = 0
    for line in envoy.admin("/stats/prometheus").splitlines():
        if line.startswith("envoy_portcullis_") and not line.endswith(" 0"):
            print(f"  {line}")
            if 'verdict="denied"' in line:
                denied += int(line.split()[-1])
    return denied


def paint(colour: str, text: str) -> str:
    return f"\033[{colour}m{text}\033[0m" if sys.stdout.isatty() else text


if __name__ == "__main__":
    sys.exit(main())
