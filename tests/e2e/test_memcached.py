"""memcached's text protocol through the filter, byte by byte as a client sees it."""

import unittest

from harness import ALLOW_ALL, DENIED, FLEET, Stand

MEBIBYTE = 1 << 20


def store(key: str, value: bytes, flags: int = 0) -> bytes:
    return b"set %s %d 0 %d\r\n%s\r\n" % (key.encode(), flags, len(value), value)


def value(key: str, data: bytes, flags: int = 0) -> bytes:
    return b"VALUE %s %d %d\r\n%s\r\n" % (key.encode(), flags, len(data), data)


class FleetPolicy(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stand = cls.enterClassContext(Stand("memcached-fleet", [FLEET]))
        with cls.stand.direct() as server:
            server.ask(store("alliance/fleet/xwing", b"ready"), b"STORED\r\n")
            server.ask(store("empire/plans", b"secret"), b"STORED\r\n")

    def test_maintenance_reads_and_writes_its_prefix(self):
        wire = self.stand.connect("maintenance")
        wire.ask(store("alliance/fleet/ywing", b"fuel"), b"STORED\r\n")
        wire.ask(b"get alliance/fleet/ywing\r\n", value("alliance/fleet/ywing", b"fuel") + b"END\r\n")
        wire.ask(b"delete alliance/fleet/ywing\r\n", b"DELETED\r\n")

    def test_maintenance_may_not_leave_its_prefix(self):
        wire = self.stand.connect("maintenance")
        wire.ask(b"get empire/plans\r\n", DENIED)
        wire.ask(store("empire/plans", b"gone"), DENIED)
        wire.ask(b"delete empire/plans\r\n", DENIED)
        self.stand.direct().ask(b"get empire/plans\r\n", value("empire/plans", b"secret") + b"END\r\n")

    def test_monitoring_reads_and_does_not_write(self):
        wire = self.stand.connect("monitoring")
        wire.ask(b"get alliance/fleet/xwing\r\n", value("alliance/fleet/xwing", b"ready") + b"END\r\n")
        wire.ask(store("alliance/fleet/xwing", b"lost"), DENIED)
        wire.ask(b"get alliance/fleet/xwing\r\n", value("alliance/fleet/xwing", b"ready") + b"END\r\n")

    def test_jedi_do_everything(self):
        wire = self.stand.connect("jedi")
        wire.ask(b"get empire/plans\r\n", value("empire/plans", b"secret") + b"END\r\n")
        wire.ask(store("temple", b"light"), b"STORED\r\n")
        wire.ask(b"delete temple\r\n", b"DELETED\r\n")

    def test_an_address_that_nobody_named_is_denied(self):
        self.stand.connect("world").ask(b"get alliance/fleet/xwing\r\n", DENIED)

    def test_one_forbidden_key_denies_the_whole_multiget(self):
        wire = self.stand.connect("monitoring")
        wire.ask(b"get alliance/fleet/xwing empire/plans\r\n", DENIED)
        wire.ask(b"get alliance/fleet/xwing alliance/fleet/none\r\n", value("alliance/fleet/xwing", b"ready") + b"END\r\n")

    def test_a_denial_arrives_in_its_turn_among_pipelined_replies(self):
        wire = self.stand.connect("monitoring")
        hit, miss = b"get alliance/fleet/xwing\r\n", b"get alliance/fleet/none\r\n"
        hit_reply, miss_reply = value("alliance/fleet/xwing", b"ready") + b"END\r\n", b"END\r\n"
        batch = [(hit, hit_reply), (store("alliance/fleet/xwing", b"lost"), DENIED), (miss, miss_reply), (b"get empire/plans\r\n", DENIED),
                 (b"delete empire/plans\r\n", DENIED), (hit, hit_reply)]
        for _ in range(3):
            wire.ask(b"".join(request for request, _ in batch), b"".join(reply for _, reply in batch))

    def test_a_denied_quiet_request_is_not_answered(self):
        wire = self.stand.connect("monitoring")
        wire.send(b"set alliance/fleet/xwing 0 0 4 noreply\r\nlost\r\n")
        wire.ask(b"get alliance/fleet/xwing\r\n", value("alliance/fleet/xwing", b"ready") + b"END\r\n")

    def test_a_denied_set_of_a_mebibyte_is_swallowed_whole(self):
        wire = self.stand.connect("monitoring")
        wire.ask(store("alliance/fleet/xwing", b"get empire/plans\r\n" * (MEBIBYTE // 18)), DENIED)
        wire.ask(b"get alliance/fleet/xwing\r\n", value("alliance/fleet/xwing", b"ready") + b"END\r\n")

    def test_other_connections_on_the_same_worker_keep_their_own_state(self):
        wires = [self.stand.connect(who) for who in ("jedi", "monitoring", "world") * 10]
        replies = [b"STORED\r\n", DENIED, DENIED] * 10
        for round_ in range(5):
            for wire in wires:
                wire.send(store("temple", b"%d" % round_))
            for wire, reply in zip(wires, replies):
                wire.expect(reply)


class AllowAll(unittest.TestCase):
    """Nothing is denied, so nothing may change: not a byte, however it is cut."""

    @classmethod
    def setUpClass(cls):
        cls.stand = cls.enterClassContext(Stand("memcached-allow-all", [ALLOW_ALL]))

    def test_a_value_that_arrives_in_twenty_writes(self):
        wire = self.stand.connect()
        data = bytes(range(256)) * 40
        request = store("twenty", data)
        step = -(-len(request) // 20)
        pieces = [request[at:at + step] for at in range(0, len(request), step)]
        self.assertEqual(len(pieces), 20)
        for piece in pieces:
            # An answer on another connection means that the worker has been round its loop, so that each piece is a read of its own.
            wire.send(piece)
            self.stand.connect().ask(b"get nothing\r\n", b"END\r\n").close()
        wire.expect(b"STORED\r\n")
        wire.ask(b"get twenty\r\n", value("twenty", data) + b"END\r\n")

    def test_a_miss(self):
        self.stand.connect().ask(b"get nothing\r\nget nothing either\r\n", b"END\r\nEND\r\n")

    def test_values_that_look_like_protocol(self):
        wire = self.stand.connect()
        for data in (b"\r\nEND\r\n", b"END\r\n", b"\r\n", b"", b"VALUE x 0 5\r\nhello\r\nEND\r\n", b"ERROR\r\n", b"get a\r\nset b 0 0 1\r\n"):
            with self.subTest(value=data):
                wire.ask(store("odd", data, 7), b"STORED\r\n")
                wire.ask(b"get odd nothing odd\r\n", value("odd", data, 7) * 2 + b"END\r\n")

    def test_values_of_a_mebibyte_both_ways(self):
        wire = self.stand.connect()
        data = bytes(range(256)) * (MEBIBYTE // 256)
        for _ in range(3):
            wire.ask(store("large", data), b"STORED\r\n")
            wire.ask(b"get large\r\nget nothing\r\n", value("large", data) + b"END\r\n" + b"END\r\n")

    def test_one_byte_at_a_time(self):
        wire = self.stand.connect()
        requests = store("slow", b"\r\nEND\r\n") + b"get slow nothing\r\nincr slow 1\r\ndelete slow\r\n"
        for at in range(len(requests)):
            wire.send(requests[at:at + 1])
        wire.expect(b"STORED\r\n" + value("slow", b"\r\nEND\r\n") + b"END\r\n")
        wire.expect(b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\nDELETED\r\n")

    def test_every_command_answers_as_the_server_does(self):
        script = [
            b"set a 1 0 2\r\n10\r\n", b"add a 0 0 1\r\nx\r\n", b"add b 0 0 1\r\nx\r\n", b"replace b 0 0 1\r\ny\r\n", b"replace zz 0 0 1\r\ny\r\n",
            b"append b 0 0 1\r\nz\r\n", b"prepend b 0 0 1\r\nw\r\n", b"get b\r\n", b"get a b zz\r\n", b"incr a 5\r\n", b"decr a 3\r\n", b"incr zz 1\r\n",
            b"decr b 1\r\n", b"touch a 0\r\n", b"touch zz 0\r\n", b"gat 0 a b\r\n", b"set q 0 0 1 noreply\r\nq\r\nget q\r\n", b"incr a 1 noreply\r\nget a\r\n",
            b"delete q noreply\r\nget q\r\n", b"cas a 0 0 1 999999\r\nx\r\n", b"cas zz 0 0 1 1\r\nx\r\n", b"delete a\r\n", b"delete a\r\n", b"delete b\r\n",
        ]
        answers = []
        for wire in (self.stand.direct(), self.stand.connect()):
            self.stand.direct().ask(b"flush_all\r\n", b"OK\r\n")
            answers.append([collect_reply(wire, request) for request in script])
        for request, direct, through in zip(script, *answers):
            with self.subTest(request=request):
                self.assertEqual(through, direct)

    def test_cas_with_the_unique_that_gets_told(self):
        wire = self.stand.connect()
        wire.ask(store("c", b"1"), b"STORED\r\n").send(b"gets c\r\n")
        head, unique = wire.line().rsplit(b" ", 1)
        self.assertEqual(head, b"VALUE c 0 1")
        wire.expect(b"1\r\nEND\r\n")
        wire.ask(b"cas c 0 0 1 " + unique.strip() + b"\r\n2\r\n", b"STORED\r\n")
        wire.ask(b"get c\r\n", value("c", b"2") + b"END\r\n")

    def test_a_value_too_large_for_the_server_is_its_own_error(self):
        wire = self.stand.connect()
        wire.ask(store("huge", bytes(5 * MEBIBYTE)), b"SERVER_ERROR object too large for cache\r\n")
        wire.ask(b"get huge\r\n", b"END\r\n")


def collect_reply(wire, request: bytes) -> bytes:
    """The reply to `request`, whatever it is: replies have no length of their own, so one that is known comes right behind."""
    mark = b"VALUE the-mark 0 4\r\nmark\r\nEND\r\n"
    wire.send(store("the-mark", b"mark").replace(b" 4\r\n", b" 4 noreply\r\n", 1) + request + b"get the-mark\r\n")
    got = b""
    while not got.endswith(mark):
        more = wire.take(1)
        if not more:
            return got + b" ... and then nothing"
        got += more
    return got[:-len(mark)]


if __name__ == "__main__":
    unittest.main()
