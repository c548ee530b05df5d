"""What the demo and the end-to-end tests both start: a real Envoy with our library, and memcached."""

import ctypes
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIBRARY_DIR = Path(os.environ.get("PORTCULLIS_LIBRARY_DIR") or Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "release")
LIBRARY = LIBRARY_DIR / "libportcullis.so"

# How long something may take to come up or to come true before we call it broken. Generous: the machine may be busy.
PATIENCE_SECONDS = 30


class RigError(Exception):
    """Something the demo or the tests stand on did not come up; the text is for the person who runs them."""


def fetch(tool: str, *arguments: str) -> Path:
    """Runs `tools/<tool>` and returns the path it prints; what it complains of goes to our stderr.

    The exit status of the tool does not matter as long as it printed something to work with.
    """
    told = subprocess.run([ROOT / "tools" / tool, *arguments], stdout=subprocess.PIPE, text=True)
    if not told.stdout.strip():
        raise RigError(f"tools/{tool} got nothing, see above")
    return Path(told.stdout.strip())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what: str, attempt, patience: float = PATIENCE_SECONDS):
    """Calls `attempt` until it returns something true, and returns that."""
    deadline = time.monotonic() + patience
    while True:
        result = attempt()
        if result:
            return result
        if time.monotonic() > deadline:
            raise RigError(f"waited {patience:.0f} s in vain: {what}")
        time.sleep(0.02)


def listening(port: int, address: str = "127.0.0.1") -> bool:
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True


def fill_in(sample: Path, changes: dict[str, str]) -> str:
    """The text of a sample configuration with an operator's edits made; an edit that finds nothing to change is an error."""
    text = sample.read_text()
    for old, new in changes.items():
        if old not in text:
            raise RigError(f"`{sample}` no longer contains `{old}`")
        text = text.replace(old, new)
    return text


class Process:
    """A child that writes its output to a file, and dies with us however we die."""

    def __init__(self, name: str, command: list, folder: Path, environment: dict[str, str] | None = None):
        self.name = name
        self.log_path = folder / f"{name}.log"
        with open(self.log_path, "ab") as log:
            self.child = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                          env=dict(os.environ, **(environment or {})), preexec_fn=die_with_parent, start_new_session=True)

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def alive(self) -> bool:
        return self.child.poll() is None

    def wait_until(self, what: str, attempt):
        """As `wait_for`, but gives up with the end of the log as soon as the child is gone."""
        def attempt_while_alive():
            result = attempt()
            if not result and not self.alive():
                tail = "\n    ".join(self.log().splitlines()[-15:])
                raise RigError(f"{self.name} ended with status {self.child.returncode} before {what}:\n    {tail}")
            return result
        return wait_for(f"{self.name}: {what}", attempt_while_alive)

    def resident_kib(self) -> int:
        """Memory of the process that is in RAM now, in KiB."""
        for line in Path(f"/proc/{self.child.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise RigError(f"{self.name} is gone")

    def threads(self) -> int:
        return len(os.listdir(f"/proc/{self.child.pid}/task"))

    def stop(self) -> int:
        """Ends the child, gently at first; returns its exit status."""
        if self.alive():
            self.child.terminate()
            try:
                self.child.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self.child.kill()
        return self.child.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def die_with_parent():
    """Runs in the child: asks the kernel to end it when we are gone, so that not even a killed run leaves an Envoy behind."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


class Envoy(Process):
    """A stock Envoy that finds our library. `bootstrap` is a dictionary or the text of a YAML file; its admin address is set here."""

    def __init__(self, binary: Path, bootstrap, folder: Path, library_dir: Path = LIBRARY_DIR, options=()):
        self.admin_path = folder / "admin-address"
        self.admin_path.unlink(missing_ok=True)
        config = folder / ("envoy.yaml" if isinstance(bootstrap, str) else "envoy.json")
        config.write_text(bootstrap if isinstance(bootstrap, str) else json.dumps(bootstrap, indent=1))
        super().__init__("envoy", [binary, "-c", config, "--disable-hot-restart", "--admin-address-path", self.admin_path,
                                   "--file-flush-interval-msec", 50, *(() if "--concurrency" in options else ("--concurrency", 1)), *options], folder,
                         {"ENVOY_DYNAMIC_MODULES_SEARCH_PATH": str(library_dir)})
        try:
            self.wait_until("it was ready", self.ready)
        except BaseException:
            self.stop()
            raise

    def ready(self) -> bool:
        try:
            return self.admin("/ready").strip() == "LIVE"
        except OSError:
            return False

    def admin(self, path: str) -> str:
        """The answer of Envoy's admin page; an OSError if it does not answer."""
        address = self.admin_path.read_text().strip() if self.admin_path.exists() else ""
        if not address:
            raise OSError("no admin address yet")
        with urllib.request.urlopen(f"http://{address.replace('0.0.0.0', '127.0.0.1')}{path}", timeout=10) as answer:
            return answer.read().decode()

    def stats(self) -> dict[str, int]:
        """Every counter and gauge by its full name."""
        rows = json.loads(self.admin("/stats?format=json"))["stats"]
        return {row["name"]: row["value"] for row in rows if "name" in row}

    def port_of(self, listener: str) -> int:
        """The port that a listener got; bootstraps may ask for port 0."""
        for status in json.loads(self.admin("/listeners?format=json"))["listener_statuses"]:
            if status["name"] == listener:
                return status["local_address"]["socket_address"]["port_value"]
        raise RigError(f"Envoy has no listener `{listener}`")


class Memcached(Process):
    """A real memcached on a port of its own choosing, or on `port`."""

    def __init__(self, binary: Path, folder: Path, address: str = "127.0.0.1", port: int | None = None, options=("-I", "4m", "-m", "512")):
        told = folder / "memcached-port"
        told.unlink(missing_ok=True)
        super().__init__("memcached", [*memcached_command(binary, address, port or -1), *options], folder, {"MEMCACHED_PORT_FILENAME": str(told)})
        try:
            self.port = self.wait_until("it told its port", lambda: told_port(told))
        except BaseException:
            self.stop()
            raise

    def stop(self) -> int:
        """It has nothing to save, and would take a second to end by itself."""
        self.child.kill()
        return self.child.wait()


def memcached_command(binary: Path, address: str, port: int) -> list:
    """Port -1 lets memcached choose. As root it insists on being told whom to run as."""
    return [binary, "-u", pwd.getpwuid(os.getuid()).pw_name, "-l", address, "-p", port, "-U", 0]


def told_port(path: Path) -> int | None:
    """memcached renames the file into place when it is whole: `TCP INET: 40123`."""
    if not path.exists():
        return None
    return int(path.read_text().split("TCP INET:")[1].split()[0])


def command_exists(*names: str) -> bool:
    return all(shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") for name in names)
