#!/usr/bin/env python3
"""A real kube-apiserver with its etcd, in a folder of its own, on the loopback address alone.

    python3 tests/kubernetes/server.py [--folder FOLDER]      for a person: runs them until Ctrl-C

What it takes to run an API server without the rest of Kubernetes:

* an etcd. It keeps its data in the folder, and does not wait for the disk.
* an address to advertise: it is asked of the default route, and there may be none.
* no ServiceAccount plugin: nobody here makes the service account that it wants for each pod. Pods stay as they are, nobody schedules them.
* users are tokens in a file, and everybody may do everything: what is refused, a webhook refused.

How the API server makes itself known to webhooks is a configuration of its admission plugins that is read once, at the start. Ours shows a
client certificate and sends a bearer token, to whoever asks for them; at the `anonymous_port` it does neither.
"""

import argparse
import json
import os
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
for place in (ROOT / "tools", ROOT / "tests" / "e2e"):
    if str(place) not in sys.path:
        sys.path.insert(0, str(place))

import rig  # noqa: E402  (the path above comes first)
from test_identity import Authority  # noqa: E402

# Who comes to the API server: the token is the name. Groups that Kubernetes adds by itself are not said here.
USERS = {
    "admin": ("system:masters",),
    "customer": ("dedicated-admins",),
    "sre": ("cluster-admins",),
    "backplane-cluster-admin": (),
    "system:serviceaccount:kube-system:namespace-controller": ("system:serviceaccounts", "system:serviceaccounts:kube-system"),
    "system:serviceaccount:shop:deployer": ("system:serviceaccounts", "system:serviceaccounts:shop"),
}
# The names of the certificate that the API server shows to webhooks, and the token that it sends them.
CALLER = "kube-apiserver.portcullis.test"
CALLER_TOKEN = "token-of-the-api-server-27f1"
SERVICE_ADDRESSES = "10.96.0.0/24"


class Etcd(rig.Process):
    def __init__(self, binary: Path, folder: Path):
        self.port = rig.free_port()
        here, peers = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{rig.free_port()}"
        super().__init__("etcd", [binary, f"--data-dir={folder / 'etcd'}", f"--listen-client-urls={here}", f"--advertise-client-urls={here}",
                                  f"--listen-peer-urls={peers}", f"--initial-advertise-peer-urls={peers}", f"--initial-cluster=default={peers}",
                                  "--unsafe-no-fsync"], folder)
        try:
            self.wait_until("it accepted connections", lambda: rig.listening(self.port))
        except BaseException:
            self.stop()
            raise


