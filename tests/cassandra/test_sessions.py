"""How connections begin, end and begin again: versions that nobody speaks, passwords, lost servers, policies that change."""

import socket
import socketserver
import threading
import unittest

import stage
import wire
from stage import ALLOW_ALL, CANARY, EMPIRE, HERE, OUTPOST, SERVERS, Front, harness, unique, wait_for

try:
    from cassandra import AuthenticationFailed, ProtocolVersion, Unauthorized
    from cassandra.auth import PlainTextAuthProvider
    from cassandra.cluster import NoHostAvailable
    from cassandra.policies import ConstantReconnectionPolicy, ConstantSpeculativeExecutionPolicy
    from cassandra.query import SimpleStatement
    from python_work import COMBINATIONS, create_keyspace, session
except ImportError as missing:
    raise unittest.SkipTest(f"tools/fetch-cassandra-clients could not get the Python driver: {missing}") from missing


class Versions(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.front = cls.enterClassContext(Front("versions", {"all": ALLOW_ALL}))

    def test_a_driver_finds_the_version_by_itself(self):
        """It begins with versions of another maker's server, and goes down over our errors as over the server's."""
        for port in (SERVERS.open().port, self.front.ports["all"]):
            for compression in (None, "lz4"):
                with session(port, None, compression) as connected:
                    self.assertEqual(connected.cluster.protocol_version, 5)

    def test_versions_that_are_not_to_be_had(self):
        for version in (ProtocolVersion.DSE_V2, ProtocolVersion.DSE_V1, ProtocolVersion.V6, 2, 1):
            with self.subTest(version=version):
                told = []
                for port in (SERVERS.open().port, self.front.ports["all"]):
                    try:
                        with session(port, version):
                            told.append("connected")
                    except Exception as error:
                        told.append(type(error).__name__)
                self.assertEqual(told[0], told[1])
                self.assertNotEqual(told[1], "connected")

    def test_what_we_say_to_unknown_versions_is_what_drivers_read(self):
        """ERROR 0x0A in a version that is to be had, with the words drivers look for."""
        for version in (0x41, 0x42, 0x7F):
            with self.subTest(version=version):
                for port in (SERVERS.open().port, self.front.ports["all"]):
                    with wire.Wire(port, version, startup=False) as peer:
                        reply = peer.raw(wire.envelope(version, wire.OPTIONS, 3, b"")).read()
                        self.assertEqual((reply.code, reply.frame.version & 0x80), (wire.PROTOCOL_ERROR, 0x80), reply)
                        self.assertIn("nsupported protocol version", reply.message)
                        self.assertIn(reply.frame.version & 0x7F, (3, 4, 5))

    def test_options_before_startup(self):
        for version in (3, 4, 5):
            with wire.Wire(self.front.ports["all"], version, startup=False) as peer:
                reply = peer.ask(wire.OPTIONS)
                self.assertEqual(reply.opcode, wire.SUPPORTED)
                self.assertEqual(reply.frame.version & 0x7F, version)


class Passwords(unittest.TestCase):
    """A Cassandra that asks for passwords, and judges rights of its own."""

    @classmethod
    def setUpClass(cls):
        cls.server = SERVERS.guarded()
        cls.front = cls.enterClassContext(Front("passwords", {"all": ALLOW_ALL, "roles": HERE / "roles.yaml"}, cls.server))

        def there():
            with session(cls.server.port, auth_provider=PlainTextAuthProvider("cassandra", "cassandra")) as root:
                root.execute(f"CREATE ROLE IF NOT EXISTS trooper WITH PASSWORD = '{CANARY}' AND LOGIN = true")
                if not root.execute("SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = 'barracks'").all():
                    create_keyspace(root, "barracks")
                    root.execute("CREATE TABLE barracks.beds (id int PRIMARY KEY)")
                root.execute("GRANT SELECT ON barracks.beds TO trooper")
            return True

        def made():
            try:
                return there()
            except NoHostAvailable:
                return False
        wait_for("the first role of Cassandra", made)

    def test_good_and_bad_passwords(self):
        for version, compression in COMBINATIONS:
            with self.subTest(version=version, compression=compression):
                with session(self.front.ports["all"], version, compression, auth_provider=PlainTextAuthProvider("trooper", CANARY)) as trooper:
                    self.assertEqual(trooper.execute("SELECT * FROM barracks.beds").all(), [])
                    # The server's own denial, as it is without us.
                    with self.assertRaises(Unauthorized) as caught:
                        trooper.execute("TRUNCATE barracks.beds")
                    self.assertIn("trooper", str(caught.exception))
                with self.assertRaises(NoHostAvailable) as refused, session(
                        self.front.ports["all"], version, compression, auth_provider=PlainTextAuthProvider("trooper", CANARY + "!")):
                    pass
                self.assertIsInstance(next(iter(refused.exception.errors.values())), AuthenticationFailed)
        self.assertNotIn(CANARY, self.front.told())

    def test_requests_before_the_password(self):
        """Nothing is done for who has not said who he is, and nothing is known of him."""
        for version in (3, 4, 5):
            with self.subTest(version=version), wire.Wire(self.front.ports["all"], version, startup=False) as peer:
                self.assertEqual(peer.start().opcode, wire.AUTHENTICATE)
                reply = peer.query("SELECT * FROM barracks.beds")
                self.assertEqual(reply.opcode, wire.ERROR)

    def test_a_password_sent_raw(self):
        for version, compression in ((3, "lz4"), (4, "snappy"), (5, "lz4"), (5, None)):
            with self.subTest(version=version), wire.Wire(self.front.ports["all"], version, compression=compression, startup=False) as peer:
                peer.start()
                reply = peer.ask(wire.AUTH_RESPONSE, wire.long_text(f"\0trooper\0{CANARY}"))
                self.assertEqual(reply.opcode, wire.AUTH_SUCCESS, reply)
                self.assertEqual(peer.query("SELECT * FROM barracks.beds").kind, wire.ROWS)
        self.assertNotIn(CANARY, self.front.told())

    def test_rules_about_roles(self):
        with session(self.front.ports["roles"], auth_provider=PlainTextAuthProvider("cassandra", "cassandra")) as root:
            name = "recruit_1"
            root.execute(f"CREATE ROLE {name} WITH PASSWORD = '{CANARY}' AND LOGIN = true")
            root.execute(f"ALTER ROLE {name} WITH LOGIN = false")
            root.execute(f"GRANT SELECT ON barracks.beds TO {name}")
            root.execute(f"DROP ROLE {name}")
            for statement in (f"CREATE ROLE vader WITH PASSWORD = '{CANARY}' AND SUPERUSER = true", f"ALTER ROLE cassandra WITH PASSWORD = '{CANARY}'",
                              "GRANT cassandra TO trooper", "DROP ROLE trooper", f"CREATE USER vader WITH PASSWORD '{CANARY}' SUPERUSER",
                              "GRANT SELECT ON barracks.beds TO trooper", "GRANT SELECT ON ALL KEYSPACES TO recruit", "LIST ROLES"):
                with self.subTest(statement), self.assertRaises(Unauthorized) as caught:
                    root.execute(statement)
                self.assertNotIn("User cassandra has no", str(caught.exception), "the denial is ours")
        self.assertNotIn(CANARY, self.front.told())


class Again(unittest.TestCase):
    """Connections that come and go."""

    @classmethod
    def setUpClass(cls):
        stage.build_empire(SERVERS.open())
        cls.front = cls.enterClassContext(Front("again", {"all": ALLOW_ALL, "outpost": (EMPIRE, OUTPOST)}))

    def test_prepared_once_executed_after_reconnecting(self):
        """The driver's connections are cut; it makes new ones, and executes what it prepared on the old."""
        for version in (3, 4, 5):
            with self.subTest(version=version), session(self.front.ports["outpost"], version,
                                                        reconnection_policy=ConstantReconnectionPolicy(0.1, None)) as outpost:
                insert = outpost.prepare("INSERT INTO attendance.daily_records (creation, trooper) VALUES (now(), ?)")
                outpost.execute(insert, (CANARY,))
                for pool in outpost.get_pools():
                    pool._connection._socket.shutdown(socket.SHUT_RDWR)
                wait_for("the driver is back", lambda: self.works(lambda: outpost.execute(insert, (CANARY,), timeout=5)))
                with self.assertRaises(Unauthorized):
                    outpost.prepare("SELECT * FROM attendance.daily_records")

    def works(self, do) -> bool:
        try:
            do()
            return True
        except Exception:
            return False

    def test_an_envoy_that_knows_no_ids(self):
        """Another Envoy takes the place of the first, as after a restart: it has seen no PREPARE, and the driver prepares again by itself."""
        for version in (3, 4, 5):
            with self.subTest(version=version):
                first = Front(f"first-{version}", {"outpost": (EMPIRE, OUTPOST)})
                relay = Relay(first.ports["outpost"])
                with relay, session(relay.port, version, reconnection_policy=ConstantReconnectionPolicy(0.1, None)) as outpost:
                    insert = outpost.prepare("INSERT INTO attendance.daily_records (creation, trooper) VALUES (now(), ?)")
                    outpost.execute(insert, (CANARY,))
                    second = self.enterContext(Front(f"second-{version}", {"outpost": (EMPIRE, OUTPOST)}))
                    relay.target = second.ports["outpost"]
                    first.close()
                    wait_for("the driver is back", lambda: self.works(lambda: outpost.execute(insert, (CANARY,), timeout=5)))
                    forwarded = [entry["fields"].get("query_action") for entry in second.log("outpost") if entry["verdict"] == "forwarded"]
                    self.assertIn("insert", forwarded)

    def test_speculative_executions(self):
        keyspace = unique("speculative")
        with session(self.front.ports["all"]) as connected:
            create_keyspace(connected, keyspace)
            connected.execute(f"CREATE TABLE {keyspace}.t (id int PRIMARY KEY)")
            profile = connected.execution_profile_clone_update(connected.cluster.profile_manager.default,
                                                               speculative_execution_policy=ConstantSpeculativeExecutionPolicy(0, 3))
            for number in range(50):
                statement = SimpleStatement(f"INSERT INTO {keyspace}.t (id) VALUES ({number})", is_idempotent=True)
                connected.execute(statement, execution_profile=profile)
            self.assertEqual(connected.execute(f"SELECT count(*) FROM {keyspace}.t").one()[0], 50)

    def test_a_policy_that_changes_under_a_session(self):
        """Prepared while it was allowed; denied at the next execution, on the same connection, and allowed again."""
        policy = harness.scratch_folder("changing") / "policy.yaml"
        policy.write_text(EMPIRE.read_text())
        front = self.enterContext(Front("changing-front", {"outpost": (policy, OUTPOST)}))
        with session(front.ports["outpost"]) as outpost:
            insert = outpost.prepare("INSERT INTO attendance.daily_records (creation, trooper) VALUES (now(), ?)")
            outpost.execute(insert, (CANARY,))
            made = front.connections("outpost")
            for action, works in (("delete", False), ("insert", True)):
                text = EMPIRE.read_text().replace("query_action: insert", f"query_action: {action}")
                fresh = policy.with_suffix(".fresh")
                fresh.write_text(text)
                fresh.replace(policy)
                wait_for(f"inserts work: {works}", lambda: self.works(lambda: outpost.execute(insert, (CANARY,))) == works)
            self.assertEqual(front.connections("outpost"), made)


class Relay:
    """Carries connections to a port that may change."""

    def __init__(self, target: int):
        relay = self
        self.target = target

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                try:
                    with socket.create_connection(("127.0.0.1", relay.target)) as there:
                        back = threading.Thread(target=pump, args=(there, self.request), daemon=True)
                        back.start()
                        pump(self.request, there)
                        back.join()
                except OSError:
                    pass

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads, self.server.block_on_close = True, False
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def pump(source, sink) -> None:
    try:
        while data := source.recv(1 << 16):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


if __name__ == "__main__":
    unittest.main()
