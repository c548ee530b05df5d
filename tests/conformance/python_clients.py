"""The Python clients, each doing the same work in its own words."""

MEBIBYTE = 1 << 20
LARGE = bytes(range(256)) * (MEBIBYTE // 256)
TEN_THOUSAND = [f"open/{number}" for number in range(10_000)]
EVERY_OTHER = dict.fromkeys(TEN_THOUSAND[::2], b"here")
TWO_HUNDRED = {f"open/pipelined-{number}": b"%d" % number for number in range(200)}


def shown(attempt) -> str:
    """What a caller sees of a request: the result, or the error."""
    try:
        return repr(attempt())
    except Exception as error:  # whatever the client makes of it is the point
        return f"{type(error).__name__}: {error}"


class Pymemcache:
    """Every request in text; many sets are one write."""

    def __init__(self, port: int):
        from pymemcache.client.base import Client
        self.client = Client(("127.0.0.1", port), timeout=30, connect_timeout=30, default_noreply=False)

    def close(self):
        self.client.close()

    def work(self) -> dict:
        client, did = self.client, {}
        client.flush_all()
        did["set"] = client.set("open/a", b"1")
        did["add what is there"] = client.add("open/a", b"2")
        did["replace"] = client.replace("open/a", b"10")
        did["incr"] = client.incr("open/a", 5)
        did["decr"] = client.decr("open/a", 1)
        client.append("open/a", b">")
        client.prepend("open/a", b"<")
        did["append, prepend"] = client.get("open/a")
        did["miss"] = client.get("open/nothing")
        _, unique = client.gets("open/a")
        did["cas"] = client.cas("open/a", b"swapped", unique)
        did["cas again"] = client.cas("open/a", b"lost", unique)
        did["touch"] = client.touch("open/a", 100)
        did["delete"] = client.delete("open/a")
        did["delete again"] = client.delete("open/a")
        client.set("open/quiet", b"1", noreply=True)
        client.delete("open/quiet", noreply=True)
        did["without a reply"] = client.get("open/quiet")
        client.set("open/large", LARGE)
        did["1 MiB"] = client.get("open/large") == LARGE
        client.set_many(TWO_HUNDRED)
        did["200 pipelined"] = client.get_many(list(TWO_HUNDRED)) == TWO_HUNDRED
        client.set_many(EVERY_OTHER)
        did["10,000 keys"] = client.get_many(TEN_THOUSAND) == EVERY_OTHER
        did["stats"] = client.stats()[b"curr_items"]
        did["stats settings"] = client.stats("settings")[b"binding_protocol"]
        did["version"] = client.version()
        did["flush_all"] = client.flush_all()
        did["after flush_all"] = client.get("open/large")
        return did

    WORK = {
        "set": True, "add what is there": False, "replace": True, "incr": 15, "decr": 14, "append, prepend": b"<14>", "miss": None,
        "cas": True, "cas again": False, "touch": True, "delete": True, "delete again": False,
        "without a reply": None, "1 MiB": True, "200 pipelined": True, "10,000 keys": True, "stats": 5201,
        "stats settings": b"auto-negotiate", "version": b"1.6.18", "flush_all": True, "after flush_all": None,
    }

    def denied(self) -> dict:
        client = self.client
        client.set("open/a", b"1")
        return {
            "get": shown(lambda: client.get("secret/a")),
            "get one of two": shown(lambda: client.get_many(["open/a", "secret/a"])),
            "set": shown(lambda: client.set("secret/a", b"2")),
            "incr": shown(lambda: client.incr("secret/a", 1)),
            "delete": shown(lambda: client.delete("secret/a")),
            "set without a reply": shown(lambda: client.set("secret/a", b"2", noreply=True)),
            "then": shown(lambda: client.get("open/a")),
        }

    # It drops a connection on which it saw an error: one at first, and one after each of five errors.
    DENIED = {
        **dict.fromkeys(["get", "get one of two", "set", "incr", "delete"], "MemcacheClientError: b'access denied'"),
        "set without a reply": "True", "then": "b'1'", "connections": 6,
    }


class Pylibmc:
    """libmemcached."""

    BINARY = False
    BEHAVIORS = {"tcp_nodelay": True, "no_block": True}

    def __init__(self, port: int):
        import pylibmc
        self.client = pylibmc.Client([f"127.0.0.1:{port}"], binary=self.BINARY, behaviors=self.BEHAVIORS)

    def close(self):
        self.client.disconnect_all()

    def work(self) -> dict:
        client, did = self.client, {}
        client.flush_all()
        did["set"] = client.set("open/a", b"1")
        did["add what is there"] = client.add("open/a", b"2")
        did["replace"] = client.replace("open/a", 10)
        did["incr"] = client.incr("open/a", 5)
        did["decr"] = client.decr("open/a", 1)
        client.set("open/b", b"mid")
        client.append("open/b", b">")
        client.prepend("open/b", b"<")
        did["append, prepend"] = client.get("open/b")
        did["miss"] = client.get("open/nothing")
        client.behaviors = {"cas": True}
        _, unique = client.gets("open/b")
        did["cas"] = client.cas("open/b", b"swapped", unique)
        did["cas again"] = shown(lambda: client.cas("open/b", b"lost", unique))
        client.behaviors = {"cas": False}
        did["touch"] = client.touch("open/b", 100)
        did["delete"] = client.delete("open/b")
        did["delete again"] = client.delete("open/b")
        client.set("open/large", LARGE)
        did["1 MiB"] = client.get("open/large") == LARGE
        client.set_multi(TWO_HUNDRED)
        did["200 pipelined"] = client.get_multi(list(TWO_HUNDRED)) == TWO_HUNDRED
        client.set_multi(EVERY_OTHER)
        did["10,000 keys"] = client.get_multi(TEN_THOUSAND) == EVERY_OTHER
        (_, stats), = client.get_stats()
        did["stats"] = stats["curr_items"]
        did["version"] = stats["version"]
        did["flush_all"] = client.flush_all()
        did["after flush_all"] = client.get("open/large")
        return did

    WORK = {
        "set": True, "add what is there": False, "replace": True, "incr": 15, "decr": 14, "append, prepend": b"<mid>", "miss": None,
        "cas": True, "cas again": "False", "touch": True, "delete": True, "delete again": False, "1 MiB": True,
        "200 pipelined": True, "10,000 keys": True, "stats": b"5202", "version": b"1.6.18", "flush_all": True, "after flush_all": None,
    }

    def denied(self) -> dict:
        client = self.client
        client.set("open/a", 1)
        return {
            "get": shown(lambda: client.get("secret/a")),
            "get one of two": shown(lambda: client.get_multi(["open/a", "secret/a"])),
            "set": shown(lambda: client.set("secret/a", b"2")),
            "incr": shown(lambda: client.incr("secret/a", 1)),
            "delete": shown(lambda: client.delete("secret/a")),
            "then": shown(lambda: client.get("open/a")),
        }

    # For a get it keeps the error to itself.
    DENIED = {
        "get": "None", "get one of two": "{}", "set": "ClientError: error 9 from memcached_set: CLIENT ERROR",
        "incr": "ClientError: 1 keys failed", "delete": "ClientError: error 9 from memcached_delete(secret/a): CLIENT ERROR",
        "then": "1", "connections": 1,
    }


class PylibmcBinary(Pylibmc):
    BINARY = True
    # Without waiting, libmemcached's `stat` in binary never ends, whoever answers it.
    BEHAVIORS = {"tcp_nodelay": True}

    def denied(self) -> dict:
        """A request at a time, each by a client of its own, and what the client says to an allowed request right after it."""
        self.client.set("open/a", 1)
        requests = {
            "get": lambda client: client.get("secret/a"),
            "get one of two": lambda client: client.get_multi(["open/a", "secret/a"]),
            "set": lambda client: client.set("secret/a", b"2"),
            "incr": lambda client: client.incr("secret/a", 1),
            "delete": lambda client: client.delete("secret/a"),
        }
        did = {}
        for name, request in requests.items():
            client = self.client.clone()
            did[name] = shown(lambda: request(client)), shown(lambda: client.get("open/a"))
            client.disconnect_all()
        return did

    # To libmemcached a status that it has no name for means that the server failed, though nobody hung up; it asks it nothing for
    # two seconds. So it does when memcached itself says `Invalid arguments` or `Non-numeric server-side value`.
    DOWN = "ServerDown: error 47 from memcached_get(open/a): SERVER HAS FAILED AND IS DISABLED UNTIL TIMED RETRY"
    DENIED = {
        "get": ("None", DOWN), "get one of two": ("{'open/a': 1}", DOWN),
        "set": ("UnknownReadFailure: error 7 from memcached_set: UNKNOWN READ FAILURE", DOWN),
        "incr": ("UnknownReadFailure: 1 keys failed", DOWN),
        "delete": ("UnknownReadFailure: error 7 from memcached_delete(secret/a): UNKNOWN READ FAILURE", DOWN), "connections": 6,
    }


class Bmemcached:
    """python-binary-memcached: many sets and many gets are quiet commands with a noop behind them."""

    def __init__(self, port: int):
        import bmemcached
        self.client = bmemcached.Client((f"127.0.0.1:{port}",), socket_timeout=30)

    def close(self):
        self.client.disconnect_all()

    def work(self) -> dict:
        client, did = self.client, {}
        client.flush_all()
        did["set"] = client.set("open/a", "1")
        did["add what is there"] = client.add("open/a", "2")
        did["replace"] = client.replace("open/a", "10")
        did["incr"] = client.incr("open/a", 5)
        did["decr"] = client.decr("open/a", 1)
        did["miss"] = client.get("open/nothing")
        _, unique = client.gets("open/a")
        did["cas"] = client.cas("open/a", b"swapped", unique)
        did["cas again"] = client.cas("open/a", b"lost", unique)
        did["delete"] = client.delete("open/a")
        did["delete again"] = client.delete("open/a")
        client.set("open/large", LARGE, compress_level=0)
        did["1 MiB"] = client.get("open/large") == LARGE
        client.set_multi(TWO_HUNDRED)
        did["200 pipelined"] = client.get_multi(list(TWO_HUNDRED)) == TWO_HUNDRED
        client.set_multi(EVERY_OTHER)
        did["10,000 keys"] = client.get_multi(TEN_THOUSAND) == EVERY_OTHER
        stats, = client.stats().values()
        did["stats"] = stats["curr_items"]
        did["version"] = stats["version"]
        did["flush_all"] = client.flush_all()
        did["after flush_all"] = client.get("open/large")
        return did

    WORK = {
        "set": True, "add what is there": False, "replace": True, "incr": 15, "decr": 14, "miss": None, "cas": True, "cas again": False,
        "delete": True, "delete again": True, "1 MiB": True, "200 pipelined": True, "10,000 keys": True, "stats": b"5201",
        "version": b"1.6.18", "flush_all": True, "after flush_all": None,
    }

    def denied(self) -> dict:
        client = self.client
        client.set("open/a", "1")
        return {
            "get": shown(lambda: client.get("secret/a")),
            "get one of two": shown(lambda: client.get_multi(["open/a", "secret/a"])),
            "set": shown(lambda: client.set("secret/a", "2")),
            "set one of two": shown(lambda: client.set_multi({"open/b": "2", "secret/a": "2"})),
            "incr": shown(lambda: client.incr("secret/a", 1)),
            "delete": shown(lambda: client.delete("secret/a")),
            "then": shown(lambda: client.get("open/a")),
        }

    DENIED = {
        **dict.fromkeys(["get", "get one of two", "set", "incr"], "MemcachedException: Code: 8 Message: b'access denied' (code 8)"),
        "set one of two": "['secret/a']", "delete": "MemcachedException: Code: 8 message: b'access denied' (code 8)",
        "then": "'1'", "connections": 1,
    }
