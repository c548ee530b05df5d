#!/usr/bin/env python3
"""What judging a review costs by each engine, beside OPA in process: the same policies, the same reviews, in turn.

    python3 tests/bench/engines.py [--rounds N] [--no-opa] [PATTERN ...]

Builds both (OPA with `go`, from the module proxy; its version is in tests/bench/opa/go.mod). Each round runs all of ours, then all of OPA's, and the lowest of
each case counts. The control is the first round against the last: how far the machine itself swings.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
OPA = ROOT / ".cache" / "bench-opa" / "opa"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="how often each is measured, in turn (default 3)")
    parser.add_argument("--no-opa", action="store_true", help="measure ours alone")
    parser.add_argument("patterns", nargs="*", metavar="PATTERN", help="only cases whose name contains one of these")
    chosen = parser.parse_args()
    bench = build_bench()
    opa = None if chosen.no_opa else build_opa()
    ours, theirs, loaded = {}, {}, None
    for _ in range(chosen.rounds):
        cases = [json.loads(line) for line in run([bench, *chosen.patterns]).splitlines()]
        loaded = next((case for case in cases if case["name"] == "load"), loaded)
        cases = [case for case in cases if case["name"] != "load"]
        for case in cases:
            ours.setdefault(case["name"], []).append(case["nanos"])
        asked = [{**case["opa"], "name": case["name"]} for case in cases if case["opa"]]
        if opa and asked:
            for line in run([opa], json.dumps(asked)).splitlines():
                case = json.loads(line)
                theirs.setdefault(case["name"], []).append(case["nanos"])
    print(f"{'case':50} {'us':>9} {'OPA us':>9} {'OPA/ours':>9} {'control':>8}")
    for name, nanos in ours.items():
        best, other = min(nanos), min(theirs.get(name, [0]))
        beside = f"{other / 1000:9.1f} {other / best:9.1f}" if other else f"{'':9} {'':9}"
        print(f"{name:50} {best / 1000:9.1f} {beside} {nanos[0] / nanos[-1]:8.2f}")
    if loaded:
        print(f"{loaded['templates']} templates of gatekeeper-library load in {loaded['nanos'] / 1e6:.0f} ms and {loaded['bytes'] / 1e6:.1f} MB")
    return 0


def build_bench() -> Path:
    told = run(["cargo", "bench", "-p", "portcullis-tests", "--features", "javascript", "--bench", "engines", "--no-run", "--message-format", "json"], cwd=ROOT)
    made = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
    return Path(next(item["executable"] for item in made if item.get("executable") and item["target"]["name"] == "engines"))


def build_opa() -> Path | None:
    if not shutil.which("go"):
        print("SKIPPED OPA: there is no `go` to build it with", file=sys.stderr)
        return None
    OPA.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    done = subprocess.run(["go", "build", "-o", OPA, "."], cwd=HERE / "opa", env=environment)
    if done.returncode != 0:
        print("SKIPPED OPA: it could not be built, see above", file=sys.stderr)
        return None
    return OPA


def run(command: list, given: str | None = None, cwd: Path | None = None) -> str:
    return subprocess.run(command, input=given, text=True, stdout=subprocess.PIPE, check=True, cwd=cwd).stdout


if __name__ == "__main__":
    sys.exit(main())
