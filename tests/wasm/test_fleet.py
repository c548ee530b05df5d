"""memcached through the module: denials come in their turn although nothing can be written to the client beside a reply."""

import struct
import unittest

from harness import ALLOW_ALL, DENIED, FLEET, wait_for
from stand import Stand, config, plugin

XWING = b"VALUE alliance/fleet/xwing 0 5\r\nready\r\nEND\r\n"


def store(key: bytes, value: bytes) -> bytes:
    return b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value)


def packet(opcode: int, key: bytes, opaque: int, value: bytes = b"", extras: bytes = b"") -> bytes:
    return struct.pack(">BBHBBHIIQ", 0x80, opcode, len(key), len(extras), 0, 0, len(key) + len(extras) + len(value), opaque, 0) + extras + key + value


class Fleet(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stand = cls.enterClassContext(Stand("wasm-fleet", {"front": plugin(config([FLEET])), "open": plugin(config([ALLOW_ALL])),
                                                              "hasty": plugin(config([FLEET], limits={"frameTimeoutSeconds": 1}))}))
        cls.stand.direct().ask(store(b"alliance/fleet/xwing", b"ready") + store(b"empire/plans", b"secret"), b"STORED\r\n" * 2)

    def test_a_denial_is_answered_at_once_although_the_server_has_nothing_to_say(self):
        wire = self.stand.connect("world")
        for _ in range(3):
            wire.ask(b"get empire/plans\r\n", DENIED)

    def test_denials_arrive_in_their_turn_among_pipelined_replies(self):
        wire = self.stand.connect("monitoring")
        batch = [(b"get empire/plans\r\n", DENIED), (b"get alliance/fleet/xwing\r\n", XWING), (store(b"alliance/fleet/xwing", b"lost"), DENIED),
                 (b"get alliance/fleet/none\r\n", b"END\r\n"), (b"delete empire/plans\r\n", DENIED), (b"get alliance/fleet/xwing\r\n", XWING)]
        for _ in range(20):
            wire.ask(b"".join(request for request, _ in batch), b"".join(reply for _, reply in batch))
        for request, reply in batch * 3:
            wire.ask(request, reply)

    def test_cut_anywhere(self):
        wire = self.stand.connect("monitoring")
        stream, replies = b"get empire/plans\r\nget alliance/fleet/xwing\r\n" * 50, (DENIED + XWING) * 50
        for at in range(0, len(stream), 7):
            wire.send(stream[at:at + 7])
        wire.expect(replies)

    def test_the_clients_own_noop_is_not_mistaken_for_ours(self):
        wire = self.stand.connect("jedi")
        stranger = self.stand.connect("world", "open")
        for each in (wire, stranger):
            each.ask(b"mn\r\nmg nothing q\r\nmn\r\n", b"MN\r\nMN\r\n")
        monitoring = self.stand.connect("monitoring")
        monitoring.ask(b"mg empire/plans v\r\n" * 3 + b"get alliance/fleet/xwing\r\n", DENIED * 3 + XWING)

    def test_a_value_that_looks_like_an_answer_stays_a_value(self):
        value = b"MN\r\nEND\r\nMN\r\n"
        self.stand.direct().ask(store(b"alliance/fleet/trap", value), b"STORED\r\n")
        reply = b"VALUE alliance/fleet/trap 0 %d\r\n%s\r\nEND\r\n" % (len(value), value)
        self.stand.connect("monitoring").ask(b"get empire/plans\r\nget alliance/fleet/trap\r\n" * 20, (DENIED + reply) * 20)

    def test_a_denied_quiet_request_is_not_answered(self):
        wire = self.stand.connect("monitoring")
        wire.send(b"set alliance/fleet/xwing 0 0 4 noreply\r\nlost\r\n")
        wire.ask(b"get alliance/fleet/xwing\r\n", XWING)

    def test_a_denied_set_of_a_mebibyte_is_swallowed_whole(self):
        wire = self.stand.connect("monitoring")
        wire.ask(store(b"alliance/fleet/xwing", b"get empire/plans\r\n" * 58254), DENIED)
        wire.ask(b"get alliance/fleet/xwing\r\n", XWING)

    def test_large_values_pass(self):
        value = bytes(range(256)) * 4096
        wire = self.stand.connect("jedi")
        wire.ask(store(b"large", value), b"STORED\r\n")
        wire.ask(b"get large\r\n" * 3, (b"VALUE large 0 %d\r\n%s\r\nEND\r\n" % (len(value), value)) * 3)

    def test_binary_denials_echo_the_opaque(self):
        wire = self.stand.connect("world")
        for opaque in range(1, 20):
            wire.send(packet(0, b"empire/plans", opaque))
            opcode, status, body, echoed = struct.unpack(">xBxxxxHIIxxxxxxxx", wire.take(24))
            self.assertEqual((opcode, status, echoed, wire.take(body)), (0, 8, opaque, b"access denied"))

    def test_binary_pipelined_among_replies(self):
        wire = self.stand.connect("monitoring")
        requests = b"".join(packet(0, key, number) for number, key in enumerate([b"empire/plans", b"alliance/fleet/xwing"] * 30))
        wire.send(requests)
        for number in range(60):
            status, body, echoed = struct.unpack(">xxxxxxHIIxxxxxxxx", wire.take(24))
            self.assertEqual((status, echoed), (8 if number % 2 == 0 else 0, number))
            wire.take(body)

    def test_what_is_no_command_is_closed_and_reaches_nobody(self):
        self.stand.connect("world").send(b"get a\0b\r\nget empire/plans\r\n").rest()
        self.stand.connect("world").send(b"\x16\x03\x01\x02\x00" + b"x" * 100 + b"\n").rest()

    def test_what_was_passed_before_a_close_reaches_the_server(self):
        self.stand.connect("jedi").send(b"set orderly 0 0 1 noreply\r\n1\r\nget a\0b\r\n").rest()
        self.stand.direct().ask(b"get orderly\r\n", b"VALUE orderly 0 1\r\n1\r\nEND\r\n")

    def test_a_request_that_is_never_finished_is_closed_in_time(self):
        self.stand.connect("world", "hasty").send(b"get emp").expect_close()

    def test_a_client_that_goes_in_the_middle_harms_nobody(self):
        for _ in range(20):
            self.stand.connect("world").send(b"get empire/plans\r\nget emp").close()
        self.stand.connect("monitoring").ask(b"get alliance/fleet/xwing\r\n", XWING)

    def test_half_closed_clients_get_what_is_theirs(self):
        wire = self.stand.connect("monitoring").send(b"get alliance/fleet/xwing\r\n").finish()
        self.assertEqual(wire.rest(), XWING)

    def test_log_and_counters(self):
        before = self.stand.envoy.stats()["wasmcustom.portcullis.memcache.denied.requests"]
        self.stand.connect("world").ask(b"get counted/here\r\n", DENIED)
        wait_for("the count", lambda: self.stand.envoy.stats()["wasmcustom.portcullis.memcache.denied.requests"] > before)
        entry = next(entry for entry in self.stand.access_log() if entry["verdict"] == "denied" and entry["fields"]["keys"] == ["counted/here"])
        self.assertEqual(entry["source"].split(":")[0], "127.0.0.1")
        for name in ("forwarded.requests", "connections", "connections_active", "held_bytes", "policy_generation", "errors", "audit.requests"):
            self.assertIn(f"wasmcustom.portcullis.memcache.{name}", self.stand.envoy.stats())
        self.stand.hang_up()
        wait_for("no connection", lambda: self.stand.envoy.stats()["wasmcustom.portcullis.memcache.connections_active"] == 0)

    def test_pymemcache(self):
        try:
            from pymemcache.client.base import Client
            from pymemcache.exceptions import MemcacheClientError
        except ImportError as error:
            self.skipTest(f"no pymemcache: {error}")
        client = Client(("127.0.0.1", self.stand.envoy.port_of("open")), timeout=30, default_noreply=False)
        self.assertTrue(client.set("py", b"1"))
        self.assertEqual(client.set_many({f"k{number}": b"%d" % number for number in range(100)}), [])
        self.assertEqual(len(client.get_many([f"k{number}" for number in range(100)])), 100)
        client.close()
        denied = Client(("127.0.0.1", self.stand.envoy.port_of("front")), timeout=30, default_noreply=False)
        for _ in range(3):
            with self.assertRaises(MemcacheClientError):
                denied.get("empire/plans")
        denied.close()


if __name__ == "__main__":
    unittest.main()
