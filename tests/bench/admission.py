#!/usr/bin/env python3
"""What an admission review costs through Envoy, TLS and all, against an answer that Envoy gives without looking.

    python3 tests/bench/admission.py [--envoy VERSION] [--rounds N]

One Envoy with one worker has three listeners with the same certificate: Portcullis as the webhook with the image policy; Envoy's own HTTP
filter with a `direct_response` of the same bytes; and a second one of those as the control. Reviews go over connections that stay open,
one at a time on each, in turn to all three and backwards, in small portions. Shown are the median and the 99th percentile of the time
that a client waits, and reviews per second on one connection; the ratios are those of the medians within a round, and of all rounds the
median. The client is Python: its share of the time is the same for all three. Takes about two minutes.
"""

import argparse
import json
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent.parent / "tools"), str(HERE.parent / "e2e")]

import harness  # noqa: E402  (the paths above come first)
import rig  # noqa: E402

# Bytes of the review, and how many make a portion.
LOADS = [(1_400, 200), (10_000, 200), (1_000_000, 10)]
ARMS = ["portcullis", "direct_response", "control"]
LABELS = {"app": "admission"}
POLICY = {
    "apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "portcullis.dev/v1", "kind": "L7Policy", "metadata": {"name": "bench"}, "spec": {
            "endpointSelector": {"matchLabels": LABELS},
            "ingress": [{"fromEntities": ["all"], "toPorts": [{"ports": [{"port": "8443"}], "rules": {
                "l7proto": "admission", "l7": [{"path": "/image-policy"}]}}]}]}},
        {"apiVersion": "portcullis.dev/v1", "kind": "AdmissionHook", "metadata": {"name": "image-policy"}, "spec": {
            "uri": "/image-policy", "doc": "Images come from our registry, with a tag.",
            "rules": [{"operations": ["CREATE", "UPDATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}],
            "decide": [{"deny": {"images": {"registryNotIn": ["192.168.64.1:5000"]}, "message": "{{image}} is not from our registry"}},
                       {"deny": {"images": {"tagIn": ["latest"]}, "message": "{{image}} is the latest"}}]}}]}


def review(size: int) -> bytes:
    """A pod as the API server would send it, filled up with annotations."""
    pod = {"apiVersion": "v1", "kind": "Pod",
           "metadata": {"name": "web", "namespace": "default", "labels": {"app": "web"}, "annotations": {}},
           "spec": {"containers": [{"name": name, "image": f"192.168.64.1:5000/{name}:1.21.1", "resources": {}} for name in ("web", "side")],
                    "dnsPolicy": "ClusterFirst", "restartPolicy": "Always"}, "status": {}}
    whole = {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"}, "name": "web", "namespace": "default", "operation": "CREATE",
        "userInfo": {"username": "admin", "groups": ["system:authenticated"]}, "object": pod, "oldObject": None, "dryRun": False}}
    number = 0
    while (missing := size - len(json.dumps(whole))) > 100:
        for _ in range(max(1, missing // 100)):
            pod["metadata"]["annotations"][f"example.com/note-{number:05}"] = "a text of some length that stands for what people write"
            number += 1
    return json.dumps(whole).encode()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--envoy", default="1.40.0", metavar="VERSION", help="the Envoy to measure (default 1.40.0)")
    parser.add_argument("--rounds", type=int, default=20, metavar="N", help="rounds of each load (default 20)")
    chosen = parser.parse_args()
    if not rig.LIBRARY.exists():
        print(f"admission.py: `{rig.LIBRARY}` is not there: run `make module` first", file=sys.stderr)
        return 1
    try:
        with tempfile.TemporaryDirectory(prefix="portcullis-bench-") as folder:
            measure_all(chosen, Path(folder))
    except (rig.RigError, OSError, subprocess.CalledProcessError) as error:
        print(f"admission.py: {error}", file=sys.stderr)
        return 1
    return 0


def measure_all(chosen, folder: Path) -> None:
    binary = rig.fetch("fetch-envoy", chosen.envoy)
    certificate, key = make_certificate(folder)
    policy = folder / "policy.json"
    policy.write_text(json.dumps(POLICY))
    filtered = harness.portcullis({
        "protocol": "admission", "protocolConfig": {"callers": "anonymous"}, "policy": {"files": [str(policy)]},
        "endpoint": {"labels": LABELS}, "direction": "ingress", "port": 8443})
    filtered["typed_config"]["terminal_filter"] = True
    listeners = [listener(name, filtered if name == "portcullis" else direct_response(), certificate, key) for name in ARMS]
    print(f"Envoy {chosen.envoy}, --concurrency 1, TLS 1.3, one connection each, {chosen.rounds} rounds\n")
    heads = "".join(f"{name:^32}" for name in ARMS)
    print(f"{'':>12}{heads}{'portcullis / direct':>24}{'control / direct':>20}")
    print(f"{'review':>12}" + f"{'p50 us':>11}{'p99 us':>10}{'per s':>11}" * 3 + f"{'median p50':>24}{'median p50':>20}")
    with rig.Envoy(binary, harness.bootstrap(listeners, 1), folder) as envoy:
        clients = {name: Client(envoy.port_of(name), certificate) for name in ARMS}
        for size, portion in LOADS:
            report(size, measure(clients, review(size), portion, chosen.rounds))


def measure(clients: dict, body: bytes, portion: int, rounds: int) -> list[dict[str, list[float]]]:
    done = []
    for number in range(rounds + 1):
        times: dict[str, list[float]] = {name: [] for name in ARMS}
        for name in [*ARMS, *reversed(ARMS)]:
            times[name] += clients[name].play(body, portion)
        if number:  # the first round warms up
            done.append(times)
    return done


def report(size: int, rounds: list[dict[str, list[float]]]) -> None:
    line = f"{size:>12,}"
    for name in ARMS:
        times = sorted(value for times in rounds for value in times[name])
        p50, p99 = times[len(times) // 2], times[len(times) * 99 // 100]
        line += f"{1e6 * p50:>11.0f}{1e6 * p99:>10.0f}{len(times) / sum(times):>11,.0f}"
    for name, width in [("portcullis", 24), ("control", 20)]:
        ratios = [statistics.median(times[name]) / statistics.median(times["direct_response"]) for times in rounds]
        line += f"{statistics.median(ratios):>{width}.2f}"
    print(line, flush=True)


class Client:
    """One connection that stays open."""

    def __init__(self, port: int, authority: Path):
        context = ssl.create_default_context(cafile=str(authority))
        context.set_alpn_protocols(["http/1.1"])
        plain = socket.create_connection(("127.0.0.1", port))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(plain, server_hostname="localhost")

    def play(self, body: bytes, count: int) -> list[float]:
        request = (f"POST /image-policy?timeout=10s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                   f"Content-Length: {len(body)}\r\n\r\n").encode() + body
        times = []
        for _ in range(count):
            began = time.perf_counter()
            self.socket.sendall(request)
            answer = self.answer()
            times.append(time.perf_counter() - began)
            if b'"allowed":true' not in answer:
                raise rig.RigError(f"not allowed: {answer[:500]!r}")
        return times

    def answer(self) -> bytes:
        got = b""
        while b"\r\n\r\n" not in got:
            got += self.more()
        head, _, body = got.partition(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
        while len(body) < length:
            body += self.more()
        return body

    def more(self) -> bytes:
        got = self.socket.recv(1 << 16)
        if not got:
            raise rig.RigError("Envoy has closed the connection")
        return got


def listener(name: str, last: dict, certificate: Path, key: Path) -> dict:
    tls = {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext", "common_tls_context": {
        "alpn_protocols": ["http/1.1"],
        "tls_certificates": [{"certificate_chain": {"filename": str(certificate)}, "private_key": {"filename": str(key)}}]}}
    made = harness.listener(name, [last])
    made["filter_chains"][0]["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": tls}
    return made


def direct_response() -> dict:
    answer = ('{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":'
              '{"uid":"705ab4f5-6393-11e8-b7cc-42010a800002","allowed":true}}')
    network = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    # The answer waits for the whole of the request, as a webhook's must.
    buffer = {"name": "envoy.filters.http.buffer", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer", "max_request_bytes": 8 << 20}}
    router = {"name": "envoy.filters.http.router", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": {
        "@type": network, "stat_prefix": "direct", "http_filters": [buffer, router], "route_config": {"virtual_hosts": [{
            "name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "direct_response": {
                "status": 200, "body": {"inline_string": answer}}}]}]}}}


def make_certificate(folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "tls.crt", folder / "tls.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
                   check=True, capture_output=True)
    return certificate, key


if __name__ == "__main__":
    sys.exit(main())
