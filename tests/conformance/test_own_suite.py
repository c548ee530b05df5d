"""memcached's own tests, t/*.t of the source package, test by test: through the filter each must come out as against the server alone.

Each file gets a fresh memcached with the options that the file would start its first server with, and is told to use it
(T_MEMD_USE_DAEMON). What fails against the server alone, as it wants a debugging build or a second server, must fail through us.
"""

import contextlib
import os
import queue
import re
import shutil
import subprocess
import threading
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import harness
from harness import ALLOW_ALL, cached, rig

# Files at a time; most of their time they sleep.
WORKERS = 6
# No file takes a third of it on an idle machine.
FILE_SECONDS = 120

EXCLUDED = {
    **dict.fromkeys(["daemonize.t", "restart.t", "item_size_max.t", "00-startup.t"], "is about starting and stopping servers; says nothing to them"),
    **dict.fromkeys(["unixsocket.t", "stats-conns.t"], "is about a server on a Unix socket"),
    "udp.t": "speaks UDP",
    "issue_67.t": "is about which ports a server opens",
    "shutdown.t": "ends the server, three times",
    **dict.fromkeys(["binary-extstore.t", "chunked-extstore.t", "error-extstore.t", "extstore.t", "extstore-buckets.t", "extstore-jbod.t"],
                    "is about what the server keeps on disk; metaget.t and binary.t say the same to it"),
    "maxconns.t": "counts the server's connections, and kills it half-way",
    **dict.fromkeys(["ssl_cert_refresh.t", "ssl_ports.t", "ssl_proto_version.t", "ssl_session_resumption.t", "ssl_settings.t", "ssl_verify_modes.t"],
                    "is about the server's own TLS, and skips itself without SSL_TEST"),
    "binary-sasl.t": "skips itself without RUN_SASL_TESTS",
    **dict.fromkeys(["issue_140.t", "issue_260.t", "refhang.t", "slabhang.t"], "skips itself always"),
    "misbehave.t": "skips itself where the server cannot drop privileges",
    "proxy.t": "skips itself where the server has no proxy",
    "line-lengths.t": "is about the width of memcached's documentation",
    "whitespace.t": "is about memcached's source, and skips itself outside its repository",
}

# Tests that come out otherwise by design, by their number.
DIFFERENT = {
    # The server closes. Envoy passes that on as the end of one direction, so the client's socket is not dead yet; so it does
    # with tcp_proxy alone.
    "idle-timeout.t": {10: "Envoy's half-close"},
    # A line without an end, said in text to a server that takes binary only (-B binary): it waits for its end, and the file gives up.
    "issue_50.t": {1: "an unfinished line does not reach the server"},
    # We answer `GET / HTTP/1.1` by a close as the server does; it never sees the line, and logs that its client went.
    "watcher.t": {11: "a refused line does not reach the server"},
}

# What is cut out of a file both ways, as nothing after it would be reached.
LEFT_OUT = {
    # Versions of memcached do not agree where the next command begins, so we close (docs/memcache.md, `cas` without its unique).
    "cas.t": re.compile(r"^# cas empty\n.*?(?=^# set foo1$)", re.MULTILINE | re.DOTALL),
}

# Where the first server of a file is not the one that counts.
OPTIONS = {
    "metaget.t": "-m 64 -o ext_page_size=8,ext_wbuf_size=2,ext_threads=1,ext_io_depth=2,ext_item_size=512,ext_item_age=2,ext_recache_rate=10000,"
                 "ext_max_frag=0.9,ext_path={folder}/extstore:64m,slab_automove=0,ext_compact_under=1,no_lru_crawler",
}
# Servers that want a `set` with user and password first, and a listener that says so.
AUTHENTICATED = ["ascii-auth.t"]


class Outcome(NamedTuple):
    """What a file said: its plan, the result of each test by number, and whether it came to its end."""

    plan: str
    results: tuple
    ended: bool

    def passed(self) -> int:
        return sum(self.results)


