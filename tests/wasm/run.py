#!/usr/bin/env python3
"""The proxy-wasm modules in a real Envoy's V8: the scenario corpus, memcached, real clients, and what breaks a VM.

    python3 tests/wasm/run.py [--envoy VERSION] [--keep] [PATTERN ...]

Expects the modules to be built (`make test-wasm` does). A PATTERN picks the cases whose name contains it. What this machine has not got
skips cases, and says so; with PORTCULLIS_NO_SKIP in the environment a skipped case counts as failed. The last line is
`N passed, N failed`; the exit status is 0 only if none failed and some passed.
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
sys.path[:0] = [str(HERE), str(ROOT / "tests" / "e2e"), str(ROOT / "tests" / "cassandra")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--envoy", default="1.40.0", metavar="VERSION", help="the Envoy to test with (default 1.40.0)")
    parser.add_argument("--keep", action="store_true", help="keep configurations and logs even if all passed")
    parser.add_argument("patterns", nargs="*", metavar="PATTERN", help="only cases whose name contains one of these")
    chosen = parser.parse_args()
    os.environ["PORTCULLIS_E2E_ENVOY"] = chosen.envoy

    end_to_end = load(ROOT / "tests" / "e2e" / "run.py", "end_to_end_run")
    import stand
    end_to_end.use_clients(stand.rig)
    missing = [path for path in (stand.MODULE, stand.ADMISSION, stand.TEST_MODULE) if not path.exists()]
    if missing:
        print(f"`{missing[0]}` is not there: run `make test-wasm`", file=sys.stderr)
        print("0 passed, 1 failed")
        return 1
    stand.harness.SCRATCH = ROOT / ".cache" / "wasm-run"
    shutil.rmtree(stand.harness.SCRATCH, ignore_errors=True)

    unittest.defaultTestLoader.testNamePatterns = [f"*{pattern}*" for pattern in chosen.patterns] or None
    suite = unittest.defaultTestLoader.discover(str(HERE), top_level_dir=str(HERE))
    result = end_to_end.Report()
    suite.run(result)
    return result.finish(stand.harness.SCRATCH, chosen.keep)


def load(path: Path, name: str):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.exit(main())
