"""What the Python driver is put to do, and what must come of it, directly and through us alike."""

import contextlib
import time

from cassandra import ConsistencyLevel
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.concurrent import execute_concurrent_with_args
from cassandra.query import BatchStatement, BatchType, SimpleStatement
from stage import CANARY, unique, wait_for

MEBIBYTE = 1 << 20
# Version of the protocol and compression, as drivers are set up with them; None leaves it to the driver.
COMBINATIONS = [(version, compression) for version in (3, 4, 5) for compression in (None, "lz4", "snappy") if (version, compression) != (5, "snappy")]
SCHEMA_STATEMENTS = [
    "CREATE TYPE {ks}.address (street text, number int)",
    "CREATE TABLE {ks}.people (id int PRIMARY KEY, name text, home frozen<address>, tags set<text>)",
    "CREATE INDEX by_name ON {ks}.people (name)",
    "CREATE CUSTOM INDEX by_tag ON {ks}.people (tags) USING 'StorageAttachedIndex'",
    "CREATE MATERIALIZED VIEW {ks}.names AS SELECT name, id FROM {ks}.people WHERE name IS NOT NULL AND id IS NOT NULL PRIMARY KEY (name, id)",
    "CREATE FUNCTION {ks}.twice (n int) CALLED ON NULL INPUT RETURNS int LANGUAGE java AS $$ return n == null ? null : n * 2; $$",
    "CREATE FUNCTION {ks}.plus (a int, b int) CALLED ON NULL INPUT RETURNS int LANGUAGE java AS 'return a + b;'",
    "CREATE AGGREGATE {ks}.total (int) SFUNC plus STYPE int INITCOND 0",
    "ALTER TABLE {ks}.people ADD born date",
    "ALTER TYPE {ks}.address ADD town text",
    "ALTER MATERIALIZED VIEW {ks}.names WITH comment = 'the names'",
    "ALTER KEYSPACE {ks} WITH durable_writes = false",
    "DROP AGGREGATE {ks}.total",
    "DROP FUNCTION {ks}.plus",
    "DROP FUNCTION IF EXISTS {ks}.twice (int)",
    "DROP MATERIALIZED VIEW {ks}.names",
    "DROP INDEX {ks}.by_tag",
    "TRUNCATE TABLE {ks}.people",
    "DROP TABLE {ks}.people",
    "DROP TYPE {ks}.address",
]


@contextlib.contextmanager
def session(port: int, version: int | None = None, compression: str | None = "lz4", keyspace: str | None = None, contact: str = "127.0.0.1", **options):
    """A connected driver; what it says of schema changes it says at once."""
    versions = {} if version is None else {"protocol_version": version}
    # On a busy machine DDL of a small Cassandra takes its time.
    profile = ExecutionProfile(request_timeout=60)
    cluster = Cluster([contact], port=port, compression=compression or False, schema_event_refresh_window=0, topology_event_refresh_window=0,
                      connect_timeout=30, control_connection_timeout=30, execution_profiles={EXEC_PROFILE_DEFAULT: profile},
                      **versions, **options)
    try:
        yield cluster.connect(keyspace)
    finally:
        cluster.shutdown()


def create_keyspace(session, keyspace: str) -> str:
    session.execute(f"CREATE KEYSPACE {keyspace} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}")
    return keyspace


