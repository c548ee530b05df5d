#!/usr/bin/env python3
"""What a request costs Envoy with our filter, against Envoy alone.

    python3 tests/bench/envoy.py [--envoy VERSION] [--rounds N]

Three Envoys with one worker each stand before one server: with Portcullis and tcp_proxy, with tcp_proxy alone, and a second one with
tcp_proxy alone as the control. In each round the same load is played through all three in turn and then in turn backwards, in small
portions, so that what else the machine does falls on all alike; the CPU time that the process took is divided by the requests. What
counts is the ratio within a round, and of all rounds the median; the control's ratios say what a difference of nothing looks like on this
machine. The Envoys share one CPU and the others have the load and the server, where there are others. Takes about three minutes.

Where the proxy-wasm module was built (`make wasm`), a fourth Envoy has that: what portability costs.

memcached writes one reply at a time, so that of pipelined requests Envoy reads the replies a few at a time too. To see what the filter
costs where system calls do not hide it, a stand-in server writes them all in one piece.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import load

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent.parent / "tools"), str(HERE.parent / "e2e")]

import harness  # noqa: E402  (the paths above come first)
import rig  # noqa: E402

CONNECTIONS = 50
# The server, how many gets come at once, how many batches of them are a portion, and the ratio that is aimed at.
LOADS = [("memcached", 1, 4_000, 1.10), ("memcached", 16, 2_000, 1.30), ("stand-in", 16, 4_000, 1.30)]
# How often a round goes through all Envoys and back.
TURNS = 2
WASM = rig.ROOT / "target" / "wasm" / "portcullis.wasm"
ALL_CPUS = os.sched_getaffinity(0)
FIRST_CPU = {min(ALL_CPUS)}
LABELS = {"app": "memcached"}
POLICY = {
    "apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy", "metadata": {"name": "bench"}, "spec": {
        "endpointSelector": {"matchLabels": LABELS},
        "ingress": [{"toPorts": [{"ports": [{"port": "11211"}], "rules": {"l7proto": "memcache", "l7": [
            {"command": "get", "keyPrefix": "bench/"}, {"command": "set", "keyPrefix": "bench/"}, {"command": "version"}]}}]}]}}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--envoy", default="1.40.0", metavar="VERSION", help="the Envoy to measure (default 1.40.0)")
    parser.add_argument("--rounds", type=int, default=24, metavar="N", help="rounds of each load (default 24)")
    chosen = parser.parse_args()
    if not rig.LIBRARY.exists():
        print(f"envoy.py: `{rig.LIBRARY}` is not there: run `make module` first", file=sys.stderr)
        return 1
    try:
        with tempfile.TemporaryDirectory(prefix="portcullis-bench-") as folder:
            measure_all(chosen, Path(folder))
    except rig.RigError as error:
        print(f"envoy.py: {error}", file=sys.stderr)
        return 1
    return 0


def measure_all(chosen, folder: Path) -> None:
    binary = rig.fetch("fetch-envoy", chosen.envoy)
    print(f"Envoy {chosen.envoy}, --concurrency 1; gets of {len(load.VALUE)} bytes, {CONNECTIONS} connections, "
          f"{chosen.rounds} rounds; CPU of the Envoy process\n")
    print(f"{'':>14}  {'us per request':^33}  {'busy':>5}  {'portcullis / tcp_proxy':^27}  {'control / tcp_proxy':^27}")
    ratio = f"{'median':>9}{'quartiles':>18}"
    print(f"{'':>14}  {'portcullis':>11}{'tcp_proxy':>11}{'control':>11}  {'':>5}  {ratio}  {ratio}")
    for number, (server, pipelined, batches, aim) in enumerate(LOADS):
        own = folder / str(number)
        own.mkdir()
        with SERVERS[server](own) as port, \
             Arm("tcp_proxy", [], binary, own, port) as alone, \
             Arm("control", [], binary, own, port) as control, \
             Arm("portcullis", [portcullis(own)], binary, own, port) as filtered, \
             (Arm("wasm", [wasm()], binary, own, port) if WASM.exists() else contextlib.nullcontext()) as portable:
            arms = [filtered, alone, control, *([portable] if portable else [])]
            rounds = measure(arms, pipelined, batches, chosen.rounds)
            for arm in arms[:1] + arms[3:]:
                if arm.forwarded() < arm.requests:
                    raise rig.RigError(f"{arm.forwarded()} of {arm.requests} requests were judged: this measured something else")
        report(rounds, f"{server} x{pipelined}", aim)


@contextlib.contextmanager
def memcached(folder: Path):
    with rig.Memcached(rig.fetch("fetch-memcached"), folder, options=("-t", "1")) as server:
        pin(server.child.pid, others())
        with harness.Wire(server.port, "") as wire:
            wire.ask(load.SET, b"STORED\r\n")
        yield server.port


@contextlib.contextmanager
def stand_in(folder: Path):
    with rig.Process("stand-in", [sys.executable, HERE / "load.py", "answer"], folder) as server:
        pin(server.child.pid, others())
        yield int(server.wait_until("it told its port", server.log))


SERVERS = {"memcached": memcached, "stand-in": stand_in}


def measure(arms: list["Arm"], pipelined: int, batches: int, rounds: int) -> list[list[tuple[float, float]]]:
    """For each round and arm the microseconds of CPU per request, and how busy Envoy was."""
    for arm in arms:
        arm.connect(pipelined)
        arm.play(batches)
    measured = []
    for number in range(rounds):
        first = number % len(arms)
        order = arms[first:] + arms[:first]
        played = {arm.name: [] for arm in arms}
        for arm in (order + order[::-1]) * TURNS:
            played[arm.name].append(arm.play(batches))
        measured.append([tuple(map(statistics.mean, zip(*played[arm.name]))) for arm in arms])
    for arm in arms:
        arm.hang_up()
    return measured


def report(rounds: list[list[tuple[float, float]]], name: str, aim: float) -> None:
    costs = [statistics.median(round[arm][0] for round in rounds) for arm in range(3)]
    busy = statistics.median(round[0][1] for round in rounds)
    ours, control = ([round[arm][0] / round[1][0] for round in rounds] for arm in (0, 2))
    (low, median, high), (control_low, control_median, control_high) = quartiles(ours), quartiles(control)
    print(f"{name:>14}  " + "".join(f"{cost:>11.2f}" for cost in costs) + f"  {busy:>5.0%}"
          f"  {median:>9.3f}{f'{low:.3f} to {high:.3f}':>18}  {control_median:>9.3f}{f'{control_low:.3f} to {control_high:.3f}':>18}")
    spread = control_high - control_low
    if len(rounds[0]) > 3:
        portable = [round[3][0] / round[1][0] for round in rounds]
        (low, median_wasm, high), cost = quartiles(portable), statistics.median(round[3][0] for round in rounds)
        print(f"{'':>14}  portcullis.wasm: {cost:.2f} us per request, {median_wasm:.3f} of tcp_proxy ({low:.3f} to {high:.3f})")
    print(f"{'':>14}  aim: {aim:.2f} and the control's spread of {spread:.3f}: {'met' if median <= aim + spread else 'MISSED'}", flush=True)


def quartiles(values: list[float]) -> tuple[float, float, float]:
    low, median, high = statistics.quantiles(values, n=4)
    return low, median, high


def pin(process: int, cpus: set[int]) -> None:
    for task in Path(f"/proc/{process}/task").iterdir():
        os.sched_setaffinity(int(task.name), cpus)


def others() -> set[int]:
    """The CPUs that are not Envoy's; on a machine with one CPU that one."""
    return ALL_CPUS - FIRST_CPU or ALL_CPUS


