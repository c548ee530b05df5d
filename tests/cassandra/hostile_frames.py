"""Frames that say one thing here and another there, and connections that begin oddly. Each would add a row to a table that nobody may touch."""

import struct

import wire
from wire import QUERY, envelope, long_text, parameters

BAD = "INSERT INTO shut.t (k) VALUES (66)"
GOOD = "SELECT * FROM open.t"


def odd_frames() -> dict:
    bad, good = BAD, GOOD

    def one(peer, opcode=QUERY, body=None, **more):
        peer.send(opcode, peer.query_body(bad) if body is None else body, **more)

    def framed(peer, *payloads, whole=True):
        if not peer.framed:
            peer.raw(b"".join(payloads))
            return
        for payload in payloads:
            peer.raw(wire.segment(payload, whole=whole, lz4=peer.compression == "lz4"))

    def as_frame(peer, statement, stream=7, version=None, flags=0, length=None):
        body = peer.query_body(statement)
        frame = peer.form(QUERY, body, stream, flags)
        if version is not None:
            frame = bytes([version]) + frame[1:]
        if length is not None:
            frame = frame[:5] + struct.pack(">i", length) + frame[9:]
        return frame

    odd = {
        "more after the parameters": lambda peer: one(peer, body=peer.query_body(good) + peer.query_body(bad)),
        "two statements' lengths": lambda peer: one(peer, body=struct.pack(">i", len(good)) + good.encode() + bad.encode() + parameters(peer.version)),
        "a length beyond the body": lambda peer: one(peer, body=struct.pack(">i", 10000) + bad.encode() + parameters(peer.version)),
        "a negative length": lambda peer: one(peer, body=struct.pack(">i", -1) + bad.encode() + parameters(peer.version)),
        "every flag": lambda peer: one(peer, body=long_text(bad) + struct.pack(">H", 1) + b"\xff" * (4 if peer.version >= 5 else 1) + b"\0" * 40),
        "every flag of the frame": lambda peer: peer.raw(peer.wrap(envelope(peer.version, QUERY, 5, peer.query_body(bad), 0xFF))),
        "an unused flag of the frame": lambda peer: peer.raw(peer.wrap(envelope(peer.version, QUERY, 5, peer.query_body(bad), 0x80))),
        "a warning in a request": lambda peer: peer.raw(peer.wrap(envelope(peer.version, QUERY, 5, peer.query_body(bad), wire.WARNING))),
        "a payload": lambda peer: peer.raw(peer.wrap(peer.form(QUERY, wire.bytes_map({"a": good}) + peer.query_body(bad), 5, wire.CUSTOM_PAYLOAD))),
        "a payload that is none": lambda peer: peer.raw(peer.wrap(peer.form(QUERY, peer.query_body(bad), 5, wire.CUSTOM_PAYLOAD))),
        "no payload where the flag is off": lambda peer: peer.raw(peer.wrap(peer.form(QUERY, wire.bytes_map({}) + peer.query_body(bad), 5))),
        "tracing": lambda peer: peer.raw(peer.wrap(peer.form(QUERY, peer.query_body(bad), 5, wire.TRACING))),
        "beta": lambda peer: peer.raw(peer.wrap(peer.form(QUERY, peer.query_body(bad), 5, wire.BETA))),
        "compressed where nothing is agreed": lambda peer: peer.raw(peer.wrap(envelope(peer.version, QUERY, 5, peer.query_body(bad), wire.COMPRESSED))),
        "not compressed": lambda peer: peer.raw(peer.wrap(envelope(peer.version, QUERY, 5, peer.query_body(bad)))),
        "a length that is too small": lambda peer: framed(peer, as_frame(peer, good, length=20) + as_frame(peer, bad)),
        "a length that is too large": lambda peer: framed(peer, as_frame(peer, good, length=200) + as_frame(peer, bad) * 9),
        "a negative frame": lambda peer: framed(peer, as_frame(peer, good, length=-1) + as_frame(peer, bad)),
        "an empty frame": lambda peer: framed(peer, envelope(peer.version, QUERY, 5, b"") + as_frame(peer, bad)),
        "a reply's version": lambda peer: framed(peer, as_frame(peer, bad, version=peer.version | 0x80)),
        "one version less": lambda peer: framed(peer, as_frame(peer, bad, version=peer.version - 1)),
        "one version more": lambda peer: framed(peer, as_frame(peer, bad, version=peer.version + 1)),
        "a stream twice": lambda peer: framed(peer, as_frame(peer, good, 5) + as_frame(peer, bad, 5) + as_frame(peer, good, 5)),
        "a negative stream": lambda peer: framed(peer, as_frame(peer, bad, -5)),
        "good, bad, good": lambda peer: framed(peer, as_frame(peer, good, 1) + as_frame(peer, bad, 2) + as_frame(peer, good, 3)),
        "a second STARTUP": lambda peer: framed(peer, envelope(peer.version, wire.STARTUP, 1, wire.text_map({"CQL_VERSION": "3.0.0", "COMPRESSION": "snappy"})) + as_frame(peer, bad)),
        "AUTH_RESPONSE": lambda peer: framed(peer, envelope(peer.version, wire.AUTH_RESPONSE, 1, long_text(b"\0a\0b")) + as_frame(peer, bad)),
        "segments: split at every byte": lambda peer: framed(peer, *[bytes([byte]) for byte in as_frame(peer, bad)], whole=False),
        "segments: split, each called whole": lambda peer: framed(peer, as_frame(peer, bad)[:20], as_frame(peer, bad)[20:]),
        "segments: whole, called a part": lambda peer: framed(peer, as_frame(peer, good) + as_frame(peer, bad), whole=False),
        "segments: a part, then a whole one": lambda peer: (framed(peer, as_frame(peer, good)[:20], whole=False), framed(peer, as_frame(peer, bad))),
        "segments: the end and a beginning": lambda peer: framed(peer, as_frame(peer, good)[:20], as_frame(peer, good)[20:] + as_frame(peer, bad), whole=False),
        "segments: one and a half": lambda peer: framed(peer, as_frame(peer, good) + as_frame(peer, bad)[:30], as_frame(peer, bad)[30:]),
        "segments: empty": lambda peer: framed(peer, b"", as_frame(peer, bad), b""),
        "a bad checksum": lambda peer: peer.raw(flip(peer.wrap(as_frame(peer, bad)), -1)) if peer.framed else None,
        "a bad header checksum": lambda peer: peer.raw(flip(peer.wrap(as_frame(peer, bad)), 4)) if peer.framed else None,
        "a bad byte": lambda peer: peer.raw(flip(peer.wrap(as_frame(peer, bad)), 30)) if peer.framed else None,
        "no segment": lambda peer: peer.raw(as_frame(peer, bad)),
        "a segment where there are none": lambda peer: peer.raw(wire.segment(as_frame(peer, bad))),
        "named values": lambda peer: one(peer, body=peer.query_body("INSERT INTO shut.t (k) VALUES (:k)", 66, names=["k"])),
        "a value that swallows": lambda peer: one(peer, body=long_text(bad) + struct.pack(">H", 1) + (b"\0\0\0\1" if peer.version >= 5 else b"\1") + b"\0\1" + struct.pack(">i", 0x7FFFFFFF)),
        "-2 and less as a length": lambda peer: one(peer, body=long_text(bad) + struct.pack(">H", 1) + (b"\0\0\0\1" if peer.version >= 5 else b"\1") + b"\0\1" + struct.pack(">i", -3)),
    }
    for opcode in (0x00, 0x02, 0x03, 0x04, 0x06, 0x08, 0x0C, 0x0E, 0x10, 0x11, 0x12, 0x7F, 0xFF):
        odd[f"opcode {opcode:#04x}"] = lambda peer, opcode=opcode: peer.send(opcode, peer.query_body(bad))
    return odd


