"""Hooks that change while they are asked: in force on open connections, and no call fails for it."""

import concurrent.futures
import json
import threading
import time
import unittest
import urllib.error

import objects
import server
import stage
from stage import Webhook, is_refused, registered, wait_for

ASKED = stage.review("pod-create-ok")
CALLS = 1000
# How many times the hooks are seen to have changed meanwhile.
GENERATIONS = 4


def generation(number: int) -> dict:
    """Odd ones deny; each says which it is."""
    verdict = {"deny": {"message": f"generation {number}"}} if number % 2 else {"warn": {"message": f"generation {number}"}}
    return stage.hook("policy", stage.PODS, decide=[verdict])


def files(number: int) -> dict[str, str]:
    return stage.files_of([generation(number)])


def told(response: dict) -> int:
    """Which generation answered; the verdict must be that of the same one."""
    text = response["status"]["message"] if not response["allowed"] else response["warnings"][0]
    number = int(text.removeprefix("generation "))
    if response["allowed"] == bool(number % 2):
        raise AssertionError(f"{response} mixes two generations")
    return number


class Swapper:
    """Changes the hooks again and again until the block ends. Files are looked at twice a second, so nearly each change comes into force."""

    def __init__(self, front: Webhook):
        self.front, self.stopping = front, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self) -> None:
        number = 0
        while not self.stopping.wait(0.7):
            number += 1
            self.front.hooks.swap(files(number))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()


class Changes(unittest.TestCase):
    def test_no_call_fails_while_hooks_are_swapped(self):
        """On a few connections that stay open: the client makes no other."""
        front = self.enterContext(Webhook("swaps", [generation(0)], options=("--concurrency", "2")))
        clients = [front.connect() for _ in range(4)]
        calls, seen = 0, [0]
        with Swapper(front):
            while calls < CALLS or len(seen) < GENERATIONS:
                number = told(clients[calls % len(clients)].ask("/policy", ASKED))
                self.assertGreaterEqual(number, seen[-1], "what is in force does not go back, whichever of two workers is asked")
                if number != seen[-1]:
                    seen.append(number)
                calls += 1
                self.assertLess(calls, 100 * CALLS, f"only {seen} came into force")
        self.assertEqual(front.connections(), len(clients))

    def test_no_request_to_the_api_server_fails_for_it(self):
        """The hook says `failurePolicy: Fail`, so it would be told."""
        front = self.enterContext(Webhook("busy", [generation(1)], options=("--concurrency", "2")))
        pod = objects.pod("busy", "nginx:1")
        cluster = self.enterContext(registered(front, is_refused(pod)))

        def create(_number: int) -> str:
            try:
                cluster.ask("POST", "/api/v1/namespaces/default/pods?dryRun=All", pod)
            except urllib.error.HTTPError as refusal:
                return server.reason_of(refusal)["message"]
            return "created"
        seen, calls = set(), 0
        with Swapper(front), concurrent.futures.ThreadPoolExecutor(8) as pool:
            while calls < CALLS or len(seen) < GENERATIONS:
                seen.update(pool.map(create, range(100)))
                calls += 100
                self.assertLess(calls, 100 * CALLS, f"only {seen} came into force")
        for message in seen - {"created"}:
            self.assertRegex(message, r'^admission webhook "policy\.portcullis\.test" denied the request: generation \d*[13579]$')

    def test_the_api_server_goes_by_a_change(self):
        front = self.enterContext(Webhook("change", [generation(0)]))
        pod = objects.pod("changing", "nginx:1")
        cluster = stage.Cluster.start()
        refused = is_refused(pod)
        front.hooks.swap(files(1))
        with registered(front, refused):
            front.hooks.swap(files(2))
            began = time.monotonic()
            wait_for("the change to be in force", lambda: not refused())
            print(f"         a change was in force after {time.monotonic() - began:.2f} s", flush=True)
            made = cluster.kubectl("create", "--dry-run=server", "--filename=-", given=pod)
            self.assertEqual((made.returncode, made.stderr), (0, "Warning: generation 2\n"))
            front.hooks.swap(files(3))
            wait_for("the next change to be in force", refused)

    def test_a_mistake_leaves_what_was_in_force(self):
        front = self.enterContext(Webhook("mistake", [generation(1)]))
        client = front.connect()
        self.assertEqual(told(client.ask("/policy", ASKED)), 1)
        broken = generation(2)
        broken["spec"]["decide"] = [{"deny": {"nameRegex": ["("], "message": "x"}}]
        front.hooks.swap({"policy.yaml": json.dumps(broken, indent=1)})

        def error():
            status = json.loads(front.status_path.read_text()) if front.status_path.exists() else {}
            return status.get("status") == "error" and status["error"]
        self.assertRegex(wait_for("the status file to tell of it", error), r"policy\.yaml:\d+:\d+")
        self.assertEqual(told(client.ask("/policy", ASKED)), 1)
        front.hooks.swap(files(3))
        wait_for("the mended hook", lambda: told(client.ask("/policy", ASKED)) == 3)

    def test_hooks_come_and_go(self):
        front = self.enterContext(Webhook("come-and-go", [generation(1)]))
        client = front.connect()
        other = stage.hook("other", stage.PODS, decide=[{"deny": {"names": ["denied"], "message": "no"}}])
        self.assertEqual(client.send("POST", "/other", json.dumps(ASKED).encode())[0], 404)
        front.hooks.swap(stage.files_of([generation(1), other]))
        wait_for("the hook that came", lambda: client.send("POST", "/other", json.dumps(ASKED).encode())[0] == 200)
        front.hooks.swap(stage.files_of([other]))
        wait_for("the hook that went", lambda: client.send("POST", "/policy", json.dumps(ASKED).encode())[0] == 404)


if __name__ == "__main__":
    unittest.main()
