#!/usr/bin/env python3
"""Asks memcached for one key over and over, on many connections at once; or answers in its place.

    load.py ask PORT CONNECTIONS PIPELINED
    load.py answer

Asking, it reads from stdin how many batches of PIPELINED gets to play, one number a line, and after each says how long it took. The
connections stay open in between, so that what is measured meanwhile is requests and nothing else.

Answering, it says on which port, and answers all that comes at once in one piece. memcached writes one reply at a time.
"""

import select
import socket
import sys
import time

KEY = b"bench/key"
VALUE = b"x" * 100
GET = b"get %s\r\n" % KEY
REPLY = b"VALUE %s 0 %d\r\n%s\r\nEND\r\n" % (KEY, len(VALUE), VALUE)
SET = b"set %s 0 0 %d\r\n%s\r\n" % (KEY, len(VALUE), VALUE)


def main() -> None:
    if sys.argv[1] == "answer":
        return answer()
    port, connections, pipelined = map(int, sys.argv[2:])
    load = Load(port, connections, GET * pipelined, REPLY * pipelined)
    for line in sys.stdin:
        began = time.monotonic()
        load.play(int(line))
        print(time.monotonic() - began, flush=True)


def answer() -> None:
    poll = select.epoll()
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    poll.register(listening, select.EPOLLIN)
    print(listening.getsockname()[1], flush=True)
    sockets: dict[int, socket.socket] = {}
    begun: dict[int, bytes] = {}
    while True:
        for number, _ in poll.poll():
            if number == listening.fileno():
                accepted, _ = listening.accept()
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sockets[accepted.fileno()] = accepted
                poll.register(accepted, select.EPOLLIN)
                continue
            got = sockets[number].recv(1 << 18)
            if not got:
                poll.unregister(number)
                sockets.pop(number).close()
                begun.pop(number, None)
                continue
            got = begun.pop(number, b"") + got
            whole, rest = divmod(len(got), len(GET))
            if rest:
                begun[number] = got[-rest:]
            if whole:
                sockets[number].sendall(REPLY * whole)


class Load:
    def __init__(self, port: int, connections: int, batch: bytes, reply: bytes):
        self.batch, self.reply = batch, reply
        self.sockets = {}
        self.poll = select.epoll()
        for _ in range(connections):
            connected = socket.create_connection(("127.0.0.1", port))
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sockets[connected.fileno()] = connected
            self.poll.register(connected, select.EPOLLIN)

    def play(self, batches: int) -> None:
        """Keeps one batch on its way on each connection until so many were answered, and every byte as it should be."""
        to_send, to_come = batches, batches
        sockets, batch, reply = self.sockets, self.batch, self.reply
        begun: dict[int, bytes] = {}
        for connected in list(sockets.values())[:batches]:
            connected.sendall(batch)
            to_send -= 1
        while to_come:
            for number, _ in self.poll.poll():
                connected = sockets[number]
                got = connected.recv(1 << 18)
                if got != reply:
                    whole = begun.pop(number, b"") + got
                    if not got or not reply.startswith(whole):
                        sys.exit(f"load.py: a reply that is none: {whole[-200:]!r}")
                    if len(whole) < len(reply):
                        begun[number] = whole
                        continue
                to_come -= 1
                if to_send:
                    connected.send(batch)
                    to_send -= 1


if __name__ == "__main__":
    main()
