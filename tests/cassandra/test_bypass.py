"""The bypass hunt: hostile statements and frames, sent raw; what Cassandra did must be what we admitted."""

import contextlib
import itertools
import os
import random
import re
import struct
import unittest
from concurrent.futures import ThreadPoolExecutor

import hunt
import stage
import wire
from hostile_cql import NOT_TEXT, forms, mutated, varied
from hostile_frames import ODD_FRAMES, beginnings
from stage import CANARY, HERE, Front
from wire import BATCH, EXECUTE, PREPARE, QUERY, Wire, batch_body, long_text, text

PLACES = {"cilium": HERE / "hunt.yaml", "strict": HERE / "hunt-strict.yaml"}
# What the connection of a case is: version and compression.
WIRES = [(4, None), (5, "lz4"), (3, "lz4"), (5, None)]

# Mutated statements for each place, twelve times the rounds of races, and where their chance begins.
CASES = int(os.environ.get("PORTCULLIS_CASES", "1500"))
SEED = os.environ.get("PORTCULLIS_SEED", "1")
# How long a connection that says nothing is listened to, before it is taken to have nothing more to say.
QUIET_SECONDS = 0.5


class Bypass(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = stage.SERVERS.open()
        hunt.build(cls.server)
        cls.front = cls.enterClassContext(Front("bypass", {**PLACES, "anywhere": HERE / "hunt-anywhere.yaml", "all": stage.ALLOW_ALL}))

    def setUp(self):
        self.wires: list[Wire] = []
        self.addCleanup(self.hang_up)

    def watch(self, place: str, **options) -> hunt.Watch:
        watch = hunt.Watch(self.front, place, **options)
        self.addCleanup(watch.direct.close)
        return watch

    def hang_up(self):
        while self.wires:
            self.wires.pop().close()

    def connect(self, place: str, version: int = 4, compression: str | None = None) -> Wire:
        self.wires.append(Wire(self.front.ports[place], version, compression=compression))
        return self.wires[-1]

    def innocent(self, reply: wire.Reply, what) -> None:
        """No answer carries what is in a table that nobody may read."""
        if CANARY.encode() in reply.frame.body:
            raise hunt.Bypass(f"{what!r} was answered with what is in a forbidden table")

    def ask(self, place: str, connection: list, what, send) -> wire.Reply | None:
        """One request on the connection that `connection` holds; on a new one if the last was closed over it."""
        try:
            reply = send(connection[0])
        except (AssertionError, OSError):
            version, compression = connection[0].version, connection[0].compression
            connection[0].close()
            connection[0] = self.connect(place, version, compression)
            return None
        self.innocent(reply, what)
        return reply

    # ---- statements

    def hunt_statements(self, place: str, statements: list, version: int, compression: str | None) -> None:
        watch = self.watch(place)
        connection = [self.connect(place, version, compression)]
        closed = []
        for number, statement in enumerate(statements):
            if self.ask(place, connection, statement, lambda peer: peer.query(statement)) is None:
                closed.append(statement)
            prepared = self.ask(place, connection, statement, lambda peer: peer.prepare(statement))
            if prepared is not None and prepared.kind == wire.PREPARED:
                self.ask(place, connection, statement, lambda peer: peer.execute(prepared))
            if isinstance(statement, str):
                self.ask(place, connection, statement, lambda peer: peer.batch("INSERT INTO open.t (k, v) VALUES (3, 'batch')", statement))
            if number % 20 == 0:
                watch.look(statements[max(0, number - 20):number + 1])
        watch.look(statements[-20:])
        watch.look_at_tables("all statements")
        self.assertEqual(closed, [], "a statement that is not understood is answered, and the connection lives on")
        self.assertGreater(watch.denied, len(statements))

    def test_forbidden_statements_in_hostile_forms(self):
        for place, (version, compression) in zip(itertools.cycle(PLACES), WIRES):
            with self.subTest(place=place, version=version, compression=compression):
                self.hunt_statements(place, forms(), version, compression)

    def test_forbidden_statements_varied(self):
        chance = random.Random(7)
        statements = [varied(statement, chance) for statement in forms() * 3]
        for place, version in (("cilium", 4), ("strict", 5)):
            with self.subTest(place=place):
                self.hunt_statements(place, statements, version, None)

    def test_bytes_that_are_not_text(self):
        for version, compression in WIRES:
            with self.subTest(version=version, compression=compression):
                self.hunt_statements("cilium", NOT_TEXT, version, compression)

    def test_open_statements_in_hostile_forms(self):
        """The same forms about the table that is open are mostly done, each as what it was admitted for."""
        watch = self.watch("cilium")
        chance = random.Random(8)
        connection = [self.connect("cilium", 5)]
        did = 0
        for number, statement in enumerate(forms()):
            if statement.startswith(("USE", "LIST")):
                continue
            statement = statement.replace("shut", "free").replace("SHUT", "FREE").replace("sHuT", "fReE")
            for form in (statement, varied(statement, chance)):
                reply = self.ask("cilium", connection, form, lambda peer: peer.query(form))
                did += reply is not None and reply.opcode == wire.RESULT
            if number % 20 == 0:
                watch.look(statement)
        watch.look("the last of them")
        watch.look_at_tables("open statements")
        self.assertGreater(did, 150, "a filter that denies all proves nothing")

    def test_mutated_statements(self):
        """Slips in sound statements. Where all tables are open, what is logged must be what was done; else the closed ones stay as they are."""
        for place, version in (("cilium", 4), ("anywhere", 5), ("strict", 5), ("anywhere", 4)):
            with self.subTest(place=place, version=version):
                chance = random.Random(f"{SEED} {place} {version}")
                watch = self.watch(place, anywhere=place == "anywhere")
                connection, answered = [self.connect(place, version)], 0
                connection[0].query("USE free")
                for _ in range(CASES // 50):
                    statements = [mutated(chance) for _ in range(50)]
                    if place == "anywhere":
                        statements = [re.sub("(?i)shut|open", "wild", statement) for statement in statements]
                    for statement in statements:
                        if chance.random() < 0.3:
                            reply = self.ask(place, connection, statement, lambda peer: peer.prepare(statement))
                            if reply is not None and reply.kind == wire.PREPARED:
                                reply = self.ask(place, connection, statement, lambda peer: peer.execute(reply))
                        else:
                            reply = self.ask(place, connection, statement, lambda peer: peer.query(statement))
                        self.assertIsNotNone(reply, f"{statement!r} cost the connection")
                        answered += reply.opcode == wire.RESULT
                    watch.look(statements)
                self.assertGreater(answered, CASES // 20)
                watch.look_at_tables("mutations")

    # ---- keyspaces

    def test_use_and_unqualified_names(self):
        for place, (version, compression) in zip(itertools.cycle(PLACES), WIRES):
            with self.subTest(place=place, version=version):
                watch = self.watch(place)
                peer = self.connect(place, version, compression)
                self.assertEqual(peer.query("USE open").keyspace, "open")
                self.assertEqual(len(peer.query("SELECT * FROM t WHERE k = 1").rows), 1)
                for name in ("shut", '"shut"', "SHUT", '"Open"', "/**/shut", "shut;"):
                    used = peer.query(f"USE {name}")
                    reply = peer.query("SELECT * FROM t")
                    self.innocent(reply, name)
                    if place == "strict":
                        self.assertTrue(used.denied, (name, used))
                        self.assertEqual(reply.opcode, wire.RESULT, "the keyspace is still open")
                    else:
                        self.assertEqual(used.opcode, wire.RESULT, used)
                        self.assertTrue(reply.denied, (name, reply))
                    self.assertEqual(peer.query("USE nobody").code, wire.UNAUTHORIZED if place == "strict" else wire.INVALID)
                    self.innocent(peer.query("SELECT * FROM t"), name)
                watch.look("USE")

    def test_races_of_use(self):
        """USE and unqualified statements in flight together on one connection, in any order the server likes."""
        for place, (version, compression) in itertools.product(PLACES, WIRES):
            with self.subTest(place=place, version=version, compression=compression):
                chance = random.Random(f"{SEED} {place} {version} {compression}")
                watch = self.watch(place)
                peer = self.connect(place, version, compression)
                ids = [reply for reply in (peer.prepare("SELECT * FROM open.t WHERE k = ?"), ) if reply.id]
                for number in range(CASES // 12):
                    requests = [self.any_request(peer, chance, ids) for _ in range(chance.randrange(2, 16))]
                    frames = [peer.form(opcode, body, stream) for stream, (opcode, body) in enumerate(requests)]
                    if peer.framed and chance.random() < 0.7:
                        peer.raw(peer.wrap(b"".join(frames)))
                    else:
                        peer.raw(b"".join(peer.wrap(frame) for frame in frames))
                    replies = peer.read_all(len(requests))
                    for stream, reply in replies.items():
                        self.innocent(reply, requests[stream])
                        if reply.kind == wire.PREPARED:
                            ids.append(reply)
                    if number % 10 == 9:
                        watch.look(f"round {number}")
                watch.look_at_tables("races")
                self.assertGreater(sum(watch.executed.values()), 20)

    def any_request(self, peer: Wire, chance: random.Random, ids: list) -> tuple[int, bytes]:
        name = chance.choice(["t", "t", '"T"', "open.t", "shut.t", '"Open".t'])
        statement = chance.choice([f"SELECT * FROM {name}", f"SELECT v FROM {name} WHERE k = 1", f"INSERT INTO {name} (k, v) VALUES (4, 'race')",
                                   f"UPDATE {name} SET v = 'race' WHERE k = 4", f"DELETE FROM {name} WHERE k = 4"])
        keyspace = chance.choice(["open", "shut", "Open", None]) if peer.version >= 5 and chance.random() < 0.3 else None
        kind = chance.randrange(8)
        if kind < 2:
            return QUERY, peer.query_body(chance.choice(["USE open", "USE shut", 'USE "Open"', "use OPEN", "USE nobody"]))
        if kind == 2 and chance.random() < 0.2:
            return PREPARE, peer.prepare_body(chance.choice(["USE shut", "USE open"]))
        if kind == 2:
            return PREPARE, peer.prepare_body(statement, keyspace)
        if kind == 3 and ids:
            return EXECUTE, peer.execute_body(chance.choice(ids), *([1] if chance.random() < 0.5 else []))
        if kind == 4:
            writes = [write for write in (f"INSERT INTO {name} (k, v) VALUES (4, 'race')", "DELETE FROM t WHERE k = 4") if chance.random() < 0.7]
            return BATCH, batch_body(peer.version, writes, keyspace=keyspace)
        return QUERY, peer.query_body(statement, keyspace=keyspace)

    def test_keyspace_of_a_request(self):
        for place in PLACES:
            for version in (3, 4, 5):
                with self.subTest(place=place, version=version):
                    watch = self.watch(place)
                    connection = [self.connect(place, version)]
                    self.ask(place, connection, "USE open", lambda peer: peer.query("USE open"))
                    for keyspace in ("shut", "Open", "SHUT", "", "open\0", "nobody"):
                        what = (version, keyspace)
                        # In v3 and v4 the flag means nothing to us, and perhaps something to the server.
                        self.ask(place, connection, what, lambda peer: peer.query("SELECT * FROM t", keyspace=keyspace))
                        self.ask(place, connection, what, lambda peer: peer.query("INSERT INTO t (k) VALUES (66)", keyspace=keyspace))
                        self.ask(place, connection, what, lambda peer: peer.query("SELECT * FROM open.t WHERE k = 1", keyspace=keyspace))
                        self.ask(place, connection, what, lambda peer: peer.batch("INSERT INTO t (k) VALUES (66)", keyspace=keyspace))
                        self.ask(place, connection, what, lambda peer: peer.query("USE shut", keyspace="open"))
                        self.ask(place, connection, what, lambda peer: peer.query("SELECT * FROM t"))
                        prepared = self.ask(place, connection, what, lambda peer: peer.prepare("SELECT * FROM t", keyspace))
                        if prepared is not None and prepared.kind == wire.PREPARED:
                            self.ask(place, connection, what, lambda peer: peer.execute(prepared))
                            self.ask(place, connection, what, lambda peer: peer.execute(prepared, keyspace="shut"))
                        allowed = self.ask(place, connection, what, lambda peer: peer.prepare("SELECT * FROM open.t"))
                        if allowed is not None and allowed.kind == wire.PREPARED:
                            self.ask(place, connection, what, lambda peer: peer.execute(allowed, keyspace=keyspace))
                        watch.look(what)
                    watch.look_at_tables("keyspaces of requests")

    # ---- prepared statements

    def test_an_id_means_what_it_was_prepared_for(self):
        """Prepared in one keyspace and executed in another, on another connection, and after the server has forgotten."""
        for place, (version, compression) in itertools.product(PLACES, WIRES):
            with self.subTest(place=place, version=version, compression=compression):
                watch = self.watch(place)
                one, two = self.connect(place, version, compression), self.connect(place, version, compression)
                one.query("USE open")
                two.query("USE shut")
                prepared = one.prepare("SELECT * FROM t WHERE k = ?")
                self.assertEqual(prepared.kind, wire.PREPARED, prepared)
                self.assertEqual(len(one.execute(prepared, 1).rows), 1)
                reply = two.execute(prepared, 1)
                self.innocent(reply, "an id in another keyspace")
                self.assertEqual(len(reply.rows), 1, "an id keeps its keyspace")
                one.query("USE shut")
                self.assertEqual(len(one.execute(prepared, 1).rows), 1)
                refused = two.prepare("SELECT * FROM shut.t WHERE k = ?")
                self.assertTrue(refused.denied, refused)
                watch.look("ids")

    def test_an_id_that_nobody_prepared_here(self):
        """The server knows it, we have never seen it: the client is told to prepare, and only then judged."""
        for place, (version, compression) in itertools.product(PLACES, WIRES):
            with self.subTest(place=place, version=version, compression=compression):
                watch = self.watch(place)
                with Wire(self.server.port, version) as direct:
                    watch.own_ports.add(direct.local_port)
                    table = f'shut.{chr(34)}from{chr(34)}'
                    secret = direct.prepare(f"INSERT INTO {table} (k, v) VALUES (?, ?)")
                    known = direct.prepare("INSERT INTO open.t (k, v) VALUES (?, ?)")
                with Wire(self.front.ports["all"], version) as elsewhere:
                    self.assertEqual(elsewhere.prepare("SELECT * FROM shut.t WHERE k = ?").kind, wire.PREPARED)
                    elsewhere_id = elsewhere.prepare("SELECT * FROM shut.t WHERE k = ?")
                peer = self.connect(place, version, compression)
                for unknown in (secret, elsewhere_id):
                    reply = peer.execute(unknown, 1, "x")
                    self.assertEqual((reply.code, reply.unknown_id), (wire.UNPREPARED, unknown.id), reply)
                    self.assertEqual(peer.batch((unknown.id, (66, "x"))).code, wire.UNPREPARED)
                    self.assertIn(peer.batch("DELETE FROM shut.t WHERE k = 1", (unknown.id, (66, "x"))).code, (wire.UNPREPARED, wire.UNAUTHORIZED))
                self.assertTrue(peer.prepare(f"INSERT INTO {table} (k, v) VALUES (?, ?)").denied)
                self.assertEqual(peer.execute(secret, 66, "x").code, wire.UNPREPARED)
                again = peer.prepare("INSERT INTO open.t (k, v) VALUES (?, ?)")
                self.assertEqual(again.id, known.id)
                self.assertEqual(peer.execute(again, 6, "x").kind, wire.VOID)
                for odd in (b"", b"\0", known.id[:-1], known.id + b"\0", known.id * 4, b"\xff" * 0xFFFF):
                    self.ask(place, [peer], odd, lambda peer: peer.ask(EXECUTE, text(odd) + peer.execute_body(again, 1, "x")[2 + len(again.id):]))
                watch.look("unknown ids")
                watch.look_at_tables("unknown ids")

    def test_an_id_that_somebody_else_may_execute(self):
        """What headquarters prepared is known to all connections of the listener; who executes it is judged by his own rights."""
        stage.build_empire(self.server)
        outpost, headquarters = "127.0.0.41", "127.0.0.42"
        front = self.enterContext(Front("two-peers", {"empire": (stage.EMPIRE, {outpost: stage.OUTPOST, headquarters: stage.HEADQUARTERS})}))
        for version, compression in WIRES:
            with self.subTest(version=version, compression=compression), \
                    Wire(front.ports["empire"], version, who=headquarters, compression=compression) as one, \
                    Wire(front.ports["empire"], version, who=outpost, compression=compression) as other:
                secret = one.prepare("SELECT scroll FROM deathstar.plans WHERE id = ?")
                shared = other.prepare("INSERT INTO attendance.daily_records (creation, trooper) VALUES (now(), ?)")
                self.assertEqual(one.execute(secret, 1).rows, [[CANARY.encode()]])
                for _ in range(3):
                    self.assertTrue(other.execute(secret, 1).denied)
                    self.assertTrue(other.batch((shared.id, ("x",)), (secret.id, (1,))).denied)
                    self.assertEqual(other.execute(shared, "x").kind, wire.VOID)
                    self.assertEqual(one.execute(shared, "x").kind, wire.VOID)

    def test_answers_to_prepare_are_told_apart(self):
        """Many PREPAREs in flight on one connection; each id must mean its own statement."""
        for place, (version, compression) in itertools.product(PLACES, WIRES):
            with self.subTest(place=place, version=version, compression=compression):
                watch = self.watch(place)
                peer = self.connect(place, version, compression)
                statements = [f"SELECT k AS c{number} FROM {'open' if number % 3 else 'shut'}.t" for number in range(60)]
                chance = random.Random(11)
                streams = chance.sample(range(0x8000), len(statements))
                for stream, statement in zip(streams, statements):
                    peer.send(PREPARE, peer.prepare_body(statement), stream=stream)
                replies = peer.read_all(len(statements))
                for number, stream in enumerate(streams):
                    reply = replies[stream]
                    self.assertEqual(reply.kind == wire.PREPARED, bool(number % 3), (statements[number], reply))
                    if reply.kind == wire.PREPARED:
                        self.assertEqual(peer.execute(reply).opcode, wire.RESULT)
                self.assertEqual(len(watch.look("prepares in flight")), 40)

    def test_two_prepares_on_one_stream(self):
        """Nobody can tell which answer belongs to which. Whatever comes of it, no id may pass for another statement's."""
        for place, (version, compression) in itertools.product(PLACES, WIRES):
            with self.subTest(place=place, version=version, compression=compression):
                watch = self.watch(place)
                for number in range(20):
                    peer = self.connect(place, version, compression)
                    pair = [f"SELECT k AS s{number} FROM open.t", f"INSERT INTO open.t (k, v) VALUES (7, 's{number}')"]
                    random.Random(number).shuffle(pair)
                    for statement in pair:
                        peer.send(PREPARE, peer.prepare_body(statement), stream=5)
                    with contextlib.suppress(OSError, AssertionError):
                        for reply in (peer.read(), peer.read()):
                            if reply.kind == wire.PREPARED:
                                peer.execute(reply)
                    peer.close()
                watch.look("streams twice")

    def test_functions_and_types_are_objects_too(self):
        """`shut` is touched by more than the names of its tables."""
        with Wire(self.server.port) as direct:
            direct.query("CREATE FUNCTION IF NOT EXISTS shut.f (n int) CALLED ON NULL INPUT RETURNS int LANGUAGE java AS 'return 7;'")
            direct.query("CREATE TYPE IF NOT EXISTS shut.ty (a int)")
            direct.query("CREATE INDEX IF NOT EXISTS by_v ON shut.t (v)")
        for place in PLACES:
            peer = self.connect(place)
            for statement in ("SELECT shut.f(k) FROM open.t", "SELECT k FROM open.t WHERE k = shut.f(1)", "INSERT INTO open.t (k) VALUES (shut.f(1))",
                              "UPDATE open.t SET v = 'x' WHERE k = shut.f(2)", "DELETE FROM open.t WHERE k IN (1, \"shut\".f(3))", "SELECT (shut.ty) k FROM open.t"):
                with self.subTest(place=place, statement=statement):
                    self.assertEqual(peer.query(statement).opcode, wire.ERROR)
                    self.assertIn(peer.prepare(statement).code, (wire.UNAUTHORIZED, wire.SYNTAX_ERROR))

    # ---- batches

    def test_batches_are_judged_whole(self):
        for place, (version, compression) in itertools.product(PLACES, WIRES):
            with self.subTest(place=place, version=version, compression=compression):
                watch = self.watch(place)
                connection = [self.connect(place, version, compression)]
                peer = connection[0]
                good = peer.prepare("INSERT INTO open.t (k, v) VALUES (?, ?)")
                text_good, text_bad = "INSERT INTO open.t (k) VALUES (70)", "INSERT INTO shut.t (k) VALUES (70)"
                self.assertEqual(peer.batch((good.id, (70, None)), text_good, (good.id, (71, wire.NOT_SET if version > 3 else "x"))).kind, wire.VOID)
                for kind in (0, 1, 2):
                    for at in range(5):
                        statements = [(good.id, (70, None)), text_good] * 2
                        statements.insert(at, text_bad)
                        reply = self.ask(place, connection, statements, lambda peer: peer.ask(BATCH, batch_body(version, statements, kind=kind)))
                        self.assertTrue(reply.denied, reply)
                odd = [batch_body(version, [text_good, text_bad], kind=3), batch_body(version, [text_good, text_bad], kind=255),
                       # A count that is not the number of statements, one way and the other.
                       b"\0\0\1" + batch_body(version, [text_good, text_bad])[3:], b"\0\0\3" + batch_body(version, [text_good, text_bad])[3:],
                       b"\0\0\0" + batch_body(version, [text_bad])[3:], batch_body(version, [text_good])[:-1], batch_body(version, [text_good]) + batch_body(version, [text_bad]),
                       # A kind of statement that is neither text nor id.
                       b"\0\0\1\2" + long_text(text_bad) + b"\0\0" + batch_body(version, [])[3:],
                       # Values by name, which BATCH does not have.
                       b"\0\0\1\0" + long_text(text_bad) + b"\0\0" + struct.pack(">H", 1) + (b"\0\0\0\x40" if version >= 5 else b"\x40"),
                       b"\0\0\1\0" + struct.pack(">i", -1) + b"\0\0" + batch_body(version, [])[3:],
                       b"\0\0\1\0" + struct.pack(">i", 0x7FFFFFFF) + batch_body(version, [text_bad])[8:],
                       batch_body(version, ["BEGIN BATCH " + text_bad + " APPLY BATCH"]), batch_body(version, ["USE shut", "INSERT INTO t (k) VALUES (70)"]),
                       batch_body(version, ["SELECT * FROM shut.t"])]
                for body in odd:
                    self.ask(place, connection, body, lambda peer: peer.ask(BATCH, body))
                watch.look("batches")
                watch.look_at_tables("batches")

    # ---- frames

    def test_odd_frames(self):
        """Whatever becomes of them, nothing forbidden is done."""
        for place, (version, compression) in itertools.product(PLACES, WIRES):
            with self.subTest(place=place, version=version, compression=compression):
                watch = self.watch(place)

                def play(case):
                    name, send = case
                    with Wire(self.front.ports[place], version, compression=compression) as peer:
                        peer.socket.settimeout(QUIET_SECONDS)
                        with contextlib.suppress(OSError):
                            send(peer)
                            self.listen(peer, name)
                self.play_together(play, ODD_FRAMES)
                watch.look("odd frames")
                watch.look_at_tables("odd frames")

    def test_odd_beginnings(self):
        """Requests on a connection that has not begun, or begins twice or in another version."""
        for place, version in itertools.product(PLACES, (3, 4, 5)):
            with self.subTest(place=place, version=version):
                watch = self.watch(place)

                def play(case):
                    name, parts = case
                    with Wire(self.front.ports[place], version, startup=False) as peer:
                        peer.socket.settimeout(QUIET_SECONDS)
                        for part in parts:
                            with contextlib.suppress(OSError):
                                peer.raw(part)
                                self.listen(peer, name)
                self.play_together(play, beginnings(version))
                watch.look("beginnings")
                watch.look_at_tables("beginnings")

    def play_together(self, play, cases: dict) -> None:
        """All at once, each on a connection of its own: most of the time they wait for an answer that does not come."""
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(play, cases.items()))

    def listen(self, peer: Wire, what) -> None:
        """Until nothing more comes: no answer may hold what is forbidden."""
        while data := peer.socket.recv(1 << 16):
            if CANARY.encode() in data:
                raise hunt.Bypass(f"{what!r} was answered with what is in a forbidden table")

    def test_the_hunt_would_see_it(self):
        """Where everything is allowed, each witness tells of it."""
        watch = self.watch("all")
        with self.assertRaisesRegex(hunt.Bypass, "was done"):
            peer = self.connect("all")
            self.assertEqual(peer.query("SELECT k FROM shut.t").kind, wire.ROWS)
            watch.look("reading shut.t")
        with self.assertRaisesRegex(hunt.Bypass, "rows, and has"):
            peer.query("INSERT INTO shut.\"from\" (k) VALUES (99)")
            watch.look_at_tables("writing shut.t")
        with self.assertRaisesRegex(hunt.Bypass, "was answered with"):
            self.innocent(peer.query("SELECT v FROM shut.t WHERE k = 1"), "reading")
        peer.query("DELETE FROM shut.\"from\" WHERE k = 99")


if __name__ == "__main__":
    unittest.main()
