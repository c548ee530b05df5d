"""Clients and servers that mean ill: nothing of what they do makes Envoy grow."""

import select
import signal
import unittest

from harness import ALLOW_ALL, DENIED, FLEET, Stand, difference, rig, wait_for
from test_memcached import MEBIBYTE, store, value

# What Envoy's own buffers and the allocator may add without anything being kept that should not be.
FLAT_KIB = 32 * 1024


class Flood:
    """A client that sends without reading, as far as it is let, and reads only when told to."""

    def __init__(self, stand: Stand, who: str, stream: bytes):
        self.stand, self.unsent, self.received = stand, memoryview(stream), 0
        self.before = self.peak = stand.envoy.resident_kib()
        self.wire = stand.connect(who, small_buffers=True)
        self.socket = self.wire.socket
        self.socket.setblocking(False)

    def send_until_it_stalls(self) -> None:
        """Until nothing has moved for two seconds."""
        while self.unsent and select.select([], [self.socket], [], 2)[1]:
            self.push()

    def push(self) -> None:
        self.unsent = self.unsent[self.socket.send(self.unsent[:1 << 18]):]
        self.peak = max(self.peak, self.stand.envoy.resident_kib())

    def read_first(self, count: int) -> bytes:
        select.select([self.socket], [], [], rig.PATIENCE_SECONDS)
        return self.socket.recv(count)

    def read_all(self, reply: bytes, times: int) -> None:
        """Sends the rest and reads the reply so many times."""
        while self.received < times * len(reply):
            readable, writable, _ = select.select([self.socket], [self.socket] if self.unsent else [], [], rig.PATIENCE_SECONDS)
            if not readable and not writable:
                raise AssertionError(f"stuck after {self.received / len(reply):.1f} of {times} answers")
            if writable:
                self.push()
            if readable:
                got = self.socket.recv(1 << 18)
                start = self.received % len(reply)
                wanted = (reply * (len(got) // len(reply) + 2))[start:start + len(got)]
                if not got or got != wanted:
                    raise AssertionError(f"after {self.received} bytes, " + difference(wanted, got))
                self.received += len(got)
        self.socket.settimeout(rig.PATIENCE_SECONDS)

    def growth_kib(self) -> int:
        return max(self.peak, self.stand.envoy.resident_kib()) - self.before


class Memory(unittest.TestCase):
    def test_a_million_denied_requests_and_nobody_reads(self):
        stand = self.enterContext(Stand("million-denied", [FLEET], log_level=None))
        stand.connect("monitoring").ask(b"get empire/plans\r\n", DENIED).close()
        flood = Flood(stand, "monitoring", b"get empire/plans\r\n" * 1_000_000)
        flood.send_until_it_stalls()
        self.assertTrue(flood.unsent, "all was taken though nobody read: where are the answers?")
        self.assertLess(flood.growth_kib(), FLAT_KIB, "KiB that Envoy grew by while nobody read")
        flood.read_all(DENIED, 1_000_000)
        self.assertLess(flood.growth_kib(), FLAT_KIB, "KiB that Envoy grew by in all")
        flood.wire.ask(b"get alliance/fleet/none\r\n", b"END\r\n")

    def test_denials_behind_a_request_that_the_server_does_not_answer(self):
        stand = self.enterContext(Stand("stalled-denied", [FLEET], log_level=None))
        stand.connect("monitoring").ask(b"get empire/plans\r\n", DENIED).close()
        stand.server.child.send_signal(signal.SIGSTOP)
        flood = Flood(stand, "monitoring", b"get alliance/fleet/none\r\n" + b"get empire/plans\r\n" * 1_000_000)
        flood.send_until_it_stalls()
        self.assertTrue(flood.unsent, "denials that must wait for their turn may not be collected without end")
        self.assertLess(flood.growth_kib(), FLAT_KIB, "KiB that Envoy grew by")
        stand.server.child.send_signal(signal.SIGCONT)
        self.assertEqual(flood.read_first(len(b"END\r\n")), b"END\r\n")
        flood.read_all(DENIED, 1_000_000)

    def test_requests_that_a_stalled_server_does_not_answer(self):
        small = {"per_connection_buffer_limit_bytes": 65536}
        stand = self.enterContext(Stand("stalled-allowed", [ALLOW_ALL], log_level=None, listener_options=small, cluster_options=small))
        stand.connect().ask(b"get nothing\r\n", b"END\r\n").close()
        stand.server.child.send_signal(signal.SIGSTOP)
        flood = Flood(stand, "jedi", b"get nothing\r\n" * 1_000_000)
        flood.send_until_it_stalls()
        self.assertTrue(flood.unsent)
        self.assertLess(flood.growth_kib(), FLAT_KIB, "KiB that Envoy grew by")
        stand.server.child.send_signal(signal.SIGCONT)
        flood.read_all(b"END\r\n", 1_000_000)

    def test_large_replies_that_nobody_reads(self):
        small = {"per_connection_buffer_limit_bytes": 65536}
        stand = self.enterContext(Stand("unread-replies", [ALLOW_ALL], log_level=None, listener_options=small, cluster_options=small))
        data = bytes(MEBIBYTE)
        stand.connect().ask(store("large", data), b"STORED\r\n").close()
        flood = Flood(stand, "jedi", b"get large\r\n" * 200)
        flood.send_until_it_stalls()
        self.assertLess(flood.growth_kib(), FLAT_KIB, "KiB that Envoy holds of replies that nobody reads")
        flood.read_all(value("large", data) + b"END\r\n", 200)

    def test_the_budget_of_held_bytes(self):
        stand = self.enterContext(Stand("budget", [ALLOW_ALL], limits={"heldBytes": 64_000}))
        # What fits into the few KiB that every connection may use does not count, so the lines are longer.
        wires = [stand.connect().send(b"get" + (b" " + b"k" * 200) * 30) for _ in range(40)]
        wait_for("what is too much is closed", lambda: "details=portcullis_memory" in read(stand.connection_log_path))
        # Those that are within it go on.
        answers = [wire.send(b"\r\n").line() if still_open(wire) else b"" for wire in wires]
        self.assertIn(b"END\r\n", answers)
        self.assertIn(b"", answers)

    def test_large_values_are_not_held(self):
        small = {"per_connection_buffer_limit_bytes": 65536}
        stand = self.enterContext(Stand("large-values", [ALLOW_ALL], log_level=None, listener_options=small, cluster_options=small))
        stand.connect().ask(b"get nothing\r\n", b"END\r\n").close()
        before = stand.envoy.resident_kib()
        count, request = 64, store("large", bytes(2 * MEBIBYTE))
        wires = [stand.connect() for _ in range(count)]
        for wire in wires:
            wire.send(request[:-100])
        nearly = count * (len(request) - 4096)
        wait_for("nearly all of 128 MiB sent on", lambda: stand.envoy.stats()["cluster.upstream.upstream_cx_tx_bytes_total"] > nearly)
        self.assertLess(stand.envoy.resident_kib() - before, FLAT_KIB, "KiB that Envoy holds of values under way")
        for wire in wires:
            wire.send(request[-100:]).expect(b"STORED\r\n")

    def test_thousands_of_connections_come_and_go(self):
        stand = self.enterContext(Stand("come-and-go", [FLEET], log_level="denied"))

        def burst():
            for _ in range(1000):
                with stand.connect("monitoring") as wire:
                    wire.ask(b"get empire/plans\r\nget alliance/fleet/none\r\n", DENIED + b"END\r\n")
            wait_for("downstream_cx_active back to 0", lambda: stand.active_connections() == 0)
            return stand.envoy.resident_kib()
        first = burst()
        last = [burst() for _ in range(3)][-1]
        self.assertLess(last - first, FLAT_KIB // 4, "KiB that 3,000 more connections left behind")


def read(path) -> str:
    return path.read_text() if path.exists() else ""


def still_open(wire) -> bool:
    return not select.select([wire.socket], [], [], 0)[0]


if __name__ == "__main__":
    unittest.main()