class Kubernetes(rig.Process):
    """A real API server, and the kubectl that goes with it; it is there when it says that it is ready.

    `admission` is a configuration of its admission plugins to use in place of ours, or None; `version` one that tools/fetch-kubernetes has.
    """

    def __init__(self, folder: Path, admission: Path | None = None, version: str = "1.20.2"):
        programs = rig.fetch("fetch-kubernetes", "--version", version)
        self.folder, self.kubectl_path = folder, programs / "kubectl"
        self.port, self.anonymous_port = rig.free_port(), rig.free_port()
        self.authority = Authority(folder, "kubernetes-ca")
        certificate, key = self.authority.issue("api-server", "IP:127.0.0.1")
        self.caller_certificate, self.caller_key = self.authority.issue("caller", f"DNS:{CALLER}")
        tokens = folder / "tokens.csv"
        tokens.write_text("".join(f'{user},{user},{user},"{",".join(groups)}"\n' for user, groups in USERS.items()))
        self.audit_path, audit = folder / "audit.jsonl", folder / "audit-policy.json"
        audit.write_text(json.dumps({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": [{"level": "Metadata"}]}))
        self.etcd = Etcd(programs / "etcd", folder)
        try:
            super().__init__("kube-apiserver", [
                programs / "kube-apiserver", f"--etcd-servers=http://127.0.0.1:{self.etcd.port}", "--bind-address=127.0.0.1",
                "--advertise-address=127.0.0.1", f"--secure-port={self.port}", f"--tls-cert-file={certificate}", f"--tls-private-key-file={key}",
                f"--service-account-issuer=https://127.0.0.1:{self.port}", f"--service-account-key-file={certificate}",
                f"--service-account-signing-key-file={key}",
                f"--service-cluster-ip-range={SERVICE_ADDRESSES}", f"--token-auth-file={tokens}", "--authorization-mode=AlwaysAllow",
                "--disable-admission-plugins=ServiceAccount", "--endpoint-reconciler-type=none",
                f"--audit-policy-file={audit}", f"--audit-log-path={self.audit_path}", f"--admission-control-config-file={admission or self.admission()}",
            ], folder)
            self.wait_until("it was ready", self.ready)
        except BaseException:
            self.stop()
            raise

    def admission(self) -> Path:
        """Written as JSON, which is YAML too."""
        callers = self.folder / "callers.kubeconfig"
        callers.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", "users": [
            {"name": "*", "user": {"client-certificate": self.caller_certificate, "client-key": self.caller_key, "token": CALLER_TOKEN}},
            {"name": f"127.0.0.1:{self.anonymous_port}", "user": {}}]}))
        plugins = self.folder / "admission.yaml"
        configuration = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "WebhookAdmissionConfiguration", "kubeConfigFile": str(callers)}
        plugins.write_text(json.dumps({"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration", "plugins": [
            {"name": name, "configuration": configuration}
            for name in ("ValidatingAdmissionWebhook", "MutatingAdmissionWebhook")]}))
        return plugins

    def ready(self) -> bool:
        try:
            return self.ask("GET", "/readyz") == b"ok"
        except OSError:
            return False

    def ask(self, method: str, path: str, body=None, user: str = "admin", kind: str = "application/json") -> bytes:
        """The answer to one request of the HTTP interface, as bytes; an OSError that holds the answer if it was refused."""
        request = urllib.request.Request(f"https://127.0.0.1:{self.port}{path}", method=method, data=None if body is None else json.dumps(body).encode(),
                                         headers={"Authorization": f"Bearer {user}", "Content-Type": kind})
        trusted = ssl.create_default_context(cafile=self.authority.path("kubernetes-ca.crt"))
        with urllib.request.urlopen(request, timeout=60, context=trusted) as answer:
            return answer.read()

    def kubectl(self, *arguments, user: str = "admin", given=None, folder: Path | None = None) -> subprocess.CompletedProcess:
        """`given` is what the command reads: text, or objects. It runs in `folder`."""
        if given is not None and not isinstance(given, str):
            given = "".join(json.dumps(each) + "\n" for each in (given if isinstance(given, list) else [given]))
        # Its caches belong to this server, whose port another one may have had.
        return subprocess.run([*self.command(user), f"--cache-dir={self.folder / 'kubectl'}", *map(str, arguments)], input=given,
                              stdin=None if given is not None else subprocess.DEVNULL, capture_output=True, text=True, timeout=120, cwd=folder,
                              env=dict(os.environ, KUBECONFIG="/dev/null"))

    def command(self, user: str) -> list[str]:
        return [str(self.kubectl_path), f"--server=https://127.0.0.1:{self.port}", f"--certificate-authority={self.authority.path('kubernetes-ca.crt')}",
                f"--token={user}"]

    def stop(self) -> int:
        """They have nothing to save, and would take seconds to end by themselves."""
        status = 0
        for child in (getattr(self, "child", None), self.etcd.child):
            if child:
                child.kill()
                status = child.wait()
        return status


def reason_of(refusal: urllib.error.HTTPError) -> dict:
    """The Status object in a refusal."""
    return json.loads(refusal.read())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, help="an empty folder to keep everything in (a temporary one)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = (chosen.folder or Path(scratch)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        with Kubernetes(folder) as server:
            print(f"{' '.join(server.command('admin'))}\ntokens: {', '.join(USERS)}; etcd listens on {server.etcd.port}", flush=True)
            try:
                server.child.wait()
            except KeyboardInterrupt:
                pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
