"""Policy is swapped under keep-alive connections, now and then by a bad one. Each decision is judged again by the policy that it names."""

import os
import socket
import threading
import time
import unittest

import harness
from harness import ALLOW_ALL, DENIED, WHO, Stand, rig, wait_for

CONNECTIONS = 8
SWAPS = 50
REQUESTS = 10_000
# Every third update is bad.
BAD_EVERY = 3
PREFIXES = [f"key{digit}" for digit in range(5)]


class Client(threading.Thread):
    """One connection that asks for one key after the other until told to stop, and keeps what it was answered."""

    def __init__(self, port: int, number: int, stop: threading.Event):
        super().__init__(daemon=True)
        self.port, self.number, self.stopped = port, number, stop
        self.answers, self.failure = [], None

    def run(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), rig.PATIENCE_SECONDS, (WHO["jedi"], 0)) as wire:
                replies = wire.makefile("rb")
                asked = 0
                while asked < REQUESTS / CONNECTIONS or not self.stopped.is_set():
                    key = f"{PREFIXES[asked % len(PREFIXES)]}/{self.number}/{asked}"
                    wire.sendall(f"get {key}\r\n".encode())
                    self.answers.append((key, replies.readline()))
                    asked += 1
                    time.sleep(0.01)
        except Exception as error:  # noqa: BLE001  (whatever it is, the main thread wants to know)
            self.failure = error


class Swaps(unittest.TestCase):
    def test_every_decision_is_that_of_the_policy_it_names(self):
        policy = harness.scratch_folder("swaps-files") / "policy.yaml"
        template = ALLOW_ALL.read_text()
        self.assertIn("- {}", template)

        def write(prefix: str) -> None:
            scratch = policy.with_suffix(".next")
            scratch.write_text(template.replace("- {}", f"- {{command: get, keyPrefix: {prefix}/}}"))
            os.replace(scratch, policy)

        write(PREFIXES[0])
        stand = self.enterContext(Stand("swaps", [policy]))

        def stat(name: str) -> int:
            return stand.envoy.stats()[f"portcullis.memcache.{name}"]

        admits = {stat("policy_generation"): PREFIXES[0]}
        stop = threading.Event()
        clients = [Client(stand.port, number, stop) for number in range(CONNECTIONS)]
        for client in clients:
            client.start()
        for swap in range(1, SWAPS + 1):
            if swap % BAD_EVERY == 0:
                errors = stat("policy_errors")
                policy.write_text(f"# {swap}\nkind: [")
                wait_for(f"bad update {swap}", lambda: stat("policy_errors") > errors)
                continue
            generation, prefix = max(admits), PREFIXES[swap % len(PREFIXES)]
            write(prefix)
            wait_for(f"update {swap}", lambda: stat("policy_generation") > generation)
            admits[stat("policy_generation")] = prefix
        stop.set()
        for client in clients:
            client.join(rig.PATIENCE_SECONDS)
            self.assertIsNone(client.failure, f"connection {client.number}: {client.failure}")

        answers = {key: answer for client in clients for key, answer in client.answers}
        self.assertGreaterEqual(len(answers), REQUESTS)
        wait_for("the whole log", lambda: len(stand.access_log()) >= len(answers))
        entries = stand.access_log()
        self.assertEqual(len(entries), len(answers))
        for entry in entries:
            key = entry["fields"]["keys"][0]
            admitted = key.startswith(admits[entry["generation"]] + "/")
            self.assertEqual(entry["verdict"], "forwarded" if admitted else "denied", entry)
            self.assertEqual(answers[key], b"END\r\n" if admitted else DENIED, entry)
        self.assertGreater(len({entry["generation"] for entry in entries}), SWAPS / 2)


if __name__ == "__main__":
    unittest.main()