class OwnSuite(unittest.TestCase):
    """Has a method for each file; they wait for runs that setUpClass starts all at once."""

    @classmethod
    def setUpClass(cls):
        cls.tree = suite()
        if not shutil.which("perl"):
            raise unittest.SkipTest("this machine has no perl")
        cls.folder = harness.scratch_folder("own-suite")
        cls.build = cls.folder / "build"
        cls.build.mkdir()
        shutil.copytree(cls.tree / "t", cls.build / "t")
        for name, left_out in LEFT_OUT.items():
            file = cls.build / "t" / name
            text, count = left_out.subn("", file.read_text())
            if count != 1:
                raise rig.RigError(f"`{file}` has not what LEFT_OUT says")
            file.write_text(text)
        # What the files ask for its help text, to see what the build can do.
        (cls.build / "memcached-debug").symlink_to(harness.memcached())
        cls.fronts = cls.enterClassContext(Fronts(cls.folder, WORKERS))
        cls.pool = cls.enterClassContext(ThreadPoolExecutor(WORKERS))
        picked = unittest.defaultTestLoader.getTestCaseNames(cls)
        chosen = [name for name in files(cls.tree) if method_of(name) in picked]
        # The largest first, roughly by what they say.
        chosen.sort(key=lambda name: name not in ("binary.t", "chunked-items.t", "getset.t", "lru-maintainer.t", "watcher.t", "metaget.t"))
        cls.runs = {name: [cls.pool.submit(cls.run_file, name, way) for way in (direct, cls.fronts.through)] for name in chosen}
        cls.counted = []

    @classmethod
    def tearDownClass(cls):
        tests = sum(len(outcome.results) for outcome in cls.counted)
        print(f"memcached's own tests: {len(cls.counted)} files, {tests} tests with the same result but for "
              f"{sum(map(len, DIFFERENT.values()))} by design; {sum(outcome.passed() for outcome in cls.counted)} passed against the server alone")
        for name, tests in DIFFERENT.items():
            print(f"DIFFERENT {name}: " + ", ".join(f"{number}: {reason}" for number, reason in tests.items()))
        for name, reason in sorted(EXCLUDED.items()):
            print(f"EXCLUDED {name}: {reason}")

    def compare(self, name: str) -> None:
        alone, through = (run.result() for run in self.runs[name])
        if self.unexpected(name, alone, through):
            # Some depend on how fast they are; what we do to them, we do again.
            print(f"{name} differed, and is run again: {self.unexpected(name, alone, through)}")
            alone, through = (self.run_file(name, way) for way in (direct, self.fronts.through))
        self.assertEqual(self.unexpected(name, alone, through), [])
        self.assertTrue(alone.results, "the file tested nothing")
        self.assertTrue(alone.ended and through.ended, f"the file took more than {FILE_SECONDS} s")
        self.counted.append(alone)

    def unexpected(self, name: str, alone: Outcome, through: Outcome) -> list[str]:
        by_design = DIFFERENT.get(name, {})
        found = [f"plan `{alone.plan}` alone, `{through.plan}` through us"] if alone.plan != through.plan else []
        for number in range(1, max(len(alone.results), len(through.results)) + 1):
            ways = [outcome.results[number - 1] if number <= len(outcome.results) else None for outcome in (alone, through)]
            if (ways[0] != ways[1]) != (number in by_design):
                said = [{True: "ok", False: "not ok", None: "not reached"}[way] for way in ways]
                found.append(f"{number}: {said[0]} alone, {said[1]} through us" + (", and the table says they differ" if number in by_design else ""))
        return found[:10]

    @classmethod
    def run_file(cls, name: str, way) -> Outcome:
        folder = harness.scratch_folder(f"own-suite/{name}-{way.__name__}")
        options = OPTIONS.get(name) or options_of((cls.tree / "t" / name).read_text())
        options = options.format(folder=folder, authfile=cls.build / "t" / "authfile")
        with (way(folder, options.split(), name in AUTHENTICATED) as port,
              open(folder / "said", "w") as said, open(folder / "complained", "w") as complained):
            try:
                subprocess.run(["perl", f"t/{name}"], cwd=cls.build, stdin=subprocess.DEVNULL, stdout=said, stderr=complained,
                               env=dict(os.environ, T_MEMD_USE_DAEMON=f"127.0.0.1:{port}"), start_new_session=True, timeout=FILE_SECONDS)
                ended = True
            except subprocess.TimeoutExpired:
                ended = False
        text = (folder / "said").read_text(errors="replace")
        plan = re.search(r"^1\.\.(.*)", text, re.MULTILINE)
        results = re.findall(r"^(not ok|ok) \d+", text, re.MULTILINE)
        return Outcome(plan[1] if plan else "none", tuple(result == "ok" for result in results), ended)


