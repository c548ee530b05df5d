#!/usr/bin/env python3
"""A real Envoy as the admission webhook of a cluster: what the API server would ask, and what it would be told.

Run it with `make demo-admission`, which builds the library and the program first. Ends with status 0 only if every answer was the expected one.
"""

import contextlib
import http.client
import json
import signal
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import rig  # noqa: E402  (the path above comes first)

SAMPLES = ROOT / "envoy-config"
HOOKS = ["opa-image-policy", "required-labels", "namespace-validation"]
PROGRAM = rig.LIBRARY_DIR.parent / "debug" / "portcullis"
SERVICE = "portcullis-admission.portcullis.svc"
# Characters of an answer that are shown.
SHOWN = 120
IMAGE = "192.168.64.1:5000/nginx"


def pod(image: str) -> dict:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-server", "namespace": "default"},
            "spec": {"containers": [{"name": "web-server", "image": image}]}}


def namespace(name: str, **labels: str) -> dict:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


# Who does what, and what comes of it.
PLAY = [
    ("opa-image-policy: images come from our registry, and say which they are", "/opa-image-policy", [
        ("alice", "CREATE", pod("nginx:1.21.1"), "Image 'nginx:1.21.1' comes from untrusted registry"),
        ("alice", "CREATE", pod(f"{IMAGE}:latest"), f"Image '{IMAGE}:latest' used latest image"),
        ("alice", "CREATE", pod("nginx"), "Image 'nginx' comes from untrusted registry, Image 'nginx' used latest image"),
        ("alice", "CREATE", pod(f"{IMAGE}:1.21.1"), "allowed"),
    ]),
    ("required-labels: a namespace says who pays for it", "/required-labels", [
        ("alice", "CREATE", namespace("shop"), '[ns-must-have-finance] you must provide labels: {"finance"} [ns-must-have-hr] you must provide labels: {"hr"}'),
        ("alice", "CREATE", namespace("shop", hr="a", finance="b"), "allowed"),
    ]),
    ("namespace-validation: nobody but the platform touches its namespaces", "/namespace-validation", [
        ("alice", "DELETE", namespace("kube-system"), "Prevented from accessing Red Hat managed namespaces."),
        ("alice", "DELETE", namespace("shop"), "allowed"),
        ("system:admin", "DELETE", namespace("kube-system"), "allowed"),
    ]),
]


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with contextlib.ExitStack() as stack:
            return play(stack)
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    except (rig.RigError, subprocess.CalledProcessError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1


def play(stack: contextlib.ExitStack) -> int:
    for built in (rig.LIBRARY, PROGRAM):
        if not built.exists():
            raise rig.RigError(f"`{built}` is not built; `make demo-admission` builds it and comes back here")
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="portcullis-demo-")))
    envoy_binary = rig.fetch("fetch-envoy")
    certificates = folder / "certs"
    subprocess.run([PROGRAM, "admission", "certs", "--dir", certificates], check=True, stdout=subprocess.DEVNULL)
    hooks = folder / "hooks"
    hooks.mkdir()
    for name in HOOKS:
        (hooks / f"{name}.yaml").write_bytes((SAMPLES / "admission" / "hooks" / f"{name}.yaml").read_bytes())
    tested = subprocess.run([PROGRAM, "admission", "test", hooks], check=True, capture_output=True, text=True)
    print(f"{len(HOOKS)} hooks of envoy-config/admission/hooks; their own tests: {tested.stdout.strip().splitlines()[-1]}")

    access_log = folder / "access.jsonl"
    bootstrap = rig.fill_in(SAMPLES / "admission.yaml", {
        "address: 0.0.0.0, port_value: 8443": "address: 127.0.0.1, port_value: 0",
        "port_value: 9901": "port_value: 0",
        "/etc/portcullis/tls": str(certificates),
        "/etc/portcullis/hooks": str(hooks),
        "/etc/portcullis/admission-callers.yaml": str(SAMPLES / "admission" / "callers.yaml"),
        "/run/portcullis-status.json": str(folder / "status.json"),
        "/var/log/portcullis.jsonl": str(access_log),
    })
    envoy = stack.enter_context(rig.Envoy(envoy_binary, bootstrap, folder))
    port = envoy.port_of("admission")
    version = json.loads(envoy.admin("/server_info"))["version"].split("/")[1]
    print(f"Envoy {version} with {rig.LIBRARY.name} is the webhook https://{SERVICE} on 127.0.0.1:{port} (envoy-config/admission.yaml)")

    wrong = denials = 0
    server = ApiServer(port, certificates)
    for title, path, asked in PLAY:
        print(f"\n{title}")
        for user, operation, thing, expected in asked:
            told = server.ask(path, user, operation, thing)
            denials += told != "allowed"
            fits = told.startswith(expected)
            wrong += not fits
            what = f"{operation} {thing['kind']} {thing['metadata']['name']}"
            print(f"  {user:<13}{what:<30}{'ok  ' if fits else 'NOT '}{told if len(told) <= SHOWN else told[:SHOWN] + '…'}")
            if not fits:
                print(f"{'':<47}expected: {expected}")

    print("\nSomebody who is not the API server")
    told = ApiServer(port, certificates, known=False).post("/opa-image-policy", b"{}")[0]
    wrong += told != 401
    print(f"  {'nobody':<13}{'POST /opa-image-policy':<30}{'ok  ' if told == 401 else 'NOT '}{told}")

    entries = rig.wait_for("the access log", lambda: written(access_log, denials))
    print(f"\nThe access log names every denial; the first one:\n  {json.dumps(entries[0]['fields'])}")
    checks = sum(len(asked) for *_, asked in PLAY) + 1
    if wrong:
        print(f"{wrong} of {checks} checks failed.\nThe end of Envoy's log:\n{envoy.log()[-2000:]}", file=sys.stderr)
    else:
        print(f"\nAll {checks} checks as expected.")
    return 1 if wrong else 0


