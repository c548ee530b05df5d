"""What breaks a VM, and what it costs: other VMs go on, and nothing passes that was not judged."""

import itertools
import json
import re
import subprocess
import unittest

import harness
from harness import DENIED, FLEET, ALLOW_ALL, EchoServer, bootstrap, listener, rig, scratch_folder, tcp_proxy, wait_for, write_json
from stand import FILTERS, MODULE, TEST_MODULE, TYPE, Stand, config, plugin

POLICY = {
    "apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy", "metadata": {"name": "droids"}, "spec": {
        "endpointSelector": {}, "ingress": [{"toPorts": [{"ports": [{"port": "4040"}], "rules": {"l7proto": "r2d2", "l7": [{"cmd": "READ"}]}}]}]}}


def droid(protocol: str = "r2d2", **more) -> dict:
    policy = json.dumps(POLICY).replace('"r2d2"', json.dumps(protocol))
    return {"protocol": protocol, "policy": {"inline": policy}, "endpoint": {"labels": {"app": "r2d2"}}, "direction": "ingress", "port": 4040, **more}


class Broken(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        breaker = droid("test.breaker")
        cls.stand = cls.enterClassContext(Stand("wasm-broken", {
            "closed": plugin(breaker, TEST_MODULE, "closed", "FAIL_CLOSED"),
            "closed-too": plugin(droid(), TEST_MODULE, "closed", "FAIL_CLOSED"),
            "reload": plugin(breaker, TEST_MODULE, "reload", "FAIL_RELOAD"),
            "hog": plugin(breaker, TEST_MODULE, "hog", "FAIL_RELOAD"),
            "trap": plugin(breaker, TEST_MODULE, "trap", "FAIL_RELOAD"),
            "other": plugin(droid(), MODULE, "other"),
        }, server=EchoServer()))

    def works(self, front: str) -> bool:
        with self.stand.connect(front=front) as wire:
            try:
                return wire.send(b"READ a\r\n").take(8) == b"READ a\r\n"
            except OSError:
                return False

    def breaks(self, front: str, order: bytes) -> None:
        other = self.stand.connect(front="other").ask(b"READ a\r\n", b"READ a\r\n")
        same = self.stand.connect(front=front).ask(b"READ a\r\n", b"READ a\r\n")
        wire = self.stand.connect(front=front).ask(b"READ a\r\n", b"READ a\r\n")
        self.assertEqual(wire.send(order + b"READ b\r\n").take(1), b"", "the connection that broke it is closed")
        # What else this VM had is gone with its next bytes, and they go nowhere.
        try:
            self.assertEqual(same.send(b"HALT\r\n").take(1), b"")
        except OSError:
            pass
        other.ask(b"READ a\r\n", b"READ a\r\n")
        self.assertTrue(self.works("other"))

    def test_a_panic_fails_closed(self):
        self.assertTrue(self.works("closed-too"))
        self.breaks("closed", b"PANIC\r\n")
        # All listeners of the VM are closed from now on: that is why each policy domain has a VM of its own.
        for front in ("closed", "closed-too"):
            self.assertFalse(self.works(front), front)
        self.assertIn("panic at", self.stand.envoy.log())
        self.assertTrue(self.works("other"))

    def test_after_a_panic_a_vm_is_reloaded(self):
        self.breaks("reload", b"PANIC\r\n")
        wait_for("a new VM", lambda: self.works("reload"))
        self.assertGreater(self.stand.envoy.stats()["wasm.portcullis.vm_reload_success"], 0)

    def test_after_a_failed_allocation_a_vm_is_reloaded(self):
        self.breaks("hog", b"HOG\r\n")
        wait_for("a new VM", lambda: self.works("hog"))


    def test_after_a_trap_a_vm_is_reloaded(self):
        self.breaks("trap", b"TRAP\r\n")
        wait_for("a new VM", lambda: self.works("trap"))


class Unanswerable(unittest.TestCase):
    def test_a_protocol_without_a_stand_in_closes_unless_a_reply_is_owed(self):
        with Stand("wasm-r2d2", {"front": plugin(droid())}, server=EchoServer()) as stand:
            stand.connect().ask(b"READ a\r\nHALT\r\nREAD b\r\nHALT\r\n", b"READ a\r\nERROR\r\nREAD b\r\nERROR\r\n")
            stand.connect().send(b"HALT\r\n").expect_close()
            stand.connect().ask(b"READ a\r\n", b"READ a\r\n").send(b"HALT\r\n").expect_close()


class Size(unittest.TestCase):
    def test_the_module_is_small(self):
        self.assertLess(MODULE.stat().st_size, 1_500_000)


def as_struct(config: dict) -> dict:
    one = plugin("")
    one["typed_config"]["config"]["configuration"] = {"@type": TYPE + "google.protobuf.Struct", "value": config}
    return one


# What cannot be used: a name, the filter, and what the log says of it.
BAD = [
    ("not JSON", plugin("{"), "not JSON"),
    ("empty", plugin(""), "empty"),
    ("a number", plugin("1"), "wanted one JSON object"),
    ("a list", plugin("[]"), "wanted one JSON object"),
    ("a Struct", as_struct(droid()), "no `Struct`"),
    ("nested without end", plugin("[" * 1_000_000), "not JSON"),
    ("a field twice", plugin(json.dumps(droid())[:-1] + ', "port": 1}'), "port"),
    ("half a character", plugin('{"protocol": "\\ud800"}'), "Unicode"),
    ("no such field", plugin(droid(nonsense=1)), "nonsense"),
    ("unknown protocol", plugin(droid("gopher")), "unknown protocol `gopher`"),
    ("a port that is none", plugin(droid(port=65536)), "port"),
    ("a policy that is no text", plugin(droid(policy={"inline": 1})), "inline"),
    ("a file", plugin(droid(policy={"files": ["/etc/passwd"]})), "files"),
    ("limits of another kind", plugin(droid(limits={"heldBytes": -1})), "heldBytes"),
    ("a policy that does not compile", plugin(droid(policy={"inline": "kind: Nonsense"})), "Nonsense"),
    ("a policy of ten megabytes", plugin(droid(policy={"inline": "# " + "x" * 10_000_000})), "policy.inline"),
    ("passthrough", plugin(droid(onParseError="passthrough")), "passthrough"),
]


class Configurations(unittest.TestCase):
    def test_a_bad_configuration_keeps_envoy_from_starting(self):
        folder = scratch_folder("wasm-bad")
        path = folder / "envoy.json"
        path.write_text(json.dumps(bootstrap([listener("front", [plugin("{"), tcp_proxy()])], 9)))
        told = subprocess.run([harness.envoy(), "-c", path, "--disable-hot-restart", "--concurrency", "1", "--mode", "serve"],
                              capture_output=True, text=True, timeout=60)
        self.assertNotEqual(told.returncode, 0)
        self.assertIn("not JSON", told.stderr)

    def test_an_update_replaces_the_policy_and_a_bad_one_changes_nothing(self):
        folder = scratch_folder("wasm-update")
        lds = folder / "lds.json"
        versions = itertools.count(1)

        def put(one):
            front = {"@type": TYPE + "envoy.config.listener.v3.Listener", **listener("front", [one, tcp_proxy()])}
            front["address"]["socket_address"]["port_value"] = port
            write_json(lds, {"version_info": str(next(versions)), "resources": [front]})

        port = rig.free_port()
        put(plugin(config([FLEET])))
        with rig.Memcached(harness.memcached(), folder) as server, \
             rig.Envoy(harness.envoy(), bootstrap([], server.port, lds=lds), folder) as envoy:
            def ask():
                with harness.Wire(port, "world") as wire:
                    return wire.send(b"get a\r\n").line()

            def rejected():
                return envoy.stats()["listener_manager.lds.update_rejected"]

            self.assertEqual(wait_for("the listener", lambda: rig.listening(port) and ask()), DENIED)
            with harness.Wire(port, "world") as open_before:
                open_before.ask(b"get a\r\n", DENIED)
                put(plugin(config([ALLOW_ALL])))
                wait_for("the new policy", lambda: ask() == b"END\r\n")
                # It drains, under the policy that it began with.
                open_before.ask(b"get a\r\n", DENIED)
            with harness.Wire(port, "world") as open_meanwhile:
                for name, one, says in BAD:
                    with self.subTest(name):
                        before, log = rejected(), len(envoy.log())
                        put(one)
                        wait_for("the refusal", lambda: rejected() > before)
                        told = envoy.log()[log:]
                        self.assertRegex(told, f"wasm log .*{re.escape(says)}")
                        self.assertNotIn("panic at", told)
                        self.assertEqual(ask(), b"END\r\n")
                        open_meanwhile.ask(b"get a\r\n", b"END\r\n")
            put(plugin(config([FLEET])))
            wait_for("the policy after that", lambda: ask() == DENIED)

    def test_as_an_http_filter_it_turns_everything_away(self):
        filters = [
            {"name": "wasm", "typed_config": {**plugin(droid())["typed_config"], "@type": TYPE + "envoy.extensions.filters.http.wasm.v3.Wasm"}},
            {"name": "router", "typed_config": {"@type": TYPE + "envoy.extensions.filters.http.router.v3.Router"}},
        ]
        manager = {"name": "http", "typed_config": {
            "@type": FILTERS + "http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "http", "http_filters": filters,
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
                {"match": {"prefix": "/"}, "direct_response": {"status": 200}}]}]}}}
        folder = scratch_folder("wasm-http")
        with rig.Envoy(harness.envoy(), bootstrap([listener("front", [manager])], 9), folder) as envoy:
            wire = harness.Wire(envoy.port_of("front"), "world")
            wire.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            self.assertIn(b" 500 ", wire.line())
            wire.close()


if __name__ == "__main__":
    unittest.main()
