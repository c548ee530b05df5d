"""What every case stands on: a real API server, an Envoy as its webhook, and clients that talk to each of them."""

import base64
import contextlib
import hashlib
import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
for place in (HERE, ROOT / "tools", ROOT / "tests" / "e2e"):
    if str(place) not in sys.path:
        sys.path.insert(0, str(place))

import harness  # noqa: E402  (the path above comes first)
import rig  # noqa: E402
import server  # noqa: E402
from rig import wait_for  # noqa: E402,F401  (cases take it from here)

HOOKS = ROOT / "envoy-config" / "admission" / "hooks"
CORPUS = HERE / "corpus"
PROGRAM = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "debug" / "portcullis"
# In the objects of the tests: no log of ours may ever hold it.
CANARY = "canary7c4"


class Cluster:
    """The API server of this run: started when it is first asked for, it lives until the end."""

    running: server.Kubernetes | None = None
    missing: str | None = None

    @classmethod
    def start(cls) -> server.Kubernetes:
        if not cls.running and not cls.missing:
            try:
                cls.running = server.Kubernetes(harness.scratch_folder("cluster"))
            except rig.RigError as error:
                cls.missing = f"kube-apiserver: {error}"
        if cls.missing:
            raise unittest.SkipTest(cls.missing)
        return cls.running

    @classmethod
    def stop(cls) -> None:
        if cls.running:
            cls.running.stop()


class HookFolder:
    """Hooks as a mounted ConfigMap shows them: each file is a link into `..data`, which is a link to what is current."""

    def __init__(self, path: Path, files: dict[str, str]):
        self.path, self.version = path, 0
        path.mkdir()
        self.swap(files)

    def swap(self, files: dict[str, str]) -> None:
        """As the kubelet does it: everything changes at once."""
        self.version += 1
        data, current, fresh = self.path / f"..{self.version}", self.path / "..data", self.path / "..data_tmp"
        data.mkdir()
        for name, text in files.items():
            (data / name).write_text(text)
        os.symlink(data.name, fresh)
        os.replace(fresh, current)
        for name in files:
            with contextlib.suppress(FileExistsError):
                os.symlink(f"..data/{name}", self.path / name)
        for link in self.path.glob("[!.]*"):
            if link.name not in files:
                link.unlink()


