"""A webhook of few lines that stands in for somebody else's: over TLS for the API server, or without for an Envoy before it."""

import contextlib
import json
import socketserver
import ssl
import threading
from dataclasses import dataclass


@dataclass
class Call:
    """One request, byte for byte, and what it asked."""

    head: bytes
    body: bytes

    @property
    def path(self) -> str:
        return self.head.split(b" ", 2)[1].decode()

    @property
    def review(self) -> dict:
        return json.loads(self.body)["request"]


def allow(_call: Call) -> dict:
    return {"allowed": True}


class StandIn:
    """Answers each review with what `decide` makes of it, and remembers the call. `certificate` is a pair of files."""

    def __init__(self, decide=allow, certificate: tuple[str, str] | None = None, port: int = 0):
        self.decide = decide
        self.calls: list[Call] = []
        self.connections = 0
        standin = self
        context = None
        if certificate:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(*certificate)

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                standin.connections += 1
                with contextlib.suppress(OSError):
                    connection = context.wrap_socket(self.request, server_side=True) if context else self.request
                    standin.serve(connection)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 256
            block_on_close = False

        self.server = Server(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def serve(self, connection) -> None:
        with connection, connection.makefile("rb") as stream:
            while call := read_request(stream):
                self.calls.append(call)
                connection.sendall(respond(call, self.decide(call)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def read_request(stream) -> Call | None:
    """The next one of a connection, or None at its end. What comes is known to be well formed."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = stream.readline()
        if not line:
            return None
        head += line
    length = next((int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    return Call(head, stream.read(length))


def respond(call: Call, response: dict | bytes) -> bytes:
    """As JSON in an answer; bytes are the whole answer as it is."""
    if isinstance(response, bytes):
        return response
    review = json.loads(call.body)
    answer = {"apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": {"uid": review["request"]["uid"], **response}}
    body = json.dumps(answer).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
