"""Connections that end oddly, and clients that mean ill: nothing leaks, nothing grows, what is owed is delivered."""

import select
import unittest

from harness import ALLOW_ALL, DENIED, FLEET, Stand, difference, wait_for
from test_memcached import MEBIBYTE, store, value

# What Envoy's own buffers and the allocator may add without anything being kept that should not be.
FLAT_KIB = 32 * 1024


class Endings(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stand = cls.enterClassContext(Stand("endings", [ALLOW_ALL]))

    def tearDown(self):
        self.stand.hang_up()

    def expect_no_connections(self):
        wait_for("downstream_cx_active back to 0", lambda: self.stand.active_connections() == 0)

    def test_a_client_that_ends_in_the_middle_of_a_frame(self):
        for part in (b"g", b"get", b"get x", b"get x\r", b"set x 0 0 10\r\n", b"set x 0 0 10\r\n12345", b"set x 0 0 10\r\n1234567890\r"):
            for gently in (True, False):
                with self.subTest(part=part, half_close=gently):
                    wire = self.stand.connect().send(part)
                    if gently:
                        wire.finish().rest()
                    wire.close()
                    self.expect_no_connections()

    def test_replies_still_owed_reach_a_client_that_has_ended(self):
        wire = self.stand.connect().ask(store("owed", bytes(MEBIBYTE)), b"STORED\r\n")
        wire.send(b"get owed\r\n" * 8).finish()
        wire.expect((value("owed", bytes(MEBIBYTE)) + b"END\r\n") * 8)
        wire.expect_close()
        self.expect_no_connections()

    def test_a_client_that_vanishes_with_replies_unread(self):
        self.stand.connect().ask(store("owed", bytes(MEBIBYTE)), b"STORED\r\n").close()
        for _ in range(20):
            self.stand.connect(small_buffers=True).send(b"get owed\r\n" * 20).close()
        self.expect_no_connections()

    def test_quit_closes(self):
        wire = self.stand.connect().ask(store("before", b"1"), b"STORED\r\n")
        wire.send(b"get before\r\nquit\r\n").expect_close(value("before", b"1") + b"END\r\n")
        # What the server closes Envoy passes on as a half-close: the client has to end its half, too.
        wire.close()
        self.expect_no_connections()

    def test_a_parse_error_after_three_good_requests(self):
        wire = self.stand.connect().ask(store("good", b"1"), b"STORED\r\n")
        wire.send(b"get good\r\nget nothing\r\nincr good 1\r\n" + b"set good 0 0 not-a-number\r\n" + b"get good\r\n" * 3)
        replies = value("good", b"1") + b"END\r\n" + b"END\r\n" + b"2\r\n"
        wire.expect(replies)
        error = wire.rest()
        self.assertRegex(error, rb"\A(CLIENT_ERROR |ERROR\r\n)[^\r\n]*(\r\n)?\Z", "one error line, then the close")
        self.expect_no_connections()

    def test_bytes_that_are_no_protocol_at_all(self):
        for garbage in (b"\x00" * 100, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", bytes(range(128)) * 2 + b"\r\n", b"\r\n\r\n"):
            with self.subTest(garbage=garbage[:20]):
                wire = self.stand.connect().send(garbage).finish()
                self.assertLess(len(wire.rest()), 200)
                wire.close()
                self.expect_no_connections()

    def test_a_line_without_an_end_is_cut_off(self):
        wire = self.stand.connect()
        sent = 0
        try:
            while sent < 64 * MEBIBYTE:
                sent += wire.socket.send(b"a" * 65536)
        except OSError:
            pass
        self.assertLess(sent, 64 * MEBIBYTE, "an endless line must not be taken for ever")
        wire.close()
        self.expect_no_connections()


class SmallBuffers(unittest.TestCase):
    """Frames ten times the size of Envoy's buffer: reads stop at 4 KiB, and must start again."""

    @classmethod
    def setUpClass(cls):
        cls.stand = cls.enterClassContext(Stand("small-buffers", [FLEET], listener_options={"per_connection_buffer_limit_bytes": 4096}))

    def tearDown(self):
        self.stand.hang_up()

    def test_frames_of_forty_kilobytes(self):
        data = bytes(range(256)) * 160
        wire = self.stand.connect("maintenance")
        for _ in range(20):
            wire.ask(store("alliance/fleet/hold", data), b"STORED\r\n")
            wire.ask(store("empire/hold", data), DENIED)
            wire.ask(b"get alliance/fleet/hold\r\n", value("alliance/fleet/hold", data) + b"END\r\n")
        wire.close()
        wait_for("downstream_cx_active back to 0", lambda: self.stand.active_connections() == 0)

    def test_a_request_line_longer_than_the_buffer(self):
        keys = [f"alliance/fleet/{number:0200}" for number in range(30)]
        wire = self.stand.connect("maintenance")
        wire.ask(b"get " + " ".join(keys).encode() + b"\r\n", b"END\r\n")
        wire.ask(b"get " + " ".join([*keys, "empire/plans"]).encode() + b"\r\n", DENIED)

    def test_forty_kilobytes_and_gone(self):
        for _ in range(20):
            self.stand.connect("maintenance").send(store("alliance/fleet/hold", bytes(40_000))[:-3]).close()
        wait_for("downstream_cx_active back to 0", lambda: self.stand.active_connections() == 0)


class Memory(unittest.TestCase):
    def test_a_million_denied_requests_and_nobody_reads(self):
        stand = self.enterContext(Stand("million-denied", [FLEET], log_level=None))
        stand.connect("monitoring").ask(b"get empire/plans\r\n", DENIED).close()
        before = stand.envoy.resident_kib()

        wire = stand.connect("monitoring", small_buffers=True)
        wire.socket.setblocking(False)
        total = 1_000_000
        unsent = memoryview(b"get empire/plans\r\n" * total)
        peak = before

        # Until nothing moves any more: the filter has stopped reading, as nobody reads what it has to say.
        while unsent and select.select([], [wire.socket], [], 2)[1]:
            unsent = unsent[wire.socket.send(unsent[:1 << 18]):]
            peak = max(peak, stand.envoy.resident_kib())
        self.assertTrue(unsent, "all was taken though nobody read: where are the answers?")
        self.assertLess(peak - before, FLAT_KIB, "KiB that Envoy grew by while nobody read")

        received = 0
        while received < total * len(DENIED):
            readable, writable, _ = select.select([wire.socket], [wire.socket] if unsent else [], [], 30)
            self.assertTrue(readable or writable, f"stuck after {received / len(DENIED)} of {total} answers")
            if writable:
                unsent = unsent[wire.socket.send(unsent[:1 << 18]):]
            if readable:
                got = wire.socket.recv(1 << 18)
                start = received % len(DENIED)
                wanted = (DENIED * (len(got) // len(DENIED) + 2))[start:start + len(got)]
                self.assertTrue(got == wanted, f"after {received} bytes, " + difference(wanted, got))
                received += len(got)
        self.assertLess(stand.envoy.resident_kib() - before, FLAT_KIB, "KiB that Envoy grew by in all")
        wire.socket.settimeout(30)
        wire.ask(b"get alliance/fleet/none\r\n", b"END\r\n")

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


if __name__ == "__main__":
    unittest.main()