def flip(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 0x40
    return bytes(changed)


def beginnings(version: int) -> dict:
    """Ways to begin a connection, or to go on without having begun; each part is sent after the last was answered."""
    startup = wire.text_map({"CQL_VERSION": "3.0.0"})
    bad = long_text(BAD)
    query = lambda version: envelope(version, QUERY, 9, bad + parameters(version))
    start = lambda version, more={}: envelope(version, wire.STARTUP, 1, wire.text_map({"CQL_VERSION": "3.0.0", **more}))
    return {
        "no STARTUP": [query(version)],
        "in one write": [start(version) + query(version)],
        "in one write, as a segment": [start(version) + wire.segment(query(version))],
        "two": [start(version), start(version), query(version)],
        "two that differ": [start(version), start(version, {"COMPRESSION": "lz4"}), query(version)],
        "two versions": [start(version), query(3 + (version - 2) % 3)],
        "five, then four": [start(5), query(4)], "four, then five in a segment": [start(4), wire.segment(query(5))],
        "OPTIONS in another version first": [envelope(3, wire.OPTIONS, 1, b""), start(version), query(version)],
        "unheard-of compression": [start(version, {"COMPRESSION": "zstd"}), query(version)],
        "compression in capitals": [start(version, {"COMPRESSION": "LZ4"}), query(version)],
        "another key": [start(version, {"compression": "lz4"}), query(version)],
        "v6 beta": [envelope(6, wire.STARTUP, 1, startup, wire.BETA), envelope(6, QUERY, 2, bad + parameters(5), wire.BETA)],
        "v6 beta in a segment": [envelope(6, wire.STARTUP, 1, startup, wire.BETA), wire.segment(envelope(6, QUERY, 2, bad + parameters(5), wire.BETA))],
        "v5 beta": [envelope(5, wire.STARTUP, 1, startup, wire.BETA), wire.segment(envelope(5, QUERY, 2, bad + parameters(5), wire.BETA))],
        "v2": [envelope(2, wire.STARTUP, 1, startup), query(2)], "v1": [b"\1\0\1\1" + struct.pack(">i", len(startup)) + startup],
        "a response": [start(version), envelope(version | 0x80, QUERY, 2, bad + parameters(version))],
        "DSE": [envelope(0x42, wire.STARTUP, 1, startup), query(0x42)],
    }


ODD_FRAMES = odd_frames()
