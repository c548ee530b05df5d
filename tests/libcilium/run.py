#!/usr/bin/env python3
"""The C ABI of libcilium.so: what it exports, and the C driver of `c/driver.c` plain, under valgrind and with sanitizers.

    python3 tests/libcilium/run.py [--sanitizers] [PATTERN ...]

Expects the libraries to be built (`make libcilium`). With --sanitizers the library itself is built with them too, which needs
a nightly toolchain and takes minutes. A PATTERN picks the cases whose name contains it. What this machine has not got skips
cases, and says so; with PORTCULLIS_NO_SKIP in the environment a skipped case counts as failed. The last line is
`N passed, N failed`; the exit status is 0 only if none failed and some passed.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import rig  # noqa: E402

INCLUDE = ROOT / "hosts/libcilium/include"
DRIVER = HERE / "c/driver.c"
PRODUCTION = rig.LIBRARY_DIR / "libcilium.so"
TEST = rig.LIBRARY_DIR / "libcilium_test.so"
EXPORTS = {"OpenModule", "CloseModule", "OnNewConnection", "OnData", "Close"}
RUNTIMES = {"address": "asan", "thread": "tsan"}
# Generous: the machine may be busy, and valgrind takes fifty times as long.
PATIENCE_SECONDS = 1200


class Skip(Exception):
    """What this machine has not got."""


def run(*command, environment=None, expect=0) -> str:
    """Runs a command and returns its output; what it said is the error if its status is another one."""
    command = [str(part) for part in command]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                          timeout=PATIENCE_SECONDS, env=dict(os.environ, **(environment or {})))
    if done.returncode != expect:
        raise AssertionError(f"status {done.returncode} of {' '.join(command)}\n{done.stdout[-6000:]}")
    return done.stdout


def need(*tools: str) -> None:
    for tool in tools:
        if not shutil.which(tool):
            raise Skip(f"`{tool}` is not installed")


def build_driver(folder: Path, *flags: str) -> Path:
    need("cc")
    out = folder / "driver"
    run("cc", "-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", *flags, "-I", INCLUDE, DRIVER, "-o", out, "-ldl", "-pthread")
    return out


def drive(driver: Path, library: Path, *options, wrapper=(), environment=None) -> None:
    said = run(*wrapper, driver, library, *options, environment=environment)
    counts = re.search(r"driver: (\d+) passed, (\d+) failed", said)
    assert counts and int(counts[1]) > 50 and counts[2] == "0", said[-6000:]
    # All output, also of a checker that does not end the driver.
    assert "FAILED" not in said and "runtime error" not in said, said[-6000:]


def case_exports(_folder: Path) -> None:
    need("nm", "readelf")
    for library in (PRODUCTION, TEST):
        symbols = {line.split()[-1] for line in run("nm", "-D", "--defined-only", library).splitlines()}
        assert symbols == EXPORTS, f"{library} exports {sorted(symbols)}"
        dynamic = run("readelf", "-d", library)
        assert f"soname: [{library.name}]" in dynamic, dynamic
        assert "NODELETE" in dynamic, f"{library} can be unloaded under its threads"


def case_production_library_opens(_folder: Path) -> None:
    code = ("import ctypes, sys; lib = ctypes.CDLL(sys.argv[1]);"
            "S = type('S', (ctypes.Structure,), {'_fields_': [('p', ctypes.c_void_p), ('n', ctypes.c_int64), ('c', ctypes.c_int64)]});"
            "lib.OpenModule.restype = ctypes.c_uint64; lib.OpenModule.argtypes = [S, ctypes.c_uint8];"
            "assert lib.OpenModule(S(None, 0, 0), 0) == 1; assert lib.OpenModule(S(None, 0, 0), 1) == 1;"
            "lib.CloseModule.argtypes = [ctypes.c_uint64]; lib.CloseModule.restype = None; lib.CloseModule(1); lib.CloseModule(1);"
            "assert lib.OpenModule(S(None, 0, 0), 0) == 2")
    run(sys.executable, "-c", code, PRODUCTION)


def case_header_is_c_and_cpp(_folder: Path) -> None:
    need("cc", "c++")
    header = INCLUDE / "proxylib.h"
    run("cc", "-std=c99", "-pedantic", "-Wall", "-Werror", "-fsyntax-only", "-x", "c", header)
    run("c++", "-std=c++17", "-Wall", "-Werror", "-fsyntax-only", "-x", "c++", header)


def case_driver(folder: Path) -> None:
    drive(build_driver(folder), TEST, 4, 2000)


def case_driver_under_valgrind(folder: Path) -> None:
    need("valgrind")
    valgrind = ("valgrind", "--quiet", "--error-exitcode=9", "--leak-check=full", "--errors-for-leak-kinds=definite",
                "--fair-sched=yes")
    drive(build_driver(folder), TEST, 2, 30, wrapper=valgrind)


def case_driver_with_sanitizers(folder: Path) -> None:
    drive(build_driver(folder, "-fsanitize=address,undefined", "-fno-sanitize-recover=all"), TEST, 4, 500)


def sanitized(kind: str, folder: Path) -> tuple[Path, Path]:
    """The driver and the library, both built with a sanitizer; the library in a folder of its own, so that this is done once."""
    need("cc", "cargo", "rustup")
    if not any(line.startswith("nightly") for line in run("rustup", "toolchain", "list").splitlines()):
        raise Skip("no nightly toolchain is installed")
    # A library leaves it to the program to bring the sanitizer's runtime along: for both it is the one of the Rust toolchain.
    runtime = Path(run("rustc", "+nightly", "--print", "target-libdir").strip()) / f"librustc-nightly_rt.{RUNTIMES[kind]}.a"
    if not runtime.exists():
        raise Skip(f"the nightly toolchain has no `{runtime.name}`")
    driver = folder / "driver"
    run("cc", "-std=gnu11", "-O1", "-g", f"-fsanitize={kind}", "-I", INCLUDE, "-c", DRIVER, "-o", f"{driver}.o")
    run("cc", "-rdynamic", f"{driver}.o", "-Wl,--whole-archive", runtime, "-Wl,--no-whole-archive", "-o", driver, "-ldl", "-lm", "-lrt",
        "-pthread", "-lstdc++")
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / f"libcilium-{kind}"
    host = re.search(r"host: (\S+)", run("rustc", "-vV"))[1]
    # The standard library is the one that comes with the toolchain, which is not built with the sanitizer.
    run("cargo", "+nightly", "build", "--quiet", "--release", "--target", host, "-p", "portcullis-test-libcilium",
        environment={"RUSTFLAGS": f"-Zsanitizer={kind}", "CARGO_TARGET_DIR": str(target), "CARGO_PROFILE_RELEASE_LTO": "off"})
    return driver, target / host / "release/libcilium_test.so"


def slow_case_library_with_address_sanitizer(folder: Path) -> None:
    drive(*sanitized("address", folder), 4, 500)


def slow_case_library_with_thread_sanitizer(folder: Path) -> None:
    drive(*sanitized("thread", folder), 4, 500, environment={"TSAN_OPTIONS": "halt_on_error=1:exitcode=9"})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sanitizers", action="store_true", help="only the cases for which the library is built anew")
    parser.add_argument("patterns", nargs="*", metavar="PATTERN", help="only cases whose name contains one of these")
    chosen = parser.parse_args()
    for library in (PRODUCTION, TEST):
        if not library.exists():
            print(f"`{library}` is not there: run `make libcilium` first", file=sys.stderr)
            print("0 passed, 1 failed")
            return 1
    prefix = "slow_case_" if chosen.sanitizers else "case_"
    cases = {name.removeprefix(prefix): function for name, function in globals().items() if name.startswith(prefix)}
    passed, failed, skipped = 0, 0, []
    for name, case in cases.items():
        if chosen.patterns and not any(pattern in name for pattern in chosen.patterns):
            continue
        started = time.monotonic()
        details = ""
        try:
            with tempfile.TemporaryDirectory() as folder:
                case(Path(folder))
            outcome = "ok"
            passed += 1
        except Skip as reason:
            outcome, details = "SKIPPED", str(reason)
            skipped.append((name, reason))
        except Exception as error:  # noqa: BLE001: whatever it is, the case has failed
            outcome, details = "FAILED", str(error)
            failed += 1
        print(f"{outcome:8} {name}  ({time.monotonic() - started:.1f} s)", flush=True)
        for line in details.rstrip().splitlines():
            print(f"         {line}", flush=True)
    for name, reason in skipped:
        print(f"SKIPPED {name}: {reason}")
    if os.environ.get("PORTCULLIS_NO_SKIP"):
        failed += len(skipped)
    print(f"{passed} passed, {failed} failed")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
