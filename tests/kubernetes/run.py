#!/usr/bin/env python3
"""A real API server of Kubernetes with a real Envoy and our library as its webhook, driven with kubectl.

    python3 tests/kubernetes/run.py [--envoy VERSION] [--keep] [PATTERN ...]

Fetches what it needs (tools/fetch-*; kube-apiserver is built once) and expects the module and the program to be built (`make module`,
`cargo build -p portcullis-cli`); it runs a copy of the module, so that a build meanwhile does no harm. A PATTERN picks the cases
whose name contains it. What this machine has not got skips cases, and says so; with PORTCULLIS_NO_SKIP in the environment a skipped case
counts as failed. The last line is `N passed, N failed`; the exit status is 0 only if none failed and some passed.
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
CACHE = ROOT / ".cache" / "kubernetes-run"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--envoy", default="1.40.0", metavar="VERSION", help="the Envoy to test with (default 1.40.0)")
    parser.add_argument("--keep", action="store_true", help="keep configurations and logs even if all passed")
    parser.add_argument("patterns", nargs="*", metavar="PATTERN", help="only cases whose name contains one of these")
    chosen = parser.parse_args()
    os.environ["PORTCULLIS_E2E_ENVOY"] = chosen.envoy

    built = Path(os.environ.get("PORTCULLIS_LIBRARY_DIR") or Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "release")
    if not copy_library(built / "libportcullis.so"):
        print("0 passed, 1 failed")
        return 1
    import stage
    stage.harness.SCRATCH = CACHE / "run"
    shutil.rmtree(stage.harness.SCRATCH, ignore_errors=True)

    unittest.defaultTestLoader.testNamePatterns = [f"*{pattern}*" for pattern in chosen.patterns] or None
    suite = unittest.defaultTestLoader.discover(str(HERE), top_level_dir=str(HERE))
    result = load(ROOT / "tests" / "e2e" / "run.py", "end_to_end_run").Report()
    try:
        suite.run(result)
    finally:
        stage.Cluster.stop()
    return result.finish(stage.harness.SCRATCH, chosen.keep)


def copy_library(built: Path) -> bool:
    copy = CACHE / "lib" / built.name
    copy.parent.mkdir(parents=True, exist_ok=True)
    try:
        # Not over what may be mapped: by an Envoy of another run, say.
        copy.unlink(missing_ok=True)
        shutil.copy2(built, copy)
    except FileNotFoundError:
        print(f"`{built}` is not there: run `make module` first", file=sys.stderr)
        return False
    os.environ["PORTCULLIS_LIBRARY_DIR"] = str(copy.parent)
    return True


def load(path: Path, name: str):
    """A Python file whose own name another file here has too."""
    found = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.exit(main())
