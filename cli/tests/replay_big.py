"""Measures `portcullis replay` on a large capture that it makes itself.

    python3 cli/tests/replay_big.py PROGRAM [MEGABYTES] [FOLDER]

The capture is 64 clients of a memcached at a time: half gets and half sets of values of 100 to 4000 bytes, with their replies.
"""

import os
import pathlib
import random
import resource
import struct
import subprocess
import sys
import time

POLICY = """
apiVersion: portcullis.dev/v1
kind: L7Policy
metadata: {name: big}
spec:
  endpointSelector: {}
  ingress:
  - toPorts:
    - ports: [{port: "11211", protocol: TCP}]
      rules: {l7proto: memcache, l7: [{command: [get, set], keyPrefix: ["user/", "cart/"]}]}
"""


# Requests of one client.
REQUESTS = 200


def command(program, policy, capture):
    how = ["--endpoint", "app=cache", "--protocol", "memcache", "--port", "11211"]
    return [program, "replay", "--policy", policy, *how, capture]


def frame(source, destination, sport, dport, seq, ack, flags, payload):
    tcp = struct.pack(">HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, 0x50, flags, 64000, 0, 0)
    size = 20 + len(tcp) + len(payload)
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, size, 0, 0x4000, 64, 6, 0, source, destination)
    return b"\x02\0\0\0\0\1\x02\0\0\0\0\2\x08\0" + ip + tcp + payload


class Client:
    def __init__(self, number):
        self.address = bytes([10, number >> 16 & 255, number >> 8 & 255, number & 255])
        self.seq, self.ack, self.packets = 1000, 5000, []
        self.denied = 0
        self.say(0, 0x02, b"")
        self.seq += 1
        self.say(1, 0x12, b"")
        self.ack += 1

    def say(self, side, flags, payload):
        server = bytes([10, 255, 0, 1])
        for at in range(0, max(1, len(payload)), 1448):
            piece = payload[at : at + 1448]
            if side == 0:
                self.packets.append(frame(self.address, server, 40000, 11211, self.seq, self.ack, flags, piece))
                self.seq += len(piece)
            else:
                self.packets.append(frame(server, self.address, 11211, 40000, self.ack, self.seq, flags, piece))
                self.ack += len(piece)

    def talk(self, random):
        for _ in range(REQUESTS):
            key = b"%s/%d" % (random.choice([b"user", b"cart", b"secret"]), random.randrange(10000))
            self.denied += key.startswith(b"secret")
            value = b"x" * random.randrange(100, 4000)
            if random.random() < 0.5:
                self.say(0, 0x18, b"get %s\r\n" % key)
                self.say(1, 0x18, b"VALUE %s 0 %d\r\n%s\r\nEND\r\n" % (key, len(value), value))
            else:
                self.say(0, 0x18, b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value))
                self.say(1, 0x18, b"STORED\r\n")
        return self


def make(path, size):
    """Writes a capture of about so many bytes. Returns the bytes, the requests, and those that the policy denies."""
    numbers, written, denied = random.Random(1), 0, 0
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
        number, stamp = 0, 1767225600
        while written < size:
            clients = [Client(number + n).talk(numbers) for n in range(64)]
            number += 64
            denied += sum(client.denied for client in clients)
            clients = [client.packets for client in clients]
            for turn in range(max(map(len, clients))):
                stamp += 1
                for packets in clients:
                    if turn < len(packets):
                        packet = packets[turn]
                        file.write(struct.pack("<IIII", stamp, 0, len(packet), len(packet)) + packet)
                        written += 16 + len(packet)
    return written, number * REQUESTS, denied


def main():
    program = sys.argv[1]
    size = int(sys.argv[2] if len(sys.argv) > 2 else 100) * 1_000_000
    folder = pathlib.Path(sys.argv[3] if len(sys.argv) > 3 else ".")
    capture, policy = folder / "big.pcap", folder / "big.yaml"
    policy.write_text(POLICY)
    written, _, _ = make(capture, size)
    os.sync()
    for _ in range(3):
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        done = subprocess.run(command(program, policy, capture), capture_output=True, text=True)
        took, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        lines = done.stdout.splitlines()
        print(lines[0], lines[-1], sep="\n")
        print(f"{written / took / 1e6:.0f} MB/s by the clock, {written / cpu / 1e6:.0f} MB/s of one processor, "
              f"{after.ru_maxrss // 1024} MiB at most")


if __name__ == "__main__":
    main()
