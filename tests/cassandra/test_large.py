"""Large requests and replies, raw: denials between them come whole, and what is denied leaves no trace."""

import itertools
import threading
import unittest

import hunt
import stage
import wire
from stage import HERE, Front
from wire import QUERY, Wire

MEBIBYTE = 1 << 20
WIRES = [(3, None), (3, "snappy"), (4, None), (4, "lz4"), (4, "snappy"), (5, None), (5, "lz4")]


class Large(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = stage.SERVERS.open()
        hunt.build(cls.server)
        cls.front = cls.enterClassContext(Front("large", {"cilium": HERE / "hunt.yaml"}))
        with Wire(cls.server.port) as direct:
            direct.query("CREATE TABLE IF NOT EXISTS open.large (k int PRIMARY KEY, v blob)")
            for key in range(4):
                direct.query("INSERT INTO open.large (k, v) VALUES (?, ?)", key, bytes([key]) * MEBIBYTE)

    def test_denials_between_large_replies(self):
        """Forty requests in flight, every second denied, the others answered with a mebibyte each; each answer is whole and on its stream."""
        for version, compression in WIRES:
            with self.subTest(version=version, compression=compression), Wire(self.front.ports["cilium"], version, compression=compression) as peer:
                streams = range(1, 41)
                for stream in streams:
                    peer.send(QUERY, peer.query_body("SELECT v FROM shut.t" if stream % 2 else f"SELECT v FROM open.large WHERE k = {stream % 4}"), stream=stream)
                for stream, reply in peer.read_all(len(streams)).items():
                    if stream % 2:
                        self.assertTrue(reply.denied, reply)
                    else:
                        self.assertEqual(reply.rows, [[bytes([stream % 4]) * MEBIBYTE]], stream)

    def test_a_large_denied_request(self):
        """Over many segments in v5; what is before it and behind it is done."""
        watch = hunt.Watch(self.front, "cilium")
        for version, compression in WIRES:
            with self.subTest(version=version, compression=compression), Wire(self.front.ports["cilium"], version, compression=compression) as peer:
                for size in (100, 60_000, wire.MAX_PAYLOAD - 100, wire.MAX_PAYLOAD, 200_000, 3 * MEBIBYTE):
                    for value in (b"x" * size, bytes((number * 7919) % 251 for number in range(997)) * (size // 997 + 1)):
                        wanted = {}
                        for table in ("open.large", "shut.large", "open.large", "shut.large"):
                            stream = peer.send(QUERY, peer.query_body(f"INSERT INTO {table} (k, v) VALUES (?, ?)", 9, value))
                            wanted[stream] = table
                        for stream, reply in peer.read_all(4).items():
                            self.assertEqual(reply.denied, wanted[stream] == "shut.large", reply)
                        back = peer.query("SELECT v FROM open.large WHERE k = 9").rows
                        self.assertEqual(back, [[value]])
        watch.look("large requests")
        watch.look_at_tables("large requests")

    def test_many_envelopes_in_one_segment(self):
        """Allowed and denied in every order of six, in as few writes as will hold them."""
        watch, done = hunt.Watch(self.front, "cilium"), 0
        for version, compression in WIRES:
            with self.subTest(version=version, compression=compression), Wire(self.front.ports["cilium"], version, compression=compression) as peer:
                for order in itertools.product((True, False), repeat=6):
                    frames = [peer.form(QUERY, peer.query_body("SELECT v FROM open.t WHERE k = 1" if allowed else "SELECT v FROM shut.t"), stream)
                              for stream, allowed in enumerate(order)]
                    peer.raw(peer.wrap(b"".join(frames)))
                    replies = peer.read_all(len(order))
                    self.assertEqual([not replies[stream].denied for stream in range(6)], list(order))
                    done += sum(order)
        watch.look("many in a segment")
        self.assertEqual(sum(watch.executed.values()), done)

    def test_every_stream_at_once(self):
        """As many requests in flight as there are streams, every third denied."""
        with Wire(self.front.ports["cilium"], 5, compression="lz4") as peer:
            texts = ["SELECT k FROM shut.t", "SELECT k FROM open.t WHERE k = 1", "SELECT v FROM open.t WHERE k = 1"]
            frames = [peer.wrap(peer.form(QUERY, peer.query_body(texts[stream % 3]), stream)) for stream in range(0x8000)]
            sender = threading.Thread(target=peer.raw, args=(b"".join(frames),))
            sender.start()
            replies = peer.read_all(len(frames))
            sender.join()
            self.assertEqual([stream for stream, reply in replies.items() if reply.denied != (stream % 3 == 0)], [])

    def test_one_byte_at_a_time(self):
        for version, compression in WIRES:
            with self.subTest(version=version, compression=compression), Wire(self.front.ports["cilium"], version, compression=compression) as peer:
                for allowed in (True, False, True):
                    whole = peer.wrap(peer.form(QUERY, peer.query_body("SELECT v FROM open.t WHERE k = 1" if allowed else "SELECT v FROM shut.t"), 3))
                    for byte in whole:
                        peer.raw(bytes([byte]))
                    self.assertEqual(peer.read().denied, not allowed)

    def test_more_prepared_statements_than_anybody_keeps(self):
        """Whoever has forgotten one, we or the server, says so; prepared again it works, and none is taken for another."""
        watch = hunt.Watch(self.front, "cilium")
        with Wire(self.front.ports["cilium"], 5) as peer:
            prepared = []
            for batch in range(40):
                texts = [f"SELECT k AS s{batch}_{number} FROM {'open' if number % 2 else 'free'}.t WHERE k = ?" for number in range(100)]
                streams = [peer.send(wire.PREPARE, peer.prepare_body(text)) for text in texts]
                replies = peer.read_all(len(texts))
                prepared += [(text, replies[stream]) for text, stream in zip(texts, streams)]
            for text, reply in prepared[::40] + prepared[-50:]:
                answer = peer.execute(reply, 1)
                if answer.code == wire.UNPREPARED:
                    again = peer.prepare(text)
                    self.assertEqual(again.id, reply.id)
                    answer = peer.execute(again, 1)
                self.assertEqual(answer.opcode, wire.RESULT, answer)
            self.assertEqual(peer.execute(prepared[-1][1], 1).opcode, wire.RESULT, "what was prepared last is known")
        watch.look("many prepared statements")


if __name__ == "__main__":
    unittest.main()
