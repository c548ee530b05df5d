"""Many clients at once on several workers, each checked against a model of what memcached and the policy would say."""

import random
import threading
import unittest

import harness
from harness import ALLOW_ALL, DENIED, FLEET, Stand, Wire, bootstrap, listener, portcullis, rig, tcp_proxy, wait_for, write_json
from test_memcached import store, value

CLIENTS = 8
BATCHES = 60


class Actor(threading.Thread):
    """One client with keys of its own. It sends batches of random requests cut at random, and knows every byte that must come back."""

    def __init__(self, port: int, who: str, number: int):
        """Nobody else may ever have had this number: what is stored under its keys is what it stored itself."""
        super().__init__(daemon=True)
        self.port, self.who, self.dice = port, who, random.Random(number)
        self.mine, self.stored, self.failure = f"alliance/fleet/{number}/", {}, None

    def run(self):
        try:
            with Wire(self.port, self.who) as wire:
                for _ in range(BATCHES):
                    exchanges = [self.exchange() for _ in range(self.dice.randint(1, 40))]
                    self.send(wire, b"".join(request for request, _ in exchanges))
                    wire.expect(b"".join(reply for _, reply in exchanges))
        except Exception as error:  # noqa: BLE001  (whatever it is, the main thread wants to know)
            self.failure = error

    def send(self, wire: Wire, stream: bytes) -> None:
        at = 0
        while at < len(stream):
            size = self.dice.choice((1, 7, 100, 4096, 1 << 16, 1 << 20))
            wire.send(stream[at:at + size])
            at += size

    def exchange(self) -> tuple[bytes, bytes]:
        key, secret = self.mine + str(self.dice.randrange(10)), f"empire/{self.dice.randrange(10)}"
        data = self.dice.choice((b"", b"\r\nEND\r\n", self.dice.randbytes(self.dice.choice((10, 1000, 50_000)))))
        found = value(key, self.stored[key]) if key in self.stored else b""
        jedi, may_write = self.who == "jedi", self.who in ("jedi", "maintenance")
        match self.dice.randrange(6):
            case 0:
                return f"get {key}\r\n".encode(), found + b"END\r\n"
            case 1:
                return f"get {key} {key}\r\n".encode(), found * 2 + b"END\r\n"
            case 2:
                if may_write:
                    self.stored[key] = data
                return store(key, data), b"STORED\r\n" if may_write else DENIED
            case 3:
                if may_write:
                    self.stored[key] = data
                return store(key, data).replace(b"\r\n", b" noreply\r\n", 1), b""
            case 4:
                there = may_write and self.stored.pop(key, None) is not None
                return f"delete {key}\r\n".encode(), (b"DELETED\r\n" if there else b"NOT_FOUND\r\n") if may_write else DENIED
            case _:
                return f"get {key} {secret}\r\n".encode(), found + b"END\r\n" if jedi else DENIED


def play(case: unittest.TestCase, port: int, first: int = 0, between=None) -> None:
    """Runs the clients to their end, and `between` again and again meanwhile."""
    roles = ("jedi", "maintenance", "monitoring", "maintenance")
    actors = [Actor(port, roles[number % 4], first + number) for number in range(CLIENTS)]
    for actor in actors:
        actor.start()
    while any(actor.is_alive() for actor in actors):
        if between:
            between()
        next((actor for actor in actors if actor.is_alive()), actors[0]).join(0.1)
    for actor in actors:
        case.assertIsNone(actor.failure, f"{actor.who}: {actor.failure}")


class Soak(unittest.TestCase):
    def test_many_clients_on_two_workers(self):
        stand = self.enterContext(Stand("soak", [FLEET], log_level="responses", envoy_options=("--concurrency", "2")))
        play(self, stand.port)
        wait_for("downstream_cx_active back to 0", lambda: stand.active_connections() == 0)
        self.assertEqual(stand.envoy.stats()["portcullis.memcache.errors"], 0)

    def test_while_policy_and_identities_are_rewritten(self):
        directory = harness.scratch_folder("soak-reload-files")
        policy = directory / "policy.yaml"
        policy.write_text(FLEET.read_text())
        stand = self.enterContext(Stand("soak-reload", [policy], log_level="denied", envoy_options=("--concurrency", "2")))
        count = 0

        def generation() -> int:
            return stand.envoy.stats()["portcullis.memcache.policy_generation"]

        def rewrite():
            # A file that is still changing is not read: the next change waits until the last one is in force.
            nonlocal count
            if generation() <= count:
                return
            count += 1
            policy.write_text(f"# {count}\n" + FLEET.read_text())
            write_json(stand.identities, {"identities": [*harness.IDENTITIES["identities"], {"address": f"10.0.0.{count % 250}", "labels": {}}]})
        first = 0
        while generation() < 4:
            play(self, stand.port, first, rewrite)
            first += CLIENTS

    def test_listener_updates_leave_nothing_behind(self):
        stand = self.enterContext(Stand("updates", [FLEET]))
        folder = stand.folder / "lds"
        folder.mkdir()
        lds = folder / "lds.json"

        def publish(version: int) -> None:
            config = {**stand.config, "default": "deny" if version % 2 else "allow", "policy": {"files": [str(FLEET)] if version % 2 else [str(FLEET), str(ALLOW_ALL)]}}
            front = {"@type": harness.TYPE + "envoy.config.listener.v3.Listener", **listener("front", [portcullis(config), tcp_proxy()])}
            write_json(lds, {"version_info": str(version), "resources": [front]})

        publish(1)
        options = ("--concurrency", "2", "--drain-time-s", "1")
        envoy = rig.Envoy(harness.envoy(), bootstrap([], stand.server.port, lds), folder, options=options)
        self.addCleanup(harness.stop_in_good_health, envoy)
        wait_for("the first listener", lambda: envoy.stats()["listener_manager.total_listeners_active"] == 1)
        threads = envoy.threads()
        for version in range(2, 12):
            publish(version)
            wait_for(f"update {version}", lambda: envoy.stats()["listener_manager.lds.update_success"] == version)
            with Wire(envoy.port_of("front"), "monitoring") as wire:
                wire.ask(b"get empire/plans\r\nget alliance/fleet/none\r\n", (DENIED if version % 2 else b"END\r\n") + b"END\r\n")
        wait_for("the old listeners gone", lambda: envoy.stats()["listener_manager.total_filter_chains_draining"] == 0
                 and envoy.stats()["listener_manager.total_listeners_draining"] == 0)
        wait_for("their threads gone", lambda: envoy.threads() <= threads)


if __name__ == "__main__":
    unittest.main()
