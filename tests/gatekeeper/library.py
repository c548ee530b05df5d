#!/usr/bin/env python3
"""Gatekeeper's public library of policies, and its older versions, run by `portcullis admission verify`.

    python3 tests/gatekeeper/library.py [--commit COMMIT] [PATTERN ...]

Fetches the library with git at a pinned commit, once, into .cache; it stays there and is no part of the project. Expects the program to
be built (`cargo build -p portcullis-cli`). A PATTERN picks the suites whose path contains it. Each part of the library has a number of
cases that is known: fewer are a failure, as a case that is not run shows nothing. What this machine cannot fetch is skipped, loudly; with
PORTCULLIS_NO_SKIP in the environment that is a failure. The exit status is 0 only if all cases passed.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CACHE = ROOT / ".cache" / "gatekeeper-library"
REPOSITORY = "https://github.com/open-policy-agent/gatekeeper-library"
COMMIT = "5c441fb645f257b2c428fe9aea22da24a94b5bab"
# Folder of the library: how many suites and cases it has at that commit.
PARTS = {"library": (49, 270), "artifacthub": (158, 741)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--commit", default=COMMIT, help="another commit; then the numbers of cases are not compared")
    parser.add_argument("patterns", nargs="*", metavar="PATTERN", help="only suites whose path contains one of these")
    chosen = parser.parse_args()
    program = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "debug" / "portcullis"
    if not program.exists():
        print(f"`{program}` is not there: run `cargo build -p portcullis-cli` first", file=sys.stderr)
        return 1
    try:
        library = fetch(chosen.commit)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"SKIPPED test-gatekeeper-library: {REPOSITORY} cannot be fetched: {error}")
        return 1 if os.environ.get("PORTCULLIS_NO_SKIP") else 0
    whole = chosen.commit == COMMIT and not chosen.patterns
    failed = False
    for part, known in PARTS.items():
        found = run(program, library, part, chosen.patterns)
        if found is None:
            continue
        told = json.loads(found.stdout) if found.stdout.startswith("{") else {}
        counts = len(told.get("suites", [])), told.get("passed", 0) + told.get("failed", 0)
        print(f"{part}: {told.get('passed', 0)} of {counts[1]} cases passed, in {counts[0]} suites")
        failed |= found.returncode != 0 or whole and counts != known
        if found.stderr:
            print(found.stderr, end="")
        if whole and counts != known:
            print(f"  expected {known[1]} cases in {known[0]} suites")
        for suite in told.get("suites", []):
            for line in faults(suite):
                print(f"  {suite['suite']}: {' | '.join(line.split(chr(10)))}")
    print("FAILED" if failed else "ok")
    return 1 if failed else 0


def run(program: Path, library: Path, part: str, patterns: list[str]):
    suites = [str(path.relative_to(library)) for path in sorted((library / part).rglob("suite.yaml"))]
    suites = [suite for suite in suites if not patterns or any(pattern in suite for pattern in patterns)]
    if not suites:
        return None
    return subprocess.run([program, "admission", "verify", "--output", "json", *suites], capture_output=True, text=True, cwd=library, timeout=600)


def faults(suite: dict) -> list[str]:
    """What failed: of a test that could not be run, and of cases."""
    lines = []
    for test in suite["tests"]:
        if test["result"] == "failed" and test["faults"]:
            lines.append(f"{test['name']}: {'; '.join(test['faults'])}")
        lines += [f"{test['name']}/{case['name']}: {'; '.join(case['faults'])}" for case in test["cases"] if case["faults"]]
    return lines


def fetch(commit: str) -> Path:
    """The library at a commit, whole or not at all."""
    folder = CACHE / commit
    if folder.is_dir():
        return folder
    fresh = CACHE / f"{commit}.{os.getpid()}"
    fresh.mkdir(parents=True)
    try:
        def git(*arguments: str) -> None:
            asked = subprocess.run(["git", "-C", str(fresh), *arguments], capture_output=True, text=True, timeout=300,
                                   env=dict(os.environ, GIT_TERMINAL_PROMPT="0"))
            if asked.returncode != 0:
                raise OSError(asked.stderr.strip().split("\n")[-1])
        git("init", "--quiet")
        git("remote", "add", "origin", os.environ.get("PORTCULLIS_GATEKEEPER_LIBRARY") or REPOSITORY)
        git("fetch", "--quiet", "--depth", "1", "origin", commit)
        git("checkout", "--quiet", "FETCH_HEAD", "--", *PARTS)
        shutil.rmtree(fresh / ".git")
        fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


if __name__ == "__main__":
    sys.exit(main())
