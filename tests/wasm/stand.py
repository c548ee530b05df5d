"""An Envoy with the proxy-wasm module before a real server."""

import contextlib
import json
import re
from pathlib import Path

import harness
import rig
from harness import FILTERS, IDENTITIES, TYPE, Wire, bootstrap, listener, scratch_folder, tcp_proxy  # noqa: F401

BUILT = rig.ROOT / "target" / "wasm"
MODULE = BUILT / "portcullis.wasm"
ADMISSION = BUILT / "portcullis-admission.wasm"
TEST_MODULE = BUILT / "wasm32-unknown-unknown" / "wasm" / "portcullis_test_wasm.wasm"


def plugin(config, module: Path = MODULE, vm: str = "portcullis", failure_policy: str = "FAIL_CLOSED") -> dict:
    """Our filter; `config` is the JSON as a dictionary, or as raw text for cases about broken text."""
    text = config if isinstance(config, str) else json.dumps(config)
    return {"name": "envoy.filters.network.wasm", "typed_config": {"@type": FILTERS + "wasm.v3.Wasm", "config": {
        "name": "portcullis", "root_id": "portcullis", "failure_policy": failure_policy,
        "configuration": {"@type": TYPE + "google.protobuf.StringValue", "value": text},
        "vm_config": {"vm_id": vm, "runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": str(module)}}}}}}


def config(policies: list[Path], protocol: str = "memcache", port: int = 11211, labels=None, **more) -> dict:
    return {
        "protocol": protocol,
        "policy": {"inline": "\n---\n".join(path.read_text() for path in policies)},
        "endpoint": {"labels": labels or {"app": "memcached"}},
        "direction": "ingress",
        "port": port,
        "identities": {"inline": json.dumps(IDENTITIES)},
        "accessLog": {"level": "requests"},
        **more,
    }


class Stand(contextlib.ExitStack):
    """Listeners by their names, each with its filters, before one server."""

    def __init__(self, name: str, listeners: dict[str, dict], server=None, options=()):
        super().__init__()
        self.wires: list[Wire] = []
        self.callback(self.hang_up)
        self.folder = scratch_folder(name)
        try:
            self.server = self.enter_context(server or rig.Memcached(harness.memcached(), self.folder))
            fronts = [listener(name, [one, tcp_proxy()]) for name, one in listeners.items()]
            self.envoy = self.enter_context(rig.Envoy(harness.envoy(), bootstrap(fronts, self.server.port), self.folder, options=options))
        except BaseException:
            self.close()
            raise

    def connect(self, who: str = "jedi", front: str = "front") -> Wire:
        self.wires.append(Wire(self.envoy.port_of(front), who))
        return self.wires[-1]

    def direct(self) -> Wire:
        self.wires.append(Wire(self.server.port, "world"))
        return self.wires[-1]

    def hang_up(self) -> None:
        while self.wires:
            self.wires.pop().close()

    def access_log(self) -> list[dict]:
        return read_access_log(self.envoy)


def read_access_log(envoy: rig.Envoy) -> list[dict]:
    """What the module has written into Envoy's log."""
    return [json.loads(text) for text in re.findall(r"wasm log [^{]*(\{\"v\":.*\})", envoy.log())]
