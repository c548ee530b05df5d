"""The clients that people use, through the filter."""

import unittest

from harness import ALLOW_ALL, FLEET, WHO, Stand, wait_for, write_json
from test_memcached import MEBIBYTE


def client_library(name: str):
    try:
        return __import__(name)
    except ImportError as error:
        raise unittest.SkipTest(f"tools/fetch-clients could not get {name}: {error}") from error


class Pymemcache(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        client_library("pymemcache")
        cls.all = cls.enterClassContext(Stand("pymemcache-all", [ALLOW_ALL]))
        cls.fleet = cls.enterClassContext(Stand("pymemcache-fleet", [FLEET]))

    def client(self, stand, who="world"):
        """It has no setting for the source address, so the client is given a socket module that binds."""
        import socket
        import types

        from pymemcache.client.base import Client

        class Bound(socket.socket):
            def __init__(self, *arguments, **keywords):
                super().__init__(*arguments, **keywords)
                self.bind((WHO[who], 0))

        bound = types.SimpleNamespace(**{name: getattr(socket, name) for name in dir(socket) if not name.startswith("_")})
        bound.socket = Bound
        client = Client(("127.0.0.1", stand.port), socket_module=bound, timeout=30, connect_timeout=30, default_noreply=False)
        self.addCleanup(client.close)
        return client

    def test_everything_it_can_do(self):
        client = self.client(self.all)
        self.assertTrue(client.set("a", b"1"))
        self.assertFalse(client.add("a", b"2"))
        self.assertTrue(client.replace("a", b"10"))
        self.assertEqual(client.incr("a", 5), 15)
        self.assertEqual(client.decr("a", 1), 14)
        self.assertTrue(client.append("a", b"0"))
        self.assertTrue(client.prepend("a", b"7"))
        self.assertEqual(client.get("a"), b"7140")
        self.assertIsNone(client.get("nothing"))
        self.assertEqual(client.set_many({f"k{number}": b"%d" % number for number in range(100)}), [])
        self.assertEqual(client.get_many([f"k{number}" for number in range(0, 200, 2)]), {f"k{number}": b"%d" % number for number in range(0, 100, 2)})
        data, unique = client.gets("k1")
        self.assertTrue(client.cas("k1", data + b"!", unique))
        self.assertFalse(client.cas("k1", data + b"?", unique))
        self.assertTrue(client.touch("k1", 100))
        self.assertTrue(client.delete("k1"))
        self.assertFalse(client.delete("k1"))
        self.assertTrue(client.set("quiet", b"1", noreply=True))
        self.assertEqual(client.get("quiet"), b"1")
        large = bytes(range(256)) * (MEBIBYTE // 256)
        self.assertTrue(client.set("large", large))
        self.assertEqual(client.get("large"), large)

    def test_a_denial_is_an_error_it_understands(self):
        from pymemcache.exceptions import MemcacheClientError
        monitoring, maintenance = self.client(self.fleet, "monitoring"), self.client(self.fleet, "maintenance")
        self.assertTrue(maintenance.set("alliance/fleet/a", b"1"))
        for _ in range(3):
            self.assertEqual(monitoring.get("alliance/fleet/a"), b"1")
            with self.assertRaisesRegex(MemcacheClientError, "access denied"):
                monitoring.get("empire/plans")
            # pymemcache drops a connection on which it saw an error; wires of our own show that ours stays.
            with self.assertRaisesRegex(MemcacheClientError, "access denied"):
                monitoring.set("alliance/fleet/a", b"2")
        with self.assertRaisesRegex(MemcacheClientError, "access denied"):
            maintenance.set("empire/plans", b"1")
        self.assertTrue(self.client(self.fleet, "jedi").set("empire/plans", b"1"))


class Pylibmc(unittest.TestCase):
    """libmemcached, in its text protocol. It cannot bind a source address, so the identities say who 127.0.0.1 is."""

    @classmethod
    def setUpClass(cls):
        client_library("pylibmc")
        cls.all = cls.enterClassContext(Stand("pylibmc-all", [ALLOW_ALL]))

    def client(self, stand, **behaviors):
        import pylibmc
        client = pylibmc.Client([f"127.0.0.1:{stand.port}"], binary=False, behaviors=behaviors)
        self.addCleanup(client.disconnect_all)
        return client

    def test_everything_it_can_do(self):
        for behaviors in ({}, {"tcp_nodelay": True, "no_block": True}, {"cas": True}):
            with self.subTest(behaviors=behaviors):
                client = self.client(self.all, **behaviors)
                self.assertTrue(client.set("a", b"1"))
                self.assertFalse(client.add("a", b"2"))
                self.assertTrue(client.replace("a", 10))
                self.assertEqual(client.incr("a", 5), 15)
                self.assertEqual(client.decr("a", 1), 14)
                self.assertTrue(client.set("b", b"mid"))
                self.assertTrue(client.append("b", b">"))
                self.assertTrue(client.prepend("b", b"<"))
                self.assertEqual(client.get("b"), b"<mid>")
                self.assertIsNone(client.get("nothing"))
                self.assertEqual(client.set_multi({f"k{number}": number for number in range(100)}), [])
                self.assertEqual(client.get_multi([f"k{number}" for number in range(200)]), {f"k{number}": number for number in range(100)})
                self.assertTrue(client.touch("k1", 100))
                self.assertTrue(client.delete("k1"))
                self.assertFalse(client.delete("k1"))
                large = bytes(range(256)) * (MEBIBYTE // 256)
                self.assertTrue(client.set("large", large))
                self.assertEqual(client.get("large"), large)
        client = self.client(self.all, cas=True)
        data, unique = client.gets("a")
        self.assertTrue(client.cas("a", data + 1, unique))

    def test_denials(self):
        import pylibmc
        stand = self.enterContext(Stand("pylibmc-fleet", [FLEET]))
        stand.connect("jedi").ask(b"set alliance/fleet/a 0 0 1\r\n1\r\n", b"STORED\r\n")
        client = self.client(stand)
        with self.assertRaises(pylibmc.Error):
            client.set("alliance/fleet/a", b"2")
        # For a get that was refused libmemcached has the error, and pylibmc shows it as a miss.
        self.assertIsNone(client.get("alliance/fleet/a"))
        write_json(stand.identities, {"identities": [{"address": "127.0.0.1", "labels": {"function": "fleet-maintenance"}}]})

        def now_maintenance():
            try:
                return self.client(stand).set("alliance/fleet/a", b"3")
            except pylibmc.Error:
                return False
        wait_for("the new identities", now_maintenance)
        client = self.client(stand)
        self.assertEqual(client.get("alliance/fleet/a"), b"3")
        with self.assertRaises(pylibmc.Error):
            client.set("empire/plans", b"1")
        self.assertEqual(client.get("alliance/fleet/a"), b"3")


if __name__ == "__main__":
    unittest.main()