class Fronts(contextlib.ExitStack):
    """One Envoy with a listener for each memcached that may run at a time, and one for a memcached that wants authentication."""

    def __init__(self, folder: Path, count: int):
        super().__init__()
        self.free: queue.Queue = queue.Queue()
        ports = [rig.free_port() for _ in range(count + 1)]
        config = {"protocol": "memcache", "policy": {"files": [str(ALLOW_ALL)]}, "endpoint": {"labels": {"app": "memcached"}},
                  "direction": "ingress", "port": 11211}
        listeners, clusters = [], []
        for number, port in enumerate(ports):
            ours = {**config, "protocolConfig": {"authentication": True}} if number == count else config
            whole = harness.bootstrap([], port)
            cluster, = whole["static_resources"]["clusters"]
            cluster["name"] = cluster["load_assignment"]["cluster_name"] = f"upstream-{number}"
            proxy = harness.tcp_proxy()
            proxy["typed_config"]["cluster"] = cluster["name"]
            listeners.append(harness.listener(f"front-{number}", [harness.portcullis(ours), proxy]))
            clusters.append(cluster)
        whole["static_resources"] = {"listeners": listeners, "clusters": clusters}
        self.envoy = rig.Envoy(harness.envoy(), whole, folder)
        self.callback(harness.stop_in_good_health, self.envoy)
        slots = [(port, self.envoy.port_of(f"front-{number}")) for number, port in enumerate(ports)]
        self.authenticated, self.authenticated_lock = slots.pop(), threading.Lock()
        for slot in slots:
            self.free.put(slot)

    @contextlib.contextmanager
    def through(self, folder: Path, options: list[str], authenticated: bool):
        """A memcached behind Envoy; yields Envoy's port."""
        if authenticated:
            with self.authenticated_lock, server(folder, options, self.authenticated[0]):
                yield self.authenticated[1]
            return
        slot = self.free.get()
        try:
            with server(folder, options, slot[0]):
                yield slot[1]
        finally:
            self.free.put(slot)


@contextlib.contextmanager
def direct(folder: Path, options: list[str], _authenticated: bool):
    """A memcached alone; yields its port."""
    with server(folder, options, None) as port:
        yield port


@contextlib.contextmanager
def server(folder: Path, options: list[str], port: int | None):
    with rig.Memcached(harness.memcached(), folder, port=port, options=options) as memcached:
        yield memcached.port


def options_of(text: str) -> str:
    """The options of the first server that a file starts, without those that say where it listens."""
    call = re.search(r"""new_memcached\(\s*(["'])(.*?)\1""", text)
    first = re.search(r"new_memcached\((.*?)\)", text)
    if not call or not first or call.start() != first.start():
        return ""
    return re.sub(r"-[lsU] \S+", "", call[2]).replace("$Bin/authfile", "{authfile}")


def suite() -> Path:
    return cached("memcached's own tests", lambda: rig.fetch("fetch-memcached-tests", "suite"))


def files(tree: Path) -> list[str]:
    return sorted(path.name for path in (tree / "t").glob("*.t") if path.name not in EXCLUDED)


def method_of(name: str) -> str:
    return "test_" + re.sub(r"\W", "_", name.removesuffix(".t"))


def add_methods() -> None:
    """One for each file there is; if they cannot be had, one that says so."""
    try:
        names = files(suite())
    except unittest.SkipTest:
        OwnSuite.test_all_files = lambda self: self.fail("setUpClass was to skip it")
        return
    for name in names:
        setattr(OwnSuite, method_of(name), lambda self, name=name: self.compare(name))


add_methods()


if __name__ == "__main__":
    unittest.main()
