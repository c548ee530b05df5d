"""Requests that stand in for denied ones, before servers and clients that make it hard: many at a time, late, in other words, not at all."""

import contextlib
import socket
import struct
import threading
import unittest

from harness import ALLOW_ALL, DENIED, FLEET, wait_for
from stand import Stand, config, plugin
from test_fleet import XWING, packet, store

MANY = 10_000


class Script:
    """A server that takes connections, and leaves it to the test what is said on them."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.listener.settimeout(30)
        self.port = self.listener.getsockname()[1]
        self.taken: list[socket.socket] = []

    def accept(self) -> socket.socket:
        self.taken.append(self.listener.accept()[0])
        self.taken[-1].settimeout(30)
        return self.taken[-1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for one in [self.listener, *self.taken]:
            one.close()


class Many(unittest.TestCase):
    """A real memcached, and clients that do not wait."""

    @classmethod
    def setUpClass(cls):
        cls.stand = cls.enterClassContext(Stand("wasm-many", {"front": plugin(config([FLEET]))}))
        cls.stand.direct().ask(store(b"alliance/fleet/xwing", b"ready"), b"STORED\r\n")

    def ask_all(self, who: str, requests: bytes, replies: bytes) -> None:
        wire = self.stand.connect(who)
        sender = threading.Thread(target=wire.send, args=(requests,))
        sender.start()
        wire.expect(replies)
        sender.join()

    def test_ten_thousand_denials_at_a_time(self):
        self.ask_all("world", b"get empire/plans\r\n" * MANY, DENIED * MANY)

    def test_ten_thousand_in_turn_with_what_passes(self):
        # A denied request without a reply, and the client's own question, change nothing in the order.
        batch = [(b"get empire/plans\r\n", DENIED), (b"get alliance/fleet/xwing\r\n", XWING), (b"set empire/plans 0 0 1 noreply\r\nx\r\n", b""),
                 (b"mn\r\n", DENIED), (b"mg empire/plans v\r\n", DENIED)]
        requests, replies = (b"".join(part) for part in zip(*batch))
        self.ask_all("monitoring", requests * (MANY // 4), replies * (MANY // 4))

    def test_ten_thousand_in_binary_quiet_ones_among_them(self):
        get, get_quietly = 0x00, 0x09
        requests = b"".join(packet(get_quietly if number % 3 else get, b"empire/plans", number) for number in range(MANY))
        wire = self.stand.connect("world")
        # Before the server has shown that it reads binary, a request with a line feed in it is refused as one that may be tried again.
        wire.send(packet(get, b"empire/plans", 0)).take(24 + len(b"access denied"))
        sender = threading.Thread(target=wire.send, args=(requests,))
        sender.start()
        for number in range(MANY):
            opcode, status, body, echoed = struct.unpack(">xBxxxxHIIxxxxxxxx", wire.take(24))
            self.assertEqual((opcode, status, echoed, wire.take(body)), (get_quietly if number % 3 else get, 8, number, b"access denied"))
        sender.join()


class Servers(unittest.TestCase):
    """A server that answers what stands in for a denied request in its own way."""

    @classmethod
    def setUpClass(cls):
        cls.script = Script()
        more = {"accessLog": {"level": "denied"}}
        cls.stand = cls.enterClassContext(Stand("wasm-script", {
            "front": plugin(config([FLEET], **more)),
            "small": plugin(config([FLEET], limits={"heldBytes": 1000}, **more)),
            "open": plugin(config([ALLOW_ALL], **more)),
        }, server=cls.script))

    def tearDown(self):
        self.stand.hang_up()

    def connect(self, front: str = "front"):
        wire = self.stand.connect("world", front)
        return wire, self.script.accept()

    def take(self, server: socket.socket, wanted: bytes) -> None:
        got = b""
        while len(got) < len(wanted) and (part := server.recv(len(wanted) - len(got))):
            got += part
        self.assertEqual(got, wanted)

    def assert_closed(self, wire, told: tuple = (b"",)) -> None:
        """The client has seen an end, and before it one of these at most."""
        with contextlib.suppress(ConnectionResetError):
            self.assertIn(wire.rest(), told)

    def test_a_late_answer_is_waited_for(self):
        wire, server = self.connect()
        wire.send(b"get empire/plans\r\n" * 3)
        self.take(server, b"mn\r\n")
        wire.socket.settimeout(0.7)
        self.assertEqual(wire.take(1), b"", "nothing is said before the server has answered")
        wire.socket.settimeout(30)
        for byte in (b"M", b"N", b"\r", b"\n"):
            server.sendall(byte)
        wire.expect(DENIED * 3)
        # And anew, as often as it takes.
        wire.send(b"get empire/plans\r\n")
        self.take(server, b"mn\r\n")
        server.sendall(b"MN\r\n")
        wire.expect(DENIED)

    def test_another_answer_closes(self):
        for answer in (b"ERROR\r\n", b"END\r\n", b"MN\r\nMN\r\n", b"VALUE secret 0 2\r\nMN\r\nEND\r\n", b"\x81" + b"\0" * 23 + b"\n", b"MN" * 5000):
            with self.subTest(answer[:20]):
                wire, server = self.connect()
                wire.send(b"get empire/plans\r\n")
                self.take(server, b"mn\r\n")
                server.sendall(answer)
                self.assert_closed(wire, (b"", DENIED))

    def test_a_server_that_goes_instead_of_answering(self):
        for halfway in (b"", b"M"):
            with self.subTest(halfway):
                wire, server = self.connect()
                wire.send(b"get empire/plans\r\n" * 100)
                self.take(server, b"mn\r\n")
                server.sendall(halfway)
                server.close()
                self.assert_closed(wire)

    def test_a_client_that_has_ended_its_side_gets_its_denials(self):
        wire, server = self.connect()
        wire.send(b"get empire/plans\r\n" * 2).finish()
        self.take(server, b"mn\r\n")
        self.assertEqual(server.recv(1), b"", "the server sees the end behind what stands in")
        server.sendall(b"MN\r\n")
        server.shutdown(socket.SHUT_WR)
        self.assertEqual(wire.rest(), DENIED * 2)

    def test_denials_that_wait_count_as_held_and_close_at_the_limit(self):
        held = "wasmcustom.portcullis.memcache.held_bytes"
        wire, server = self.connect("small")
        wire.send(b"get empire/plans\r\n" * 30)
        self.take(server, b"mn\r\n")
        wait_for("what waits is held", lambda: self.stand.envoy.stats()[held] == 30 * len(DENIED))
        wire.send(b"get empire/plans\r\n" * 10)
        self.assert_closed(wire)
        wait_for("nothing is held", lambda: self.stand.envoy.stats()[held] == 0)
        self.assertIn("heldBytes", self.stand.envoy.log())
        # The listener goes on.
        wire, server = self.connect("small")
        wire.send(b"get empire/plans\r\n")
        self.take(server, b"mn\r\n")
        server.sendall(b"MN\r\n")
        wire.expect(DENIED)


if __name__ == "__main__":
    unittest.main()
