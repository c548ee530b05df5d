#!/usr/bin/env python3
"""A real Cassandra behind a real Envoy with our library, tested with real drivers and with a hostile client of our own.

    python3 tests/cassandra/run.py [--envoy VERSION] [--keep] [PATTERN ...]

Fetches what it needs (tools/fetch-*: Cassandra through Maven, drivers through pip, npm and cargo) and expects the module to be built
(`make module`); it runs a copy of it, so that a build meanwhile does no harm. A PATTERN picks the cases whose name contains it.
What this machine has not got skips cases, and says so; with PORTCULLIS_NO_SKIP in the environment a skipped case counts as
failed. The last line is `N passed, N failed`; the exit status is 0 only if none failed and some passed.
"""

import argparse
import importlib.util
import os
import shutil
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = ROOT / ".cache" / "cassandra-run"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--envoy", default="1.40.0", metavar="VERSION", help="the Envoy to test with (default 1.40.0)")
    parser.add_argument("--keep", action="store_true", help="keep configurations and logs even if all passed")
    parser.add_argument("patterns", nargs="*", metavar="PATTERN", help="only cases whose name contains one of these")
    chosen = parser.parse_args()
    os.environ["PORTCULLIS_E2E_ENVOY"] = chosen.envoy

    # The second time, under the Python of the drivers, the copy is there.
    if "PORTCULLIS_CASSANDRA_CLIENTS" not in os.environ:
        built = Path(os.environ.get("PORTCULLIS_LIBRARY_DIR") or Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "release")
        if not copy_library(built / "libportcullis.so"):
            print("0 passed, 1 failed")
            return 1
    import stage
    use_drivers(stage.rig)
    stage.harness.SCRATCH = CACHE / "run"
    shutil.rmtree(stage.harness.SCRATCH, ignore_errors=True)

    unittest.defaultTestLoader.testNamePatterns = [f"*{pattern}*" for pattern in chosen.patterns] or None
    suite = unittest.defaultTestLoader.discover(str(HERE), top_level_dir=str(HERE))
    result = load(ROOT / "tests" / "e2e" / "run.py", "end_to_end_run").Report()
    try:
        suite.run(result)
    finally:
        stage.SERVERS.stop()
    return result.finish(stage.harness.SCRATCH, chosen.keep)


def copy_library(built: Path) -> bool:
    copy = CACHE / "lib" / built.name
    copy.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copy2(built, copy)
    except FileNotFoundError:
        print(f"`{built}` is not there: run `make module` first", file=sys.stderr)
        return False
    os.environ["PORTCULLIS_LIBRARY_DIR"] = str(copy.parent)
    return True


def use_drivers(rig) -> None:
    """Runs us again under the Python that has the drivers, unless it is the one that runs us now."""
    if os.environ.get("PORTCULLIS_CASSANDRA_CLIENTS"):
        return
    os.environ["PORTCULLIS_CASSANDRA_CLIENTS"] = "1"
    try:
        python = rig.fetch("fetch-cassandra-clients", "python")
    except rig.RigError as error:
        print(f"SKIPPING every case that needs a Python driver: {error}", file=sys.stderr)
        return
    sys.stdout.flush()
    os.execv(python, [str(python), *sys.argv])


def load(path: Path, name: str):
    """A Python file whose own name another file here has too."""
    found = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.exit(main())
