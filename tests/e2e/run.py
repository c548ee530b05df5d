#!/usr/bin/env python3
"""The end-to-end tests: real servers and clients through a real Envoy with our library.

    python3 tests/e2e/run.py [--envoy VERSION] [--keep] [PATTERN ...]

Fetches what it needs (tools/fetch-*) and expects the modules to be built (`make module test-modules`). A PATTERN picks the cases
whose name contains it. What this machine has not got skips cases, and says so; with PORTCULLIS_NO_SKIP in the environment a skipped
case counts as failed. The last line is `N passed, N failed`; the exit status is 0 only if none failed and some passed.
"""

import argparse
import os
import shutil
import sys
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--envoy", default="1.40.0", metavar="VERSION", help="the Envoy to test with (default 1.40.0)")
    parser.add_argument("--keep", action="store_true", help="keep configurations and logs even if all passed")
    parser.add_argument("patterns", nargs="*", metavar="PATTERN", help="only cases whose name contains one of these")
    chosen = parser.parse_args()
    os.environ["PORTCULLIS_E2E_ENVOY"] = chosen.envoy

    import harness
    use_clients(harness.rig)
    if not harness.rig.LIBRARY.exists():
        print(f"`{harness.rig.LIBRARY}` is not there: run `make module test-modules` first", file=sys.stderr)
        print("0 passed, 1 failed")
        return 1
    shutil.rmtree(harness.SCRATCH, ignore_errors=True)

    unittest.defaultTestLoader.testNamePatterns = [f"*{pattern}*" for pattern in chosen.patterns] or None
    suite = unittest.defaultTestLoader.discover(str(HERE), top_level_dir=str(HERE))
    result = Report()
    suite.run(result)
    return result.finish(harness.SCRATCH, chosen.keep)


def use_clients(rig) -> None:
    """Runs us again under the Python that has the clients, unless it is the one that runs us now."""
    if os.environ.get("PORTCULLIS_E2E_CLIENTS"):
        return
    os.environ["PORTCULLIS_E2E_CLIENTS"] = "1"
    try:
        python = rig.fetch("fetch-clients")
    except rig.RigError as error:
        print(f"SKIPPING every case that needs a client library: {error}", file=sys.stderr)
        return
    sys.stdout.flush()
    os.execv(python, [str(python), *sys.argv])


class Report(unittest.TestResult):
    """One line per case as it ends, what went wrong below it, and the count as the last line."""

    def __init__(self):
        super().__init__()
        self.passed = 0
        self.started = 0.0

    def startTest(self, test):
        super().startTest(test)
        self.started = time.monotonic()

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1
        self.say("ok", test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.say("FAILED", test, self._exc_info_to_string(err, test))

    def addError(self, test, err):
        super().addError(test, err)
        self.say("FAILED", test, self._exc_info_to_string(err, test))

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.failures.append((subtest, ""))
            self.say("FAILED", subtest, self._exc_info_to_string(err, test))

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.say("SKIPPED", test, reason)

    def say(self, outcome: str, test, details: str = "") -> None:
        seconds = time.monotonic() - self.started if self.started else 0
        print(f"{outcome:8} {test.id()}  ({seconds:.1f} s)", flush=True)
        for line in details.rstrip().splitlines():
            print(f"         {line}", flush=True)

    def finish(self, scratch: Path, keep: bool) -> int:
        failed = len(self.failures) + len(self.errors)
        if failed or keep:
            print(f"configurations and logs are in {scratch}")
        else:
            shutil.rmtree(scratch, ignore_errors=True)
        for test, reason in self.skipped:
            print(f"SKIPPED {test.id()}: {reason}")
        if os.environ.get("PORTCULLIS_NO_SKIP"):
            failed += len(self.skipped)
        print(f"{self.passed} passed, {failed} failed")
        return 0 if self.passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
