"""A client of Cassandra's native protocol that does just what it is told: v3, v4 and v5, frames written by hand.

Drivers hide what a hostile peer would do. This one pipelines what it likes, reuses streams, puts several envelopes into a segment or one
into several, and sends any bytes at all.
"""

import contextlib
import importlib
import socket
import struct
import unittest
import zlib
from typing import NamedTuple

ERROR, STARTUP, READY, AUTHENTICATE, OPTIONS, SUPPORTED, QUERY, RESULT, PREPARE, EXECUTE, REGISTER, EVENT, BATCH = (
    0x00, 0x01, 0x02, 0x03, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0A, 0x0B, 0x0C, 0x0D)
AUTH_CHALLENGE, AUTH_RESPONSE, AUTH_SUCCESS = 0x0E, 0x0F, 0x10

COMPRESSED, TRACING, CUSTOM_PAYLOAD, WARNING, BETA = 0x01, 0x02, 0x04, 0x08, 0x10

SERVER_ERROR, PROTOCOL_ERROR, BAD_CREDENTIALS = 0x0000, 0x000A, 0x0100
SYNTAX_ERROR, UNAUTHORIZED, INVALID, ALREADY_EXISTS, UNPREPARED = 0x2000, 0x2100, 0x2200, 0x2400, 0x2500

VOID, ROWS, SET_KEYSPACE, PREPARED, SCHEMA_CHANGE = 1, 2, 3, 4, 5

ONE, LOCAL_ONE, SERIAL = 0x0001, 0x000A, 0x0008
NULL, NOT_SET = None, object()

# Payload bytes of one segment of v5 at most: 17 bits.
MAX_PAYLOAD = (1 << 17) - 1
PATIENCE_SECONDS = 30


# ---- the protocol's own types


def text(value: str | bytes) -> bytes:
    value = value.encode() if isinstance(value, str) else value
    return struct.pack(">H", len(value)) + value


def long_text(value: str | bytes) -> bytes:
    value = value.encode() if isinstance(value, str) else value
    return struct.pack(">i", len(value)) + value


def cell(value) -> bytes:
    """One bound value: None is null, an int a CQL int, a str its text."""
    if value is None:
        return struct.pack(">i", -1)
    if value is NOT_SET:
        return struct.pack(">i", -2)
    if isinstance(value, int):
        value = struct.pack(">i", value)
    return long_text(value)


def text_map(pairs: dict) -> bytes:
    return struct.pack(">H", len(pairs)) + b"".join(text(name) + text(value) for name, value in pairs.items())


def bytes_map(pairs: dict) -> bytes:
    return struct.pack(">H", len(pairs)) + b"".join(text(name) + long_text(value) for name, value in pairs.items())


def envelope(version: int, opcode: int, stream: int, body: bytes, flags: int = 0) -> bytes:
    return struct.pack(">BBhBi", version, flags, stream, opcode, len(body)) + body


def parameters(version: int, values=(), *, names=(), page_size=None, paging_state=None, keyspace=None, consistency=LOCAL_ONE, serial=None,
               timestamp=None, skip_metadata=False) -> bytes:
    """What follows the text of a QUERY or the id of an EXECUTE."""
    flags, rest = 0, b""
    if values:
        flags |= 0x01 | (0x40 if names else 0)
        rest += struct.pack(">H", len(values)) + b"".join((text(names[at]) if names else b"") + cell(value) for at, value in enumerate(values))
    if skip_metadata:
        flags |= 0x02
    if page_size is not None:
        flags, rest = flags | 0x04, rest + struct.pack(">i", page_size)
    if paging_state is not None:
        flags, rest = flags | 0x08, rest + long_text(paging_state)
    if serial is not None:
        flags, rest = flags | 0x10, rest + struct.pack(">H", serial)
    if timestamp is not None:
        flags, rest = flags | 0x20, rest + struct.pack(">q", timestamp)
    if keyspace is not None:
        flags, rest = flags | 0x80, rest + text(keyspace)
    return struct.pack(">H", consistency) + struct.pack(">I" if version >= 5 else ">B", flags) + rest