class Webhook(contextlib.ExitStack):
    """An Envoy with our filter from a sample configuration, on a port that it keeps when it is stopped and started.

    `hooks` are documents as dictionaries, or files. `changes` are further edits of the sample, `options` go to Envoy.
    """

    def __init__(self, name: str, hooks: list, *, port: int | None = None, upstream: int | None = None, mode: str | None = None, changes=None,
                 tokens=(server.CALLER_TOKEN,), options=(), cluster: server.Kubernetes | None = None):
        super().__init__()
        self.cluster = cluster or Cluster.start()
        self.folder = harness.scratch_folder(name)
        self.port, self.options = port or rig.free_port(), options
        self.log_path, self.status_path = self.folder / "access.jsonl", self.folder / "status.json"
        self.hooks = HookFolder(self.folder / "hooks", files_of(hooks))
        self.tokens = {f"token-{number}": token for number, token in enumerate(tokens)}
        callers = self.folder / "callers.yaml"
        callers.write_text((ROOT / "envoy-config/admission/callers.yaml").read_text() + "---\n" + json.dumps(self.token_document()) + "\n")
        self.certificate, key = (cluster.authority if cluster else Authorities).issue("webhook", "IP:127.0.0.1")
        edits = {
            "0.0.0.0, port_value: 8443": f"127.0.0.1, port_value: {self.port}", "port_value: 9901": "port_value: 0",
            "/etc/portcullis/hooks": str(self.hooks.path), "/etc/portcullis/admission-callers.yaml": str(callers),
            "/etc/portcullis/tls/tls.crt": self.certificate, "/etc/portcullis/tls/tls.key": key,
            "/etc/portcullis/tls/callers-ca.crt": self.cluster.authority.path("kubernetes-ca.crt"),
            "/run/portcullis-status.json": str(self.status_path), "/var/log/portcullis.jsonl": str(self.log_path), **(changes or {})}
        if upstream:
            edits["127.0.0.1, port_value: 8080"] = f"127.0.0.1, port_value: {upstream}"
        if mode:
            edits['"mode": "guard"'] = f'"mode": "{mode}"'
        self.text = rig.fill_in(harness.SAMPLES / ("admission-guard.yaml" if upstream else "admission.yaml"), edits)
        try:
            self.start()
            self.callback(self.stop)
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        self.envoy = rig.Envoy(harness.envoy(), self.text, self.folder, options=self.options)

    def stop(self) -> None:
        if self.envoy:
            envoy, self.envoy = self.envoy, None
            harness.stop_in_good_health(envoy)

    def token_document(self) -> dict:
        tokens = [{"name": name, "sha256": hashlib.sha256(token.encode()).hexdigest()} for name, token in self.tokens.items()]
        return {"apiVersion": "portcullis.dev/v1", "kind": "AdmissionCallers", "metadata": {"name": "tokens"}, "spec": {"tokens": tokens}}

    def url(self, path: str) -> str:
        return f"https://127.0.0.1:{self.port}{path}"

    def manifests(self) -> list[dict]:
        """What the API server is to be told of the hooks here. A hook without a name for it is HOOK.portcullis.test."""
        hooks = sorted(self.hooks.path.glob("[!.]*"))
        told = portcullis("admission", "manifests", "--only", "webhooks", "--name", self.folder.name, "--suffix", "portcullis.test", "--output", "json",
                          "--url", self.url(""), "--ca-bundle", self.cluster.authority.path("kubernetes-ca.crt"), *hooks)
        return json.loads(told)["items"]

    def log(self) -> list[dict]:
        return [entry for entry in harness.read_json_lines(self.log_path) if entry["type"] == "request"]

    def connections(self) -> int:
        """How many were ever made."""
        return self.envoy.stats()["portcullis.admission.connections"]

    def entry(self, **fields) -> dict:
        """Waits for an entry of the log with at least these fields."""
        def look():
            return next((entry for entry in self.log() if fields.items() <= entry.get("fields", {}).items()), None)
        return wait_for(f"an entry in {self.log_path} with {fields}", look, 10)

    def connect(self, certificate: bool | tuple[str, str] = True) -> "Client":
        """A client that shows the API server's certificate, another one, or none."""
        pair = (self.cluster.caller_certificate, self.cluster.caller_key) if certificate is True else certificate
        return self.enter_context(contextlib.closing(Client(self.port, self.cluster.authority.path("kubernetes-ca.crt"), pair or None)))


class Authorities:
    """Certificates for this run, by name."""

    issued: dict[tuple[str, str], tuple[str, str]] = {}

    @classmethod
    def issue(cls, name: str, names: str) -> tuple[str, str]:
        if (name, names) not in cls.issued:
            cls.issued[name, names] = Cluster.start().authority.issue(name, names)
        return cls.issued[name, names]


