"""The bootstraps an operator copies carry traffic, with nothing changed but ports and paths."""

import os
import subprocess
import unittest

import harness
from harness import DENIED, SAMPLES, Wire, envoy, memcached, network_namespace, rig, scratch_folder, wait_for
from test_memcached import store, value


def sample(name: str, folder, more: dict[str, str]) -> str:
    return rig.fill_in(SAMPLES / name, {
        "/etc/portcullis/policies": str(only_the_fleet_policy(folder)),
        "/etc/portcullis/identities.yaml": str(SAMPLES / "identities.yaml"),
        "/var/log/portcullis.jsonl": str(folder / "access.jsonl"),
        "port_value: 9901": "port_value: 0",
        **more})


def only_the_fleet_policy(folder):
    """The samples next to it let everybody in, for memcached too; policies add up."""
    policies = folder / "policies"
    policies.mkdir()
    (policies / harness.FLEET.name).write_text(harness.FLEET.read_text())
    return policies


class Sidecar(unittest.TestCase):
    def test_it_carries_traffic_and_labels_its_counters(self):
        folder = scratch_folder("sidecar")
        server = self.enterContext(rig.Memcached(memcached(), folder))
        text = sample("sidecar.yaml", folder, {"port_value: 11211": "port_value: 0", "port_value: 11212": f"port_value: {server.port}"})
        proxy = self.enterContext(rig.Envoy(envoy(), text, folder))
        port = proxy.port_of("memcached")
        with Wire(port, "maintenance") as wire:
            wire.ask(store("alliance/fleet/a", b"1"), b"STORED\r\n")
            wire.ask(b"get empire/plans\r\n", DENIED)
        with Wire(port, "monitoring") as wire:
            wire.ask(b"get alliance/fleet/a\r\n", value("alliance/fleet/a", b"1") + b"END\r\n")
        denied = next(line for line in proxy.admin("/stats/prometheus").splitlines()
                      if 'verdict="denied"' in line and 'l7proto="memcache"' in line)
        self.assertRegex(denied, r'^envoy_portcullis_requests\{.*\} 1$')
        wait_for("the denial in the access log", lambda: harness.read_json_lines(folder / "access.jsonl"))
        wait_for("the denial in the connection's line", lambda: "last_denial=denied" in proxy.log())


class NodeProxy(unittest.TestCase):
    """A node with a memcached at 10.77.1.5 and, in another network namespace, clients who know nothing of a proxy."""

    NODE, OUTSIDE, ENDPOINT = "portcullis-node", "portcullis-clients", "10.77.1.5"
    CLIENTS = {"maintenance": "10.77.0.11", "monitoring": "10.77.0.12", "jedi": "10.77.0.13", "world": "10.77.0.14"}

    @classmethod
    def setUpClass(cls):
        if os.geteuid() != 0:
            raise unittest.SkipTest("network namespaces need root")
        if not rig.command_exists("ip"):
            raise unittest.SkipTest("network namespaces need the command `ip` (package iproute2)")
        if not rig.command_exists("nft") and not rig.command_exists("iptables"):
            raise unittest.SkipTest("the redirect needs the command `nft` (package nftables) or `iptables`")
        cls.addClassCleanup(cls.remove)
        cls.remove()
        try:
            cls.build()
        except subprocess.CalledProcessError as error:
            raise unittest.SkipTest(f"this machine does not let us build the network: `{' '.join(error.cmd)}`: {error.stderr.strip()}") from error

    @classmethod
    def build(cls):
        for namespace in (cls.NODE, cls.OUTSIDE):
            run("ip", "netns", "add", namespace)
            run("ip", "-n", namespace, "link", "set", "lo", "up")
        run("ip", "-n", cls.NODE, "link", "add", "pc0", "type", "veth", "peer", "name", "pc1", "netns", cls.OUTSIDE)
        run("ip", "-n", cls.NODE, "address", "add", "10.77.0.1/24", "dev", "pc0")
        run("ip", "-n", cls.NODE, "address", "add", f"{cls.ENDPOINT}/32", "dev", "lo")
        run("ip", "-n", cls.NODE, "link", "set", "pc0", "up")
        for address in cls.CLIENTS.values():
            run("ip", "-n", cls.OUTSIDE, "address", "add", f"{address}/24", "dev", "pc1")
        run("ip", "-n", cls.OUTSIDE, "link", "set", "pc1", "up")
        run("ip", "-n", cls.OUTSIDE, "route", "add", "10.77.1.0/24", "via", "10.77.0.1")
        if rig.command_exists("nft"):
            run("ip", "netns", "exec", cls.NODE, "nft", "-f", "-", given=redirect_from_sample())
        else:
            run("ip", "netns", "exec", cls.NODE, "iptables", "-t", "nat", "-A", "PREROUTING", "-p", "tcp", "--dport", "11211", "-j", "REDIRECT", "--to-ports", "15001")

    @classmethod
    def remove(cls):
        for namespace in (cls.NODE, cls.OUTSIDE):
            subprocess.run(["ip", "netns", "delete", namespace], capture_output=True)

    def test_it_judges_by_the_endpoint_that_the_client_meant(self):
        folder = scratch_folder("node-proxy")
        with network_namespace(self.NODE):
            self.enterContext(rig.Memcached(memcached(), folder, self.ENDPOINT, 11211))
            proxy = self.enterContext(rig.Envoy(envoy(), sample("node-proxy.yaml", folder, {}), folder))

        def ask(who, request, reply, endpoint=self.ENDPOINT, port=11211):
            with network_namespace(self.OUTSIDE), Wire(port, self.CLIENTS[who], endpoint) as wire:
                wire.ask(request, reply)
        ask("maintenance", store("alliance/fleet/a", b"1"), b"STORED\r\n")
        ask("monitoring", b"get alliance/fleet/a\r\n", value("alliance/fleet/a", b"1") + b"END\r\n")
        ask("monitoring", store("alliance/fleet/a", b"2"), DENIED)
        ask("jedi", store("temple", b"1"), b"STORED\r\n")
        ask("world", b"get alliance/fleet/a\r\n", DENIED)

        with self.subTest("the node's own address is no endpoint that the identities name"), network_namespace(self.OUTSIDE):
            with Wire(11211, self.CLIENTS["jedi"], "10.77.0.1") as wire:
                try:
                    got = wire.send(b"get temple\r\n").rest()
                except ConnectionResetError:
                    got = b""
                self.assertIn(got, (b"", DENIED))
        with self.subTest("a connection to the proxy itself goes nowhere"), network_namespace(self.OUTSIDE):
            with Wire(15001, self.CLIENTS["jedi"], "10.77.0.1") as wire:
                try:
                    self.assertEqual(wire.send(b"get temple\r\n").rest(), b"")
                except ConnectionError:
                    pass
        with network_namespace(self.NODE):
            self.assertLess(proxy.stats()["listener.0.0.0.0_15001.downstream_cx_total"], 20, "it must not have connected to itself")


def redirect_from_sample() -> str:
    """The nftables rules as the comment in node-proxy.yaml gives them."""
    lines = (SAMPLES / "node-proxy.yaml").read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("#   table ip"))
    end = next(number for number, line in enumerate(lines) if line == "#   }" and number > start)
    return "\n".join(line.lstrip("#") for line in lines[start:end + 1]) + "\n"


def run(*command: str, given: str | None = None) -> None:
    subprocess.run(command, input=given, capture_output=True, text=True, check=True)


if __name__ == "__main__":
    unittest.main()