def portcullis(folder: Path) -> dict:
    policy = folder / "policy.yaml"
    policy.write_text(json.dumps(POLICY))
    return harness.portcullis({
        "protocol": "memcache", "policy": {"files": [str(policy)]}, "endpoint": {"labels": LABELS}, "direction": "ingress", "port": 11211,
        "accessLog": {"path": str(folder / "access.jsonl"), "level": "denied"}})


def wasm() -> dict:
    config = {"protocol": "memcache", "policy": {"inline": json.dumps(POLICY)}, "endpoint": {"labels": LABELS}, "direction": "ingress",
              "port": 11211, "accessLog": {"level": "denied"}}
    return {"name": "envoy.filters.network.wasm", "typed_config": {"@type": harness.FILTERS + "wasm.v3.Wasm", "config": {
        "name": "portcullis", "configuration": {"@type": harness.TYPE + "google.protobuf.StringValue", "value": json.dumps(config)},
        "vm_config": {"runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": str(WASM)}}}}}}


class Arm:
    """One Envoy, and the load in front of it."""

    def __init__(self, name: str, filters: list, binary: Path, folder: Path, upstream_port: int):
        self.name = name
        own = folder / name
        own.mkdir()
        front = harness.listener("front", [*filters, harness.tcp_proxy()])
        self.envoy = rig.Envoy(binary, harness.bootstrap([front], upstream_port), own)
        pin(self.envoy.child.pid, FIRST_CPU)
        self.load = None
        self.requests = 0

    def connect(self, pipelined: int) -> None:
        port = self.envoy.port_of("front")
        command = [sys.executable, HERE / "load.py", "ask", str(port), str(CONNECTIONS), str(pipelined)]
        self.load = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        pin(self.load.pid, others())
        self.pipelined = pipelined

    def play(self, batches: int) -> tuple[float, float]:
        """Microseconds of CPU per request, and the part of the time that Envoy was busy."""
        before = self.cpu_seconds()
        self.load.stdin.write(f"{batches}\n")
        self.load.stdin.flush()
        told = self.load.stdout.readline()
        if not told:
            raise rig.RigError(f"the load for `{self.name}` ended, see above")
        spent = self.cpu_seconds() - before
        self.requests += batches * self.pipelined
        return 1e6 * spent / (batches * self.pipelined), spent / float(told)

    def cpu_seconds(self) -> float:
        """User and system time of the process so far. Not from `stat`, which counts in hundredths of a second."""
        tasks = Path(f"/proc/{self.envoy.child.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def forwarded(self) -> int:
        return sum(value for name, value in self.envoy.stats().items() if name.endswith(".forwarded.requests"))

    def hang_up(self) -> None:
        if self.load:
            self.load.stdin.close()
            self.load.wait()
            self.load.stdout.close()
            self.load = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.hang_up()
        self.envoy.stop()


if __name__ == "__main__":
    sys.exit(main())