def batch_body(version: int, statements: list, *, kind: int = 0, keyspace: str | None = None) -> bytes:
    """`statements` are CQL text or a prepared id, each alone or in a pair with its values."""
    body = struct.pack(">BH", kind, len(statements))
    for statement in statements:
        what, values = statement if isinstance(statement, tuple) else (statement, ())
        body += b"\0" + long_text(what) if isinstance(what, str) else b"\1" + text(what)
        body += struct.pack(">H", len(values)) + b"".join(map(cell, values))
    flags = 0x80 if keyspace is not None else 0
    return body + struct.pack(">H", LOCAL_ONE) + struct.pack(">I" if version >= 5 else ">B", flags) + (text(keyspace) if keyspace is not None else b"")


# ---- segments of v5


def crc24(data: bytes) -> int:
    crc = 0x875060
    for byte in data:
        crc ^= byte << 16
        for _ in range(8):
            crc <<= 1
            if crc & 0x1000000:
                crc ^= 0x1974F0B
    return crc


def crc32(data: bytes) -> int:
    return zlib.crc32(data, zlib.crc32(b"\xfa\x2d\x55\xca"))


def segment(payload: bytes, *, whole: bool = True, lz4: bool = False) -> bytes:
    """One segment; `whole` says that it holds whole envelopes only."""
    if lz4:
        packed = lz4_block().compress(payload, store_size=False)
        plain_length = len(payload)
        if len(packed) >= len(payload):
            packed, plain_length = payload, 0
        header = (len(packed) | plain_length << 17 | whole << 34).to_bytes(5, "little")
    else:
        packed = payload
        header = (len(payload) | whole << 17).to_bytes(3, "little")
    return header + crc24(header).to_bytes(3, "little") + packed + crc32(packed).to_bytes(4, "little")


def segments(data: bytes, *, lz4: bool = False) -> bytes:
    """One envelope as drivers send it: whole in one segment if it fits, else over several."""
    if len(data) <= MAX_PAYLOAD:
        return segment(data, lz4=lz4)
    return b"".join(segment(data[at:at + MAX_PAYLOAD], whole=False, lz4=lz4) for at in range(0, len(data), MAX_PAYLOAD))


def lz4_block():
    return library("lz4.block")


def library(name: str):
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise unittest.SkipTest(f"tools/fetch-cassandra-clients could not get {name}: {error}") from error


# ---- replies


class Frame(NamedTuple):
    version: int
    flags: int
    stream: int
    opcode: int
    body: bytes


class Cursor:
    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        part = self.data[self.at:self.at + count]
        if len(part) < count:
            raise AssertionError(f"a reply ends early: {count} bytes wanted at {self.at} of {len(self.data)}")
        self.at += count
        return part

    def short(self) -> int:
        return struct.unpack(">H", self.take(2))[0]

    def int(self) -> int:
        return struct.unpack(">i", self.take(4))[0]

    def text(self) -> str:
        return self.take(self.short()).decode()

    def bytes(self) -> bytes | None:
        length = self.int()
        return None if length < 0 else self.take(length)


class Reply:
    """What one response says, as far as tests ask."""

    def __init__(self, frame: Frame):
        self.frame, self.stream, self.opcode = frame, frame.stream, frame.opcode
        self.code = self.message = self.kind = self.keyspace = self.id = self.metadata_id = self.unknown_id = self.paging_state = None
        self.rows: list[list[bytes | None]] = []
        self.warnings: list[str] = []
        cursor = Cursor(frame.body)
        if frame.flags & TRACING:
            cursor.take(16)
        if frame.flags & WARNING:
            self.warnings = [cursor.text() for _ in range(cursor.short())]
        if frame.flags & CUSTOM_PAYLOAD:
            for _ in range(cursor.short()):
                cursor.text(), cursor.bytes()
        if frame.opcode == ERROR:
            self.code, self.message = cursor.int(), cursor.text()
            if self.code == UNPREPARED:
                self.unknown_id = cursor.take(cursor.short())
        elif frame.opcode == RESULT:
            self.read_result(cursor)

    def read_result(self, cursor: Cursor) -> None:
        self.kind = cursor.int()
        if self.kind == SET_KEYSPACE:
            self.keyspace = cursor.text()
        elif self.kind == PREPARED:
            self.id = cursor.take(cursor.short())
            if self.frame.version & 0x7F >= 5:
                self.metadata_id = cursor.take(cursor.short())
        elif self.kind == ROWS:
            flags, columns = cursor.int(), cursor.int()
            if flags & 0x02:
                self.paging_state = cursor.bytes()
            if flags & 0x08:
                cursor.take(cursor.short())
            if not flags & 0x04:
                if flags & 0x01:
                    cursor.text(), cursor.text()
                for _ in range(columns):
                    if not flags & 0x01:
                        cursor.text(), cursor.text()
                    cursor.text()
                    skip_type(cursor)
            self.rows = [[cursor.bytes() for _ in range(columns)] for _ in range(cursor.int())]

    @property
    def denied(self) -> bool:
        return self.opcode == ERROR and self.code == UNAUTHORIZED

    def __repr__(self) -> str:
        if self.opcode == ERROR:
            return f"<{self.stream}: error 0x{self.code:04x} {self.message!r}>"
        return f"<{self.stream}: opcode 0x{self.opcode:02x} kind {self.kind}, {len(self.rows)} rows>"