class Client:
    """Python's HTTP client over TLS. It keeps its connection, and does not make another when that is closed."""

    def __init__(self, port: int, authority: str, certificate: tuple[str, str] | None):
        context = ssl.create_default_context(cafile=authority)
        context.set_alpn_protocols(["http/1.1"])
        if certificate:
            context.load_cert_chain(*certificate)
        self.connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=rig.PATIENCE_SECONDS)
        self.connection.connect()
        self.connection.auto_open = 0

    def send(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, dict, bytes]:
        """Status, headers and body of the answer."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.connection.request(method, path, body, ({"Content-Type": "application/json"} if body is not None else {}) | named)
        answer = self.connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    def ask(self, path: str, review: dict | bytes, **headers: str) -> dict:
        """The `response` of the answer to a review, which must be an answer."""
        status, _, body = self.send("POST", path, review if isinstance(review, bytes) else json.dumps(review).encode(), **headers)
        if status != 200:
            raise AssertionError(f"status {status}: {body[:500]!r}")
        return json.loads(body)["response"]

    def close(self) -> None:
        self.connection.close()


class Raw:
    """Bytes over TLS, with the API server's certificate."""

    def __init__(self, front: Webhook):
        context = ssl.create_default_context(cafile=front.cluster.authority.path("kubernetes-ca.crt"))
        context.load_cert_chain(front.cluster.caller_certificate, front.cluster.caller_key)
        connection = socket.create_connection(("127.0.0.1", front.port), timeout=rig.PATIENCE_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(connection, server_hostname="127.0.0.1")
        self.stream = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self) -> tuple[int, bytes, bytes]:
        """Status, head and body of the next answer."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.stream.readline()
            if not line:
                raise AssertionError(f"the connection ended in the head of an answer: {head!r}")
            head += line
        length = next((int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
        return int(head.split(b" ", 2)[1]), head, self.stream.read(length)

    def closed(self) -> bool:
        """Waits for the end of the connection; false if something else comes."""
        try:
            return self.stream.read(1) == b""
        except TimeoutError:
            return False
        except OSError:
            return True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stream.close()
        self.socket.close()


def files_of(hooks: list) -> dict[str, str]:
    """Each document in a file of its own, under its own name."""
    return dict((f"{hook['metadata']['name']}.yaml", json.dumps(hook, indent=1)) if isinstance(hook, dict) else (hook.name, hook.read_text()) for hook in hooks)


def hook(name: str, rules: list[dict], **spec) -> dict:
    return {"apiVersion": "portcullis.dev/v1", "kind": "AdmissionHook", "metadata": {"name": name},
            "spec": {"uri": f"/{name}", "doc": f"For the tests: {name}.", "rules": rules, **spec}}


def rule(resources: list[str], operations=("CREATE", "UPDATE"), groups=("",), versions=("v1",), scope: str = "*") -> dict:
    return {"operations": list(operations), "apiGroups": list(groups), "apiVersions": list(versions), "resources": resources, "scope": scope}


PODS = [rule(["pods"])]
NAMESPACES = [rule(["namespaces"], ("CREATE", "UPDATE", "DELETE"))]


def portcullis(*arguments) -> str:
    """What our own program says."""
    if not PROGRAM.exists():
        raise unittest.SkipTest(f"`{PROGRAM}` is not there: run `cargo build -p portcullis-cli` first")
    told = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=60)
    if told.returncode != 0:
        raise AssertionError(f"portcullis {arguments}: {told.stdout}{told.stderr}")
    return told.stdout


@contextlib.contextmanager
def registered(front: Webhook, in_force):
    """Tells the API server of the hooks, until the end of the block. `in_force` says whether it goes by them: it takes a moment to."""
    name, manifests = front.folder.name, front.manifests()
    told = front.cluster.kubectl("create", "--filename=-", given=manifests)
    if told.returncode != 0:
        raise AssertionError(told.stderr)
    try:
        wait_for(f"the API server to ask {name}", in_force)
        yield front.cluster
    finally:
        front.cluster.kubectl("delete", "--filename=-", given=manifests)
        wait_for(f"the API server to forget {name}", lambda: not in_force())


def is_refused(thing: dict, user: str = "customer"):
    """Asks whether a webhook refuses to let this be made, without making it."""
    def ask() -> bool:
        told = Cluster.start().kubectl("create", "--dry-run=server", "--filename=-", user=user, given=thing)
        return told.returncode != 0 and "webhook" in told.stderr
    return ask


def review(name: str) -> dict:
    """A review that a real API server sent once."""
    return json.loads((CORPUS / f"{name}.json").read_bytes())


def patch_of(response: dict) -> list[dict]:
    return json.loads(base64.b64decode(response["patch"])) if "patch" in response else []
