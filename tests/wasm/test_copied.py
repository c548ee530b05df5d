"""The samples that an operator copies, with nothing changed but ports and paths."""

import re
import textwrap
import unittest

import harness
from harness import DENIED, SAMPLES, Wire, rig, scratch_folder
from stand import MODULE


def block(text: str, first: str) -> str:
    """The part of a YAML text that begins with a line and goes on as long as lines are indented like it, or more; at the margin."""
    lines = text.splitlines()
    begin = next(number for number, line in enumerate(lines) if line.strip() == first)
    indent = len(lines[begin]) - len(lines[begin].lstrip())
    end = begin + 1
    while end < len(lines) and (not lines[end].strip() or len(lines[end]) - len(lines[end].lstrip()) > (indent if first.startswith("- ") else indent - 1)):
        end += 1
    return textwrap.dedent("\n".join(lines[begin:end]).split("\n---")[0]) + "\n"


FRONT = """
static_resources:
  listeners:
  - name: front
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
%s
      - name: envoy.filters.network.tcp_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: front
          cluster: memcached
  clusters:
  - name: memcached
    type: STATIC
    load_assignment:
      cluster_name: memcached
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}
admin:
  address: {socket_address: {address: 127.0.0.1, port_value: 0}}
"""


class Samples(unittest.TestCase):
    def test_the_bootstrap_carries_traffic(self):
        folder = scratch_folder("wasm-sample")
        with rig.Memcached(harness.memcached(), folder) as server:
            text = rig.fill_in(SAMPLES / "wasm.yaml", {
                "/etc/portcullis/portcullis.wasm": str(MODULE), "port_value: 11211": "port_value: 0",
                "port_value: 11212": f"port_value: {server.port}", "port_value: 9901": "port_value: 0"})
            with rig.Envoy(harness.envoy(), text, folder) as envoy:
                port = envoy.port_of("memcached")
                with Wire(port, "monitoring") as wire:
                    wire.ask(b"get alliance/fleet/a\r\n", b"END\r\n").ask(b"get empire/plans\r\n", DENIED)
                with Wire(port, "world") as wire:
                    wire.ask(b"get alliance/fleet/a\r\n", DENIED)

    def test_the_others_are_taken_by_a_stock_envoy_too(self):
        cilium, istio = ((SAMPLES / name).read_text() for name in ("wasm-cilium.yaml", "wasm-istio.yaml"))
        patch = block(istio, "name: envoy.filters.network.wasm")
        for name, one in (("cilium", block(cilium, "- name: envoy.filters.network.wasm")), ("istio", "- " + textwrap.indent(patch, "  ").lstrip())):
            with self.subTest(name):
                folder = scratch_folder(f"wasm-{name}")
                one = re.sub(r"filename: \S+/portcullis\.wasm", f"filename: {MODULE}", one)
                with rig.Memcached(harness.memcached(), folder) as server, \
                     rig.Envoy(harness.envoy(), FRONT % (textwrap.indent(one, " " * 6), server.port), folder) as envoy, \
                     Wire(envoy.port_of("front"), "world") as wire:
                    # Nobody here comes from the network that may read.
                    wire.ask(b"get public/a\r\n", DENIED)


if __name__ == "__main__":
    unittest.main()