def written(path: Path, denials: int) -> list[dict] | None:
    entries = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    entries = [entry for entry in entries if entry["verdict"] == "denied" and "uid" in entry.get("fields", {})]
    return entries if len(entries) >= denials else None


class ApiServer:
    """Asks as kube-apiserver does, on one connection."""

    def __init__(self, port: int, certificates: Path, known: bool = True):
        context = ssl.create_default_context(cafile=str(certificates / "ca.crt"))
        if known:
            context.load_cert_chain(certificates / "client.crt", certificates / "client.key")
        self.connection = Connection(port, context)
        self.asked = 0

    def ask(self, path: str, user: str, operation: str, thing: dict) -> str:
        self.asked += 1
        group, _, api_version = thing["apiVersion"].rpartition("/")
        metadata = thing["metadata"]
        gone = operation == "DELETE"
        status, body = self.post(path, json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": f"demo-{self.asked}", "kind": {"group": group, "version": api_version, "kind": thing["kind"]},
            "resource": {"group": group, "version": api_version, "resource": thing["kind"].lower() + "s"},
            "name": metadata["name"], "namespace": metadata.get("namespace", metadata["name"]), "operation": operation,
            "userInfo": {"username": user, "groups": ["system:authenticated"]},
            "object": None if gone else thing, "oldObject": thing if gone else None}}).encode())
        if status != 200:
            return f"({status}: {body.decode(errors='replace').strip()})"
        response = json.loads(body)["response"]
        told = response.get("status", {})
        return "allowed" if response["allowed"] else (told.get("message") or told.get("reason", "")).replace("\n", " ")

    def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        self.connection.request("POST", f"{path}?timeout=10s", body, {"Content-Type": "application/json"})
        response = self.connection.getresponse()
        return response.status, response.read()


class Connection(http.client.HTTPSConnection):
    """To the loopback address, under the name of the service."""

    def __init__(self, port: int, context: ssl.SSLContext):
        super().__init__(SERVICE, port, context=context, timeout=10)

    def connect(self):
        self.host, name = "127.0.0.1", self.host
        try:
            http.client.HTTPConnection.connect(self)
        finally:
            self.host = name
        self.sock = self._context.wrap_socket(self.sock, server_hostname=name)


if __name__ == "__main__":
    sys.exit(main())