def skip_type(cursor: Cursor) -> None:
    kind = cursor.short()
    if kind == 0x00:
        cursor.text()
    elif kind in (0x20, 0x22):
        skip_type(cursor)
    elif kind == 0x21:
        skip_type(cursor), skip_type(cursor)
    elif kind == 0x30:
        cursor.text(), cursor.text()
        for _ in range(cursor.short()):
            cursor.text()
            skip_type(cursor)
    elif kind == 0x31:
        for _ in range(cursor.short()):
            skip_type(cursor)


# ---- a connection


class Wire:
    """A connection that has said STARTUP, unless `startup` is False. `compression` is None, "lz4" or "snappy"."""

    def __init__(self, port: int, version: int = 4, *, who: str | None = None, compression: str | None = None, startup: bool = True,
                 options: dict | None = None):
        self.version, self.compression = version, compression
        self.framed = False
        self.received = b""
        self.payload = b""
        self.next_stream = 0
        self.socket = socket.socket()
        self.socket.settimeout(PATIENCE_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if who:
            self.socket.bind((who, 0))
        self.socket.connect(("127.0.0.1", port))
        self.local_port = self.socket.getsockname()[1]
        if startup:
            self.start(options)

    def start(self, options: dict | None = None) -> Reply:
        wanted = {"CQL_VERSION": "3.0.0", **({"COMPRESSION": self.compression} if self.compression else {}), **(options or {})}
        # STARTUP is never compressed; in v3 and v4 the READY to it already is.
        reply = self.raw(envelope(self.version, STARTUP, self.stream(), text_map(wanted))).read()
        if reply.opcode not in (READY, AUTHENTICATE):
            raise AssertionError(f"no READY: {reply}")
        self.framed = self.version >= 5
        return reply

    # requests

    def stream(self) -> int:
        self.next_stream = (self.next_stream + 1) % 0x7FFF
        return self.next_stream

    def raw(self, data: bytes) -> "Wire":
        self.socket.sendall(data)
        return self

    def wrap(self, data: bytes) -> bytes:
        """One or more envelopes, ready for the wire."""
        return segments(data, lz4=self.compression == "lz4") if self.framed else data

    def form(self, opcode: int, body: bytes, stream: int, flags: int = 0) -> bytes:
        """One envelope, compressed where the version does that by envelope."""
        if self.compression and not self.framed:
            body, flags = self.squeeze(body), flags | COMPRESSED
        return envelope(self.version, opcode, stream, body, flags)

    def squeeze(self, body: bytes) -> bytes:
        if self.compression == "lz4":
            return struct.pack(">i", len(body)) + lz4_block().compress(body, store_size=False)
        return library("snappy").compress(body)

    def send(self, opcode: int, body: bytes = b"", *, stream: int | None = None, flags: int = 0) -> int:
        stream = self.stream() if stream is None else stream
        self.raw(self.wrap(self.form(opcode, body, stream, flags)))
        return stream

    def ask(self, opcode: int, body: bytes = b"", *, flags: int = 0) -> Reply:
        stream = self.send(opcode, body, flags=flags)
        reply = self.read()
        if reply.stream != stream:
            raise AssertionError(f"asked on stream {stream}, answered {reply}")
        return reply

    def query_body(self, cql: str | bytes, *values, **options) -> bytes:
        return long_text(cql) + parameters(self.version, values, **options)

    def query(self, cql: str | bytes, *values, flags: int = 0, **options) -> Reply:
        return self.ask(QUERY, self.query_body(cql, *values, **options), flags=flags)

    def prepare_body(self, cql: str | bytes, keyspace: str | None = None) -> bytes:
        rest = b"" if self.version < 5 else struct.pack(">I", 1 if keyspace else 0) + (text(keyspace) if keyspace else b"")
        return long_text(cql) + rest

    def prepare(self, cql: str | bytes, keyspace: str | None = None) -> Reply:
        return self.ask(PREPARE, self.prepare_body(cql, keyspace))

    def execute_body(self, prepared, *values, **options) -> bytes:
        """`prepared` is the reply to a PREPARE."""
        return text(prepared.id) + (text(prepared.metadata_id) if self.version >= 5 else b"") + parameters(self.version, values, **options)

    def execute(self, prepared, *values, **options) -> Reply:
        return self.ask(EXECUTE, self.execute_body(prepared, *values, **options))

    def batch(self, *statements, keyspace: str | None = None) -> Reply:
        return self.ask(BATCH, batch_body(self.version, list(statements), keyspace=keyspace))

    # replies

    def read(self) -> Reply:
        """The next response; an AssertionError if the connection ends first."""
        frame = self.read_frame()
        if frame is None:
            raise AssertionError("the connection ended instead of an answer")
        return Reply(frame)

    def read_all(self, count: int) -> dict[int, Reply]:
        """The next `count` responses by their streams."""
        replies = [self.read() for _ in range(count)]
        by_stream = {reply.stream: reply for reply in replies}
        if len(by_stream) != count:
            raise AssertionError(f"a stream was answered twice: {replies}")
        return by_stream

    def read_frame(self) -> Frame | None:
        header = self.take(9)
        if header is None:
            return None
        version, flags, stream, opcode, length = struct.unpack(">BBhBi", header)
        body = self.take(length) if length else b""
        if body is None:
            return None
        if flags & COMPRESSED and not self.framed:
            body = self.expand(body)
        return Frame(version, flags, stream, opcode, body)

    def expand(self, body: bytes) -> bytes:
        if self.compression == "lz4":
            return lz4_block().decompress(body[4:], uncompressed_size=struct.unpack(">i", body[:4])[0])
        return library("snappy").decompress(body)

    def take(self, count: int) -> bytes | None:
        """Bytes of envelopes, out of their segments where there are any; None at the end."""
        if not self.framed:
            return self.pull(count)
        while len(self.payload) < count:
            part = self.read_segment()
            if part is None:
                return None
            self.payload += part
        part, self.payload = self.payload[:count], self.payload[count:]
        return part

    def read_segment(self) -> bytes | None:
        size = 5 if self.compression == "lz4" else 3
        header = self.pull(size + 3)
        if header is None:
            return None
        if crc24(header[:size]).to_bytes(3, "little") != header[size:]:
            raise AssertionError(f"a segment's header fails its checksum: {header.hex()}")
        fields = int.from_bytes(header[:size], "little")
        packed = self.pull((fields & MAX_PAYLOAD) + 4)
        if packed is None:
            raise AssertionError("the connection ended within a segment")
        packed, check = packed[:-4], packed[-4:]
        if crc32(packed).to_bytes(4, "little") != check:
            raise AssertionError("a segment's payload fails its checksum")
        plain_length = fields >> 17 & MAX_PAYLOAD if size == 5 else 0
        return lz4_block().decompress(packed, uncompressed_size=plain_length) if plain_length else packed

    def pull(self, count: int) -> bytes | None:
        parts, missing = [], count
        while missing:
            part = self.socket.recv(min(missing, 1 << 20))
            if not part:
                return None
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def closed(self) -> bool:
        """Waits for the other side to hang up; False if it says something first."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
