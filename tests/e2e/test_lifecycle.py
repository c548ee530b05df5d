"""Connections that end oddly: nothing leaks, and what is owed is delivered."""

import contextlib
import unittest

from harness import ALLOW_ALL, DENIED, FLEET, SERVER_GONE, Stand, wait_for
from test_memcached import MEBIBYTE, store, value

ONE_ERROR = rb"\A(CLIENT_ERROR [^\r\n]+|ERROR)\r\n\Z"


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
        self.assertRegex(wire.rest(), ONE_ERROR)
        self.expect_no_connections()

    def test_a_parse_error_with_much_more_behind_it(self):
        # If the connection is closed with bytes unread, the kernel resets it, and the replies on their way are lost.
        large = value("large", bytes(MEBIBYTE)) + b"END\r\n"
        self.stand.connect().ask(store("large", bytes(MEBIBYTE)), b"STORED\r\n").close()
        for behind in (0, 100_000, 5_000_000):
            with self.subTest(bytes_behind=behind):
                wire = self.stand.connect(small_buffers=True).send(b"get large\r\n" * 3 + b"set large 0 0 not-a-number\r\n")
                with contextlib.suppress(OSError):
                    # Whether it is closed before it has taken all this does not matter.
                    wire.send(b"get large\r\n" * (behind // 11))
                wire.expect(large * 3)
                self.assertRegex(wire.rest(), ONE_ERROR)
                wire.close()
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


class Deadlines(unittest.TestCase):
    def test_a_frame_that_is_never_finished(self):
        stand = self.enterContext(Stand("unfinished", [ALLOW_ALL], limits={"frameTimeoutSeconds": 1}))
        idle = stand.connect().ask(b"get nothing\r\n", b"END\r\n")
        for part in (b"get noth", b"set x 0 0 10"):
            stand.connect().send(part).rest()
        wait_for("two errors counted", lambda: stand.envoy.stats()["portcullis.memcache.errors"] == 2)
        wait_for("the reason in Envoy's access log", lambda: stand.connection_log_path.read_text().count("details=portcullis_timeout") == 2)
        # A connection on which nothing is under way may be as idle as it likes.
        idle.ask(b"get nothing\r\n", b"END\r\n")


class Upstream(unittest.TestCase):
    def test_a_server_that_is_not_there(self):
        stand = self.enterContext(Stand("server-gone", [ALLOW_ALL], server=SERVER_GONE))
        for _ in range(5):
            wire = stand.connect()
            self.assertEqual(wire.send(b"get nothing\r\n").take(100), b"")
            wire.close()
        wait_for("downstream_cx_active back to 0", lambda: stand.active_connections() == 0)

    def test_a_server_that_goes_away(self):
        stand = self.enterContext(Stand("server-dies", [FLEET]))
        wires = [stand.connect("monitoring").ask(b"get alliance/fleet/none\r\n", b"END\r\n") for _ in range(5)]
        stand.server.stop()
        for wire in wires:
            self.assertEqual(wire.take(100), b"")
            wire.close()
        wait_for("downstream_cx_active back to 0", lambda: stand.active_connections() == 0)


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


if __name__ == "__main__":
    unittest.main()
