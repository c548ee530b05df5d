#!/usr/bin/env python3
"""A small stand-in for memcached, for machines where the demo cannot get the real one: text protocol, the common commands.

    demo/standin.py PORT
"""

import socketserver
import sys
import threading

STORE: dict[bytes, tuple[bytes, bytes]] = {}
LOCK = threading.Lock()


class Session(socketserver.StreamRequestHandler):
    def handle(self):
        while line := self.rfile.readline(2048):
            words = line.split()
            if not words:
                answer = b"ERROR\r\n"
            elif words[0] == b"quit":
                return
            elif words[0] in (b"set", b"add", b"replace", b"append", b"prepend") and len(words) >= 5:
                data = self.rfile.read(int(words[4]) + 2)[:-2]
                answer = store(words[0], words[1], words[2], data)
            elif words[0] == b"get":
                found = ((key, STORE[key]) for key in words[1:] if key in STORE)
                answer = b"".join(b"VALUE %s %s %d\r\n%s\r\n" % (key, flags, len(data), data) for key, (flags, data) in found) + b"END\r\n"
            elif words[0] == b"delete" and len(words) >= 2:
                answer = b"DELETED\r\n" if STORE.pop(words[1], None) else b"NOT_FOUND\r\n"
            elif words[0] == b"version":
                answer = b"VERSION stand-in\r\n"
            else:
                answer = b"ERROR\r\n"
            if words[-1:] != [b"noreply"]:
                self.wfile.write(answer)


def store(command: bytes, key: bytes, flags: bytes, data: bytes) -> bytes:
    with LOCK:
        old = STORE.get(key)
        if (old is None) == (command != b"add") and command != b"set":
            return b"NOT_STORED\r\n"
        if old and command == b"append":
            flags, data = old[0], old[1] + data
        if old and command == b"prepend":
            flags, data = old[0], data + old[1]
        STORE[key] = (flags, data)
        return b"STORED\r\n"


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    with Server(("127.0.0.1", int(sys.argv[1])), Session) as server:
        server.serve_forever()
