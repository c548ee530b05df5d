"""Tests of the program that need more than `cargo test` has: a browser, large captures, a terminal, signals.

    python3 cli/tests/run.py [--program FILE] [--without-browser] [NAME]

With NAME only cases whose name contains it. What this machine has not got skips cases, and says so; with PORTCULLIS_NO_SKIP in the
environment a skipped case counts as failed. The last line is `N passed, N failed`; the exit status is 0 only if none failed and
some passed.
"""

import argparse
import json
import os
import pathlib
import pty
import select
import signal
import subprocess
import sys
import tempfile
import termios
import time
import traceback

import replay_big
import report_page

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Skip(Exception):
    """This machine has not got what the case needs."""


def run(command):
    """Runs a program; returns what it wrote and the most memory that it had, in MiB."""
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        return out.read().decode(), process.returncode, usage.ru_maxrss / 1024


def report_page_in_chromium(program, _):
    browser = report_page.find_browser()
    if browser is None:
        raise Skip(report_page.NO_BROWSER)
    report_page.look(program, browser)


def replay_of_a_large_capture_takes_bounded_memory(program, folder):
    most = []
    for name, size in (("small", 80), ("large", 320)):
        capture, policy = folder / f"{name}.pcap", folder / "policy.yaml"
        policy.write_text(replay_big.POLICY)
        written, requests, denied = replay_big.make(capture, size * 1_000_000)
        said, status, memory = run([*replay_big.command(program, policy, capture), "-o", "json"])
        assert status == 1, said
        counts = json.loads(said)["sum"]
        assert (counts["allowed"] + counts["denied"], counts["denied"]) == (requests, denied), (counts, requests, denied)
        assert memory < written / 1_048_576 or name == "small", f"{memory:.0f} MiB for {written} bytes"
        most.append(memory)
    assert most[1] < most[0] * 1.25 + 8, f"{most[0]:.0f} MiB for 80 MB, {most[1]:.0f} MiB for 320 MB"


def learn_from_a_large_capture_takes_bounded_memory(program, folder):
    most = []
    for name, size in (("small", 20), ("large", 80)):
        capture, policy = folder / f"{name}.pcap", folder / f"{name}.yaml"
        replay_big.make(capture, size * 1_000_000)
        how = ["--protocol", "memcache", "--port", "11211", "--endpoint", "app=cache"]
        said, status, memory = run([program, "learn", *how, capture])
        assert status == 0, said
        policy.write_text(said)
        said, status, _ = run([*replay_big.command(program, policy, capture), "-o", "json"])
        assert (status, json.loads(said)["sum"]["denied"]) == (0, 0), said
        most.append(memory)
    assert most[1] < most[0] * 1.5 + 16, f"{most[0]:.0f} MiB for 20 MB, {most[1]:.0f} MiB for 80 MB"


def top_gives_the_terminal_back(program, folder):
    log = folder / "log"
    log.write_text("\n".join(report_page.records()))
    for how in ("q", "\x03", signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        ours, theirs = pty.openpty()
        before = termios.tcgetattr(theirs)
        process = subprocess.Popen([program, "top", "--access-log", log], stdin=theirs, stdout=theirs, stderr=theirs)
        shown = b""
        while b"q quits" not in shown:
            assert select.select([ours], [], [], 60)[0], f"nothing is shown: {shown}"
            shown += os.read(ours, 65536)
        assert b"\x1b[?1049h" in shown and termios.tcgetattr(theirs) != before
        if isinstance(how, str):
            os.write(ours, how.encode())
        else:
            process.send_signal(how)
        # What it writes last must be read, or it waits for ever.
        while process.poll() is None or select.select([ours], [], [], 0)[0]:
            if select.select([ours], [], [], 0.1)[0]:
                shown += os.read(ours, 65536)
        assert termios.tcgetattr(theirs) == before, f"{how!r}: the terminal stays raw"
        assert shown.rindex(b"\x1b[?1049l") > shown.rindex(b"\x1b[?1049h"), f"{how!r}: the screen stays"
        assert shown.rindex(b"\x1b[?25h") > shown.rindex(b"\x1b[?25l"), f"{how!r}: the cursor stays hidden"
        wanted = 0 if isinstance(how, str) else -how
        assert process.returncode == wanted, f"{how!r}: {process.returncode}"
        os.close(ours)
        os.close(theirs)


CASES = [
    replay_of_a_large_capture_takes_bounded_memory,
    learn_from_a_large_capture_takes_bounded_memory,
    top_gives_the_terminal_back,
    report_page_in_chromium,
]


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--program", default=str(ROOT / "target" / "debug" / "portcullis"))
    arguments.add_argument("--without-browser", action="store_true")
    arguments.add_argument("name", nargs="?", default="")
    arguments = arguments.parse_args()
    if not os.path.exists(arguments.program):
        print(f"`{arguments.program}` is not there: run `cargo build -p portcullis-cli`, or name it by `--program`")
        print("0 passed, 1 failed")
        sys.exit(1)
    passed, failed, skipped = 0, 0, 0
    for case in CASES:
        name = case.__name__.replace("_", " ")
        if arguments.name not in name or arguments.without_browser and "chromium" in name:
            continue
        began = time.monotonic()
        try:
            with tempfile.TemporaryDirectory() as folder:
                case(arguments.program, pathlib.Path(folder))
        except Skip as why:
            skipped += 1
            print(f"SKIPPED: {name}: {why}", file=sys.stderr)
            continue
        except Exception:
            failed += 1
            traceback.print_exc()
            print(f"FAILED: {name}")
            continue
        passed += 1
        print(f"ok: {name} ({time.monotonic() - began:.0f} s)")
    if os.environ.get("PORTCULLIS_NO_SKIP"):
        failed += skipped
    print(f"{passed} passed, {failed} failed")
    sys.exit(0 if passed and not failed else 1)


if __name__ == "__main__":
    main()