class Work:
    """Each method is one kind of work, in a keyspace of its own; it returns what WANTED says."""

    WANTED = {
        "schema": len(SCHEMA_STATEMENTS), "events": ["made", "gone"], "text": [(1, "one"), (2, None)], "prepared": 400, "unprepared": [3, 2],
        "batches": [(1, None), (2, "b"), (3, "c"), (4, "d")], "text batch": [(10, "x"), (11, None)], "counters": 42, "paging": [15, 1000],
        "use": ["inside", "other"], "keyspace of a request": [1, 2], "concurrent": 1000, "large cell": 10 * MEBIBYTE, "large rows": 24, "tracing": True, "payload": 1,
        "warnings": True, "lwt": [True, False, True], "serial batch": True, "errors": ["SyntaxException", "InvalidRequest", "AlreadyExists"],
        "json": '{"id": 1, "name": "one"}', "heartbeats": True,
    }

    def __init__(self, session, port: int, version: int, compression: str | None):
        self.session, self.port, self.version, self.compression = session, port, version, compression
        self.keyspace = create_keyspace(session, unique("work"))
        self.table = f"{self.keyspace}.t"
        session.execute(f"CREATE TABLE {self.table} (id int PRIMARY KEY, name text)")

    def do(self) -> dict:
        wanted = {name: getattr(self, "do_" + name.replace(" ", "_")) for name in self.WANTED}
        results = {}
        for name, work in wanted.items():
            self.session.execute(f"TRUNCATE {self.table}")
            try:
                results[name] = work()
            except Exception as error:
                results[name] = f"{type(error).__name__}: {error}"
        self.session.execute(f"DROP KEYSPACE {self.keyspace}")
        return results

    def rows(self) -> list[tuple]:
        return sorted(tuple(row) for row in self.session.execute(f"SELECT id, name FROM {self.table}"))

    def do_schema(self) -> int:
        """Every kind of DDL that goes on inside a keyspace."""
        for number, statement in enumerate(SCHEMA_STATEMENTS):
            try:
                self.session.execute(statement.format(ks=self.keyspace))
            except Exception as error:
                raise RuntimeError(f"statement {number}: {error}") from error
        return len(SCHEMA_STATEMENTS)

    def do_events(self) -> list[str]:
        """Another client makes a table, and this one hears of it."""
        seen = []
        tables = lambda: self.session.cluster.metadata.keyspaces[self.keyspace].tables
        with session(self.port, self.version, self.compression) as other:
            other.execute(f"CREATE TABLE {self.keyspace}.news (id int PRIMARY KEY)")
            wait_for("the event of a new table", lambda: "news" in tables())
            seen.append("made")
            other.execute(f"DROP TABLE {self.keyspace}.news")
            wait_for("the event of a dropped table", lambda: "news" not in tables())
            seen.append("gone")
        return seen

    def do_text(self) -> list[tuple]:
        self.session.execute(f"INSERT INTO {self.table} (id, name) VALUES (1, 'one')")
        self.session.execute(f"INSERT INTO {self.table} (id, name) VALUES (%s, %s)", (2, "two"))
        self.session.execute(f"UPDATE {self.table} SET name = null WHERE id = 2")
        self.session.execute(f"INSERT INTO {self.table} (id) VALUES (3)")
        self.session.execute(f"DELETE FROM {self.table} WHERE id = 3")
        return self.rows()

    def do_prepared(self) -> int:
        """Prepared on one session, executed on every connection of two others as well."""
        insert = self.session.prepare(f"INSERT INTO {self.table} (id, name) VALUES (?, ?)")
        execute_concurrent_with_args(self.session, insert, [(number, CANARY) for number in range(200)], concurrency=100)
        with session(self.port, self.version, self.compression) as other:
            again = other.prepare(f"INSERT INTO {self.table} (id, name) VALUES (?, ?)")
            execute_concurrent_with_args(other, again, [(number, CANARY) for number in range(200, 400)], concurrency=100)
        select = self.session.prepare(f"SELECT count(*) FROM {self.table}")
        return self.session.execute(select).one()[0]

    def do_unprepared(self) -> list[int]:
        """A change of the table makes the server forget what was prepared; the driver is told, and prepares again."""
        table = f"{self.keyspace}.forgotten"
        self.session.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, name text)")
        insert = self.session.prepare(f"INSERT INTO {table} (id, name) VALUES (?, ?)")
        select = self.session.prepare(f"SELECT * FROM {table} WHERE id = ?")
        self.session.execute(insert, (1, "one"))
        self.session.execute(select, (1,))
        self.session.execute(f"ALTER TABLE {table} ADD more int")
        self.session.execute(insert, (2, "two"))
        wide = self.session.execute(select, (2,)).one()
        return [len(wide), self.session.execute(f"SELECT count(*) FROM {table}").one()[0]]

    def do_batches(self) -> list[tuple]:
        insert = self.session.prepare(f"INSERT INTO {self.table} (id, name) VALUES (?, ?)")
        batch = BatchStatement(BatchType.UNLOGGED)
        batch.add(insert, (1, None))
        batch.add(SimpleStatement(f"INSERT INTO {self.table} (id, name) VALUES (2, 'b')"))
        batch.add(f"INSERT INTO {self.table} (id, name) VALUES (%s, %s)", (3, "c"))
        self.session.execute(batch)
        logged = BatchStatement(BatchType.LOGGED)
        logged.add(insert, (4, "d"))
        logged.add(self.session.prepare(f"DELETE FROM {self.table} WHERE id = ?"), (5,))
        self.session.execute(logged)
        return self.rows()

    def do_text_batch(self) -> list[tuple]:
        self.session.execute(f"""BEGIN UNLOGGED BATCH USING TIMESTAMP 1234
            INSERT INTO {self.table} (id, name) VALUES (10, 'x');
            INSERT INTO {self.table} (id) VALUES (11)
            UPDATE {self.table} SET name = 'gone' WHERE id = 12; DELETE FROM {self.table} WHERE id = 12
            APPLY BATCH;""")
        return [row for row in self.rows() if row[0] < 12]

    def do_counters(self) -> int:
        table = f"{self.keyspace}.counts"
        self.session.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, n counter)")
        self.session.execute(f"UPDATE {table} SET n = n + 2 WHERE id = 1")
        add = self.session.prepare(f"UPDATE {table} SET n = n + ? WHERE id = ?")
        batch = BatchStatement(BatchType.COUNTER)
        for _ in range(4):
            batch.add(add, (10, 1))
        self.session.execute(batch)
        return self.session.execute(f"SELECT n FROM {table}").one()[0]

    def do_paging(self) -> list[int]:
        table = f"{self.keyspace}.pages"
        self.session.execute(f"CREATE TABLE {table} (p int, c int, v text, PRIMARY KEY (p, c))")
        insert = self.session.prepare(f"INSERT INTO {table} (p, c, v) VALUES (?, ?, ?)")
        execute_concurrent_with_args(self.session, insert, [(number % 10, number, CANARY) for number in range(1000)], concurrency=100)
        select = self.session.prepare(f"SELECT * FROM {table}")
        select.fetch_size = 70
        result, pages = self.session.execute(select), 1
        seen = len(result.current_rows)
        while result.has_more_pages:
            result.fetch_next_page()
            seen, pages = seen + len(result.current_rows), pages + 1
        return [pages, seen]

    def do_use(self) -> list[str]:
        other = create_keyspace(self.session, unique("other"))
        self.session.execute(f"CREATE TABLE {other}.here (id int PRIMARY KEY, name text)")
        self.session.execute(f"CREATE TABLE {self.keyspace}.here (id int PRIMARY KEY, name text)")
        names = []
        with session(self.port, self.version, self.compression, self.keyspace) as mine:
            mine.execute("INSERT INTO here (id, name) VALUES (1, 'inside')")
            names.append(mine.execute("SELECT name FROM here").one()[0])
            mine.execute(f'USE "{other}"')
            mine.execute(mine.prepare("INSERT INTO here (id, name) VALUES (?, ?)"), (1, "other"))
            names.append(mine.execute("SELECT name FROM here").one()[0])
        self.session.execute(f"DROP KEYSPACE {other}")
        return names

    def do_keyspace_of_a_request(self) -> list[int]:
        """Only v5 has it; in the others the name is spelled out."""
        keyspace, table = (self.keyspace, "t") if self.version >= 5 else (None, self.table)
        self.session.execute(SimpleStatement(f"INSERT INTO {table} (id, name) VALUES (1, 'one')", keyspace=keyspace))
        insert = self.session.prepare(f"INSERT INTO {table} (id, name) VALUES (?, ?)", keyspace=keyspace)
        self.session.execute(insert, (2, "two"))
        return [row[0] for row in self.rows()]

    def do_concurrent(self) -> int:
        """Hundreds in flight on one connection, text and prepared."""
        insert = self.session.prepare(f"INSERT INTO {self.table} (id, name) VALUES (?, ?)")
        futures = [self.session.execute_async(insert, (number, CANARY)) if number % 2 else
                   self.session.execute_async(f"INSERT INTO {self.table} (id, name) VALUES ({number}, '{CANARY}')") for number in range(1000)]
        for future in futures:
            future.result()
        futures = [self.session.execute_async(f"SELECT id FROM {self.table} WHERE id = {number}") for number in range(1000)]
        return sum(future.result().one()[0] == number for number, future in enumerate(futures))

    def do_large_cell(self) -> int:
        large = (CANARY * (10 * MEBIBYTE // len(CANARY) + 1))[:10 * MEBIBYTE]
        insert = self.session.prepare(f"INSERT INTO {self.table} (id, name) VALUES (?, ?)")
        self.session.execute(insert, (1, large))
        back = self.session.execute(f"SELECT name FROM {self.table} WHERE id = 1").one()[0]
        return len(back) if back == large else -1

    def do_large_rows(self) -> int:
        """A reply of 24 MiB in one piece."""
        insert = self.session.prepare(f"INSERT INTO {self.table} (id, name) VALUES (?, ?)")
        for number in range(24):
            self.session.execute(insert, (number, "%d" % number * (MEBIBYTE // len("%d" % number))))
        statement = SimpleStatement(f"SELECT * FROM {self.table}", fetch_size=None)
        return sum(row.name == "%d" % row.id * (MEBIBYTE // len("%d" % row.id)) for row in self.session.execute(statement))

    def do_tracing(self) -> bool:
        result = self.session.execute(f"SELECT * FROM {self.table}", trace=True)
        return len(result.get_query_trace(max_wait_sec=30).events) > 0

    def do_payload(self) -> int:
        """In v3 the driver leaves it out."""
        payload = {"who": CANARY.encode()} if self.version >= 4 else None
        self.session.execute(f"INSERT INTO {self.table} (id, name) VALUES (1, 'one')", custom_payload=payload)
        return len(self.rows())

    def do_warnings(self) -> bool:
        """A batch beyond the server's threshold; v3 has no word for warnings."""
        insert = self.session.prepare(f"INSERT INTO {self.table} (id, name) VALUES (?, ?)")
        batch = BatchStatement(BatchType.UNLOGGED)
        for number in range(20):
            batch.add(insert, (number, CANARY * 100))
        future = self.session.execute_async(batch)
        future.result()
        return self.version < 4 or "exceeding specified threshold" in (future.warnings or [""])[0]

    def do_lwt(self) -> list[bool]:
        once = self.session.prepare(f"INSERT INTO {self.table} (id, name) VALUES (?, ?) IF NOT EXISTS")
        once.serial_consistency_level = ConsistencyLevel.LOCAL_SERIAL
        return [self.session.execute(once, (1, "a")).was_applied, self.session.execute(once, (1, "b")).was_applied,
                self.session.execute(f"UPDATE {self.table} SET name = 'c' WHERE id = 1 IF name = 'a'").was_applied]

    def do_serial_batch(self) -> bool:
        batch = BatchStatement(serial_consistency_level=ConsistencyLevel.SERIAL)
        batch.add(f"INSERT INTO {self.table} (id, name) VALUES (7, 'x') IF NOT EXISTS")
        return self.session.execute(batch).was_applied

    def do_errors(self) -> list[str]:
        """What the server refuses is refused in the server's words."""
        names = []
        for statement in (f"SELECT nothing at all {self.table}", f"SELECT no_such_column FROM {self.table}",
                          f"CREATE TABLE {self.table} (id int PRIMARY KEY, name text)"):
            try:
                self.session.execute(statement)
                names.append("no error")
            except Exception as error:
                names.append(type(error).__name__)
        return names

    def do_json(self) -> str:
        self.session.execute(f"""INSERT INTO {self.table} JSON '{{"id": 1, "name": "one"}}' DEFAULT UNSET""")
        return self.session.execute(f"SELECT JSON id, name FROM {self.table}").one()[0]

    def do_heartbeats(self) -> bool:
        """Connections that have nothing to do ask for OPTIONS, and stay."""
        with session(self.port, self.version, self.compression, idle_heartbeat_interval=0.3, idle_heartbeat_timeout=5) as idle:
            before = [pool._connection for pool in idle.get_pools()]
            time.sleep(1.5)
            idle.execute("SELECT * FROM system.local")
            after = [pool._connection for pool in idle.get_pools()]
            return before == after and not any(connection.is_defunct for connection in after)
